//! What the operator wrote, resolved: [`Config`].

use std::{num::NonZeroUsize, time::Duration};

use crate::route::Route;

mod fault;

pub use fault::{Fault, Place};

/// Everything that can be set, with its default where nothing was said.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients come in; never empty.
    pub listen: Vec<String>,
    /// The event server.
    pub upstream: String,
    /// Where health and metrics are served; nowhere unless asked for.
    pub admin: Option<String>,
    /// The `Host` that the upstream gets.
    pub host: HostHeader,
    /// Whether `X-Forwarded-*` are written.
    pub forwarded: bool,
    /// What the whole program may use.
    pub limits: Limits,
    /// How long a request is held and retried while the upstream cannot be reached.
    pub outage_hold: Duration,
    /// How long the cuts of a graceful end are spread over.
    pub drain_time: Duration,
    /// Routes in the order written; the first match wins. The last one is named `default` and matches everything.
    pub routes: Vec<Route>,
    /// What is allowed and yet likely to be a mistake; to be logged at start.
    pub warnings: Vec<Fault>,
}

/// The `Host` that the upstream gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostHeader {
    /// The client's.
    Keep,
    /// The upstream's own authority.
    Upstream,
}

/// What the whole program may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes in windows, unread and partial frames together.
    pub memory: NonZeroUsize,
    /// Streams; over this a new one passes without ids.
    pub streams: NonZeroUsize,
    /// Client connections; over this none is accepted.
    pub connections: NonZeroUsize,
    /// Upstream connections that nobody listens to; the one alone longest ends first.
    pub lingering: NonZeroUsize,
    /// Bytes of one event; a larger one breaks the upstream connection. At most any window's bytes.
    pub event: NonZeroUsize,
}
