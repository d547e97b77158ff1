//! Who is let into a shared stream: so many are asked about at a time, the streams take turns, and a yes may be
//! remembered for those who come back.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Ended, Exchange, World, event_source, settle};

/// A shared route for each path below `/`, with few places.
fn config(places: usize, rest: &str) -> String {
    format!(
        "[limits]\nadmissions = {places}\n[[route]]\npath = '/*'\nmode = 'shared'\nkey = ['path']\nheartbeat = 'none'\n{rest}"
    )
}

/// A stream that is live, and its first client.
async fn live(world: &mut World, path: &str) -> (Client, Exchange) {
    let (mut client, mut upstream) = world.open(path).await;
    upstream.events(["a"]).await;
    client.read().await;
    (client, upstream)
}

/// The requests that have reached the upstream by now.
async fn arrived(world: &mut World) -> Vec<Exchange> {
    settle().await;
    let mut all = Vec::new();
    while let Some(exchange) = world.origin.waiting().await {
        all.push(exchange);
    }
    all
}

fn admitting(world: &World) -> [u64; 3] {
    ["waiting", "asking", "late"]
        .map(|state| world.metric(&format!("respool_admitting{{state=\"{state}\"}}")))
}

fn counted(world: &World, answer: &str) -> u64 {
    world.metric(&format!("respool_admissions_total{{route=\"/*\",answer=\"{answer}\"}}"))
}

#[tokio::test(start_paused = true)]
async fn so_many_admissions_wait_for_a_head_at_once_and_the_others_for_their_turn() {
    let mut world = World::new(&config(3, ""));
    let (_first, mut upstream) = live(&mut world, "/a").await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(world.send(&event_source("/a", "")).await);
    }
    let mut asked = arrived(&mut world).await;
    assert_eq!((asked.len(), admitting(&world)), (3, [7, 3, 0]));
    upstream.events(["while they wait"]).await;
    asked.remove(0).begin().await;
    asked.remove(0).refuse(403).await;
    drop(asked.remove(0));
    // What was lost unanswered is asked for again, by the one who has the place.
    sleep(Duration::from_millis(200)).await;
    assert_eq!(arrived(&mut world).await.len(), 3);
    let mut served = 0;
    for _ in 0..20 {
        for mut exchange in arrived(&mut world).await {
            exchange.begin().await;
        }
        sleep(Duration::from_millis(500)).await;
    }
    for client in &mut clients {
        served += usize::from(client.data().await == ["while they wait"] && client.status == 200);
    }
    assert_eq!((served, admitting(&world)), (9, [0, 0, 0]), "all but the one that was refused");
    assert_eq!((counted(&world, "yes"), counted(&world, "no")), (9, 1));
}

