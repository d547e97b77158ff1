//! What counting is done by: handles on series that were looked up once.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};

use super::Label;

/// A number that rises and falls. Clones share it.
#[derive(Clone, Debug)]
pub struct Level(pub(super) Gauge);

impl Level {
    /// One more, until the guard is dropped.
    #[must_use = "the level falls again when this is dropped"]
    pub fn hold(&self) -> Held {
        self.0.inc();
        Held(self.0.clone())
    }

    /// Says what the number is now.
    pub fn set(&self, value: usize) {
        self.0.set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// So many more.
    pub fn raise(&self, by: usize) {
        self.0.inc_by(i64::try_from(by).unwrap_or(i64::MAX));
    }

    /// So many less.
    pub fn lower(&self, by: usize) {
        self.0.dec_by(i64::try_from(by).unwrap_or(i64::MAX));
    }

    /// What the number is now.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.get()
    }
}

/// One of a [`Level`]; dropping it takes it away.
#[derive(Debug)]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A [`Level`] for each value of a label. Clones share them.
#[derive(Clone, Debug)]
pub struct Levels<L> {
    all: Each<L, Level>,
}

impl<L: Label> Levels<L> {
    pub(super) fn new(series: impl Fn(L) -> Gauge) -> Self {
        Self { all: Each::new(|label| Level(series(label))) }
    }

    /// One more of this value, until the guard is dropped.
    #[must_use = "the level falls again when this is dropped"]
    pub fn hold(&self, label: L) -> Held {
        self.all.of(label).hold()
    }
}

/// A counter. Clones share it.
#[derive(Clone, Debug)]
pub struct Count(pub(super) Counter);

impl Count {
    /// It was so once more.
    pub fn count(&self) {
        self.0.inc();
    }
}

/// A counter for each value of a label. Clones share them.
#[derive(Clone, Debug)]
pub struct Counts<L> {
    all: Each<L, Counter>,
}

impl<L: Label> Counts<L> {
    pub(super) fn new(series: impl Fn(L) -> Counter) -> Self {
        Self { all: Each::new(series) }
    }

    /// Counts one of this value.
    pub fn count(&self, label: L) {
        self.add(label, 1);
    }

    /// Counts so many of this value.
    pub fn add(&self, label: L, count: u64) {
        self.all.of(label).inc_by(count);
    }

    /// How many of this value were counted.
    #[must_use]
    pub fn get(&self, label: L) -> u64 {
        self.all.of(label).get()
    }
}

/// How long something took. Clones count together.
#[derive(Clone, Debug)]
pub struct Times(pub(super) Histogram);

impl Times {
    /// It took so long once more.
    pub fn observe(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

/// [`Times`] for each value of a label. Clones count together.
#[derive(Clone, Debug)]
pub struct TimesBy<L> {
    all: Each<L, Times>,
}

impl<L: Label> TimesBy<L> {
    pub(super) fn new(series: impl Fn(L) -> Histogram) -> Self {
        Self { all: Each::new(|label| Times(series(label))) }
    }

    /// One of this value took so long.
    pub fn observe(&self, label: L, time: Duration) {
        self.all.of(label).observe(time);
    }
}

/// A series for each value of a label. Clones share them.
#[derive(Clone, Debug)]
struct Each<L, S> {
    all: Arc<[S]>,
    label: PhantomData<L>,
}

impl<L: Label, S> Each<L, S> {
    fn new(series: impl Fn(L) -> S) -> Self {
        Self { all: L::ALL.iter().map(|label| series(*label)).collect(), label: PhantomData }
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many as there are labels")]
    fn of(&self, label: L) -> &S {
        &self.all[label.place()]
    }
}
