//! respool: a reverse proxy that gives any event server replay.

pub mod id;

pub mod window;

pub mod metrics;

pub mod body;
pub mod drain;
pub mod net;
pub mod proxy;
pub mod server;

pub mod admin;
pub mod log;

pub mod config;

pub mod command;
