//! What the ids that a server gives its events are good for. Pure.

use std::collections::HashMap;

use super::visit::Event;
use crate::id::Position;

/// What ids are. Those of respool's own form are not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ids {
    /// There are none.
    None,
    /// One stands on several events.
    Repeated,
    /// The same event has another number on another connection: each connection counts for itself.
    Counted,
    /// The same event has another id on another connection, and they are no numbers.
    Random,
    /// An event has the same id on all connections, and they are in no order.
    Unordered,
    /// They rise, and an event has the same one on all connections; `proven` where there was a common event to tell by.
    Rising {
        /// Some event came by several connections.
        proven: bool,
    },
}

/// Judges the ids of these connections' events.
pub(super) fn judge(connections: &[Vec<&Event>]) -> Ids {
    let each: Vec<Vec<(u64, &[u8])>> = connections.iter().map(|events| of(events)).collect();
    if each.iter().all(Vec::is_empty) {
        return Ids::None;
    }
    let pairs: Vec<(usize, usize)> = pairs(&each).collect();
    let rising = each.iter().all(|ids| rises(ids));
    // One pair is enough: connections that were opened at once may count alike.
    if pairs.iter().any(|(same, other)| other > same) {
        return if rising { Ids::Counted } else { differing(&each) };
    }
    match (each.iter().any(|ids| repeats(ids)), rising) {
        (true, _) => Ids::Repeated,
        (false, true) => Ids::Rising { proven: pairs.iter().any(|(same, _)| *same > 0) },
        (false, false) => Ids::Unordered,
    }
}

/// Events with ids, as they came.
fn of<'a>(events: &[&'a Event]) -> Vec<(u64, &'a [u8])> {
    let theirs = |event: &&'a Event| Some((event.print, event.id.as_deref()?));
    events.iter().filter_map(theirs).filter(|(_, id)| Position::parse(id).is_none()).collect()
}

/// Ids that differ are a name for each connection, or random.
fn differing(each: &[Vec<(u64, &[u8])>]) -> Ids {
    if each.iter().any(|ids| repeats(ids)) { Ids::Repeated } else { Ids::Random }
}

/// For each two connections: how many events that came by both, once each, had the same id there, and how many another.
fn pairs(each: &[Vec<(u64, &[u8])>]) -> impl Iterator<Item = (usize, usize)> {
    let once: Vec<_> = each.iter().map(|ids| once(ids)).collect();
    let pair = |one: &HashMap<u64, &[u8]>, other: &HashMap<u64, &[u8]>| {
        let known = one.iter().filter_map(|(print, id)| Some(other.get(print)? == id));
        let (same, differ): (Vec<bool>, Vec<bool>) = known.partition(|same| *same);
        (same.len(), differ.len())
    };
    let before = |at: usize| once.iter().take(at);
    let pairs: Vec<_> =
        once.iter().enumerate().flat_map(|(at, one)| before(at).map(move |other| pair(one, other))).collect();
    pairs.into_iter()
}

/// Events that came once, with their ids.
fn once<'a>(ids: &[(u64, &'a [u8])]) -> HashMap<u64, &'a [u8]> {
    let mut times: HashMap<u64, usize> = HashMap::new();
    ids.iter().for_each(|(print, _)| *times.entry(*print).or_default() += 1);
    ids.iter().copied().filter(|(print, _)| times.get(print) == Some(&1)).collect()
}

/// One id stands on two events that differ: one that came again came with its own.
fn repeats(ids: &[(u64, &[u8])]) -> bool {
    let mut seen: HashMap<&[u8], u64> = HashMap::new();
    ids.iter().any(|(print, id)| seen.insert(id, *print).is_some_and(|before| before != *print))
}

/// Each id is above the one before it: as numbers, as numbers with a dash between (`1700000000000-3`), or, where all
/// are of one length, as text.
fn rises(ids: &[(u64, &[u8])]) -> bool {
    let pairs = || ids.iter().zip(ids.iter().skip(1)).map(|((_, one), (_, next))| (*one, *next));
    let numbers = ids.iter().all(|(_, id)| numbers(id).is_some());
    if numbers {
        return pairs().all(|(one, next)| self::numbers(one) < self::numbers(next));
    }
    pairs().all(|(one, next)| one.len() == next.len() && one < next)
}

fn numbers(id: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(id).ok()?;
    let (major, minor) = text.split_once('-').unwrap_or((text, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::command::doctor::visit::{event, tests::ms};

    /// Connections apart by `/`, events by their data, with an id or without.
    #[track_caller]
    fn check(connections: &str, wanted: Ids) {
        let event = |text: &str| {
            let (data, id) = text.split_once('=').unwrap_or((text, ""));
            let id = Some(Bytes::copy_from_slice(id.as_bytes())).filter(|id| !id.is_empty());
            Event { id, ..event(ms(1), b"", data.as_bytes()) }
        };
        let events: Vec<Vec<Event>> =
            connections.split('/').map(|each| each.split_whitespace().map(event).collect()).collect();
        let connections: Vec<Vec<&Event>> = events.iter().map(|each| each.iter().collect()).collect();
        assert_eq!(judge(&connections), wanted, "{events:?}");
    }

    #[test]
    fn ids_that_rise_and_are_the_same_everywhere_are_cursors() {
        check("a=1 b=2 c=3 / b=2 c=3", Ids::Rising { proven: true });
        check("a=9 b=10 / b=10", Ids::Rising { proven: true });
        check("a=1700-0 b=1700-1 c=1701-0 / c=1701-0", Ids::Rising { proven: true });
        check("a=01HA b=01HB / a=01HA", Ids::Rising { proven: true });
        check("a=1 b=2 / x=1 y=2", Ids::Rising { proven: false });
    }

    #[test]
    fn none_and_ours_are_none() {
        check("", Ids::None);
        check("a b / a", Ids::None);
        check("a=r0000000000007-1 / a=r0000000000009-1", Ids::None);
    }

    #[test]
    fn ids_that_differ_are_counted_or_random() {
        check("a=1 b=2 c=3 / b=1 c=2", Ids::Counted);
        check("a=1 b=2 c=3 / a=1 b=2 c=3 / c=1", Ids::Counted);
        check("a=7f b=31 c=a0 / a=00 b=99 c=12", Ids::Random);
        check("a=x b=x / a=y b=y", Ids::Repeated);
    }

    #[test]
    fn ids_in_no_order_and_repeated_ones() {
        check("a=7f b=31 c=a0 / b=31 c=a0", Ids::Unordered);
        check("a=1 b=1 c=2 / b=1 c=2", Ids::Repeated);
        check("a=1 b=2 b=2 c=3 / b=2 c=3", Ids::Unordered);
    }
}
