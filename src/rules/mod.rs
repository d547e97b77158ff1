//! Rules on events: what an event's type is, and what becomes of the events of that type.
//!
//! Many servers send `data: {"type": "…"}` and no `event` field, so a type is either that field or what a JSON
//! pointer finds in the data. The data is read where it lies, up to the value, and nothing is built of it.

mod globs;
mod guard;
mod json;
mod marks;
mod pointer;

use std::{borrow::Cow, time::Duration};

pub use globs::Globs;
pub use guard::{Closed, Guard, Key, Said};
pub use pointer::{Pointer, PointerError};

use crate::sse::Frame;

/// What the operator says of a stream's events. The default says nothing, and costs nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Where an event's type stands.
    pub kind: Kind,
    /// Types that begin a new generation.
    pub reset: Option<Globs>,
    /// Types that are not asked again once they were answered.
    pub guards: Vec<Guard>,
    /// Types that are delivered live and never retained.
    pub ephemeral: Option<Globs>,
    /// When given, the only types that are retained.
    pub retain: Option<Globs>,
    /// Types that belong to a connection, on shared streams.
    pub hello: Option<Hello>,
    /// Types whose own ids stay where ids are replaced.
    pub keep_ids_of: Option<Globs>,
}

/// What a server says to each new connection: passed to a new client, kept from one that comes back, never retained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The types of its events.
    pub types: Globs,
    /// Where they stand.
    pub kind: Kind,
    /// How many events it has; the last one carries the fence as its id.
    pub events: usize,
    /// How long a client's events wait for it.
    pub wait: Duration,
}

impl Hello {
    /// The event is of this hello, if it comes where a hello does.
    #[must_use]
    pub fn is(&self, frame: &Frame<'_>) -> bool {
        self.kind.of(frame).is_some_and(|kind| self.types.is_match(&kind))
    }
}

/// Where an event's type stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Kind {
    /// In the `event` field; `message` where there is none, as for a client.
    #[default]
    Event,
    /// In the data, where this points. Data that is no JSON, or has nothing there, has no type.
    Data(Pointer),
}

/// What becomes of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// It is given an id and kept for clients that come back.
    Retained,
    /// It is delivered live, without an id of ours, and never again.
    Ephemeral,
    /// It is delivered live and begins a new generation: whoever comes back from before it finds a gap.
    Reset,
    /// It asks what was answered: it is dropped.
    Stale,
}

impl Rules {
    /// The type of an event, if it has one and a rule looks at it.
    #[must_use]
    pub fn kind<'a>(&self, frame: &'a Frame<'_>) -> Option<Cow<'a, str>> {
        if self.look() { self.kind.of(frame) } else { None }
    }

    /// What becomes of an event depends on its type.
    #[must_use]
    pub fn look(&self) -> bool {
        let sets = [&self.reset, &self.ephemeral, &self.retain];
        !self.guards.is_empty() || sets.iter().any(|set| set.is_some())
    }

    /// What becomes of an event of this type, as far as guards let it pass. An event without a type is retained,
    /// whatever `retain` says: what cannot be read is not thrown away.
    #[must_use]
    pub fn class(&self, kind: Option<&str>) -> Class {
        let Some(kind) = kind else { return Class::Retained };
        let is = |set: &Option<Globs>| set.as_ref().map(|set| set.is_match(kind));
        if is(&self.reset) == Some(true) {
            Class::Reset
        } else if is(&self.ephemeral) == Some(true) || is(&self.retain) == Some(false) {
            Class::Ephemeral
        } else {
            Class::Retained
        }
    }

    /// Whether the event's own id stays where ids are replaced.
    #[must_use]
    pub fn keeps_id(&self, frame: &Frame<'_>) -> bool {
        let Some(set) = &self.keep_ids_of else { return false };
        self.kind.of(frame).is_some_and(|kind| set.is_match(&kind))
    }
}

impl Kind {
    /// The type of an event.
    fn of<'a>(&self, frame: &'a Frame<'_>) -> Option<Cow<'a, str>> {
        match self {
            Self::Event => match frame.event() {
                Some(kind) if !kind.is_empty() => Some(String::from_utf8_lossy(kind)),
                _ => Some(Cow::Borrowed("message")),
            },
            Self::Data(pointer) => pointer.find(&frame.data()).map(Cow::Owned),
        }
    }
}
