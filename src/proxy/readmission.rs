//! Asking again whether a client that was let in would still be.

use std::{
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use http::StatusCode;
use tokio::time::sleep;

use super::admission::Admitted;
use crate::{dice::Dice, fault::Fault, net::BoxFuture};

/// What an upstream says that takes a permission back. Any other answer, or none, is a trouble of its own.
const REVOKED: [StatusCode; 5] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::GONE,
    StatusCode::NO_CONTENT,
];

/// The upstream's answer to a client's own request.
pub type Readmitted = BoxFuture<Result<Admitted, Fault>>;

/// Asks at intervals, for as long as it is polled. Dropping it gives up what it waits for.
pub struct Readmission(BoxFuture<()>);

impl Readmission {
    /// Asks by `ask` about every `every`: each client at moments of its own, so that those who came together are not all
    /// asked about at once.
    #[must_use]
    pub fn new(every: Duration, dice: Dice, ask: impl Fn() -> Readmitted + Send + 'static) -> Self {
        Self(Box::pin(async move {
            loop {
                sleep(every - dice.up_to(every / 4)).await;
                // Its connection is dropped at once, and so is what it says.
                if let Ok(Admitted::No(answer)) = ask().await
                    && REVOKED.contains(&answer.status())
                {
                    return;
                }
            }
        }))
    }

    /// Ready when the upstream would let the client in no more. Not to be asked again then.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Readmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readmission")
    }
}
