//! The shape of the configuration file: its keys, each value with its place, nothing judged yet but types.

use std::{fmt, marker::PhantomData, ops::Deref};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use super::written::{Count, Counts, Headers, Length, Size, Spanned, Switch, Text, Texts};

/// The configuration of respool. Each key may be left out; `upstream` must be said here, by a flag or in the environment.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "respool.toml")]
pub(super) struct File {
    /// Where clients come in: an address, or a list of them; also "https://0.0.0.0:8443", "unix:/run/respool/respool.sock" and
    /// "systemd".
    #[schemars(extend("default" = ["127.0.0.1:8080"]))]
    pub(super) listen: Option<Spanned<Texts>>,
    /// The event server: "http://host:port", "https://host:port", or "unix:/run/events.sock". The one key that has no default.
    pub(super) upstream: Option<Spanned<Text>>,
    /// Whether the upstream speaks HTTP/2 without TLS, and without having been asked. With TLS it is asked.
    #[schemars(extend("default" = false))]
    pub(super) upstream_http2: Option<Spanned<Switch>>,
    /// Where /live, /ready, /metrics and the status page are served; nowhere unless asked for.
    pub(super) admin: Option<Spanned<Text>>,
    /// By which names that may be asked, beside IP addresses and localhost. Any other name is refused.
    #[schemars(extend("default" = []))]
    pub(super) admin_hosts: Option<Spanned<Texts>>,
    /// Which buttons of the status page do something: "purge" forgets what a stream retains, "drain" begins the end.
    #[schemars(extend("default" = [], "items" = { "type": "string", "enum": ["purge", "drain"] }))]
    pub(super) admin_actions: Option<Spanned<Texts>>,
    /// The Host that the upstream gets: the client's own ("keep"), or the upstream's address ("upstream").
    #[schemars(extend("enum" = ["keep", "upstream"], "default" = "keep"))]
    pub(super) host: Option<Spanned<Text>>,
    /// Whether X-Forwarded-For is appended, and X-Forwarded-Proto and -Host are set where absent.
    #[schemars(extend("default" = true))]
    pub(super) forwarded: Option<Switch>,
    /// Clients, by globs of their User-Agent, that make an event of every blank line once they were given an id: they get
    /// no frame without data.
    #[schemars(extend("default" = ["python-httpx/*", "*/Python [0-9]*", "cohere/*", "langgraph-sdk-py/*"]))]
    pub(super) stumbling: Option<Spanned<Texts>>,
    /// How often this file is looked at, to load it again when it has changed, as on SIGHUP; never unless asked for.
    pub(super) reload: Option<Spanned<Length>>,
    /// What clients are shown where TLS is spoken with them.
    #[serde(default)]
    pub(super) tls: Tls,
    /// How an upstream by https is recognised, and what it is shown.
    #[serde(default)]
    pub(super) upstream_tls: UpstreamTls,
    /// What all streams and clients together may use.
    #[serde(default)]
    pub(super) limits: Limits,
    /// What a client that comes back may have missed of a stream: as long as all three hold, it gets everything.
    #[serde(default)]
    pub(super) window: Window,
    /// What is done while the upstream cannot be reached.
    #[serde(default)]
    pub(super) outage: Outage,
    /// How respool ends.
    #[serde(default)]
    pub(super) drain: Drain,
    /// Routes. The first whose path matches decides; what no route matches is a private stream with the defaults.
    #[serde(default)]
    pub(super) route: Tables<Route>,
}

/// What clients are shown where TLS is spoken with them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, such as { certificate = \"file.pem\", key = \"file.pem\" }"
)]
pub(super) struct Tls {
    /// The certificates, the own one first: a file in PEM, which is read again when it changes.
    pub(super) certificate: Option<Spanned<Text>>,
    /// Its private key; it may be in the same file.
    pub(super) key: Option<Spanned<Text>>,
}

