//! The splitter: any chunking in, whole frames out. Pure and bounded; it copies only what a chunk leaves over.

use std::ops::ControlFlow;

use memchr::{memchr, memchr2};

use super::frame::{Facts, Field, Frame};

const BOM: &[u8] = b"\xEF\xBB\xBF";
/// What an idle splitter may keep allocated; a frame that was larger gives its room back.
const KEPT: usize = 4096;

/// A frame, or a line, is longer than the limit: no more can be made of this stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a frame of more than {limit} bytes (`limits.event`)")]
pub struct TooLong {
    /// The limit, in bytes.
    pub limit: usize,
}

/// Cuts a stream into frames.
///
/// What it gives out, put together, is what came in, less a byte order mark at the start and whatever is still
/// incomplete. Comment lines before the first field of a frame are given out as soon as they are complete. At
/// the stream's end what is left is half a frame: drop the splitter, a client would drop it too.
#[derive(Debug)]
pub struct Splitter {
    carry: Vec<u8>,
    scan: Scan,
    limit: usize,
}

impl Splitter {
    /// A splitter at the start of a stream, that takes frames of up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { carry: Vec::new(), scan: Scan::default(), limit }
    }

    /// Takes frames of up to so many bytes from now on, the one among them that is not complete.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// What it holds of a frame that is not complete.
    #[must_use]
    pub fn carried(&self) -> &[u8] {
        &self.carry
    }

    /// How many bytes it holds of a frame that is not complete.
    #[must_use]
    pub fn held(&self) -> usize {
        self.carry.len()
    }

    /// The stream has ended properly: a last frame that ends in CR waits for no LF any more.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn finish(&mut self, mut sink: impl FnMut(Frame<'_>)) -> Result<(), TooLong> {
        self.scan.crlf = false;
        let used = self.scan.run(&self.carry, self.limit, &mut sink)?;
        self.carry.drain(..used);
        Ok(())
    }

    /// Takes a chunk and hands each frame that it completes to `sink`.
    ///
    /// # Errors
    /// When a frame is too long; the frames before it were handed out, and nothing may be fed any more.
    pub fn feed(&mut self, chunk: &[u8], mut sink: impl FnMut(Frame<'_>)) -> Result<(), TooLong> {
        if self.carry.is_empty() {
            let used = self.scan.run(chunk, self.limit, &mut sink)?;
            self.carry.extend_from_slice(chunk.get(used..).unwrap_or_default());
        } else {
            self.carry.extend_from_slice(chunk);
            let used = self.scan.run(&self.carry, self.limit, &mut sink)?;
            self.carry.drain(..used);
            if self.carry.is_empty() {
                self.carry.shrink_to(KEPT);
            }
        }
        if self.carry.len() > self.limit { Err(TooLong { limit: self.limit }) } else { Ok(()) }
    }
}

/// How far a frame was read. Offsets are from the first byte that was not given out yet.
#[derive(Debug, Default)]
struct Scan {
    /// Where the line begins that is being read.
    line: usize,
    /// Up to where no line end was found in it.
    seen: usize,
    /// A field was seen in this frame: what follows belongs to it, comments too.
    fields: bool,
    facts: Facts,
    /// The start is behind us: no byte order mark is one any more.
    started: bool,
    /// The stream ends lines with CRLF: a CR at the end of a chunk waits for its LF.
    crlf: bool,
    /// A piece was given out that ends in CR: an LF that comes next belongs to that line end.
    lf_due: bool,
}

/// A line that is complete: where its content ends, and where the next one begins.
#[derive(Clone, Copy)]
struct Ended {
    content: usize,
    next: usize,
}

