//! What is not counted as it happens but looked up when somebody asks: what the windows hold, and how far behind
//! their clients are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

use super::{families::Route, process::put};

/// What the streams of one route come to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Windows {
    /// How many events returning clients may have.
    pub events: u64,
    /// How many bytes these are, as they are sent.
    pub bytes: u64,
    /// How long ago the oldest of them came.
    pub age: Duration,
    /// How many bytes the client that is furthest behind has not taken.
    pub lag: u64,
}

/// What a survey of all streams finds.
#[derive(Clone, Default, Debug)]
pub struct Survey {
    /// By the names of routes. One that is not there has no streams.
    pub routes: BTreeMap<String, Windows>,
    /// How many bytes all streams together may hold in memory.
    pub memory_limit: u64,
    /// The graceful end has begun.
    pub draining: bool,
}

/// Who knows all streams.
pub type Surveyor = Box<dyn Fn() -> Survey + Send + Sync>;

/// Asks the surveyor, each time that somebody reads. Clones ask the same one.
#[derive(Clone, Default)]
pub(super) struct Surveys(Arc<Inner>);

#[derive(Default)]
struct Inner {
    surveyor: OnceLock<Surveyor>,
    /// Every route there is, so that one without streams is seen to have none.
    routes: Mutex<BTreeSet<String>>,
}

impl Surveys {
    /// From now on this one is asked. The first one counts.
    pub(super) fn ask(&self, surveyor: Surveyor) {
        let _ = self.0.surveyor.set(surveyor);
    }

    /// There is a route of this name.
    pub(super) fn know(&self, route: &str) {
        let mut routes = self.0.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.insert(route.to_owned());
    }

    /// The names of all routes there are.
    pub(super) fn known(&self) -> Vec<String> {
        self.0.routes.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn survey(&self) -> Survey {
        let mut survey = self.0.surveyor.get().map(|surveyor| surveyor()).unwrap_or_default();
        for route in self.known() {
            survey.routes.entry(route).or_default();
        }
        survey
    }
}

impl fmt::Debug for Surveys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surveys")
    }
}

impl Collector for Surveys {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let survey = self.survey();
        by_route(
            &mut to,
            &survey,
            "respool_retained_events",
            "Events that clients who come back may have: how full windows are",
            |windows| windows.events,
        )?;
        by_route(
            &mut to,
            &survey,
            "respool_retained_bytes",
            "Bytes of events that clients who come back may have: how full windows are",
            |windows| windows.bytes,
        )?;
        by_route(
            &mut to,
            &survey,
            "respool_window_age_seconds",
            "Age of the oldest event that a client may come back for: how far back the longest window reaches",
            |windows| windows.age.as_secs_f64(),
        )?;
        by_route(
            &mut to,
            &survey,
            "respool_lag_bytes",
            "Bytes that the client furthest behind has not taken: it is slower than its stream where this rises",
            |windows| windows.lag,
        )?;
        let help = "Bytes that all streams together may take: limits.memory";
        put(&mut to, "respool_memory_limit_bytes", help, &ConstGauge::new(survey.memory_limit))?;
        let help = "1 while it ends gracefully, when clients are cut so that they go elsewhere";
        put(&mut to, "respool_draining", help, &ConstGauge::new(i64::from(survey.draining)))
    }
}

fn by_route<N: EncodeGaugeValue>(
    to: &mut DescriptorEncoder<'_>,
    survey: &Survey,
    name: &str,
    help: &str,
    of: impl Fn(&Windows) -> N,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (route, windows) in &survey.routes {
        let labels = Route { route: route.clone() };
        ConstGauge::new(of(windows)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
