//! Making room when all windows together hold more than they may.

use std::{cmp::Reverse, collections::HashMap, sync::atomic::Ordering};

use super::Registry;
use crate::{metrics::Eviction, pump::now, route::Key, window::LiveWindow};

/// So much of the budget is freed beyond the excess, so that not every append has to look for room.
const SLACK: usize = 32;

impl Registry {
    /// Lets windows give way until the budget holds. Those without clients go before others, and of them the key
    /// that holds most: nobody takes another's memory by asking for many streams. A client that loses what it had
    /// not taken is cut. The newest event of each window stays, unless that is not enough.
    pub(super) fn relieve(&self) {
        // One at a time: who finds another at it has nothing to do.
        if self.0.relieving.swap(true, Ordering::Acquire) {
            return;
        }
        let excess = self.0.budget.excess();
        if excess > 0 {
            let windows = by_turn(self.windows());
            let evictions = &self.0.metrics.evictions;
            let counted = |gave: usize| {
                evictions.add(Eviction::Memory, u64::from(gave > 0));
                gave
            };
            let slack = self.limits().memory / SLACK;
            let wanted = give(&windows, excess + slack, |window, wanted| counted(window.give_way(wanted)));
            if wanted > slack {
                give(&windows, wanted, |window, _| counted(window.clear(now())));
            }
            self.tell_of_relief();
        }
        self.0.relieving.store(false, Ordering::Release);
    }

    /// Under lasting pressure windows give way with every few events.
    fn tell_of_relief(&self) {
        let Some(times) = self.0.gave_way.again(now()) else { return };
        tracing::warn!(
            limit = self.limits().memory,
            setting = "limits.memory",
            still_over = self.0.budget.excess(),
            times,
            "windows gave way: the memory limit was reached"
        );
    }
}

/// Has windows give until so much is free; says how much is still wanted.
fn give(windows: &[LiveWindow], mut wanted: usize, take: impl Fn(&LiveWindow, usize) -> usize) -> usize {
    for window in windows {
        if wanted == 0 {
            break;
        }
        wanted = wanted.saturating_sub(take(window, wanted));
    }
    wanted
}

/// The windows in the order in which they give way.
fn by_turn(windows: Vec<(Key, LiveWindow)>) -> Vec<LiveWindow> {
    let mut holds: HashMap<Key, usize> = HashMap::new();
    for (key, window) in &windows {
        *holds.entry(*key).or_default() += window.cost();
    }
    let mut order: Vec<_> = windows
        .into_iter()
        .map(|(key, window)| {
            (window.readers() > 0, Reverse(holds.get(&key).copied()), Reverse(window.cost()), window)
        })
        .collect();
    order.sort_by_key(|(listened, key, own, _)| (*listened, *key, *own));
    order.into_iter().map(|(.., window)| window).collect()
}
