//! Whether two windows go on alike.

use bytes::Bytes;

/// The events of a window from one of them on, as they are sent.
#[derive(Clone, Debug, Default)]
pub struct Tail(Vec<Bytes>);

impl Tail {
    pub(super) fn new(pieces: Vec<Bytes>) -> Self {
        Self(pieces)
    }

    /// How many bytes there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// As far as both go they are the same bytes: one of two streams that are the same may be ahead of the other.
    #[must_use]
    pub fn goes_with(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.0.iter(), other.0.iter());
        let (mut one, mut two): (&[u8], &[u8]) = (&[], &[]);
        loop {
            match (one.is_empty(), two.is_empty()) {
                (true, _) => match ours.next() {
                    Some(piece) => one = piece,
                    None => return true,
                },
                (_, true) => match theirs.next() {
                    Some(piece) => two = piece,
                    None => return true,
                },
                (false, false) => {
                    let both = one.len().min(two.len());
                    let (head, other) = (one.split_at(both), two.split_at(both));
                    if head.0 != other.0 {
                        return false;
                    }
                    (one, two) = (head.1, other.1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &[&'static str], two: &[&'static str], alike: bool) {
        let tail = |pieces: &[&'static str]| {
            Tail::new(pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect())
        };
        assert_eq!(tail(one).goes_with(&tail(two)), alike, "{one:?} {two:?}");
        assert_eq!(tail(two).goes_with(&tail(one)), alike, "{two:?} {one:?}");
    }

    #[test]
    fn one_may_be_ahead_and_neither_may_differ() {
        check(&[], &[], true);
        check(&[], &["ab"], true);
        check(&["a", "bc", "", "d"], &["ab", "cd"], true);
        check(&["a", "bc"], &["abcd", "e"], true);
        check(&["a", "bc"], &["ab", "xd"], false);
        check(&["abx"], &["ab", "c"], false);
        check(&["", "x"], &["y"], false);
    }
}
