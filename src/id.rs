//! The words for a place in a stream: [`Generation`], [`Position`], and what a client [`Asked`] for.
//!
//! An id of ours is `r<generation>-<seq>`: the generation in base 32 (digits, then `a` to `v`, so that text
//! sorts as numbers do) of a fixed length for each kind, `seq` in decimal without leading zeros. Nothing else
//! has this form: no counter, UUID, ULID or Redis id starts with `r` and has its dash in the 15th or 26th place.

use std::fmt;

use bytes::Bytes;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// 64 bits in base 32.
const SHARED_DIGITS: usize = 13;
/// 120 bits in base 32.
const SESSION_DIGITS: usize = 24;
/// The lower bits of a session's generation, which count its runs.
const RUNS: u128 = (1 << 24) - 1;

/// One unbroken run of a stream. Continuity is proven within a generation, never across two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Generation {
    /// Of a shared stream: 42 bits of milliseconds, then 22 random ones, so that later ones sort after earlier
    /// ones. It names no secret: a shared stream is asked for permission each time.
    Shared(u64),
    /// Of a session: 96 random bits that name it, then 24 that count its runs. It cannot be guessed, and is honoured
    /// for the session's own key only.
    Session(u128),
}

impl Generation {
    /// The generation of a shared stream that begins `millis` after the Unix epoch; `random` should come from a
    /// good source. Never equal to or before `after`, even when the clock was set back.
    #[must_use]
    pub fn shared(millis: u64, random: u32, after: Option<Self>) -> Self {
        let drawn = (millis << 22) | u64::from(random >> 10);
        match after {
            Some(Self::Shared(last)) => Self::Shared(drawn.max(last.saturating_add(1))),
            _ => Self::Shared(drawn),
        }
    }

    /// The first run of a session; `random` must come from a cryptographic source, 96 bits of it are kept.
    #[must_use]
    pub fn session(random: u128) -> Self {
        Self::Session((random >> 32) * (RUNS + 1))
    }

    /// What all runs of a session have in common: its first one. A shared stream's generation is a name of its own.
    #[must_use]
    pub fn name(self) -> Self {
        match self {
            Self::Session(bits) => Self::Session(bits & !RUNS),
            shared @ Self::Shared(_) => shared,
        }
    }

    /// The next run of the same session. There are 2^24 before one comes again, which is longer than a client is away.
    /// Those of a shared stream are drawn.
    #[must_use]
    pub fn next_run(self) -> Self {
        match self {
            Self::Session(bits) => Self::Session((bits & !RUNS) | (bits.wrapping_add(1) & RUNS)),
            Self::Shared(bits) => Self::Shared(bits.saturating_add(1)),
        }
    }

    /// A few digits of it, to tell it from others on a screen: of a session's too few to be one, and how many runs it
    /// has had.
    #[must_use]
    pub fn short(self) -> String {
        let text = self.to_string();
        match self {
            Self::Shared(_) => text.chars().skip(SHARED_DIGITS - 6).collect(),
            Self::Session(bits) => {
                let digits: String = text.chars().take(6).collect();
                if bits & RUNS == 0 { digits } else { format!("{digits}+{}", bits & RUNS) }
            }
        }
    }

    fn parts(self) -> (u128, usize) {
        match self {
            Self::Shared(bits) => (u128::from(bits), SHARED_DIGITS),
            Self::Session(bits) => (bits, SESSION_DIGITS),
        }
    }

    fn parse(digits: &[u8]) -> Option<Self> {
        let mut bits: u128 = 0;
        for digit in digits {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'v' => digit - b'a' + 10,
                _ => return None,
            };
            bits = (bits << 5) | u128::from(value);
        }
        match digits.len() {
            SHARED_DIGITS => u64::try_from(bits).ok().map(Self::Shared),
            SESSION_DIGITS => Some(Self::Session(bits)),
            _ => None,
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bits, digits) = self.parts();
        for place in (0..digits).rev() {
            let digit = ALPHABET.get((bits >> (5 * place)) as usize & 31).copied().unwrap_or_default();
            fmt::Write::write_char(f, char::from(digit))?;
        }
        Ok(())
    }
}

