//! The worst of many, in little memory.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Keeps the few items with the highest scores, and counts the others.
#[derive(Debug)]
pub(super) struct Worst<S, T> {
    most: usize,
    seen: usize,
    /// Its top is the least bad one.
    kept: BinaryHeap<Ranked<S, T>>,
}

#[derive(Debug)]
struct Ranked<S, T> {
    score: S,
    item: T,
}

impl<S: Ord, T> Worst<S, T> {
    /// Keeps `most` of them.
    pub(super) fn new(most: usize) -> Self {
        Self { most, seen: 0, kept: BinaryHeap::new() }
    }

    /// Another one; it is made only if it is kept.
    pub(super) fn add(&mut self, score: S, item: impl FnOnce() -> T) {
        self.seen += 1;
        if self.kept.len() < self.most {
            self.kept.push(Ranked { score, item: item() });
        } else if let Some(mut least) = self.kept.peek_mut()
            && score > least.score
        {
            *least = Ranked { score, item: item() };
        }
    }

    /// Those kept, the worst first, and how many there were beside them.
    pub(super) fn ranked(self) -> (Vec<T>, usize) {
        let left_out = self.seen - self.kept.len();
        // The heap's order is the reverse of the scores'.
        (self.kept.into_sorted_vec().into_iter().map(|ranked| ranked.item).collect(), left_out)
    }
}

impl<S: Ord, T> Ord for Ranked<S, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.cmp(&self.score)
    }
}

impl<S: Ord, T> PartialOrd for Ranked<S, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S: Ord, T> PartialEq for Ranked<S, T> {
    fn eq(&self, other: &Self) -> bool {
        self.score == other.score
    }
}

impl<S: Ord, T> Eq for Ranked<S, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(most: usize, scores: &[u32], expected: &[u32], left_out: usize) {
        let mut worst = Worst::new(most);
        scores.iter().for_each(|&score| worst.add(score, || score));
        assert_eq!(worst.ranked(), (expected.to_vec(), left_out));
    }

    #[test]
    fn the_worst_come_first_and_the_others_are_counted() {
        check(3, &[], &[], 0);
        check(3, &[1, 3], &[3, 1], 0);
        check(3, &[1, 5, 2, 4, 3], &[5, 4, 3], 2);
        check(2, &[5, 4, 3, 6], &[6, 5], 2);
        check(0, &[1], &[], 1);
    }

    #[test]
    fn what_is_not_kept_is_not_made() {
        let mut worst = Worst::new(1);
        worst.add(2, || ());
        worst.add(1, || panic!("nobody wants it"));
        assert_eq!(worst.ranked().1, 1);
    }
}
