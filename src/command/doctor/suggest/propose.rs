//! From what was seen to the keys of a route, each with its reason. Pure.

use super::{
    super::{
        finding::{count, seconds},
        ids::{self, Ids},
        visit::{End, Event, Visit},
    },
    Watched,
    hello::Hello,
    kinds::{Heartbeats, Place},
    same::{Same, same},
    written::{Entry, list, quoted},
};
use crate::plain::brief;

/// What is proposed, and what could not be told.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Proposed {
    pub(super) entries: Vec<Entry>,
    pub(super) untold: Vec<String>,
    /// The name of a preset for a server such as this one.
    pub(super) preset: Option<&'static str>,
    /// How many events came to the first connection.
    pub(super) events: usize,
    pub(super) connections: usize,
}

/// What follows from what the connections saw.
pub(super) fn propose(watched: &Watched) -> Proposed {
    let findings = Findings::of(watched);
    let mut proposed = Proposed {
        events: watched.first.events.len(),
        connections: 2 + [&watched.late, &watched.returning, &watched.bare].into_iter().flatten().count(),
        preset: findings.preset(),
        ..Proposed::default()
    };
    let shared = findings.mode(watched, &mut proposed);
    findings.rules(shared, &mut proposed);
    findings.ids(watched, shared, &mut proposed);
    findings.untold(watched, &mut proposed);
    proposed
}

/// What is told of a stream before anything is proposed.
struct Findings<'a> {
    place: Place,
    heartbeats: Heartbeats,
    hello: Hello,
    /// The events of the first connection that are neither.
    live: Vec<&'a Event>,
    /// Whether the others see the same.
    same: Same,
}

impl<'a> Findings<'a> {
    fn of(watched: &'a Watched) -> Self {
        let Watched { first, second, late, .. } = watched;
        let visits = || [Some(first), Some(second), late.as_ref()].into_iter().flatten();
        let place = Place::of(&visits().flat_map(|visit| &visit.events).collect::<Vec<_>>());
        let heartbeats = Heartbeats::of(first, &place);
        let hello = Hello::of(first, second, late.as_ref(), &place, &heartbeats);
        let mut findings = Self { place, heartbeats, hello, live: Vec::new(), same: Same::Untold };
        let others = [Some(second), late.as_ref()].into_iter().flatten();
        let each: Vec<Same> =
            others.map(|other| same(&findings.live(first), &findings.live(other))).collect();
        findings.same = if each.contains(&Same::No) {
            Same::No
        } else if each.len() == 2 && each.iter().all(|same| *same == Same::Yes) {
            Same::Yes
        } else {
            Same::Untold
        };
        findings.live = findings.live(first);
        findings
    }

