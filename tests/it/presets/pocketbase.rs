//! PocketBase: what a client subscribed to belongs to its connection, so that it must find that again.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use tokio::time::sleep;

use crate::support::world::{Client, Exchange, World, event_source, settle};

const PRESET: &str = "[[route]]\npreset = 'pocketbase'\n";
const PATH: &str = "/api/realtime";
const NAME: &str = "L1Ud2CLXVGpa2nRP5cG6ki9yWzMZ6sIGB9FGnMhd";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// An event as the server writes it: each has the client's name for an id.
fn event(kind: &str, data: &str) -> String {
    format!("id:{NAME}\nevent:{kind}\ndata:{data}\n\n")
}

fn connect() -> String {
    event("PB_CONNECT", &format!("{{\"clientId\":\"{NAME}\"}}"))
}

fn record(n: u32) -> String {
    format!("{{\"action\":\"update\",\"record\":{{\"id\":\"r{n}\"}}}}")
}

/// A client that has its name.
async fn connected() -> (World, Client, Exchange) {
    let mut world = World::new(PRESET);
    world.peer = Some(HERE);
    let (mut client, mut upstream) = world.open(PATH).await;
    upstream.send(connect()).await;
    client.read().await;
    (world, client, upstream)
}

/// Comes back with what it holds, from where it was; the server is not asked for a stream.
async fn back(world: &mut World, id: &str) -> Client {
    let dials = world.origin.dials();
    let client = world.event_source(PATH, id).await;
    assert_eq!(client.status, 200, "{}", client.head);
    assert_eq!(world.origin.dials(), dials);
    client
}

#[tokio::test(start_paused = true)]
async fn a_page_finds_its_name_in_the_id_of_the_first_event_and_places_in_the_others() {
    let (_world, mut client, mut upstream) = connected().await;
    upstream.send(event("posts/*", &record(1)) + &event("posts/*", &record(2))).await;
    assert_eq!(client.data().await[1..], [record(1), record(2)]);
    let events = client.held().events;
    assert_eq!((&*events[0].kind, &*events[0].id), ("PB_CONNECT", NAME));
    for (event, seq) in events[1..].iter().zip(["-2", "-3"]) {
        assert!(event.id.starts_with('r') && event.id.ends_with(seq), "{}", event.id);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_has_its_subscriptions_and_sees_no_second_connect() {
    let (mut world, mut client, mut upstream) = connected().await;
    let subscribe =
        format!("POST {PATH} HTTP/1.1\nHost: h\nContent-Type: application/json\nContent-Length: 2");
    let mut subscribing = world.send(&subscribe).await;
    subscribing.write(b"{}").await;
    let mut asked = world.origin.accept().await;
    asked.raw("HTTP/1.1 204 No Content\r\n\r\n").await;
    subscribing.read().await;
    assert_eq!(subscribing.status, 204);
    upstream.send(event("posts/*", &record(1))).await;
    let id = client.id().await;
    drop(client);
    settle().await;
    upstream.send(event("posts/*", &record(2))).await;
    let mut client = back(&mut world, &id).await;
    assert_eq!((client.data().await, client.resume()), (vec![record(2)], "resumed; missed=1"));
    upstream.send(event("posts/*", &record(3))).await;
    assert_eq!(client.data().await, [record(2), record(3)]);
    assert_eq!(client.text().matches("PB_CONNECT").count(), 0);
}

/// The last id that it saw is its name.
#[tokio::test(start_paused = true)]
async fn who_is_cut_right_behind_the_connect_is_found_by_its_name() {
    let (mut world, mut client, mut upstream) = connected().await;
    assert_eq!(client.id().await, NAME);
    drop(client);
    settle().await;
    upstream.send(event("posts/*", &record(1))).await;
    let mut client = back(&mut world, NAME).await;
    assert_eq!((client.data().await, client.resume()), (vec![record(1)], "resumed; missed=1"));
    assert!(client.id().await.ends_with("-2"));
}

/// From an unknown address nobody is found by a name, but by a place.
#[tokio::test(start_paused = true)]
async fn who_comes_from_nowhere_is_waited_for_all_the_same() {
    let mut world = World::new(PRESET);
    let (mut client, mut upstream) = world.open(PATH).await;
    upstream.send(connect() + &event("posts/*", &record(1))).await;
    let id = client.id().await;
    drop(client);
    sleep(Duration::from_secs(60)).await;
    upstream.send(event("posts/*", &record(2))).await;
    let mut client = back(&mut world, &id).await;
    assert_eq!((client.data().await, client.resume()), (vec![record(2)], "resumed; missed=1"));
}

#[tokio::test(start_paused = true)]
async fn a_name_from_elsewhere_finds_nothing_and_the_server_connects_it_anew() {
    let (mut world, client, _upstream) = connected().await;
    drop(client);
    settle().await;
    world.peer = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));
    let mut client = world.send(&event_source(PATH, NAME)).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    asked.send(connect().replace(NAME, "another")).await;
    assert_eq!(client.id().await, "another");
    assert_eq!((client.status, client.resume()), (200, "foreign"));
}

/// It was cut before it had its name, and gets it now.
#[tokio::test(start_paused = true)]
async fn who_is_cut_before_the_connect_gets_it() {
    let mut world = World::new(PRESET);
    let (mut client, mut upstream) = world.open(PATH).await;
    let prime = client.id().await;
    drop(client);
    settle().await;
    upstream.send(connect()).await;
    let mut client = back(&mut world, &prime).await;
    assert_eq!(client.id().await, NAME);
    assert_eq!(client.resume(), "resumed; missed=1");
    assert_eq!(client.held().events[0].kind, "PB_CONNECT");
}
