//! Requests for event streams that are held while the upstream cannot be reached: how many there are, how long they
//! waited, and what came of it.

use std::sync::{Arc, OnceLock, Weak};

use tokio::time::Instant;

use super::{Held, Level, Release, TimesBy};

/// What is counted of an upstream that is away. Clones count together.
#[derive(Clone, Debug)]
pub struct Outages(Arc<Series>);

#[derive(Debug)]
pub(super) struct Series {
    pub(super) held: Level,
    pub(super) times: TimesBy<Release>,
}

impl Outages {
    pub(super) fn new(held: Level, times: TimesBy<Release>) -> Self {
        Self(Arc::new(Series { held, times }))
    }

    /// A request that came at this time, and may come to be held.
    #[must_use]
    pub fn watch(&self, came: Instant) -> Hold {
        Hold(Arc::new(Inner {
            came,
            outages: self.0.clone(),
            held: OnceLock::new(),
            release: OnceLock::new(),
        }))
    }
}

/// A request for an event stream. Until somebody finds that the upstream is away nothing is counted of it; from then
/// on it is held until this is dropped.
#[derive(Debug)]
pub struct Hold(Arc<Inner>);

/// The same, for who finds that the upstream is away and does not know how long the client waits.
#[derive(Clone, Debug)]
pub struct Finding(Weak<Inner>);

#[derive(Debug)]
struct Inner {
    came: Instant,
    outages: Arc<Series>,
    held: OnceLock<Held>,
    release: OnceLock<Release>,
}

impl Inner {
    fn begin(&self) {
        self.held.get_or_init(|| self.outages.held.hold());
    }
}

impl Hold {
    /// The upstream is away: the request is held. More than once is once.
    pub fn begin(&self) {
        self.0.begin();
    }

    /// For who will find out.
    #[must_use]
    pub fn finding(&self) -> Finding {
        Finding(Arc::downgrade(&self.0))
    }

    /// It ends so. One that is dropped otherwise was left by its client.
    pub fn end(self, release: Release) {
        self.0.release.get_or_init(|| release);
    }
}

impl Finding {
    /// The upstream is away: the request is held, if it still waits.
    pub fn begin(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.begin();
        }
    }
}

// Here and not in `Hold`: of one who finds and one who leaves at the same moment, the last one counts.
impl Drop for Inner {
    fn drop(&mut self) {
        if self.held.get().is_some() {
            let release = self.release.get().copied().unwrap_or(Release::Left);
            self.outages.times.observe(release, self.came.elapsed());
        }
    }
}
