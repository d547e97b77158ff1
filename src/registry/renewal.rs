//! Another configuration: which routes there are from now on, and what that means for the streams that there are.
//!
//! A stream goes on under the route that its requests come to now, as long as they mean the same stream there. One that
//! no request means any more serves those who are there until they leave, and waits for nobody.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{Limits, Registry, Session, SharedStream, lock};
use crate::{
    metrics::RouteMetrics,
    pump::{Terms, now},
    route::{Key, Route, Routes},
};

/// The routes that there are.
#[derive(Default, Debug)]
pub(super) struct Course {
    routes: Routes,
    /// Their numbers, looked up once.
    numbers: HashMap<String, Arc<RouteMetrics>>,
    /// The streams that are never let go.
    pins: HashSet<Key>,
}

/// A stream that is subscribed whether or not anybody listens.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// Its key.
    pub key: Key,
    /// Its route, which says how.
    pub route: Arc<Route>,
    /// The path that is asked for.
    pub path: Box<str>,
}

impl Registry {
    /// There are these routes from now on, and these streams are [pinned](Self::pin). Those that there are already go on
    /// under them.
    pub fn set_routes(&self, routes: Routes, pinned: &[Pinned]) {
        let pins = pinned.iter().map(|pin| pin.key).collect();
        let numbers = |route: &Arc<Route>| (route.name.clone(), Arc::new(self.0.metrics.route(&route.name)));
        let numbers = routes.iter().map(numbers).collect();
        self.0.course.set(Course { routes, numbers, pins });
        self.renew_all();
    }

    /// These limits apply from now on. Where there is more than that of anything, it gives way at once; streams that are
    /// too many go on.
    pub fn set_limits(&self, limits: Limits) {
        let former = self.limits();
        self.0.limits.set(limits);
        self.0.budget.set_limit(limits.memory);
        self.0.lingerers.set_most(limits.lingering);
        if former.event != limits.event {
            self.renew_all();
        }
        self.relieve();
    }

    fn renew_all(&self) {
        let sessions: Vec<_> = lock(&self.0.sessions).iter().cloned().collect();
        sessions.iter().for_each(|session| self.renew_session(session));
        let shared: Vec<_> = lock(&self.0.shared).values().cloned().collect();
        shared.iter().for_each(|stream| self.renew_shared(stream));
    }

    /// The terms of a stream that a request for this path opens, on a route that may be of another configuration. They
    /// are looked at again when it can be found: the configuration may become another one meanwhile.
    pub(super) fn terms(&self, key: Option<Key>, route: &Arc<Route>, path: &str) -> Terms {
        let metrics = self.numbers(&self.0.course.get(), route);
        let first = Terms { route: route.clone(), metrics, linger: Some(route.linger), event: 0 };
        self.next_terms(&first, key, path)
    }

    /// The terms that come after these. Only a shared stream can be pinned, by its `key`.
    fn next_terms(&self, terms: &Terms, key: Option<Key>, path: &str) -> Terms {
        let course = self.0.course.get();
        let next = course.routes.successor(&terms.route, path);
        let linger = match next {
            Some(_) if key.is_some_and(|key| course.pins.contains(&key)) => None,
            Some(route) => Some(route.linger),
            None => Some(Duration::ZERO),
        };
        let route = next.unwrap_or(&terms.route).clone();
        let metrics = match route.name == terms.route.name {
            true => terms.metrics.clone(),
            false => self.numbers(&course, &route),
        };
        Terms { route, metrics, linger, event: self.limits().event }
    }

    fn numbers(&self, course: &Course, route: &Route) -> Arc<RouteMetrics> {
        let known = course.numbers.get(&route.name).cloned();
        known.unwrap_or_else(|| Arc::new(self.0.metrics.route(&route.name)))
    }

    /// A session that can be found goes by the routes as they are now.
    pub(super) fn renew_session(&self, session: &Session) {
        if session.standing.change(|terms| self.next_terms(terms, None, &session.path)) {
            session.window.rebound(|| session.standing.route().window, now());
        }
    }

    /// A shared stream that can be found goes by the routes as they are now.
    pub(super) fn renew_shared(&self, stream: &SharedStream) {
        if stream.standing.change(|terms| self.next_terms(terms, Some(stream.key), &stream.path)) {
            stream.rebound();
        }
    }
}
