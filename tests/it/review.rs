//! What a reviewer broke once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::world::{Client, World, event_source, settle};

const OPEN: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";

/// So many events of a thousand bytes.
fn long(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n} {}", "x".repeat(1000))).collect()
}

/// Reads as long as something comes.
async fn read_all(client: &mut Client, until: usize) -> Vec<String> {
    for _ in 0..100 {
        if client.data().await.len() >= until {
            break;
        }
    }
    client.data().await
}

#[tokio::test(start_paused = true)]
async fn a_pump_that_waited_for_a_slow_client_goes_on_when_it_reads() {
    let mut world = World::new("[window]\nevents = 10\nbytes = '100KiB'\n[limits]\nevent = '10KiB'\n");
    world.pipe = 4000;
    let (mut client, mut upstream) = world.open("/e").await;
    let data = long(5000);
    let sending = async {
        for some in data.chunks(100) {
            upstream.events(some).await;
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        // Less than a stall, and long enough for everything on the way to be full.
        sleep(Duration::from_secs(20)).await;
        read_all(&mut client, data.len()).await
    };
    tokio::select! {
        () = sending => unreachable!(),
        seen = reading => assert!(seen == data, "{} of {}", seen.len(), data.len()),
    }
}

#[tokio::test(start_paused = true)]
async fn case_6_an_older_client_holds_the_pump_again_when_the_newer_one_leaves() {
    let mut world = World::new("[window]\nevents = 10\nbytes = '100KiB'\n[limits]\nevent = '10KiB'\n");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    settle().await;
    world.pipe = 4000;
    let mut older = world.send(&event_source("/e", &id)).await;
    settle().await;
    let newer = world.event_source("/e", &id).await;
    drop(newer);
    settle().await;
    let data = long(3000);
    let sending = async {
        for some in data.chunks(100) {
            upstream.events(some).await;
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        sleep(Duration::from_secs(20)).await;
        read_all(&mut older, data.len()).await
    };
    tokio::select! {
        () = sending => unreachable!(),
        seen = reading => assert!(seen == data, "{} of {}", seen.len(), data.len()),
    }
}

#[tokio::test(start_paused = true)]
async fn case_6_the_older_client_keeps_no_memory_after_age_has_emptied_the_window() {
    let mut world = World::new("[window]\nage = '20s'\nbytes = '100KiB'\n[limits]\nevent = '10KiB'\n");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    settle().await;
    world.pipe = 4000;
    let mut older = world.send(&event_source("/e", &id)).await;
    settle().await;
    world.pipe = 1 << 20;
    let mut newer = world.event_source("/e", &id).await;
    upstream.events(["b"]).await;
    older.read().await;
    sleep(Duration::from_secs(25)).await;
    newer.read().await;
    older.read().await;
    for some in long(2000).chunks(100) {
        upstream.events(some).await;
        newer.read().await;
    }
    let held = world.app.registry().held();
    assert!(held < 500_000, "{held} bytes are held for a client that holds nothing");
}

#[tokio::test(start_paused = true)]
async fn lone_ids_without_end_cost_no_memory_without_end() {
    for config in ["", OPEN] {
        let mut world = World::new(config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("id: first\ndata: a\n\n").await;
        for hundred in 0..200 {
            let ids: String = (0..100).map(|n| format!("id: {hundred}-{n}\n\n")).collect();
            upstream.send(ids).await;
            client.read().await;
        }
        let held = world.app.registry().held();
        assert!(held < 50_000, "{held} bytes for one event");
    }
}

/// The newest lone id, and the id of an event, mean their places however many lone ids there were.
#[tokio::test(start_paused = true)]
async fn the_newest_lone_id_is_a_place() {
    let mut world = World::new(OPEN);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send("id: first\ndata: a\n\n").await;
    for n in 0..500 {
        upstream.send(format!("id: {n}\n\n")).await;
    }
    assert_eq!(client.id().await, "499");
    upstream.events(["b"]).await;
    for id in ["first", "499"] {
        let mut back = world.event_source("/e", id).await;
        assert_eq!((back.data().await, back.resume()), (vec!["b".into()], "resumed; missed=1"), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_the_upstream_repeats_never_skips_an_event() {
    let mut world = World::new(&format!("{OPEN}window = {{ events = 3 }}\n[limits]\nevent = '1KiB'\n"));
    let (mut client, mut upstream) = world.open("/e").await;
    let mut same = async |data: &str| upstream.send(format!("id: same\ndata: {data}\n\n")).await;
    for data in ["1", "2", "3", "4"] {
        same(data).await;
    }
    assert_eq!((client.data().await.len(), client.id().await.as_str()), (4, "same"));
    drop(client);
    settle().await;
    same("5").await;
    let mut back = world.send(&event_source("/e", "same")).await;
    back.read().await;
    if back.status == 0 {
        let asked = world.origin.accept().await;
        assert_eq!(asked.header("last-event-id"), Some("same"), "the upstream may know which one is meant");
    } else {
        assert!(back.data().await.contains(&"5".to_owned()), "{} {}", back.resume(), back.text());
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_is_known_without_the_spaces_that_http_takes_from_it() {
    let mut world = World::new(OPEN);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send("id:  7 \ndata: a\n\n").await;
    assert_eq!(client.id().await, " 7 ");
    upstream.send("id: 8\ndata: b\n\n").await;
    let mut back = world.event_source("/e", " 7 ").await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".into()], "resumed; missed=1"));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_whose_ids_have_our_form_is_resumed_by_them() {
    let mut world = World::new(OPEN);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send("id: r0000000000007-5\ndata: a\n\nid: r0000000000007-6\ndata: b\n\n").await;
    client.read().await;
    let mut back = world.event_source("/e", "r0000000000007-5").await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".into()], "resumed; missed=1"));
}

#[tokio::test(start_paused = true)]
async fn what_a_frame_needs_beside_its_bytes_is_charged() {
    let mut world = World::new("");
    world.pipe = 1000;
    let (_client, mut upstream) = world.open("/e").await;
    upstream.send("\n".repeat(5000)).await;
    let held = world.app.registry().held();
    assert!(held > 5000 * 64, "5000 frames are said to cost {held} bytes");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_resets_the_id_alone_takes_nobodys_place() {
    for config in ["", OPEN] {
        for reset in ["id\n\n", "id:\n\n", "id:   \ndata: x\n\n"] {
            let mut world = World::new(config);
            let (mut client, mut upstream) = world.open("/e").await;
            upstream.events(["a"]).await;
            upstream.send(reset).await;
            let id = client.id().await;
            drop(client);
            settle().await;
            upstream.events(["b"]).await;
            let mut back = world.send(&event_source("/e", id.trim())).await;
            back.read().await;
            assert_eq!(
                (back.resume(), back.text().contains("data: b")),
                ("resumed; missed=1", true),
                "{reset:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn case_12_a_download_after_a_stream_on_one_connection_may_wait() {
    let mut world = World::new("");
    world.pipe = 3000;
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    upstream.finish().await;
    client.read().await;
    client.write(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.again().await;
    let body = "x".repeat(200_000);
    upstream.raw(format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{body}")).await;
    sleep(Duration::from_secs(60)).await;
    client.body.clear();
    (client.status, client.end) = (0, None);
    client.read().await;
    assert_eq!(client.body.len(), 200_000, "downloads wait");
}

#[tokio::test(start_paused = true)]
async fn a_pinned_stream_is_not_asked_for_hotly_when_the_upstream_talks_nonsense() {
    let mut world = World::new(&format!("{OPEN}pin = true\n"));
    let start = Instant::now();
    for _ in 0..20 {
        world.origin.accept().await.raw("nonsense\r\n\r\n").await;
    }
    assert!(start.elapsed() > Duration::from_secs(10), "20 attempts in {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lost_stream_is_not_asked_for_hotly_when_the_upstream_talks_nonsense() {
    let mut world = World::new(OPEN);
    let (_client, upstream) = world.open("/e").await;
    drop(upstream);
    let start = Instant::now();
    for _ in 0..20 {
        world.origin.accept().await.raw("nonsense\r\n\r\n").await;
    }
    assert!(start.elapsed() > Duration::from_secs(10), "20 attempts in {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_offer_to_speak_http_2_takes_nobodys_ids() {
    let mut world = World::new("");
    let offer = event_source("/e", "")
        + "\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__";
    let mut client = world.send(&offer).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    client.read().await;
    assert_eq!(client.resume(), "fresh");
    assert!(client.id().await.starts_with('r'));
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_go_of_who_waits_for_a_shared_stream() {
    let world = World::new(&format!("{OPEN}[outage]\nhold = '60s'\n"));
    world.origin.set_away(true);
    let mut client = world.send(&event_source("/e", "")).await;
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    world.app.drain().finish().await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    client.read().await;
    assert_eq!(client.status, 0);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_we_made_never_reaches_the_upstream_beside_another() {
    let mut world = World::new("");
    let request = event_source("/e", "") + "\nLast-Event-ID: r0000000000007-5\nLast-Event-ID: 7";
    let _client = world.send(&request).await;
    let upstream = world.origin.accept().await;
    assert!(!upstream.request.contains("r0000000000007-5"), "{}", upstream.request);
    assert_eq!(upstream.header("last-event-id"), Some("7"));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_we_made_never_reaches_the_upstream_with_a_request_that_passes() {
    let upgrade = "Connection: upgrade\nUpgrade: websocket\n";
    for (method, lines) in [("HEAD", ""), ("OPTIONS", ""), ("GET", upgrade)] {
        let mut world = World::new("");
        for (id, seen) in [("r0000000000007-5", None), ("7", Some("7"))] {
            let request = format!("{method} /e HTTP/1.1\nHost: h\n{lines}Last-Event-ID: {id}");
            let _client = world.send(&request).await;
            assert_eq!(world.origin.accept().await.header("last-event-id"), seen, "{method}");
        }
    }
}

/// The generation ends while a client that came back is being admitted: it gets the rest all the same.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_admitted_while_the_generation_is_lost_gets_the_rest() {
    let mut world = World::new("[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\n");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    settle().await;
    upstream.events(["b"]).await;
    let mut back = world.send(&event_source("/e", &id)).await;
    let mut asked = world.origin.accept().await;
    upstream.events(["c"]).await;
    drop(upstream);
    settle().await;
    asked.begin().await;
    assert_eq!(back.data().await, ["b", "c"]);
    assert_eq!(back.resume(), "resumed; missed=1");
}

#[tokio::test(start_paused = true)]
async fn a_get_with_a_body_shares_no_stream() {
    let mut world = World::new(OPEN);
    let (_first, mut upstream) = world.open("/e").await;
    let mut client = world.send(&(event_source("/e", "") + "\nContent-Length: 4")).await;
    client.write(b"mine").await;
    let mut own = world.origin.accept().await;
    assert_eq!(own.header("content-length"), Some("4"));
    own.begin().await;
    upstream.events(["theirs"]).await;
    own.events(["mine"]).await;
    assert_eq!(client.data().await, ["mine"]);
}

/// An id that no window has is judged without taking anything from the client that is there.
#[tokio::test(start_paused = true)]
async fn a_forged_position_takes_nothing_from_the_client_that_is_there() {
    let mut world = World::new("[window]\nevents = 10\nbytes = '100KiB'\n[limits]\nevent = '10KiB'\n");
    world.pipe = 4000;
    let (mut client, mut upstream) = world.open("/e").await;
    let id = client.id().await.replace("-0", "-9999");
    let data = long(200);
    upstream.events(&data[..100]).await;
    let mut forged = world.send(&event_source("/e", &id)).await;
    world.origin.accept().await.begin().await;
    forged.read().await;
    assert_eq!(forged.resume(), "gap; reason=ahead");
    upstream.events(&data[100..]).await;
    assert!(
        read_all(&mut client, data.len()).await == data,
        "{} of {}",
        client.held().events.len(),
        data.len()
    );
}

#[tokio::test(start_paused = true)]
async fn half_frames_together_stay_within_the_budget() {
    let mut world = World::new("[limits]\nmemory = '1MiB'\nevent = '64KiB'\n[window]\nbytes = '512KiB'\n");
    let mut all = Vec::new();
    for _ in 0..30 {
        let (client, mut upstream) = world.open("/e").await;
        upstream.send(format!("data: {}", "x".repeat(60_000))).await;
        all.push((client, upstream));
    }
    let held = world.app.registry().held();
    assert!(held <= 1 << 20, "{held} bytes are held");
}

/// HTTP/1.0, proxies' form of the target, and a `Host` in capitals mean the same stream where the host is the same.
#[tokio::test(start_paused = true)]
async fn the_host_is_the_same_however_it_is_told() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    let rest = format!("Accept: text/event-stream\nCache-Control: no-cache\nLast-Event-ID: {id}");
    for head in ["GET /e HTTP/1.1\nHost: H", "GET http://h/e HTTP/1.1\nHost: h", "GET http://H/e HTTP/1.0"] {
        let mut back = world.send(&format!("{head}\n{rest}")).await;
        back.read().await;
        assert_eq!(back.resume(), "resumed; missed=0", "{head}");
    }
}

/// A client that comes between the loss and the cut of the others is served by the next generation.
#[tokio::test(start_paused = true)]
async fn whoever_comes_while_a_generation_ends_is_served_by_the_next() {
    let mut world = World::new(OPEN);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    let mut back = world.send(&event_source("/e", &id)).await;
    drop(upstream);
    settle().await;
    let mut late = world.send(&event_source("/e", &id)).await;
    back.read().await;
    assert_eq!(back.resume(), "resumed; missed=0");
    let mut next = world.origin.accept().await;
    next.begin().await;
    next.events(["b"]).await;
    assert_eq!((late.data().await, late.resume()), (vec!["b".into()], "gap; reason=generation"));
}

/// An upstream that has forgotten its ids refuses the one that the pump sends: that is no answer for a client.
#[tokio::test(start_paused = true)]
async fn an_id_that_the_upstream_has_forgotten_is_not_sent_again() {
    let mut world = World::new(OPEN);
    let (client, mut upstream) = world.open("/e").await;
    upstream.send("id: 41\ndata: a\n\n").await;
    world.origin.set_away(true);
    drop(upstream);
    settle().await;
    let mut back = world.send(&event_source("/e", "")).await;
    settle().await;
    world.origin.set_away(false);
    let mut asked = world.origin.accept().await;
    assert_eq!(asked.header("last-event-id"), Some("41"));
    asked.refuse(400).await;
    asked.again().await;
    assert_eq!(asked.header("last-event-id"), None);
    asked.begin().await;
    asked.events(["b"]).await;
    assert_eq!((back.data().await, back.status), (vec!["b".into()], 200));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_pinned_stream_outlives_ids_that_the_upstream_has_forgotten() {
    let mut world = World::new(&format!("{OPEN}pin = true\n"));
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send("id: 41\ndata: a\n\n").await;
    drop(upstream);
    let mut asked = world.origin.accept().await;
    assert_eq!(asked.header("last-event-id"), Some("41"));
    asked.refuse(400).await;
    asked.again().await;
    assert_eq!(asked.header("last-event-id"), None);
}
