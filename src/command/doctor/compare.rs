//! What the connection that was cut dispatched, against what the one that was left alone did. Pure.
//!
//! Two witnesses are asked. The contents: what came to the one must have come to the other, once. And, where ids are
//! ours, their numbers: within a run each is one more than the one before it. The first works for any server; the second
//! also where each of the two connections has a stream of its own, and sees other heartbeats.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use bytes::Bytes;

use super::visit::{Event, Visit};
use crate::id::Position;

/// What a server may be late with for a connection that it has answered: it subscribes after it has sent the head.
const SLACK: Duration = Duration::from_millis(250);

/// What came of it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Comparison {
    /// Events that both connections should have, and that can be told apart.
    pub(super) compared: usize,
    /// Those of them that only the one left alone had.
    pub(super) lost: Vec<Lost>,
    /// Those that the one that was cut had more than once, each time too much.
    pub(super) repeated: usize,
    /// Those that it had before one that came before them.
    pub(super) reordered: usize,
    /// Numbers of ours that are missing.
    pub(super) holes: u64,
    /// Numbers of ours that came again.
    pub(super) doubles: u64,
    /// Types whose events are each connection's own: nothing that the one had did the other have.
    pub(super) own: BTreeSet<String>,
    /// Types that never have an id although others do: they are not kept for who was away.
    pub(super) unkept: BTreeSet<String>,
    /// Some event had the same id on both: it is one stream that both see.
    pub(super) is_one_stream: bool,
}

/// An event that was lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lost {
    pub(super) kind: String,
    pub(super) id: Option<Bytes>,
    /// When the other one had it.
    pub(super) at: Duration,
}

impl Comparison {
    /// Events that were lost, by whichever witness knows of more.
    pub(super) fn losses(&self) -> u64 {
        self.holes.max(self.lost.len() as u64)
    }

    /// Events that came more than once, or too late, by whichever witness knows of more.
    pub(super) fn repeats(&self) -> u64 {
        self.doubles.max(self.repeated as u64)
    }
}

/// Compares all connections of the one that was left alone with all of the one that was cut.
pub(super) fn compare(alone: &[Visit], cut: &[Visit]) -> Comparison {
    let (left, right) = (Side::of(alone), Side::of(cut));
    let (own, unkept) = (own(&left, &right), unkept(&left, &right));
    let counts = |event: &&Event| !own.contains(&event.kind) && !unkept.contains(&event.kind);
    let promised = left.from(begin(&left, cut)).filter(counts);
    let mut comparison = judge(promised, &left, &right);
    let numbers = Numbers::of(cut);
    comparison.reordered = reordered(&left, &right, counts).max(numbers.late);
    (comparison.holes, comparison.doubles) = (numbers.holes, numbers.doubles);
    comparison.is_one_stream = left.events.iter().any(|event| right.has_same_id(event));
    Comparison { own, unkept, ..comparison }
}

/// All that came to one of the two.
pub(super) struct Side<'a> {
    pub(super) events: Vec<&'a Event>,
    /// How often each came.
    pub(super) times: HashMap<u64, usize>,
    ids: HashMap<u64, Option<&'a Bytes>>,
}

impl<'a> Side<'a> {
    pub(super) fn of(visits: &'a [Visit]) -> Self {
        let events: Vec<&Event> = visits.iter().flat_map(|visit| &visit.events).collect();
        let (mut times, mut ids) = (HashMap::new(), HashMap::new());
        for event in &events {
            *times.entry(event.print).or_insert(0) += 1;
            ids.insert(event.print, event.id.as_ref());
        }
        Self { events, times, ids }
    }

    /// How often an event came.
    pub(super) fn count(&self, print: u64) -> usize {
        self.times.get(&print).copied().unwrap_or(0)
    }

