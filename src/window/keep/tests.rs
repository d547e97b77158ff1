//! A window by itself: table by table, and against a list of everything.

use std::{num::NonZeroUsize, time::Duration};

use proptest::prelude::*;

use super::*;

const GENERATION: Generation = Generation::Shared(1);

fn bounds(events: usize, bytes: usize, age: u64) -> Bounds {
    let some = |n| NonZeroUsize::new(n).unwrap();
    Bounds { events: some(events), bytes: some(bytes), age: Duration::from_secs(age) }
}

fn ours(seq: u64) -> Asked {
    Asked::Ours(Position { generation: GENERATION, seq })
}

fn at(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

/// Pushes an event of this size at each of these seconds, then judges an id at `now`.
#[track_caller]
fn check(bounds: Bounds, events: &[(u64, usize)], now: u64, seq: u64, expected: Verdict) {
    let start = Instant::now();
    let mut window = Window::new(GENERATION, bounds, start);
    for &(second, size) in events {
        window.push(Bytes::from(vec![b'.'; size]), at(start, second));
    }
    assert_eq!(window.judge(&ours(seq), at(start, now)), expected);
}

const EXPIRED: Verdict = Verdict::Gap(Gap::Expired);

#[test]
fn the_low_edge_less_one_is_the_oldest_that_resumes() {
    let three = [(0, 1), (0, 1), (0, 1)];
    check(bounds(2, 99, 9), &three, 0, 3, Verdict::Resumed { after: 3, missed: 0 });
    check(bounds(2, 99, 9), &three, 0, 1, Verdict::Resumed { after: 1, missed: 2 });
    check(bounds(2, 99, 9), &three, 0, 0, EXPIRED);
    check(bounds(2, 99, 9), &three, 0, 4, Verdict::Gap(Gap::Ahead));
    check(bounds(3, 99, 9), &three, 0, 0, Verdict::Resumed { after: 0, missed: 3 });
}

#[test]
fn bytes_bound_too_and_the_newest_event_stays() {
    check(bounds(9, 10, 9), &[(0, 6), (0, 6)], 0, 1, Verdict::Resumed { after: 1, missed: 1 });
    check(bounds(9, 10, 9), &[(0, 6), (0, 6)], 0, 0, EXPIRED);
    check(bounds(9, 10, 9), &[(0, 6), (0, 60)], 0, 1, Verdict::Resumed { after: 1, missed: 1 });
}

#[test]
fn age_is_pruned_when_read_and_an_emptied_window_proves_nothing() {
    check(bounds(9, 99, 5), &[(0, 1), (3, 1)], 4, 0, Verdict::Resumed { after: 0, missed: 2 });
    check(bounds(9, 99, 5), &[(0, 1), (3, 1)], 5, 0, EXPIRED);
    check(bounds(9, 99, 5), &[(0, 1), (3, 1)], 5, 1, Verdict::Resumed { after: 1, missed: 1 });
    check(bounds(9, 99, 5), &[(0, 1), (3, 1)], 60, 1, EXPIRED);
    check(bounds(9, 99, 5), &[(0, 1), (3, 1)], 60, 2, Verdict::Resumed { after: 2, missed: 0 });
}

#[test]
fn another_generation_is_a_gap_and_another_form_is_foreign() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
    let other = Position { generation: Generation::Shared(2), seq: 0 };
    assert_eq!(window.judge(&Asked::Ours(other), now), Verdict::Gap(Gap::Generation));
    assert_eq!(window.judge(&Asked::Foreign(Bytes::from_static(b"7")), now), Verdict::Foreign);
    assert_eq!(window.judge(&Asked::Nothing, now), Verdict::Fresh);
}

#[test]
fn the_upstreams_ids_are_places_too_and_a_repeated_one_means_its_first() {
    let start = Instant::now();
    let mut window = Window::new(GENERATION, bounds(3, 99, 9), start);
    let asked = |id: &'static str| Asked::Foreign(Bytes::from_static(id.as_bytes()));
    for id in ["a", "b", "b"] {
        window.push(Bytes::from_static(b"."), start);
        window.name(id.as_bytes(), false);
    }
    assert_eq!(window.judge(&asked("a"), start), Verdict::Resumed { after: 1, missed: 2 });
    assert_eq!(window.judge(&asked("b"), start), Verdict::Resumed { after: 2, missed: 1 });
    assert_eq!(window.judge(&asked("c"), start), Verdict::Foreign);
    (0..9).for_each(|_| window.push(Bytes::from_static(b"."), start));
    assert_eq!(window.judge(&asked("b"), start), Verdict::Foreign, "gone from here, perhaps not from there");
    window.name(b"b", false);
    assert_eq!(
        window.judge(&asked("b"), start),
        Verdict::Foreign,
        "a client may hold the first one, and must not skip what came between"
    );
}

