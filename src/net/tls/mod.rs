//! TLS, with clients and with the upstream.

mod certificates;
mod front;
mod pem;
mod upstream;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::crypto::CryptoProvider;

pub use certificates::Certificates;
pub use front::Front;
pub use upstream::{UpstreamFiles, UpstreamTls};

/// What is offered by ALPN, in either direction.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

fn protocols() -> Vec<Vec<u8>> {
    PROTOCOLS.map(<[u8]>::to_vec).into()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate, with those that lead to who signed it, and its key: two files in PEM, which may be one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// The certificates, the own one first.
    pub certificate: PathBuf,
    /// The private key of that one.
    pub key: PathBuf,
}

/// What is wrong with a file of TLS, and what would be right: `FILE: what is wrong; what would be right`.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// It cannot be read.
    #[error("{}: cannot be read: {fault}; name a file that this user may read", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        fault: io::Error,
    },
    /// Something in it is wrong, or missing.
    #[error("{}: {wrong}; {remedy}", file.display())]
    Wrong {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        wrong: String,
        /// What would be right.
        remedy: &'static str,
    },
    /// The system trusts nobody.
    #[error(
        "no certificates of authorities were found on this system; name a file of them as `ca` in [upstream_tls], or as SSL_CERT_FILE in the environment"
    )]
    NoRoots,
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up; this is not of your making")]
    Setup(#[source] rustls::Error),
}

impl TlsFault {
    fn wrong(file: &Path, wrong: impl ToString, remedy: &'static str) -> Self {
        Self::Wrong { file: file.to_owned(), wrong: wrong.to_string(), remedy }
    }
}
