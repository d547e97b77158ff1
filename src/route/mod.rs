//! Which streams a request belongs to: routes, as the operator writes them, and how a request finds its own.

mod address;
mod gap;
mod heartbeat;
mod jar;
mod key;
mod paths;
mod query;
mod rotation;
mod set_cookie;

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderMap;

use crate::{rules::Rules, window::Bounds};

pub use address::Address;
pub use gap::GapEvent;
pub use heartbeat::{Heartbeat, Shape};
pub use jar::{Carried, Cookies, Jar};
pub(crate) use key::has_own_origin;
pub use key::{Identity, Key, Keyer, counted};
pub use paths::Paths;
pub use query::CursorQuery;

/// What the operator says of the requests whose path matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// The name in logs and metrics: the path as written, or `default`.
    pub name: String,
    /// Which paths; `None` matches every one.
    pub path: Option<Paths>,
    /// One upstream connection for each client, one for all, or no event stream of ours at all.
    pub mode: Mode,
    /// What two requests must have in common to mean the same stream; `None` is everything that could matter.
    pub key: Option<Vec<KeyPart>>,
    /// The query parameters that may carry a cursor. They never count for the key.
    pub cursor_query: CursorQuery,
    /// Whether the upstream is asked before a client joins a shared stream.
    pub admit: Admit,
    /// How long an admission has a place among the bounded ones; it goes on waiting without.
    pub admit_timeout: Duration,
    /// How long the upstream's yes to a client counts for its return; `None` asks each time.
    pub admit_cache: Option<Duration>,
    /// How often the upstream is asked again about a client that is there.
    pub readmit: Option<Duration>,
    /// A shared stream that is subscribed at start and never let go.
    pub pin: Option<Pin>,
    /// How long a pump is kept when its last client has gone.
    pub linger: Duration,
    /// Which requests are given ids.
    pub stamp: Stamp,
    /// What is sent when nothing was for a while.
    pub heartbeat: Option<Arc<Heartbeat>>,
    /// After about how long clients are told to come back, where the upstream does not say.
    pub retry: Option<Duration>,
    /// Whether a browser's new connection is given its fence before the first event.
    pub prime: bool,
    /// What a returning client may have.
    pub window: Bounds,
    /// Which ids events are given.
    pub ids: Ids,
    /// Whether a private stream is found again by an id of the upstream's.
    pub match_upstream_ids: bool,
    /// Whether a page of another origin that may ask may ask with an id, too.
    pub cors_allow_cursor: bool,
    /// What becomes of events, by their types.
    pub rules: Rules,
    /// What a client that cannot have what it missed is given.
    pub on_gap: OnGap,
    /// What it is told before anything else.
    pub gap_event: Option<GapEvent>,
    /// What becomes of a shared stream that loses its upstream.
    pub breaks: Breaks,
}

impl Route {
    /// Its private streams are found again by ids of the upstream's.
    #[must_use]
    pub fn finds_by_upstream_ids(&self) -> bool {
        let has_such = match self.ids {
            Ids::Keep => true,
            Ids::Replace => self.rules.keep_ids_of.is_some(),
            Ids::Hidden => false,
        };
        self.mode == Mode::Private && has_such && self.match_upstream_ids
    }

    /// Requests of this route and of the other that have the same key mean the same stream: another configuration may
    /// have the one in the place of the other, and its streams go on.
    #[must_use]
    pub fn has_streams_of(&self, other: &Self) -> bool {
        let kind = |route: &Self| (route.mode, route.ids);
        kind(self) == kind(other) && self.key == other.key && (self.counts_path() || self.name == other.name)
    }

    /// The path counts for the key. Where it does not, all paths of the route mean the same, and those of no other.
    fn counts_path(&self) -> bool {
        self.key.as_ref().is_none_or(|parts| parts.contains(&KeyPart::Path))
    }
}

