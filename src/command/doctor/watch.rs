//! Clients that come back: the one that is left alone, and the one that is cut.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    client::{Client, Plan},
    visit::{End, Event, Visit},
};

/// How long a client stays away that lost its connection by no doing of ours.
const PAUSE: Duration = Duration::from_millis(200);

/// How the run stands. Clones are the same one.
#[derive(Clone, Default, Debug)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

/// What has been seen so far, by either client.
#[derive(Default, Debug)]
pub(super) struct Counts {
    pub(super) alone: usize,
    pub(super) cut: usize,
    pub(super) cuts: u64,
    /// What the one left alone had.
    of_alone: HashSet<u64>,
    /// What of it the other had not.
    missing: HashSet<u64>,
    of_cut: HashSet<u64>,
    /// The one left alone looks no more.
    is_over: bool,
    /// The other had something since that is newer than all that.
    has_newer: bool,
}

impl Tally {
    /// How the run stands now. Held for a moment only.
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_alone(&self, event: &Event) {
        let counts = &mut *self.counts();
        counts.alone += 1;
        counts.of_alone.insert(event.print);
        if !counts.of_cut.contains(&event.print) {
            counts.missing.insert(event.print);
        }
    }

    fn note_cut(&self, event: &Event) {
        let counts = &mut *self.counts();
        counts.cut += 1;
        counts.of_cut.insert(event.print);
        counts.missing.remove(&event.print);
        counts.has_newer |= counts.is_over && !counts.of_alone.contains(&event.print);
    }
}

impl Counts {
    /// The client that was left alone looks no more.
    pub(super) fn end_alone(&mut self) {
        self.is_over = true;
    }

    /// Each event that the client that was left alone had, the other had, too.
    pub(super) fn is_even(&self) -> bool {
        self.missing.is_empty()
    }

    /// The other had an event that came later than all that the client that was left alone had: what it has not had by then
    /// does not come.
    pub(super) fn is_past(&self) -> bool {
        self.has_newer
    }
}

/// When a client is cut: once in each slot of this length, so many times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cuts {
    pub(super) from: Instant,
    pub(super) slot: Duration,
    pub(super) times: u32,
}

impl Cuts {
    /// The plan of the cut with this number; random within its slot.
    fn plan(&self, number: u32, client: &Client) -> Plan {
        if number >= self.times {
            return Plan::Stay;
        }
        let begin = self.from + self.slot * number;
        let due = begin + self.slot / 10 + client.dice.up_to(self.slot / 2);
        Plan::Cut { due, patience: begin + self.slot * 7 / 10 }
    }

    /// How long to stay away; within its slot.
    fn away(&self, client: &Client) -> Duration {
        client.dice.up_to(self.slot / 4)
    }
}

/// Watches the stream with a client that is left alone, until `stop`: all of its connections.
pub(super) async fn alone(client: Client, tally: Tally, mut stop: watch::Receiver<bool>) -> Vec<Visit> {
    let mut heard = |event: &Event| tally.note_alone(event);
    let (mut visits, mut cursor) = (Vec::new(), None);
    loop {
        let visit = client.visit(cursor, Plan::Stay, &mut stop, &mut heard).await;
        let over = visit.end == End::Left || visit.is_refused();
        cursor = visit.place.clone();
        visits.push(visit);
        if over || rest(PAUSE, &mut stop).await {
            return visits;
        }
    }
}

/// Watches the stream with a client that is cut, until `stop`: all of its connections.
pub(super) async fn cut(
    client: Client,
    tally: Tally,
    cuts: Cuts,
    mut stop: watch::Receiver<bool>,
) -> Vec<Visit> {
    let mut heard = |event: &Event| tally.note_cut(event);
    let (mut visits, mut cursor, mut number) = (Vec::new(), None::<Bytes>, 0);
    loop {
        let visit = client.visit(cursor, cuts.plan(number, &client), &mut stop, &mut heard).await;
        let over = visit.end == End::Left || visit.is_refused();
        let away = if visit.end == End::Cut { cuts.away(&client) } else { PAUSE };
        if visit.end == End::Cut {
            number += 1;
            tally.counts().cuts += 1;
        }
        cursor = visit.place.clone();
        visits.push(visit);
        if over || rest(away, &mut stop).await {
            return visits;
        }
    }
}

/// Makes one connection after this time, if the run is not over by then, and stays until it is.
pub(super) async fn once(
    client: Client,
    after: Duration,
    cursor: Option<Bytes>,
    mut stop: watch::Receiver<bool>,
) -> Option<Visit> {
    if rest(after, &mut stop).await {
        return None;
    }
    Some(client.visit(cursor, Plan::Stay, &mut stop, &mut |_| {}).await)
}

/// Waits; true if the run is over.
async fn rest(time: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => true,
        () = sleep(time) => false,
    }
}
