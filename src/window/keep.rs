//! What is kept of a stream, and who is owed what of it. Pure: time is an argument, nothing waits.

mod extent;

use std::time::Instant;

use bytes::Bytes;

use super::{
    Bounds, Tail,
    blocks::Blocks,
    names::Names,
    openings::Openings,
    passing::{Passed, Passing},
    place::{Parts, Place},
    verdict::{End, Gap, Verdict},
};
use crate::id::{Asked, Generation, Position};

pub use extent::{Extent, Lag};

/// A write takes at most so many pieces: more would not fit one system call.
const PIECES: usize = 32;

/// The retained tail of one generation of a stream, and what cursors have yet to take of those before it.
///
/// Inside, events are numbered through all generations; a position's `seq` is its event's number less `base`.
///
/// Two edges bound it below. At `low` begins what a returning client may have, by the bounds. What lies before
/// it is held as long as a cursor that was there when it came has yet to take it, so that a burst larger than
/// the window cuts nobody who was caught up.
#[derive(Debug)]
pub struct Window {
    generation: Generation,
    /// How many events there were before the generation's first one.
    base: u64,
    bounds: Bounds,
    blocks: Blocks,
    /// The lowest number that a returning client may have. It stays where it is when age has emptied the window:
    /// an empty window proves nothing.
    low: u64,
    tail: u64,
    /// Bytes of the events from `low` on.
    bytes: usize,
    passing: Passing,
    names: Names,
    /// A client is found again by an id of the upstream's too.
    found_by_names: bool,
    openings: Openings,
    retry: Option<Bytes>,
    end: Option<End>,
}

/// The upstream's own ids that are no places any more.
#[derive(Debug, Default)]
pub struct Past(Names);

/// How many of them are remembered: as many as a window's clients may come back with, and more.
fn most_past(bounds: Bounds) -> usize {
    bounds.events.get().saturating_mul(2).saturating_add(64)
}

impl Window {
    /// An empty window at the start of a generation.
    #[must_use]
    pub fn new(generation: Generation, bounds: Bounds, now: Instant) -> Self {
        Self {
            generation,
            base: 0,
            bounds,
            blocks: Blocks::new(1, now),
            low: 1,
            tail: 0,
            bytes: 0,
            passing: Passing::default(),
            names: Names::default(),
            found_by_names: true,
            openings: Openings::default(),
            retry: None,
            end: None,
        }
    }

    /// A window for a generation that comes after others: ids that the upstream gave in those are no places in it.
    #[must_use]
    pub fn following(past: Past, generation: Generation, bounds: Bounds, now: Instant) -> Self {
        let mut window = Self { names: past.0, ..Self::new(generation, bounds, now) };
        window.names.begin(most_past(bounds));
        window
    }

    /// The ids that the upstream gave, for the window after this one. Nobody resumes here by one any more.
    #[must_use]
    pub fn take_past(&mut self) -> Past {
        Past(std::mem::take(&mut self.names))
    }

    /// The position that the next event will have.
    #[must_use]
    pub fn next(&self) -> Position {
        self.position(self.tail + 1)
    }

    /// The position of the newest event; before the first one, the one before it.
    #[must_use]
    pub fn tail(&self) -> Position {
        self.position(self.tail)
    }

    fn position(&self, number: u64) -> Position {
        Position { generation: self.generation, seq: number.saturating_sub(self.base) }
    }

    /// How many events a returning client may have.
    #[must_use]
    pub fn retained(&self) -> u64 {
        self.openings.left_of(self.low..self.tail + 1)
    }

    /// What the window costs, in bytes: events, what each needs beside, control frames, the upstream's ids, openings,
    /// its reconnection time.
    #[must_use]
    pub fn cost(&self) -> usize {
        let retry = self.retry.as_ref().map_or(0, Bytes::len);
        self.blocks.cost() + self.passing.cost() + self.names.cost() + self.openings.cost() + retry
    }

    /// Appends an event, as it is sent, and lets go what the bounds no longer cover.
    pub fn push(&mut self, event: Bytes, now: Instant) {
        self.append(event, now);
        self.prune(now);
    }

    /// Begins a generation in the place of this one. Whoever has a place here gets what it had coming, then `event`,
    /// then what follows as 1, 2, … `event` stands at position 0: it is for those who are here, and for nobody who
    /// comes back, since no position and no id from before it is a place any more.
    pub fn begin(&mut self, generation: Generation, event: Option<Bytes>, now: Instant) {
        if let Some(event) = event {
            self.append(event, now);
        }
        self.generation = generation;
        self.base = self.tail;
        self.low = self.tail + 1;
        self.bytes = 0;
        self.names.begin(most_past(self.bounds));
        self.let_go();
    }

