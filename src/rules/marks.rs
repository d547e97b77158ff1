//! Keys that are closed, each for its time: a ring of them in the order in which they were closed, and a table that says where
//! in it a key is.
//!
//! Both are flat, so that what they cost is known to the byte: it is charged to a budget.

use std::time::Instant;

/// What a place of the ring costs, with the two of the table that go with it.
pub(super) const PLACE: usize = size_of::<Option<Mark>>() + TWICE * size_of::<u16>();
/// The table has so many places for each of the ring: it is never more than half full.
const TWICE: usize = 2;
/// How many places there are beside those that are half as many again as the keys.
const SPARE: usize = 8;

/// The closed keys of one guard, hashed: no key is likelier than another.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The oldest is at `head`. One that was closed again has its place further on, and has left a hole here.
    ring: Box<[Option<Mark>]>,
    head: usize,
    /// How many places there are from the oldest to the newest, holes and all.
    used: usize,
    /// How many keys there are.
    keys: usize,
    /// By hash, or in the next place that is free: where in the ring a key is, less one; 0 where none is.
    table: Box<[u16]>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    key: u64,
    until: Instant,
}

#[expect(clippy::indexing_slicing, reason = "places wrap around at the length of what they are in")]
impl Marks {
    /// So many can be remembered.
    pub(super) const MOST: usize = 4096;

    /// This key is closed until then, which is no earlier than that of any other. The oldest is forgotten where there are
    /// too many.
    pub(super) fn add(&mut self, key: u64, until: Instant) {
        const { assert!(room_for(Self::MOST) < u16::MAX as usize, "a place of the ring is a number of the table") };
        if let Some(slot) = self.find(key) {
            self.ring[self.place(slot)] = None;
            self.empty(slot);
        } else if self.keys == Self::MOST {
            self.forget_oldest();
        }
        if self.used == self.ring.len() {
            self.rebuild(room_for(self.keys));
        }
        self.push(Mark { key, until });
    }

    /// Whether the key is closed.
    pub(super) fn has(&self, key: u64, now: Instant) -> bool {
        self.find(key).and_then(|slot| self.ring[self.place(slot)]).is_some_and(|mark| now < mark.until)
    }

    /// Forgets those whose time is over.
    pub(super) fn prune(&mut self, now: Instant) {
        while self.oldest().is_some_and(|mark| mark.until <= now) {
            self.forget_oldest();
        }
        // Half of it is free then, and what comes and goes does not have it made anew each time.
        if self.keys == 0 {
            *self = Self::default();
        } else if self.ring.len() / 2 > room_for(self.keys) {
            self.rebuild(room_for(self.keys));
        }
    }

    /// Forgets the oldest until so many bytes are free, as far as that goes. What is given is an eighth at least, and there
    /// is room for some more keys then: under lasting pressure it is not made anew for each of them.
    pub(super) fn give_way(&mut self, bytes: usize) {
        let given = bytes.div_ceil(PLACE).max(self.ring.len() / 8);
        let left = self.ring.len().saturating_sub(given);
        while self.keys > left - left / 8 {
            self.forget_oldest();
        }
        self.rebuild(left);
    }

