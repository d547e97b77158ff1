//! Cursors in the query, of clients that cannot set a header.

use crate::support::world::{Client, Exchange, World, event_source, settle};

const PRIVATE: &str = "[[route]]\npath = '/e'\n";
const SHARED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nadmit = 'none'\n";
const ASKED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\n";

/// A stream whose client has this much of it and is gone, while more came.
async fn left(world: &mut World, path: &str, before: &str, after: &str) -> (String, Exchange) {
    let (mut client, mut upstream) = world.open(path).await;
    upstream.send(before).await;
    let id = client.id().await;
    drop(client);
    settle().await;
    upstream.send(after).await;
    (id, upstream)
}

/// A client that asks the upstream itself; the address that arrived there.
async fn asking(world: &mut World, request: &str) -> (Client, Exchange, String) {
    let mut client = world.send(request).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    client.read().await;
    let target = upstream.request.split(' ').nth(1).unwrap().to_owned();
    (client, upstream, target)
}

#[tokio::test(start_paused = true)]
async fn an_id_of_ours_in_the_query_resumes_under_every_name_that_polyfills_use() {
    for config in ["", PRIVATE, SHARED] {
        for name in ["lastEventId", "evs_last_event_id", "Last-Event-ID", "lastEventID", "last%2Devent-id"] {
            let mut world = World::new(config);
            let (id, _upstream) = left(&mut world, "/e?a=1", "data: a\n\n", "data: b\n\n").await;
            let mut back = world.event_source(&format!("/e?a=1&{name}={id}"), "").await;
            assert_eq!(back.resume(), "resumed; missed=1", "{config} {name}");
            assert_eq!(back.data().await, ["b"]);
            assert_eq!(world.origin.dials(), 1);
        }
    }
}

