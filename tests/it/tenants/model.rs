//! Who may see what, naively: written from the contract, without a look at how it is done.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use super::plan::{Part, Plan, Route};

/// What a request says, as a server would read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Request {
    pub(super) post: bool,
    pub(super) host: String,
    pub(super) path: String,
    /// Without a cursor.
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Request {
    /// What came over the wire, and the name that the client gave itself.
    pub(super) fn read(text: &str) -> (Self, String) {
        let mut lines = text.lines();
        let mut words = lines.next().unwrap().split(' ');
        let post = words.next() == Some("POST");
        let target = words.next().unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            post,
            host: String::new(),
            path: path.to_owned(),
            query: without_cursor(query),
            headers: Vec::new(),
        };
        let mut name = String::new();
        for (key, value) in lines.filter_map(|line| line.split_once(": ")) {
            match key.to_ascii_lowercase().as_str() {
                "host" => request.host = value.to_owned(),
                "x-request-id" => name = value.to_owned(),
                "authorization" | "cookie" | "x-dir" | "x_dir" | "origin" | "x-api-key" => {
                    request.headers.push((key.to_ascii_lowercase(), value.to_owned()));
                }
                _ => {}
            }
        }
        request.headers.sort();
        (request, name)
    }

    fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// It comes from another page's origin.
    fn is_foreign(&self) -> bool {
        self.values("origin").iter().any(|origin| *origin != format!("http://{}", self.host))
    }

    /// All that could mean somebody else: its own origin is none.
    fn everything(&self) -> String {
        let counts = |(name, _): &&(String, String)| name != "origin" || self.is_foreign();
        let headers: Vec<_> = self.headers.iter().filter(counts).collect();
        format!("{} {} {} {headers:?}", self.host, self.path, self.query)
    }

    /// What counts by a route's list. What some server might read in another way is only equal to itself.
    fn part(&self, part: Part) -> String {
        match part {
            Part::Host => self.host.clone(),
            Part::Path => self.path.clone(),
            Part::Query => self.query.clone(),
            Part::Room => {
                let pairs = self.query.split('&');
                let plain: Vec<_> = pairs.filter_map(|pair| pair.strip_prefix("room=")).collect();
                let odd = ["Room", "ro%6fm", ";", "room[]"].iter().any(|odd| self.query.contains(odd));
                format!("{plain:?} {}", if odd { &self.query } else { "" })
            }
            Part::Dir => format!("{:?} {:?}", self.values("x-dir"), self.values("x_dir")),
            Part::Authorization => format!("{:?}", self.values("authorization")),
            Part::Sid => {
                let all = self.values("cookie").join("; ");
                let plain: Vec<_> = all.split("; ").filter_map(|pair| pair.strip_prefix("sid=")).collect();
                let odd = all.contains(['"', '%', ',']) || all.contains("Sid");
                format!("{plain:?} {}", if odd { &all } else { "" })
            }
        }
    }

    /// Requests with one key mean the same stream.
    fn key(&self, route: &Route) -> String {
        match &route.key {
            None => self.everything(),
            Some(parts) => parts.iter().map(|part| self.part(*part) + "\n").collect(),
        }
    }

    /// Of a stream that is one client's alone nobody is asked who comes back to it.
    fn own_key(&self, route: &Route) -> String {
        let all_counts = route.shared && route.key.is_some();
        // The query is the route's to leave out; all else counts.
        let bare = || Self { query: String::new(), ..self.clone() }.everything();
        self.key(route) + &if all_counts { bare() } else { String::new() }
    }

    /// Whoever is asked the same, by the same page.
    fn identity(&self) -> String {
        format!("{} {:?}", self.everything(), self.values("origin"))
    }
}

fn without_cursor(query: &str) -> String {
    query.split('&').filter(|pair| !pair.starts_with("lastEventId=")).collect::<Vec<_>>().join("&")
}

/// A request that was sent, and what is known of it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) request: Request,
    /// What it brought.
    pub(super) id: String,
    /// The upstream said yes to it, or no.
    pub(super) answered: Option<bool>,
    /// A yes to the same request was a moment ago.
    pub(super) remembered: bool,
    /// When the upstream was asked again it said no, after so many events.
    pub(super) revoked: Option<usize>,
    pub(super) at: Instant,
}