    /// What they cost, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.ring.len() * PLACE
    }

    fn oldest(&mut self) -> Option<Mark> {
        while self.used > 0 {
            if let Some(mark) = self.ring[self.head] {
                return Some(mark);
            }
            self.step();
        }
        None
    }

    fn forget_oldest(&mut self) {
        if let Some(mark) = self.oldest() {
            if let Some(slot) = self.find(mark.key) {
                self.empty(slot);
            }
            self.ring[self.head] = None;
            self.step();
        }
    }

    fn step(&mut self) {
        self.head = (self.head + 1) % self.ring.len();
        self.used -= 1;
    }

    /// Makes it anew with so many places, without holes. There are no more keys than that.
    fn rebuild(&mut self, places: usize) {
        let next = Self {
            ring: vec![None; places].into(),
            table: vec![0; TWICE * places].into(),
            ..Self::default()
        };
        let Self { ring, head, .. } = std::mem::replace(self, next);
        let (later, earlier) = ring.split_at(head);
        earlier.iter().chain(later).flatten().for_each(|&mark| self.push(mark));
    }

    /// There is room for it.
    fn push(&mut self, mark: Mark) {
        let place = (self.head + self.used) % self.ring.len();
        let mut slot = self.home(mark.key);
        while self.table[slot] != 0 {
            slot = self.after(slot);
        }
        self.ring[place] = Some(mark);
        self.table[slot] = place as u16 + 1;
        self.used += 1;
        self.keys += 1;
    }

    /// Where in the table a key is.
    fn find(&self, key: u64) -> Option<usize> {
        if self.keys == 0 {
            return None;
        }
        let mut slot = self.home(key);
        while self.table[slot] != 0 {
            if self.ring[self.place(slot)].is_some_and(|mark| mark.key == key) {
                return Some(slot);
            }
            slot = self.after(slot);
        }
        None
    }

    /// Takes a key out of the table. Those behind it that could be nearer to where they belong move up, so that a free place
    /// is the end of every search.
    fn empty(&mut self, slot: usize) {
        let (mut free, mut next) = (slot, self.after(slot));
        while self.table[next] != 0 {
            let home = self.ring[self.place(next)].map_or(next, |mark| self.home(mark.key));
            if self.way(home, next) >= self.way(free, next) {
                self.table[free] = self.table[next];
                free = next;
            }
            next = self.after(next);
        }
        self.table[free] = 0;
        self.keys -= 1;
    }

    /// The place in the ring that a taken one of the table names.
    fn place(&self, slot: usize) -> usize {
        usize::from(self.table[slot]) - 1
    }

    /// Where in the table a key belongs.
    fn home(&self, key: u64) -> usize {
        ((u128::from(key) * self.table.len() as u128) >> u64::BITS) as usize
    }

    fn after(&self, slot: usize) -> usize {
        (slot + 1) % self.table.len()
    }

    /// How far it is from one place of the table on to another.
    fn way(&self, from: usize, to: usize) -> usize {
        (to + self.table.len() - from) % self.table.len()
    }
}

