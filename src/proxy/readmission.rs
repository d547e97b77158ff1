//! Asking again whether a client that was let in would still be.

use std::{fmt, task::Context, time::Duration};

use http::StatusCode;
use tokio::{task::AbortHandle, time::sleep};

use super::admission::Admitted;
use crate::{
    dice::Dice,
    drain::Drain,
    fault::Fault,
    net::{BoxFuture, Control},
};

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

/// How a client of a shared stream is asked about again.
pub struct Readmission {
    every: Duration,
    dice: Dice,
    ask: Box<dyn Fn() -> Readmitted + Send>,
}

impl Readmission {
    /// By `ask`, about every `every`: about each client at moments of its own, so that not all who came together are asked
    /// about at once.
    #[must_use]
    pub fn new(every: Duration, dice: Dice, ask: impl Fn() -> Readmitted + Send + 'static) -> Self {
        Self { every, dice, ask: Box::new(ask) }
    }

    /// Asks from now on, in a task of its own, so that what the client does with its socket is no matter. A no revokes what
    /// is on the way by `connection`.
    #[must_use]
    pub fn begin(self, connection: Option<Control>) -> Asking {
        let connection = connection.unwrap_or_else(|| Control::new(Drain::default()));
        connection.doubt();
        let last = Last(connection.clone());
        let task = tokio::spawn(async move {
            self.refused().await;
            drop(last);
        });
        Asking { connection, task: task.abort_handle() }
    }

    /// Resolves when the upstream would let the client in no more.
    async fn refused(self) {
        loop {
            sleep(self.every - self.dice.up_to(self.every / 4)).await;
            // Its connection is dropped at once, and so is what it says.
            if let Ok(Admitted::No(answer)) = (self.ask)().await
                && REVOKED.contains(&answer.status())
            {
                return;
            }
        }
    }
}

/// Revokes when it is dropped: who cannot be asked about any more, since asking has panicked, say, is not let on.
struct Last(Control);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.revoke();
    }
}

/// A client that is asked about. Dropping it gives up what it waits for.
#[derive(Debug)]
pub struct Asking {
    connection: Control,
    task: AbortHandle,
}

impl Asking {
    /// Whether the client may have nothing more; if it may, the task is woken when that changes.
    pub fn poll_revoked(&self, cx: &Context<'_>) -> bool {
        self.connection.poll_revoked(cx)
    }

    /// Whether the client may have nothing more.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.connection.is_revoked()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // First, so that an answer that comes at this moment is none about what comes next by the same connection.
        self.connection.trust();
        self.task.abort();
    }
}

impl fmt::Debug for Readmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readmission")
    }
}
