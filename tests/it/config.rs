//! Golden cases: text in; the resolved settings, or the fault with its place, out.

use std::fmt::Write as _;

use respool::config::{Config, Faults, Flags, Severity};
use respool::route::Route;

const UPSTREAM: &str = "upstream = \"http://127.0.0.1:9000\"\n";

fn resolve(file: &str, flags: &Flags, env: &[(&str, &str)]) -> Result<Config, Faults> {
    let env = |name: &str| env.iter().find(|(had, _)| *had == name).map(|(_, value)| (*value).to_owned());
    Config::resolve(flags, &env, Some(("r.toml", file)))
}

/// A file that is refused, and the whole of what is said. The upstream stands in the first line.
#[track_caller]
fn refused(file: &str, expected: &str) {
    let fault = resolve(&format!("{UPSTREAM}{file}"), &Flags::default(), &[]).unwrap_err();
    assert_eq!(fault.to_string(), expected);
}

/// The routes of a file that is taken.
#[track_caller]
fn routes(file: &str, expected: &[&str]) {
    let config = resolve(&format!("{UPSTREAM}{file}"), &Flags::default(), &[]).unwrap();
    let routes: Vec<_> = config.routes.iter().map(summary).collect();
    assert_eq!(routes, expected);
}

fn summary(route: &Route) -> String {
    let mut line = format!("{} {:?}", route.name, route.mode);
    if let Some(key) = &route.key {
        write!(line, " key={key:?}").unwrap();
    }
    if let Some(pin) = &route.pin {
        write!(line, " pin={} {:?}", pin.target, pin.headers).unwrap();
    }
    let (window, beat) = (route.window, route.heartbeat.as_ref().map(|heartbeat| heartbeat.every));
    write!(line, " admit={:?}", route.admit).unwrap();
    let waits = route.admit_timeout.as_secs();
    match route.admit_cache {
        None if waits == 5 => {}
        cache => write!(line, "/{waits}s/{cache:?}").unwrap(),
    }
    write!(line, " linger={:?} stamp={:?}", route.linger, route.stamp).unwrap();
    write!(line, " beat={beat:?} prime={}", route.prime).unwrap();
    write!(line, " window={}/{}/{:?}", window.events, window.bytes, window.age).unwrap();
    line
}

const DEFAULT: &str = "default Private admit=Upstream linger=120s stamp=Auto beat=Some(15s) prime=true window=2048/4194304/300s";

