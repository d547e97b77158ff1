//! Everything that is seen from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

/// 100 MB each way through the binary, with flat memory.
mod bulk;
/// Beginning and end: limits, signals, drains, what is left of what was open.
mod edges;
/// Everything that is no event stream: bytes and headers unchanged, upgrades, trailers, 1xx.
mod forward;
/// Requests that a proxy must refuse, raw, on real sockets.
mod hygiene;

mod support;
