//! Whether something on the way holds events back. Pure.
//!
//! Nobody says when an event was sent, so it is told by what cannot be otherwise: the same event came by one connection
//! long before the other that was open, too; half an event stood for long, although nobody writes half of one; or it had
//! come directly long before.

use std::{collections::HashMap, time::Duration};

use super::visit::{Event, Visit};

/// What is later than this is no matter of a busy machine.
pub(super) const LATE: Duration = Duration::from_millis(500);
/// Fewer than this may be by chance.
const FEW: usize = 3;

/// What was seen of it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Delay {
    /// How long halves of events stood, of those that stood for long.
    pub(super) halves: Vec<Duration>,
    /// Events that came by one of the two connections late, against the other: how late.
    pub(super) skewed: Vec<Duration>,
    /// Events that came late against the direct connection.
    pub(super) behind: Vec<Duration>,
    /// Events that came by the direct connection, while nothing came otherwise.
    pub(super) withheld: usize,
}

impl Delay {
    /// Of what came by the two connections, and by two direct ones where there are any.
    pub(super) fn of(alone: &[Visit], cut: &[Visit], direct: &[Visit]) -> Self {
        let halves = alone.iter().chain(cut).flat_map(|visit| visit.halves.iter().copied()).collect();
        let nothing = alone.iter().all(|visit| visit.events.is_empty());
        let withheld = direct.iter().map(|visit| visit.events.len()).max().filter(|_| nothing);
        let (skewed, behind) = (skewed(alone, cut), behind(alone, direct));
        Self { halves, skewed, behind, withheld: withheld.unwrap_or(0) }
    }

    /// Something on the way buffers, whatever the server does. `is_one_stream`: both connections see what one connection to
    /// the server brought, so that it can be no matter of the server's that one is late.
    pub(super) fn is_proven(&self, is_one_stream: bool) -> bool {
        self.halves.len() >= 2
            || self.behind.len() >= FEW
            || self.withheld >= FEW
            || is_one_stream && self.is_uneven()
    }

    /// The two connections had events at other times.
    pub(super) fn is_uneven(&self) -> bool {
        self.skewed.len() >= FEW
    }

    /// The longest that was seen.
    pub(super) fn longest(&self) -> Duration {
        let all = self.halves.iter().chain(&self.skewed).chain(&self.behind);
        all.max().copied().unwrap_or_default()
    }
}

/// An event, and since when its connection was open.
type Arrival<'a> = (&'a Event, Duration);

/// The events that came once, each with when its connection was there.
fn arrivals(visits: &[Visit]) -> HashMap<u64, Arrival<'_>> {
    let mut times: HashMap<u64, (usize, Arrival<'_>)> = HashMap::new();
    for visit in visits {
        let since = visit.head.as_ref().map_or(visit.asked, |head| head.at);
        for event in &visit.events {
            times.entry(event.print).or_insert((0, (event, since))).0 += 1;
        }
    }
    times
        .into_iter()
        .filter(|(_, (times, _))| *times == 1)
        .map(|(print, (_, arrival))| (print, arrival))
        .collect()
}

/// By how much one was later than the other, where it was open when the other had the event.
fn skewed(alone: &[Visit], cut: &[Visit]) -> Vec<Duration> {
    let (alone, cut) = (arrivals(alone), arrivals(cut));
    let skew = |(print, (one, since)): (&u64, &Arrival<'_>)| {
        let (other, other_since) = cut.get(print)?;
        let (early, late, open) =
            if one.at < other.at { (one.at, other.at, other_since) } else { (other.at, one.at, since) };
        Some(late - early).filter(|skew| *skew >= LATE && *open <= early)
    };
    alone.iter().filter_map(skew).collect()
}

/// By how much events came later than directly, beyond what two direct connections differ by.
fn behind(alone: &[Visit], direct: &[Visit]) -> Vec<Duration> {
    let [one, other] = direct else { return Vec::new() };
    let (one, other) = (arrivals(std::slice::from_ref(one)), arrivals(std::slice::from_ref(other)));
    let pairs = one.iter().filter_map(|(print, (event, _))| Some((event.at, other.get(print)?.0.at)));
    let mut apart: Vec<Duration> = pairs.map(|(one, other)| one.max(other) - one.min(other)).collect();
    apart.sort();
    let usual = apart.get(apart.len() / 2).copied().unwrap_or_default();
    let late = |(print, (event, since)): (&u64, &Arrival<'_>)| {
        let there = one.get(print).into_iter().chain(other.get(print)).map(|(event, _)| event.at).min()?;
        let late = event.at.saturating_sub(there);
        Some(late).filter(|late| *late >= LATE + 2 * usual && *since <= there)
    };
    arrivals(alone).iter().filter_map(late).collect()
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::command::doctor::visit::{
        End,
        tests::{ms, visit},
    };

    fn seen(from: u64, events: &[(u64, &str)]) -> Visit {
        let frames: Vec<_> = events.iter().map(|(at, data)| (*at, format!("data: {data}\n\n"))).collect();
        let pieces: Vec<_> = frames.iter().map(|(at, frame)| (*at, frame.as_str())).collect();
        visit(from, "", "fresh", &pieces, End::Left)
    }

    const EVEN: [(u64, &str); 4] = [(100, "a"), (600, "b"), (1100, "c"), (1600, "d")];

    #[test]
    fn what_comes_at_the_same_time_is_not_held_back() {
        let delay = Delay::of(&[seen(0, &EVEN)], &[seen(0, &EVEN)], &[seen(0, &EVEN), seen(0, &EVEN)]);
        assert_eq!(delay, Delay::default());
        // Replayed to who was away: later, and rightly so.
        let replayed = seen(1700, &[(1701, "a"), (1701, "b"), (1701, "c"), (1701, "d")]);
        assert_eq!(Delay::of(&[seen(0, &EVEN)], &[replayed], &[]), Delay::default());
    }

    #[test]
    fn who_is_open_and_late_is_held_back() {
        let late = seen(0, &[(1600, "a"), (1600, "b"), (1600, "c"), (1600, "d")]);
        for (one, other) in [(&late, &seen(0, &EVEN)), (&seen(0, &EVEN), &late)] {
            let delay = Delay::of(from_ref(one), from_ref(other), &[]);
            assert_eq!(delay.longest(), ms(1500));
            assert!(delay.is_proven(true) && !delay.is_proven(false), "{delay:?}");
        }
        let delay = Delay::of(from_ref(&late), from_ref(&late), &[seen(0, &EVEN), seen(0, &EVEN)]);
        assert!(delay.is_proven(false) && !delay.is_uneven(), "{delay:?}");
    }

    #[test]
    fn a_server_that_is_uneven_itself_is_no_proxy() {
        let later = EVEN.map(|(at, data)| (at + 700, data));
        let delay = Delay::of(&[seen(0, &later)], &[], &[seen(0, &EVEN), seen(0, &later)]);
        assert!(!delay.is_proven(false), "{delay:?}");
    }

    #[test]
    fn halves_that_stand_twice_are_proof() {
        let pieces = [(5, "da"), (900, "ta: b\n\nda"), (1900, "ta: c\n\n")];
        let visit = visit(0, "", "fresh", &pieces, End::Left);
        assert!(Delay::of(from_ref(&visit), &[], &[]).is_proven(false));
    }

    #[test]
    fn nothing_here_and_much_directly_is_proof() {
        assert!(Delay::of(&[seen(0, &[])], &[], &[seen(0, &EVEN), seen(0, &EVEN)]).is_proven(false));
        assert!(!Delay::of(&[seen(0, &[])], &[], &[]).is_proven(false));
    }
}
