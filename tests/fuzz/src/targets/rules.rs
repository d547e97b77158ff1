//! Rules over frames: what an event is, and what guards drop, as a naive reader of the same rules has it.

use std::time::{Duration, Instant};

use respool::{
    rules::{Class, Closed, Globs, Guard, Kind, Rules},
    sse::Splitter,
};

const RESET: [&str; 2] = ["gone*", "a.*.c"];
const EPHEMERAL: [&str; 2] = ["beat", "*.tick"];
const OPEN: [&str; 1] = ["q.asked*"];
const CLOSE: [&str; 2] = ["q.answered", "q.re*"];
const TTL: u64 = 5;

/// The first byte says where types stand and what the rules are; the rest is a stream, an event a second.
pub fn run(input: &[u8]) {
    let Some((&first, stream)) = input.split_first() else { return };
    let rules = rules(first);
    let (mut closed, mut twin) = (Closed::default(), Vec::new());
    let (start, mut seconds) = (Instant::now(), 0);
    let mut splitter = Splitter::new(1 << 20);
    let _ = splitter.feed(stream, |frame| {
        if !frame.is_event() {
            return;
        }
        seconds += 1;
        let now = start + Duration::from_secs(seconds);
        let data = String::from_utf8_lossy(&frame.data()).into_owned();
        let kind = rules.kind(&frame);
        assert_eq!(kind.as_deref(), kind_of(&rules, frame.event(), &frame.data()).as_deref(), "{data:?}");
        assert_eq!(rules.class(kind.as_deref()), class(first, kind.as_deref()), "{kind:?}");
        let Some(kind) = kind else { return };
        let said = closed.read(&rules.guards, &kind, &frame);
        let keys = key(&frame.data());
        let (closes, opens) = (is_one(&CLOSE, &kind), is_one(&OPEN, &kind));
        assert_eq!(said.is_some(), keys.is_some() && (closes || opens) && first & 4 != 0, "{kind} {data:?}");
        let (Some(said), Some(keys)) = (said, keys) else { return };
        let is_closed = twin.iter().any(|(known, until)| *known == keys && *until > seconds);
        assert_eq!(closed.is_stale(&said, now), !closes && is_closed, "{kind} {data:?} at {seconds}");
        if closes {
            closed.close(&rules.guards, &said, now);
            twin.push((keys, seconds + TTL));
        }
        closed.prune(now);
    });
}

fn rules(first: u8) -> Rules {
    let globs = |set: &[&str]| Globs::new(set.iter().copied()).expect("globs");
    let key = vec!["/id".parse().expect("a pointer"), "/of/1".parse().expect("a pointer")];
    let guard = Guard {
        open: globs(&OPEN),
        close: globs(&CLOSE),
        open_key: key.clone(),
        close_key: key,
        ttl: Duration::from_secs(TTL),
    };
    Rules {
        kind: if first & 1 == 0 { Kind::Event } else { Kind::Data("/type".parse().expect("a pointer")) },
        reset: Some(globs(&RESET)),
        ephemeral: (first & 2 != 0).then(|| globs(&EPHEMERAL)),
        guards: if first & 4 != 0 { vec![guard] } else { Vec::new() },
        retain: (first & 8 != 0).then(|| globs(&["a*", "message", "q*"])),
        ..Rules::default()
    }
}

/// The type by what is written; of data that is no whole JSON object, or says a name twice, what is found is taken.
fn kind_of(rules: &Rules, event: Option<&[u8]>, data: &[u8]) -> Option<String> {
    match &rules.kind {
        Kind::Event => Some(match event {
            Some(event) if !event.is_empty() => String::from_utf8_lossy(event).into_owned(),
            _ => "message".to_owned(),
        }),
        Kind::Data(pointer) => pointer.find(data),
    }
}

fn class(first: u8, kind: Option<&str>) -> Class {
    let Some(kind) = kind else { return Class::Retained };
    let ephemeral = first & 2 != 0 && is_one(&EPHEMERAL, kind);
    let left_out = first & 8 != 0 && !is_one(&["a*", "message", "q*"], kind);
    match () {
        () if is_one(&RESET, kind) => Class::Reset,
        () if ephemeral || left_out => Class::Ephemeral,
        () => Class::Retained,
    }
}

fn key(data: &[u8]) -> Option<(String, String)> {
    let find = |pointer: &str| pointer.parse::<respool::rules::Pointer>().ok()?.find(data);
    Some((find("/id")?, find("/of/1")?))
}

/// A type is one of these, in which a star stands for anything.
fn is_one(globs: &[&str], kind: &str) -> bool {
    globs.iter().any(|glob| {
        let mut parts = glob.split('*');
        let Some(start) = parts.next() else { return false };
        let Some(mut rest) = kind.strip_prefix(start) else { return false };
        let parts: Vec<_> = parts.collect();
        let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
        for part in middle {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    })
}
