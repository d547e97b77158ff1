//! After how long clients are told to come back.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::sleep;

use crate::support::world::{World, event_source};

const SHARED: &str =
    "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\nretry = '3s'\n";

/// The time that a stream begins with, and what follows.
fn told(text: &str) -> (u64, String) {
    let rest = text.strip_prefix("retry: ").unwrap_or_else(|| panic!("no time at the start of {text:?}"));
    let (time, rest) = rest.split_once('\n').unwrap();
    (time.parse().unwrap(), rest.to_owned())
}

#[tokio::test(start_paused = true)]
async fn each_client_is_told_a_time_of_its_own_in_its_first_frame() {
    let mut world = World::new(SHARED);
    let (mut first, mut upstream) = world.open("/e").await;
    first.read().await;
    let (time, rest) = told(&first.text());
    assert!((3000..=4500).contains(&time), "{time}");
    assert!(rest.starts_with("id: r") && rest.ends_with("-0\n\n"), "the prime, in the same frame: {rest}");
    let mut times = BTreeSet::new();
    for _ in 0..50 {
        let client = world.event_source("/e", "").await;
        times.insert(told(&client.text()).0);
    }
    assert!(times.first() >= Some(&3000) && times.last() <= Some(&4500), "{times:?}");
    assert!(times.len() > 40 && times.last().unwrap() - times.first().unwrap() > 1000, "{times:?}");
    upstream.events(["a"]).await;
    upstream.events(["b"]).await;
    first.read().await;
    assert_eq!(first.text().matches("retry").count(), 1, "once: {}", first.text());
    let id = first.held().events[0].id.clone();
    let mut back = world.event_source("/e", &id).await;
    back.read().await;
    let text = back.text();
    let (time, rest) = told(&text);
    assert!((3000..=4500).contains(&time) && rest.starts_with("data: b\n"), "who resumes too: {text}");
}

#[tokio::test(start_paused = true)]
async fn pitfall_everybody_returns_at_once_but_the_upstream_knows_better() {
    let mut world = World::new(SHARED);
    let (mut first, mut upstream) = world.open("/e").await;
    upstream.send("retry: 7000\n\ndata: a\n\n").await;
    first.read().await;
    assert_eq!(first.held().retry, Some(7000), "the last one counts: {}", first.text());
    let mut second = world.event_source("/e", "").await;
    upstream.events(["b"]).await;
    second.read().await;
    assert_eq!(second.text().matches("retry: ").count(), 1, "{}", second.text());
    assert_eq!(second.held().retry, Some(7000));
}

#[tokio::test(start_paused = true)]
async fn the_time_is_never_a_frame_of_its_own() {
    let mut world = World::new(
        "[[route]]\npath = '/*'\nretry = '3s'\nprime = false\nheartbeat_shape = 'comment-frame'\n",
    );
    let (mut client, mut upstream) = world.open("/e").await;
    sleep(Duration::from_secs(16)).await;
    client.read().await;
    assert_eq!(client.text(), ":\n\n");
    upstream.send(": c\n").await;
    upstream.events(["a"]).await;
    client.read().await;
    let (_, rest) = told(&client.text()[3..]);
    assert!(rest.starts_with(": c\ndata: a\nid: r"), "{rest}");
    // A stream that starts with what would be taken for its start's mark is as the upstream sent it.
    let (mut client, mut upstream) = world.open("/bom").await;
    upstream.send("\u{feff}\u{feff}data: no field\n\ndata: a\n\n").await;
    assert_eq!(client.data().await, ["a"]);
    // By default nothing is said.
    let mut world = World::new("");
    let mut client = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    client.read().await;
    assert_eq!(client.held().retry, None);
}

#[tokio::test(start_paused = true)]
async fn who_is_told_of_a_gap_is_told_in_that_frame() {
    let mut world = World::new(&format!("{SHARED}gap_event = {{ event = 'gap', data = '{{reason}}' }}\n"));
    let (_first, mut upstream) = world.open("/e").await;
    let mut gapped = world.event_source("/e", "r0000000000000-1").await;
    upstream.events(["a"]).await;
    gapped.read().await;
    let text = gapped.text();
    assert!(told(&text).1.starts_with("event: gap\ndata: generation\n\nid: r"), "{text}");
    assert_eq!(gapped.held().data(), ["generation", "a"]);
}
