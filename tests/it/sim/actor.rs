//! A client, as an `EventSource` is one: what it has, and whether that is what it should have.

use tokio::time::Instant;

use super::{
    model::{Answers, Model, SPREAD},
    plan::{Path, Plan},
};
use crate::support::{
    reader,
    world::{Client, Ended},
};

pub(super) struct Actor {
    pub(super) name: usize,
    pub(super) path: Path,
    /// What it holds.
    pub(super) id: String,
    pub(super) connection: Option<Connection>,
}

pub(super) struct Connection {
    pub(super) client: Client,
    /// What its request is called.
    pub(super) request: usize,
    pub(super) answers: Answers,
    /// Where it stands if it is served as a new one; none where that is for the next upstream that opens.
    pub(super) start: Option<(usize, usize)>,
    /// How many upstreams there were when it asked.
    pub(super) before: usize,
    /// Once it was answered: it has so many events of this upstream.
    pub(super) place: Option<(usize, usize)>,
    pub(super) answered: Option<Instant>,
    /// It reads nothing.
    pub(super) stalls: bool,
    pub(super) has_stalled: bool,
    /// What the upstream answered to its requests, other than a stream.
    pub(super) refusals: Vec<u16>,
    /// The upstream was away, or lost a request, since it asked.
    pub(super) trouble: bool,
}

/// The world in which a client is judged.
pub(super) struct Around<'a> {
    pub(super) model: &'a mut Model,
    pub(super) plan: &'a Plan,
    pub(super) draining: bool,
}

impl Actor {
    /// Reads what there is, and checks it. A connection that has ended is gone afterwards.
    pub(super) async fn catch_up(&mut self, around: &mut Around<'_>) {
        let Some(connection) = &mut self.connection else { return };
        if connection.stalls {
            return;
        }
        connection.client.read().await;
        self.digest(around);
        let Some(connection) = &self.connection else { return };
        if connection.client.end.is_some() {
            self.check_end(around);
            self.connection = None;
        } else if let Some((at, has)) = connection.place {
            let up = &around.model.upstreams[at];
            assert_eq!(has, up.sent.len(), "client {} is not caught up with u{at}", self.name);
            let late = |when: Instant| when.elapsed() > 2 * SPREAD;
            let late = up.end.is_some_and(|(_, when)| late(when)) && connection.answered.is_some_and(late);
            assert!(!late, "client {} was told nothing of the end of u{at}", self.name);
        }
    }

    /// Takes what has been read for what it is.
    pub(super) fn digest(&mut self, around: &mut Around<'_>) {
        let Some(connection) = &mut self.connection else { return };
        if connection.client.status != 200 {
            return;
        }
        connection.be_answered(self.name, self.path, around.model);
        let body = &mut connection.client.body;
        let whole: Vec<u8> = body.drain(..whole_frames(body)).collect();
        let held = reader::read(&whole, &self.id);
        let Some((at, mut has)) = connection.place else { return };
        for event in &held.events {
            let is = (at, has);
            assert_eq!(number(&event.data), is, "client {} got this for that", self.name);
            has += 1;
            around.model.learn(&event.id, (at, has));
        }
        connection.place = Some((at, has));
        if held.id != self.id {
            around.model.learn(&held.id, (at, has));
        }
        self.id = held.id;
    }

    /// The connection has ended: was it to?
    fn check_end(&self, around: &Around<'_>) {
        let Some(connection) = &self.connection else { return };
        let Connection { client, place, has_stalled, trouble, refusals, .. } = connection;
        let name = self.name;
        if client.status != 200 {
            let refused = client.status != 0 && refusals.contains(&client.status);
            let cut = client.status == 0 && (*trouble || around.draining);
            assert!(refused || cut, "client {name} was answered {} {:?}", client.status, client.end);
            return;
        }
        let (at, has) = place.unwrap();
        let up = &around.model.upstreams[at];
        let had_all = has == up.sent.len();
        let end = up.end.map(|(end, _)| end);
        let may_miss = *has_stalled || around.plan.is_scarce();
        assert!(had_all || may_miss, "client {name} has {has} of {} of u{at}", up.sent.len());
        match client.end {
            Some(Ended::Properly) => {
                assert!(end == Some(Ended::Properly) && had_all, "client {name} was told of an end of u{at}");
            }
            _ => assert!(
                end == Some(Ended::Cut) || may_miss || around.draining,
                "client {name} was cut from u{at}"
            ),
        }
    }
}

impl Connection {
    /// The head has come: is that how it may be answered?
    fn be_answered(&mut self, name: usize, path: Path, model: &mut Model) {
        if self.place.is_some() {
            return;
        }
        self.answered = Some(Instant::now());
        let said = self.client.resume();
        let missed = |text: &str| text.strip_prefix("resumed; missed=").and_then(|n| n.parse::<usize>().ok());
        let most = self.answers.allowed.iter().find_map(|allowed| missed(allowed));
        let fewer = self.answers.at_most && missed(said) <= most;
        let allowed = self.answers.allowed.iter().any(|allowed| allowed == said);
        let may = fewer && missed(said).is_some() || allowed;
        assert!(may, "client {name} was answered {said:?}, not one of {:?}", self.answers.allowed);
        model.said.push(format!("client {name} is answered {said}"));
        self.place = if said.starts_with("resumed") {
            self.answers.place
        } else if path != Path::Mine && said != "foreign" && self.start.is_some() {
            self.start
        } else {
            let own = path == Path::Mine || said == "foreign";
            let opened = &model.upstreams[self.before..];
            let found = opened.iter().position(|up| match up.own {
                Some(_) => own && up.request == self.request,
                None => !own && up.path == path,
            });
            Some((self.before + found.expect("a new client with a stream that nobody opened"), 0))
        };
    }
}

/// The upstream of an event, and its number there.
fn number(data: &str) -> (usize, usize) {
    let (upstream, number) = data.lines().next().unwrap().split_once('-').unwrap();
    (upstream[1..].parse().unwrap(), number.parse().unwrap())
}

/// How long the frames are that are whole.
fn whole_frames(body: &[u8]) -> usize {
    let blank = |end: &usize| {
        let body = &body[..*end];
        [&b"\n\n"[..], b"\r\r", b"\r\n\r", b"\r\n\r\n"].iter().any(|blank| body.ends_with(blank))
    };
    (0..=body.len()).rev().find(blank).unwrap_or(0)
}