#[tokio::test(start_paused = true)]
async fn a_storm_on_one_stream_does_not_starve_another() {
    let mut world = World::new(&config(1, ""));
    let (_a, _at_a) = live(&mut world, "/a").await;
    let (_b, _at_b) = live(&mut world, "/b").await;
    let mut clients = Vec::new();
    for path in ["/a"; 50].into_iter().chain(["/b", "/b"]) {
        clients.push(world.send(&event_source(path, "")).await);
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        let mut asked = arrived(&mut world).await;
        assert_eq!(asked.len(), 1);
        order.push(asked[0].request[4..6].to_owned());
        asked[0].begin().await;
    }
    assert_eq!(order, ["/a", "/a", "/b", "/a", "/b"]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_gives_up_its_place_and_its_turn() {
    let mut world = World::new(&config(1, ""));
    let (_first, _upstream) = live(&mut world, "/a").await;
    let asking = world.send(&(event_source("/a", "") + "\nX-Name: asking")).await;
    let mut waiting = Vec::new();
    for name in ["leaves", "leaves too", "stays"] {
        settle().await;
        waiting.push(world.send(&format!("{}\nX-Name: {name}", event_source("/a", ""))).await);
    }
    assert_eq!(arrived(&mut world).await.len(), 1);
    waiting.drain(..2);
    settle().await;
    assert_eq!(admitting(&world), [1, 1, 0]);
    drop(asking);
    let mut asked = arrived(&mut world).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("x-name"), Some("stays"));
    asked[0].begin().await;
    waiting[0].read().await;
    assert_eq!((waiting[0].status, admitting(&world)), (200, [0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn case_10_a_late_head_gives_up_its_place_and_nothing_is_replayed_before_its_yes() {
    let mut world = World::new(&config(1, "admit_timeout = '3s'\n"));
    let (mut first, mut upstream) = live(&mut world, "/a").await;
    let id = first.id().await;
    upstream.events(["b"]).await;
    let mut late = world.send(&event_source("/a", &id)).await;
    let mut head_of_late = world.origin.accept().await;
    let mut next = world.send(&event_source("/a", "")).await;
    sleep(Duration::from_secs(2)).await;
    assert!(world.origin.is_quiet().await, "it has its place for so long");
    sleep(Duration::from_secs(1)).await;
    world.origin.accept().await.begin().await;
    next.read().await;
    assert_eq!((next.status, admitting(&world), counted(&world, "late")), (200, [0, 0, 1], 1));
    sleep(Duration::from_secs(600)).await;
    upstream.events(["c"]).await;
    late.read().await;
    assert_eq!((late.status, late.text(), late.end), (0, String::new(), None));
    head_of_late.begin().await;
    assert_eq!(late.data().await, ["b", "c"]);
    assert_eq!((late.resume(), admitting(&world)), ("resumed; missed=1", [0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn case_10_a_late_no_is_a_no() {
    let mut world = World::new(&config(1, "admit_timeout = '3s'\n"));
    let (mut first, mut upstream) = live(&mut world, "/a").await;
    let id = first.id().await;
    upstream.events(["secret"]).await;
    let mut late = world.send(&event_source("/a", &id)).await;
    let mut asked = world.origin.accept().await;
    sleep(Duration::from_secs(60)).await;
    asked.refuse(403).await;
    late.read().await;
    assert_eq!((late.status, late.text()), (403, String::new()));
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_go_of_who_waits_to_be_let_in() {
    let mut world = World::new(&config(1, "admit_timeout = '1s'\n"));
    let (_first, _upstream) = live(&mut world, "/a").await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(world.send(&event_source("/a", "")).await);
        sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(admitting(&world), [1, 1, 2]);
    let drain = world.app.drain().clone();
    tokio::spawn(async move { drain.finish().await });
    for client in &mut waiting {
        client.read().await;
        assert_eq!((client.status, client.end), (0, Some(Ended::Cut)), "cut without an answer");
    }
    assert_eq!(admitting(&world), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_its_turn_is_held_for_the_rest_of_the_time() {
    let mut world = World::new(&config(1, "admit_timeout = '10s'\n"));
    let (_first, _upstream) = live(&mut world, "/a").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(world.send(&event_source("/a", "")).await);
    }
    let asked = world.origin.accept().await;
    world.origin.set_away(true);
    drop(asked);
    // For each of those behind the first, with the one more attempt that it is owed.
    sleep(Duration::from_millis(5000 + 3 * 100)).await;
    for client in &mut clients {
        client.read().await;
        assert_eq!((client.status, client.end), (0, Some(Ended::Cut)));
    }
    assert_eq!(counted(&world, "failed"), 3);
}

#[tokio::test(start_paused = true)]
async fn who_waited_long_for_its_turn_is_not_cut_for_one_connection_that_is_lost() {
    let mut world = World::new(&config(1, "admit_timeout = '10s'\n"));
    let (_first, _upstream) = live(&mut world, "/a").await;
    let _ahead = world.send(&event_source("/a", "")).await;
    let mut ahead = world.origin.accept().await;
    let mut client = world.send(&event_source("/a", "")).await;
    sleep(Duration::from_secs(7)).await;
    ahead.begin().await;
    drop(world.origin.accept().await);
    sleep(Duration::from_millis(200)).await;
    world.origin.accept().await.begin().await;
    client.read().await;
    assert_eq!((client.status, client.end), (200, None));
}

#[tokio::test(start_paused = true)]
async fn who_reads_a_hello_keeps_its_place_until_it_is_there_or_late() {
    let mut world = World::new(&config(3, "hello = 'hi'\nhello_wait = '1m'\nadmit_timeout = '3s'\n"));
    let (_first, mut upstream) = world.open("/a").await;
    upstream.send("event: hi\ndata: 0\n\n").await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(world.send(&event_source("/a", "")).await);
    }
    let mut asked = arrived(&mut world).await;
    for exchange in &mut asked {
        exchange.begin().await;
    }
    assert_eq!((asked.len(), arrived(&mut world).await.len(), admitting(&world)), (3, 0, [5, 3, 0]));
    asked.remove(0).send("event: hi\ndata: 1\n\n").await;
    // One is gone before it has its hello.
    clients.remove(1);
    asked.extend(arrived(&mut world).await);
    assert_eq!((asked.len(), admitting(&world)), (4, [3, 3, 0]));
    for exchange in &mut asked[2..] {
        exchange.begin().await;
    }
    sleep(Duration::from_secs(3)).await;
    let next = arrived(&mut world).await;
    assert_eq!(
        (next.len(), admitting(&world)),
        (3, [0, 3, 0]),
        "who is late goes on waiting without a place"
    );
    for exchange in &mut asked[1..] {
        exchange.send("event: hi\ndata: 2\n\n").await;
    }
    let mut greeted = Vec::new();
    for client in &mut clients {
        greeted.extend(client.data().await);
    }
    assert_eq!(greeted, ["1", "2", "2", "2"]);
}

const CACHED: &str = "admit_cache = '30s'\n";

/// What a client of this name and these header lines sends to come back to `/a`.
fn returning(id: &str, lines: &str) -> String {
    event_source("/a", id) + lines
}

/// Lets all in who are asked about.
async fn say_yes(world: &mut World, lines: &str) -> usize {
    let asked = arrived(world).await;
    let count = asked.len();
    for mut exchange in asked {
        exchange.begin_with(lines).await;
    }
    count
}

/// A stream that is live and not remembered any more, two events, and what its first client came back with before the
/// second.
async fn forgotten(world: &mut World) -> (String, Exchange) {
    let (mut first, mut upstream) = live(world, "/a").await;
    let id = first.id().await;
    drop(first);
    upstream.events(["b"]).await;
    sleep(Duration::from_secs(31)).await;
    (id, upstream)
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_clients_that_come_back_is_one_request_each() {
    let mut world = World::new(&config(64, CACHED));
    let (id, mut upstream) = forgotten(&mut world).await;
    let mut clients = Vec::new();
    for n in 0..300 {
        let lines = format!("\nOrigin: http://elsewhere\nCookie: sid={}", n % 3);
        clients.push((n % 3, world.send(&returning(&id, &lines)).await));
    }
    let mut asked = arrived(&mut world).await;
    assert_eq!(asked.len(), 3, "one each");
    upstream.events(["c"]).await;
    for exchange in &mut asked {
        let who = exchange.header("cookie").unwrap().to_owned();
        let head = "Access-Control-Allow-Origin: http://elsewhere\nSet-Cookie: new=1\n";
        exchange.begin_with(&format!("{head}X-Who: {who}\n")).await;
    }
    for (who, client) in &mut clients {
        assert_eq!(client.data().await, ["b", "c"]);
        assert_eq!((client.status, client.resume()), (200, "resumed; missed=1"));
        assert_eq!(client.headers["x-who"], format!("sid={who}"), "the head is its own identity's");
        assert_eq!(client.headers["access-control-allow-origin"], "http://elsewhere");
    }
    let with_cookie = clients.iter().filter(|(_, client)| client.headers.contains_key("set-cookie"));
    assert_eq!(with_cookie.count(), 3, "a cookie is for the one whose request was sent");
    assert!(world.origin.is_quiet().await);
    assert_eq!((counted(&world, "yes"), counted(&world, "cached")), (3, 297));
}

#[tokio::test(start_paused = true)]
async fn without_admit_cache_each_one_is_asked_about() {
    let mut world = World::new(&config(64, ""));
    let (id, _upstream) = forgotten(&mut world).await;
    let _clients = [world.send(&returning(&id, "")).await, world.send(&returning(&id, "")).await];
    assert_eq!(say_yes(&mut world, "").await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_yes_counts_for_its_time_for_who_comes_back_and_for_nobody_else() {
    let mut world = World::new(&config(64, CACHED));
    let (mut first, _upstream) = live(&mut world, "/a").await;
    let id = first.id().await;
    sleep(Duration::from_secs(29)).await;
    let back = world.request(&returning(&id, "")).await;
    assert_eq!((back.resume(), world.origin.dials()), ("resumed; missed=0", 1), "the opening was its yes");
    for (id, lines) in [
        ("", ""),
        ("r0000000000000-1", ""),
        (&*id.replace("-1", "-9"), ""),
        (&*id, "\nAuthorization: other"),
        (&*id, "\nCookie: a=1"),
        (&*id, "\nOrigin: http://elsewhere"),
        (&*id, "\nOrigin: http://h"),
    ] {
        let mut client = world.send(&returning(id, lines)).await;
        assert_eq!(say_yes(&mut world, "").await, 1, "{id} {lines}");
        client.read().await;
        assert_eq!(client.status, 200);
    }
    // The new ones were a yes too.
    sleep(Duration::from_secs(29)).await;
    assert_eq!(world.request(&returning(&id, "")).await.resume(), "resumed; missed=0");
    sleep(Duration::from_secs(1)).await;
    let _back = world.send(&returning(&id, "")).await;
    assert_eq!(say_yes(&mut world, "").await, 1, "its time is over");
}

#[tokio::test(start_paused = true)]
async fn a_later_no_takes_the_yes_back() {
    for status in [401, 404, 204, 500] {
        let mut world = World::new(&config(64, CACHED));
        let (mut first, mut upstream) = live(&mut world, "/a").await;
        let id = first.id().await;
        let _refused = world.send(&returning("", "")).await;
        world.origin.accept().await.refuse(status).await;
        upstream.events(["secret"]).await;
        let mut back = world.send(&returning(&id, "")).await;
        world.origin.accept().await.refuse(status).await;
        back.read().await;
        assert_eq!((back.status, back.text()), (status, String::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_no_is_newer_than_a_yes_that_was_asked_for_before_it() {
    let mut world = World::new(&config(64, CACHED));
    let (id, _upstream) = forgotten(&mut world).await;
    let _slow = world.send(&returning("", "")).await;
    let mut slow = world.origin.accept().await;
    let _refused = world.send(&returning("", "")).await;
    world.origin.accept().await.refuse(403).await;
    slow.begin().await;
    let mut back = world.send(&returning(&id, "")).await;
    world.origin.accept().await.refuse(403).await;
    back.read().await;
    assert_eq!(back.status, 403);
}

#[tokio::test(start_paused = true)]
async fn when_the_one_who_asks_for_others_leaves_another_asks() {
    let mut world = World::new(&config(64, CACHED));
    let (id, _upstream) = forgotten(&mut world).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(world.send(&returning(&id, "")).await);
        settle().await;
    }
    let asked = world.origin.accept().await;
    drop(clients.remove(0));
    settle().await;
    drop(asked);
    assert_eq!(say_yes(&mut world, "").await, 1);
    for client in &mut clients {
        assert_eq!(client.data().await, ["b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_one_who_asks_for_others_is_refused_or_late_they_ask_for_themselves() {
    for late in [false, true] {
        let mut world = World::new(&config(64, CACHED));
        let (id, _upstream) = forgotten(&mut world).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(world.send(&returning(&id, "")).await);
            settle().await;
        }
        let mut asked = world.origin.accept().await;
        if late {
            sleep(Duration::from_secs(5)).await;
        } else {
            asked.refuse(503).await;
        }
        let mut own = arrived(&mut world).await;
        // The first of them may come on the connection of the one who was refused.
        if !late {
            asked.again().await;
            own.push(asked);
        }
        assert_eq!(own.len(), 4);
        for exchange in &mut own {
            exchange.begin().await;
        }
        let mut served = 0;
        for client in &mut clients {
            client.read().await;
            served += usize::from(client.status == 200);
        }
        assert_eq!(served, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_its_turn_is_let_in_by_a_yes_that_comes_meanwhile() {
    let mut world = World::new(&config(1, CACHED));
    let (id, _upstream) = forgotten(&mut world).await;
    let mut new = world.send(&returning("", "")).await;
    let mut back = world.send(&returning(&id, "")).await;
    assert_eq!(say_yes(&mut world, "").await, 1);
    assert_eq!((back.data().await, world.origin.dials()), (vec!["b".to_owned()], 2));
    new.read().await;
    assert_eq!((new.status, new.resume()), (200, "fresh"));
}

/// Whichever way the upstream came to say it: to the pump that asks with the client's request, or to its foreign id.
#[tokio::test(start_paused = true)]
async fn a_no_that_is_said_elsewhere_takes_a_remembered_yes_back() {
    for foreign in [false, true] {
        let mut world = World::new(&config(1, "admit_cache = '10m'\n"));
        let (mut client, mut upstream) = live(&mut world, "/a").await;
        let id = client.id().await;
        upstream.events(["missed"]).await;
        if foreign {
            let mut stranger = world.send(&event_source("/a", "17")).await;
            world.origin.accept().await.refuse(401).await;
            stranger.read().await;
            assert_eq!(stranger.status, 401);
        } else {
            drop(upstream);
            world.origin.accept().await.refuse(401).await;
        }
        let mut back = world.send(&event_source("/a", &id)).await;
        world.origin.accept().await.refuse(401).await;
        back.read().await;
        assert_eq!((back.status, back.text()), (401, String::new()), "{foreign}");
    }
}

const AGAIN: &str = "readmit = '1m'\n";

/// What the upstream is asked about this client when the time has come: its own request again.
async fn asked_again(world: &mut World) -> Exchange {
    sleep(Duration::from_secs(61)).await;
    let mut asked = arrived(world).await;
    assert_eq!(asked.len(), 1);
    let asked = asked.remove(0);
    assert!(asked.request.starts_with("GET /a HTTP/1.1\r\n"), "{}", asked.request);
    asked
}

#[tokio::test(start_paused = true)]
async fn readmit_cuts_whom_the_upstream_would_let_in_no_more() {
    for status in [401, 403, 404, 410, 204] {
        let mut world = World::new(&config(3, AGAIN));
        let (mut other, mut upstream) = live(&mut world, "/a").await;
        let cookie = format!("{}\nX-Who: revoked", event_source("/a", ""));
        let mut client = world.send(&cookie).await;
        arrived(&mut world).await.remove(0).begin().await;
        upstream.events(["b"]).await;
        assert_eq!(client.data().await, ["b"]);
        sleep(Duration::from_secs(61)).await;
        let mut asked = arrived(&mut world).await;
        assert_eq!(asked.len(), 2, "each client, about itself");
        asked.sort_by_key(|asked| asked.header("x-who").is_some());
        asked.remove(0).begin().await;
        let mut about = asked.remove(0);
        assert_eq!(about.header("x-who"), Some("revoked"));
        about.refuse(status).await;
        upstream.events(["not for it"]).await;
        assert_eq!((client.data().await, client.end), (vec!["b".to_owned()], Some(Ended::Cut)), "{status}");
        assert_eq!(
            (other.data().await, other.end),
            (["a", "b", "not for it"].map(str::to_owned).into(), None)
        );
        assert_eq!(world.metric("respool_clients_cut_total{route=\"/*\",reason=\"revoked\"}"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn readmit_cuts_nobody_for_a_yes_or_for_a_trouble_of_the_upstreams() {
    let mut world = World::new(&config(3, AGAIN));
    let (mut client, mut upstream) = live(&mut world, "/a").await;
    for trouble in ["yes", "500", "lost", "redirect"] {
        let mut asked = asked_again(&mut world).await;
        match trouble {
            "yes" => {
                asked.begin().await;
                asked.events(["of another connection"]).await;
                assert!(asked.is_closed().await, "what it says is nobody's");
            }
            "500" => asked.refuse(500).await,
            "redirect" => asked.refuse(302).await,
            _ => drop(asked),
        }
        upstream.events([trouble]).await;
    }
    let all = ["a", "yes", "500", "lost", "redirect"].map(str::to_owned);
    assert_eq!((client.data().await, client.end), (all.into(), None));
}

#[tokio::test(start_paused = true)]
async fn readmit_is_off_unless_asked_for_and_spread_where_it_is() {
    let mut world = World::new(&config(3, ""));
    let _live = live(&mut world, "/a").await;
    sleep(Duration::from_secs(3600)).await;
    assert!(arrived(&mut world).await.is_empty());

    let mut world = World::new(&config(100, AGAIN));
    let _first = live(&mut world, "/a").await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(world.send(&event_source("/a", "")).await);
    }
    for mut asked in arrived(&mut world).await {
        asked.begin().await;
    }
    let mut counts = Vec::new();
    for seconds in [44, 5, 5, 7] {
        sleep(Duration::from_secs(seconds)).await;
        counts.push(arrived(&mut world).await.len());
    }
    assert_eq!((counts[0], counts.iter().sum::<usize>()), (0, 41), "{counts:?}");
    assert!(counts[1..].iter().all(|count| *count < 30), "not all at once: {counts:?}");
}

/// A client that moves onto the shared stream is one of its clients from then on.
#[tokio::test(start_paused = true)]
async fn readmit_asks_about_a_client_that_has_moved_onto_the_stream_too() {
    let mut world = World::new(&config(3, AGAIN));
    let (_first, mut upstream) = world.open("/a").await;
    upstream.send("id: 1\ndata: a\n\n").await;
    let mut client = world.send(&event_source("/a", "0")).await;
    let mut own = arrived(&mut world).await.remove(0);
    own.begin().await;
    own.send("id: 1\ndata: a\n\n").await;
    client.read().await;
    assert!(own.is_closed().await, "it has moved");
    sleep(Duration::from_secs(61)).await;
    for mut asked in arrived(&mut world).await {
        match asked.header("last-event-id") {
            Some(_) => asked.refuse(403).await,
            None => asked.begin().await,
        }
    }
    upstream.send("id: 2\ndata: not for it\n\n").await;
    assert_eq!((client.data().await, client.end), (vec!["a".to_owned()], Some(Ended::Cut)));
}
