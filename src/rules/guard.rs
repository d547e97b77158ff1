//! What was answered is not asked again: an opening event is stale once a closing one with its key has passed.
//!
//! Pure: time is an argument, and whoever has the events does what is decided here.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use super::{Globs, Pointer, marks::Marks};
use crate::sse::Frame;

/// Which events ask, which answer them, and how the one is known to be about the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guard {
    /// Types of opening events.
    pub open: Globs,
    /// Types of closing events. An event that is of both closes.
    pub close: Globs,
    /// Where the parts of the key stand in the data of an opening event.
    pub open_key: Vec<Pointer>,
    /// Where they stand in that of a closing one, in the same order.
    pub close_key: Vec<Pointer>,
    /// How long an opening event is stale after a closing one.
    pub ttl: Duration,
}

/// A key of one guard: a keyed hash of its parts, of which each counts for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    guard: usize,
    hash: u64,
}

impl Key {
    /// The same number for the same key of the same guard of a stream.
    #[must_use]
    pub fn tag(self) -> u64 {
        self.hash
    }
}

/// What an event says to the guards of its stream.
#[derive(Clone, Default, Debug)]
pub struct Said {
    /// The keys that it opens.
    pub opens: SmallVec<[Key; 1]>,
    /// The keys that it closes.
    pub closes: SmallVec<[Key; 1]>,
}

/// Which keys are closed on a stream. It remembers so many, the ones closed last, each for its guard's `ttl`.
#[derive(Debug, Default)]
pub struct Closed {
    hasher: RandomState,
    /// By guard, in the order of the route.
    guards: Vec<Marks>,
}

impl Closed {
    /// What an event of this type says; `None`, where it is no matter of any guard. One that lacks a part of its key is
    /// none.
    #[must_use]
    pub fn read(&self, guards: &[Guard], kind: &str, frame: &Frame<'_>) -> Option<Said> {
        let mut said = Said::default();
        for (guard, rule) in guards.iter().enumerate() {
            let (pointers, keys) = if rule.close.is_match(kind) {
                (&rule.close_key, &mut said.closes)
            } else if rule.open.is_match(kind) {
                (&rule.open_key, &mut said.opens)
            } else {
                continue;
            };
            let data = frame.data();
            let parts: Option<Vec<String>> = pointers.iter().map(|pointer| pointer.find(&data)).collect();
            // Text hashes with its end, so that no two keys run together.
            keys.extend(parts.map(|parts| Key { guard, hash: self.hasher.hash_one((guard, parts)) }));
        }
        (!said.opens.is_empty() || !said.closes.is_empty()).then_some(said)
    }

    /// Whether an event asks what was answered: one of the keys that it opens is closed.
    #[must_use]
    pub fn is_stale(&self, said: &Said, now: Instant) -> bool {
        let is_closed = |key: &Key| self.guards.get(key.guard).is_some_and(|marks| marks.has(key.hash, now));
        said.opens.iter().any(is_closed)
    }

    /// An event passes: the keys that it closes are closed from now on.
    pub fn close(&mut self, guards: &[Guard], said: &Said, now: Instant) {
        for key in &said.closes {
            let Some(rule) = guards.get(key.guard) else { continue };
            if self.guards.len() <= key.guard {
                self.guards.resize_with(key.guard + 1, Marks::default);
            }
            if let Some(marks) = self.guards.get_mut(key.guard) {
                marks.add(key.hash, now + rule.ttl);
            }
        }
    }

    /// Forgets what is over.
    pub fn prune(&mut self, now: Instant) {
        self.guards.iter_mut().for_each(|marks| marks.prune(now));
    }

    /// Forgets the oldest of each guard until so many bytes are free, as far as that goes.
    pub fn give_way(&mut self, bytes: usize) {
        let each = bytes.div_ceil(self.guards.len().max(1));
        self.guards.iter_mut().for_each(|marks| marks.give_way(each));
    }