/// Which ids events are given.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Ids {
    /// Ours, until the upstream sends an id of its own; its own from then on.
    #[default]
    Keep,
    /// Ours, whatever the upstream sends: for ids that are no cursors.
    Replace,
    /// A page sees those of the upstream, or none; ours follow in frames that it does not see.
    Hidden,
}

/// What a client is given that cannot have all that it missed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OnGap {
    /// What a new client gets.
    #[default]
    Fresh,
    /// The same, and after it what is still retained.
    Replay,
}

/// What becomes of a shared stream that loses its upstream.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Breaks {
    /// What becomes of its clients, where a new generation begins.
    pub on_break: OnBreak,
    /// The upstream resumes by its own ids, so that the generation goes on.
    pub resumes: bool,
}

/// What becomes of the clients of a generation that is over.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OnBreak {
    /// They are cut, and find out when they come back.
    #[default]
    Close,
    /// They stay, and are told by the next hello or by the gap event.
    Hold,
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

/// As it is written.
impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::Query => f.write_str("query"),
            Self::Parameter(name) => write!(f, "query:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
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
#[derive(Clone, PartialEq, Eq, Debug)]
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

/// The routes in the order written, and what no route matches.
#[derive(Clone, Debug)]
pub struct Routes(Arc<[Arc<Route>]>);

impl Routes {
    /// Takes the routes in the order written; the last one should match everything.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        Self(routes.into_iter().map(Arc::new).collect())
    }

    /// The route of a path: the first that matches. A path that a server might read as another one (dot
    /// segments, encoded slashes or dots) matches none but the one for everything.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Arc<Route>> {
        let plain = is_plain(path);
        self.0.iter().find(|route| route.path.as_ref().is_none_or(|glob| plain && glob.is_match(path)))
    }

    /// How long a private stream waits for its client at most.
    #[must_use]
    pub fn longest_private_linger(&self) -> Duration {
        let private = self.iter().filter(|route| route.mode == Mode::Private);
        private.map(|route| route.linger).max().unwrap_or_default()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }

    /// Other routes in the place of these. Of those that say what one of these says, it is that very one.
    #[must_use]
    pub fn followed_by(&self, routes: Vec<Route>) -> Self {
        let same = |route: &Route| self.iter().find(|former| ***former == *route).cloned();
        Self(routes.into_iter().map(|route| same(&route).unwrap_or_else(|| Arc::new(route))).collect())
    }

    /// Whoever is let in by these is let in by the others, and for as long.
    #[must_use]
    pub fn admit_as(&self, others: &Self) -> bool {
        let admission = |route: &Arc<Route>| (route.name.clone(), route.admit, route.admit_cache);
        self.iter().map(admission).eq(others.iter().map(admission))
    }

    /// The route that a stream has here which was opened by a request for this path, on a route that may be of another
    /// configuration. `None` where no request means that stream any more.
    #[must_use]
    pub fn successor(&self, of: &Route, path: &str) -> Option<&Arc<Route>> {
        let next =
            if of.counts_path() { self.find(path) } else { self.iter().find(|route| route.name == of.name) };
        next.filter(|route| route.has_streams_of(of))
    }
}

impl Default for Routes {
    /// None at all.
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// No server reads this path as another one.
fn is_plain(path: &str) -> bool {
    let dots = path.split('/').any(|segment| segment == "." || segment == "..");
    let encoded = path
        .as_bytes()
        .windows(3)
        .any(|part| matches!(part, [b'%', b'2', b'f' | b'F' | b'e' | b'E'] | b"%5c" | b"%5C" | b"%00"));
    !dots && !encoded && !path.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn a_path_that_could_be_read_as_another_is_not_plain() {
        for path in ["/", "/a/b", "/a%20b", "/a.b/..c", "/a//b", "/%41"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["/a/../b", "/./a", "/a/..", "/a%2fb", "/a%2Fb", "/%2e%2E/b", "/a%5Cb", "/a\\b", "/a%00"]
        {
            assert!(!is_plain(path), "{path}");
        }
    }
}
