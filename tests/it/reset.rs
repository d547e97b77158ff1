//! An event after which nothing from before counts: a new run of the same stream, on the same connection.

use std::time::Duration;

use respool::id::Position;
use tokio::time::sleep;

use crate::support::world::{Client, Ended, Exchange, World, event_source, settle};

const RESET: &str = "event: gone\ndata: reset\n\n";
const BOTH: &str = "reset = ['gone*']";

/// Both kinds of stream, with these lines in their route.
fn kinds(lines: &str) -> [String; 2] {
    ["", "mode = 'shared'\nkey = ['path']\nadmit = 'none'\n"]
        .map(|mode| format!("[[route]]\npath = '/e'\n{mode}{lines}\n"))
}

fn position(id: &str) -> Position {
    Position::parse(id.as_bytes()).unwrap_or_else(|| panic!("{id} is none of ours"))
}

/// A client with one event, on a stream that goes on, and that event's id.
async fn live(config: &str) -> (World, Client, Exchange, String) {
    let mut world = World::new(config);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    (world, client, upstream, id)
}

/// Comes back with an id that is told to be a gap and served as a new client: on a shared stream from where it is, on
/// a private one by a connection of its own, of which this is what it gets.
async fn gapped(world: &mut World, id: &str) -> (Client, Option<Exchange>) {
    let mut client = world.send(&event_source("/e", id)).await;
    settle().await;
    let mut asked = world.origin.waiting().await;
    if let Some(asked) = &mut asked {
        assert_eq!(asked.header("last-event-id"), None, "ids that we made never reach the upstream");
        asked.begin().await;
    }
    client.read().await;
    assert_eq!((client.status, client.resume()), (200, "gap; reason=generation"));
    (client, asked)
}

