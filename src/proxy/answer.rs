//! The outermost service: what comes from a client is checked, and every fault becomes what the client sees of it.

use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tower::{Service, ServiceExt as _};

use super::{crumbs, hygiene, pace::Pace};
use crate::{
    body::Relay,
    fault::Fault,
    metrics::{Metrics, Outcome},
    net::{BoxFuture, Refuse},
};

/// Refuses what a proxy must not let through, and answers for the service's faults: a response in all cases but an
/// outage, which stays an error, so that the server cuts the connection without an answer.
#[derive(Clone, Debug)]
pub struct Answer<S> {
    inner: S,
    metrics: Metrics,
}

impl<S> Answer<S> {
    /// Answers for `inner`, and counts what became of each request.
    pub fn new(inner: S, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }
}

impl<S> Answer<S> {
    /// Answers for what hyper refuses before there is a request, and counts it with the others.
    #[must_use]
    pub fn refusals(&self) -> Refuse {
        let requests = self.metrics.requests.clone();
        Refuse::new(move |status| {
            let fault = match status {
                StatusCode::URI_TOO_LONG => Fault::Target,
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Fault::Head,
                _ => Fault::Request("the request line or a header line is malformed"),
            };
            requests.count(Outcome::Refused);
            fault.log();
            fault.into_bytes()
        })
    }
}

impl<S, B> Service<Request<Incoming>> for Answer<S>
where
    S: Service<Request<Relay>, Response = Response<B>, Error = Fault> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: From<Relay> + Send + 'static,
{
    type Response = Response<B>;
    type Error = Fault;
    type Future = BoxFuture<Result<Response<B>, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let checked = crumbs::gather(&mut parts).and_then(|()| hygiene::check(&parts));
        let (body, pace) = Pace::set(body);
        let passed = checked.map(|()| boxed(self.inner.clone().oneshot(Request::from_parts(parts, body))));
        let requests = self.metrics.requests.clone();
        Box::pin(async move {
            let (fault, outcome) = match passed {
                Err(fault) => (fault, Outcome::Refused),
                Ok(answer) => match answer.await {
                    Err(_) if pace.as_ref().is_some_and(Pace::is_late) => (Fault::Slow, Outcome::Refused),
                    Err(fault) => (fault, Outcome::Failed),
                    answered => {
                        pace.iter().for_each(Pace::answered);
                        requests.count(Outcome::Forwarded);
                        return answered;
                    }
                },
            };
            requests.count(outcome);
            fault.log();
            match fault {
                Fault::Outage(_) => Err(fault),
                _ => Ok(fault.into_response().map(B::from)),
            }
        })
    }
}

/// Behind a pointer, since the compiler cannot see that a service's own future is `Send` from within another.
fn boxed<T>(future: impl Future<Output = T> + Send + 'static) -> BoxFuture<T> {
    Box::pin(future)
}