    fn from(&self, begin: usize) -> impl Iterator<Item = &'a Event> {
        self.events.iter().skip(begin).copied()
    }

    /// The event came here, too, with the same id.
    fn has_same_id(&self, event: &Event) -> bool {
        event.id.is_some() && self.ids.get(&event.print).copied().flatten() == event.id.as_ref()
    }
}

/// Where the events of the one left alone begin that the other should have: once that was there. A hello that reads the same
/// on both says nothing of what came right behind it.
fn begin(left: &Side<'_>, cut: &[Visit]) -> usize {
    let there = cut.iter().find_map(|visit| Some(visit.head.as_ref()?.at + SLACK));
    let after = there.and_then(|there| left.events.iter().position(|event| event.at > there));
    after.unwrap_or(left.events.len())
}

/// Types of which both had events, and never the same.
fn own(left: &Side<'_>, right: &Side<'_>) -> BTreeSet<String> {
    let mut shared: BTreeMap<&str, bool> = BTreeMap::new();
    let of_right: BTreeSet<&str> = right.events.iter().map(|event| event.kind.as_str()).collect();
    for event in left.events.iter().filter(|event| of_right.contains(event.kind.as_str())) {
        *shared.entry(&event.kind).or_default() |= right.count(event.print) > 0;
    }
    shared.into_iter().filter(|(_, shared)| !shared).map(|(kind, _)| kind.to_owned()).collect()
}

/// Types without ids on a stream that has some.
fn unkept(left: &Side<'_>, right: &Side<'_>) -> BTreeSet<String> {
    let mut with_id: BTreeMap<&str, bool> = BTreeMap::new();
    for event in left.events.iter().chain(&right.events) {
        *with_id.entry(&event.kind).or_default() |= event.id.is_some();
    }
    let any = with_id.values().any(|with_id| *with_id);
    let without = with_id.into_iter().filter(|(_, with_id)| any && !with_id);
    without.map(|(kind, _)| kind.to_owned()).collect()
}

/// Each event by itself. Those that are told apart must be there once; of those that are not, such as heartbeats that
/// all read the same, one more or less is a matter of when one looks.
fn judge<'a>(promised: impl Iterator<Item = &'a Event>, left: &Side<'_>, right: &Side<'_>) -> Comparison {
    let mut comparison = Comparison::default();
    let mut alike: HashMap<u64, (&Event, usize)> = HashMap::new();
    let lost = |event: &Event| Lost { kind: event.kind.clone(), id: event.id.clone(), at: event.at };
    for event in promised {
        if left.count(event.print) > 1 {
            alike.entry(event.print).or_insert((event, 0)).1 += 1;
            continue;
        }
        comparison.compared += 1;
        match right.count(event.print) {
            0 => comparison.lost.push(lost(event)),
            times => comparison.repeated += times - 1,
        }
    }
    for (print, (event, times)) in alike {
        // Their ids, where they are ours, count them exactly.
        let few = times.saturating_sub(right.count(print) + 1);
        comparison.lost.extend((0..few).map(|_| lost(event)));
    }
    comparison.lost.sort_by_key(|lost| lost.at);
    comparison
}

/// How many came before one that should have come before them, of the events that both had once.
fn reordered(left: &Side<'_>, right: &Side<'_>, counts: impl Fn(&&Event) -> bool) -> usize {
    let once =
        |event: &&Event| left.count(event.print) == 1 && right.count(event.print) == 1 && counts(event);
    let events = || left.events.iter().copied();
    let places: HashMap<u64, usize> =
        events().filter(once).enumerate().map(|(at, event)| (event.print, at)).collect();
    let order: Vec<usize> =
        right.events.iter().filter_map(|event| places.get(&event.print).copied()).collect();
    order.iter().zip(order.iter().skip(1)).filter(|(one, next)| one > next).count()
}

/// The numbers of our ids, as they came to a client over all its connections.
#[derive(Default)]
struct Numbers {
    /// Those that are passed over, and may come yet; of the run that is read.
    open: BTreeSet<u64>,
    last: Option<Position>,
    /// Those that never came.
    holes: u64,
    /// Those that came again.
    doubles: u64,
    /// Those that came after a higher one.
    late: usize,
}

