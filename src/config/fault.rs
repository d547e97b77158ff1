//! What is wrong with what the operator wrote, where, and what would be right.

use std::{fmt, ops::Range};

use crate::plain;

/// One mistake, in words for the operator. Never holds the value of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where it was written.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub remedy: String,
}

/// Where something was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a file; line and column count from 1, columns in characters.
    File {
        /// The file's name, as given.
        name: String,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
        /// Which bytes of its text.
        bytes: Range<usize>,
    },
    /// A file as a whole, by the name given.
    Whole(String),
    /// A flag or an environment variable, by its name.
    Named(&'static str),
    /// Nowhere: it is missing.
    Nowhere,
}

impl Place {
    /// The place of these bytes of a file's `text`.
    #[must_use]
    pub fn in_file(name: &str, text: &str, bytes: Range<usize>) -> Self {
        let before = text.as_bytes().get(..bytes.start).unwrap_or(text.as_bytes());
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let in_line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(in_line).chars().count() + 1;
        Self::File { name: name.to_owned(), line, column, bytes }
    }

    /// In the order in which an operator reads: what was typed, the file from its beginning, what is missing.
    pub(super) fn order(&self) -> (u8, usize) {
        match self {
            Self::Named(_) => (0, 0),
            Self::File { bytes, .. } => (1, bytes.start),
            Self::Whole(_) | Self::Nowhere => (2, 0),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column, .. } => write!(f, "{name}:{line}:{column}: "),
            Self::Whole(name) => write!(f, "{name}: "),
            Self::Named(name) => write!(f, "{name}: "),
            Self::Nowhere => Ok(()),
        }
    }
}

/// One line, whatever was written.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}; {}", self.place, plain::line(&self.message), plain::line(&self.remedy))
    }
}

impl std::error::Error for Fault {}

/// A fault whose place is not known yet.
#[derive(Debug)]
pub(super) struct Wrong {
    message: String,
    remedy: String,
}

/// What is wrong, and what would be right.
pub(super) fn wrong(message: impl Into<String>, remedy: impl Into<String>) -> Wrong {
    Wrong { message: message.into(), remedy: remedy.into() }
}

impl Wrong {
    /// The fault at its place.
    pub(super) fn at(self, place: Place) -> Fault {
        Fault { place, message: self.message, remedy: self.remedy }
    }
}
