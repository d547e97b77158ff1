//! What a request of HTTP/2 says in another way than one of HTTP/1.1, which is what everything behind here knows and
//! what the upstream gets.

use http::{HeaderMap, HeaderValue, Version, header, request::Parts};

use crate::fault::Fault;

/// The headers that a request may have; of HTTP/1 the server counts them.
const HEADERS: usize = 64;

/// Has a request of HTTP/2 say what it would say in HTTP/1.1: whom it is for as a `Host`, and all its cookies in one
/// line (RFC 9113, 8.2.3). Any other stays as it is.
///
/// # Errors
///
/// [`Fault::Head`], where it has more lines than one of HTTP/1 may have.
pub(super) fn gather(request: &mut Parts) -> Result<(), Fault> {
    if request.version != Version::HTTP_2 {
        return Ok(());
    }
    let headers = &mut request.headers;
    if let (false, Some(authority)) = (headers.contains_key(header::HOST), request.uri.authority()) {
        let host = HeaderValue::from_str(authority.as_str());
        headers.insert(header::HOST, host.map_err(|_| Fault::Request("the authority is malformed"))?);
    }
    join_cookies(headers);
    if headers.len() > HEADERS { Err(Fault::Head) } else { Ok(()) }
}

fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    // Of what were values any join is one.
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[track_caller]
    fn check(version: Version, uri: &str, lines: &[(&str, &str)], expected: &[(&str, &str)]) {
        let mut request = Request::get(uri).version(version);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        gather(&mut parts).unwrap();
        let mut seen: Vec<_> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        seen.sort_unstable();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_request_of_http_2_says_what_one_of_http_1_says() {
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3; d=4")];
        let joined = [("cookie", "a=1; b=2; c=3; d=4"), ("host", "x:81")];
        check(Version::HTTP_2, "http://x:81/", &crumbs, &joined);
        check(
            Version::HTTP_2,
            "http://x/",
            &[("host", "y"), ("cookie", "a")],
            &[("cookie", "a"), ("host", "y")],
        );
        check(Version::HTTP_2, "/", &[], &[]);
        check(Version::HTTP_11, "http://x/", &crumbs, &crumbs);
    }

    #[test]
    fn it_has_as_many_lines_as_one_of_http_1_may_have() {
        let request = |lines: usize| {
            let mut request = Request::get("http://x/").version(Version::HTTP_2);
            for line in 1..lines {
                request = request.header(format!("x-{line}"), "").header("cookie", "a=1");
            }
            gather(&mut request.body(()).unwrap().into_parts().0)
        };
        assert!(request(63).is_ok());
        assert!(matches!(request(64), Err(Fault::Head)));
    }
}
