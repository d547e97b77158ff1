//! Whether two connections see one stream. Pure.

use std::collections::HashSet;

use super::super::visit::Event;

/// Fewer common events than this say nothing.
pub(super) const ENOUGH: usize = 3;

/// What two connections have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Same {
    /// The same events in the same order, while both were there.
    Yes,
    /// Other events, or in another order.
    No,
    /// Too few events came.
    Untold,
}

/// Compares what came to two connections between the first and the last event that came to both.
pub(super) fn same(one: &[&Event], other: &[&Event]) -> Same {
    let (one, other) = (prints(one), prints(other));
    let (of_one, of_other): (HashSet<u64>, HashSet<u64>) =
        (one.iter().copied().collect(), other.iter().copied().collect());
    let common: HashSet<u64> = of_one.intersection(&of_other).copied().collect();
    if common.len() < ENOUGH {
        // Both had enough to have something in common.
        let both = of_one.len() >= ENOUGH && of_other.len() >= ENOUGH;
        return if both { Same::No } else { Same::Untold };
    }
    if between(&one, &common) == between(&other, &common) { Same::Yes } else { Same::No }
}

fn prints(events: &[&Event]) -> Vec<u64> {
    events.iter().map(|event| event.print).collect()
}

fn between<'a>(prints: &'a [u64], common: &HashSet<u64>) -> &'a [u64] {
    let is_common = |print: &u64| common.contains(print);
    let (first, last) = (prints.iter().position(is_common), prints.iter().rposition(is_common));
    first.zip(last).and_then(|(first, last)| prints.get(first..=last)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::visit::{event, tests::ms};

    #[track_caller]
    fn check(one: &str, other: &str, wanted: Same) {
        let events = |text: &str| -> Vec<Event> {
            text.split_whitespace().map(|data| event(ms(1), b"", data.as_bytes())).collect()
        };
        let (one, other) = (events(one), events(other));
        let seen = same(&one.iter().collect::<Vec<_>>(), &other.iter().collect::<Vec<_>>());
        assert_eq!(seen, wanted);
    }

    #[test]
    fn one_stream_is_the_same_events_in_the_same_order() {
        check("a b c d", "a b c d", Same::Yes);
        check("a b c d e", "b c d", Same::Yes);
        check("a b c d", "a c b d", Same::No);
        check("a b c d e", "a b d e", Same::No);
        check("a b c", "x y z", Same::No);
        check("a b", "a b", Same::Untold);
        check("a b c d", "", Same::Untold);
        check("t t t t", "t t t t", Same::Untold);
    }
}