/// A place in a stream: the event `seq` of a generation, or before all of them where `seq` is 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Position {
    /// The unbroken run that `seq` counts in.
    pub generation: Generation,
    /// Rises by one for each retained event; the first is 1.
    pub seq: u64,
}

impl Position {
    /// Reads an id of our form; anything that deviates in one byte is somebody else's and gives `None`.
    #[must_use]
    pub fn parse(id: &[u8]) -> Option<Self> {
        let rest = id.strip_prefix(b"r")?;
        let mut parts = rest.splitn(2, |&b| b == b'-');
        let (digits, seq) = (parts.next()?, parts.next()?);
        let canonical = seq == b"0" || (seq.first().is_some_and(|&b| b != b'0') && seq.len() <= 20);
        if !canonical || !seq.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let seq = std::str::from_utf8(seq).ok()?.parse().ok()?;
        Some(Self { generation: Generation::parse(digits)?, seq })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}-{}", self.generation, self.seq)
    }
}

/// What a client that connects asks to be given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// No id: a client that begins.
    Nothing,
    /// An id of our form.
    Ours(Position),
    /// Any other id: opaque bytes, the upstream's perhaps.
    Foreign(Bytes),
}

impl Asked {
    /// Tells an id by its form; an empty one is none.
    #[must_use]
    pub fn by(id: &[u8]) -> Self {
        match Position::parse(id) {
            _ if id.is_empty() => Self::Nothing,
            Some(position) => Self::Ours(position),
            None => Self::Foreign(Bytes::copy_from_slice(id)),
        }
    }

