//! Cut the client at every byte: what it holds plus what it gets equals what the upstream sent.

use crate::support::{
    reader::{self, Event},
    world::{Client, World, settle},
};

/// Frames of every kind: all line ends, several lines, comments, UTF-8, an empty event, fields that nobody knows.
const TRANSCRIPT: &str = "data: one\n\n: ping\n\nevent: x\ndata: two\ndata: lines\n\nretry: 250\n\ndata: CRLF\r\n\r\n\
    : comment\r\ndata: \u{e4}\u{1f600}\r\ndata\r\n\r\ndata\n\ndata: CR\r: in the middle\rfoo: bar\r\rid\n\n\
    data: {\"n\":9}\nevent: last\n\n: pong\ndata: end\n\n";

fn sent() -> Vec<(String, String)> {
    pairs(&reader::read(TRANSCRIPT.as_bytes(), "").events)
}

/// Type and data: the ids are ours.
fn pairs(events: &[Event]) -> Vec<(String, String)> {
    events.iter().map(|event| (event.kind.clone(), event.data.clone())).collect()
}

async fn cut_at_every_byte(config: &str) {
    let mut world = World::new(config);
    let (mut client, mut upstream) = world.open("/e").await;
    // So that the stream is live for those who come later.
    upstream.send(TRANSCRIPT).await;
    client.read().await;
    let whole = client.body.clone();
    assert_eq!(pairs(&reader::read(&whole, "").events), sent());
    for cut in 0..=whole.len() {
        let held = reader::read(&whole[..cut], "");
        let mut back = world.event_source("/e", &held.id).await;
        if held.id.is_empty() {
            assert!(["", "fresh"].contains(&back.resume()), "cut at {cut}: without an id it is a new client");
            continue;
        }
        let missed = sent().len() - held.events.len();
        assert_eq!(back.status, 200);
        assert_eq!(back.resume(), format!("resumed; missed={missed}"), "cut at {cut}");
        let rest = reader::read(&back.body, &held.id);
        let all = [pairs(&held.events), pairs(&rest.events)].concat();
        assert_eq!(all, sent(), "cut at {cut}: {:?}", String::from_utf8_lossy(&whole[..cut]));
        back.read().await;
        assert!(back.end.is_none(), "and then it is live");
    }
}

