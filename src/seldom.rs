//! What may happen a hundred times a second, and is to be in the log all the same.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For how long nothing is said after a line.
const PAUSE: Duration = Duration::from_secs(5);

/// Counts how often something was so, and says when that is worth a line: the first time at once, then at most once in
/// five seconds. What is untold when it stops is told with the next time.
#[derive(Debug)]
pub struct Seldom(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// Nothing was so yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(State { told: None, untold: 0 }))
    }

    /// It is so once more. How often it was since it was said last, if it is to be said now.
    pub fn again(&self, now: Instant) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).again(now)
    }
}

impl Default for Seldom {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn again(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now < told + PAUSE) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_time_is_told_at_once_and_the_others_together() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        let at = |millis| seldom.again(start + Duration::from_millis(millis));
        let told = [0, 10, 20, 4999, 5000, 5001, 60_000].map(at);
        assert_eq!(told, [Some(1), None, None, None, Some(4), None, Some(2)]);
    }
}
