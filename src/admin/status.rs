//! Where everything that the status says comes from.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Parts,
    action::Action,
    history::{History, Tally},
    report::{DrainPart, Report, UpstreamPart, Used, seconds},
};
use crate::{
    metrics::Metrics,
    pump::now,
    registry::{Inspection, Registry},
    reload::Record,
};

/// How many streams and clients one answer lists. The others are counted.
const STREAMS: usize = 100;
const CLIENTS: usize = 100;
/// How many may watch it as a stream of events at a time: probes must find a connection, too.
const WATCHERS: usize = 16;
/// In the newest so many minutes an upstream that did not answer is away, if nothing says otherwise.
const RECENT: usize = 2;

/// What is known, and of what.
#[derive(Debug)]
pub(super) struct Status {
    metrics: Metrics,
    registry: Registry,
    drain: crate::drain::Drain,
    record: Record,
    upstream: String,
    actions: Vec<Action>,
    began: Instant,
    /// The places of those who watch that are free.
    watchers: Arc<Semaphore>,
    history: Mutex<History>,
    /// One picture at a time, however many ask.
    turn: tokio::sync::Mutex<()>,
}

impl Status {
    pub(super) fn new(parts: &Parts) -> Self {
        let began = now();
        Self {
            metrics: parts.metrics.clone(),
            registry: parts.registry.clone(),
            drain: parts.drain.clone(),
            record: parts.record.clone(),
            upstream: parts.upstream.clone(),
            actions: parts.settings.actions.clone(),
            began,
            watchers: Arc::new(Semaphore::new(WATCHERS)),
            history: Mutex::new(History::new(began, Tally::of(&parts.metrics))),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Looks at what was counted whenever a minute ends, for ever.
    pub(super) async fn remember(self: Arc<Self>) {
        loop {
            let ends = self.history(|history| history.ends());
            tokio::time::sleep_until(ends.into()).await;
            self.history(|_| ());
        }
    }

    /// A place among those who watch it, until it is dropped; none, if too many do.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.watchers.clone().try_acquire_owned().ok()
    }

    /// The status as JSON. It is made beside those who serve clients: with thousands of these it takes a moment.
    pub(super) async fn picture(self: &Arc<Self>) -> Option<Bytes> {
        let _turn = self.turn.lock().await;
        let status = self.clone();
        tokio::task::spawn_blocking(move || status.json()).await.ok().map(Bytes::from)
    }

    fn json(&self) -> Vec<u8> {
        let seen = self.registry.inspect(STREAMS, CLIENTS);
        let (streams, clients) = Report::streams(&seen);
        let tally = Tally::of(&self.metrics);
        let limits = self.registry.limits();
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: seconds(now().saturating_duration_since(self.began)),
            drain: self.drain(),
            upstream: self.upstream(&seen),
            reload: (&*self.record.state()).into(),
            memory: Used { used: self.registry.held(), limit: limits.memory },
            stream_places: Used { used: seen.all.streams, limit: limits.streams },
            lingering: Used { used: at_least_none(self.metrics.lingering.get()), limit: limits.lingering },
            watchers: Used { used: WATCHERS - self.watchers.available_permits(), limit: WATCHERS },
            actions: &self.actions,
            totals: seen.all.into(),
            routes: seen.routes.iter().map(|(name, sums)| (&**name, (*sums).into())).collect(),
            streams,
            streams_left_out: seen.streams_left_out,
            clients,
            clients_left_out: seen.clients_left_out,
            counts: &tally,
            history: self.history(|history| (&*history).into()),
        };
        // Maps with names for keys, and numbers: nothing there can fail.
        serde_json::to_vec(&report).unwrap_or_default()
    }

    fn drain(&self) -> DrainPart {
        let since = self.drain.since();
        DrainPart {
            draining: since.is_some(),
            seconds: since.map(|since| seconds(now().saturating_duration_since(since))),
            time_seconds: seconds(self.drain.time()),
        }
    }

    /// What is known of the upstream by what was asked of it.
    fn upstream<'a>(&'a self, seen: &'a Inspection) -> UpstreamPart<'a> {
        let recent = |of, kind| self.history(|history| history.recent(RECENT, of, kind));
        let failed = recent("connects", "failed") + recent("requests", "failed");
        let answered =
            recent("connects", "stream") + recent("connects", "refused") + recent("requests", "forwarded");
        // A stream that is live is an answer that goes on.
        let connected = seen.all.streams > seen.all.troubled;
        let state = match (seen.all.troubled > 0, answered > 0 || connected, failed > 0) {
            (true, ..) | (_, false, true) => "away",
            (_, true, _) => "answering",
            (_, false, false) => "unknown",
        };
        UpstreamPart {
            address: &self.upstream,
            state,
            why: seen.streams.iter().find_map(|stream| stream.why.as_deref()),
            streams_without: seen.all.troubled,
        }
    }

    /// The history, up to now.
    fn history<T>(&self, of: impl FnOnce(&mut History) -> T) -> T {
        let tally = Tally::of(&self.metrics);
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.note(now(), &tally);
        of(&mut history)
    }
}

fn at_least_none(level: i64) -> usize {
    usize::try_from(level).unwrap_or(0)
}
