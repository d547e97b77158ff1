//! What was answered is not asked again: on the wire, for private and for shared streams.

use std::time::Duration;

use respool::id::Position;
use tokio::time::sleep;

use crate::support::world::{Client, Exchange, World, event_source, settle};

const QUESTIONS: &str =
    "[[route.guard]]\nopen = 'asked'\nclose = ['replied', 'rejected']\nopen_key = '/id'\nclose_key = '/of'\n";
const TTL: Duration = Duration::from_secs(5 * 60);

/// Both kinds of stream, with these lines in their route, by types in the data.
fn kinds(lines: &str) -> [String; 2] {
    ["", "mode = 'shared'\nkey = ['path']\nadmit = 'none'\n"]
        .map(|mode| format!("[[route]]\npath = '/e'\n{mode}type = '/type'\n{lines}"))
}

fn data(kind: &str, key: &str, of: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"{key}\":\"{of}\"}}")
}

fn asked(id: &str) -> String {
    data("asked", "id", id)
}

fn replied(of: &str) -> String {
    data("replied", "of", of)
}

fn rejected(of: &str) -> String {
    data("rejected", "of", of)
}

fn news(n: &str) -> String {
    data("news", "n", n)
}

/// A client with one event, and that event's id.
async fn live(config: &str) -> (World, Client, Exchange, String) {
    let mut world = World::new(config);
    let (mut client, mut upstream) = world.open("/e").await;
    say(&mut upstream, [news("first")]).await;
    let id = client.id().await;
    (world, client, upstream, id)
}

/// Sends events of these data, each when what came before it was read.
async fn say<T: std::fmt::Display>(upstream: &mut Exchange, data: impl IntoIterator<Item = T>) {
    for data in data {
        upstream.events([data]).await;
    }
}

fn guarded(world: &World, how: &str) -> u64 {
    world.metric(&format!("respool_guarded_events_total{{route=\"/e\",dropped=\"{how}\"}}"))
}

