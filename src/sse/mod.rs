//! The format: the event stream of section 9.2 of the HTML Standard, seen by who passes it on.
//!
//! [`Splitter`] finds the frames in any chunking, [`Frame`] knows where the fields of one lie, [`stamp`] writes
//! a frame with an id. Nothing here interprets what it need not: bytes stay as the upstream sent them.

mod frame;
mod quiet;
mod splitter;
mod stamp;

pub use frame::{Field, Frame};
pub use quiet::quiet;
pub use splitter::{Splitter, TooLong};
pub use stamp::{carrier, stamp};