#[test]
fn case_1_a_burst_larger_than_the_window_cuts_nobody_who_was_caught_up() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(2, 40_000, 9), now);
    let mut caught_up = window.enter(Verdict::Fresh);
    (0..200).for_each(|_| window.push(Bytes::from(vec![b'.'; 1000]), now));
    assert_eq!(window.judge(&ours(0), now), EXPIRED, "a returning client has less");
    let mut events = 0;
    while window.has_more(&caught_up) {
        events += window.take(&mut caught_up, 64 << 10).unwrap().events;
    }
    assert_eq!(events, 200);
    window.push(Bytes::from_static(b"."), now);
    window.take(&mut caught_up, 1).unwrap();
    assert!(window.cost() < 40_000, "what it has taken is let go: {}", window.cost());
    assert_eq!(window.judge(&ours(200), now), Verdict::Resumed { after: 200, missed: 1 });
}

#[test]
fn a_place_that_is_released_or_forced_out_is_told() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(2, 40_000, 9), now);
    let (mut released, mut forced) = (window.enter(Verdict::Fresh), window.enter(Verdict::Fresh));
    window.release(&mut released);
    (0..99).for_each(|_| window.push(Bytes::from(vec![b'.'; 1000]), now));
    assert_eq!(window.take(&mut forced, 1).unwrap().events, 1);
    assert!(window.give_way(usize::MAX) > 60_000);
    assert!(window.take(&mut forced, 1).is_none());
    assert!(window.take(&mut released, 1).is_none());
    assert_eq!(window.judge(&ours(98), now), Verdict::Resumed { after: 98, missed: 1 }, "the newest stays");
}

#[test]
fn control_frames_stand_at_their_place_for_those_who_were_there() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 999, 9), now);
    let mut there = window.enter(Verdict::Fresh);
    let push =
        |window: &mut Window, text: &'static str| window.push(Bytes::from_static(text.as_bytes()), now);
    window.pass(Bytes::from_static(b":a"), None);
    push(&mut window, "1");
    push(&mut window, "2");
    window.pass(Bytes::from_static(b":b"), None);
    window.pass(Bytes::from_static(b":c"), None);
    let mut later = window.enter(Verdict::Resumed { after: 0, missed: 2 });
    push(&mut window, "3");
    let mut text = |place: &mut Place| {
        let parts = window.take(place, 999).unwrap();
        parts.pieces.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect::<String>()
    };
    assert_eq!(text(&mut there), ":a12:b:c3");
    assert_eq!(text(&mut later), "123");
}

fn run(run: u64) -> Generation {
    Generation::Shared(1 + run)
}

#[test]
fn a_new_generation_begins_at_its_event_and_nothing_from_before_is_a_place_in_it() {
    let now = Instant::now();
    let mut window = Window::new(run(0), bounds(9, 99, 9), now);
    let asked = |of: u64, seq| Asked::Ours(Position { generation: run(of), seq });
    for id in ["a", "b"] {
        window.push(Bytes::from_static(b"."), now);
        window.name(id.as_bytes(), false);
    }
    window.name(b"lone", true);
    window.begin(run(1), Some(Bytes::from_static(b"reset")), now);
    window.name(b"reset", false);
    assert_eq!(window.tail(), Position { generation: run(1), seq: 0 });
    assert_eq!(window.next(), Position { generation: run(1), seq: 1 });
    assert_eq!((window.retained(), window.expires()), (0, None));
    window.push(Bytes::from_static(b"."), now);
    window.name(b"b", false);
    for (id, expected) in [
        (asked(0, 0), Verdict::Gap(Gap::Generation)),
        (asked(0, 2), Verdict::Gap(Gap::Generation)),
        (asked(1, 0), Verdict::Resumed { after: 0, missed: 1 }),
        (asked(1, 1), Verdict::Resumed { after: 1, missed: 0 }),
        (asked(1, 2), Verdict::Gap(Gap::Ahead)),
        (asked(1, u64::MAX), Verdict::Gap(Gap::Ahead)),
        (asked(2, 0), Verdict::Gap(Gap::Generation)),
        (Asked::by(b"a"), Verdict::Foreign),
        (Asked::by(b"lone"), Verdict::Foreign),
        (Asked::by(b"reset"), Verdict::Resumed { after: 0, missed: 1 }),
        // It came again, but whoever brings it may have it from before.
        (Asked::by(b"b"), Verdict::Foreign),
        (Asked::Nothing, Verdict::Fresh),
    ] {
        assert_eq!(window.judge(&id, now), expected, "{id:?}");
    }
}

