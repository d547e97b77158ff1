//! Health, metrics and the status, on a listener of their own.
//!
//! | path | answer |
//! | --- | --- |
//! | `/live` | 200: the event loop turns |
//! | `/ready` | 200 when listeners are bound, 503 before and while draining. Not the upstream's state: a sidecar whose readiness needs the application would hold back the pod that the application is in |
//! | `/metrics` | the numbers, as `OpenMetrics` text |
//! | `/` | the status as a page |
//! | `/status` | the same as JSON |
//! | `/status/events` | the same as a stream of events, one a second |
//! | `POST /purge/NUMBER`, `POST /drain` | what the page's buttons ask for, where the configuration allows it |

mod action;
mod answer;
mod caller;
mod feed;
mod history;
mod page;
mod report;
mod status;

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode, request};
use tower::Service;

use crate::{
    body::{self, Relay},
    drain::Drain,
    metrics::{self, Metrics},
    net::BoxFuture,
    registry::Registry,
    reload::Record,
};

pub use action::Action;

use action::Asked;
use caller::Hosts;
use feed::Feed;
use status::Status;

/// What the operator says of the admin's listener.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Settings {
    /// By which names it may be asked, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// What may be asked for by a button.
    pub actions: Vec<Action>,
}

/// What an admin tells of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What is counted.
    pub metrics: Metrics,
    /// All streams.
    pub registry: Registry,
    /// The graceful end.
    pub drain: Drain,
    /// The configuration in force.
    pub record: Record,
    /// The upstream's address.
    pub upstream: String,
    /// Whoever holds this says when listeners are bound, and when draining begins.
    pub ready: Arc<AtomicBool>,
    /// What the operator says.
    pub settings: Settings,
}

/// Answers requests about the program itself. Clones answer alike.
///
/// Only requests that name an IP address, `localhost` or one of [`Settings::hosts`] as their host are answered: a page
/// on the web can make a browser ask this address under the page's own name, and would then be shown what it says (DNS
/// rebinding).
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    parts: Parts,
    hosts: Hosts,
    status: Arc<Status>,
    feed: Arc<Feed>,
}

impl Admin {
    /// Tells of these. What was counted is remembered from now on.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let hosts = Hosts::new(&parts.settings.hosts);
        let status = Arc::new(Status::new(&parts));
        Self(Arc::new(Inner { hosts, status, feed: Arc::new(Feed::new()), parts }))
    }

    /// Remembers in which minute what was counted, for as long as it runs.
    pub fn remember(&self) -> impl Future<Output = ()> + Send + use<> {
        self.0.status.clone().remember()
    }

    async fn answer(self, request: request::Parts) -> Response<Relay> {
        if !self.0.hosts.are_named(&request.uri, &request.headers) {
            let reason = "this host name is not the admin's own: ask by IP address or as localhost, or write the name into `admin_hosts`\n";
            return answer::text(StatusCode::MISDIRECTED_REQUEST, reason);
        }
        if let Some(asked) = Asked::by(request.uri.path()) {
            return self.act(asked, &request);
        }
        match (&request.method, request.uri.path()) {
            (&Method::GET, "/status") => self.picture().await,
            (&Method::GET, "/status/events") => self.events(),
            // Without asking anybody anything.
            (&Method::HEAD, "/status") => answer::with(JSON, body::empty()),
            (&Method::HEAD, "/status/events") => answer::with(EVENTS, body::empty()),
            (_, "/status" | "/status/events") => answer::not_so("GET, HEAD", READS),
            (method, path) => self.small(method, path),
        }
    }

    /// What needs no moment to be made.
    fn small(&self, method: &Method, path: &str) -> Response<Relay> {
        let response = match path {
            "/live" => answer::text(StatusCode::OK, "live\n"),
            "/ready" if self.is_ready() => answer::text(StatusCode::OK, "ready\n"),
            "/ready" => answer::text(StatusCode::SERVICE_UNAVAILABLE, "not ready: starting, or draining\n"),
            "/metrics" => answer::typed(metrics::CONTENT_TYPE, self.0.parts.metrics.encode()),
            path => match page::file(path) {
                Some(file) => file,
                None => return answer::text(StatusCode::NOT_FOUND, THERE),
            },
        };
        match *method {
            // What a HEAD must not have is left out by whoever writes the response.
            Method::GET | Method::HEAD => response,
            _ => answer::not_so("GET, HEAD", READS),
        }
    }

    fn is_ready(&self) -> bool {
        self.0.parts.ready.load(Ordering::Relaxed) && !self.0.parts.drain.is_draining()
    }

    async fn picture(&self) -> Response<Relay> {
        match self.0.status.picture().await {
            Some(json) => answer::typed(JSON, json),
            None => answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the status could not be made\n"),
        }
    }

    fn events(&self) -> Response<Relay> {
        match self.0.feed.watch(&self.0.status) {
            Some(events) => answer::with(EVENTS, events),
            None => answer::text(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY),
        }
    }

    fn act(&self, asked: Asked, request: &request::Parts) -> Response<Relay> {
        let action = asked.action();
        if request.method != Method::POST {
            return answer::not_so("POST", "this is asked for by POST\n");
        }
        if !caller::is_same_origin(&request.headers, &request.uri) {
            let reason = "only the status page itself may ask for this; without a browser, send `Origin: http://` and the host\n";
            return answer::text(StatusCode::FORBIDDEN, reason);
        }
        if !self.0.parts.settings.actions.contains(&action) {
            return answer::text(StatusCode::FORBIDDEN, action.refusal());
        }
        let (status, said) = asked.act(&self.0.parts.registry, &self.0.parts.drain);
        answer::text(status, said)
    }
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const TOO_MANY: &str = "too many watch the status already: ask for /status instead, or come back later\n";
const READS: &str = "only GET and HEAD are served here\n";
const THERE: &str = "there are /live, /ready, /metrics, /status, /status/events, and a page at /\n";

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Admin").field(&self.0.parts).finish()
    }
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Relay>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.clone().answer(request.into_parts().0);
        Box::pin(async move { Ok(answer.await) })
    }
}
