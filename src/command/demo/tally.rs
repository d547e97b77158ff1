//! Counting: what is missing, repeated or out of order in the numbers that somebody received. Pure.

use std::{collections::BTreeSet, fmt};

/// How many missing numbers are remembered, so that one that comes late is told from one that comes twice.
const REMEMBERED: usize = 10_000;

/// What came of a sequence in which each number follows the one before it. The first one received is where it
/// begins: what came before it was never asked for.
#[derive(Clone, Default, Debug)]
pub(super) struct Tally {
    /// Numbers received, repeated ones included.
    pub(super) received: u64,
    /// Numbers between the first one and the highest that never came.
    pub(super) missing: u64,
    /// Numbers that had come before.
    pub(super) repeated: u64,
    /// Numbers that came after a higher one, for the first time.
    pub(super) late: u64,
    span: Option<Span>,
    holes: BTreeSet<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    first: u64,
    last: u64,
}

impl Tally {
    /// Counts a number that was received.
    pub(super) fn receive(&mut self, number: u64) {
        self.received += 1;
        let Some(Span { first, last }) = self.span else {
            self.span = Some(Span { first: number, last: number });
            return;
        };
        if number > last {
            self.reach(number - 1);
            self.span = Some(Span { first, last: number });
        } else if self.holes.remove(&number) {
            self.missing -= 1;
            self.late += 1;
        } else if number < first {
            self.late += 1;
        } else {
            self.repeated += 1;
        }
    }

    /// Counts as missing whatever up to `number` has not come: it was sent, and there was time for it.
    pub(super) fn reach(&mut self, number: u64) {
        let Some(span) = &mut self.span else { return };
        self.missing += number.saturating_sub(span.last);
        self.holes.extend((span.last + 1..=number).rev().take(REMEMBERED));
        while self.holes.len() > REMEMBERED {
            self.holes.pop_first();
        }
        span.last = span.last.max(number);
    }

    /// The highest number, or zero.
    #[must_use]
    pub(super) fn last(&self) -> u64 {
        self.span.map_or(0, |span| span.last)
    }

    /// The first number and the highest, if every one between them came once and in order.
    #[must_use]
    pub(super) fn whole(&self) -> Option<(u64, u64)> {
        let faults = self.missing + self.repeated + self.late;
        self.span.filter(|_| faults == 0).map(|span| (span.first, span.last))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, missing, repeated, .. } = self;
        write!(f, "{received} received, {missing} missing, {repeated} repeated")?;
        if self.late > 0 {
            write!(f, ", {} out of order", self.late)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(numbers: &[u64], said: &str, whole: Option<(u64, u64)>) {
        let mut tally = Tally::default();
        numbers.iter().for_each(|&number| tally.receive(number));
        assert_eq!((tally.to_string().as_str(), tally.whole()), (said, whole), "{numbers:?}");
    }

    #[test]
    fn every_number_once_and_in_order_is_whole() {
        check(&[], "0 received, 0 missing, 0 repeated", None);
        check(&[7], "1 received, 0 missing, 0 repeated", Some((7, 7)));
        check(&[7, 8, 9], "3 received, 0 missing, 0 repeated", Some((7, 9)));
    }

    #[test]
    fn what_was_passed_over_is_missing() {
        check(&[7, 9], "2 received, 1 missing, 0 repeated", None);
        check(&[1, 5, 6, 10], "4 received, 6 missing, 0 repeated", None);
    }

    #[test]
    fn what_comes_twice_is_repeated() {
        check(&[1, 1], "2 received, 0 missing, 1 repeated", None);
        check(&[1, 2, 3, 2, 3, 4], "6 received, 0 missing, 2 repeated", None);
    }

    #[test]
    fn what_comes_late_is_not_missing_and_not_repeated() {
        check(&[1, 3, 2], "3 received, 0 missing, 0 repeated, 1 out of order", None);
        check(&[2, 1], "2 received, 0 missing, 0 repeated, 1 out of order", None);
        check(&[1, 3, 2, 2], "4 received, 0 missing, 1 repeated, 1 out of order", None);
    }

    #[test]
    fn what_is_not_there_at_the_end_is_missing() {
        let mut tally = Tally::default();
        tally.reach(4);
        assert_eq!((tally.missing, tally.whole()), (0, None));
        tally.receive(5);
        tally.reach(3);
        tally.reach(5);
        assert_eq!(tally.whole(), Some((5, 5)));
        tally.reach(8);
        assert_eq!((tally.missing, tally.whole()), (3, None));
    }

    #[test]
    fn memory_is_bounded() {
        let mut tally = Tally::default();
        tally.receive(1);
        tally.receive(1 << 40);
        tally.receive(1 << 41);
        assert_eq!((tally.holes.len(), tally.missing), (REMEMBERED, (1 << 41) - 3));
    }
}
