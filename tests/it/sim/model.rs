//! The naive model: everything that the event server ever sent, on each of its connections, in order; and what the
//! page says of who may have what of it.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use respool::id::Position;
use tokio::time::Instant;

use super::plan::{Path, Plan};
use crate::support::world::{Ended, Exchange};

/// The longest that the clients of a lost upstream are cut after it.
pub(super) const SPREAD: Duration = Duration::from_secs(1);
/// How much a session's client may leave unread before its upstream has to wait.
const HIGH_WATER: usize = 256 << 10;

#[derive(Default)]
pub(super) struct Model {
    pub(super) upstreams: Vec<Upstream>,
    /// What clients were answered, to be logged.
    pub(super) said: Vec<String>,
    /// Where a client stands that was given this id: so many events of this upstream are behind it.
    places: HashMap<String, (usize, usize)>,
    /// The upstream that the ids of a generation belong to.
    generations: HashMap<String, usize>,
}

/// A connection to the event server that was answered with a stream.
pub(super) struct Upstream {
    pub(super) exchange: Option<Exchange>,
    pub(super) path: Path,
    /// The client that it is for; none where it is shared.
    pub(super) own: Option<usize>,
    /// What the request is called that it answers.
    pub(super) request: usize,
    /// Its client came with an id that is not ours, so its events are given none.
    pub(super) foreign: bool,
    pub(super) sent: Vec<Sent>,
    pub(super) end: Option<(Ended, Instant)>,
    /// We closed it.
    pub(super) let_go: bool,
    pub(super) eol: &'static str,
    queue: VecDeque<Frame>,
    /// How much of the first frame in the queue was sent.
    done: usize,
}

/// An event that was sent whole.
pub(super) struct Sent {
    /// How long it is as clients get it.
    bytes: usize,
    came: Instant,
}

/// Something to send, and whether it is an event.
pub(super) struct Frame {
    pub(super) bytes: String,
    pub(super) is_event: bool,
}

/// How a request may be answered.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) allowed: Vec<String>,
    /// Where it stands if it is resumed.
    pub(super) place: Option<(usize, usize)>,
    /// It may have missed fewer than it will get: the upstream's connection was held back.
    pub(super) at_most: bool,
}

impl Upstream {
    pub(super) fn new(exchange: Exchange, path: Path, own: Option<usize>, eol: &'static str) -> Self {
        let (sent, queue) = (Vec::new(), VecDeque::new());
        let foreign = exchange.header("last-event-id").is_some();
        let request = exchange.header("x-request-id").unwrap().parse().unwrap();
        let exchange = Some(exchange);
        Self { exchange, path, own, request, foreign, sent, end: None, let_go: false, eol, queue, done: 0 }
    }

    pub(super) fn is_open(&self) -> bool {
        self.exchange.is_some()
    }

    /// How many events have been sent or begun.
    pub(super) fn numbered(&self) -> usize {
        self.sent.len() + self.queue.iter().filter(|frame| frame.is_event).count()
    }

    /// Sends these frames, of the last one so many bytes less. Nobody has taken them yet when it returns.
    pub(super) async fn send(&mut self, frames: Vec<Frame>, withheld: usize) {
        self.queue.extend(frames);
        let mut bytes = String::new();
        while let Some(frame) = self.queue.pop_front() {
            let rest = &frame.bytes[self.done..];
            if self.queue.is_empty() && withheld > 0 {
                let now = rest.len().saturating_sub(withheld);
                bytes += &rest[..now];
                self.done += now;
                self.queue.push_front(frame);
                break;
            }
            bytes += rest;
            self.done = 0;
            if frame.is_event {
                self.note_sent(frame.bytes.len());
            }
        }
        if let (Some(exchange), false) = (&mut self.exchange, bytes.is_empty()) {
            exchange.burst(bytes).await;
        }
    }

    /// It ends properly now. A frame of which only the second half of its last line end is missing is whole: the first is one, too.
    pub(super) fn note_proper_end(&mut self) {
        let whole =
            |frame: &&Frame| frame.is_event && frame.bytes[self.done..] == *"\n" && self.eol == "\r\n";
        if let Some(length) = self.queue.front().filter(whole).map(|frame| frame.bytes.len()) {
            self.note_sent(length);
        }
    }

    /// An event of this length is sent now.
    pub(super) fn note_sent(&mut self, length: usize) {
        let generation = if self.own.is_some() { 24 } else { 13 };
        let id = "r-".len() + generation + (self.sent.len() + 1).to_string().len();
        let line = if self.foreign { 0 } else { "id: ".len() + id + self.eol.len() };
        self.sent.push(Sent { bytes: length + line, came: Instant::now() });
    }

    /// How many of its events a returning client can no longer have.
    fn low(&self, plan: &Plan) -> usize {
        let count = self.sent.len();
        let mut low = count.saturating_sub(plan.events);
        let mut bytes: usize = self.sent[low..].iter().map(|event| event.bytes).sum();
        while low + 1 < count && bytes > plan.bytes {
            bytes -= self.sent[low].bytes;
            low += 1;
        }
        let old = |event: &Sent| event.came.elapsed() >= plan.age;
        low + self.sent[low..].iter().take_while(|event| old(event)).count()
    }