    /// What it costs, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.guards.capacity() * size_of::<Marks>() + self.guards.iter().map(Marks::cost).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::Splitter;

    fn types(globs: &[&str]) -> Globs {
        Globs::new(globs.iter().copied()).unwrap()
    }

    fn guard(open: &[&str], close: &[&str], open_key: &[&str], close_key: &[&str]) -> Guard {
        let pointers = |key: &[&str]| key.iter().map(|pointer| pointer.parse().unwrap()).collect();
        Guard {
            open: types(open),
            close: types(close),
            open_key: pointers(open_key),
            close_key: pointers(close_key),
            ttl: Duration::from_secs(5),
        }
    }

    /// A stream with these guards, a second long for each event.
    struct Stream {
        guards: Vec<Guard>,
        closed: Closed,
        start: Instant,
    }

    impl Stream {
        fn new(guards: &[Guard]) -> Self {
            Self { guards: guards.to_vec(), closed: Closed::default(), start: Instant::now() }
        }

        fn said(&self, kind: &str, data: &str) -> Option<Said> {
            let mut said = None;
            Splitter::new(1 << 20)
                .feed(format!("data: {data}\n\n").as_bytes(), |frame| {
                    said = self.closed.read(&self.guards, kind, &frame);
                })
                .unwrap();
            said
        }

        /// Whether an event of this second passes.
        fn passes(&mut self, second: u64, kind: &str, data: &str) -> bool {
            let now = self.start + Duration::from_secs(second);
            let Some(said) = self.said(kind, data) else { return true };
            let stale = self.closed.is_stale(&said, now);
            if !stale {
                self.closed.close(&self.guards, &said, now);
            }
            !stale
        }
    }

    /// Events by second, type and data, and which of them pass.
    #[track_caller]
    fn check(guards: &[Guard], events: &[(u64, &str, &str, bool)]) {
        let mut stream = Stream::new(guards);
        for (at, &(second, kind, data, passes)) in events.iter().enumerate() {
            assert_eq!(stream.passes(second, kind, data), passes, "event {at}: {kind} {data} at {second} s");
        }
    }

    fn questions() -> [Guard; 1] {
        [guard(&["asked"], &["replied", "rejected"], &["/id"], &["/of"])]
    }

