//! Which ids events are given.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::{
    id::Position,
    sse::{Frame, stamp},
};

/// `ids = "keep"`: ours until the upstream sends an id of its own, its own from then on.
#[derive(Debug)]
pub(super) struct Numbering {
    /// The upstream numbers its events.
    theirs: bool,
    last: Option<Bytes>,
    /// Ours as text; kept for its room.
    text: String,
}

impl Numbering {
    pub(super) fn keep(theirs: bool) -> Self {
        Self { theirs, last: None, text: String::new() }
    }

    /// Looks for an id of the upstream's.
    pub(super) fn see(&mut self, frame: &Frame<'_>) {
        let Some(id) = upstream_id(frame) else { return };
        self.theirs = true;
        if self.last.as_deref() != Some(id) {
            self.last = Some(Bytes::copy_from_slice(id));
        }
    }

    /// A frame with its id as clients get it, in memory of its very size.
    pub(super) fn encode(&mut self, frame: &Frame<'_>, position: Position) -> Bytes {
        let ours = (!self.theirs).then(|| {
            self.text.clear();
            // Writing to a String cannot fail.
            let _ = write!(self.text, "{position}");
            self.text.as_bytes()
        });
        let mut event = Vec::with_capacity(frame.bytes().len() + ours.map_or(0, |id| frame.id_line_len(id)));
        stamp(frame, ours, &mut event);
        event.into()
    }

    /// A control frame as clients get it. One that takes the id from them gives ours back, so that they keep their place.
    pub(super) fn control(&mut self, frame: &Frame<'_>, tail: Position) -> Bytes {
        if self.theirs || frame.id().is_none() {
            return Bytes::copy_from_slice(frame.bytes());
        }
        self.encode(frame, tail)
    }

    pub(super) fn last(&self) -> Option<Bytes> {
        self.last.clone()
    }
}

/// The upstream's own id in a frame. One that is empty, or nothing but spaces, is none: no client could come back with
/// it.
pub(super) fn upstream_id<'a>(frame: &Frame<'a>) -> Option<&'a [u8]> {
    frame.id().filter(|id| !id.trim_ascii().is_empty())
}
