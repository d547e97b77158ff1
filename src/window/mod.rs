//! The retained tail of a stream.

use std::{num::NonZeroUsize, time::Duration};

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
