//! Random rules, random streams, random cuts, against a naive model that keeps everything: what each client dispatches,
//! over all its connections, is what the model says.
//!
//! `NAIVE_SEED=7` runs one case and says what happens, `NAIVE_CASES=10000` as many from the first on. Of the cases that
//! fail the one that fails first is shown.

/// What is sent, and what it means.
mod frame;
/// Everything that was sent, and who is given what of it.
mod model;
/// The rules of a case.
mod plan;

use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep};

use self::{
    frame::Writer,
    model::{Change, Generations, Id, Shown, Step, Stream, Verdict},
    plan::{HELLO_WAIT, Plan, TTL},
};
use crate::support::{
    reader::{self, Held},
    world::{self, Exchange, World, event_source, settle},
};

const CASES: u64 = 300;

#[test]
fn what_each_client_dispatches_is_what_a_naive_model_says() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("NAIVE_SEED") {
        let (log, failure) = run(seed);
        print(&log);
        assert_eq!(failure, None, "seed {seed}");
        return;
    }
    let cases: Vec<_> = (0..number("NAIVE_CASES").unwrap_or(CASES)).map(|seed| (seed, run(seed))).collect();
    let failed = cases.iter().filter_map(|(seed, (log, failure))| Some((seed, log, failure.as_ref()?)));
    let count = failed.clone().count();
    if let Some((seed, log, failure)) = failed.min_by_key(|(_, log, _)| log.lines().count()) {
        panic!("{count} cases fail; this one first, NAIVE_SEED={seed}:\n{log}\n{failure}");
    }
    // What never happens cannot fail.
    for what in [
        "fresh",
        "resumed; missed=0",
        "resumed; missed=2",
        "gap; reason=expired",
        "gap; reason=generation",
        "gap; reason=ahead",
        "foreign",
        "of what was asked is answered",
    ] {
        let happened = cases.iter().filter(|(_, (log, _))| log.contains(what)).count();
        assert!(happened * 40 > cases.len(), "{what}: in {happened} of {} cases", cases.len());
    }
}

#[expect(clippy::print_stdout, reason = "somebody asked for this one")]
fn print(log: &str) {
    println!("{log}");
}

/// Runs a case: what happened, and what must not have.
fn run(seed: u64) -> (String, Option<String>) {
    let log = Log::default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let lived = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async { Case::new(seed, log.clone()).live().await });
    }));
    let failure = lived.err().map(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        what.or_else(|| panic.downcast_ref::<&str>().map(|what| (*what).to_owned())).unwrap_or_default()
    });
    (log.0.lock().unwrap().join("\n"), failure)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Display) {
        self.0.lock().unwrap().push(line.to_string());
    }
}

struct Case {
    dice: StdRng,
    log: Log,
    plan: Plan,
    world: World,
    streams: Vec<(Stream, Writer, Exchange)>,
    clients: Vec<Client>,
    generations: Generations,
}

/// A client, and what it brings when it comes back.
struct Client {
    id: Id,
    /// The stream that its place is in.
    stream: usize,
    connection: Option<Connection>,
    /// Where the retained events stand that it has dispatched since it was a new client.
    had: Vec<(model::Run, u64)>,
}

/// A connection, and what is to come by it.
struct Connection {
    wire: world::Client,
    /// As text.
    brought: String,
    id: Id,
    steps: Vec<Step>,
    /// What waits for an admission or a hello.
    waiting: Option<Vec<Step>>,
}

