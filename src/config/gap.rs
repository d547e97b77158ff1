//! What becomes of clients that cannot have what they missed, and of those whose upstream was lost: as written, judged.

use super::{
    fault::{Wrong, wrong},
    file,
    route::Idle,
    source::{Source, Table},
    value,
};
use crate::route::{Breaks, GapEvent, Ids, OnBreak, OnGap};

const ON_BREAKS: &[(&str, OnBreak)] = &[("close", OnBreak::Close), ("hold", OnBreak::Hold)];
const ON_GAPS: &[(&str, OnGap)] = &[("fresh", OnGap::Fresh), ("replay", OnGap::Replay)];

/// What a gapped client is given, and what it is told.
pub(super) fn of(route: &file::Route, source: Source<'_>) -> (OnGap, Option<GapEvent>) {
    let on_gap = source.read(route.on_gap.as_ref(), |text| value::choice(text, ON_GAPS));
    (on_gap.unwrap_or_default(), event(route, source))
}

/// What becomes of a shared stream that loses its upstream.
pub(super) fn breaks(route: &file::Route, source: Source<'_>) -> Breaks {
    let on_break = source.read(route.on_break.as_ref(), |text| value::choice(text, ON_BREAKS));
    let resumes = route.upstream_resumes.as_ref().is_some_and(|resumes| resumes.get_ref().0);
    Breaks { on_break: on_break.unwrap_or_default(), resumes }
}

/// What cannot be meant of a stream that loses its upstream.
pub(super) fn idle(route: &file::Route, (ids, breaks): (Ids, Breaks)) -> Vec<Idle> {
    let mut idle = Vec::new();
    if let (OnBreak::Hold, Some(written), None, None) =
        (breaks.on_break, &route.on_break, &route.hello, &route.gap_event)
    {
        let remedy = "write which types are `hello`, or a `gap_event`, or leave it out";
        let wrong = wrong("clients that are held would not know that they missed something", remedy);
        idle.push((written.span(), wrong));
    }
    if let Some(written) = route.upstream_resumes.as_ref().filter(|_| breaks.resumes && ids != Ids::Keep) {
        let message = "whether an upstream has resumed is told by ids that are kept";
        idle.push((written.span(), wrong(message, "leave out `upstream_resumes`, or `ids`")));
    }
    idle
}

fn event(route: &file::Route, source: Source<'_>) -> Option<GapEvent> {
    let written = route.gap_event.as_ref()?;
    let file::GapEvent { event, data } = written.get_ref();
    let event = source.read(event.as_ref(), in_type);
    if data.is_none() {
        let remedy = "write what it says, such as `gap_event = { event = \"gap\", data = \"{reason}\" }`";
        let fault = wrong("an event without data is none", remedy).at(source.place(written.span()));
        source.lacks(&Table::At(written.span()), &["data"], fault);
    }
    Some(GapEvent { event, data: source.read(data.as_ref(), in_data)? })
}

/// A type as it can stand in its line.
pub(super) fn in_type(text: &str) -> Result<String, Wrong> {
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
