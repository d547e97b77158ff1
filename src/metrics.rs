//! What is counted, and how it is read: every metric's name and labels live here.
//!
//! Labels are closed enums and names of routes, never keys, paths or anything else that a client chose. Series
//! are looked up once, when a handle is made; counting is then one relaxed atomic addition. What can be looked up
//! when somebody reads is not counted at all.

use std::{fmt::Write as _, sync::Arc};

use prometheus_client::{encoding::text, metrics::counter::Counter, registry::Registry};

mod families;
mod handle;
mod hold;
mod label;
mod process;
mod survey;

use families::{Families, Global};
pub use handle::{Count, Counts, Held, Level, Levels, Times, TimesBy};
pub use hold::{Finding, Hold, Outages};
pub use label::{
    Admission, Admitting, Answer, Break, Connect, Cut, Dropped, End, Eviction, Hello, Kind, Label, Outcome,
    Overuse, Release, Reload, Renewal,
};
pub use survey::{Survey, Surveyor, Windows};

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted. Clones share their numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Client connections that were accepted.
    pub connections: Level,
    /// Times that no client could be accepted for want of file descriptors.
    pub shortages: Count,
    /// Client connections that were ended for what their clients did.
    pub cut_connections: Counts<Overuse>,
    /// Streams that exist, by kind.
    pub streams: Levels<Kind>,
    /// Upstream connections that nobody listens to.
    pub lingering: Level,
    /// Clients that are to be let into shared streams.
    pub admitting: Levels<Admitting>,
    /// Bytes that windows, unread and partial frames take.
    pub memory: Level,
    /// Requests that were forwarded, refused by us, or failed at the upstream.
    pub requests: Counts<Outcome>,
    /// Times that the configuration was read again.
    pub reloads: Counts<Reload>,
    /// When the configuration in force was loaded, in seconds of the Unix epoch.
    pub loaded: Level,
    /// New certificates in the files of TLS, with clients and with the upstream.
    pub certificates: Counts<Renewal>,
    /// Requests that are held while the upstream is away.
    pub outages: Outages,
    /// What was let go before its time.
    pub evictions: Counts<Eviction>,
    routes: Arc<Families>,
    surveys: survey::Surveys,
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
    /// Why clients were cut.
    pub cuts: Counts<Cut>,
    /// How much of the hello that a connection was to begin with came in time.
    pub hellos: Counts<Hello>,
    /// Requests for event streams whose upstream has not sent a head.
    pub heads_awaited: Level,
    /// Upstream connections that stand in the middle of a frame.
    pub partial_frames: Level,
    /// How pumps came to an end.
    pub ends: Counts<End>,
    /// Why streams could not go on where they were.
    pub breaks: Counts<Break>,
    /// How long clients that came back took to have what they had missed.
    pub catch_up: Times,
    events: Counter,
    bytes: Counter,
    sent_events: Counter,
    sent_bytes: Counter,
    replayed: Counter,
    resets: Counter,
    repeated_ids: Counter,
    untyped: Counter,
    dropped: Counts<Dropped>,
}

/// What the end of a pump is for its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// No more than that.
    Ended(End),
    /// Continuity is lost.
    Broke(Break),
}

impl Over {
    /// It as it is read.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Ended(how) => how.text(),
            Self::Broke(why) => why.text(),
        }
    }
}

impl Metrics {
    /// All numbers at zero. A series of a route exists from the first [`Metrics::route`] with its name.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let global = Global::register(&mut registry);
        let routes = Arc::new(Families::register(&mut registry));
        let surveys = survey::Surveys::default();
        registry.register_collector(Box::new(surveys.clone()));
        registry.register_collector(Box::new(process::Process::starting()));
        let Global {
            connections,
            shortages,
            cut_connections,
            streams,
            lingering,
            admitting,
            memory,
            requests,
            outages,
            evictions,
            reloads,
            loaded,
            certificates,
        } = global;
        let registry = Arc::new(registry);
        Self {
            connections,
            shortages,
            cut_connections,
            streams,
            lingering,
            admitting,
            memory,
            requests,
            outages,
            evictions,
            reloads,
            loaded,
            certificates,
            routes,
            surveys,
            registry,
        }
    }

    /// The numbers of a route, by its name in the configuration. The look-up takes locks: keep what it returns.
    #[must_use]
    pub fn route(&self, name: &str) -> RouteMetrics {
        self.surveys.know(name);
        self.routes.of(name)
    }

    /// The names of all routes of which something was counted.
    #[must_use]
    pub fn routes(&self) -> Vec<String> {
        self.surveys.known()
    }

    /// What windows hold is asked of this one, each time that somebody reads. The first one counts.
    pub fn survey_by(&self, surveyor: Surveyor) {
        self.surveys.ask(surveyor);
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

    /// So many events were handed to a client's connection.
    pub fn sent_events(&self, events: u64) {
        self.sent_events.inc_by(events);
    }

    /// So many bytes were handed to a client's connection.
    pub fn sent_bytes(&self, bytes: usize) {
        self.sent_bytes.inc_by(bytes as u64);
    }

    /// A pump came to an end that nobody goes on behind.
    pub fn over(&self, over: Over) {
        match over {
            Over::Ended(how) => self.ends.count(how),
            Over::Broke(why) => {
                self.ends.count(End::Broken);
                self.breaks.count(why);
            }
        }
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
        metrics.memory.set(9);
        check(&metrics, r#"respool_requests_total{outcome="refused"} 1"#);
        check(&metrics, "respool_memory_bytes 9");
        check(&metrics, "respool_lingering 0");
        check(&metrics, &format!(r#"respool_build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION")));
        check(&metrics, "# EOF");
    }
}