impl Case {
    fn new(seed: u64, log: Log) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let plan = Plan::draw(&mut dice);
        log.add(plan.config());
        let world = World::seeded(&plan.config(), seed);
        Self {
            dice,
            log,
            plan,
            world,
            streams: Vec::new(),
            clients: Vec::new(),
            generations: Generations::default(),
        }
    }

    async fn live(mut self) {
        self.enter().await;
        for _ in 0..self.plan.steps {
            let at = self.dice.random_range(0..self.clients.len());
            match self.dice.random_range(0..100) {
                0..55 => self.send(self.clients[at].stream).await,
                55..75 => self.cut(at).await,
                75..93 if self.clients[at].connection.is_none() => self.come_back(at).await,
                93..97 if self.clients.len() < self.plan.clients => self.enter().await,
                97.. => self.pass().await,
                _ => {}
            }
        }
        for at in 0..self.clients.len() {
            self.cut(at).await;
            self.come_back(at).await;
            self.send(self.clients[at].stream).await;
        }
    }

    // What the event server does.

    async fn send(&mut self, at: usize) {
        let frame = {
            let (_, writer, _) = &mut self.streams[at];
            writer.any(&self.plan, &mut self.dice)
        };
        self.send_frame(at, &frame).await;
    }

    /// A frame comes, in pieces, and everybody has read what they have of it before the next.
    async fn send_frame(&mut self, at: usize, frame: &frame::Frame) {
        self.log.add(format_args!("stream {at} says {:?}", frame.bytes));
        let cuts = (self.dice.random_range(0..=frame.bytes.len()), self.dice.random_bool(0.3));
        let (stream, _, exchange) = &mut self.streams[at];
        let (first, rest) = frame.bytes.as_bytes().split_at(if cuts.1 { cuts.0 } else { 0 });
        for piece in [first, rest].into_iter().filter(|piece| !piece.is_empty()) {
            exchange.send(piece).await;
        }
        let change = stream.take(&self.plan, frame, Instant::now());
        for client in self.clients.iter_mut().filter(|client| client.stream == at) {
            if let Some(connection) = &mut client.connection {
                connection.give(&change);
            }
        }
        if change.withdraws.is_some() {
            self.log.add("... by which all of what was asked is answered");
        }
        self.check().await;
    }

    /// It answers a request that nobody has answered, and opens a stream by it.
    async fn begin(
        &mut self,
        mut exchange: Exchange,
        owner: Option<usize>,
        foreign: Option<String>,
    ) -> usize {
        let at = self.streams.len();
        exchange.begin().await;
        let writer = Writer { stream: at, number: 0, ids: Vec::new() };
        self.streams.push((Stream::new(at, owner, foreign, &self.plan), writer, exchange));
        at
    }

    /// It says what it says to each new connection: all of it, a part, or nothing. How much of it was hello.
    async fn greet(&mut self, exchange: &mut Exchange, writer: &mut Writer) -> Vec<Shown> {
        let events = if self.dice.random_ratio(3, 4) { self.plan.hello } else { self.plan.hello / 2 };
        let mut said = Vec::new();
        for _ in 0..events {
            let frame = writer.hello(&self.plan, &mut self.dice);
            self.log.add(format_args!("... and is greeted with {:?}", frame.bytes));
            exchange.send(&frame.bytes).await;
            let event = frame.event.unwrap();
            let (kind, data) = (event.kind, event.data);
            said.push(Shown { kind, data, id: None, place: None, opens: None });
        }
        if events < self.plan.hello {
            self.log.add("... and that is all");
            sleep(Duration::from_secs(HELLO_WAIT)).await;
        }
        settle().await;
        said
    }

    async fn pass(&mut self) {
        self.log.add("time passes");
        sleep(Duration::from_secs(TTL + 1)).await;
        self.check().await;
    }

    // What clients do.

    async fn enter(&mut self) {
        self.clients.push(Client {
            id: Id::Text(String::new()),
            stream: 0,
            connection: None,
            had: Vec::new(),
        });
        self.connect(self.clients.len() - 1).await;
    }

    /// With the id that it has, or with one that was never given out.
    async fn come_back(&mut self, at: usize) {
        if let (Id::Ours(_, seq), true) = (&mut self.clients[at].id, self.dice.random_ratio(1, 12)) {
            *seq += 1000;
        }
        self.connect(at).await;
    }

    /// The network fails somewhere in what this client has read.
    async fn cut(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let Some(connection) = &mut client.connection else { return };
        let kept = if self.dice.random() {
            connection.wire.body.len()
        } else {
            self.dice.random_range(0..=connection.wire.body.len())
        };
        connection.wire.body.truncate(kept);
        let (id, had) = connection
            .dispatched(&mut self.generations, true)
            .unwrap_or_else(|difference| panic!("client {at}, cut behind {kept} bytes: {difference}"));
        client.id = id;
        client.had.extend(had);
        client.connection = None;
        self.log.add(format_args!(
            "client {at} is cut behind {kept} bytes and has {:?}",
            self.generations.text(&client.id)
        ));
        settle().await;
        self.check_once(at);
    }

    async fn connect(&mut self, at: usize) {
        let (id, shared) = (self.clients[at].id.clone(), self.plan.shared && !self.streams.is_empty());
        let known = self.known(at, &id).await;
        let verdict = match known {
            Some(stream) => self.streams[stream].0.judge(&self.plan, &id),
            None => match &id {
                Id::Text(text) if text.is_empty() => Verdict::Fresh,
                Id::Text(_) => Verdict::Foreign,
                Id::Ours(..) => Verdict::Gap("generation"),
            },
        };
        let text = self.generations.text(&id);
        self.world.peer = Some([10, 0, 0, at as u8].into());
        let wire = self.world.send(&event_source("/e", &text)).await;
        settle().await;
        self.log.add(format_args!("client {at} comes with {text:?}: {}", verdict.header()));
        let connection = Connection { wire, brought: text, id, steps: Vec::new(), waiting: None };
        self.clients[at].connection = Some(connection);
        if verdict.is_new() || verdict == Verdict::Foreign {
            self.clients[at].had.clear();
        }
        let stays = match &verdict {
            Verdict::Resumed { .. } => true,
            Verdict::Gap(_) => known.is_some() && (shared || self.plan.replay),
            Verdict::Fresh => shared,
            Verdict::Foreign => false,
        };
        match known.filter(|_| stays) {
            Some(stream) => self.join(at, stream, &verdict).await,
            None => self.open(at, &verdict).await,
        }
        let connection = self.clients[at].connection.as_mut().unwrap();
        connection.wire.read().await;
        assert_eq!((connection.wire.status, connection.wire.resume()), (200, &*verdict.header()));
        assert!(self.world.origin.is_quiet().await, "the upstream was asked in vain");
        self.check().await;
    }

    /// The stream that a client means by its id: a session, which on a shared route it has if it brought an id of the
    /// upstream's once, or the shared stream.
    async fn known(&mut self, at: usize, id: &Id) -> Option<usize> {
        let is_shared = self.plan.shared && !self.streams.is_empty();
        match id {
            Id::Ours((stream, _), _) if !is_shared => Some(*stream),
            // Nobody is found there by an id of the upstream's, so that one who was last given such a one is not waited
            // for, whatever is left of that after a tear.
            Id::Ours((stream, _), _) if *stream > 0 && self.streams[*stream].2.was_closed().await => Some(0),
            Id::Ours((stream, _), _) => {
                let keeps = match self.streams[*stream].0.judge(&self.plan, id) {
                    Verdict::Resumed { .. } => true,
                    Verdict::Gap(_) => self.plan.replay,
                    Verdict::Fresh | Verdict::Foreign => false,
                };
                Some(if keeps { *stream } else { 0 })
            }
            Id::Text(_) if is_shared => Some(0),
            Id::Text(text) => self.streams.iter().position(|(stream, ..)| {
                stream.owner == Some(at) && stream.place_of(&self.plan, text).is_some()
            }),
        }
    }

    /// A client is given a stream that the upstream opens for it.
    async fn open(&mut self, at: usize, verdict: &Verdict) {
        let exchange = self.world.origin.waiting().await.expect("the upstream is asked");
        let is_foreign = *verdict == Verdict::Foreign;
        let sent = exchange.header("last-event-id").map(str::to_owned);
        let brought = self.clients[at].connection.as_ref().unwrap().brought.clone();
        let foreign = is_foreign.then_some(brought);
        assert_eq!(sent, foreign, "what the upstream is asked for");
        let is_pump = self.plan.shared && !is_foreign;
        let stream = self.begin(exchange, (!is_pump).then_some(at), foreign).await;
        self.log.add(format_args!("... by stream {stream}"));
        self.clients[at].stream = stream;
        if is_pump && self.plan.hello > 0 {
            let (model, mut writer, mut exchange) = self.streams.pop().unwrap();
            let said = self.greet(&mut exchange, &mut writer).await;
            self.streams.push((model, writer, exchange));
            self.start(at, verdict, 0, said, Vec::new());
            return;
        }
        self.start(at, verdict, 0, Vec::new(), Vec::new());
        if self.plan.greets {
            let frame = self.streams[stream].1.hello(&self.plan, &mut self.dice);
            self.send_frame(stream, &frame).await;
        }
    }

    /// A client is given a place in a stream that is there.
    async fn join(&mut self, at: usize, stream: usize, verdict: &Verdict) {
        self.clients[at].stream = stream;
        let model = &self.streams[stream].0;
        let place = match verdict {
            Verdict::Resumed { after, .. } => *after,
            Verdict::Gap(_) if self.plan.replay => model.low(&self.plan) - 1,
            _ => model.tail(),
        };
        let missed = model.after(place);
        let greeted = verdict.is_new() && self.plan.hello > 0;
        if model.owner.is_some() || !(self.plan.admits || greeted) {
            return self.start(at, verdict, place, Vec::new(), missed);
        }
        let fence = model.fence(place);
        self.clients[at].connection.as_mut().unwrap().waiting = Some(missed);
        let mut exchange = self.world.origin.waiting().await.expect("the upstream is asked");
        // Its own request, in which ours never reach the upstream.
        let theirs = match &self.clients[at].id {
            Id::Text(text) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        };
        assert_eq!(exchange.header("last-event-id"), theirs, "what the upstream is asked for");
        self.meanwhile(stream).await;
        exchange.begin().await;
        let mut said = Vec::new();
        if greeted {
            let connection = self.clients[at].connection.as_mut().unwrap();
            connection.steps.extend(self.plan.gap_event(verdict, &connection.id));
            self.log.add(format_args!("client {at} is let in"));
            self.meanwhile(stream).await;
            let mut writer =
                Writer { stream: 99, number: 1000 * self.streams[stream].1.number, ids: Vec::new() };
            said = self.greet(&mut exchange, &mut writer).await;
        }
        let connection = self.clients[at].connection.as_mut().unwrap();
        let waited = connection.waiting.take().unwrap();
        if !greeted {
            connection.steps.extend(self.plan.gap_event(verdict, &connection.id));
        }
        let start = self.plan.start(verdict, fence, said);
        connection.steps.extend(start.into_iter().chain(waited));
    }

    /// Events come while a client waits.
    async fn meanwhile(&mut self, stream: usize) {
        for _ in 0..self.dice.random_range(0..3) {
            Box::pin(self.send(stream)).await;
        }
    }

    /// What a client begins with: what it is told, its place, what it missed.
    fn start(&mut self, at: usize, verdict: &Verdict, place: u64, said: Vec<Shown>, missed: Vec<Step>) {
        let fence = self.streams[self.clients[at].stream].0.fence(place);
        let connection = self.clients[at].connection.as_mut().unwrap();
        let start = self.plan.start(verdict, fence, said);
        connection
            .steps
            .extend(self.plan.gap_event(verdict, &connection.id).into_iter().chain(start).chain(missed));
    }

    // What holds.

    async fn check(&mut self) {
        for (at, client) in self.clients.iter_mut().enumerate() {
            let Some(connection) = &mut client.connection else { continue };
            connection.wire.read().await;
            assert_eq!(connection.wire.end, None, "client {at} was cut");
            if let Err(difference) = connection.dispatched(&mut self.generations, false) {
                panic!("client {at}: {difference}");
            }
        }
    }

    /// A client that was never gapped has had all that was retained, once and in order, unless ids were the upstream's:
    /// by one that it repeats, or from before one that it left out, a resume may repeat events.
    fn check_once(&self, at: usize) {
        let theirs = self.plan.numbers && self.plan.ids == plan::Ids::Keep;
        for pair in self.clients[at].had.windows(2).filter(|_| !theirs) {
            let ((stream, run), seq) = pair[0];
            if pair[1].0 != (stream, run) {
                continue;
            }
            let model = &self.streams[stream].0;
            assert!(seq < pair[1].1, "client {at} has had {seq} and then {}", pair[1].1);
            let lost = (seq + 1..pair[1].1).find(|&seq| !model.was_withdrawn(run, seq));
            assert_eq!(lost, None, "client {at} has never had this one");
        }
    }
}

