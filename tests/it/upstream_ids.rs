//! Sessions that are found again by an id of the upstream's.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use tokio::time::sleep;

use crate::support::{
    Binary, Origin, moment, until, within,
    world::{Client, Ended, Exchange, World, event_source, settle},
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

fn world(config: &str) -> World {
    let mut world = World::new(config);
    world.peer = Some(HERE);
    world
}

/// Two events with ids of the upstream's.
const SEVEN_EIGHT: &str = "id: 7\ndata: a\n\nid: 8\ndata: b\n\n";

/// A session whose client had this much.
async fn there(world: &mut World, stream: &str) -> (Client, Exchange) {
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send(stream).await;
    client.read().await;
    (client, upstream)
}

/// The same, and the client is gone.
async fn left(world: &mut World, stream: &str) -> Exchange {
    let (client, upstream) = there(world, stream).await;
    drop(client);
    settle().await;
    upstream
}

/// A client that comes back, and the upstream's connection, if it had to be asked.
async fn back(world: &mut World, request: &str) -> (Client, Option<Exchange>) {
    let mut client = world.send(request).await;
    settle().await;
    let mut asked = world.origin.waiting().await;
    if let Some(asked) = &mut asked {
        asked.begin().await;
    }
    client.read().await;
    (client, asked)
}

/// A client that brings the id is for the upstream to serve.
async fn is_foreign(world: &mut World, request: &str) {
    let (mut client, asked) = back(world, request).await;
    let asked = asked.expect("the upstream is asked");
    assert_eq!((client.resume(), asked.header("last-event-id")), ("foreign", Some("7")));
    assert!(client.data().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn case_5_an_id_of_the_upstreams_finds_the_session_again() {
    for config in ["", "[[route]]\npath = '/e'\n"] {
        let mut world = world(config);
        let mut upstream = left(&mut world, "id: 7\ndata: a\n\n").await;
        sleep(Duration::from_secs(119)).await;
        upstream.send("data: b\n\nid: 8\ndata: c\n\n").await;
        let (mut client, asked) = back(&mut world, &event_source("/e", "7")).await;
        assert!(asked.is_none());
        assert_eq!(
            (client.data().await, client.resume()),
            (vec!["b".into(), "c".into()], "resumed; missed=2")
        );
        upstream.send("id: 9\ndata: d\n\n").await;
        assert_eq!(client.data().await, ["b", "c", "d"]);
        drop(client);
        sleep(Duration::from_secs(121)).await;
        assert!(upstream.is_closed().await, "nobody came");
    }
}

#[tokio::test(start_paused = true)]
async fn case_5_a_client_of_the_id_that_the_upstream_knew_lingers_by_the_next_one() {
    let mut world = world("");
    let (mut client, asked) = back(&mut world, &event_source("/e", "7")).await;
    let mut upstream = asked.unwrap();
    upstream.send("id: 8\ndata: b\n\n").await;
    assert_eq!((client.id().await.as_str(), client.resume()), ("8", "foreign"));
    drop(client);
    upstream.send("id: 9\ndata: c\n\n").await;
    let (mut client, _) = back(&mut world, &event_source("/e", "8")).await;
    assert_eq!((client.data().await, client.resume()), (vec!["c".into()], "resumed; missed=1"));
}

/// ... and not by the one that it came with, which stands for no place here.
#[tokio::test(start_paused = true)]
async fn case_4_a_client_that_got_no_id_is_not_waited_for() {
    let mut world = world("");
    let (client, asked) = back(&mut world, &event_source("/e", "7")).await;
    let mut upstream = asked.unwrap();
    upstream.events(["a"]).await;
    drop(client);
    settle().await;
    assert!(upstream.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn case_5_only_for_the_same_key_from_the_same_address() {
    let forwarded = |by: &str| format!("{}\nX-Forwarded-For: {by}", event_source("/e", "7"));
    for (peer, request) in [
        (Some(THERE), event_source("/e", "7")),
        (None, event_source("/e", "7")),
        (Some(HERE), forwarded("10.0.0.1")),
        (None, forwarded("10.0.0.1")),
        (Some(HERE), event_source("/e?x", "7")),
        (Some(HERE), event_source("/e", "7") + "\nCookie: sid=1"),
        (Some(HERE), event_source("/e", "7") + "\nAuthorization: x"),
    ] {
        let mut world = world("");
        let _upstream = left(&mut world, SEVEN_EIGHT).await;
        world.peer = peer;
        is_foreign(&mut world, &request).await;
    }
}

/// By a unix socket anybody may come, unless a proxy says who.
#[tokio::test(start_paused = true)]
async fn case_5_where_no_address_is_known_nobody_is_found_and_nothing_kept() {
    let mut world = World::new("");
    let mut upstream = left(&mut world, SEVEN_EIGHT).await;
    assert!(upstream.is_closed().await);
    is_foreign(&mut world, &event_source("/e", "7")).await;
    let forwarded = |id: &str| format!("{}\nX-Forwarded-For: 10.0.0.1", event_source("/e", id));
    let (client, asked) = back(&mut world, &forwarded("")).await;
    let mut upstream = asked.unwrap();
    upstream.send(SEVEN_EIGHT).await;
    drop(client);
    settle().await;
    let (client, _) = back(&mut world, &forwarded("7")).await;
    assert_eq!(client.resume(), "resumed; missed=1");
}

#[tokio::test(start_paused = true)]
async fn case_5_never_for_a_request_with_a_body() {
    let mut world = world("[[route]]\npath = '/e'\nstamp = 'always'\n");
    let _upstream = left(&mut world, SEVEN_EIGHT).await;
    for method in ["GET", "POST"] {
        let head = format!("{method} /e HTTP/1.1\nHost: h\nContent-Length: 1\nLast-Event-ID: 7\n\nx");
        is_foreign(&mut world, &head).await;
    }
}

#[tokio::test(start_paused = true)]
async fn case_5_can_be_turned_off_and_then_nothing_is_kept() {
    let mut world = world("[[route]]\npath = '/e'\nmatch_upstream_ids = false\n");
    let mut upstream = left(&mut world, SEVEN_EIGHT).await;
    assert!(upstream.is_closed().await);
    let (_client, _other) = there(&mut world, SEVEN_EIGHT).await;
    is_foreign(&mut world, &event_source("/e", "7")).await;
}

/// What the sessions of two clients have; with the id 7, a third one is resumed or not.
async fn two(one: &str, other: &str, resumed: Option<&[&str]>) {
    let mut world = world("");
    let _one = left(&mut world, one).await;
    let (_client, _other) = there(&mut world, other).await;
    match resumed {
        None => is_foreign(&mut world, &event_source("/e", "7")).await,
        Some(data) => {
            let (mut client, asked) = back(&mut world, &event_source("/e", "7")).await;
            assert!(asked.is_none(), "{one} {other}");
            assert_eq!(client.data().await, data, "{one} {other}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn case_5_only_if_every_session_that_holds_the_id_goes_on_with_the_same_bytes() {
    two(SEVEN_EIGHT, SEVEN_EIGHT, Some(&["b"])).await;
    two(SEVEN_EIGHT, "id: 8\ndata: b\n\n", Some(&["b"])).await;
    two("id: 7\ndata: a\n\n", SEVEN_EIGHT, Some(&[])).await;
    two(SEVEN_EIGHT, "id: 7\ndata: a\n\n", Some(&["b"])).await;
    two("id: 7\ndata: a\n\nid: 8\ndata: x\n\n", SEVEN_EIGHT, None).await;
    two("id: 7\ndata: a\n\ndata: b\n\n", SEVEN_EIGHT, None).await;
    // Ids that are counted on each connection mean nothing beyond it.
    two("id: 7\ndata: x\n\n", SEVEN_EIGHT, None).await;
    two("id: 7\ndata: x\n\nid: 8\ndata: b\n\n", SEVEN_EIGHT, None).await;
}

/// The event that a client has is no longer kept: it proves nothing beside another.
#[tokio::test(start_paused = true)]
async fn case_5_of_two_sessions_each_must_have_the_event_itself() {
    let mut world = world("window = { events = 1 }\n");
    let _one = left(&mut world, SEVEN_EIGHT).await;
    let (client, _) = back(&mut world, &event_source("/e", "7")).await;
    assert_eq!(client.resume(), "resumed; missed=1");
    let (_client, _other) = there(&mut world, SEVEN_EIGHT).await;
    is_foreign(&mut world, &event_source("/e", "7")).await;
}

#[tokio::test(start_paused = true)]
async fn case_5_of_several_it_is_the_one_that_was_left_last() {
    let mut world = world("");
    let (_attached, _one) = there(&mut world, SEVEN_EIGHT).await;
    let (first, mut two) = there(&mut world, SEVEN_EIGHT).await;
    let (second, mut three) = there(&mut world, SEVEN_EIGHT).await;
    let (third, mut four) = there(&mut world, SEVEN_EIGHT).await;
    drop(first);
    drop(third);
    settle().await;
    drop(second);
    settle().await;
    let (mut client, _) = back(&mut world, &event_source("/e", "7")).await;
    four.events(["four"]).await;
    two.events(["two"]).await;
    three.events(["three"]).await;
    assert_eq!(client.data().await, ["b", "three"]);
}

#[tokio::test(start_paused = true)]
async fn case_5_of_very_many_sessions_nobody_says_which_is_meant() {
    let mut world = world("");
    let mut all = Vec::new();
    for _ in 0..64 {
        all.push(there(&mut world, SEVEN_EIGHT).await);
    }
    let (found, _) = back(&mut world, &event_source("/e", "7")).await;
    assert_eq!(found.resume(), "resumed; missed=1");
    all.push(there(&mut world, SEVEN_EIGHT).await);
    is_foreign(&mut world, &event_source("/e", "7")).await;
}

#[tokio::test(start_paused = true)]
async fn case_6_two_clients_with_one_id_of_the_upstreams_both_go_on() {
    let mut world = world("");
    let (mut first, mut upstream) = there(&mut world, SEVEN_EIGHT).await;
    let (mut second, _) = back(&mut world, &event_source("/e", "7")).await;
    let (mut third, _) = back(&mut world, &event_source("/e", "8")).await;
    upstream.send("id: 9\ndata: c\n\n").await;
    assert_eq!(first.data().await, ["a", "b", "c"]);
    assert_eq!(second.data().await, ["b", "c"]);
    assert_eq!(third.data().await, ["c"]);
    assert_eq!((first.end, second.end, third.end), (None, None, None));
    assert_eq!(world.origin.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn case_5_a_repeated_id_resumes_at_its_first_occurrence_and_is_counted() {
    let mut world = world("");
    let repeated = "id: 7\ndata: a\n\nid: 8\ndata: b\n\nid: 7\ndata: c\n\nid: 7\ndata: d\n\n";
    let _upstream = left(&mut world, repeated).await;
    let (mut client, _) = back(&mut world, &event_source("/e", "7")).await;
    assert_eq!((client.data().await.concat().as_str(), client.resume()), ("bcd", "resumed; missed=3"));
    assert_eq!(world.metric("respool_repeated_ids_total{route=\"default\"}"), 2);
}

#[tokio::test]
async fn case_5_a_repeated_id_is_warned_of_once_a_stream() {
    within(async {
        let events = "id: secret\ndata: a\n\n".repeat(5);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let origin = Origin::saying(format!("{head}{:x}\r\n{events}\r\n0\r\n\r\n", events.len())).await;
        let binary = Binary::logging(origin.address, "warn").await;
        for seen in 1..3 {
            let request = "GET /e HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n";
            binary.connect().await.ask(request).await;
            until(|| binary.log().matches("repeats an id").count() >= seen).await;
            moment().await;
            let log = binary.log();
            assert_eq!(log.matches("repeats an id").count(), seen, "{log}");
            assert!(log.contains("default") && !log.contains("secret"), "{log}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn case_8_of_a_session_that_ended_its_rest_then_the_end() {
    for finished in [true, false] {
        let mut world = world("");
        let mut upstream = left(&mut world, "id: 7\ndata: a\n\n").await;
        upstream.send("id: 8\ndata: b\n\n").await;
        if finished {
            upstream.finish().await;
        }
        drop(upstream);
        let (mut client, asked) = back(&mut world, &event_source("/e", "7")).await;
        assert!(asked.is_none());
        assert_eq!((client.data().await, client.resume()), (vec!["b".into()], "resumed; missed=1"));
        assert_eq!(client.end, Some(if finished { Ended::Properly } else { Ended::Cut }));
        let (client, asked) = back(&mut world, &event_source("/e", "8")).await;
        let asked = asked.expect("whoever has it all is for the upstream to serve");
        assert_eq!((client.resume(), asked.header("last-event-id")), ("foreign", Some("8")));
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_of_the_upstreams_in_the_query_finds_a_session_too() {
    let mut world = world("");
    let _upstream = left(&mut world, SEVEN_EIGHT).await;
    let (client, asked) = back(&mut world, &event_source("/e?lastEventId=7", "")).await;
    assert_eq!((asked.is_none(), client.resume()), (true, "resumed; missed=1"));
    let (client, asked) = back(&mut world, &event_source("/e?lastEventId=9", "")).await;
    assert_eq!((asked.is_some(), client.resume()), (true, "fresh"));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_whose_ids_have_our_form_is_found_by_them() {
    let mut world = world("");
    let theirs = "id: r0000000000007-5\ndata: a\n\nid: r0000000000007-6\ndata: b\n\n";
    let _upstream = left(&mut world, theirs).await;
    let (client, asked) = back(&mut world, &event_source("/e", "r0000000000007-5")).await;
    assert_eq!((asked.is_none(), client.resume()), (true, "resumed; missed=1"));
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_without_an_id_a_client_holds_ours() {
    let mut world = World::new("[[route]]\npath = '/e'\nreset = 'reset'\n");
    let (mut client, mut upstream) = there(&mut world, SEVEN_EIGHT).await;
    upstream.send("event: reset\ndata: c\n\n").await;
    let id = client.id().await;
    drop(client);
    settle().await;
    upstream.send("data: d\n\n").await;
    let (mut client, _) = back(&mut world, &event_source("/e", &id)).await;
    assert_eq!((client.data().await, client.resume()), (vec!["d".into()], "resumed; missed=1"));
}

/// A session of one client of a shared route has a permission of its own.
#[tokio::test(start_paused = true)]
async fn sessions_of_a_shared_route_are_not_found_by_what_anybody_can_know() {
    let mut world = world("[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\n");
    let (_client, asked) = back(&mut world, &event_source("/e", "7")).await;
    asked.unwrap().send("id: 7\ndata: a\n\nid: 8\ndata: secret\n\n").await;
    is_foreign(&mut world, &event_source("/e", "7")).await;
}

/// Behind the last event an id may come alone, or with an ephemeral event: whoever holds it is waited for.
#[tokio::test(start_paused = true)]
async fn case_15_an_id_that_came_without_a_place_of_its_own_finds_the_session_again() {
    for frame in ["id: 8\n\n", ": c\nid: 8\n\n", "id: 8\nevent: beat\ndata: b\n\n"] {
        for before in [": c\n\n", "data: a\n\n"] {
            let mut world = world("[[route]]\npath = '/e'\nephemeral = 'beat'\n");
            // Its session counts as one whose upstream sends ids: it never holds one of ours.
            let mut client = world.send(&event_source("/e", "7")).await;
            let mut upstream = world.origin.accept().await;
            upstream.begin().await;
            for part in [before, frame] {
                upstream.send(part).await;
                client.read().await;
            }
            assert_eq!((client.resume(), client.held().id.as_str()), ("foreign", "8"));
            drop(client);
            sleep(Duration::from_secs(60)).await;
            upstream.events(["c"]).await;
            let (mut back, asked) = back(&mut world, &event_source("/e", "8")).await;
            assert!(asked.is_none(), "{before:?} {frame:?}");
            assert_eq!((back.data().await, back.resume()), (vec!["c".to_owned()], "resumed; missed=1"));
        }
    }
}
