//! The trace that a request says it is part of: passed on untouched, never part of a key, and in the log by its id.

use std::time::Duration;

use tokio::time::sleep;

use super::logs::listen_to_all;
use crate::support::world::{Exchange, World, event_source, settle};

const ID: &str = "0af7651916cd43dd8448eb211c80319c";
const STATE: &str = "congo=t61rcWkgMzE, rojo=00f067aa0ba902b7";
const SHARED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\n";

fn parent(n: u32) -> String {
    format!("00-{ID}-{n:016x}-01")
}

fn traced(n: u32, id: &str) -> String {
    format!("{}\ntraceparent: {}\ntracestate: {STATE}", event_source("/e", id), parent(n))
}

#[track_caller]
fn is_passed_on(exchange: &Exchange, n: u32) {
    assert_eq!(exchange.header("traceparent"), Some(parent(n).as_str()));
    assert_eq!(exchange.header("tracestate"), Some(STATE));
}

#[tokio::test(start_paused = true)]
async fn it_goes_to_the_upstream_untouched_with_every_request_of_a_clients() {
    let mut world = World::new(SHARED);
    let mut first = world.send(&traced(1, "")).await;
    let mut pump = world.origin.accept().await;
    is_passed_on(&pump, 1);
    pump.begin().await;
    pump.events(["a"]).await;
    let id = first.id().await;
    // Admissions, of a new client and of one that comes back.
    for (n, id) in [(2, ""), (3, id.as_str())] {
        let mut client = world.send(&traced(n, id)).await;
        let mut admission = world.origin.accept().await;
        is_passed_on(&admission, n);
        admission.begin().await;
        client.read().await;
        assert_eq!(client.status, 200);
    }
    let private = world.send(&traced(4, "").replace("/e", "/private")).await;
    let exchange = world.origin.accept().await;
    is_passed_on(&exchange, 4);
    let plain = format!(
        "POST /x HTTP/1.1\nHost: h\nContent-Length: 0\ntraceparent: {}\ntracestate: {STATE}",
        parent(5)
    );
    let passing = world.send(&plain).await;
    is_passed_on(&world.origin.accept().await, 5);
    drop((private, passing, exchange));
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_is_for_the_upstream_to_judge() {
    let mut world = World::new("");
    for odd in ["nonsense", "00-short", "", "ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"] {
        let _client = world.send(&format!("{}\ntraceparent: {odd}", event_source("/e", ""))).await;
        assert_eq!(world.origin.accept().await.header("traceparent").unwrap_or_default(), odd);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_of_different_traces_share_a_stream_and_one_that_comes_back_in_another_is_resumed() {
    for route in ["", "[[route]]\npath = '/e'\nmode = 'shared'\nadmit = 'none'\n"] {
        let mut world = World::new(route);
        let mut first = world.send(&traced(1, "")).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        upstream.events(["a"]).await;
        let id = first.id().await;
        drop(first);
        upstream.events(["b"]).await;
        let mut back = world.request(&traced(2, &id)).await;
        assert_eq!((back.data().await, back.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
        assert!(world.origin.is_quiet().await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_client_has_its_trace_if_that_is_one() {
    let (log, _guard) = listen_to_all();
    let mut world = World::new("");
    for (head, has) in [
        (traced(1, ""), true),
        (format!("{}\ntraceparent: 00-hidden-{ID}-01", event_source("/e", "")), false),
        (format!("{0}\ntraceparent: {1}\ntraceparent: {1}", event_source("/e", ""), parent(1)), false),
    ] {
        let mut client = world.send(&head).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        client.read().await;
        drop(client);
        settle().await;
        sleep(Duration::from_secs(1)).await;
        let gone = log.lines("\"a client is gone\"").pop().unwrap();
        assert_eq!(gone.contains(&format!("\"trace\":\"{ID}\"")), has, "{gone}");
        assert!(log.lines("hidden").is_empty());
    }
}
