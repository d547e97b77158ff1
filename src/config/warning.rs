//! What is allowed and yet likely to be a mistake.

use super::{
    fault::{Fault, wrong},
    file, key,
    source::Source,
    value,
    written::Spanned,
};
use crate::route::{Admit, Mode, Route};

/// All warnings.
pub(super) fn all(source: Source<'_>, file: &file::File, routes: &[Route]) -> Vec<Fault> {
    let of = |(written, route): (&Spanned<file::Route>, &Route)| {
        let written = written.get_ref();
        [
            open(source, written, route),
            pinned(source, written, route),
            lost(source, written, route),
            idle_hello(source, written, route),
        ]
    };
    let routes = file.route.iter().zip(routes).flat_map(of).flatten();
    unheld(source, file).into_iter().chain(routes).collect()
}

/// Such an answer is there to be waited out.
fn unheld(source: Source<'_>, file: &file::File) -> Option<Fault> {
    let hold = file.outage.hold.as_ref()?.get_ref().as_ref();
    let statuses = file.outage.statuses.as_ref().filter(|statuses| !statuses.get_ref().0.is_empty())?;
    let message = "nothing is held for these answers: the first of them cuts its client";
    let remedy = "write for how long, such as `hold = \"5s\"`, or leave `statuses` out";
    value::duration(hold)
        .is_ok_and(|hold| hold.is_zero())
        .then(|| wrong(message, remedy).at(source.place(statuses.span())))
}

/// Whoever has a stream's address could join a stream that others were let into by their credentials.
fn open(source: Source<'_>, written: &file::Route, route: &Route) -> Option<Fault> {
    if route.mode != Mode::Shared || route.admit != Admit::None {
        return None;
    }
    let forgotten = key::forgotten(route.key.as_ref()?);
    let message = format!(
        "`{}` is shared by all who ask, whatever credentials they have: the key leaves out {}",
        route.name,
        forgotten.join(" and ")
    );
    let parts: Vec<_> = forgotten.iter().map(|name| format!("\"header:{name}\"")).collect();
    let remedy = format!("write `admit = \"upstream\"`, or add {} to the key", parts.join(" and "));
    let place = source.place(written.key.as_ref()?.span());
    (!forgotten.is_empty()).then(|| wrong(message, remedy).at(place))
}

/// Who never lets go waits for nobody. Where a preset has the pin, what is said may be for another of its routes.
fn pinned(source: Source<'_>, written: &file::Route, route: &Route) -> Option<Fault> {
    let (linger, pin) = (written.linger.as_ref()?, written.pin.as_ref()?);
    let of_preset = written.preset.as_ref().is_some_and(|preset| preset.span() == pin.span());
    let message = "`linger` has no effect on a stream that is pinned: it is never let go";
    let place = source.place(linger.span());
    (route.pin.is_some() && !of_preset).then(|| wrong(message, "leave it out, or `pin`").at(place))
}

/// A new client loads what it needs when it is told hello. One that comes back is not told, and would need what it missed.
fn lost(source: Source<'_>, written: &file::Route, route: &Route) -> Option<Fault> {
    let (retain, _) = (written.retain.as_ref()?, written.hello.as_ref()?);
    let message = "what is not retained is lost to a client that comes back, and it gets no hello that would \
                   make it load that anew";
    let remedy = "name what may be lost as `ephemeral` in place of `retain`, or leave out `hello`";
    let place = source.place(retain.span());
    (route.mode == Mode::Shared).then(|| wrong(message, remedy).at(place))
}

/// On a private stream everything that comes is its client's own, a hello too.
fn idle_hello(source: Source<'_>, written: &file::Route, route: &Route) -> Option<Fault> {
    let hello = written.hello.as_ref()?;
    let message = "`hello` has no effect on a private stream: its client has had the hello of the connection that it \
                   comes back to";
    let remedy = "write `mode = \"shared\"`, or leave it out";
    let place = source.place(hello.span());
    (route.mode == Mode::Private).then(|| wrong(message, remedy).at(place))
}
