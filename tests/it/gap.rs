//! Fall off by count, by bytes, by age, by generation; an empty window; a cursor ahead; ids that are not ours.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Exchange, World, event_source, settle};

/// Both kinds of stream, with a window of this configuration.
fn kinds(window: &str) -> [String; 2] {
    let route =
        |mode: &str| format!("[limits]\nevent = '1KiB'\n[[route]]\npath = '/e'\n{mode}window = {window}\n");
    [route(""), route("mode = 'shared'\nadmit = 'none'\nlinger = '1h'\n")]
}

/// Comes back with an id; where that is a gap on a private route, the upstream answers a new connection.
async fn back(world: &mut World, id: &str) -> (Client, Option<Exchange>) {
    let mut client = world.send(&event_source("/e", id)).await;
    let fresh = if world.origin.is_quiet().await { None } else { Some(world.origin.accept().await) };
    let fresh = match fresh {
        Some(mut exchange) => {
            assert_eq!(exchange.header("last-event-id"), None, "ids that we made never reach the upstream");
            exchange.begin().await;
            Some(exchange)
        }
        None => None,
    };
    client.read().await;
    (client, fresh)
}

/// Data of a hundred bytes.
fn long(number: usize) -> String {
    format!("{number:0>100}")
}

/// The client has `have` events, misses `missed`, waits, and comes back.
async fn check(window: &str, have: usize, missed: usize, wait: u64, expected: &str) {
    for config in kinds(window) {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events((0..have).map(long)).await;
        let id = client.id().await;
        drop(client);
        settle().await;
        upstream.events((have..have + missed).map(long)).await;
        sleep(Duration::from_secs(wait)).await;
        let (mut client, mut fresh) = back(&mut world, &id).await;
        assert_eq!(client.resume(), expected, "{config}");
        let upstream = fresh.as_mut().unwrap_or(&mut upstream);
        upstream.events(["live"]).await;
        let data = client.data().await;
        if expected.starts_with("gap") {
            assert_eq!(data, ["live"], "a gapped client is served as a new one");
            assert_ne!(client.id().await, id);
        } else {
            assert_eq!(data.len(), missed + 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_by_count() {
    check("{ events = 3 }", 5, 3, 0, "resumed; missed=3").await;
    check("{ events = 3 }", 5, 4, 0, "gap; reason=expired").await;
}

#[tokio::test(start_paused = true)]
async fn pitfall_a_window_is_bounded_by_bytes_too() {
    // An event is 108 bytes and its id line 21 (shared) or 28 (private): seven of either fit.
    check("{ bytes = '1KiB' }", 5, 7, 0, "resumed; missed=7").await;
    check("{ bytes = '1KiB' }", 5, 8, 0, "gap; reason=expired").await;
}

#[tokio::test(start_paused = true)]
async fn pitfall_a_window_that_age_has_emptied_proves_nothing() {
    check("{ age = '60s' }", 5, 1, 59, "resumed; missed=1").await;
    check("{ age = '60s' }", 5, 1, 60, "gap; reason=expired").await;
    check("{ age = '60s' }", 5, 0, 70, "resumed; missed=0").await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_by_generation() {
    for config in kinds("{ events = 9 }") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events(["a"]).await;
        let id = client.id().await;
        drop((client, upstream));
        sleep(Duration::from_secs(3)).await;
        while !world.origin.is_quiet().await {
            // A shared stream has asked again by itself.
            world.origin.accept().await.refuse(500).await;
        }
        let (client, _) = back(&mut world, &id).await;
        // Nor does a session that was lost serve anything more.
        assert_eq!(client.resume(), "gap; reason=generation");
    }
}

#[tokio::test(start_paused = true)]
async fn pitfall_a_cursor_ahead_of_the_tail_is_a_gap_and_not_silence() {
    for config in kinds("{ events = 9 }") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events(["a"]).await;
        let id = client.id().await.replace("-1", "-2");
        let (mut client, mut fresh) = back(&mut world, &id).await;
        assert_eq!(client.resume(), "gap; reason=ahead");
        fresh.as_mut().unwrap_or(&mut upstream).events(["b"]).await;
        assert_eq!(client.data().await, ["b"], "it hears what comes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gapped_event_source_is_primed_with_the_fence() {
    for config in kinds("{ events = 1 }") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events(["a"]).await;
        let id = client.id().await;
        drop(client);
        settle().await;
        upstream.events(["b", "c"]).await;
        let (mut client, fresh) = back(&mut world, &id).await;
        let seq = if fresh.is_some() { 0 } else { 3 };
        assert!(client.id().await.ends_with(&format!("-{seq}")), "{}", client.text());
    }
}

#[tokio::test(start_paused = true)]
async fn case_4_a_foreign_id_goes_to_the_upstream_with_its_client_whose_ids_are_the_upstreams_alone() {
    for config in kinds("{ events = 9 }") {
        let mut world = World::new(&config);
        let mut client = world.send(&event_source("/e", "caf\u{e9} 12")).await;
        let mut upstream = world.origin.accept().await;
        assert_eq!(upstream.header("last-event-id"), Some("caf\u{e9} 12"), "opaque bytes");
        upstream.begin().await;
        upstream.send("id: 13\ndata: a\n\ndata: b\n\n").await;
        client.read().await;
        assert_eq!(client.resume(), "foreign");
        assert_eq!(
            client.text(),
            "data: a\nid: 13\n\ndata: b\n\n",
            "case 4: its own ids alone, and no prime"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn keep_is_ours_until_the_upstream_sends_an_id_of_its_own() {
    let mut world = World::new(&kinds("{ events = 99 }")[1]);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let ours = client.id().await;
    upstream.send("id: 7\ndata: b\n\ndata: c\n\nid: 8\ndata: d\n\n").await;
    assert_eq!(client.id().await, "8");
    assert!(client.text().ends_with("data: b\nid: 7\n\ndata: c\n\ndata: d\nid: 8\n\n"), "{}", client.text());
    for (id, missed) in [(ours.as_str(), "bcd"), ("7", "cd"), ("8", "")] {
        let mut back = world.event_source("/e", id).await;
        assert_eq!(back.data().await.concat(), missed);
        assert_eq!(back.resume(), format!("resumed; missed={}", missed.len()));
    }
    assert_eq!(world.origin.dials(), 1, "an id that the window holds is no matter for the upstream");
}

#[tokio::test(start_paused = true)]
async fn the_last_line_that_is_not_empty_counts() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    let request =
        format!("{}\nLast-Event-ID: 7\nLast-Event-ID: {id}\nLast-Event-ID: ", event_source("/e", ""));
    assert_eq!(world.request(&request).await.resume(), "resumed; missed=0");
}

#[tokio::test(start_paused = true)]
async fn case_1_a_burst_larger_than_the_window_cuts_nobody_who_was_caught_up() {
    for config in kinds("{ events = 3 }") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        let data: Vec<String> = (0..500).map(|n| n.to_string()).collect();
        let all: String = data.iter().map(|n| format!("data: {n}\n\n")).collect();
        upstream.send(all).await;
        assert_eq!(client.data().await, data);
        assert_eq!(client.end, None);
    }
}

/// What an operator has a gapped client told.
const TOLD: &str = "gap_event = { event = 'gap', data = '{reason}' }\n";

fn kinds_saying(lines: &str) -> [String; 2] {
    ["", "mode = 'shared'\nkey = ['path']\nadmit = 'none'\n"]
        .map(|mode| format!("[[route]]\npath = '/e'\n{mode}window = {{ events = 2 }}\n{lines}"))
}

#[tokio::test(start_paused = true)]
async fn a_gap_event_comes_first_to_a_gapped_client_and_to_nobody_else() {
    for config in kinds_saying(TOLD) {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events(["1", "2", "3", "4"]).await;
        assert_eq!(client.data().await, ["1", "2", "3", "4"], "none for a new one");
        let held = client.held();
        for (id, reason) in [
            (held.events[0].id.clone(), "expired"),
            (held.events[3].id.replace("-4", "-9"), "ahead"),
            ("r0000000000007-1".to_owned(), "generation"),
        ] {
            let mut back = world.send(&event_source("/e", &id)).await;
            if !config.contains("shared") {
                world.origin.accept().await.begin().await;
            }
            back.read().await;
            assert_eq!((back.status, back.resume()), (200, &*format!("gap; reason={reason}")));
            assert_eq!(back.held().data(), [reason]);
            assert_eq!(back.held().events[0].kind, "gap");
            assert_eq!(back.held().events[0].id, "", "it moves nobody past anything");
            assert!(back.text().starts_with("event: gap\ndata: "), "first of all: {}", back.text());
            assert!(back.id().await.starts_with('r'), "and the fence behind it: {}", back.text());
        }
        let resumed = world.event_source("/e", &held.events[2].id).await;
        assert_eq!(resumed.held().data(), ["4"], "none for one that missed nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn on_gap_replay_gives_what_is_still_retained_and_a_cut_in_it_loses_nothing() {
    for config in kinds_saying(&format!("on_gap = 'replay'\n{TOLD}")) {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events(["1", "2", "3", "4"]).await;
        client.read().await;
        let ids: Vec<_> = client.held().events.iter().map(|event| event.id.clone()).collect();
        for (id, reason) in [(ids[0].clone(), "expired"), (ids[3].replace("-4", "-9"), "ahead")] {
            let mut back = world.event_source("/e", &id).await;
            assert_eq!(
                (back.data().await, back.resume()),
                (vec![reason.to_owned(), "3".into(), "4".into()], &*format!("gap; reason={reason}"))
            );
            assert!(
                back.text().contains(&format!("data: {reason}\n\nid: {}\n\n", ids[1])),
                "the low edge less one: {}",
                back.text()
            );
        }
        // Cut right behind the id that came before the replay.
        let rest = world.event_source("/e", &ids[1]).await;
        assert_eq!((rest.held().data(), rest.resume()), (vec!["3", "4"], "resumed; missed=2"));
        upstream.events(["5"]).await;
        let route = "respool_replayed_events_total{route=\"/e\"}";
        assert_eq!(world.metric(route), 6, "they are counted as replayed");
    }
}

#[tokio::test(start_paused = true)]
async fn case_2_a_gaps_ids_are_the_last_hellos_alone_and_that_is_the_low_edge_less_one() {
    let hello = "event: hi\ndata: hello\n\n";
    let config =
        kinds_saying(&format!("on_gap = 'replay'\n{TOLD}hello = ['hi']\nhello_events = 2\n"))[1].clone();
    let mut world = World::new(&config);
    let mut client = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send(hello.repeat(2)).await;
    upstream.events(["1", "2", "3", "4"]).await;
    client.read().await;
    let ids: Vec<_> = client.held().events.iter().map(|event| event.id.clone()).collect();
    let mut back = world.send(&event_source("/e", &ids[2])).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    back.read().await;
    assert_eq!(back.held().data(), ["expired"], "it waits for nothing");
    asked.send(hello).await;
    assert_eq!(back.data().await, ["expired"]);
    asked.send(hello).await;
    assert_eq!(back.data().await, ["expired", "hello", "hello", "3", "4"]);
    let said: Vec<_> = back.held().events.iter().map(|event| event.id.clone()).collect();
    assert_eq!(said, ["", "", &*ids[3], &*ids[4], &*ids[5]]);
}

#[tokio::test(start_paused = true)]
async fn a_new_client_of_a_shared_stream_hears_the_reconnection_time_too() {
    let mut world = World::new(&kinds_saying("")[1]);
    let (_first, mut upstream) = world.open("/e").await;
    upstream.send("retry: 1234\n\n").await;
    let mut second = world.event_source("/e", "").await;
    upstream.events(["a"]).await;
    second.read().await;
    assert_eq!((second.held().retry, second.held().data()), (Some(1234), vec!["a"]));
    assert!(second.text().starts_with("retry: 1234\nid: r"), "in its first frame: {}", second.text());
}