#[test]
fn a_new_generation_may_begin_with_no_event_and_in_an_empty_window() {
    let now = Instant::now();
    let mut window = Window::new(run(0), bounds(9, 99, 9), now);
    window.name(b"lone", true);
    window.begin(run(1), None, now);
    window.begin(run(2), None, now);
    assert_eq!(window.judge(&Asked::by(b"lone"), now), Verdict::Foreign);
    let first = Position { generation: run(2), seq: 0 };
    assert_eq!(window.judge(&Asked::Ours(first), now), Verdict::Resumed { after: 0, missed: 0 });
    window.push(Bytes::from_static(b"."), now);
    assert_eq!(window.judge(&Asked::Ours(first), now), Verdict::Resumed { after: 0, missed: 1 });
}

#[test]
fn whoever_is_slow_gets_what_it_had_coming_and_each_event_that_began_a_generation() {
    let now = Instant::now();
    let mut window = Window::new(run(0), bounds(2, 9, 9), now);
    let text = |window: &mut Window, place: &mut Place, room| {
        let parts = window.take(place, room).unwrap();
        parts.pieces.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect::<String>()
    };
    let mut slow = window.enter(Verdict::Fresh);
    for (n, generation) in [(0, None), (1, Some(1)), (2, Some(2)), (3, None), (4, None), (5, None)] {
        window.pass(Bytes::from_static(b":"), Some(&slow));
        let event = Bytes::from(format!("{n}"));
        match generation {
            Some(next) => window.begin(run(next), Some(event), now),
            None => window.push(event, now),
        }
        window.prune(at(now, 99));
    }
    assert_eq!(text(&mut window, &mut slow, 1) + &text(&mut window, &mut slow, 99), ":0:1:2:3:4:5");
}

#[test]
fn what_is_withdrawn_is_nothing_to_compare() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
    for event in ["a", "b", "c"] {
        window.push(Bytes::from_static(event.as_bytes()), now);
        window.note_opening(u64::from(event == "b"));
    }
    assert_eq!(window.withdraw(1), 1);
    assert_eq!(window.tail_from(1).map(|tail| tail.size()), Some(2));
    assert!(window.tail_from(2).is_none());
    assert_eq!(window.tail_from(3).map(|tail| tail.size()), Some(1));
}

