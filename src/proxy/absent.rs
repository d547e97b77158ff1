//! Answers that say no more than that there is nobody: a load balancer's, say, whose upstream is away.

use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tower::Service;

use crate::{body::Relay, current::Current, fault::Fault, net::BoxFuture};

/// Takes answers with these statuses for none: they become [`Fault::Absent`], and their bodies are dropped. For
/// requests for event streams only; any other is better off with the answer.
#[derive(Clone, Debug)]
pub struct Absent<S> {
    inner: S,
    statuses: Current<Vec<StatusCode>>,
}

impl<S> Absent<S> {
    /// Takes these answers of `inner` for none.
    pub fn new(inner: S, statuses: Current<Vec<StatusCode>>) -> Self {
        Self { inner, statuses }
    }
}

impl<S, B> Service<Request<Relay>> for Absent<S>
where
    S: Service<Request<Relay>, Response = Response<B>, Error = Fault>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = Fault;
    type Future = BoxFuture<Result<Response<B>, Fault>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Relay>) -> Self::Future {
        let statuses = self.statuses.get();
        // Behind a pointer, since the compiler cannot see that a service's own future is `Send` from within another.
        let answer: BoxFuture<Result<Response<B>, Fault>> = Box::pin(self.inner.call(request));
        Box::pin(async move {
            let response = answer.await?;
            let status = response.status();
            if statuses.contains(&status) { Err(Fault::Absent(status)) } else { Ok(response) }
        })
    }
}
