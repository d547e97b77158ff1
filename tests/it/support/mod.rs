//! What tests are made of: on real sockets a raw connection, an upstream that does as it is told, and a proxy; on
//! in-memory pipes, with the clock stopped, a world.

mod multiplexed;
mod origin;
mod proxy;
/// An `EventSource` as the standard describes it, line by line.
pub mod reader;
mod secured;
/// Worlds that a seed makes.
pub mod seeded;
mod wire;
/// An app on in-memory pipes, with the clock stopped.
pub mod world;

pub(crate) use multiplexed::Multiplexed;
pub(crate) use origin::{Origin, Visit};
pub(crate) use proxy::{Binary, Proxy, free};
pub(crate) use secured::Authority;
pub(crate) use wire::{Answer, End, Wire};

use std::time::Duration;

/// Runs a test, which must be through long before this is over, however slow the machine is.
pub(crate) async fn within<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs")
}

/// Waits until something is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    within(async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A moment in which something that must not happen would have happened.
pub(crate) async fn moment() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}
