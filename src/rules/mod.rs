//! Rules on events: what an event's type is, and what becomes of the events of that type.
//!
//! Many servers send `data: {"type": "…"}` and no `event` field, so a type is either that field or what a JSON
//! pointer finds in the data. The data is read where it lies, up to the value, and nothing is built of it.

mod pointer;

use std::borrow::Cow;

use globset::GlobSet;

pub use pointer::{Pointer, PointerError};

use crate::sse::Frame;

/// What the operator says of a stream's events. The default says nothing, and costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Where an event's type stands.
    pub kind: Kind,
    /// Types that are delivered live and never retained.
    pub ephemeral: Option<GlobSet>,
    /// When given, the only types that are retained.
    pub retain: Option<GlobSet>,
    /// Types whose own ids stay where ids are replaced.
    pub keep_ids_of: Option<GlobSet>,
}

/// Where an event's type stands.
#[derive(Clone, Debug, Default)]
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
}

impl Rules {
    /// What becomes of an event. An event without a type is retained, whatever `retain` says: what cannot be read is
    /// not thrown away.
    #[must_use]
    pub fn class(&self, frame: &Frame<'_>) -> Class {
        if self.ephemeral.is_none() && self.retain.is_none() {
            return Class::Retained;
        }
        let Some(kind) = self.kind(frame) else { return Class::Retained };
        let is = |set: &Option<GlobSet>| set.as_ref().map(|set| set.is_match(&*kind));
        match (is(&self.ephemeral), is(&self.retain)) {
            (Some(true), _) | (_, Some(false)) => Class::Ephemeral,
            _ => Class::Retained,
        }
    }

    /// Whether the event's own id stays where ids are replaced.
    #[must_use]
    pub fn keeps_id(&self, frame: &Frame<'_>) -> bool {
        let Some(set) = &self.keep_ids_of else { return false };
        self.kind(frame).is_some_and(|kind| set.is_match(&*kind))
    }

    /// The type of an event.
    fn kind<'a>(&self, frame: &'a Frame<'_>) -> Option<Cow<'a, str>> {
        match &self.kind {
            Kind::Event => match frame.event() {
                Some(kind) if !kind.is_empty() => Some(String::from_utf8_lossy(kind)),
                _ => Some(Cow::Borrowed("message")),
            },
            Kind::Data(pointer) => pointer.find(&frame.data()).map(Cow::Owned),
        }
    }
}
