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
        self.at(self.facts.event.as_ref())
    }

    /// The data that a client is given: the values of all `data` lines, with an LF between them.
    #[must_use]
    pub fn data(&self) -> Cow<'a, [u8]> {
        if self.facts.data_lines <= 1 {
            return Cow::Borrowed(self.part(&self.facts.data));
        }
        let lines = self.lines().filter(|line| line.field() == Field::Data);
        let values: Vec<&[u8]> = lines.map(|line| line.value()).collect();
        Cow::Owned(values.join(&b'\n'))
    }

    /// The id that a client would take from it, as opaque bytes; `Some` of nothing where the id is reset.
    #[must_use]
    pub fn id(&self) -> Option<&'a [u8]> {
        self.at(self.facts.id.as_ref())
    }

    /// The reconnection time that a client would take from it: ASCII digits, as sent.
    #[must_use]
    pub fn retry(&self) -> Option<&'a [u8]> {
        self.at(self.facts.retry.as_ref())
    }

    /// How long the line is that [`stamp`](super::stamp) writes for this id.
    #[must_use]
    pub fn id_line_len(&self, id: &[u8]) -> usize {
        b"id: ".len() + id.len() + self.facts.eol.len()
    }

    /// The bytes at this place, which is one of the frame's own.
    pub(super) fn part(&self, at: &Range<usize>) -> &'a [u8] {
        self.bytes.get(at.clone()).unwrap_or_default()
    }

    fn at(&self, at: Option<&Range<usize>>) -> Option<&'a [u8]> {
        at.map(|at| self.part(at))
    }

    /// The lines before the blank one: each with its name, value and end.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'a>> {
        Line::each(self.bytes.get(..self.facts.blank).unwrap_or(self.bytes))
    }
}

/// A line of a frame, its end included.
pub(super) struct Line<'a> {
    pub(super) whole: &'a [u8],
    content: &'a [u8],
}

impl<'a> Line<'a> {
    /// The lines that are complete in `text`.
    pub(super) fn each(text: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let end = memchr2(b'\r', b'\n', rest)?;
            let (content, after) = rest.split_at(end);
            let eol = if after.starts_with(b"\r\n") { 2 } else { 1 };
            let (whole, after) = rest.split_at(end + eol);
            rest = after;
            Some(Self { whole, content })
        })
    }

    pub(super) fn is_blank(&self) -> bool {
        self.content.is_empty()
    }

    /// Its value is what a client takes for a number.
    pub(super) fn has_digits(&self) -> bool {
        let value = self.value();
        !value.is_empty() && value.iter().all(u8::is_ascii_digit)
    }

    fn value(&self) -> &'a [u8] {
        Field::value(self.content)
    }

    pub(super) fn field(&self) -> Field {
        Field::of(self.content)
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

    /// The value of a line: what is behind the first colon and one space, nothing where there is none.
    #[must_use]
    pub fn value(line: &[u8]) -> &[u8] {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        value.strip_prefix(b" ").unwrap_or(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Splitter;

    #[track_caller]
    fn check(text: &str, event: Option<&str>, data: &str) {
        let mut seen = None;
        let own = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let look = |frame: super::Frame<'_>| seen = Some((frame.event().map(own), own(&frame.data())));
        Splitter::new(99).feed(text.as_bytes(), look).unwrap();
        assert_eq!(seen.unwrap(), (event.map(str::to_owned), data.to_owned()), "{text:?}");
    }

    #[test]
    fn the_data_is_all_of_its_lines() {
        check("data: a\n\n", None, "a");
        check("data\n\n", None, "");
        check("data:a\ndata:  b\n\n", None, "a\n b");
        check("data: a\r\n: c\r\ndata\r\nevent: x\r\ndata: b\r\n\r\n", Some("x"), "a\n\nb");
        check("id: 7\n\n", None, "");
    }

    #[test]
    fn the_last_type_counts() {
        check("event: x\nevent: y\ndata: a\n\n", Some("y"), "a");
        check("event: x\nevent\ndata: a\n\n", Some(""), "a");
    }
}
