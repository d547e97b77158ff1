//! Clients of a shared stream that came with an id of the upstream's: each has a stream of its own, until that is at an
//! event which the shared window holds, too.

use bytes::Bytes;

use super::{Registry, SharedStream, lock, shared::Phase};
use crate::{
    pump::{Onto, now},
    route::{Ids, Key, Route},
    window::Cursor,
};

impl Registry {
    /// What finds a session's client a place in the shared stream of a key. None where clients hold ids of ours, which
    /// the two streams do not have in common.
    pub(super) fn onto(&self, key: Key, route: &Route) -> Option<Onto> {
        let registry = self.clone();
        let onto = move |id: &[u8], event: &Bytes| {
            // The order of locks: a session's window, all shared streams, one of them, its window.
            let stream = lock(&registry.0.shared).get(&key).cloned()?;
            stream.place_behind(id, event)
        };
        (route.ids == Ids::Keep).then(|| Box::new(onto) as Onto)
    }
}

impl SharedStream {
    /// A place behind an event, if the stream is live and holds it.
    fn place_behind(&self, id: &[u8], event: &Bytes) -> Option<Cursor> {
        // Under the lock, so that a generation that nobody listens to is left either with this client or before it.
        let state = lock(&self.state);
        let Phase::Live(live) = &state.phase else { return None };
        live.window.attach_behind(id, event, now())
    }
}
