//! What a server says to each new connection of a shared stream: passed to a new client, kept from one that comes back.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::{
    reader,
    world::{Client, Ended, Exchange, World, event_source, settle},
};

const ASKED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nhello = ['hi*']\n";

fn hello(text: &str) -> String {
    format!("event: hi\ndata: {text}\n\n")
}

/// A client that is admitted on a connection that says hello.
async fn admit(world: &mut World, id: &str, said: &str) -> (Client, Exchange) {
    let mut client = world.send(&event_source("/e", id)).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    asked.send(said).await;
    client.read().await;
    (client, asked)
}

/// A stream that is live, its first client with one event behind the hello.
async fn live(config: &str) -> (World, Client, Exchange) {
    let mut world = World::new(config);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send(hello("for the first") + "data: ").await;
    upstream.send("a\n\n").await;
    client.read().await;
    (world, client, upstream)
}

#[tokio::test(start_paused = true)]
async fn each_new_client_gets_its_own_hello_with_its_fence_and_no_prime() {
    for config in [ASKED.to_owned(), format!("{ASKED}admit = 'none'\n")] {
        let (mut world, first, mut upstream) = live(&config).await;
        assert_eq!(first.held().data(), ["for the first", "a"]);
        let fence = &first.held().events[0].id;
        assert!(fence.ends_with("-0"), "{fence}");
        assert_eq!(first.text().matches("-0\n").count(), 1, "the hello is the prime: {}", first.text());
        let (mut second, mut asked) =
            admit(&mut world, "", &(hello("for the second") + "data: not its business\n\n")).await;
        assert!(asked.is_closed().await);
        upstream.events(["b"]).await;
        assert_eq!(second.data().await, ["for the second", "b"]);
        assert_eq!(second.held().events[0].id, fence.replace("-0", "-1"));
        assert_eq!((second.resume(), second.text().matches("id: ").count()), ("fresh", 2));
    }
}

#[tokio::test(start_paused = true)]
async fn pitfall_a_resumed_client_gets_no_hello_and_it_is_never_replayed() {
    let (mut world, mut first, mut upstream) = live(ASKED).await;
    let fence = first.held().events[0].id.clone();
    let id = first.id().await;
    drop(first);
    upstream.events(["b"]).await;
    let (mut back, mut asked) = admit(&mut world, &id, &hello("not for it")).await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
    assert!(asked.is_closed().await, "its hello is not waited for");
    let (mut from_the_hello, _) = admit(&mut world, &fence, &hello("not for it")).await;
    assert_eq!(from_the_hello.data().await, ["a", "b"]);
    assert_eq!(from_the_hello.resume(), "resumed; missed=2");
}

