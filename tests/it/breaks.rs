//! A shared stream that loses its upstream: who is cut, who stays, and what they are told.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Ended, Exchange, World, event_source, settle};

const OPEN: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";
const HOLD: &str = "on_break = 'hold'\nhello = ['hi']\n";
const HELLO: &str = "event: hi\ndata: hello\n\n";

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// The upstream is lost, and away.
async fn lose(world: &World, upstream: Exchange) {
    world.origin.set_away(true);
    drop(upstream);
    settle().await;
}

/// The upstream is there again, and answers its first request with a stream.
async fn answer(world: &mut World) -> Exchange {
    world.origin.set_away(false);
    let mut again = world.origin.accept().await;
    again.begin().await;
    again
}

/// A client that left behind `a`, and missed `b`.
async fn left(world: &mut World) -> (String, Exchange) {
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    upstream.events(["b"]).await;
    (id, upstream)
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_pump_is_down_serves_resumes_from_its_window() {
    let mut world = World::new(OPEN);
    let (id, upstream) = left(&mut world).await;
    lose(&world, upstream).await;
    let mut back = world.event_source("/e", &id).await;
    assert_eq!((back.status, back.resume()), (200, "resumed; missed=1"));
    assert_eq!(back.data().await, ["b"]);
    seconds(1).await;
    assert_eq!((back.id().await, back.end), (back.held().id, Some(Ended::Cut)), "the generation is over");
    // Nothing is left for it here: it waits for the next generation.
    let last = back.id().await;
    let mut waits = world.send(&event_source("/e", &last)).await;
    let mut new = world.send(&event_source("/e", "")).await;
    seconds(2).await;
    waits.read().await;
    assert_eq!((waits.status, waits.end), (0, None), "held");
    let mut again = answer(&mut world).await;
    seconds(1).await;
    again.events(["c"]).await;
    assert_eq!((waits.data().await, waits.resume()), (vec!["c".to_owned()], "gap; reason=generation"));
    assert_eq!((new.data().await, new.resume()), (vec!["c".to_owned()], "fresh"));
}

/// Its client was on its way back when the upstream was lost, so that there was nobody to ask with.
#[tokio::test(start_paused = true)]
async fn what_was_missed_outlives_the_upstream_that_is_lost_while_nobody_is_there() {
    for lines in ["", HOLD, RESUMES] {
        let mut world = World::new(&format!("{OPEN}{lines}linger = '20s'\n"));
        let (id, upstream) = left(&mut world).await;
        lose(&world, upstream).await;
        seconds(9).await;
        let mut back = world.event_source("/e", &id).await;
        assert_eq!((back.status, back.resume()), (200, "resumed; missed=1"), "{lines:?}");
        assert_eq!(back.data().await, ["b"]);
        drop(back);
        seconds(20).await;
        assert_eq!(
            world.metric("respool_streams{kind=\"shared\"}"),
            0,
            "for as long as it lingers: {lines:?}"
        );
        assert_eq!(world.app.registry().held(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_to_a_stream_that_was_lost_alone_and_stays_is_asked_for() {
    let mut world = World::new(&format!("{OPEN}{RESUMES}linger = '20s'\n"));
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send(numbered(1, 1)).await;
    let id = client.id().await;
    drop(client);
    upstream.send(numbered(2, 2)).await;
    lose(&world, upstream).await;
    seconds(9).await;
    let mut back = world.event_source("/e", &id).await;
    seconds(30).await;
    let mut again = answer(&mut world).await;
    assert_eq!(again.header("last-event-id"), Some("2"));
    again.send(numbered(3, 3)).await;
    assert_eq!((back.data().await, back.end), (vec!["2".into(), "3".to_owned()], None));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_served_from_a_window_whom_the_upstream_could_not_be_asked_about() {
    let mut world = World::new(&OPEN.replace("none", "upstream"));
    let (id, upstream) = left(&mut world).await;
    lose(&world, upstream).await;
    let mut back = world.send(&event_source("/e", &id)).await;
    seconds(3).await;
    back.read().await;
    assert_eq!((back.status, back.text()), (0, String::new()));
    seconds(3).await;
    back.read().await;
    assert_eq!(back.end, Some(Ended::Cut), "it comes back later");
}

/// A held stream with two clients, that has lost its upstream.
async fn held(lines: &str) -> (World, [Client; 2], String) {
    let mut world = World::new(&format!("{OPEN}{lines}"));
    let mut first = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send(HELLO).await;
    let mut second = world.send(&event_source("/e", "")).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    asked.send(HELLO).await;
    upstream.events(["a"]).await;
    assert_eq!(first.data().await, ["hello", "a"]);
    let id = second.id().await;
    lose(&world, upstream).await;
    (world, [first, second], id)
}

#[tokio::test(start_paused = true)]
async fn with_hold_clients_stay_and_get_the_new_hello_with_the_new_fence() {
    let (mut world, mut clients, id) = held(HOLD).await;
    seconds(90).await;
    for client in &mut clients {
        assert_eq!((client.data().await.last().unwrap().as_str(), client.end), ("a", None), "they stay");
    }
    let mut again = answer(&mut world).await;
    again.send(format!("{HELLO}data: b\n\n")).await;
    for client in &mut clients {
        assert_eq!(client.data().await, ["hello", "a", "hello", "b"]);
        let events = client.held().events;
        assert!(events[2].id.ends_with("-0") && events[2].id > id, "{events:?}");
        assert_eq!(events[3].id, events[2].id.replace("-0", "-1"));
        assert_eq!(client.end, None);
    }
    // From the new hello on it is a stream like another.
    let fence = clients[0].held().events[2].id.clone();
    let back = world.event_source("/e", &fence).await;
    assert_eq!((back.held().data(), back.resume()), (vec!["b"], "resumed; missed=1"));
    let mut old = world.send(&event_source("/e", &id)).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    asked.send(HELLO).await;
    assert_eq!((old.data().await, old.resume()), (vec!["hello".to_owned()], "gap; reason=generation"));
}

#[tokio::test(start_paused = true)]
async fn with_hold_one_who_comes_back_while_the_upstream_is_away_gets_what_it_missed_and_then_the_hello() {
    let (mut world, clients, id) = held(HOLD).await;
    drop(clients);
    let mut prior = world.event_source("/e", &id.replace("-1", "-0")).await;
    assert_eq!((prior.status, prior.resume()), (200, "resumed; missed=1"));
    assert_eq!(prior.data().await, ["a"]);
    let mut new = world.send(&event_source("/e", "")).await;
    seconds(1).await;
    let mut again = answer(&mut world).await;
    again.send(HELLO).await;
    // The new client gets a hello of its own.
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    asked.send(HELLO).await;
    again.events(["b"]).await;
    assert_eq!(prior.data().await, ["a", "hello", "b"]);
    assert_eq!((new.data().await, new.resume()), (vec!["hello".to_owned(), "b".to_owned()], "fresh"));
}

#[tokio::test(start_paused = true)]
async fn with_hold_a_gap_event_tells_them_where_there_is_no_hello_or_before_it() {
    let told = "on_break = 'hold'\ngap_event = { event = 'gap', data = '{reason}' }\n";
    for lines in [told.to_owned(), format!("{told}hello = 'hi'\n")] {
        let mut world = World::new(&format!("{OPEN}{lines}"));
        let mut client = world.send(&event_source("/e", "")).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        upstream.send(HELLO).await;
        client.read().await;
        lose(&world, upstream).await;
        let mut again = answer(&mut world).await;
        again.send(HELLO).await;
        again.events(["b"]).await;
        assert_eq!(client.data().await, ["hello", "generation", "hello", "b"]);
        let ids = client.held().events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids[1], ids[0], "what tells of the gap has no id");
        assert!(ids[3] > ids[2], "{ids:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_hold_clients_are_cut_where_the_upstream_says_no_or_there_is_nothing_to_tell_them_by() {
    for answer_of in ["403", "no hello"] {
        let (mut world, mut clients, _) = held(&format!("{HOLD}hello_wait = '2s'\n")).await;
        world.origin.set_away(false);
        let mut again = world.origin.accept().await;
        match answer_of {
            "403" => again.refuse(403).await,
            _ => {
                again.begin().await;
                again.events(["b"]).await;
            }
        }
        seconds(4).await;
        for client in &mut clients {
            assert_eq!(client.data().await, ["hello", "a"], "{answer_of}");
            assert_eq!(client.end, Some(Ended::Cut), "{answer_of}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_hold_a_stream_that_nobody_is_left_for_is_given_up() {
    let (world, clients, _) = held(&format!("{HOLD}linger = '10s'\n")).await;
    seconds(60).await;
    assert_eq!(world.metric("respool_streams{kind=\"shared\"}"), 1, "for as long as somebody is there");
    drop(clients);
    seconds(60).await;
    assert_eq!(world.metric("respool_streams{kind=\"shared\"}"), 0);
    assert_eq!(world.app.registry().held(), 0);
}

const RESUMES: &str = "upstream_resumes = true\n";

/// Events with ids of the upstream's.
fn numbered(from: u64, to: u64) -> String {
    (from..=to).map(|n| format!("id: {n}\ndata: {n}\n\n")).collect()
}

#[tokio::test(start_paused = true)]
async fn where_the_upstream_resumes_by_its_own_ids_nobody_notices_that_it_was_lost() {
    let mut world = World::new(&format!("{OPEN}{RESUMES}"));
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send(numbered(1, 3)).await;
    assert_eq!(client.id().await, "3");
    lose(&world, upstream).await;
    seconds(20).await;
    let mut back = world.event_source("/e", "2").await;
    assert_eq!((back.data().await, back.resume()), (vec!["3".to_owned()], "resumed; missed=1"));
    let mut again = answer(&mut world).await;
    assert_eq!(again.header("last-event-id"), Some("3"));
    again.send(numbered(4, 5)).await;
    assert_eq!(client.data().await, ["1", "2", "3", "4", "5"]);
    assert_eq!(back.data().await, ["3", "4", "5"]);
    assert_eq!((client.end, back.end), (None, None));
    assert_eq!(world.metric("respool_stream_ends_total{route=\"/e\",end=\"broken\"}"), 0);
    let later = world.event_source("/e", "1").await;
    assert_eq!((later.held().data(), later.resume()), (vec!["2", "3", "4", "5"], "resumed; missed=4"));
}

#[tokio::test(start_paused = true)]
async fn where_the_upstream_has_sent_no_id_or_refuses_it_the_loss_is_a_break() {
    for (sent, refused) in [("data: a\n\n".to_owned(), false), (numbered(1, 1), true)] {
        let mut world = World::new(&format!("{OPEN}{RESUMES}"));
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send(&sent).await;
        client.read().await;
        lose(&world, upstream).await;
        world.origin.set_away(false);
        let mut again = world.origin.accept().await;
        if refused {
            assert_eq!(again.header("last-event-id"), Some("1"));
            again.refuse(410).await;
            again.again().await;
            assert!(again.request.starts_with("GET /e"), "it asks with the same client's request");
        }
        assert_eq!(again.header("last-event-id"), None);
        again.begin().await;
        seconds(2).await;
        client.read().await;
        assert_eq!(client.end, Some(Ended::Cut), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_16_an_id_that_returns_on_a_different_event_is_a_break_and_on_the_same_one_a_repeat() {
    let mut world = World::new(&format!("{OPEN}{RESUMES}"));
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send(numbered(1, 3)).await;
    client.read().await;
    lose(&world, upstream).await;
    let mut again = answer(&mut world).await;
    again.send(numbered(3, 4)).await;
    assert_eq!(client.data().await, ["1", "2", "3", "4"], "the third one came twice, and is the same");
    lose(&world, again).await;
    // It counts on each connection.
    let mut restarted = answer(&mut world).await;
    restarted.send("id: 1\ndata: another\n\nid: 2\ndata: and another\n\n").await;
    assert!(restarted.is_closed().await, "what it says is contradicted");
    seconds(2).await;
    assert_eq!((client.data().await.len(), client.end), (4, Some(Ended::Cut)));
    let mut anew = world.origin.accept().await;
    assert_eq!(anew.header("last-event-id"), None);
    anew.begin().await;
    anew.send("id: 1\ndata: another\n\n").await;
    let mut fresh = world.event_source("/e", "").await;
    anew.send("id: 2\ndata: and another\n\n").await;
    assert_eq!(fresh.data().await, ["and another"]);
}

/// A bare counter begins anew with its process, and the ids that clients hold look valid a little later.
#[tokio::test(start_paused = true)]
async fn pitfall_a_bare_counter_that_begins_anew_is_no_place_behind_a_loss_or_an_end() {
    for ends in [false, true] {
        let mut world = World::new(&format!("{OPEN}pin = true\n"));
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        upstream.send(numbered(1, 3)).await;
        let mut again = if ends {
            upstream.finish().await;
            upstream.again().await;
            upstream
        } else {
            lose(&world, upstream).await;
            world.origin.set_away(false);
            world.origin.accept().await
        };
        again.begin().await;
        again.send("id: 1\ndata: x\n\nid: 2\ndata: y\n\nid: 3\ndata: z\n\nid: 4\ndata: new\n\n").await;
        let mut back = world.send(&event_source("/e", "2")).await;
        let mut own = world.origin.accept().await;
        assert_eq!(own.header("last-event-id"), Some("2"), "the upstream may know what it means");
        own.begin().await;
        back.read().await;
        assert_eq!((back.resume(), back.held().data()), ("foreign", vec![]));
        let later = world.event_source("/e", "4").await;
        assert_eq!(later.resume(), "resumed; missed=0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_yes_that_is_remembered_serves_a_resume_while_the_upstream_is_away() {
    let mut world = World::new(&OPEN.replace("admit = 'none'", "admit = 'upstream'\nadmit_cache = '30s'"));
    let mut client = world.send(&(event_source("/e", "") + "\nAuthorization: good")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin_with("X-For: good\n").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    upstream.events(["b"]).await;
    lose(&world, upstream).await;
    let good = event_source("/e", &id) + "\nAuthorization: good";
    let mut back = world.request(&good).await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
    assert_eq!(back.headers["x-for"], "good");
    let mut other = world.send(&(event_source("/e", &id) + "\nAuthorization: another")).await;
    seconds(3).await;
    other.read().await;
    assert_eq!((other.status, other.text()), (0, String::new()), "a yes is for who got it");
}

#[tokio::test(start_paused = true)]
async fn with_hold_what_a_stranger_is_refused_cuts_nobody_who_stayed() {
    let config = format!("{}{HOLD}", OPEN.replace("none", "upstream"));
    let mut world = World::new(&config);
    let mut client = world.send(&(event_source("/e", "") + "\nAuthorization: good")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send(HELLO).await;
    client.read().await;
    lose(&world, upstream).await;
    let mut stranger = world.send(&(event_source("/e", "") + "\nAuthorization: bad")).await;
    seconds(1).await;
    let mut again = answer(&mut world).await;
    assert_eq!(again.header("authorization"), Some("good"));
    again.send(HELLO).await;
    let mut asked = world.origin.accept().await;
    assert_eq!(asked.header("authorization"), Some("bad"));
    asked.refuse(401).await;
    stranger.read().await;
    again.events(["b"]).await;
    assert_eq!(
        (client.data().await, client.end),
        (vec!["hello".into(), "hello".into(), "b".to_owned()], None)
    );
    assert_eq!((stranger.status, stranger.text().as_str()), (401, ""));
}

#[tokio::test(start_paused = true)]
async fn case_2_who_asks_again_after_a_loss_is_told_the_low_edge_by_the_hello_before_what_is_replayed() {
    let mut world = World::new(&format!("{OPEN}{RESUMES}hello = 'hi'\non_gap = 'replay'\n"));
    let mut client = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send(HELLO.to_owned() + &numbered(1, 2)).await;
    client.read().await;
    drop(client);
    lose(&world, upstream).await;
    let mut gapped = world.send(&event_source("/e", "r0000000000000-5")).await;
    let mut again = answer(&mut world).await;
    again.send(HELLO).await;
    assert_eq!(
        (gapped.data().await, gapped.resume()),
        (vec!["hello".into(), "1".into(), "2".to_owned()], "gap; reason=generation")
    );
    let fence = gapped.held().events[0].id.clone();
    let cut_there = world.event_source("/e", &fence).await;
    assert_eq!(cut_there.held().data(), ["1", "2"]);
}

/// Whoever comes is cut before the upstream is asked again; that takes no look each millisecond.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_down_and_holds_nobody_is_idle() {
    let world = World::new(&format!("outage = {{ hold = '0s' }}\n{OPEN}pin = true\n"));
    world.origin.set_away(true);
    seconds(60).await;
    let polls = || tokio::runtime::Handle::current().metrics().worker_park_count(0);
    let before = polls();
    seconds(60).await;
    assert!(polls() - before < 2000, "{} in a minute", polls() - before);
    let mut client = world.send(&event_source("/e", "")).await;
    seconds(1).await;
    client.read().await;
    assert_eq!((client.status, client.end), (0, Some(Ended::Cut)));
}

/// What an upstream says to whoever comes back is what they get, whether or not they had a place in a stream; and not one
/// event with it.
#[tokio::test(start_paused = true)]
async fn whatever_is_said_behind_a_loss_is_what_who_comes_back_is_told() {
    for mode in ["", OPEN, &OPEN.replace("'none'", "'upstream'"), &format!("{OPEN}upstream_resumes = true\n")]
    {
        for status in [204, 301, 302, 303, 307, 308, 400, 401, 403, 404, 410, 429, 500, 502, 503, 504] {
            let mut world = World::new(mode);
            let (mut client, mut upstream) = world.open("/e").await;
            upstream.events(["a"]).await;
            let id = client.id().await;
            drop(upstream);
            let said = format!(
                "HTTP/1.1 {status} Said\r\nLocation: /elsewhere\r\nRetry-After: 7\r\nContent-Length: "
            );
            let said = said + if status == 204 { "0\r\n\r\n" } else { "4\r\n\r\nsaid" };
            // The pump asks again, where there is one; whoever is here is cut all the same.
            seconds(2).await;
            while let Some(mut again) = world.origin.waiting().await {
                again.raw(&said).await;
                seconds(2).await;
            }
            assert_eq!(client.data().await, ["a"], "{mode} {status}");
            assert_eq!(client.end, Some(Ended::Cut), "{mode} {status}");
            let mut back = world.send(&event_source("/e", &id)).await;
            for _ in 0..20 {
                back.read().await;
                match world.origin.waiting().await {
                    Some(mut asked) => asked.raw(&said).await,
                    None if back.end.is_some() || back.status != 0 => break,
                    None => seconds(1).await,
                }
            }
            back.read().await;
            let text = if status == 204 { "" } else { "said" };
            assert_eq!((back.status, back.text().as_str()), (status, text), "{mode} {status}");
            assert_eq!(back.headers["location"], "/elsewhere", "{mode} {status}");
            assert_eq!(back.headers["retry-after"], "7", "{mode} {status}");
        }
    }
}
