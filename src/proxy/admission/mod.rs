//! Admissions: a client of a shared stream is let in by the upstream's yes to its own request.
//!
//! When everybody returns at once, the upstream must not hear from all at once: so many wait for its answer, or for its
//! hello behind that, at a time, and the streams take turns. Where the route says so, a yes counts for a while for whoever
//! returns with the same request, and of those one asks for all. The connection that a stream's pump opens is not counted
//! here: there is one a stream, and it has a pace of its own.

mod gate;
mod leads;
mod memory;
mod turnstile;

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{Response, response::Parts};
use tokio::time::timeout;

use crate::{
    body::{self, Relay},
    fault::Fault,
    head::{self, Head},
    metrics::{Admission, Admitting, Levels, Metrics, RouteMetrics},
    pump::now,
    route::{Identity, Key},
    seldom::Seldom,
};

use gate::{Gate, Place};
use leads::{Lead, Leads};
use memory::Memory;

/// Whom an answer was given to: the stream, and all of the request that could mean somebody else.
type Who = (Key, Identity);

/// The admissions to all shared streams. Clones share their places and what they remember.
#[derive(Clone)]
pub struct Admissions {
    gate: Gate,
    leads: Leads<Who>,
    memory: Arc<Mutex<Memory<Who>>>,
    admitting: Levels<Admitting>,
    late: Arc<Seldom>,
}

/// A client that is to be let in.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The stream.
    pub key: Key,
    /// The client, and for how long a yes to it counts; `None` where nothing is remembered.
    pub known: Option<(Identity, Duration)>,
    /// When it came to its route, or before.
    pub came: Instant,
    /// It comes back for what it missed: a yes from before is enough.
    pub returns: bool,
    /// What the upstream says behind its head is read, too: it keeps its place for that.
    pub reads_on: bool,
    /// After how long it gives up its place, and goes on waiting.
    pub timeout: Duration,
    /// Its route's numbers.
    pub metrics: &'a RouteMetrics,
}

/// What became of an admission that was answered.
#[derive(Debug)]
pub enum Admitted {
    /// The upstream said yes to this very request.
    Yes(Box<Parts>, Relay),
    /// It did a moment ago, with this head.
    Remembered(Arc<Head>),
    /// It said no. This is the answer.
    No(Response<Relay>),
}

impl Admissions {
    /// At most so many are asked about at once.
    #[must_use]
    pub fn new(places: usize, metrics: &Metrics) -> Self {
        let admitting = metrics.admitting.clone();
        let (gate, leads) = (Gate::new(places, admitting.clone()), Leads::new());
        Self { gate, leads, memory: Arc::default(), admitting, late: Arc::default() }
    }

    /// The head of the upstream's yes to this client, if there was one that counts now.
    #[must_use]
    pub fn remembered(&self, key: Key, identity: Identity, now: Instant) -> Option<Arc<Head>> {
        self.memory().yes((key, identity), now)
    }

    /// The upstream said yes to this client, with this head, when it was asked at the time `asked`: here, or for the
    /// opening of the stream.
    pub fn said_yes(&self, visit: &Visit<'_>, head: &Parts, asked: Instant) {
        let mut memory = self.memory();
        // For as long as a route of before says, it counts no more.
        if let Some((identity, time)) = visit.known.filter(|_| memory.began_before(visit.came)) {
            memory.admit((visit.key, identity), Head::of(head), asked, time, now());
        }
    }

    /// No yes of before now counts any more.
    pub fn forget(&self) {
        self.memory().forget_all(now());
    }

    /// So many are asked about at once from now on. Of more, those who have a place keep it.
    pub fn set_places(&self, places: usize) {
        self.gate.set_places(places);
    }

    /// The upstream said no to this client: an earlier yes counts no more.
    pub fn said_no(&self, visit: &Visit<'_>) {
        if let Some((identity, time)) = visit.known {
            self.refused(visit.key, identity, time);
        }
    }

    /// The same, where yeses count for so long.
    pub fn refused(&self, key: Key, identity: Identity, time: Duration) {
        self.memory().refuse((key, identity), time, now());
    }

