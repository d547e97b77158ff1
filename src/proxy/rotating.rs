//! Answers that replace a cookie of their request's.

use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use crate::{body::Relay, fault::Fault, net::BoxFuture, pump::now, route::Cookies};

/// Notes which cookies an upstream replaces, in whatever answer.
#[derive(Clone, Debug)]
pub struct Rotating<S> {
    inner: S,
    cookies: Cookies,
}

impl<S> Rotating<S> {
    /// Notes what the answers of `inner` replace.
    pub fn new(inner: S, cookies: Cookies) -> Self {
        Self { inner, cookies }
    }
}

impl<S, B> Service<Request<Relay>> for Rotating<S>
where
    S: Service<
            Request<Relay>,
            Response = Response<B>,
            Error = Fault,
            Future = BoxFuture<Result<Response<B>, Fault>>,
        >,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = Fault;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Relay>) -> Self::Future {
        let carried = Cookies::carried(&request);
        let answer = self.inner.call(request);
        let Some(carried) = carried else { return answer };
        let cookies = self.cookies.clone();
        Box::pin(async move {
            let response = answer.await?;
            cookies.answered(&carried, response.headers(), now());
            Ok(response)
        })
    }
}
