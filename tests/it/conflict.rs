//! Case 7: a client that its upstream refuses because of the connection that it had.

use crate::support::world::{Client, Ended, Exchange, World, event_source, settle};

/// A client that has this much.
async fn there(world: &mut World, path: &str, stream: &str) -> (Client, Exchange) {
    let mut client = world.send(&event_source(path, "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin_with("Set-Cookie: sid=secret\nX-App: 1\n").await;
    upstream.send(stream).await;
    client.read().await;
    (client, upstream)
}

/// A session whose client had an event, and is gone while two more came.
async fn left(world: &mut World) -> Exchange {
    let (client, mut upstream) = there(world, "/e", "data: a\n\n").await;
    drop(client);
    settle().await;
    upstream.events(["b", "c"]).await;
    upstream
}

/// A client whose own request the upstream answers like this.
async fn answered(world: &mut World, request: &str, status: u16) -> Client {
    let mut client = world.send(request).await;
    let mut asked = world.origin.accept().await;
    asked.raw(format!("HTTP/1.1 {status} No\r\nContent-Length: 4\r\n\r\nbusy")).await;
    client.read().await;
    client
}

async fn refused(world: &mut World, id: &str) -> Client {
    answered(world, &event_source("/e", id), 409).await
}

#[track_caller]
fn passed(client: &Client, status: u16) {
    let seen = (client.status, client.text(), client.resume(), client.end);
    assert_eq!(seen, (status, "busy".to_owned(), "", Some(Ended::Properly)));
}

#[tokio::test(start_paused = true)]
async fn case_7_it_goes_on_where_the_former_client_was_left() {
    let mut world = World::new("");
    let mut upstream = left(&mut world).await;
    let mut client = refused(&mut world, "").await;
    assert_eq!((client.status, client.resume()), (200, "resumed; missed=2"));
    assert_eq!((client.headers["x-app"].as_str(), client.headers.contains_key("set-cookie")), ("1", false));
    upstream.events(["d"]).await;
    assert_eq!(client.data().await, ["b", "c", "d"]);
    let id = client.id().await;
    drop(client);
    let back = world.event_source("/e", &id).await;
    assert_eq!((back.resume(), world.origin.dials()), ("resumed; missed=0", 2), "it is its session now");
}

#[tokio::test(start_paused = true)]
async fn case_7_whatever_id_it_brings() {
    for id in ["42", "r0000000000000-7", "r00000000000000000000-0"] {
        let mut world = World::new("");
        let _upstream = left(&mut world).await;
        assert_eq!(refused(&mut world, id).await.resume(), "resumed; missed=2", "{id}");
    }
}

/// By 3.6: it was older than the window, or of another generation.
#[tokio::test(start_paused = true)]
async fn case_7_where_that_place_is_gone_there_is_a_gap() {
    const RESET: &str = "event: reset\ndata: r\n\ndata: d\n\ndata: e\n\n";
    for (config, more, reason) in [
        ("window = { events = 2 }\n[[route]]\npath = '/e'\n", "data: d\n\ndata: e\n\n", "expired"),
        ("[[route]]\npath = '/e'\nreset = 'reset'\n", RESET, "generation"),
    ] {
        for (on_gap, replayed) in [("fresh", &[][..]), ("replay", &["d", "e"][..])] {
            let wording = "gap_event = { event = 'gap', data = '{reason}' }";
            let mut world = World::new(&format!("{config}on_gap = '{on_gap}'\n{wording}\n"));
            let mut upstream = left(&mut world).await;
            upstream.send(more).await;
            let mut client = refused(&mut world, "").await;
            upstream.events(["f"]).await;
            let mut expected = vec![reason];
            expected.extend(replayed);
            expected.push("f");
            assert_eq!(client.data().await, expected);
            assert_eq!(client.resume(), format!("gap; reason={reason}"));
            let id = client.id().await;
            assert_eq!(world.event_source("/e", &id).await.resume(), "resumed; missed=0", "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn case_7_age_takes_that_place_too() {
    let mut world = World::new("window = { age = '1m' }\n");
    let _upstream = left(&mut world).await;
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    let client = refused(&mut world, "").await;
    assert_eq!((client.held().data(), client.resume()), (vec![], "gap; reason=expired"));
}

/// Who had the reset has nothing from before it to miss.
#[tokio::test(start_paused = true)]
async fn case_7_a_place_behind_a_reset_is_here() {
    let mut world = World::new("[[route]]\npath = '/e'\nreset = 'reset'\n");
    let (client, mut upstream) = there(&mut world, "/e", "event: reset\ndata: r\n\n").await;
    drop(client);
    settle().await;
    upstream.events(["d"]).await;
    let client = refused(&mut world, "").await;
    assert_eq!((client.held().data(), client.resume()), (vec!["d"], "resumed; missed=1"));
}

/// The last place counts, not the first client's, nor one that was only asked for.
#[tokio::test(start_paused = true)]
async fn case_7_what_was_withdrawn_meanwhile_is_not_missed() {
    let mut world =
        World::new("[[route]]\npath = '/e'\n[[route.guard]]\nopen = 'ask'\nclose = 'reply'\nkey = '/id'\n");
    let mut upstream = left(&mut world).await;
    for kind in ["ask", "reply"] {
        upstream.send(format!("event: {kind}\ndata: {{\"id\":1}}\n\n")).await;
    }
    let client = refused(&mut world, "").await;
    assert_eq!((client.resume(), client.held().data()), ("resumed; missed=3", vec!["b", "c", "{\"id\":1}"]));
}

#[tokio::test(start_paused = true)]
async fn case_7_the_place_is_that_of_the_client_that_was_there_last() {
    let mut world = World::new("window = { events = 2 }\n");
    let (mut client, mut upstream) = there(&mut world, "/e", "data: a\n\n").await;
    let id = client.id().await;
    drop(client);
    settle().await;
    upstream.events(["b"]).await;
    let mut client = world.event_source("/e", &id).await;
    upstream.events(["c"]).await;
    assert_eq!(client.data().await, ["b", "c"]);
    drop(client);
    settle().await;
    upstream.events(["d"]).await;
    // The first id is beyond the window by now: its client is a new one, and takes no place in passing.
    passed(&answered(&mut world, &event_source("/e", &id), 503).await, 503);
    upstream.events(["e"]).await;
    let mut client = refused(&mut world, "").await;
    assert_eq!((client.data().await, client.resume()), (vec!["d".into(), "e".into()], "resumed; missed=2"));
}

#[tokio::test(start_paused = true)]
async fn case_7_of_several_sessions_the_one_that_was_left_last() {
    let mut world = World::new("");
    let mut all = Vec::new();
    for name in ["one", "two", "three"] {
        all.push(there(&mut world, "/e", &format!("data: {name}\n\n")).await);
    }
    let (_three, mut third) = all.pop().unwrap();
    let (two, mut second) = all.pop().unwrap();
    let (one, mut first) = all.pop().unwrap();
    drop(two);
    settle().await;
    drop(one);
    settle().await;
    for upstream in [&mut first, &mut second, &mut third] {
        upstream.events(["more"]).await;
    }
    let mut client = refused(&mut world, "").await;
    first.events(["first"]).await;
    assert_eq!(client.data().await, ["more", "first"]);
    let mut other = refused(&mut world, "").await;
    second.events(["second"]).await;
    assert_eq!(other.data().await, ["more", "second"]);
    passed(&refused(&mut world, "").await, 409);
}

#[tokio::test(start_paused = true)]
async fn case_7_of_two_that_come_at_once_one_is_refused() {
    let mut world = World::new("");
    let _upstream = left(&mut world).await;
    let mut clients = [world.send(&event_source("/e", "")).await, world.send(&event_source("/e", "")).await];
    let mut asked = [world.origin.accept().await, world.origin.accept().await];
    for asked in &mut asked {
        asked.raw("HTTP/1.1 409 No\r\nContent-Length: 4\r\n\r\nbusy").await;
    }
    for client in &mut clients {
        client.read().await;
    }
    assert_eq!((clients[0].resume(), clients[0].held().data()), ("resumed; missed=2", vec!["b", "c"]));
    passed(&clients[1], 409);
}

#[tokio::test(start_paused = true)]
async fn case_7_another_answer_is_the_clients() {
    for status in [400, 403, 423, 429, 500, 503] {
        let mut world = World::new("");
        let _upstream = left(&mut world).await;
        passed(&answered(&mut world, &event_source("/e", ""), status).await, status);
    }
}

#[tokio::test(start_paused = true)]
async fn case_7_only_a_get_without_a_body_that_gets_ids_and_means_the_same() {
    let plain = |method: &str, more: &str| {
        format!("{method} /e HTTP/1.1\nHost: h\nAccept: text/event-stream\nCache-Control: no-cache{more}")
    };
    const ALWAYS: &str = "[[route]]\npath = '/e'\nstamp = 'always'\n";
    for (config, request) in [
        (ALWAYS, plain("POST", "\nContent-Length: 0")),
        (ALWAYS, plain("DELETE", "")),
        (ALWAYS, plain("GET", "\nContent-Length: 1\n\nx")),
        (ALWAYS, plain("GET", "\nCookie: sid=1")),
        (ALWAYS, plain("GET", "").replace("/e ", "/e?x ")),
        (
            "[[route]]\npath = '/e'\nkey = ['path']\n",
            plain("GET", "\nOrigin: http://other").replace("no-cache", "max-age=0"),
        ),
    ] {
        let mut world = World::new(config);
        let _upstream = left(&mut world).await;
        passed(&answered(&mut world, &request, 409).await, 409);
    }
    let mut world = World::new("");
    let _attached = there(&mut world, "/e", "data: a\n\n").await;
    passed(&refused(&mut world, "").await, 409);
}

#[tokio::test(start_paused = true)]
async fn case_7_an_ended_session_is_in_nobodys_way() {
    for finished in [true, false] {
        let mut world = World::new("");
        let mut upstream = left(&mut world).await;
        if finished {
            upstream.finish().await;
        }
        drop(upstream);
        settle().await;
        passed(&refused(&mut world, "").await, 409);
    }
}

/// What is said to one client of a shared route is not for another, whom the upstream has refused.
#[tokio::test(start_paused = true)]
async fn case_7_not_on_shared_routes() {
    let mut world = World::new("[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nstamp = 'always'\n");
    let mut own = world.send("POST /e HTTP/1.1\nHost: h\nContent-Length: 0\nCookie: sid=1").await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    own.read().await;
    drop(own);
    settle().await;
    for id in ["42", ""] {
        passed(&refused(&mut world, id).await, 409);
    }
    assert!(!upstream.is_closed().await, "it waits for its own client");
}

/// What was written to a connection that was dead already is no proof that its client has it.
#[tokio::test(start_paused = true)]
async fn case_7_an_id_of_that_very_session_says_what_its_client_has() {
    let mut world = World::new("window = { events = 2 }\n");
    let (mut client, mut upstream) = there(&mut world, "/e", "data: a\n\n").await;
    let id = client.id().await;
    upstream.events(["b", "c", "d", "e"]).await;
    drop(client);
    settle().await;
    assert_eq!(refused(&mut world, &id).await.resume(), "gap; reason=expired");
}

/// Of two that find the gap the first may never have heard of it.
#[tokio::test(start_paused = true)]
async fn case_7_a_gap_is_told_until_somebody_has_taken_something() {
    let mut world = World::new("window = { events = 1 }\n");
    let mut upstream = left(&mut world).await;
    upstream.events(["d"]).await;
    let lost = world.send(&event_source("/e", "")).await;
    let mut asked = world.origin.accept().await;
    asked.raw("HTTP/1.1 409 No\r\nContent-Length: 4\r\n\r\nbusy").await;
    drop((lost, asked));
    settle().await;
    let mut back = refused(&mut world, "").await;
    assert_eq!(back.resume(), "gap; reason=expired");
    upstream.events(["e"]).await;
    back.read().await;
    drop(back);
    settle().await;
    assert_eq!(refused(&mut world, "").await.resume(), "resumed; missed=0");
}

/// By 3.8, and since the upstream may know what it has.
#[tokio::test(start_paused = true)]
async fn case_7_a_client_with_an_id_of_the_upstreams_keeps_it_over_a_gap() {
    for (ids, event) in [("keep", ""), ("hidden", "gap_event = { event = 'gap', data = '{reason}' }\n")] {
        let route = "[[route]]\npath = '/e'\nmatch_upstream_ids = false";
        let route = if ids == "hidden" { "[[route]]\npath = '/e'" } else { route };
        let mut world = World::new(&format!("window = {{ events = 1 }}\n{route}\nids = '{ids}'\n{event}"));
        let mut upstream = left(&mut world).await;
        upstream.events(["d"]).await;
        let mut client = refused(&mut world, "42").await;
        assert_eq!(client.resume(), "gap; reason=expired");
        let held = crate::support::reader::read(&client.body, "42");
        assert_eq!(
            (held.id.as_str(), held.events.iter().all(|event| event.id == "42")),
            ("42", true),
            "{ids}"
        );
        client.read().await;
    }
}
