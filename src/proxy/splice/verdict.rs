//! How a client was answered, as its head, the metrics and the log say it.

use crate::{
    metrics::{self, RouteMetrics},
    pump::now,
    route::Route,
    seldom::Seldom,
    window::{Gap, Verdict},
};

/// Counts it, and says it to the operator where it is a limit that was reached.
pub(super) fn count(verdict: Verdict, route: &Route, metrics: &RouteMetrics) {
    static EXPIRED: Seldom = Seldom::new();
    metrics.answers.count(label(verdict));
    if verdict == Verdict::Gap(Gap::Expired)
        && let Some(times) = EXPIRED.again(now())
    {
        let (route, setting) = (&route.name, "window");
        tracing::info!(route, setting, times, "a client came back for what is no longer retained");
    }
}

/// What its head says.
pub(super) fn header(verdict: Verdict) -> String {
    match verdict {
        Verdict::Fresh => "fresh".into(),
        Verdict::Resumed { missed, .. } => format!("resumed; missed={missed}"),
        Verdict::Gap(gap) => format!("gap; reason={}", gap.reason()),
        Verdict::Foreign => "foreign".into(),
    }
}

/// What it is counted as.
pub(super) fn label(verdict: Verdict) -> metrics::Answer {
    match verdict {
        Verdict::Fresh => metrics::Answer::Fresh,
        Verdict::Resumed { .. } => metrics::Answer::Resumed,
        Verdict::Gap(Gap::Expired) => metrics::Answer::GapExpired,
        Verdict::Gap(Gap::Generation) => metrics::Answer::GapGeneration,
        Verdict::Gap(Gap::Ahead) => metrics::Answer::GapAhead,
        Verdict::Foreign => metrics::Answer::Foreign,
    }
}
