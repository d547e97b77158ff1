//! What `/status` says: the shape of the JSON. Names that are here stay; others may come.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use super::{
    action::Action,
    history::{BUCKET, BUCKETS, History, Series, Tally},
};
use crate::{
    registry::{self, Inspection, Totals},
    reload,
};

/// All of it. Times are in seconds, sizes in bytes.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) version: &'static str,
    pub(super) uptime_seconds: f64,
    pub(super) drain: DrainPart,
    pub(super) upstream: UpstreamPart<'a>,
    pub(super) reload: ReloadPart,
    pub(super) memory: Used,
    pub(super) stream_places: Used,
    pub(super) lingering: Used,
    /// Those who are sent this as events.
    pub(super) watchers: Used,
    /// What may be asked for by a button.
    pub(super) actions: &'a [Action],
    pub(super) totals: Sums,
    pub(super) routes: BTreeMap<&'a str, Sums>,
    pub(super) streams: Vec<StreamPart<'a>>,
    pub(super) streams_left_out: usize,
    pub(super) clients: Vec<ClientPart<'a>>,
    pub(super) clients_left_out: usize,
    /// Since the start.
    pub(super) counts: &'a Tally,
    pub(super) history: HistoryPart,
}

#[derive(Serialize)]
pub(super) struct DrainPart {
    pub(super) draining: bool,
    /// For how long; none, while it is not.
    pub(super) seconds: Option<f64>,
    /// How long it takes at most.
    pub(super) time_seconds: f64,
}

#[derive(Serialize)]
pub(super) struct UpstreamPart<'a> {
    pub(super) address: &'a str,
    /// `answering`, `away` or `unknown`.
    pub(super) state: &'static str,
    /// What is wrong, of the worst stream.
    pub(super) why: Option<&'a str>,
    /// How many shared streams have none, and should.
    pub(super) streams_without: usize,
}

#[derive(Serialize)]
pub(super) struct ReloadPart {
    /// When the configuration in force was loaded, since the Unix epoch.
    loaded: f64,
    loads: u64,
    /// When it was looked for another one last.
    last: f64,
    /// `loaded`, `unchanged` or `refused`.
    outcome: &'static str,
    faults: Vec<String>,
    /// What was changed and waits for a restart.
    waiting: Vec<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Used {
    pub(super) used: usize,
    pub(super) limit: usize,
}

#[derive(Serialize)]
pub(super) struct Sums {
    streams: usize,
    streams_without_upstream: usize,
    clients: usize,
    clients_past_low: usize,
    waiting: usize,
    events: u64,
    bytes: usize,
    furthest_bytes: usize,
}

#[derive(Serialize)]
pub(super) struct StreamPart<'a> {
    /// Its number, which a purge names; none for a run that is over.
    number: Option<u64>,
    route: &'a str,
    kind: &'static str,
    /// The short hash that logs have, too.
    key: String,
    phase: &'static str,
    phase_seconds: Option<f64>,
    why: Option<&'a str>,
    open_seconds: Option<f64>,
    window: Option<WindowPart>,
    clients: usize,
    waiting: usize,
    furthest: LagPart,
}

#[derive(Serialize)]
struct WindowPart {
    generation: String,
    low: u64,
    /// The seq of the newest event: the fence of who comes now.
    tail: u64,
    events: u64,
    events_limit: usize,
    bytes: usize,
    bytes_limit: usize,
    oldest_seconds: Option<f64>,
    age_limit_seconds: f64,
}

#[derive(Serialize)]
struct LagPart {
    events: u64,
    bytes: usize,
    /// It would find a gap if it were lost now.
    past_low: bool,
}

#[derive(Serialize)]
pub(super) struct ClientPart<'a> {
    stream: Option<u64>,
    route: &'a str,
    key: String,
    lag: LagPart,
    connected_seconds: f64,
}

/// What was counted in each minute of the last hour.
#[derive(Serialize)]
pub(super) struct HistoryPart {
    bucket_seconds: u64,
    /// There are fewer in the first hour.
    buckets_most: usize,
    /// For each kind one number a bucket, the newest last.
    counts: Series,
}

impl<'a> Report<'a> {
    /// The parts of it that tell of streams.
    pub(super) fn streams(seen: &'a Inspection) -> (Vec<StreamPart<'a>>, Vec<ClientPart<'a>>) {
        let clients = seen.clients.iter().map(|client| ClientPart {
            stream: client.stream,
            route: &client.route,
            key: client.key.to_string(),
            lag: LagPart::of(client.lag),
            connected_seconds: seconds(client.here),
        });
        (seen.streams.iter().map(StreamPart::of).collect(), clients.collect())
    }
}

impl<'a> StreamPart<'a> {
    fn of(stream: &'a registry::Stream) -> Self {
        Self {
            number: stream.number,
            route: &stream.route,
            kind: stream.kind.text(),
            key: stream.key.to_string(),
            phase: stream.phase.text(),
            phase_seconds: stream.phase_for.map(seconds),
            why: stream.why.as_deref(),
            open_seconds: stream.open_for.map(seconds),
            window: stream.window.map(|window| WindowPart {
                generation: window.generation.short(),
                low: window.low,
                tail: window.tail,
                events: window.events,
                events_limit: window.bounds.events.get(),
                bytes: window.bytes,
                bytes_limit: window.bounds.bytes.get(),
                oldest_seconds: window.oldest.map(seconds),
                age_limit_seconds: seconds(window.bounds.age),
            }),
            clients: stream.clients,
            waiting: stream.waiting,
            furthest: LagPart::of(stream.lag),
        }
    }
}

impl LagPart {
    fn of(lag: crate::window::Lag) -> Self {
        Self { events: lag.events, bytes: lag.bytes, past_low: lag.past_low }
    }
}

impl From<Totals> for Sums {
    fn from(of: Totals) -> Self {
        Self {
            streams: of.streams,
            streams_without_upstream: of.troubled,
            clients: of.clients,
            clients_past_low: of.past_low,
            waiting: of.waiting,
            events: of.events,
            bytes: of.bytes,
            furthest_bytes: of.furthest,
        }
    }
}

impl From<&reload::State> for ReloadPart {
    fn from(state: &reload::State) -> Self {
        let (outcome, faults) = match &state.last.outcome {
            reload::Outcome::Loaded => ("loaded", Vec::new()),
            reload::Outcome::Unchanged => ("unchanged", Vec::new()),
            reload::Outcome::Refused(faults) => ("refused", faults.clone()),
        };
        Self {
            loaded: epoch(state.loaded),
            loads: state.loads,
            last: epoch(state.last.at),
            outcome,
            faults,
            waiting: state.waiting.clone(),
        }
    }
}

impl From<&History> for HistoryPart {
    fn from(history: &History) -> Self {
        Self { bucket_seconds: BUCKET.as_secs(), buckets_most: BUCKETS, counts: history.series() }
    }
}

fn epoch(time: SystemTime) -> f64 {
    seconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// To the millisecond.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
