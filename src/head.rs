//! What the heads of requests and answers say of event streams.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, Version, header, request, response,
};

use crate::{
    id::{Asked, Position},
    route::{Ids, Route, Stamp, has_own_origin},
    sse::carrier,
    window::Gap,
};

/// The cursor of a client that comes back (HTML Standard 9.2.4).
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The head of an answer, as far as others than its first client may be given it.
#[derive(Clone, Debug)]
pub struct Head {
    version: Version,
    headers: HeaderMap,
}

impl Head {
    /// What of this head a client may get that comes later: no cookie that was meant for the first one, no date of long ago.
    #[must_use]
    pub fn of(parts: &response::Parts) -> Self {
        let mut headers = parts.headers.clone();
        headers.remove(header::SET_COOKIE);
        headers.remove(header::DATE);
        Self { version: parts.version, headers }
    }

    /// An answer with this head.
    #[must_use]
    pub fn to_parts(&self) -> response::Parts {
        let mut parts = Response::new(()).into_parts().0;
        parts.version = self.version;
        parts.headers = self.headers.clone();
        parts
    }

    /// What it costs to keep, in bytes: about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.headers.iter().map(|(name, value)| 96 + name.as_str().len() + value.len()).sum()
    }

    /// Pages of every origin may read what comes with it.
    #[must_use]
    pub fn is_for_any_origin(&self) -> bool {
        self.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|origin| origin == "*")
    }
}

/// What a request asks for: the last `Last-Event-ID` line that is not empty counts.
#[must_use]
pub fn asked(headers: &HeaderMap) -> Asked {
    let lines = headers.get_all(LAST_EVENT_ID).iter().rev();
    lines.map(HeaderValue::as_bytes).find(|id| !id.is_empty()).map_or(Asked::Nothing, Asked::by)
}

/// What a request without such a line asks for by a parameter of its query. An id that is not ours is a cursor only to
/// a stream that holds it: the parameter could mean anything.
#[must_use]
pub fn asked_by_query(route: &Route, uri: &Uri) -> Asked {
    let cursor = uri.query().and_then(|query| route.cursor_query.cursor(query));
    cursor.map_or(Asked::Nothing, |id| Asked::by(&id))
}

/// The answer is an event stream whose frames can be seen: 200, the right essence (the parameters say nothing), no
/// length, not compressed.
#[must_use]
pub fn is_stream(answer: &response::Parts) -> bool {
    let headers = &answer.headers;
    let essence = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let essence = essence.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    let plain = |coding: &HeaderValue| {
        ["identity", "none"]
            .iter()
            .any(|name| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    answer.status == StatusCode::OK
        && essence.eq_ignore_ascii_case(b"text/event-stream")
        && !headers.contains_key(header::CONTENT_LENGTH)
        && headers.get_all(header::CONTENT_ENCODING).iter().all(plain)
}

/// The request is what a browser's `EventSource` sends.
#[must_use]
pub fn is_event_source(request: &request::Parts) -> bool {
    let is = |name, value: &str| request.headers.get(name).is_some_and(|v: &HeaderValue| v == value);
    request.method == Method::GET
        && is(header::ACCEPT, "text/event-stream")
        && is(header::CACHE_CONTROL, "no-cache")
}

/// The stream that answers this request is given ids. An id on a stream that a page fetches from another origin
/// would cost it a preflight when it comes back, which a server that never heard of the header refuses.
#[must_use]
pub fn gets_ids(route: &Route, request: &request::Parts) -> bool {
    match route.stamp {
        Stamp::Always => true,
        Stamp::Never => false,
        // Anything else would see what carries them.
        Stamp::Auto if route.ids == Ids::Hidden => is_event_source(request),
        Stamp::Auto => request.method == Method::GET && (has_own_origin(request) || is_event_source(request)),
    }
}

/// What a browser's new connection is sent before the first event, so that one that is lost before it can be resumed too:
/// a frame with an id that no page sees. A lone id is one by the standard (HTML Standard 9.2.6); not every engine takes it,
/// nor would one be hidden from a page that has an event without an id next.
#[must_use]
pub fn prime(request: &request::Parts, route: &Route, fence: Position) -> Bytes {
    let agent = request.headers.get(header::USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    // Firefox, and the npm package `eventsource` in Node.
    let ignores_lone_ids = agent == b"node" || memchr::memmem::find(agent, b" Firefox/").is_some();
    if !ignores_lone_ids && route.ids != Ids::Hidden {
        return Bytes::from(format!("id: {fence}\n\n"));
    }
    let mut frame = Vec::new();
    carrier(fence, &mut frame);
    frame.into()
}

/// What a client is told that cannot have what it missed, if it is told; `has` is the id that it comes with, or one that
/// is as much a gap. It is not moved: cut behind this, it finds the gap again. Where ids are hidden, a page that comes back
/// has one of ours, and is to see none; one of the upstream's it is to see.
#[must_use]
pub fn notice(route: &Route, gap: Gap, has: &Asked) -> Option<Bytes> {
    let event = route.gap_event.as_ref()?.frame(gap);
    if route.ids != Ids::Hidden || matches!(has, Asked::Foreign(_)) {
        return Some(event);
    }
    let lines = event.strip_suffix(b"\n").unwrap_or(&event);
    let mut frames = [lines, b"id\n\n"].concat();
    has.position().iter().for_each(|has| carrier(has, &mut frames));
    Some(frames.into())
}

/// Completes the head of a stream that we write the body of.
pub fn dress(answer: &mut response::Parts) {
    let headers = &mut answer.headers;
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::id::Asked;

    #[test]
    fn the_last_line_that_is_not_empty_is_what_is_asked_for() {
        let asked_by = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(LAST_EVENT_ID, line.parse().unwrap());
            }
            asked(&headers)
        };
        assert_eq!(asked_by(&[]), Asked::Nothing);
        assert_eq!(asked_by(&["", ""]), Asked::Nothing);
        assert_eq!(asked_by(&["1", "2", ""]), Asked::Foreign("2".into()));
        assert!(matches!(asked_by(&["1", "r0000000000007-3"]), Asked::Ours(position) if position.seq == 3));
    }

    #[track_caller]
    fn check(status: u16, headers: &[(&str, &str)], expected: bool) {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        assert_eq!(is_stream(&answer.body(()).unwrap().into_parts().0), expected, "{status} {headers:?}");
    }

    #[test]
    fn a_stream_is_told_by_its_head() {
        let kind = ("content-type", "text/event-stream");
        check(200, &[kind], true);
        check(200, &[("content-type", "Text/Event-Stream ; charset=latin1")], true);
        check(200, &[kind, ("content-encoding", "none")], true);
        check(200, &[kind, ("content-encoding", "Identity")], true);
        check(200, &[kind, ("content-encoding", "gzip")], false);
        check(200, &[kind, ("content-length", "7")], false);
        check(201, &[kind], false);
        check(200, &[("content-type", "text/event-streams")], false);
        check(200, &[("content-type", "text/plain")], false);
        check(200, &[], false);
    }

    #[test]
    fn an_event_source_is_told_by_its_request() {
        let request = |accept: &str| {
            let request = Request::get("/").header("accept", accept).header("cache-control", "no-cache");
            request.body(()).unwrap().into_parts().0
        };
        assert!(is_event_source(&request("text/event-stream")));
        assert!(!is_event_source(&request("text/event-stream, */*")));
    }
}
