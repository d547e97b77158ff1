//! Another configuration while clients are served: what changes, what stays, and whom it touches.

/// The binary: SIGHUP, and a file that is looked at.
pub(crate) mod binary;
/// Reload after reload, under load.
mod storm;

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Exchange, World, event_source, settle};

const SHARED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";
const PINNED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\npin = true\n";
const OTHER: &str = "[[route]]\npath = '/other'\nmode = 'pass'\n";

fn shared(more: &str) -> String {
    format!("{SHARED}{more}\n")
}

/// A client that has an id, of a stream that goes on.
async fn begun(world: &mut World) -> (Client, Exchange) {
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    assert_eq!(client.data().await, ["a"]);
    (client, upstream)
}

/// A client that comes back with an id; whom the upstream is asked about it lets in.
async fn returns(world: &mut World, id: &str) -> Client {
    let mut client = world.send(&event_source("/e", id)).await;
    settle().await;
    if let Some(mut asked) = world.origin.waiting().await {
        asked.begin().await;
    }
    client.read().await;
    client
}

/// The client and its upstream connection are what they were.
async fn goes_on(client: &mut Client, upstream: &mut Exchange, data: &str) {
    upstream.events([data]).await;
    let got = client.data().await;
    assert_eq!((got.last().map(String::as_str), client.end), (Some(data), None));
    assert!(!upstream.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_route_is_as_it_was_is_untouched() {
    for file in ["", SHARED] {
        let mut world = World::new(file);
        let (mut client, mut upstream) = begun(&mut world).await;
        world.change(&format!("{OTHER}{file}")).await;
        world.change("[limits]\nstreams = 7\n").await;
        world.change(file).await;
        goes_on(&mut client, &mut upstream, "b").await;
        let id = client.held().events[0].id.clone();
        drop(client);
        let back = world.event_source("/e", &id).await;
        assert_eq!((back.resume(), back.held().data().join("")), ("resumed; missed=1", "b".into()));
        assert_eq!(world.origin.dials(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn lower_bounds_count_for_who_comes_back_and_cut_nobody_who_is_here() {
    for route in ["[[route]]\npath = '/e'\n", SHARED] {
        let mut world = World::new(route);
        let (mut client, mut upstream) = begun(&mut world).await;
        let id = client.id().await;
        upstream.events(["b", "c", "d"]).await;
        world.change(&format!("{route}window = {{ events = 2 }}\n")).await;
        assert_eq!(client.data().await, ["a", "b", "c", "d"]);
        goes_on(&mut client, &mut upstream, "e").await;
        let near = client.held().events[2].id.clone();
        let back = world.event_source("/e", &near).await;
        assert_eq!((back.resume(), back.held().data().join("")), ("resumed; missed=2", "de".into()));
        assert_eq!(returns(&mut world, &id).await.resume(), "gap; reason=expired");
        // And higher ones for what comes from then on.
        world.change(&format!("{route}window = {{ events = 9 }}\n")).await;
        upstream.events(["f", "g", "h"]).await;
        let back = world.event_source("/e", &near).await;
        assert_eq!(back.resume(), "resumed; missed=5");
        assert_eq!(client.data().await.join(""), "abcdefgh");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lower_age_takes_what_is_too_old_by_itself() {
    let mut world = World::new(SHARED);
    let (_client, mut upstream) = begun(&mut world).await;
    upstream.events(["x".repeat(10_000)]).await;
    sleep(Duration::from_secs(20)).await;
    assert!(world.app.registry().held() > 10_000);
    world.change(&shared("window = { age = '30s' }")).await;
    assert!(world.app.registry().held() > 10_000);
    sleep(Duration::from_secs(11)).await;
    assert!(world.app.registry().held() < 10_000, "{}", world.app.registry().held());
}

#[tokio::test(start_paused = true)]
async fn what_each_client_is_told_is_told_to_those_who_come() {
    let mut world = World::new(SHARED);
    let (mut client, mut upstream) = begun(&mut world).await;
    world.change(&shared("heartbeat = '3s'\nretry = '2s'\nprime = false")).await;
    let mut new = world.event_source("/e", "").await;
    sleep(Duration::from_secs(4)).await;
    new.read().await;
    assert_eq!(new.text(), ":\n", "no prime, and a heartbeat by now");
    upstream.events(["b"]).await;
    new.read().await;
    assert!((2000..=3000).contains(&new.held().retry.unwrap()), "{}", new.text());
    client.read().await;
    assert!(!client.text().contains(":\n") && client.held().retry.is_none(), "as it was when it came");
    goes_on(&mut client, &mut upstream, "c").await;
}

#[tokio::test(start_paused = true)]
async fn a_path_that_comes_to_a_route_of_its_own_keeps_its_stream_and_is_counted_there() {
    let mut world = World::new("");
    let (mut client, mut upstream) = begun(&mut world).await;
    let id = client.id().await;
    world.change("[[route]]\npath = '/e'\nwindow = { events = 3 }\n[[route]]\npath = '/**'\n").await;
    goes_on(&mut client, &mut upstream, "b").await;
    drop(client);
    let back = world.event_source("/e", &id).await;
    assert_eq!(back.resume(), "resumed; missed=1");
    assert_eq!(world.metric("respool_events_total{route=\"default\"}"), 1);
    assert_eq!(world.metric("respool_events_total{route=\"/e\"}"), 1);
    assert_eq!(world.origin.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn numbers_of_a_route_that_keeps_its_name_go_on() {
    let mut world = World::new(SHARED);
    let (mut client, mut upstream) = begun(&mut world).await;
    world.change(&shared("linger = '1m'")).await;
    goes_on(&mut client, &mut upstream, "b").await;
    assert_eq!(world.metric("respool_events_total{route=\"/e\"}"), 2);
    assert_eq!(world.metric("respool_clients{route=\"/e\"}"), 1);
    drop(client);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.metric("respool_clients{route=\"/e\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn where_the_meaning_changed_who_is_here_goes_on_and_who_comes_has_the_new_one() {
    let private = "[[route]]\npath = '/e'\n";
    for (before, after) in [
        (private.to_owned(), shared("")),
        (shared(""), private.to_owned()),
        (shared(""), shared("ids = 'replace'")),
        (shared(""), SHARED.replace("['path']", "['path', 'query']")),
        (private.to_owned(), format!("{private}ids = 'hidden'\n")),
        (shared(""), "[[route]]\npath = '/e'\nmode = 'pass'\n".to_owned()),
    ] {
        let mut world = World::new(&before);
        let (mut client, mut upstream) = begun(&mut world).await;
        let id = client.id().await;
        world.change(&after).await;
        goes_on(&mut client, &mut upstream, "b").await;
        // Whoever comes has a stream of the new kind, and the id of another one is a gap.
        let (mut new, mut own) = world.open("/e").await;
        own.events(["c"]).await;
        assert_eq!(new.data().await.join(""), "c", "{after}");
        let back = returns(&mut world, &id).await;
        assert!(["gap; reason=generation", ""].contains(&back.resume()), "{after}: {}", back.resume());
        goes_on(&mut client, &mut upstream, "d").await;
        // Nobody can come back to the former one.
        drop(client);
        assert!(upstream.is_closed().await, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_gone_lets_its_lingering_streams_go() {
    for route in ["[[route]]\npath = '/e'\nkey = ['query']\n", SHARED] {
        let mut world = World::new(route);
        let (client, mut upstream) = begun(&mut world).await;
        drop(client);
        assert!(!upstream.is_closed().await);
        world.change("").await;
        assert!(upstream.is_closed().await);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.app.registry().held(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_goes_by_the_new_rules_and_what_is_kept_stays() {
    let mut world = World::new(SHARED);
    let (mut client, mut upstream) = begun(&mut world).await;
    let id = client.id().await;
    upstream.send("event: beat\ndata: b\n\n").await;
    world.change(&shared("ephemeral = ['beat']")).await;
    upstream.send("event: beat\ndata: c\n\nevent: other\ndata: d\n\n").await;
    assert_eq!(client.data().await.join(""), "abcd");
    let back = world.event_source("/e", &id).await;
    assert_eq!((back.resume(), back.held().data().join("")), ("resumed; missed=2", "bd".into()));
    world.change(&shared("reset = ['other']")).await;
    upstream.send("event: beat\ndata: e\n\nevent: other\ndata: f\n\n").await;
    assert_eq!(client.data().await.join(""), "abcdef");
    let back = world.event_source("/e", &id).await;
    assert_eq!(back.resume(), "gap; reason=generation");
}

#[tokio::test(start_paused = true)]
async fn guards_that_stay_remember_what_was_answered_and_others_begin_anew() {
    let guard = |more: &str| {
        shared(&format!("{more}\n[[route.guard]]\nopen = ['ask']\nclose = ['answer']\nkey = ['/id']"))
    };
    let (ask, answer) = ("event: ask\ndata: {\"id\":1}\n\n", "event: answer\ndata: {\"id\":1}\n\n");
    for (after, dropped) in [(guard("linger = '1m'"), 1), (guard("type = '/none'"), 0), (shared(""), 0)] {
        let mut world = World::new(&guard(""));
        let (_client, mut upstream) = begun(&mut world).await;
        upstream.send(answer).await;
        world.change(&after).await;
        upstream.send(ask).await;
        let line = "respool_guarded_events_total{route=\"/e\",dropped=\"live\"}";
        assert_eq!(world.metric(line), dropped, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_let_in_as_the_route_says_now() {
    let mut world = World::new(SHARED);
    let (mut client, _upstream) = begun(&mut world).await;
    let id = client.id().await;
    world.change(&SHARED.replace("'none'", "'upstream'")).await;
    let mut back = world.send(&event_source("/e", &id)).await;
    world.origin.accept().await.refuse(403).await;
    back.read().await;
    assert_eq!(back.status, 403);
    world.change(SHARED).await;
    assert_eq!(world.event_source("/e", &id).await.resume(), "resumed; missed=0");
}

#[tokio::test(start_paused = true)]
async fn a_yes_of_before_counts_no_more_where_admission_has_changed() {
    let asked = |cache: &str| SHARED.replace("'none'", "'upstream'") + &format!("admit_cache = '{cache}'\n");
    let mut world = World::new(&asked("1h"));
    let (mut client, _upstream) = begun(&mut world).await;
    let id = client.id().await;
    world.change(&asked("1h")).await;
    assert_eq!(world.event_source("/e", &id).await.resume(), "resumed; missed=0", "remembered");
    world.change(&asked("30m")).await;
    let mut back = world.send(&event_source("/e", &id)).await;
    world.origin.accept().await.begin().await;
    back.read().await;
    assert_eq!(back.resume(), "resumed; missed=0");
}

/// Whoever waits for its turn is asked about after the reload, and came to the route of before.
#[tokio::test(start_paused = true)]
async fn a_yes_that_was_waited_for_meanwhile_counts_no_longer_than_the_route_says_now() {
    let asked = |cache: &str| {
        let route = SHARED.replace("'none'", "'upstream'");
        format!("[limits]\nadmissions = 1\n{route}admit_cache = '{cache}'\n")
    };
    let mut world = World::new(&asked("1h"));
    let (mut client, _upstream) = begun(&mut world).await;
    let id = client.id().await;
    let back = |name: &str| event_source("/e", &id) + &format!("\nCookie: name={name}");
    let mut clients = [world.send(&back("a")).await, world.send(&back("b")).await];
    let mut first = world.origin.accept().await;
    assert!(world.origin.is_quiet().await, "the other one waits for its turn");
    sleep(Duration::from_secs(1)).await;
    world.change(&asked("30s")).await;
    sleep(Duration::from_secs(1)).await;
    first.begin().await;
    world.origin.accept().await.begin().await;
    for client in &mut clients {
        client.read().await;
        assert_eq!(client.resume(), "resumed; missed=0");
    }
    sleep(Duration::from_secs(31)).await;
    for name in ["a", "b"] {
        let mut again = world.send(&back(name)).await;
        world.origin.accept().await.refuse(403).await;
        again.read().await;
        assert_eq!(again.status, 403, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_was_added_is_subscribed_and_one_that_was_removed_lets_go() {
    let mut world = World::new(SHARED);
    world.change(PINNED).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    // Nobody is there, and it stays.
    sleep(Duration::from_secs(1000)).await;
    assert!(!upstream.is_closed().await);
    let mut client = world.event_source("/e", "").await;
    world.change(SHARED).await;
    goes_on(&mut client, &mut upstream, "b").await;
    drop(client);
    sleep(Duration::from_secs(299)).await;
    assert!(!upstream.is_closed().await, "it lingers as any other");
    sleep(Duration::from_secs(2)).await;
    assert!(upstream.is_closed().await);
    world.change(PINNED).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    world.change("").await;
    assert!(upstream.is_closed().await, "nobody is there, and nobody can come");
    assert!(world.origin.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn a_pin_comes_to_a_stream_that_there_is() {
    let mut world = World::new(SHARED);
    let (mut client, mut upstream) = begun(&mut world).await;
    world.change(PINNED).await;
    goes_on(&mut client, &mut upstream, "b").await;
    drop(client);
    sleep(Duration::from_secs(1000)).await;
    assert!(!upstream.is_closed().await);
    assert_eq!(world.origin.dials(), 1);
    // Lost, it is asked for again though nobody is there, and not any more when the pin has gone.
    drop(upstream);
    let mut upstream = world.origin.accept().await;
    upstream.refuse(503).await;
    world.change(SHARED).await;
    sleep(Duration::from_secs(400)).await;
    assert!(world.origin.is_quiet().await);
    assert_eq!(world.metric("respool_streams{kind=\"shared\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pin_comes_to_a_stream_that_waits_for_its_clients() {
    let mut world = World::new(SHARED);
    let (client, upstream) = begun(&mut world).await;
    drop(client);
    drop(upstream);
    // Its clients are expected back, and nobody is there to ask with.
    sleep(Duration::from_secs(10)).await;
    while world.origin.waiting().await.is_some() {}
    world.change(PINNED).await;
    world.origin.accept().await.begin().await;
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_was_removed_waits_for_no_answer() {
    let mut world = World::new(PINNED);
    let mut upstream = world.origin.accept().await;
    world.change("").await;
    assert!(upstream.is_closed().await);
    assert_eq!(world.metric("respool_streams{kind=\"shared\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pin_is_that_of_its_stream_alone() {
    let file = PINNED.replace("['path']", "['path', 'query:room']");
    let mut world = World::new(&file);
    let mut pinned = world.origin.accept().await;
    pinned.begin().await;
    let (client, mut upstream) = world.open("/e?room=1").await;
    upstream.events(["a"]).await;
    drop(client);
    sleep(Duration::from_secs(301)).await;
    assert!(upstream.is_closed().await, "it lingers, as it would without a pin");
    let (mut client, upstream) = world.open("/e?room=1").await;
    drop(upstream);
    client.read().await;
    drop(client);
    while let Some(asked) = world.origin.try_accept().await {
        assert!(asked.request.starts_with("GET /e?room=1 "), "{}", asked.request);
    }
    assert!(!pinned.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn another_pin_takes_the_place_of_one() {
    let pin = |room: &str| {
        let file = PINNED.replace("['path']", "['path', 'header:x-room']");
        format!("{file}pin_headers = {{ x-room = '{room}' }}\n")
    };
    let mut world = World::new(&pin("1"));
    let mut first = world.origin.accept().await;
    first.begin().await;
    world.change(&pin("2")).await;
    let mut second = world.origin.accept().await;
    second.begin().await;
    assert_eq!(second.header("x-room"), Some("2"));
    sleep(Duration::from_secs(301)).await;
    assert!(first.is_closed().await && !second.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn lower_limits_give_way_at_once() {
    let mut world = World::new("");
    let mut lingering = Vec::new();
    for _ in 0..3 {
        let (mut client, mut upstream) = begun(&mut world).await;
        for _ in 0..60 {
            upstream.events(["x".repeat(50_000)]).await;
            client.read().await;
        }
        lingering.push(upstream);
    }
    assert!(world.app.registry().held() > 8_000_000);
    world.change("[limits]\nmemory = '5MiB'\n").await;
    assert!(world.app.registry().held() <= 5 << 20, "{}", world.app.registry().held());
    world.change("[limits]\nlingering = 1\n").await;
    let [first, second, third] = &mut lingering[..] else { unreachable!() };
    assert!(first.is_closed().await && second.is_closed().await && !third.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_linger_counts_from_when_the_client_left() {
    let mut world = World::new("[[route]]\npath = '/e'\n");
    let (client, mut upstream) = begun(&mut world).await;
    drop(client);
    sleep(Duration::from_secs(50)).await;
    world.change("[[route]]\npath = '/e'\nlinger = '1m'\n").await;
    sleep(Duration::from_secs(9)).await;
    assert!(!upstream.is_closed().await);
    sleep(Duration::from_secs(2)).await;
    assert!(upstream.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_too_many_go_on() {
    let mut world = World::new("");
    let (mut first, mut one) = begun(&mut world).await;
    let (mut second, mut two) = begun(&mut world).await;
    world.change("[limits]\nstreams = 1\n").await;
    let (third, _upstream) = world.open("/e").await;
    assert_eq!(third.resume(), "", "it passes without ids");
    goes_on(&mut first, &mut one, "b").await;
    goes_on(&mut second, &mut two, "b").await;
}

#[tokio::test(start_paused = true)]
async fn a_larger_event_than_is_allowed_now_breaks_its_connection_alone() {
    let mut world = World::new("");
    let (mut first, mut one) = begun(&mut world).await;
    let (mut second, mut two) = begun(&mut world).await;
    world.change("[limits]\nevent = '1KiB'\n").await;
    two.events(["x".repeat(2000)]).await;
    second.read().await;
    sleep(Duration::from_secs(2)).await;
    second.read().await;
    assert!(second.end.is_some() && second.held().data() == ["a"]);
    goes_on(&mut first, &mut one, "b").await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_upstream_meanwhile_has_a_stream_of_the_new_configuration() {
    let mut world = World::new("");
    let mut client = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    world.change("[[route]]\npath = '/e'\nwindow = { events = 1 }\nlinger = '10s'\n").await;
    upstream.begin().await;
    upstream.events(["a", "b", "c"]).await;
    assert_eq!(client.data().await, ["a", "b", "c"]);
    let id = client.held().events[0].id.clone();
    drop(client);
    assert_eq!(returns(&mut world, &id).await.resume(), "gap; reason=expired");
    sleep(Duration::from_secs(11)).await;
    assert!(upstream.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn how_requests_are_passed_on_can_change() {
    let mut world = World::new("");
    let plain = "GET /x HTTP/1.1\nHost: h";
    let _client = world.send(plain).await;
    let asked = world.origin.accept().await;
    assert_eq!((asked.header("host"), asked.header("x-forwarded-host")), (Some("h"), Some("h")));
    world.change("host = 'upstream'\nforwarded = false\n").await;
    let _client = world.send(plain).await;
    let asked = world.origin.accept().await;
    assert_eq!((asked.header("host"), asked.header("x-forwarded-host")), (Some("origin:80"), None));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_what_is_one_now() {
    let mut world = World::new("");
    world.change("[outage]\nhold = '20s'\nstatuses = [502]\n").await;
    let mut client = world.send(&event_source("/e", "")).await;
    world.origin.accept().await.refuse(502).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    assert_eq!(client.data().await, ["a"]);
    world.origin.set_away(true);
    let mut held = world.send(&event_source("/e", "")).await;
    sleep(Duration::from_secs(15)).await;
    held.read().await;
    assert_eq!((held.status, held.end), (0, None));
    sleep(Duration::from_secs(6)).await;
    held.read().await;
    assert!(held.end.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_stumbles_and_how_long_the_end_takes_can_change() {
    let world = World::new("");
    world.change("stumbling = ['curl/*']\n[drain]\ntime = '77s'\n").await;
    assert_eq!(world.app.drain().time(), Duration::from_secs(77));
    let mut world = world;
    let mut client = world.send(&(event_source("/e", "") + "\nUser-Agent: curl/8")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send(": a\n\ndata: b\n\n").await;
    client.read().await;
    assert!(client.text().contains(": a\ndata: b\n"), "{}", client.text());
}
