use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{OWN, World, header, text};
use crate::support::world::settle;

const SHARED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";

/// The same with types in place of values; of lists the first entry.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        Value::Array(list) => list.first().map_or(json!([]), |first| json!([shape(first)])),
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_shape_is_what_is_documented() {
    let mut w = World::new(&format!("admin_actions = ['purge']\n{SHARED}"));
    let (mut client, mut upstream) = w.world.open("/e").await;
    upstream.events(["a"]).await;
    client.read().await;
    let answer = w.ask("GET", "/status", OWN).await;
    assert_eq!(header(&answer, "content-type"), "application/json");
    let mut status: Value = serde_json::from_str(&text(answer).await).unwrap();
    // What is counted is as in the metrics; one of each will do.
    for place in ["/counts", "/history/counts"] {
        let counts = status.pointer_mut(place).unwrap();
        let groups: Vec<_> = counts.as_object().unwrap().keys().cloned().collect();
        assert_eq!(groups, ["admissions", "answers", "connects", "cuts", "ends", "requests"]);
        *counts = counts["answers"]["fresh"].clone();
    }
    let sums = json!({
        "streams": "number", "streams_without_upstream": "number", "clients": "number",
        "clients_past_low": "number", "waiting": "number", "events": "number", "bytes": "number",
        "furthest_bytes": "number",
    });
    let lag = json!({ "events": "number", "bytes": "number", "past_low": "bool" });
    let used = json!({ "used": "number", "limit": "number" });
    let window = json!({
        "generation": "text", "low": "number", "tail": "number", "events": "number", "events_limit": "number",
        "bytes": "number", "bytes_limit": "number", "oldest_seconds": "number", "age_limit_seconds": "number",
    });
    assert_eq!(
        shape(&status),
        json!({
            "version": "text",
            "uptime_seconds": "number",
            "drain": { "draining": "bool", "seconds": "null", "time_seconds": "number" },
            "upstream": { "address": "text", "state": "text", "why": "null", "streams_without": "number" },
            "reload": {
                "loaded": "number", "loads": "number", "last": "number", "outcome": "text", "faults": [], "waiting": [],
            },
            "memory": used, "stream_places": used, "lingering": used, "watchers": used,
            "actions": ["text"],
            "totals": sums,
            "routes": { "/e": sums },
            "streams": [{
                "number": "number", "route": "text", "kind": "text", "key": "text", "phase": "text",
                "phase_seconds": "number", "why": "null", "open_seconds": "number", "window": window,
                "clients": "number", "waiting": "number", "furthest": lag,
            }],
            "streams_left_out": "number",
            "clients": [{
                "stream": "number", "route": "text", "key": "text", "lag": lag, "connected_seconds": "number",
            }],
            "clients_left_out": "number",
            "counts": "number",
            "history": { "bucket_seconds": "number", "buckets_most": "number", "counts": ["number"] },
        })
    );
}

