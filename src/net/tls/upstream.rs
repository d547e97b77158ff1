//! TLS with the upstream.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rustls::{CertificateError, ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{super::protocol::Protocol, Files, TlsFault, fingerprint, pem, protocols, provider};

/// What differs from what the system trusts and the address says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct UpstreamFiles {
    /// The certificates of the authorities that are trusted, instead of the system's.
    pub ca: Option<PathBuf>,
    /// What we show, where the upstream asks for it.
    pub own: Option<Files>,
    /// The name that its certificate must be for, where that is not the address's.
    pub name: Option<ServerName<'static>>,
}

impl UpstreamFiles {
    /// What is wrong with the file of authorities, as it is now.
    #[must_use]
    pub fn ca_fault(&self) -> Option<TlsFault> {
        let ca = self.ca.as_ref()?;
        pem::read(ca).and_then(|content| given(ca, &content)).err()
    }
}

/// How the upstream is to be recognised, by files which are read again when they are others. Clones are of one.
#[derive(Clone)]
pub struct UpstreamTls(Arc<Inner>);

struct Inner {
    files: UpstreamFiles,
    /// What the files were when they were last looked at.
    seen: Mutex<u64>,
    connectors: RwLock<Connectors>,
}

/// What new connections shake hands by.
#[derive(Clone)]
struct Connectors {
    any: TlsConnector,
    /// Offers HTTP/1 alone.
    http1: TlsConnector,
}

/// What is in the files: the authorities, and our certificate with its key.
#[derive(Hash)]
struct Contents {
    ca: Option<Vec<u8>>,
    own: Option<(Vec<u8>, Vec<u8>)>,
}

impl UpstreamTls {
    /// Reads the files, or what the system trusts.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them.
    pub fn load(files: &UpstreamFiles) -> Result<Self, TlsFault> {
        let contents = contents(files)?;
        let connectors = RwLock::new(connectors(files, &contents)?);
        let seen = Mutex::new(fingerprint(&Ok(contents)));
        Ok(Self(Arc::new(Inner { files: files.clone(), seen, connectors })))
    }

    /// Looks at the files; `None`, if they are what they were, or none is named. New connections use what is new; what is
    /// wrong is not used, and is said once. Reads files: not for a task that others wait for.
    #[must_use]
    pub fn refresh(&self) -> Option<Result<(), TlsFault>> {
        let Inner { files, seen, connectors: used } = &*self.0;
        let contents = contents(files);
        let fingerprint = fingerprint(&contents);
        let before =
            std::mem::replace(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner), fingerprint);
        if before == fingerprint {
            return None;
        }
        Some(contents.and_then(|contents| connectors(files, &contents)).map(|connectors| {
            *used.write().unwrap_or_else(PoisonError::into_inner) = connectors;
        }))
    }

    /// Shakes hands with whoever is at `host`, and agrees on what is spoken: HTTP/1 where `upgrade` is wanted.
    pub(in crate::net) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
        upgrade: bool,
    ) -> io::Result<(TlsStream<TcpStream>, Protocol)> {
        let name = match &self.0.files.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        let Connectors { any, http1 } =
            self.0.connectors.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connector = if upgrade { http1 } else { any };
        let stream = connector.connect(name, stream).await.map_err(Stranger::judged)?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((stream, if is_http2 { Protocol::Http2 } else { Protocol::Http1 }))
    }
}

/// Who is there is not who should be, as far as we can tell: `what is wrong; what would be right`.
#[derive(Debug, thiserror::Error)]
#[error("{fault}; {remedy}")]
struct Stranger {
    fault: rustls::Error,
    remedy: &'static str,
}

impl Stranger {
    /// With the remedy, where there is one on our side.
    fn judged(fault: io::Error) -> io::Error {
        let inner = fault.get_ref().and_then(|inner| inner.downcast_ref());
        let Some(rustls::Error::InvalidCertificate(wrong)) = inner else { return fault };
        let remedy = match wrong {
            // The latter by somebody who has a name of one that is trusted, such as an authority that was made again.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "if it is the right one, name a file with its authority as `ca` in [upstream_tls], or as SSL_CERT_FILE in the environment"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "if it is the right one, write a name that it is for as `name` in [upstream_tls]"
            }
            _ => return fault,
        };
        let wrong = rustls::Error::InvalidCertificate(wrong.clone());
        io::Error::new(fault.kind(), Self { fault: wrong, remedy })
    }
}

/// Why whoever answered is not who should be, where that is the fault.
#[must_use]
pub fn distrust(fault: &io::Error) -> Option<String> {
    let inner = fault.get_ref()?;
    let stranger = inner.downcast_ref().map(|stranger: &Stranger| &stranger.fault);
    let fault = stranger.or_else(|| inner.downcast_ref())?;
    matches!(fault, rustls::Error::InvalidCertificate(_)).then(|| fault.to_string())
}

fn contents(files: &UpstreamFiles) -> Result<Contents, TlsFault> {
    let ca = files.ca.as_deref().map(pem::read).transpose()?;
    Ok(Contents { ca, own: files.own.as_ref().map(pem::contents).transpose()? })
}

fn connectors(files: &UpstreamFiles, contents: &Contents) -> Result<Connectors, TlsFault> {
    let roots = match (&files.ca, &contents.ca) {
        (Some(ca), Some(content)) => given(ca, content)?,
        _ => native()?,
    };
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = versions.map_err(TlsFault::Setup)?.with_root_certificates(roots);
    let mut config = match (&files.own, &contents.own) {
        (Some(own), Some(contents)) => {
            // Judged with its places; what is made of it again cannot be wrong any more.
            pem::certified(own, contents)?;
            let chain = pem::certificates(&own.certificate, &contents.0)?;
            let key = pem::key(&own.key, &contents.1)?;
            builder.with_client_auth_cert(chain, key).map_err(TlsFault::Setup)?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let http1 = TlsConnector::from(Arc::new(config.clone()));
    config.alpn_protocols = protocols();
    Ok(Connectors { any: TlsConnector::from(Arc::new(config)), http1 })
}

/// Those that the system trusts.
fn native() -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    // Some that cannot be read are none's fault; all of them are.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsFault::NoRoots) } else { Ok(roots) }
}

/// Those in a file.
fn given(ca: &Path, content: &[u8]) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(ca, content)? {
        roots.add(certificate).map_err(|fault| {
            TlsFault::in_file(ca, fault, "write certificates of authorities in PEM there")
        })?;
    }
    Ok(roots)
}

impl std::fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamTls").field("files", &self.0.files).finish_non_exhaustive()
    }
}
