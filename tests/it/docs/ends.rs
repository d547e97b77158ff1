//! `faults.md` and `restart.md`: what nothing else shows yet.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use tokio::time::sleep;

use super::SHARED;
use crate::{
    command, readme,
    support::world::{Ended, World, event_source},
};

/// A stream that is asked for on a real socket, up to its first event; its head, and the rest.
fn ask(address: SocketAddr, id: &str) -> (String, BufReader<TcpStream>) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(
        socket,
        "GET /events HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n{id}\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(lines.read_line(&mut head).unwrap(), 0, "{head}");
    }
    (head.to_ascii_lowercase(), lines)
}

#[test]
fn a_kill_is_a_cut_and_then_a_gap() {
    let upstream = format!("http://{}", readme::event_server());
    let running = command::start(&["--upstream", &upstream]);
    let (head, mut lines) = ask(running.listen, "");
    assert!(head.contains("respool-resume: fresh"), "{head}");
    let mut id = String::new();
    while !id.starts_with("id: r") {
        id.clear();
        lines.read_line(&mut id).unwrap();
    }
    // By SIGKILL.
    drop(running);
    let mut rest = Vec::new();
    let ended = lines.read_to_end(&mut rest);
    assert!(ended.is_err() || !rest.ends_with(b"0\r\n\r\n"), "a proper end would keep some away");

    let running = command::start(&["--upstream", &upstream]);
    let (head, _) =
        ask(running.listen, &format!("Last-Event-ID: {}\r\n", id.trim().trim_start_matches("id: ")));
    assert!(
        head.starts_with("http/1.1 200 ") && head.contains("respool-resume: gap; reason=generation"),
        "{head}"
    );
}

#[tokio::test(start_paused = true)]
async fn cuts_are_spread_over_four_fifths_of_the_drain() {
    let mut world = World::new(&format!("drain = {{ time = '63s' }}\n{SHARED}"));
    let (first, _upstream) = world.open("/e").await;
    let mut clients = vec![first];
    for _ in 1..100 {
        clients.push(world.event_source("/e", "").await);
    }
    world.app.drain().begin();
    let mut cut = Vec::new();
    for quarter in 1..=4 {
        // 10,000 clients at 200 a second are 50 seconds.
        sleep(Duration::from_millis(if quarter == 4 { 12_900 } else { 12_500 })).await;
        for client in &mut clients {
            client.read().await;
        }
        cut.push(clients.iter().filter(|client| client.end == Some(Ended::Cut)).count());
    }
    assert_eq!(cut[3], 100);
    assert!((10..40).contains(&cut[0]) && (60..95).contains(&cut[2]), "{cut:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_large_ends_the_stream_behind_all_that_came_before() {
    for config in ["", SHARED] {
        let mut world = World::new(&format!("limits = {{ event = '1KiB' }}\n{config}"));
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send(format!("data: a\n\ndata: {}\n\n", "x".repeat(2000))).await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!((client.data().await, client.end), (vec!["a".to_owned()], Some(Ended::Cut)), "{config}");
        assert!(upstream.is_closed().await);
        let id = client.id().await;
        let mut back = world.send(&event_source("/e", &id)).await;
        world.origin.accept().await.begin().await;
        back.read().await;
        assert_eq!(back.resume(), "gap; reason=generation", "{config}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_clients_with_one_id_of_a_shared_stream_both_go_on() {
    let mut world = World::new(SHARED);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    upstream.events(["b"]).await;
    let mut both = [world.event_source("/e", &id).await, world.event_source("/e", &id).await];
    upstream.events(["c"]).await;
    for client in &mut both {
        assert_eq!((client.data().await, client.end), (vec!["b".to_owned(), "c".to_owned()], None));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_away_when_a_shared_stream_ends_finds_a_gap() {
    let mut world = World::new(SHARED);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    upstream.events(["b"]).await;
    upstream.finish().await;
    let mut back = world.send(&event_source("/e", &id)).await;
    upstream.again().await;
    upstream.begin().await;
    upstream.events(["c"]).await;
    assert_eq!((back.data().await, back.resume()), (vec!["c".to_owned()], "gap; reason=generation"));
}