/// What Yaffle's leaves of an address that had a parameter of this name already.
#[tokio::test(start_paused = true)]
async fn where_the_parameter_stands_does_not_matter() {
    for config in [PRIVATE, SHARED] {
        for (first, back) in [
            ("/e", "/e?lastEventId=ID"),
            ("/e?", "/e?&lastEventId=ID"),
            ("/e?lastEventId=&a=1", "/e?&a=1&lastEventId=ID"),
        ] {
            let mut world = World::new(config);
            let (id, _upstream) = left(&mut world, first, "data: a\n\n", "data: b\n\n").await;
            let back = world.event_source(&back.replace("ID", &id), "").await;
            assert_eq!(back.resume(), "resumed; missed=1", "{config} {first}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_header_wins_and_of_parameters_the_last_that_is_not_empty() {
    for config in [PRIVATE, SHARED] {
        let mut world = World::new(config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events(["a"]).await;
        let early = client.id().await;
        upstream.events(["b"]).await;
        let late = client.id().await;
        for (path, header, missed) in [
            (format!("/e?lastEventId={early}"), late.as_str(), 0),
            (format!("/e?lastEventId={early}&evs_last_event_id={late}&lastEventId="), "", 0),
            (format!("/e?lastEventId={late}&lastEventId={early}"), "", 1),
        ] {
            let back = world.event_source(&path, header).await;
            assert_eq!(back.resume(), format!("resumed; missed={missed}"), "{path}");
        }
        let request = format!("{}\nLast-Event-ID: ", event_source(&format!("/e?lastEventId={late}"), ""));
        assert_eq!(world.request(&request).await.resume(), "resumed; missed=0", "an empty line is no cursor");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_of_ours_never_reaches_the_upstream_and_all_else_does() {
    let ours = "r0000000000000-7";
    for (path, target) in [
        (format!("/e?lastEventId={ours}"), "/e"),
        (format!("/e?&lastEventId={ours}"), "/e"),
        (format!("/e?a=%20&&lastEventId={ours}&b=+"), "/e?a=%20&&b=+"),
        (format!("/e?lastEventId=r000000000000%30-7&Last-Event-ID={ours}&lastEventId=5"), "/e?lastEventId=5"),
    ] {
        for config in [PRIVATE, ASKED] {
            let mut world = World::new(config);
            let (client, _upstream, seen) = asking(&mut world, &event_source(&path, "")).await;
            // A shared stream is not opened with a place of one client.
            let target = if config == ASKED { target.split("?lastEventId").next().unwrap() } else { target };
            assert_eq!(seen, target);
            let said = if path.ends_with('5') { "fresh" } else { "gap; reason=generation" };
            assert_eq!(client.resume(), said, "{path}");
        }
    }
    let mut world = World::new(PRIVATE);
    let request = event_source(&format!("/e?lastEventId={ours}"), "7");
    let (client, upstream, seen) = asking(&mut world, &request).await;
    assert_eq!(
        (seen.as_str(), upstream.header("last-event-id"), client.resume()),
        ("/e", Some("7"), "foreign")
    );
}

#[tokio::test(start_paused = true)]
async fn an_id_of_ours_is_hidden_where_nothing_else_is_done_too() {
    for method in ["HEAD", "OPTIONS", "POST"] {
        let mut world = World::new("");
        let request =
            format!("{method} /e?a&lastEventId=r0000000000000-7&b HTTP/1.1\nHost: h\nContent-Length: 0");
        let _client = world.send(&request).await;
        assert!(world.origin.accept().await.request.starts_with(&format!("{method} /e?a&b HTTP/1.1")));
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_window_knows_is_no_cursor_and_goes_on_untouched() {
    for config in [PRIVATE, ASKED] {
        let mut world = World::new(config);
        let (_first, _pump) = world.open("/e").await;
        let path = "/e?&lastEventId=42&lastEventId=";
        let (mut client, upstream, seen) = asking(&mut world, &event_source(path, "")).await;
        assert_eq!((client.resume(), seen.as_str(), upstream.header("last-event-id")), ("fresh", path, None));
        assert!(client.id().await.starts_with('r'), "it is primed as any new client");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_of_the_upstreams_that_the_shared_window_holds_is_a_cursor() {
    let mut world = World::new(ASKED);
    let (_id, _upstream) = left(&mut world, "/e", "id: a b+c\ndata: a\n\n", "data: b\n\n").await;
    let path = "/e?lastEventId=a%20b%2Bc";
    let (client, _admission, seen) = asking(&mut world, &event_source(path, "")).await;
    assert_eq!((client.resume(), seen.as_str()), ("resumed; missed=1", path));
}

#[tokio::test(start_paused = true)]
async fn a_shared_stream_is_opened_and_opened_again_without_a_clients_place() {
    let mut world = World::new(SHARED);
    let (_client, upstream, seen) = asking(&mut world, &event_source("/e?a=1&lastEventId=42", "")).await;
    assert_eq!(seen, "/e?a=1");
    drop(upstream);
    let again = world.origin.accept().await;
    assert!(again.request.starts_with("GET /e?a=1 "), "{}", again.request);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_turns_it_off() {
    let mut world = World::new("[[route]]\npath = '/e'\ncursor_query = []\n");
    let (id, _upstream) = left(&mut world, "/e", "data: a\n\n", "data: b\n\n").await;
    let path = format!("/e?lastEventId={id}");
    let (client, _upstream, seen) = asking(&mut world, &event_source(&path, "")).await;
    assert_eq!((client.resume(), seen.as_str()), ("fresh", path.as_str()));
}

#[tokio::test(start_paused = true)]
async fn other_names_are_the_operators_to_give() {
    let mut world = World::new("[[route]]\npath = '/e'\ncursor_query = 'since[id]'\n");
    let (id, _upstream) = left(&mut world, "/e", "data: a\n\n", "data: b\n\n").await;
    for name in ["since[id]", "since%5Bid%5D"] {
        assert_eq!(world.event_source(&format!("/e?{name}={id}"), "").await.resume(), "resumed; missed=1");
    }
}