#[expect(
    clippy::indexing_slicing,
    reason = "offsets of the input at hand: each was found in it or is its length"
)]
impl Scan {
    /// Gives out what is complete in `input` and says how much of it that was.
    fn run(
        &mut self,
        input: &[u8],
        limit: usize,
        sink: &mut impl FnMut(Frame<'_>),
    ) -> Result<usize, TooLong> {
        let mut used = match self.start(input) {
            ControlFlow::Continue(used) => used,
            ControlFlow::Break(()) => return Ok(0),
        };
        if self.lf_due && input.len() > used {
            self.lf_due = false;
            if input[used] == b'\n' {
                self.crlf = true;
                used += self.give(&input[used..=used], limit, sink)?;
            }
        }
        loop {
            let rest = &input[used..];
            let Some(line) = self.line_end(rest) else {
                if !self.fields && self.line > 0 {
                    used += self.give(&rest[..self.line], limit, sink)?;
                }
                return Ok(used);
            };
            let content = &rest[self.line..line.content];
            let is_field = content.first().is_some_and(|&first| first != b':');
            if !self.fields && self.line > 0 && (is_field || line.next > limit) {
                // Comment lines before the first field are a piece of their own, or several: the limit is for each,
                // however many came at once. The line is read again after.
                used += self.give(&rest[..self.line], limit, sink)?;
            } else if content.is_empty() {
                self.facts.blank = self.line;
                used += self.give(&rest[..line.next], limit, sink)?;
            } else {
                self.note(content, line);
            }
        }
    }

    /// Passes over a byte order mark; breaks while it cannot be told yet whether there is one.
    fn start(&mut self, input: &[u8]) -> ControlFlow<(), usize> {
        if self.started || input.is_empty() {
            return ControlFlow::Continue(0);
        }
        if input.len() < BOM.len() && BOM.starts_with(input) {
            return ControlFlow::Break(());
        }
        self.started = true;
        ControlFlow::Continue(if input.starts_with(BOM) { BOM.len() } else { 0 })
    }

    /// The end of the line that is being read, if it is there.
    fn line_end(&mut self, rest: &[u8]) -> Option<Ended> {
        let Some(found) = memchr2(b'\r', b'\n', &rest[self.seen..]) else {
            self.seen = rest.len();
            return None;
        };
        let content = self.seen + found;
        match (rest[content], rest.get(content + 1)) {
            (b'\r', Some(b'\n')) => {
                self.crlf = true;
                Some(Ended { content, next: content + 2 })
            }
            (b'\r', None) if !self.ends_piece(rest, content) || self.crlf => {
                self.seen = content;
                None
            }
            (b'\r', None) => {
                self.lf_due = true;
                Some(Ended { content, next: content + 1 })
            }
            _ => Some(Ended { content, next: content + 1 }),
        }
    }

    /// A line that ends at `content` ends a piece: it is blank, or a comment before any field.
    fn ends_piece(&self, rest: &[u8], content: usize) -> bool {
        self.line == content || (!self.fields && rest[self.line] == b':')
    }

    /// Notes what a line means for the frame, and goes to the next.
    fn note(&mut self, content: &[u8], line: Ended) {
        let facts = &mut self.facts;
        let value = Field::value(content);
        let lies = line.content - value.len()..line.content;
        let field = Field::of(content);
        facts.id_last = field == Field::Id;
        match field {
            Field::Data => {
                if facts.data_lines == 0 {
                    facts.data = lies;
                }
                facts.data_lines += 1;
            }
            Field::Event => facts.event = Some(lies),
            Field::Id => {
                facts.id_lines += 1;
                if memchr(0, content).is_none() {
                    facts.id = Some(lies);
                }
            }
            Field::Retry => {
                if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
                    facts.retry = Some(lies);
                }
            }
            Field::Comment | Field::Other => {}
        }
        self.fields |= field != Field::Comment;
        facts.eol = line.content..line.next;
        self.line = line.next;
        self.seen = line.next;
        facts.blank = line.next;
    }