    /// The events of a connection that are neither hello nor heartbeat.
    fn live<'v>(&self, visit: &'v Visit) -> Vec<&'v Event> {
        let is_live = |event: &&Event| {
            let kind = self.place.kind(event);
            !self.heartbeats.is(kind.as_deref()) && !self.hello.is(kind.as_deref())
        };
        visit.events.iter().filter(is_live).collect()
    }

    fn preset(&self) -> Option<&'static str> {
        let is = |kind: &str| self.hello.is(Some(kind));
        let known = [("PB_CONNECT", "pocketbase"), ("server.connected", "opencode"), ("endpoint", "mcp")];
        known.into_iter().find(|(kind, _)| is(kind)).map(|(_, preset)| preset)
    }

    /// One stream for all, or one each; true if it is shared.
    fn mode(&self, watched: &Watched, proposed: &mut Proposed) -> bool {
        let apart = self.apart();
        let bare = watched.bare.as_ref().filter(|_| apart.is_none());
        let differs = bare.and_then(|bare| self.differs(&watched.first, bare));
        let mut entry = |entry| proposed.entries.push(entry);
        if let Some(why) = apart.as_ref().or(differs.as_ref()) {
            entry(Entry::new("mode", quoted("private"), why));
            if differs.is_some() {
                let why = "All connections with these credentials see the same events, so that this would work as well: one \
                           upstream connection for all who have the same credentials.";
                entry(Entry::idea("mode", quoted("shared"), why));
            }
            return false;
        }
        let why = "All connections saw the same events in the same order, the one that came later from there on: one connection \
                   to the server can feed all clients.";
        entry(Entry::new("mode", quoted("shared"), why));
        let key = list(["path", "query"]);
        if bare.is_some() {
            let why = "A connection without the credentials saw the same events: they make no difference to what is seen. \
                       Whether somebody may see them is still asked of the server each time (`admit`).";
            entry(Entry::new("key", key, why));
        } else {
            let why = "Where credentials make no difference to what is seen, this is one stream for all.";
            entry(Entry::idea("key", key, why));
            proposed.untold.push(
                "Whether credentials make a difference to what is seen: none were given. By default clients with different \
                 cookies, tokens or queries never share a stream. Give --header 'Authorization: …' to find out."
                    .to_owned(),
            );
        }
        true
    }

    /// Why connections must not share a stream, whoever asks.
    fn apart(&self) -> Option<String> {
        Some(match (self.same, &self.hello) {
            (Same::No, _) => {
                "The connections did not see the same events in the same order: each has a stream of its own."
                    .to_owned()
            }
            (Same::Untold, _) => {
                "The default, which is right for any server: too few events came to several connections to \
                                  tell whether all see the same."
                    .to_owned()
            }
            (Same::Yes, Hello::Untyped(events)) => format!(
                "All connections see the same events, but each begins with {} of its own that no type tells from the others, \
                 such as the past: a client that joined a shared stream would not get them.",
                count(*events as u64, "event")
            ),
            (Same::Yes, _) => return None,
        })
    }

    /// What a connection without credentials had otherwise.
    fn differs(&self, first: &Visit, bare: &Visit) -> Option<String> {
        if same(&self.live(first), &self.live(bare)) == Same::Yes {
            return None;
        }
        let refused = bare.head.as_ref().filter(|head| !head.is_stream);
        let how = refused
            .map_or("did not see the same events".to_owned(), |head| format!("was answered {}", head.status));
        Some(format!("A connection without the credentials {how}: what is seen may depend on who asks."))
    }

    /// Where types stand, hello and heartbeats.
    fn rules(&self, shared: bool, proposed: &mut Proposed) {
        let mut entries = Vec::new();
        if let Hello::Types { types, events } = &self.hello {
            let names: Vec<_> = types.iter().map(|kind| brief(kind)).collect();
            let names = names.join(", ");
            if shared {
                let why =
                    format!("Each new connection is told this first, and nobody at any other time: {names}.");
                entries.push(Entry::new("hello", list(types), why));
                if *events > 1 {
                    entries.push(Entry::new("hello_events", events.to_string(), "So many of them."));
                }
            } else {
                proposed.untold.push(format!(
                    "Nothing need be said of the hello ({names}): a client of a private stream that comes back is not greeted again."
                ));
            }
        }
        if !self.heartbeats.sure.is_empty() {
            let whys: Vec<_> = self.heartbeats.sure.values().map(String::as_str).collect();
            let why = format!("Heartbeats, which nobody misses who was away. {}.", whys.join("; "));
            entries.push(Entry::new("ephemeral", list(self.heartbeats.sure.keys()), why));
        }
        // A clock that is all that there is is no heartbeat.
        let is_perhaps = |event: &&Event| {
            self.place.kind(event).is_some_and(|kind| self.heartbeats.perhaps.contains(&kind))
        };
        if !self.heartbeats.perhaps.is_empty() && !self.live.iter().all(is_perhaps) {
            let why = "These come at even intervals and say something else each time. If they are heartbeats, nobody need be \
                       given them again:";
            entries.push(Entry::idea("ephemeral", list(&self.heartbeats.perhaps), why));
        }
        if let (Place::Data { text, .. }, false) = (&self.place, entries.is_empty()) {
            let why = "Events say their type here in their data.";
            proposed.entries.push(Entry::new("type", quoted(text), why));
        }
        proposed.entries.extend(entries);
    }

    /// What the server's own ids are good for.
    fn ids(&self, watched: &Watched, shared: bool, proposed: &mut Proposed) {
        let names = self.names(watched);
        let resumes = self.resumes(watched);
        let verdict = match self.verdict(watched) {
            // Those that the server resumes by are places, in whatever order they are.
            Ids::Unordered if resumes == Some(true) => Ids::Rising { proven: true },
            verdict => verdict,
        };
        let some_without = self.live.iter().any(|event| event.id.is_none());
        let why = match verdict {
            Ids::None if names.is_empty() => return,
            Ids::None => "The one id that each connection is given is no place in the stream.",
            Ids::Repeated => {
                "The server gives several events the same id, so that they are no places in the stream."
            }
            Ids::Counted => {
                "The server counts its ids for each connection, so that they are no places in the stream."
            }
            Ids::Random => "The server gives the same event another id on each connection.",
            Ids::Unordered => {
                "The server's ids are in no order, and it does not go on from one that is sent back."
            }
            Ids::Rising { .. } if some_without => {
                "The server leaves some events without an id: by its own, a client that comes back may get events again."
            }
            Ids::Rising { proven } => return cursors(proven, resumes, shared, proposed),
        };
        proposed.entries.push(Entry::new("ids", quoted("replace"), why));
        if !names.is_empty() {
            let why = "Their id is said in their data, too, and is a name that clients may need.";
            proposed.entries.push(Entry::new("keep_ids_of", list(&names), why));
            if !proposed.entries.iter().any(|entry| entry.key == "type")
                && let Place::Data { text, .. } = &self.place
            {
                proposed.entries.push(Entry::new(
                    "type",
                    quoted(text),
                    "Events say their type here in their data.",
                ));
            }
        }
    }

    fn verdict(&self, watched: &Watched) -> Ids {
        let visits = [Some(&watched.first), Some(&watched.second), watched.late.as_ref()];
        let live: Vec<Vec<&Event>> = visits.into_iter().flatten().map(|visit| self.live(visit)).collect();
        ids::judge(&live)
    }

    /// Types of the hello whose id is a name: it stands in the data as well.
    fn names(&self, watched: &Watched) -> Vec<String> {
        let is_name = |event: &&Event| {
            let (Some(id), Some(data)) = (&event.id, &event.data) else { return false };
            id.len() >= 4 && memchr::memmem::find(data, id).is_some()
        };
        let named = watched.first.events.iter().filter(is_name).filter_map(|event| self.place.kind(event));
        let mut names: Vec<String> = named.filter(|kind| self.hello.is(Some(kind))).collect();
        names.dedup();
        names
    }

    /// Whether the server goes on from an id that is sent back; none if that could not be seen.
    fn resumes(&self, watched: &Watched) -> Option<bool> {
        let returning = watched.returning.as_ref().filter(|visit| visit.is_stream())?;
        let cursor = returning.cursor.as_ref()?;
        let at = self.live.iter().position(|event| event.id.as_ref() == Some(cursor))?;
        let next = self.live.get(at + 1).filter(|next| next.at < returning.asked)?;
        let first = *self.live(returning).first()?;
        Some(first.print == next.print)
    }

    /// What is not told at all.
    fn untold(&self, watched: &Watched, proposed: &mut Proposed) {
        if self.hello == Hello::Untold {
            proposed
                .untold
                .push("Whether new connections are greeted: none that came later was answered.".to_owned());
        }
        for visit in [&watched.first, &watched.second] {
            if let End::Over | End::Lost(_) = visit.end {
                let lived = seconds(visit.ended.saturating_sub(visit.asked));
                proposed.untold.push(format!(
                    "What comes later: the server ended a connection after {lived}. Where that is because nothing happened, a \
                     proxy on the way may do so."
                ));
                break;
            }
        }
        if self.live.is_empty() {
            proposed.untold.push(
                "What the stream carries: nothing happened. Make events happen, or give a longer --for."
                    .to_owned(),
            );
        }
        proposed.untold.push(
            "Which events undo others, so that nothing from before counts (`reset`) or what was answered is not asked again \
             (`guard`): see README."
                .to_owned(),
        );
    }
}

