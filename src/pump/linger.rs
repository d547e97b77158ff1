//! Pumps that nobody listens to: so many, and the one alone longest gives way to the newest.

use std::{
    collections::BTreeMap,
    future::Future as _,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use crate::metrics::Level;

/// All who linger. Clones are the same crowd.
#[derive(Clone, Debug)]
pub struct Lingerers(Arc<Crowd>);

#[derive(Debug)]
struct Crowd {
    most: AtomicUsize,
    level: Level,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// In the order in which they came to be alone.
    all: BTreeMap<u64, oneshot::Sender<()>>,
}

/// One who lingers, until it is dropped.
#[derive(Debug)]
pub struct Lingerer {
    crowd: Lingerers,
    place: u64,
    evicted: oneshot::Receiver<()>,
}

impl Lingerers {
    /// A crowd of at most `most`; `level` says how many there are.
    #[must_use]
    pub fn new(most: usize, level: Level) -> Self {
        Self(Arc::new(Crowd { most: most.into(), level, waiting: Mutex::default() }))
    }

    /// One more. If they are too many, the one alone longest is told to end.
    #[must_use]
    pub fn join(&self) -> Lingerer {
        let (tell, evicted) = oneshot::channel();
        let mut waiting = self.lock();
        let place = waiting.next;
        waiting.next += 1;
        waiting.all.insert(place, tell);
        self.evict(waiting);
        Lingerer { crowd: self.clone(), place, evicted }
    }

    /// So many may linger from now on; of more the ones alone longest are told to end.
    pub fn set_most(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
        self.evict(self.lock());
    }

    fn evict(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let most = self.0.most.load(Ordering::Relaxed);
        let mut told = Vec::new();
        while waiting.all.len() > most {
            told.extend(waiting.all.pop_first().map(|(_, tell)| tell));
        }
        self.0.level.set(waiting.all.len());
        drop(waiting);
        for tell in told {
            let _ = tell.send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lingerer {
    /// Ready when others were more recent and this one has to end.
    pub fn poll_evicted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.evicted).poll(cx).map(|_| ())
    }
}

impl Drop for Lingerer {
    fn drop(&mut self) {
        let mut waiting = self.crowd.lock();
        waiting.all.remove(&self.place);
        self.crowd.0.level.set(waiting.all.len());
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn the_one_alone_longest_gives_way() {
        let metrics = Metrics::new();
        let crowd = Lingerers::new(2, metrics.lingering.clone());
        let mut cx = Context::from_waker(Waker::noop());
        let (mut first, mut second) = (crowd.join(), crowd.join());
        assert!(first.poll_evicted(&mut cx).is_pending());
        let mut third = crowd.join();
        assert!(first.poll_evicted(&mut cx).is_ready());
        assert!(second.poll_evicted(&mut cx).is_pending());
        drop(third);
        assert_eq!(metrics.lingering.get(), 1);
        third = crowd.join();
        assert!(second.poll_evicted(&mut cx).is_pending() && third.poll_evicted(&mut cx).is_pending());
        crowd.set_most(1);
        assert!(second.poll_evicted(&mut cx).is_ready() && third.poll_evicted(&mut cx).is_pending());
        assert_eq!(metrics.lingering.get(), 1);
        drop((first, second, third));
        assert_eq!(metrics.lingering.get(), 0);
    }
}
