//! What was counted, and when: the last hour in minutes. Pure: the counts and the time are arguments.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::metrics::{Admission, Answer, Connect, Counts, Cut, End, Label, Metrics, Outcome, RouteMetrics};

/// How long a bucket is.
pub(super) const BUCKET: Duration = Duration::from_secs(60);
/// How many there are: an hour of them.
pub(super) const BUCKETS: usize = 60;

/// What was counted on all routes together: of what, and of which kind.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub(super) struct Tally(BTreeMap<&'static str, BTreeMap<&'static str, u64>>);

/// The same, with a number for each bucket.
pub(super) type Series = BTreeMap<&'static str, BTreeMap<&'static str, Vec<u64>>>;

impl Tally {
    /// What was counted so far.
    pub(super) fn of(metrics: &Metrics) -> Self {
        let routes: Vec<RouteMetrics> = metrics.routes().iter().map(|name| metrics.route(name)).collect();
        Self(BTreeMap::from([
            ("answers", sum::<Answer>(routes.iter().map(|route| &route.answers))),
            ("admissions", sum::<Admission>(routes.iter().map(|route| &route.admissions))),
            ("connects", sum::<Connect>(routes.iter().map(|route| &route.connects))),
            ("ends", sum::<End>(routes.iter().map(|route| &route.ends))),
            ("cuts", sum::<Cut>(routes.iter().map(|route| &route.cuts))),
            ("requests", sum::<Outcome>([&metrics.requests].into_iter())),
        ]))
    }

    /// How many there were of a kind.
    pub(super) fn get(&self, of: &str, kind: &str) -> u64 {
        self.0.get(of).and_then(|kinds| kinds.get(kind)).copied().unwrap_or(0)
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.0.iter().flat_map(|(of, kinds)| kinds.iter().map(|(kind, count)| (*of, *kind, *count)))
    }

    fn add(&mut self, of: &'static str, kind: &'static str, count: u64) {
        *self.0.entry(of).or_default().entry(kind).or_default() += count;
    }
}

fn sum<'a, L: Label>(counts: impl Iterator<Item = &'a Counts<L>>) -> BTreeMap<&'static str, u64> {
    let mut all: BTreeMap<_, _> = L::ALL.iter().map(|label| (label.text(), 0)).collect();
    for counts in counts {
        for label in L::ALL {
            *all.entry(label.text()).or_default() += counts.get(*label);
        }
    }
    all
}

/// A ring of buckets. What was counted between two looks belongs to the bucket of the earlier one, so that it has to be
/// looked at whenever one ends.
#[derive(Debug)]
pub(super) struct History {
    start: Instant,
    /// Which bucket is being filled.
    number: u64,
    seen: Tally,
    /// The one that is being filled at the end.
    buckets: VecDeque<Tally>,
}

impl History {
    /// Nothing was counted before `start` but this.
    pub(super) fn new(start: Instant, seen: Tally) -> Self {
        Self { start, number: 0, seen, buckets: VecDeque::from([Tally::default()]) }
    }

    /// By now so much was counted.
    pub(super) fn note(&mut self, now: Instant, total: &Tally) {
        if let Some(bucket) = self.buckets.back_mut() {
            for (of, kind, count) in total.each() {
                bucket.add(of, kind, count.saturating_sub(self.seen.get(of, kind)));
            }
        }
        let number = now.saturating_duration_since(self.start).as_secs() / BUCKET.as_secs();
        let ended = number.saturating_sub(self.number).min(BUCKETS as u64);
        self.number = self.number.max(number);
        (0..ended).for_each(|_| self.buckets.push_back(Tally::default()));
        while self.buckets.len() > BUCKETS {
            self.buckets.pop_front();
        }
        self.seen = total.clone();
    }

    /// When the bucket ends that is being filled.
    pub(super) fn ends(&self) -> Instant {
        let seconds = (self.number + 1).saturating_mul(BUCKET.as_secs());
        self.start.checked_add(Duration::from_secs(seconds)).unwrap_or(self.start)
    }

    /// For each kind a number for each bucket, the newest last.
    pub(super) fn series(&self) -> Series {
        let mut series = Series::new();
        for (of, kind, _) in self.seen.each() {
            let counts = self.buckets.iter().map(|bucket| bucket.get(of, kind)).collect();
            series.entry(of).or_default().insert(kind, counts);
        }
        series
    }

    /// How many there were of a kind in the newest buckets.
    pub(super) fn recent(&self, buckets: usize, of: &str, kind: &str) -> u64 {
        self.buckets.iter().rev().take(buckets).map(|bucket| bucket.get(of, kind)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(fresh: u64) -> Tally {
        Tally(BTreeMap::from([("answers", BTreeMap::from([("fresh", fresh)]))]))
    }

    /// Looks at so many seconds, when so much was counted; then the newest buckets are these.
    #[track_caller]
    fn check(looks: &[(u64, u64)], newest: &[u64]) {
        let start = Instant::now();
        let mut history = History::new(start, tally(100));
        for &(second, fresh) in looks {
            history.note(start + Duration::from_secs(second), &tally(100 + fresh));
        }
        assert_eq!(history.series()["answers"]["fresh"], newest);
        assert_eq!(history.recent(1, "answers", "fresh"), *newest.last().unwrap());
    }

    #[test]
    fn what_was_counted_since_a_look_is_of_its_minute() {
        check(&[], &[0]);
        check(&[(0, 1), (10, 3), (59, 4)], &[4]);
        check(&[(59, 4), (60, 5), (61, 6)], &[5, 1]);
        check(&[(10, 2), (185, 3), (190, 4)], &[3, 0, 0, 1]);
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let looks: Vec<_> = (0..200).map(|minute| (minute * 60, minute)).collect();
        let mut each = vec![1; BUCKETS - 1];
        each.push(0);
        check(&looks, &each);
        check(&[(0, 2), (1_000_000, 9)], &[0; BUCKETS]);
    }

    #[test]
    fn a_clock_that_goes_back_and_a_count_that_falls_are_nothing() {
        check(&[(120, 3), (10, 5), (125, 4)], &[3, 0, 2]);
    }

    #[test]
    fn a_bucket_ends_when_the_next_begins() {
        let start = Instant::now();
        let mut history = History::new(start, tally(0));
        assert_eq!(history.ends(), start + BUCKET);
        history.note(history.ends(), &tally(1));
        assert_eq!(history.ends(), start + 2 * BUCKET);
    }
}
