//! The format against its naive twin, on streams that are made of the hard things, in any chunking.

use proptest::prelude::*;
use respool::sse::{Splitter, TooLong, stamp};

use crate::support::reader::{self, Event, Held};

const CASES: u32 = 2000;
/// More than any stream here is long.
const ROOMY: usize = 1 << 20;
/// An id that no stream here can contain.
const UNSET: &str = "none yet";

/// A piece as the splitter gave it out, and what it says of it.
#[derive(Clone, Debug)]
struct Piece {
    bytes: Vec<u8>,
    stamped: Vec<u8>,
    is_event: bool,
    id: Option<String>,
    retry: Option<u64>,
}

/// What is stamped on the events of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ids {
    /// Ours on every event.
    All,
    /// Ours until the upstream sends one of its own.
    Keep,
}

fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<Piece>, Result<(), TooLong>) {
    split_with(chunks, limit, Ids::All)
}

fn split_with<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    limit: usize,
    ids: Ids,
) -> (Vec<Piece>, Result<(), TooLong>) {
    let (mut splitter, mut pieces) = (Splitter::new(limit), Vec::new());
    let (mut events, mut theirs) = (0, false);
    for chunk in chunks {
        let fed = splitter.feed(chunk, |frame| {
            events += u64::from(frame.is_event());
            theirs |= ids == Ids::Keep && frame.id().is_some_and(|id| !id.is_empty());
            let given = (frame.is_event() && !theirs).then(|| ours(events).into_bytes());
            let mut stamped = Vec::new();
            stamp(&frame, true, given.as_deref(), &mut stamped);
            pieces.push(Piece {
                bytes: frame.bytes().to_vec(),
                stamped,
                is_event: frame.is_event(),
                id: frame.id().map(|id| String::from_utf8_lossy(id).into_owned()),
                retry: frame.retry().and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()),
            });
        });
        if fed.is_err() {
            return (pieces, fed);
        }
        assert!(splitter.held() <= limit, "it holds {} bytes of at most {limit}", splitter.held());
    }
    (pieces, Ok(()))
}

/// The id that the event of this number is given.
fn ours(event: u64) -> String {
    format!("r-{event}")
}

fn joined(pieces: &[Piece]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| piece.bytes.clone()).collect()
}

/// What a client sends in the middle of a stream is read as such: a byte order mark there is none.
fn read_within(bytes: &[u8], id: &str) -> Held {
    reader::read(&[b"\n", bytes].concat(), id)
}

fn pairs(events: &[Event]) -> Vec<(&str, &str)> {
    events.iter().map(|event| (event.kind.as_str(), event.data.as_str())).collect()
}

/// What streams are made of: more line ends and fields than anything else, each in every way to write it badly.
fn token() -> impl Strategy<Value = &'static [u8]> {
    let ends: &[&[u8]] = &[b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\r\n\r"];
    let fields: &[&[u8]] = &[
        b"data",
        b"data:",
        b"data: ",
        b"data: a\n",
        b"id",
        b"id:",
        b"id: 7",
        b"id: 8\r\n",
        b"id: 9\0",
        b"event: x",
        b"event",
        b"retry: 12",
        b"retry:",
        b"retry: 1x",
        b": c\n",
        b": c\r",
        b"Data: a",
        b" data: a",
        b"datum",
        b"data: whole\n\n",
        b"data: whole\r\n\r\n",
    ];
    let bytes: &[&[u8]] = &[
        b":",
        b" ",
        b"\0",
        b"\xEF\xBB\xBF",
        b"\xEF",
        b"\xEF\xBB",
        b"\xFF",
        b"\xC3\xA4",
        b"\xF0\x9F\x98",
        b"x",
        b"1",
    ];
    let one_of = |of: &[&'static [u8]]| proptest::sample::select(of.to_vec());
    prop_oneof![4 => one_of(ends), 5 => one_of(fields), 2 => one_of(bytes)]
}

/// A stream of up to so many tokens, often with a byte order mark.
fn stream(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let start = proptest::sample::select(vec![&b""[..], b"", b"\xEF\xBB\xBF", b"\xEF\xBB\xBF\xEF\xBB\xBF"]);
    (start, proptest::collection::vec(token(), 0..most))
        .prop_map(|(start, tokens)| [start, &tokens.concat()].concat())
}

/// Where to cut: sizes of chunks, over and over.
fn chunking() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), proptest::collection::vec(1..12_usize, 1..8)]
}

