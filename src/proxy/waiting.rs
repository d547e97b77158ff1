//! What a client waits for before it has a head, and that a drain does not wait with it.

use crate::{
    fault::Fault,
    metrics::Release,
    net::Control,
    registry::{Answer, Line},
};

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
pub(super) async fn answered(mut line: Line, connection: Option<&Control>) -> Result<Answer, Fault> {
    // Where there is none the stream's task is gone; so is the stream.
    let waited = async { line.answer().await.ok_or_else(|| given_up("the stream was given up")) };
    let answered = until_drain(waited, connection).await;
    line.end(match &answered {
        Ok(Answer::Failed(Fault::Outage(_))) => Release::Cut,
        Ok(_) => Release::Answered,
        Err(_) => Release::Drained,
    });
    answered
}

fn given_up(why: &'static str) -> Fault {
    Fault::Outage(Box::new(Fault::Lost(why.into())))
}
