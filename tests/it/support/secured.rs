//! Certificates of a moment, and both sides of TLS.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

/// An authority, and a folder for what it signs, which is removed when it is dropped.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let folder = format!("respool-tls-{}-{}", std::process::id(), MADE.fetch_add(1, SeqCst));
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        // Two are two by their names, too.
        parameters.distinguished_name.push(DnType::CommonName, folder.display().to_string());
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a certificate for these names, and its key, to `NAME.pem` and `NAME.key`.
    pub(crate) fn sign(&self, name: &str, names: &[&str]) {
        self.sign_until(name, names, 4096);
    }

    /// The same, of one that is not good any more when this year begins.
    pub(crate) fn sign_until(&self, name: &str, names: &[&str], year: i32) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(names).unwrap();
        // Without a name of its own it looks as if it had signed itself.
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.not_after = date_time_ymd(year, 1, 1);
        let signed = parameters.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), signed.pem()).unwrap();
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// One who trusts this authority and speaks one of these.
    pub(crate) fn client(&self, protocols: &[&str]) -> ClientConfig {
        let mut config = ClientConfig::builder().with_root_certificates(self.roots()).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// Connects as such a one.
    pub(crate) async fn connect(
        &self,
        address: std::net::SocketAddr,
        protocols: &[&str],
    ) -> std::io::Result<client::TlsStream<TcpStream>> {
        self.connect_by(TcpStream::connect(address).await?, protocols).await
    }

    /// The same, by this connection.
    pub(crate) async fn connect_by(
        &self,
        stream: TcpStream,
        protocols: &[&str],
    ) -> std::io::Result<client::TlsStream<TcpStream>> {
        let config = self.client(protocols);
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A server with the certificate of this name, which speaks these, and wants to see a certificate of ours or not.
    pub(crate) fn acceptor(&self, name: &str, protocols: &[&str], asks: bool) -> TlsAcceptor {
        let chain = read(&self.path(&format!("{name}.pem")));
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        let builder = ServerConfig::builder();
        let builder = if asks {
            let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots())).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn read(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}
