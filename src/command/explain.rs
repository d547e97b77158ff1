//! `respool check --explain URL`: what a configuration makes of a request, and why.

use std::fmt::Write as _;

use http::{
    HeaderName, HeaderValue, Method, Request,
    header::{self, Entry},
    request::Parts,
    uri::{PathAndQuery, Uri},
};

use crate::{
    config::{Config, Outline},
    head,
    id::Asked,
    plain,
    route::{self, Admit, Ids, KeyPart, Mode, OnBreak, OnGap, Route, Routes, Stamp},
};

/// What is asked for: a path with its query, and the host that it is asked of.
#[derive(Clone, Debug)]
pub struct Target {
    host: Option<String>,
    path: PathAndQuery,
}

/// A URL, or a path alone.
///
/// # Errors
///
/// When it is neither.
pub fn target(text: &str) -> Result<Target, String> {
    let wrong =
        || "write what a client asks for, such as http://127.0.0.1:8080/events or /events?room=1".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let host = uri.authority().map(ToString::to_string);
    let path = uri.path_and_query().cloned().filter(|path| path.as_str().starts_with('/'));
    Ok(Target { host, path: path.ok_or_else(wrong)? })
}

/// A header, as it stands in a request.
///
/// # Errors
///
/// When it is none.
pub fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || "write a name, a colon and a value, such as 'Authorization: Bearer x'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = name.trim().parse().map_err(|_| wrong())?;
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The request of a client.
#[must_use]
pub fn request(target: Target, method: Method, headers: Vec<(HeaderName, HeaderValue)>) -> Parts {
    let mut parts = Request::new(()).into_parts().0;
    (parts.method, parts.uri) = (method, target.path.into());
    for (name, value) in headers {
        parts.headers.append(name, value);
    }
    if let (Entry::Vacant(host), Some(named)) = (parts.headers.entry(header::HOST), &target.host)
        && let Ok(named) = HeaderValue::from_str(named)
    {
        host.insert(named);
    }
    parts
}

/// What becomes of the request, in lines for a person. Values of headers, cookies and parameters are not in it.
#[must_use]
pub fn explain(config: &Config, outline: &[Outline], request: &Parts) -> String {
    let mut lines = Lines::default();
    let routes = Routes::new(config.routes.clone());
    let Some(route) = routes.find(request.uri.path()) else { return String::new() };
    let number = config.routes.iter().position(|other| other.name == route.name);
    let written = number.and_then(|number| outline.get(number));
    lines.say("request", &format!("{} {}", request.method, request.uri.path()));
    lines.say("route", &which(route, written, request));
    lines.say("mode", mode(route));
    if let Some(why) = passes(route, request) {
        lines.say("ids", &format!("none: {why}"));
        lines.say("so", "it passes: nothing is kept of it, and nothing can be resumed");
        return lines.0;
    }
    lines.say("ids", ids(route));
    lines.say("browser", prime(route, request));
    if config.stumbling.includes(&request.headers) {
        lines.say("frames", "none without data: its User-Agent is one of `stumbling`");
    }
    key(&mut lines, route, request);
    admission(&mut lines, route, request);
    lines.say("window", &window(route));
    lines.say("kept", &kept(route));
    lines.say("when quiet", &quiet(route));
    lines.say("comes back", &comes_back(route, request));
    rules(&mut lines, written);
    lines.say("answer", "all of this if the upstream answers 200 with text/event-stream, neither compressed nor of a known length; anything else passes");
    lines.0
}

/// Names and what is said of each, the latter below each other.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn say(&mut self, name: &str, what: &str) {
        let _ = writeln!(self.0, "{name:<11} {}", plain::line(what));
    }
}

fn which(route: &Route, written: Option<&Outline>, request: &Parts) -> String {
    let Some(written) = written else {
        let plain = Routes::new(vec![Route {
            path: globset::Glob::new("**").ok().map(|all| all.compile_matcher().into()),
            ..route.clone()
        }]);
        return match plain.find(request.uri.path()) {
            Some(_) => "default: no route matches this path".to_owned(),
            None => "default: a path with dot segments or encoded slashes matches no route".to_owned(),
        };
    };
    let preset = written.preset.iter().map(|preset| format!(", of the preset {preset}"));
    format!(
        "{}{}, {}",
        route.name,
        preset.collect::<String>(),
        written.place.to_string().trim_end_matches([':', ' '])
    )
}

fn mode(route: &Route) -> &'static str {
    match route.mode {
        Mode::Private => "private: an upstream connection of its own",
        Mode::Shared => "shared: one upstream connection for all with the same key",
        Mode::Pass => "pass",
    }
}

/// Why the request passes without ids, if it does.
fn passes(route: &Route, request: &Parts) -> Option<&'static str> {
    if route.mode == Mode::Pass {
        return Some("its route says `mode = \"pass\"`");
    }
    if matches!(request.method, Method::HEAD | Method::OPTIONS) {
        return Some("HEAD and OPTIONS always pass");
    }
    if request.headers.contains_key(header::UPGRADE) {
        return Some("what asks for an upgrade, such as a WebSocket, always passes");
    }
    if head::gets_ids(route, request) {
        return None;
    }
    Some(match (route.stamp, route.ids) {
        (Stamp::Never, _) => "its route says `stamp = \"never\"`",
        (_, Ids::Hidden) => {
            "ids are hidden, and only an EventSource is given those (Accept: text/event-stream, Cache-Control: no-cache)"
        }
        _ if request.method != Method::GET => "it is no GET; `stamp = \"always\"` gives ids to it, too",
        _ => {
            "it is a fetch from a page of another origin (Origin), to which an id would cost a preflight; `stamp = \"always\"` gives ids to it, too"
        }
    })
}

