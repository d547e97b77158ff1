//! Where a stream is: an address, a path, and the headers to ask with.

use std::{fmt, io, str::FromStr, sync::Arc};

use http::{HeaderName, HeaderValue, Uri, header, uri::PathAndQuery};

use crate::net::{
    Dial, Dialer, Upstream,
    tls::{UpstreamFiles, UpstreamTls},
};

/// A stream by its URL: `http://host[:port]/path?query`, the same with `https://`, or `unix:/socket:/path?query`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub(super) upstream: Upstream,
    pub(super) path: PathAndQuery,
}

/// Why a text names no stream, and what would.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetError {
    /// More than a browser would ask with.
    #[error("{0} is no part of what is asked for; leave it out")]
    Extra(&'static str),
    /// Something else altogether.
    #[error(
        "this is no address of a stream; use http://host:port/path, https://host:port/path or unix:/socket:/path"
    )]
    Malformed,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.contains('#') {
            return Err(TargetError::Extra("a fragment"));
        }
        if text.starts_with("unix:") {
            // The socket's own path may have colons, too.
            let place = text.rfind(":/").filter(|at| *at > 4).and_then(|at| text.split_at_checked(at));
            let (socket, path) =
                place.map_or((text, "/"), |(socket, path)| (socket, path.trim_start_matches(':')));
            let upstream = socket.parse().map_err(|_| TargetError::Malformed)?;
            return Ok(Self { upstream, path: path.parse().map_err(|_| TargetError::Malformed)? });
        }
        let uri: Uri = text.parse().map_err(|_| TargetError::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(TargetError::Malformed);
        };
        if authority.as_str().contains('@') {
            return Err(TargetError::Extra("a user (give --header 'Authorization: …')"));
        }
        let upstream = format!("{scheme}://{authority}").parse().map_err(|_| TargetError::Malformed)?;
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        Ok(Self { upstream, path })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if matches!(self.upstream, Upstream::Unix(_)) { ":" } else { "" };
        write!(f, "{}{between}{}", self.upstream, self.path)
    }
}

impl Target {
    /// What connects there; by https, to whom the system trusts.
    pub(super) fn dialer(&self) -> io::Result<Arc<dyn Dial>> {
        let tls = match &self.upstream {
            Upstream::Https(_) => {
                Some(UpstreamTls::load(&UpstreamFiles::default()).map_err(io::Error::other)?)
            }
            Upstream::Http(_) | Upstream::Unix(_) => None,
        };
        Ok(Arc::new(Dialer { upstream: self.upstream.clone(), tls, http2: false }))
    }
}

/// A header to ask with, as it is written: `Name: value`.
#[derive(Clone, Debug)]
pub struct Header {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

impl FromStr for Header {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.split_once(':').ok_or("a header is `Name: value`")?;
        let name: HeaderName = name.trim().parse().map_err(|_| "this is no name of a header")?;
        if name == crate::head::LAST_EVENT_ID || name == header::ACCEPT {
            return Err("this header is the doctor's own");
        }
        let value = value.trim().parse().map_err(|_| "a header's value is text on one line")?;
        Ok(Self { name, value })
    }
}

impl Header {
    /// It says who asks.
    pub(super) fn is_credential(&self) -> bool {
        let known = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];
        let name = self.name.as_str();
        known.contains(&self.name)
            || ["token", "key", "auth", "session"].iter().any(|part| name.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &str) {
        let seen = match text.parse::<Target>() {
            Ok(target) => target.to_string(),
            Err(fault) => fault.to_string(),
        };
        assert!(seen.starts_with(wanted), "{text}: {seen}");
    }

    #[test]
    fn a_stream_is_an_address_with_a_path() {
        check("http://127.0.0.1:8080/events?a=b", "http://127.0.0.1:8080/events?a=b");
        check("http://events", "http://events/");
        check("http://[::1]:80/e", "http://[::1]:80/e");
        check("unix:/run/a.sock:/events?x", "unix:/run/a.sock:/events?x");
        check("unix:/run/a.sock", "unix:/run/a.sock:/");
        check("unix:run:/events", "this is no address of a stream");
        check("http://me:secret@events/e", "a user (give --header");
        check("http://events/e#a", "a fragment is no part");
        for text in ["", "/events", "127.0.0.1:8080/events", "ftp://events/e", "http://a:99999/", "http:///e"]
        {
            check(text, "this is no address of a stream");
        }
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let header: Header = "Authorization:  Bearer x ".parse().unwrap();
        assert_eq!((header.name.as_str(), header.value.to_str().unwrap()), ("authorization", "Bearer x"));
        assert!(header.is_credential() && "X-Api-Key: 1".parse::<Header>().unwrap().is_credential());
        assert!(!"X-Dir: /a".parse::<Header>().unwrap().is_credential());
        for text in ["", "Authorization", "a b: c", "x: \u{1}", "Last-Event-ID: 7"] {
            assert!(text.parse::<Header>().is_err(), "{text}");
        }
    }
}
