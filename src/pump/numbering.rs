//! Which ids events are given.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::{
    id::{Generation, Position},
    route::Ids,
    sse::{Frame, carrier, stamp},
};

/// How long a carrier is without the id.
const CARRIED: usize = "event:~\ndata\nid:\n\n".len();

/// Whether the upstream has used an id twice, which is told once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Repeats {
    // None => ToTell, at the first one.
    None,
    // ToTell => Told.
    ToTell,
    Told,
}

/// Gives ids by a route's mode: `keep` is ours until the upstream sends an id of its own, its own from then on;
/// `replace` is always ours; `hidden` is the upstream's as a page would have it without us, and ours in a frame behind.
#[derive(Debug)]
pub(super) struct Numbering {
    mode: Ids,
    /// The upstream numbers its events, and clients are to see it.
    theirs: bool,
    last: Option<Bytes>,
    /// The id that a page has from the upstream, where it is to see no other.
    page: Vec<u8>,
    repeats: Repeats,
    /// Ours as text; kept for its room.
    text: String,
}

impl Numbering {
    /// Numbers by this mode; `theirs` says that the upstream is known to number its events.
    pub(super) fn new(mode: Ids, theirs: bool) -> Self {
        let theirs = theirs && mode == Ids::Keep;
        Self { theirs, mode, last: None, repeats: Repeats::None, page: Vec::new(), text: String::new() }
    }

    /// The same for a client that came with an `id` of the upstream's, which a page has until the upstream sends another.
    pub(super) fn behind(mode: Ids, id: &[u8]) -> Self {
        let page = if mode == Ids::Hidden { id.trim_ascii().to_vec() } else { Vec::new() };
        Self { page, ..Self::new(mode, true) }
    }

    /// The upstream's ids are what clients come back with, so that the window has to know them.
    pub(super) fn are_names(&self) -> bool {
        self.mode == Ids::Keep
    }

    /// Looks for an id of the upstream's.
    pub(super) fn see(&mut self, frame: &Frame<'_>) {
        if let (Some(id), Ids::Hidden) = (frame.id(), self.mode) {
            self.page.clear();
            self.page.extend_from_slice(id);
        }
        let Some(id) = upstream_id(frame) else { return };
        self.theirs |= self.mode == Ids::Keep;
        if self.last.as_deref() != Some(id) {
            self.last = Some(Bytes::copy_from_slice(id));
        }
    }

    /// The upstream has used an id for another place.
    pub(super) fn note_repeat(&mut self) {
        if self.repeats == Repeats::None {
            self.repeats = Repeats::ToTell;
        }
    }

    /// It has for the first time, and nobody was told yet.
    pub(super) fn has_repeat_to_tell(&mut self) -> bool {
        let to_tell = self.repeats == Repeats::ToTell;
        if to_tell {
            self.repeats = Repeats::Told;
        }
        to_tell
    }

    /// A retained event with its id as clients get it, in memory of its very size. One of whom the upstream's own id
    /// is `kept` has that alone.
    pub(super) fn encode(&mut self, frame: &Frame<'_>, position: Position, kept: bool) -> Bytes {
        let has_own = self.theirs || (kept && upstream_id(frame).is_some());
        self.write(frame, (!has_own).then_some(position), kept)
    }

    /// The event that begins a generation, as clients get it. It has an id in any case: by the one that a client has
    /// from before it could not come back.
    pub(super) fn first(&mut self, frame: &Frame<'_>, generation: Generation, kept: bool) -> Bytes {
        let has_own = (self.theirs || kept) && upstream_id(frame).is_some();
        self.write(frame, (!has_own).then_some(Position { generation, seq: 0 }), kept)
    }

    /// A frame that has no place of its own carries ours all the same: that of the tail, where the frame would take the
    /// client's from it, or shows the page another.
    pub(super) fn gives_back(&self, frame: &Frame<'_>) -> bool {
        match self.mode {
            Ids::Keep => !self.theirs && frame.id().is_some(),
            Ids::Replace => false,
            Ids::Hidden => frame.is_event(),
        }
    }

    /// An ephemeral event as clients get it: without an id of ours, unless it has to be given back.
    pub(super) fn ephemeral(&mut self, frame: &Frame<'_>, tail: Position) -> Bytes {
        let position = self.gives_back(frame).then_some(tail);
        self.write(frame, position, false)
    }

    /// A control frame as clients get it. One that takes the id from them gives ours back, so that they keep their place.
    pub(super) fn control(&mut self, frame: &Frame<'_>, tail: Position) -> Bytes {
        match self.mode {
            Ids::Replace | Ids::Hidden => stamped(frame, false, None, 0).into(),
            Ids::Keep if self.gives_back(frame) => self.encode(frame, tail, false),
            Ids::Keep => Bytes::copy_from_slice(frame.bytes()),
        }
    }

    /// What it costs to know the upstream's last id, in bytes: an id may be as long as a frame.
    pub(super) fn cost(&self) -> usize {
        self.last.as_ref().map_or(0, Bytes::len) + self.page.capacity()
    }

    pub(super) fn last(&self) -> Option<Bytes> {
        self.last.clone()
    }

    /// An event with the id that this mode gives one at this position. Where ours are hidden the page is given back
    /// the id that it has, if the event brings none: it would see ours from the event before.
    fn write(&mut self, frame: &Frame<'_>, position: Option<Position>, kept: bool) -> Bytes {
        self.text.clear();
        if let Some(position) = position {
            // Writing to a String cannot fail.
            let _ = write!(self.text, "{position}");
        }
        if self.mode == Ids::Hidden {
            return hidden(frame, &self.page, &self.text);
        }
        let ours = position.map(|_| self.text.as_bytes());
        stamped(frame, kept || self.mode == Ids::Keep, ours, 0).into()
    }
}

/// An event whose place a page is not to see: with the `page`'s own id, and `ours` in a frame behind it.
pub(super) fn hidden(frame: &Frame<'_>, page: &[u8], ours: &str) -> Bytes {
    let page = frame.id().is_none().then_some(page);
    let mut event = stamped(frame, true, page, CARRIED + ours.len());
    carrier(ours, &mut event);
    event.into()
}

/// A frame with its ids, in memory of its very size.
fn stamped(frame: &Frame<'_>, theirs: bool, id: Option<&[u8]>, more: usize) -> Vec<u8> {
    let room = frame.bytes().len() + id.map_or(0, |id| frame.id_line_len(id));
    let mut out = Vec::with_capacity(room + more);
    stamp(frame, theirs, id, &mut out);
    out
}

/// The upstream's own id in a frame. One that is empty, or nothing but spaces, is none: no client could come back with
/// it.
pub(super) fn upstream_id<'a>(frame: &Frame<'a>) -> Option<&'a [u8]> {
    frame.id().filter(|id| !id.trim_ascii().is_empty())
}
