//! When a heartbeat is sent and what it looks like, as written, judged.

use std::{sync::Arc, time::Duration};

use toml::Spanned;

use super::{
    fault::{Fault, Wrong, wrong},
    file::{self, Source},
    gap, value,
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
pub(super) fn of(route: &file::Route, source: Source<'_>) -> Result<Option<Arc<Heartbeat>>, Fault> {
    let every = source.read(route.heartbeat.as_ref(), value::heartbeat)?.unwrap_or(Some(EVERY));
    let shape = source.read(route.heartbeat_shape.as_ref(), shape)?;
    let padded = source.read(route.heartbeat_pad.as_ref(), pad)?;
    if let Some(every) = every {
        let heartbeat = Heartbeat::new(every, &shape.unwrap_or_default(), padded.unwrap_or(0));
        return Ok(Some(Arc::new(heartbeat)));
    }
    let idle = [
        ("heartbeat_shape", route.heartbeat_shape.as_ref().map(Spanned::span)),
        ("heartbeat_pad", route.heartbeat_pad.as_ref().map(Spanned::span)),
    ];
    idle.into_iter().find_map(|(key, span)| Some((key, span?))).map_or(Ok(None), |(key, span)| {
        let message = format!("`{key}` has no effect without a heartbeat");
        Err(wrong(message, "say how often, such as `heartbeat = \"15s\"`, or leave it out")
            .at(source.place(span)))
    })
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
