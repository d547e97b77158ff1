//! Which requests mean the same stream.

use std::{fmt, hash::Hasher};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::{Ids, KeyPart, Mode, Route, query::decoded};

/// What two requests have in common that mean the same stream. It is a keyed hash: nothing can be read from it,
/// and nobody outside can make two requests meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u128);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Who a request may come from, and what it asks for: a keyed hash of everything in it that could mean somebody else,
/// whatever the route's key leaves out. What one identity may have, another may not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(u128);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

/// Makes keys. Its secret lives as long as the process, as windows do.
#[derive(Clone)]
pub struct Keyer(SipHasher13);

impl fmt::Debug for Keyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyer")
    }
}

impl Keyer {
    /// A keyer with this secret, which must come from a cryptographic source.
    #[must_use]
    pub fn new(secret: u128) -> Self {
        Self(SipHasher13::new_with_key(&secret.to_be_bytes()))
    }

    /// The key of a request on a route.
    #[must_use]
    pub fn key(&self, route: &Route, request: &Parts) -> Key {
        let mut sum = Sum::new(self);
        sum.route(route);
        // A client that comes back asks for the same, whatever it had seen by then.
        let query = route.cursor_query.without(request.uri.query().unwrap_or_default());
        match &route.key {
            Some(parts) => parts.iter().for_each(|part| sum.part(part, request, &query)),
            None => sum.everything(request, &query),
        }
        Key(sum.finish())
    }

    /// The key of a stream of one client's own. Where others share by less than all that could mean somebody else, since
    /// the upstream is asked about each of them, nobody is asked about who comes back to this one: all of it counts, but a
    /// query that the route leaves out.
    #[must_use]
    pub fn own_key(&self, route: &Route, request: &Parts) -> Key {
        let key = self.key(route, request);
        if route.mode != Mode::Shared || route.key.is_none() {
            return key;
        }
        let mut sum = Sum(self.0);
        sum.add(&key.0.to_be_bytes());
        sum.everything(request, "");
        Key(sum.finish())
    }

    /// The identity of a request. Its `Origin` counts as it was sent: the answer may be for that one alone.
    #[must_use]
    pub fn identity(&self, route: &Route, request: &Parts) -> Identity {
        let query = route.cursor_query.without(request.uri.query().unwrap_or_default());
        let mut sum = Sum(self.0);
        sum.everything(request, &query);
        sum.part(&KeyPart::Header(header::ORIGIN), request, &query);
        Identity(sum.0.finish128().as_u128())
    }
}

/// A hash of a list of values: each with its length, so that no two lists run together.
pub(super) struct Sum(SipHasher13);

impl Sum {
    pub(super) fn new(keyer: &Keyer) -> Self {
        Self(keyer.0)
    }

    pub(super) fn finish(self) -> u128 {
        self.0.finish128().as_u128()
    }

    pub(super) fn add(&mut self, value: &[u8]) {
        self.0.write_u64(value.len() as u64);
        self.0.write(value);
    }

    pub(super) fn all<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>) {
        let mut count = 0;
        for value in values {
            self.add(value);
            count += 1;
        }
        self.0.write_u64(count);
    }

    /// What the streams of a route are. Routes of which this differs have no stream in common, whatever their requests
    /// are; where the path counts, no two routes have, so that a stream goes on when its path comes to another route.
    fn route(&mut self, route: &Route) {
        let mode = match route.mode {
            Mode::Private => "private",
            Mode::Shared => "shared",
            Mode::Pass => "pass",
        };
        let ids = match route.ids {
            Ids::Keep => "keep",
            Ids::Replace => "replace",
            Ids::Hidden => "hidden",
        };
        let name = if route.counts_path() { "" } else { &route.name };
        let key = if route.key.is_some() { "parts" } else { "everything" };
        [mode, ids, name, key].into_iter().for_each(|word| self.add(word.as_bytes()));
    }

    fn part(&mut self, part: &KeyPart, request: &Parts, query: &str) {
        let (kind, name) = match part {
            KeyPart::Host => ("host", ""),
            KeyPart::Path => ("path", ""),
            KeyPart::Query => ("query", ""),
            KeyPart::Parameter(name) => ("parameter", name.as_str()),
            KeyPart::Header(name) => ("header", name.as_str()),
            KeyPart::Cookie(name) => ("cookie", name.as_str()),
        };
        self.add(kind.as_bytes());
        self.add(name.as_bytes());
        match part {
            KeyPart::Host => self.add(host(&request.uri, &request.headers).as_bytes()),
            KeyPart::Path => self.add(request.uri.path().as_bytes()),
            KeyPart::Query => self.add(query.as_bytes()),
            KeyPart::Parameter(name) => self.all(parameters(query, name)),
            KeyPart::Header(name) => self.all(lines(&request.headers, name)),
            KeyPart::Cookie(name) => self.all(cookies(&request.headers, name)),
        }
    }

    /// All that could mean somebody else.
    fn everything(&mut self, request: &Parts, query: &str) {
        self.part(&KeyPart::Host, request, query);
        self.part(&KeyPart::Path, request, query);
        self.part(&KeyPart::Query, request, query);
        for (name, value) in headers_that_count(request) {
            self.add(name.as_str().as_bytes());
            self.add(value.as_bytes());
        }
    }
}