#[test]
fn an_upstream_is_all_that_must_be_said() {
    let config = resolve(UPSTREAM, &Flags::default(), &[]).unwrap();
    assert_eq!(config.upstream.to_string(), "http://127.0.0.1:9000");
    assert_eq!(config.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1:8080"]);
    assert!(config.admin.is_none() && config.forward.forwarded && config.warnings.is_empty());
    assert_eq!(format!("{:?}", config.forward.host), "Keep");
    assert_eq!(
        format!("{:?}", config.limits),
        "Limits { memory: 536870912, streams: 20000, connections: 20000, lingering: 1000, admissions: 64, event: 4194304 }"
    );
    assert_eq!((config.outage_hold.as_secs(), config.drain_time.as_secs()), (5, 10));
    assert!(config.outage_statuses.is_empty());
    routes("", &[DEFAULT]);
}

#[test]
fn without_an_upstream_it_says_how_to_give_one() {
    let remedy = "give --upstream URL, set RESPOOL_UPSTREAM, or write `upstream = \"http://127.0.0.1:9000\"` in the file";
    let fault = resolve("", &Flags::default(), &[]).unwrap_err();
    assert_eq!(fault.to_string(), format!("r.toml: no upstream is given; {remedy}"));
    let fault = Config::resolve(&Flags::default(), &|_| None, None).unwrap_err();
    assert_eq!(fault.to_string(), format!("no upstream is given; {remedy}"));
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let file = "upstream = \"http://file:1\"\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nadmin = \"127.0.0.1:3\"\n";
    let env = [
        ("RESPOOL_UPSTREAM", "http://env:1"),
        ("RESPOOL_LISTEN", "127.0.0.1:4, 127.0.0.1:5"),
        ("RESPOOL_ADMIN", "127.0.0.1:6"),
    ];
    let flags = Flags {
        upstream: Some("http://flag:1".into()),
        listen: vec!["127.0.0.1:7".into()],
        admin: Some("127.0.0.1:8".into()),
        config: None,
    };
    let shown = |flags: &Flags, env: &[(&str, &str)]| {
        let config = resolve(file, flags, env).unwrap();
        let listen: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
        format!("{} {} {}", config.upstream, listen.join(" "), config.admin.unwrap())
    };
    assert_eq!(shown(&flags, &env), "http://flag:1 127.0.0.1:7 127.0.0.1:8");
    assert_eq!(shown(&Flags::default(), &env), "http://env:1 127.0.0.1:4 127.0.0.1:5 127.0.0.1:6");
    assert_eq!(shown(&Flags::default(), &[]), "http://file:1 127.0.0.1:1 127.0.0.1:2 127.0.0.1:3");
    // Set to nothing is not set: many tools can only do that.
    assert_eq!(
        shown(&Flags::default(), &[("RESPOOL_ADMIN", "")]),
        "http://file:1 127.0.0.1:1 127.0.0.1:2 127.0.0.1:3"
    );
}

#[test]
fn a_route_has_the_defaults_of_its_mode() {
    routes(
        "[[route]]\npath = \"/a\"\n[[route]]\npath = \"/b/**\"\nmode = \"shared\"\n[[route]]\npath = \"/c\"\nmode = \"pass\"",
        &[
            "/a Private admit=Upstream linger=120s stamp=Auto beat=Some(15s) prime=true window=2048/4194304/300s",
            "/b/** Shared admit=Upstream linger=300s stamp=Auto beat=Some(15s) prime=true window=2048/4194304/300s",
            "/c Pass admit=Upstream linger=120s stamp=Auto beat=Some(15s) prime=true window=2048/4194304/300s",
            DEFAULT,
        ],
    );
}

#[test]
fn a_route_takes_what_it_leaves_out_of_its_window_from_the_general_one() {
    routes(
        "window = { events = 10, bytes = \"8 MiB\" }\n[[route]]\npath = \"/a\"\nwindow = { age = \"1h 30m\", events = 7 }",
        &[
            "/a Private admit=Upstream linger=120s stamp=Auto beat=Some(15s) prime=true window=7/8388608/5400s",
            "default Private admit=Upstream linger=120s stamp=Auto beat=Some(15s) prime=true window=10/8388608/300s",
        ],
    );
}

#[test]
fn every_key_of_a_route_is_heard() {
    routes(
        "[[route]]\npath = \"/a\"\nmode = \"shared\"\nkey = [\"path\", \"host\", \"query\", \"query:room\", \"header:X-Dir\", \
         \"cookie:sid\"]\nadmit = \"none\"\npin = true\npin_headers = { host = \"literal\" }\nlinger = \"0s\"\n\
         stamp = \"always\"\nheartbeat = \"none\"\nprime = false\n",
        &[
            "/a Shared key=[Path, Host, Query, Parameter(\"room\"), Header(\"x-dir\"), Cookie(\"sid\")] pin=/a \
             {\"host\": Sensitive} admit=None linger=0ns stamp=Always beat=None prime=false window=2048/4194304/300s",
            DEFAULT,
        ],
    );
}

#[test]
fn what_is_said_of_admissions_is_heard() {
    routes(
        "[[route]]\npath = \"/a\"\nmode = \"shared\"\nadmit_timeout = \"1s\"\nadmit_cache = \"30s\"\n",
        &[
            "/a Shared admit=Upstream/1s/Some(30s) linger=300s stamp=Auto beat=Some(15s) prime=true \
             window=2048/4194304/300s",
            DEFAULT,
        ],
    );
}

#[test]
fn who_stumbles_is_said_by_globs_or_known() {
    let stumbling = |file: &str| {
        let config = resolve(&format!("{UPSTREAM}{file}"), &Flags::default(), &[]).unwrap();
        format!("{:?}", config.stumbling)
    };
    assert!(stumbling("").starts_with("Stumbling([\"python-httpx/*\", "), "{}", stumbling(""));
    assert_eq!(stumbling("stumbling = []"), "Stumbling([])");
    assert_eq!(stumbling("stumbling = \"ours/*\""), "Stumbling([\"ours/*\"])");
    refused(
        "stumbling = [\"ours/*\", \"the[irs\"]",
        "r.toml:2:24: `the[irs` is no glob: unclosed character class; missing ']'; write `*` for any part of a User-Agent, \
         such as \"python-httpx/*\"",
    );
    refused(
        "stumbling = true",
        "r.toml:2:13: wrong type: boolean `true`; write text in quotes, or a list of it",
    );
}

#[test]
fn what_is_not_toml_is_refused_with_its_place() {
    refused("listen = ", "r.toml:2:10: string values must be quoted; expected literal string");
    refused("[limits]\nmemory = \"1MiB\nstreams = 2", "r.toml:3:15: invalid basic string; expected `\"`");
    refused(
        "host = \"keep\"\nhost = \"keep\"",
        "r.toml:3:1: duplicate key; write each key and each table once",
    );
    refused("[limits]\nstreams = 0b2", "r.toml:3:13: invalid binary number; write it as TOML wants it");
}

#[test]
fn an_unknown_key_is_refused_with_those_that_are_known() {
    refused("[drain]\ntimes = \"1s\"", "r.toml:3:1: unknown key `times`; did you mean `time`?");
    refused("[limits]\nevents = 4", "r.toml:3:1: unknown key `events`; `events` stands in `[window]`");
    refused(
        "[limits]\nsize = 4",
        "r.toml:3:1: unknown key `size`; known here: `memory`, `streams`, `connections`, `lingering`, \
         `admissions`, `event`",
    );
    let route = "[[route]]\npath = \"/a\"\n";
    refused(&format!("{route}on_gape = 1"), "r.toml:4:1: unknown key `on_gape`; did you mean `on_gap`?");
    refused(
        &format!("{route}Hart-Beat = 1"),
        "r.toml:4:1: unknown key `Hart-Beat`; did you mean `heartbeat`?",
    );
    let unknown = resolve(&format!("{UPSTREAM}{route}about = 1"), &Flags::default(), &[]).unwrap_err();
    assert!(
        unknown
            .to_string()
            .starts_with("r.toml:4:1: unknown key `about`; known here: `path`, `preset`, `mode`, "),
        "{unknown}"
    );
}

#[test]
fn a_wrong_type_is_refused_with_what_is_right() {
    refused(
        "listen = 8080",
        "r.toml:2:10: wrong type: integer `8080`; write text in quotes, or a list of it",
    );
    refused("listen = [8080]", "r.toml:2:11: wrong type: integer `8080`; write text in quotes");
    refused(
        "forwarded = \"no\"",
        "r.toml:2:13: wrong type: string \"no\"; write `true` or `false`, without quotes",
    );
    refused("[window]\nevents = \"many\"", "r.toml:3:10: wrong type: string \"many\"; write a whole number");
    refused(
        "[window]\nage = 5",
        "r.toml:3:7: wrong type: integer `5`; write a duration in quotes, such as \"5m\"",
    );
    refused(
        "[window]\nbytes = 1.5",
        "r.toml:3:9: wrong type: floating point `1.5`; write a size in quotes, such as \"4MiB\"",
    );
}

#[test]
fn pitfall_a_bound_of_zero_or_less_is_refused() {
    let above = "write a whole number above zero";
    refused("[window]\nevents = 0", &format!("r.toml:3:10: zero leaves nothing; {above}"));
    refused("[limits]\nstreams = -3", &format!("r.toml:3:11: `-3` is negative; {above}"));
    refused("[limits]\nlingering = 0", &format!("r.toml:3:13: zero leaves nothing; {above}"));
    let above = "write a size above zero, such as \"4MiB\"";
    refused("[limits]\nmemory = \"0\"", &format!("r.toml:3:10: zero leaves nothing; {above}"));
    refused("[window]\nbytes = -1", &format!("r.toml:3:9: `-1` is negative; {above}"));
    refused(
        "[window]\nage = \"0s\"",
        "r.toml:3:7: zero leaves nothing; write a duration above zero, such as \"5m\"",
    );
    refused(
        "[[route]]\npath = \"/a\"\nwindow = { events = 0 }",
        "r.toml:4:21: zero leaves nothing; write a whole number above zero",
    );
}

#[test]
fn what_is_no_duration_or_size_is_refused() {
    refused(
        "[drain]\ntime = \"soon\"",
        "r.toml:3:8: `soon` is no duration; write numbers with units, such as \"500ms\", \"15s\", \"5m\" or \"1h 30m\"",
    );
    refused(
        "[outage]\nhold = \"-5s\"",
        "r.toml:3:8: `-5s` is negative; write a duration that is not, such as \"5m\"",
    );
    refused("[window]\nage = \"1000y\"", "r.toml:3:7: `1000y` is too long; write at most a year, \"365d\"");
    refused(
        "[window]\nbytes = \"4 floppies\"",
        "r.toml:3:9: `4 floppies` is no size; write a number with a unit, such as \"64KiB\", \"4MiB\" or \"1GiB\"",
    );
    refused("[limits]\nmemory = \"9EiB\"", "r.toml:3:10: `9EiB` is too large; write at most \"1PiB\"");
    refused(
        "[[route]]\npath = \"/a\"\nheartbeat = \"0s\"",
        "r.toml:4:13: a heartbeat every zero seconds; write `heartbeat = \"none\"` to turn it off",
    );
    for often in ["0", "0s", "99ms"] {
        refused(
            &format!("reload = \"{often}\""),
            &format!(
                "r.toml:2:10: `{often}` is too often; write at least \"100ms\", such as \"5s\", or leave it out"
            ),
        );
    }
}

#[test]
fn a_file_is_looked_at_where_it_says_so() {
    let reload = |file: &str| resolve(&format!("{UPSTREAM}{file}"), &Flags::default(), &[]).unwrap().reload;
    assert_eq!(reload(""), None);
    assert_eq!(reload("reload = \"5s\""), Some(std::time::Duration::from_secs(5)));
}

#[test]
fn what_takes_a_restart_is_named_and_nothing_else() {
    let config = |file: &str| resolve(file, &Flags::default(), &[]).unwrap();
    let started = config(UPSTREAM);
    for (file, waiting) in [
        ("upstream = \"http://127.0.0.1:9000\"\nlisten = \"127.0.0.1:8080\"\n", &[][..]),
        ("upstream = \"http://127.0.0.1:9000\"\nlisten = \"127.0.0.1:8081\"\n", &["listen"]),
        ("upstream = \"http://127.0.0.1:9001\"\nadmin = \"127.0.0.1:8081\"\n", &["upstream", "admin"]),
        (
            "upstream = \"http://127.0.0.1:9000\"\nupstream_http2 = true\n[tls]\ncertificate = \"a\"\nkey = \"b\"\n",
            &["upstream_http2", "tls"],
        ),
        (
            "upstream = \"http://127.0.0.1:9000\"\nadmin_hosts = [\"a\"]\nadmin_actions = [\"drain\"]\n",
            &["admin_hosts", "admin_actions"],
        ),
        (
            "upstream = \"http://127.0.0.1:9000\"\nhost = \"upstream\"\n[limits]\nconnections = 1\n[[route]]\npath = \"/a\"\n",
            &[],
        ),
    ] {
        let config = config(file);
        assert_eq!(config.waiting(&started), waiting, "{file}");
        assert_eq!(config == started, file.contains("8080"), "{file}");
    }
}

#[test]
fn a_heartbeat_is_of_a_known_shape_and_size() {
    let route = |rest: &str| format!("[[route]]\npath = \"/a\"\n{rest}");
    for (rest, said) in [
        (
            "heartbeat_shape = \"event:\"",
            "4:19: `event:` is no shape of a heartbeat; write \"comment\", \"comment-frame\" or \"event:NAME\"",
        ),
        ("heartbeat_shape = \"event:a\\nb\"", "4:19: a type is one line; leave out what ends the line"),
        ("heartbeat_pad = \"65KiB\"", "4:17: `65KiB` is too large; write at most \"64KiB\""),
        ("heartbeat_pad = 0", "4:17: zero leaves nothing; write a size above zero, such as \"4MiB\""),
        (
            "heartbeat = \"none\"\nheartbeat_pad = 9",
            "5:17: `heartbeat_pad` has no effect without a heartbeat; say how often, such as `heartbeat = \"15s\"`, or leave it out",
        ),
        (
            "mode = \"pass\"\nheartbeat_shape = \"comment\"",
            "5:19: `heartbeat_shape` has no effect where requests only pass; leave it out, or write `mode = \"private\"` or `mode = \"shared\"`",
        ),
    ] {
        refused(&route(rest), &format!("r.toml:{said}"));
    }
    let config = resolve(
        &format!("{UPSTREAM}{}", route("heartbeat_shape = \"event:beat\"\nheartbeat_pad = 24")),
        &Flags::default(),
        &[],
    );
    let heartbeat = config.unwrap().routes[0].heartbeat.clone().unwrap();
    assert_eq!(heartbeat.frame(false), ":  \nevent: beat\ndata: \n\n");
    assert_eq!(heartbeat.every.as_secs(), 15);
}

#[test]
fn a_reconnection_time_is_one_that_can_be_told() {
    let route = |rest: &str| format!("[[route]]\npath = \"/a\"\n{rest}");
    let config = resolve(&format!("{UPSTREAM}{}", route("retry = \"1500ms\"")), &Flags::default(), &[]);
    let retries: Vec<_> = config.unwrap().routes.iter().map(|route| route.retry).collect();
    assert_eq!(retries, [Some(std::time::Duration::from_millis(1500)), None]);
    for (rest, said) in [
        ("retry = \"0s\"", "4:9: zero leaves nothing; write a duration above zero, such as \"5m\""),
        ("retry = \"10us\"", "4:9: `10us` is less than a client can be told; write at least \"1ms\""),
        (
            "mode = \"pass\"\nretry = \"3s\"",
            "5:9: `retry` has no effect where requests only pass; leave it out, or write `mode = \"private\"` or `mode = \"shared\"`",
        ),
    ] {
        refused(&route(rest), &format!("r.toml:{said}"));
    }
}

#[test]
fn what_is_no_status_of_an_error_is_refused() {
    let config = resolve(&format!("{UPSTREAM}outage.statuses = [502, 404]"), &Flags::default(), &[]).unwrap();
    assert_eq!(format!("{:?}", config.outage_statuses), "[502, 404]");
    for status in ["200", "302", "399", "600", "-502", "70000"] {
        refused(
            &format!("[outage]\nstatuses = [502, {status}]"),
            &format!(
                "r.toml:3:18: `{status}` is no status of an error; write one from 400 to 599, such as 502"
            ),
        );
    }
    refused(
        "[outage]\nstatuses = 502",
        "r.toml:3:12: wrong type: integer `502`; write a list of whole numbers, such as [502, 503]",
    );
    refused(
        "[outage]\nstatuses = [\"502\"]",
        "r.toml:3:13: wrong type: string \"502\"; write a whole number",
    );
}

#[test]
fn what_is_no_address_is_refused_where_it_was_written() {
    let address = "this is no address to listen on; \
                   use an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080, https:// before it for TLS, or unix:/path, or systemd";
    refused("listen = [\"127.0.0.1:1\", \"8080\"]", &format!("r.toml:2:26: {address}"));
    refused("admin = \"here\"", &format!("r.toml:2:9: {address}"));
    refused(
        "listen = \"[::1]:1\"\nadmin = \"[::1]:1\"",
        "r.toml:3:9: `[::1]:1` is where clients come in; write another port",
    );
    let upstream = |flags: &Flags, env: &[(&str, &str)]| resolve("", flags, env).unwrap_err().to_string();
    let flag = Flags { upstream: Some("http://user:SECRET@host".into()), ..Flags::default() };
    let user =
        "an upstream is an address without a user; use http://host:port, https://host:port or unix:/path";
    assert_eq!(upstream(&flag, &[]), format!("--upstream: {user}"));
    let none = "this is no address of an upstream; use http://host:port, https://host:port or unix:/path";
    assert_eq!(
        upstream(&Flags::default(), &[("RESPOOL_UPSTREAM", "9000")]),
        format!("RESPOOL_UPSTREAM: {none}")
    );
}

#[test]
fn an_event_must_fit_into_every_window() {
    refused(
        "[limits]\nevent = \"5MiB\"",
        "r.toml:3:9: `limits.event` of 5MiB is larger than this `window.bytes` of 4MiB; \
         write `limits.event` of at most 4MiB, or `window.bytes` of at least 5MiB",
    );
    refused(
        "[[route]]\npath = \"/a\"\nwindow = { bytes = \"1000kB\" }",
        "r.toml:4:20: `limits.event` of 4MiB is larger than this `window.bytes` of 1000000B; \
         write `limits.event` of at most 1000000B, or `window.bytes` of at least 4MiB",
    );
    refused(
        "[limits]\nmemory = \"1MiB\"",
        "r.toml:3:10: one window of 4MiB is more than all memory; \
         write `limits.memory` above `window.bytes`, or less than 1MiB there",
    );
}

#[test]
fn a_path_that_can_never_match_is_refused() {
    refused(
        "[[route]]\nmode = \"shared\"",
        "r.toml:2:1: this route has no path; write which paths it is for: `path = \"/events\"`",
    );
    refused("[[route]]\npath = \"events\"", "r.toml:3:8: `events` matches no path; a path starts with `/`");
    refused(
        "[[route]]\npath = \"/a/../b\"",
        "r.toml:3:8: `/a/../b` can never match, because of `..`; \
         leave it out: requests with dot segments, encoded dots or slashes match no route",
    );
    refused(
        "[[route]]\npath = \"/a/%2E%2e\"",
        "r.toml:3:8: `/a/%2E%2e` can never match, because of `%2E%2e`; \
         leave it out: requests with dot segments, encoded dots or slashes match no route",
    );
    refused(
        "[[route]]\npath = \"/a b\"",
        "r.toml:3:8: a path never has ' '; write it as clients send it, percent-encoded",
    );
    refused(
        "[[route]]\npath = \"/a?room=1\"",
        "r.toml:3:8: `/a?room=1` has a query, and routes are found by path alone; \
         leave out `?` and what follows; `key` says which parameters count",
    );
    refused(
        "[[route]]\npath = \"/a[b\"",
        "r.toml:3:8: `/a[b` is no glob: unclosed character class; missing ']'; \
         write `*` for a part of a segment, `**` for any number of segments, `{a,b}` or `[ab]` for a choice",
    );
}

#[test]
fn a_route_that_an_earlier_one_leaves_nothing_is_refused() {
    let remedy = "the first match wins: write the narrower route first, or leave one out";
    for (earlier, later) in
        [("/a", "/a"), ("/**", "/a"), ("**", "/a/*"), ("/a/*", "/a/b"), ("/a/**", "/a/b/*")]
    {
        refused(
            &format!("[[route]]\npath = \"{earlier}\"\n[[route]]\npath = \"{later}\""),
            &format!(
                "r.toml:5:8: `{later}` can never match: the earlier route `{earlier}` takes all of it; {remedy}"
            ),
        );
    }
}

#[test]
fn what_has_no_effect_where_no_stream_gets_ids_is_refused() {
    let route = |rest: &str| format!("[[route]]\npath = \"/a\"\nstamp = \"never\"\n{rest}");
    let remedy = "leave it out, or `stamp`";
    for (key, value) in [
        ("mode", "\"shared\""),
        ("key", "[\"path\"]"),
        ("window", "{ events = 1 }"),
        ("linger", "\"1m\""),
        ("heartbeat", "\"3s\""),
        ("ids", "\"replace\""),
        ("ephemeral", "[\"a\"]"),
        ("gap_event", "{ data = \"gap\" }"),
    ] {
        let (column, named) = (key.len() + 4, if key == "mode" { "mode = \"shared\"" } else { key });
        refused(
            &route(&format!("{key} = {value}")),
            &format!("r.toml:5:{column}: `{named}` has no effect where no stream gets ids; {remedy}"),
        );
    }
    routes(
        &route("mode = \"private\"\ncursor_query = [\"at\"]"),
        &[
            "/a Private admit=Upstream linger=120s stamp=Never beat=Some(15s) prime=true window=2048/4194304/300s",
            DEFAULT,
        ],
    );
}

#[test]
fn what_has_no_effect_on_the_streams_of_a_mode_is_refused() {
    let route = |rest: &str| format!("[[route]]\npath = \"/a\"\n{rest}");
    refused(
        &route("mode = \"shared\"\nmatch_upstream_ids = false"),
        "r.toml:5:22: ids of the upstream's are looked up in the shared stream; leave it out, or write `mode = \"private\"`",
    );
    for ids in ["replace", "hidden"] {
        refused(
            &route(&format!("ids = \"{ids}\"\nmatch_upstream_ids = true")),
            "r.toml:5:22: `match_upstream_ids` has no effect where clients come back with our ids; leave it out, or `ids`",
        );
    }
}

#[test]
fn what_has_no_effect_is_refused() {
    let route = |rest: &str| format!("[[route]]\npath = \"/a\"\n{rest}");
    let pass = "leave it out, or write `mode = \"private\"` or `mode = \"shared\"`";
    for (key, value) in
        [("admit", "\"none\""), ("key", "[\"path\"]"), ("window", "{ events = 1 }"), ("prime", "true")]
    {
        let column = key.len() + 4;
        refused(
            &route(&format!("mode = \"pass\"\n{key} = {value}")),
            &format!("r.toml:5:{column}: `{key}` has no effect where requests only pass; {pass}"),
        );
    }
    refused(
        &route("pin = true"),
        "r.toml:4:7: only a shared stream can be pinned; write `mode = \"shared\"`, or leave `pin` out",
    );
    refused(
        &route("mode = \"shared\"\npin_headers = {}"),
        "r.toml:5:15: `pin_headers` has no effect without a pin; write `pin = true`, or leave it out",
    );
    for (key, column) in [("admit_timeout", 17), ("admit_cache", 15)] {
        refused(
            &route(&format!("{key} = \"5s\"")),
            &format!(
                "r.toml:4:{column}: every private stream is asked of the upstream; leave `{key}` out, or write `mode = \"shared\"`"
            ),
        );
        refused(
            &route(&format!("mode = \"shared\"\n{key} = \"0s\"")),
            &format!("r.toml:5:{column}: zero leaves nothing; write a duration above zero, such as \"5m\""),
        );
        refused(
            &route(&format!("mode = \"pass\"\n{key} = \"5s\"")),
            &format!("r.toml:5:{column}: `{key}` has no effect where requests only pass; {pass}"),
        );
    }
    refused(
        &route("mode = \"shared\"\nadmit = \"none\"\nreadmit = \"10m\""),
        "r.toml:6:11: `readmit` has no effect where nobody is asked; write `admit = \"upstream\"`, or leave it out",
    );
    refused(
        &route("mode = \"shared\"\nreadmit = \"10ms\""),
        "r.toml:5:11: asking every `10ms` about each client is a load that the upstream need not have; write at least \"1s\", such as \"10m\", or leave it out",
    );
    refused(
        &route("mode = \"shared\"\nadmit = \"none\"\nadmit_cache = \"30s\""),
        "r.toml:6:15: `admit_cache` has no effect where nobody is asked; write `admit = \"upstream\"`, or leave it out",
    );
    refused(
        &route("admit = \"none\""),
        "r.toml:4:9: every private stream is asked of the upstream; leave `admit` out, or write `mode = \"shared\"`",
    );
}

#[test]
fn a_cursor_never_counts_for_a_key() {
    let route = |rest: &str| format!("[[route]]\npath = \"/a\"\n{rest}");
    for (rest, fault) in [
        (
            "key = [\"path\", \"query:LastEventId\"]",
            "4:16: `query:LastEventId` never counts: it is where a client says what it has seen; leave it out, or name only \
             other parameters in `cursor_query`",
        ),
        (
            "cursor_query = [\"since\", \"\"]",
            "4:26: a parameter without a name; write a name, such as \"lastEventId\", or `cursor_query = []` for none",
        ),
        (
            "mode = \"pass\"\ncursor_query = []",
            "5:16: `cursor_query` has no effect where requests only pass; leave it out, or write \
             `mode = \"private\"` or `mode = \"shared\"`",
        ),
    ] {
        refused(&route(rest), &format!("r.toml:{fault}"));
    }
    let file = format!("{UPSTREAM}{}", route("cursor_query = \"since\"\nkey = [\"query:lastEventId\"]"));
    let routes = resolve(&file, &Flags::default(), &[]).unwrap().routes;
    assert!(routes[0].cursor_query.has("since") && !routes[0].cursor_query.has("lastEventId"));
    assert!(
        ["lastEventId", "evs_last_event_id", "Last-Event-ID"].iter().all(|n| routes[1].cursor_query.has(n))
    );
}

#[test]
fn a_pin_must_have_one_path() {
    refused(
        "[[route]]\npath = \"/a/*\"\nmode = \"shared\"\npin = true",
        "r.toml:5:7: `/a/*` is no single path, so nobody knows what to subscribe to; \
         pin a route whose path has no wildcard",
    );
}

#[test]
fn a_pin_must_have_a_key_that_clients_can_have_too() {
    for key in ["", "key = [\"path\", \"host\"]\n"] {
        let line = if key.is_empty() { 5 } else { 6 };
        refused(
            &format!("[[route]]\npath = \"/a\"\nmode = \"shared\"\n{key}pin = true"),
            &format!(
                "r.toml:{line}:7: this stream would be shared with nobody: its key counts the Host, and a pin has none of \
                 its own; say what counts, such as `key = [\"path\"]`, or give `host` in `pin_headers`"
            ),
        );
    }
}

#[test]
fn words_that_are_not_known_are_refused() {
    let route = |rest: &str| format!("[[route]]\npath = \"/a\"\n{rest}");
    refused(
        &route("mode = \"Shared\""),
        "r.toml:4:8: `Shared` is not known here; write \"private\" or \"shared\" or \"pass\"",
    );
    refused(
        &route("stamp = \"no\""),
        "r.toml:4:9: `no` is not known here; write \"auto\" or \"always\" or \"never\"",
    );
    refused("host = \"other\"", "r.toml:2:8: `other` is not known here; write \"keep\" or \"upstream\"");
    let parts = "write \"path\", \"host\", \"query\", \"query:NAME\", \"header:NAME\" or \"cookie:NAME\"";
    refused(
        &route("key = [\"path\", \"user\"]"),
        &format!("r.toml:4:16: `user` is no part of a request; {parts}"),
    );
    for odd in ["cookie:", "cookie: sid", "cookie:a=b", "query: room", "query:a&b", "query:room "] {
        refused(
            &route(&format!("key = \"{odd}\"")),
            &format!("r.toml:4:7: `{odd}` is no part of a request; {parts}"),
        );
    }
    refused(
        &route("key = [\"path\", \"header:Last-Event-ID\"]"),
        "r.toml:4:16: `header:Last-Event-ID` never counts: it is where a client says what it has seen; leave it out",
    );
    refused(
        &route("key = [\"header:a b\"]"),
        "r.toml:4:8: `header:a b` has no header's name; write one, such as \"header:authorization\"",
    );
    refused(
        &route("key = []"),
        "r.toml:4:7: the key names nothing; write what counts, such as `key = [\"path\"]`",
    );
}

#[test]
fn columns_count_characters() {
    refused(
        "# ä\nwindow = { \"ö\" = 1 }",
        "r.toml:3:12: unknown key `ö`; known here: `events`, `bytes`, `age`",
    );
    // Some editors begin a file with a mark that nobody sees.
    let marked = resolve(&format!("\u{feff}{UPSTREAM}host = 3"), &Flags::default(), &[]).unwrap_err();
    assert_eq!(marked.to_string(), "r.toml:2:8: wrong type: integer `3`; write text in quotes");
    refused("# é ü\r\nhost = \"ö\"", "r.toml:3:8: `ö` is not known here; write \"keep\" or \"upstream\"");
}

#[test]
fn colours_are_for_who_wants_them() {
    let faults = resolve("upstream = \u{1b}[31m", &Flags::default(), &[]).unwrap_err();
    assert!(faults.render(Severity::Error, true).contains("\u{1b}[91m"));
    // What is written is not what moves a terminal's cursor.
    assert!(
        !faults.render(Severity::Error, false).contains('\u{1b}') && !faults.to_string().contains('\u{1b}')
    );
}

/// What is warned of in a route of this mode.
fn warnings(mode: &str, rest: &str) -> Vec<String> {
    let file = format!("{UPSTREAM}[[route]]\npath = \"/a\"\nmode = \"{mode}\"\n{rest}");
    let warnings = resolve(&file, &Flags::default(), &[]).unwrap().warnings;
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_lost_to_who_comes_back_without_a_hello_is_warned_of() {
    let both = "hello = \"hi\"\nretain = [\"a\"]\n";
    assert_eq!(
        warnings("shared", both),
        [
            "r.toml:6:10: what is not retained is lost to a client that comes back, and it gets no hello that would make \
             it load that anew; name what may be lost as `ephemeral` in place of `retain`, or leave out `hello`"
        ]
    );
    for line in both.lines() {
        assert_eq!(warnings("shared", line), [""; 0]);
    }
    assert_eq!(warnings("shared", "hello = \"hi\"\nephemeral = [\"a\"]"), [""; 0]);
}

#[test]
fn a_hello_of_a_private_stream_is_warned_of() {
    for rest in ["hello = \"hi\"", "hello = \"hi\"\nretain = [\"a\"]"] {
        assert_eq!(
            warnings("private", rest),
            [
                "r.toml:5:9: `hello` has no effect on a private stream: its client has had the hello of the connection that \
                 it comes back to; write `mode = \"shared\"`, or leave it out"
            ]
        );
    }
}

#[test]
fn who_shares_a_stream_without_being_asked_is_warned_of() {
    let warnings = |rest: &str| warnings("shared", rest);
    assert_eq!(
        warnings("admit = \"none\"\nkey = [\"path\", \"cookie:sid\"]"),
        [
            "r.toml:6:7: `/a` is shared by all who ask, whatever credentials they have: the key leaves out authorization; \
          write `admit = \"upstream\"`, or add \"header:authorization\" to the key"
        ]
    );
    assert_eq!(warnings("admit = \"none\"\nkey = [\"path\"]").len(), 1);
    assert!(warnings("admit = \"none\"").is_empty());
    assert!(warnings("key = [\"path\"]").is_empty());
    assert!(
        warnings("admit = \"none\"\nkey = [\"path\", \"header:Authorization\", \"header:cookie\"]")
            .is_empty()
    );
}

#[test]
fn pin_headers_come_from_where_they_are_said_to_be() {
    let token = std::env::temp_dir().join(format!("respool-token-{}", std::process::id()));
    std::fs::write(&token, "from file\n").unwrap();
    let file = format!(
        "{UPSTREAM}[[route]]\npath = \"/a\"\nmode = \"shared\"\nkey = [\"path\"]\npin = true\n\
         pin_headers = {{ x-env = \"env:TOKEN\", x-file = \"file:{}\", x-here = \"from here\" }}",
        token.display()
    );
    let config = resolve(&file, &Flags::default(), &[("TOKEN", "from env")]).unwrap();
    std::fs::remove_file(&token).unwrap();
    let headers = &config.routes[0].pin.as_ref().unwrap().headers;
    assert_eq!((&headers["x-env"], &headers["x-file"], &headers["x-here"]).2, "from here");
    assert_eq!(
        (headers["x-env"].to_str().unwrap(), headers["x-file"].to_str().unwrap()),
        ("from env", "from file")
    );
    assert!(headers.values().all(http::HeaderValue::is_sensitive));
    assert!(!format!("{config:?}").contains("from "), "Debug shows a secret");
}

#[test]
fn no_fault_shows_a_secret() {
    let route = |rest: &str| {
        format!("{UPSTREAM}[[route]]\npath = \"/a\"\nmode = \"shared\"\nkey = [\"path\"]\npin = true\n{rest}")
    };
    for wrong in [
        "pin_headers = \"SECRET\"",
        "pin_headers = [\"SECRET\"]",
        "pin_headers = { authorization = SECRET }",
        "pin_headers = { authorization = \"SECRET }",
        "pin_headers = { authorization = 'SECRET\" }",
        "pin_headers = { authorization = \"SECRET\\u0007\" }",
        "pin_headers = { authorization = \"SECRET\\q\" }",
        "pin_headers = { authorization = [\"SECRET\"] }",
        "pin_headers = { authorization = { value = \"SECRET\" } }",
        "pin_headers = { authorization = \"SECRET\", authorization = \"SECRET\" }",
        "pin_headers = { authorization = \"SECRET\" \"SECRET\" }",
        "pin_headers = { \"a b\" = \"SECRET\" }",
        "pin_headers = { authorization = \"SECRET\" }\npin_headers = { authorization = \"SECRET\" }",
        "pin_headers.authorization.x = \"SECRET\"",
        "pin_header = { authorization = \"SECRET\" }",
        "pin_headres.authorization = \"SECRET\"",
        "pin_headers = { authorization = \"SECRET\" }, ids = \"SECRET\"",
        "pin_headers = { authorization = \"SECRET\", x = }",
        "pin_headers = {\nauthorization = \"SECRET\n}",
        "[route.pin_headers]\nx = 1\nauthorization = \"SECRET",
        "[route.pin_headers]\nx = 1\nauthorization = SECRET",
    ] {
        let faults = resolve(&route(wrong), &Flags::default(), &[]).unwrap_err();
        let (fault, drawn) = (faults.to_string(), faults.render(Severity::Error, false));
        assert!(!fault.contains("SECRET") && !drawn.contains("SECRET"), "{wrong}: {fault}\n{drawn}");
        assert!(fault.starts_with("r.toml:"), "{wrong}: {fault}");
    }
    for number in [
        "424242",
        "-424242",
        "42424242424242424242424242",
        "424242.5",
        &"42".repeat(40),
        &format!("4.{}", "42".repeat(400)),
        "0x424242424242424242",
        "4242-02-02",
    ] {
        let fault = resolve(&route(&format!("pin_headers = {{ a = {number} }}")), &Flags::default(), &[]);
        let faults = fault.unwrap_err();
        let fault = format!("{faults}\n{}", faults.render(Severity::Error, false));
        assert!(!fault.contains("424"), "{number}: {fault}");
    }
    let fault = resolve(&route("pin_headers = { a = \"env:TOKEN\" }"), &Flags::default(), &[]).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "r.toml:7:21: the environment has no `TOKEN`; set it, or write \"file:/path\""
    );
}

/// The example with every key: those that are commented out have no space after the mark.
fn example() -> Vec<char> {
    let line =
        |line: &'static str| line.strip_prefix('#').filter(|key| !key.starts_with(' ')).unwrap_or(line);
    let lines: Vec<_> = include_str!("../../deploy/respool.toml").lines().map(line).collect();
    lines.join("\n").chars().collect()
}

proptest::proptest! {
    /// The example with a piece taken out and another put in, which is nearly right, mostly.
    #[test]
    fn no_text_makes_it_panic(cut in 0..6000_usize, length in 0..40_usize, piece in "[\\PC\\s]{0,12}") {
        let example = example();
        let cut = cut.min(example.len());
        let mut text: String = example[..cut].iter().collect();
        text.push_str(&piece);
        text.extend(&example[(cut + length).min(example.len())..]);
        if let Err(faults) = resolve(&text, &Flags::default(), &[]) {
            for fault in &faults {
                assert!(fault.to_string().starts_with("r.toml:"), "{fault}");
            }
            let drawn = faults.render(Severity::Error, true) + &faults.render(Severity::Warning, false);
            assert!(drawn.matches("help").count() >= 2 * faults.len(), "{drawn}");
        }
    }
}

/// The example with another line in the place of one that says a key.
#[track_caller]
fn one_fault_in_the_example(line_of: impl Fn(&str, &str) -> String) {
    let example: String = example().into_iter().collect();
    let lines: Vec<_> = example.lines().collect();
    let mut said = 0;
    for (n, line) in lines.iter().enumerate() {
        let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| !key.contains([' ', '#'])) else {
            continue;
        };
        let wrong = line_of(key, value);
        let mut text = lines.clone();
        text[n] = &wrong;
        let faults = resolve(&text.join("\n"), &Flags::default(), &[]).unwrap_err();
        assert!(faults.len() == 1, "{wrong}: {faults}");
        assert!(faults.to_string().starts_with(&format!("r.toml:{}:", n + 1)), "{wrong}: {faults}");
        said += 1;
    }
    assert!(said > 50);
}

