//! respool: a reverse proxy that gives any event server replay.

pub mod dice;
pub mod id;
pub mod sse;

pub mod route;
pub mod window;

pub mod metrics;

pub mod body;
pub mod proxy;

pub mod config;
