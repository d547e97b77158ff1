//! A route as written, judged: what it means, or why it cannot be meant.

use std::{collections::HashSet, num::NonZeroUsize, ops::Range, time::Duration};

use super::{
    admission,
    fault::{Wrong, wrong},
    file, gap, heartbeat, key, limits, path, rules, secret,
    source::{Source, Table},
    value,
    written::Spanned,
};
use crate::{
    route::{Admit, Breaks, CursorQuery, Ids, KeyPart, Mode, OnGap, Paths, Pin, Route, Stamp},
    rules::Rules,
    window::Bounds,
};
use http::HeaderMap;

/// The name of the route for what no other matches.
pub(super) const DEFAULT: &str = "default";
const PRIVATE_LINGER: Duration = Duration::from_secs(2 * 60);
const SHARED_LINGER: Duration = Duration::from_secs(5 * 60);

/// What a route is judged by, beside its own keys.
pub(super) struct Judge<'a> {
    pub(super) source: Source<'a>,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) window: Bounds,
    /// None where it is not known.
    pub(super) event: Option<NonZeroUsize>,
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
        readmit: None,
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
    /// All routes, each after the earlier ones that it must leave something to do for.
    pub(super) fn routes(&self, written: &[Spanned<file::Route>]) -> Vec<Route> {
        let mut routes: Vec<Route> = Vec::with_capacity(written.len() + 1);
        for route in written {
            routes.extend(self.route(route, &routes));
        }
        routes.push(default(self.window));
        routes
    }

    /// What each key means by itself, and then, if all mean something, what they say to each other. A route without a
    /// path is noted, and is none.
    fn route(&self, written: &Spanned<file::Route>, earlier: &[Route]) -> Option<Route> {
        let (table, faults) = (Table::At(written.span()), self.source.found.count());
        let path = self.path(written, earlier);
        let written = written.get_ref();
        let mode = self.source.read(written.mode.as_ref(), |text| value::choice(text, MODES));
        let (ids, rules) = rules::of(written, self.source);
        let (on_gap, gap_event) = gap::of(written, self.source);
        let admission = admission::of(written, self.source);
        let stamp = self.source.read(written.stamp.as_ref(), |text| value::choice(text, STAMPS));
        let linger = self.source.read(written.linger.as_ref(), value::duration);
        let mut route = Route {
            ids,
            rules,
            on_gap,
            gap_event,
            breaks: gap::breaks(written, self.source),
            key: self.key(written),
            cursor_query: self.cursor_query(written),
            admit: admission.admit,
            admit_timeout: admission.timeout,
            admit_cache: admission.cache,
            readmit: admission.again,
            stamp: stamp.unwrap_or(Stamp::Auto),
            heartbeat: heartbeat::of(written, self.source),
            match_upstream_ids: written.match_upstream_ids.as_ref().is_none_or(|on| on.get_ref().0),
            cors_allow_cursor: written.cors_allow_cursor.as_ref().is_some_and(|on| on.get_ref().0),
            retry: self.source.read(written.retry.as_ref(), value::retry),
            prime: written.prime.as_ref().is_none_or(|prime| prime.get_ref().0),
            window: self.window(written),
            ..default(self.window)
        };
        route.mode = mode.unwrap_or(route.mode);
        route.linger = linger.unwrap_or_else(|| default_linger(route.mode));
        let pin_headers = self.pin_headers(written);
        let path = path?;
        if self.source.is_right(&table, faults) {
            route.pin = self.pin(written, &route, (&path.text, pin_headers));
            self.refuse_idle(written, &route);
        }
        Some(Route { name: path.text, path: Some(path.matcher), ..route })
    }

    fn path(&self, route: &Spanned<file::Route>, earlier: &[Route]) -> Option<PathOf> {
        let Some(written) = &route.get_ref().path else {
            let missing =
                wrong("this route has no path", "write which paths it is for: `path = \"/events\"`");
            let fault = missing.at(self.source.place(route.span()));
            self.source.lacks(&Table::At(route.span()), &["path", "preset"], fault);
            return None;
        };
        let text = written.get_ref().as_ref();
        let matcher = self.source.judged(path::glob(text), written.span())?;
        let takes = |other: &&Route| {
            other.path.as_ref().is_some_and(|matcher| path::takes_all((&other.name, matcher), text))
        };
        if let Some(other) = earlier.iter().find(takes) {
            let message =
                format!("`{text}` can never match: the earlier route `{}` takes all of it", other.name);
            let remedy = "the first match wins: write the narrower route first, or leave one out";
            self.source.refuse(wrong(message, remedy), written.span());
        }
        Some(PathOf { text: text.to_owned(), matcher })
    }

    /// What has no effect beside other keys would be taken for an effect. Each place is spoken of once.
    fn refuse_idle(&self, written: &file::Route, route: &Route) {
        let mut idle = match route.mode {
            Mode::Pass => beside_pass(written),
            Mode::Private => beside_private(written),
            Mode::Shared => beside_shared(written),
        };
        idle.extend(beside_never(written));
        idle.extend(without_pin(written));
        idle.extend(admission::beside_none(written));
        idle.extend(rules::idle(written, (route.ids, &route.rules)));
        idle.extend(gap::idle(written, (route.ids, route.breaks)));
        idle.extend(heartbeat::idle(written));
        idle.extend(cursor_in_key(written, &route.cursor_query));
        let mut told = HashSet::new();
        idle.retain(|(span, _)| told.insert(span.start));
        idle.into_iter().for_each(|(span, wrong)| self.source.refuse(wrong, span));
    }

    fn key(&self, route: &file::Route) -> Option<Vec<KeyPart>> {
        let key = route.key.as_ref()?;
        let nothing = wrong("the key names nothing", "write what counts, such as `key = [\"path\"]`");
        self.source.not_empty(key, nothing);
        Some(self.source.each(key, key::part))
    }

    fn cursor_query(&self, route: &file::Route) -> CursorQuery {
        let Some(names) = &route.cursor_query else { return CursorQuery::default() };
        CursorQuery::new(self.source.each(names, key::cursor))
    }

    fn pin_headers(&self, route: &file::Route) -> HeaderMap {
        let headers = route.pin_headers.as_ref().filter(|_| is_pinned(route));
        headers.map(|headers| secret::headers(headers, self.source, self.env)).unwrap_or_default()
    }

    fn pin(&self, written: &file::Route, route: &Route, of: (&str, HeaderMap)) -> Option<Pin> {
        let pin = written.pin.as_ref().filter(|_| route.mode == Mode::Shared && is_pinned(written))?;
        let (path, headers) = of;
        let target = path::single(path).ok_or_else(|| {
            let message = format!("`{path}` is no single path, so nobody knows what to subscribe to");
            wrong(message, "pin a route whose path has no wildcard")
        });
        let target = self.source.judged(target, pin.span())?;
        let counts_host = route.key.as_ref().is_none_or(|key| key.contains(&KeyPart::Host));
        if counts_host && !headers.contains_key(http::header::HOST) {
            let message = "this stream would be shared with nobody: its key counts the Host, and a pin has none of its own";
            let remedy = "say what counts, such as `key = [\"path\"]`, or give `host` in `pin_headers`";
            self.source.refuse(wrong(message, remedy), pin.span());
        }
        Some(Pin { target, headers })
    }

    fn window(&self, route: &file::Route) -> Bounds {
        let own = route.window.as_ref();
        own.map_or(self.window, |own| limits::window(self.source, own.get_ref(), self.window, self.event))
    }
}

