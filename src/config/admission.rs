//! Who says whether a client may join a shared stream, as written, judged.

use std::time::Duration;

use toml::Spanned;

use super::{
    fault::{Fault, wrong},
    file::{self, Source},
    route::Idle,
    value,
};
use crate::route::Admit;

/// How long an admission has a place among the bounded ones.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
const ADMITS: &[(&str, Admit)] = &[("upstream", Admit::Upstream), ("none", Admit::None)];

/// What a route says of admissions.
pub(super) struct Admission {
    pub(super) admit: Admit,
    pub(super) timeout: Duration,
    pub(super) cache: Option<Duration>,
}

pub(super) fn of(route: &file::Route, source: Source<'_>) -> Result<Admission, Fault> {
    let admit = source.read(route.admit.as_ref(), |text| value::choice(text, ADMITS))?;
    let admit = admit.unwrap_or(Admit::Upstream);
    if let (Admit::None, Some(cache)) = (admit, &route.admit_cache) {
        let remedy = "write `admit = \"upstream\"`, or leave it out";
        let wrong = wrong("`admit_cache` has no effect where nobody is asked", remedy);
        return Err(wrong.at(source.place(cache.span())));
    }
    Ok(Admission {
        admit,
        timeout: source.read(route.admit_timeout.as_ref(), value::bound)?.unwrap_or(TIMEOUT),
        cache: source.read(route.admit_cache.as_ref(), value::bound)?,
    })
}

/// What means nothing where every stream is private.
pub(super) fn beside_private(route: &file::Route) -> Idle {
    let none = route.admit.as_ref().filter(|admit| admit.get_ref().as_ref() == "none");
    let keys = [
        ("admit", none.map(Spanned::span)),
        ("admit_timeout", route.admit_timeout.as_ref().map(Spanned::span)),
        ("admit_cache", route.admit_cache.as_ref().map(Spanned::span)),
    ];
    let (key, span) = keys.into_iter().find_map(|(key, span)| Some((key, span?)))?;
    let remedy = format!("leave `{key}` out, or write `mode = \"shared\"`");
    Some((span, wrong("every private stream is asked of the upstream", remedy)))
}
