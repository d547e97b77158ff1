//! What a client waits for before it has a head, and that a drain does not wait with it.

use tokio::sync::oneshot;

use crate::{fault::Fault, net::Control, registry::Answer};

/// Waits for an answer. A drain lets go of who waits: it would only hold up the end.
pub(super) async fn until_drain<T>(
    answer: impl Future<Output = Result<T, Fault>>,
    connection: Option<&Control>,
) -> Result<T, Fault> {
    let begun = async {
        match connection {
            Some(connection) => connection.drain().begun().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        answer = answer => answer,
        () = begun => Err(given_up("the drain began")),
    }
}

/// Waits for a stream to be opened.
pub(super) async fn answered(
    line: oneshot::Receiver<Answer>,
    connection: Option<&Control>,
) -> Result<Answer, Fault> {
    // The stream's task is gone; so is the stream.
    until_drain(async { line.await.map_err(|_| given_up("the stream was given up")) }, connection).await
}

fn given_up(why: &'static str) -> Fault {
    Fault::Outage(Box::new(Fault::Lost(why.into())))
}