fn default_linger(mode: Mode) -> Duration {
    match mode {
        Mode::Shared => SHARED_LINGER,
        Mode::Private | Mode::Pass => PRIVATE_LINGER,
    }
}

fn is_pinned(route: &file::Route) -> bool {
    route.pin.as_ref().is_some_and(|pin| pin.get_ref().0)
}

const MODES: &[(&str, Mode)] = &[("private", Mode::Private), ("shared", Mode::Shared), ("pass", Mode::Pass)];
const STAMPS: &[(&str, Stamp)] = &[("auto", Stamp::Auto), ("always", Stamp::Always), ("never", Stamp::Never)];

struct PathOf {
    text: String,
    matcher: Paths,
}

/// Where something stands that means nothing, and what it stands beside.
pub(super) type Idle = (Range<usize>, Wrong);

/// What means nothing where requests only pass.
fn beside_pass(route: &file::Route) -> Vec<Idle> {
    let remedy = "leave it out, or write `mode = \"private\"` or `mode = \"shared\"`";
    let idle = |key| wrong(format!("`{key}` has no effect where requests only pass"), remedy);
    of_streams(route).map(|(key, span)| (span, idle(key))).collect()
}

/// What means nothing where streams get no ids: they pass.
fn beside_never(route: &file::Route) -> Vec<Idle> {
    if route.stamp.as_ref().is_none_or(|stamp| stamp.get_ref().as_ref() != "never") {
        return Vec::new();
    }
    let shared = route.mode.as_ref().filter(|mode| mode.get_ref().as_ref() == "shared");
    let shared = shared.map(|mode| ("mode = \"shared\"", mode.span()));
    // What the upstream gets to see of a query is said all the same.
    let keys = of_streams(route).filter(|(key, _)| !matches!(*key, "stamp" | "cursor_query"));
    let idle =
        |key| wrong(format!("`{key}` has no effect where no stream gets ids"), "leave it out, or `stamp`");
    shared.into_iter().chain(keys).map(|(key, span)| (span, idle(key))).collect()
}

