//! Shared streams: one upstream connection for all, each client admitted, a new generation when it is lost.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Ended, Exchange, World, event_source, settle};

const ASKED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\n";
const OPEN: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";

/// A client that is admitted by an upstream that says yes.
async fn admit(world: &mut World, request: &str) -> Client {
    let mut client = world.send(request).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    client.read().await;
    assert!(asked.is_closed().await, "an admission's connection is dropped");
    client
}

#[tokio::test(start_paused = true)]
async fn two_hundred_clients_are_one_upstream_connection_and_see_the_same_ids() {
    let mut world = World::new(OPEN);
    let (first, mut upstream) = world.open("/e").await;
    let mut clients = vec![first];
    for _ in 1..200 {
        clients.push(world.event_source("/e", "").await);
    }
    for n in 0..5 {
        upstream.events([n]).await;
    }
    let mut bodies = Vec::new();
    for client in &mut clients {
        client.read().await;
        bodies.push(client.text());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(clients[0].held().data(), ["0", "1", "2", "3", "4"]);
    assert_eq!(world.origin.dials(), 1);
    assert_eq!(world.metric("respool_clients{route=\"/e\"}"), 200);
}

#[tokio::test(start_paused = true)]
async fn each_private_client_has_an_upstream_connection_of_its_own() {
    let mut world = World::new("");
    let mut all = Vec::new();
    for n in 0..20 {
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events([n]).await;
        assert_eq!(client.data().await, [n.to_string()]);
        all.push((client, upstream));
    }
    assert_eq!(world.origin.dials(), 20);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_when_linger_is_over() {
    let mut world = World::new(OPEN);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    sleep(Duration::from_secs(299)).await;
    assert!(!upstream.is_closed().await);
    let back = world.event_source("/e", &id).await;
    assert_eq!(back.resume(), "resumed; missed=0");
    drop(back);
    sleep(Duration::from_secs(301)).await;
    assert!(upstream.is_closed().await);
    settle().await;
    assert_eq!(world.metric("respool_streams{kind=\"shared\"}"), 0);
    assert_eq!(world.app.registry().held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_client_starts_at_its_fence_and_nothing_is_lost_while_it_is_admitted() {
    let mut world = World::new(ASKED);
    let (mut first, mut upstream) = world.open("/e").await;
    upstream.events(["before"]).await;
    let mut client = world.send(&event_source("/e", "")).await;
    let mut asked = world.origin.accept().await;
    upstream.events(["while it is asked"]).await;
    asked.begin_with("X-Mine: 1\n").await;
    upstream.events(["after"]).await;
    assert_eq!(client.data().await, ["while it is asked", "after"]);
    assert_eq!(client.headers["x-mine"], "1", "its own head");
    assert_eq!(first.data().await, ["before", "while it is asked", "after"]);
    assert!(client.text().contains(&first.held().events[1].id), "the same ids");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_on_resume_is_passed_on_and_not_one_event_with_it() {
    for status in [401, 403, 404, 204, 500] {
        let mut world = World::new(ASKED);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events(["a"]).await;
        let id = client.id().await;
        drop(client);
        upstream.events(["secret"]).await;
        let mut back = world.send(&event_source("/e", &id)).await;
        let mut asked = world.origin.accept().await;
        assert_eq!(asked.header("last-event-id"), None);
        upstream.events(["secret"]).await;
        back.read().await;
        assert_eq!((back.status, back.text()), (0, String::new()), "nothing before the yes");
        asked.refuse(status).await;
        back.read().await;
        assert_eq!((back.status, back.text(), back.resume()), (status, String::new(), ""));
    }
}

#[tokio::test(start_paused = true)]
async fn case_11_an_admission_answered_with_anything_but_a_plain_stream_passes_as_it_is() {
    for lines in ["Content-Encoding: gzip\r\nContent-Length: 4", "Content-Length: 4"] {
        let mut world = World::new(ASKED);
        let (_first, _upstream) = world.open("/e").await;
        let mut client = world.send(&event_source("/e", "")).await;
        let mut asked = world.origin.accept().await;
        asked.raw(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{lines}\r\n\r\nabcd")).await;
        client.read().await;
        assert_eq!((client.text().as_str(), client.resume()), ("abcd", ""));
        assert_eq!(client.end, Some(Ended::Properly));
    }
}

#[tokio::test(start_paused = true)]
async fn case_3_those_who_come_while_it_opens_wait_and_start_at_its_first_position() {
    let mut world = World::new(OPEN);
    let mut first = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    let mut second = world.send(&event_source("/e", "")).await;
    settle().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    assert_eq!(first.data().await, ["a"]);
    assert_eq!(second.data().await, ["a"]);
    assert_eq!(world.origin.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn case_3_a_refusal_is_for_the_asker_alone_and_the_next_asks_for_itself() {
    let mut world = World::new(ASKED);
    let mut first = world.send(&(event_source("/e", "") + "\nAuthorization: bad")).await;
    let mut asked = world.origin.accept().await;
    let mut second = world.send(&(event_source("/e", "") + "\nAuthorization: good")).await;
    settle().await;
    asked.refuse(401).await;
    first.read().await;
    assert_eq!(first.status, 401);
    asked.again().await;
    assert_eq!(asked.header("authorization"), Some("good"));
    asked.begin().await;
    asked.events(["a"]).await;
    assert_eq!(second.data().await, ["a"]);
    assert_eq!(second.resume(), "fresh");
}

#[tokio::test(start_paused = true)]
async fn case_3_the_stream_owns_its_opening_not_the_client_that_came_first() {
    let mut world = World::new(OPEN);
    let first = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    let mut second = world.send(&event_source("/e", "")).await;
    settle().await;
    drop(first);
    sleep(Duration::from_secs(10)).await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    assert_eq!(second.data().await, ["a"]);
    assert_eq!(world.origin.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_nobody_waits_for_any_more_is_given_up() {
    let mut world = World::new(OPEN);
    let first = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    drop(first);
    sleep(Duration::from_secs(5)).await;
    assert!(upstream.is_closed().await);
    assert_eq!(world.metric("respool_streams{kind=\"shared\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn pitfall_a_loss_is_a_break_clients_get_everything_are_cut_and_find_a_new_generation() {
    let mut world = World::new(OPEN);
    let (first, mut upstream) = world.open("/e").await;
    let mut clients = vec![first];
    for _ in 1..20 {
        clients.push(world.event_source("/e", "").await);
    }
    upstream.events(["a", "b"]).await;
    drop(upstream);
    sleep(Duration::from_millis(200)).await;
    let mut cut_early = 0;
    for client in &mut clients {
        client.read().await;
        cut_early += usize::from(client.end.is_some());
    }
    sleep(Duration::from_secs(1)).await;
    assert!((1..20).contains(&cut_early), "spread over a moment: {cut_early}");
    let id = clients[0].id().await;
    for client in &mut clients {
        assert_eq!(client.data().await, ["a", "b"]);
        assert_eq!(client.end, Some(Ended::Cut));
    }
    let mut again = world.origin.accept().await;
    again.begin().await;
    let mut back = world.event_source("/e", &id).await;
    again.events(["c"]).await;
    assert_eq!(back.data().await, ["c"]);
    assert_eq!(back.resume(), "gap; reason=generation");
    assert!(back.id().await > id, "later generations sort after earlier ones");
    assert_eq!(world.origin.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_pump_comes_back_with_the_request_of_the_client_admitted_last_and_the_upstreams_last_id() {
    let mut world = World::new(ASKED);
    let mut client = world
        .send(&(event_source("/e", "") + "\nAuthorization: first\nIf-None-Match: x\nRange: bytes=1-"))
        .await;
    let mut upstream = world.origin.accept().await;
    assert_eq!((upstream.header("if-none-match"), upstream.header("range")), (None, None));
    upstream.begin().await;
    upstream.send("id: 41\ndata: a\n\n").await;
    let _second = admit(&mut world, &(event_source("/e", "") + "\nAuthorization: second")).await;
    drop(upstream);
    let mut again = world.origin.accept().await;
    assert_eq!(again.header("authorization"), Some("second"));
    assert_eq!(again.header("last-event-id"), Some("41"));
    again.refuse(401).await;
    again.again().await;
    assert_eq!(again.header("authorization"), Some("first"), "on a refusal with the next one's");
    assert_eq!((again.header("if-none-match"), again.header("range")), (None, None));
    again.begin().await;
    sleep(Duration::from_secs(1)).await;
    client.read().await;
    assert_eq!(client.end, Some(Ended::Cut));
}

/// Each of forty clients has a request of its own, and some of them leave: who is left is asked with, the one admitted last first.
#[tokio::test(start_paused = true)]
async fn the_pump_comes_back_with_a_request_of_those_who_are_left() {
    for (left, asked_with) in [(0..1, "0"), (3..5, "4"), (0..40, "39"), (33..35, "34")] {
        let mut world = World::new(OPEN);
        let request = |n: u32| event_source("/e", "") + &format!("\nAuthorization: {n}");
        let mut clients = vec![world.send(&request(0)).await];
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        for n in 1..40 {
            clients.push(world.request(&request(n)).await);
        }
        clients.drain(left.end as usize..);
        clients.drain(..left.start as usize);
        settle().await;
        drop(upstream);
        let again = world.origin.try_accept().await;
        let header = again.as_ref().and_then(|again| again.header("authorization"));
        assert_eq!(header, Some(asked_with), "of {left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reconnects_are_paced_and_end_when_nobody_is_expected_any_more() {
    let mut world = World::new(OPEN);
    let (_client, upstream) = world.open("/e").await;
    world.origin.set_away(true);
    let before = world.metric("respool_upstream_connects_total{route=\"/e\",outcome=\"failed\"}");
    drop(upstream);
    sleep(Duration::from_secs(60)).await;
    let failed = world.metric("respool_upstream_connects_total{route=\"/e\",outcome=\"failed\"}") - before;
    assert!((5..60).contains(&failed), "{failed} attempts in a minute");
    sleep(Duration::from_secs(300)).await;
    assert_eq!(world.metric("respool_streams{kind=\"shared\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn reconnects_wait_for_as_long_as_the_upstream_asked() {
    let mut world = World::new(OPEN);
    let (client, mut upstream) = world.open("/e").await;
    upstream.send("retry: 20000\n\ndata: a\n\n").await;
    drop(upstream);
    settle().await;
    drop(client);
    sleep(Duration::from_secs(19)).await;
    assert_eq!(world.origin.dials(), 1);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.origin.dials(), 2);
}

/// Some servers send their head with the first event, which may never come.
#[tokio::test(start_paused = true)]
async fn a_reconnect_that_is_not_answered_ends_when_nobody_is_expected_any_more() {
    let mut world = World::new(OPEN);
    let (client, upstream) = world.open("/e").await;
    drop(upstream);
    let mut unanswered = world.origin.accept().await;
    drop(client);
    sleep(Duration::from_secs(295)).await;
    assert!(!unanswered.is_closed().await);
    sleep(Duration::from_secs(10)).await;
    assert!(unanswered.is_closed().await);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.metric("respool_streams{kind=\"shared\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_proper_end_is_no_break_and_nothing_is_opened_until_a_client_asks() {
    let mut world = World::new(OPEN);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    upstream.finish().await;
    assert_eq!(client.data().await, ["a"]);
    assert_eq!(client.end, Some(Ended::Properly));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.origin.dials(), 1);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["b"]).await;
    assert_eq!(client.data().await, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_pinned_stream_is_subscribed_at_start_and_never_let_go() {
    let pin = "pin = true\npin_headers = { authorization = 'pinned' }\n";
    let mut world = World::new(&format!("{OPEN}{pin}"));
    let mut upstream: Exchange = world.origin.accept().await;
    assert!(upstream.request.starts_with("GET /e HTTP/1.1"), "{}", upstream.request);
    assert_eq!(upstream.header("authorization"), Some("pinned"));
    assert_eq!(upstream.header("accept"), Some("text/event-stream"));
    upstream.begin().await;
    upstream.events(["early"]).await;
    sleep(Duration::from_secs(3600)).await;
    assert!(!upstream.is_closed().await);
    let mut client = world.event_source("/e", "").await;
    upstream.events(["a"]).await;
    assert_eq!(client.data().await, ["a"]);
    assert_eq!(world.origin.dials(), 1);
    upstream.finish().await;
    client.read().await;
    assert_eq!(client.end, Some(Ended::Properly));
    upstream.again().await;
    upstream.begin().await;
}

#[tokio::test(start_paused = true)]
async fn without_asking_a_client_of_another_origin_is_asked_for_all_the_same() {
    let mut world = World::new("[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n");
    let (_first, mut upstream) = world.open("/e").await;
    let other = event_source("/e", "") + "\nOrigin: http://elsewhere";
    let mut client = world.send(&other).await;
    let mut asked = world.origin.accept().await;
    asked.begin_with("Access-Control-Allow-Origin: http://elsewhere\n").await;
    upstream.events(["a"]).await;
    assert_eq!(client.data().await, ["a"]);
    assert_eq!(client.headers["access-control-allow-origin"], "http://elsewhere");
    let same = world.event_source("/e", "").await;
    assert_eq!(same.status, 200, "one of the same origin is not");
}

#[tokio::test(start_paused = true)]
async fn other_requests_for_a_shared_path_pass_or_are_private() {
    let mut world = World::new(OPEN);
    let (_first, _upstream) = world.open("/e").await;
    let _head = world.send("HEAD /e HTTP/1.1\nHost: h").await;
    assert!(world.origin.accept().await.request.starts_with("HEAD"));
    let _post = world.send("POST /e HTTP/1.1\nHost: h\nContent-Length: 0").await;
    assert!(world.origin.accept().await.request.starts_with("POST"));
    let mut fetched =
        world.send("GET /e HTTP/1.1\nHost: h\nOrigin: http://elsewhere\nAccept: text/event-stream").await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    fetched.read().await;
    assert_eq!(
        fetched.text(),
        "data: a\n\n",
        "a cross-origin fetch gets no ids: one would cost it a preflight"
    );
}

#[tokio::test(start_paused = true)]
async fn case_12_a_client_that_takes_nothing_is_cut_and_holds_nobody() {
    let mut world = World::new(OPEN);
    let (mut client, mut upstream) = world.open("/e").await;
    world.pipe = 3000;
    let mut slow = world.send(&event_source("/e", "")).await;
    settle().await;
    let data: Vec<String> = (0..100).map(|n| format!("{n} {}", "x".repeat(1000))).collect();
    upstream.events(&data).await;
    assert_eq!(client.data().await, data);
    sleep(Duration::from_secs(31)).await;
    slow.read().await;
    assert_eq!(slow.end, Some(Ended::Cut));
    assert!(slow.held().data().len() < 10);
    assert_eq!(world.metric("respool_clients{route=\"/e\"}"), 1);
    assert_eq!(world.metric("respool_clients_cut_total{route=\"/e\",reason=\"stalled\"}"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_away_holds_all_who_wait_alike() {
    let mut world = World::new(OPEN);
    world.origin.set_away(true);
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(world.send(&event_source("/e", "")).await);
    }
    sleep(Duration::from_millis(7500)).await;
    for client in &mut clients {
        client.read().await;
        assert_eq!((client.status, client.end), (0, Some(Ended::Cut)), "cut without an answer");
    }
    let mut client = world.send(&event_source("/e", "")).await;
    sleep(Duration::from_secs(2)).await;
    world.origin.set_away(false);
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    assert_eq!(client.data().await, ["a"]);
}
