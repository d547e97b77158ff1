//! A seeded world on a stopped clock: random clients, cuts, stalls, upstream losses and clock jumps. After each step
//! the invariants hold.
//!
//! `SIM_SEED=7` runs one seed and says what happens, `SIM_SEEDS=10000` as many, from the first on or from `SIM_FROM`.

/// What a client has, and whether that is what it should have.
mod actor;
/// Everything that was sent, and who may have what of it.
mod model;
/// What a seed's world is like.
mod plan;

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use respool::id::Position;
use tokio::time::{Instant, sleep};

use self::{
    actor::{Actor, Around, Connection},
    model::{Frame, Model, Upstream},
    plan::{Path, Plan},
};
use crate::support::{
    seeded::{self, Log, seeds},
    world::{Ended, Exchange, World, event_source, settle},
};

/// What a window holds that cannot give way: its last block and newest event.
const LAST_BLOCK: usize = 128 << 10;
/// A client that reads does so often enough not to be taken for one that does not.
const READ_EVERY: Duration = Duration::from_secs(20);
/// So long nobody reads.
const HOURS: Duration = Duration::from_secs(3600);
/// A connection whose client does not read has room for so much, and a burst.
const ENOUGH: usize = 512 << 10;
const STEPS: usize = 150;
const CLIENTS: usize = 8;

#[test]
fn whatever_happens_each_client_gets_what_it_missed() {
    let mut all = String::new();
    if seeds("SIM", 500, run, |log| all += log).is_none() {
        return;
    }
    // What never happens cannot fail.
    let count = |what: &str| all.lines().filter(|line| line.contains(what)).count();
    for answer in
        ["fresh", "resumed; missed=0", "gap; reason=expired", "gap; reason=generation", "gap; reason=ahead"]
    {
        assert!(count(&format!("is answered {answer}")) > 10, "{answer}");
    }
    let (resumed, nothing) = (count("is answered resumed"), count("is answered resumed; missed=0"));
    assert!(2 * nothing < resumed, "of {resumed} who came back {nothing} had missed nothing");
}

#[test]
fn a_seed_is_the_same_world_each_time() {
    for seed in 0..5 {
        let (once, again) = (run(seed), run(seed));
        let lines = |log: &Result<String, String>| {
            let log = log.clone().unwrap_or_else(|log| log);
            // Whom a drain cuts first is not ours to say.
            log.lines().take_while(|line| !line.ends_with("a drain")).map(str::to_owned).collect::<Vec<_>>()
        };
        for (once, again) in lines(&once).iter().zip(lines(&again)) {
            assert_eq!(*once, again, "seed {seed}");
        }
    }
}

fn run(seed: u64) -> Result<String, String> {
    seeded::run(seed, |log| Sim::new(seed, log).live())
}

struct Sim {
    dice: StdRng,
    log: Log,
    start: Instant,
    plan: Plan,
    world: World,
    model: Model,
    actors: Vec<Actor>,
    /// Connections that clients have left, and nobody has noticed.
    ghosts: Vec<(usize, crate::support::world::Client)>,
    /// Requests that the event server takes its time for.
    late: Vec<Exchange>,
    /// The event server answers every request at once, with a stream.
    calm: bool,
    away: bool,
    draining: bool,
    requests: usize,
}

