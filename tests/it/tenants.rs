//! Tenants of every kind, on routes of every kind: random keys, credentials, origins and ids. An event says on which
//! connection the upstream sent it, and so for whom it was meant; a naive model says who may have it.
//!
//! `TENANTS_SEED=7` runs one seed and says what happens, `TENANTS_SEEDS=10000` as many from the first on.

/// Who may see what.
mod model;
/// What the operator wrote, and who the tenants are.
mod plan;

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::{Instant, sleep};

use self::{
    model::{Model, Request, Sent, Told, generation},
    plan::Plan,
};
use crate::support::{
    seeded::{self, Log, seeds},
    world::{Client, Exchange, World, settle},
};

const SEEDS: u64 = 300;
const TOKENS: [&str; 3] = ["tok1", "tok2", "tok3"];

#[test]
fn nobody_is_shown_what_is_not_theirs() {
    // What never happens cannot fail.
    let mut happened = [
        ("with another's id", 0),
        ("with a forged id", 0),
        ("is answered resumed", 0),
        ("is answered gap; reason=generation", 0),
        ("is answered gap; reason=expired", 0),
        ("is answered gap; reason=ahead", 0),
        ("is answered foreign", 0),
        ("is answered 401", 0),
        ("is asked about again", 0),
        ("sees another's event", 0),
    ];
    let count = |log: &str| {
        for (what, count) in &mut happened {
            *count += log.lines().filter(|line| line.contains(*what)).count() as u64;
        }
    };
    let Some(seeds) = seeds("TENANTS", SEEDS, run, count) else { return };
    for (what, count) in happened {
        assert!(count * 40 > seeds, "{what}: {count} times in {seeds} seeds");
    }
}

fn run(seed: u64) -> Result<String, String> {
    seeded::run(seed, |log| Case::new(seed, log).live())
}

/// A client that is there.
struct Actor {
    /// Its place among all requests.
    name: usize,
    client: Client,
    /// So many of its events were looked at.
    seen: usize,
    noted: bool,
}

/// A stream of the upstream's that is there.
struct Line {
    told: usize,
    exchange: Exchange,
}

struct Case {
    dice: StdRng,
    log: Log,
    plan: Plan,
    world: World,
    model: Model,
    actors: Vec<Actor>,
    lines: Vec<Line>,
    /// Every id that anybody has seen, and by which request.
    ids: Vec<(String, usize)>,
    /// The upstream refuses who has one of these.
    denied: Vec<&'static str>,
}