fn chunks<'a>(mut bytes: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let (chunk, rest) = bytes.split_at((*sizes.next()?).min(bytes.len()));
        bytes = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Something is complete in what was left over: a frame, or a comment before any field.
fn has_a_piece(left: &[u8]) -> bool {
    // A CR at the very end may wait for its LF.
    let left = left.strip_suffix(b"\r").unwrap_or(left);
    let text = String::from_utf8_lossy(left).replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<_> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
    lines.contains(&"\n") || lines.first().is_some_and(|line| line.starts_with(':'))
}

fn settings() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn pieces_are_the_stream_less_its_mark_and_half_a_frame(stream in stream(40), sizes in chunking()) {
        let (pieces, fed) = split(chunks(&stream, &sizes), ROOMY);
        prop_assert_eq!(fed, Ok(()));
        let unmarked = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&stream);
        let whole = joined(&pieces);
        prop_assert!(unmarked.starts_with(&whole), "nothing is added, lost or moved");
        let left = &unmarked[whole.len()..];
        prop_assert!(!has_a_piece(left), "what is complete is not held: {:?}", left.escape_ascii().to_string());
        prop_assert_eq!(joined(&split([&stream[..]], ROOMY).0), whole, "however it was cut");
    }

    #[test]
    fn what_is_said_of_a_frame_is_what_a_client_makes_of_it(stream in stream(40), sizes in chunking()) {
        let (pieces, _) = split(chunks(&stream, &sizes), ROOMY);
        let (mut id, mut retry, mut events) = (String::new(), None, Vec::new());
        for piece in &pieces {
            let alone = read_within(&piece.bytes, UNSET);
            prop_assert!(alone.events.len() <= 1, "a piece is one event at most: {:?}", piece);
            prop_assert_eq!(piece.is_event, alone.events.len() == 1, "{:?}", piece);
            prop_assert_eq!(piece.id.as_deref().unwrap_or(UNSET), alone.id, "{:?}", piece);
            prop_assert_eq!(piece.retry, alone.retry, "{:?}", piece);
            let next = read_within(&piece.bytes, &id);
            (id, retry) = (next.id, next.retry.or(retry));
            events.extend(next.events);
        }
        // All of it, as a client reads it in one go; but that a CR at the very end may still wait for its LF.
        let whole = read_within(&joined(&pieces), "");
        prop_assert_eq!(&events, &whole.events);
        prop_assert_eq!((id, retry), (whole.id, whole.retry));
        let sent = reader::read(&stream, "").events;
        let waits = stream.ends_with(b"\r") && sent.len() == events.len() + 1;
        prop_assert!(sent == events || waits && sent.starts_with(&events));
    }

    #[test]
    fn a_stamped_stream_says_the_same_with_ids_of_ours(stream in stream(40), sizes in chunking()) {
        let (pieces, _) = split(chunks(&stream, &sizes), ROOMY);
        let stamped: Vec<u8> = pieces.iter().flat_map(|piece| piece.stamped.clone()).collect();
        let (sent, got) = (read_within(&joined(&pieces), ""), read_within(&stamped, ""));
        prop_assert_eq!(pairs(&got.events), pairs(&sent.events));
        prop_assert_eq!(got.retry, sent.retry);
        for (event, number) in got.events.iter().zip(1..) {
            prop_assert_eq!(&event.id, &ours(number));
        }
    }

    #[test]
    fn nothing_but_ids_is_between_an_id_and_the_blank_line(stream in stream(40), sizes in chunking()) {
        for ids in [Ids::All, Ids::Keep] {
            for piece in split_with(chunks(&stream, &sizes), ROOMY, ids).0 {
                let lines: Vec<_> = piece.stamped.split(|byte| matches!(byte, b'\r' | b'\n')).collect();
                let is_id = |line: &&[u8]| *line == b"id" || line.starts_with(b"id:");
                let after = lines.iter().skip_while(|line| !is_id(line));
                let is_last = after.clone().all(|line| line.is_empty() || is_id(line));
                prop_assert!(is_last, "torn, it has an id before its event: {:?}", piece.stamped.escape_ascii().to_string());
            }
        }
    }

    #[test]
    fn in_keep_mode_ours_end_where_the_upstreams_begin(stream in stream(40), sizes in chunking()) {
        let (pieces, _) = split_with(chunks(&stream, &sizes), ROOMY, Ids::Keep);
        let stamped: Vec<u8> = pieces.iter().flat_map(|piece| piece.stamped.clone()).collect();
        let (sent, got) = (read_within(&joined(&pieces), "").events, read_within(&stamped, "").events);
        let theirs = pieces.iter().position(|piece| piece.id.as_ref().is_some_and(|id| !id.is_empty()));
        let before = pieces[..theirs.unwrap_or(pieces.len())].iter().filter(|piece| piece.is_event).count();
        prop_assert_eq!(pairs(&got), pairs(&sent));
        for (event, number) in got[..before].iter().zip(1..) {
            prop_assert_eq!(&event.id, &ours(number));
        }
        prop_assert_eq!(&got[before..], &sent[before..], "from then on as without us, ids too");
    }

    #[test]
    fn a_torn_stamped_stream_leaves_no_id_without_its_event(stream in stream(24), sizes in chunking()) {
        let (pieces, _) = split(chunks(&stream, &sizes), ROOMY);
        let stamped: Vec<u8> = pieces.iter().flat_map(|piece| piece.stamped.clone()).collect();
        let whole = read_within(&stamped, "").events;
        for cut in 0..=stamped.len() {
            let torn = &stamped[..cut];
            let held = read_within(torn, "");
            prop_assert!(whole.starts_with(&held.events), "cut at {}", cut);
            prop_assert!(!held.id.starts_with("r-") || held.id == ours(held.events.len() as u64), "cut at {}", cut);
            // A client that is hasty takes the lines that it has for a frame. An id is not before its event even then.
            let lines = torn.iter().rposition(|b| matches!(b, b'\r' | b'\n')).map_or(0, |end| end + 1);
            let hasty = read_within(&[&torn[..lines], b"\n\n"].concat(), "");
            let has = hasty.id.strip_prefix("r-").map_or(0, |number| number.parse().unwrap());
            let has_whole = hasty.events.len() >= has && pairs(&hasty.events[..has]) == pairs(&whole[..has]);
            prop_assert!(has_whole, "cut at {}: {:?}", cut, hasty);
        }
    }

    #[test]
    fn no_more_is_held_than_the_limit_and_what_is_refused_is_longer(
        stream in stream(40),
        sizes in chunking(),
        limit in 4..48_usize,
    ) {
        let (pieces, fed) = split(chunks(&stream, &sizes), limit);
        let (roomy, _) = split(chunks(&stream, &sizes), ROOMY);
        let unmarked = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&stream);
        prop_assert!(joined(&roomy).starts_with(&joined(&pieces)));
        prop_assert!(pieces.iter().all(|piece| piece.bytes.len() <= limit));
        match fed {
            Ok(()) => prop_assert_eq!(joined(&roomy), joined(&pieces)),
            Err(refused) => {
                prop_assert_eq!(refused, TooLong { limit });
                prop_assert!(is_too_long(&unmarked[joined(&pieces).len()..], limit));
            }
        }
    }
}

/// The frame, or comment line, at the start is longer than the limit.
fn is_too_long(rest: &[u8], limit: usize) -> bool {
    let within = [b"\n", rest].concat();
    let (alone, _) = split(within.chunks(1), ROOMY);
    let length = alone.get(1).map_or(rest.len(), |first| first.bytes.len());
    // An LF that comes with its CR belongs to the frame; one that comes later does not.
    let late = rest[..length].ends_with(b"\r") && rest[length..].starts_with(b"\n");
    length + usize::from(late) > limit
}