    /// So much was sent that the connection may have been held back for a client that did not read.
    fn may_be_held(&self) -> bool {
        self.own.is_some() && self.total() >= HIGH_WATER
    }

    /// How many bytes of events it has sent.
    pub(super) fn total(&self) -> usize {
        self.sent.iter().map(|event| event.bytes).sum()
    }
}

impl Model {
    /// The connection that feeds the shared stream of this path.
    pub(super) fn live(&self, path: Path) -> Option<usize> {
        self.upstreams.iter().rposition(|up| up.is_open() && up.own.is_none() && up.path == path)
    }

    /// A client stands behind so many events when it is given this id. Whoever is given it stands there.
    pub(super) fn learn(&mut self, id: &str, place: (usize, usize)) {
        let Some(position) = Position::parse(id.as_bytes()) else { return };
        let known = self.places.entry(id.to_owned()).or_insert(place);
        assert_eq!(*known, place, "{id} means two places");
        let upstream = self.generations.entry(position.generation.to_string()).or_insert(place.0);
        assert_eq!(*upstream, place.0, "one generation of two upstreams");
        assert_eq!(position.seq, place.1 as u64, "seq counts the events of the generation");
    }

    pub(super) fn ids(&self) -> Vec<&String> {
        let mut ids: Vec<_> = self.places.keys().collect();
        // By what they mean: the text of a shared generation has the time in it, and a run must be repeatable.
        ids.sort_by_key(|id| self.places[*id]);
        ids
    }

    /// How a client's request may be answered, by the naive reading of the rules.
    pub(super) fn answers(&self, plan: &Plan, client: usize, path: Path, id: &str) -> Answers {
        let only = |text: &str| Answers { allowed: vec![text.to_owned()], place: None, at_most: false };
        let Some(position) = Position::parse(id.as_bytes()) else {
            return only(if id.is_empty() { "fresh" } else { "foreign" });
        };
        let Some(&at) = self.generations.get(&position.generation.to_string()) else {
            return only("gap; reason=generation");
        };
        let up = &self.upstreams[at];
        let may_have = up.path == path && up.own.is_none_or(|own| own == client);
        let goes_on = match up.own {
            None => self.live(path) == Some(at),
            Some(_) => !up.let_go,
        };
        if may_have && path == Path::Open && self.is_lost(at) {
            return self.left(plan, at, id);
        }
        if !may_have || !goes_on {
            return only("gap; reason=generation");
        }
        match self.places.get(id) {
            Some(&(_, has)) => self.returns(plan, at, has),
            None => self.with_end(plan, up, only("gap; reason=ahead")),
        }
    }

    /// The upstream of a shared stream was lost, and there is no other yet.
    fn is_lost(&self, at: usize) -> bool {
        let newest = |up: &Upstream| up.own.is_none() && up.path == self.upstreams[at].path;
        let up = &self.upstreams[at];
        up.own.is_none()
            && self.upstreams.iter().rposition(newest) == Some(at)
            && matches!(up.end, Some((Ended::Cut, _)))
    }

    /// What is retained of a lost shared stream is for those who missed it, until there is another generation.
    fn left(&self, plan: &Plan, at: usize, id: &str) -> Answers {
        let mut answers =
            Answers { allowed: vec!["gap; reason=generation".into()], place: None, at_most: false };
        if let Some(&(_, has)) = self.places.get(id) {
            let (up, sent) = (&self.upstreams[at], self.upstreams[at].sent.len());
            answers.place = Some((at, has));
            if sent > has && has >= up.low(plan) {
                answers.allowed.push(format!("resumed; missed={}", sent - has));
            }
        }
        answers
    }

    /// A client that has so many events of a stream that goes on.
    fn returns(&self, plan: &Plan, at: usize, has: usize) -> Answers {
        let up = &self.upstreams[at];
        let missed = up.sent.len() - has;
        let mut allowed = if has < up.low(plan) {
            vec!["gap; reason=expired".to_owned()]
        } else {
            vec![format!("resumed; missed={missed}")]
        };
        if plan.is_scarce() {
            allowed.push("gap; reason=expired".into());
        }
        let at_most = up.may_be_held();
        if at_most {
            // What the upstream's connection held back came later, and is younger.
            allowed = vec!["gap; reason=expired".into(), format!("resumed; missed={missed}")];
        }
        if missed == 0 {
            match up.end {
                Some((Ended::Cut, _)) => allowed = vec!["gap; reason=generation".into()],
                Some((Ended::Properly, _)) => allowed.push("fresh".into()),
                None => {}
            }
        }
        self.with_end(plan, up, Answers { allowed, place: Some((at, has)), at_most })
    }

    /// A session that has ended is kept for a while, and then it is none.
    fn with_end(&self, plan: &Plan, up: &Upstream, mut answers: Answers) -> Answers {
        if up.end.is_some_and(|(_, when)| when.elapsed() >= plan.linger) {
            answers.allowed.push("gap; reason=generation".into());
        }
        answers
    }
}
