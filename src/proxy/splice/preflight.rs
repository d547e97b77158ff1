//! A page's question whether it may come back with an id from another origin (Fetch 4.8, CORS-preflight fetch).
//!
//! A server that never heard of `Last-Event-ID` says no to all of such a request. It is asked about the rest of it, and if
//! that is a yes, the header is added to what it allows.

use http::{
    HeaderMap, HeaderValue, Method,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS as ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN as ALLOW_ORIGIN,
        ACCESS_CONTROL_REQUEST_HEADERS as REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD as REQUEST_METHOD,
        ORIGIN,
    },
    request, response,
};

use crate::head::LAST_EVENT_ID;

/// The items of a list in all lines of a header.
fn items<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Vec<&'a [u8]> {
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let items = lines.flat_map(|line| line.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    items.filter(|item| !item.is_empty()).collect()
}

fn is_cursor(item: &[u8]) -> bool {
    item.eq_ignore_ascii_case(LAST_EVENT_ID.as_str().as_bytes())
}

/// Takes the cursor out of what a page asks leave for; says whether it did.
pub(super) fn take_cursor(request: &mut request::Parts) -> bool {
    let headers = &mut request.headers;
    let asks = request.method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(REQUEST_METHOD);
    let asked = items(headers, &REQUEST_HEADERS);
    if !asks || !asked.iter().any(|item| is_cursor(item)) {
        return false;
    }
    let rest: Vec<&[u8]> = asked.into_iter().filter(|item| !is_cursor(item)).collect();
    // Of what was one header's value any part is one.
    let rest = HeaderValue::from_bytes(&rest.join(&b','));
    headers.remove(REQUEST_HEADERS);
    if let Some(rest) = rest.ok().filter(|rest| !rest.is_empty()) {
        headers.insert(REQUEST_HEADERS, rest);
    }
    true
}

/// Adds the cursor to what the server allows, if it allows the rest.
pub(super) fn allow_cursor(answer: &mut response::Parts) {
    let headers = &mut answer.headers;
    if !answer.status.is_success() || !headers.contains_key(ALLOW_ORIGIN) {
        return;
    }
    let mut allowed = items(headers, &ALLOW_HEADERS);
    if allowed.iter().any(|item| is_cursor(item)) {
        return;
    }
    allowed.push(b"Last-Event-ID");
    if let Ok(allowed) = HeaderValue::from_bytes(&allowed.join(&b", "[..])) {
        headers.insert(ALLOW_HEADERS, allowed);
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;

    /// What is asked of the upstream instead; `None`, if it is asked what the page asked.
    #[track_caller]
    fn check_asked(method: &str, headers: &[(&str, &str)], expected: Option<&[&str]>) {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        let before = parts.headers.clone();
        let taken = take_cursor(&mut parts);
        let asked: Vec<_> =
            parts.headers.get_all(REQUEST_HEADERS).iter().map(HeaderValue::as_bytes).collect();
        match expected {
            Some(expected) => {
                let expected: Vec<_> = expected.iter().map(|line| line.as_bytes()).collect();
                assert_eq!((taken, asked), (true, expected));
            }
            None => assert_eq!((taken, parts.headers), (false, before)),
        }
    }

    #[test]
    fn the_cursor_is_taken_out_of_what_is_asked() {
        let page = [("origin", "http://page"), ("access-control-request-method", "GET")];
        let with = |lines: &[&'static str]| {
            let asked = lines.iter().map(|line| ("access-control-request-headers", *line));
            page.into_iter().chain(asked).collect::<Vec<_>>()
        };
        check_asked("OPTIONS", &with(&["last-event-id"]), Some(&[]));
        check_asked("OPTIONS", &with(&["Last-Event-ID"]), Some(&[]));
        check_asked("OPTIONS", &with(&["authorization,last-event-id, x-a"]), Some(&["authorization,x-a"]));
        check_asked("OPTIONS", &with(&["a", "last-event-id,", "b"]), Some(&["a,b"]));
        check_asked("OPTIONS", &with(&["authorization"]), None);
        check_asked("OPTIONS", &with(&["x-last-event-id"]), None);
        check_asked("OPTIONS", &with(&[]), None);
        check_asked("GET", &with(&["last-event-id"]), None);
        check_asked("OPTIONS", &with(&["last-event-id"])[1..], None);
    }

    #[track_caller]
    fn check_allowed(status: u16, headers: &[(&str, &str)], expected: &[&str]) {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let mut parts = answer.body(()).unwrap().into_parts().0;
        allow_cursor(&mut parts);
        let allowed: Vec<_> = parts.headers.get_all(ALLOW_HEADERS).iter().collect();
        assert_eq!(allowed, expected);
    }

    #[test]
    fn the_cursor_is_added_to_a_yes() {
        const YES: (&str, &str) = ("access-control-allow-origin", "http://page");
        const ALLOW: &str = "access-control-allow-headers";
        check_allowed(204, &[YES], &["Last-Event-ID"]);
        check_allowed(200, &[YES, (ALLOW, "X-A")], &["X-A, Last-Event-ID"]);
        check_allowed(200, &[YES, (ALLOW, "X-A"), (ALLOW, "*")], &["X-A, *, Last-Event-ID"]);
        check_allowed(200, &[YES, (ALLOW, "last-event-id, X-A")], &["last-event-id, X-A"]);
        check_allowed(200, &[(ALLOW, "X-A")], &["X-A"]);
        check_allowed(403, &[YES], &[]);
        check_allowed(302, &[YES], &[]);
    }
}