    /// The place that it asks for, if that is one of ours.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Ours(position) => Some(*position),
            Self::Nothing | Self::Foreign(_) => None,
        }
    }

    /// The id as it may stand in a line of a stream, if it may.
    #[must_use]
    pub fn text(&self) -> Option<Bytes> {
        match self {
            Self::Nothing => None,
            Self::Ours(position) => Some(position.to_string().into()),
            Self::Foreign(id) => {
                let id = id.slice_ref(id.trim_ascii());
                (!id.iter().any(|byte| matches!(byte, b'\0' | b'\r' | b'\n'))).then_some(id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_reads_back_as_what_was_written() {
        for generation in
            [Generation::Shared(0), Generation::Shared(u64::MAX), Generation::session(u128::MAX)]
        {
            for seq in [0, 1, 9, 10, u64::MAX] {
                let position = Position { generation, seq };
                let text = position.to_string();
                assert_eq!(Position::parse(text.as_bytes()), Some(position), "{text}");
                assert!(text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            }
        }
    }

    #[test]
    fn what_is_not_exactly_our_form_is_foreign() {
        let ours = Position { generation: Generation::Shared(7), seq: 12 }.to_string();
        let long = Position { generation: Generation::session(7), seq: 12 }.to_string();
        for id in [
            "12",
            "r-1",
            "r12-1",
            "rr-1",
            "1700000000000-0",
            "01J9ZC3V0M6N5Q4R3S2T1V0W9X",
            "r0000000000007-12",
            "550e8400-e29b-41d4-a716-446655440000",
            "r000000000000w-1",
            "r0000000000007-",
            &ours.replace("-12", "-012"),
            &ours.replace("-12", "--12"),
            &ours.replace("-12", "-+12"),
            &ours.replace("-12", "-99999999999999999999"),
            &format!("{ours} "),
            &ours.to_uppercase(),
            &long.replace("r0", "r"),
            &format!("{ours}\0"),
        ] {
            let canonical = Position::parse(id.as_bytes()).map(|p| p.to_string());
            assert!(
                canonical.is_none() || canonical.as_deref() == Some(id),
                "{id} was read as {canonical:?}"
            );
        }
        assert_eq!(Asked::by(b""), Asked::Nothing);
        assert_eq!([b"", &b"12"[..]].map(|id| Asked::by(id).position()), [None, None]);
        assert_eq!(Asked::by(ours.as_bytes()).position(), Position::parse(ours.as_bytes()));
        assert!(matches!(Asked::by(b"12"), Asked::Foreign(id) if id == "12"));
        // Sixty-five bits do not fit a shared generation.
        assert_eq!(Position::parse(b"rg000000000000-1"), None);
    }

    #[test]
    fn later_generations_sort_after_earlier_ones() {
        let first = Generation::shared(1_700_000_000_000, u32::MAX, None);
        let second = Generation::shared(1_700_000_000_001, 0, Some(first));
        let clock_set_back = Generation::shared(1_600_000_000_000, 0, Some(second));
        assert!(first < second && second < clock_set_back);
        assert!(first.to_string() < second.to_string() && second.to_string() < clock_set_back.to_string());
    }

    #[test]
    fn a_shared_generation_is_42_bits_of_milliseconds_and_22_random_ones() {
        for (millis, random, after, expected) in [
            (0, 0, None, 0),
            (1, 0, None, 1 << 22),
            (0, u32::MAX, None, (1 << 22) - 1),
            (0, 1 << 10, None, 1),
            (3, (1 << 10) - 1, None, 3 << 22),
            (3, 7 << 10, Some(3 << 22), 3 << 22 | 7),
            (3, 7 << 10, Some(3 << 22 | 7), 3 << 22 | 8),
            (3, 7 << 10, Some(9 << 22), 9 << 22 | 1),
        ] {
            let drawn = Generation::shared(millis, random, after.map(Generation::Shared));
            assert_eq!(drawn, Generation::Shared(expected), "{millis} {random} {after:?}");
        }
        let session = Some(Generation::Session(u128::MAX));
        assert_eq!(Generation::shared(1, 0, session), Generation::Shared(1 << 22));
        assert_eq!(Generation::Shared(7).next_run(), Generation::Shared(8));
    }

    #[test]
    fn the_runs_of_a_session_share_its_name_and_nothing_else_does() {
        let first = Generation::session(7 << 32 | 5);
        assert_eq!(first, Generation::Session(7 << 24), "the lower bits are the count's");
        assert_eq!(first.name(), first);
        let second = first.next_run();
        assert!(first < second && second < second.next_run());
        assert_eq!((second.name(), second.next_run().name()), (first, first));
        assert_eq!(
            Generation::Session(7 << 24 | RUNS).next_run(),
            first,
            "the name stays, whatever the count"
        );
        let other = Generation::session(8 << 32);
        assert_ne!(other.name(), first.name());
        assert_eq!(Generation::Shared(7).name(), Generation::Shared(7));
    }

    #[test]
    fn a_short_name_tells_the_run_and_is_too_little_to_be_the_whole() {
        let first = Generation::session(u128::MAX);
        let digits: String = first.to_string().chars().take(6).collect();
        assert_eq!(first.short(), digits);
        assert_eq!(first.next_run().next_run().short(), format!("{digits}+2"));
        let shared = Generation::Shared(u64::MAX / 3);
        assert_eq!(shared.short().len(), 6);
        assert!(shared.to_string().ends_with(&shared.short()));
    }

    #[test]
    fn what_was_asked_for_may_stand_in_a_line_if_it_is_one() {
        let ours = Position { generation: Generation::Shared(7), seq: 12 }.to_string();
        for (asked, text) in [
            (&b""[..], None),
            (ours.as_bytes(), Some(ours.as_bytes())),
            (b"12", Some(&b"12"[..])),
            (b" 12\t", Some(b"12")),
            (b"1 2", Some(b"1 2")),
            (b"1\n2", None),
            (b"1\r2", None),
            (b"1\x002", None),
            (b"\xff", Some(b"\xff")),
        ] {
            assert_eq!(Asked::by(asked).text().as_deref(), text, "{asked:?}");
        }
    }

    proptest! {
        #[test]
        fn only_canonical_text_is_read(id in "r[0-9a-v]{12,25}-[0-9]{1,21}") {
            if let Some(position) = Position::parse(id.as_bytes()) {
                prop_assert_eq!(position.to_string(), id);
            }
        }
    }
}
