//! The upstream's own ids: which events they stand for.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
};

/// The ids that the upstream gave events of a window. Events are numbered as the window counts them.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By a keyed hash.
    all: HashMap<u64, Name>,
    /// Those of earlier generations. Whoever brings one that comes again may have it from before.
    past: HashSet<u64>,
    hasher: RandomState,
    /// The event with which clients came to hold ids of the upstream's, or behind which one came alone.
    from: Option<First>,
    /// They hold no other.
    expected: bool,
}

/// The first id of the upstream's.
#[derive(Clone, Copy, Debug)]
struct First {
    number: u64,
    /// It came alone: whoever has the event may have the id, or not.
    lone: bool,
}

/// What an id stands for.
#[derive(Clone, Copy, Debug)]
struct Name {
    /// The event that it came with, or behind which it came alone; the first one where it is repeated.
    number: u64,
    /// It came alone, in a control frame.
    lone: bool,
    /// It came again at another place.
    repeated: bool,
}

impl Names {
    /// Notes that `id` stands for the event at the `tail` of a window from `low` on; `lone`, if it came in a control
    /// frame. One that is repeated keeps its first meaning, even when that is gone, so that a resume may repeat events
    /// and skips none. Says whether it is.
    pub(super) fn note(&mut self, id: &[u8], lone: bool, low: u64, tail: u64) -> bool {
        self.from.get_or_insert(First { number: tail, lone });
        self.place(id, lone, low, tail)
    }

    /// The same of an event's id that stands among ours, which clients hold before and after it.
    pub(super) fn note_among_ours(&mut self, id: &[u8], low: u64, tail: u64) {
        self.place(id, false, low, tail);
    }

    fn place(&mut self, id: &[u8], lone: bool, low: u64, tail: u64) -> bool {
        let (number, hash) = (tail, self.hash(id));
        if self.past.contains(&hash) {
            return false;
        }
        let name = self.all.entry(hash).or_insert(Name { number, lone, repeated: false });
        let repeated = name.number != number;
        name.repeated |= repeated;
        name.lone &= lone;
        let retained = tail + 1 - low;
        let most = 64 + retained;
        if self.all.len() as u64 > most + retained {
            // There is one for each event at most, but no end to lone ones. The upstream may know what is forgotten.
            let is_here = |name: &Name| !name.lone && name.number + 1 >= low;
            self.all.retain(|&key, name| key == hash || name.repeated || is_here(name));
            if self.all.len() as u64 > most {
                self.all.retain(|&key, name| key == hash || is_here(name));
            }
        }
        repeated
    }

    /// The event that `id` stands for, if a window from `low` on can go on behind it.
    pub(super) fn find(&self, id: &[u8], low: u64) -> Option<u64> {
        // What age has taken from us the upstream may still have.
        let name = self.all.get(&self.hash(id)).filter(|name| name.number + 1 >= low)?;
        Some(name.number)
    }

    /// The event that alone came with this id.
    pub(super) fn only_event(&self, id: &[u8]) -> Option<u64> {
        let name = self.all.get(&self.hash(id)).filter(|name| !name.lone && !name.repeated)?;
        Some(name.number)
    }

    /// The event that came with this id, if an event did.
    pub(super) fn event(&self, id: &[u8]) -> Option<u64> {
        self.all.get(&self.hash(id)).filter(|name| !name.lone).map(|name| name.number)
    }

    /// Clients hold ids of the upstream's, and none of ours, before it has sent any here.
    pub(super) fn expect(&mut self) {
        self.expected = true;
    }

    /// A client whose next event is this one may hold an id of ours.
    pub(super) fn are_ours_at(&self, next: u64) -> bool {
        !self.expected && self.from.is_none_or(|first| next <= first.number + u64::from(first.lone))
    }

    /// ... or one that the upstream sent here.
    pub(super) fn are_theirs_at(&self, next: u64) -> bool {
        self.from.is_some_and(|first| next > first.number)
    }

