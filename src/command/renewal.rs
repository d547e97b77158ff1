//! Certificates that are renewed while we run.

use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::{
    metrics::{Counts, Renewal},
    net::tls::{Certificates, TlsFault, UpstreamTls},
};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(3);

/// Shows new clients what is in the files, for ever. What cannot be used is not: the former one stays.
pub(super) async fn watch_front(certificates: Certificates, renewals: Counts<Renewal>) {
    loop {
        let looked_at = certificates.clone();
        match renewed(move || looked_at.refresh(), &renewals).await {
            Ok(()) => {
                let file = certificates.files().certificate.display();
                tracing::info!(%file, "new clients are shown the new certificate");
            }
            Err(fault) => {
                tracing::error!(%fault, "the new certificate cannot be used; clients are shown the former one");
            }
        }
    }
}

/// Has new connections to the upstream use what is in the files, in the same way.
pub(super) async fn watch_upstream(tls: UpstreamTls, renewals: Counts<Renewal>) {
    loop {
        let looked_at = tls.clone();
        match renewed(move || looked_at.refresh(), &renewals).await {
            Ok(()) => tracing::info!("new connections to the upstream use the new certificates"),
            Err(fault) => {
                tracing::error!(%fault, "the upstream's new certificates cannot be used; the former ones stay");
            }
        }
    }
}

/// Waits until the files are others, and says what came of them.
async fn renewed(
    refresh: impl Fn() -> Option<Result<(), TlsFault>> + Clone + Send + 'static,
    renewals: &Counts<Renewal>,
) -> Result<(), TlsFault> {
    loop {
        tokio::time::sleep(EVERY).await;
        // Files may be somewhere that takes its time.
        let Ok(Some(renewed)) = spawn_blocking(refresh.clone()).await else { continue };
        renewals.count(if renewed.is_ok() { Renewal::Done } else { Renewal::Failed });
        return renewed;
    }
}
