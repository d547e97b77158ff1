//! Files in PEM, with what is wrong with them.

use std::{fs, path::Path};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::{Files, TlsFault, provider};

const CERTIFICATE: &str = "write certificates in PEM there (-----BEGIN CERTIFICATE-----), the own one first";
const KEY: &str = "write the private key in PEM there (-----BEGIN PRIVATE KEY-----), without a passphrase";

pub(super) fn read(file: &Path) -> Result<Vec<u8>, TlsFault> {
    fs::read(file).map_err(|fault| TlsFault::Unreadable { file: file.to_owned(), fault })
}

/// The certificates in a file's content; at least one.
pub(super) fn certificates(file: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    let all = all.map_err(|fault| TlsFault::in_file(file, format!("no PEM: {fault}"), CERTIFICATE))?;
    if all.is_empty() {
        return Err(TlsFault::in_file(file, "no certificate is in it", CERTIFICATE));
    }
    Ok(all)
}

/// The key in a file's content.
pub(super) fn key(file: &Path, content: &[u8]) -> Result<PrivateKeyDer<'static>, TlsFault> {
    PrivateKeyDer::from_pem_slice(content).map_err(|fault| match fault {
        pem::Error::NoItemsFound => TlsFault::in_file(file, "no private key that can be used is in it", KEY),
        fault => TlsFault::in_file(file, format!("no PEM: {fault}"), KEY),
    })
}

/// Both, as contents of their files, which must belong together.
pub(super) fn certified(files: &Files, contents: &(Vec<u8>, Vec<u8>)) -> Result<CertifiedKey, TlsFault> {
    let chain = certificates(&files.certificate, &contents.0)?;
    let key = key(&files.key, &contents.1)?;
    let loaded = provider().key_provider.load_private_key(key);
    let key = loaded.map_err(|fault| TlsFault::in_file(&files.key, fault, KEY))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let wrong = format!("not the key of the certificate in {}", files.certificate.display());
            Err(TlsFault::in_file(&files.key, wrong, "write both anew, from the same source"))
        }
        Err(fault) => Err(TlsFault::in_file(&files.certificate, fault, CERTIFICATE)),
    }
}

/// Reads both files.
pub(super) fn contents(files: &Files) -> Result<(Vec<u8>, Vec<u8>), TlsFault> {
    Ok((read(&files.certificate)?, read(&files.key)?))
}
