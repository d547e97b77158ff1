//! One client's place, and what it is given there.

use bytes::Bytes;
use smallvec::SmallVec;

/// A client's place in a window. It belongs to the window that gave it out, which must be told when it ends.
#[derive(Debug)]
pub struct Place {
    /// The number of the next event to take.
    pub(super) next: u64,
    /// The ordinal of the next control frame or ephemeral event to take.
    pub(super) ordinal: u64,
    /// The number of the block that this place holds, with all after it.
    pub(super) held: Option<u64>,
    /// It is a client's that stumbles over frames without data.
    pub(super) stumbles: bool,
}

impl Place {
    /// A place before this event and this control frame, which holds nothing yet.
    pub(super) fn new(next: u64, ordinal: u64) -> Self {
        Self { next, ordinal, held: None, stumbles: false }
    }

    /// From now on it is given no frame without data.
    pub fn set_stumbling(&mut self) {
        self.stumbles = true;
    }
}

/// What one take gives: whole frames in order, in few pieces.
#[derive(Debug, Default)]
pub struct Parts {
    /// The bytes.
    pub pieces: SmallVec<[Bytes; 1]>,
    /// How many events are among them.
    pub events: u64,
    /// There is a frame among them that is no retained event and has an id of ours.
    pub ours: bool,
    bytes: usize,
}

impl Parts {
    /// A run of events that were withdrawn is no piece, and neither is a frame of which there is nothing for a client.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    /// How many bytes they are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
