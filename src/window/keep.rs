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
        self.enter_before(next)
    }

    fn enter_before(&mut self, next: u64) -> Place {
        let mut place = Place::new(next, self.passing.next());
        self.hold(&mut place);
        place
    }

    /// A place behind this very event, by the id that the upstream gave it and no other one; none, if it is not retained
    /// or nothing more will come.
    pub(super) fn enter_behind(&mut self, id: &[u8], event: &Bytes, now: Instant) -> Option<Place> {
        self.prune(now);
        let number = self.names.only_event(id)?;
        let (_, here) = self.named_event(id)?;
        // One that was withdrawn cannot be compared with another.
        let same = here.is_some_and(|here| here == *event && !here.is_empty());
        (same && self.end.is_none()).then(|| self.enter_before(number + 1))
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
mod tests;
