//! A route as written, judged: what it means, or why it cannot be meant.

use std::{num::NonZeroUsize, ops::Range, time::Duration};

use toml::Spanned;

use super::{
    admission,
    fault::{Fault, Wrong, wrong},
    file::{self, Source},
    gap, heartbeat, key, limits, path, rules, secret, value,
};
use crate::{
    route::{Admit, Breaks, CursorQuery, Ids, KeyPart, Mode, OnGap, Pin, Route, Stamp},
    rules::Rules,
    window::Bounds,
};

/// The name of the route for what no other matches.
pub(super) const DEFAULT: &str = "default";
const PRIVATE_LINGER: Duration = Duration::from_secs(2 * 60);
const SHARED_LINGER: Duration = Duration::from_secs(5 * 60);

/// What a route is judged by, beside its own keys.
pub(super) struct Judge<'a> {
    pub(super) source: Source<'a>,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) window: Bounds,
    pub(super) event: NonZeroUsize,
}

/// The route for what no other matches.
pub(super) fn default(window: Bounds) -> Route {
    Route {
        name: DEFAULT.to_owned(),
        path: None,
        mode: Mode::Private,
        key: None,
        cursor_query: CursorQuery::default(),
        admit: Admit::Upstream,
        admit_timeout: admission::TIMEOUT,
        admit_cache: None,
        pin: None,
        linger: PRIVATE_LINGER,
        stamp: Stamp::Auto,
        heartbeat: Some(heartbeat::default()),
        retry: None,
        prime: true,
        window,
        ids: Ids::default(),
        match_upstream_ids: true,
        cors_allow_cursor: false,
        rules: Rules::default(),
        on_gap: OnGap::default(),
        gap_event: None,
        breaks: Breaks::default(),
    }
}