#[tokio::test(start_paused = true)]
async fn a_private_stream_cut_at_every_byte_loses_and_doubles_nothing() {
    cut_at_every_byte("").await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_stream_cut_at_every_byte_loses_and_doubles_nothing() {
    cut_at_every_byte("[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_cut_at_every_byte_is_resumed_too() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    let fence = client.id().await;
    drop(client);
    settle().await;
    upstream.send(TRANSCRIPT).await;
    let mut replayed = world.event_source("/e", &fence).await;
    replayed.read().await;
    let whole = replayed.body.clone();
    for cut in 0..=whole.len() {
        let held = reader::read(&whole[..cut], &fence);
        let back = world.event_source("/e", &held.id).await;
        let rest = reader::read(&back.body, &held.id);
        assert_eq!([pairs(&held.events), pairs(&rest.events)].concat(), sent(), "cut at {cut}");
    }
    assert_eq!(world.origin.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_asked_once_however_often_the_client_comes_back() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    assert_eq!(client.resume(), "fresh");
    let (mut id, mut seen) = (String::new(), Vec::new());
    for round in 0..50 {
        upstream.events([format!("{round} live")]).await;
        seen.extend(client.data().await);
        id = reader::read(&client.body, &id).id;
        drop(client);
        settle().await;
        upstream.events([format!("{round} missed a"), format!("{round} missed b")]).await;
        client = world.event_source("/e", &id).await;
        assert_eq!(client.resume(), "resumed; missed=2");
    }
    seen.extend(client.data().await);
    let sent: Vec<String> = (0..50)
        .flat_map(|n| [format!("{n} live"), format!("{n} missed a"), format!("{n} missed b")])
        .collect();
    assert_eq!(seen, sent);
    assert_eq!(world.origin.dials(), 1);
}

/// The upstream's chunks are cut anywhere; what comes out is whole frames, whatever came in.
#[tokio::test(start_paused = true)]
async fn the_upstreams_chunks_may_be_split_anywhere() {
    for size in [1, 2, 3, 7, 50] {
        let mut world = World::new("");
        let (mut client, mut upstream) = world.open("/e").await;
        for chunk in TRANSCRIPT.as_bytes().chunks(size) {
            upstream.send(chunk).await;
        }
        client.read().await;
        assert_eq!(pairs(&client.held().events), sent(), "chunks of {size}");
    }
}

/// Some clients take a chunk for a frame. Also where the client is slow, and where events are larger than what is taken
/// from the window at a time.
#[tokio::test(start_paused = true)]
async fn a_chunk_never_splits_a_frame_or_a_line_end() {
    let frames: Vec<String> = [1, 100, 300_000, 5, 70_000, 200_000, 20, 300_000, 1, 1]
        .iter()
        .zip(["\n", "\r\n", "\r"].iter().cycle())
        .map(|(&size, end)| format!("data: {}{end}:{end}{end}", "x".repeat(size)))
        .collect();
    for shared in ["", "[[route]]\npath = '/e'\nmode = 'shared'\nadmit = 'none'\n"] {
        let mut world = World::new(shared);
        world.pipe = 10_000;
        let (mut client, mut upstream) = world.open("/e").await;
        let id = client.id().await;
        assert!(!client.headers.contains_key("connection"), "{}", client.head);
        for frame in &frames {
            for part in frame.as_bytes().chunks(7919) {
                upstream.send(part).await;
            }
        }
        let mut back = world.event_source("/e", &id).await;
        for client in [&mut client, &mut back] {
            client.read().await;
            assert_eq!(client.held().data().len(), frames.len());
            for &end in &client.chunks {
                let (before, after) = client.body.split_at(end);
                let whole = ["\n\n", "\r\r", "\r\n\r\n"].iter().any(|end| before.ends_with(end.as_bytes()));
                assert!(whole && !after.starts_with(b"\n"), "{:?}", String::from_utf8_lossy(after).get(..9));
            }
        }
    }
}

/// WIRE rule 2: one mark at the very start is dropped by the client, any other is part of a field's name.
#[tokio::test(start_paused = true)]
async fn a_byte_order_mark_in_the_middle_stays_one_for_a_client_that_starts_there() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send("\u{feff}data: a\n\n").await;
    let id = client.id().await;
    drop(client);
    upstream.send("\u{feff}data: ignored\ndata: b\n\n").await;
    let mut back: Client = world.event_source("/e", &id).await;
    assert_eq!(back.data().await, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_client_is_told_the_last_reconnection_time_again() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send("retry: 250\n\ndata: a\n\n").await;
    let id = client.id().await;
    drop(client);
    upstream.send("retry: 300\n\ndata: b\n\n").await;
    let mut back: Client = world.event_source("/e", &id).await;
    assert_eq!(back.data().await, ["b"]);
    assert_eq!(back.held().retry, Some(300));
    assert!(
        back.text().starts_with("retry: 300\ndata: b\n"),
        "in the chunk of its next frame: {}",
        back.text()
    );
}

/// By the letter of the standard a new connection begins without an id, and an event that has none takes away the one
/// that the client has. Some clients read it so, and would have lost their place.
#[tokio::test(start_paused = true)]
async fn a_resumed_client_is_told_its_id_again_lest_an_event_without_one_take_it_away() {
    for (config, first, id) in [
        ("ephemeral = 'beat'", "data: a\n\n", None),
        ("mode = 'shared'\nkey = ['path']\nadmit = 'none'\nephemeral = 'beat'", "data: a\n\n", None),
        ("mode = 'shared'\nkey = ['path']\nadmit = 'none'", "id: grün 7\ndata: a\n\n", Some("grün 7")),
    ] {
        let mut world = World::new(&format!("[[route]]\npath = '/e'\n{config}\n"));
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send(first).await;
        let had = client.id().await;
        assert!(id.is_none_or(|id| id == had), "{had}");
        drop(client);
        settle().await;
        let mut back = world.event_source("/e", &had).await;
        upstream.send(": comment\n\nevent: beat\ndata: b\n\n").await;
        back.read().await;
        // Read as what begins without an id.
        let held = back.held();
        assert_eq!((held.data(), held.id.as_str()), (vec!["b"], had.as_str()), "{}", back.text());
        assert_eq!(back.text().matches("id: ").count(), 1, "once");
    }
}