/// Sorted, for a client may send its headers in another order when it comes back; the lines of one header stay in order.
fn headers_that_count(request: &Parts) -> Vec<(&HeaderName, &HeaderValue)> {
    let own_origin = has_own_origin(request);
    let counts = |name: &HeaderName| !is_harmless(name) && (*name != header::ORIGIN || !own_origin);
    let mut headers: Vec<_> = request.headers.iter().filter(|(name, _)| counts(name)).collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    headers
}

/// What of a request counts for its key on a route, and the values that it has of each: none, where it has no such part.
/// For showing; the key itself is made by a [`Keyer`].
#[must_use]
pub fn counted(route: &Route, request: &Parts) -> Vec<(KeyPart, Vec<Vec<u8>>)> {
    let query = route.cursor_query.without(request.uri.query().unwrap_or_default());
    let all = || {
        let mut headers: Vec<_> =
            headers_that_count(request).into_iter().map(|(name, _)| name.clone()).collect();
        headers.dedup();
        let parts = [KeyPart::Host, KeyPart::Path, KeyPart::Query];
        parts.into_iter().chain(headers.into_iter().map(KeyPart::Header)).collect()
    };
    let owned = |values: &mut dyn Iterator<Item = &[u8]>| values.map(<[u8]>::to_vec).collect::<Vec<_>>();
    let values = |part: &KeyPart| match part {
        KeyPart::Host => vec![host(&request.uri, &request.headers).into_bytes()],
        KeyPart::Path => vec![request.uri.path().as_bytes().to_vec()],
        KeyPart::Query => {
            Some(query.as_bytes().to_vec()).into_iter().filter(|query| !query.is_empty()).collect()
        }
        KeyPart::Parameter(name) => owned(&mut parameters(&query, name)),
        KeyPart::Header(name) => owned(&mut lines(&request.headers, name)),
        KeyPart::Cookie(name) => owned(&mut cookies(&request.headers, name)),
    };
    let parts = route.key.clone().unwrap_or_else(all);
    parts.into_iter().map(|part| (part.clone(), values(&part))).collect()
}

pub(super) fn host(uri: &Uri, headers: &HeaderMap) -> String {
    let header = headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
    header.or_else(|| uri.authority().map(|a| a.as_str().into())).unwrap_or_default().to_ascii_lowercase()
}

/// The request comes from a page of this very host, or says nothing of where it comes from.
#[must_use]
pub(crate) fn has_own_origin(request: &Parts) -> bool {
    let Some(origin) = request.headers.get(header::ORIGIN) else { return true };
    let origin = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    authority.is_some_and(|authority| authority == host(&request.uri, &request.headers))
}

/// The values of a parameter. A query that some server might read in another way (encoded names, names in another
/// case, other separators, nesting) counts whole, so that nobody shares who should not.
fn parameters<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = || query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let is_odd =
        |key: &str| key.contains(['%', '+', '[', '.']) || key != name && key.eq_ignore_ascii_case(name);
    let bare = || query.split('&').any(|pair| pair == name);
    let odd = query.contains(';') || bare() || pairs().any(|(key, _)| is_odd(key));
    let values = pairs().filter(move |(key, _)| *key == name).map(|(_, value)| value);
    values.chain(odd.then_some(query)).map(str::as_bytes)
}

