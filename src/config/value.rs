//! What a written value means, wherever it was written.

use std::{num::NonZeroUsize, time::Duration};

use bytesize::ByteSize;
use http::StatusCode;

use super::fault::{Wrong, wrong};

/// The longest duration that is taken: sums with a clock's now must not overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The shortest heartbeat.
const SHORTEST_HEARTBEAT: Duration = Duration::from_secs(1);
/// Each time is a request to the upstream for each client.
const SHORTEST_READMIT: Duration = Duration::from_secs(1);
/// The shortest pause between two looks.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);
/// The largest size that is taken, 1 PiB: sums of sizes must not overflow.
const LARGEST: u64 = 1 << 50;
/// The largest count that is taken: semaphores have a limit of their own, far above.
const MOST: usize = 1_000_000_000;

/// A duration, of which zero means "at once".
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let parsed = humantime::parse_duration(text.trim());
    match parsed {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) => Err(wrong(format!("`{text}` is too long"), "write at most a year, \"365d\"")),
        Err(_) if text.trim() == "0" => Ok(Duration::ZERO),
        Err(_) if text.trim().starts_with('-') => {
            Err(wrong(format!("`{text}` is negative"), "write a duration that is not, such as \"5m\""))
        }
        Err(_) => Err(wrong(
            format!("`{text}` is no duration"),
            "write numbers with units, such as \"500ms\", \"15s\", \"5m\" or \"1h 30m\"",
        )),
    }
}

/// A duration that bounds something, and so cannot be zero.
pub(super) fn bound(text: &str) -> Result<Duration, Wrong> {
    match duration(text)? {
        Duration::ZERO => Err(wrong("zero leaves nothing", "write a duration above zero, such as \"5m\"")),
        duration => Ok(duration),
    }
}

/// How often something is looked at that costs little and changes seldom.
pub(super) fn look(text: &str) -> Result<Duration, Wrong> {
    match duration(text)? {
        duration if duration < SHORTEST_LOOK => Err(wrong(
            format!("`{text}` is too often"),
            "write at least \"100ms\", such as \"5s\", or leave it out",
        )),
        duration => Ok(duration),
    }
}

/// A heartbeat's interval, or `none`.
pub(super) fn heartbeat(text: &str) -> Result<Option<Duration>, Wrong> {
    if text.trim() == "none" {
        return Ok(None);
    }
    match duration(text)? {
        Duration::ZERO => {
            Err(wrong("a heartbeat every zero seconds", "write `heartbeat = \"none\"` to turn it off"))
        }
        // Each is a write to each client, and nothing on the way gives up a connection sooner.
        duration if duration < SHORTEST_HEARTBEAT => Err(wrong(
            format!("a heartbeat every `{text}` keeps every client's connection busy"),
            "write at least \"1s\": nothing on the way closes a connection sooner",
        )),
        duration => Ok(Some(duration)),
    }
}

/// How often the upstream is asked again about each client.
pub(super) fn readmit(text: &str) -> Result<Duration, Wrong> {
    match duration(text)? {
        duration if duration < SHORTEST_READMIT => Err(wrong(
            format!("asking every `{text}` about each client is a load that the upstream need not have"),
            "write at least \"1s\", such as \"10m\", or leave it out",
        )),
        duration => Ok(duration),
    }
}

/// A reconnection time, as clients are told one: in whole milliseconds.
pub(super) fn retry(text: &str) -> Result<Duration, Wrong> {
    match bound(text)? {
        duration if duration < Duration::from_millis(1) => {
            Err(wrong(format!("`{text}` is less than a client can be told"), "write at least \"1ms\""))
        }
        duration => Ok(duration),
    }
}

/// A number of bytes above zero.
pub(super) fn size(text: &str) -> Result<NonZeroUsize, Wrong> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(wrong(format!("`{text}` is negative"), "write a size above zero, such as \"4MiB\""));
    }
    let Ok(ByteSize(bytes)) = text.parse() else {
        return Err(wrong(
            format!("`{text}` is no size"),
            "write a number with a unit, such as \"64KiB\", \"4MiB\" or \"1GiB\"",
        ));
    };
    if bytes > LARGEST {
        return Err(wrong(format!("`{text}` is too large"), "write at most \"1PiB\""));
    }
    usize::try_from(bytes)
        .ok()
        .and_then(NonZeroUsize::new)
        .ok_or_else(|| wrong("zero leaves nothing", "write a size above zero, such as \"4MiB\""))
}

/// A number of things above zero.
pub(super) fn count(text: &str) -> Result<NonZeroUsize, Wrong> {
    match text.parse::<usize>() {
        Ok(number) if number > MOST => {
            Err(wrong(format!("`{text}` is too large"), format!("write at most {MOST}")))
        }
        Ok(number) => NonZeroUsize::new(number)
            .ok_or_else(|| wrong("zero leaves nothing", "write a whole number above zero")),
        Err(_) => Err(wrong(format!("`{text}` is negative"), "write a whole number above zero")),
    }
}

/// A status that may stand for nobody there: what is no error never does.
pub(super) fn status(text: &str) -> Result<StatusCode, Wrong> {
    let status = text.parse().ok().and_then(|number| StatusCode::from_u16(number).ok());
    status.filter(|status| status.is_client_error() || status.is_server_error()).ok_or_else(|| {
        wrong(format!("`{text}` is no status of an error"), "write one from 400 to 599, such as 502")
    })
}

/// One of a few words.
pub(super) fn choice<T: Copy>(text: &str, of: &[(&str, T)]) -> Result<T, Wrong> {
    let found = of.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = of.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        wrong(format!("`{text}` is not known here"), format!("write {}", words.join(" or ")))
    })
}

/// A size for a message: exact, in the largest unit that keeps it so.
pub(super) fn shown(bytes: NonZeroUsize) -> String {
    let bytes = bytes.get();
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];
    let (factor, unit) =
        units.into_iter().find(|(factor, _)| bytes.is_multiple_of(*factor)).unwrap_or((1, "B"));
    format!("{}{unit}", bytes / factor)
}
