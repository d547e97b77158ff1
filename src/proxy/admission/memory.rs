//! Who was let in a moment ago. Pure: time is an argument.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::head::Head;

/// What is remembered at most, in answers and in bytes; the oldest go first.
const MOST: usize = 65_536;
const BYTES: usize = 8 << 20;
/// What one costs beside its head.
const COST: usize = 256;

/// The upstream's last answers, each with whom it was given to.
///
/// A no is remembered as well as a yes: of two that were asked at once the yes may come last, and be the older one.
#[derive(Debug)]
pub(super) struct Memory<W> {
    answers: HashMap<W, Answer>,
    /// Whose they are, the oldest first.
    order: BTreeMap<u64, W>,
    count: u64,
    bytes: usize,
    most: (usize, usize),
    /// A no of this time was forgotten for want of room: no yes from before it counts.
    floor: Option<Instant>,
    /// When all was forgotten last.
    began: Option<Instant>,
}

#[derive(Debug)]
struct Answer {
    order: u64,
    until: Instant,
    cost: usize,
    said: Said,
}

#[derive(Debug)]
enum Said {
    Yes(Arc<Head>),
    /// When it was said.
    No(Instant),
}

impl<W: Copy + Eq + Hash> Default for Memory<W> {
    fn default() -> Self {
        Self::bounded(MOST, BYTES)
    }
}

impl<W: Copy + Eq + Hash> Memory<W> {
    fn bounded(answers: usize, bytes: usize) -> Self {
        let (order, most) = (BTreeMap::new(), (answers, bytes));
        Self { answers: HashMap::new(), order, count: 0, bytes: 0, most, floor: None, began: None }
    }

    /// Forgets all. No yes that was asked for before now counts either.
    pub(super) fn forget_all(&mut self, now: Instant) {
        let (floor, began) = (Some(now), Some(now));
        *self = Self { most: self.most, count: self.count, floor, began, ..Self::default() };
    }

    /// Whether nothing was forgotten as a whole since then.
    pub(super) fn began_before(&self, then: Instant) -> bool {
        self.began.is_none_or(|began| began < then)
    }

    /// The head of the yes that counts now, if there is one.
    pub(super) fn yes(&self, who: W, now: Instant) -> Option<Arc<Head>> {
        match self.answers.get(&who).filter(|answer| now < answer.until) {
            Some(Answer { said: Said::Yes(head), .. }) => Some(head.clone()),
            _ => None,
        }
    }

    /// The upstream said yes, `asked` at that time; it counts for `time`. One that took longer than that to come says
    /// nothing of now, and one that was asked for before a no is taken back by it.
    pub(super) fn admit(&mut self, who: W, head: Head, asked: Instant, time: Duration, now: Instant) {
        let said_no = match self.answers.get(&who) {
            Some(Answer { said: Said::No(at), .. }) => Some(*at),
            _ => None,
        };
        let is_older = |no: Option<Instant>| no.is_some_and(|no| asked <= no);
        if now.saturating_duration_since(asked) <= time && !is_older(said_no) && !is_older(self.floor) {
            let cost = COST + head.size();
            self.note(who, Said::Yes(Arc::new(head)), cost, time, now);
        }
    }

    /// The upstream said no: no earlier yes counts any more, nor one that is still on its way.
    pub(super) fn refuse(&mut self, who: W, time: Duration, now: Instant) {
        self.note(who, Said::No(now), COST, time, now);
    }

    fn note(&mut self, who: W, said: Said, cost: usize, time: Duration, now: Instant) {
        self.forget(who);
        self.bytes += cost;
        self.order.insert(self.count, who);
        self.answers.insert(who, Answer { order: self.count, until: now + time, cost, said });
        self.count += 1;
        while let Some((_, &oldest)) = self.order.first_key_value() {
            let is_over = self.answers.len() > self.most.0 || self.bytes > self.most.1;
            let Some(answer) = self.answers.get(&oldest).filter(|answer| is_over || answer.until <= now)
            else {
                return;
            };
            if let (Said::No(at), true) = (&answer.said, now < answer.until) {
                self.floor = self.floor.max(Some(*at));
            }
            self.forget(oldest);
        }
    }

    fn forget(&mut self, who: W) {
        if let Some(answer) = self.answers.remove(&who) {
            self.order.remove(&answer.order);
            self.bytes -= answer.cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn head() -> Head {
        Head::of(&Response::new(()).into_parts().0)
    }

    /// What happens, with the second at which it does: `a+` a yes for `a` that was asked for then, `a+7` one that was
    /// asked for at 7, `a-` a no. Answers count for ten seconds. What is expected is whose yes counts at the end.
    #[track_caller]
    fn check(most: usize, happens: &str, expected: &str) {
        let start = Instant::now();
        let at = |seconds: &str| start + Duration::from_secs(seconds.parse().unwrap());
        let time = Duration::from_secs(10);
        let mut memory = Memory::bounded(most, usize::MAX);
        let mut now = start;
        for event in happens.split_whitespace() {
            let (second, what) = event.split_once(':').unwrap();
            now = at(second);
            let mut what = what.chars();
            match (what.next(), what.next()) {
                (Some(who), Some('+')) => {
                    let asked = if what.as_str().is_empty() { now } else { at(what.as_str()) };
                    memory.admit(who, head(), asked, time, now);
                }
                (Some(who), Some('-')) => memory.refuse(who, time, now),
                _ => {}
            }
            assert!(memory.answers.len() <= most && memory.answers.len() == memory.order.len(), "{happens}");
        }
        let known: String = ('a'..='e').filter(|name| memory.yes(*name, now).is_some()).collect();
        assert_eq!(known, expected, "{happens}");
    }

    #[test]
    fn a_yes_counts_for_its_time_and_for_nobody_else() {
        check(9, "", "");
        check(9, "0:a+ 9:", "a");
        check(9, "0:a+ 10:", "");
        check(9, "0:a+ 5:a+ 14:", "a");
        check(9, "0:a+ 0:b+ 5:c+ 10:", "c");
    }

    #[test]
    fn a_no_takes_the_yes_back_and_those_that_are_on_their_way() {
        check(9, "0:a+ 0:b+ 1:a-", "b");
        check(9, "2:a- 3:a+1", "");
        check(9, "2:a- 3:a+2", "");
        check(9, "2:a- 4:a+3", "a");
        check(9, "2:a- 12:a+1", "");
    }

    #[test]
    fn a_yes_that_took_longer_than_it_counts_says_nothing_of_now() {
        check(9, "10:a+0", "a");
        check(9, "11:a+0", "");
    }

    #[test]
    fn the_oldest_give_way_and_a_no_that_does_is_not_forgotten() {
        check(2, "0:a+ 1:b+ 2:c+", "bc");
        check(2, "0:a+ 1:b+ 2:a+ 3:c+", "ac");
        check(1, "2:a- 3:b+ 4:a+1", "b");
        check(1, "2:a- 3:b+ 4:c+2", "b");
        check(1, "2:a- 3:b+ 4:a+3", "a");
    }

    #[test]
    fn what_is_over_is_let_go_and_heads_are_bounded_by_their_bytes() {
        let (start, time) = (Instant::now(), Duration::from_secs(10));
        let mut memory = Memory::bounded(99, 3 * COST);
        for name in 'a'..='z' {
            memory.admit(name, head(), start, time, start);
        }
        assert_eq!((memory.answers.len(), memory.bytes), (3, 3 * COST));
        memory.refuse('a', time, start + time);
        assert_eq!((memory.answers.len(), memory.bytes), (1, COST));
    }
}