#[test]
fn a_retained_event_costs_its_bytes_and_at_most_64_more() {
    for size in [20, 100, 250, 4000] {
        let now = Instant::now();
        let mut window = Window::new(GENERATION, bounds(10_000, 1 << 30, 9), now);
        for seq in 0..10_000_u64 {
            window.push(Bytes::from(vec![b'.'; size]), now);
            if size == 250 {
                window.name(&seq.to_be_bytes(), false);
            }
        }
        let over = (window.cost() - 10_000 * size) / 10_000;
        assert!(over <= 64, "{over} bytes beside each of {size}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Push(usize),
    /// An event of this size that is withdrawn by one of a few tags, or two of them.
    Open(usize, u64, u64),
    Withdraw(u64),
    Pass,
    Wait(u64),
    Enter(u64, bool),
    Begin(bool),
    Take(usize, usize),
    Leave(usize),
    Prune,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop_oneof![1..20usize, 3000..9000usize].prop_map(Op::Push),
        3 => (prop_oneof![1..20usize, 3000..9000usize], 0..4u64, 0..4u64).prop_map(|(size, a, b)| Op::Open(size, a, b)),
        2 => (0..4u64).prop_map(Op::Withdraw),
        1 => Just(Op::Pass),
        1 => (0..4u64).prop_map(Op::Wait),
        2 => (0..60u64, proptest::bool::weighted(0.9)).prop_map(|(seq, current)| Op::Enter(seq, current)),
        1 => proptest::bool::ANY.prop_map(Op::Begin),
        4 => (0..8usize, prop_oneof![Just(0usize), 1..100usize, Just(70_000)]).prop_map(|(a, b)| Op::Take(a, b)),
        1 => (0..8usize).prop_map(Op::Leave),
        1 => Just(Op::Prune),
    ]
}

/// The naive model: everything that ever came, what was withdrawn of it as nothing, and the bounds as the operator
/// understands them.
struct Model {
    events: Vec<(Bytes, u64)>,
    /// Event and tag.
    openings: Vec<(usize, u64)>,
    bounds: Bounds,
    low: usize,
    /// How many there were when the generation began.
    base: usize,
    runs: u64,
}

impl Model {
    fn low(&mut self, now: u64) -> usize {
        let over = |low: usize, events: &[(Bytes, u64)]| {
            let kept = &events[low..];
            let bytes: usize = kept.iter().map(|(event, _)| event.len()).sum();
            (kept.len() > 1 && (kept.len() > self.bounds.events.get() || bytes > self.bounds.bytes.get()))
                || kept.first().is_some_and(|(_, came)| now - came >= self.bounds.age.as_secs())
        };
        while over(self.low, &self.events) {
            self.low += 1;
        }
        self.low
    }

    fn left(&self, range: std::ops::Range<usize>) -> u64 {
        self.events[range].iter().filter(|(event, _)| !event.is_empty()).count() as u64
    }
}

proptest! {
    #[test]
    fn a_window_is_what_a_list_of_everything_would_be(ops in proptest::collection::vec(op(), 1..120)) {
        let start = Instant::now();
        let bounds = bounds(12, 30_000, 6);
        let mut window = Window::new(GENERATION, bounds, start);
        let mut model = Model { events: Vec::new(), openings: Vec::new(), bounds, low: 0, base: 0, runs: 0 };
        let mut clients: Vec<(Place, usize)> = Vec::new();
        let mut second = 0;
        for op in ops {
            let now = at(start, second);
            match op {
                Op::Push(size) | Op::Open(size, ..) => {
                    let event = Bytes::from(vec![b'a' + (model.events.len() % 26) as u8; size]);
                    if let Op::Open(_, one, other) = op {
                        model.openings.extend([(model.events.len(), one), (model.events.len(), other)]);
                    }
                    model.events.push((event.clone(), second));
                    window.push(event, now);
                    if let Op::Open(_, one, other) = op {
                        [one, other].into_iter().for_each(|tag| window.note_opening(tag));
                    }
                    model.low(second);
                }
                Op::Withdraw(tag) => {
                    let first = window.blocks.first() as usize - 1;
                    let mut count = 0;
                    for (at, _) in model.openings.extract_if(.., |opening| opening.1 == tag) {
                        count += usize::from(at >= first && !model.events[at].0.is_empty());
                        model.events[at].0 = Bytes::new();
                    }
                    prop_assert_eq!(window.withdraw(tag), count);
                }
                Op::Pass => window.pass(Bytes::from_static(b":"), None),
                Op::Wait(seconds) => second += seconds,
                Op::Begin(said) => {
                    let event = Bytes::from_static(b"reset");
                    model.events.extend(said.then(|| (event.clone(), second)));
                    (model.base, model.low) = (model.events.len(), model.events.len());
                    model.runs += 1;
                    window.begin(run(model.runs), said.then_some(event), now);
                }
                Op::Enter(seq, current) => {
                    let low = model.low(second);
                    let (at, have) = (model.base + seq as usize, model.events.len());
                    let expected = match seq {
                        _ if !current => Verdict::Gap(Gap::Generation),
                        _ if at > have => Verdict::Gap(Gap::Ahead),
                        _ if at < low => Verdict::Gap(Gap::Expired),
                        _ => Verdict::Resumed { after: seq, missed: model.left(at..have) },
                    };
                    let other = if seq < model.runs { run(seq) } else { run(seq + 1) };
                    let generation = if current { run(model.runs) } else { other };
                    let verdict = window.judge(&Asked::Ours(Position { generation, seq }), now);
                    prop_assert_eq!(verdict, expected);
                    let from = if matches!(verdict, Verdict::Resumed { .. }) { at } else { have };
                    clients.push((window.enter(verdict), from));
                }
                Op::Take(client, room) => {
                    let count = clients.len();
                    let Some((place, next)) = clients.get_mut(client % count.max(1)) else { continue };
                    let parts = window.take(place, room).expect("nothing that is owed is gone");
                    let got: Vec<u8> = parts.pieces.concat().into_iter().filter(|&b| b != b':').collect();
                    let behind = |end: &usize| model.left(*next..*end) == parts.events;
                    let end = (*next..=model.events.len()).find(behind).expect("no more than there is");
                    let owed: Vec<u8> = model.events[*next..end].iter().flat_map(|(e, _)| e.to_vec()).collect();
                    prop_assert!(got == owed, "events {}..{end}", *next);
                    prop_assert!(parts.bytes() > 0 || model.left(end..model.events.len()) == 0);
                    prop_assert!(parts.pieces.iter().all(|piece| !piece.is_empty()));
                    let unread: usize = model.events[end..].iter().map(|(e, _)| e.len()).sum();
                    prop_assert!(window.unread(place) >= unread && window.unread(place) <= unread + 64 * 128);
                    prop_assert_eq!(window.has_more(place), window.unread(place) > 0);
                    *next = end;
                }
                Op::Leave(client) if !clients.is_empty() => {
                    let (place, _) = clients.remove(client % clients.len());
                    window.leave(place, clients.is_empty());
                }
                Op::Leave(_) => {}
                Op::Prune => window.prune(now),
            }
            let real: usize = window.blocks.counted_cost();
            prop_assert_eq!(window.blocks.cost(), real);
            prop_assert_eq!(window.openings.left_before(window.blocks.first()), 0);
            let low = window.low as usize - 1;
            prop_assert_eq!(window.retained(), model.left(low..model.events.len()));
            prop_assert_eq!(window.bytes, model.events[low..].iter().map(|(event, _)| event.len()).sum::<usize>());
            let seq = (model.events.len() - model.base) as u64;
            prop_assert_eq!(window.tail(), Position { generation: run(model.runs), seq });
        }
    }
}

fn push(window: &mut Window, events: &[&'static str], now: Instant) {
    events.iter().for_each(|event| window.push(Bytes::from_static(event.as_bytes()), now));
}

fn taken(window: &mut Window, place: &mut Place, room: usize) -> String {
    let parts = window.take(place, room).unwrap();
    parts.pieces.iter().map(|piece| std::str::from_utf8(piece).unwrap()).collect()
}

#[test]
fn whatever_is_kept_costs_at_least_its_bytes() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 999, 9), now);
    let _here = window.enter(Verdict::Fresh);
    let mut before = window.cost();
    let mut costs = |window: &Window, more: usize| {
        assert!(window.cost() >= before + more, "{} after {before}", window.cost());
        before = window.cost();
    };
    window.set_retry(b"3000");
    costs(&window, 4);
    push(&mut window, &["an event"], now);
    costs(&window, 8);
    window.pass(Bytes::from_static(b": comment"), None);
    costs(&window, 9);
    window.name(b"7", false);
    costs(&window, 16);
    window.note_opening(1);
    costs(&window, 16);
}

