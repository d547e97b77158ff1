//! What becomes of events by their types: on the wire, for private and for shared streams.

use crate::support::world::{World, event_source, settle};

/// Both kinds of stream, with these lines in their route.
fn kinds(lines: &str) -> [String; 2] {
    ["", "mode = 'shared'\nkey = ['path']\nadmit = 'none'\n"]
        .map(|mode| format!("[[route]]\npath = '/e'\n{mode}{lines}\n"))
}

/// What a client gets live of `frames`, and what one that was away for them gets when it comes back.
async fn check(lines: &str, frames: &str, live: &[&str], replayed: &[&str]) {
    for config in kinds(lines) {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("data: {\"type\":\"first\"}\n\n").await;
        let id = client.id().await;
        upstream.send(frames).await;
        assert_eq!(client.data().await[1..], *live, "live: {config}");
        let mut back = world.event_source("/e", &id).await;
        assert_eq!(back.data().await, replayed, "replayed: {config}");
        assert_eq!(back.resume(), format!("resumed; missed={}", replayed.len()));
    }
}

#[tokio::test(start_paused = true)]
async fn ephemeral_types_are_live_and_never_replayed() {
    let frames = "event: beat\ndata: 1\n\nevent: news\ndata: 2\n\nevent: beat.slow\ndata: 3\n\ndata: 4\n\n";
    check("ephemeral = ['beat*']", frames, &["1", "2", "3", "4"], &["2", "4"]).await;
    check("ephemeral = ['message']", frames, &["1", "2", "3", "4"], &["1", "2", "3"]).await;
    check("ephemeral = 'nothing'", frames, &["1", "2", "3", "4"], &["1", "2", "3", "4"]).await;
}

#[tokio::test(start_paused = true)]
async fn with_retain_only_those_types_are_kept_and_ephemeral_comes_first() {
    let frames = "event: a\ndata: 1\n\nevent: b\ndata: 2\n\nevent: c\ndata: 3\n\n";
    check("retain = ['message', 'a', 'b']", frames, &["1", "2", "3"], &["1", "2"]).await;
    check("retain = ['*']\nephemeral = ['b']", frames, &["1", "2", "3"], &["1", "3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_type_can_stand_in_the_data() {
    let beat = "{\"type\":\"beat\"}";
    let news = "{\"n\":1,\"type\":\"news\"}";
    let frames = format!("event: ignored\ndata: {beat}\n\ndata: {news}\n\n");
    check("type = '/type'\nephemeral = ['beat']", &frames, &[beat, news], &[news]).await;
    let lines = "data: {\"payload\":\ndata: {\"type\":\"beat\"}}\n\n";
    check(
        "type = '/payload/type'\nephemeral = ['beat']",
        lines,
        &["{\"payload\":\n{\"type\":\"beat\"}}"],
        &[],
    )
    .await;
}

/// Data that is no JSON, and a pointer that leads nowhere: no type, and so no rule; nothing is thrown away.
#[tokio::test(start_paused = true)]
async fn what_has_no_type_is_retained() {
    let frames = "data: no JSON\n\ndata: {\"other\":1}\n\ndata: {\"type\":null}\n\n";
    let all = ["no JSON", "{\"other\":1}", "{\"type\":null}"];
    check("type = '/type'\nretain = ['first']", frames, &all, &all).await;
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_event_gets_no_id_and_takes_none_away() {
    for config in kinds("ephemeral = ['beat']") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("data: a\n\nevent: beat\ndata: b\n\n").await;
        let id = client.id().await;
        assert!(client.text().ends_with("event: beat\ndata: b\n\n"), "{}", client.text());
        assert!(id.ends_with("-1"), "{id}");
    }
}

/// A client that is slow keeps its place: ephemeral events stand where they came.
#[tokio::test(start_paused = true)]
async fn ephemeral_events_stand_at_their_place() {
    let frames: String =
        (0..9).map(|n| format!("event: {}\ndata: {n}\n\n", if n % 3 == 0 { "beat" } else { "x" })).collect();
    let all: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let kept: Vec<&str> =
        all.iter().copied().enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, data)| data).collect();
    check("ephemeral = ['beat']", &frames, &all, &kept).await;
}

#[tokio::test(start_paused = true)]
async fn replaced_ids_are_ours_whatever_the_upstream_sends() {
    let awkward = "id: 7\ndata: 1\n\nid\ndata: 2\n\ndata: 3\nid: 7\n\nid: a\0b\ndata: 4\n\nid: caf\u{e9} \u{1f600}\nid: 9\ndata: 5\n\n";
    for config in kinds("ids = 'replace'") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send(awkward).await;
        upstream.send("id: lone\n\n: comment\n\nid: lone\nretry: 7\n\n").await;
        let data = client.data().await;
        assert_eq!(data, ["1", "2", "3", "4", "5"]);
        for (n, event) in client.held().events.iter().enumerate() {
            assert!(event.id.starts_with('r') && event.id.ends_with(&format!("-{}", n + 1)), "{event:?}");
            let back = world.event_source("/e", &event.id).await;
            assert_eq!(
                (back.resume(), back.held().data()),
                (
                    format!("resumed; missed={}", 4 - n).as_str(),
                    data[n + 1..].iter().map(String::as_str).collect()
                )
            );
        }
        assert_eq!(client.held().retry, Some(7));
        assert!(!client.text().contains("lone") && !client.text().contains("id: 7"), "{}", client.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replaced_id_is_never_a_clients_cursor_and_goes_to_the_upstream_with_it() {
    for config in kinds("ids = 'replace'") {
        let mut world = World::new(&config);
        let (_client, mut first) = world.open("/e").await;
        first.send("id: 7\ndata: 1\n\n").await;
        let mut client = world.send(&event_source("/e", "7")).await;
        let mut upstream = world.origin.accept().await;
        assert_eq!(upstream.header("last-event-id"), Some("7"));
        upstream.begin().await;
        upstream.send("id: 8\ndata: 2\n\n").await;
        client.read().await;
        assert_eq!(client.resume(), "foreign");
        let id = client.id().await;
        drop(client);
        settle().await;
        upstream.send("data: 3\n\n").await;
        if config.contains("shared") {
            continue;
        }
        let mut back = world.event_source("/e", &id).await;
        assert_eq!((back.data().await, back.resume()), (vec!["3".to_owned()], "resumed; missed=1"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_ids_of_some_types_can_stay() {
    for config in kinds("ids = 'replace'\nkeep_ids_of = ['connect']") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream
            .send("event: connect\nid: client-name\ndata: 1\n\nid: 7\ndata: 2\n\nevent: connect\ndata: 3\n\n")
            .await;
        client.read().await;
        let ids: Vec<String> = client.held().events.iter().map(|event| event.id.clone()).collect();
        assert_eq!(ids[0], "client-name");
        assert!(ids[1].ends_with("-2") && ids[2].ends_with("-3"), "{ids:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_15_an_ephemeral_event_that_takes_the_id_away_gives_ours_back() {
    for config in kinds("ephemeral = 'beat'") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events(["a"]).await;
        let id = client.id().await;
        upstream.send("id\nevent: beat\ndata: b\n\n").await;
        assert_eq!((client.data().await.len(), client.id().await), (2, id.clone()), "{config}");
        drop(client);
        upstream.events(["c"]).await;
        let mut back = world.event_source("/e", &id).await;
        assert_eq!((back.data().await, back.resume()), (vec!["c".to_owned()], "resumed; missed=1"));
    }
}
