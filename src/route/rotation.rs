//! Cookies that the upstream has replaced: which value came of which. Pure: time is an argument.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::jar::Crumb;

/// So many replacements are remembered; of more the oldest go. Each costs about 160 bytes, so that it is 640 KiB at most.
const MOST: usize = 4096;
/// Of so many values one may have come. More have those that say nothing of who sends them.
const FORMER: usize = 8;
/// How many replacements are followed from one value.
const STEPS: usize = 64;

/// Replacements of the last while.
#[derive(Debug)]
pub(super) struct Rotations {
    time: Duration,
    /// In the order in which they came.
    notes: VecDeque<Note>,
    /// What each value came of, and since when.
    former: HashMap<Crumb, Vec<(Crumb, Instant)>>,
}

#[derive(Debug)]
struct Note {
    new: Crumb,
    old: Crumb,
    at: Instant,
}

impl Rotations {
    /// Replacements count for this time.
    #[must_use]
    pub(super) fn new(time: Duration) -> Self {
        Self { time, notes: VecDeque::new(), former: HashMap::new() }
    }

    /// They count for this time from now on.
    pub(super) fn set_time(&mut self, time: Duration) {
        self.time = time;
    }

    /// The upstream has replaced a cookie. One that is replaced by the same again counts from now on.
    pub(super) fn note(&mut self, old: Crumb, new: Crumb, now: Instant) {
        if old == new || self.time.is_zero() {
            return;
        }
        let former = self.former.entry(new).or_default();
        former.retain(|(known, _)| *known != old);
        if former.len() == FORMER {
            former.remove(0);
        }
        former.push((old, now));
        self.notes.push_back(Note { new, old, at: now });
        self.forget(now);
    }

    /// Whether a cookie came of this other one, by however many replacements.
    #[must_use]
    pub(super) fn came_of(&mut self, new: Crumb, old: Crumb, now: Instant) -> bool {
        self.forget(now);
        let mut seen = vec![new];
        let mut at = 0;
        while let Some(value) = seen.get(at).copied() {
            if value == old {
                return true;
            }
            for (former, _) in self.former.get(&value).into_iter().flatten() {
                if seen.len() < STEPS && !seen.contains(former) {
                    seen.push(*former);
                }
            }
            at += 1;
        }
        false
    }

    /// Lets go what no longer counts.
    fn forget(&mut self, now: Instant) {
        let (time, most) = (self.time, MOST);
        let over = |notes: &VecDeque<Note>| {
            let old = |note: &Note| now.saturating_duration_since(note.at) >= time;
            notes.len() > most || notes.front().is_some_and(old)
        };
        while over(&self.notes) {
            let Some(Note { new, old, at }) = self.notes.pop_front() else { return };
            let Some(former) = self.former.get_mut(&new) else { continue };
            // It stands there with a later time if it was noted again.
            former.retain(|known| *known != (old, at));
            if former.is_empty() {
                self.former.remove(&new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replacements `old => new`, each with the second that it came in; whether `new` comes of `old` at a second, where a
    /// replacement counts for ten.
    #[track_caller]
    fn check(notes: &[(u64, u128, u128)], (now, new, old): (u64, u128, u128), expected: bool) {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rotations = Rotations::new(Duration::from_secs(10));
        for (second, old, new) in notes {
            rotations.note(Crumb(*old), Crumb(*new), at(*second));
        }
        assert_eq!(rotations.came_of(Crumb(new), Crumb(old), at(now)), expected, "{notes:?} {new} of {old}");
    }

    #[test]
    fn a_value_comes_of_what_it_replaced() {
        check(&[], (0, 1, 1), true);
        check(&[], (0, 2, 1), false);
        check(&[(0, 1, 2)], (0, 2, 1), true);
        check(&[(0, 1, 2)], (0, 1, 2), false);
        check(&[(0, 1, 2)], (9, 2, 1), true);
        check(&[(0, 1, 2)], (10, 2, 1), false);
    }

    #[test]
    fn a_chain_counts_as_long_as_each_of_its_links() {
        let chain = [(0, 1, 2), (5, 2, 3), (8, 3, 4)];
        check(&chain, (9, 4, 1), true);
        check(&chain, (10, 4, 1), false);
        check(&chain, (10, 4, 2), true);
        check(&chain, (9, 3, 4), false);
        check(&[(0, 1, 2), (4, 2, 1)], (5, 3, 1), false);
    }

    #[test]
    fn one_that_is_noted_again_counts_from_then_on() {
        check(&[(0, 1, 2), (5, 1, 2)], (14, 2, 1), true);
        check(&[(0, 1, 2), (5, 1, 2)], (15, 2, 1), false);
    }

    /// Many have the same value before they are told apart: each new one comes of it, and none of another new one.
    #[test]
    fn values_that_came_of_one_do_not_come_of_each_other() {
        let shared = [(0, 1, 2), (0, 1, 3)];
        check(&shared, (1, 2, 1), true);
        check(&shared, (1, 3, 1), true);
        check(&shared, (1, 3, 2), false);
        check(&shared, (1, 2, 3), false);
    }

    #[test]
    fn a_value_that_replaces_many_comes_of_the_last_few() {
        let notes: Vec<_> = (1..=9).map(|old| (0, old, 100)).collect();
        check(&notes, (1, 100, 1), false);
        check(&notes, (1, 100, 2), true);
        check(&notes, (1, 100, 9), true);
    }

    #[test]
    fn a_circle_ends() {
        let circle = [(0, 1, 2), (0, 2, 3), (0, 3, 1)];
        check(&circle, (1, 2, 1), true);
        check(&circle, (1, 1, 2), true);
        check(&circle, (1, 1, 9), false);
    }

    #[test]
    fn only_so_many_are_kept_and_followed() {
        let chain: Vec<_> = (0..200).map(|n| (0, n, n + 1)).collect();
        check(&chain, (1, 200, 200 - 63), true);
        check(&chain, (1, 200, 200 - 64), false);
        let now = Instant::now();
        let mut rotations = Rotations::new(Duration::from_secs(10));
        for n in 0..20_000_u128 {
            rotations.note(Crumb(n % 7), Crumb(n * 7 / 3 + 10), now);
            // The same again and again is not more.
            rotations.note(Crumb(1), Crumb(2), now);
        }
        assert!(rotations.notes.len() <= MOST && rotations.former.len() <= MOST);
        rotations.forget(now + Duration::from_secs(10));
        assert!(rotations.notes.is_empty() && rotations.former.is_empty());
    }

    #[test]
    fn where_nothing_lingers_nothing_is_remembered() {
        let mut rotations = Rotations::new(Duration::ZERO);
        rotations.note(Crumb(1), Crumb(2), Instant::now());
        assert!(rotations.notes.is_empty() && rotations.former.is_empty());
        let mut rotations = Rotations::new(Duration::MAX);
        rotations.note(Crumb(1), Crumb(2), Instant::now());
        assert!(rotations.came_of(Crumb(2), Crumb(1), Instant::now()));
    }
}