/// How an upstream by https is recognised, and what it is shown.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table, such as { ca = \"file.pem\" }")]
pub(super) struct UpstreamTls {
    /// The certificates of the authorities that are trusted: a file in PEM, which is read again when it changes.
    /// By default those that the system trusts.
    pub(super) ca: Option<Spanned<Text>>,
    /// What it is shown where it asks who we are: a file in PEM, which is read again when it changes. By default
    /// nothing.
    pub(super) certificate: Option<Spanned<Text>>,
    /// The private key of that.
    pub(super) key: Option<Spanned<Text>>,
    /// The name that its certificate must be for. By default the address's.
    pub(super) name: Option<Spanned<Text>>,
}

/// What all streams and clients together may use.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of limits")]
pub(super) struct Limits {
    /// Bytes of windows, and of what clients have not taken yet.
    #[schemars(extend("default" = "512MiB"))]
    pub(super) memory: Option<Spanned<Size>>,
    /// Streams at a time. Over this a new one passes without ids: it works, but cannot be resumed.
    #[schemars(extend("default" = 20_000))]
    pub(super) streams: Option<Spanned<Count>>,
    /// Client connections at a time. Over this they wait to be accepted.
    #[schemars(extend("default" = 20_000))]
    pub(super) connections: Option<Spanned<Count>>,
    /// Upstream connections that are kept for clients who may come back. Over this the one alone longest ends.
    #[schemars(extend("default" = 1_000))]
    pub(super) lingering: Option<Spanned<Count>>,
    /// Clients that join shared streams and for whom the upstream's answer, or its hello, is waited for at a time.
    #[schemars(extend("default" = 64))]
    pub(super) admissions: Option<Spanned<Count>>,
    /// The largest event. A larger one breaks the upstream's connection. At most `window.bytes`.
    #[schemars(extend("default" = "4MiB"))]
    pub(super) event: Option<Spanned<Size>>,
}

/// What a client that comes back may have missed of a stream.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of bounds, such as { events = 2048 }")]
pub(super) struct Window {
    /// At most so many events.
    #[schemars(extend("default" = 2048))]
    pub(super) events: Option<Spanned<Count>>,
    /// At most so many bytes.
    #[schemars(extend("default" = "4MiB"))]
    pub(super) bytes: Option<Spanned<Size>>,
    /// At most so long ago.
    #[schemars(extend("default" = "5m"))]
    pub(super) age: Option<Spanned<Length>>,
}

/// What is done while the upstream cannot be reached.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table, such as { hold = \"5s\" }")]
pub(super) struct Outage {
    /// How long a request for an event stream is held and tried again.
    #[schemars(extend("default" = "5s"))]
    pub(super) hold: Option<Spanned<Length>>,
    /// Answers that mean that there is nobody, such as [502, 503, 504] of a load balancer in between: a request for an
    /// event stream is held on them too, and then cut.
    #[schemars(extend("default" = []))]
    pub(super) statuses: Option<Spanned<Counts>>,
}

/// How respool ends.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table, such as { time = \"10s\" }")]
pub(super) struct Drain {
    /// On SIGTERM, clients are cut spread over this time, so that they do not all come back at once.
    #[schemars(extend("default" = "10s"))]
    pub(super) time: Option<Spanned<Length>>,
}