impl Case {
    fn new(seed: u64, log: Log) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let plan = Plan::draw(&mut dice);
        log.add(plan.config());
        let world = World::seeded(&plan.config(), seed);
        let (actors, lines, ids, denied) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { dice, log, plan, world, model: Model::default(), actors, lines, ids, denied }
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.log.add(what);
    }

    async fn live(mut self) {
        for _ in 0..self.plan.steps {
            self.step().await;
            self.serve().await;
            self.look().await;
        }
    }

    async fn step(&mut self) {
        match self.dice.random_range(0..100) {
            0..22 => self.enter().await,
            22..32 => self.leave(),
            32..46 => self.come_back().await,
            46..58 => self.steal().await,
            58..64 => self.forge().await,
            64..84 => self.send().await,
            84..90 => self.revoke(),
            90..93 => self.lose().await,
            _ => {
                let seconds = *[1, 25, 61, 130].choose(&mut self.dice).unwrap();
                self.note(format_args!("{seconds} s pass"));
                sleep(Duration::from_secs(seconds)).await;
            }
        }
    }

    // What tenants do.

    async fn enter(&mut self) {
        // Somebody like one who was there, as often as not.
        let like = self.model.sent.choose(&mut self.dice).map(|sent| sent.request.clone());
        let like = like.filter(|_| self.dice.random());
        let request = like.unwrap_or_else(|| plan::request(&mut self.dice));
        self.ask(request, "", "").await;
    }

    fn leave(&mut self) {
        if !self.actors.is_empty() {
            let at = self.dice.random_range(0..self.actors.len());
            let gone = self.actors.swap_remove(at);
            self.note(format_args!("c{} leaves", gone.name));
        }
    }

    async fn come_back(&mut self) {
        let Some((id, owner)) = self.ids.choose(&mut self.dice).cloned() else { return };
        self.actors.retain(|actor| actor.name != owner);
        let request = Request { post: false, ..self.model.sent[owner].request.clone() };
        self.ask(request, &id, "with its own id").await;
    }

    async fn steal(&mut self) {
        let Some((id, owner)) = self.ids.choose(&mut self.dice).cloned() else { return };
        // Nearly the same request, or any.
        let other = plan::request(&mut self.dice);
        let own = self.model.sent[owner].request.clone();
        let request = match self.dice.random_range(0..5) {
            0 => Request { headers: other.headers, ..own },
            1 => Request { query: other.query, ..own },
            2 => Request { host: other.host, path: other.path, ..own },
            3 => Request { path: own.path, ..other },
            _ => other,
        };
        let id = if self.dice.random() { id } else { self.moved(&id) };
        self.ask(request, &id, "with another's id").await;
    }

    /// The same run of a stream, another place.
    fn moved(&mut self, id: &str) -> String {
        let seq = *["0", "1", "3", "99", "18446744073709551615"].choose(&mut self.dice).unwrap();
        if generation(id) == id { id.to_owned() } else { format!("{}-{seq}", generation(id)) }
    }

    async fn forge(&mut self) {
        let digits = *[13, 24].choose(&mut self.dice).unwrap();
        let digit = |dice: &mut StdRng| char::from_digit(dice.random_range(0..32), 32).unwrap();
        let run: String = (0..digits).map(|_| digit(&mut self.dice)).collect();
        let ours = format!("r0{}-{}", &run[1..], self.dice.random_range(0..5));
        let id = if self.dice.random() { ours } else { format!("f{}", self.dice.random_range(0..1000)) };
        let request = plan::request(&mut self.dice);
        self.ask(request, &id, "with a forged id").await;
    }

    async fn ask(&mut self, request: Request, id: &str, how: &str) {
        let name = self.model.sent.len();
        self.note(format_args!("c{name} asks {how} {id:?}: {request:?}"));
        let in_query = !id.is_empty() && self.dice.random_ratio(1, 4);
        let cursor = if in_query { format!("lastEventId={id}") } else { String::new() };
        let query: Vec<_> =
            [request.query.as_str(), &cursor].into_iter().filter(|part| !part.is_empty()).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let method = if request.post { "POST" } else { "GET" };
        let mut head = format!(
            "{method} {}{query} HTTP/1.1\nHost: {}\nAccept: text/event-stream\nCache-Control: no-cache\nX-Request-Id: {name}",
            request.path, request.host
        );
        let own = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let id_line = (!id.is_empty() && !in_query).then_some(("Last-Event-ID", id));
        let length = request.post.then_some(("Content-Length", "0"));
        for (name, value) in own.chain(id_line).chain(length) {
            head += &format!("\n{name}: {value}");
        }
        let at = Instant::now();
        self.model.sent.push(Sent {
            request,
            id: id.to_owned(),
            answered: None,
            remembered: false,
            revoked: None,
            at,
        });
        self.model.remember(&self.plan, name);
        let client = self.world.send(&head).await;
        self.actors.push(Actor { name, client, seen: 0, noted: false });
        settle().await;
    }

    // What the event server does.

    async fn serve(&mut self) {
        settle().await;
        while let Some(exchange) = self.world.origin.waiting().await {
            self.answer(exchange).await;
        }
    }

    async fn answer(&mut self, mut exchange: Exchange) {
        let (request, name) = Request::read(&exchange.request);
        let name: usize = name.parse().unwrap();
        let credentials = format!("{} {:?}", request.query, request.headers);
        let yes = !self.denied.iter().any(|token| credentials.contains(token));
        let again = self.model.sent[name].answered.is_some();
        self.note(format_args!("c{name} is asked about{}: {yes}", if again { " again" } else { "" }));
        self.model.answer(name, yes);
        if !yes {
            exchange.raw("HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno").await;
            return;
        }
        let any = if self.plan.any_origin { "Access-Control-Allow-Origin: *\n" } else { "" };
        exchange.begin_with(any).await;
        let own = request.post || !again && exchange.header("last-event-id").is_some();
        let told = self.model.told.len();
        self.model.told.push(Told { request, name, own });
        self.lines.push(Line { told, exchange });
        if self.dice.random() {
            self.send_on(self.lines.len() - 1).await;
        }
    }

    async fn send(&mut self) {
        for at in 0..self.lines.len() {
            if self.dice.random() {
                self.send_on(at).await;
            }
        }
    }

    /// An event says for whom it is meant: for whomever the upstream took this connection's request for.
    async fn send_on(&mut self, at: usize) {
        let Line { told, exchange } = &mut self.lines[at];
        let number = self.model.events;
        self.model.events += 1;
        let id = if self.plan.numbers { format!("id: {number}\n") } else { String::new() };
        let kind = if self.dice.random_ratio(1, 5) { "event: beat\n" } else { "" };
        let whom = &self.model.told[*told].request;
        exchange.send(format!("{kind}{id}data: {told} {number} {whom:?}\n\n")).await;
    }

    fn revoke(&mut self) {
        let token = *TOKENS.choose(&mut self.dice).unwrap();
        if let Some(at) = self.denied.iter().position(|denied| *denied == token) {
            self.denied.remove(at);
        } else {
            self.denied.push(token);
        }
        self.note(format_args!("denied: {:?}", self.denied));
    }

    async fn lose(&mut self) {
        if !self.lines.is_empty() {
            let at = self.dice.random_range(0..self.lines.len());
            let mut line = self.lines.swap_remove(at);
            self.note(format_args!("u{} ends", line.told));
            if self.dice.random() {
                line.exchange.finish().await;
            }
        }
    }

    // What must hold.

    async fn look(&mut self) {
        for at in 0..self.actors.len() {
            self.actors[at].client.read().await;
            self.look_at(at);
        }
        self.actors.retain(|actor| actor.client.end.is_none());
        let mut open = Vec::new();
        for mut line in self.lines.drain(..) {
            if !line.exchange.was_closed().await {
                open.push(line);
            }
        }
        self.lines = open;
    }

    fn look_at(&mut self, at: usize) {
        let actor = &mut self.actors[at];
        let (name, client) = (actor.name, &actor.client);
        if client.status != 0 && !std::mem::replace(&mut actor.noted, true) {
            let answer =
                if client.status == 200 { client.resume().to_owned() } else { client.status.to_string() };
            self.log.add(format!("c{name} is answered {answer}"));
        }
        let events = client.held().events;
        let mut last = Vec::new();
        for event in &events[actor.seen..] {
            let mut words = event.data.split(' ').map(|word| word.parse::<usize>().ok());
            // What we say ourselves names no connection.
            let (Some(Some(told)), Some(Some(number))) = (words.next(), words.next()) else { continue };
            if let Err(why) = self.model.may_see(&self.plan, name, told, number) {
                let sent = &self.model.sent[name];
                panic!("c{name}, {sent:?}, was shown {event:?}: {why}");
            }
            if self.model.told[told].name != name {
                self.log.add(format!("c{name} sees another's event"));
            }
            last.push((told, number, event.id.clone()));
        }
        actor.seen = events.len();
        for (told, _, id) in last {
            if !id.is_empty() && !self.ids.iter().any(|known| known.0 == id && known.1 == name) {
                self.model.note_id(&id, told);
                self.ids.push((id, name));
            }
        }
    }
}
