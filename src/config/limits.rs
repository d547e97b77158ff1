//! What the whole program may use, and what one window may.

use std::{num::NonZeroUsize, time::Duration};

use super::{
    Limits,
    fault::{Wrong, wrong},
    file,
    source::Source,
    value,
    written::{Size, Spanned},
};
use crate::window::Bounds;

const fn above_zero(number: usize) -> NonZeroUsize {
    match NonZeroUsize::new(number) {
        Some(number) => number,
        None => NonZeroUsize::MIN,
    }
}

/// Safe for a sidecar that shares its machine.
const LIMITS: Limits = Limits {
    memory: above_zero(512 << 20),
    streams: above_zero(20_000),
    connections: above_zero(20_000),
    lingering: above_zero(1_000),
    admissions: above_zero(64),
    event: above_zero(4 << 20),
};

/// A few minutes of a lively stream.
const WINDOW: Bounds =
    Bounds { events: above_zero(2048), bytes: above_zero(4 << 20), age: Duration::from_secs(5 * 60) };

/// The limits, and the window that a route has unless it says otherwise.
pub(super) fn resolve(source: Source<'_>, file: &file::File) -> (Limits, Bounds) {
    let limits = limits(source, &file.limits);
    let bounds = bounds(source, &file.window, WINDOW);
    together(source, file, (&limits, &bounds));
    (limits, bounds)
}

/// A size can be compared: it is right, or there is none.
fn is_known(source: Source<'_>, key: &str, written: Option<&Spanned<Size>>) -> bool {
    let means = |size: &Spanned<Size>| value::size(size.get_ref().as_ref()).is_ok();
    !source.found.has_left_out(key) && written.is_none_or(means)
}

/// The largest event, where it can be compared with a window.
pub(super) fn known_event(source: Source<'_>, file: &file::File, limits: &Limits) -> Option<NonZeroUsize> {
    is_known(source, "event", file.limits.event.as_ref()).then_some(limits.event)
}

/// What sizes say to each other.
fn together(source: Source<'_>, file: &file::File, (limits, bounds): (&Limits, &Bounds)) {
    let (event, memory, bytes) = (&file.limits.event, &file.limits.memory, &file.window.bytes);
    if !is_known(source, "bytes", bytes.as_ref()) {
        return;
    }
    if is_known(source, "event", event.as_ref()) && limits.event > bounds.bytes {
        let span = event.as_ref().or(bytes.as_ref()).map(Spanned::span);
        source.refuse(too_large(limits.event, bounds.bytes), span.unwrap_or_default());
    }
    if is_known(source, "memory", memory.as_ref()) && limits.memory < bounds.bytes {
        let message = format!("one window of {} is more than all memory", value::shown(bounds.bytes));
        let remedy = format!(
            "write `limits.memory` above `window.bytes`, or less than {} there",
            value::shown(limits.memory)
        );
        let span = memory.as_ref().or(bytes.as_ref()).map(Spanned::span);
        source.refuse(wrong(message, remedy), span.unwrap_or_default());
    }
}

/// A route's own window, where it says so, else the general one.
pub(super) fn window(
    source: Source<'_>,
    written: &file::Window,
    general: Bounds,
    event: Option<NonZeroUsize>,
) -> Bounds {
    let own = bounds(source, written, general);
    if let (Some(bytes), Some(event)) = (&written.bytes, event.filter(|event| *event > own.bytes)) {
        // What means nothing is as the general one, which was compared.
        if own.bytes != general.bytes {
            source.refuse(too_large(event, own.bytes), bytes.span());
        }
    }
    own
}

fn limits(source: Source<'_>, written: &file::Limits) -> Limits {
    Limits {
        memory: source.read(written.memory.as_ref(), value::size).unwrap_or(LIMITS.memory),
        streams: source.read(written.streams.as_ref(), value::count).unwrap_or(LIMITS.streams),
        connections: source.read(written.connections.as_ref(), value::count).unwrap_or(LIMITS.connections),
        lingering: source.read(written.lingering.as_ref(), value::count).unwrap_or(LIMITS.lingering),
        admissions: source.read(written.admissions.as_ref(), value::count).unwrap_or(LIMITS.admissions),
        event: source.read(written.event.as_ref(), value::size).unwrap_or(LIMITS.event),
    }
}

fn bounds(source: Source<'_>, written: &file::Window, general: Bounds) -> Bounds {
    Bounds {
        events: source.read(written.events.as_ref(), value::count).unwrap_or(general.events),
        bytes: source.read(written.bytes.as_ref(), value::size).unwrap_or(general.bytes),
        age: source.read(written.age.as_ref(), value::bound).unwrap_or(general.age),
    }
}

/// An event that no window could hold would be lost to every client that returns.
fn too_large(event: NonZeroUsize, window: NonZeroUsize) -> Wrong {
    let (event, window) = (value::shown(event), value::shown(window));
    wrong(
        format!("`limits.event` of {event} is larger than this `window.bytes` of {window}"),
        format!("write `limits.event` of at most {window}, or `window.bytes` of at least {event}"),
    )
}
