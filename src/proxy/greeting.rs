//! The hello that a new client of a shared stream waits for.

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::time::timeout;

use crate::{
    body::Relay, id::Position, net::BoxFuture, pump::Greeter, registry::Spoken, route::Ids, rules::Hello,
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
    pub fn read(hello: Hello, ids: Ids, limit: usize, fence: Position, mut body: Relay) -> Self {
        Self(Box::pin(async move {
            let mut greeter = Greeter::new(&hello, ids, limit);
            let _ = timeout(hello.wait, greeter.read(&mut body)).await;
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
