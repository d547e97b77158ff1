//! Where the type of an event stands, and which types are heartbeats. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

use super::super::visit::{Event, Visit};
use crate::{plain::brief, rules::Pointer};

/// The names by which servers call the type of an event in its data, the likelier first.
const NAMES: [&str; 7] = ["type", "event", "kind", "eventType", "event_type", "action", "op"];
/// What the type of a heartbeat is called.
const HEARTBEATS: [&str; 5] = ["heartbeat", "keepalive", "keep-alive", "keep_alive", "ping"];
/// A type that is longer is none.
const LONGEST: usize = 64;
/// Heartbeats of a busy server come by as much too early or too late.
const JITTER: Duration = Duration::from_millis(60);

/// Where the type of an event stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In the `event` field.
    Field,
    /// In the data.
    Data {
        /// As it is written.
        text: String,
        pointer: Pointer,
    },
}

impl Place {
    /// Where it stands on most of these events.
    pub(super) fn of(events: &[&Event]) -> Self {
        let mut fields: Vec<&str> = events.iter().map(|event| event.field.as_str()).collect();
        fields.retain(|field| !field.is_empty() && *field != "message");
        if !fields.is_empty() {
            return Self::Field;
        }
        let mut found: BTreeMap<(usize, usize, String), usize> = BTreeMap::new();
        for event in events {
            candidates(event).into_iter().for_each(|at| *found.entry(at).or_default() += 1);
        }
        // Of those that stand on as many, the first: they are in the order of likelihood.
        let best = found.into_iter().rev().max_by_key(|(_, times)| *times);
        let best = best.filter(|(_, times)| *times * 2 > events.len());
        let pointer = best.and_then(|((.., text), _)| Some((text.parse().ok()?, text)));
        pointer.map_or(Self::Field, |(pointer, text)| Self::Data { text, pointer })
    }

    /// The type of an event, where it has one.
    pub(super) fn kind(&self, event: &Event) -> Option<String> {
        match self {
            Self::Field if event.field.is_empty() => Some("message".to_owned()),
            Self::Field => Some(event.field.clone()),
            Self::Data { pointer, .. } => pointer.find(event.data.as_ref()?),
        }
    }
}