#[test]
fn a_fault_is_no_other_ones_shadow() {
    one_fault_in_the_example(|key, _| format!("{key} = 2.5"));
    one_fault_in_the_example(|key, value| format!("{key}s = {value}"));
}

#[test]
fn rules_are_judged_at_their_place() {
    let route = |rest: &str| format!("[[route]]\npath = \"/a\"\n{rest}");
    for (rest, fault) in [
        (
            "type = \"type\"\nretain = \"a\"",
            "4:8: `type` is no type's place: a JSON pointer starts with / and has ~ only in ~0 \
          and ~1, such as \"/payload/type\"; write \"event\", or where the type stands in the data, such as \"/payload/type\"",
        ),
        (
            "type = \"/type\"",
            "4:8: `type = \"/type\"` has no effect without a rule; write which types are `hello`, `reset`, \
          `ephemeral` or to `retain`, or a guard, or leave it out",
        ),
        (
            "ephemeral = [\"a\", \"b[\"]",
            "4:19: `b[` is no glob: unclosed character class; missing ']'; write `*` for any part of \
          a type, `{a,b}` or `[ab]` for a choice",
        ),
        (
            "hello_wait = \"1s\"",
            "4:14: `hello_wait` has no effect without a hello; write which types are `hello`",
        ),
        (
            "mode = \"shared\"\nhello = \"a\"\nhello_events = 0",
            "6:16: zero leaves nothing; write a whole number above zero",
        ),
        ("retain = []", "4:10: this names no type; write types, such as [\"heartbeat\"], or leave it out"),
        ("ids = \"hide\"", "4:7: `hide` is not known here; write \"keep\" or \"replace\" or \"hidden\""),
        (
            "ids = \"hidden\"\nheartbeat_shape = \"event:beat\"",
            "5:19: a heartbeat that is an event shows pages our id, which is to be hidden; write `heartbeat_shape = \
         \"comment\"` or \"comment-frame\", or leave out `ids = \"hidden\"`",
        ),
        (
            "ids = \"hidden\"\nstamp = \"always\"",
            "5:9: ids can be hidden from an `EventSource` alone: anything else would see what carries them; leave out \
          `stamp`, or `ids = \"hidden\"`",
        ),
        (
            "keep_ids_of = \"a\"",
            "4:15: `keep_ids_of` has no effect where ids are not replaced; write `ids = \"replace\"`, or leave it out",
        ),
        ("on_gap = \"replays\"", "4:10: `replays` is not known here; write \"fresh\" or \"replay\""),
        (
            "gap_event = { event = \"gap\" }",
            "4:13: an event without data is none; write what it says, such as `gap_event = { event = \"gap\", data = \"{reason}\" }`",
        ),
        (
            "gap_event = { event = \"a\\nb\", data = \"\" }",
            "4:23: a type is one line; leave out what ends the line",
        ),
        (
            "gap_event = { data = \"a\\r\" }",
            "4:22: data has no carriage returns or NULs; end lines with \\n alone",
        ),
        (
            "gap_event = \"gap\"",
            "4:13: wrong type: string \"gap\"; write a table, such as { event = \"gap\", data = \"{reason}\" }",
        ),
        (
            "on_break = \"hold\"",
            "4:12: the upstream of a private stream is never asked for it again; write `mode = \"shared\"`, or leave `on_break` out",
        ),
        (
            "mode = \"shared\"\non_break = \"hold\"",
            "5:12: clients that are held would not know that they missed something; write which types are `hello`, or a \
          `gap_event`, or leave it out",
        ),
        (
            "mode = \"shared\"\nids = \"replace\"\nupstream_resumes = true",
            "6:20: whether an upstream has resumed is told by ids that are kept; leave out `upstream_resumes`, or `ids`",
        ),
        (
            "mode = \"pass\"\nephemeral = \"a\"",
            "5:13: `ephemeral` has no effect where requests only pass; leave it out, or write \
          `mode = \"private\"` or `mode = \"shared\"`",
        ),
    ] {
        refused(&route(rest), &format!("r.toml:{fault}"));
    }
}

