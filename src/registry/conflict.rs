//! An upstream that allows one connection at a time refuses a client that comes back while we hold its former one.

use super::{Joined, Registry, lock};
use crate::{
    head::Head,
    id::Asked,
    pump::now,
    route::{Key, OnGap},
};

impl Registry {
    /// The upstream refused a new client because of a connection that there is already. If that is one of a session of
    /// this key without a client, the new one goes on where the former one was left; of several, the session that was
    /// left last. Where its place is gone, that is a gap. Of two that come at once the second finds none.
    #[must_use]
    pub fn take_over(&self, key: Key, asked: &Asked, on_gap: OnGap) -> Option<(Joined, Head)> {
        // Under the lock, so that a session that is about to be forgotten is either found with its client or not.
        let sessions = lock(&self.0.sessions);
        // What it is refused for is a connection of its own kind, and not the answer to a POST.
        let alike = sessions.of(key).filter(|session| session.by_get);
        let live = alike.filter(|session| session.window.look(|window| window.ended().is_none()));
        let left = live.filter_map(|session| Some((session.window.left()?, session)));
        let (_, session) = left.max_by_key(|(left, _)| *left)?;
        // Its own id says better what it has than what was written to a connection that may have been dead.
        let is_its_own = asked.position().is_some_and(|position| position.generation.name() == session.name);
        let (verdict, cursor) = session.window.take_over(is_its_own.then_some(asked), now())?;
        Some((Joined::new(verdict, cursor, on_gap), session.head.clone()))
    }
}
