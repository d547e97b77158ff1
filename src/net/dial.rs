//! Where the upstream is, and a connection to it.

use std::{fmt, io, path::PathBuf, pin::Pin, str::FromStr, sync::Arc, time::Duration};

use http::uri::{Authority, Scheme, Uri};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout_at},
};

use super::{
    descriptors::{self, Wanted},
    protocol::Protocol,
    tls::UpstreamTls,
};

/// How long the upstream may take to accept a connection, over all its addresses.
const CONNECT: Duration = Duration::from_secs(5);
/// An upstream that is silent for this long is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A future behind a pointer.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Bytes, both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Bytes, both ways, whatever carries them.
pub type BoxIo = Box<dyn Io>;

/// Connects to the upstream; a trait, so that a test can hand out pipes.
pub trait Dial: Send + Sync + 'static {
    /// One new connection. `TimedOut` says that nobody accepted it in time. Dropping the future gives it up.
    fn dial(&self) -> BoxFuture<io::Result<BoxIo>>;

    /// The same, with what is spoken on it: HTTP/1 unless more was agreed on. Where `upgrade` is wanted, which HTTP/2 has
    /// none of, nothing more is agreed on if that can be helped.
    fn dial_for(&self, upgrade: bool) -> BoxFuture<io::Result<(BoxIo, Protocol)>> {
        let _ = upgrade;
        let dialled = self.dial();
        Box::pin(async move { Ok((dialled.await?, Protocol::Http1)) })
    }

    /// Whether HTTP/2 may be spoken on connections.
    fn may_speak_http2(&self) -> bool {
        false
    }

    /// The scheme of what is asked for there.
    fn scheme(&self) -> Scheme {
        Scheme::HTTP
    }
}

impl<F> Dial for F
where
    F: Fn() -> BoxFuture<io::Result<BoxIo>> + Send + Sync + 'static,
{
    fn dial(&self) -> BoxFuture<io::Result<BoxIo>> {
        self()
    }
}

/// Where the upstream is: `http://host[:port]`, `https://host[:port]` or `unix:/path`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Upstream {
    /// Over TCP; resolved anew for each connection.
    Http(Authority),
    /// The same, with TLS.
    Https(Authority),
    /// Over a unix socket.
    Unix(PathBuf),
}

/// Why a text names no upstream, and what would.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UpstreamError {
    /// More than an address.
    #[error("an upstream is an address without {0}; use http://host:port, https://host:port or unix:/path")]
    Extra(&'static str),
    /// Something else altogether.
    #[error("this is no address of an upstream; use http://host:port, https://host:port or unix:/path")]
    Malformed,
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(UpstreamError::Malformed)
            };
        }
        if text.contains('#') {
            return Err(UpstreamError::Extra("a fragment"));
        }
        let uri: Uri = text.parse().map_err(|_| UpstreamError::Malformed)?;
        let at: fn(Authority) -> Self = match uri.scheme_str() {
            Some("http") => Self::Http,
            Some("https") => Self::Https,
            _ => return Err(UpstreamError::Malformed),
        };
        let authority = uri.authority().cloned().ok_or(UpstreamError::Malformed)?;
        if uri.query().is_some() {
            return Err(UpstreamError::Extra("a query"));
        }
        if uri.path() != "/" {
            return Err(UpstreamError::Extra("a path"));
        }
        if authority.as_str().contains('@') {
            return Err(UpstreamError::Extra("a user"));
        }
        if !is_address(&authority) {
            return Err(UpstreamError::Malformed);
        }
        Ok(at(authority))
    }
}

