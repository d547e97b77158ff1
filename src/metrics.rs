//! What is counted, and how it is read: every metric's name and labels live here.
//!
//! Labels are closed enums and names of routes, never keys, paths or anything else that a client chose. Series
//! are looked up once, when a handle is made; counting is then one relaxed atomic addition.

use std::{
    collections::BTreeSet,
    fmt,
    fmt::Write as _,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, LabelSetEncoder, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

mod handle;
mod label;

pub use handle::{Counts, Held, Level, Levels};
pub use label::{
    Admission, Admitting, Answer, Connect, Cut, Dropped, End, Hello, Kind, Label, Outcome, Reload, Renewal,
};

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted. Clones share their numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Streams that exist, by kind.
    pub streams: Levels<Kind>,
    /// Upstream connections that nobody listens to.
    pub lingering: Level,
    /// Clients that are to be let into shared streams.
    pub admitting: Levels<Admitting>,
    /// Bytes that windows, unread and partial frames hold.
    pub retained_bytes: Level,
    /// Requests that were forwarded, refused by us, or failed at the upstream.
    pub requests: Counts<Outcome>,
    /// Times that the configuration was read again.
    pub reloads: Counts<Reload>,
    /// When the configuration in force was loaded, in seconds of the Unix epoch.
    pub loaded: Level,
    /// New certificates in the files of what clients are shown.
    pub certificates: Counts<Renewal>,
    routes: Arc<Families>,
    names: Arc<Mutex<BTreeSet<String>>>,
    registry: Arc<Registry>,
}

/// What is counted for one route. Clones share their numbers.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    /// Clients that are attached to a stream.
    pub clients: Level,
    /// How requests for event streams were answered.
    pub answers: Counts<Answer>,
    /// What became of admissions to shared streams.
    pub admissions: Counts<Admission>,
    /// How connections to the upstream were answered.
    pub connects: Counts<Connect>,
    /// How streams ended.
    pub ends: Counts<End>,
    /// Why clients were cut.
    pub cuts: Counts<Cut>,
    /// How much of the hello that a connection was to begin with came in time.
    pub hellos: Counts<Hello>,
    /// Requests for event streams whose upstream has not sent a head.
    pub heads_awaited: Level,
    /// Upstream connections that stand in the middle of a frame.
    pub partial_frames: Level,
    events: Counter,
    bytes: Counter,
    replayed: Counter,
    resets: Counter,
    repeated_ids: Counter,
    untyped: Counter,
    dropped: Counts<Dropped>,
}

impl Metrics {
    /// All numbers at zero. A series of a route exists from the first [`Metrics::route`] with its name.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        build_info(&mut registry);
        let routes = Families::register(&mut registry);
        let streams = Family::<Of<Kind>, Gauge>::default();
        registry.register("respool_streams", "Streams that exist", streams.clone());
        let admitting = Family::<Of<Admitting>, Gauge>::default();
        registry.register("respool_admitting", "Clients to be let into shared streams", admitting.clone());
        let requests = Family::<Of<Outcome>, Counter>::default();
        registry.register("respool_requests", "Requests, by what became of them", requests.clone());
        let reloads = Family::<Of<Reload>, Counter>::default();
        registry.register("respool_reloads", "Times that the configuration was read again", reloads.clone());
        let renewals = Family::<Of<Renewal>, Counter>::default();
        let help = "New certificates in the files of what clients are shown, by whether they are";
        registry.register("respool_certificate_renewals", help, renewals.clone());
        Self {
            reloads: Counts::new(|kind| reloads.get_or_create_owned(&Of { route: None, kind })),
            loaded: level(
                &mut registry,
                "respool_config_loaded_timestamp_seconds",
                "When the configuration in force was loaded",
            ),
            certificates: Counts::new(|kind| renewals.get_or_create_owned(&Of { route: None, kind })),
            streams: Levels::new(|kind| streams.get_or_create_owned(&Of { route: None, kind })),
            admitting: Levels::new(|kind| admitting.get_or_create_owned(&Of { route: None, kind })),
            lingering: level(&mut registry, "respool_lingering", "Upstream connections without a client"),
            retained_bytes: level(
                &mut registry,
                "respool_retained_bytes",
                "Bytes held in memory for streams",
            ),
            requests: Counts::new(|kind| requests.get_or_create_owned(&Of { route: None, kind })),
            routes: Arc::new(routes),
            names: Arc::default(),
            registry: Arc::new(registry),
        }
    }

    /// The numbers of a route, by its name in the configuration. The look-up takes locks: keep what it returns.
    #[must_use]
    pub fn route(&self, name: &str) -> RouteMetrics {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
        drop(names);
        self.routes.of(name)
    }

    /// The names of all routes of which something was counted.
    #[must_use]
    pub fn routes(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Everything, as `OpenMetrics` text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            // Writing to a string fails for no reason of its own; should a metric fail, half a text is no answer.
            out.clear();
            let _ = out.write_str("# EOF\n");
        }
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl RouteMetrics {
    /// An event of `bytes` bytes was appended to a window.
    pub fn appended(&self, bytes: usize) {
        self.events.inc();
        self.bytes.inc_by(bytes as u64);
    }

    /// An event began a new generation.
    pub fn reset(&self) {
        self.resets.inc();
    }

    /// The upstream used an id of its own for another place.
    pub fn repeated_id(&self) {
        self.repeated_ids.inc();
    }

    /// A rule asked for the type of an event that has none which can be read.
    pub fn untyped(&self) {
        self.untyped.inc();
    }

    /// A guard dropped so many events.
    pub fn dropped(&self, how: Dropped, events: usize) {
        self.dropped.add(how, events as u64);
    }

    /// `events` retained events were sent to a client that came back for them.
    pub fn replayed(&self, events: u64) {
        self.replayed.inc_by(events);
    }
}

