//! Sessions whose clients hold ids of the upstream's.
//!
//! Such an id names no session, and anybody can make one up; so a session is found by it only for a request of the same
//! key from the same address, and only where it cannot be the wrong one: where every session that holds the id goes on
//! with the same bytes.

use std::{cmp::Reverse, sync::Arc};

use super::{Joined, Registry, Session, lock};
use crate::{
    head::Head,
    id::Asked,
    pump::now,
    route::{Address, Key, OnGap},
    window::{Tail, Verdict},
};

/// So many sessions are compared at most. More clients of one address than that with one key are no browser's tabs but
/// come by a proxy which does not say who they are.
const MOST: usize = 64;
/// Of no more bytes than this is it asked whether they are the same.
const MOST_BYTES: usize = 16 << 20;

/// A session that holds the id.
struct Holder {
    session: Arc<Session>,
    /// What there is from the event of the id on, if all of it is there.
    tail: Option<Tail>,
    /// Nothing more will come.
    ended: bool,
}

impl Registry {
    /// A client comes back with an id that may be the upstream's. `None`: it is for the upstream to know.
    #[must_use]
    pub fn find(&self, key: Key, from: Address, asked: &Asked, is_get: bool) -> Option<(Joined, Head)> {
        let holders = self.holders(key, from, asked)?;
        if !go_on_alike(&holders) {
            tracing::debug!(%key, "an id of the upstream's means different places in the sessions of one client");
            return None;
        }
        // The client's own is most likely the one that lost its client last.
        let order = |holder: &&Holder| {
            let left = holder.session.window.left();
            (holder.ended, left.is_none(), Reverse(left))
        };
        let session = &holders.iter().min_by_key(order)?.session;
        // Under the lock, so that a session that is about to be forgotten is either found with its client or not.
        let sessions = lock(&self.0.sessions);
        sessions.get(key, session.name)?;
        session.resume(asked, is_get, OnGap::Fresh).ok()
    }

    /// Every session that holds the id; `None`, where there are too many to say which is meant.
    fn holders(&self, key: Key, from: Address, asked: &Asked) -> Option<Vec<Holder>> {
        let sessions = lock(&self.0.sessions);
        let near: Vec<_> = sessions.of(key).filter(|session| session.from == Some(from)).cloned().collect();
        drop(sessions);
        let holders = near.into_iter().filter_map(|session| Holder::new(session, asked));
        let holders: Vec<_> = holders.take(MOST + 1).collect();
        let bytes: usize = holders.iter().filter_map(|holder| holder.tail.as_ref()).map(Tail::size).sum();
        (holders.len() <= MOST && bytes <= MOST_BYTES).then_some(holders)
    }
}

impl Holder {
    fn new(session: Arc<Session>, asked: &Asked) -> Option<Self> {
        let (after, ended) = session.window.look(|window| match window.judge(asked, now()) {
            Verdict::Resumed { after, .. } => Some((window.tail_from(after), window.ended().is_some())),
            _ => None,
        })?;
        Some(Self { session, tail: after, ended })
    }
}

/// One alone goes on as it does; of several each must have the event of the id, and the same one.
fn go_on_alike(holders: &[Holder]) -> bool {
    let tails: Option<Vec<&Tail>> = holders.iter().map(|holder| holder.tail.as_ref()).collect();
    match (holders, tails) {
        ([_], _) => true,
        (_, None) => false,
        (_, Some(tails)) => {
            let longest = tails.iter().max_by_key(|tail| tail.size());
            longest.is_none_or(|longest| tails.iter().all(|tail| tail.goes_with(longest)))
        }
    }
}
