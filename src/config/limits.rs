//! What the whole program may use, and what one window may.

use std::{num::NonZeroUsize, time::Duration};

use super::{
    Limits,
    fault::{Fault, wrong},
    file::{self, Source},
    value,
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
pub(super) fn resolve(source: Source<'_>, file: &file::File) -> Result<(Limits, Bounds), Fault> {
    let limits = limits(source, &file.limits)?;
    let bounds = bounds(source, &file.window, WINDOW)?;
    if limits.event > bounds.bytes {
        let span = file.limits.event.as_ref().or(file.window.bytes.as_ref()).map(toml::Spanned::span);
        return Err(too_large(limits.event, bounds.bytes).at(source.place(span.unwrap_or_default())));
    }
    if limits.memory < bounds.bytes {
        let message = format!("one window of {} is more than all memory", value::shown(bounds.bytes));
        let remedy = format!(
            "write `limits.memory` above `window.bytes`, or less than {} there",
            value::shown(limits.memory)
        );
        let span = file.limits.memory.as_ref().or(file.window.bytes.as_ref()).map(toml::Spanned::span);
        return Err(wrong(message, remedy).at(source.place(span.unwrap_or_default())));
    }
    Ok((limits, bounds))
}

/// A route's own window, where it says so, else the general one.
pub(super) fn window(
    source: Source<'_>,
    written: &file::Window,
    general: Bounds,
    event: NonZeroUsize,
) -> Result<Bounds, Fault> {
    let bounds = bounds(source, written, general)?;
    match &written.bytes {
        Some(bytes) if event > bounds.bytes => {
            Err(too_large(event, bounds.bytes).at(source.place(bytes.span())))
        }
        _ => Ok(bounds),
    }
}

fn limits(source: Source<'_>, written: &file::Limits) -> Result<Limits, Fault> {
    Ok(Limits {
        memory: source.read(written.memory.as_ref(), value::size)?.unwrap_or(LIMITS.memory),
        streams: source.read(written.streams.as_ref(), value::count)?.unwrap_or(LIMITS.streams),
        connections: source.read(written.connections.as_ref(), value::count)?.unwrap_or(LIMITS.connections),
        lingering: source.read(written.lingering.as_ref(), value::count)?.unwrap_or(LIMITS.lingering),
        admissions: source.read(written.admissions.as_ref(), value::count)?.unwrap_or(LIMITS.admissions),
        event: source.read(written.event.as_ref(), value::size)?.unwrap_or(LIMITS.event),
    })
}

fn bounds(source: Source<'_>, written: &file::Window, general: Bounds) -> Result<Bounds, Fault> {
    Ok(Bounds {
        events: source.read(written.events.as_ref(), value::count)?.unwrap_or(general.events),
        bytes: source.read(written.bytes.as_ref(), value::size)?.unwrap_or(general.bytes),
        age: source.read(written.age.as_ref(), value::bound)?.unwrap_or(general.age),
    })
}

/// An event that no window could hold would be lost to every client that returns.
fn too_large(event: NonZeroUsize, window: NonZeroUsize) -> super::fault::Wrong {
    let (event, window) = (value::shown(event), value::shown(window));
    wrong(
        format!("`limits.event` of {event} is larger than this `window.bytes` of {window}"),
        format!("write `limits.event` of at most {window}, or `window.bytes` of at least {event}"),
    )
}