/// A guard as it is right, with one of its lines in another's place; the line that is wrong is the fifth.
#[test]
fn guards_are_judged_at_their_place() {
    let key = "write where in the data they say what they are about, `key = [\"/id\"]`, or `open_key` and `close_key`";
    let no_place = |text: &str| {
        format!(
            "`{text}` is no place of a key: a JSON pointer starts with / and has ~ only in ~0 and ~1, such as \
             \"/payload/type\"; {key}"
        )
    };
    let (open, close, both) = ("open = \"a\"\n", "close = \"b\"\n", "key = \"/id\"\n");
    for (lines, fault) in [
        (
            format!("{close}{both}"),
            "4:1: this guard has no `open`; write the types that ask, `open = [\"question.asked\"]`".into(),
        ),
        (
            format!("{open}{both}"),
            "4:1: this guard has no `close`; write the types that answer, `close = [\"question.replied\"]`"
                .into(),
        ),
        (format!("{open}{close}"), format!("4:1: this guard has no `key`; {key}")),
        (format!("{open}{close}open_key = \"/id\""), format!("4:1: this guard has no `close_key`; {key}")),
        (format!("{open}{close}close_key = \"/id\""), format!("4:1: this guard has no `open_key`; {key}")),
        (
            format!("{both}open_key = \"/id\"\n{open}{close}"),
            "5:7: `key` says it for both, and so do `open_key` and `close_key`; leave out either".into(),
        ),
        (
            format!("close_key = [\"/a\"]\nopen_key = [\"/a\", \"/b\"]\n{open}{close}"),
            "5:13: `close_key` has 1 parts, where `open_key` has 2; write as many for both, in the same order".into(),
        ),
        (format!("key = [\"/a\", \"b\"]\n{open}{close}"), format!("5:14: {}", no_place("b"))),
        (format!("key = \"/a~\"\n{open}{close}"), format!("5:7: {}", no_place("/a~"))),
        (format!("key = []\n{open}{close}"), format!("5:7: this key is of nothing; {key}")),
        (
            format!("open = []\n{close}{both}"),
            "5:8: this names no type; write types, such as [\"heartbeat\"], or leave it out".into(),
        ),
        (
            format!("close = \"b[\"\n{open}{both}"),
            "5:9: `b[` is no glob: unclosed character class; missing ']'; write `*` for any part of a type, \
             `{a,b}` or `[ab]` for a choice"
                .into(),
        ),
        (
            format!("ttl = \"0s\"\n{open}{close}{both}"),
            "5:7: zero leaves nothing; write a duration above zero, such as \"5m\"".into(),
        ),
        (
            format!("ttl = 5\n{open}{close}{both}"),
            "5:7: wrong type: integer `5`; write a duration in quotes, such as \"5m\"".into(),
        ),
        (
            format!("types = 5\n{open}{close}{both}"),
            "5:1: unknown key `types`; known here: `open`, `close`, `key`, `open_key`, `close_key`, `ttl`".into(),
        ),
    ] {
        refused(&format!("[[route]]\npath = \"/a\"\n[[route.guard]]\n{lines}"), &format!("r.toml:{fault}"));
    }
    refused(
        "[[route]]\npath = \"/a\"\nguard = \"question\"",
        "r.toml:4:9: wrong type: string \"question\"; write `[[route.guard]]` above each guard",
    );
    refused(
        &format!("[[route]]\npath = \"/a\"\nmode = \"pass\"\n[[route.guard]]\n{open}{close}{both}"),
        "r.toml:5:1: `guard` has no effect where requests only pass; leave it out, or write `mode = \"private\"` or \
         `mode = \"shared\"`",
    );
    refused("route = 1", "r.toml:2:9: wrong type: integer `1`; write `[[route]]` above each route");
}

