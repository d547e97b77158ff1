//! What a proxy must not let through: requests that two parsers could read in two ways, and headers that belong to
//! one connection.
//!
//! hyper has done some of it before a request gets here, as tests on real sockets show:
//!
//! - With both `Content-Length` and `Transfer-Encoding` it goes by the latter, takes the former out, and closes the
//!   connection after the answer (as RFC 9112 6.3 allows), so that nobody behind it can see that there were two.
//! - Equal `Content-Length` lines become one; different ones, lists, signs and the like are refused, and so is a
//!   `Transfer-Encoding` that does not end in `chunked`, or comes with HTTP/1.0.
//! - A space before a colon, folded lines and bare CRs are refused; bare LFs as line ends are taken.
//! - Of HTTP/2, streams are reset whose request has a `Connection`, another header that belongs to one, capitals in a
//!   name, a pseudo-header that is unknown, twice there or behind others, or a body that is not as long as it says; or their
//!   connection is ended. Equal `Content-Length` lines stay as many as they are, and are refused here.
//!
//! # What `Connection` names
//!
//! A proxy must not forward a header that `Connection` names (RFC 9110, 7.6.1), and a sender must not name one that is
//! meant for all recipients. But what a client names need not be its own: a proxy before us may have added it, to say
//! who the client is, and the client would have it dropped. So of a request only what is known to belong to a connection
//! is dropped, and a request that has anything else among its headers and names it is refused: nothing that is named is
//! ever forwarded, and nothing that may count is ever lost. An upstream is taken at its word: what its answer names
//! is dropped, but for what says what the body is.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header,
    request::{self, Parts},
    response,
    uri::{Authority, Scheme},
};

use crate::{fault::Fault, net};

/// The longest request target.
const TARGET: usize = 8 * 1024;

/// Headers that belong to one connection, whether or not `Connection` names them.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers that a client might want to see dropped on the way by naming them in `Connection`, and whose loss would
/// change whose request it is, what it asks for, or where its body ends.
const END_TO_END: [HeaderName; 23] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::EXPECT,
    header::FORWARDED,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_UNMODIFIED_SINCE,
    HeaderName::from_static("last-event-id"),
    header::ORIGIN,
    header::RANGE,
    header::REFERER,
    header::TRAILER,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
];

/// Whether a request may go on at all.
///
/// # Errors
///
/// The client's fault, with the rule that the request breaks.
pub fn check(request: &Parts) -> Result<(), Fault> {
    if request.method == Method::CONNECT {
        return Err(Fault::Method);
    }
    check_target(request)?;
    check_host(request)?;
    check_framing(&request.headers)?;
    check_connection(&request.headers)
}

fn check_target(request: &Parts) -> Result<(), Fault> {
    let path = request.uri.path_and_query().map_or("", |target| target.as_str());
    if path.len() + request.uri.authority().map_or(0, |authority| authority.as_str().len()) > TARGET {
        return Err(Fault::Target);
    }
    // The upstream would be asked for it as if it were ours.
    if request.uri.scheme().is_some_and(|scheme| ![Scheme::HTTP, Scheme::HTTPS].contains(scheme)) {
        return Err(Fault::Request("the target is of another scheme"));
    }
    match path.as_bytes().first() {
        Some(b'/') => Ok(()),
        Some(b'*') if path == "*" && request.method == Method::OPTIONS => Ok(()),
        Some(b'*') => Err(Fault::Request("the target * goes with OPTIONS only")),
        // "http://host?query" has an empty path, which is to be sent as "/".
        _ if request.uri.authority().is_some() && request.uri.scheme().is_some() => Ok(()),
        _ => Err(Fault::Request("the target is no path")),
    }
}

fn check_host(request: &Parts) -> Result<(), Fault> {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(Fault::Request("more than one Host")),
        (None, _) if request.version >= Version::HTTP_11 => return Err(Fault::Request("no Host")),
        (None, _) => None,
        (Some(host), None) => Some(authority(host).ok_or(Fault::Request("the Host is malformed"))?),
    };
    let Some(target) = request.uri.authority() else { return Ok(()) };
    if target.as_str().contains('@') {
        return Err(Fault::Request("the target names a user"));
    }
    match host {
        Some(host) if !same(target, &host, default_port(request)) => {
            Err(Fault::Request("the target's authority is not the Host's"))
        }
        _ => Ok(()),
    }
}

/// A `Host` as the address that it must be.
fn authority(host: &HeaderValue) -> Option<Authority> {
    Authority::try_from(host.as_bytes()).ok().filter(net::is_address)
}

fn default_port(request: &Parts) -> u16 {
    if request.uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 }
}