impl Plan {
    /// What a client is told that cannot have all that it missed. It holds what it held; where that is hidden the page
    /// sees none.
    fn gap_event(&self, verdict: &Verdict, held: &Id) -> Vec<Step> {
        let Verdict::Gap(reason) = verdict else { return Vec::new() };
        let (kind, data) = ("gap".to_owned(), (*reason).to_owned());
        let shown = Shown { kind, data, id: None, place: None, opens: None };
        match self.ids {
            _ if !self.gap_event => Vec::new(),
            plan::Ids::Hidden => {
                let id = Some(Id::Text(String::new()));
                vec![Step::Event(Shown { id, ..shown }), Step::Id(held.clone())]
            }
            _ => vec![Step::Event(shown)],
        }
    }

    /// What a new client is given before any event: a hello, whose last event carries its place, or that alone.
    fn start(&self, verdict: &Verdict, fence: Id, said: Vec<Shown>) -> Vec<Step> {
        if !verdict.is_new() {
            return Vec::new();
        }
        let (last, hidden) = (said.len(), self.ids == plan::Ids::Hidden);
        let mut steps = Vec::new();
        for (at, shown) in said.into_iter().enumerate() {
            let carries = at + 1 == last;
            let id = if hidden { Some(Id::Text(String::new())) } else { carries.then(|| fence.clone()) };
            steps.push(Step::Event(Shown { id, ..shown }));
        }
        if last == 0 || hidden {
            steps.push(Step::Id(fence));
        }
        steps
    }
}

