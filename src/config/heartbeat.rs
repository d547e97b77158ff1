//! When a heartbeat is sent and what it looks like, as written, judged.

use std::{sync::Arc, time::Duration};

use super::{
    fault::{Wrong, wrong},
    file, gap,
    route::Idle,
    source::Source,
    value,
    written::Spanned,
};
use crate::route::{Heartbeat, Shape};

const EVERY: Duration = Duration::from_secs(15);
/// Beyond what any middlebox holds; each client is sent it over and over.
const MOST_PAD: usize = 64 << 10;

/// What a route has that says nothing of it.
pub(super) fn default() -> Arc<Heartbeat> {
    Arc::new(Heartbeat::new(EVERY, &Shape::default(), 0))
}

/// A route's heartbeat; none where it is turned off.
pub(super) fn of(route: &file::Route, source: Source<'_>) -> Option<Arc<Heartbeat>> {
    let every = source.read(route.heartbeat.as_ref(), value::heartbeat).unwrap_or(Some(EVERY));
    let shape = source.read(route.heartbeat_shape.as_ref(), shape).unwrap_or_default();
    let padded = source.read(route.heartbeat_pad.as_ref(), pad).unwrap_or(0);
    Some(Arc::new(Heartbeat::new(every?, &shape, padded)))
}

/// What means nothing where none is sent.
pub(super) fn idle(route: &file::Route) -> Vec<Idle> {
    if route.heartbeat.as_ref().is_none_or(|every| every.get_ref().as_ref().trim() != "none") {
        return Vec::new();
    }
    let keys = [
        ("heartbeat_shape", route.heartbeat_shape.as_ref().map(Spanned::span)),
        ("heartbeat_pad", route.heartbeat_pad.as_ref().map(Spanned::span)),
    ];
    let idle = |(key, span): (&str, Option<_>)| {
        let message = format!("`{key}` has no effect without a heartbeat");
        Some((span?, wrong(message, "say how often, such as `heartbeat = \"15s\"`, or leave it out")))
    };
    keys.into_iter().filter_map(idle).collect()
}

fn shape(text: &str) -> Result<Shape, Wrong> {
    match text {
        "comment" => Ok(Shape::Comment),
        "comment-frame" => Ok(Shape::CommentFrame),
        _ => match text.strip_prefix("event:").map(str::trim) {
            Some(kind) if !kind.is_empty() => gap::in_type(kind).map(Shape::Event),
            _ => Err(wrong(
                format!("`{text}` is no shape of a heartbeat"),
                "write \"comment\", \"comment-frame\" or \"event:NAME\"",
            )),
        },
    }
}

fn pad(text: &str) -> Result<usize, Wrong> {
    match value::size(text)?.get() {
        pad if pad > MOST_PAD => Err(wrong(format!("`{text}` is too large"), "write at most \"64KiB\"")),
        pad => Ok(pad),
    }
}
