//! Rules on events as written, judged.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use toml::Spanned;

use super::{
    fault::{Fault, Wrong, wrong},
    file::{self, Source},
    value,
    written::{Text, Texts},
};
use crate::{
    route::Ids,
    rules::{Kind, Rules},
};

const IDS: &[(&str, Ids)] = &[("keep", Ids::Keep), ("replace", Ids::Replace)];

/// Which ids a route's events get, and what becomes of them by their types.
pub(super) fn of(route: &file::Route, source: Source<'_>) -> Result<(Ids, Rules), Fault> {
    let ids = source.read(route.ids.as_ref(), |text| value::choice(text, IDS))?.unwrap_or_default();
    if let Some(kept) = route.keep_ids_of.as_ref().filter(|_| ids == Ids::Keep) {
        let wrong = wrong(
            "`keep_ids_of` has no effect where ids are kept",
            "write `ids = \"replace\"`, or leave it out",
        );
        return Err(wrong.at(source.place(kept.span())));
    }
    let rules = Rules {
        kind: source.read(route.kind.as_ref(), kind)?.unwrap_or_default(),
        ephemeral: types(route.ephemeral.as_ref(), source)?,
        retain: types(route.retain.as_ref(), source)?,
        keep_ids_of: types(route.keep_ids_of.as_ref(), source)?,
    };
    let looked_at = rules.ephemeral.is_some() || rules.retain.is_some() || rules.keep_ids_of.is_some();
    match (&route.kind, &rules.kind) {
        (Some(kind), Kind::Data(_)) if !looked_at => Err(idle(kind).at(source.place(kind.span()))),
        _ => Ok((ids, rules)),
    }
}

fn idle(kind: &Spanned<Text>) -> Wrong {
    let message = format!("`type = \"{}\"` has no effect without a rule", kind.get_ref().as_ref());
    wrong(message, "write which types are `ephemeral` or to `retain`, or leave it out")
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
fn types(written: Option<&Spanned<Texts>>, source: Source<'_>) -> Result<Option<GlobSet>, Fault> {
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