fn same(one: &Authority, other: &Authority, default_port: u16) -> bool {
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

fn check_framing(headers: &HeaderMap) -> Result<(), Fault> {
    if headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Fault::Request("more than one Content-Length"));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Fault::Request("a Transfer-Encoding other than one chunked"));
    }
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Fault::Request("both a Transfer-Encoding and a Content-Length"));
    }
    Ok(())
}

fn check_connection(headers: &HeaderMap) -> Result<(), Fault> {
    for token in tokens(headers, &header::CONNECTION) {
        let is = |name: &HeaderName| token.eq_ignore_ascii_case(name.as_str().as_bytes());
        if END_TO_END.iter().any(is) {
            return Err(Fault::Request("the Connection header names an end-to-end header"));
        }
        let belongs_to_it = token.eq_ignore_ascii_case(b"close") || HOP_BY_HOP.iter().any(is);
        if !belongs_to_it && HeaderName::from_bytes(token).is_ok_and(|name| headers.contains_key(name)) {
            return Err(Fault::Request("the Connection header names a header that may count further on"));
        }
    }
    Ok(())
}

/// The comma-separated tokens of all lines of a header.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Whether a request is for an event stream: a GET whose `Accept` names one.
#[must_use]
pub fn wants_events(request: &Parts) -> bool {
    let is_events = |range: &[u8]| {
        let essence = range.split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    };
    request.method == Method::GET && tokens(&request.headers, &header::ACCEPT).any(is_events)
}

