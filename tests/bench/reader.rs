//! Follows one answer: its head, its chunks, the lines of its events.

use std::panic;

use crate::source::{DATA, HEAD, JSON, json};

/// The bytes of an event's line, its end included.
const LINE: usize = "data: \n".len() + JSON;

#[derive(Default)]
pub(crate) struct Reader {
    /// The head was read.
    pub(crate) open: bool,
    /// The number of the last event.
    pub(crate) last: u64,
    /// The generation of the first id.
    pub(crate) generation: Vec<u8>,
    /// By its head; else all that comes is one.
    is_chunked: bool,
    /// How much of a chunk is to come.
    left: usize,
    /// A line of the head, or one that frames a chunk, that is not complete.
    outer: Vec<u8>,
    /// A line of an event that is not complete.
    inner: Vec<u8>,
}

impl Reader {
    /// One that has everything up to an event.
    pub(crate) fn at(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.outer(bytes);
            } else {
                let (chunk, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= chunk.len();
                bytes = rest;
                self.inner(chunk);
            }
        }
    }

    /// Reads one line of the head or around a chunk, as far as there is one, and gives what is behind it.
    fn outer<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.outer.extend_from_slice(bytes);
            return &[];
        };
        let (line, rest) = bytes.split_at(end + 1);
        if self.outer.is_empty() {
            self.framing(line);
        } else {
            let mut whole = std::mem::take(&mut self.outer);
            whole.extend_from_slice(line);
            self.framing(&whole);
        }
        rest
    }

    fn framing(&mut self, line: &[u8]) {
        let line = line.trim_ascii_end();
        if !self.open {
            let is_refused = line.starts_with(b"HTTP/") && !line.starts_with(b"HTTP/1.1 200");
            assert!(!is_refused, "{}", String::from_utf8_lossy(line));
            self.is_chunked |= line.eq_ignore_ascii_case(b"transfer-encoding: chunked");
            self.open = line.is_empty();
            if self.open && !self.is_chunked {
                self.left = usize::MAX;
            }
        } else if !line.is_empty() {
            let hex = |size, digit: &u8| 16 * size + char::from(*digit).to_digit(16).unwrap() as usize;
            self.left = line.iter().fold(0, hex);
            assert!(self.left > 0, "the stream ended after event {}", self.last);
        }
    }

    /// Reads whole lines and keeps the rest.
    fn inner(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // Nearly all are of this length: to look for their end would be most of what this costs.
            let is_event =
                self.inner.is_empty() && bytes.starts_with(DATA) && bytes.get(LINE - 1) == Some(&b'\n');
            let end = if is_event { Some(LINE - 1) } else { memchr::memchr(b'\n', bytes) };
            let Some(end) = end else {
                return self.inner.extend_from_slice(bytes);
            };
            if self.inner.is_empty() {
                self.line(&bytes[..end]);
            } else {
                let mut whole = std::mem::take(&mut self.inner);
                whole.extend_from_slice(&bytes[..end]);
                self.line(&whole);
            }
            bytes = &bytes[end + 1..];
        }
    }

    fn line(&mut self, line: &[u8]) {
        if let Some(event) = line.strip_prefix(DATA) {
            let number = event[..10].iter().fold(0, |n, digit| 10 * n + u64::from(digit - b'0'));
            assert_eq!(number, self.last + 1, "a gap or a repeat: this is no figure");
            self.last = number;
        } else if self.generation.is_empty() && line.starts_with(b"id: ") {
            self.generation = line[4..].split(|&b| b == b'-').next().unwrap_or_default().to_vec();
        }
    }
}

/// One that would not notice makes no figure, either.
pub(crate) fn notices_gaps_and_repeats() {
    let notices = |numbers: &[u64]| {
        let said = numbers.iter().map(|&n| format!("d0\r\ndata: {}\n\n\r\n", json(n))).collect::<String>();
        let head = String::from_utf8_lossy(HEAD);
        panic::catch_unwind(|| Reader::default().feed(format!("{head}{said}").as_bytes())).is_err()
    };
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let noticed = [[1, 2, 3], [1, 3, 4], [1, 2, 2], [2, 3, 4]].map(|numbers| notices(&numbers));
    panic::set_hook(hook);
    assert_eq!(noticed, [false, true, true, true]);
}