    fn append(&mut self, event: Bytes, now: Instant) {
        self.tail += 1;
        self.bytes += event.len();
        self.blocks.push(event, now);
    }

    /// Appends a frame that is delivered live and never again, for the cursors that are here. `hold` keeps it
    /// until the place has taken it, however many there are; without it small bounds apply.
    pub fn pass(&mut self, frame: impl Into<Passed>, hold: Option<&Place>) {
        let unread = hold.map_or(u64::MAX, |place| place.ordinal);
        self.passing.push(self.tail, frame.into(), unread);
    }

    /// Notes that the upstream's own `id` stands for the tail; `lone`, if it came in a control frame. One that it
    /// repeats keeps its first meaning, even when that is gone, so that a resume may repeat events and skips none.
    /// Says whether it is repeated.
    pub fn name(&mut self, id: &[u8], lone: bool) -> bool {
        self.names.note(id, lone, self.low, self.tail)
    }

    /// The same of an event whose own id stands among ours.
    pub fn name_among_ours(&mut self, id: &[u8]) {
        self.names.note_among_ours(id, self.low, self.tail);
    }

    /// The event that came with this id of the upstream's: its position, and itself if it is still retained.
    #[must_use]
    pub fn named_event(&self, id: &[u8]) -> Option<(Position, Option<Bytes>)> {
        let number = self.names.event(id)?;
        let event = || self.blocks.of(number).slice(number..number + 1);
        Some((self.position(number), (number >= self.low).then(event)))
    }

    /// Notes that the newest event is an opening, and is withdrawn by this tag.
    pub fn note_opening(&mut self, tag: u64) {
        self.openings.note(self.tail, tag);
    }

    /// Withdraws the openings of this tag, however far back: who has not taken one does not get it. Its number stays,
    /// and counts for the bounds. Says how many there were.
    pub fn withdraw(&mut self, tag: u64) -> usize {
        let numbers = self.openings.withdraw(tag);
        let count = numbers.len();
        self.bytes -= self.blocks.empty(numbers, self.low);
        count
    }

    /// Its clients hold ids of the upstream's from the start.
    pub fn expect_names(&mut self) {
        self.names.expect();
    }

    /// Nobody is found again by an id of the upstream's.
    pub fn forgo_names(&mut self) {
        self.found_by_names = false;
    }

    /// Whether a client here holds an id by which it is found when it comes back: one of ours, or of the upstream's.
    pub(super) fn is_found_by(&self, place: &Place) -> bool {
        self.names.are_ours_at(place.next) || self.is_found_by_name(place)
    }

    /// Whether it may hold one of the upstream's, by which it is found.
    pub(super) fn is_found_by_name(&self, place: &Place) -> bool {
        self.found_by_names && self.names.are_theirs_at(place.next)
    }

    /// What is here from the event on that a position names; `None` where that event is gone.
    #[must_use]
    pub fn tail_from(&self, seq: u64) -> Option<Tail> {
        let first = self.base.checked_add(seq.max(1))?;
        // One that was withdrawn cannot be compared with another.
        if first < self.low || self.openings.left_of(first..first.saturating_add(1)) == 0 {
            return None;
        }
        Some(Tail::new(self.blocks.slices_from(first)))
    }

    /// Notes the last reconnection time that the upstream asked for, as digits.
    pub fn set_retry(&mut self, digits: &[u8]) {
        if self.retry.as_deref() != Some(digits) {
            self.retry = Some(Bytes::copy_from_slice(digits));
        }
    }

    /// The last reconnection time that the upstream asked for.
    #[must_use]
    pub fn retry(&self) -> Option<&Bytes> {
        self.retry.as_ref()
    }

