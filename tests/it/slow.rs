//! Clients that write as slowly as they can: a head has its time, a body may pause, and what has an answer may do as it likes.

use std::time::Duration;

use http::Request;
use respool::net::Peer;
use tokio::{io::duplex, time::sleep};

use crate::support::{
    Multiplexed,
    world::{Client, Ended, Exchange, World, settle},
};

/// How long a body may pause, by `src/proxy/pace.rs`.
const PAUSE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// A client that sends the beginning of a body of ten bytes, and the upstream that waits for the rest.
async fn begun(world: &mut World, lines: &str) -> (Client, Exchange) {
    let head = format!("POST /e HTTP/1.1\nHost: h\nContent-Length: 10{lines}");
    let mut client = world.send(&head).await;
    client.write(b"abc").await;
    let upstream = world.origin.accept().await;
    settle().await;
    (client, upstream)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_go_on_is_given_up_with_a_408() {
    for route in ["", "[[route]]\npath = '/e'\nstamp = 'always'\n", "[[route]]\npath = '/e'\nmode = 'pass'\n"]
    {
        let mut world = World::new(route);
        let (mut client, mut upstream) = begun(&mut world, "").await;
        sleep(PAUSE - SECOND).await;
        client.read().await;
        assert_eq!((client.status, upstream.was_closed().await), (0, false), "{route}");
        sleep(SECOND * 2).await;
        client.read().await;
        assert_eq!(
            (client.status, client.text()),
            (408, "respool: the request body did not come\n".to_owned())
        );
        assert_eq!(client.headers["connection"], "close");
        assert!(upstream.is_closed().await, "half a request is of no use to anybody");
        assert_eq!(world.metric("respool_requests_total{outcome=\"refused\"}"), 1);
        // What comes after all is no request.
        client.write(b"defghijGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n").await;
        sleep(SECOND * 5).await;
        assert!(world.origin.is_quiet().await, "{route}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_on_takes_the_time_that_it_takes() {
    let mut world = World::new("");
    let (mut client, mut upstream) = begun(&mut world, "").await;
    for byte in b"defghij" {
        sleep(PAUSE - SECOND).await;
        client.write(&[*byte]).await;
    }
    settle().await;
    upstream.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.read().await;
    assert_eq!((client.status, client.text().as_str()), (200, "ok"));
}

/// A pause is the client's alone: not the upstream's, that takes nothing for an hour or has nothing to say to all of it.
#[tokio::test(start_paused = true)]
async fn an_upstream_may_take_a_body_as_slowly_as_it_likes() {
    const LENGTH: usize = 8 << 20;
    let mut world = World::new("");
    let mut client = world.send(&format!("POST /e HTTP/1.1\nHost: h\nContent-Length: {LENGTH}")).await;
    let upload = tokio::spawn(async move {
        client.write(&vec![b'x'; LENGTH]).await;
        client
    });
    let mut upstream = world.origin.accept().await;
    sleep(PAUSE * 60).await;
    assert!(!upload.is_finished(), "the pipe is full");
    assert_eq!(upstream.read_bytes(LENGTH).await, LENGTH);
    let mut client = upload.await.unwrap();
    sleep(PAUSE * 60).await;
    upstream.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.read().await;
    assert_eq!(client.status, 200);
}

/// Both sides talk at once, and pause: a call of gRPC, a terminal.
#[tokio::test(start_paused = true)]
async fn what_has_an_answer_may_pause() {
    let mut world = World::new("");
    let (mut client, mut upstream) = begun(&mut world, "").await;
    sleep(PAUSE / 2).await;
    upstream.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    client.read().await;
    sleep(PAUSE * 60).await;
    client.write(b"defghij").await;
    assert_eq!(upstream.read_bytes(10).await, 10);
    upstream.raw("0\r\n\r\n").await;
    client.read().await;
    assert_eq!((client.status, client.text().as_str(), client.end), (200, "hi", Some(Ended::Properly)));
}

/// What carries something else than HTTP is nobody's body.
#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_may_pause() {
    let mut world = World::new("");
    let head = "GET /ws HTTP/1.1\nHost: h\nConnection: upgrade\nUpgrade: websocket\nSec-WebSocket-Key: x";
    let mut client = world.send(head).await;
    let mut upstream = world.origin.accept().await;
    upstream.raw("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    client.read().await;
    assert_eq!(client.status, 101);
    sleep(PAUSE * 60).await;
    client.write(b"frame").await;
    assert_eq!(upstream.read_bytes(5).await, 5);
    upstream.raw("echo").await;
    client.read().await;
    assert_eq!((client.text().as_str(), client.end), ("echo", None));
}

#[tokio::test(start_paused = true)]
async fn by_http2_the_stream_alone_is_given_up() {
    let mut world = World::new("");
    let (near, far) = duplex(1 << 20);
    tokio::spawn(world.app.server().serve(far, Peer(None)));
    let client = Multiplexed::over(near).await;
    let mut requests = client.requests.clone().ready().await.unwrap();
    let request = Request::post("http://h/e").body(()).unwrap();
    let (answer, mut body) = requests.send_request(request, false).unwrap();
    body.send_data("abc".into(), false).unwrap();
    let mut upstream = world.origin.accept().await;
    sleep(PAUSE + SECOND).await;
    assert_eq!(answer.await.unwrap().status(), 408);
    assert!(upstream.is_closed().await && !client.has_ended());
}

/// It may come as slowly as it likes, and is over when its time is: counted from when it was waited for.
#[tokio::test(start_paused = true)]
async fn a_head_has_ten_seconds() {
    let mut world = World::new("");
    let mut client = world.send_raw(b"GET / HTTP/1.1\r\nHost: h").await;
    let mut upstream = world.origin.accept().await;
    upstream.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.read().await;
    assert_eq!((client.status, client.end), (200, Some(Ended::Properly)));
    for byte in b"GET / HTT" {
        client.write(&[*byte]).await;
        sleep(SECOND).await;
    }
    assert!(!client.has_left().await);
    sleep(SECOND * 2).await;
    assert!(client.has_left().await, "a head that does not come to its end");
    assert!(world.origin.is_quiet().await);
}
