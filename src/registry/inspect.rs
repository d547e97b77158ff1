//! What an operator is shown of all streams: a picture that costs those who use them next to nothing.
//!
//! Streams are looked at one after the other, each under its own lock for a moment, and a window's clients a few at a
//! time. The picture is of no single instant: what comes or goes while it is made may be missed. It is as large as it
//! is asked to be, however many streams and clients there are.

mod worst;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{Counted, Registry, Run, Session, SharedStream, lock, shared};
use crate::{
    pump::now,
    route::{Key, Route},
    window::{End, Extent, Lag, LiveWindow},
};

use worst::Worst;

/// How many sessions are taken out of their list at a time.
const FEW: usize = 256;
/// Who is behind by less is as good as caught up: the order of those is not to change with each event.
const NOTABLE: usize = 4 << 10;

/// A picture of all streams.
#[derive(Debug)]
pub struct Inspection {
    /// The worst streams, the worst one first.
    pub streams: Vec<Stream>,
    /// How many there are beside them.
    pub streams_left_out: usize,
    /// The clients that are furthest behind, the furthest first.
    pub clients: Vec<Client>,
    /// How many there are beside them.
    pub clients_left_out: usize,
    /// What all streams come to, those left out too.
    pub all: Totals,
    /// The same by the names of their routes.
    pub routes: BTreeMap<Arc<str>, Totals>,
}

/// What several streams come to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Streams.
    pub streams: usize,
    /// Those among them that have no upstream, and should.
    pub troubled: usize,
    /// Clients.
    pub clients: usize,
    /// Those among them who would find a gap if they were lost now.
    pub past_low: usize,
    /// Clients that wait for a stream to be opened.
    pub waiting: usize,
    /// Events retained.
    pub events: u64,
    /// Their bytes.
    pub bytes: usize,
    /// What the client that is furthest behind has yet to take, in bytes.
    pub furthest: usize,
    /// How old the oldest of the events is.
    pub oldest: Duration,
}

/// One stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its number among all streams there were; none, if it is only a run of one that has another by now.
    pub number: Option<u64>,
    /// The name of its route.
    pub route: Arc<str>,
    /// Whose it is.
    pub kind: Kind,
    /// Its key, which shows as a short hash.
    pub key: Key,
    /// Where it stands.
    pub phase: Phase,
    /// For how long, if that is known.
    pub phase_for: Option<Duration>,
    /// What is wrong with its upstream.
    pub why: Option<Arc<str>>,
    /// How long there has been one; as a run that is over, nobody knows.
    pub open_for: Option<Duration>,
    /// How far its window reaches; none, before the first.
    pub window: Option<Extent>,
    /// How many clients are attached.
    pub clients: usize,
    /// How many wait for it to be opened.
    pub waiting: usize,
    /// How far the last of its clients is behind.
    pub lag: Lag,
}

/// One client.
#[derive(Clone, Debug)]
pub struct Client {
    /// The number of its stream.
    pub stream: Option<u64>,
    /// The name of its route.
    pub route: Arc<str>,
    /// The key of its stream.
    pub key: Key,
    /// How far it is behind.
    pub lag: Lag,
    /// For how long it has been attached.
    pub here: Duration,
}

/// Whose a stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One client's.
    Private,
    /// Everybody's with the same key.
    Shared,
    /// The same, and kept without anybody.
    Pinned,
}

/// Where a stream stands. The worse ones come last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// It has ended, and is kept for who has not had all of it.
    Ended,
    /// It is pumped for nobody: its clients may come back.
    Lingering,
    /// It is pumped.
    Live,
    /// The upstream has not answered yet.
    Opening,
    /// The upstream was lost, or does not answer.
    Down,
}

