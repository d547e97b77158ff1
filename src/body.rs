//! The bodies that pass through: what goes to the upstream, what comes from it, and what a client is given.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};

/// Any error of a body or a service, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body on its way, in either direction, streamed under back-pressure.
pub type Relay = UnsyncBoxBody<Bytes, BoxError>;

/// A relayed body without bytes.
#[must_use]
pub fn empty() -> Relay {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A relayed body of these bytes.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Relay {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
