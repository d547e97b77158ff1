//! MCP servers: a response that was on its way when the connection broke reaches its client all the same.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use tokio::time::sleep;

use crate::support::world::{Client, Ended, Exchange, World, event_source, settle};

const PRESET: &str = "[[route]]\npreset = 'mcp'\n";
const CALL: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}";
const RESULT: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}";
const SESSION: &str = "mcp-session-id: 5f0e\nmcp-protocol-version: 2025-11-25";

fn progress(n: u32) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progress\":{n}}}}}")
}

fn message(data: &str) -> String {
    format!("event: message\ndata: {data}\n\n")
}

fn with_id(id: &str, data: &str) -> String {
    format!("event: message\nid: {id}\ndata: {data}\n\n")
}

fn world() -> World {
    let mut world = World::new(PRESET);
    world.peer = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    world
}

/// Calls a tool; the server answers with a stream.
async fn call(world: &mut World) -> (Client, Exchange) {
    let head = "POST /mcp HTTP/1.1\nHost: h\nAccept: application/json, text/event-stream";
    let length = CALL.len();
    let head = format!("{head}\nContent-Type: application/json\nContent-Length: {length}\n{SESSION}");
    let mut client = world.send(&head).await;
    client.write(CALL.as_bytes()).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin_with("mcp-session-id: 5f0e\n").await;
    (client, upstream)
}

/// What a client asks for that opens a stream, or goes on with one.
fn get(id: &str, session: &str) -> String {
    let id = if id.is_empty() { String::new() } else { format!("\nlast-event-id: {id}") };
    format!("GET /mcp HTTP/1.1\nHost: h\nAccept: text/event-stream\n{session}{id}")
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_post_is_resumed_by_a_get_though_the_server_keeps_nothing() {
    let mut world = world();
    let (mut client, mut upstream) = call(&mut world).await;
    upstream.send(message(&progress(1))).await;
    let id = client.id().await;
    assert_eq!((client.status, client.resume()), (200, "fresh"));
    drop(client);
    settle().await;
    upstream.send(message(&progress(2)) + &message(RESULT)).await;
    upstream.finish().await;
    let mut client = world.request(&get(&id, SESSION)).await;
    assert_eq!((client.status, client.resume()), (200, "resumed; missed=2"));
    assert_eq!(client.data().await, [progress(2), RESULT.to_owned()]);
    assert_eq!((client.end, world.origin.dials()), (Some(Ended::Properly), 1));
}

#[tokio::test(start_paused = true)]
async fn a_servers_own_ids_stay_and_find_the_stream_as_long_as_it_is_here() {
    let mut world = world();
    let (mut client, mut upstream) = call(&mut world).await;
    // The event with an id and no data says that the stream can be resumed.
    upstream.send("id: u0\ndata: \n\n".to_owned() + &with_id("u1", &progress(1))).await;
    assert_eq!(client.id().await, "u1");
    drop(client);
    settle().await;
    upstream.send(with_id("u2", &progress(2))).await;
    let mut client = world.request(&get("u1", SESSION)).await;
    assert_eq!((client.status, client.resume()), (200, "resumed; missed=1"));
    assert_eq!((client.data().await, client.held().id), (vec![progress(2)], "u2".to_owned()));
    assert_eq!(world.origin.dials(), 1);
    drop(client);
    // Then it is the server's to know.
    sleep(Duration::from_secs(150)).await;
    let mut client = world.send(&get("u2", SESSION)).await;
    let mut asked = world.origin.accept().await;
    assert_eq!(asked.header("last-event-id"), Some("u2"));
    asked.begin().await;
    asked.send(with_id("u3", RESULT)).await;
    assert_eq!(client.data().await, [RESULT]);
    assert_eq!((client.status, client.resume()), (200, "foreign"));
}

#[tokio::test(start_paused = true)]
async fn another_session_finds_nothing() {
    let mut world = world();
    let (mut client, mut upstream) = call(&mut world).await;
    upstream.send(message(&progress(1))).await;
    let id = client.id().await;
    drop(client);
    settle().await;
    for session in [SESSION.replace("5f0e", "6a1f"), format!("{SESSION}\nauthorization: Bearer x")] {
        let mut client = world.send(&get(&id, &session)).await;
        world.origin.accept().await.refuse(404).await;
        client.read().await;
        assert_eq!(client.status, 404, "{session}");
    }
}

/// A server allows one stream of what it has to say for each session.
#[tokio::test(start_paused = true)]
async fn a_get_that_the_server_refuses_for_the_former_connection_goes_on_with_it() {
    let mut world = world();
    let mut client = world.send(&get("", SESSION)).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send(message(&progress(1))).await;
    assert_eq!(client.data().await, [progress(1)]);
    drop(client);
    settle().await;
    upstream.send(message(&progress(2))).await;
    let mut client = world.send(&get("", SESSION)).await;
    world.origin.accept().await.refuse(409).await;
    assert_eq!(client.data().await, [progress(2)]);
    assert_eq!((client.status, client.resume()), (200, "resumed; missed=1"));
}

#[tokio::test(start_paused = true)]
async fn all_else_passes() {
    let mut world = world();
    let mut client = world.send(&format!("DELETE /mcp HTTP/1.1\nHost: h\n{SESSION}")).await;
    world.origin.accept().await.refuse(204).await;
    client.read().await;
    assert_eq!((client.status, client.resume()), (204, ""));
    let mut client = world.send(&get("", SESSION)).await;
    world.origin.accept().await.refuse(405).await;
    client.read().await;
    assert_eq!((client.status, client.resume()), (405, ""), "it has nothing to say of its own accord");
}

/// The older transport: where to POST to belongs to the connection, and answers come by it.
#[tokio::test(start_paused = true)]
async fn the_older_stream_is_found_again_with_its_endpoint_and_the_answers_of_the_meantime() {
    let mut world = world();
    let (mut client, mut upstream) = world.open("/sse").await;
    let endpoint = "/message?sessionId=5f0e";
    upstream.send(format!("event: endpoint\ndata: {endpoint}\n\n")).await;
    assert_eq!(client.data().await, [endpoint]);
    let id = client.id().await;
    drop(client);
    let mut posting = world.send(&format!("POST {endpoint} HTTP/1.1\nHost: h\nContent-Length: 2")).await;
    posting.write(b"{}").await;
    let mut asked = world.origin.accept().await;
    asked.raw("HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted").await;
    posting.read().await;
    assert_eq!((posting.status, &*posting.text()), (202, "Accepted"));
    upstream.send(message(RESULT)).await;
    let dials = world.origin.dials();
    let mut client = world.request(&event_source("/sse", &id)).await;
    assert_eq!((client.status, client.resume()), (200, "resumed; missed=1"));
    assert_eq!(client.data().await, [RESULT], "no second endpoint");
    assert_eq!(world.origin.dials(), dials);
}
