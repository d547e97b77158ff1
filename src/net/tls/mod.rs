//! TLS, with clients and with the upstream.

mod certificates;
mod front;
mod pem;
mod upstream;

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::crypto::CryptoProvider;

pub use certificates::Certificates;
pub use front::Front;
pub use upstream::{UpstreamFiles, UpstreamTls, distrust};

/// What is offered by ALPN, in either direction.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

fn protocols() -> Vec<Vec<u8>> {
    PROTOCOLS.map(<[u8]>::to_vec).into()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Tells contents from others, or what keeps them from being read from something else.
fn fingerprint(contents: &Result<impl Hash, TlsFault>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match contents {
        Ok(contents) => contents.hash(&mut hasher),
        Err(fault) => fault.to_string().hash(&mut hasher),
    }
    hasher.finish()
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
#[error("{}; {}", self.wrong(), self.remedy())]
pub enum TlsFault {
    /// It cannot be read.
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        fault: io::Error,
    },
    /// Something in it is wrong, or missing.
    Wrong {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        wrong: String,
        /// What would be right.
        remedy: &'static str,
    },
    /// The system trusts nobody.
    NoRoots,
    /// TLS itself cannot be set up.
    Setup(#[source] rustls::Error),
}

impl Files {
    /// What is wrong with the certificate's file, and with the key's, each as it is now. That both do not belong together
    /// is said of the key.
    #[must_use]
    pub fn faults(&self) -> [Option<TlsFault>; 2] {
        let (certificate, key) = (&self.certificate, &self.key);
        let chain = pem::read(certificate).and_then(|content| pem::certificates(certificate, &content));
        let private = pem::read(key).and_then(|content| pem::key(key, &content));
        if let (Ok(_), Ok(_)) = (&chain, &private) {
            return match pem::contents(self).and_then(|contents| pem::certified(self, &contents)) {
                Ok(_) => [None, None],
                Err(fault) if fault.file() == Some(certificate) && certificate != key => [Some(fault), None],
                Err(fault) => [None, Some(fault)],
            };
        }
        [chain.err(), private.err()]
    }
}

impl TlsFault {
    /// What is wrong, with the file that it is in.
    #[must_use]
    pub fn wrong(&self) -> String {
        match self {
            Self::Unreadable { file, fault } => format!("{}: cannot be read: {fault}", file.display()),
            Self::Wrong { file, wrong, .. } => format!("{}: {wrong}", file.display()),
            Self::NoRoots => "no certificates of authorities were found on this system".to_owned(),
            Self::Setup(_) => "TLS cannot be set up".to_owned(),
        }
    }

    /// What would be right.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "name a file that this user may read",
            Self::Wrong { remedy, .. } => remedy,
            Self::NoRoots => {
                "name a file of them as `ca` in [upstream_tls], or as SSL_CERT_FILE in the environment"
            }
            Self::Setup(_) => "this is not of your making",
        }
    }

    /// The file that it is in, if it is in one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { file, .. } | Self::Wrong { file, .. } => Some(file),
            Self::NoRoots | Self::Setup(_) => None,
        }
    }

    fn in_file(file: &Path, wrong: impl ToString, remedy: &'static str) -> Self {
        Self::Wrong { file: file.to_owned(), wrong: wrong.to_string(), remedy }
    }
}
