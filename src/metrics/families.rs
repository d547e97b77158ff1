//! The names of all that is counted as it happens, and what each says to an operator.

use std::{fmt, hash::Hash};

use prometheus_client::{
    encoding::{EncodeLabelSet, LabelSetEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use super::{
    Admission, Admitting, Answer, Break, Connect, Count, Counts, Cut, Dropped, End, Eviction, Hello, Kind,
    Label, Level, Levels, Outages, Outcome, Overuse, Reload, Renewal, RouteMetrics, Times, TimesBy,
};

/// What has no route among its labels.
pub(super) struct Global {
    pub(super) connections: Level,
    pub(super) shortages: Count,
    pub(super) cut_connections: Counts<Overuse>,
    pub(super) streams: Levels<Kind>,
    pub(super) lingering: Level,
    pub(super) admitting: Levels<Admitting>,
    pub(super) memory: Level,
    pub(super) requests: Counts<Outcome>,
    pub(super) outages: Outages,
    pub(super) evictions: Counts<Eviction>,
    pub(super) reloads: Counts<Reload>,
    pub(super) loaded: Level,
    pub(super) certificates: Counts<Renewal>,
}

impl Global {
    pub(super) fn register(to: &mut Registry) -> Self {
        build_info(to);
        let held = level(
            to,
            "respool_held_requests",
            "Requests for streams that wait for an upstream which is away",
        );
        let times = times_by(
            to,
            "respool_hold_seconds",
            "How long requests were held for an upstream which is away, by what came of it: cut means that the outage was longer than outage.hold",
        );
        Self {
            connections: level(
                to,
                "respool_connections",
                "Client connections: compare with limits.connections",
            ),
            shortages: count(
                to,
                "respool_descriptor_shortages",
                "Tenths of a second in which no client was accepted for want of file descriptors: compare process_open_fds with process_max_fds",
            ),
            cut_connections: counts(
                to,
                "respool_connections_cut",
                "Client connections that were ended for what their clients did, or took too long for, by what it was",
            ),
            streams: levels(to, "respool_streams", "Streams that exist: compare with limits.streams"),
            lingering: level(
                to,
                "respool_lingering",
                "Upstream connections kept for clients who are away: compare with limits.lingering",
            ),
            admitting: levels(
                to,
                "respool_admitting",
                "Clients to be let into shared streams: where many wait, the upstream is slow to say yes",
            ),
            memory: level(
                to,
                "respool_memory_bytes",
                "Bytes that all streams together take: windows give way at respool_memory_limit_bytes",
            ),
            requests: counts(to, "respool_requests", "Requests, by what became of them"),
            outages: Outages::new(held, times),
            evictions: counts(
                to,
                "respool_evictions",
                "What clients could have come back to and was let go before its time, by the limit that was reached",
            ),
            reloads: counts(
                to,
                "respool_reloads",
                "Times that the configuration was read again: refused says that the file is wrong",
            ),
            loaded: level(
                to,
                "respool_config_loaded_timestamp_seconds",
                "When the configuration in force was loaded",
            ),
            certificates: counts(
                to,
                "respool_certificate_renewals",
                "New certificates in the files of TLS, with clients and with the upstream: failed says that the former ones stay",
            ),
        }
    }
}

/// The families that have a route among their labels.
#[derive(Debug)]
pub(super) struct Families {
    clients: Family<Route, Gauge>,
    events: Family<Route, Counter>,
    bytes: Family<Route, Counter>,
    sent_events: Family<Route, Counter>,
    sent_bytes: Family<Route, Counter>,
    replayed: Family<Route, Counter>,
    resets: Family<Route, Counter>,
    repeated_ids: Family<Route, Counter>,
    untyped: Family<Route, Counter>,
    heads_awaited: Family<Route, Gauge>,
    partial_frames: Family<Route, Gauge>,
    catch_up: Family<Route, Histogram, fn() -> Histogram>,
    answers: Family<Of<Answer>, Counter>,
    admissions: Family<Of<Admission>, Counter>,
    connects: Family<Of<Connect>, Counter>,
    ends: Family<Of<End>, Counter>,
    breaks: Family<Of<Break>, Counter>,
    cuts: Family<Of<Cut>, Counter>,
    hellos: Family<Of<Hello>, Counter>,
    dropped: Family<Of<Dropped>, Counter>,
}

impl Families {
    pub(super) fn register(to: &mut Registry) -> Self {
        Self {
            clients: family(to, "respool_clients", "Clients attached to streams that have ids"),
            events: family(to, "respool_events", "Events that came from the upstream and were retained"),
            bytes: family(to, "respool_event_bytes", "Bytes of these events, as they are sent"),
            sent_events: family(to, "respool_sent_events", "Events handed to clients, live and replayed"),
            sent_bytes: family(
                to,
                "respool_sent_bytes",
                "Bytes handed to clients: events, and all that comes between them",
            ),
            replayed: family(
                to,
                "respool_replayed_events",
                "Events sent to clients that came back for them: what would have been lost",
            ),
            resets: family(to, "respool_resets", "Runs of a stream that an event of it began"),
            repeated_ids: family(
                to,
                "respool_repeated_ids",
                "Ids that an upstream used again for another place: who comes back with one may get events again",
            ),
            untyped: family(
                to,
                "respool_untyped_events",
                "Events without a type where a rule asks for one: the rule does not apply to them",
            ),
            heads_awaited: family(
                to,
                "respool_heads_awaited",
                "Requests for event streams whose upstream has sent no head yet",
            ),
            partial_frames: family(
                to,
                "respool_partial_frames",
                "Upstream connections that stand in the middle of a frame",
            ),
            catch_up: histograms(
                to,
                "respool_catch_up_seconds",
                "How long clients that came back took, from the answer until all that they had missed was written",
            ),
            answers: family(
                to,
                "respool_answers",
                "Requests for event streams, by how they were answered: gap_expired says that windows are too short",
            ),
            admissions: family(to, "respool_admissions", "Admissions to shared streams, by their answer"),
            connects: family(
                to,
                "respool_upstream_connects",
                "Upstream connections of streams, by their answer",
            ),
            ends: family(to, "respool_stream_ends", "Upstream connections of streams that ended, by how"),
            breaks: family(
                to,
                "respool_breaks",
                "Streams that could not go on where they were, by why: their clients find a gap",
            ),
            cuts: family(to, "respool_clients_cut", "Clients cut, by why: stalled and behind are slow ones"),
            hellos: family(to, "respool_hellos", "Hellos of connections, by how much of them came in time"),
            dropped: family(
                to,
                "respool_guarded_events",
                "Events that asked what was answered, by how they were dropped",
            ),
        }
    }

    pub(super) fn of(&self, name: &str) -> RouteMetrics {
        let route = Route { route: name.to_owned() };
        RouteMetrics {
            clients: Level(self.clients.get_or_create_owned(&route)),
            answers: counts_of(&self.answers, name),
            admissions: counts_of(&self.admissions, name),
            connects: counts_of(&self.connects, name),
            ends: counts_of(&self.ends, name),
            breaks: counts_of(&self.breaks, name),
            cuts: counts_of(&self.cuts, name),
            events: self.events.get_or_create_owned(&route),
            bytes: self.bytes.get_or_create_owned(&route),
            sent_events: self.sent_events.get_or_create_owned(&route),
            sent_bytes: self.sent_bytes.get_or_create_owned(&route),
            replayed: self.replayed.get_or_create_owned(&route),
            resets: self.resets.get_or_create_owned(&route),
            repeated_ids: self.repeated_ids.get_or_create_owned(&route),
            untyped: self.untyped.get_or_create_owned(&route),
            heads_awaited: Level(self.heads_awaited.get_or_create_owned(&route)),
            partial_frames: Level(self.partial_frames.get_or_create_owned(&route)),
            catch_up: Times(self.catch_up.get_or_create_owned(&route)),
            hellos: counts_of(&self.hellos, name),
            dropped: counts_of(&self.dropped, name),
        }
    }
}

/// The labels of what is counted for a route.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct Route {
    pub(super) route: String,
}

/// A closed label, with a route beside it or without.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Of<L> {
    route: Option<String>,
    kind: L,
}

