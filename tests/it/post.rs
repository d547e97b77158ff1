//! Answers to a POST that are event streams, and the requests of one session: what began with a POST goes on with a GET.

use std::{net::IpAddr, time::Duration};

use tokio::time::sleep;

use crate::support::world::{Client, Ended, Exchange, World, settle};

/// As the MCP's streamable HTTP transport needs it.
const MCP: &str = "[[route]]\npath = '/mcp'\nstamp = 'always'\nkey = ['path', 'header:authorization']\n";
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;

fn post(path: &str, more: &str) -> String {
    let length = CALL.len();
    let accept = "Accept: application/json, text/event-stream";
    format!(
        "POST {path} HTTP/1.1\nHost: h\n{accept}\nContent-Length: {length}\nAuthorization: me{more}\n\n{CALL}"
    )
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\nHost: h\nAccept: text/event-stream\nAuthorization: me{more}")
}

/// A head and a body behind it.
async fn send(world: &World, request: &str) -> Client {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let mut client = world.send(head).await;
    client.write(body.as_bytes()).await;
    client
}

async fn request(world: &World, text: &str) -> Client {
    let mut client = send(world, text).await;
    client.read().await;
    client
}

/// A client of a new stream that has had this event, and the upstream's connection.
async fn begun(world: &mut World, text: &str, event: &str) -> (Client, Exchange) {
    let mut client = send(world, text).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin_with("Mcp-Session-Id: s\nSet-Cookie: sid=secret\n").await;
    upstream.events([event]).await;
    client.read().await;
    (client, upstream)
}

/// The same, gone: what it would come back with.
async fn left(world: &mut World, text: &str, event: &str) -> (String, Exchange) {
    let (mut client, upstream) = begun(world, text, event).await;
    let id = client.id().await;
    assert!(id.starts_with('r'), "{}", client.text());
    drop(client);
    settle().await;
    (id, upstream)
}