#[tokio::test(start_paused = true)]
async fn who_is_there_gets_what_it_had_coming_then_the_reset_once_with_the_new_first_position() {
    for config in kinds(BOTH) {
        let (world, mut client, mut upstream, id) = live(&config).await;
        upstream.send(format!("data: b\n\n: c\n\n{RESET}data: c\n\ndata: d\n\n")).await;
        assert_eq!(client.data().await, ["a", "b", "reset", "c", "d"], "{config}");
        let at: Vec<Position> = client.held().events.iter().map(|event| position(&event.id)).collect();
        assert_eq!(at.iter().map(|at| at.seq).collect::<Vec<_>>(), [1, 2, 0, 1, 2]);
        assert_eq!((at[0], at[1].generation), (position(&id), at[0].generation));
        assert!(at[2..].iter().all(|after| after.generation == at[2].generation));
        assert!(at[2].generation > at[0].generation, "later runs sort after earlier ones");
        assert_eq!(at[2].generation.name() == at[0].generation.name(), !config.contains("shared"));
        assert_eq!(client.text().matches("gone").count(), 1);
        assert_eq!(world.metric("respool_resets_total{route=\"/e\"}"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_from_the_reset_on_resumes_and_misses_nothing() {
    for config in kinds(BOTH) {
        let (mut world, mut client, mut upstream, _) = live(&config).await;
        upstream.send(RESET).await;
        let reset = client.id().await;
        let mut at_once = world.event_source("/e", &reset).await;
        assert_eq!(at_once.resume(), "resumed; missed=0", "{config}");
        drop(client);
        upstream.events(["b", "c"]).await;
        assert_eq!(at_once.data().await, ["b", "c"]);
        for (after, missed) in [(0, vec!["b", "c"]), (1, vec!["c"]), (2, vec![])] {
            let id = reset.replace("-0", &format!("-{after}"));
            let mut back = world.event_source("/e", &id).await;
            assert_eq!(back.data().await, missed);
            assert_eq!(back.resume(), format!("resumed; missed={}", missed.len()));
        }
        let (ahead, _) = {
            let mut client = world.send(&event_source("/e", &reset.replace("-0", "-3"))).await;
            settle().await;
            let mut asked = world.origin.waiting().await;
            if let Some(asked) = &mut asked {
                asked.begin().await;
            }
            client.read().await;
            (client, asked)
        };
        assert_eq!(ahead.resume(), "gap; reason=ahead");
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_from_before_finds_a_gap_and_is_served_as_a_new_client() {
    for config in kinds(BOTH) {
        let (mut world, client, mut upstream, id) = live(&config).await;
        drop(client);
        settle().await;
        upstream.send(format!("data: b\n\n{RESET}data: c\n\n")).await;
        for old in [id.clone(), id.replace("-1", "-0"), id.replace("-1", "-2")] {
            let (mut back, mut own) = gapped(&mut world, &old).await;
            let prime = position(&back.id().await);
            assert_eq!(prime.seq, u64::from(own.is_none()), "its fence is in the new run: {config}");
            own.as_mut().unwrap_or(&mut upstream).events(["d"]).await;
            assert_eq!(back.data().await, ["d"], "neither the reset nor what came before it");
            assert_eq!(position(&back.id().await).generation, prime.generation);
            if own.is_none() {
                drop(back);
                upstream.send(RESET).await;
                upstream.events(["again"]).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_lingers_is_found_by_its_new_ids_and_not_by_its_old_ones() {
    let (mut world, mut client, mut upstream, old) = live(&kinds(BOTH)[0]).await;
    upstream.send(format!("{RESET}data: b\n\n{RESET}")).await;
    let new = client.id().await;
    drop(client);
    sleep(Duration::from_secs(60)).await;
    upstream.events(["c"]).await;
    let (_other, own) = gapped(&mut world, &old).await;
    assert!(own.is_some(), "a session of its own");
    let mut back = world.event_source("/e", &new).await;
    assert_eq!((back.data().await, back.resume()), (vec!["c".to_owned()], "resumed; missed=1"));
    assert_eq!(world.origin.dials(), 2);
    drop(back);
    sleep(Duration::from_secs(3 * 60)).await;
    let (_, own) = gapped(&mut world, &new).await;
    assert!(own.is_some(), "nobody came back in time");
}

#[tokio::test(start_paused = true)]
async fn two_resets_in_one_chunk_are_two_runs() {
    for config in kinds(BOTH) {
        let (mut world, mut client, mut upstream, _) = live(&config).await;
        upstream.send(format!("{RESET}data: b\n\n{RESET}{RESET}data: c\n\n")).await;
        assert_eq!(client.data().await, ["a", "reset", "b", "reset", "reset", "c"]);
        let events = client.held().events;
        for (at, event) in events.iter().enumerate().take(4) {
            let (mut back, _own) = gapped(&mut world, &event.id).await;
            assert_eq!(back.data().await, [""; 0], "event {at} of {config}");
        }
        let mut back = world.event_source("/e", &events[4].id).await;
        assert_eq!((back.data().await, back.resume()), (vec!["c".to_owned()], "resumed; missed=1"));
    }
}

/// A client that reads slowly is a cursor far behind, and a reset is no edge to it: not of events, bytes nor age.
#[tokio::test(start_paused = true)]
async fn a_slow_client_behind_a_reset_gets_all_of_it() {
    for config in kinds("reset = ['gone']\nwindow = { events = 2, age = '1s' }") {
        let mut world = World::new(&config);
        world.pipe = 2048;
        let mut client = world.send(&event_source("/e", "")).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        let mut sent = Vec::new();
        for n in 0..40 {
            let data = format!("{n:0>500}");
            upstream.burst(format!("data: {data}\n\n")).await;
            sent.push(data);
            if n % 9 == 5 {
                upstream.burst(RESET).await;
                sent.push("reset".into());
            }
        }
        settle().await;
        sleep(Duration::from_secs(3)).await;
        upstream.events(["end"]).await;
        sent.push("end".into());
        assert_eq!(client.data().await, sent, "{config}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_comes_before_ephemeral_and_retain_and_its_type_may_stand_in_the_data() {
    let rules = [
        "reset = 'gone'\nephemeral = ['gone']",
        "reset = 'gone'\nretain = ['message']",
        "type = '/type'\nreset = ['gone']\nretain = ['x']",
    ];
    for config in rules.iter().flat_map(|rules| kinds(rules)) {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("data: {\"type\":\"x\"}\n\n").await;
        let old = client.id().await;
        upstream.send("event: gone\ndata: {\"type\":\"gone\"}\n\n").await;
        assert_eq!(client.data().await.len(), 2);
        assert!(client.id().await.ends_with("-0"), "{config}");
        gapped(&mut world, &old).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_has_an_id_in_every_mode() {
    // The upstream's id of the first event and of the reset, the mode, and whether the reset's id is ours.
    for (first, reset, ids, is_ours) in [
        ("", "", "ids = 'keep'", true),
        ("", "", "ids = 'replace'", true),
        ("id: 7\n", "id: 8\n", "ids = 'replace'", true),
        ("id: 7\n", "id: 8\n", "ids = 'replace'\nkeep_ids_of = 'gone'", false),
        ("id: 7\n", "", "ids = 'replace'\nkeep_ids_of = 'gone'", true),
        ("id: 7\n", "id: 8\n", "ids = 'keep'", false),
        ("", "id: 8\n", "ids = 'keep'", false),
        // Where it has none of its own, the one from before it would not do.
        ("id: 7\n", "", "ids = 'keep'", true),
        ("id: 7\n", "id:\n", "ids = 'keep'", true),
    ] {
        for config in kinds(&format!("{BOTH}\n{ids}")) {
            let mut world = World::new(&config);
            let (mut client, mut upstream) = world.open("/e").await;
            upstream.send(format!("{first}data: a\n\n{reset}{RESET}")).await;
            assert_eq!(client.data().await, ["a", "reset"]);
            let id = client.id().await;
            let told = format!("{first:?} {reset:?} {config}");
            assert_eq!(id.starts_with('r') && id.ends_with("-0"), is_ours, "{id}: {told}");
            assert_eq!(client.text().matches("8\n").count(), usize::from(!is_ours), "{told}");
        }
    }
}

/// Where the upstream numbers its own events, ids from before are for it to judge; and none is a place here, even when
/// the upstream counts anew.
#[tokio::test(start_paused = true)]
async fn an_id_of_the_upstreams_from_before_does_not_resume_across_it() {
    for config in kinds(BOTH) {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        let counted: String = (1..=200).map(|n| format!("id: {n}\ndata: {n}\n\n")).collect();
        upstream.send(format!("{counted}id: lone\n\n")).await;
        upstream.send(format!("id: 0\n{RESET}{counted}id: new\ndata: c\n\n")).await;
        assert_eq!(client.data().await.len(), 402);
        for id in ["1", "77", "200", "lone"] {
            let mut back = world.send(&event_source("/e", id)).await;
            let mut own = world.origin.accept().await;
            assert_eq!(own.header("last-event-id"), Some(id), "the upstream may know it");
            own.begin().await;
            back.read().await;
            assert_eq!((back.resume(), back.held().data().len()), ("foreign", 0), "{id}: {config}");
        }
        if config.contains("shared") {
            for (id, missed) in [("0", 201), ("new", 0)] {
                let mut back = world.event_source("/e", id).await;
                assert_eq!(
                    (back.data().await.len(), back.resume()),
                    (missed, &*format!("resumed; missed={missed}"))
                );
            }
        }
    }
}

/// The fence of a client that was admitted while a reset came is the one that it had when it came: cut before it has
/// the reset, it is told of the gap.
#[tokio::test(start_paused = true)]
async fn a_prime_never_stands_behind_a_reset_that_the_client_has_not_had() {
    for hello in ["", "hello = 'hi'\n"] {
        let mut world = World::new(&format!(
            "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nreset = 'gone'\n{hello}"
        ));
        let said = if hello.is_empty() { "" } else { "event: hi\ndata: hi\n\n" };
        let (mut first, mut upstream) = world.open("/e").await;
        upstream.send(format!("{said}data: a\n\n")).await;
        let old = first.id().await;
        let mut late = world.send(&event_source("/e", "")).await;
        let mut asked = world.origin.accept().await;
        upstream.send(format!("data: b\n\n{RESET}data: c\n\n")).await;
        asked.begin().await;
        asked.send(said).await;
        late.read().await;
        let ids: Vec<String> =
            late.text().lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect();
        assert_eq!(ids[0], old, "{hello}");
        assert_eq!(ids.len(), 4);
        assert_eq!(late.held().data()[usize::from(!said.is_empty())..], ["b", "reset", "c"]);
        for (id, expected) in [
            (&ids[0], "gap; reason=generation"),
            (&ids[2], "resumed; missed=1"),
            (&ids[3], "resumed; missed=0"),
        ] {
            let mut back = world.send(&event_source("/e", id)).await;
            let mut asked = world.origin.accept().await;
            asked.begin().await;
            back.read().await;
            assert_eq!(back.resume(), expected, "{id} of {ids:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_right_behind_a_reset_starts_at_its_position() {
    let (world, _client, mut upstream, _) = live(&kinds(BOTH)[1]).await;
    upstream.send(RESET).await;
    let mut fresh = world.event_source("/e", "").await;
    assert_eq!((fresh.resume(), fresh.held().data().len()), ("fresh", 0));
    let prime = fresh.id().await;
    assert_eq!(position(&prime).seq, 0);
    drop(fresh);
    upstream.events(["b"]).await;
    let mut back = world.event_source("/e", &prime).await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
}

/// A session that is lost behind a reset serves its rest to an id from there, as it would without one.
#[tokio::test(start_paused = true)]
async fn a_loss_behind_a_reset_is_a_loss_like_another() {
    let (mut world, mut client, mut upstream, old) = live(&kinds(BOTH)[0]).await;
    upstream.send(RESET).await;
    let new = client.id().await;
    drop(client);
    upstream.events(["b"]).await;
    drop(upstream);
    let mut back = world.event_source("/e", &new).await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
    assert_eq!(back.end, Some(Ended::Cut));
    let (mut gapped, own) = gapped(&mut world, &old).await;
    own.unwrap().events(["new"]).await;
    assert_eq!(gapped.data().await, ["new"]);
}
