//! What each metric says: it moves when it should, and nothing else of its family does.

/// No number without a test.
mod moved;

use std::{
    collections::HashMap,
    io::{ErrorKind, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::time::sleep;

use super::command::{get, start};
use crate::support::world::{Ended, Exchange, World, event_source, settle};

const SHARED: &str =
    "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\nheartbeat = 'none'\n";
const QUIET: &str = "[[route]]\npath = '/e'\nheartbeat = 'none'\n";

impl World {
    /// The series of a family that are not zero.
    fn moved(&self, family: &str) -> Vec<String> {
        let text = self.app.metrics().encode();
        assert!(text.lines().any(|line| line.starts_with(family)), "no {family} in\n{text}");
        let of_family = text.lines().filter_map(|line| line.strip_prefix(family));
        of_family.filter(|rest| !rest.ends_with(" 0")).map(|rest| rest.trim().to_owned()).collect()
    }
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn what_clients_are_sent_is_counted_in_events_and_bytes() {
    let mut world = World::new(&format!("{SHARED}retry = '3s'\n"));
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a", "b"]).await;
    upstream.send(": nothing\n\n").await;
    let mut other = world.event_source("/e", "").await;
    upstream.events(["c"]).await;
    client.read().await;
    other.read().await;
    assert_eq!(world.moved("respool_events_total"), ["{route=\"/e\"} 3"]);
    assert_eq!(world.moved("respool_sent_events_total"), ["{route=\"/e\"} 4"]);
    let bytes = client.body.len() + other.body.len();
    assert_eq!(world.moved("respool_sent_bytes_total"), [format!("{{route=\"/e\"}} {bytes}")]);
    // What was retained is what went to the one who had no hello of its own, with nothing in between.
    let all = client.text();
    let frames = all.split_inclusive("\n\n").filter(|frame| frame.contains("data: "));
    let retained: usize = frames.map(str::len).sum();
    assert_eq!(world.moved("respool_event_bytes_total"), [format!("{{route=\"/e\"}} {retained}")]);
    // Of what passes without ids nothing is counted.
    let mut passing = world.send("POST /e HTTP/1.1\nHost: h\nContent-Length: 0").await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["d"]).await;
    assert_eq!(passing.data().await, ["d"]);
    assert_eq!(world.moved("respool_sent_events_total"), ["{route=\"/e\"} 4"]);
    assert_eq!(world.moved("respool_sent_bytes_total"), [format!("{{route=\"/e\"}} {bytes}")]);
}

/// A client that missed so many events of this size, its id, and its upstream.
async fn missed(world: &mut World, events: usize, size: usize) -> (String, Exchange) {
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    upstream.events(vec!["x".repeat(size); events]).await;
    (id, upstream)
}

#[tokio::test(start_paused = true)]
async fn the_time_to_catch_up_is_that_until_all_that_was_missed_is_written() {
    for route in [SHARED, QUIET] {
        let mut world = World::new(route);
        let (id, mut upstream) = missed(&mut world, 3, 10).await;
        assert!(world.moved("respool_catch_up_seconds_count").is_empty(), "nobody has come back");
        let mut back = world.event_source("/e", &id).await;
        assert_eq!((back.data().await.len(), back.resume()), (3, "resumed; missed=3"));
        assert_eq!(world.moved("respool_catch_up_seconds_count"), ["{route=\"/e\"} 1"]);
        assert_eq!(world.metric("respool_catch_up_seconds_bucket{le=\"0.001\",route=\"/e\"}"), 1);
        // What comes later is no part of it, nor does a client count that missed nothing.
        upstream.events(["live"]).await;
        let id = back.id().await;
        drop(back);
        let same = world.event_source("/e", &id).await;
        assert_eq!(same.resume(), "resumed; missed=0");
        assert_eq!(world.moved("respool_catch_up_seconds_count"), ["{route=\"/e\"} 1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_slow_takes_long_to_catch_up_and_one_that_leaves_never_does() {
    let mut world = World::new(QUIET);
    let (id, mut upstream) = missed(&mut world, 20, 10_000).await;
    world.pipe = 1000;
    let mut slow = world.send(&event_source("/e", &id)).await;
    seconds(4).await;
    assert!(world.moved("respool_catch_up_seconds_count").is_empty());
    assert!(world.metric("respool_lag_bytes{route=\"/e\"}") == 0, "it is all in one piece on its way");
    slow.read().await;
    assert_eq!(world.moved("respool_catch_up_seconds_count"), ["{route=\"/e\"} 1"]);
    let within = |le| world.metric(&format!("respool_catch_up_seconds_bucket{{le=\"{le}\",route=\"/e\"}}"));
    assert_eq!((within("2.5"), within("5.0")), (0, 1));
    drop(slow);
    upstream.events(["more"; 3]).await;
    let leaves = world.send(&event_source("/e", &id)).await;
    seconds(1).await;
    drop(leaves);
    settle().await;
    assert_eq!(world.moved("respool_catch_up_seconds_count"), ["{route=\"/e\"} 1"]);
}

#[tokio::test(start_paused = true)]
async fn what_windows_hold_is_looked_up_when_somebody_reads() {
    let both = format!(
        "{SHARED}prime = false\nwindow = {{ age = '1m', events = 4 }}\n[[route]]\npath = '/own'\nheartbeat = 'none'\n"
    );
    let mut world = World::new(&both);
    let families = [
        "respool_retained_events",
        "respool_retained_bytes",
        "respool_window_age_seconds",
        "respool_lag_bytes",
    ];
    let of = |world: &World, family: &str| {
        let moved = world.moved(family);
        moved.into_iter().filter(|series| !series.ends_with(" 0.0")).collect::<Vec<_>>()
    };
    assert!(families.iter().all(|family| of(&world, family).is_empty()));
    let (mut client, mut upstream) = world.open("/e").await;
    assert!(families.iter().all(|family| of(&world, family).is_empty()), "a stream without events");
    upstream.events(["a"]).await;
    seconds(10).await;
    upstream.events(["b"]).await;
    seconds(10).await;
    client.read().await;
    assert_eq!(of(&world, "respool_retained_events"), ["{route=\"/e\"} 2"]);
    assert_eq!(of(&world, "respool_retained_bytes"), [format!("{{route=\"/e\"}} {}", client.body.len())]);
    let age = |world: &World, route: &str| -> f64 {
        let found = of(world, &format!("respool_window_age_seconds{{route=\"{route}\"}}"));
        found.first().map_or(0.0, |age| age.parse().unwrap())
    };
    assert!((20.0..20.1).contains(&age(&world, "/e")), "{}", age(&world, "/e"));
    // The longest one of several, and what all of them hold.
    let (_first, mut one) = world.open("/own").await;
    one.events(["a"]).await;
    seconds(5).await;
    let (_second, mut two) = world.open("/own").await;
    two.events(["a", "b"]).await;
    assert_eq!(of(&world, "respool_retained_events"), ["{route=\"/e\"} 2", "{route=\"/own\"} 3"]);
    assert!((5.0..5.1).contains(&age(&world, "/own")));
    // Bounds hold: of size, and of age also where nothing comes.
    upstream.events(["c", "d", "e"]).await;
    assert_eq!(world.metric("respool_retained_events{route=\"/e\"}"), 4);
    seconds(61).await;
    assert_eq!(of(&world, "respool_retained_events"), ["{route=\"/own\"} 3"]);
    assert_eq!(age(&world, "/e"), 0.0);
    // ... and where nobody pumps.
    upstream.events(["f"]).await;
    world.origin.set_away(true);
    drop(upstream);
    seconds(50).await;
    assert_eq!(world.metric("respool_retained_events{route=\"/e\"}"), 1);
    seconds(11).await;
    assert_eq!(world.metric("respool_retained_events{route=\"/e\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_lag_is_that_of_the_client_furthest_behind() {
    let mut world = World::new(SHARED);
    let (mut quick, mut upstream) = world.open("/e").await;
    world.pipe = 100;
    let mut slow = world.send(&event_source("/e", "")).await;
    slow.read().await;
    for _ in 0..3 {
        upstream.events(["x".repeat(40_000)]).await;
        quick.read().await;
    }
    let lag = world.metric("respool_lag_bytes{route=\"/e\"}");
    assert!((80_000..81_000).contains(&lag), "{lag}: one of three is on its way");
    drop(slow);
    settle().await;
    assert!(world.moved("respool_lag_bytes").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_break_is_counted_by_its_reason_and_a_proper_end_is_none() {
    let mut world = World::new(QUIET);
    let (_client, mut upstream) = world.open("/e").await;
    upstream.finish().await;
    settle().await;
    assert!(world.moved("respool_breaks_total").is_empty());
    assert_eq!(world.moved("respool_stream_ends_total"), ["{route=\"/e\",end=\"finished\"} 1"]);
    for (route, small) in [(QUIET, false), (SHARED, false), (QUIET, true), (SHARED, true)] {
        let mut world = World::new(&format!("limits = {{ event = '1KiB' }}\n{route}"));
        let (_client, mut upstream) = world.open("/e").await;
        upstream.events(["a"]).await;
        if small {
            upstream.events(["x".repeat(2000)]).await;
        }
        world.origin.set_away(true);
        drop(upstream);
        settle().await;
        let reason = if small { "oversized" } else { "lost" };
        assert_eq!(world.moved("respool_breaks_total"), [format!("{{route=\"/e\",reason=\"{reason}\"}} 1")]);
        assert_eq!(world.moved("respool_stream_ends_total"), ["{route=\"/e\",end=\"broken\"} 1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_the_upstream_bridges_is_no_break_and_one_that_it_does_not_is() {
    let numbered = |n: u64, data: &str| format!("id: {n}\ndata: {data}\n\n");
    for (what, reason) in [
        ("resumes", ""),
        ("refuses", "refused"),
        ("contradicts", "contradicted"),
        ("is silent", "unanswered"),
    ] {
        let mut world = World::new(&format!("{SHARED}upstream_resumes = true\nlinger = '10s'\n"));
        let (client, mut upstream) = world.open("/e").await;
        upstream.send(numbered(1, "a") + &numbered(2, "b")).await;
        world.origin.set_away(true);
        drop(upstream);
        settle().await;
        assert!(world.moved("respool_breaks_total").is_empty(), "{what}: it may go on");
        if what == "is silent" {
            drop(client);
            seconds(60).await;
        } else {
            world.origin.set_away(false);
            let mut again = world.origin.accept().await;
            match what {
                "refuses" => again.refuse(404).await,
                "contradicts" => {
                    again.begin().await;
                    again.send(numbered(2, "other")).await;
                }
                _ => {
                    again.begin().await;
                    again.send(numbered(3, "c")).await;
                }
            }
        }
        settle().await;
        let expected: Vec<_> = (!reason.is_empty())
            .then(|| format!("{{route=\"/e\",reason=\"{reason}\"}} 1"))
            .into_iter()
            .collect();
        assert_eq!(world.moved("respool_breaks_total"), expected, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_for_which_there_is_no_memory_is_a_break() {
    let limits = "[limits]\nmemory = '200KiB'\nevent = '100KiB'\n[window]\nbytes = '100KiB'\n";
    let mut world = World::new(&format!("{limits}{QUIET}"));
    let mut open = Vec::new();
    for _ in 0..3 {
        assert!(world.moved("respool_breaks_total").is_empty());
        let (client, mut upstream) = world.open("/e").await;
        upstream.send(format!("data: {}", "x".repeat(90_000))).await;
        open.push((client, upstream));
    }
    assert_eq!(world.moved("respool_breaks_total"), ["{route=\"/e\",reason=\"starved\"} 1"]);
}

#[tokio::test(start_paused = true)]
async fn how_a_stream_ends_that_nobody_listens_to_is_told_apart() {
    for (ids, end) in [(false, "abandoned"), (true, "lingered")] {
        let mut world = World::new(&format!("{QUIET}linger = '10s'\nprime = false\n"));
        let (mut client, mut upstream) = world.open("/e").await;
        if ids {
            upstream.events(["a"]).await;
            client.read().await;
        }
        drop(client);
        seconds(11).await;
        assert_eq!(world.moved("respool_stream_ends_total"), [format!("{{route=\"/e\",end=\"{end}\"}} 1")]);
        assert!(world.moved("respool_evictions_total").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_let_go_before_its_time_is_an_eviction_by_its_cause() {
    for mode in ["private", "shared"] {
        let file =
            format!("[limits]\nlingering = 1\n[[route]]\npath = '/*'\nmode = '{mode}'\nadmit = 'upstream'\n");
        let mut world = World::new(&file);
        for path in ["/a", "/b"] {
            let (mut client, mut upstream) = world.open(path).await;
            upstream.events(["a"]).await;
            client.read().await;
            drop(client);
            settle().await;
            std::mem::forget(upstream);
        }
        assert_eq!(world.moved("respool_evictions_total"), ["{cause=\"lingering\"} 1"]);
        assert_eq!(world.moved("respool_stream_ends_total"), ["{route=\"/*\",end=\"evicted\"} 1"]);
    }
    let mut world = World::new("[limits]\nmemory = '256KiB'\nevent = '64KiB'\n[window]\nbytes = '200KiB'\n");
    let (_client, mut one) = world.open("/e").await;
    one.events(vec!["x".repeat(10_000); 19]).await;
    assert!(world.moved("respool_evictions_total").is_empty(), "there is room for them");
    let (_client, mut other) = world.open("/e").await;
    other.events(vec!["x".repeat(10_000); 19]).await;
    let evicted = world.moved("respool_evictions_total");
    assert!(evicted.len() == 1 && evicted[0].starts_with("{cause=\"memory\"} "), "{evicted:?}");
    let (held, most) = (world.metric("respool_memory_bytes"), world.metric("respool_memory_limit_bytes"));
    assert!(held > 100_000 && held <= most && most == 256 << 10, "{held} of {most}");
}

const HELD: &str = "respool_hold_seconds_count";

#[tokio::test(start_paused = true)]
async fn whoever_is_held_while_the_upstream_is_away_is_counted_with_what_came_of_it() {
    for route in [QUIET, SHARED] {
        for (outcome, within, beyond) in [
            ("answered", "5.0", "1.0"),
            ("cut", "10.0", "2.5"),
            ("left", "5.0", "1.0"),
            ("drained", "5.0", "1.0"),
        ] {
            let mut world = World::new(route);
            // An upstream that is there holds nobody, nor does one that takes its time.
            let slow = world.send(&event_source("/e", "")).await;
            let mut upstream = world.origin.accept().await;
            seconds(7).await;
            upstream.refuse(204).await;
            drop((slow, upstream));
            settle().await;
            assert!(world.moved("respool_held_requests").is_empty() && world.moved(HELD).is_empty());
            world.origin.set_away(true);
            let mut client = world.send(&event_source("/e", "")).await;
            seconds(2).await;
            assert_eq!(world.moved("respool_held_requests"), ["1"], "{outcome}");
            let mut exchange = None;
            match outcome {
                "answered" => {
                    world.origin.set_away(false);
                    let mut upstream = world.origin.accept().await;
                    upstream.begin().await;
                    exchange = Some(upstream);
                }
                "cut" => seconds(4).await,
                "drained" => world.app.drain().begin(),
                _ => drop(std::mem::replace(&mut client, world.send("GET / HTTP/1.1\nHost: h").await)),
            }
            // A client that has left is noticed when the upstream is asked for it next.
            seconds(1).await;
            assert!(world.moved("respool_held_requests").is_empty(), "{outcome}");
            assert_eq!(world.moved(HELD), [format!("{{outcome=\"{outcome}\"}} 1")], "{route}");
            let took = |le| {
                world.metric(&format!("respool_hold_seconds_bucket{{le=\"{le}\",outcome=\"{outcome}\"}}"))
            };
            assert_eq!((took(beyond), took(within)), (0, 1), "{outcome}");
            drop(exchange);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_none_for_a_stream_is_never_held() {
    let mut world = World::new("");
    world.origin.set_away(true);
    let mut client = world.request("GET / HTTP/1.1\nHost: h").await;
    client.read().await;
    assert_eq!(client.status, 502);
    assert!(world.moved(HELD).is_empty());
    let _ = world.origin.waiting().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_shows() {
    let mut world = World::new(QUIET);
    let (mut client, _upstream) = world.open("/e").await;
    assert!(world.moved("respool_draining").is_empty());
    world.app.drain().begin();
    settle().await;
    assert_eq!(world.moved("respool_draining"), ["1"]);
    seconds(30).await;
    client.read().await;
    assert_eq!(client.end, Some(Ended::Cut));
    assert_eq!(world.moved("respool_clients_cut_total"), ["{route=\"/e\",reason=\"drain\"} 1"]);
}

#[test]
fn the_process_is_measured_under_the_names_that_prometheus_gives_it() {
    let running = start(&["--upstream", "http://127.0.0.1:9"]);
    let metrics = get(running.admin, "/metrics");
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 60.0..=now).contains(&value("process_start_time_seconds")));
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!((5.0..100.0).contains(&value("process_open_fds")));
    assert!(value("process_max_fds") > 100.0);
    assert!((0.0..60.0).contains(&value("process_cpu_seconds_total")));
}

/// `OpenMetrics` as the older text format, which is what the linter reads: there a family has its suffix everywhere.
fn as_text_format(metrics: &str) -> String {
    let suffix = |kind: &str| match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let kinds: HashMap<&str, &str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let renamed = metrics.lines().map(|line| {
        let Some((about, rest)) = line.strip_prefix("# ").and_then(|line| line.split_once(' ')) else {
            return line.to_owned();
        };
        let (name, rest) = rest.split_once(' ').unwrap();
        let rest = if rest == "info" { "gauge" } else { rest };
        format!("# {about} {name}{} {rest}", suffix(kinds[name]))
    });
    renamed.filter(|line| line != "# EOF").map(|line| line + "\n").collect()
}

#[test]
fn promtool_has_nothing_to_say_of_them() {
    let running = start(&["--upstream", "http://127.0.0.1:9"]);
    let answer = get(running.admin, "/metrics");
    let metrics = as_text_format(answer.split_once("\r\n\r\n").unwrap().1);
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut linter = match command.spawn() {
        Ok(linter) => linter,
        Err(none) if none.kind() == ErrorKind::NotFound => {
            return eprintln!("skipped: promtool is not installed");
        }
        Err(fault) => panic!("{fault}"),
    };
    linter.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = linter.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && said.is_empty(), "{said}");
}