/// What is done with the requests whose path matches.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table that begins with `[[route]]`")]
pub(super) struct Route {
    /// Which paths. A glob: "*" stands for any part of one segment, "**" for any number of segments.
    pub(super) path: Option<Spanned<Text>>,
    /// What a server needs that is known: it stands for that server's routes, with their paths. Other keys in this route
    /// win over the preset's.
    #[schemars(extend("enum" = ["mcp", "openai", "opencode", "pocketbase"]))]
    pub(super) preset: Option<Spanned<Text>>,
    /// "private": an upstream connection for each client, right for any upstream. "shared": one for all who ask for the
    /// same (GET only). "pass": nothing is kept.
    #[schemars(extend("enum" = ["private", "shared", "pass"], "default" = "private"))]
    pub(super) mode: Option<Spanned<Text>>,
    /// What two requests must have in common to mean the same stream: "path", "host", "query", "query:NAME",
    /// "header:NAME", "cookie:NAME". By default everything that could matter, among it the query and all credentials.
    pub(super) key: Option<Spanned<Texts>>,
    /// Query parameters in which clients that cannot set a header bring the last id that they saw. [] turns it off.
    #[schemars(extend("default" = ["lastEventId", "evs_last_event_id", "Last-Event-ID"]))]
    pub(super) cursor_query: Option<Spanned<Texts>>,
    /// Shared streams: who says whether a client may join. The upstream, asked with the client's own request
    /// ("upstream"), or nobody ("none", for streams that need no permission).
    #[schemars(extend("enum" = ["upstream", "none"], "default" = "upstream"))]
    pub(super) admit: Option<Spanned<Text>>,
    /// Who waits longer than this for the upstream's yes, or its hello, makes room for others and goes on waiting.
    #[schemars(extend("default" = "5s"))]
    pub(super) admit_timeout: Option<Spanned<Length>>,
    /// How long a yes counts for whoever comes back with the same request. By default the upstream is asked each time.
    pub(super) admit_cache: Option<Spanned<Length>>,
    /// How often the upstream is asked again about a client that is there; one that it refuses by then is cut. By default never.
    pub(super) readmit: Option<Spanned<Length>>,
    /// Shared streams: subscribe at start and never let go, so that nothing is missed while no client is there.
    #[schemars(extend("default" = false))]
    pub(super) pin: Option<Spanned<Switch>>,
    /// The headers to subscribe with. "env:NAME" is a variable, "file:/path" a file's content, anything else the value
    /// itself.
    pub(super) pin_headers: Option<Spanned<Headers>>,
    /// How long the upstream's connection is kept when the last client has gone: by default "2m", or "5m" where shared.
    pub(super) linger: Option<Spanned<Length>>,
    /// Who gets ids: whoever an EventSource could be ("auto"), every request ("always"), nobody ("never").
    #[schemars(extend("enum" = ["auto", "always", "never"], "default" = "auto"))]
    pub(super) stamp: Option<Spanned<Text>>,
    /// When nothing was sent for this long, a comment is; at least "1s". "none" turns it off.
    #[schemars(extend("default" = "15s"))]
    pub(super) heartbeat: Option<Spanned<Length>>,
    /// What it is: "comment", "comment-frame" (with a blank line behind it), or "event:NAME".
    #[schemars(extend("default" = "comment", "examples" = ["comment", "comment-frame", "event:beat"]))]
    pub(super) heartbeat_shape: Option<Spanned<Text>>,
    /// Up to how many bytes it is filled, where something on the way holds small writes; at most "64KiB". By default none.
    pub(super) heartbeat_pad: Option<Spanned<Size>>,
    /// After how long clients are told to come back when they are cut, where the upstream does not tell them. By default
    /// none is told anything.
    pub(super) retry: Option<Spanned<Length>>,
    /// Whether a browser gets an id before the first event, so that a connection lost before that can be resumed too.
    #[schemars(extend("default" = true))]
    pub(super) prime: Option<Spanned<Switch>>,
    /// What differs from [window], for each of its keys.
    pub(super) window: Option<Spanned<Window>>,
    /// Where the upstream numbers its own events: its ids stay ("keep"), or ours take their place ("replace"), or pages see
    /// its ids alone, and ours follow in frames that no page sees ("hidden").
    #[schemars(extend("enum" = ["keep", "replace", "hidden"], "default" = "keep"))]
    pub(super) ids: Option<Spanned<Text>>,
    /// Private streams: whether one is found again by an id of the upstream's, for the same key from the same address.
    #[schemars(extend("default" = true))]
    pub(super) match_upstream_ids: Option<Spanned<Switch>>,
    /// Whether a page of another origin that the upstream lets in may bring an id, too.
    #[schemars(extend("default" = false))]
    pub(super) cors_allow_cursor: Option<Spanned<Switch>>,
    /// Types whose own id stays where ids are replaced, since it is something else than a place in the stream.
    pub(super) keep_ids_of: Option<Spanned<Texts>>,
    /// Where an event's type stands: in its `event` field ("event"), or in its data, by a JSON pointer such as "/type".
    #[serde(rename = "type")]
    #[schemars(extend("default" = "event", "examples" = ["event", "/type"]))]
    pub(super) kind: Option<Spanned<Text>>,
    /// Types after which nothing from before is to be had: whoever comes back with an id from before finds a gap.
    pub(super) reset: Option<Spanned<Texts>>,
    /// Types that are delivered live, get no id of ours and are never kept, such as heartbeats. `*` stands for anything.
    pub(super) ephemeral: Option<Spanned<Texts>>,
    /// When given, only these types are kept; all others are lost to a client that comes back. By default all are kept.
    pub(super) retain: Option<Spanned<Texts>>,
    /// Shared streams: types that belong to a connection, such as a welcome. A new client gets its own, one that resumes
    /// gets none.
    pub(super) hello: Option<Spanned<Texts>>,
    /// How many events such a hello has.
    #[schemars(extend("default" = 1))]
    pub(super) hello_events: Option<Spanned<Count>>,
    /// How long a client's events wait for its hello.
    #[schemars(extend("default" = "5s"))]
    pub(super) hello_wait: Option<Spanned<Length>>,
    /// What a client gets that cannot have all that it missed: what a new one gets ("fresh"), or after that what is still
    /// retained ("replay").
    #[schemars(extend("enum" = ["fresh", "replay"], "default" = "fresh"))]
    pub(super) on_gap: Option<Spanned<Text>>,
    /// What it is told first. By default nothing.
    pub(super) gap_event: Option<Spanned<GapEvent>>,
    /// Shared streams, when the upstream was lost: clients are cut when they have everything that came before ("close"),
    /// or stay, and are told by the gap event and by the hello of the new connection ("hold").
    #[schemars(extend("enum" = ["close", "hold"], "default" = "close"))]
    pub(super) on_break: Option<Spanned<Text>>,
    /// Shared streams: the upstream knows its own ids, so that a new connection goes on where the lost one ended.
    #[schemars(extend("default" = false))]
    pub(super) upstream_resumes: Option<Spanned<Switch>>,
    /// What was answered is not asked again, one table for each kind of question.
    #[serde(default)]
    pub(super) guard: Tables<Guard>,
}