/// The families that have a route among their labels.
#[derive(Debug)]
struct Families {
    clients: Family<Route, Gauge>,
    events: Family<Route, Counter>,
    bytes: Family<Route, Counter>,
    replayed: Family<Route, Counter>,
    resets: Family<Route, Counter>,
    repeated_ids: Family<Route, Counter>,
    untyped: Family<Route, Counter>,
    heads_awaited: Family<Route, Gauge>,
    partial_frames: Family<Route, Gauge>,
    answers: Family<Of<Answer>, Counter>,
    admissions: Family<Of<Admission>, Counter>,
    connects: Family<Of<Connect>, Counter>,
    ends: Family<Of<End>, Counter>,
    cuts: Family<Of<Cut>, Counter>,
    hellos: Family<Of<Hello>, Counter>,
    dropped: Family<Of<Dropped>, Counter>,
}

impl Families {
    fn register(to: &mut Registry) -> Self {
        Self {
            clients: family(to, "respool_clients", "Clients attached to a stream"),
            events: family(to, "respool_events", "Events appended to windows"),
            bytes: family(to, "respool_event_bytes", "Bytes of events appended to windows"),
            replayed: family(to, "respool_replayed_events", "Retained events sent to clients that came back"),
            resets: family(to, "respool_resets", "Runs of a stream that an event of it began"),
            repeated_ids: family(
                to,
                "respool_repeated_ids",
                "Ids that an upstream used again for another place",
            ),
            untyped: family(to, "respool_untyped_events", "Events without a type where a rule asks for one"),
            heads_awaited: family(
                to,
                "respool_heads_awaited",
                "Requests for event streams whose upstream has sent no head",
            ),
            partial_frames: family(
                to,
                "respool_partial_frames",
                "Upstream connections that stand in the middle of a frame",
            ),
            answers: family(to, "respool_answers", "Requests for event streams, by how they were answered"),
            admissions: family(to, "respool_admissions", "Admissions to shared streams, by their answer"),
            connects: family(
                to,
                "respool_upstream_connects",
                "Upstream connections of streams, by their answer",
            ),
            ends: family(to, "respool_stream_ends", "Streams that ended, by how"),
            cuts: family(to, "respool_clients_cut", "Clients cut, by why"),
            hellos: family(to, "respool_hellos", "Hellos of connections, by how much of them came in time"),
            dropped: family(
                to,
                "respool_guarded_events",
                "Events that asked what was answered, by how they were dropped",
            ),
        }
    }

