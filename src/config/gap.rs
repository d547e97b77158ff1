//! What becomes of clients that cannot have what they missed, as written, judged.

use super::{
    fault::{Fault, Wrong, wrong},
    file::{self, Source},
    value,
};
use crate::route::{GapEvent, OnGap};

const ON_GAPS: &[(&str, OnGap)] = &[("fresh", OnGap::Fresh), ("replay", OnGap::Replay)];

/// What a gapped client is given, and what it is told.
pub(super) fn of(route: &file::Route, source: Source<'_>) -> Result<(OnGap, Option<GapEvent>), Fault> {
    let on_gap = source.read(route.on_gap.as_ref(), |text| value::choice(text, ON_GAPS))?;
    Ok((on_gap.unwrap_or_default(), event(route, source)?))
}

fn event(route: &file::Route, source: Source<'_>) -> Result<Option<GapEvent>, Fault> {
    let Some(written) = &route.gap_event else { return Ok(None) };
    let file::GapEvent { event, data } = written.get_ref();
    let Some(data) = source.read(data.as_ref(), |text| in_data(text))? else {
        let remedy = "write what it says, such as `gap_event = { event = \"gap\", data = \"{reason}\" }`";
        return Err(wrong("an event without data is none", remedy).at(source.place(written.span())));
    };
    Ok(Some(GapEvent { event: source.read(event.as_ref(), in_type)?, data }))
}

fn in_type(text: &str) -> Result<String, Wrong> {
    if text.contains(['\r', '\n', '\0']) {
        return Err(wrong("a type is one line", "leave out what ends the line"));
    }
    Ok(text.to_owned())
}

fn in_data(text: &str) -> Result<String, Wrong> {
    if text.contains(['\r', '\0']) {
        return Err(wrong("data has no carriage returns or NULs", "end lines with \\n alone"));
    }
    Ok(text.to_owned())
}
