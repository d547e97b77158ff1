//! Which streams a request belongs to: routes, as the operator writes them, and how a request finds its own.

use std::time::Duration;

use http::HeaderMap;

use crate::window::Bounds;

/// What the operator says of the requests whose path matches.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name in logs and metrics: the path as written, or `default`.
    pub name: String,
    /// Which paths; `None` matches every one.
    pub path: Option<globset::GlobMatcher>,
    /// One upstream connection for each client, one for all, or no event stream of ours at all.
    pub mode: Mode,
    /// What two requests must have in common to mean the same stream; `None` is everything that could matter.
    pub key: Option<Vec<KeyPart>>,
    /// Whether the upstream is asked before a client joins a shared stream.
    pub admit: Admit,
    /// A shared stream that is subscribed at start and never let go.
    pub pin: Option<Pin>,
    /// How long a pump is kept when its last client has gone.
    pub linger: Duration,
    /// Which requests are given ids.
    pub stamp: Stamp,
    /// A comment line is sent when nothing was for this long; `None` sends none.
    pub heartbeat: Option<Duration>,
    /// Whether a browser's new connection is given its fence before the first event.
    pub prime: bool,
    /// What a returning client may have.
    pub window: Bounds,
}

/// The kind of a route's streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Each client has an upstream connection of its own.
    Private,
    /// One upstream connection feeds every client with the same key.
    Shared,
    /// Requests pass and nothing of them is kept.
    Pass,
}

/// Something of a request that counts for its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyPart {
    /// The `Host`, in lower case.
    Host,
    /// The path, as sent.
    Path,
    /// The whole query, as sent.
    Query,
    /// One query parameter: all its values, in order.
    Parameter(String),
    /// One header: all its lines, in order.
    Header(http::HeaderName),
    /// One cookie.
    Cookie(String),
}

/// Who says whether a client may join a shared stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admit {
    /// The upstream, asked with the client's own request.
    Upstream,
    /// Nobody: the stream needs no permission.
    None,
}

/// A stream that is subscribed at start.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Path and query to ask for.
    pub target: http::uri::PathAndQuery,
    /// The headers to ask with; their values are secrets, and marked so.
    pub headers: HeaderMap,
}

/// Which requests are given ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stamp {
    /// GET, but not a cross-origin one that no `EventSource` could have made.
    Auto,
    /// Every one, whatever its method.
    Always,
    /// None: streams of this route pass.
    Never,
}