impl Judge<'_> {
    /// All routes, each after the `earlier` ones that it must leave something to do for.
    pub(super) fn routes(&self, written: &[Spanned<file::Route>]) -> Result<Vec<Route>, Fault> {
        let mut routes: Vec<Route> = Vec::with_capacity(written.len() + 1);
        for route in written {
            let path = self.path(route, &routes)?;
            self.combination(route.get_ref())?;
            routes.push(self.route(route.get_ref(), path)?);
        }
        routes.push(default(self.window));
        Ok(routes)
    }

    fn path(&self, route: &Spanned<file::Route>, earlier: &[Route]) -> Result<PathOf, Fault> {
        let Some(written) = &route.get_ref().path else {
            let missing =
                wrong("this route has no path", "write which paths it is for: `path = \"/events\"`");
            return Err(missing.at(self.source.place(route.span())));
        };
        let (text, place) = (written.get_ref().as_ref(), || self.source.place(written.span()));
        let matcher = path::glob(text).map_err(|wrong| wrong.at(place()))?;
        let takes = |other: &&Route| {
            other.path.as_ref().is_some_and(|matcher| path::takes_all((&other.name, matcher), text))
        };
        match earlier.iter().find(takes) {
            Some(other) => Err(wrong(
                format!("`{text}` can never match: the earlier route `{}` takes all of it", other.name),
                "the first match wins: write the narrower route first, or leave one out",
            )
            .at(place())),
            None => Ok(PathOf { text: text.to_owned(), matcher }),
        }
    }

    fn route(&self, written: &file::Route, path: PathOf) -> Result<Route, Fault> {
        let mode = self.mode(written)?;
        let linger = match mode {
            Mode::Shared => SHARED_LINGER,
            Mode::Private | Mode::Pass => PRIVATE_LINGER,
        };
        let (ids, rules) = rules::of(written, self.source)?;
        let (on_gap, gap_event) = gap::of(written, self.source)?;
        let admission = admission::of(written, self.source)?;
        Ok(Route {
            mode,
            ids,
            rules,
            on_gap,
            gap_event,
            breaks: gap::breaks(written, ids, self.source)?,
            key: self.key(written)?,
            cursor_query: self.cursor_query(written)?,
            admit: admission.admit,
            admit_timeout: admission.timeout,
            admit_cache: admission.cache,
            pin: self.pin(written, &path.text)?,
            linger: self.source.read(written.linger.as_ref(), value::duration)?.unwrap_or(linger),
            stamp: self
                .source
                .read(written.stamp.as_ref(), |text| value::choice(text, STAMPS))?
                .unwrap_or(Stamp::Auto),
            heartbeat: heartbeat::of(written, self.source)?,
            match_upstream_ids: written.match_upstream_ids.as_ref().is_none_or(|on| on.get_ref().0),
            cors_allow_cursor: written.cors_allow_cursor.as_ref().is_some_and(|on| on.get_ref().0),
            retry: self.source.read(written.retry.as_ref(), value::retry)?,
            prime: written.prime.as_ref().is_none_or(|prime| prime.get_ref().0),
            window: self.window(written)?,
            name: path.text,
            path: Some(path.matcher),
        })
    }

    fn mode(&self, written: &file::Route) -> Result<Mode, Fault> {
        let mode = self.source.read(written.mode.as_ref(), |text| value::choice(text, MODES))?;
        Ok(mode.unwrap_or(Mode::Private))
    }

    /// What has no effect beside other keys would be taken for an effect.
    fn combination(&self, route: &file::Route) -> Result<(), Fault> {
        let mode = self.mode(route)?;
        let pinned = route.pin.as_ref().is_some_and(|pin| pin.get_ref().0);
        let idle = match mode {
            Mode::Pass => beside_pass(route),
            Mode::Private => beside_private(route, pinned),
            Mode::Shared => beside_shared(route),
        };
        let idle = idle.or_else(|| beside_never(route));
        if let Some((span, wrong)) = idle {
            return Err(wrong.at(self.source.place(span)));
        }
        if let Some(headers) = route.pin_headers.as_ref().filter(|_| !pinned) {
            let wrong =
                wrong("`pin_headers` has no effect without a pin", "write `pin = true`, or leave it out");
            return Err(wrong.at(self.source.place(headers.span())));
        }
        Ok(())
    }

    fn key(&self, route: &file::Route) -> Result<Option<Vec<KeyPart>>, Fault> {
        let Some(key) = &route.key else { return Ok(None) };
        let parts = key.get_ref().each(&key.span());
        if parts.is_empty() {
            let wrong = wrong("the key names nothing", "write what counts, such as `key = [\"path\"]`");
            return Err(wrong.at(self.source.place(key.span())));
        }
        let part = |(text, span)| key::part(text).map_err(|wrong| wrong.at(self.source.place(span)));
        parts.into_iter().map(part).collect::<Result<_, _>>().map(Some)
    }

    fn cursor_query(&self, route: &file::Route) -> Result<CursorQuery, Fault> {
        let query = match &route.cursor_query {
            None => CursorQuery::default(),
            Some(names) => {
                let name =
                    |(text, span)| key::cursor(text).map_err(|wrong| wrong.at(self.source.place(span)));
                let each = names.get_ref().each(&names.span());
                CursorQuery::new(each.into_iter().map(name).collect::<Result<_, _>>()?)
            }
        };
        let parts = route.key.as_ref().map(|key| key.get_ref().each(&key.span()));
        match parts.into_iter().flatten().find(|(text, _)| key::is_cursor(text, &query)) {
            Some((text, span)) => {
                let message = format!("`{text}` never counts: it is where a client says what it has seen");
                let remedy = match text.starts_with("query:") {
                    true => "leave it out, or name only other parameters in `cursor_query`",
                    false => "leave it out",
                };
                Err(wrong(message, remedy).at(self.source.place(span)))
            }
            None => Ok(query),
        }
    }

    fn pin(&self, route: &file::Route, path: &str) -> Result<Option<Pin>, Fault> {
        let Some(pin) = route.pin.as_ref().filter(|pin| pin.get_ref().0) else { return Ok(None) };
        let Some(target) = path::single(path) else {
            let message = format!("`{path}` is no single path, so nobody knows what to subscribe to");
            let wrong = wrong(message, "pin a route whose path has no wildcard");
            return Err(wrong.at(self.source.place(pin.span())));
        };
        let headers = match &route.pin_headers {
            Some(headers) => secret::headers(headers, self.source, self.env)?,
            None => http::HeaderMap::new(),
        };
        let key = self.key(route)?;
        let counts_host = key.is_none_or(|key| key.contains(&KeyPart::Host));
        if counts_host && !headers.contains_key(http::header::HOST) {
            let message = "this stream would be shared with nobody: its key counts the Host, and a pin has none of its own";
            let wrong = wrong(
                message,
                "say what counts, such as `key = [\"path\"]`, or give `host` in `pin_headers`",
            );
            return Err(wrong.at(self.source.place(pin.span())));
        }
        Ok(Some(Pin { target, headers }))
    }

    fn window(&self, route: &file::Route) -> Result<Bounds, Fault> {
        match &route.window {
            Some(window) => limits::window(self.source, window.get_ref(), self.window, self.event),
            None => Ok(self.window),
        }
    }
}

const MODES: &[(&str, Mode)] = &[("private", Mode::Private), ("shared", Mode::Shared), ("pass", Mode::Pass)];
const STAMPS: &[(&str, Stamp)] = &[("auto", Stamp::Auto), ("always", Stamp::Always), ("never", Stamp::Never)];

struct PathOf {
    text: String,
    matcher: globset::GlobMatcher,
}

pub(super) type Idle = Option<(Range<usize>, Wrong)>;

/// The first key that means nothing where requests only pass.
fn beside_pass(route: &file::Route) -> Idle {
    let (key, span) = of_streams(route).next()?;
    let remedy = "leave it out, or write `mode = \"private\"` or `mode = \"shared\"`";
    Some((span, wrong(format!("`{key}` has no effect where requests only pass"), remedy)))
}