/// What a client gets live of events with these data, and what one that was away for them gets when it comes back.
async fn check(lines: &str, sent: &[String], live_gets: &[String], replayed: &[String]) {
    for config in kinds(lines) {
        let (world, mut client, mut upstream, id) = live(&config).await;
        say(&mut upstream, sent).await;
        assert_eq!(client.data().await[1..], *live_gets, "live: {config}");
        let mut back = world.event_source("/e", &id).await;
        assert_eq!(back.data().await, replayed, "replayed: {config}");
        assert_eq!(back.resume(), format!("resumed; missed={}", replayed.len()), "{config}");
        let counted = (guarded(&world, "live"), guarded(&world, "withdrawn"));
        let dropped = (sent.len() - live_gets.len(), live_gets.len() - replayed.len());
        assert_eq!(counted, (dropped.0 as u64, dropped.1 as u64), "{config}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_before_it_was_asked_is_not_asked() {
    for answer in [replied("1"), rejected("1")] {
        let sent = [answer.clone(), asked("1"), asked("2"), news("x")];
        let passes = [answer, asked("2"), news("x")];
        check(QUESTIONS, &sent, &passes, &passes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_while_a_client_was_away_is_not_in_its_replay() {
    let sent = [asked("1"), asked("2"), asked("1"), news("x"), replied("1"), news("y")];
    check(QUESTIONS, &sent, &sent, &[asked("2"), news("x"), replied("1"), news("y")]).await;
    let all = [asked("1"), rejected("1")];
    check(QUESTIONS, &all, &all, &[rejected("1")]).await;
    check(QUESTIONS, &all[..1], &all[..1], &all[..1]).await;
}

/// A block of the window is sealed when it is full, and events in it can be withdrawn all the same.
#[tokio::test(start_paused = true)]
async fn it_does_not_matter_how_far_back_it_was_asked() {
    let mut sent = vec![asked("1"), asked("2")];
    sent.extend((0..700).map(|n| if n % 100 == 7 { asked("1") } else { news(&n.to_string()) }));
    sent.push(replied("1"));
    let stale = asked("1");
    let replayed: Vec<String> = sent.iter().filter(|data| **data != stale).cloned().collect();
    assert_eq!(sent.len() - replayed.len(), 8);
    check(QUESTIONS, &sent, &sent, &replayed).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_gets_no_number_and_what_is_withdrawn_keeps_its_own() {
    for config in kinds(QUESTIONS) {
        let (world, mut client, mut upstream, _) = live(&config).await;
        say(&mut upstream, [asked("1"), replied("1"), asked("1"), news("x")]).await;
        client.read().await;
        let ids: Vec<String> = client.held().events.into_iter().map(|event| event.id).collect();
        let seqs = ids.iter().map(|id| Position::parse(id.as_bytes()).unwrap().seq);
        assert_eq!(seqs.collect::<Vec<_>>(), [1, 2, 3, 4], "{config}");
        // By the number of the one withdrawn its client goes on behind it.
        for (id, missed) in ids.iter().zip([2, 2, 1, 0]) {
            let mut back = world.event_source("/e", id).await;
            assert_eq!(back.data().await, [replied("1"), news("x")][2 - missed..], "{id}");
            assert_eq!(back.resume(), format!("resumed; missed={missed}"));
        }
    }
}

/// Live is replay that has caught up: who has not taken it yet when it is answered, is not asked.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_slow_is_not_asked_what_was_answered() {
    for config in kinds(QUESTIONS) {
        let mut world = World::new(&config);
        world.pipe = 1000;
        let mut client = world.send(&event_source("/e", "")).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        let filler: Vec<String> = (0..60).map(|n| news(&format!("{n:0>100}"))).collect();
        for sent in [filler.clone(), vec![asked("1"), news("between")], filler.clone()] {
            upstream.events(sent).await;
        }
        upstream.events([replied("1"), asked("1"), news("end")]).await;
        let mut expected = filler.clone();
        expected.push(news("between"));
        expected.extend(filler);
        expected.extend([replied("1"), news("end")]);
        assert_eq!(client.data().await, expected, "{config}");
        assert_eq!((guarded(&world, "live"), guarded(&world, "withdrawn")), (1, 1));
    }
}

/// It has everything when all that it has not taken was withdrawn, and waits like another.
#[tokio::test(start_paused = true)]
async fn a_client_that_misses_nothing_but_what_was_withdrawn_misses_nothing() {
    for config in kinds(&format!("ephemeral = 'replied'\n{QUESTIONS}")) {
        let (world, client, mut upstream, id) = live(&config).await;
        drop(client);
        say(&mut upstream, [asked("1"), asked("2"), replied("1"), replied("2")]).await;
        let mut back = world.event_source("/e", &id).await;
        assert_eq!((back.data().await, back.resume()), (vec![], "resumed; missed=0"), "{config}");
        say(&mut upstream, [news("x")]).await;
        assert_eq!(back.data().await, [news("x")]);
        assert!(back.id().await.ends_with("-4"));
        upstream.finish().await;
        back.read().await;
        assert!(back.end.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn when_its_time_is_over_it_can_be_asked_again() {
    let ttl = "ttl = '10s'\n";
    for (lines, time) in [(QUESTIONS.to_owned(), TTL), (format!("{QUESTIONS}{ttl}"), Duration::from_secs(10))]
    {
        for config in kinds(&lines) {
            let (world, mut client, mut upstream, id) = live(&config).await;
            say(&mut upstream, [asked("1"), replied("1")]).await;
            sleep(time - Duration::from_secs(1)).await;
            say(&mut upstream, [asked("1")]).await;
            assert_eq!(client.data().await[1..], [asked("1"), replied("1")], "{config}");
            sleep(Duration::from_secs(1)).await;
            say(&mut upstream, [asked("1")]).await;
            assert_eq!(client.data().await[3..], [asked("1")], "{config}");
            if time < TTL {
                // What was withdrawn stays so.
                let mut back = world.event_source("/e", &id).await;
                assert_eq!(back.data().await, [replied("1"), asked("1")]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_part_of_a_key_counts_and_one_that_lacks_a_part_is_none() {
    let guard = "[[route.guard]]\nopen = 'asked'\nclose = 'replied'\nopen_key = ['/dir', '/p/id']\nclose_key = ['/dir', '/p/of']\n";
    let question =
        |dir: &str, id: &str| format!("{{\"type\":\"asked\",\"dir\":\"{dir}\",\"p\":{{\"id\":{id}}}}}");
    let answer =
        |dir: &str, of: &str| format!("{{\"type\":\"replied\",\"p\":{{\"of\":{of}}},\"dir\":\"{dir}\"}}");
    let sent = [
        answer("a", "\"bc\""),
        question("a", "\"bc\""),
        question("ab", "\"c\""),
        question("a", "\"BC\""),
        answer("a", "null"),
        question("a", "null"),
        answer("a", "{}"),
        "{\"type\":\"asked\",\"dir\":\"a\"}".to_owned(),
        "{\"type\":\"replied\"}".to_owned(),
        "{\"type\":\"asked\"".to_owned(),
        "no JSON".to_owned(),
        answer("a", "7"),
        question("a", "\"7\""),
    ];
    let passes: Vec<String> = sent
        .iter()
        .enumerate()
        .filter(|(at, _)| ![1, 12].contains(at))
        .map(|(_, data)| data.clone())
        .collect();
    check(guard, &sent, &passes, &passes).await;
}

#[tokio::test(start_paused = true)]
async fn types_may_stand_in_the_event_field_and_are_globs() {
    let guard = "[[route.guard]]\nopen = '*.asked'\nclose = '*.{replied,rejected}'\nkey = '/id'\n";
    for config in kinds(guard) {
        let config = config.replace("type = '/type'\n", "");
        let (world, mut client, mut upstream, id) = live(&config).await;
        upstream.send("event: q.asked\ndata: {\"id\":1}\n\n").await;
        upstream
            .send("event: q.rejected\ndata: {\"id\":1}\n\nevent: p.asked\ndata: {\"id\":1}\n\ndata: {\"id\":1}\n\n")
            .await;
        client.read().await;
        let kinds: Vec<String> = client.held().events.into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds, ["message", "q.asked", "q.rejected", "message"]);
        let back = world.event_source("/e", &id).await;
        assert_eq!(back.resume(), "resumed; missed=2", "{config}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_comes_before_a_guard_which_comes_before_ephemeral_and_retain() {
    for config in kinds(&format!("reset = 'asked'\n{QUESTIONS}")) {
        let (world, mut client, mut upstream, _) = live(&config).await;
        say(&mut upstream, [replied("1"), asked("1"), news("x")]).await;
        assert_eq!(client.data().await[1..], [replied("1"), asked("1"), news("x")], "{config}");
        assert_eq!(world.metric("respool_resets_total{route=\"/e\"}"), 1);
        assert_eq!(guarded(&world, "live"), 0);
    }
    for rule in ["ephemeral = 'asked'", "retain = ['news', 'replied']", "ephemeral = 'asked'\nretain = '*'"] {
        for config in kinds(&format!("{rule}\n{QUESTIONS}")) {
            let (world, mut client, mut upstream, id) = live(&config).await;
            say(&mut upstream, [asked("1"), replied("1"), asked("1"), asked("2")]).await;
            assert_eq!(client.data().await[1..], [asked("1"), replied("1"), asked("2")], "{config}");
            let mut back = world.event_source("/e", &id).await;
            assert_eq!(back.data().await, [replied("1")]);
            assert_eq!((guarded(&world, "live"), guarded(&world, "withdrawn")), (1, 0));
        }
    }
}

/// A closing event has its effect whatever else it is: ephemeral, or a reset.
#[tokio::test(start_paused = true)]
async fn an_answer_counts_whatever_becomes_of_it() {
    let sent = [asked("1"), replied("1"), asked("1"), news("x")];
    let passes = [asked("1"), replied("1"), news("x")];
    for rule in ["ephemeral = 'replied'", "retain = ['news', 'asked']"] {
        for config in kinds(&format!("{rule}\n{QUESTIONS}")) {
            let (world, mut client, mut upstream, id) = live(&config).await;
            say(&mut upstream, &sent).await;
            assert_eq!(client.data().await[1..], passes, "{config}");
            let mut back = world.event_source("/e", &id).await;
            assert_eq!(back.data().await, [news("x")]);
        }
    }
    for config in kinds(&format!("reset = 'replied'\n{QUESTIONS}")) {
        let (world, mut client, mut upstream, _) = live(&config).await;
        say(&mut upstream, &sent).await;
        assert_eq!(client.data().await[1..], passes, "{config}");
        let reset = client.held().events[2].id.clone();
        assert!(reset.ends_with("-0"), "{reset}");
        let mut back = world.event_source("/e", &reset).await;
        assert_eq!((back.data().await, back.resume()), (vec![news("x")], "resumed; missed=1"));
    }
}

/// A client's own hello is a matter between it and the server: what it is asked there is asked.
#[tokio::test(start_paused = true)]
async fn hello_comes_before_a_guard() {
    let config = kinds(&format!("hello = 'asked'\n{QUESTIONS}"))[1].clone();
    let mut world = World::new(&config);
    let (mut first, mut upstream) = world.open("/e").await;
    say(&mut upstream, [asked("1"), replied("1"), asked("1"), news("x")]).await;
    assert_eq!(first.data().await, [asked("1"), replied("1"), news("x")]);
    let mut second = world.send(&event_source("/e", "")).await;
    let mut admission = world.origin.accept().await;
    admission.begin().await;
    say(&mut admission, [asked("1")]).await;
    say(&mut upstream, [asked("1"), news("y")]).await;
    assert_eq!(second.data().await, [asked("1"), news("y")]);
}

/// What is closed belongs to the stream: a server that asks again after a loss, or a reset, asks what was answered.
#[tokio::test(start_paused = true)]
async fn a_shared_stream_remembers_it_through_its_generations() {
    let config = &kinds(&format!("reset = 'gone'\n{QUESTIONS}"))[1];
    let (mut world, mut client, mut upstream, _) = live(config).await;
    let gone = data("gone", "n", "1");
    say(&mut upstream, [asked("1"), replied("1"), gone.clone(), asked("1"), asked("2")]).await;
    assert_eq!(client.data().await[1..], [asked("1"), replied("1"), gone, asked("2")]);
    drop(upstream);
    sleep(Duration::from_secs(2)).await;
    assert!(
        client.end.is_some() || {
            client.read().await;
            client.end.is_some()
        }
    );
    let mut client = world.send(&event_source("/e", &client.held().id)).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    say(&mut upstream, [asked("1"), asked("2"), replied("2"), asked("2")]).await;
    assert_eq!(client.data().await, [asked("2"), replied("2")]);
    assert_eq!(client.resume(), "gap; reason=generation");
    assert_eq!(guarded(&world, "live"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_session_remembers_its_own_and_nobody_elses() {
    let config = &kinds(QUESTIONS)[0];
    let (mut world, client, mut upstream, id) = live(config).await;
    say(&mut upstream, [replied("1")]).await;
    drop(client);
    settle().await;
    say(&mut upstream, [asked("1")]).await;
    let mut back = world.event_source("/e", &id).await;
    assert_eq!(back.data().await, [replied("1")]);
    let (mut other, mut own) = world.open("/e").await;
    say(&mut own, [asked("1")]).await;
    assert_eq!(other.data().await, [asked("1")]);
}

/// The upstream's ids name places, also that of an event which nobody gets.
#[tokio::test(start_paused = true)]
async fn ids_of_the_upstreams_go_on_across_what_is_dropped() {
    for config in kinds(QUESTIONS) {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        let events = [asked("1"), replied("1"), asked("1"), news("x")];
        let sent: Vec<String> =
            events.iter().enumerate().map(|(n, data)| format!("id: {n}\ndata: {data}\n\n")).collect();
        for frame in sent {
            upstream.send(frame).await;
        }
        assert_eq!(client.data().await, [asked("1"), replied("1"), news("x")]);
        assert_eq!(client.held().id, "3");
        if !config.contains("shared") {
            continue;
        }
        for (id, missed) in [("0", 2), ("1", 1), ("2", 1), ("3", 0)] {
            let back = world.event_source("/e", id).await;
            assert_eq!(back.resume(), format!("resumed; missed={missed}"), "{id}");
        }
    }
}

/// What was withdrawn is no contradiction when the upstream sends it again, and is not asked again either.
#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_on_over_a_loss_goes_on_over_what_was_withdrawn() {
    let config = &kinds(&format!("upstream_resumes = true\n{QUESTIONS}"))[1];
    let mut world = World::new(config);
    let (mut client, mut upstream) = world.open("/e").await;
    let events = [asked("1"), replied("1"), asked("2"), asked("1"), news("x")];
    let sent: Vec<String> =
        events.iter().enumerate().map(|(n, data)| format!("id: {n}\ndata: {data}\n\n")).collect();
    for frame in &sent[..2] {
        upstream.send(frame).await;
    }
    drop(upstream);
    sleep(Duration::from_secs(1)).await;
    let mut again = world.origin.accept().await;
    assert_eq!(again.header("last-event-id"), Some("1"));
    again.begin().await;
    again.send(sent.concat()).await;
    assert_eq!(client.data().await, [asked("1"), replied("1"), asked("2"), news("x")]);
    assert_eq!(client.end, None);
    let back = world.event_source("/e", "0").await;
    assert_eq!(back.resume(), "resumed; missed=3");
}

/// Whatever the upstream sends, what is remembered is bounded, and counted.
#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded_and_given_back() {
    for config in kinds(QUESTIONS) {
        let (world, client, mut upstream, _) =
            live(&format!("{config}ttl = '1h'\n[window]\nevents = 10\n")).await;
        let held = |world: &World| world.app.registry().held();
        let mut most = 0;
        for round in 0..12 {
            upstream.events((0..1000).map(|n| replied(&format!("{round}-{n}")))).await;
            most = most.max(held(&world));
        }
        assert!(held(&world) > 4096 * 24 && most < 4096 * 48 + (64 << 10), "{most}");
        upstream.events([asked("0-0"), asked("11-999")]).await;
        assert_eq!(guarded(&world, "live"), 1, "the oldest is forgotten, the newest is not");
        sleep(Duration::from_secs(3601)).await;
        upstream.events([news("x")]).await;
        assert!(held(&world) < 64 << 10, "{}", held(&world));
        drop((client, upstream));
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(held(&world), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_memory_it_is_forgotten() {
    let lines = "[limits]\nmemory = '64KiB'\nevent = '1KiB'\n[window]\nbytes = '4KiB'\n";
    for config in kinds(&format!("{QUESTIONS}{lines}")) {
        let (world, mut client, mut upstream, _) = live(&config).await;
        for round in 0..40 {
            upstream.events((0..100).map(|n| replied(&format!("{round}-{n}")))).await;
            client.read().await;
            assert!(world.app.registry().held() < 80 << 10, "{}", world.app.registry().held());
        }
        assert!(client.end.is_none());
        upstream.events([asked("39-99")]).await;
        assert_eq!(guarded(&world, "live"), 1);
    }
}