/// The lines of a header; and of all that some server might read as the same one.
fn lines<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let plain = |b: u8| if b == b'_' { b'-' } else { b };
    let same = move |other: &HeaderName| {
        other.as_str().bytes().map(plain).eq(name.as_str().bytes().map(plain)) && other != name
    };
    let mut odd: Vec<_> = headers.iter().filter(|(other, _)| same(other)).collect();
    odd.sort_by_key(|(other, _)| other.as_str());
    let odd = odd.into_iter().flat_map(|(other, value)| [other.as_str().as_bytes(), value.as_bytes()]);
    headers.get_all(name).iter().map(|value| value.as_bytes()).chain(odd)
}

/// The values of a cookie. Where some server might read another one of this name (encoded, in another case, behind
/// another separator), or none where it stands within quotes, all cookies count, so that nobody shares who should not.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let odd = has_odd_cookie(headers, name);
    let values = cookie_pairs(headers).filter_map(move |pair| value(pair, name));
    values.chain(cookie_lines(headers).filter(move |_| odd))
}

/// Not every server sees in these cookies the one of this name that we see, or none.
pub(super) fn has_odd_cookie(headers: &HeaderMap, name: &str) -> bool {
    cookie_pairs(headers).any(|pair| is_odd(pair, name))
}

fn cookie_lines(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes)
}

fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    cookie_lines(headers).flat_map(|line| line.split(|&b| b == b';'))
}

fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut parts = pair.splitn(2, |&b| b == b'=');
    let (key, value) = (parts.next()?, parts.next()?);
    (key.trim_ascii() == name.as_bytes()).then_some(value)
}

/// Not every server sees in this pair of cookies the one that we see, or none.
fn is_odd(pair: &[u8], name: &str) -> bool {
    let quotes = pair.iter().filter(|&&b| b == b'"').count();
    let torn = quotes % 2 == 1 || quotes > 0 && pair.contains(&b'\\');
    let plain = |b: u8| if matches!(b, b'.' | b' ' | b'[') { b'_' } else { b.to_ascii_lowercase() };
    let is_named = |text: &[u8]| {
        let key = decoded(text.split(|&b| b == b'=').next().unwrap_or_default());
        key.iter().map(|&b| plain(b)).eq(name.bytes().map(plain))
    };
    let texts = pair.trim_ascii().split(|&b| b.is_ascii_whitespace() || matches!(b, b',' | b'"'));
    torn || texts.skip(usize::from(value(pair, name).is_some())).any(is_named)
}