/// How many numbers are waited for: more are missing, whatever comes.
const WAITED_FOR: u64 = 10_000;

impl Numbers {
    fn of(visits: &[Visit]) -> Self {
        let mut numbers = Self::default();
        for visit in visits {
            if visit.cursor.is_none() || visit.resume().is_some_and(|said| !said.starts_with("resumed")) {
                numbers.begin();
            }
            let ours = visit.events.iter().filter_map(|event| Position::parse(event.id.as_ref()?));
            ours.for_each(|position| numbers.note(position));
        }
        numbers.begin();
        numbers
    }

    /// What comes is not measured by what came.
    fn begin(&mut self) {
        self.holes += self.open.len() as u64;
        self.open.clear();
        self.last = None;
    }

    fn note(&mut self, position: Position) {
        match self.last.filter(|last| last.generation == position.generation) {
            Some(last) if position.seq > last.seq => {
                let first = position.seq.saturating_sub(WAITED_FOR).max(last.seq + 1);
                self.holes += first - (last.seq + 1);
                self.open.extend(first..position.seq);
                self.last = Some(position);
            }
            Some(_) if self.open.remove(&position.seq) => self.late += 1,
            Some(_) => self.doubles += 1,
            None => {
                self.begin();
                self.last = Some(position);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::visit::{
        End,
        tests::{ms, visit},
    };

    /// Events by letter, each 10 ms after the other from when both are there; a letter with a number has that id.
    fn frames(events: &str) -> Vec<(u64, String)> {
        let frame = |(at, event): (usize, &str)| {
            let (data, id) = event.split_once('=').unwrap_or((event, ""));
            let (field, data) = data.split_once(':').unwrap_or(("", data));
            let field = if field.is_empty() { String::new() } else { format!("event: {field}\n") };
            let id = if id.is_empty() { String::new() } else { format!("id: {}\n", id.replace('r', OURS)) };
            (at as u64 * 10 + 300, format!("{field}data: {data}\n{id}\n"))
        };
        events.split_whitespace().enumerate().map(frame).collect()
    }

    const OURS: &str = "r0000000000007-";

    fn seen(events: &str, cursor: &str, resume: &str) -> Visit {
        let frames = frames(events);
        let pieces: Vec<_> = frames.iter().map(|(at, frame)| (*at, frame.as_str())).collect();
        visit(0, cursor, resume, &pieces, End::Left)
    }

    /// The connections of each side are apart by `/`.
    fn done(alone: &str, cut: &str) -> Comparison {
        let side = |text: &str| -> Vec<Visit> {
            let each = text.split('/').enumerate();
            each.map(|(at, events)| match at {
                0 => seen(events, "", "fresh"),
                _ => seen(events, "x", "resumed; missed=1"),
            })
            .collect()
        };
        compare(&side(alone), &side(cut))
    }

    #[track_caller]
    fn check(alone: &str, cut: &str, lost: u64, repeated: u64, reordered: usize) {
        let done = done(alone, cut);
        assert_eq!(
            (done.losses(), done.repeats(), done.reordered),
            (lost, repeated, reordered),
            "{alone} | {cut}: {done:?}"
        );
    }

    #[test]
    fn what_is_whole_is_whole() {
        check("a b c", "a b c", 0, 0, 0);
        check("a b c d", "a / b c / d", 0, 0, 0);
        check("", "", 0, 0, 0);
        assert_eq!(done("a b c d", "a b / c d").compared, 4);
    }

    #[test]
    fn what_is_missing_is_lost_and_what_comes_again_is_repeated() {
        check("a b c", "a / c", 1, 0, 0);
        check("a b c", "a b / b c", 0, 1, 0);
        check("a b c", "a / c b", 0, 0, 1);
        check("a b c", "a b", 1, 0, 0);
        assert_eq!(done("a b c", "a / c").lost[0].at, ms(310));
    }

    #[test]
    fn what_came_before_the_other_was_there_is_not_lost() {
        check("c d", "a b c d", 0, 0, 0);
        let frames = ["a", "b", "c", "d"].map(|data| format!("data: {data}\n\n"));
        let pieces: Vec<_> = frames.iter().zip(1..).map(|(frame, at)| (at * 400, frame.as_str())).collect();
        let alone = visit(0, "", "fresh", &pieces, End::Left);
        let cut = |pieces| visit(1000, "", "fresh", pieces, End::Left);
        assert_eq!(compare(std::slice::from_ref(&alone), &[cut(&pieces[3..])]).losses(), 0);
        assert_eq!(compare(std::slice::from_ref(&alone), &[cut(&pieces[..0])]).losses(), 1);
    }

    #[test]
    fn who_had_a_place_before_its_first_event_loses_what_came_since() {
        let alone = visit(
            0,
            "",
            "fresh",
            &[(10, "data: a\n\n"), (900, "data: b\n\n"), (990, "data: c\n\n")],
            End::Left,
        );
        let cut =
            [seen("", "", "fresh"), visit(950, "x", "resumed; missed=0", &[(990, "data: c\n\n")], End::Left)];
        assert_eq!(compare(&[alone], &cut).losses(), 1);
    }

    #[test]
    fn events_that_read_the_same_are_counted_with_a_tolerance_or_by_their_ids() {
        check("a tick b tick c tick d", "tick a b tick c d", 0, 0, 0);
        check("a tick b tick c tick d", "a b c d", 2, 0, 0);
        check("tick=r1 tick=r2 tick=r3", "tick=r1 / tick=r3", 1, 0, 0);
        check("tick=r1 tick=r2 tick=r3", "tick=r1 tick=r2 / tick=r2 tick=r3", 0, 1, 0);
    }

    #[test]
    fn types_of_which_no_event_is_common_are_each_connections_own() {
        let done = done("hello:1 a ping:2 b ping:3 c", "hello:9 a / b ping:7 c");
        assert_eq!((done.losses(), done.repeats()), (0, 0));
        assert_eq!(done.own.into_iter().collect::<Vec<_>>(), ["hello", "ping"]);
        // All of a type is missing: that is a loss.
        check("a x:1 b x:2 c", "a / b / c", 2, 0, 0);
    }

    #[test]
    fn types_without_ids_where_others_have_some_are_not_kept() {
        let done = done("a=r1 ping:x b=r2 ping:y c=r3 ping:z", "a=r1 ping:x b=r2 / c=r3 ping:z");
        assert_eq!(
            (done.losses(), done.unkept.into_iter().collect::<Vec<_>>()),
            (0, vec!["ping".to_owned()])
        );
    }

    #[test]
    fn numbers_go_on_by_one_over_resumes_and_begin_anew_elsewhere() {
        check("a=r1 b=r2 c=r3", "a=r1 / b=r2 / c=r3", 0, 0, 0);
        check("", "a=r1 / c=r3", 1, 0, 0);
        check("", "a=r1 b=r2 / b=r2 c=r3", 0, 1, 0);
        check("", "a=r3 b=r1 c=r4", 0, 1, 0);
        check("", "a=r1 b=r3 c=r2 d=r4", 0, 0, 1);
        check("", "a=r1 b=r1000001", 999_999, 0, 0);
        let gapped = [seen("a=r1", "", "fresh"), seen("c=r9", "x", "gap; reason=expired")];
        assert_eq!(compare(&[], &gapped).losses(), 0);
    }

    #[test]
    fn one_stream_has_the_same_ids_on_both() {
        assert!(done("a=r1 b=r2", "a=r1 / b=r2").is_one_stream);
        assert!(!done("a=1 b=2", "a=2 / b=3").is_one_stream);
    }
}