    /// Nothing more will come. The first end counts.
    pub fn end(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn ended(&self) -> Option<End> {
        self.end
    }

    /// Judges what a client asks for.
    pub fn judge(&mut self, asked: &Asked, now: Instant) -> Verdict {
        self.prune(now);
        match asked {
            Asked::Nothing => Verdict::Fresh,
            Asked::Ours(position) if position.generation == self.generation => self.after(position.seq),
            // An upstream may be one of our kind, with ids of our form.
            Asked::Ours(position) => {
                self.named(position.to_string().as_bytes()).unwrap_or(Verdict::Gap(Gap::Generation))
            }
            Asked::Foreign(id) => self.named(id).unwrap_or(Verdict::Foreign),
        }
    }

    /// Judges a client that goes on where another was left, with this event as its next one.
    pub(super) fn judge_left(&mut self, next: u64, now: Instant) -> Verdict {
        self.prune(now);
        match next.checked_sub(self.base + 1) {
            Some(seq) => self.after(seq),
            None => Verdict::Gap(Gap::Generation),
        }
    }

    fn named(&self, id: &[u8]) -> Option<Verdict> {
        let number = self.names.find(id, self.low)?;
        Some(self.after(self.position(number).seq))
    }

    fn after(&self, seq: u64) -> Verdict {
        match self.base.checked_add(seq) {
            Some(number) if number <= self.tail => {
                if number + 1 < self.low {
                    return Verdict::Gap(Gap::Expired);
                }
                Verdict::Resumed { after: seq, missed: self.openings.left_of(number + 1..self.tail + 1) }
            }
            _ => Verdict::Gap(Gap::Ahead),
        }
    }

    /// A place from where a client of this verdict reads: behind what it has, or at the tail.
    pub fn enter(&mut self, verdict: Verdict) -> Place {
        let next = match verdict {
            Verdict::Resumed { after, .. } => self.base + after + 1,
            _ => self.tail + 1,
        };
        let mut place = Place::new(next, self.passing.next());
        self.hold(&mut place);
        place
    }

    /// A place behind this very event, by the id that the upstream gave it and no other one; none, if it is not retained
    /// or nothing more will come.
    pub(super) fn enter_behind(&mut self, id: &[u8], event: &Bytes, now: Instant) -> Option<Place> {
        self.prune(now);
        let number = self.names.only_event(id)?;
        let (position, here) = self.named_event(id)?;
        // One that was withdrawn cannot be compared with another.
        let same = here.is_some_and(|here| here == *event && !here.is_empty());
        let missed = self.tail - number;
        (same && self.end.is_none()).then(|| self.enter(Verdict::Resumed { after: position.seq, missed }))
    }

    /// A place before everything that is still here: of a client that waited while the stream was opened.
    pub fn enter_at_start(&mut self) -> Place {
        let mut place = Place::new(self.blocks.first().max(self.low), 0);
        self.hold(&mut place);
        place
    }

    /// Takes a place back to the oldest event that a returning client may have; says how many there are from there.
    pub(super) fn rewind(&mut self, place: &mut Place) -> u64 {
        place.next = self.low;
        self.hold(place);
        self.retained()
    }

    /// Takes up to about `room` bytes of what the place is owed: whole frames, one at the least if there is one.
    ///
    /// `None` where it is owed what is gone: it is too far behind.
    pub fn take(&mut self, place: &mut Place, room: usize) -> Option<Parts> {
        let (mut parts, room) = (Parts::default(), room.max(1));
        if place.next < self.blocks.first() {
            return None;
        }
        while parts.bytes() < room && parts.pieces.len() < PIECES {
            let until = match self.passing.peek(place.ordinal) {
                Some((ordinal, after)) if after < place.next => {
                    place.ordinal = ordinal + 1;
                    parts.push(self.passing.get(ordinal, place.stumbles));
                    parts.ours |= self.passing.is_ours(ordinal);
                    continue;
                }
                Some((_, after)) => after,
                None => self.tail,
            };
            if place.next > until {
                break;
            }
            let block = self.blocks.of(place.next);
            let end = block.reach(place.next, room - parts.bytes()).min(until + 1);
            if parts.bytes() > 0 && block.size(place.next) > room - parts.bytes() {
                break;
            }
            parts.push(block.slice(place.next..end));
            parts.events += self.openings.left_of(place.next..end);
            place.next = end;
        }
        if place.held.is_some() {
            self.hold(place);
        }
        Some(parts)
    }

    /// The position before what a place is owed that was just taken.
    pub(super) fn fence(&self, place: &Place) -> Position {
        self.position(place.next - 1)
    }

    /// Whether there is something that the place has not taken.
    #[must_use]
    pub fn has_more(&self, place: &Place) -> bool {
        self.unread_events(place) > 0 || self.passing.peek(place.ordinal).is_some()
    }

    /// How many bytes the place has not taken, and what control frames need beside.
    #[must_use]
    pub fn unread(&self, place: &Place) -> usize {
        self.unread_events(place) + self.passing.unread(place.ordinal)
    }

    fn unread_events(&self, place: &Place) -> usize {
        if place.next > self.tail {
            return 0;
        }
        self.blocks.bytes_from(place.next)
    }

    /// The place no longer keeps anything from being let go; what it is owed may be gone when it comes.
    pub fn release(&mut self, place: &mut Place) {
        self.blocks.release(place.held.take());
    }

    /// The place keeps what it has yet to take, from the block of its next event on.
    fn hold(&mut self, place: &mut Place) {
        let held = Some(self.blocks.hold(place.next, place.held));
        if place.held != held {
            place.held = held;
            self.let_go();
        }
    }

    /// Ends a place. With `last`, nobody is left for whom control frames would have to be kept.
    pub fn leave(&mut self, mut place: Place, last: bool) {
        self.release(&mut place);
        self.let_go();
        if last {
            self.passing.clear();
        }
    }

    /// Other bounds apply from now on. What they leave no room for goes as if they had always been; what has gone does not
    /// come back, and whoever is here has all the same what it had coming.
    pub fn rebound(&mut self, bounds: Bounds, now: Instant) {
        self.bounds = bounds;
        self.prune(now);
    }

    /// Raises the low edge to what the bounds cover.
    pub fn prune(&mut self, now: Instant) {
        let events = self.bounds.events.get() as u64;
        let is_over = |window: &Self| {
            // Those withdrawn count, too: there would be no end to them.
            window.tail + 1 - window.low > events || window.bytes > window.bounds.bytes.get()
        };
        while self.low < self.tail && is_over(self) {
            self.raise_low();
        }
        while self.low <= self.tail && now.saturating_duration_since(self.came(self.low)) >= self.bounds.age {
            self.raise_low();
        }
        self.let_go();
    }

    /// When age will take the oldest event that is left.
    #[must_use]
    pub fn expires(&self) -> Option<Instant> {
        (self.low <= self.tail).then(|| self.came(self.low) + self.bounds.age)
    }

    /// Age has emptied the window, but the last block is still in memory.
    pub(super) fn is_spent(&self) -> bool {
        self.low > self.tail && self.blocks.has_last()
    }

    /// Lets go the last block too. `places` are all that there are; those that hold something hold the next block.
    pub(super) fn renew<'a>(&mut self, now: Instant, places: impl Iterator<Item = &'a mut Place>) {
        self.blocks.renew(now);
        for place in places.filter(|place| place.held.is_some()) {
            place.held = Some(self.blocks.hold_first());
        }
        self.openings.forget_before(self.blocks.first());
    }

