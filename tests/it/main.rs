//! Everything that is seen from outside.
#![allow(clippy::unwrap_used, clippy::expect_used)]

/// What the admin's listener answers, and to whom.
mod admin;
/// The binary from outside: what it says, and the code that it exits with.
mod command;
/// What the operator wrote: what it resolves to, or what is wrong with it and where.
mod config;
/// How many writes a client's events are.
mod cost;
/// The files in `deploy/` hold: the example loads and is complete, the unit starts what exists.
mod deploy;
