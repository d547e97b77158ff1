//! How often something may be done: so often at once, and again as time goes by.

use std::time::Duration;

use tokio::time::Instant;

/// What is left of it. Reads no clock.
#[derive(Debug)]
pub(super) struct Allowance {
    most: u32,
    left: u32,
    /// After which there is one more.
    every: Duration,
    /// Until when what is left was counted.
    counted: Instant,
}

impl Allowance {
    /// So many at once, and one more after each such time.
    pub(super) fn new(most: u32, every: Duration, now: Instant) -> Self {
        Self { most, left: most, every, counted: now }
    }

    /// One less. Says whether there was one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            self.refill(now);
        }
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        true
    }

    /// So many more, as far as there is room.
    pub(super) fn give(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.most);
    }

    /// Counted only when there is none left: nobody has more than `most` since then.
    fn refill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.counted);
        let more = since.as_nanos().checked_div(self.every.as_nanos()).unwrap_or(0);
        self.give(u32::try_from(more).unwrap_or(u32::MAX));
        if more > 0 {
            self.counted = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn there_are_so_many_at_once_and_one_more_after_each_time() {
        let now = Instant::now();
        let mut allowance = Allowance::new(3, SECOND, now);
        let mut taken = |at: Duration| (0..10).filter(|_| allowance.take(now + at)).count();
        assert_eq!(taken(Duration::ZERO), 3);
        assert_eq!(taken(SECOND / 2), 0);
        assert_eq!(taken(SECOND * 2), 2);
        assert_eq!(taken(SECOND * 2), 0);
        assert_eq!(taken(SECOND * 3600), 3, "no more than at first");
        assert_eq!(taken(Duration::ZERO), 0, "a clock that goes back");
    }

    #[test]
    fn what_is_given_is_there_as_far_as_there_is_room() {
        let now = Instant::now();
        let mut allowance = Allowance::new(3, SECOND, now);
        assert!(allowance.take(now));
        allowance.give(100);
        assert_eq!((0..10).filter(|_| allowance.take(now)).count(), 3);
    }
}
