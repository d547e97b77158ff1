//! A stream, cut anywhere: the same frames as of the whole, which a naive reader understands as it does the stream, with
//! and without ids of ours.

use respool::sse::{Splitter, quiet, stamp};

use crate::support::reader::{self, Event, Held};

/// More than any input is long.
const ROOMY: usize = 1 << 20;
const UNSET: &str = "none yet";

/// A piece as it was given out, and what it says of itself.
struct Piece {
    bytes: Vec<u8>,
    stamped: Vec<u8>,
    event: Option<(String, String)>,
    id: Option<String>,
    retry: Option<u64>,
}

/// The first byte is the limit, the second how long chunks are; the rest is a stream.
pub fn run(input: &[u8]) {
    let Some((&[limit, sizes], stream)) = input.split_first_chunk() else { return };
    let unmarked = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let whole = split(&[stream], ROOMY).expect("it is shorter than the limit");
    let cut = split(&chunks(stream, sizes), ROOMY).expect("it is shorter than the limit");
    assert_eq!(joined(&cut), joined(&whole), "the same, however it is cut");
    assert!(unmarked.starts_with(&joined(&whole)), "bytes in are bytes out");
    let frames = |pieces: &[Piece]| pieces.iter().filter_map(|p| p.event.clone()).collect::<Vec<_>>();
    assert_eq!(frames(&cut), frames(&whole), "the same events, however it is cut");
    for pieces in [&whole, &cut] {
        pieces.iter().for_each(says_what_a_client_reads);
        as_a_client_reads_all(stream, pieces);
    }
    bounded(stream, &cut, usize::from(limit) + 4, sizes);
}

fn says_what_a_client_reads(piece: &Piece) {
    let alone = read_within(&piece.bytes, UNSET);
    let events: Vec<_> = alone.events.iter().map(|e| (e.kind.clone(), e.data.clone())).collect();
    assert_eq!(events, piece.event.clone().into_iter().collect::<Vec<_>>());
    assert_eq!(alone.id, piece.id.as_deref().unwrap_or(UNSET));
    assert_eq!(alone.retry, piece.retry);
    if piece.event.is_none() {
        // What is left of it changes nothing of the event that follows.
        let left = &piece.bytes[quiet(&piece.bytes)];
        let next = read_within(&[left, b"data: x\n\n"].concat(), "7");
        let event = Event { kind: "message".into(), data: "x".into(), id: "7".into() };
        assert_eq!((next.events, next.retry), (vec![event], piece.retry));
    }
}

fn as_a_client_reads_all(stream: &[u8], pieces: &[Piece]) {
    let given = read_within(&joined(pieces), "");
    let sent = reader::read(stream, "");
    let waits = stream.ends_with(b"\r") && sent.events.len() == given.events.len() + 1;
    assert!(sent.events == given.events || waits && sent.events.starts_with(&given.events));
    let stamped: Vec<u8> = pieces.iter().flat_map(|piece| piece.stamped.clone()).collect();
    let stamped = read_within(&stamped, "");
    let pairs =
        |held: &Held| held.events.iter().map(|e| (e.kind.clone(), e.data.clone())).collect::<Vec<_>>();
    assert_eq!((pairs(&stamped), stamped.retry), (pairs(&given), given.retry), "ids change nothing else");
    for (event, number) in stamped.events.iter().zip(1..) {
        assert_eq!(event.id, format!("r-{number}"));
    }
}

/// Nothing is held or given out beyond a limit, and what was given out before it is what would have been.
fn bounded(stream: &[u8], roomy: &[Piece], limit: usize, sizes: u8) {
    let (mut splitter, mut out) = (Splitter::new(limit), Vec::new());
    for chunk in chunks(stream, sizes) {
        let fed = splitter.feed(chunk, |frame| {
            assert!(frame.bytes().len() <= limit);
            out.extend_from_slice(frame.bytes());
        });
        assert!(joined(roomy).starts_with(&out));
        if fed.is_err() {
            return;
        }
        assert!(splitter.held() <= limit);
    }
    assert_eq!(out, joined(roomy));
}

fn split(chunks: &[&[u8]], limit: usize) -> Option<Vec<Piece>> {
    let (mut splitter, mut pieces, mut events) = (Splitter::new(limit), Vec::new(), 0);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for chunk in chunks {
        let fed = splitter.feed(chunk, |frame| {
            events += u64::from(frame.is_event());
            let given = frame.is_event().then(|| format!("r-{events}"));
            let mut stamped = Vec::new();
            stamp(&frame, true, given.as_ref().map(String::as_bytes), &mut stamped);
            let kind = frame.event().filter(|kind| !kind.is_empty()).map_or("message".to_owned(), text);
            pieces.push(Piece {
                bytes: frame.bytes().to_vec(),
                stamped,
                event: frame.is_event().then(|| (kind, text(&frame.data()))),
                id: frame.id().map(text),
                retry: frame.retry().and_then(|digits| text(digits).parse().ok()),
            });
        });
        fed.ok()?;
    }
    Some(pieces)
}

/// Chunks of up to fifteen bytes, of two sizes by turns.
fn chunks(mut stream: &[u8], sizes: u8) -> Vec<&[u8]> {
    let sizes = [usize::from(sizes & 15).max(1), usize::from(sizes >> 4).max(1)];
    let mut chunks = Vec::new();
    for size in sizes.into_iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (chunk, rest) = stream.split_at(size.min(stream.len()));
        chunks.push(chunk);
        stream = rest;
    }
    chunks
}

fn joined(pieces: &[Piece]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| piece.bytes.clone()).collect()
}

/// As in the middle of a stream, where there is no byte order mark.
fn read_within(bytes: &[u8], id: &str) -> Held {
    reader::read(&[b"\n", bytes].concat(), id)
}
