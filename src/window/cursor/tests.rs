//! In these, every lock is the model checker's: what takes one is done inside a check.

use std::{num::NonZeroUsize, time::Duration};

use bytes::Bytes;
use shuttle::{future::block_on, thread};

use super::*;
use crate::{id::Generation, window::Bounds};

fn budget() -> Budget {
    Budget::new(1 << 20, crate::metrics::Metrics::new().memory)
}

fn live(events: usize, high_water: Option<usize>) -> (LiveWindow, Instant) {
    let now = Instant::now();
    let bytes = NonZeroUsize::new(1 << 20).unwrap();
    let bounds = Bounds { events: NonZeroUsize::new(events).unwrap(), bytes, age: Duration::from_secs(9) };
    let window = Window::new(Generation::Shared(1), bounds, now);
    (LiveWindow::new(window, budget(), high_water), now)
}

async fn step(cursor: &mut Cursor, room: usize) -> Step {
    std::future::poll_fn(|cx| cursor.poll_step(cx, room)).await
}

/// Everything until the end, one digit an event.
async fn read(cursor: &mut Cursor, room: usize) -> String {
    let mut seen = String::new();
    loop {
        match step(cursor, room).await {
            Step::Parts(parts) => parts.pieces.iter().for_each(|p| seen += std::str::from_utf8(p).unwrap()),
            Step::Moved => seen.push('>'),
            Step::End(_) => return seen,
            Step::Behind => return seen + "!",
        }
    }
}

fn write(live: &LiveWindow, now: Instant, digits: &[&'static str]) {
    digits.iter().for_each(|d| live.write(|w| w.window().push(Bytes::from_static(d.as_bytes()), now)));
}

#[test]
fn no_wake_up_is_lost_and_no_event_skipped_or_doubled() {
    shuttle::check_random(
        || {
            let (live, now) = live(2, None);
            let readers: Vec<_> = (0..2)
                .map(|room| {
                    let (_, mut cursor) = live.attach(&Asked::Nothing, now);
                    thread::spawn(move || block_on(read(&mut cursor, room)))
                })
                .collect();
            write(&live, now, &["1", "2", "3"]);
            let asked = Asked::Ours(Position { generation: Generation::Shared(1), seq: 2 });
            let (verdict, mut late) = live.attach(&asked, now);
            assert_eq!(verdict, Verdict::Resumed { after: 2, missed: 1 });
            let late = thread::spawn(move || block_on(read(&mut late, 1)));
            write(&live, now, &["4"]);
            live.end(End::Finished);
            assert_eq!(late.join().unwrap(), "34");
            readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), "1234"));
        },
        2000,
    );
}

#[test]
fn a_pump_that_waits_for_room_is_woken_when_the_client_reads_or_goes() {
    // A client that goes wakes the pump too, and must not hide that reading did not.
    for (reads, goes) in [(4, false), (2, true)] {
        pump_and_client(reads, goes);
    }
}

fn pump_and_client(reads: usize, goes: bool) {
    shuttle::check_random(
        move || {
            let (live, now) = live(9, Some(2));
            let (_, mut cursor) = live.attach(&Asked::Nothing, now);
            let writer = live.clone();
            let pump = thread::spawn(move || {
                for digit in ["1", "2", "3", "4"] {
                    block_on(std::future::poll_fn(|cx| match writer.audience(cx).room {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }));
                    write(&writer, now, &[digit]);
                }
            });
            let mut seen = 0;
            while seen < reads {
                if let Step::Parts(parts) = block_on(step(&mut cursor, 1)) {
                    seen += parts.bytes();
                }
            }
            let stays = (!goes).then_some(cursor);
            pump.join().unwrap();
            drop(stays);
        },
        2000,
    );
}

