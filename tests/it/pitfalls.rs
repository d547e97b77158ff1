//! What bit others, each once, where no test of the thing itself says so.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::world::{Client, Ended, Exchange, World, event_source, settle};

const SHARED: &str = "mode = 'shared'\nkey = ['path']\nadmit = 'none'\n";

/// Both kinds of stream, with these lines in their route.
fn kinds(lines: &str) -> [String; 2] {
    ["", SHARED].map(|mode| format!("[[route]]\npath = '/e'\n{mode}{lines}\n"))
}

/// A client that had an event and left; its id.
async fn left(world: &mut World) -> (String, Exchange) {
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    settle().await;
    (id, upstream)
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{n:0>300}")).collect()
}

/// Reads as long as something comes.
async fn all(client: &mut Client) -> Vec<String> {
    let mut seen = 0;
    while client.data().await.len() > seen {
        seen = client.held().events.len();
    }
    client.data().await
}

/// The client reads its replay while events come, before it, in it and behind it.
#[tokio::test(start_paused = true)]
async fn pitfall_nothing_is_lost_or_doubled_where_a_replay_meets_what_is_live() {
    for config in kinds("") {
        let mut world = World::new(&config);
        let (id, mut upstream) = left(&mut world).await;
        upstream.events(numbers(0..50)).await;
        world.pipe = 1000;
        let mut back = world.send(&event_source("/e", &id)).await;
        for n in 50..150 {
            upstream.burst(format!("data: {n:0>300}\n\n")).await;
            back.read_some(n * 7 % 900 + 1).await;
        }
        assert_eq!(all(&mut back).await, numbers(0..150), "{config}");
        assert_eq!(back.end, None);
    }
}

#[tokio::test(start_paused = true)]
async fn pitfall_an_id_from_before_a_restart_is_no_place_behind_it() {
    for config in kinds("") {
        let (id, _) = left(&mut World::seeded(&config, 1)).await;
        let mut world = World::seeded(&config, 2);
        let (_client, mut upstream) = world.open("/e").await;
        upstream.events(["x", "y", "z"]).await;
        let mut back = world.send(&event_source("/e", &id)).await;
        if !config.contains("shared") {
            upstream = world.origin.accept().await;
            upstream.begin().await;
        }
        upstream.events(["live"]).await;
        assert_eq!((back.data().await, back.resume()), (vec!["live".to_owned()], "gap; reason=generation"));
    }
}

#[tokio::test(start_paused = true)]
async fn pitfall_a_gap_notice_moves_nobody_past_an_event() {
    for config in
        kinds("window = { events = 2 }\ngap_event = { event = 'gap', data = '{reason}' }\nprime = false")
    {
        let mut world = World::new(&config);
        let (id, mut upstream) = left(&mut world).await;
        upstream.events(["b", "c", "d"]).await;
        let mut back = world.send(&event_source("/e", &id)).await;
        if !config.contains("shared") {
            world.origin.accept().await.begin().await;
        }
        back.read().await;
        assert_eq!((back.held().data(), back.held().id.as_str()), (vec!["expired"], ""), "{}", back.text());
    }
}

#[tokio::test(start_paused = true)]
async fn pitfall_heartbeats_and_comments_push_no_event_out() {
    for config in kinds("window = { events = 3, bytes = '4MiB' }\nephemeral = ['beat']") {
        let mut world = World::new(&config);
        let (id, mut upstream) = left(&mut world).await;
        upstream.events(["b", "c", "d"]).await;
        for _ in 0..100 {
            upstream.send(": comment\n\nevent: beat\ndata: b\n\nretry: 7\n\n:\n".repeat(100)).await;
        }
        let mut back = world.event_source("/e", &id).await;
        assert_eq!((back.data().await.concat().as_str(), back.resume()), ("bcd", "resumed; missed=3"));
        let held = world.app.registry().held();
        assert!(held < 100_000, "{held} bytes are held for what nobody can have again");
    }
}

