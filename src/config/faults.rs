//! All that is wrong with a configuration: a line for each in a log, drawn below the line that has it for a person.

use std::{fmt, ops::Deref};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, Title};

use super::{
    fault::{Fault, Place},
    hidden,
};
use crate::plain;

/// Faults in the order of their places, with what it takes to draw them. No secret of the file is among it.
#[derive(Clone, Default)]
pub struct Faults {
    list: Vec<Fault>,
    /// The file's text, secrets made unreadable, each byte at its place.
    text: String,
}

/// How much a fault matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// Nothing starts with it.
    Error,
    /// It is allowed, and likely to be a mistake.
    Warning,
}

impl Faults {
    /// Sorts them; what is said twice of one place is said once.
    pub(crate) fn new(mut list: Vec<Fault>, text: &str) -> Self {
        list.sort_by_key(|fault| fault.place.order());
        list.dedup();
        Self { list, text: hidden::hidden(text) }
    }

    /// Draws each of them: what is wrong, the line where it is, a mark below its place, and what would be right. For a
    /// person; the text ends with a line end, unless there is nothing to say.
    #[must_use]
    pub fn render(&self, severity: Severity, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let draw = |fault| renderer.render(&[self.group(fault, severity)]) + "\n";
        self.list.iter().map(draw).collect::<Vec<_>>().join("\n")
    }

    fn group<'a>(&'a self, fault: &'a Fault, severity: Severity) -> Group<'a> {
        let level = match severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let remedy = Level::HELP.message(plain::line(&fault.remedy));
        let title = |place: &str| -> Title<'a> {
            level.clone().primary_title(format!("{place}{}", plain::line(&fault.message)))
        };
        match &fault.place {
            Place::File { name, line, bytes, .. } => {
                let (text, start) = self.line(bytes.start);
                let end = bytes.end.saturating_sub(start).min(text.len());
                let begin = (bytes.start - start).min(text.len());
                let mark = AnnotationKind::Primary.span(begin..end.max(begin));
                let snippet = Snippet::source(text).path(name.as_str()).line_start(*line).annotation(mark);
                title("").element(snippet).element(remedy)
            }
            place => title(&place.to_string()).element(remedy),
        }
    }

    /// The line of a byte of the text, without its end, and where it begins.
    fn line(&self, at: usize) -> (&str, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        (self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default(), start)
    }
}

/// A line for each fault, without an end after the last one.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.list.iter().enumerate() {
            write!(f, "{}{fault}", if n > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

/// The faults alone: the text says nothing that the file does not.
impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}

impl std::error::Error for Faults {}

/// The faults alone, for the same reason.
impl PartialEq for Faults {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Deref for Faults {
    type Target = [Fault];
    fn deref(&self) -> &[Fault] {
        &self.list
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}