/// What is said of the only stream.
async fn only(w: &World) -> Value {
    let status = w.status().await;
    assert_eq!(status["streams"].as_array().map(Vec::len), Some(1), "{status}");
    status["streams"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn a_shared_stream_is_followed_through_its_life() {
    let mut w = World::new(&format!("{SHARED}window = {{ events = 3 }}\nlinger = '1m'\n"));
    let first = w.world.send(&crate::support::world::event_source("/e", "")).await;
    let mut upstream = w.world.origin.accept().await;
    sleep(Duration::from_secs(2)).await;
    let stream = only(&w).await;
    assert_eq!(
        (&stream["phase"], &stream["waiting"], &stream["window"]),
        (&json!("opening"), &json!(1), &Value::Null)
    );
    upstream.begin().await;
    let mut first = first;
    first.read().await;
    upstream.events(["a", "b", "c", "d", "e"]).await;
    sleep(Duration::from_secs(7)).await;
    first.read().await;
    let stream = only(&w).await;
    let window = &stream["window"];
    assert_eq!(
        (&stream["phase"], &stream["kind"], &stream["clients"]),
        (&json!("live"), &json!("shared"), &json!(1))
    );
    let shown = ["low", "tail", "events", "events_limit"].map(|name| window[name].as_u64().unwrap());
    assert_eq!(shown, [3, 5, 3, 3]);
    let age = window["oldest_seconds"].as_f64().unwrap();
    assert!((7.0..8.0).contains(&age), "{age}");
    let id = first.id().await;
    assert!(id.contains(window["generation"].as_str().unwrap()), "{id} {window}");
    assert!(!window.to_string().contains(&id));
    drop(first);
    settle().await;
    assert_eq!(only(&w).await["phase"], "lingering");
    let _second = w.world.event_source("/e", &id).await;
    w.world.origin.set_away(true);
    drop(upstream);
    sleep(Duration::from_secs(3)).await;
    let status = w.status().await;
    let stream = &status["streams"][0];
    assert_eq!(stream["phase"], "down");
    assert_eq!(stream["why"], "the upstream cannot be reached");
    let down = stream["phase_seconds"].as_f64().unwrap();
    assert!((2.9..3.5).contains(&down), "{down}");
    assert_eq!((&status["upstream"]["state"], &status["upstream"]["why"]), (&json!("away"), &stream["why"]));
    assert_eq!(
        (&status["totals"]["streams_without_upstream"], &status["routes"]["/e"]["streams_without_upstream"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(status["counts"]["ends"]["broken"], 1);
    w.world.origin.set_away(false);
    let mut back = w.world.origin.accept().await;
    back.begin().await;
    let status = w.status().await;
    assert_eq!(
        (&status["streams"][0]["phase"], &status["streams"][0]["why"]),
        (&json!("lingering"), &Value::Null)
    );
    assert_eq!(status["upstream"]["state"], "answering");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_live_then_lingers_then_is_forgotten() {
    let mut w = World::new("");
    let (mut client, mut upstream) = w.world.open("/p").await;
    upstream.events(["a"]).await;
    client.read().await;
    let stream = only(&w).await;
    assert_eq!(
        (&stream["phase"], &stream["kind"], &stream["route"]),
        (&json!("live"), &json!("private"), &json!("default"))
    );
    drop(client);
    settle().await;
    assert_eq!(only(&w).await["phase"], "lingering");
    drop(upstream);
    settle().await;
    let stream = only(&w).await;
    assert_eq!((&stream["phase"], &stream["why"]), (&json!("ended"), &json!("the upstream was lost")));
    sleep(Duration::from_secs(200)).await;
    assert_eq!(w.status().await["streams"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_slow_is_shown_with_its_lag_and_first() {
    let mut w = World::new(&format!("{SHARED}window = {{ events = 2 }}\n"));
    let (mut quick, mut upstream) = w.world.open("/e").await;
    w.world.pipe = 1024;
    let _slow = w.world.event_source("/e", "").await;
    sleep(Duration::from_secs(5)).await;
    // More than its socket and hyper's buffer take.
    for _ in 0..20 {
        upstream.events(["x".repeat(50_000)]).await;
        quick.read().await;
    }
    let status = w.status().await;
    let clients = status["clients"].as_array().unwrap();
    assert_eq!((clients.len(), &status["clients_left_out"]), (2, &json!(0)));
    let (worst, best) = (&clients[0], &clients[1]);
    assert!(worst["lag"]["events"].as_u64().unwrap() > 2, "{worst}");
    assert!(worst["lag"]["bytes"].as_u64().unwrap() > 100_000, "{worst}");
    assert_eq!((&worst["lag"]["past_low"], &best["lag"]["past_low"]), (&json!(true), &json!(false)));
    assert_eq!(best["lag"]["events"], 0);
    assert!(worst["connected_seconds"].as_f64().unwrap() >= 5.0);
    assert_eq!(status["streams"][0]["furthest"], worst["lag"]);
    assert_eq!(
        (&status["totals"]["clients_past_low"], &status["totals"]["furthest_bytes"]),
        (&json!(1), &worst["lag"]["bytes"])
    );
}

#[tokio::test(start_paused = true)]
async fn the_worst_come_first_and_the_others_are_counted() {
    let mut w = World::new(&format!("{SHARED}linger = '1m'\n"));
    let mut kept = Vec::new();
    // More than are taken out of their list at a time.
    for n in 0..300 {
        let (mut client, mut upstream) = w.world.open(&format!("/p/{n}")).await;
        upstream.events(["a"]).await;
        client.read().await;
        kept.push((client, upstream));
    }
    let (shared, upstream) = w.world.open("/e").await;
    w.world.origin.set_away(true);
    drop((shared, upstream));
    settle().await;
    let status = w.status().await;
    let (streams, clients) = (status["streams"].as_array().unwrap(), status["clients"].as_array().unwrap());
    assert_eq!((streams.len(), &status["streams_left_out"]), (100, &json!(201)));
    assert_eq!((clients.len(), &status["clients_left_out"]), (100, &json!(200)));
    assert_eq!((&streams[0]["route"], &streams[0]["phase"]), (&json!("/e"), &json!("down")));
    assert_eq!((&status["totals"]["streams"], &status["totals"]["clients"]), (&json!(301), &json!(300)));
    assert_eq!(
        (&status["routes"]["default"]["streams"], &status["routes"]["/e"]["streams"]),
        (&json!(300), &json!(1))
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_is_told_by_the_minute() {
    let mut w = World::new(SHARED);
    tokio::spawn(w.admin.remember());
    let (mut client, mut upstream) = w.world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    sleep(Duration::from_secs(61)).await;
    for _ in 0..3 {
        assert_eq!(w.world.event_source("/e", &id).await.resume(), "resumed; missed=0");
    }
    sleep(Duration::from_secs(120)).await;
    let other = format!("r{}-1", "0".repeat(13));
    assert_eq!(w.world.event_source("/e", &other).await.resume(), "gap; reason=generation");
    let history = w.status().await["history"].clone();
    assert_eq!((&history["bucket_seconds"], &history["buckets_most"]), (&json!(60), &json!(60)));
    let answers = &history["counts"]["answers"];
    assert_eq!(answers["fresh"], json!([1, 0, 0, 0]));
    assert_eq!(answers["resumed"], json!([0, 3, 0, 0]));
    assert_eq!(answers["gap_generation"], json!([0, 0, 0, 1]));
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_request_is_told() {
    let secret = "s3cr3t";
    let mut w = World::new("[[route]]\npath = '/<b>&\"/**'\n");
    let path = format!("/{secret}?token={secret}");
    let head = format!(
        "GET {path} HTTP/1.1\nHost: {secret}.example\nAccept: text/event-stream\nAuthorization: Bearer {secret}\nCookie: sid={secret}\nUser-Agent: {secret}\nX-Forwarded-For: 192.0.2.77"
    );
    let mut client = w.world.send(&head).await;
    let mut upstream = w.world.origin.accept().await;
    upstream.begin().await;
    upstream.send(format!("event: {secret}\nid: {secret}-7\ndata: {secret}\n\n")).await;
    upstream.send("data: ours\n\n").await;
    client.read().await;
    assert!(client.text().contains(secret));
    let (_ours, mut second) = w.world.open("/q").await;
    second.events(["a"]).await;
    let status = w.status_text().await;
    assert!(!status.contains(secret) && !status.contains("192.0.2.77"), "{status}");
    let mut held = _ours;
    let id = held.id().await;
    let generation = id[1..].split('-').next().unwrap();
    assert!(!status.contains(generation), "an id is half of what a session is found by");
    assert!(status.contains(&generation[..6]), "{generation} {status}");
    let keys: Value = serde_json::from_str(&status).unwrap();
    for stream in keys["streams"].as_array().unwrap() {
        let key = stream["key"].as_str().unwrap();
        assert!(key.len() == 8 && key.bytes().all(|b| b.is_ascii_hexdigit()), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_configuration_is_told() {
    let w = World::new("");
    w.world.app.record().refused(std::time::SystemTime::now(), vec!["<b>a.toml:1:1: wrong; right".into()]);
    let reload = w.status().await["reload"].clone();
    assert_eq!((&reload["outcome"], &reload["loads"]), (&json!("refused"), &json!(1)));
    assert_eq!(reload["faults"], json!(["<b>a.toml:1:1: wrong; right"]));
}

/// The next event, and how long it took to come.
async fn event(body: &mut respool::body::Relay) -> (String, Duration) {
    let start = Instant::now();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    (String::from_utf8(frame.to_vec()).unwrap(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn events_come_once_a_second_while_somebody_looks() {
    let w = World::new(SHARED);
    let answer = w.ask("GET", "/status/events", OWN).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (200, "text/event-stream"));
    let mut one = answer.into_body();
    assert_eq!(event(&mut one).await.0, "retry: 2000\n\n");
    let mut uptimes = Vec::new();
    for n in 0..4 {
        let (event, waited) = event(&mut one).await;
        let json = event.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
        assert!(!json.contains(['\n', '\r']));
        uptimes.push(serde_json::from_str::<Value>(json).unwrap()["uptime_seconds"].as_f64().unwrap());
        let waited = waited.as_secs_f64();
        assert!(if n == 0 { waited < 0.1 } else { (0.9..1.1).contains(&waited) }, "{waited}");
    }
    assert!(uptimes.windows(2).all(|pair| pair[1] > pair[0] + 0.9), "{uptimes:?}");
    // Another one sees the same, at the same time.
    let mut two = w.ask("GET", "/status/events", OWN).await.into_body();
    event(&mut two).await;
    let (first, waited) = event(&mut two).await;
    assert!(waited.is_zero() && first.contains(&format!("\"uptime_seconds\":{}", uptimes[3])), "{first}");
    assert_eq!(event(&mut two).await.0, event(&mut one).await.0);
}

#[tokio::test(start_paused = true)]
async fn so_many_may_look_and_a_place_is_free_again_when_one_leaves() {
    let w = World::new("");
    let mut all = Vec::new();
    for _ in 0..16 {
        all.push(w.ask("GET", "/status/events", OWN).await);
    }
    assert!(all.iter().all(|answer| answer.status() == 200));
    assert_eq!(w.code("GET", "/status/events", OWN).await, 503);
    assert_eq!(w.code("GET", "/status", OWN).await, 200);
    all.pop();
    assert_eq!(w.code("GET", "/status/events", OWN).await, 200);
    all.clear();
    sleep(Duration::from_secs(2)).await;
    let mut late = w.ask("GET", "/status/events", OWN).await.into_body();
    event(&mut late).await;
    let (event, waited) = event(&mut late).await;
    assert!(
        waited < Duration::from_millis(100) && event.contains("\"uptime_seconds\":2"),
        "not an old one: {event}"
    );
}

#[tokio::test(start_paused = true)]
async fn of_a_stream_with_many_clients_all_are_counted_each_once() {
    let mut w = World::new(SHARED);
    let (first, mut upstream) = w.world.open("/e").await;
    let mut clients = vec![first];
    for _ in 1..600 {
        clients.push(w.world.event_source("/e", "").await);
    }
    upstream.events(["a"]).await;
    // Holes among their places, too.
    let mut place = 0;
    clients.retain(|_| {
        place += 1;
        place % 3 > 0
    });
    settle().await;
    let status = w.status().await;
    assert_eq!((&status["streams"][0]["clients"], &status["totals"]["clients"]), (&json!(400), &json!(400)));
    let listed = status["clients"].as_array().unwrap().len() as u64;
    assert_eq!(listed + status["clients_left_out"].as_u64().unwrap(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_over_is_shown_as_long_as_somebody_takes_from_it() {
    let mut w = World::new(SHARED);
    let (mut quick, mut upstream) = w.world.open("/e").await;
    w.world.pipe = 1024;
    let slow = w.world.event_source("/e", "").await;
    for _ in 0..20 {
        upstream.events(["x".repeat(50_000)]).await;
        quick.read().await;
    }
    drop(upstream);
    sleep(Duration::from_secs(3)).await;
    w.world.origin.accept().await.begin().await;
    let status = w.status().await;
    let streams = status["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 2, "{status}");
    let former = streams.iter().find(|stream| stream["number"].is_null()).unwrap();
    assert_eq!(
        (&former["phase"], &former["route"], &former["clients"]),
        (&json!("ended"), &json!("/e"), &json!(1))
    );
    assert_eq!(former["furthest"]["events"].as_u64(), status["clients"][0]["lag"]["events"].as_u64());
    assert_eq!(former["key"], streams.iter().find(|stream| !stream["number"].is_null()).unwrap()["key"]);
    drop(slow);
    settle().await;
    assert_eq!(w.status().await["streams"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pinned_stream_is_called_so_and_is_down_while_its_upstream_is_away() {
    let mut w = World::new("[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\npin = true\n");
    w.world.origin.set_away(true);
    sleep(Duration::from_secs(1)).await;
    while let Some(exchange) = w.world.origin.waiting().await {
        drop(exchange);
    }
    sleep(Duration::from_secs(5)).await;
    let stream = only(&w).await;
    assert_eq!(
        (&stream["kind"], &stream["phase"], &stream["window"]),
        (&json!("pinned"), &json!("down"), &Value::Null)
    );
    assert_eq!(stream["why"], "the upstream cannot be reached");
}
