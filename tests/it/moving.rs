//! Clients that came to a shared stream with an id that only the upstream knows: a stream of their own, until it is at an
//! event that the shared window holds.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Ended, Exchange, World, event_source, settle};

const SHARED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\n";
const OPEN: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";

/// Events with these ids of the upstream's, and data of the same name.
fn numbered(ids: impl IntoIterator<Item = u32>) -> String {
    ids.into_iter().map(|id| format!("id: {id}\ndata: {id}\n\n")).collect()
}

/// A shared stream that has had these events.
async fn shared(world: &mut World, ids: impl IntoIterator<Item = u32>) -> (Client, Exchange) {
    let (mut client, mut upstream) = world.open("/e").await;
    let events = numbered(ids);
    // An empty chunk would be the end.
    if !events.is_empty() {
        upstream.send(events).await;
    }
    client.read().await;
    (client, upstream)
}

/// A client that brings an id which the shared window has not, and its own connection.
async fn foreign(world: &mut World, id: &str) -> (Client, Exchange) {
    let mut client = world.send(&event_source("/e", id)).await;
    let mut own = world.origin.accept().await;
    assert_eq!(own.header("last-event-id"), Some(id));
    own.begin().await;
    client.read().await;
    assert_eq!(client.resume(), "foreign");
    (client, own)
}

fn streams(world: &World) -> (u64, u64) {
    let of = |kind| world.metric(&format!("respool_streams{{kind=\"{kind}\"}}"));
    (of("private"), of("shared"))
}

fn moved(world: &World) -> u64 {
    world.metric("respool_stream_ends_total{route=\"/e\",end=\"moved\"}")
}

