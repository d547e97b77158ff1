//! The hello that a new client of a shared stream waits for.

use std::{
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::timeout;

use crate::{
    body::Relay,
    id::Position,
    net::BoxFuture,
    pump::Greeter,
    registry::{Registry, Spoken},
    route::Ids,
    rules::Hello,
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
    pub fn read(hello: Hello, ids: Ids, limit: usize, fence: Position, mut body: Relay) -> Self {
        let said = async move {
            let mut greeter = Greeter::new(&hello, ids, limit);
            let _ = timeout(hello.wait, greeter.read(&mut body)).await;
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