#[test]
fn the_reconnection_time_is_the_last_one_that_was_asked_for() {
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), Instant::now());
    assert_eq!(window.retry(), None);
    for digits in ["10", "20", "20", "5"] {
        window.set_retry(digits.as_bytes());
        assert_eq!(window.retry(), Some(&Bytes::from_static(digits.as_bytes())));
    }
}

#[test]
fn the_first_end_counts() {
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), Instant::now());
    assert_eq!(window.ended(), None);
    for end in [End::Lost, End::Finished] {
        window.end(end);
        assert_eq!(window.ended(), Some(End::Lost));
    }
}

#[test]
fn an_event_is_known_by_its_own_id_as_long_as_it_is_retained() {
    let now = Instant::now();
    let mut window = Window::new(run(0), bounds(2, 99, 9), now);
    push(&mut window, &["0"], now);
    window.begin(run(1), None, now);
    for event in ["1", "2", "3"] {
        push(&mut window, &[event], now);
        window.name(event.as_bytes(), false);
    }
    window.name(b"lone", true);
    let known = |id: &[u8]| {
        let (position, event) = window.named_event(id)?;
        assert_eq!(position.generation, run(1));
        Some((position.seq, event.map_or("gone".into(), |event| String::from_utf8(event.to_vec()).unwrap())))
    };
    for (id, expected) in
        [("1", Some((1, "gone"))), ("2", Some((2, "2"))), ("3", Some((3, "3"))), ("lone", None), ("9", None)]
    {
        assert_eq!(known(id.as_bytes()), expected.map(|(seq, event)| (seq, event.to_owned())), "{id}");
    }
}