fn ids(route: &Route) -> &'static str {
    match route.ids {
        Ids::Keep => "ours, until the upstream sends one of its own; its own from then on",
        Ids::Replace => "ours, whatever the upstream sends",
        Ids::Hidden => "the upstream's or none; ours follow in frames that no page sees",
    }
}

fn prime(route: &Route, request: &Parts) -> &'static str {
    match (head::is_event_source(request), route.prime) {
        (true, true) => "an EventSource: it gets an id before the first event",
        (true, false) => "an EventSource; `prime = false`, so that its first id comes with an event",
        (false, _) => {
            "no EventSource (Accept: text/event-stream, Cache-Control: no-cache): its first id comes with an event"
        }
    }
}

/// What counts of this very request, without what could be a secret.
fn key(lines: &mut Lines, route: &Route, request: &Parts) {
    let about = match &route.key {
        Some(_) => "what counts of this request, all else does not:",
        None => "all that could matter; of this request:",
    };
    lines.say("key", about);
    for (part, values) in route::counted(route, request) {
        lines.say("", &format!("  {part}: {}", shown(&part, &values)));
    }
    if route.mode == Mode::Shared && request.method != Method::GET {
        lines.say("", "it shares with nobody: only a GET without a body does");
    }
}

fn shown(part: &KeyPart, values: &[Vec<u8>]) -> String {
    let bytes: usize = values.iter().map(Vec::len).sum();
    let text = || String::from_utf8_lossy(&values.concat()).escape_debug().to_string();
    match part {
        _ if bytes == 0 => "none".to_owned(),
        KeyPart::Path | KeyPart::Host => text(),
        KeyPart::Query => {
            let query = text();
            let names: Vec<_> =
                query.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).collect();
            format!("{} (values are not shown)", names.join(", "))
        }
        KeyPart::Parameter(_) | KeyPart::Header(_) | KeyPart::Cookie(_) => {
            format!("{bytes} bytes, not shown")
        }
    }
}

fn admission(lines: &mut Lines, route: &Route, request: &Parts) {
    if route.mode != Mode::Shared || request.method != Method::GET {
        return;
    }
    let time = humantime::format_duration;
    let admit = match (route.admit, route.admit_cache) {
        (Admit::None, _) => {
            "nobody is asked; only a page of another origin is, unless the stream is for any".to_owned()
        }
        (Admit::Upstream, None) => "the upstream is asked each time, with this request".to_owned(),
        (Admit::Upstream, Some(cache)) => {
            format!(
                "the upstream is asked with this request; a yes counts for {} for whoever comes back",
                time(cache)
            )
        }
    };
    lines.say("admission", &admit);
    if let Some(every) = route.readmit {
        lines.say("asked again", &format!("about every {} while the client is there", time(every)));
    }
    let breaks = match (route.breaks.resumes, route.breaks.on_break) {
        (true, _) => "the upstream is asked for what came after its last id, and nobody notices",
        (false, OnBreak::Close) => "clients are cut when they have all that came, and find a gap",
        (false, OnBreak::Hold) => "clients stay, and are told by the hello or by the gap event",
    };
    lines.say("if lost", breaks);
}

fn window(route: &Route) -> String {
    let window = route.window;
    let bytes = bytesize::ByteSize(window.bytes.get() as u64).display().iec();
    format!(
        "{} events, {bytes}, {}: whichever is reached first",
        window.events,
        humantime::format_duration(window.age)
    )
}

fn kept(route: &Route) -> String {
    match &route.pin {
        Some(pin) => format!("always: {} is subscribed at start", pin.target),
        None => format!("for {} after its last client has gone", humantime::format_duration(route.linger)),
    }
}

fn quiet(route: &Route) -> String {
    match &route.heartbeat {
        Some(heartbeat) => format!("a heartbeat every {}", humantime::format_duration(heartbeat.every)),
        None => "nothing: `heartbeat = \"none\"`".to_owned(),
    }
}

/// What the request asks for, and what it is given that cannot have that.
fn comes_back(route: &Route, request: &Parts) -> String {
    let asked = match head::asked(&request.headers) {
        Asked::Nothing => head::asked_by_query(route, &request.uri),
        asked => asked,
    };
    let gap = match route.on_gap {
        OnGap::Fresh => "a new client gets",
        OnGap::Replay => "a new client gets, and after it what is still retained",
    };
    let told = if route.gap_event.is_some() { "the gap event, and " } else { "" };
    let id = match asked {
        Asked::Nothing => "it brings no id: a new client",
        Asked::Foreign(_) => {
            "it brings an id that is none of ours: looked up in the stream, else the upstream may know it"
        }
        _ => "it brings an id of ours: it gets all after it",
    };
    format!("{id}; on a gap, {told}what {gap}")
}

fn rules(lines: &mut Lines, written: Option<&Outline>) {
    let rules = written.map_or(&[][..], |written| &written.rules);
    let mut name = "rules";
    for rule in rules {
        lines.say(std::mem::take(&mut name), rule);
    }
    if rules.is_empty() {
        lines.say(name, "none: every event is kept");
    }
}