    /// A place that was released keeps again what it has yet to take, as far as that is here.
    pub(super) fn rehold(&mut self, place: &mut Place) {
        self.hold(place);
    }

    pub(super) fn is_behind(&self, place: &Place) -> bool {
        place.next <= self.tail
    }

    /// Makes room for others: lets go the oldest blocks, whoever holds them, until `excess` bytes are free.
    /// The newest event stays. Says how many bytes it gave.
    pub fn give_way(&mut self, excess: usize) -> usize {
        let before = self.blocks.cost();
        while let Some(next) = self.blocks.second()
            && before - self.blocks.cost() < excess
        {
            while self.low < next {
                self.raise_low();
            }
            self.blocks.drop_first();
        }
        self.openings.forget_before(self.blocks.first());
        before - self.blocks.cost()
    }

    /// Lets go everything, the newest event too. `places` are all that there are; those that are behind are told.
    pub(super) fn clear<'a>(&mut self, now: Instant, places: impl Iterator<Item = &'a mut Place>) {
        self.low = self.tail + 1;
        self.bytes = 0;
        self.renew(now, places);
    }

    fn raise_low(&mut self) {
        self.bytes -= self.blocks.of(self.low).size(self.low);
        self.low += 1;
    }

    /// Drops the blocks that no bound and no place wants.
    fn let_go(&mut self) {
        self.blocks.let_go(self.low);
        self.openings.forget_before(self.blocks.first());
    }

    fn came(&self, number: u64) -> Instant {
        self.blocks.of(number).came(number)
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            window.judge(&asked("b"), start),
            Verdict::Foreign,
            "gone from here, perhaps not from there"
        );
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
        assert_eq!(
            window.judge(&ours(98), now),
            Verdict::Resumed { after: 98, missed: 1 },
            "the newest stays"
        );
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
}
