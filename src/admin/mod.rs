//! Health and metrics, on a listener of their own.
//!
//! | path | answer |
//! | --- | --- |
//! | `/live` | 200: the event loop turns |
//! | `/ready` | 200 when listeners are bound, 503 before and while draining. Not the upstream's state: a sidecar whose readiness needs the application would hold back the pod that the application is in |
//! | `/metrics` | the numbers, as `OpenMetrics` text |

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS},
    uri::Authority,
};
use tower::Service;

use crate::{
    body::{self, Relay},
    metrics::{self, Metrics},
};

/// Answers requests about the program itself. Clones answer alike.
///
/// Only requests that name an IP address or `localhost` as their host are answered: a page on the web can make a
/// browser ask this address under the page's own name, and would then be shown what it says (DNS rebinding). A
/// request without a host is no browser's.
#[derive(Clone, Debug)]
pub struct Admin {
    metrics: Metrics,
    ready: Arc<AtomicBool>,
}

impl Admin {
    /// Shows these metrics; whoever holds `ready` says when listeners are bound, and when draining begins.
    #[must_use]
    pub fn new(metrics: Metrics, ready: Arc<AtomicBool>) -> Self {
        Self { metrics, ready }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Relay> {
        if !is_ours(request.uri(), request.headers()) {
            let reason = "this host name is not the admin's own: ask by IP address or as localhost\n";
            return text(StatusCode::MISDIRECTED_REQUEST, reason);
        }
        let response = match request.uri().path() {
            "/live" => text(StatusCode::OK, "live\n"),
            "/ready" if self.ready.load(Ordering::Relaxed) => text(StatusCode::OK, "ready\n"),
            "/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready: starting, or draining\n"),
            "/metrics" => typed(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.encode()),
            _ => return text(StatusCode::NOT_FOUND, "there are /live, /ready and /metrics\n"),
        };
        match *request.method() {
            // What a HEAD must not have is left out by whoever writes the response.
            Method::GET | Method::HEAD => response,
            _ => {
                let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served here\n");
                refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                refusal
            }
        }
    }
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Relay>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

/// Whether every host that a request names is one of ours.
fn is_ours(target: &Uri, headers: &HeaderMap) -> bool {
    let named = headers
        .get_all(HOST)
        .iter()
        .all(|host| Authority::try_from(host.as_bytes()).is_ok_and(|host| own(&host)));
    named && target.authority().is_none_or(own)
}

fn own(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    address || host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
}

fn text(status: StatusCode, text: &'static str) -> Response<Relay> {
    typed(status, "text/plain; charset=utf-8", text)
}

fn typed(status: StatusCode, kind: &'static str, text: impl Into<bytes::Bytes>) -> Response<Relay> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