/// An event in the operator's words.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table, such as { event = \"gap\", data = \"{reason}\" }")]
pub(super) struct GapEvent {
    /// Its type; none is a plain message.
    pub(super) event: Option<Spanned<Text>>,
    /// Its data; `{reason}` is expired, generation or ahead.
    pub(super) data: Option<Spanned<Text>>,
}

/// When one of the types in `close` has come, the types in `open` with the same key are dropped for `ttl`, and those that
/// came before it are not replayed any more.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table that begins with `[[route.guard]]`")]
pub(super) struct Guard {
    /// The types that ask.
    pub(super) open: Option<Spanned<Texts>>,
    /// The types that answer.
    pub(super) close: Option<Spanned<Texts>>,
    /// Where in the data they say what they are about, by JSON pointers, where the places are the same in both.
    pub(super) key: Option<Spanned<Texts>>,
    /// Where those that ask say it.
    pub(super) open_key: Option<Spanned<Texts>>,
    /// Where those that answer say it, in the same order.
    pub(super) close_key: Option<Spanned<Texts>>,
    /// For how long it is remembered.
    #[schemars(extend("default" = "5m"))]
    pub(super) ttl: Option<Spanned<Length>>,
}

/// Tables of which there may be many, each below a head of its own.
pub(super) struct Tables<T>(Vec<Spanned<T>>);

/// A table of which there may be many.
pub(super) trait Headed {
    /// How each one begins.
    const HEAD: &'static str;
}

impl Headed for Route {
    const HEAD: &'static str = "`[[route]]` above each route";
}

impl Headed for Guard {
    const HEAD: &'static str = "`[[route.guard]]` above each guard";
}

impl<T> Default for Tables<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Tables<T> {
    type Target = [Spanned<T>];
    fn deref(&self) -> &[Spanned<T>] {
        &self.0
    }
}

impl<'de, T: Headed + Deserialize<'de>> Deserialize<'de> for Tables<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Headed + Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Tables<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::HEAD)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tables<T>, A::Error> {
                let mut tables = Vec::new();
                while let Some(table) = list.next_element()? {
                    tables.push(table);
                }
                Ok(Tables(tables))
            }
        }
        from.deserialize_any(Reader(PhantomData))
    }
}
