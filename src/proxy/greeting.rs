//! The hello that a new client of a shared stream waits for.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{
    body::Relay, id::Position, metrics::RouteMetrics, net::BoxFuture, pump::Greeter, registry::Spoken,
};

/// A hello on its way. Dropping it drops the connection that it comes by.
pub struct Greeting(BoxFuture<Option<Bytes>>);

impl Greeting {
    /// The hello that the pump's connection began with.
    #[must_use]
    pub fn of_the_pump(spoken: Spoken) -> Self {
        Self(Box::pin(async move { spoken.await.ok().flatten() }))
    }

    /// The hello of the connection on which a client was admitted. The connection is dropped behind it.
    #[must_use]
    pub fn read(mut greeter: Greeter, fence: Position, mut body: Relay, metrics: Arc<RouteMetrics>) -> Self {
        Self(Box::pin(async move {
            greeter.read_in_time(&mut body, &metrics).await;
            greeter.finish(fence, body).0
        }))
    }

    /// Ready with what is said, the fence as its id; with nothing, where no hello came in time.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Greeting")
    }
}