#[tokio::test(start_paused = true)]
async fn what_began_with_a_post_goes_on_with_any_method_and_is_asked_for_once() {
    let back = |id: &str| format!("\nLast-Event-ID: {id}");
    let rows: [fn(&str) -> String; 6] = [
        |id| get("/mcp", id),
        |id| get("/mcp?other=query", id),
        |id| get("/mcp?lastEventId=x", id),
        |id| post("/mcp", id),
        |id| post("/mcp?x", id).replace("POST", "PUT"),
        |id| get("/mcp", id) + "\nMcp-Session-Id: s\nCookie: sid=secret\nContent-Type: x",
    ];
    for (at, row) in rows.iter().enumerate() {
        let mut world = World::new(MCP);
        let (id, mut upstream) = left(&mut world, &post("/mcp", ""), "a").await;
        assert!(upstream.request.starts_with("POST /mcp HTTP/1.1"));
        upstream.events(["b"]).await;
        let mut client = request(&world, &row(&back(&id))).await;
        assert_eq!((client.status, client.resume()), (200, "resumed; missed=1"), "row {at}");
        let head = (client.headers["mcp-session-id"].as_str(), client.headers.contains_key("set-cookie"));
        assert_eq!(head, ("s", false), "the first answer's head, without its cookie");
        upstream.events(["c"]).await;
        assert_eq!(client.data().await, ["b", "c"]);
        assert_eq!(world.origin.dials(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_began_with_a_get_goes_on_with_a_post() {
    let mut world = World::new(MCP);
    let (id, mut upstream) = left(&mut world, &get("/mcp", ""), "a").await;
    let mut client = request(&world, &post("/mcp", &format!("\nLast-Event-ID: {id}"))).await;
    upstream.events(["b"]).await;
    assert_eq!((client.data().await, client.resume()), (vec!["b".into()], "resumed; missed=0"));
    assert_eq!(world.origin.dials(), 1);
}

/// By the default key, which leaves out nothing but how an answer is wanted.
#[tokio::test(start_paused = true)]
async fn without_a_key_of_its_own_the_query_and_all_headers_that_could_matter_are_the_same() {
    let config = "[[route]]\npath = '/mcp'\nstamp = 'always'\n";
    for (request, found) in [
        (get("/mcp", ""), true),
        (get("/mcp", "\nContent-Type: text/plain\nContent-Language: en"), true),
        (get("/mcp?x", ""), false),
        (get("/mcp", "\nMcp-Session-Id: s"), false),
    ] {
        let mut world = World::new(config);
        let (id, _upstream) = left(&mut world, &post("/mcp", ""), "a").await;
        comes_back(&mut world, &format!("{request}\nLast-Event-ID: {id}"), found).await;
    }
}

#[tokio::test(start_paused = true)]
async fn for_another_key_the_id_is_as_good_as_forged() {
    for (request, found) in [
        (get("/mcp", ""), true),
        (get("/mcp", "").replace(": me", ": you"), false),
        (get("/mcp", "").replace("\nAuthorization: me", ""), false),
        (get("/mcp", "\nAuthorization: you"), false),
        (get("/mcp/", ""), false),
        (post("/mcp", "").replace(": me", ": you"), false),
    ] {
        let mut world = World::new(MCP);
        let (id, _upstream) = left(&mut world, &post("/mcp", ""), "a").await;
        let request = request.replace("Host: h", &format!("Host: h\nLast-Event-ID: {id}"));
        comes_back(&mut world, &request, found).await;
    }
}

/// A client that comes back, and is found or is new to the upstream, which gets its request without our id.
async fn comes_back(world: &mut World, text: &str, found: bool) {
    let mut client = send(world, text).await;
    if !found {
        let mut upstream = world.origin.accept().await;
        assert_eq!(upstream.header("last-event-id"), None);
        upstream.begin().await;
    }
    client.read().await;
    let expected = if found { "resumed; missed=0" } else { "gap; reason=generation" };
    let resume = if text.starts_with("GET /mcp/") { "gap; reason=generation" } else { expected };
    assert_eq!(client.resume(), resume, "{text}");
}

/// Whatever is in the body of a resume: it is taken off the wire, and what comes behind it on the connection is the next
/// request.
#[tokio::test(start_paused = true)]
async fn the_body_of_a_resume_is_read_and_dropped() {
    let long = "x".repeat(300_000);
    let chunked = format!("{:x}\r\n{long}\r\n0\r\nTrailer: x\r\n\r\n", long.len());
    for (head, body) in [
        ("Content-Length: 300000", long.as_str()),
        ("Transfer-Encoding: chunked", &chunked),
        ("Content-Length: 4\nExpect: 100-continue", "four"),
        ("Content-Length: 0", ""),
    ] {
        let mut world = World::new(MCP);
        let (id, mut upstream) = left(&mut world, &post("/mcp", ""), "a").await;
        upstream.events(["b"]).await;
        upstream.finish().await;
        let head = format!("POST /mcp HTTP/1.1\nHost: h\nAuthorization: me\nLast-Event-ID: {id}\n{head}");
        let mut client = world.send(&head).await;
        if head.contains("Expect") {
            sleep(Duration::from_secs(1)).await;
        }
        client.write(body.as_bytes()).await;
        client.write(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.read().await;
        assert!(
            client.held().data() == ["b"] && client.end == Some(Ended::Properly),
            "{head}: {}",
            client.text()
        );
        upstream.again().await;
        // Behind the body of the first one, and nothing of this one's.
        let next = format!("{CALL}GET /next ");
        assert!(upstream.request.starts_with(&next), "{head}: {}", upstream.request);
    }
}

/// It is answered at once, and its body is taken while the stream goes on.
#[tokio::test(start_paused = true)]
async fn a_resume_waits_for_none_of_its_body() {
    let mut world = World::new(MCP);
    let (id, mut upstream) = left(&mut world, &post("/mcp", ""), "a").await;
    let head =
        format!("POST /mcp HTTP/1.1\nHost: h\nAuthorization: me\nLast-Event-ID: {id}\nContent-Length: 900");
    let mut client = world.request(&head).await;
    assert_eq!(client.resume(), "resumed; missed=0");
    upstream.events(["b"]).await;
    client.write(&[b'x'; 600]).await;
    assert_eq!(client.data().await, ["b"]);
    drop(client);
    // Half of its own request is no reason to end a session whose first one was sent whole.
    sleep(Duration::from_secs(100)).await;
    upstream.events(["c"]).await;
    let back = request(&world, &get("/mcp", &format!("\nLast-Event-ID: {id}"))).await;
    assert_eq!(back.held().data(), ["b", "c"]);
    drop(back);
    sleep(Duration::from_secs(121)).await;
    assert!(upstream.is_closed().await);
}

/// Streams of one client with the same key, each of its own: the id says which is meant.
#[tokio::test(start_paused = true)]
async fn the_id_says_which_of_several_streams_is_meant() {
    let mut world = World::new(MCP);
    let (mut standalone, mut notices) = begun(&mut world, &get("/mcp", ""), "notice 1").await;
    let (first, mut one) = left(&mut world, &post("/mcp", ""), "one 1").await;
    let (second, mut two) = left(&mut world, &post("/mcp", ""), "two 1").await;
    one.events(["one 2"]).await;
    two.events(["two 2"]).await;
    notices.events(["notice 2"]).await;
    for (id, data) in [(&first, "one 2"), (&second, "two 2")] {
        let client = request(&world, &get("/mcp", &format!("\nLast-Event-ID: {id}"))).await;
        assert_eq!((client.held().data(), client.resume()), (vec![data], "resumed; missed=1"));
    }
    assert_eq!(standalone.data().await, ["notice 1", "notice 2"]);
    assert_eq!(world.origin.dials(), 3);
}

#[tokio::test(start_paused = true)]
async fn case_8_a_get_behind_the_end_of_an_answer_to_a_post_is_a_new_one() {
    let mut world = World::new(MCP);
    let (mut client, mut upstream) = begun(&mut world, &post("/mcp", ""), "a").await;
    upstream.finish().await;
    let id = client.id().await;
    assert_eq!(client.end, Some(Ended::Properly));
    let back = format!("\nLast-Event-ID: {id}");
    let posted = request(&world, &post("/mcp", &back)).await;
    assert_eq!((posted.status, posted.text().as_str(), posted.end), (200, "", Some(Ended::Properly)));
    let mut got = send(&world, &get("/mcp", &back)).await;
    let mut asked = upstream;
    asked.again().await;
    // Behind the body of the first one.
    assert!(
        asked.request.starts_with(&format!("{CALL}GET /mcp ")) && asked.header("last-event-id").is_none()
    );
    asked.refuse(405).await;
    got.read().await;
    assert_eq!(got.status, 405, "the upstream's own word");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_cut_before_its_end_is_had_whole() {
    let mut world = World::new(MCP);
    let (id, mut upstream) = left(&mut world, &post("/mcp", ""), "a").await;
    upstream.events(["b", "c"]).await;
    upstream.finish().await;
    let client = request(&world, &get("/mcp", &format!("\nLast-Event-ID: {id}"))).await;
    assert_eq!((client.held().data(), client.end), (vec!["b", "c"], Some(Ended::Properly)));
    assert_eq!(world.origin.dials(), 1);
}

/// Where the server numbers its events itself, for its own replay: the session is here all the same.
#[tokio::test(start_paused = true)]
async fn case_5_an_answer_to_a_post_is_found_by_an_id_of_the_upstreams() {
    let mut world = World::new(MCP);
    world.peer = Some(IpAddr::from([10, 0, 0, 1]));
    let mut client = send(&world, &post("/mcp", "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send("id: s_1\ndata: a\n\n").await;
    assert_eq!(client.id().await, "s_1");
    drop(client);
    upstream.send("id: s_2\ndata: b\n\n").await;
    let client = request(&world, &get("/mcp", "\nLast-Event-ID: s_1")).await;
    assert_eq!((client.held().data(), client.resume()), (vec!["b"], "resumed; missed=1"));
    assert_eq!(world.origin.dials(), 1);
    // With a body it is another call, and the upstream's to answer.
    let mut posted = send(&world, &post("/mcp", "\nLast-Event-ID: s_1")).await;
    let mut asked = world.origin.accept().await;
    assert_eq!(asked.header("last-event-id"), Some("s_1"));
    asked.begin().await;
    posted.read().await;
    assert_eq!(posted.resume(), "foreign");
}

/// The connection that is in the way of a GET is a GET's, and the answer to a call is nothing to give it instead.
#[tokio::test(start_paused = true)]
async fn case_7_an_answer_to_a_post_is_in_no_gets_way() {
    let mut world = World::new(MCP);
    let (_, _notices) = left(&mut world, &get("/mcp", ""), "notice").await;
    let (_, mut upstream) = left(&mut world, &post("/mcp", ""), "a").await;
    let mut client = send(&world, &get("/mcp", "")).await;
    world.origin.accept().await.refuse(409).await;
    upstream.events(["b"]).await;
    client.read().await;
    assert_eq!((client.status, client.resume()), (200, "resumed; missed=0"), "the other GET's");
    assert!(client.held().data().is_empty());
    let mut second = send(&world, &get("/mcp", "")).await;
    world.origin.accept().await.refuse(409).await;
    second.read().await;
    assert_eq!(second.status, 409, "there is only the POST's");
}

/// On a route whose GETs are shared, what has a body is its client's own, and so is what it comes back for.
#[tokio::test(start_paused = true)]
async fn an_answer_to_a_post_goes_on_with_a_get_on_a_shared_route_too() {
    for admit in ["upstream", "none"] {
        let mut world = World::new(&format!("{MCP}mode = 'shared'\nadmit = '{admit}'\n"));
        let (_shared, mut notices) = begun(&mut world, &get("/mcp", ""), "notice").await;
        let (id, mut upstream) = left(&mut world, &post("/mcp", ""), "a").await;
        upstream.events(["b"]).await;
        notices.events(["notice"]).await;
        let client = request(&world, &get("/mcp", &format!("\nLast-Event-ID: {id}"))).await;
        assert_eq!((client.held().data(), client.resume()), (vec!["b"], "resumed; missed=1"));
        assert_eq!(world.origin.dials(), 2);
    }
}

/// ... as is a client's that came with an id of the upstream's, where ids are ours.
#[tokio::test(start_paused = true)]
async fn a_foreign_client_of_a_shared_route_finds_its_own_stream_again() {
    let mut world = World::new(&format!("{MCP}mode = 'shared'\nids = 'replace'\n"));
    let (_shared, _notices) = begun(&mut world, &get("/mcp", ""), "notice").await;
    let (id, mut upstream) = left(&mut world, &get("/mcp", "\nLast-Event-ID: 7"), "a").await;
    assert_eq!(upstream.header("last-event-id"), Some("7"));
    upstream.events(["b"]).await;
    let client = request(&world, &get("/mcp", &format!("\nLast-Event-ID: {id}"))).await;
    assert_eq!((client.held().data(), client.resume()), (vec!["b"], "resumed; missed=1"));
    assert_eq!(world.origin.dials(), 2);
}

/// Who ends something may say so with the id that it has: it must be heard.
#[tokio::test(start_paused = true)]
async fn a_delete_is_for_the_upstream_whatever_id_it_brings() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    let mut ending = world.send(&format!("DELETE /e HTTP/1.1\nHost: h\nLast-Event-ID: {id}")).await;
    let mut asked = world.origin.accept().await;
    assert!(asked.request.starts_with("DELETE /e"), "{}", asked.request);
    assert_eq!(asked.header("last-event-id"), None);
    asked.refuse(204).await;
    ending.read().await;
    assert_eq!(ending.status, 204);
}
