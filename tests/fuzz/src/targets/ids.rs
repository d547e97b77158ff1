//! Ids: what we write is read back, what is read is what we would write, and nothing else is ours.

use http::{HeaderMap, HeaderValue};
use respool::{
    head,
    id::{Asked, Generation, Position},
};

/// Any bytes as an id, as the lines of a request, and as the numbers of a position.
pub fn run(input: &[u8]) {
    let read = Position::parse(input);
    assert_eq!(read.is_some(), is_ours(input), "{input:?} was read as {read:?}");
    if let Some(position) = read {
        assert_eq!(position.to_string().as_bytes(), input, "there is one way to write it");
    }
    by_its_form(input, read);
    by_lines(input);
    if let Some((numbers, _)) = input.split_first_chunk::<24>() {
        written(numbers);
    }
}

/// The form as the documentation has it, one thing after the other.
fn is_ours(id: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(id) else { return false };
    let Some((generation, seq)) = text.strip_prefix('r').and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    let has_digits = generation.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'v').contains(&b));
    // Sixty-four bits: the first of thirteen digits of five bits has four.
    let fits = generation.len() == 24 || generation.len() == 13 && generation.as_bytes()[0] <= b'f';
    let counts = seq.parse::<u64>().is_ok_and(|number| number.to_string() == seq);
    has_digits && fits && counts
}

fn by_its_form(input: &[u8], read: Option<Position>) {
    let asked = Asked::by(input);
    match &asked {
        Asked::Nothing => assert!(input.is_empty()),
        Asked::Ours(position) => assert_eq!(Some(*position), read),
        Asked::Foreign(id) => assert!(id == input && read.is_none() && !input.is_empty()),
    }
    assert_eq!(asked.position(), read);
    if let Some(line) = asked.text() {
        assert!(!line.iter().any(|b| matches!(b, b'\0' | b'\r' | b'\n')), "it stays within its line");
        assert!(asked.position().is_none() || line == input);
        assert_eq!(line, input.trim_ascii());
    }
}

/// The last line that is not empty counts.
fn by_lines(input: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut last = None;
    for line in input.split(|&b| b == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { continue };
        last = if line.is_empty() { last } else { Some(line) };
        headers.append("last-event-id", value);
    }
    assert_eq!(head::asked(&headers), last.map_or(Asked::Nothing, Asked::by));
}

fn written(numbers: &[u8; 24]) {
    let bits = u128::from_be_bytes(numbers[..16].try_into().unwrap());
    let seq = u64::from_be_bytes(numbers[16..].try_into().unwrap());
    let (session, shared) = (Generation::session(bits), Generation::Shared(bits as u64));
    let drawn = Generation::shared((bits >> 64) as u64 & ((1 << 42) - 1), bits as u32, Some(shared));
    for generation in [session, session.next_run(), shared, drawn] {
        let position = Position { generation, seq };
        let text = position.to_string();
        assert!(is_ours(text.as_bytes()), "{text}");
        assert_eq!(Position::parse(text.as_bytes()), Some(position), "{text}");
    }
    assert!(drawn > shared || shared == Generation::Shared(u64::MAX), "later ones sort after");
    assert_eq!((session.next_run().name(), session.name()), (session, session));
    assert_ne!(session.next_run(), session);
}
