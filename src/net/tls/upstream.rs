//! TLS with the upstream.

use std::{io, path::PathBuf, sync::Arc};

use rustls::{CertificateError, ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{super::protocol::Protocol, Files, TlsFault, pem, protocols, provider};

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

/// How the upstream is to be recognised. Clones are of one.
#[derive(Clone)]
pub struct UpstreamTls {
    any: TlsConnector,
    /// Offers HTTP/1 alone.
    http1: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl UpstreamTls {
    /// Reads the files, or what the system trusts.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them.
    pub fn load(files: &UpstreamFiles) -> Result<Self, TlsFault> {
        let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = versions.map_err(TlsFault::Setup)?.with_root_certificates(roots(files)?);
        let mut config = match &files.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                // Judged with its places; what is made of it again cannot be wrong any more.
                pem::load(own)?;
                let contents = pem::contents(own)?;
                let chain = pem::certificates(&own.certificate, &contents.0)?;
                let key = pem::key(&own.key, &contents.1)?;
                builder.with_client_auth_cert(chain, key).map_err(TlsFault::Setup)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = TlsConnector::from(Arc::new(config.clone()));
        config.alpn_protocols = protocols();
        Ok(Self { any: TlsConnector::from(Arc::new(config)), http1, name: files.name.clone() })
    }

    /// Shakes hands with whoever is at `host`, and agrees on what is spoken: HTTP/1 where `upgrade` is wanted.
    pub(in crate::net) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
        upgrade: bool,
    ) -> io::Result<(TlsStream<TcpStream>, Protocol)> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        let connector = if upgrade { &self.http1 } else { &self.any };
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

fn roots(files: &UpstreamFiles) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    let Some(ca) = &files.ca else {
        // Some that cannot be read are none's fault; all of them are.
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return if roots.is_empty() { Err(TlsFault::NoRoots) } else { Ok(roots) };
    };
    for certificate in pem::certificates(ca, &pem::read(ca)?)? {
        roots
            .add(certificate)
            .map_err(|fault| TlsFault::wrong(ca, fault, "write certificates of authorities in PEM there"))?;
    }
    Ok(roots)
}

impl std::fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamTls").field("name", &self.name).finish_non_exhaustive()
    }
}