#[test]
fn who_goes_on_behind_an_event_is_sure_that_it_is_the_same() {
    let now = Instant::now();
    let start = || {
        let mut window = Window::new(GENERATION, bounds(3, 99, 9), now);
        for (event, id) in [("0", "0"), ("1", "1"), ("2", "2"), ("3", "3")] {
            push(&mut window, &[event], now);
            window.name(id.as_bytes(), false);
        }
        window
    };
    type Change = fn(&mut Window);
    let rows: [(&[u8], &'static str, Change, Option<&str>); 9] = [
        (b"2", "2", |_| (), Some("3")),
        (b"3", "3", |_| (), Some("")),
        (b"2", "x", |_| (), None),
        (b"9", "2", |_| (), None),
        (b"0", "0", |_| (), None),
        (b"2", "2", |window| window.end(End::Lost), None),
        (b"2", "2", |window| _ = window.name(b"2", false), None),
        (b"3", "3", |window| window.begin(run(1), None, Instant::now()), None),
        (
            b"3",
            "",
            |window| {
                window.note_opening(1);
                window.withdraw(1);
            },
            None,
        ),
    ];
    for (id, event, change, expected) in rows {
        let mut window = start();
        change(&mut window);
        let place = window.enter_behind(id, &Bytes::from_static(event.as_bytes()), now);
        let rest = place.map(|mut place| taken(&mut window, &mut place, 99));
        assert_eq!(rest.as_deref(), expected, "{id:?} {event}");
    }
}

#[test]
fn ids_of_the_windows_before_are_no_places_in_the_one_that_follows() {
    let now = Instant::now();
    let mut first = Window::new(run(0), bounds(2, 99, 9), now);
    push(&mut first, &["a"], now);
    first.name(b"a", false);
    let past = first.take_past();
    assert_eq!(first.judge(&Asked::by(b"a"), now), Verdict::Foreign);
    let mut second = Window::following(past, run(1), bounds(2, 99, 9), now);
    for id in ["a", "b"] {
        push(&mut second, &[id], now);
        second.name(id.as_bytes(), false);
    }
    assert_eq!(second.judge(&Asked::by(b"a"), now), Verdict::Foreign, "it may be the first window's");
    assert_eq!(second.judge(&Asked::by(b"b"), now), Verdict::Resumed { after: 2, missed: 0 });
    // Whatever begins in between.
    second.begin(run(2), None, now);
    second.begin(run(3), None, now);
    push(&mut second, &["a"], now);
    second.name(b"a", false);
    assert_eq!(second.judge(&Asked::by(b"a"), now), Verdict::Foreign);
}

#[test]
fn an_id_that_stands_among_ours_is_a_place_and_ours_stay_ones() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
    push(&mut window, &["a"], now);
    window.name_among_ours(b"client");
    push(&mut window, &["b"], now);
    assert_eq!(window.judge(&Asked::by(b"client"), now), Verdict::Resumed { after: 1, missed: 1 });
    let tail = window.enter(Verdict::Fresh);
    assert!(window.is_found_by(&tail) && !window.is_found_by_name(&tail));
}

#[test]
fn a_client_is_found_by_what_it_holds() {
    let now = Instant::now();
    type Change = fn(&mut Window);
    let rows: [(Change, bool, bool); 6] = [
        (|_| (), true, false),
        (Window::expect_names, false, false),
        (|window| _ = window.name(b"a", false), true, true),
        (
            |window| {
                window.forgo_names();
                window.name(b"a", false);
            },
            false,
            false,
        ),
        // It may have come, or not: then ours is the last that the client has.
        (|window| _ = window.name(b"a", true), true, true),
        (
            |window| {
                window.forgo_names();
                window.name(b"a", true);
            },
            true,
            false,
        ),
    ];
    for (n, (change, found, by_name)) in rows.into_iter().enumerate() {
        let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
        push(&mut window, &["a"], now);
        change(&mut window);
        let place = window.enter(Verdict::Fresh);
        assert_eq!((window.is_found_by(&place), window.is_found_by_name(&place)), (found, by_name), "{n}");
    }
}

