//! The certificate that clients are shown, as it stands in its files.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use super::{Files, TlsFault, fingerprint, pem, protocols, provider};

/// A certificate and its key, which are read again when the files are others. Clones are of one.
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    files: Files,
    /// What the files were when they were last looked at.
    seen: Mutex<u64>,
    shown: Arc<Shown>,
    acceptor: TlsAcceptor,
}

/// What new clients are shown.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Certificates {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them, or with both together.
    pub fn load(files: Files) -> Result<Self, TlsFault> {
        let contents = pem::contents(&files)?;
        let certified = Arc::new(pem::certified(&files, &contents)?);
        let shown = Arc::new(Shown(RwLock::new(certified)));
        let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = versions.map_err(TlsFault::Setup)?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(shown.clone());
        config.alpn_protocols = protocols();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let seen = Mutex::new(fingerprint(&Ok(contents)));
        Ok(Self(Arc::new(Inner { files, seen, shown, acceptor })))
    }

    /// Looks at the files; `None`, if they are what they were. What is new is shown to new clients; what is wrong is not,
    /// and is said once. Reads files: not for a task that others wait for.
    #[must_use]
    pub fn refresh(&self) -> Option<Result<(), TlsFault>> {
        let contents = pem::contents(&self.0.files);
        let fingerprint = fingerprint(&contents);
        let before =
            std::mem::replace(&mut *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner), fingerprint);
        if before == fingerprint {
            return None;
        }
        Some(contents.and_then(|contents| pem::certified(&self.0.files, &contents)).map(|certified| {
            *self.0.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
        }))
    }

    /// Where they are.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    pub(in crate::net) fn acceptor(&self) -> TlsAcceptor {
        self.0.acceptor.clone()
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.files).finish()
    }
}
