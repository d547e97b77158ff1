//! The retained tail of a stream, and the cursors that read it.
//!
//! [`Window`] is the pure part: what is kept, what a returning client may have, what a place is owed. It reads
//! no clock and takes no lock. [`LiveWindow`] puts a lock and a way to wake around it; [`Cursor`] is one client's
//! place in it. Live is replay that has caught up: there is one path, and no hand-over on it.

mod block;
mod blocks;
mod cursor;
mod keep;
mod names;
mod openings;
mod passing;
mod place;
mod sync;
mod tail;
mod verdict;

use std::{num::NonZeroUsize, time::Duration};

pub use cursor::{Audience, Budget, Cursor, LiveWindow, Reader, Step, WeakWindow, Writer};
pub use keep::{Extent, Lag, Past, Window};
pub use passing::Passed;
pub use place::{Parts, Place};
pub use tail::Tail;
pub use verdict::{End, Gap, Verdict};

/// What a returning client may have: the newest events within all three bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// How many events.
    pub events: NonZeroUsize,
    /// How many bytes of events, as they are sent.
    pub bytes: NonZeroUsize,
    /// How old, since the event came.
    pub age: Duration,
}
