//! Making room when all windows together hold more than they may.

use std::{cmp::Reverse, collections::HashMap, sync::atomic::Ordering};

use super::Registry;
use crate::{route::Key, window::LiveWindow};

/// So much of the budget is freed beyond the excess, so that not every append has to look for room.
const SLACK: usize = 32;

impl Registry {
    /// Lets windows give way until the budget holds. Those without clients go before others, and of them the key
    /// that holds most: nobody takes another's memory by asking for many streams. A client that loses what it had
    /// not taken is cut; the newest event of each window stays.
    pub(super) fn relieve(&self) {
        // One at a time: who finds another at it has nothing to do.
        if self.0.relieving.swap(true, Ordering::Acquire) {
            return;
        }
        let excess = self.0.budget.excess();
        if excess > 0 {
            let mut wanted = excess + self.0.limits.memory / SLACK;
            for window in by_turn(self.windows()) {
                wanted = wanted.saturating_sub(window.give_way(wanted));
                if wanted == 0 {
                    break;
                }
            }
            tracing::warn!(
                limit = self.0.limits.memory,
                setting = "limits.memory",
                still_over = self.0.budget.excess(),
                "windows gave way: the memory limit was reached"
            );
        }
        self.0.relieving.store(false, Ordering::Release);
    }
}

/// The windows in the order in which they give way.
fn by_turn(windows: Vec<(Key, LiveWindow)>) -> Vec<LiveWindow> {
    let mut holds: HashMap<Key, usize> = HashMap::new();
    for (key, window) in &windows {
        *holds.entry(*key).or_default() += window.cost();
    }
    let mut order: Vec<_> = windows
        .into_iter()
        .map(|(key, window)| (window.readers() > 0, Reverse(holds[&key]), Reverse(window.cost()), window))
        .collect();
    order.sort_by_key(|(listened, key, own, _)| (*listened, *key, *own));
    order.into_iter().map(|(.., window)| window).collect()
}