#[test]
fn the_admins_names_and_actions_are_named() {
    let settings =
        |file: &str| resolve(file, &Flags::default(), &[("RESPOOL_UPSTREAM", "http://u:1")]).unwrap();
    let shown = |file: &str| {
        let settings = settings(file).admin_settings;
        let actions: Vec<_> = settings.actions.iter().map(|action| action.text()).collect();
        format!("{} {}", settings.hosts.join(","), actions.join(","))
    };
    assert_eq!(shown(""), " ");
    assert_eq!(shown("admin_hosts = []\nadmin_actions = []"), " ");
    assert_eq!(shown("admin_hosts = 'A.Example.'\nadmin_actions = 'purge'"), "a.example purge");
    assert_eq!(
        shown("admin_hosts = ['b', 'a.example', 'B']\nadmin_actions = ['drain', 'purge', 'drain']"),
        "b,a.example drain,purge"
    );
    refused(
        "admin_actions = [\"purge\", \"restart\"]",
        "r.toml:2:27: `restart` is not known here; write \"purge\" or \"drain\"",
    );
    refused(
        "admin_actions = true",
        "r.toml:2:17: wrong type: boolean `true`; write text in quotes, or a list of it",
    );
    for (host, said) in [
        ("127.0.0.1", "`127.0.0.1` is an address, and those are always answered; leave it out"),
        ("[::1]", "`[::1]` is an address, and those are always answered; leave it out"),
        (
            "a.example:9911",
            "`a.example:9911` is no host name; write the name alone, such as \"respool.internal\"",
        ),
        (
            "http://a.example",
            "`http://a.example` is no host name; write the name alone, such as \"respool.internal\"",
        ),
        ("*.example", "`*.example` is no host name; write the name alone, such as \"respool.internal\""),
        ("", "`` is no host name; write the name alone, such as \"respool.internal\""),
    ] {
        refused(&format!("admin_hosts = [\"{host}\"]"), &format!("r.toml:2:16: {said}"));
    }
}

