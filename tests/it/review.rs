//! What a reviewer broke once.

use std::time::Duration;

use tokio::time::sleep;

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
