//! How many connections there may be at a time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::seldom::Seldom;

/// Places for connections, whose number can change.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// How many there are, taken ones included.
    all: Mutex<usize>,
    full: Seldom,
}

impl Places {
    pub(super) fn new(all: usize) -> Self {
        let all = bounded(all);
        Self { free: Arc::new(Semaphore::new(all)), all: Mutex::new(all), full: Seldom::new() }
    }

    /// A place, as soon as there is one; `None` once there are no places any more. Dropping the future takes none.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if self.free.available_permits() == 0 {
            self.tell();
        }
        self.free.clone().acquire_owned().await.ok()
    }

    fn tell(&self) {
        let Some(times) = self.full.again(Instant::now()) else { return };
        let limit = *self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let setting = "limits.connections";
        tracing::warn!(
            limit,
            setting,
            times,
            "a client waits: there are as many connections as there may be"
        );
    }

    /// There are so many from now on. Of those that are too many, the ones that are taken go when they are free: before
    /// anybody else gets one. Needs a runtime.
    pub(super) fn set(&self, all: usize) {
        let mut former = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let all = bounded(all);
        self.free.add_permits(all.saturating_sub(*former));
        let surplus = former.saturating_sub(all);
        *former = all;
        let taken = surplus - self.free.forget_permits(surplus);
        if taken > 0 {
            let free = self.free.clone();
            tokio::spawn(async move {
                // An error says that there are no places any more, so that there is none to take away.
                if let Ok(places) = free.acquire_many_owned(u32::try_from(taken).unwrap_or(u32::MAX)).await {
                    places.forget();
                }
            });
        }
    }
}

/// Within what a semaphore can hold, and what can be taken away from it at once.
fn bounded(places: usize) -> usize {
    places.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many can be taken now; the first so many were taken before the number changed, the last ones are given back.
    async fn free(all: usize, taken: usize, changed: &[usize], back: usize) -> usize {
        let places = Places::new(all);
        let take = || places.free.clone().try_acquire_owned();
        let mut held: Vec<_> = (0..taken).map(|_| take().unwrap()).collect();
        changed.iter().for_each(|all| places.set(*all));
        tokio::task::yield_now().await;
        held.truncate(taken - back);
        tokio::task::yield_now().await;
        let new: Vec<_> = std::iter::from_fn(|| take().ok()).take(99).collect();
        new.len()
    }

    #[tokio::test]
    async fn there_are_as_many_as_was_said_last() {
        assert_eq!(free(3, 1, &[5], 0).await, 4);
        assert_eq!(free(3, 1, &[2], 0).await, 1);
        assert_eq!(free(3, 3, &[1], 0).await, 0);
        assert_eq!(free(3, 3, &[1], 2).await, 0, "one is still there");
        assert_eq!(free(3, 3, &[1], 3).await, 1);
        assert_eq!(free(3, 3, &[1, 3], 0).await, 0);
        assert_eq!(free(3, 3, &[1, 3], 2).await, 2);
        assert_eq!(free(3, 3, &[1, 4, 2], 2).await, 1);
    }
}
