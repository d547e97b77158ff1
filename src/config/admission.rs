//! Who says whether a client may join a shared stream, as written, judged.

use std::time::Duration;

use super::{
    fault::wrong,
    file,
    route::Idle,
    source::Source,
    value,
    written::{Length, Spanned},
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
    pub(super) again: Option<Duration>,
}

pub(super) fn of(route: &file::Route, source: Source<'_>) -> Admission {
    let admit = source.read(route.admit.as_ref(), |text| value::choice(text, ADMITS));
    Admission {
        admit: admit.unwrap_or(Admit::Upstream),
        timeout: source.read(route.admit_timeout.as_ref(), value::bound).unwrap_or(TIMEOUT),
        cache: source.read(route.admit_cache.as_ref(), value::bound),
        again: source.read(route.readmit.as_ref(), value::readmit),
    }
}

/// What means nothing where nobody is asked.
pub(super) fn beside_none(route: &file::Route) -> Vec<Idle> {
    if route.admit.as_ref().is_none_or(|admit| admit.get_ref().as_ref() != "none") {
        return Vec::new();
    }
    let keys = [
        ("admit_timeout", &route.admit_timeout),
        ("admit_cache", &route.admit_cache),
        ("readmit", &route.readmit),
    ];
    let idle = |(key, written): (&str, &Option<Spanned<Length>>)| {
        let remedy = "write `admit = \"upstream\"`, or leave it out";
        let wrong = wrong(format!("`{key}` has no effect where nobody is asked"), remedy);
        Some((written.as_ref()?.span(), wrong))
    };
    keys.into_iter().filter_map(idle).collect()
}

/// What means nothing where every stream is private.
pub(super) fn beside_private(route: &file::Route) -> Vec<Idle> {
    let none = route.admit.as_ref().filter(|admit| admit.get_ref().as_ref() == "none");
    let keys = [
        ("admit", none.map(Spanned::span)),
        ("admit_timeout", route.admit_timeout.as_ref().map(Spanned::span)),
        ("admit_cache", route.admit_cache.as_ref().map(Spanned::span)),
        ("readmit", route.readmit.as_ref().map(Spanned::span)),
    ];
    let idle = |(key, span): (&str, Option<_>)| {
        let remedy = format!("leave `{key}` out, or write `mode = \"shared\"`");
        Some((span?, wrong("every private stream is asked of the upstream", remedy)))
    };
    keys.into_iter().filter_map(idle).collect()
}