impl Sim {
    fn new(seed: u64, log: Log) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let plan = Plan::draw(&mut dice, STEPS);
        log.add(format!("{plan:?}"));
        let world = World::seeded(&plan.config(), seed);
        let (model, start) = (Model::default(), Instant::now());
        let (actors, ghosts, late) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            dice,
            log,
            start,
            plan,
            world,
            model,
            actors,
            ghosts,
            late,
            calm: false,
            away: false,
            draining: false,
            requests: 0,
        }
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.log.add(format!("{:>9} ms  {what}", self.start.elapsed().as_millis()));
    }

    async fn live(mut self) {
        for _ in 0..self.plan.steps {
            self.step().await;
            self.serve().await;
            // What comes may be cut before anybody has read it.
            if self.dice.random() {
                self.check().await;
            }
        }
        self.calm_down().await;
        if self.dice.random() { self.drain().await } else { self.leave().await }
    }

    async fn step(&mut self) {
        match self.dice.random_range(0..100) {
            0..24 => self.send().await,
            24..28 => self.lose(Ended::Cut).await,
            28..30 => self.lose(Ended::Properly).await,
            30..32 => self.go_away(),
            32..38 => self.enter().await,
            38..60 => self.cut().await,
            60..72 => self.come_back().await,
            72..80 => {
                // A replay is cut, too.
                self.come_back().await;
                self.serve().await;
                self.cut().await;
            }
            80..84 => self.stall(),
            84..88 => self.ghosts.clear(),
            _ => self.wait().await,
        }
    }

    // What the event server does.

    fn any_open(&mut self) -> Option<usize> {
        let open: Vec<_> =
            (0..self.model.upstreams.len()).filter(|&at| self.model.upstreams[at].is_open()).collect();
        open.choose(&mut self.dice).copied()
    }

    async fn send(&mut self) {
        if let Some(at) = self.any_open() {
            self.send_on(at).await;
        }
    }

    async fn send_on(&mut self, at: usize) {
        let frames = self.frames(at);
        let withheld = if self.dice.random_ratio(1, 5) { self.dice.random_range(1..12) } else { 0 };
        let events = frames.iter().filter(|frame| frame.is_event).count();
        let bytes: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
        self.note(format_args!("u{at} sends {events} events, {bytes} bytes less {withheld}"));
        self.model.upstreams[at].send(frames, withheld).await;
        // What comes last before an end comes at once with it.
        if self.dice.random_ratio(1, 20 * self.plan.peace) {
            let end = if self.dice.random() { Ended::Cut } else { Ended::Properly };
            self.end(at, end).await;
        }
        settle().await;
    }

    fn frames(&mut self, at: usize) -> Vec<Frame> {
        let count = *[1, 1, 2, 5, 30].choose(&mut self.dice).unwrap();
        let large = self.dice.random_ratio(1, self.plan.large) && self.model.upstreams[at].total() < ENOUGH;
        let pad = if large { self.dice.random_range(100..16_000) } else { 0 };
        let first = self.model.upstreams[at].numbered();
        let eol = self.model.upstreams[at].eol;
        let mut frames = Vec::new();
        for number in first..first + count {
            if self.dice.random_ratio(1, 8) {
                let control =
                    *[": beat\n\n", ":\n", "retry: 250\n\n", "event: x\n\n"].choose(&mut self.dice).unwrap();
                frames.push(Frame { bytes: control.replace('\n', eol), is_event: false });
            }
            frames.push(event(at, number, pad, eol));
        }
        frames
    }

    async fn lose(&mut self, end: Ended) {
        let at = self.any_open();
        if let Some(at) = at.filter(|_| self.dice.random_ratio(1, self.plan.peace)) {
            self.end(at, end).await;
        }
    }

    async fn end(&mut self, at: usize, end: Ended) {
        self.note(format_args!("u{at} ends {end:?} after {}", self.model.upstreams[at].sent.len()));
        let up = &mut self.model.upstreams[at];
        let mut exchange = up.exchange.take().unwrap();
        if end == Ended::Properly {
            up.note_proper_end();
        }
        up.end = Some((end, Instant::now()));
        if end == Ended::Properly {
            exchange.finish().await;
        }
        drop(exchange);
        settle().await;
    }

    fn go_away(&mut self) {
        let away = self.dice.random_ratio(1, 2);
        self.note(format_args!("the event server is away: {away}"));
        self.world.origin.set_away(away);
        if away {
            self.actors.iter_mut().for_each(|actor| actor.is_in_trouble(None));
        }
        self.away = away;
    }

    /// The event server answers what has come.
    async fn serve(&mut self) {
        settle().await;
        while !self.late.is_empty() && (self.calm || self.dice.random_ratio(1, 3)) {
            let exchange = self.late.remove(0);
            self.answer(exchange).await;
        }
        while let Some(exchange) = self.world.origin.waiting().await {
            let id = exchange.header("last-event-id");
            assert!(
                id.is_none_or(|id| Position::parse(id.as_bytes()).is_none()),
                "an id of ours left us: {id:?}"
            );
            if !self.calm && self.dice.random_ratio(1, 8) {
                self.note("the event server takes its time");
                self.late.push(exchange);
            } else {
                self.answer(exchange).await;
            }
        }
        self.notice().await;
    }

    async fn answer(&mut self, mut exchange: Exchange) {
        let client = exchange.header("x-client").unwrap().parse().unwrap();
        if self.calm || self.dice.random_ratio(7, 8) {
            return self.begin(exchange, client).await;
        }
        if self.dice.random_ratio(1, 3) {
            self.note(format_args!("the event server drops the request of client {client}"));
            // Who waits in the same line may have waited long enough.
            self.actors.iter_mut().for_each(|actor| actor.is_in_trouble(None));
            drop(exchange);
        } else {
            let status = *[401, 500, 204].choose(&mut self.dice).unwrap();
            self.note(format_args!("the event server answers client {client} {status}"));
            self.actors[client].is_in_trouble(Some(status));
            let length = if status == 204 { "" } else { "Content-Length: 0\r\n" };
            exchange.raw(format!("HTTP/1.1 {status} No\r\nConnection: close\r\n{length}\r\n")).await;
        }
        settle().await;
    }

    /// Answers with a stream. If it was an admission, nobody stays to hear it.
    async fn begin(&mut self, mut exchange: Exchange, client: usize) {
        let path = *Path::ALL.iter().find(|path| exchange.request.contains(path.text())).unwrap();
        let foreign = exchange.header("last-event-id").is_some();
        let own = (path == Path::Mine || foreign).then_some(client);
        let (at, eol) =
            (self.model.upstreams.len(), *["\n", "\n", "\r\n", "\r"].choose(&mut self.dice).unwrap());
        let greeting = self.plan.greets.then(|| event(at, 0, 0, eol));
        let shared = own.is_none().then(|| self.model.live(path)).flatten();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk =
            greeting.map_or(String::new(), |event| format!("{:x}\r\n{}\r\n", event.bytes.len(), event.bytes));
        let mut up = Upstream::new(exchange, path, own, eol);
        if let Some(event) = self.plan.greets.then(|| event(at, 0, 0, eol)) {
            up.note_sent(event.bytes.len());
        }
        exchange = up.exchange.take().unwrap();
        exchange.raw(format!("{head}{chunk}")).await;
        settle().await;
        if exchange.was_closed().await {
            self.note(format_args!("client {client} is admitted to {path:?}, or gone"));
            return;
        }
        assert_eq!(shared, None, "two connections for one shared stream");
        self.note(format_args!("u{at} is open for client {client} on {path:?}"));
        up.exchange = Some(exchange);
        self.model.upstreams.push(up);
    }

    /// Which connections we have let go.
    async fn notice(&mut self) {
        for at in 0..self.model.upstreams.len() {
            let up = &mut self.model.upstreams[at];
            let Some(exchange) = &mut up.exchange else { continue };
            if exchange.was_closed().await {
                up.exchange = None;
                up.let_go = true;
                self.note(format_args!("u{at} was let go"));
            }
        }
        let mut there = Vec::new();
        for mut exchange in self.late.drain(..) {
            if !exchange.was_closed().await {
                there.push(exchange);
            }
        }
        self.late = there;
    }

    // What clients do.

    async fn enter(&mut self) {
        if self.actors.len() == CLIENTS {
            return;
        }
        let path = *Path::ALL.choose(&mut self.dice).unwrap();
        let name = self.actors.len();
        self.actors.push(Actor { name, path, id: String::new(), connection: None });
        self.connect(name).await;
    }

    async fn come_back(&mut self) {
        let away: Vec<_> =
            (0..self.actors.len()).filter(|&at| self.actors[at].connection.is_none()).collect();
        let Some(&at) = away.choose(&mut self.dice) else { return self.take_over().await };
        match self.dice.random_range(0..40) {
            0 => self.actors[at].id = forged(&mut self.dice),
            1 => self.actors[at].id = "77".into(),
            2 => {
                let ids = self.model.ids();
                self.actors[at].id = ids.choose(&mut self.dice).map_or(String::new(), |id| (*id).clone());
            }
            5..8 => {
                // Somebody who is about: of a stream that lives, so that it could be joined.
                let ids: Vec<_> = self.actors.iter().map(|actor| actor.id.clone()).collect();
                self.actors[at].id = ids.choose(&mut self.dice).cloned().unwrap_or_default();
            }
            3 => self.actors[at].id = ahead(&self.actors[at].id),
            4 => self.actors[at].id.clear(),
            _ => {}
        }
        self.connect(at).await;
    }

    /// A client comes back before anybody has noticed that its connection is dead.
    async fn take_over(&mut self) {
        let there = 0..self.actors.len();
        let Some(at) = there.collect::<Vec<_>>().choose(&mut self.dice).copied() else { return };
        self.tear(at).await;
        self.connect(at).await;
    }

    async fn connect(&mut self, at: usize) {
        settle().await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        self.notice().await;
        let actor = &self.actors[at];
        let (path, id) = (actor.path, actor.id.clone());
        let answers = self.model.answers(&self.plan, at, path, &id);
        let live = self.model.live(path).filter(|_| path != Path::Mine);
        let start = live.map(|live| (live, self.model.upstreams[live].sent.len()));
        self.world.pipe = *[300, 2000, 1 << 20, 1 << 20].choose(&mut self.dice).unwrap();
        self.note(format_args!("client {at} asks {path:?} for {:?}", answers));
        self.requests += 1;
        let (request, head) = (self.requests, event_source(path.text(), &id));
        // Of these two lines the first makes the client another one, and the second does not.
        let client = self.world.send(&format!("{head}\nX-Client: {at}\nX-Request-Id: {request}")).await;
        let connection = Connection {
            client,
            request,
            answers,
            start,
            before: self.model.upstreams.len(),
            place: None,
            answered: None,
            stalls: false,
            has_stalled: false,
            refusals: Vec::new(),
            trouble: self.away,
        };
        self.actors[at].connection = Some(connection);
        settle().await;
    }

    /// A client is cut, mostly while something comes, and mostly it misses something then.
    async fn cut(&mut self) {
        let there: Vec<_> =
            (0..self.actors.len()).filter(|&at| self.actors[at].connection.is_some()).collect();
        let Some(&at) = there.choose(&mut self.dice) else { return };
        let upstream = self.actors[at].connection.as_ref().and_then(|connection| connection.place);
        let upstream =
            upstream.map(|(upstream, _)| upstream).filter(|&at| self.model.upstreams[at].is_open());
        if let Some(upstream) = upstream.filter(|_| self.dice.random_ratio(2, 3)) {
            self.send_on(upstream).await;
        }
        let client = self.tear(at).await;
        if let Some(client) = client.filter(|_| self.dice.random_ratio(1, 6)) {
            self.note("... and nobody notices");
            self.ghosts.push((at, client));
        }
        let upstream = upstream.filter(|&at| self.model.upstreams[at].is_open());
        if let Some(upstream) = upstream.filter(|_| self.dice.random_ratio(1, 2)) {
            self.send_on(upstream).await;
        }
        settle().await;
    }

    /// The network fails: of what comes to the client it gets only a part.
    async fn tear(&mut self, at: usize) -> Option<crate::support::world::Client> {
        let connection = self.actors[at].connection.as_mut()?;
        let most = *[0, 400, 2000, 100_000, 100_000].choose(&mut self.dice).unwrap();
        connection.client.read_some(most).await;
        let (unread, had) = (connection.client.body.len(), self.actors[at].id.clone());
        let kept = self.dice.random_range(0..=unread);
        let connection = self.actors[at].connection.as_mut()?;
        connection.client.body.truncate(kept);
        let mut around = Around { model: &mut self.model, plan: &self.plan, draining: self.draining };
        self.actors[at].digest(&mut around);
        let moved = had != self.actors[at].id;
        self.note(format_args!("client {at} is cut, with {kept} of {unread} bytes, moved: {moved}"));
        self.actors[at].connection.take().map(|connection| connection.client)
    }

    fn stall(&mut self) {
        let Some(at) = (0..self.actors.len()).collect::<Vec<_>>().choose(&mut self.dice).copied() else {
            return;
        };
        let Some(connection) = &mut self.actors[at].connection else { return };
        connection.stalls = !connection.stalls;
        connection.has_stalled = true;
        let stalls = connection.stalls;
        self.note(format_args!("client {at} stalls: {stalls}"));
    }

    async fn wait(&mut self) {
        let time = match self.dice.random_range(0..20) {
            0..10 => Duration::from_millis(self.dice.random_range(1..2000)),
            10..16 => Duration::from_secs(self.dice.random_range(1..40)),
            16..19 => Duration::from_secs(self.dice.random_range(40..400)),
            _ => Duration::from_secs(3600 * self.dice.random_range(1..4)),
        };
        self.note(format_args!("{time:?} pass"));
        self.pass(time).await;
    }

    /// Time passes, in which clients read, but not for hours.
    async fn pass(&mut self, time: Duration) {
        self.look_after_clients().await;
        let mut left = time;
        while left > Duration::ZERO {
            let pause = if time < HOURS { left.min(READ_EVERY) } else { left };
            sleep(pause).await;
            left -= pause;
            for connection in self.actors.iter_mut().filter_map(|actor| actor.connection.as_mut()) {
                connection.has_stalled |= time >= HOURS;
            }
            self.look_after_clients().await;
        }
    }

    // What holds.

    async fn check(&mut self) {
        self.look_after_clients().await;
        self.notice().await;
        self.check_limits();
    }

    async fn look_after_clients(&mut self) {
        let mut around = Around { model: &mut self.model, plan: &self.plan, draining: self.draining };
        for actor in &mut self.actors {
            actor.catch_up(&mut around).await;
        }
        for line in std::mem::take(&mut self.model.said) {
            self.note(line);
        }
        settle().await;
    }

    fn check_limits(&self) {
        let held = self.world.app.registry().held();
        let windows = self.model.upstreams.len();
        let most = self.plan.memory + windows * LAST_BLOCK;
        assert!(held <= most, "{held} bytes are held");
        let alone = |at: usize, up: &Upstream| {
            let attached = |actor: &Actor| {
                actor.connection.as_ref().is_some_and(|c| c.place.is_none_or(|(upstream, _)| upstream == at))
            };
            let ghosts = self.ghosts.iter().any(|(name, _)| up.own.is_none_or(|own| own == *name));
            up.is_open() && !ghosts && !self.actors.iter().any(attached)
        };
        let alone = self.model.upstreams.iter().enumerate().filter(|(at, up)| alone(*at, up)).count();
        assert!(alone <= self.plan.lingering, "{alone} upstream connections that nobody listens to");
    }

    // How it ends.

    /// Nothing fails any more: everybody comes back, and has everything.
    async fn calm_down(&mut self) {
        self.note("now all is well");
        self.calm = true;
        self.away = false;
        self.world.origin.set_away(false);
        self.ghosts.clear();
        for _ in 0..3 {
            for at in 0..self.actors.len() {
                if let Some(connection) = &mut self.actors[at].connection {
                    connection.stalls = false;
                } else {
                    self.connect(at).await;
                }
            }
            self.pass(Duration::from_secs(31)).await;
            self.serve().await;
            self.serve().await;
            self.check().await;
        }
        for at in 0..self.model.upstreams.len() {
            if self.model.upstreams[at].is_open() {
                let frames = self.frames(at);
                self.model.upstreams[at].send(frames, 0).await;
                settle().await;
            }
        }
        self.check().await;
        for actor in &self.actors {
            let place = actor.connection.as_ref().and_then(|connection| connection.place);
            assert!(
                place.is_some() || self.plan.is_scarce(),
                "client {} has no stream although all is well",
                actor.name
            );
        }
    }

    async fn drain(&mut self) {
        self.note("a drain");
        self.draining = true;
        self.world.app.drain().begin();
        sleep(self.world.app.drain().time()).await;
        self.check().await;
        for actor in &self.actors {
            assert!(actor.connection.is_none(), "client {} outlives the drain", actor.name);
        }
    }

    async fn leave(&mut self) {
        self.note("all leave");
        self.actors.iter_mut().for_each(|actor| actor.connection = None);
        for _ in 0..6 {
            self.serve().await;
            sleep(self.plan.linger + Duration::from_secs(31)).await;
        }
        self.notice().await;
        let (open, held) = (self.world.origin.open(), self.world.app.registry().held());
        assert_eq!((open, held), (0, 0), "upstream connections and bytes that nobody will ever ask for");
    }
}

