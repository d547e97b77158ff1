//! Everything that is seen from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]
#![allow(unreachable_pub, reason = "a binary has no outside")]

/// What the admin's listener answers, and to whom.
mod admin;
/// 100 MB each way through the binary, with flat memory.
mod bulk;
/// The binary from outside: what it says, and the code that it exits with.
mod command;
/// What the operator wrote: what it resolves to, or what is wrong with it and where.
mod config;
/// The files in `deploy/` hold: the example loads and is complete, the unit starts what exists.
mod deploy;
/// Beginning and end: limits, signals, drains, what is left of what was open.
mod edges;
/// The format against its naive twin: any stream, any chunking, torn anywhere.
mod format;
/// Everything that is no event stream: bytes and headers unchanged, upgrades, trailers, 1xx.
mod forward;
/// Requests that a proxy must refuse, raw, on real sockets.
mod hygiene;
/// Cut the client at every byte: what it holds plus what it gets equals what the upstream sent.
mod resume;

mod support;