    /// Gives out a piece and begins the next; says how long it was.
    fn give(
        &mut self,
        piece: &[u8],
        limit: usize,
        sink: &mut impl FnMut(Frame<'_>),
    ) -> Result<usize, TooLong> {
        if piece.len() > limit {
            return Err(TooLong { limit });
        }
        sink(Frame { bytes: piece, facts: std::mem::take(&mut self.facts) });
        (self.line, self.seen, self.fields) = (0, 0, false);
        Ok(piece.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the chunks and shows what comes out: events in brackets, other pieces in parentheses.
    fn pieces(chunks: &[&str]) -> String {
        let mut splitter = Splitter::new(64);
        let mut out = String::new();
        for chunk in chunks {
            let result = splitter.feed(chunk.as_bytes(), |frame| {
                let text = String::from_utf8_lossy(frame.bytes()).replace('\r', "R").replace('\n', "N");
                out += &if frame.is_event() { format!("[{text}]") } else { format!("({text})") };
            });
            if result.is_err() {
                out += "!";
                break;
            }
            out += "|";
        }
        out
    }

    #[track_caller]
    fn check(chunks: &[&str], expected: &str) {
        assert_eq!(pieces(chunks), expected, "{chunks:?}");
    }

    #[test]
    fn frames_end_at_blank_lines() {
        check(&["data: a\n\ndata: b\n\n"], "[data: aNN][data: bNN]|");
        check(&["data: a\n", "\n"], "|[data: aNN]|");
        check(&["d", "ata", "\n", "\n"], "|||[dataNN]|");
        check(&["data: a\r\n\r\n"], "[data: aRNRN]|");
        check(&["data: a\r\rdata: b\r\r"], "[data: aRR][data: bRR]|");
    }

    #[test]
    fn what_no_client_dispatches_is_a_control_frame() {
        check(&["id: 7\n\n"], "(id: 7NN)|");
        check(&["event: x\n\n"], "(event: xNN)|");
        check(&["retry: 5\n\n\n\n"], "(retry: 5NN)(N)(N)|");
        check(&["Data: a\n\n"], "(Data: aNN)|");
        check(&[" data: a\n\n"], "( data: aNN)|");
        check(&["data\n\n"], "[dataNN]|");
        check(&["datax\n\n"], "(dataxNN)|");
    }

    #[test]
    fn comment_lines_before_the_first_field_do_not_wait() {
        check(&[": hi\n"], "(: hiN)|");
        check(&[": hi\n\n"], "(: hiNN)|");
        check(&[": hi\n", "\n"], "(: hiN)|(N)|");
        check(&[": a\n: b\ndata: x\n\n"], "(: aN: bN)[data: xNN]|");
        check(&["data: x\n: in the middle\n", "\n"], "|[data: xN: in the middleNN]|");
        check(&[": half"], "|");
    }

    #[test]
    fn a_byte_order_mark_is_dropped_at_the_start_alone() {
        check(&["\u{feff}data: a\n\n"], "[data: aNN]|");
        check(&["\u{feff}\u{feff}data: a\n\n"], "(\u{feff}data: aNN)|");
        check(&["data: a\n\n\u{feff}data: a\n\n"], "[data: aNN](\u{feff}data: aNN)|");
        let mut splitter = Splitter::new(64);
        let mut out = Vec::new();
        for byte in b"\xEF\xBB\xBFdata\n\n" {
            splitter.feed(&[*byte], |frame| out.extend_from_slice(frame.bytes())).unwrap();
        }
        assert_eq!(out, b"data\n\n");
        let mut splitter = Splitter::new(64);
        splitter.feed(BOM, |_| ()).unwrap();
        assert_eq!(splitter.held(), 0, "a whole one waits for nothing");
    }

    #[test]
    fn case_14_a_cr_waits_for_an_lf_only_where_the_stream_uses_crlf() {
        check(&["data: a\r\r", "data: b\r\r"], "[data: aRR]|[data: bRR]|");
        check(&["data: a\r\n\r", "\n"], "|[data: aRNRN]|");
        check(&["data: a\r\n\r", "data: b\r\n\r\n"], "|[data: aRNR][data: bRNRN]|");
        // The first line end of all is split: the LF that comes late is its other half, not a blank line.
        check(&[": c\r", "\n", "data: a\r\n\r\n"], "(: cR)|(N)|[data: aRNRN]|");
        check(&["data: a\n\r", "\ndata: b\n\n"], "[data: aNR]|(N)[data: bNN]|");
        // From that LF on it is known that the stream uses CRLF.
        check(&[": c\r", "\n: d\r", "\n"], "(: cR)|(N)|(: dRN)|");
        // A line that ends no piece waits in any case.
        check(&["data: a\r", "\n\r\n"], "|[data: aRNRN]|");
        check(&["data: a\r", "data: b\r\r"], "|[data: aRdata: bRR]|");
        check(&["data: a\n: c\r", "\n\n"], "|[data: aN: cRNN]|");
    }

    #[test]
    fn at_the_end_a_cr_waits_for_nothing() {
        for (last, complete) in
            [("data: b\r\n\r", true), ("data: b\r", false), (": c\r", true), ("data: b", false)]
        {
            let (mut splitter, mut out) = (Splitter::new(64), Vec::new());
            splitter.feed(b"data: a\r\n\r\n", |_| ()).unwrap();
            splitter.feed(last.as_bytes(), |frame| out.extend_from_slice(frame.bytes())).unwrap();
            assert_eq!(out, b"", "{last:?}");
            splitter.finish(|frame| out.extend_from_slice(frame.bytes())).unwrap();
            assert_eq!(out, if complete { last.as_bytes() } else { b"" }, "{last:?}");
        }
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused() {
        let long = format!("data: {}", "x".repeat(70));
        check(&[&long], "!");
        check(&[&format!("data: a\n\n{long}\n\n")], "[data: aNN]!");
        check(&[long.get(..60).unwrap(), "yyyyyyyyyy"], "|!");
        check(&[&format!(": {}", "x".repeat(70))], "!");
    }

    #[test]
    fn what_is_as_long_as_the_limit_is_taken_and_no_byte_more() {
        let frame = format!("data: {}\n\n", "x".repeat(56));
        check(&[&frame], &format!("[data: {}NN]|", "x".repeat(56)));
        check(&[&frame.replacen("x", "xx", 1)], "!");
        for (length, taken) in [(64, true), (65, false)] {
            let (mut splitter, half) = (Splitter::new(64), vec![b'x'; length]);
            assert_eq!(splitter.feed(&half, |_| ()).is_ok(), taken);
            assert_eq!((splitter.held(), splitter.carried()), (length, &half[..]));
        }
    }

    #[test]
    fn another_limit_counts_for_the_frame_that_is_not_complete() {
        for (limit, taken) in [(9, false), (10, true), (99, true)] {
            let mut splitter = Splitter::new(64);
            splitter.feed(b"data: a", |_| ()).unwrap();
            splitter.set_limit(limit);
            assert_eq!(splitter.feed(b"b\n\n", |_| ()).is_ok(), taken, "{limit}");
        }
    }

    #[test]
    fn comments_that_come_at_once_are_no_frame_together() {
        let comment = format!(": {}\n", "x".repeat(50));
        let shown = format!("(: {}N)", "x".repeat(50));
        check(&[&comment.repeat(2)], &format!("{shown}{shown}|"));
    }

    #[test]
    fn fields_are_found_where_they_lie() {
        let facts = |text: &str| {
            let mut seen = None;
            Splitter::new(99)
                .feed(text.as_bytes(), |f| {
                    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                    seen = Some((f.id().map(text), f.retry().map(text), f.facts.id_lines, f.facts.id_last));
                })
                .unwrap();
            seen.unwrap()
        };
        let some = |s: &str| Some(s.to_owned());
        assert_eq!(facts("id: 7\ndata: a\n\n"), (some("7"), None, 1, false));
        assert_eq!(facts("data\nid:7\nid:  8\n\n"), (some(" 8"), None, 2, true));
        assert_eq!(facts("id: 7\nid: 8\0\ndata\n\n"), (some("7"), None, 2, false));
        assert_eq!(facts("data\nid\n\n"), (some(""), None, 1, true));
        assert_eq!(facts("id : 7\nretry: 010\nretry: x\nretry:\n\n"), (None, some("010"), 0, false));
    }
}