/// Where a type could stand in the data, by depth and likelihood.
fn candidates(event: &Event) -> Vec<(usize, usize, String)> {
    let Some(Ok(Value::Object(outer))) = event.data.as_deref().map(serde_json::from_slice) else {
        return Vec::new();
    };
    let is_kind = |value: &Value| {
        value.as_str().is_some_and(|text| !text.is_empty() && text.len() <= LONGEST && !text.contains(' '))
    };
    let rank = |name: &str| NAMES.iter().position(|known| *known == name);
    let mut found = Vec::new();
    for (name, value) in &outer {
        if let Some(rank) = rank(name).filter(|_| is_kind(value)) {
            found.push((0, rank, format!("/{}", escaped(name))));
        }
        for (inner, value) in value.as_object().into_iter().flatten() {
            if let Some(rank) = rank(inner).filter(|_| is_kind(value)) {
                found.push((1, rank, format!("/{}/{}", escaped(name), escaped(inner))));
            }
        }
    }
    found
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What was made of the types that come again and again.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Heartbeats {
    /// Types that are heartbeats, each with why.
    pub(super) sure: BTreeMap<String, String>,
    /// Types that come as evenly, and say something else each time.
    pub(super) perhaps: BTreeSet<String>,
}

impl Heartbeats {
    /// Those of a connection.
    pub(super) fn of(visit: &Visit, place: &Place) -> Self {
        let mut kinds: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
        for event in &visit.events {
            if let Some(kind) = place.kind(event) {
                kinds.entry(kind).or_default().push(event);
            }
        }
        let mut heartbeats = Self::default();
        let several = kinds.len() > 1;
        for (kind, events) in kinds {
            match judged(&kind, &events, several) {
                Some(Ok(why)) => drop(heartbeats.sure.insert(kind, why)),
                Some(Err(())) => drop(heartbeats.perhaps.insert(kind)),
                None => {}
            }
        }
        heartbeats
    }

    pub(super) fn is(&self, kind: Option<&str>) -> bool {
        kind.is_some_and(|kind| self.sure.contains_key(kind))
    }
}

/// Why a type is a heartbeat, or that it may be one.
fn judged(kind: &str, events: &[&Event], several: bool) -> Option<Result<String, ()>> {
    let times = events.len();
    let alike = events.iter().all(|event| Some(event.print) == events.first().map(|first| first.print));
    let named = HEARTBEATS.iter().any(|name| kind.to_lowercase().contains(name));
    let even = even(events);
    let every =
        even.map_or(String::new(), |every| format!(", every {}", super::super::finding::seconds(every)));
    if named {
        return Some(Ok(format!("`{}`: by its name; {times} came{every}", brief(kind))));
    }
    if times < 3 || even.is_none() || !several {
        return None;
    }
    Some(if alike { Ok(format!("`{}`: {times} came, all alike{every}", brief(kind))) } else { Err(()) })
}

/// The interval at which these came, if it is even.
fn even(events: &[&Event]) -> Option<Duration> {
    let later = events.iter().skip(1);
    let mut intervals: Vec<_> =
        events.iter().zip(later).map(|(one, next)| next.at.saturating_sub(one.at)).collect();
    intervals.sort();
    let median = *intervals.get(intervals.len() / 2)?;
    let near = |interval: &Duration| interval.abs_diff(median) <= JITTER.max(median / 5);
    (intervals.len() >= 2 && intervals.iter().all(near)).then_some(median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::visit::{
        End,
        tests::{ms, visit},
    };

    /// A connection with an event each time: `field|data`.
    fn seen(events: &[(u64, &str)]) -> Visit {
        let frame = |text: &str| {
            let (field, data) = text.split_once('|').unwrap_or(("", text));
            let field = if field.is_empty() { String::new() } else { format!("event: {field}\n") };
            format!("{field}data: {data}\n\n")
        };
        let frames: Vec<_> = events.iter().map(|(at, text)| (*at, frame(text))).collect();
        let pieces: Vec<_> = frames.iter().map(|(at, frame)| (*at, frame.as_str())).collect();
        visit(0, "", "", &pieces, End::Left)
    }

    #[track_caller]
    fn check_place(events: &[&str], wanted: &str) {
        let events: Vec<_> = events.iter().map(|event| (10, *event)).collect();
        let visit = seen(&events);
        let text = match Place::of(&visit.events.iter().collect::<Vec<_>>()) {
            Place::Field => "event".to_owned(),
            Place::Data { text, .. } => text,
        };
        assert_eq!(text, wanted, "{events:?}");
    }

    #[test]
    fn the_type_stands_in_the_field_or_in_the_data() {
        check_place(&["a", "b"], "event");
        check_place(&["x|{\"type\":\"a\"}"], "event");
        check_place(&["{\"type\":\"a\"}", "{\"type\":\"b\",\"properties\":{\"type\":\"c\"}}"], "/type");
        check_place(&["message|{\"type\":\"a\"}"], "/type");
        check_place(
            &["{\"payload\":{\"type\":\"a\"}}", "{\"directory\":\"/\",\"payload\":{\"type\":\"b\"}}"],
            "/payload/type",
        );
        check_place(&["{\"kind\":\"a\",\"type\":\"b\"}"], "/type");
        check_place(&["{\"type\":\"two words\"}", "{\"type\":7}"], "event");
        check_place(&["{\"type\":\"a\"}", "{}", "{}"], "event");
        check_place(&["{\"a/b\":{\"type\":\"a\"}}"], "/a~1b/type");
    }

    #[track_caller]
    fn check(events: &[(u64, &str)], sure: &[&str], perhaps: &[&str]) {
        let found = Heartbeats::of(&seen(events), &Place::Field);
        let names: Vec<_> = found.sure.keys().map(String::as_str).collect();
        assert_eq!(
            (names, found.perhaps.iter().map(String::as_str).collect()),
            (sure.to_vec(), perhaps.to_vec())
        );
    }

    #[test]
    fn what_comes_evenly_and_alike_is_a_heartbeat() {
        check(&[(10, "a|1"), (1000, "s|ok"), (2010, "s|ok"), (2500, "a|2"), (3000, "s|ok")], &["s"], &[]);
        check(&[(10, "a|1"), (1000, "s|ok"), (2900, "s|ok"), (3000, "s|ok")], &[], &[]);
        check(&[(10, "a|1"), (1000, "s|1"), (2000, "s|2"), (3000, "s|3")], &[], &["s"]);
        // A clock that is all that there is.
        check(&[(1000, "s|1"), (2000, "s|2"), (3000, "s|3")], &[], &[]);
    }

    #[test]
    fn what_is_called_so_is_one() {
        check(&[(10, "a|1"), (900, "server.Heartbeat|7")], &["server.Heartbeat"], &[]);
        check(&[(10, "a|1"), (900, "ping|7")], &["ping"], &[]);
    }

    #[test]
    fn why_is_said_with_the_interval() {
        let visit = seen(&[(10, "a|1"), (1000, "s|ok"), (2000, "s|ok"), (3000, "s|ok")]);
        assert_eq!(Heartbeats::of(&visit, &Place::Field).sure["s"], "`s`: 3 came, all alike, every 1.0 s");
        assert_eq!(even(&visit.events.iter().skip(1).collect::<Vec<_>>()), Some(ms(1000)));
    }
}
