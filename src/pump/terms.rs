//! What a stream goes by, which another configuration may change while it lives.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{metrics::RouteMetrics, route::Route};

/// What a stream goes by.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What the operator says of it.
    pub route: Arc<Route>,
    /// Its route's numbers.
    pub metrics: Arc<RouteMetrics>,
    /// How long it is kept for a client that may come back; `None` is for ever.
    pub linger: Option<Duration>,
    /// Its largest frame, in bytes.
    pub event: usize,
}

impl Terms {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.route, &other.route) && (self.linger, self.event) == (other.linger, other.event)
    }
}

/// The terms of one stream as they stand. Clones are those of the same stream.
#[derive(Clone, Debug)]
pub struct Standing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    terms: Mutex<Terms>,
    /// Counts the changes, so that a pump need not take the lock to know of none.
    version: AtomicU64,
}

impl Standing {
    /// Those that a stream begins with.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self(Arc::new(Inner { terms: Mutex::new(terms), version: AtomicU64::new(0) }))
    }

    /// The terms as they are now.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.lock().clone()
    }

    /// The route as it is now.
    #[must_use]
    pub fn route(&self) -> Arc<Route> {
        self.lock().route.clone()
    }

    /// Nothing lets it go.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.lock().linger.is_none()
    }

    /// Puts others in the place of those that are; says whether they differ. `next` is asked under the lock, so that of
    /// two changes the one counts that knows more; it may take no lock under which this one is taken.
    pub fn change(&self, next: impl FnOnce(&Terms) -> Terms) -> bool {
        let mut terms = self.lock();
        let next = next(&terms);
        let differs = !next.is(&terms);
        if differs {
            *terms = next;
            self.0.version.fetch_add(1, Ordering::Release);
        }
        differs
    }

    /// How often they have changed. Takes no lock.
    pub(super) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Terms> {
        self.0.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
