//! Raw requests that two readers could read in two ways: each is refused, or reaches the upstream once, and says there
//! what respool went by.

mod alone;
mod behind;
mod flooded;
mod floods;
pub(crate) mod frames;
mod malformed;
mod multiplexed;
mod mutated;
mod recorder;
pub(crate) mod spoken;
mod strict;
mod table;

/// A request that shows whether what follows on a connection is read from where it begins.
const CANARY: &str = "GET /canary HTTP/1.1\r\nHost: a\r\n\r\n";
