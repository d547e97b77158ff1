//! The turnstile under a lock, and who waits at it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::{sync::oneshot, task::AbortHandle, time::sleep_until};

use super::turnstile::{Ticket, Turnstile};
use crate::{
    metrics::{Admitting, Held, Levels},
    pump::now,
    route::Key,
    seldom::Seldom,
};

/// So many places, by turns. Clones share them.
#[derive(Clone)]
pub(super) struct Gate(Arc<Inner>);

struct Inner {
    turnstile: Mutex<Turnstile<Key, oneshot::Sender<Place>>>,
    admitting: Levels<Admitting>,
    full: Seldom,
}

/// One of the places; dropping it gives it to whose turn it is.
pub(super) struct Place {
    gate: Gate,
    _asking: Held,
}

/// A place that is given back at some time, or when this is dropped.
pub(super) struct Lease(AbortHandle);

/// Somebody in a queue; dropping it leaves the queue, with the place that was given and not yet taken.
struct Waiting<'a> {
    gate: &'a Gate,
    key: Key,
    ticket: Ticket,
    turn: oneshot::Receiver<Place>,
    _waiting: Held,
}

impl Gate {
    pub(super) fn new(places: usize, admitting: Levels<Admitting>) -> Self {
        Self(Arc::new(Inner {
            turnstile: Mutex::new(Turnstile::new(places)),
            admitting,
            full: Seldom::new(),
        }))
    }

    /// A place, when it is this key's turn. Cancel-safe: dropped while it waits, it has taken nothing.
    pub(super) async fn turn(&self, key: Key) -> Place {
        loop {
            match self.line_up(key) {
                Ok(place) => return place,
                Err(mut waiting) => match (&mut waiting.turn).await {
                    Ok(place) => return place,
                    // Whoever is in a queue is given a place before it is taken out of it.
                    Err(_) => continue,
                },
            }
        }
    }

    /// There are so many places from now on.
    pub(super) fn set_places(&self, places: usize) {
        let next = self.lock().set_places(places);
        next.into_iter().for_each(|next| drop(next.send(self.place())));
    }

    fn line_up(&self, key: Key) -> Result<Place, Waiting<'_>> {
        let mut turnstile = self.lock();
        if turnstile.take() {
            drop(turnstile);
            return Ok(self.place());
        }
        let (give, turn) = oneshot::channel();
        let (ticket, limit) = (turnstile.line_up(key, give), turnstile.places());
        drop(turnstile);
        if let Some(times) = self.0.full.again(now()) {
            let setting = "limits.admissions";
            tracing::info!(
                limit,
                setting,
                times,
                "an admission waits: the upstream is asked about as many as may be"
            );
        }
        Err(Waiting { gate: self, key, ticket, turn, _waiting: self.0.admitting.hold(Admitting::Waiting) })
    }

    fn place(&self) -> Place {
        Place { gate: self.clone(), _asking: self.0.admitting.hold(Admitting::Asking) }
    }

    fn lock(&self) -> MutexGuard<'_, Turnstile<Key, oneshot::Sender<Place>>> {
        self.0.turnstile.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Keeps it until then at most, and says so if it was that long. Whoever holds it may be polled by a client that does not
    /// read: the time passes without it. Needs a runtime.
    pub(super) fn until(self, end: Instant, tell: impl FnOnce() + Send + 'static) -> Lease {
        let task = tokio::spawn(async move {
            sleep_until(end.into()).await;
            drop(self);
            tell();
        });
        Lease(task.abort_handle())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = self.gate.lock().give_back();
        if let Some(next) = next {
            // One that left between this and that drops its place, and so passes it on.
            let _ = next.send(self.gate.place());
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.lock().leave(self.key, self.ticket);
    }
}