/// Ids that are places stay; what is said of them depends on who resumes by them.
fn cursors(proven: bool, resumes: Option<bool>, shared: bool, proposed: &mut Proposed) {
    let why = if proven {
        "The server's ids rise, and an event has the same one on all connections: clients resume by them."
    } else {
        "The server's ids rise. Whether an event has the same one on all connections could not be seen."
    };
    proposed.entries.push(Entry::new("ids", quoted("keep"), why));
    match (resumes, shared) {
        (Some(true), true) => {
            let why = "The server goes on from an id that is sent back: respool's own connection, too, when it is lost.";
            proposed.entries.push(Entry::new("upstream_resumes", "true".to_owned(), why));
        }
        (None, _) => proposed.untold.push(
            "Whether the server goes on from an id that is sent back: nothing happened between that event and the return."
                .to_owned(),
        ),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::visit::tests::visit;

    /// A connection: events of a type, `type:data=id`, each 100 ms after the other from `from` on.
    fn seen(from: u64, cursor: &str, events: &str) -> Visit {
        let frame = |(at, text): (usize, &str)| {
            let (text, id) = text.split_once('=').unwrap_or((text, ""));
            let (field, data) = text.split_once(':').unwrap_or(("message", text));
            let id = if id.is_empty() { String::new() } else { format!("id: {id}\n") };
            (from + 5 + at as u64 * 100, format!("event: {field}\ndata: {data}\n{id}\n"))
        };
        let frames: Vec<_> = events.split_whitespace().enumerate().map(frame).collect();
        let pieces: Vec<_> = frames.iter().map(|(at, frame)| (*at, frame.as_str())).collect();
        visit(from, cursor, "", &pieces, End::Left)
    }

    /// What is set for connections that see this: two from the start, one from 300 ms on.
    fn watched(first: &str, second: &str, late: &str) -> Watched {
        Watched {
            first: seen(0, "", first),
            second: seen(0, "", second),
            late: Some(seen(295, "", late)),
            returning: None,
            bare: None,
        }
    }

    #[track_caller]
    fn check(watched: &Watched, wanted: &str) {
        let entries = propose(watched).entries;
        let set = entries.iter().filter(|entry| entry.set);
        let set: Vec<_> = set.map(|entry| format!("{}={}", entry.key, entry.value)).collect();
        assert_eq!(set.join(" "), wanted, "{entries:#?}");
    }

    #[test]
    fn one_stream_for_all_is_shared_and_anything_else_is_private() {
        check(&watched("a b c d e f g", "a b c d e f g", "d e f g"), "mode=\"shared\"");
        check(&watched("a b c d e f g", "a b c d e f g", "x y z"), "mode=\"private\"");
        check(&watched("a b c d e f g", "a c b d e f g", "d e f g"), "mode=\"private\"");
        check(&watched("a b", "a b", ""), "mode=\"private\"");
        let alone = Watched { late: None, ..watched("a b c d", "a b c d", "") };
        check(&alone, "mode=\"private\"");
    }

    #[test]
    fn hello_and_heartbeats_are_named_where_they_have_an_effect() {
        let with = |tail: &str| format!("hi:1 {tail}");
        let all = with("a b ping:1 c d e f ping:1");
        let shared = watched(&all, &all, &with("c d e f ping:2"));
        check(&shared, "mode=\"shared\" hello=[\"hi\"] ephemeral=[\"ping\"]");
        check(&watched(&all, &all, "hi:9 x y z ping:1"), "mode=\"private\" ephemeral=[\"ping\"]");
    }

    #[test]
    fn ids_stay_where_they_are_places() {
        let ids = |ids: &str| {
            let events: Vec<_> =
                "abcdefg".chars().zip(ids.split(' ')).map(|(c, id)| format!("{c}={id}")).collect();
            (events.join(" "), events[3..].join(" "))
        };
        let same = |text: &str| {
            let (all, late) = ids(text);
            watched(&all, &all, &late)
        };
        let rising = "1 2 3 4 5 6 7";
        check(&same(rising), "mode=\"shared\" ids=\"keep\"");
        check(&same("1 1 1 4 5 6 7"), "mode=\"shared\" ids=\"replace\"");
        check(&same("9 2 3 4 5 6 7"), "mode=\"shared\" ids=\"replace\"");
        let counted = watched(&ids(rising).0, &ids(rising).0, "d=1 e=2 f=3 g=4");
        check(&counted, "mode=\"shared\" ids=\"replace\"");
        let back = |events| Watched { returning: Some(seen(500, "2", events)), ..same(rising) };
        check(&back("c=3 d=4 e=5 f=6 g=7"), "mode=\"shared\" ids=\"keep\" upstream_resumes=true");
        check(&back("f=6 g=7"), "mode=\"shared\" ids=\"keep\"");
    }

    #[test]
    fn credentials_count_unless_it_was_seen_that_they_do_not() {
        let all = || watched("a b c d e f g", "a b c d e f g", "d e f g");
        let bare = |events| Watched { bare: Some(seen(200, "", events)), ..all() };
        check(&bare("c d e f g"), "mode=\"shared\" key=[\"path\", \"query\"]");
        check(&bare("x y z"), "mode=\"private\"");
        check(&bare(""), "mode=\"private\"");
        assert!(propose(&all()).untold.iter().any(|untold| untold.starts_with("Whether credentials")));
    }
}