    /// Lets a client in, or not: by what is remembered, where that is enough, else by `ask`, which sends its request when
    /// it is first polled. Dropping the future gives up all that it has or waits for.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn admit(
        &self,
        visit: Visit<'_>,
        ask: impl Future<Output = Result<Response<Relay>, Fault>>,
    ) -> Result<Admitted, Fault> {
        let mut lead = match self.lead(&visit).await {
            Ok(lead) => lead,
            Err(head) => return Ok(visit.remembered(head)),
        };
        let place = self.gate.turn(visit.key).await;
        // Somebody may have been let in meanwhile.
        if let Some(head) = self.enough(&visit) {
            return Ok(visit.remembered(head));
        }
        let asked = now();
        let (answer, place) = self.answer(&visit, place, &mut lead, ask).await;
        let answer = answer.map(Response::into_parts);
        match &answer {
            Ok((head, _)) if head::is_stream(head) => self.said_yes(&visit, head, asked),
            Ok(_) => self.said_no(&visit),
            Err(_) => {}
        }
        lead.into_iter().for_each(Lead::settle);
        let admitted = visit.judge(answer)?;
        Ok(self.reading_on(&visit, admitted, place, asked))
    }

    /// Who reads on keeps its place until that is over, but no longer than one who waits for a head.
    fn reading_on(
        &self,
        visit: &Visit<'_>,
        admitted: Admitted,
        place: Option<Place>,
        asked: Instant,
    ) -> Admitted {
        match (admitted, place) {
            (Admitted::Yes(head, body), Some(place)) if visit.reads_on => {
                let (admissions, limit) = (self.clone(), visit.timeout);
                let lease = place.until(asked + limit, move || admissions.tell_of_late(limit));
                Admitted::Yes(head, body::keeping(body, lease))
            }
            (admitted, _) => admitted,
        }
    }

    /// The lead among those who would be given the same answer, where there are such, or the yes that one of them got.
    async fn lead(&self, visit: &Visit<'_>) -> Result<Option<Lead<Who>>, Arc<Head>> {
        let Some((identity, _)) = visit.known.filter(|_| visit.returns) else { return Ok(None) };
        let lead = match self.enough(visit) {
            Some(head) => return Err(head),
            None => {
                let _waiting = self.admitting.hold(Admitting::Waiting);
                self.leads.join((visit.key, identity)).await
            }
        };
        self.enough(visit).map_or(Ok(lead), Err)
    }

    /// What is remembered, where that is enough.
    fn enough(&self, visit: &Visit<'_>) -> Option<Arc<Head>> {
        let (identity, _) = visit.known.filter(|_| visit.returns)?;
        self.remembered(visit.key, identity, now())
    }

    /// Waits for the answer: with a place, which is still there if it came in time, and for others too.
    async fn answer<T>(
        &self,
        visit: &Visit<'_>,
        place: Place,
        lead: &mut Option<Lead<Who>>,
        ask: impl Future<Output = T>,
    ) -> (T, Option<Place>) {
        let mut ask = pin!(ask);
        if let Ok(answer) = timeout(visit.timeout, &mut ask).await {
            return (answer, Some(place));
        }
        // Some servers send the head with the first event. Nobody else has to wait for that.
        visit.metrics.admissions.count(Admission::Late);
        self.tell_of_late(visit.timeout);
        let _late = self.admitting.hold(Admitting::Late);
        drop(place);
        lead.take().into_iter().for_each(Lead::settle);
        (ask.await, None)
    }

    fn tell_of_late(&self, limit: Duration) {
        let Some(times) = self.late.again(now()) else { return };
        let setting = "admit_timeout";
        tracing::info!(
            ?limit,
            setting,
            times,
            "an admission gave up its place: the upstream is slow to answer"
        );
    }

    fn memory(&self) -> MutexGuard<'_, Memory<Who>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit<'_> {
    fn remembered(&self, head: Arc<Head>) -> Admitted {
        self.metrics.admissions.count(Admission::Cached);
        Admitted::Remembered(head)
    }

    fn judge(&self, answer: Result<(Parts, Relay), Fault>) -> Result<Admitted, Fault> {
        let (said, admitted) = match answer {
            Err(fault) => (Admission::Failed, Err(fault)),
            Ok((head, body)) if head::is_stream(&head) => {
                (Admission::Yes, Ok(Admitted::Yes(Box::new(head), body)))
            }
            Ok((head, body)) => (Admission::No, Ok(Admitted::No(Response::from_parts(head, body)))),
        };
        self.metrics.admissions.count(said);
        admitted
    }
}

impl fmt::Debug for Admissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admissions")
    }
}
