//! Events that a later one may withdraw, and those that were.

use std::{collections::BTreeSet, ops::Range};

/// What an entry costs, in a tree that is half full: so it is where entries come in order.
const NUMBER: usize = size_of::<u64>() * 5 / 2;
const OPENING: usize = size_of::<(u64, u64)>() * 4;

/// The openings among the events that are here, by what withdraws them.
#[derive(Debug, Default)]
pub(super) struct Openings {
    /// Tag and number.
    by_tag: BTreeSet<(u64, u64)>,
    /// Number and tag.
    by_number: BTreeSet<(u64, u64)>,
    withdrawn: BTreeSet<u64>,
}

impl Openings {
    /// The event `number` is withdrawn by this tag. It may have several.
    pub(super) fn note(&mut self, number: u64, tag: u64) {
        self.by_tag.insert((tag, number));
        self.by_number.insert((number, tag));
    }

    /// Withdraws all events of this tag; says which of them were not withdrawn before, in order.
    pub(super) fn withdraw(&mut self, tag: u64) -> Vec<u64> {
        let of_tag: Vec<_> = self.by_tag.range((tag, 0)..=(tag, u64::MAX)).copied().collect();
        for &(tag, number) in &of_tag {
            self.by_tag.remove(&(tag, number));
            self.by_number.remove(&(number, tag));
        }
        of_tag.into_iter().map(|(_, number)| number).filter(|&number| self.withdrawn.insert(number)).collect()
    }

    /// How many of these events were not withdrawn.
    pub(super) fn left_of(&self, numbers: Range<u64>) -> u64 {
        let all = numbers.end.saturating_sub(numbers.start);
        if self.withdrawn.is_empty() || all == 0 {
            return all;
        }
        all - self.withdrawn.range(numbers).count() as u64
    }

    /// What was before this event is no longer here.
    pub(super) fn forget_before(&mut self, first: u64) {
        while let Some(&(number, tag)) = self.by_number.first()
            && number < first
        {
            self.by_number.pop_first();
            self.by_tag.remove(&(tag, number));
        }
        while self.withdrawn.first().is_some_and(|&number| number < first) {
            self.withdrawn.pop_first();
        }
    }

    /// How many are known of what is no longer here.
    #[cfg(test)]
    pub(super) fn left_before(&self, first: u64) -> usize {
        let openings = self.by_tag.iter().map(|(_, number)| number).chain(self.withdrawn.iter());
        openings.filter(|&&number| number < first).count()
    }

    /// What they cost, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.by_number.len() * OPENING + self.withdrawn.len() * NUMBER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_withdrawn_once_by_whichever_of_its_tags() {
        let mut openings = Openings::default();
        for (number, tag) in [(1, 7), (2, 8), (4, 7), (4, 8)] {
            openings.note(number, tag);
        }
        assert_eq!(openings.left_of(1..5), 4);
        assert_eq!(openings.withdraw(7), [1, 4]);
        assert_eq!((openings.left_of(1..5), openings.left_of(2..4), openings.left_of(4..5)), (2, 2, 0));
        assert_eq!(openings.withdraw(7), [0; 0]);
        assert_eq!(openings.withdraw(8), [2], "the other one was");
        openings.note(6, 7);
        assert_eq!(openings.withdraw(7), [6]);
    }

    #[test]
    fn what_is_no_longer_here_costs_nothing() {
        let mut openings = Openings::default();
        for number in 1..=8 {
            openings.note(number, number % 2);
        }
        openings.withdraw(0);
        let cost = openings.cost();
        openings.forget_before(5);
        assert_eq!(openings.cost(), cost / 2);
        assert_eq!(openings.withdraw(1), [5, 7]);
        openings.forget_before(9);
        assert_eq!((openings.cost(), openings.by_tag.len()), (0, 0));
    }

    #[test]
    fn what_can_be_withdrawn_costs_more_than_what_was() {
        let mut openings = Openings::default();
        openings.note(1, 7);
        openings.note(2, 7);
        openings.note(2, 8);
        assert_eq!(openings.cost(), 3 * OPENING);
        openings.withdraw(7);
        const { assert!(NUMBER < OPENING && NUMBER >= size_of::<u64>() && OPENING >= 2 * size_of::<(u64, u64)>()) };
        assert_eq!(openings.cost(), OPENING + 2 * NUMBER);
    }
}