/// The client takes a little at a time, with pauses, for longer than one that takes nothing is borne with.
#[tokio::test(start_paused = true)]
async fn pitfall_a_replay_larger_than_any_buffer_is_paced_by_the_socket() {
    for config in kinds("") {
        let mut world = World::new(&config);
        let (id, mut upstream) = left(&mut world).await;
        upstream.events(numbers(0..2000)).await;
        world.pipe = 10_000;
        let mut back = world.send(&event_source("/e", &id)).await;
        for _ in 0..20 {
            sleep(Duration::from_secs(10)).await;
            back.read_some(9_000).await;
        }
        assert!(back.held().events.len() < 1000);
        assert_eq!(all(&mut back).await, numbers(0..2000), "{config}");
        assert_eq!((back.end, back.resume()), (None, "resumed; missed=2000"));
    }
}

#[tokio::test(start_paused = true)]
async fn pitfall_age_empties_a_window_that_nothing_is_written_to() {
    for config in kinds("window = { age = '60s' }\nlinger = '1h'") {
        let mut world = World::new(&config);
        let (_id, mut upstream) = left(&mut world).await;
        upstream.events(numbers(0..1000)).await;
        assert!(world.app.registry().held() > 300_000);
        sleep(Duration::from_secs(70)).await;
        let held = world.app.registry().held();
        assert!(
            held < 10_000,
            "{held} bytes are held of what is too old, with nobody to read or write: {config}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pitfall_every_type_is_retained_where_nothing_is_said() {
    for config in kinds("") {
        let mut world = World::new(&config);
        let (id, mut upstream) = left(&mut world).await;
        upstream.send("event: heartbeat\ndata: 1\n\nevent: x.y/z\ndata: 2\n\nevent\ndata: 3\n\ndata: {\"type\":\"ping\"}\n\n").await;
        let mut back = world.event_source("/e", &id).await;
        assert_eq!(back.data().await, ["1", "2", "3", "{\"type\":\"ping\"}"], "{config}");
    }
}

/// Nobody has noticed yet that the former connection is dead.
#[tokio::test(start_paused = true)]
async fn pitfall_a_quick_reconnect_takes_over_while_the_dead_connection_is_open() {
    let mut world = World::new("");
    let (mut dead, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = dead.id().await;
    upstream.events(["b"]).await;
    let mut back = world.event_source("/e", &id).await;
    assert_eq!((back.status, back.resume()), (200, "resumed; missed=1"));
    upstream.events(["c"]).await;
    assert_eq!(back.data().await, ["b", "c"]);
    assert_eq!(world.origin.dials(), 1, "the upstream sees no second one, and has nothing to refuse");
}

#[tokio::test(start_paused = true)]
async fn pitfall_what_comes_while_no_client_is_connected_is_recorded() {
    for config in kinds("") {
        let mut world = World::new(&config);
        let (id, mut upstream) = left(&mut world).await;
        sleep(Duration::from_secs(100)).await;
        upstream.events(["b", "c"]).await;
        let mut back = world.event_source("/e", &id).await;
        assert_eq!(
            (back.data().await.concat().as_str(), back.resume()),
            ("bc", "resumed; missed=2"),
            "{config}"
        );
    }
    // Nor is there any need of a first client, where a stream is pinned.
    let mut world = World::new(&format!("{}on_gap = 'replay'\npin = true\n", kinds("")[1]));
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a", "b"]).await;
    let back = world.event_source("/e", "r0000000000000-1").await;
    assert_eq!(back.held().data(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn pitfall_an_open_event_stream_does_not_block_a_shutdown() {
    for config in kinds("") {
        let mut world = World::new(&config);
        let (mut client, _upstream) = world.open("/e").await;
        let begun = Instant::now();
        world.app.drain().finish().await;
        assert!(begun.elapsed() < Duration::from_secs(10), "before its time is over: {:?}", begun.elapsed());
        client.read().await;
        assert_eq!(client.end, Some(Ended::Cut));
    }
}