#[test]
fn who_goes_on_for_another_has_what_that_one_had() {
    let now = Instant::now();
    let mut window = Window::new(run(0), bounds(2, 99, 9), now);
    push(&mut window, &["1", "2", "3"], now);
    for (next, expected) in [
        (2, Verdict::Resumed { after: 1, missed: 2 }),
        (4, Verdict::Resumed { after: 3, missed: 0 }),
        (1, EXPIRED),
    ] {
        assert_eq!(window.judge_left(next, now), expected, "{next}");
    }
    window.begin(run(1), None, now);
    push(&mut window, &["1"], now);
    assert_eq!(window.judge_left(3, now), Verdict::Gap(Gap::Generation));
    assert_eq!(window.judge_left(4, now), Verdict::Resumed { after: 0, missed: 1 });
}

#[test]
fn who_waited_for_the_stream_to_open_gets_all_that_is_there() {
    let now = Instant::now();
    let mut window = Window::new(run(0), bounds(2, 99, 9), now);
    window.pass(Bytes::from_static(b":"), None);
    push(&mut window, &["1"], now);
    let mut place = window.enter_at_start();
    assert_eq!(taken(&mut window, &mut place, 99), ":1");
    push(&mut window, &["2", "3"], now);
    let mut place = window.enter_at_start();
    assert_eq!(taken(&mut window, &mut place, 99), ":23", "what a returning client may have");
}

#[test]
fn a_take_is_whole_frames_up_to_the_room_and_one_at_the_least() {
    let now = Instant::now();
    for (room, expected) in [
        (0, ["a", "bb", ":", "ccc"]),
        (1, ["a", "bb", ":", "ccc"]),
        (2, ["a", "bb", ":", "ccc"]),
        (3, ["abb", ":", "ccc", ""]),
        (4, ["abb:", "ccc", "", ""]),
        (6, ["abb:", "ccc", "", ""]),
        (7, ["abb:ccc", "", "", ""]),
    ] {
        let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
        let mut place = window.enter(Verdict::Fresh);
        push(&mut window, &["a", "bb"], now);
        window.pass(Bytes::from_static(b":"), None);
        push(&mut window, &["ccc"], now);
        let takes = expected.map(|_| taken(&mut window, &mut place, room));
        assert_eq!(takes, expected, "{room}");
    }
}

#[test]
fn a_take_is_no_more_pieces_than_one_write_takes() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(99, 999, 9), now);
    let mut place = window.enter(Verdict::Fresh);
    for _ in 0..PIECES {
        push(&mut window, &["a"], now);
        window.pass(Bytes::from_static(b":"), None);
    }
    for _ in 0..2 {
        assert_eq!(window.take(&mut place, 999).unwrap().pieces.len(), PIECES);
    }
    assert!(!window.has_more(&place));
}

#[test]
fn a_take_says_whether_an_id_of_ours_is_in_a_frame_that_is_no_event() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
    let mut place = window.enter(Verdict::Fresh);
    for frames in [&[false][..], &[true], &[true, false], &[false, true], &[]] {
        for &ours in frames {
            window.pass(Passed { ours, ..Bytes::from_static(b":").into() }, None);
        }
        push(&mut window, &["a"], now);
        assert_eq!(window.take(&mut place, 99).unwrap().ours, frames.contains(&true), "{frames:?}");
    }
}

#[test]
fn what_a_place_has_not_taken_is_known_to_the_byte() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
    let mut place = window.enter(Verdict::Fresh);
    let frame = {
        window.pass(Bytes::from_static(b":"), None);
        window.unread(&place)
    };
    assert!(frame > 1 && window.has_more(&place));
    push(&mut window, &["abc", "d"], now);
    assert_eq!(window.unread(&place), frame + 4);
    assert_eq!(taken(&mut window, &mut place, 1), ":");
    assert_eq!((window.unread(&place), window.has_more(&place)), (4, true));
    assert_eq!(taken(&mut window, &mut place, 1), "abc");
    assert_eq!((window.unread(&place), window.has_more(&place)), (1, true));
    assert_eq!(taken(&mut window, &mut place, 1), "d");
    assert_eq!((window.unread(&place), window.has_more(&place)), (0, false));
}

#[test]
fn frames_that_are_no_events_are_kept_as_long_as_somebody_is_there() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
    let (empty, mut stays) = (window.cost(), window.enter(Verdict::Fresh));
    let goes = window.enter(Verdict::Fresh);
    window.pass(Bytes::from_static(b":"), None);
    window.leave(goes, false);
    assert_eq!(taken(&mut window, &mut stays, 9), ":");
    assert!(window.cost() > empty);
    window.leave(stays, true);
    assert_eq!(window.cost(), empty);
}

