//! Keys: which requests share a stream. Two requests, as text, on routes of every kind.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header::SET_COOKIE, request::Parts};
use respool::{
    config::{Config, Flags},
    head,
    id::Asked,
    route::{Cookies, KeyPart, Keyer, Mode, Routes, counted},
};

const ROUTES: &str = "
[[route]]
path = '/all/**'
mode = 'shared'
[[route]]
path = '/room/*/events'
mode = 'shared'
key = ['host', 'path', 'query:room', 'header:x-dir', 'cookie:sid']
[[route]]
path = '/query'
mode = 'shared'
key = ['path', 'query']
cursor_query = ['since', 'a.b']
[[route]]
path = '/one'
mode = 'shared'
key = ['cookie:sid']
";

static KNOWN: LazyLock<Routes> = LazyLock::new(|| {
    let flags = Flags { upstream: Some("http://127.0.0.1:9000".to_owned()), ..Flags::default() };
    let config = Config::resolve(&flags, &|_| None, Some(("respool.toml", ROUTES))).expect("it is right");
    Routes::new(config.routes)
});
static KEYER: LazyLock<Keyer> = LazyLock::new(|| Keyer::new(7));

/// Two requests with an empty line between them: an address, then lines of a header. Behind one more, what the upstream
/// sets in its answer to the first.
pub fn run(input: &[u8]) {
    let mut parts = input.splitn(3, |&b| b == b'\r');
    let mut next = || parts.next().unwrap_or_default();
    let (Some(one), Some(other), set) = (request(next()), request(next()), next()) else { return };
    for route in KNOWN.iter() {
        let keys = [&one, &other].map(|request| KEYER.key(route, request));
        let values = [&one, &other].map(|request| counted(route, request));
        assert_eq!(keys[0] == keys[1], values[0] == values[1], "what counts is what is hashed: {values:?}");
        let own = [&one, &other].map(|request| KEYER.own_key(route, request));
        let who = [&one, &other].map(|request| KEYER.identity(route, request));
        assert!(who[0] != who[1] || keys[0] == keys[1], "who is the same has the same stream: {values:?}");
        assert!(own[0] != own[1] || keys[0] == keys[1], "a stream of one's own is part of the shared one");
    }
    [&one, &other].into_iter().for_each(|request| {
        found(request);
        harmless(request);
        cursors(request);
        parts_count(request);
    });
    cookies(&one, &other, set);
}

/// An address, and headers below it. Lines that are none are left out.
fn request(text: &[u8]) -> Option<Parts> {
    let mut lines = text.split(|&b| b == b'\n');
    let uri = Uri::try_from(lines.next()?).ok()?;
    let mut parts = Request::new(()).into_parts().0;
    parts.uri = uri;
    for line in lines {
        let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            parts.headers.append(name, value);
        }
    }
    Some(parts)
}

/// A path that some server could read as another one is on no route with a path.
fn found(request: &Parts) {
    let path = request.uri.path();
    let route = KNOWN.find(path).expect("the last route takes all");
    let lower = path.to_ascii_lowercase();
    let is_odd = ["/../", "/./", "%2f", "%2e", "%5c", "%00", "\\"].iter().any(|odd| lower.contains(odd))
        || lower.ends_with("/..")
        || lower.ends_with("/.");
    assert!(!is_odd || route.path.is_none(), "{path}");
    assert!(route.mode != Mode::Shared || path.starts_with(&route.name[..4]), "{path} on {}", route.name);
}

/// What a client says of itself, and where a request went through, makes no other stream.
fn harmless(request: &Parts) {
    let mut more = request.clone();
    for (name, value) in [
        ("user-agent", "x"),
        ("last-event-id", "7"),
        ("traceparent", "0"),
        ("accept-language", "de"),
        ("sec-fetch-mode", "cors"),
    ] {
        more.headers.append(name, HeaderValue::from_static(value));
    }
    for route in KNOWN.iter() {
        assert!(KEYER.key(route, request) == KEYER.key(route, &more));
        assert!(KEYER.identity(route, request) == KEYER.identity(route, &more));
    }
    more.headers.append("authorization", HeaderValue::from_static("of somebody else"));
    let everything = KNOWN.iter().find(|route| route.key.is_none()).expect("one route counts all");
    assert!(KEYER.key(everything, request) != KEYER.key(everything, &more));
}

