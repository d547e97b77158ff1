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
