//! All sessions, and how a request finds them.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use super::Session;
use crate::{id::Generation, route::Key};

/// All sessions: by what the generation in an id of ours names, and by the key that a request has whatever its id.
#[derive(Default)]
pub(super) struct Sessions {
    all: HashMap<Generation, Arc<Session>>,
    by_key: BTreeMap<(Key, Generation), Arc<Session>>,
}

/// The bounds of all generations.
const FIRST: Generation = Generation::Shared(0);
const LAST: Generation = Generation::Session(u128::MAX);

impl Sessions {
    pub(super) fn insert(&mut self, session: &Arc<Session>) {
        self.all.insert(session.name, session.clone());
        self.by_key.insert((session.key, session.name), session.clone());
    }

    pub(super) fn remove(&mut self, session: &Session) {
        self.all.remove(&session.name);
        self.by_key.remove(&(session.key, session.name));
    }

    /// The session that this generation is a run of, if it is one of this key.
    pub(super) fn get(&self, key: Key, generation: Generation) -> Option<&Arc<Session>> {
        self.named(generation).filter(|session| session.key == key)
    }

    /// The session that this generation is a run of, whoever may come back to it.
    pub(super) fn named(&self, generation: Generation) -> Option<&Arc<Session>> {
        self.all.get(&generation.name())
    }

    /// Every session of a key.
    pub(super) fn of(&self, key: Key) -> impl Iterator<Item = &Arc<Session>> {
        self.by_key.range((key, FIRST)..=(key, LAST)).map(|(_, session)| session)
    }

    /// The next few in an order of their own, behind this one or from the first on.
    pub(super) fn few_behind(&self, last: Option<&Session>, few: usize) -> Vec<Arc<Session>> {
        let from = last.map_or(Bound::Unbounded, |last| Bound::Excluded((last.key, last.name)));
        self.by_key.range((from, Bound::Unbounded)).take(few).map(|(_, session)| session.clone()).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.all.values()
    }
}
