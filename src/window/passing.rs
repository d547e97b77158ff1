//! Control frames and ephemeral events: at their place in the log, for the cursors that were there.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

/// How many are kept for a cursor that is behind, and what they may cost.
const COUNT: usize = 64;
const BYTES: usize = 64 << 10;
/// What one costs beside its bytes: its place in the list, its allocation.
const COST: usize = size_of::<Frame>() + 32;

/// A frame that is delivered live and never again.
#[derive(Clone, Debug)]
pub struct Passed {
    /// As it is sent.
    pub bytes: Bytes,
    /// What of it those get who stumble over frames without data: part of the same bytes, or nothing.
    pub quiet: Range<usize>,
    /// It carries an id of ours, by which whoever has it can come back.
    pub ours: bool,
}

impl From<Bytes> for Passed {
    /// One over which nobody stumbles, without an id of ours.
    fn from(bytes: Bytes) -> Self {
        Self { quiet: 0..bytes.len(), bytes, ours: false }
    }
}

/// Frames that are delivered live and never again.
#[derive(Debug, Default)]
pub(super) struct Passing {
    frames: VecDeque<Frame>,
    /// The ordinal of the first one in `frames`.
    first: u64,
    cost: usize,
}

#[derive(Debug)]
struct Frame {
    /// The tail when it came: it stands behind the event of this number.
    after: u64,
    passed: Passed,
}

impl Passing {
    /// Adds a frame behind the event `after`. Beyond the bounds the oldest go, but none from `unread` on.
    pub(super) fn push(&mut self, after: u64, passed: Passed, unread: u64) {
        let frame = Frame { after, passed };
        self.cost += frame.cost();
        self.frames.push_back(frame);
        while (self.frames.len() > COUNT || self.cost > BYTES) && self.frames.len() > 1 && self.first < unread
        {
            self.drop_first();
        }
    }

    /// The ordinal that the next one will have.
    pub(super) fn next(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    /// The next one at or after `ordinal`: its own ordinal, and the event that it stands behind.
    pub(super) fn peek(&self, ordinal: u64) -> Option<(u64, u64)> {
        let ordinal = ordinal.max(self.first);
        let at = usize::try_from(ordinal - self.first).ok()?;
        self.frames.get(at).map(|frame| (ordinal, frame.after))
    }

    /// What of it there is for a client, which may stumble.
    pub(super) fn get(&self, ordinal: u64, stumbles: bool) -> Bytes {
        let at = ordinal.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let frame = at.and_then(|at| self.frames.get(at));
        frame.map_or_else(Bytes::new, |Frame { passed, .. }| match stumbles {
            true => passed.bytes.slice(passed.quiet.clone()),
            false => passed.bytes.clone(),
        })
    }

    /// It carries an id of ours.
    pub(super) fn is_ours(&self, ordinal: u64) -> bool {
        let at = ordinal.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.frames.get(at)).is_some_and(|frame| frame.passed.ours)
    }

    /// What those cost that stand at or after `ordinal`.
    pub(super) fn unread(&self, ordinal: u64) -> usize {
        let skip = usize::try_from(ordinal.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.frames.iter().skip(skip).map(Frame::cost).sum()
    }

    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Nobody is left to read them.
    pub(super) fn clear(&mut self) {
        self.first = self.next();
        self.frames = VecDeque::new();
        self.cost = 0;
    }

    fn drop_first(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.first += 1;
            self.cost -= frame.cost();
        }
    }
}

impl Frame {
    fn cost(&self) -> usize {
        COST + self.passed.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of these sizes, each behind the event of its ordinal.
    fn passing(sizes: &[usize], unread: u64) -> Passing {
        let mut passing = Passing::default();
        for (after, &size) in sizes.iter().enumerate() {
            passing.push(after as u64, Bytes::from(vec![b':'; size]).into(), unread);
        }
        passing
    }

    #[test]
    fn so_many_are_kept_and_so_many_bytes_and_one_at_the_least() {
        let half = BYTES / 2 - COST;
        for (sizes, unread, first) in [
            (&[1; COUNT][..], u64::MAX, 0),
            (&[1; COUNT + 1], u64::MAX, 1),
            (&[1; COUNT + 9], u64::MAX, 9),
            (&[half, half], u64::MAX, 0),
            (&[half, half + 1], u64::MAX, 1),
            (&[BYTES], u64::MAX, 0),
            (&[BYTES, 1], u64::MAX, 1),
            // None goes that the client has not read for whom they are kept.
            (&[1; COUNT + 9], 0, 0),
            (&[1; COUNT + 9], 3, 3),
            (&[half; 5], 2, 2),
        ] {
            let passing = passing(sizes, unread);
            let left = sizes.get(first as usize..).unwrap();
            assert_eq!(passing.peek(0), Some((first, first)), "{} {unread}", sizes.len());
            assert_eq!(passing.next(), sizes.len() as u64);
            assert_eq!(passing.cost(), left.iter().map(|size| COST + size).sum::<usize>());
        }
    }

    #[test]
    fn each_is_found_by_its_ordinal_as_long_as_it_is_here() {
        let mut passing = passing(&[1; COUNT + 2], u64::MAX);
        passing.push(
            70,
            Passed { bytes: Bytes::from_static(b"id: 7\n\n"), quiet: 0..6, ours: true },
            u64::MAX,
        );
        let last = passing.next() - 1;
        assert_eq!(
            [0, 3, 4, last, last + 1].map(|ordinal| passing.peek(ordinal).map(|(own, _)| own)),
            [Some(3), Some(3), Some(4), Some(last), None]
        );
        assert_eq!(passing.peek(last), Some((last, 70)));
        assert_eq!(
            (passing.get(last, false), passing.get(last, true)),
            ("id: 7\n\n".into(), "id: 7\n".into())
        );
        assert_eq!([2, 3, last, last + 1].map(|ordinal| passing.get(ordinal, false).len()), [0, 1, 7, 0]);
        assert_eq!(
            [2, 3, last, last + 1].map(|ordinal| passing.is_ours(ordinal)),
            [false, false, true, false]
        );
        let (one, all) = (COST + 7, passing.cost());
        assert_eq!(
            [0, 3, 4, last, last + 1].map(|ordinal| passing.unread(ordinal)),
            [all, all, all - COST - 1, one, 0]
        );
        passing.clear();
        assert_eq!((passing.peek(0), passing.next(), passing.cost()), (None, last + 1, 0));
        passing.push(71, Bytes::from_static(b":").into(), u64::MAX);
        assert_eq!(passing.peek(0), Some((last + 1, 71)));
    }
}
