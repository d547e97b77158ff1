//! Certificates that are renewed while we run.

use std::time::Duration;

use crate::{
    metrics::{Counts, Renewal},
    net::tls::Certificates,
};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(3);

/// Shows new clients what is in the files, for ever. What cannot be used is not: the former one stays.
pub(super) async fn watch(certificates: Certificates, renewals: Counts<Renewal>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let looked_at = certificates.clone();
        // Files may be somewhere that takes its time.
        let Ok(Some(renewed)) = tokio::task::spawn_blocking(move || looked_at.refresh()).await else {
            continue;
        };
        match renewed {
            Ok(()) => {
                renewals.count(Renewal::Done);
                let file = certificates.files().certificate.display();
                tracing::info!(%file, "new clients are shown the new certificate");
            }
            Err(fault) => {
                renewals.count(Renewal::Failed);
                tracing::error!(%fault, "the new certificate cannot be used; clients are shown the former one");
            }
        }
    }
}