impl<L> Of<L> {
    /// Without a route.
    fn alone(kind: L) -> Self {
        Self { route: None, kind }
    }
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

/// From a millisecond, which a replay from memory takes, to half a minute, after which a client is cut that takes nothing.
fn histogram() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

fn counts_of<L: Label>(family: &Family<Of<L>, Counter>, route: &str) -> Counts<L> {
    Counts::new(|kind| family.get_or_create_owned(&Of { route: Some(route.to_owned()), kind }))
}

fn counts<L: Label>(registry: &mut Registry, name: &str, help: &str) -> Counts<L> {
    let series = family::<Of<L>, Counter>(registry, name, help);
    Counts::new(|kind| series.get_or_create_owned(&Of::alone(kind)))
}

fn levels<L: Label>(registry: &mut Registry, name: &str, help: &str) -> Levels<L> {
    let series = family::<Of<L>, Gauge>(registry, name, help);
    Levels::new(|kind| series.get_or_create_owned(&Of::alone(kind)))
}

fn times_by<L: Label>(registry: &mut Registry, name: &str, help: &str) -> TimesBy<L> {
    let series = histograms::<Of<L>>(registry, name, help);
    TimesBy::new(|kind| series.get_or_create_owned(&Of::alone(kind)))
}

fn histograms<S>(registry: &mut Registry, name: &str, help: &str) -> Family<S, Histogram, fn() -> Histogram>
where
    S: Clone + Hash + Eq + Send + Sync + EncodeLabelSet + fmt::Debug + 'static,
{
    let family = Family::<S, Histogram, fn() -> Histogram>::new_with_constructor(histogram);
    registry.register(name, help, family.clone());
    family
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

fn count(registry: &mut Registry, name: &str, help: &str) -> Count {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    Count(counter)
}

fn build_info(registry: &mut Registry) {
    let labels = [("version", env!("CARGO_PKG_VERSION"))];
    registry.register("respool_build", "What is running", Info::new(labels));
}
