//! Rules on events as written, judged.

use std::{num::NonZeroUsize, time::Duration};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use toml::Spanned;

use super::{
    fault::{Fault, Wrong, wrong},
    file::{self, Source},
    guard, value,
    written::{Text, Texts},
};
use crate::{
    route::Ids,
    rules::{Hello, Kind, Rules},
};

/// How long a client's events wait for its hello.
const HELLO_WAIT: Duration = Duration::from_secs(5);
const IDS: &[(&str, Ids)] = &[("keep", Ids::Keep), ("replace", Ids::Replace), ("hidden", Ids::Hidden)];

/// Which ids a route's events get, and what becomes of them by their types.
pub(super) fn of(route: &file::Route, source: Source<'_>) -> Result<(Ids, Rules), Fault> {
    let ids = source.read(route.ids.as_ref(), |text| value::choice(text, IDS))?.unwrap_or_default();
    if let Some(kept) = route.keep_ids_of.as_ref().filter(|_| ids != Ids::Replace) {
        let message = "`keep_ids_of` has no effect where ids are not replaced";
        let wrong = wrong(message, "write `ids = \"replace\"`, or leave it out");
        return Err(wrong.at(source.place(kept.span())));
    }
    if let Some(stamp) =
        route.stamp.as_ref().filter(|stamp| ids == Ids::Hidden && stamp.get_ref().as_ref() == "always")
    {
        let message =
            "ids can be hidden from an `EventSource` alone: anything else would see what carries them";
        let wrong = wrong(message, "leave out `stamp`, or `ids = \"hidden\"`");
        return Err(wrong.at(source.place(stamp.span())));
    }
    let ours = ids != Ids::Keep && route.keep_ids_of.is_none();
    if let Some(matched) = route.match_upstream_ids.as_ref().filter(|_| ours) {
        let message = "`match_upstream_ids` has no effect where clients come back with our ids";
        let wrong = wrong(message, "leave it out, or `ids`");
        return Err(wrong.at(source.place(matched.span())));
    }
    let kind = source.read(route.kind.as_ref(), kind)?.unwrap_or_default();
    let rules = Rules {
        hello: hello(route, source, &kind)?,
        kind,
        reset: types(route.reset.as_ref(), source)?,
        guards: guard::all(&route.guard, source)?,
        ephemeral: types(route.ephemeral.as_ref(), source)?,
        retain: types(route.retain.as_ref(), source)?,
        keep_ids_of: types(route.keep_ids_of.as_ref(), source)?,
    };
    let sets = [&rules.reset, &rules.ephemeral, &rules.retain, &rules.keep_ids_of];
    let looked_at = rules.hello.is_some() || !rules.guards.is_empty() || sets.iter().any(|set| set.is_some());
    match (&route.kind, &rules.kind) {
        (Some(kind), Kind::Data(_)) if !looked_at => Err(idle(kind).at(source.place(kind.span()))),
        _ => Ok((ids, rules)),
    }
}

/// What a server says to each new connection.
fn hello(route: &file::Route, source: Source<'_>, kind: &Kind) -> Result<Option<Hello>, Fault> {
    let events = source.read(route.hello_events.as_ref(), value::count)?;
    let wait = source.read(route.hello_wait.as_ref(), value::duration)?;
    let alone = [
        ("hello_events", route.hello_events.as_ref().map(Spanned::span)),
        ("hello_wait", route.hello_wait.as_ref().map(Spanned::span)),
    ];
    let Some(types) = types(route.hello.as_ref(), source)? else {
        let idle = alone.into_iter().find_map(|(key, span)| Some((key, span?)));
        return idle.map_or(Ok(None), |(key, span)| {
            let wrong =
                wrong(format!("`{key}` has no effect without a hello"), "write which types are `hello`");
            Err(wrong.at(source.place(span)))
        });
    };
    let (events, wait) = (events.map_or(1, NonZeroUsize::get), wait.unwrap_or(HELLO_WAIT));
    Ok(Some(Hello { types, kind: kind.clone(), events, wait }))
}

fn idle(kind: &Spanned<Text>) -> Wrong {
    let message = format!("`type = \"{}\"` has no effect without a rule", kind.get_ref().as_ref());
    wrong(
        message,
        "write which types are `hello`, `reset`, `ephemeral` or to `retain`, or a guard, or leave it out",
    )
}

fn kind(text: &str) -> Result<Kind, Wrong> {
    if text == "event" {
        return Ok(Kind::Event);
    }
    let remedy = "write \"event\", or where the type stands in the data, such as \"/payload/type\"";
    text.parse()
        .map(Kind::Data)
        .map_err(|fault| wrong(format!("`{text}` is no type's place: {fault}"), remedy))
}

/// A set of types as globs, in which `*` stands for anything.
pub(super) fn types(written: Option<&Spanned<Texts>>, source: Source<'_>) -> Result<Option<GlobSet>, Fault> {
    let Some(written) = written else { return Ok(None) };
    let mut set = GlobSetBuilder::new();
    let each = written.get_ref().each(&written.span());
    if each.is_empty() {
        let wrong = wrong("this names no type", "write types, such as [\"heartbeat\"], or leave it out");
        return Err(wrong.at(source.place(written.span())));
    }
    for (text, span) in each {
        let glob = GlobBuilder::new(text).build().map_err(|error| {
            let remedy = "write `*` for any part of a type, `{a,b}` or `[ab]` for a choice";
            wrong(format!("`{text}` is no glob: {}", error.kind()), remedy).at(source.place(span))
        })?;
        set.add(glob);
    }
    // Each glob was built by itself, so that the set of them can be too.
    Ok(set.build().ok())
}