#[test]
fn other_bounds_take_what_they_leave_no_room_for_and_bring_nothing_back() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
    push(&mut window, &["1", "2", "3"], now);
    window.rebound(bounds(2, 99, 9), now);
    for _ in 0..2 {
        assert_eq!(window.judge(&ours(0), now), EXPIRED);
        assert_eq!(window.judge(&ours(1), now), Verdict::Resumed { after: 1, missed: 2 });
        window.rebound(bounds(9, 99, 9), now);
    }
    assert_eq!(window.expires(), Some(at(now, 9)));
    window.rebound(bounds(9, 99, 5), at(now, 1));
    assert_eq!(window.expires(), Some(at(now, 5)));
}

#[test]
fn a_window_expires_with_its_oldest_event() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
    assert_eq!(window.expires(), None);
    push(&mut window, &["1"], at(now, 2));
    push(&mut window, &["2"], at(now, 3));
    assert_eq!(window.expires(), Some(at(now, 11)));
    window.prune(at(now, 11));
    assert_eq!((window.expires(), window.retained()), (Some(at(now, 12)), 1));
    window.prune(at(now, 12));
    assert_eq!((window.expires(), window.retained()), (None, 0));
}

#[test]
fn what_two_windows_have_in_common_begins_at_an_event_that_is_here() {
    let now = Instant::now();
    let mut window = Window::new(run(0), bounds(2, 99, 9), now);
    push(&mut window, &["0"], now);
    window.begin(run(1), None, now);
    push(&mut window, &["1", "22", "333"], now);
    for (seq, size) in [(0, None), (1, None), (2, Some(5)), (3, Some(3)), (4, Some(0)), (u64::MAX, None)] {
        assert_eq!(window.tail_from(seq).map(|tail| tail.size()), size, "{seq}");
    }
    window.begin(run(2), None, now);
    push(&mut window, &["1"], now);
    assert_eq!(window.tail_from(0).map(|tail| tail.size()), Some(1), "there is none before the first");
}

#[test]
fn a_window_gives_way_by_its_oldest_blocks_and_no_more_of_them_than_needed() {
    let now = Instant::now();
    let event = Bytes::from(vec![b'x'; 20_000]);
    for (excess, left) in [(0, 4), (1, 3), (20_000, 3), (30_000, 2), (usize::MAX, 1)] {
        let mut window = Window::new(GENERATION, bounds(9, 1 << 20, 9), now);
        (0..4).for_each(|_| window.push(event.clone(), now));
        let before = window.cost();
        assert_eq!(window.give_way(excess), before - window.cost(), "{excess}");
        assert_eq!((window.retained(), window.extent(now).bytes), (left, 20_000 * left as usize), "{excess}");
        assert_eq!(window.judge(&ours(4 - left), now), Verdict::Resumed { after: 4 - left, missed: left });
    }
}

#[test]
fn when_all_goes_whoever_has_everything_goes_on_and_others_are_told() {
    let now = Instant::now();
    let mut window = Window::new(GENERATION, bounds(9, 99, 9), now);
    let mut behind = window.enter(Verdict::Fresh);
    push(&mut window, &["1", "2"], now);
    let mut caught_up = window.enter(Verdict::Fresh);
    let mut released = window.enter(Verdict::Fresh);
    window.release(&mut released);
    assert!(window.is_behind(&behind) && !window.is_behind(&caught_up));
    assert!(!window.is_spent());
    window.clear(now, [&mut behind, &mut caught_up, &mut released].into_iter());
    assert_eq!((window.retained(), window.extent(now).bytes, window.expires()), (0, 0, None));
    assert_eq!(window.judge(&ours(1), now), EXPIRED);
    assert_eq!(window.judge(&ours(2), now), Verdict::Resumed { after: 2, missed: 0 });
    push(&mut window, &["3"], now);
    assert!(window.take(&mut behind, 9).is_none());
    assert_eq!(taken(&mut window, &mut caught_up, 9), "3");
    assert_eq!(taken(&mut window, &mut released, 9), "3");
    for place in [behind, caught_up, released] {
        window.leave(place, false);
    }
    assert_eq!(window.blocks.counted_cost(), window.blocks.cost());
}