/// The keys that say something of streams of ours, with their places.
fn of_streams(route: &file::Route) -> impl Iterator<Item = (&'static str, Range<usize>)> {
    let keys = [
        ("key", route.key.as_ref().map(Spanned::span)),
        ("cursor_query", route.cursor_query.as_ref().map(Spanned::span)),
        ("admit", route.admit.as_ref().map(Spanned::span)),
        ("admit_timeout", route.admit_timeout.as_ref().map(Spanned::span)),
        ("admit_cache", route.admit_cache.as_ref().map(Spanned::span)),
        ("readmit", route.readmit.as_ref().map(Spanned::span)),
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
fn beside_shared(route: &file::Route) -> Vec<Idle> {
    let matched = route.match_upstream_ids.as_ref().filter(|on| !on.get_ref().0);
    let remedy = "leave it out, or write `mode = \"private\"`";
    let idle = || wrong("ids of the upstream's are looked up in the shared stream", remedy);
    matched.map(|matched| (matched.span(), idle())).into_iter().collect()
}

/// What means something for shared streams only.
fn beside_private(route: &file::Route) -> Vec<Idle> {
    let mut idle = Vec::new();
    if let Some(pin) = route.pin.as_ref().filter(|_| is_pinned(route)) {
        let remedy = "write `mode = \"shared\"`, or leave `pin` out";
        idle.push((pin.span(), wrong("only a shared stream can be pinned", remedy)));
    }
    let holds = route.on_break.as_ref().filter(|written| written.get_ref().as_ref() == "hold");
    let resumes = route.upstream_resumes.as_ref().filter(|written| written.get_ref().0);
    let shared_only =
        [("on_break", holds.map(Spanned::span)), ("upstream_resumes", resumes.map(Spanned::span))];
    idle.extend(shared_only.into_iter().filter_map(|(key, span)| {
        let remedy = format!("write `mode = \"shared\"`, or leave `{key}` out");
        Some((span?, wrong("the upstream of a private stream is never asked for it again", remedy)))
    }));
    idle.extend(admission::beside_private(route));
    idle
}

fn without_pin(route: &file::Route) -> Option<Idle> {
    let headers = route.pin_headers.as_ref().filter(|_| !is_pinned(route))?;
    let wrong = wrong("`pin_headers` has no effect without a pin", "write `pin = true`, or leave it out");
    Some((headers.span(), wrong))
}

/// What carries a cursor says nothing of which stream is meant.
fn cursor_in_key(route: &file::Route, query: &CursorQuery) -> Vec<Idle> {
    let parts = route.key.as_ref().map(|key| key.get_ref().each(&key.span()));
    let cursors = parts.into_iter().flatten().filter(|(text, _)| key::is_cursor(text, query));
    let idle = |(text, span): (&str, _)| {
        let message = format!("`{text}` never counts: it is where a client says what it has seen");
        let remedy = match text.starts_with("query:") {
            true => "leave it out, or name only other parameters in `cursor_query`",
            false => "leave it out",
        };
        (span, wrong(message, remedy))
    };
    cursors.map(idle).collect()
}
