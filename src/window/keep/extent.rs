//! How far a window reaches and how far a place is behind, as an operator is shown it. Nothing is changed by looking.

use std::time::{Duration, Instant};

use super::Window;
use crate::{
    id::Generation,
    window::{Bounds, End, Place},
};

/// How far a window reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The run that is retained.
    pub generation: Generation,
    /// What it may retain.
    pub bounds: Bounds,
    /// How many events are retained, as the bounds count them.
    pub events: u64,
    /// Their bytes, as the bounds count them.
    pub bytes: usize,
    /// The seq of the oldest event that a returning client may have; one more than the tail's where there is none.
    pub low: u64,
    /// The seq of the newest event: the fence of who comes now.
    pub tail: u64,
    /// How old the oldest retained event is.
    pub oldest: Option<Duration>,
    /// How the run ended, once it has.
    pub ended: Option<End>,
}

/// How much a place has yet to take.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lag {
    /// Events.
    pub events: u64,
    /// Their bytes.
    pub bytes: usize,
    /// Some of it is older than what a returning client may have: who is lost now finds a gap.
    pub past_low: bool,
}

impl Window {
    /// How far it reaches.
    #[must_use]
    pub fn extent(&self, now: Instant) -> Extent {
        let any = self.low <= self.tail;
        Extent {
            generation: self.generation,
            bounds: self.bounds,
            events: self.tail + 1 - self.low,
            bytes: self.bytes,
            low: self.low.saturating_sub(self.base),
            tail: self.tail.saturating_sub(self.base),
            oldest: any.then(|| now.saturating_duration_since(self.came(self.low))),
            ended: self.end,
        }
    }

    /// How much a place has yet to take.
    #[must_use]
    pub fn lag(&self, place: &Place) -> Lag {
        let events = self.openings.left_of(place.next..self.tail + 1);
        Lag { events, bytes: self.unread_events(place), past_low: events > 0 && place.next < self.low }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use bytes::Bytes;

    use super::*;
    use crate::window::Verdict;

    fn window(start: Instant) -> Window {
        let some = |n| NonZeroUsize::new(n).unwrap();
        let bounds = Bounds { events: some(3), bytes: some(1000), age: Duration::from_secs(9) };
        Window::new(Generation::Shared(1), bounds, start)
    }

    #[test]
    fn a_window_reaches_from_its_low_edge_to_its_tail() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = window(start);
        let shown = |window: &mut Window, now| {
            window.prune(now);
            let Extent { events, bytes, low, tail, oldest, .. } = window.extent(now);
            (events, bytes, low, tail, oldest.map(|age| age.as_secs()))
        };
        assert_eq!(shown(&mut window, start), (0, 0, 1, 0, None));
        (0..5).for_each(|n| window.push(Bytes::from(vec![b'.'; 10]), at(n)));
        assert_eq!(shown(&mut window, at(6)), (3, 30, 3, 5, Some(4)));
        window.begin(Generation::Shared(2), Some(Bytes::from_static(b"reset")), at(6));
        assert_eq!(shown(&mut window, at(6)), (0, 0, 1, 0, None));
        window.push(Bytes::from_static(b"."), at(7));
        assert_eq!(shown(&mut window, at(8)), (1, 1, 1, 1, Some(1)));
        assert_eq!(shown(&mut window, at(60)), (0, 0, 2, 1, None), "an empty window keeps its low edge");
    }

    #[test]
    fn a_place_lags_by_what_it_has_not_taken() {
        let start = Instant::now();
        let mut window = window(start);
        let mut place = window.enter(Verdict::Fresh);
        assert_eq!(window.lag(&place), Lag::default());
        (0..3).for_each(|_| window.push(Bytes::from(vec![b'.'; 10]), start));
        assert_eq!(window.lag(&place), Lag { events: 3, bytes: 30, past_low: false });
        window.push(Bytes::from(vec![b'.'; 10]), start);
        assert_eq!(window.lag(&place), Lag { events: 4, bytes: 40, past_low: true });
        window.take(&mut place, 1).unwrap();
        assert_eq!(window.lag(&place), Lag { events: 3, bytes: 30, past_low: false });
        window.take(&mut place, 1000).unwrap();
        assert_eq!(window.lag(&place), Lag::default());
    }

    #[test]
    fn what_was_withdrawn_is_no_lag() {
        let start = Instant::now();
        let mut window = window(start);
        let place = window.enter(Verdict::Fresh);
        for tag in [1, 2] {
            window.push(Bytes::from(vec![b'.'; 10]), start);
            window.note_opening(tag);
        }
        window.withdraw(1);
        assert_eq!(window.lag(&place), Lag { events: 1, bytes: 10, past_low: false });
    }
}
