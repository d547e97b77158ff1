//! A stream of one client's own that goes on in a window which others share.
//!
//! Its client came with an id that the shared window does not hold, so that the upstream was asked for it alone. Once
//! it is at an event that the shared window holds too, both go on alike, and one connection is enough.

use bytes::Bytes;

use crate::window::{Cursor, Writer};

/// Takes a place in the shared window behind an event, by the id that the upstream gave it; none, if it is not there or
/// is another one. It is asked under the lock of the client's own window, and may take those of shared ones.
pub type Onto = Box<dyn Fn(&[u8], &Bytes) -> Option<Cursor> + Send + Sync>;

/// What is known of a stream that may go on in a shared window.
pub(super) struct Moving {
    onto: Onto,
    /// The id of the newest event, if it has one, and one that it alone has.
    newest: Option<Bytes>,
    moved: bool,
}

impl Moving {
    pub(super) fn new(onto: Onto) -> Self {
        Self { onto, newest: None, moved: false }
    }

    /// It goes on elsewhere, and nothing more is to be taken here.
    pub(super) fn has_moved(&self) -> bool {
        self.moved
    }

    /// An event was appended, with this id of the upstream's. A repeated one is no proof of a place, and behind an event
    /// without one it cannot be told where the shared window stands.
    pub(super) fn appended(&mut self, id: Option<&[u8]>, repeated: bool) {
        self.newest = id.filter(|_| !repeated).map(Bytes::copy_from_slice);
    }

    /// Moves, if the shared window holds the newest event; says whether it has.
    pub(super) fn moves(&mut self, writer: &mut Writer<'_>) -> bool {
        if self.moved {
            return true;
        }
        let Some(id) = &self.newest else { return false };
        let Some((_, Some(event))) = writer.window().named_event(id) else { return false };
        if let Some(place) = (self.onto)(id, &event) {
            writer.go_on(place);
            self.moved = true;
        }
        self.moved
    }
}