    #[test]
    fn what_was_answered_is_stale_as_long_as_is_said() {
        check(
            &questions(),
            &[
                (0, "asked", r#"{"id":1}"#, true),
                (0, "asked", r#"{"id":1}"#, true),
                (1, "replied", r#"{"of":1}"#, true),
                (1, "asked", r#"{"id":1}"#, false),
                (1, "asked", r#"{"id":2}"#, true),
                (5, "asked", r#"{"id":1}"#, false),
                (6, "asked", r#"{"id":1}"#, true),
                (7, "rejected", r#"{"of":1}"#, true),
                (8, "asked", r#"{"id":1}"#, false),
            ],
        );
    }

    #[test]
    fn the_last_answer_counts() {
        check(
            &questions(),
            &[
                (0, "replied", r#"{"of":"a"}"#, true),
                (4, "replied", r#"{"of":"a"}"#, true),
                (8, "asked", r#"{"id":"a"}"#, false),
                (9, "asked", r#"{"id":"a"}"#, true),
            ],
        );
    }

    #[test]
    fn what_has_no_key_is_no_matter_of_a_guard() {
        let guards = [guard(&["asked"], &["replied"], &["/a", "/b"], &["/a", "/b"])];
        for data in [
            "no JSON",
            "",
            "{}",
            r#"{"a":1}"#,
            r#"{"b":1}"#,
            r#"{"a":1,"b":null}"#,
            r#"{"a":{},"b":1}"#,
            r#"{"a":1,"b":"#,
        ] {
            check(&guards, &[(0, "replied", data, true), (0, "asked", data, true)]);
        }
        check(&guards, &[(0, "replied", r#"{"b":2,"a":1}"#, true), (0, "asked", r#"{"a":1,"b":2}"#, false)]);
    }

    #[test]
    fn each_part_of_a_key_counts_for_itself() {
        let guards = [guard(&["asked"], &["replied"], &["/a", "/b"], &["/a", "/b"])];
        let closed = (0, "replied", r#"{"a":"ab","b":"c"}"#, true);
        for other in [
            r#"{"a":"a","b":"bc"}"#,
            r#"{"a":"abc","b":""}"#,
            r#"{"a":"","b":"abc"}"#,
            r#"{"a":"c","b":"ab"}"#,
            r#"{"a":"ab","b":"C"}"#,
            r#"{"a":"ab\u0000c","b":""}"#,
            r#"{"a":"ab\u00ff","b":"c"}"#,
        ] {
            check(&guards, &[closed, (0, "asked", other, true)]);
        }
        // Servers write the same id as a number here and as text there.
        check(
            &guards,
            &[(0, "replied", r#"{"a":7,"b":"x"}"#, true), (0, "asked", r#"{"a":"7","b":"x"}"#, false)],
        );
    }

    #[test]
    fn types_are_globs_and_an_event_of_both_closes() {
        let guards = [guard(&["question.*"], &["*.replied"], &["/id"], &["/id"])];
        let id = r#"{"id":1}"#;
        check(
            &guards,
            &[
                (0, "question.asked", id, true),
                (0, "question.replied", id, true),
                (0, "question.replied", id, true),
                (0, "question.asked", id, false),
                (0, "other.asked", id, true),
            ],
        );
    }

    #[test]
    fn guards_know_nothing_of_each_other_and_what_one_drops_closes_nothing() {
        let chain = [guard(&["a"], &["b"], &["/id"], &["/id"]), guard(&["b"], &["c"], &["/id"], &["/id"])];
        let id = r#"{"id":1}"#;
        check(&chain, &[(0, "c", id, true), (0, "a", id, true), (0, "b", id, false), (0, "a", id, true)]);
        check(&chain, &[(0, "b", id, true), (0, "a", id, false), (0, "c", id, true), (0, "b", id, false)]);
    }

    #[test]
    fn so_many_are_remembered_and_the_oldest_is_forgotten_first() {
        let mut stream = Stream::new(&questions());
        for n in 0..Marks::MOST {
            stream.passes(0, "replied", &format!(r#"{{"of":{n}}}"#));
        }
        // It is closed again, and so the second one is the oldest.
        stream.passes(0, "replied", r#"{"of":0}"#);
        stream.passes(0, "replied", r#"{"of":"one more"}"#);
        assert!(!stream.passes(0, "asked", r#"{"id":0}"#));
        assert!(stream.passes(0, "asked", r#"{"id":1}"#));
        assert!(!stream.passes(0, "asked", r#"{"id":2}"#));
        let full = stream.closed.cost();
        stream.closed.give_way(full / 2);
        assert!(stream.closed.cost() <= full / 2);
        assert!(stream.passes(0, "asked", r#"{"id":3}"#));
        assert!(!stream.passes(0, "asked", r#"{"id":4095}"#));
        stream.closed.give_way(full * 2);
        assert!(stream.closed.cost() < 1000);
    }

    #[test]
    fn what_is_over_costs_nothing() {
        let mut stream = Stream::new(&questions());
        stream.passes(0, "replied", r#"{"of":1}"#);
        stream.passes(3, "replied", r#"{"of":2}"#);
        stream.closed.prune(stream.start + Duration::from_secs(5));
        assert!(!stream.passes(5, "asked", r#"{"id":2}"#));
        let cost = stream.closed.cost();
        stream.closed.prune(stream.start + Duration::from_secs(8));
        assert!(stream.closed.cost() < cost);
        assert!(stream.closed.guards.iter().all(|marks| marks.cost() == 0));
    }
}
