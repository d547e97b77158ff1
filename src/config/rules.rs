//! Rules on events as written, judged.

use std::{num::NonZeroUsize, time::Duration};

use super::{
    fault::{Wrong, wrong},
    file, guard,
    route::Idle,
    source::Source,
    value,
    written::{Spanned, Text, Texts},
};
use crate::{
    route::Ids,
    rules::{Globs, Hello, Kind, Rules},
};
use globset::GlobBuilder;

/// How long a client's events wait for its hello.
const HELLO_WAIT: Duration = Duration::from_secs(5);
const IDS: &[(&str, Ids)] = &[("keep", Ids::Keep), ("replace", Ids::Replace), ("hidden", Ids::Hidden)];

/// Which ids a route's events get, and what becomes of them by their types.
pub(super) fn of(route: &file::Route, source: Source<'_>) -> (Ids, Rules) {
    let ids = source.read(route.ids.as_ref(), |text| value::choice(text, IDS)).unwrap_or_default();
    let kind = source.read(route.kind.as_ref(), kind).unwrap_or_default();
    let rules = Rules {
        hello: hello(route, source, &kind),
        kind,
        reset: types(route.reset.as_ref(), source),
        guards: guard::all(&route.guard, source),
        ephemeral: types(route.ephemeral.as_ref(), source),
        retain: types(route.retain.as_ref(), source),
        keep_ids_of: types(route.keep_ids_of.as_ref(), source),
    };
    (ids, rules)
}

/// What means nothing beside other keys.
pub(super) fn idle(route: &file::Route, (ids, rules): (Ids, &Rules)) -> Vec<Idle> {
    let mut idle = beside_ids(route, ids);
    let sets = [&rules.reset, &rules.ephemeral, &rules.retain, &rules.keep_ids_of];
    let looked_at = rules.hello.is_some() || !rules.guards.is_empty() || sets.iter().any(|set| set.is_some());
    if let (Some(kind), Kind::Data(_), false) = (&route.kind, &rules.kind, looked_at) {
        idle.push((kind.span(), no_rule(kind)));
    }
    let alone = [
        ("hello_events", route.hello_events.as_ref().map(Spanned::span)),
        ("hello_wait", route.hello_wait.as_ref().map(Spanned::span)),
    ];
    let alone = alone.into_iter().filter(|_| route.hello.is_none()).filter_map(|(key, span)| {
        let message = format!("`{key}` has no effect without a hello");
        Some((span?, wrong(message, "write which types are `hello`")))
    });
    idle.extend(alone);
    idle
}

/// What means nothing beside the ids that clients get.
fn beside_ids(route: &file::Route, ids: Ids) -> Vec<Idle> {
    let mut idle = Vec::new();
    if let Some(kept) = route.keep_ids_of.as_ref().filter(|_| ids != Ids::Replace) {
        let message = "`keep_ids_of` has no effect where ids are not replaced";
        idle.push((kept.span(), wrong(message, "write `ids = \"replace\"`, or leave it out")));
    }
    if let Some(stamp) =
        route.stamp.as_ref().filter(|stamp| ids == Ids::Hidden && stamp.get_ref().as_ref() == "always")
    {
        let message =
            "ids can be hidden from an `EventSource` alone: anything else would see what carries them";
        idle.push((stamp.span(), wrong(message, "leave out `stamp`, or `ids = \"hidden\"`")));
    }
    let named = |shape: &&Spanned<Text>| shape.get_ref().as_ref().starts_with("event:");
    if let Some(shape) = route.heartbeat_shape.as_ref().filter(|_| ids == Ids::Hidden).filter(named) {
        let message = "a heartbeat that is an event shows pages our id, which is to be hidden";
        let remedy =
            "write `heartbeat_shape = \"comment\"` or \"comment-frame\", or leave out `ids = \"hidden\"`";
        idle.push((shape.span(), wrong(message, remedy)));
    }
    let ours = ids != Ids::Keep && route.keep_ids_of.is_none();
    if let Some(matched) = route.match_upstream_ids.as_ref().filter(|_| ours) {
        let message = "`match_upstream_ids` has no effect where clients come back with our ids";
        idle.push((matched.span(), wrong(message, "leave it out, or `ids`")));
    }
    idle
}

/// What a server says to each new connection.
fn hello(route: &file::Route, source: Source<'_>, kind: &Kind) -> Option<Hello> {
    let events = source.read(route.hello_events.as_ref(), value::count).map_or(1, NonZeroUsize::get);
    let wait = source.read(route.hello_wait.as_ref(), value::duration).unwrap_or(HELLO_WAIT);
    Some(Hello { types: types(route.hello.as_ref(), source)?, kind: kind.clone(), events, wait })
}

fn no_rule(kind: &Spanned<Text>) -> Wrong {
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
pub(super) fn types(written: Option<&Spanned<Texts>>, source: Source<'_>) -> Option<Globs> {
    let written = written?;
    let none = wrong("this names no type", "write types, such as [\"heartbeat\"], or leave it out");
    source.not_empty(written, none);
    // Each glob was built by itself, so that the set of them can be too.
    Globs::new(source.each(written, glob).iter().map(String::as_str)).ok()
}

/// It is a glob.
fn glob(text: &str) -> Result<String, Wrong> {
    GlobBuilder::new(text).build().map(|_| text.to_owned()).map_err(|error| {
        let remedy = "write `*` for any part of a type, `{a,b}` or `[ab]` for a choice";
        wrong(format!("`{text}` is no glob: {}", error.kind()), remedy)
    })
}
