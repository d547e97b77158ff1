//! `[tls]` and `[upstream_tls]`: which files, judged by whether they are named; what is in them is judged by who reads
//! them.

use std::path::PathBuf;

use super::{
    Config,
    fault::{Place, wrong},
    file::File,
    source::{Source, Table},
    written::{Spanned, Text},
};
use crate::net::{
    Address, Upstream,
    tls::{Files, TlsFault, UpstreamFiles},
};

/// What clients are shown, if anything.
pub(super) fn front(source: Source<'_>, file: &File, listen: &[Address]) -> Option<Files> {
    let written = &file.tls;
    let files = pair(source, "tls", written.certificate.as_ref(), written.key.as_ref());
    let is_there = written.certificate.is_some() || written.key.is_some();
    if !is_there && let Some(address) = listen.iter().find(|address| address.speaks_tls()) {
        let remedy = "write `[tls]` with `certificate = \"file.pem\"` and `key = \"file.pem\"`";
        let wrong = wrong(format!("there is no certificate for `{address}`"), remedy);
        let place =
            if source.name.is_empty() { Place::Nowhere } else { Place::Whole(source.name.to_owned()) };
        source.lacks(&Table::Whole, &["tls"], wrong.at(place));
    }
    files
}

/// How the upstream is recognised, and what it is shown.
pub(super) fn upstream(source: Source<'_>, file: &File) -> UpstreamFiles {
    let written = &file.upstream_tls;
    let name = source.read(written.name.as_ref(), |text| {
        let name = text.to_owned().try_into();
        name.map_err(|_| wrong(format!("`{text}` is no server's name"), "write a host name or an IP address"))
    });
    UpstreamFiles {
        ca: written.ca.as_ref().map(path),
        own: pair(source, "upstream_tls", written.certificate.as_ref(), written.key.as_ref()),
        name,
    }
}

/// Notes what is wrong with the files that are in use, each at the key that names it.
pub(super) fn files(source: Source<'_>, file: &File, config: &Config) {
    let note = |written: Option<&Spanned<Text>>, fault: Option<TlsFault>| {
        if let (Some(written), Some(fault)) = (written, fault) {
            source.refuse(wrong(fault.wrong(), fault.remedy()), written.span());
        }
    };
    let both = |files: Option<&Files>| files.map_or([None, None], Files::faults);
    if config.speaks_tls() {
        let [certificate, key] = both(config.tls.as_ref());
        note(file.tls.certificate.as_ref(), certificate);
        note(file.tls.key.as_ref(), key);
    }
    if matches!(config.upstream, Upstream::Https(_)) {
        let (written, files) = (&file.upstream_tls, &config.upstream_tls);
        let [certificate, key] = both(files.own.as_ref());
        note(written.ca.as_ref(), files.ca_fault());
        note(written.certificate.as_ref(), certificate);
        note(written.key.as_ref(), key);
    }
}

/// HTTP/2 that is spoken without being asked for; where TLS is, it is.
pub(super) fn http2(source: Source<'_>, file: &File, upstream: Option<&Upstream>) -> bool {
    let Some(written) = &file.upstream_http2 else { return false };
    let asked = written.get_ref().0;
    if asked && matches!(upstream, Some(Upstream::Https(_))) {
        let message = "an upstream that TLS is spoken with says by itself whether it speaks HTTP/2";
        source.refuse(wrong(message, "leave it out"), written.span());
    }
    asked
}

fn pair(
    source: Source<'_>,
    table: &str,
    certificate: Option<&Spanned<Text>>,
    key: Option<&Spanned<Text>>,
) -> Option<Files> {
    let (alone, message, other) = match (certificate, key) {
        (None, None) => return None,
        (Some(certificate), Some(key)) => {
            return Some(Files { certificate: path(certificate), key: path(key) });
        }
        (Some(alone), None) => (alone, "a certificate is of no use without its key", "key"),
        (None, Some(alone)) => (alone, "a key is of no use without its certificate", "certificate"),
    };
    // One that is there, and wrong by itself, is a fault already.
    if !source.found.has_left_out(other) {
        let remedy = format!("write `{other} = \"file.pem\"` in [{table}]; it may be the same file");
        source.refuse(wrong(message, remedy), alone.span());
    }
    None
}

fn path(text: &Spanned<Text>) -> PathBuf {
    text.get_ref().as_ref().into()
}
