//! A frame: original bytes, and where the fields that matter to a proxy lie in them.

use std::{borrow::Cow, ops::Range};

use memchr::memchr2;

/// The bytes of a stream up to and including a blank line, or comment lines that came before any field.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// What the upstream sent, line ends included.
    pub(super) bytes: &'a [u8],
    pub(super) facts: Facts,
}

/// What is known of a frame once its lines were seen. Places are offsets from the frame's first byte.
#[derive(Clone, Default, Debug)]
pub(super) struct Facts {
    /// Where the blank line begins; the frame's length where there is none.
    pub(super) blank: usize,
    /// The end of the last line before the blank one.
    pub(super) eol: Range<usize>,
    /// How many `data` lines there are; with one, a client dispatches this frame.
    pub(super) data_lines: u32,
    /// The value of the first of them.
    pub(super) data: Range<usize>,
    /// The value of the last `event` line.
    pub(super) event: Option<Range<usize>>,
    /// The value of the last `id` line that a client would take: without NUL, perhaps empty.
    pub(super) id: Option<Range<usize>>,
    /// How many `id` lines there are, those included that a client ignores.
    pub(super) id_lines: u32,
    /// No line follows an `id` line but another `id` line.
    pub(super) id_last: bool,
    /// The digits of the last valid `retry` line.
    pub(super) retry: Option<Range<usize>>,
}

impl<'a> Frame<'a> {
    /// The frame as the upstream sent it.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// A client dispatches it: it has at least one `data` field. Anything else is a control frame.
    #[must_use]
    pub fn is_event(&self) -> bool {
        self.facts.data_lines > 0
    }

    /// The value of the last `event` field, if there is one: as sent, perhaps empty.
    #[must_use]
    pub fn event(&self) -> Option<&'a [u8]> {
        self.facts.event.clone().map(|at| &self.bytes[at])
    }

    /// The data that a client is given: the values of all `data` lines, with an LF between them.
    #[must_use]
    pub fn data(&self) -> Cow<'a, [u8]> {
        if self.facts.data_lines <= 1 {
            return Cow::Borrowed(&self.bytes[self.facts.data.clone()]);
        }
        let lines = self.lines().filter(|line| line.field() == Field::Data);
        let values: Vec<&[u8]> = lines.map(|line| line.value()).collect();
        Cow::Owned(values.join(&b'\n'))
    }

    /// The id that a client would take from it, as opaque bytes; `Some` of nothing where the id is reset.
    #[must_use]
    pub fn id(&self) -> Option<&'a [u8]> {
        self.facts.id.clone().map(|at| &self.bytes[at])
    }

    /// The reconnection time that a client would take from it: ASCII digits, as sent.
    #[must_use]
    pub fn retry(&self) -> Option<&'a [u8]> {
        self.facts.retry.clone().map(|at| &self.bytes[at])
    }

    /// How long the line is that [`stamp`](super::stamp) writes for this id.
    #[must_use]
    pub fn id_line_len(&self, id: &[u8]) -> usize {
        b"id: ".len() + id.len() + self.facts.eol.len()
    }

    /// The lines before the blank one: each with its name, value and end.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'a>> {
        Line::each(&self.bytes[..self.facts.blank])
    }
}

/// A line of a frame, its end included.
pub(super) struct Line<'a> {
    pub(super) whole: &'a [u8],
    content: usize,
}

impl<'a> Line<'a> {
    /// The lines that are complete in `text`.
    pub(super) fn each(text: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let end = memchr2(b'\r', b'\n', rest)?;
            let eol = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
            let (whole, after) = rest.split_at(end + eol);
            rest = after;
            Some(Self { whole, content: end })
        })
    }

    pub(super) fn is_blank(&self) -> bool {
        self.content == 0
    }

    /// Its value is what a client takes for a number.
    pub(super) fn has_digits(&self) -> bool {
        let value = self.value();
        !value.is_empty() && value.iter().all(u8::is_ascii_digit)
    }

    fn value(&self) -> &'a [u8] {
        let line = &self.whole[..self.content];
        &line[Field::value_at(line)..]
    }

    pub(super) fn field(&self) -> Field {
        Field::of(&self.whole[..self.content])
    }
}

/// What a line means to who follows the standard; names are compared byte for byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// A line that starts with a colon.
    Comment,
    /// `data`.
    Data,
    /// `id`.
    Id,
    /// `retry`.
    Retry,
    /// `event`.
    Event,
    /// Anything that a client ignores.
    Other,
}

impl Field {
    /// The field of a line without its end.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        // Told by the first byte first: nearly every line is `data`.
        let (name, known) = match line.first() {
            Some(b':') => return Self::Comment,
            Some(b'd') => (&b"data"[..], Self::Data),
            Some(b'i') => (&b"id"[..], Self::Id),
            Some(b'r') => (&b"retry"[..], Self::Retry),
            Some(b'e') => (&b"event"[..], Self::Event),
            _ => return Self::Other,
        };
        match line.strip_prefix(name) {
            Some([] | [b':', ..]) => known,
            _ => Self::Other,
        }
    }

    /// Where the value of a line begins: behind the first colon and one space, at the end where there is none.
    #[must_use]
    pub fn value_at(line: &[u8]) -> usize {
        match memchr::memchr(b':', line) {
            Some(colon) if line.get(colon + 1) == Some(&b' ') => colon + 2,
            Some(colon) => colon + 1,
            None => line.len(),
        }
    }
}
