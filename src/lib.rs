//! respool: a reverse proxy that gives any event server replay.

pub mod dice;
pub mod id;
pub mod sse;

pub mod route;
pub mod window;

pub mod drain;
pub mod metrics;
pub mod net;

pub mod body;
pub mod fault;
pub mod head;
pub mod pump;
pub mod registry;

pub mod proxy;
pub mod server;

pub mod admin;
pub mod log;

pub mod config;

pub mod app;

pub mod command;