#[test]
fn a_cursor_that_another_task_polls_is_woken_there() {
    shuttle::check_random(
        || {
            let (live, now) = live(9, None);
            let (_, mut cursor) = live.attach(&Asked::Nothing, now);
            let mut idle = Context::from_waker(Waker::noop());
            assert!(cursor.poll_step(&mut idle, 9).is_pending());
            let reader = thread::spawn(move || block_on(read(&mut cursor, 9)));
            write(&live, now, &["1"]);
            live.end(End::Lost);
            assert_eq!(reader.join().unwrap(), "1");
        },
        1000,
    );
}

#[test]
fn case_6_two_clients_with_one_id_read_alike_and_the_newer_one_holds_the_pump() {
    shuttle::check_random(
        || {
            let (live, now) = live(2, Some(3));
            let (_, mut older) = live.attach(&Asked::Nothing, now);
            let (_, mut newer) = live.attach(&Asked::Nothing, now);
            write(&live, now, &["1", "2"]);
            assert_eq!(block_on(read_some(&mut newer)), "12");
            let mut idle = Context::from_waker(Waker::noop());
            assert!(live.audience(&mut idle).room, "the older one has all unread, and holds nothing back");
            assert_eq!(block_on(read_some(&mut older)), "12");
        },
        10,
    );
}

