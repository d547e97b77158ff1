//! Who may ask next: so many at a time, and the keys take turns. Pure: it wakes nobody.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// So many places. Whoever finds none waits in the queue of its key; a place that gets free goes to the first of the
/// key whose turn it is, so that a long queue of one key holds up no other.
#[derive(Debug)]
pub(super) struct Turnstile<K, W> {
    places: usize,
    taken: usize,
    queues: HashMap<K, Queue<W>>,
    /// The keys somebody waits for, by their turns.
    turns: BTreeMap<u64, K>,
    /// Numbers tickets and turns: later ones are higher.
    count: u64,
}

/// The tickets of one key.
#[derive(Debug)]
struct Queue<W> {
    turn: u64,
    waiting: BTreeMap<u64, W>,
}

/// Where somebody stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticket(u64);

impl<K: Copy + Eq + Hash, W> Turnstile<K, W> {
    /// A turnstile with so many places.
    pub(super) fn new(places: usize) -> Self {
        Self { places, taken: 0, queues: HashMap::new(), turns: BTreeMap::new(), count: 0 }
    }

    /// How many places there are.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// Takes a place, if there is one. Nobody waits while there is.
    pub(super) fn take(&mut self) -> bool {
        let free = self.taken < self.places;
        self.taken += usize::from(free);
        free
    }

    /// There are so many places from now on; says who has one now of those who waited.
    pub(super) fn set_places(&mut self, places: usize) -> Vec<W> {
        self.places = places;
        std::iter::from_fn(|| self.serve()).collect()
    }

    /// Lines up behind those of the same key.
    pub(super) fn line_up(&mut self, key: K, who: W) -> Ticket {
        let (ticket, turn) = (self.count, self.count + 1);
        self.count += 2;
        let queue = self.queues.entry(key).or_insert_with(|| {
            self.turns.insert(turn, key);
            Queue { turn, waiting: BTreeMap::new() }
        });
        queue.waiting.insert(ticket, who);
        Ticket(ticket)
    }

    /// Gives a place back, and says who has it now, if anybody waited.
    pub(super) fn give_back(&mut self) -> Option<W> {
        self.taken = self.taken.saturating_sub(1);
        self.serve()
    }

    fn serve(&mut self) -> Option<W> {
        let next = if self.taken < self.places { self.next() } else { None };
        self.taken += usize::from(next.is_some());
        next
    }

    /// Leaves the queue; without effect for whom it was left already.
    pub(super) fn leave(&mut self, key: K, ticket: Ticket) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.waiting.remove(&ticket.0);
        if queue.waiting.is_empty() {
            self.turns.remove(&queue.turn);
            self.queues.remove(&key);
        }
    }

    fn next(&mut self) -> Option<W> {
        let (_, key) = self.turns.pop_first()?;
        let queue = self.queues.get_mut(&key)?;
        let (_, who) = queue.waiting.pop_first()?;
        if queue.waiting.is_empty() {
            self.queues.remove(&key);
        } else {
            queue.turn = self.count;
            self.turns.insert(self.count, key);
            self.count += 1;
        }
        Some(who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens at a turnstile of so many places: `a1` comes for key `a`, `-a1` leaves, `.` gives a place back, `=3`
    /// makes them three.
    /// What is expected is who has a place, in the order in which they got it.
    #[track_caller]
    fn check(places: usize, happens: &str, expected: &str) {
        let mut turnstile = Turnstile::new(places);
        let (mut tickets, mut served) = (HashMap::new(), Vec::new());
        for event in happens.split_whitespace() {
            if let Some(places) = event.strip_prefix('=') {
                served.extend(turnstile.set_places(places.parse().unwrap()));
                continue;
            }
            match (event, event.strip_prefix('-')) {
                (".", _) => served.extend(turnstile.give_back()),
                (_, Some(who)) => turnstile.leave(who.as_bytes()[0], tickets[who]),
                (who, None) if turnstile.take() => served.push(who),
                (who, None) => {
                    tickets.insert(who, turnstile.line_up(who.as_bytes()[0], who));
                }
            }
        }
        assert_eq!(served.join(" "), expected, "{happens}");
        assert_eq!(turnstile.queues.len(), turnstile.turns.len(), "{happens}");
    }

    #[test]
    fn so_many_have_a_place_and_the_others_wait() {
        check(2, "a1 a2 a3 a4", "a1 a2");
        check(2, "a1 a2 a3 a4 .", "a1 a2 a3");
        check(2, "a1 . . a2 a3", "a1 a2 a3");
        check(1, "a1 . b1 b2 .", "a1 b1 b2");
    }

    #[test]
    fn of_one_key_who_came_first_is_first() {
        check(1, "a1 a2 a3 a4 . . .", "a1 a2 a3 a4");
    }

    #[test]
    fn the_turns_go_round_the_keys() {
        check(1, "a1 a2 a3 a4 b1 c1 b2 . . . . . .", "a1 a2 b1 c1 a3 b2 a4");
        check(1, "a1 a2 a3 . b1 . . .", "a1 a2 a3 b1");
        check(1, "a1 a2 a3 b1 . . a4 b2 . . .", "a1 a2 b1 a3 b2 a4");
    }

    #[test]
    fn places_that_are_added_are_taken_and_those_taken_away_are_not_given_again() {
        check(1, "a1 a2 b1 a3 =3 .", "a1 a2 b1 a3");
        check(3, "a1 a2 a3 a4 =1 . . .", "a1 a2 a3 a4");
        check(3, "a1 a2 a3 a4 =1 . .", "a1 a2 a3");
        check(2, "a1 =1 a2 .", "a1 a2");
    }

    #[test]
    fn who_leaves_is_passed_over() {
        check(1, "a1 a2 a3 -a2 .", "a1 a3");
        check(1, "a1 a2 b1 -a2 . a3 .", "a1 b1 a3");
        check(1, "a1 a2 -a2 a3 b1 -a3 a4 . .", "a1 b1 a4");
        check(1, "a1 a2 . -a2 .", "a1 a2");
    }
}