impl Actor {
    /// Its request, if it is not answered yet, may get this status, or none.
    fn is_in_trouble(&mut self, status: Option<u16>) {
        if let Some(connection) = &mut self.connection {
            connection.trouble |= status.is_none();
            connection.refusals.extend(status);
        }
    }
}

/// An event that says whose it is and which.
fn event(upstream: usize, number: usize, pad: usize, eol: &str) -> Frame {
    let name = if number.is_multiple_of(3) { format!("event: e{eol}") } else { String::new() };
    let pad = if pad > 0 { format!("data: {}{eol}", "x".repeat(pad)) } else { String::new() };
    Frame { bytes: format!("{name}data: u{upstream}-{number}{eol}{pad}{eol}"), is_event: true }
}

fn forged(dice: &mut StdRng) -> String {
    let digits = *[13, 20].choose(dice).unwrap();
    let digits: String =
        (0..digits).map(|_| char::from(*b"0123456789abcdef".choose(dice).unwrap())).collect();
    format!("r{digits}-{}", dice.random_range(0..9))
}

/// An id of the same generation, of an event that there will never be.
fn ahead(id: &str) -> String {
    match Position::parse(id.as_bytes()) {
        Some(Position { generation, seq }) => Position { generation, seq: seq + 1_000_000 }.to_string(),
        None => String::new(),
    }
}