/// How many places so many keys are given, with some to come.
const fn room_for(keys: usize) -> usize {
    keys + keys / 2 + SPARE
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Closed keys, the slow way: in the order in which they were closed.
    #[derive(Default)]
    struct Naive(Vec<(u64, Instant)>);

    impl Naive {
        fn add(&mut self, key: u64, until: Instant) {
            self.0.retain(|&(had, _)| had != key);
            self.0.push((key, until));
            let excess = self.0.len().saturating_sub(Marks::MOST);
            self.0.drain(..excess);
        }

        fn has(&self, key: u64, now: Instant) -> bool {
            self.0.iter().any(|&(had, until)| had == key && now < until)
        }
    }

    impl Marks {
        /// What is there is what the slow twin has, and everything is where it is looked for.
        #[track_caller]
        fn is_as(&self, naive: &Naive) {
            let (later, earlier) = self.ring.split_at(self.head);
            let in_order: Vec<_> = earlier.iter().chain(later).flatten().map(|mark| mark.key).collect();
            assert_eq!(in_order, naive.0.iter().map(|&(key, _)| key).collect::<Vec<_>>());
            assert_eq!(self.keys, in_order.len());
            assert!(in_order.iter().all(|&key| self.find(key).is_some()));
            assert_eq!(self.table.iter().filter(|&&place| place != 0).count(), self.keys);
            assert_eq!(self.table.len(), 2 * self.ring.len());
        }
    }

    #[test]
    fn a_place_costs_what_it_is() {
        assert_eq!(PLACE, 28);
        let mut marks = Marks::default();
        assert_eq!(marks.cost(), 0);
        marks.add(7, Instant::now());
        assert_eq!(marks.cost(), size_of_val(&*marks.ring) + size_of_val(&*marks.table));
    }

    #[test]
    fn the_oldest_is_forgotten_where_there_are_too_many() {
        let (mut marks, mut naive, until) = (Marks::default(), Naive::default(), Instant::now());
        // Uniform, as hashes are.
        let key = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for n in 0..3 * Marks::MOST as u64 {
            // Every second one was closed before.
            let n = if n % 2 == 0 { n } else { n.saturating_sub(1000) };
            marks.add(key(n), until);
            naive.add(key(n), until);
            assert!(marks.cost() <= room_for(Marks::MOST) * PLACE);
        }
        assert_eq!(marks.keys, Marks::MOST);
        marks.is_as(&naive);
    }

    #[test]
    fn what_is_closed_again_and_again_is_one_key() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        (0..10_000).for_each(|n| marks.add(n % 2, now));
        assert_eq!(marks.keys, 2);
        assert!(marks.cost() <= room_for(2) * PLACE);
    }

    #[test]
    fn what_is_free_is_given_back() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        let second = |n| start + Duration::from_secs(n);
        (0..1_000).for_each(|n| marks.add(n << 50, second(n)));
        marks.prune(second(899));
        assert_eq!((marks.keys, marks.cost()), (100, room_for(100) * PLACE));
        marks.prune(second(1_000));
        assert_eq!((marks.keys, marks.cost()), (0, 0));
    }

    #[test]
    fn what_is_wanted_is_given_and_the_newest_stay() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        (0..1_000).for_each(|n| marks.add(n << 50, now + Duration::from_secs(1)));
        for wanted in [1, 10_000, 0] {
            let before = marks.cost();
            marks.give_way(wanted);
            assert!(before - marks.cost() >= wanted);
            assert!(marks.cost() <= before * 9 / 10);
            assert!(marks.has(999 << 50, now));
        }
        assert!(!marks.has(0, now));
        marks.give_way(usize::MAX);
        assert_eq!((marks.keys, marks.cost()), (0, 0));
        marks.give_way(1);
        marks.add(1, now + Duration::from_secs(1));
        assert!(marks.has(1, now));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Add(u64),
        Prune,
        GiveWay(usize),
        Pass(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        // Of few homes, at the table's end too, so that many are where others belong.
        let key = (0..4u64, 0..12u64).prop_map(|(home, n)| (home << 62).wrapping_sub(n));
        prop_oneof![
            8 => key.prop_map(Op::Add),
            1 => Just(Op::Prune),
            1 => (0..600usize).prop_map(Op::GiveWay),
            4 => (0..3u64).prop_map(Op::Pass),
        ]
    }

    proptest! {
        #[test]
        fn they_are_those_of_the_slow_twin(ops in prop::collection::vec(op(), 1..200)) {
            let (mut marks, mut naive, mut now) = (Marks::default(), Naive::default(), Instant::now());
            for op in ops {
                match op {
                    Op::Add(key) => {
                        let until = now + Duration::from_secs(20);
                        marks.add(key, until);
                        naive.add(key, until);
                    }
                    Op::Prune => {
                        marks.prune(now);
                        naive.0.retain(|&(_, until)| now < until);
                    }
                    Op::GiveWay(bytes) => {
                        let before = marks.cost();
                        marks.give_way(bytes);
                        prop_assert!(before - marks.cost() >= bytes.min(before));
                        // How many are left is its own affair; which ones is not.
                        naive.0.drain(..naive.0.len() - marks.keys);
                    }
                    Op::Pass(seconds) => now += Duration::from_secs(seconds),
                }
                marks.is_as(&naive);
                for &(key, _) in &naive.0 {
                    prop_assert_eq!(marks.has(key, now), naive.has(key, now));
                }
                prop_assert!(marks.cost() <= PLACE * room_for(48));
            }
        }
    }
}