/// The first key that means nothing where streams get no ids: they pass.
fn beside_never(route: &file::Route) -> Idle {
    route.stamp.as_ref().filter(|stamp| stamp.get_ref().as_ref() == "never")?;
    let shared = route.mode.as_ref().filter(|mode| mode.get_ref().as_ref() == "shared");
    let shared = shared.map(|mode| ("mode = \"shared\"", mode.span()));
    // What the upstream gets to see of a query is said all the same.
    let keys = of_streams(route).filter(|(key, _)| !matches!(*key, "stamp" | "cursor_query"));
    let (key, span) = shared.into_iter().chain(keys).next()?;
    let remedy = "leave it out, or `stamp`";
    Some((span, wrong(format!("`{key}` has no effect where no stream gets ids"), remedy)))
}

/// The keys that say something of streams of ours, with their places.
fn of_streams(route: &file::Route) -> impl Iterator<Item = (&'static str, Range<usize>)> {
    let keys = [
        ("key", route.key.as_ref().map(Spanned::span)),
        ("cursor_query", route.cursor_query.as_ref().map(Spanned::span)),
        ("admit", route.admit.as_ref().map(Spanned::span)),
        ("admit_timeout", route.admit_timeout.as_ref().map(Spanned::span)),
        ("admit_cache", route.admit_cache.as_ref().map(Spanned::span)),
        ("pin", route.pin.as_ref().map(Spanned::span)),
        ("pin_headers", route.pin_headers.as_ref().map(Spanned::span)),
        ("linger", route.linger.as_ref().map(Spanned::span)),
        ("stamp", route.stamp.as_ref().map(Spanned::span)),
        ("heartbeat", route.heartbeat.as_ref().map(Spanned::span)),
        ("heartbeat_shape", route.heartbeat_shape.as_ref().map(Spanned::span)),
        ("heartbeat_pad", route.heartbeat_pad.as_ref().map(Spanned::span)),
        ("retry", route.retry.as_ref().map(Spanned::span)),
        ("prime", route.prime.as_ref().map(Spanned::span)),
        ("window", route.window.as_ref().map(Spanned::span)),
        ("ids", route.ids.as_ref().map(Spanned::span)),
        ("match_upstream_ids", route.match_upstream_ids.as_ref().map(Spanned::span)),
        ("cors_allow_cursor", route.cors_allow_cursor.as_ref().map(Spanned::span)),
        ("keep_ids_of", route.keep_ids_of.as_ref().map(Spanned::span)),
        ("type", route.kind.as_ref().map(Spanned::span)),
        ("reset", route.reset.as_ref().map(Spanned::span)),
        ("ephemeral", route.ephemeral.as_ref().map(Spanned::span)),
        ("retain", route.retain.as_ref().map(Spanned::span)),
        ("hello", route.hello.as_ref().map(Spanned::span)),
        ("hello_events", route.hello_events.as_ref().map(Spanned::span)),
        ("hello_wait", route.hello_wait.as_ref().map(Spanned::span)),
        ("on_gap", route.on_gap.as_ref().map(Spanned::span)),
        ("gap_event", route.gap_event.as_ref().map(Spanned::span)),
        ("on_break", route.on_break.as_ref().map(Spanned::span)),
        ("upstream_resumes", route.upstream_resumes.as_ref().map(Spanned::span)),
        ("guard", route.guard.first().map(Spanned::span)),
    ];
    keys.into_iter().filter_map(|(key, span)| Some((key, span?)))
}

/// What means something for private streams only.
fn beside_shared(route: &file::Route) -> Idle {
    let matched = route.match_upstream_ids.as_ref().filter(|on| !on.get_ref().0)?;
    let remedy = "leave it out, or write `mode = \"private\"`";
    Some((matched.span(), wrong("ids of the upstream's are looked up in the shared stream", remedy)))
}

/// What means something for shared streams only.
fn beside_private(route: &file::Route, pinned: bool) -> Idle {
    if let Some(pin) = route.pin.as_ref().filter(|_| pinned) {
        let remedy = "write `mode = \"shared\"`, or leave `pin` out";
        return Some((pin.span(), wrong("only a shared stream can be pinned", remedy)));
    }
    let holds = route.on_break.as_ref().filter(|written| written.get_ref().as_ref() == "hold");
    let resumes = route.upstream_resumes.as_ref().filter(|written| written.get_ref().0);
    let shared_only =
        [("on_break", holds.map(Spanned::span)), ("upstream_resumes", resumes.map(Spanned::span))];
    if let Some((key, span)) = shared_only.into_iter().find_map(|(key, span)| Some((key, span?))) {
        let remedy = format!("write `mode = \"shared\"`, or leave `{key}` out");
        return Some((span, wrong("the upstream of a private stream is never asked for it again", remedy)));
    }
    admission::beside_private(route)
}
