//! How the admin's answers look, whatever they say.

use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};

use crate::body::{self, Relay};

/// The page loads what is here, and nothing else; nobody frames it. Nothing in it is inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// What every answer says beside its type.
const SAID: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "no-referrer"),
    // No page of another origin shows or runs anything of it.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A line of text.
pub(super) fn text(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<Relay> {
    let mut answer = typed("text/plain; charset=utf-8", text);
    *answer.status_mut() = status;
    answer
}

/// A 200 with something of this media type.
pub(super) fn typed(kind: &'static str, text: impl Into<bytes::Bytes>) -> Response<Relay> {
    with(kind, body::full(text))
}

/// A 200 with a body of this media type.
pub(super) fn with(kind: &'static str, body: Relay) -> Response<Relay> {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in SAID {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A path that is there, asked in a way that is not.
pub(super) fn not_so(allowed: &'static str, why: &'static str) -> Response<Relay> {
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, why);
    refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    refusal
}
