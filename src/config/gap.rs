//! What becomes of clients that cannot have what they missed, and of those whose upstream was lost: as written, judged.

use super::{
    fault::{Fault, Wrong, wrong},
    file::{self, Source},
    value,
};
use toml::Spanned;

use crate::route::{Breaks, GapEvent, Ids, OnBreak, OnGap};

const ON_BREAKS: &[(&str, OnBreak)] = &[("close", OnBreak::Close), ("hold", OnBreak::Hold)];
const ON_GAPS: &[(&str, OnGap)] = &[("fresh", OnGap::Fresh), ("replay", OnGap::Replay)];

/// What a gapped client is given, and what it is told.
pub(super) fn of(route: &file::Route, source: Source<'_>) -> Result<(OnGap, Option<GapEvent>), Fault> {
    let on_gap = source.read(route.on_gap.as_ref(), |text| value::choice(text, ON_GAPS))?;
    Ok((on_gap.unwrap_or_default(), event(route, source)?))
}

/// What becomes of a shared stream that loses its upstream.
pub(super) fn breaks(route: &file::Route, ids: Ids, source: Source<'_>) -> Result<Breaks, Fault> {
    let on_break =
        source.read(route.on_break.as_ref(), |text| value::choice(text, ON_BREAKS))?.unwrap_or_default();
    if let (OnBreak::Hold, Some(written), None, None) =
        (on_break, &route.on_break, &route.hello, &route.gap_event)
    {
        let remedy = "write which types are `hello`, or a `gap_event`, or leave it out";
        let wrong = wrong("clients that are held would not know that they missed something", remedy);
        return Err(wrong.at(source.place(written.span())));
    }
    let resumes = route.upstream_resumes.as_ref().filter(|resumes| resumes.get_ref().0);
    if let Some(written) = resumes.filter(|_| ids != Ids::Keep) {
        let message = "whether an upstream has resumed is told by ids that are kept";
        let wrong = wrong(message, "leave out `upstream_resumes`, or `ids`");
        return Err(wrong.at(source.place(Spanned::span(written))));
    }
    Ok(Breaks { on_break, resumes: resumes.is_some() })
}

fn event(route: &file::Route, source: Source<'_>) -> Result<Option<GapEvent>, Fault> {
    let Some(written) = &route.gap_event else { return Ok(None) };
    let file::GapEvent { event, data } = written.get_ref();
    let Some(data) = source.read(data.as_ref(), in_data)? else {
        let remedy = "write what it says, such as `gap_event = { event = \"gap\", data = \"{reason}\" }`";
        return Err(wrong("an event without data is none", remedy).at(source.place(written.span())));
    };
    Ok(Some(GapEvent { event: source.read(event.as_ref(), in_type)?, data }))
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