/// A connection of the upstream's on which a stream was begun.
#[derive(Debug)]
pub(super) struct Told {
    /// Which request it was for, as the upstream understood it.
    pub(super) request: Request,
    pub(super) name: usize,
    /// It answers a POST, or a client that brought an id which only the upstream knows: nobody else's, on any route.
    pub(super) own: bool,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) sent: Vec<Sent>,
    pub(super) told: Vec<Told>,
    /// When the upstream last said yes to whom, of which route.
    yes: HashMap<String, Instant>,
    /// On which connections' events an id was seen: by itself, and by its generation.
    seen: HashMap<String, HashSet<usize>>,
    /// How many events there were.
    pub(super) events: usize,
}

impl Model {
    pub(super) fn answer(&mut self, name: usize, yes: bool) {
        let events = self.events;
        let Some(sent) = self.sent.get_mut(name) else { return };
        match (sent.answered, yes) {
            (None, _) => sent.answered = Some(yes),
            (Some(_), false) => sent.revoked = sent.revoked.or(Some(events)),
            (Some(_), true) => {}
        }
        if yes {
            self.yes.insert(sent.request.identity(), Instant::now());
        } else {
            self.yes.remove(&sent.request.identity());
        }
    }

    /// A yes counts for whoever comes back with the same request.
    pub(super) fn remember(&mut self, plan: &Plan, name: usize) {
        let sent = &self.sent[name];
        let since = self.yes.get(&sent.request.identity());
        let counts = since.is_some_and(|since| *since + Duration::from_secs(31) > sent.at);
        let remembers = plan.route(&sent.request.path).cache && !sent.id.is_empty();
        self.sent[name].remembered |= counts && remembers;
    }

    pub(super) fn note_id(&mut self, id: &str, told: usize) {
        for name in [id, generation(id)] {
            self.seen.entry(name.to_owned()).or_default().insert(told);
        }
    }

    /// Whether a request may have the event of this number, which was sent on this connection of the upstream's; why not,
    /// if it may not.
    pub(super) fn may_see(
        &self,
        plan: &Plan,
        name: usize,
        told: usize,
        event: usize,
    ) -> Result<(), &'static str> {
        let (client, upstream) = (&self.sent[name], &self.told[told]);
        let route = plan.route(&client.request.path);
        if client.revoked.is_some_and(|since| event >= since) {
            return Err("the upstream has said no by then");
        }
        if upstream.name == name {
            return Ok(());
        }
        if route.path != plan.route(&upstream.request.path).path {
            return Err("it is of another route");
        }
        if route.shared && !client.request.post && !upstream.own {
            return self.may_share(plan, client, upstream);
        }
        if client.request.own_key(route) != upstream.request.own_key(route) {
            return Err("it is a session of somebody else's");
        }
        let names = [client.id.as_str(), generation(&client.id)];
        let knows = names
            .iter()
            .any(|name| self.seen.get(*name).is_some_and(|told| told.contains(&upstream_at(upstream, self))));
        if knows { Ok(()) } else { Err("it brought no id of this session") }
    }

    fn may_share(&self, plan: &Plan, client: &Sent, upstream: &Told) -> Result<(), &'static str> {
        let route = plan.route(&client.request.path);
        if client.request.key(route) != upstream.request.key(route) {
            return Err("it is a stream of others");
        }
        let open = route.open && (!client.request.is_foreign() || plan.any_origin);
        let admitted = client.answered == Some(true) || open || client.remembered;
        if admitted { Ok(()) } else { Err("the upstream has not said yes to it") }
    }
}

fn upstream_at(upstream: &Told, model: &Model) -> usize {
    model.told.iter().position(|told| std::ptr::eq(told, upstream)).unwrap()
}

/// Of an id of ours, what all ids of its run have in common.
pub(super) fn generation(id: &str) -> &str {
    match id.split_once('-') {
        Some((generation, _)) if generation.starts_with('r') && generation.len() > 12 => generation,
        _ => id,
    }
}