impl Connection {
    /// The stream goes on.
    fn give(&mut self, change: &Change) {
        let Some(waiting) = &mut self.waiting else { return self.steps.extend(change.steps.iter().cloned()) };
        waiting.extend(change.steps.iter().cloned());
        let Some(key) = &change.withdraws else { return };
        let is_asked = |step: &Step| matches!(step, Step::Event(Shown { opens: Some(opens), place: Some(_), .. }) if opens == key);
        while let Some(at) = waiting.iter().position(is_asked) {
            waiting.remove(at);
            // ... with the place that follows it, where ids are hidden.
            if matches!(waiting.get(at), Some(Step::Id(_))) {
                waiting.remove(at);
            }
        }
    }

    /// Compares what was read with what was to come: all of it, or as much as there is. What the client has then: its
    /// id, and the places of the retained events among what it has dispatched.
    fn dispatched(
        &self,
        generations: &mut Generations,
        torn: bool,
    ) -> Result<(Id, Vec<(model::Run, u64)>), String> {
        let held = reader::read(&self.wire.body, &self.brought);
        let mut events = held.events.iter().filter(|event| event.kind != "~");
        let (mut id, mut had) = (self.id.clone(), Vec::new());
        // What it may hold behind the last event that was read.
        let mut ids = vec![id.clone()];
        for (at, step) in self.steps.iter().enumerate() {
            let shown = match step {
                Step::Id(carried) => {
                    id = carried.clone();
                    ids.push(id.clone());
                    continue;
                }
                Step::Event(shown) => shown,
            };
            id = shown.id.clone().unwrap_or(id);
            let expected = format!("{:?}: {:?} {:?}", shown.kind, shown.data, generations.text(&id));
            let Some(event) = events.next() else {
                if torn {
                    break;
                }
                return Err(format!("step {at}, {expected}, has not come\n{}", self.text(&held)));
            };
            let alike =
                event.kind == shown.kind && event.data == shown.data && generations.is(&id, &event.id);
            if !alike {
                let came = format!("{:?}: {:?} {:?}", event.kind, event.data, event.id);
                return Err(format!("step {at} is not {expected}\nbut {came}\n{}", self.text(&held)));
            }
            had.extend(shown.place);
            ids = vec![id.clone()];
        }
        if let Some(event) = events.next() {
            return Err(format!("{event:?} came unexpected\n{}", self.text(&held)));
        }
        let holds = ids.iter().rev().take(if torn { ids.len() } else { 1 });
        let mut holds = holds.filter(|id| generations.is(id, &held.id));
        match holds.next() {
            Some(id) => Ok((id.clone(), had)),
            None => Err(format!("it holds {:?} and not one of {ids:?}\n{}", held.id, self.text(&held))),
        }
    }

    fn text(&self, held: &Held) -> String {
        format!("what it read: {:?}\nand holds: {:?}", String::from_utf8_lossy(&self.wire.body), held.id)
    }
}
