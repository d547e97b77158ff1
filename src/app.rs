//! The composition root: from a configuration to what serves clients. The only file that knows everyone.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::StatusCode;
use tower::util::BoxCloneSyncService;

use crate::{
    config::Config,
    current::Current,
    dice::Dice,
    drain::Drain,
    metrics::Metrics,
    net::Dial,
    proxy::{
        absent::Absent, admission::Admissions, answer::Answer, forward::Forward, outage::Outage,
        rotating::Rotating, splice::Splice,
    },
    registry::{Limits, Registry},
    reload::Record,
    route::{Cookies, Routes},
    server::Server,
};

/// Everything that serves clients, put together.
#[derive(Clone, Debug)]
pub struct App {
    server: Server<Answer<Splice>>,
    splice: Splice,
    registry: Registry,
    forward: Forward,
    hold: Current<Duration>,
    statuses: Current<Vec<StatusCode>>,
    admissions: Admissions,
    metrics: Metrics,
    drain: Drain,
    record: Record,
}

impl App {
    /// Puts the parts together. Upstream connections are made by `dial`; nothing is connected yet.
    #[must_use]
    pub fn new(config: &Config, dial: Arc<dyn Dial>, dice: Dice, metrics: Metrics, drain: Drain) -> Self {
        let routes = Routes::new(config.routes.clone());
        let cookies = Cookies::new(dice.secret(), routes.longest_private_linger());
        let forward = Forward::with_dial(dial, config.upstream.authority(), config.forward);
        let rotating = Rotating::new(forward.clone(), cookies.clone());
        let (hold, statuses) =
            (Current::new(config.outage_hold), Current::new(config.outage_statuses.clone()));
        // A shared stream has a patience of its own, one for all who wait. A request of a client's is held while the
        // upstream is away.
        let unheld = BoxCloneSyncService::new(Absent::new(rotating.clone(), statuses.clone()));
        let registry = Registry::new(limits(config), dice.clone(), metrics.clone(), unheld, cookies);
        let held = Outage::new(rotating, config.outage_hold, dice, metrics.outages.clone());
        let held = held.with_statuses(statuses.clone()).holding(hold.clone());
        let admissions = Admissions::new(config.limits.admissions.get(), &metrics);
        let stall = config.server().stall;
        let splice = Splice::new(
            BoxCloneSyncService::new(held),
            routes,
            registry.clone(),
            admissions.clone(),
            &metrics,
            config.stumbling.clone(),
            stall,
        );
        // Outermost first: the server's limits, then what no request may do, then the splice.
        let answer = Answer::new(splice.clone(), metrics.clone());
        let refuse = answer.refusals();
        let server = Server::new(answer, config.server(), drain.clone()).refusing(refuse).counting(
            metrics.connections.clone(),
            metrics.shortages.clone(),
            metrics.cut_connections.clone(),
        );
        let record = Record::new(SystemTime::now());
        Self { server, splice, registry, forward, hold, statuses, admissions, metrics, drain, record }
    }

    /// Begins what does not wait for a client: pinned streams, and the wait for the drain. Needs a runtime.
    pub fn start(&self) {
        self.splice.pin();
        let (registry, drain) = (self.registry.clone(), self.drain.clone());
        tokio::spawn(async move {
            drain.begun().await;
            // The last fifth is for those who are slow to take what they have coming.
            registry.drain(drain.time().mul_f64(0.8));
        });
    }

    /// Goes by another configuration from now on, as far as it can be changed while clients are served. None of them is
    /// cut, and no window is lost that it still has a use for. Needs a runtime.
    pub fn change(&self, config: &Config) {
        self.forward.set(config.forward);
        self.hold.set(config.outage_hold);
        self.statuses.set(config.outage_statuses.clone());
        self.admissions.set_places(config.limits.admissions.get());
        self.registry.set_limits(limits(config));
        self.splice.change(config.routes.clone(), config.stumbling.clone());
        self.registry.cookies().set_time(self.splice.routes().longest_private_linger());
        self.server.set_connections(config.limits.connections.get());
        self.drain.set_time(config.drain_time);
    }

    /// What serves connections.
    #[must_use]
    pub fn server(&self) -> &Server<Answer<Splice>> {
        &self.server
    }

    /// All streams.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The graceful end.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// What is known of the configuration in force.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        memory: config.limits.memory.get(),
        streams: config.limits.streams.get(),
        lingering: config.limits.lingering.get(),
        event: config.limits.event.get(),
        hold: config.outage_hold,
    }
}