    fn of(&self, name: &str) -> RouteMetrics {
        let route = Route { route: name.to_owned() };
        RouteMetrics {
            clients: Level(self.clients.get_or_create_owned(&route)),
            answers: counts(&self.answers, name),
            admissions: counts(&self.admissions, name),
            connects: counts(&self.connects, name),
            ends: counts(&self.ends, name),
            cuts: counts(&self.cuts, name),
            events: self.events.get_or_create_owned(&route),
            bytes: self.bytes.get_or_create_owned(&route),
            replayed: self.replayed.get_or_create_owned(&route),
            resets: self.resets.get_or_create_owned(&route),
            repeated_ids: self.repeated_ids.get_or_create_owned(&route),
            untyped: self.untyped.get_or_create_owned(&route),
            heads_awaited: Level(self.heads_awaited.get_or_create_owned(&route)),
            partial_frames: Level(self.partial_frames.get_or_create_owned(&route)),
            hellos: counts(&self.hellos, name),
            dropped: counts(&self.dropped, name),
        }
    }
}

/// The labels of what is counted for a route.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Route {
    route: String,
}

/// A closed label, with a route beside it or without.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Of<L> {
    route: Option<String>,
    kind: L,
}

impl<L: Label> EncodeLabelSet for Of<L> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        use prometheus_client::encoding::EncodeLabel as _;
        if let Some(route) = &self.route {
            ("route", route.as_str()).encode(encoder.encode_label())?;
        }
        (L::NAME, self.kind.text()).encode(encoder.encode_label())
    }
}

fn counts<L: Label>(family: &Family<Of<L>, Counter>, route: &str) -> Counts<L> {
    Counts::new(|kind| family.get_or_create_owned(&Of { route: Some(route.to_owned()), kind }))
}

fn family<S, M>(registry: &mut Registry, name: &str, help: &str) -> Family<S, M>
where
    S: Clone + Hash + Eq + Send + Sync + EncodeLabelSet + fmt::Debug + 'static,
    M: Default + Clone + Send + Sync + fmt::Debug + 'static,
    Family<S, M>: prometheus_client::registry::Metric,
{
    let family = Family::<S, M>::default();
    registry.register(name, help, family.clone());
    family
}

fn level(registry: &mut Registry, name: &str, help: &str) -> Level {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    Level(gauge)
}

fn build_info(registry: &mut Registry) {
    let labels = [("version", env!("CARGO_PKG_VERSION"))];
    registry.register("respool_build", "What is running", Info::new(labels));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(metrics: &Metrics, line: &str) {
        let text = metrics.encode();
        assert!(text.lines().any(|had| had == line), "no line {line:?} in\n{text}");
    }

    #[test]
    fn what_a_route_counts_is_read_under_its_name() {
        let metrics = Metrics::new();
        let route = metrics.route("/events");
        route.appended(20);
        metrics.route("/events").appended(22);
        route.replayed(7);
        route.answers.count(Answer::GapAhead);
        check(&metrics, r#"respool_events_total{route="/events"} 2"#);
        check(&metrics, r#"respool_event_bytes_total{route="/events"} 42"#);
        check(&metrics, r#"respool_replayed_events_total{route="/events"} 7"#);
        check(&metrics, r#"respool_answers_total{route="/events",answer="gap_ahead"} 1"#);
        check(&metrics, r#"respool_clients_cut_total{route="/events",reason="stalled"} 0"#);
    }

    #[test]
    fn what_is_held_falls_when_it_is_dropped() {
        let metrics = Metrics::new();
        let held = metrics.streams.hold(Kind::Shared);
        check(&metrics, r#"respool_streams{kind="shared"} 1"#);
        drop(held);
        check(&metrics, r#"respool_streams{kind="shared"} 0"#);
    }

    #[test]
    fn what_has_no_route_has_no_route_label() {
        let metrics = Metrics::new();
        metrics.requests.count(Outcome::Refused);
        metrics.retained_bytes.set(9);
        check(&metrics, r#"respool_requests_total{outcome="refused"} 1"#);
        check(&metrics, "respool_retained_bytes 9");
        check(&metrics, "respool_lingering 0");
        check(&metrics, &format!(r#"respool_build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION")));
        check(&metrics, "# EOF");
    }
}
