//! A run of events that lie together in memory.
//!
//! The newest block is open: each of its events is a piece of its own, so that it can be handed to a thousand
//! clients the moment it is there. When it is full its events are copied together once; from then on an event
//! costs its bytes and eight more, and a replay of the whole block is one slice. An event that is withdrawn later
//! stands there without bytes.

use std::{ops::Range, time::Instant};

use bytes::{Bytes, BytesMut};

/// A block is sealed at so many bytes: a replay of one is one piece of a write.
const FULL_BYTES: usize = 16 << 10;
/// ... or so many events, for streams of tiny ones.
const FULL_EVENTS: usize = 256;
/// What an event that is a piece of its own costs beside its bytes: its handle, its count, the allocator's part.
const OPEN_COST: usize = 96;
const SEALED_COST: usize = size_of::<Mark>();

#[derive(Debug)]
pub(super) struct Block {
    /// The number of the first event.
    first: u64,
    /// How many bytes of events came before this block, ever, less those withdrawn.
    offset: u64,
    born: Instant,
    marks: Vec<Mark>,
    body: Body,
    /// Cursors that have yet to take something at or after this block's first event.
    pub(super) readers: usize,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Where the event ends, from the block's start.
    end: u32,
    /// When it came, in milliseconds after the block was born.
    at: u32,
}

#[derive(Debug)]
enum Body {
    // Open => Sealed, when full or when a later block is begun.
    Open(Vec<Bytes>),
    Sealed(Bytes),
}

impl Block {
    pub(super) fn new(first: u64, offset: u64, now: Instant) -> Self {
        Self { first, offset, born: now, marks: Vec::new(), body: Body::Open(Vec::new()), readers: 0 }
    }

    /// It takes no more events.
    pub(super) fn is_full(&self) -> bool {
        matches!(self.body, Body::Sealed(_))
    }