fn texts(ids: impl IntoIterator<Item = u32>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_foreign_client_moves_onto_the_window_at_the_first_event_that_it_holds() {
    for config in [SHARED, OPEN] {
        let mut world = World::new(config);
        let (mut other, mut upstream) = shared(&mut world, 10..13).await;
        let (mut client, mut own) = foreign(&mut world, "7").await;
        own.send(numbered(8..10)).await;
        assert_eq!((client.data().await, streams(&world)), (texts(8..10), (1, 1)), "a stream of its own");
        // What comes behind the event on its own connection comes by the window.
        own.send(numbered(10..12)).await;
        assert!(own.is_closed().await);
        assert_eq!((client.data().await, streams(&world)), (texts(8..13), (0, 1)));
        upstream.send(numbered(13..15)).await;
        assert_eq!(client.data().await, texts(8..15));
        assert_eq!(other.data().await, texts(10..15));
        assert_eq!((world.origin.dials(), moved(&world)), (2, 1));
        assert_eq!(world.metric("respool_clients{route=\"/e\"}"), 2);
        assert_eq!(client.text().matches("id:").count(), 7, "the upstream's ids alone: {}", client.text());
    }
}

/// Whatever the chunks: the first event that both have decides, and nothing is lost or doubled around it.
#[tokio::test(start_paused = true)]
async fn wherever_the_own_connection_is_torn_nothing_is_lost_or_doubled() {
    let stream = numbered(8..13);
    for at in 0..stream.len() {
        let mut world = World::new(OPEN);
        let (_other, mut upstream) = shared(&mut world, 10..12).await;
        let (mut client, mut own) = foreign(&mut world, "7").await;
        let (first, rest) = stream.split_at(at);
        for part in [first, rest].into_iter().filter(|part| !part.is_empty()) {
            own.send(part).await;
        }
        upstream.send(numbered(12..14)).await;
        assert_eq!(client.data().await, texts(8..14), "torn at {at}");
        assert!(own.is_closed().await);
    }
}

#[tokio::test(start_paused = true)]
async fn it_moves_when_the_shared_window_comes_to_its_newest_event_later() {
    let mut world = World::new(OPEN);
    let (_other, mut upstream) = shared(&mut world, [10]).await;
    let (mut client, mut own) = foreign(&mut world, "10x").await;
    own.send(numbered([11])).await;
    assert_eq!((client.data().await, streams(&world)), (texts([11]), (1, 1)));
    upstream.send(numbered(11..13)).await;
    // A comment is enough to look again.
    own.send(": beat\n\n").await;
    assert!(own.is_closed().await);
    upstream.send(numbered([13])).await;
    assert_eq!((client.data().await, streams(&world)), (texts(11..14), (0, 1)));
}

#[tokio::test(start_paused = true)]
async fn it_moves_onto_a_shared_stream_that_is_opened_after_it() {
    let mut world = World::new(SHARED);
    let (mut client, mut own) = foreign(&mut world, "7").await;
    own.send(numbered(8..10)).await;
    assert_eq!(streams(&world), (1, 0));
    let (mut other, mut upstream) = shared(&mut world, [10]).await;
    own.send(numbered([10])).await;
    assert!(own.is_closed().await);
    upstream.send(numbered([11])).await;
    assert_eq!((client.data().await, other.data().await), (texts(8..12), texts(10..12)));
    assert_eq!((streams(&world), world.origin.dials()), ((0, 1), 2));
}

/// An event without an id behind one that has one: the client has both, and the window would give it the second again.
#[tokio::test(start_paused = true)]
async fn it_moves_at_an_event_with_an_id_and_not_behind_a_later_one_without() {
    let mut world = World::new(OPEN);
    let (_other, mut upstream) = shared(&mut world, []).await;
    let (mut client, mut own) = foreign(&mut world, "7").await;
    let three = "id: 8\ndata: 8\n\ndata: between\n\nid: 9\ndata: 9\n\n";
    own.send(&three[..34]).await;
    upstream.send(three).await;
    assert!(!own.is_closed().await);
    own.send(&three[34..]).await;
    assert!(own.is_closed().await);
    upstream.send("data: last\n\n").await;
    assert_eq!(client.data().await, ["8", "between", "9", "last"]);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_no_proof_moves_nobody() {
    let again = "id: 8\ndata: a\n\nid: 9\ndata: b\n\nid: 8\ndata: a\n\n";
    let rows = [
        ("repeated in the shared window", again, "id: 8\ndata: a\n\n"),
        ("repeated on its own connection", "id: 8\ndata: a\n\n", "id: 8\ndata: x\n\nid: 8\ndata: a\n\n"),
        ("of another event", "id: 8\ndata: a\n\n", "id: 8\ndata: b\n\n"),
        ("in a control frame of the shared window", "data: a\n\nid: 8\n\n", "id: 8\ndata: a\n\n"),
        ("in a control frame of its own", "id: 8\ndata: a\n\n", "data: a\n\nid: 8\n\n"),
        ("none", "data: a\n\n", "data: a\n\n"),
        ("empty", "id\ndata: a\n\n", "id\ndata: a\n\n"),
    ];
    for (what, there, here) in rows {
        let mut world = World::new(OPEN);
        let (_other, mut upstream) = shared(&mut world, []).await;
        upstream.send(there).await;
        let (mut client, mut own) = foreign(&mut world, "7").await;
        own.send(here).await;
        own.send("data: more\n\n").await;
        assert!(!own.is_closed().await, "{what}");
        let mut expected: Vec<_> = here.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        expected.push("more");
        assert_eq!((client.data().await, streams(&world)), (texts_of(&expected), (1, 1)), "{what}");
    }
}

/// The shared window may be behind both of its places, and cannot say which of them it will come to.
#[tokio::test(start_paused = true)]
async fn an_id_that_its_own_connection_has_repeated_moves_nobody() {
    let mut world = World::new(OPEN);
    let (_other, mut upstream) = shared(&mut world, []).await;
    let (mut client, mut own) = foreign(&mut world, "7").await;
    own.send("id: 8\ndata: a\n\ndata: b\n\nid: 8\ndata: a\n\n").await;
    upstream.send("id: 8\ndata: a\n\n").await;
    own.send(": beat\n\n").await;
    assert!(!own.is_closed().await);
    assert_eq!((client.data().await, streams(&world)), (texts_of(&["a", "b", "a"]), (1, 1)));
}

fn texts_of(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// ... and what the window no longer has is not there to go on from.
#[tokio::test(start_paused = true)]
async fn an_event_that_the_window_has_let_go_moves_nobody() {
    let mut world = World::new(&(OPEN.to_owned() + "window = { events = 2 }\n"));
    let (_other, _upstream) = shared(&mut world, 10..14).await;
    let (mut client, mut own) = foreign(&mut world, "9").await;
    own.send(numbered(10..12)).await;
    assert!(!own.is_closed().await);
    own.send(numbered(12..14)).await;
    assert!(own.is_closed().await);
    assert_eq!(client.data().await, texts(10..14));
}

#[tokio::test(start_paused = true)]
async fn where_ids_are_ours_nobody_moves() {
    let mut world = World::new(&(OPEN.to_owned() + "ids = 'replace'\n"));
    let (_other, _upstream) = shared(&mut world, 10..12).await;
    let (mut client, mut own) = foreign(&mut world, "7").await;
    own.send(numbered(10..12)).await;
    assert!(!own.is_closed().await);
    assert_eq!(client.data().await, texts(10..12));
}

/// What is no GET, or has a body, is no request for the shared stream.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_to_be_shared_stays_its_clients_own() {
    for head in ["POST /e HTTP/1.1\nContent-Length: 0", "GET /e HTTP/1.1\nContent-Length: 1"] {
        let mut world = World::new(&(OPEN.to_owned() + "stamp = 'always'\n"));
        let (_other, _upstream) = shared(&mut world, 10..12).await;
        let mut client = world.send(&format!("{head}\nHost: h\nLast-Event-ID: 7")).await;
        client.write(b"x").await;
        let mut own = world.origin.accept().await;
        own.begin().await;
        own.send(numbered(10..12)).await;
        assert!(!own.is_closed().await, "{head}");
        assert_eq!((client.data().await, client.resume()), (texts(10..12), "foreign"));
    }
}

/// While the upstream of the shared stream is away, the client's own connection is what there is.
#[tokio::test(start_paused = true)]
async fn it_moves_onto_no_stream_that_is_not_live() {
    let mut world = World::new(SHARED);
    let (mut other, upstream) = shared(&mut world, 10..12).await;
    let (mut client, mut own) = foreign(&mut world, "7").await;
    drop(upstream);
    sleep(Duration::from_secs(1)).await;
    let mut again = world.origin.accept().await;
    own.send(numbered(10..12)).await;
    assert_eq!((client.data().await, streams(&world)), (texts(10..12), (1, 1)));
    other.read().await;
    assert_eq!(other.end, Some(Ended::Cut));
    // The next generation is one that it moves onto again, but not by ids of the one before.
    again.begin().await;
    again.send(numbered(11..13)).await;
    own.send(numbered([12])).await;
    assert!(own.is_closed().await);
    again.send(numbered([13])).await;
    assert_eq!((client.data().await, client.end), (texts(10..14), None));
}

#[tokio::test(start_paused = true)]
async fn it_is_a_client_of_the_shared_stream_from_then_on() {
    let mut world = World::new(SHARED);
    let (other, mut upstream) = shared(&mut world, [10]).await;
    let request = event_source("/e", "7") + "\nX-Mine: 1";
    let mut client = world.send(&request).await;
    let mut own = world.origin.accept().await;
    own.begin().await;
    own.send(numbered([10])).await;
    client.read().await;
    // It alone holds the stream...
    drop(other);
    sleep(Duration::from_secs(400)).await;
    assert!(!upstream.is_closed().await);
    upstream.send(numbered([11])).await;
    assert_eq!(client.data().await, texts(10..12));
    // ... its request is the one that opens it again, without its id...
    drop(upstream);
    let mut again = world.origin.accept().await;
    assert_eq!((again.header("x-mine"), again.header("last-event-id")), (Some("1"), Some("11")));
    again.begin().await;
    // ... and it is cut when that is lost, after a moment.
    sleep(Duration::from_secs(1)).await;
    client.read().await;
    assert_eq!(client.end, Some(Ended::Cut));
}

#[tokio::test(start_paused = true)]
async fn the_ends_of_the_shared_stream_are_its_ends() {
    let mut world = World::new(OPEN);
    let (_other, mut upstream) = shared(&mut world, [10]).await;
    let (mut client, mut own) = foreign(&mut world, "7").await;
    own.send(numbered([10])).await;
    client.read().await;
    upstream.finish().await;
    client.read().await;
    assert_eq!((client.data().await, client.end), (texts([10]), Some(Ended::Properly)));

    let mut world = World::new(OPEN);
    let (_other, _upstream) = shared(&mut world, [10]).await;
    let (mut client, mut own) = foreign(&mut world, "7").await;
    own.send(numbered([10])).await;
    client.read().await;
    world.app.drain().begin();
    sleep(Duration::from_secs(10)).await;
    client.read().await;
    assert_eq!((client.data().await, client.end), (texts([10]), Some(Ended::Cut)));
}

#[tokio::test(start_paused = true)]
async fn those_who_have_moved_are_cut_over_a_moment_when_the_stream_is_lost() {
    let mut world = World::new(OPEN);
    let (_other, upstream) = shared(&mut world, [10]).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let (mut client, mut own) = foreign(&mut world, "7").await;
        own.send(numbered([10])).await;
        client.read().await;
        clients.push(client);
    }
    drop(upstream);
    settle().await;
    let mut cut = Vec::new();
    for time in [10, 1000] {
        sleep(Duration::from_millis(time)).await;
        for client in &mut clients {
            client.read().await;
        }
        cut.push(clients.iter().filter(|client| client.end == Some(Ended::Cut)).count());
    }
    assert!(cut[0] < 4 && cut[1] == 8, "{cut:?}");
}

#[tokio::test(start_paused = true)]
async fn its_own_connection_ends_before_it_has_moved() {
    for properly in [true, false] {
        let mut world = World::new(OPEN);
        let (_other, _upstream) = shared(&mut world, [10]).await;
        let (mut client, mut own) = foreign(&mut world, "7").await;
        own.send(numbered([8])).await;
        if properly {
            own.finish().await
        } else {
            drop(own)
        }
        client.read().await;
        let end = if properly { Ended::Properly } else { Ended::Cut };
        assert_eq!((client.data().await, client.end), (texts([8]), Some(end)));
    }
}

/// A client that does not read has its place all the same, and what is owed to it stays.
#[tokio::test(start_paused = true)]
async fn a_slow_client_loses_nothing_by_the_move() {
    let mut world = World::new(&(OPEN.to_owned() + "window = { events = 2 }\n"));
    let (mut other, mut upstream) = shared(&mut world, [10]).await;
    world.pipe = 512;
    let mut client = world.send(&event_source("/e", "7")).await;
    let mut own = world.origin.accept().await;
    own.begin().await;
    own.send(numbered(8..10)).await;
    own.send(numbered([10])).await;
    assert!(own.is_closed().await, "whatever the client has taken");
    for id in 11..200 {
        upstream.send(numbered([id])).await;
        other.read().await;
    }
    assert_eq!(streams(&world), (0, 1), "all that is left of its own stream is on its way");
    assert_eq!(client.data().await, texts(8..200));
}

/// The own window is kept for a client that has not had all of it.
#[tokio::test(start_paused = true)]
async fn what_a_client_has_not_taken_of_its_own_stream_is_still_there_after_the_move() {
    let mut world = World::new(OPEN);
    let (_other, mut upstream) = shared(&mut world, [10]).await;
    world.pipe = 512;
    let mut client = world.send(&event_source("/e", "7")).await;
    let mut own = world.origin.accept().await;
    own.begin().await;
    let long = "x".repeat(10_000);
    for id in [8, 9] {
        own.send(format!("id: {id}\ndata: {long}\n\n")).await;
    }
    own.send(numbered([10])).await;
    assert!(own.is_closed().await);
    assert_eq!((streams(&world), moved(&world)), ((1, 1), 1));
    upstream.send(numbered([11])).await;
    assert_eq!(client.data().await, [long.as_str(), &long, "10", "11"]);
    settle().await;
    assert_eq!(streams(&world), (0, 1));
}

/// On the shared window, too.
#[tokio::test(start_paused = true)]
async fn a_client_that_stumbles_over_frames_without_data_gets_none_after_the_move_either() {
    let mut world = World::new(OPEN);
    let (_other, mut upstream) = shared(&mut world, [10]).await;
    let request = event_source("/e", "7") + "\nUser-Agent: python-httpx/0.28.1";
    let mut client = world.send(&request).await;
    let mut own = world.origin.accept().await;
    own.begin().await;
    own.send(numbered([10])).await;
    client.read().await;
    assert!(own.is_closed().await);
    upstream.send(": comment\n\nretry: 5\n\n").await;
    upstream.send(numbered([11])).await;
    assert_eq!(client.data().await, texts(10..12));
    let text = client.text();
    let frames: Vec<_> = text.split_terminator("\n\n").collect();
    assert!(frames.iter().all(|frame| frame.contains("data: ")), "{text:?}");
}

/// Cut at every byte on both sides of the move: what it holds is known to the window or to the upstream.
#[tokio::test(start_paused = true)]
async fn a_cut_in_the_middle_of_the_move_loses_nothing() {
    let mut at = 1;
    loop {
        let mut world = World::new(OPEN);
        let (_other, mut upstream) = shared(&mut world, 10..12).await;
        let mut client = world.send(&event_source("/e", "7")).await;
        let mut own = world.origin.accept().await;
        own.begin().await;
        own.send(numbered(8..12)).await;
        let mut left = at;
        while left > 0 {
            let read = client.read_some(left).await;
            if read == 0 {
                return assert_eq!(client.held().data(), texts(8..12), "everything was read");
            }
            left -= read;
        }
        let held = client.held();
        drop(client);
        settle().await;
        assert!(own.was_closed().await, "at {at}");
        let mut seen: Vec<String> = held.data().iter().map(|data| (*data).to_owned()).collect();
        let id = if held.id.is_empty() { "7" } else { &held.id };
        let mut back = world.send(&event_source("/e", id)).await;
        settle().await;
        if let Some(mut own) = world.origin.waiting().await {
            own.begin().await;
            own.send(numbered(id.parse::<u32>().unwrap() + 1..12)).await;
        }
        upstream.send(numbered([12])).await;
        seen.extend(back.data().await);
        assert_eq!(seen, texts(8..13), "cut at {at}");
        assert_eq!(streams(&world), (0, 1));
        at += 1;
    }
}

/// Gone before it has moved: nothing of it is left, in the shared window either.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_in_between_leaves_nothing() {
    let mut world = World::new(OPEN);
    let (other, upstream) = shared(&mut world, [10]).await;
    world.pipe = 64;
    let client = world.send(&event_source("/e", "7")).await;
    let mut own = world.origin.accept().await;
    own.begin().await;
    own.send(numbered(8..11)).await;
    assert_eq!(moved(&world), 1);
    drop((client, other, upstream));
    sleep(Duration::from_secs(700)).await;
    assert_eq!((streams(&world), world.app.registry().held()), ((0, 0), 0));
}