#[tokio::test(start_paused = true)]
async fn a_gapped_client_gets_exactly_one_with_the_fence() {
    let config = format!("{ASKED}window = {{ events = 1 }}\n");
    let (mut world, mut first, mut upstream) = live(&config).await;
    let old = first.id().await;
    upstream.events(["b", "c"]).await;
    for (id, reason) in [
        (old.clone(), "expired"),
        (old.replace("-1", "-99"), "ahead"),
        ("r0000000000000-1".into(), "generation"),
    ] {
        let (mut gapped, _) = admit(&mut world, &id, &hello("again")).await;
        assert_eq!(gapped.data().await, ["again"]);
        assert_eq!(gapped.resume(), format!("gap; reason={reason}"));
        assert_eq!(gapped.id().await, old.replace("-1", "-3"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_may_have_several_events_and_comments_between() {
    let config = format!("{ASKED}hello_events = 2\n");
    let (mut world, _first, mut upstream) = {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream
            .send(
                ": welcome\n\n".to_owned() + &hello("1") + ": and\n\n" + "event: hi2\ndata: 2\n\ndata: a\n\n",
            )
            .await;
        assert_eq!(client.data().await, ["1", "2", "a"]);
        let events = client.held().events;
        assert_eq!(events[0].id, "", "only the last carries the fence");
        assert!(events[1].id.ends_with("-0") && events[2].id.ends_with("-1"), "{events:?}");
        assert!(
            client.text().starts_with(": welcome\n\nevent: hi\ndata: 1\n\n: and\n\n"),
            "{}",
            client.text()
        );
        (world, client, upstream)
    };
    let (mut second, mut asked) = admit(&mut world, "", &hello("1")).await;
    upstream.events(["b"]).await;
    assert_eq!(second.data().await, [""; 0], "its events wait for the rest of its hello");
    asked.send(hello("2")).await;
    assert_eq!(second.data().await, ["1", "2", "b"]);
}

/// Cut in the middle of its hello, a client that has an id of the upstream's by then goes on from the then tail, and one
/// that has none is a new one.
#[tokio::test(start_paused = true)]
async fn case_15_an_id_of_the_upstreams_in_a_hello_means_the_then_tail() {
    let mut world = World::new(&format!("{ASKED}hello_events = 2\n"));
    let (mut first, mut upstream) = world.open("/e").await;
    // As servers do that count anew on each connection; and in what is no event, too.
    let said = ": c\n\nevent: hi\nid: 0\ndata: 1\n\nid: 7\n\nevent: hi\ndata: 2\n\n";
    upstream.send(format!("{said}id: 1\ndata: a\n\n")).await;
    first.read().await;
    let (mut second, _) = admit(&mut world, "", said).await;
    upstream.send("id: 2\ndata: b\n\n").await;
    second.read().await;
    let fence = second.held().events[1].id.clone();
    let text = second.text();
    let frames =
        format!("data: 1\nid: 0\nid: {fence}\n\nid: 7\nid: {fence}\n\nevent: hi\ndata: 2\nid: {fence}\n\n");
    assert!(fence.ends_with("-1") && text.contains(&frames), "{text}");
    drop(second);
    for cut in 0..text.find("id: 2\n").unwrap() {
        let id = reader::read(&text.as_bytes()[..cut], "").id;
        let (mut back, _) = admit(&mut world, &id, said).await;
        let (data, resume) = (back.data().await, back.resume().to_owned());
        if cut < text.find("data: 1").unwrap() + "data: 1\nid: 0\nid: \n\n".len() + fence.len() {
            assert_eq!((data, &*resume), (vec!["1".to_owned(), "2".to_owned()], "fresh"), "cut at {cut}");
        } else {
            assert_eq!((data, &*resume), (vec!["b".to_owned()], "resumed; missed=1"), "cut at {cut}");
        }
    }
}

/// What other connections say to begin with takes no id from the stream's own events.
#[tokio::test(start_paused = true)]
async fn an_id_of_a_hello_that_an_event_has_too_means_the_event() {
    let (mut world, mut first, mut upstream) = live(ASKED).await;
    let (_second, _) = admit(&mut world, "", "event: hi\nid: 2\ndata: snapshot\n\n").await;
    upstream.send("id: 2\ndata: b\n\n").await;
    assert_eq!(first.id().await, "2");
    upstream.send("id: 3\ndata: c\n\n").await;
    let (mut back, _) = admit(&mut world, "2", "").await;
    assert_eq!((back.data().await, back.resume()), (vec!["c".to_owned()], "resumed; missed=1"));
}

#[tokio::test(start_paused = true)]
async fn case_15_an_id_behind_the_last_hello_that_came_gives_the_fence_back() {
    let mut world = World::new(&format!("{ASKED}hello_events = 2\nhello_wait = '1s'\n"));
    let (_first, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let (mut second, _asked) = admit(&mut world, "", &(hello("1") + "id: behind\n\nretry: 5\n\n")).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(second.data().await, ["1"]);
    let id = second.id().await;
    assert!(id.starts_with('r') && second.text().contains(&format!("id: behind\nid: {id}\n\nretry: 5\n\n")));
    drop(second);
    upstream.events(["b"]).await;
    let (mut back, _) = admit(&mut world, &id, "").await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
}

#[tokio::test(start_paused = true)]
async fn case_15_ids_of_control_frames_in_a_hello_are_removed_where_they_are_no_cursors() {
    for ids in ["replace", "hidden"] {
        let mut world = World::new(&format!("{ASKED}ids = '{ids}'\nhello_events = 2\n"));
        let said = format!("id: x\n\n{}id: y\n: c\n\n{}", hello("1"), hello("2"));
        let (mut first, mut upstream) = world.open("/e").await;
        upstream.send(said.clone() + "data: a\n\n").await;
        assert_eq!(first.data().await.iter().filter(|data| !data.is_empty()).count(), 3);
        let (second, _) = admit(&mut world, "", &said).await;
        for client in [first, second] {
            let text = client.text();
            assert!(!text.contains("id: x") && !text.contains("id: y") && text.contains(": c\n"), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_never_comes_is_waited_for_as_long_as_hello_wait_says() {
    let (mut world, _first, mut upstream) = live(&format!("{ASKED}hello_wait = '3s'\n")).await;
    let mut second = world.send(&event_source("/e", "")).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    second.read().await;
    assert_eq!(second.status, 200, "the head waits for nothing");
    upstream.events(["b"]).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(second.data().await, [""; 0]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(second.data().await, ["b"]);
    assert!(second.text().starts_with("id: r"), "a prime in its place: {}", second.text());
    assert!(asked.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn case_3_a_hello_that_comes_late_on_the_pumps_connection_is_an_event_like_another() {
    let (mut world, mut first, mut upstream) = live(ASKED).await;
    let id = first.id().await;
    upstream.send(hello("in the middle")).await;
    assert_eq!(first.data().await, ["for the first", "a", "in the middle"]);
    let (mut back, _) = admit(&mut world, &id, "").await;
    assert_eq!(back.data().await, ["in the middle"]);
}

#[tokio::test(start_paused = true)]
async fn case_3_those_who_wait_for_the_opening_wait_for_its_hello_too() {
    let mut world = World::new(ASKED);
    let mut first = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    let mut second = world.send(&event_source("/e", "")).await;
    upstream.begin().await;
    first.read().await;
    assert_eq!(first.status, 200);
    assert!(world.origin.is_quiet().await, "the second one is not admitted yet");
    upstream.send(hello("for the first") + "data: a\n\n").await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    asked.send(hello("for the second")).await;
    assert_eq!(first.data().await, ["for the first", "a"]);
    assert_eq!(second.data().await, ["for the second", "a"], "from the first position on");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_ends_or_is_lost_in_its_hello_is_one_that_does() {
    for lost in [false, true] {
        let mut world = World::new(ASKED);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("event: hi\ndata: ha").await;
        if lost {
            drop(upstream);
        } else {
            upstream.finish().await;
        }
        sleep(Duration::from_secs(2)).await;
        client.read().await;
        assert_eq!(client.end, Some(if lost { Ended::Cut } else { Ended::Properly }));
        assert_eq!(client.held().data(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_type_in_the_data_says_hello_too_and_a_pin_keeps_its_own_to_itself() {
    let mut world =
        World::new(&format!("{}type = '/type'\npin = true\n", ASKED.replace("hi*", "server.connected")));
    let connected = "data: {\"type\":\"server.connected\"}\n\n";
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send(connected.to_owned() + "data: {\"type\":\"x\"}\n\n").await;
    let (mut client, _) = admit(&mut world, "", connected).await;
    upstream.send("data: {\"type\":\"y\"}\n\n").await;
    assert_eq!(client.data().await, ["{\"type\":\"server.connected\"}", "{\"type\":\"y\"}"]);
    settle().await;
    let (mut back, _) = admit(&mut world, &client.held().events[0].id, connected).await;
    assert_eq!(back.data().await, ["{\"type\":\"y\"}"]);
}

#[tokio::test(start_paused = true)]
async fn a_hello_has_no_effect_on_private_streams() {
    let mut world = World::new("[[route]]\npath = '/e'\nhello = ['hi*']\n");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send(hello("1")).await;
    let id = client.id().await;
    upstream.send(hello("2") + "data: a\n\n").await;
    assert_eq!(client.data().await, ["1", "2", "a"], "it waits for nothing");
    let back = world.event_source("/e", &id).await;
    assert_eq!((back.held().data(), back.resume()), (vec!["2", "a"], "resumed; missed=2"));
}

#[tokio::test(start_paused = true)]
async fn a_hello_comes_before_all_other_rules() {
    for rule in ["reset = ['hi*']", "ephemeral = ['hi*']", "retain = ['message']"] {
        let (mut world, first, _upstream) = live(&format!("{ASKED}{rule}\n")).await;
        let events = first.held().events;
        assert_eq!(events[0].data, "for the first");
        assert_eq!(
            events[1].id,
            events[0].id.replace("-0", "-1"),
            "the fence of this very generation: {rule}"
        );
        let (mut second, _) = admit(&mut world, "", &hello("for the second")).await;
        assert_eq!(
            (second.data().await, second.id().await),
            (vec!["for the second".to_owned()], events[1].id.clone())
        );
    }
}

/// ... which the fence behind them says; an event is given ours all the same.
#[tokio::test(start_paused = true)]
async fn case_15_ids_of_a_hello_stay_and_mean_the_then_tail() {
    let said = "id: theirs\nevent: hi\ndata: 1\n\n";
    let mut world = World::new(ASKED);
    let (mut first, mut upstream) = world.open("/e").await;
    upstream.send(said.to_owned() + "data: a\n\n").await;
    let tail = first.id().await;
    assert!(tail.ends_with("-1"), "{tail}");
    let (mut second, _) = admit(&mut world, "", said).await;
    assert_eq!(second.text(), format!("event: hi\ndata: 1\nid: theirs\nid: {tail}\n\n"));
    upstream.events(["b"]).await;
    assert_eq!((first.data().await.len(), second.data().await.len()), (3, 2));
    let (mut back, _) = admit(&mut world, &tail, "").await;
    assert_eq!(back.data().await, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_cuts_who_waits_for_a_hello() {
    let mut world = World::new(
        "[[route]]\npath = '/e'\nmode = 'shared'\nhello = ['hi']\nhello_wait = '1m'\nheartbeat = 'none'\n",
    );
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send("event: hi\ndata: 1\n\ndata: a\n\n").await;
    let mut waiting = world.send(&event_source("/e", "")).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    waiting.read().await;
    assert_eq!((waiting.status, waiting.end), (200, None));
    world.app.drain().begin();
    tokio::time::sleep(world.app.drain().time()).await;
    client.read().await;
    waiting.read().await;
    assert_eq!((client.end, waiting.end), (Some(Ended::Cut), Some(Ended::Cut)));
    assert_eq!(waiting.text(), "");
}

#[tokio::test(start_paused = true)]
async fn one_that_has_not_come_within_what_one_event_may_have_is_not_waited_for() {
    for pinned in [true, false] {
        let mut world = World::new(&format!("limits = {{ event = '4KiB' }}\n{ASKED}pin = {pinned}\n"));
        let comments = ": x\n".repeat(2000);
        if pinned {
            let mut upstream = world.origin.accept().await;
            upstream.begin().await;
            upstream.send(hello("the pin's")).await;
            let (client, mut asked) = admit(&mut world, "", &comments).await;
            assert!(asked.is_closed().await);
            assert!(client.text().starts_with("id: "), "it is primed: {}", client.text());
        } else {
            let (mut client, mut upstream) = world.open("/e").await;
            upstream.send(&comments).await;
            client.read().await;
            assert!(client.text().ends_with(&comments), "nothing is lost");
        }
    }
}
