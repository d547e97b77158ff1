//! The bodies that pass through: what goes to the upstream, what comes from it, and what a client is given.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
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

/// The same body, with something that is dropped when it is.
#[must_use]
pub fn keeping(body: Relay, kept: impl Send + 'static) -> Relay {
    Keeping { body, _kept: Box::new(kept) }.boxed_unsync()
}

struct Keeping {
    body: Relay,
    _kept: Box<dyn Send>,
}

impl Body for Keeping {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
