//! What a connection becomes when both sides agreed to speak something else on it.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::drain::Drain;

/// Carries bytes both ways, in a task of its own, until both sides have ended, either fails, or the drain is over.
pub(super) fn join(client: OnUpgrade, upstream: OnUpgrade, drain: Option<Drain>) {
    tokio::spawn(async move {
        let over = async {
            match drain {
                Some(drain) => drain.over().await,
                None => std::future::pending().await,
            }
        };
        let carried = async {
            let (client, upstream) = tokio::try_join!(client, upstream)?;
            let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
            copy_bidirectional(&mut client, &mut upstream).await?;
            Ok::<_, crate::body::BoxError>(())
        };
        tokio::select! {
            ended = carried => if let Err(fault) = ended {
                tracing::debug!(error = %fault, "an upgraded connection broke");
            },
            () = over => {}
        }
    });
}