/// Whether an authority is a host, perhaps with a port, and nothing else: the type itself takes users, ports out of
/// range and a colon without a port.
pub(crate) fn is_address(authority: &Authority) -> bool {
    let host = authority.host();
    // A list of two, as some parsers make of two `Host` lines, is a reg-name to the standard.
    if host.is_empty() || host.contains(',') {
        return false;
    }
    match authority.as_str().strip_prefix(host).map(|rest| rest.strip_prefix(':').ok_or(rest)) {
        Some(Ok(port)) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        Some(Err(rest)) => rest.is_empty(),
        None => false,
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(authority) => write!(f, "http://{authority}"),
            Self::Https(authority) => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Upstream {
    /// The `Host` of a request that has none of its own: the address as it was written, `localhost` for a unix
    /// socket.
    #[must_use]
    pub fn authority(&self) -> Authority {
        match self {
            Self::Http(authority) | Self::Https(authority) => authority.clone(),
            Self::Unix(_) => Authority::from_static("localhost"),
        }
    }

    /// What connects there, with HTTP/1 and without TLS, and so not to one that is there by [`Https`](Self::Https).
    #[must_use]
    pub fn dialer(&self) -> Arc<dyn Dial> {
        Arc::new(Dialer { upstream: self.clone(), tls: None, http2: false })
    }
}

/// Connects to the upstream: all addresses of its name are tried, and keys agreed on, within 5 s.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// Where it is.
    pub upstream: Upstream,
    /// How it is recognised, if it is there by TLS.
    pub tls: Option<UpstreamTls>,
    /// Whether it speaks HTTP/2 without having been asked. With TLS it is asked.
    pub http2: bool,
}

impl Dial for Dialer {
    fn dial(&self) -> BoxFuture<io::Result<BoxIo>> {
        let dialled = self.dial_for(true);
        Box::pin(async move { Ok(dialled.await?.0) })
    }

    fn dial_for(&self, upgrade: bool) -> BoxFuture<io::Result<(BoxIo, Protocol)>> {
        Box::pin(self.clone().connect(upgrade))
    }

    fn may_speak_http2(&self) -> bool {
        self.http2 || matches!(self.upstream, Upstream::Https(_))
    }

    fn scheme(&self) -> Scheme {
        match self.upstream {
            Upstream::Https(_) => Scheme::HTTPS,
            Upstream::Http(_) | Upstream::Unix(_) => Scheme::HTTP,
        }
    }
}

impl Dialer {
    async fn connect(self, upgrade: bool) -> io::Result<(BoxIo, Protocol)> {
        // A name could not be looked up without one either, and would be said to be unknown.
        descriptors::spare(Wanted::Upstream)?;
        let known = if self.http2 { Protocol::Http2 } else { Protocol::Http1 };
        match &self.upstream {
            Upstream::Http(authority) => {
                Ok((Box::new(tcp(authority, 80, Instant::now() + CONNECT).await?), known))
            }
            Upstream::Https(authority) => self.secured(authority, upgrade).await,
            Upstream::Unix(path) => Ok((Box::new(UnixStream::connect(path).await?), known)),
        }
    }

    async fn secured(&self, authority: &Authority, upgrade: bool) -> io::Result<(BoxIo, Protocol)> {
        let Some(tls) = &self.tls else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "nothing is known of its TLS"));
        };
        let deadline = Instant::now() + CONNECT;
        let stream = tcp(authority, 443, deadline).await?;
        let shaken = timeout_at(deadline, tls.connect(bare(authority), stream, upgrade)).await;
        let (stream, protocol) = shaken.map_err(timed_out)??;
        Ok((Box::new(stream), protocol))
    }
}

/// The brackets of an IPv6 address are the URI's, not the address's.
fn bare(authority: &Authority) -> &str {
    authority.host().trim_start_matches('[').trim_end_matches(']')
}

async fn tcp(authority: &Authority, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let port = authority.port_u16().unwrap_or(port);
    let found = timeout_at(deadline, lookup_host((bare(authority), port))).await;
    let addresses: Vec<_> = found.map_err(timed_out)??.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        // Each gets its share of what is left: one that swallows packets must not cost the others their turn.
        let now = Instant::now();
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match timeout_at(now + (deadline - now) / left, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return tuned(stream),
            Ok(Err(fault)) => last = fault,
            Err(elapsed) => last = timed_out(elapsed),
        }
    }
    Err(last)
}

fn timed_out(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nobody accepted the connection in time")
}

fn tuned(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    // An idle event stream from a host that vanished would otherwise look alive for ever.
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
    socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, wanted: &str) {
        let seen = match text.parse::<Upstream>() {
            Ok(upstream) => upstream.to_string(),
            Err(fault) => fault.to_string(),
        };
        assert!(seen.starts_with(wanted), "{text}: {seen}");
    }

    #[test]
    fn an_upstream_is_an_address_and_nothing_more() {
        check("http://127.0.0.1:9000", "http://127.0.0.1:9000");
        check("http://127.0.0.1:9000/", "http://127.0.0.1:9000");
        check("http://[::1]:9000", "http://[::1]:9000");
        check("http://events", "http://events");
        check("unix:/run/legacy.sock", "unix:/run/legacy.sock");
        check("http://events/api", "an upstream is an address without a path");
        check("http://events/?a", "an upstream is an address without a query");
        check("http://events#a", "an upstream is an address without a fragment");
        check("http://me:secret@events", "an upstream is an address without a user");
        check("https://events", "https://events");
        check("https://events:9443/", "https://events:9443");
        for text in
            ["", "events", "events:9000", "unix:run", "ftp://events", "http://", "http://a:99999", "/a"]
        {
            check(text, "this is no address of an upstream");
        }
    }
}
