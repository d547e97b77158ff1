//! The composition root: from a configuration to what serves clients. The only file that knows everyone.

use std::{sync::Arc, time::SystemTime};

use tower::util::BoxCloneSyncService;

use crate::{
    config::Config,
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
        let forward = Rotating::new(forward, cookies.clone());
        let limits = Limits {
            memory: config.limits.memory.get(),
            streams: config.limits.streams.get(),
            lingering: config.limits.lingering.get(),
            event: config.limits.event.get(),
            hold: config.outage_hold,
        };
        let statuses: Arc<[_]> = config.outage_statuses.iter().copied().collect();
        // A shared stream has a patience of its own, one for all who wait. A request of a client's is held while the
        // upstream is away.
        let unheld = BoxCloneSyncService::new(Absent::new(forward.clone(), statuses.clone()));
        let registry = Registry::new(limits, dice.clone(), metrics.clone(), unheld, cookies);
        let held =
            Outage::new(forward, config.outage_hold, dice, metrics.outages.clone()).with_statuses(statuses);
        let admissions = Admissions::new(config.limits.admissions.get(), &metrics);
        let stall = config.server().stall;
        let splice = Splice::new(
            BoxCloneSyncService::new(held),
            routes,
            registry.clone(),
            admissions,
            &metrics,
            config.stumbling.clone(),
            stall,
        );
        // Outermost first: the server's limits, then what no request may do, then the splice.
        let answer = Answer::new(splice.clone(), metrics.clone());
        let refuse = answer.refusals();
        let server = Server::new(answer, config.server(), drain.clone()).refusing(refuse);
        Self { server, splice, registry, metrics, drain, record: Record::new(SystemTime::now()) }
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