    pub(super) fn push(&mut self, event: Bytes, now: Instant) {
        let Body::Open(events) = &mut self.body else { return };
        let end = self.marks.last().map_or(0, |mark| mark.end) + event.len() as u32;
        let at = now.saturating_duration_since(self.born).as_millis().min(u128::from(u32::MAX)) as u32;
        self.marks.push(Mark { end, at });
        events.push(event);
        if end as usize >= FULL_BYTES || self.marks.len() >= FULL_EVENTS {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let Body::Open(events) = &self.body else { return };
        let whole = match events.as_slice() {
            [only] => only.clone(),
            many => join(many),
        };
        self.marks.shrink_to_fit();
        self.body = Body::Sealed(whole);
    }

    /// Takes the bytes of these events of the block away, which are in order; they keep their numbers. Says how many bytes
    /// there were.
    pub(super) fn empty(&mut self, numbers: &[u64]) -> usize {
        let before = self.bytes_before(self.end());
        let left = |number| match numbers.binary_search(&number) {
            Ok(_) => Bytes::new(),
            Err(_) => self.slice(number..number + 1),
        };
        let events: Vec<Bytes> = (self.first..self.end()).map(left).collect();
        let mut end = 0;
        for (mark, event) in self.marks.iter_mut().zip(&events) {
            end += event.len() as u32;
            mark.end = end;
        }
        self.body = if self.is_full() { Body::Sealed(join(&events)) } else { Body::Open(events) };
        before - end as usize
    }

    /// So many bytes before this block are gone.
    pub(super) fn move_up(&mut self, bytes: usize) {
        self.offset -= bytes as u64;
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number behind the last event.
    pub(super) fn end(&self) -> u64 {
        self.first + self.marks.len() as u64
    }

    /// What it costs: bytes of events and what they need beside.
    pub(super) fn cost(&self) -> usize {
        let each = if self.is_full() { SEALED_COST } else { OPEN_COST };
        size_of::<Self>() + self.bytes_before(self.end()) + each * self.marks.len()
    }

    /// When the event came.
    pub(super) fn came(&self, number: u64) -> Instant {
        let at = self.mark(number).map_or(0, |mark| mark.at);
        self.born + std::time::Duration::from_millis(u64::from(at))
    }

    /// How many bytes lie before the event.
    pub(super) fn bytes_before(&self, number: u64) -> usize {
        number.checked_sub(1).and_then(|last| self.mark(last)).map_or(0, |mark| mark.end as usize)
    }

    /// How many bytes of events came before this one, ever, less those withdrawn.
    pub(super) fn offset(&self, number: u64) -> u64 {
        self.offset + self.bytes_before(number) as u64
    }

    /// The size of the event.
    pub(super) fn size(&self, number: u64) -> usize {
        self.bytes_before(number + 1) - self.bytes_before(number)
    }

    /// The last number of a run from `from` that is at most `room` bytes long; one event at the least.
    pub(super) fn reach(&self, from: u64, room: usize) -> u64 {
        let limit = self.bytes_before(from) + room;
        let within = self.marks.partition_point(|mark| mark.end as usize <= limit) as u64;
        (self.first + within).clamp(from + 1, self.end())
    }

    /// The bytes of a run of events, as one piece.
    pub(super) fn slice(&self, run: Range<u64>) -> Bytes {
        match &self.body {
            Body::Sealed(whole) => whole.slice(self.bytes_before(run.start)..self.bytes_before(run.end)),
            Body::Open(events) => {
                let at = |number: u64| (number - self.first) as usize;
                match events.get(at(run.start)..at(run.end)) {
                    Some([only]) => only.clone(),
                    Some(many) => join(many),
                    None => Bytes::new(),
                }
            }
        }
    }

    fn mark(&self, number: u64) -> Option<Mark> {
        self.marks.get(number.checked_sub(self.first)? as usize).copied()
    }
}

fn join(events: &[Bytes]) -> Bytes {
    let mut whole = BytesMut::with_capacity(events.iter().map(Bytes::len).sum());
    events.iter().for_each(|event| whole.extend_from_slice(event));
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block whose first event is number 11, with events of these sizes.
    fn block(sizes: &[usize], now: Instant) -> Block {
        let mut block = Block::new(11, 1000, now);
        sizes.iter().for_each(|&size| block.push(Bytes::from(vec![b'.'; size]), now));
        block
    }

    #[test]
    fn a_full_block_costs_eight_bytes_beside_each_event_and_an_open_one_more() {
        let now = Instant::now();
        let nothing = block(&[], now).cost();
        for (sizes, full, each) in [
            (&[10, 0, 20][..], false, OPEN_COST),
            (&[1; FULL_EVENTS - 1], false, OPEN_COST),
            (&[1; FULL_EVENTS], true, 8),
            (&[FULL_BYTES - 1], false, OPEN_COST),
            (&[FULL_BYTES - 1, 1], true, 8),
        ] {
            let block = block(sizes, now);
            let bytes: usize = sizes.iter().sum();
            assert_eq!((block.is_full(), block.cost()), (full, nothing + bytes + each * sizes.len()));
        }
    }

    #[test]
    fn a_run_reaches_as_far_as_there_is_room_and_takes_one_event_at_the_least() {
        let block = block(&[5, 1, 1, 9], Instant::now());
        for (from, room, end) in [
            (11, 0, 12),
            (11, 5, 12),
            (11, 6, 13),
            (11, 7, 14),
            (11, 15, 14),
            (11, 16, 15),
            (12, 1, 13),
            (12, 2, 14),
        ] {
            assert_eq!(block.reach(from, room), end, "{room} from {from}");
        }
        assert_eq!((block.reach(11, 999), block.reach(14, 1)), (15, 15));
    }

    #[test]
    fn events_lie_behind_each_other_also_when_some_were_withdrawn() {
        for full in [false, true] {
            let mut block = block(&[5, 1, 2, FULL_BYTES * usize::from(full)], Instant::now());
            assert_eq!((block.is_full(), block.first(), block.end()), (full, 11, 15));
            assert_eq!([11, 12, 13, 14].map(|number| block.offset(number)), [1000, 1005, 1006, 1008]);
            assert_eq!(block.empty(&[11, 13]), 7);
            block.move_up(100);
            assert_eq!([11, 12, 13, 14].map(|number| block.offset(number)), [900, 900, 901, 901]);
            assert_eq!([11, 12, 13].map(|number| block.size(number)), [0, 1, 0]);
            assert_eq!(
                (block.slice(11..14).len(), block.slice(12..13).len(), block.slice(13..14).len()),
                (1, 1, 0)
            );
        }
    }

    #[test]
    fn each_event_came_when_it_came() {
        let now = Instant::now();
        let mut block = block(&[1], now);
        let millis = std::time::Duration::from_millis;
        for at in [7, 1000] {
            block.push(Bytes::from_static(b"."), now + millis(at));
        }
        assert_eq!([11, 12, 13].map(|number| block.came(number) - now), [0, 7, 1000].map(millis));
    }
}
