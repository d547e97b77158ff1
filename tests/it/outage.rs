//! An upstream that is away, or whose answers say so: requests for streams are held, tried again, and cut without an
//! answer.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::world::{Client, Ended, World, event_source, settle};

const STATUSES: &str = "[outage]\nstatuses = [502, 503]\n";
const SHARED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nheartbeat = 'none'\n";

/// The upstream says this to whatever comes for so long. How often it did.
async fn say(world: &mut World, status: u16, time: Duration) -> usize {
    let (mut said, end) = (0, Instant::now() + time);
    while Instant::now() < end {
        while let Some(mut exchange) = world.origin.waiting().await {
            exchange
                .raw(format!("HTTP/1.1 {status} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
                .await;
            said += 1;
        }
        settle().await;
    }
    said
}

async fn is_cut(client: &mut Client) -> bool {
    client.read().await;
    (client.status, client.end) == (0, Some(Ended::Cut))
}

#[tokio::test(start_paused = true)]
async fn a_status_that_stands_for_nobody_holds_a_request_for_a_stream() {
    for (route, status) in [("", 502), ("", 503), (SHARED, 502)] {
        let mut world = World::new(&format!("{STATUSES}{route}"));
        let mut client = world.send(&event_source("/e", "")).await;
        assert!(say(&mut world, status, Duration::from_secs(2)).await > 1);
        client.read().await;
        assert_eq!((client.status, client.end), (0, None));
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        upstream.events(["a"]).await;
        assert_eq!((client.data().await, client.resume()), (vec!["a".to_owned()], "fresh"));
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_cut_without_an_answer_when_hold_is_over() {
    for route in ["", SHARED] {
        let mut world = World::new(&format!("{STATUSES}{route}"));
        let mut client = world.send(&event_source("/e", "")).await;
        assert!(say(&mut world, 502, Duration::from_millis(4500)).await > 1);
        client.read().await;
        assert_eq!(client.end, None);
        say(&mut world, 502, Duration::from_secs(1)).await;
        assert!(is_cut(&mut client).await);
    }
}

/// Whoever waits in line for a shared stream has a deadline of its own, whenever the upstream is asked again.
#[tokio::test(start_paused = true)]
async fn who_is_held_is_cut_when_hold_is_over_and_not_when_the_upstream_is_asked_again() {
    for (route, seed) in [("", 1), (SHARED, 1), (SHARED, 2), (SHARED, 3), (SHARED, 4)] {
        let mut world = World::seeded(route, seed);
        world.origin.set_away(true);
        let began = Instant::now();
        let mut first = world.send(&event_source("/e", "")).await;
        sleep(Duration::from_millis(1234)).await;
        let mut second = world.send(&event_source("/e", "")).await;
        for (client, deadline) in [(&mut first, 5000), (&mut second, 6234)] {
            sleep(Duration::from_millis(deadline - 10) - began.elapsed()).await;
            assert!(!is_cut(client).await, "{deadline} seed {seed}");
            sleep(Duration::from_millis(deadline + 10) - began.elapsed()).await;
            assert!(is_cut(client).await, "{deadline} seed {seed}");
        }
        // Those who come later are held, and served, as before.
        let mut third = world.send(&event_source("/e", "")).await;
        world.origin.set_away(false);
        world.origin.accept().await.begin().await;
        third.read().await;
        assert_eq!(third.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_status_and_any_other_request_passes() {
    let get = |accept: &str| format!("GET /x HTTP/1.1\nHost: h\nAccept: {accept}");
    let post = "POST /x HTTP/1.1\nHost: h\nAccept: text/event-stream\nContent-Length: 0";
    for (file, request, status) in [
        (STATUSES, get("text/event-stream"), 500),
        (STATUSES, get("text/event-stream"), 404),
        (STATUSES, get("*/*"), 502),
        (STATUSES, post.to_owned(), 502),
        ("", get("text/event-stream"), 502),
    ] {
        let mut world = World::new(file);
        let mut client = world.send(&request).await;
        assert_eq!(say(&mut world, status, Duration::from_millis(10)).await, 1);
        client.read().await;
        assert_eq!((client.status, client.text()), (status, String::new()), "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pump_and_an_admission_take_it_for_an_outage_too() {
    let mut world = World::new(&format!("{STATUSES}{SHARED}"));
    let (mut first, mut upstream) = world.open("/e").await;
    upstream.send("id: 41\ndata: a\n\n").await;
    assert_eq!(first.data().await, ["a"]);
    let mut second = world.send(&event_source("/e", "")).await;
    assert!(say(&mut world, 502, Duration::from_secs(1)).await > 1);
    world.origin.accept().await.begin().await;
    second.read().await;
    assert_eq!(second.status, 200);
    drop(upstream);
    // A refusal would have been the end of the one whose request it was, and of the id.
    assert!(say(&mut world, 503, Duration::from_secs(5)).await > 1);
    let mut again = world.origin.accept().await;
    assert_eq!(again.header("last-event-id"), Some("41"));
    again.begin().await;
    let failed = world.metric("respool_upstream_connects_total{route=\"/e\",outcome=\"failed\"}");
    assert!(failed > 1, "{failed}");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.metric("respool_upstream_connects_total{route=\"/e\",outcome=\"refused\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn with_no_time_to_hold_it_is_cut_at_once() {
    for route in ["", SHARED] {
        let mut world = World::new(&format!("[outage]\nhold = '0s'\nstatuses = [502]\n{route}"));
        let mut client = world.send(&event_source("/e", "")).await;
        assert_eq!(say(&mut world, 502, Duration::from_millis(20)).await, 1);
        assert!(is_cut(&mut client).await);
    }
}

/// A request that is no GET is none for a stream, whatever its route, and may have had its effect before its answer was
/// lost.
#[tokio::test(start_paused = true)]
async fn a_request_without_a_body_that_is_no_get_is_sent_once_and_answered_at_once() {
    for method in ["DELETE", "POST", "PUT"] {
        for route in [SHARED, "[[route]]\npath = '/e'\nstamp = 'always'\n"] {
            let mut world = World::new(route);
            let head = format!("{method} /e HTTP/1.1\nHost: h\nContent-Length: 0");
            let mut client = world.send(&head).await;
            drop(world.origin.accept().await);
            settle().await;
            client.read().await;
            assert_eq!(client.status, 502, "{method} {route}");
            sleep(Duration::from_secs(10)).await;
            assert_eq!(world.origin.dials(), 1, "{method} {route}");
            world.origin.set_away(true);
            assert_eq!(world.request(&head).await.status, 502, "{method} {route}");
        }
    }
}

/// An attempt failed; the next one is answered late, and is given up when clients of before are expected no more.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_head_is_not_cut_for_a_failure_that_was_before_it() {
    let mut world = World::new("[[route]]\npath = '/e'\nmode = 'shared'\nadmit = 'none'\nlinger = '20s'\n");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    client.read().await;
    drop(upstream);
    drop(world.origin.accept().await);
    let _late = world.origin.accept().await;
    drop(client);
    sleep(Duration::from_secs(11)).await;
    let mut waiting = world.send(&event_source("/e", "")).await;
    let mut own = world.origin.accept().await;
    own.begin().await;
    own.events(["b"]).await;
    assert_eq!((waiting.data().await, waiting.status), (vec!["b".to_owned()], 200));
}
