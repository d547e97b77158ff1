//! Everything that is seen from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

/// What the admin's listener answers, and to whom.
mod admin;
/// The binary from outside: what it says, and the code that it exits with.
mod command;
/// What the operator wrote: what it resolves to, or what is wrong with it and where.
mod config;
/// The files in `deploy/` hold: the example loads and is complete, the unit starts what exists.
mod deploy;
/// Cut the client at every byte: what it holds plus what it gets equals what the upstream sent.
mod resume;
/// What tests are made of.
mod support;
