//! A stream's guards at work: what they remember, what they do to its window, and what they cost.

use std::{sync::Arc, time::Instant};

use crate::{
    metrics::{Dropped, RouteMetrics},
    route::Route,
    rules::{Class, Closed, Said},
    sse::Frame,
    window::{Budget, Window},
};

/// What a stream remembers for its guards. It is the stream's and outlives a pump, which hands it on to the next one.
#[derive(Debug)]
pub struct Guarding {
    route: Arc<Route>,
    closed: Closed,
    budget: Budget,
    /// What was charged for it.
    charged: usize,
}

impl Guarding {
    /// That of a stream of this route, with what it remembers from `before` if its guards are the same; `None` where the
    /// route has none.
    pub(super) fn under(route: &Arc<Route>, before: Option<Self>, budget: &Budget) -> Option<Self> {
        if let Some(mut before) = before.filter(|before| before.has_guards_of(route)) {
            before.route = route.clone();
            return Some(before);
        }
        let begun =
            || Self { route: route.clone(), closed: Closed::default(), budget: budget.clone(), charged: 0 };
        (!route.rules.guards.is_empty()).then(begun)
    }

    fn has_guards_of(&self, route: &Route) -> bool {
        let (own, its) = (&self.route.rules, &route.rules);
        own.guards == its.guards && own.kind == its.kind
    }

    /// What an event says to the guards; `None`, where it is no matter of theirs.
    pub(super) fn read(&self, kind: &str, frame: &Frame<'_>) -> Option<Said> {
        self.closed.read(&self.route.rules.guards, kind, frame)
    }

    /// What becomes of an event that would be of this class. One that resets the stream is never stale.
    pub(super) fn judge(&self, class: Class, said: &Said, now: Instant) -> Class {
        if class != Class::Reset && self.closed.is_stale(said, now) { Class::Stale } else { class }
    }

    /// The event is in the window, as what it is: what it answers is not asked any more, what it asks can be answered.
    pub(super) fn note(
        &mut self,
        class: Class,
        said: &Said,
        window: &mut Window,
        metrics: &RouteMetrics,
        now: Instant,
    ) {
        if class == Class::Stale {
            return metrics.dropped(Dropped::Live, 1);
        }
        self.closed.close(&self.route.rules.guards, said, now);
        let withdrawn: usize = said.closes.iter().map(|key| window.withdraw(key.tag())).sum();
        metrics.dropped(Dropped::Withdrawn, withdrawn);
        if class == Class::Retained {
            said.opens.iter().for_each(|key| window.note_opening(key.tag()));
        }
    }

    /// Forgets what is over, and has the rest charged. It goes before what clients may have coming, where there is no
    /// memory.
    pub(super) fn settle(&mut self, now: Instant) {
        self.closed.prune(now);
        self.charge();
        let excess = self.budget.excess();
        if excess > 0 {
            self.closed.give_way(excess);
            self.charge();
        }
    }

    fn charge(&mut self) {
        let cost = self.closed.cost();
        self.budget.charge(self.charged, cost);
        self.charged = cost;
    }
}

impl Drop for Guarding {
    fn drop(&mut self) {
        self.budget.charge(self.charged, 0);
    }
}