/// A header that cannot mean another client or another stream: how the answer is wanted, where the request went
/// through, what it is called in traces. Everything else counts.
fn is_harmless(name: &HeaderName) -> bool {
    const NAMES: [&str; 21] = [
        "host", // counted by itself
        "user-agent",
        "cache-control",
        "pragma",
        "referer",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "traceparent",
        "tracestate",
        "baggage",
        "b3",
        "x-request-id",
        "x-correlation-id",
        "x-amzn-trace-id",
        "x-forwarded-for",
        "x-forwarded-proto",
        "last-event-id",
    ];
    const PREFIXES: [&str; 4] = ["accept", "content-", "sec-", "x-b3-"];
    let name = name.as_str();
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
pub(super) mod tests {
    use http::Request;

    use super::*;
    use crate::{route::*, window::Bounds};

    pub(in crate::route) fn route(key: Option<Vec<KeyPart>>) -> Route {
        let one = std::num::NonZeroUsize::MIN;
        Route {
            name: "r".into(),
            path: None,
            mode: Mode::Shared,
            key,
            cursor_query: CursorQuery::default(),
            admit: Admit::Upstream,
            admit_timeout: Duration::ZERO,
            admit_cache: None,
            readmit: None,
            pin: None,
            linger: Duration::ZERO,
            stamp: Stamp::Auto,
            heartbeat: None,
            retry: None,
            prime: true,
            window: Bounds { events: one, bytes: one, age: Duration::ZERO },
            ids: Ids::Keep,
            match_upstream_ids: true,
            cors_allow_cursor: false,
            rules: Rules::default(),
            on_gap: OnGap::default(),
            gap_event: None,
            breaks: Breaks::default(),
        }
    }

    pub(in crate::route) fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn key(route: &Route, uri: &str, headers: &[(&str, &str)]) -> Key {
        Keyer::new(7).key(route, &request(uri, headers))
    }

    type Side<'a> = (&'a str, &'a [(&'a str, &'a str)]);

    #[track_caller]
    fn check(parts: Option<Vec<KeyPart>>, a: Side<'_>, b: Side<'_>, same: bool) {
        let route = route(parts);
        assert_eq!(key(&route, a.0, a.1) == key(&route, b.0, b.1), same, "{a:?} {b:?}");
    }

    #[test]
    fn routes_whose_streams_are_not_the_same_have_no_key_in_common() {
        let parts = |part: KeyPart| route(Some(vec![part]));
        let room = || "/room".to_owned();
        let routes = [
            route(None),
            Route { mode: Mode::Private, ..route(None) },
            Route { ids: Ids::Replace, ..route(None) },
            parts(KeyPart::Path),
            parts(KeyPart::Query),
            Route { name: "other".into(), ..parts(KeyPart::Query) },
            parts(KeyPart::Parameter(room())),
            parts(KeyPart::Cookie(room())),
            parts(KeyPart::Header(HeaderName::from_static("x-room"))),
            parts(KeyPart::Header(HeaderName::from_static("x-other"))),
        ];
        // Where all that they count is the same text.
        let all = [("x-room", "/e"), ("x-other", "/e"), ("cookie", "/room=/e")];
        let keys: Vec<_> = routes.iter().map(|route| key(route, "/e?/e", &all)).collect();
        for (n, (one, own)) in routes.iter().zip(&keys).enumerate() {
            for (m, (other, its)) in routes.iter().zip(&keys).enumerate() {
                assert_eq!((own == its, one.has_streams_of(other)), (n == m, n == m), "{n} {m}");
            }
        }
        // Where the path counts, what the route is called does not.
        for same in [route(None), parts(KeyPart::Path)] {
            let renamed = Route { name: "other".into(), linger: Duration::from_secs(9), ..same.clone() };
            assert!(renamed.has_streams_of(&same));
            assert_eq!(key(&renamed, "/e", &all), key(&same, "/e", &all));
        }
    }

    #[test]
    fn by_default_everything_counts_that_could_mean_somebody_else() {
        let plain: Side<'_> = ("/e?a=1", &[("host", "h")]);
        for other in [
            ("/f?a=1", &[("host", "h")][..]),
            ("/e?a=2", &[("host", "h")]),
            ("/e", &[("host", "h")]),
            ("/e?a=1", &[("host", "g")]),
            ("/e?a=1", &[("host", "h"), ("authorization", "x")]),
            ("/e?a=1", &[("host", "h"), ("cookie", "x")]),
            ("/e?a=1", &[("host", "h"), ("x-api-key", "x")]),
            ("/e?a=1", &[("host", "h"), ("x-anything", "")]),
            ("/e?a=1", &[("host", "h"), ("origin", "http://g")]),
            ("/e?a=1", &[("host", "h"), ("origin", "null")]),
            ("/e?a=1", &[("host", "h"), ("x-forwarded-host", "g")]),
            ("/e?a=1", &[("host", "h"), ("proxy-authorization", "x")]),
        ] {
            check(None, plain, other, false);
        }
    }

    #[test]
    fn what_a_client_may_send_differently_when_it_comes_back_does_not_count() {
        let plain: Side<'_> = ("/e", &[("host", "h"), ("x-a", "1"), ("x-b", "2")]);
        let back: Side<'_> = (
            "/e",
            &[
                ("host", "H"),
                ("x-b", "2"),
                ("x-a", "1"),
                ("last-event-id", "7"),
                ("origin", "http://h"),
                ("accept", "text/event-stream"),
                ("cache-control", "no-cache"),
                ("sec-fetch-mode", "cors"),
                ("user-agent", "x"),
                ("traceparent", "00"),
                ("x-request-id", "9"),
                ("x-forwarded-for", "::1"),
                ("content-type", "x"),
                ("connection", "close"),
            ],
        );
        check(None, plain, back, true);
    }

    #[test]
    fn an_identity_is_everything_that_could_mean_somebody_else_and_the_origin_as_sent() {
        let identity = |uri: &str, headers: &[(&str, &str)]| {
            Keyer::new(7).identity(&route(None), &request(uri, headers))
        };
        let plain = identity("/e", &[("host", "h"), ("cookie", "a=1")]);
        for (uri, headers) in [
            ("/e?a", &[("host", "h"), ("cookie", "a=1")][..]),
            ("/e", &[("host", "h"), ("cookie", "a=2")]),
            ("/e", &[("host", "h")]),
            ("/e", &[("host", "h"), ("cookie", "a=1"), ("authorization", "x")]),
            ("/e", &[("host", "h"), ("cookie", "a=1"), ("origin", "http://g")]),
            ("/e", &[("host", "h"), ("cookie", "a=1"), ("origin", "http://h")]),
        ] {
            assert_ne!(identity(uri, headers), plain, "{uri} {headers:?}");
        }
        let back = [("cookie", "a=1"), ("host", "h"), ("last-event-id", "7"), ("user-agent", "x")];
        assert_eq!(identity("/e", &back), plain);
        assert_eq!(identity("/e?lastEventId=7", &back), plain);
    }

    #[test]
    fn a_cursor_in_the_query_does_not_count() {
        for parts in [None, Some(vec![KeyPart::Query]), Some(vec![KeyPart::Parameter("a".into())])] {
            for back in ["/e?a=1&lastEventId=7", "/e?lastEventId=x%3By&a=1", "/e?&a=1&Last%2DEvent-ID=7"] {
                check(parts.clone(), ("/e?a=1", &[]), (back, &[]), true);
            }
        }
        check(None, ("/e?a=1", &[]), ("/e?a=1&eventId=7", &[]), false);
        // Some servers read another parameter behind it.
        check(None, ("/e?a=1", &[]), ("/e?a=1&lastEventId=x;a=2", &[]), false);
    }

    #[test]
    fn values_do_not_run_together() {
        check(None, ("/e", &[("x-a", "1"), ("x-a", "2")]), ("/e", &[("x-a", "12")]), false);
        check(None, ("/e", &[("x-a", "1"), ("x-a", "2")]), ("/e", &[("x-a", "2"), ("x-a", "1")]), false);
        check(None, ("/e", &[("x-a", "b"), ("x-c", "")]), ("/e", &[("x-a", ""), ("x-c", "b")]), false);
    }

    #[test]
    fn a_key_of_parts_is_those_parts_alone() {
        let parts = || {
            let header = KeyPart::Header(HeaderName::from_static("x-dir"));
            Some(vec![
                KeyPart::Path,
                KeyPart::Parameter("room".into()),
                header,
                KeyPart::Cookie("sid".into()),
            ])
        };
        let plain: Side<'_> = ("/e?room=1", &[("x-dir", "d"), ("cookie", "sid=s; other=1")]);
        check(
            parts(),
            plain,
            ("/e?x=9&room=1", &[("cookie", "a=b;sid=s"), ("x-dir", "d"), ("host", "h")]),
            true,
        );
        check(parts(), plain, ("/e?room=2", plain.1), false);
        check(parts(), plain, ("/e?room=1&room=1", plain.1), false);
        check(parts(), plain, ("/f?room=1", plain.1), false);
        for odd in [
            "/e?ro%6fm=2&room=1",
            "/e?x=1;room=2&room=1",
            "/e?Room=2&room=1",
            "/e?Room=1",
            "/e?room[]=2&room=1",
            "/e?room=1&lastEventId=x;room=2",
        ] {
            check(parts(), plain, (odd, plain.1), false);
        }
        check(parts(), ("/e?room", plain.1), ("/e?room=", plain.1), false);
        for odd in [
            "x=\"; sid=s; y=\"",
            "x=\"\\\"; sid=s; y=\"",
            "x=\"a\\\\\"; sid=s",
            "s%69d=t; sid=s",
            "Sid=t; sid=s",
            "sid; sid=s",
            "x=1, sid=t; sid=s",
            "x=1 sid=t; sid=s",
            "sid=s; x=\"sid=t\"",
        ] {
            check(parts(), plain, (plain.0, &[("x-dir", "d"), ("cookie", odd)]), false);
        }
        for same in ["connect.sid=1; sid=s", "x=sid; sid=s", "x=\"a b\"; sid=s", "x=a\\b; sid=s", " sid =s"] {
            check(parts(), plain, (plain.0, &[("x-dir", "d"), ("cookie", same)]), true);
        }
        let odd = [("x-dir", "d"), ("x_dir", "c"), plain.1[1]];
        check(parts(), plain, (plain.0, &odd), false);
        check(parts(), plain, ("/e?room=1", &[("x-dir", "d"), ("cookie", "sid=t")]), false);
        check(parts(), plain, ("/e?room=1", &[("x-dir", "c"), ("cookie", "sid=s")]), false);
        check(parts(), plain, ("/e?room=1", &[("x-dir", "d"), ("cookie", "xsid=s")]), false);
    }

    #[test]
    fn values_of_a_part_are_not_those_of_the_next() {
        let part = |name| KeyPart::Header(HeaderName::from_static(name));
        let parts = Some(vec![part("x-a"), part("x-b")]);
        let one: Side<'_> = ("/e", &[("x-a", ""), ("x-a", "header"), ("x-a", "x-b"), ("x-b", "v")]);
        let two: Side<'_> = ("/e", &[("x-b", ""), ("x-b", "header"), ("x-b", "x-b"), ("x-b", "v")]);
        check(parts, one, two, false);
    }

    #[test]
    fn of_a_client_alone_all_counts_that_the_upstream_is_not_asked_about() {
        let own = |route: &Route, uri: &str, headers: &[(&str, &str)]| {
            Keyer::new(7).own_key(route, &request(uri, headers))
        };
        let shared = route(Some(vec![KeyPart::Path]));
        let plain = own(&shared, "/e?a", &[("host", "h"), ("cookie", "a=1")]);
        for (uri, headers, same) in [
            ("/e", &[("cookie", "a=1"), ("host", "h"), ("user-agent", "x")][..], true),
            ("/f?a", &[("host", "h"), ("cookie", "a=1")], false),
            ("/e?a", &[("host", "g"), ("cookie", "a=1")], false),
            ("/e?a", &[("host", "h"), ("cookie", "a=2")], false),
            ("/e?a", &[("host", "h"), ("cookie", "a=1"), ("authorization", "x")], false),
        ] {
            assert_eq!(own(&shared, uri, headers) == plain, same, "{uri} {headers:?}");
        }
        // Where the key is the operator's word for a client, or counts all, nothing is added.
        for route in [Route { mode: Mode::Private, ..shared }, route(None)] {
            let headers = [("host", "h"), ("cookie", "a=1")];
            assert_eq!(own(&route, "/e?a", &headers), key(&route, "/e?a", &headers));
        }
    }

    #[test]
    fn a_key_is_shown_by_its_first_digits_and_a_secret_not_at_all() {
        let bits = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        assert_eq!(
            (format!("{:?}", Key(bits)), Key(bits).to_string()),
            ("01234567".into(), "01234567".into())
        );
        assert_eq!(format!("{:?}", Identity(bits)), "01234567");
        assert_eq!(format!("{:?}", Keyer::new(bits)), "Keyer");
    }

    #[test]
    fn what_counts_is_shown_with_its_values() {
        let shown = |route: &Route, uri: &str| {
            let headers = [("x-b", "3"), ("host", "H"), ("x-a", "1"), ("x-a", "2"), ("user-agent", "x")];
            let counted = counted(route, &request(uri, &headers));
            let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
            let shown = counted.into_iter().map(|(part, values)| {
                format!("{part} {:?}", values.into_iter().map(text).collect::<Vec<_>>())
            });
            shown.collect::<Vec<_>>()
        };
        let all = [
            "host [\"h\"]",
            "path [\"/e\"]",
            "query [\"a=1\"]",
            "header:x-a [\"1\", \"2\"]",
            "header:x-b [\"3\"]",
        ];
        assert_eq!(shown(&route(None), "/e?a=1&lastEventId=7"), all);
        assert_eq!(shown(&route(None), "/e?lastEventId=7")[2], "query []");
        let parts =
            [KeyPart::Parameter("a".into()), KeyPart::Parameter("b".into()), KeyPart::Cookie("c".into())];
        assert_eq!(
            shown(&route(Some(parts.to_vec())), "/e?a=1"),
            ["query:a [\"1\"]", "query:b []", "cookie:c []"]
        );
    }

    #[test]
    fn a_page_of_this_very_host_is_no_other_origin() {
        for (origin, own) in [
            (None, true),
            (Some("http://h:80"), true),
            (Some("HTTPS://H:80"), true),
            (Some("http://h"), false),
            (Some("http://g:80"), false),
            (Some("ftp://h:80"), false),
            (Some("h:80"), false),
            (Some("null"), false),
        ] {
            let headers: Vec<_> = origin.into_iter().map(|origin| ("origin", origin)).collect();
            let by_header = request("/e", &[&headers[..], &[("host", "h:80")]].concat());
            let by_address = request("http://h:80/e", &headers);
            assert_eq!((has_own_origin(&by_header), has_own_origin(&by_address)), (own, own), "{origin:?}");
        }
    }
}