/// Takes out of a request what belongs to the client's connection, and leaves what the upstream's needs: `TE:
/// trailers`, and an upgrade that was asked for. Says whether one was.
///
/// An upgrade to HTTP/2 is not passed on: all that came over it would pass us by, and a server may ignore it.
pub fn strip_request(request: &mut request::Parts) -> bool {
    let headers = &mut request.headers;
    let trailers = has_token(headers, &header::TE, "trailers");
    let upgrade = upgrade_of(headers).filter(|_| request.version >= Version::HTTP_11);
    strip(headers);
    if request.version < Version::HTTP_11 {
        // HTTP/1.0 knows no 100; the upstream, whom we speak HTTP/1.1 with, would send one.
        headers.remove(header::EXPECT);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let connection = match (upgrade.is_some(), trailers) {
        (true, true) => Some("upgrade, te"),
        (true, false) => Some("upgrade"),
        (false, true) => Some("te"),
        (false, false) => None,
    };
    if let Some(connection) = connection {
        headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
    }
    let upgrades = upgrade.is_some();
    if let Some(protocols) = upgrade {
        headers.insert(header::UPGRADE, protocols);
    }
    upgrades
}

/// Takes out of a response what belongs to the upstream's connection, and leaves what a 101 upgrades to.
///
/// # Errors
///
/// What is wrong with the answer: a transfer coding that is still in the body, which the client was not told to expect.
pub fn strip_response(response: &mut response::Parts) -> Result<(), &'static str> {
    let headers = &mut response.headers;
    let coded = headers.contains_key(header::TRANSFER_ENCODING);
    if tokens(headers, &header::TRANSFER_ENCODING).any(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
        return Err("a Transfer-Encoding other than chunked");
    }
    // A 426 has to say what it wants.
    let names_protocols =
        [StatusCode::SWITCHING_PROTOCOLS, StatusCode::UPGRADE_REQUIRED].contains(&response.status);
    let upgrade = headers.remove(header::UPGRADE).filter(|_| names_protocols);
    strip_named(headers);
    strip(headers);
    if coded {
        // The coding wins; passed on, the length would be where the client thinks the body ends.
        headers.remove(header::CONTENT_LENGTH);
    } else {
        mend_length(headers);
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    Ok(())
}

fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn strip_named(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &header::CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !END_TO_END.contains(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Whether a request asks for an upgrade that is passed on.
#[must_use]
pub fn asks_for_upgrade(request: &HeaderMap) -> bool {
    upgrade_of(request).is_some()
}

/// The protocols to upgrade to, if the message is about an upgrade that we pass on.
fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocols = headers.get(header::UPGRADE)?;
    let passes =
        has_token(headers, &header::CONNECTION, "upgrade") && !has_token(headers, &header::UPGRADE, "h2c");
    passes.then(|| protocols.clone())
}

/// Equal lengths in several lines, or in one list, become one: hyper reads them so, but writes them as they were.
fn mend_length(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else { return };
    if lines.next().is_none() && !first.as_bytes().contains(&b',') {
        return;
    }
    let one = tokens(headers, &header::CONTENT_LENGTH)
        .next()
        .and_then(|length| HeaderValue::from_bytes(length).ok());
    match one {
        Some(length) => headers.insert(header::CONTENT_LENGTH, length),
        None => headers.remove(header::CONTENT_LENGTH),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head in words: method, target, version, then header lines.
    fn request(head: &str) -> Parts {
        let mut lines = head.split('|').map(str::trim);
        let first: Vec<_> = lines.next().unwrap().split(' ').collect();
        let version = if first[2] == "1.0" { Version::HTTP_10 } else { Version::HTTP_11 };
        let mut request = http::Request::builder().method(first[0]).uri(first[1]).version(version);
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            request = request.header(name, value.trim());
        }
        request.body(()).unwrap().into_parts().0
    }

    #[track_caller]
    fn passes(head: &str) {
        assert!(check(&request(head)).is_ok(), "{head}: {:?}", check(&request(head)));
    }

    #[track_caller]
    fn refused(head: &str, status: u16, reason: &str) {
        let fault = check(&request(head)).unwrap_err();
        assert_eq!(fault.status(), status, "{head}");
        assert!(fault.to_string().contains(reason), "{head}: {fault}");
    }

    #[test]
    fn a_host_must_be_one_and_well_formed() {
        for host in ["a", "a:80", "a.example:8080", "127.0.0.1", "[::1]", "[::1]:80", "A-b_c"] {
            passes(&format!("GET / 1.1|Host: {host}"));
        }
        refused("GET / 1.1", 400, "no Host");
        refused("GET / 1.1|Host: a|Host: a", 400, "more than one Host");
        refused("GET / 1.0|Host: a|Host: b", 400, "more than one Host");
        for host in
            ["", "a b", "a/b", "a@b", "a:b", "a:", "a,b", "a:99999", "http://a", "[::1", ":80", "a?b", "a#b"]
        {
            refused(&format!("GET / 1.1|Host: {host}"), 400, "the Host is malformed");
        }
    }

    #[test]
    fn an_old_client_needs_no_host() {
        passes("GET / 1.0");
        passes("GET / 1.0|Host: a");
        refused("GET / 1.0|Host: a b", 400, "the Host is malformed");
    }

    #[test]
    fn an_absolute_target_agrees_with_its_host() {
        passes("GET http://a/b 1.1|Host: a");
        passes("GET http://A:80/b 1.1|Host: a");
        passes("GET http://a?b 1.1|Host: a");
        passes("GET https://a/b 1.1|Host: a:443");
        refused("GET https://a/b 1.1|Host: a:80", 400, "authority is not the Host's");
        passes("GET http://a/ 1.0");
        refused("GET http://a/b 1.1|Host: c", 400, "authority is not the Host's");
        refused("GET http://a:81/b 1.1|Host: a", 400, "authority is not the Host's");
        refused("GET http://me@a/b 1.1|Host: a", 400, "names a user");
        refused("GET http://a/b 1.1", 400, "no Host");
    }

    #[test]
    fn a_target_is_a_path_of_a_sane_length() {
        passes("OPTIONS * 1.1|Host: a");
        refused("GET * 1.1|Host: a", 400, "OPTIONS only");
        refused("GET a:80 1.1|Host: a", 400, "no path");
        refused("GET ftp://a/b 1.1|Host: a", 400, "another scheme");
        refused("GET ftp://a/b 1.0", 400, "another scheme");
        refused("CONNECT a:80 1.1|Host: a", 405, "CONNECT");
        passes(&format!("GET /{} 1.1|Host: a", "b".repeat(TARGET - 1)));
        refused(&format!("GET /{} 1.1|Host: a", "b".repeat(TARGET)), 414, "8 KiB");
        refused(&format!("GET /?{} 1.1|Host: a", "b".repeat(TARGET)), 414, "8 KiB");
    }

    #[test]
    fn a_body_has_one_framing() {
        passes("POST / 1.1|Host: a|Content-Length: 5");
        passes("POST / 1.1|Host: a|Transfer-Encoding: chunked");
        passes("POST / 1.1|Host: a|Transfer-Encoding: Chunked");
        for coding in ["gzip, chunked", "chunked, chunked", "identity", "gzip", "xchunked", ""] {
            refused(
                &format!("POST / 1.1|Host: a|Transfer-Encoding: {coding}"),
                400,
                "other than one chunked",
            );
        }
        refused(
            "POST / 1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: chunked",
            400,
            "one chunked",
        );
        refused("POST / 1.1|Host: a|Transfer-Encoding: chunked|Content-Length: 5", 400, "both");
        refused(
            "POST / 1.1|Host: a|Content-Length: 5|Content-Length: 5",
            400,
            "more than one Content-Length",
        );
    }

    #[test]
    fn a_client_cannot_have_an_end_to_end_header_dropped() {
        for named in ["close", "keep-alive", "Upgrade", "TE", "upgrade, http2-settings", "x-own", ""] {
            passes(&format!("GET / 1.1|Host: a|Connection: {named}"));
        }
        for named in [
            "Last-Event-ID",
            "host",
            "close, Cookie",
            "close ,authorization",
            "content-length",
            "Origin",
            "range",
            "close,,X-Forwarded-For",
        ] {
            refused(&format!("GET / 1.1|Host: a|Connection: {named}"), 400, "end-to-end");
        }
        refused("GET / 1.1|Host: a|Connection: close|Connection: Cookie", 400, "end-to-end");
        passes("GET / 1.1|Host: a|Connection: close, keep-alive, TE|Close: 1|Keep-Alive: 5|TE: trailers");
        refused("GET / 1.1|Host: a|Connection: x-own|X-Own: 1", 400, "may count");
        refused("GET / 1.1|Host: a|X-Api-Key: 1|Connection: keep-alive, x-API-key", 400, "may count");
    }

    #[test]
    fn an_event_stream_is_asked_for_by_accept() {
        for accept in
            ["text/event-stream", "Text/Event-Stream", "text/event-stream;q=1, */*", "a/b, text/event-stream"]
        {
            assert!(wants_events(&request(&format!("GET / 1.1|Accept: {accept}"))), "{accept}");
        }
        for head in ["GET / 1.1", "GET / 1.1|Accept: */*", "POST / 1.1|Accept: text/event-stream"] {
            assert!(!wants_events(&request(head)), "{head}");
        }
    }

    #[track_caller]
    fn stripped(head: &str, wanted: &str) {
        let mut parts = request(head);
        strip_request(&mut parts);
        let mut lines: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        assert_eq!(lines.join("|"), wanted, "{head}");
    }

    #[test]
    fn what_belongs_to_the_clients_connection_stays_there() {
        stripped(
            "GET / 1.1|Host: a|Connection: keep-alive|Keep-Alive: timeout=5|Proxy-Connection: close",
            "host: a",
        );
        stripped("POST / 1.1|Transfer-Encoding: chunked|Trailer: x", "trailer: x");
        stripped("POST / 1.1|Content-Length: 5", "content-length: 5");
        stripped("GET / 1.1|Proxy-Authorization: secret", "");
        stripped("POST / 1.0|Expect: 100-continue", "");
        stripped("POST / 1.1|Expect: 100-continue", "expect: 100-continue");
    }

    #[test]
    fn trailers_and_upgrades_stay_asked_for() {
        stripped("GET / 1.1|TE: gzip, trailers", "connection: te|te: trailers");
        stripped("GET / 1.1|TE: gzip", "");
        let websocket = "connection: upgrade|upgrade: websocket";
        stripped("GET / 1.1|Connection: keep-alive, Upgrade|Upgrade: websocket", websocket);
        stripped("GET / 1.1|Upgrade: websocket", "");
        stripped("GET / 1.0|Connection: Upgrade|Upgrade: websocket", "");
        stripped("GET / 1.1|Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMAAABk", "");
    }

    #[track_caller]
    fn answered(status: u16, head: &str, wanted: Result<&str, ()>) {
        let mut response = http::Response::builder().status(status);
        for line in head.split('|') {
            let (name, value) = line.split_once(':').unwrap();
            response = response.header(name, value.trim());
        }
        let mut parts = response.body(()).unwrap().into_parts().0;
        let seen = strip_response(&mut parts).map_err(drop).map(|()| {
            let lines =
                parts.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            lines.collect::<Vec<_>>().join("|")
        });
        assert_eq!(seen.as_deref().map_err(|_| ()), wanted, "{head}");
    }

    #[test]
    fn what_belongs_to_the_upstreams_connection_stays_there() {
        answered(200, "Connection: close|Keep-Alive: timeout=5|A: b", Ok("a: b"));
        answered(200, "Connection: X-Own, close|X-Own: 1|X-Other: 2|Close: 3", Ok("x-other: 2"));
        answered(200, "Connection: Content-Type|Content-Type: a/b", Ok("content-type: a/b"));
        answered(200, "Transfer-Encoding: chunked|Content-Length: 5", Ok(""));
        answered(200, "Transfer-Encoding: gzip, chunked", Err(()));
        answered(200, "Transfer-Encoding: identity", Err(()));
        answered(200, "Content-Length: 5", Ok("content-length: 5"));
        answered(200, "Content-Length: 5, 5", Ok("content-length: 5"));
        answered(200, "Content-Length: 5|Content-Length: 5", Ok("content-length: 5"));
        let switched = "connection: upgrade|upgrade: websocket";
        answered(101, "Connection: Upgrade|Upgrade: websocket", Ok(switched));
        answered(426, "Connection: Upgrade|Upgrade: websocket", Ok(switched));
        answered(200, "Connection: Upgrade|Upgrade: h2c", Ok(""));
    }
}