impl Registry {
    /// A picture of all streams, with so many of them and of their clients at most.
    #[must_use]
    pub fn inspect(&self, streams: usize, clients: usize) -> Inspection {
        let mut picture = Picture {
            now: now(),
            streams: Worst::new(streams),
            clients: Worst::new(clients),
            all: Totals::default(),
            routes: BTreeMap::new(),
        };
        let mut last: Option<Arc<Session>> = None;
        loop {
            let few = lock(&self.0.sessions).few_behind(last.as_deref(), FEW);
            few.iter().for_each(|session| picture.session(session));
            match few.last() {
                Some(session) if few.len() == FEW => last = Some(session.clone()),
                _ => break,
            }
        }
        let shared: Vec<_> = lock(&self.0.shared).values().cloned().collect();
        let current: HashMap<Key, Option<LiveWindow>> =
            shared.iter().map(|stream| (stream.key, picture.shared(stream))).collect();
        self.former_runs(&mut picture, &current);
        picture.done()
    }

    /// Generations that are over, whose clients are slow to take what they have coming.
    fn former_runs(&self, picture: &mut Picture, current: &HashMap<Key, Option<LiveWindow>>) {
        let here = |run: &Run| Some((run.key, run.route.clone(), run.window.upgrade()?));
        let runs: Vec<_> = lock(&self.0.generations).iter().filter_map(here).collect();
        for (key, route, window) in runs {
            let is_current = current.get(&key).and_then(Option::as_ref).is_some_and(|live| live.is(&window));
            if !is_current && window.readers() > 0 {
                let stream = picture.stream(&route, Kind::Shared, key, None);
                picture.add(Stream { phase: Phase::Ended, ..stream }, Some(&window));
            }
        }
    }

    /// Forgets what a stream retains: whoever has not taken all of it finds a gap. Says of which route and key the
    /// stream with this number is, if there is one.
    #[must_use]
    pub fn purge(&self, number: u64) -> Option<(String, Key)> {
        let session = lock(&self.0.sessions).iter().find(|session| session.counted.number == number).cloned();
        if let Some(session) = session {
            session.window.clear(now());
            return Some((session.standing.route().name.clone(), session.key));
        }
        let shared = lock(&self.0.shared);
        let stream = shared.values().find(|stream| stream.counted.number == number).cloned()?;
        drop(shared);
        let window = window_of(&lock(&stream.state).phase).cloned();
        if let Some(window) = window {
            window.clear(now());
        }
        Some((stream.standing.route().name.clone(), stream.key))
    }
}

/// How bad a stream is: where it stands; whether and how far one of its clients is behind; of equal ones the older.
type StreamScore = (Phase, bool, u32, Reverse<Option<u64>>);
/// How bad a client is: whether a cut would be a gap; how far it is behind; of equal ones the older.
type ClientScore = (bool, u32, Duration);

/// A picture that is being made.
struct Picture {
    now: Instant,
    streams: Worst<StreamScore, Stream>,
    clients: Worst<ClientScore, Client>,
    all: Totals,
    routes: BTreeMap<Arc<str>, Totals>,
}

impl Picture {
    fn session(&mut self, session: &Session) {
        let stream =
            self.stream(&session.standing.route(), Kind::Private, session.key, Some(&session.counted));
        self.add(stream, Some(&session.window));
    }

    /// Gives the window back that the stream has now.
    fn shared(&mut self, shared: &SharedStream) -> Option<LiveWindow> {
        let kind = if shared.standing.is_pinned() { Kind::Pinned } else { Kind::Shared };
        let stream = self.stream(&shared.standing.route(), kind, shared.key, Some(&shared.counted));
        let state = lock(&shared.state);
        let window = window_of(&state.phase).cloned();
        let phase = match &state.phase {
            shared::Phase::Live(_) => Phase::Live,
            shared::Phase::Down(_) => Phase::Down,
            // Nobody answers.
            shared::Phase::Opening if state.why.is_some() => Phase::Down,
            shared::Phase::Opening => Phase::Opening,
            shared::Phase::Closed => Phase::Ended,
        };
        let line = state.line.iter().filter(|asker| !asker.answer.is_closed()).count();
        let waiting = line + usize::from(shared.is_asked_for.load(Ordering::Relaxed));
        let phase_for = Some(self.now.saturating_duration_since(state.since));
        let why = state.why.clone();
        drop(state);
        self.add(Stream { phase, phase_for, why, waiting, ..stream }, window.as_ref());
        window
    }

