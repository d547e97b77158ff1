//! The hello that a new client of a shared stream waits for.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    body::Relay,
    id::Position,
    metrics::RouteMetrics,
    net::BoxFuture,
    pump::Greeter,
    registry::{Registry, Spoken},
};

/// A hello on its way. Dropping it drops the connection that it comes by.
pub struct Greeting {
    said: BoxFuture<Option<Bytes>>,
    drained: Option<BoxFuture<Duration>>,
}

impl Greeting {
    /// The hello that the pump's connection began with.
    #[must_use]
    pub fn of_the_pump(spoken: Spoken) -> Self {
        Self { said: Box::pin(async move { spoken.await.ok().flatten() }), drained: None }
    }

    /// The hello of the connection on which a client was admitted. The connection is dropped behind it.
    #[must_use]
    pub fn read(mut greeter: Greeter, fence: Position, mut body: Relay, metrics: Arc<RouteMetrics>) -> Self {
        let said = async move {
            greeter.read_in_time(&mut body, &metrics).await;
            greeter.finish(fence, body).0
        };
        Self { said: Box::pin(said), drained: None }
    }

    /// Ready with what is said, the fence as its id; with nothing, where no hello came in time.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.said.as_mut().poll(cx)
    }

    /// Ready when a drain has begun, with the time within which every client is cut. Not to be asked again then.
    pub fn poll_drained(&mut self, registry: &Registry, cx: &mut Context<'_>) -> Poll<Duration> {
        let registry = registry.clone();
        let drained = move || -> BoxFuture<Duration> { Box::pin(async move { registry.drained().await }) };
        self.drained.get_or_insert_with(drained).as_mut().poll(cx)
    }
}

impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Greeting")
    }
}
