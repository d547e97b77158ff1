//! What each new connection is told first. Pure.

use std::time::Duration;

use super::{
    super::visit::{Event, Visit},
    kinds::{Heartbeats, Place},
};

/// A hello that is longer is no hello.
const MOST: usize = 8;
/// What came to one connection so long before another was asked for may have come to that, too.
const SLACK: Duration = Duration::from_millis(50);

/// How a connection begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Hello {
    /// Like any other time.
    None,
    /// With so many events of types that come at no other time.
    Types {
        /// In order, each once.
        types: Vec<String>,
        events: usize,
    },
    /// With so many events that others did not get then, of types that come at other times, too.
    Untyped(usize),
    /// There was no later connection to tell it by.
    Untold,
}

impl Hello {
    /// From two connections that were opened at once and one that came later.
    pub(super) fn of(
        first: &Visit,
        second: &Visit,
        late: Option<&Visit>,
        place: &Place,
        heartbeats: &Heartbeats,
    ) -> Self {
        let Some(late) = late.filter(|late| late.is_stream()) else { return Self::Untold };
        let told = |visit: &Visit| -> Vec<Option<String>> {
            let kinds = visit.events.iter().map(|event| place.kind(event));
            kinds.filter(|kind| !heartbeats.is(kind.as_deref())).collect()
        };
        let own = own(first, late, place, heartbeats);
        let all = [told(first), told(second), told(late)];
        let longest = (1..=own.min(MOST)).rev().find_map(|length| types(&all, length));
        match (longest, own) {
            (Some((types, events)), _) => Self::Types { types, events },
            (None, 0) => Self::None,
            (None, own) => Self::Untyped(own),
        }
    }

    /// The type is one of it.
    pub(super) fn is(&self, kind: Option<&str>) -> bool {
        let Self::Types { types, .. } = self else { return false };
        kind.is_some_and(|kind| types.iter().any(|of| of == kind))
    }
}

/// With how many events the later connection begins that the first one was not told then.
fn own(first: &Visit, late: &Visit, place: &Place, heartbeats: &Heartbeats) -> usize {
    let from = late.asked.saturating_sub(SLACK);
    let told =
        |event: &Event| first.events.iter().any(|other| other.print == event.print && other.at >= from);
    let events = late.events.iter().filter(|event| !heartbeats.is(place.kind(event).as_deref()));
    events.take_while(|event| !told(event)).count()
}

/// The types of so many events with which all connections begin, if they come at no other time.
fn types(all: &[Vec<Option<String>>], length: usize) -> Option<(Vec<String>, usize)> {
    let begin = all.first()?.get(..length)?;
    if all.iter().any(|kinds| kinds.get(..length) != Some(begin)) {
        return None;
    }
    let again = all.iter().any(|kinds| kinds.iter().skip(length).any(|kind| begin.contains(kind)));
    let mut types: Vec<String> = begin.iter().cloned().collect::<Option<_>>()?;
    types.dedup();
    (!again).then_some((types, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::visit::{End, tests::visit};

    /// Events of a type with data, `type:data` or `data` alone, from `from` on, each 100 ms after the other.
    fn seen(from: u64, events: &str) -> Visit {
        let frame = |(at, text): (usize, &str)| {
            let (field, data) = text.split_once(':').unwrap_or(("message", text));
            (from + 5 + at as u64 * 100, format!("event: {field}\ndata: {data}\n\n"))
        };
        let frames: Vec<_> = events.split_whitespace().enumerate().map(frame).collect();
        let pieces: Vec<_> = frames.iter().map(|(at, frame)| (*at, frame.as_str())).collect();
        visit(from, "", "", &pieces, End::Left)
    }

    #[track_caller]
    fn check(first: &str, second: &str, late: (u64, &str), wanted: &Hello) {
        let visits = [seen(0, first), seen(0, second), seen(late.0, late.1)];
        let heartbeats = Heartbeats::of(&visits[0], &Place::Field);
        let hello = Hello::of(&visits[0], &visits[1], Some(&visits[2]), &Place::Field, &heartbeats);
        assert_eq!(hello, *wanted, "{first} | {second} | {late:?}");
    }

    fn types(types: &[&str], events: usize) -> Hello {
        Hello::Types { types: types.iter().map(ToString::to_string).collect(), events }
    }

    #[test]
    fn what_comes_only_at_the_beginning_is_a_hello() {
        check("hi:1 a b c", "hi:1 a b c", (195, "hi:1 b c"), &types(&["hi"], 1));
        check("hi:1 st:1 a b c", "hi:2 st:1 a b c", (295, "hi:3 st:2 b c"), &types(&["hi", "st"], 2));
        // Nothing else happened.
        check("hi:1", "hi:2", (200, "hi:3"), &types(&["hi"], 1));
        // A heartbeat of its own is none.
        check("hi:1 ping:1 a b c", "hi:1 ping:2 a b c", (295, "hi:1 ping:3 b c"), &types(&["hi"], 1));
    }

    #[test]
    fn what_is_broadcast_is_none() {
        check("a b c d", "a b c d", (200, "c d"), &Hello::None);
        check("a", "a", (0, "a"), &Hello::None);
        check("x:1 y:1 z:1", "x:1 y:1 z:1", (150, "z:1"), &Hello::None);
    }

    #[test]
    fn a_beginning_of_common_types_is_told() {
        check("0 a b c", "0 a b c", (195, "0 b c"), &Hello::Untyped(1));
        // The past: all that happened before.
        check("a b c d", "a b c d", (200, "a b c d"), &Hello::Untyped(2));
    }
}