    /// A live stream of which nothing is known yet but whose it is.
    fn stream(&mut self, route: &Arc<Route>, kind: Kind, key: Key, counted: Option<&Counted>) -> Stream {
        // Each name once, however many streams have it.
        let name = match self.routes.get_key_value(route.name.as_str()) {
            Some((name, _)) => name.clone(),
            None => route.name.as_str().into(),
        };
        Stream {
            number: counted.map(|counted| counted.number),
            route: name,
            kind,
            key,
            phase: Phase::Live,
            phase_for: None,
            why: None,
            open_for: counted.map(|counted| self.now.saturating_duration_since(counted.since)),
            window: None,
            clients: 0,
            waiting: 0,
            lag: Lag::default(),
        }
    }

    fn add(&mut self, mut stream: Stream, window: Option<&LiveWindow>) {
        let mut past_low = 0;
        if let Some(window) = window {
            past_low = self.readers(&mut stream, window);
            let (extent, clients) = window.extent(self.now);
            stream.window = Some(extent);
            stream.clients = clients;
            stream.settle(extent.ended);
        }
        let sums = self.routes.entry(stream.route.clone()).or_default();
        for sums in [sums, &mut self.all] {
            sums.add(&stream, past_low);
        }
        let score = (stream.phase, stream.lag.past_low, magnitude(stream.lag.bytes), Reverse(stream.number));
        self.streams.add(score, || stream);
    }

    /// Looks at a window's readers; says how many of them would find a gap if they were lost.
    fn readers(&mut self, stream: &mut Stream, window: &LiveWindow) -> usize {
        let mut past_low = 0;
        window.survey(self.now, |reader| {
            let lag = reader.lag;
            past_low += usize::from(lag.past_low);
            stream.lag.past_low |= lag.past_low;
            if lag.bytes > stream.lag.bytes {
                (stream.lag.bytes, stream.lag.events) = (lag.bytes, lag.events);
            }
            self.clients.add((lag.past_low, magnitude(lag.bytes), reader.here), || Client {
                stream: stream.number,
                route: stream.route.clone(),
                key: stream.key,
                lag,
                here: reader.here,
            });
        });
        past_low
    }

    fn done(self) -> Inspection {
        let (streams, streams_left_out) = self.streams.ranked();
        let (clients, clients_left_out) = self.clients.ranked();
        Inspection {
            streams,
            streams_left_out,
            clients,
            clients_left_out,
            all: self.all,
            routes: self.routes,
        }
    }
}

impl Stream {
    /// What its window's end, and the want of clients, make of a live stream.
    fn settle(&mut self, ended: Option<End>) {
        match (self.phase, ended) {
            (Phase::Live, Some(end)) => {
                self.phase = Phase::Ended;
                self.why = (end == End::Lost).then(|| "the upstream was lost".into());
            }
            (Phase::Live, None) if self.clients == 0 => self.phase = Phase::Lingering,
            _ => {}
        }
    }
}

impl Totals {
    fn add(&mut self, stream: &Stream, past_low: usize) {
        self.streams += 1;
        self.troubled += usize::from(stream.phase == Phase::Down);
        self.clients += stream.clients;
        self.past_low += past_low;
        self.waiting += stream.waiting;
        self.events += stream.window.map_or(0, |window| window.events);
        self.bytes += stream.window.map_or(0, |window| window.bytes);
        self.furthest = self.furthest.max(stream.lag.bytes);
        self.oldest = self.oldest.max(stream.window.and_then(|window| window.oldest).unwrap_or_default());
    }
}

impl Kind {
    /// As it is read.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Pinned => "pinned",
        }
    }
}

impl Phase {
    /// As it is read.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Lingering => "lingering",
            Self::Live => "live",
            Self::Opening => "opening",
            Self::Down => "down",
        }
    }
}

fn window_of(phase: &shared::Phase) -> Option<&LiveWindow> {
    match phase {
        shared::Phase::Live(live) | shared::Phase::Down(live) => Some(&live.window),
        shared::Phase::Opening | shared::Phase::Closed => None,
    }
}

/// How much it is, roughly: twice as much is one more.
fn magnitude(bytes: usize) -> u32 {
    (bytes / NOTABLE).checked_ilog2().map_or(0, |log| log + 1)
}
