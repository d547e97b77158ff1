//! Memory, lingering connections, streams: bounded by configuration, whatever clients and upstreams do.

mod heads;
mod overused;
mod told;

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Ended, World, event_source, settle};

#[tokio::test(start_paused = true)]
async fn ten_thousand_clients_that_open_and_close_leave_so_many_connections_and_take_nobodys_window() {
    let mut world = World::new("[limits]\nlingering = 50\n");
    world.pipe = 4096;
    let (mut faithful, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = faithful.id().await;
    let mut kept = Vec::new();
    for _ in 0..10_000 {
        let (client, exchange) = world.open("/e").await;
        drop(client);
        kept.push(exchange);
        if kept.len() > 200 {
            let mut oldest = kept.remove(0);
            assert!(oldest.is_closed().await, "the one alone longest ends first");
        }
    }
    settle().await;
    let mut open = 0;
    for exchange in &mut kept {
        open += usize::from(!exchange.is_closed().await);
    }
    assert_eq!(open, 50);
    assert_eq!(world.metric("respool_lingering "), 50);
    upstream.events(["b"]).await;
    assert_eq!(faithful.data().await, ["a", "b"], "a client that is there keeps its stream");
    drop(faithful);
    upstream.events(["c"]).await;
    let mut back = world.event_source("/e", &id).await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".into(), "c".into()], "resumed; missed=2"));
}

const SMALL: &str =
    "[limits]\nmemory = '1MiB'\nevent = '64KiB'\n[window]\nbytes = '512KiB'\nevents = 100000\n";

#[tokio::test(start_paused = true)]
async fn all_windows_together_stay_within_the_budget_and_the_greediest_gives_way() {
    let mut world = World::new(SMALL);
    let mut greedy = Vec::new();
    let (modest, mut upstream) = world.open("/modest").await;
    upstream.events(["small"]).await;
    let mut modest = modest;
    let id = modest.id().await;
    drop(modest);
    for _ in 0..6 {
        let (client, mut exchange) = world.open("/greedy").await;
        drop(client);
        for _ in 0..40 {
            exchange.events(["x".repeat(10_000)]).await;
            assert!(world.app.registry().held() <= 1 << 20, "{}", world.app.registry().held());
        }
        greedy.push(exchange);
    }
    let mut back = world.event_source("/modest", &id).await;
    assert_eq!(back.resume(), "resumed; missed=0", "of all windows the key that holds most gives way first");
    upstream.events(["b"]).await;
    assert_eq!(back.data().await, ["b"]);
}

/// One window of a key may be larger than each of another key's, and all of those together larger still.
#[tokio::test(start_paused = true)]
async fn case_9_what_counts_is_what_a_key_holds_not_what_one_window_holds() {
    let mut world = World::new(SMALL);
    let (mut client, mut upstream) = world.open("/modest").await;
    let first = client.id().await;
    for _ in 0..20 {
        upstream.events(["x".repeat(10_000)]).await;
    }
    drop(client);
    let mut greedy = Vec::new();
    for _ in 0..20 {
        let (client, mut exchange) = world.open("/greedy").await;
        drop(client);
        for _ in 0..10 {
            exchange.events(["x".repeat(10_000)]).await;
        }
        greedy.push(exchange);
    }
    assert_eq!(world.event_source("/modest", &first).await.resume(), "resumed; missed=20");
}

#[tokio::test(start_paused = true)]
async fn case_9_those_without_clients_give_way_before_others() {
    let mut world = World::new(SMALL);
    let (mut listener, mut upstream) = world.open("/listened").await;
    let first = listener.id().await;
    for _ in 0..40 {
        upstream.events(["x".repeat(10_000)]).await;
        listener.read().await;
    }
    let mut alone = Vec::new();
    for n in 0..20 {
        let (client, mut exchange) = world.open(&format!("/alone/{n}")).await;
        drop(client);
        for _ in 0..10 {
            exchange.events(["x".repeat(10_000)]).await;
        }
        alone.push(exchange);
    }
    assert_eq!(world.event_source("/listened", &first).await.resume(), "resumed; missed=40");
}

#[tokio::test(start_paused = true)]
async fn half_frames_are_charged_too_and_given_back() {
    let mut world = World::new(SMALL);
    let (client, mut upstream) = world.open("/e").await;
    let before = world.app.registry().held();
    upstream.send(format!("data: {}", "x".repeat(50_000))).await;
    assert!(world.app.registry().held() >= before + 50_000);
    upstream.send("\n\n").await;
    drop((client, upstream));
    sleep(Duration::from_secs(300)).await;
    assert_eq!(world.app.registry().held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_unread_part_had_to_give_way_is_cut_and_finds_a_gap() {
    let mut world = World::new(&format!(
        "{SMALL}[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\nwindow = {{ events = 5 }}\n"
    ));
    let (mut reader, mut upstream) = world.open("/e").await;
    world.pipe = 3000;
    let mut slow = world.send(&event_source("/e", "")).await;
    for _ in 0..200 {
        upstream.events(["x".repeat(10_000)]).await;
        reader.read().await;
    }
    assert_eq!((reader.held().events.len(), reader.end), (200, None));
    slow.read().await;
    assert_eq!(slow.end, Some(Ended::Cut));
    assert_eq!(world.metric("respool_clients_cut_total{route=\"/e\",reason=\"behind\"}"), 1);
    let id = slow.id().await;
    world.pipe = 1 << 20;
    assert_eq!(world.event_source("/e", &id).await.resume(), "gap; reason=expired");
}

#[tokio::test(start_paused = true)]
async fn newest_events_and_half_frames_are_within_the_budget_too() {
    let mut world = World::new("[limits]\nmemory = '1MiB'\nevent = '512KiB'\n[window]\nbytes = '512KiB'\n");
    let mut all = Vec::new();
    for n in 0..20 {
        let (mut client, mut upstream) = world.open("/e").await;
        let half = n % 2 == 0;
        upstream.send(format!("data: {}{}", "x".repeat(300_000), if half { "" } else { "\n\n" })).await;
        client.read().await;
        all.push((client, upstream));
        let held = world.app.registry().held();
        assert!(held <= 1 << 20, "{held} bytes for {n} streams");
    }
    let (mut client, mut upstream) = world.open("/other").await;
    upstream.events(["a"]).await;
    assert_eq!(
        (client.data().await, client.end),
        (vec!["a".to_owned()], None),
        "and there is room for others"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_of_a_control_frame_is_charged_too_and_given_back() {
    for (line, ids) in [("retry", "keep"), ("id", "replace"), ("id", "hidden")] {
        let mut world = World::new(&format!("[[route]]\npath = '/e'\nids = '{ids}'\n"));
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send(format!("{line}: {}\n\n", "1".repeat(100_000))).await;
        client.read().await;
        drop(client);
        settle().await;
        assert!(world.app.registry().held() >= 100_000, "{line} {ids}: {}", world.app.registry().held());
        drop(upstream);
        sleep(Duration::from_secs(300)).await;
        assert_eq!(world.app.registry().held(), 0, "{line} {ids}");
    }
}

/// Its stream has ended properly, so that nobody finds it any more but who reads it.
#[tokio::test(start_paused = true)]
async fn what_slow_clients_have_coming_of_a_generation_that_is_over_gives_way_too() {
    let mut world = World::new(
        "limits = { memory = '256KiB', event = '64KiB' }\nwindow = { bytes = '200KiB' }\n\
         [[route]]\npath = '/e'\nmode = 'shared'\nkey = ['query:n']\nadmit = 'none'\n",
    );
    let event = format!("data: {}\n\n", "x".repeat(10_000));
    let mut slow = Vec::new();
    for n in 0..2 {
        world.pipe = 512;
        let mut client = world.send(&event_source(&format!("/e?n={n}"), "")).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        client.read_some(400).await;
        upstream.send(event.repeat(10)).await;
        upstream.finish().await;
        drop(upstream);
        slow.push(client);
    }
    assert!(world.app.registry().held() > 200_000);
    world.pipe = 1 << 20;
    let mut fast = world.send(&event_source("/e?n=fast", "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    for _ in 0..8 {
        upstream.send(&event).await;
    }
    assert_eq!((fast.data().await.len(), fast.end), (8, None));
    assert!(world.app.registry().held() <= 256 << 10);
    let back = world.event_source("/e?n=fast", &fast.held().events[0].id).await;
    assert_eq!(back.resume(), "resumed; missed=7", "its own key holds least");
}