    /// A new generation begins, and no id from before is a place in it; nor is it when it comes again: an upstream
    /// that begins anew may count anew, too. About `most` of the newest are remembered. The event that begins it has an
    /// id in any case: ours, unless it is noted with one of its own.
    pub(super) fn begin(&mut self, most: usize) {
        (self.from, self.expected) = (None, false);
        let ended = std::mem::take(&mut self.all);
        if self.past.len() + ended.len() > most {
            self.past = HashSet::new();
        }
        self.past.extend(ended.into_keys());
    }

    /// What they cost, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.all.capacity() * size_of::<(u64, Name)>() + self.past.capacity() * size_of::<u64>()
    }

    /// An id as a header brings it: without the spaces around it.
    fn hash(&self, id: &[u8]) -> u64 {
        self.hasher.hash_one(id.trim_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_an_earlier_generation_is_no_place_even_when_it_comes_again() {
        let mut names = Names::default();
        names.note(b"1", false, 1, 1);
        names.note(b"2", false, 1, 2);
        names.begin(9);
        assert_eq!(names.find(b"2", 1), None);
        names.note(b"1", false, 4, 4);
        names.note(b"3", false, 4, 5);
        assert_eq!((names.find(b"1", 4), names.find(b"3", 4)), (None, Some(5)));
        names.begin(9);
        names.begin(9);
        for id in [b"1", b"2", b"3"] {
            names.note(id, false, 6, 6);
            assert_eq!(names.find(id, 6), None, "whatever began in between");
        }
    }

    #[test]
    fn what_a_client_holds_is_ours_until_the_upstream_has_sent_an_id() {
        let mut names = Names::default();
        let held = |names: &Names, next| (names.are_ours_at(next), names.are_theirs_at(next));
        assert_eq!(held(&names, 9), (true, false));
        assert!(!names.note(b"1", false, 1, 2));
        assert_eq!((held(&names, 2), held(&names, 3)), ((true, false), (false, true)));
        names.begin(9);
        assert_eq!(held(&names, 9), (true, false), "the event that begins a generation has ours");
        names.expect();
        assert_eq!(held(&names, 9), (false, false), "that of a client who brought one is no place here");
        assert!(!names.note(b"2", true, 9, 9) && names.note(b"2", true, 9, 10));
        assert_eq!((held(&names, 9), held(&names, 10)), ((false, false), (false, true)));
    }

    #[test]
    fn an_id_among_ours_is_found_and_takes_nothing_from_them() {
        let mut names = Names::default();
        names.note_among_ours(b"client", 1, 1);
        assert_eq!((names.find(b"client", 1), names.find(b"client", 3)), (Some(1), None));
        assert_eq!((names.are_ours_at(1), names.are_ours_at(9), names.are_theirs_at(9)), (true, true, false));
        names.begin(9);
        assert_eq!(names.find(b"client", 1), None);
    }

    #[test]
    fn so_many_ids_of_earlier_generations_are_remembered() {
        let mut names = Names::default();
        for generation in 0..100_u64 {
            (0..10).for_each(|n| assert!(!names.note(&[generation as u8, n], false, 1, 1 + u64::from(n))));
            names.begin(25);
            assert!(names.past.len() <= 25 && names.past.len() >= 10);
        }
        names.note(&[99, 9], false, 1, 1);
        assert_eq!(names.find(&[99, 9], 1), None);
    }

    #[test]
    fn past_ids_are_forgotten_when_there_would_be_more_than_so_many() {
        let mut names = Names::default();
        let remembered = [0_u8, 1, 2, 3].map(|generation| {
            (0..10).for_each(|n| _ = names.note(&[generation, n], false, 1, 1 + u64::from(n)));
            names.begin(20);
            names.past.len()
        });
        assert_eq!(remembered, [10, 20, 10, 20]);
    }

    fn event(number: u64) -> Vec<u8> {
        format!("event {number}").into_bytes()
    }

    fn lone(number: u64) -> Vec<u8> {
        format!("lone {number}").into_bytes()
    }

    #[test]
    fn ids_that_came_alone_are_forgotten_beyond_a_bound_and_those_of_events_are_not() {
        // Two for each of the six events that are retained, and 64 more.
        for (count, first) in [(0, None), (1, Some(10)), (69, Some(10)), (70, None), (1000, None)] {
            let mut names = Names::default();
            assert!(!names.note(b"again", false, 1, 1));
            (5..=10).for_each(|number| _ = names.note(&event(number), false, 5, number));
            assert!(names.note(b"again", false, 5, 10));
            for number in 0..count {
                names.note(&lone(number), true, 5, 10);
                assert_eq!(names.find(&lone(number), 5), Some(10), "the newest of {count}");
                assert!(names.all.len() <= 64 + 2 * 6);
            }
            assert_eq!(names.find(&lone(0), 5), first, "the first of {count}");
            (5..=10).for_each(|number| assert_eq!(names.find(&event(number), 5), Some(number)));
            assert!(names.note(b"again", false, 5, 10), "that it is repeated is remembered");
        }
    }

    #[test]
    fn there_is_an_end_to_ids_that_are_repeated_too() {
        let mut names = Names::default();
        for number in 6..1000 {
            assert!(!names.note(&event(number), false, number - 5, number));
            assert!(names.note(&event(number), false, number - 4, number + 1));
            assert!(names.all.len() <= 64 + 2 * 6);
            (6.max(number - 4)..=number)
                .for_each(|number| assert_eq!(names.event(&event(number)), Some(number)));
        }
    }

    #[test]
    fn that_ids_are_repeated_is_remembered_while_there_is_room_beside_what_is_retained() {
        for (repeated, remembered) in [(63, true), (64, false)] {
            let mut names = Names::default();
            (1..=repeated).for_each(|number| _ = names.note(&event(number), false, 1, number));
            (1..=repeated).for_each(|number| assert!(names.note(&event(number), false, 1, 99)));
            // One event is retained, and that makes 65; of ids that came alone only the newest is among them.
            names.note(&event(100), false, 100, 100);
            (repeated..=65).for_each(|number| _ = names.note(&lone(number), true, 100, 100));
            assert_eq!(names.note(&event(1), false, 100, 100), remembered, "{repeated}");
        }
    }

    #[test]
    fn only_an_event_that_has_its_id_for_itself_is_known_by_it() {
        let mut names = Names::default();
        for (id, lone, number) in
            [("own", false, 1), ("lone", true, 1), ("twice", false, 2), ("twice", false, 3)]
        {
            names.note(id.as_bytes(), lone, 1, number);
        }
        // It came alone, and then with the event itself.
        names.note(b"both", true, 1, 4);
        names.note(b"both", false, 1, 4);
        for (id, only, event) in [
            ("own", Some(1), Some(1)),
            ("lone", None, None),
            ("twice", None, Some(2)),
            ("both", Some(4), Some(4)),
            ("none", None, None),
        ] {
            assert_eq!((names.only_event(id.as_bytes()), names.event(id.as_bytes())), (only, event), "{id}");
        }
        assert_eq!(
            (names.find(b"own", 2), names.find(b"own", 3), names.find(b" own ", 1)),
            (Some(1), None, Some(1))
        );
    }

    #[test]
    fn ids_cost_what_they_need_in_memory() {
        let (mut names, past, here) = (Names::default(), size_of::<u64>(), size_of::<(u64, Name)>());
        assert_eq!(names.cost(), 0);
        (0..1000_u64).for_each(|id| _ = names.note(&id.to_be_bytes(), false, 1, 1000));
        assert!((1000 * here..4000 * here).contains(&names.cost()));
        names.begin(2000);
        assert!((1000 * past..4000 * past).contains(&names.cost()));
        (1000..2000_u64).for_each(|id| _ = names.note(&id.to_be_bytes(), false, 1, 1000));
        assert!((1000 * (past + here)..4000 * (past + here)).contains(&names.cost()));
    }
}
