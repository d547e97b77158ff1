//! What of a control frame can be said without a blank line: to clients that make an event of every one.

use std::ops::Range;

use super::{
    Field,
    frame::{Frame, Line},
};

impl Frame<'_> {
    /// What of this frame a client gets that takes a blank line for an event, data or none: an event as it is, of a
    /// control frame no more than lines.
    #[must_use]
    pub fn quiet(&self) -> Range<usize> {
        if self.is_event() { 0..self.bytes().len() } else { quiet(self.bytes()) }
    }
}

/// The lines of a control frame that mean the same without the blank line behind them: all, where they are comments, a
/// reconnection time (which takes effect at its line) or nothing to anybody. An id or a type would be taken for the next
/// event's; where there is one, the reconnection time alone.
#[must_use]
pub fn quiet(frame: &[u8]) -> Range<usize> {
    let (mut at, mut retry, mut all) = (0, 0..0, true);
    for line in Line::each(frame).take_while(|line| !line.is_blank()) {
        let lies = at..at + line.whole.len();
        at = lies.end;
        match line.field() {
            Field::Comment | Field::Other => {}
            Field::Retry if line.has_digits() => retry = lies,
            Field::Retry => {}
            Field::Id | Field::Event | Field::Data => all = false,
        }
    }
    if all { 0..at } else { retry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frame: &str, expected: &str) {
        assert_eq!(&frame.as_bytes()[quiet(frame.as_bytes())], expected.as_bytes(), "{frame:?}");
    }

    #[test]
    fn comments_lose_their_blank_line() {
        check(": ping\n\n", ": ping\n");
        check(":\r\n: b\r\n\r\n", ":\r\n: b\r\n");
        check(": a\r\r", ": a\r");
        check(": a piece of its own\n", ": a piece of its own\n");
    }

    #[test]
    fn a_reconnection_time_takes_effect_without_one() {
        check("retry: 5\n\n", "retry: 5\n");
        check(": c\nretry: 5\nnobody knows\n\n", ": c\nretry: 5\nnobody knows\n");
        check("id: 1\nretry: 5\r\nretry: 6\nretry: x\nevent: e\n\n", "retry: 6\n");
    }

    #[test]
    fn blank_lines_and_what_would_be_the_next_events_are_withheld() {
        check("\n", "");
        check("\r\n", "");
        check("id: 1\n\n", "");
        check("event: ping\n\n", "");
        check(": c\nid\n\n", "");
        check("", "");
    }
}