#[test]
fn tls_needs_what_it_is_shown_by() {
    let pair = "[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\n";
    let config =
        resolve(&format!("listen = 'https://0.0.0.0:8443'\n{UPSTREAM}{pair}"), &Flags::default(), &[])
            .unwrap();
    assert_eq!(config.listen[0].to_string(), "https://0.0.0.0:8443");
    assert_eq!(format!("{:?}", config.tls.unwrap()), r#"Files { certificate: "c.pem", key: "k.pem" }"#);
    refused(
        "listen = 'https://0.0.0.0:8443'\n",
        "r.toml: there is no certificate for `https://0.0.0.0:8443`; write `[tls]` with `certificate = \"file.pem\"` and `key = \"file.pem\"`",
    );
    refused(
        "[tls]\ncertificate = 'c.pem'\n",
        "r.toml:3:15: a certificate is of no use without its key; write `key = \"file.pem\"` in [tls]; it may be the same file",
    );
    refused(
        "[upstream_tls]\nkey = 'k.pem'\n",
        "r.toml:3:7: a key is of no use without its certificate; write `certificate = \"file.pem\"` in [upstream_tls]; it may be the same file",
    );
}

#[test]
fn an_upstream_by_https_says_by_itself_what_it_speaks() {
    let file = "upstream = 'https://events:9443'\n[upstream_tls]\nca = 'ca.pem'\nname = 'events.example'\n";
    let config = resolve(file, &Flags::default(), &[]).unwrap();
    assert_eq!(config.upstream.to_string(), "https://events:9443");
    assert!(config.upstream_tls.name.is_some() && !config.upstream_http2);
    refused(
        "[upstream_tls]\nname = 'a b'\n",
        "r.toml:3:8: `a b` is no server's name; write a host name or an IP address",
    );
    let fault =
        resolve("upstream = 'https://events'\nupstream_http2 = true\n", &Flags::default(), &[]).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "r.toml:2:18: an upstream that TLS is spoken with says by itself whether it speaks HTTP/2; leave it out"
    );
}