/// A cursor in the query makes no other stream, and is gone from what the upstream gets.
fn cursors(request: &Parts) {
    let query = request.uri.query().unwrap_or_default();
    for route in KNOWN.iter() {
        let key = KEYER.key(route, request);
        let names = &route.cursor_query;
        let Some(stripped) = names.strip(&request.uri, |_| true) else {
            assert_eq!(head::asked_by_query(route, &request.uri), Asked::Nothing);
            continue;
        };
        assert_eq!(names.cursor(stripped.query().unwrap_or_default()), None, "{query}");
        assert_eq!(stripped.path(), request.uri.path());
        let mut less = request.clone();
        less.uri = stripped;
        assert!(KEYER.key(route, &less) == key, "{query}");
    }
    let added = format!("{}?{query}&lastEventId=r0-1", request.uri.path());
    let (Ok(uri), Some(route)) = (Uri::try_from(added), KNOWN.iter().last()) else { return };
    let mut more = request.clone();
    more.uri =
        Uri::builder().path_and_query(uri.path_and_query().expect("a path").clone()).build().expect("a path");
    let mut same = request.clone();
    same.uri = Uri::try_from(format!("{}?{query}", request.uri.path())).expect("it was an address");
    assert!(KEYER.key(route, &more) == KEYER.key(route, &same), "{query}");
    assert_eq!(head::asked_by_query(route, &more.uri), Asked::by(b"r0-1"));
}

/// A value that a naive reader finds under a name counts.
fn parts_count(request: &Parts) {
    let room = KNOWN.find("/room/a/events").expect("a route");
    let query = room_query(request.uri.query().unwrap_or_default());
    for (part, values) in counted(room, request) {
        match part {
            KeyPart::Parameter(_) => assert!(query.iter().all(|value| values.contains(value)), "{values:?}"),
            KeyPart::Cookie(_) => {
                let lines = request.headers.get_all("cookie").iter().map(|line| line.as_bytes());
                let pairs = lines.flat_map(|line| line.split(|&b| b == b';')).map(<[u8]>::trim_ascii);
                let plain = pairs.filter_map(|pair| pair.strip_prefix(b"sid="));
                for value in plain {
                    assert!(
                        values.iter().any(|known| known.trim_ascii() == value.trim_ascii()),
                        "{values:?}"
                    );
                }
            }
            _ => {}
        }
    }
}

fn room_query(query: &str) -> Vec<Vec<u8>> {
    query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("room="))
        .map(|value| value.as_bytes().to_vec())
        .collect()
}

/// A cookie that was replaced counts as the former one, for its time, and only in a request that is the same otherwise.
fn cookies(one: &Parts, other: &Parts, set: &[u8]) {
    let (time, now) = (Duration::from_secs(60), Instant::now());
    let known = Cookies::new(7, time);
    let mut answer = HeaderMap::new();
    for line in set.split(|&b| b == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        answer.append(SET_COOKIE, line);
    }
    let Some(route) = KNOWN.iter().last() else { return };
    let (Some(former), Some(later)) = (known.jar(route, one), known.jar(route, other)) else { return };
    assert!(known.came_of(&former, &former, now));
    assert_eq!(known.came_of(&later, &former, now), later == former, "nothing was replaced yet");
    if let Some(carried) = Cookies::carried(&Request::from_parts(one.clone(), ())) {
        known.answered(&carried, &answer, now);
    }
    if known.came_of(&later, &former, now) {
        assert!(later == former || !answer.is_empty());
        assert!(known.came_of(&later, &former, now + time / 2));
        assert_eq!(known.came_of(&later, &former, now + time), later == former, "its time is over");
    }
}