async fn read_some(cursor: &mut Cursor) -> String {
    match step(cursor, 99).await {
        Step::Parts(parts) => parts.pieces.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_client_goes_on_in_another_window_when_it_has_everything() {
    shuttle::check_random(
        || {
            let ((own, now), (shared, _)) = (live(9, Some(9)), live(9, None));
            let (_, mut cursor) = own.attach(&Asked::Nothing, now);
            let (_, mut older) = shared.attach(&Asked::Nothing, now);
            let reader = thread::spawn(move || block_on(read(&mut cursor, 1)));
            let other = shared.clone();
            let pump = thread::spawn(move || {
                for digit in ["2", "3", "4"] {
                    other.write(|writer| {
                        writer.window().push(Bytes::from_static(digit.as_bytes()), now);
                        writer.window().name(digit.as_bytes(), false);
                    });
                }
                other.end(End::Finished);
            });
            write(&own, now, &["1", "2"]);
            let newest = Bytes::from_static(b"2");
            let moved = own.write(|writer| {
                let place = shared.attach_behind(b"2", &newest, now);
                place.map(|place| writer.go_on(place)).is_some()
            });
            own.end(End::Lost);
            let seen = reader.join().unwrap();
            assert_eq!(seen, if moved { "12>34" } else { "12" });
            assert_eq!(block_on(read(&mut older, 9)), "234");
            pump.join().unwrap();
        },
        2000,
    );
}

#[test]
fn the_budget_is_what_the_windows_cost_and_comes_back_when_they_go() {
    shuttle::check_random(
        || {
            let (live, now) = live(2, None);
            let budget = live.0.budget.clone();
            write(&live, now, &["1", "2", "3"]);
            assert_eq!(budget.used(), live.cost());
            drop(live);
            assert_eq!(budget.used(), 0);
        },
        10,
    );
}

/// Where the order of tasks does not matter.
fn once(check: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(check, 1);
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicUsize);

impl Woken {
    /// How often since it was asked last.
    fn times(&self) -> usize {
        self.0.swap(0, std::sync::atomic::Ordering::Relaxed)
    }
}

impl std::task::Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

fn task() -> (std::sync::Arc<Woken>, Waker) {
    let woken = std::sync::Arc::new(Woken::default());
    (woken.clone(), woken.into())
}

fn audience(live: &LiveWindow) -> Audience {
    live.audience(&mut Context::from_waker(Waker::noop()))
}

fn is_ready(future: impl Future) -> bool {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// All that there is for it now.
fn taken(cursor: &mut Cursor) -> String {
    let mut seen = String::new();
    while let Poll::Ready(step) = cursor.poll_step(&mut Context::from_waker(Waker::noop()), 99) {
        match step {
            Step::Parts(parts) => parts.pieces.iter().for_each(|p| seen += std::str::from_utf8(p).unwrap()),
            other => return format!("{seen}{other:?}"),
        }
    }
    seen
}

fn ours(seq: u64) -> Asked {
    Asked::Ours(Position { generation: Generation::Shared(1), seq })
}

fn pass(live: &LiveWindow, frame: &'static str, ours: bool) {
    let bytes = Bytes::from_static(frame.as_bytes());
    live.write(|writer| writer.pass(|| Passed { quiet: 0..0, bytes, ours }));
}

#[test]
fn a_budget_is_exceeded_by_what_is_beyond_its_limit() {
    let budget = Budget::new(10, crate::metrics::Metrics::new().memory);
    for (before, after, used, excess) in [(0, 10, 10, 0), (10, 11, 11, 1), (0, 4, 15, 5), (11, 2, 6, 0)] {
        budget.charge(before, after);
        assert_eq!((budget.used(), budget.excess()), (used, excess));
    }
    budget.set_limit(4);
    assert_eq!((budget.used(), budget.excess()), (6, 2));
}

#[test]
fn a_window_lasts_as_long_as_whoever_keeps_it() {
    once(|| {
        let ((live, now), (other, _)) = (live(9, None), live(9, None));
        let known = live.downgrade();
        assert!(live.is(&live.clone()) && !live.is(&other));
        let cursor = live.attach_at_start(now);
        drop(live);
        assert!(known.upgrade().is_some_and(|live| live.is(cursor.window())), "its reader keeps it");
        drop(cursor);
        assert!(known.upgrade().is_none());
    });
}

#[test]
fn the_pump_hears_of_clients_that_come_and_go_and_of_other_bounds() {
    once(|| {
        let (live, now) = live(9, None);
        let (woken, waker) = task();
        let heard = |readers, visits, times| {
            let Audience { readers: are, visits: were, .. } = live.audience(&mut Context::from_waker(&waker));
            assert_eq!((are, were, woken.times()), (readers, visits, times));
            assert_eq!((live.readers(), is_ready(live.vacant())), (readers, readers == 0));
            assert_eq!((is_ready(live.visited(visits)), is_ready(live.visited(0))), (false, visits > 0));
            live.audience(&mut Context::from_waker(&waker));
        };
        heard(0, 0, 0);
        let one = live.attach_at_start(now);
        heard(1, 1, 1);
        let two = live.attach(&Asked::Nothing, now);
        heard(2, 2, 1);
        drop(one);
        heard(1, 2, 1);
        drop(two);
        heard(0, 2, 1);
        assert_eq!(block_on(live.vacant()), 2);
        live.audience(&mut Context::from_waker(&waker));
        let bounds = live.look(|window| window.extent(now).bounds);
        live.rebound(|| Bounds { events: NonZeroUsize::MIN, ..bounds }, now);
        heard(0, 2, 1);
        write(&live, now, &["1", "2"]);
        assert_eq!(live.extent(now).0.events, 1);
    });
}

#[test]
fn the_pump_has_room_until_its_client_has_so_much_unread() {
    once(|| {
        let (live, now) = live(9, Some(2));
        assert!(audience(&live).room, "there is no client to wait for");
        let (_, mut older) = live.attach(&Asked::Nothing, now);
        write(&live, now, &["1"]);
        assert!(audience(&live).room);
        write(&live, now, &["2"]);
        assert!(!audience(&live).room);
        let (_, newer) = live.attach(&Asked::Nothing, now);
        assert!(audience(&live).room, "the newer one has nothing unread");
        drop(newer);
        assert!(!audience(&live).room, "the older one holds it again");
        let (woken, waker) = task();
        assert!(!live.audience(&mut Context::from_waker(&waker)).room);
        assert!(older.poll_step(&mut Context::from_waker(Waker::noop()), 1).is_ready());
        assert_eq!((woken.times(), audience(&live).room), (1, true));
        assert!(live.audience(&mut Context::from_waker(&waker)).room);
        assert!(older.poll_step(&mut Context::from_waker(Waker::noop()), 1).is_ready());
        assert_eq!(woken.times(), 0, "there was room before");
        let (_, waiting) = live.attach(&Asked::Nothing, now);
        write(&live, now, &["3", "4"]);
        drop(older);
        assert!(!audience(&live).room, "whoever else goes, the newest one holds it");
        drop(waiting);
        assert!(audience(&live).room);
    });
}

#[test]
fn what_the_client_that_is_left_has_not_read_is_kept_for_it() {
    once(|| {
        let (live, now) = live(1, Some(1 << 20));
        let (_, mut older) = live.attach(&Asked::Nothing, now);
        let (_, newer) = live.attach(&Asked::Nothing, now);
        drop(newer);
        let long = Bytes::from(vec![b'x'; 20 << 10]);
        (0..9).for_each(|_| live.write(|writer| writer.window().push(long.clone(), now)));
        let mut bytes = 0;
        while let Poll::Ready(Step::Parts(parts)) =
            older.poll_step(&mut Context::from_waker(Waker::noop()), 1)
        {
            bytes += parts.bytes();
        }
        assert_eq!(bytes, 9 * long.len());
    });
}

#[test]
fn a_cursor_that_waits_is_woken_once_by_a_write_or_a_call_and_knows_when_it_waits() {
    once(|| {
        let (live, now) = live(9, None);
        let (_, mut cursor) = live.attach(&Asked::Nothing, now);
        let (woken, waker) = task();
        let (mut here, elsewhere) = (Context::from_waker(&waker), Context::from_waker(Waker::noop()));
        assert!(!cursor.is_caught_up(&here), "it has not looked");
        assert!(cursor.poll_step(&mut here, 9).is_pending());
        assert!(cursor.is_caught_up(&here) && !cursor.is_caught_up(&elsewhere));
        write(&live, now, &["1", "2"]);
        assert_eq!((woken.times(), cursor.is_caught_up(&here)), (1, false));
        assert!(cursor.poll_step(&mut here, 1).is_ready());
        live.wake();
        assert_eq!(
            (woken.times(), cursor.is_caught_up(&here)),
            (0, false),
            "there is more that it has not taken"
        );
        assert!(cursor.poll_step(&mut here, 1).is_ready());
        assert!(cursor.is_caught_up(&here), "there is no more");
        live.wake();
        assert_eq!((woken.times(), cursor.is_caught_up(&here)), (1, false));
    });
}

#[test]
fn readers_are_shown_with_what_they_have_not_taken_however_many_they_are() {
    once(|| {
        let (live, now) = live(9, None);
        let (_, mut first) = live.attach(&Asked::Nothing, now);
        let others: Vec<_> = (1..2 * SURVEYED + 9).map(|_| live.attach(&Asked::Nothing, now).1).collect();
        write(&live, now, &["1", "2"]);
        taken(&mut first);
        let (mut seen, second) = (Vec::new(), Duration::from_secs(1));
        live.survey(now + second, |Reader { lag, here }| {
            assert_eq!(here, second);
            seen.push(lag.events);
        });
        let expected: Vec<_> = std::iter::once(0).chain(others.iter().map(|_| 2)).collect();
        assert_eq!(seen, expected);
    });
}

#[test]
fn of_several_windows_it_is_known_which_was_left_last() {
    once(|| {
        let ((one, now), (other, _)) = (live(9, None), live(9, None));
        assert_eq!(one.left(), None, "nobody came");
        let stays = one.attach_at_start(now);
        drop(one.attach_at_start(now));
        assert_eq!(one.left(), None, "one is here");
        drop(other.attach_at_start(now));
        drop(stays);
        let left = (one.left().unwrap(), other.left().unwrap());
        assert!(left.0 > left.1);
        let again = other.attach_at_start(now);
        assert_eq!((one.left(), other.left()), (Some(left.0), None));
        drop(again);
        assert!(other.left().unwrap() > left.0);
    });
}

#[test]
fn a_client_goes_on_where_the_last_one_was_left() {
    once(|| {
        let (live, now) = live(2, Some(99));
        let over = |asked: Option<u64>| live.take_over(asked.map(ours).as_ref(), now);
        assert!(over(None).is_none(), "nobody was here");
        let (_, mut first) = live.attach(&Asked::Nothing, now);
        write(&live, now, &["1"]);
        assert_eq!(taken(&mut first), "1");
        assert!(over(None).is_none(), "it is still here");
        drop(first);
        write(&live, now, &["2"]);
        let (verdict, mut next) = over(None).unwrap();
        assert_eq!((verdict, taken(&mut next)), (Verdict::Resumed { after: 1, missed: 1 }, "2".to_owned()));
        drop(next);
        let (verdict, mut own) = over(Some(0)).unwrap();
        assert_eq!((verdict, taken(&mut own)), (Verdict::Resumed { after: 0, missed: 2 }, "12".to_owned()));
        drop(own);
        write(&live, now, &["3", "4", "5"]);
        // Who was told of a gap, and has taken nothing since, may not have heard of it.
        for _ in 0..2 {
            assert_eq!(over(None).unwrap().0, Verdict::Gap(crate::window::Gap::Expired));
        }
        let (_, mut heard) = over(None).unwrap();
        write(&live, now, &["6"]);
        assert_eq!(taken(&mut heard), "6");
        drop(heard);
        assert_eq!(over(None).unwrap().0, Verdict::Resumed { after: 6, missed: 0 });
    });
}

#[test]
fn a_client_that_does_not_stay_takes_no_place() {
    once(|| {
        let (live, now) = live(9, None);
        live.end(End::Finished);
        let refused = live.attach_if(&ours(7), now, |verdict, end| {
            assert_eq!(end, Some(End::Finished));
            Err(verdict)
        });
        assert_eq!(refused.map(|_| ()), Err(Verdict::Gap(crate::window::Gap::Ahead)));
        assert_eq!(audience(&live).visits, 0);
        let (verdict, _) = live.attach_if(&ours(0), now, |_, _| Ok(())).unwrap();
        assert_eq!((verdict, audience(&live).visits), (Verdict::Resumed { after: 0, missed: 0 }, 1));
    });
}

/// Whether a client that takes all of this may come back, before it has anything and after.
#[track_caller]
fn numbered(
    high_water: Option<usize>,
    arrive: impl Fn(&LiveWindow, Instant) + Send + Sync + 'static,
    expected: bool,
) {
    once(move || {
        let (live, now) = live(9, high_water);
        let (_, mut cursor) = live.attach(&Asked::Nothing, now);
        taken(&mut cursor);
        assert!(!audience(&live).numbered, "it was given nothing");
        arrive(&live, now);
        taken(&mut cursor);
        assert_eq!(audience(&live).numbered, expected);
        cursor.note_numbered();
        pass(&live, ":", false);
        taken(&mut cursor);
        assert!(audience(&live).numbered, "it was given one otherwise");
    });
}

#[test]
fn a_client_may_come_back_that_was_given_an_id_by_which_it_is_found() {
    let named = |live: &LiveWindow, now, lone| {
        live.write(|writer| {
            writer.window().forgo_names();
            writer.window().push(Bytes::from_static(b"1"), now);
            writer.window().name(b"theirs", lone);
        });
    };
    numbered(Some(9), |live, now| write(live, now, &["1"]), true);
    numbered(Some(9), |live, _| pass(live, ":", false), false);
    numbered(Some(9), |live, _| pass(live, "id: ours", true), true);
    numbered(Some(9), move |live, now| named(live, now, false), false);
    numbered(None, move |live, now| named(live, now, false), true);
    let lone = |live: &LiveWindow| {
        live.write(|writer| writer.window().name(b"theirs", true));
        pass(live, "id: theirs", false);
    };
    numbered(Some(9), move |live, _| lone(live), true);
}

#[test]
fn the_end_is_noted_when_it_was_given() {
    once(|| {
        let (live, now) = live(9, None);
        let (_, cursor) = live.attach(&Asked::Nothing, now);
        live.end(End::Finished);
        assert!(!live.end_given());
        cursor.note_end_given();
        assert!(live.end_given());
    });
}

#[test]
fn what_age_has_taken_goes_from_memory_when_nobody_has_it_coming() {
    once(|| {
        let (live, now) = live(9, None);
        let (empty, late) = (live.cost(), now + Duration::from_secs(9));
        write(&live, now, &["1"]);
        live.prune(now);
        let (verdict, mut slow) = live.attach(&ours(0), now);
        assert_eq!(verdict, Verdict::Resumed { after: 0, missed: 1 });
        live.prune(late);
        assert!(live.cost() > empty);
        assert_eq!(taken(&mut slow), "1");
        live.prune(late);
        assert_eq!(live.cost(), empty);
        write(&live, late, &["2"]);
        assert_eq!(taken(&mut slow), "2");
        assert_eq!(live.attach(&ours(0), late).0, Verdict::Gap(crate::window::Gap::Expired));
    });
}

#[test]
fn where_memory_is_short_a_window_gives_what_it_has_and_says_how_much() {
    once(|| {
        let (live, now) = live(9, None);
        let long = Bytes::from(vec![b'x'; 20 << 10]);
        let push = || live.write(|writer| writer.window().push(long.clone(), now));
        let gave = |give: &dyn Fn() -> usize| {
            let before = live.cost();
            let gave = give();
            assert_eq!((gave, live.0.budget.used()), (before - live.cost(), live.cost()));
            gave
        };
        let (_, mut behind) = live.attach(&Asked::Nothing, now);
        (0..3).for_each(|_| push());
        assert!((long.len()..2 * long.len()).contains(&gave(&|| live.give_way(long.len()))));
        assert_eq!(taken(&mut behind), "Behind");
        let (_, mut caught_up) = live.attach(&Asked::Nothing, now);
        assert!(gave(&|| live.clear(now)) >= 2 * long.len());
        write(&live, now, &["1"]);
        assert_eq!((taken(&mut behind), taken(&mut caught_up)), ("Behind".to_owned(), "1".to_owned()));
    });
}

#[test]
fn a_gapped_client_may_go_back_to_the_oldest_event_that_is_retained() {
    once(|| {
        let (live, now) = live(2, None);
        write(&live, now, &["1", "2", "3"]);
        let (_, mut cursor) = live.attach(&ours(0), now);
        assert_eq!(cursor.fence().seq, 3);
        assert_eq!((cursor.rewind(), cursor.fence().seq), (2, 1));
        assert_eq!(taken(&mut cursor), "23");
        assert!(cursor.is_current());
        live.write(|writer| writer.window().begin(Generation::Shared(2), None, now));
        assert!(!cursor.is_current());
    });
}

#[test]
fn a_frame_without_data_is_for_those_who_are_here_and_do_not_stumble() {
    once(|| {
        let (live, now) = live(9, None);
        let cost = live.cost();
        live.write(|writer| writer.pass(|| panic!("nobody is here")));
        assert_eq!(live.cost(), cost);
        let ((_, mut one), (_, mut stumbles)) =
            (live.attach(&Asked::Nothing, now), live.attach(&Asked::Nothing, now));
        stumbles.set_stumbling();
        pass(&live, ":", false);
        write(&live, now, &["1"]);
        assert_eq!((taken(&mut one), taken(&mut stumbles)), (":1".to_owned(), "1".to_owned()));
    });
}

#[test]
fn a_client_goes_on_behind_the_very_event_that_it_was_given() {
    once(|| {
        let (live, now) = live(9, None);
        for event in ["1", "2"] {
            write(&live, now, &[event]);
            live.write(|writer| writer.window().name(event.as_bytes(), false));
        }
        assert!(live.attach_behind(b"1", &Bytes::from_static(b"2"), now).is_none());
        let mut cursor = live.attach_behind(b"1", &Bytes::from_static(b"1"), now).unwrap();
        assert_eq!((live.readers(), cursor.fence().seq, taken(&mut cursor)), (1, 1, "2".to_owned()));
    });
}
