//! Sessions: one upstream connection for one client, which it finds again.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Ended, Exchange, World, event_source, settle};

/// A session whose client has one event and is gone; the id that it holds, and the upstream's connection.
async fn left(world: &mut World) -> (String, Exchange) {
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    settle().await;
    (id, upstream)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_got_an_id_is_waited_for_as_long_as_linger_says() {
    let mut world = World::new("");
    let (id, mut upstream) = left(&mut world).await;
    sleep(Duration::from_secs(119)).await;
    upstream.events(["b"]).await;
    let mut back = world.event_source("/e", &id).await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
    drop(back);
    sleep(Duration::from_secs(121)).await;
    assert!(upstream.is_closed().await, "nobody came");
    let mut late = world.send(&event_source("/e", &id)).await;
    world.origin.accept().await.begin().await;
    late.read().await;
    assert_eq!(late.resume(), "gap; reason=generation");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_got_no_id_is_not_waited_for() {
    let mut world = World::new("[[route]]\npath = '/e'\nprime = false\n");
    let (client, mut upstream) = world.open("/e").await;
    drop(client);
    settle().await;
    assert!(upstream.is_closed().await, "close() reaches the upstream at once, on an idle stream too");
}

#[tokio::test(start_paused = true)]
async fn a_prime_is_an_id_that_can_be_come_back_with() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    let prime = client.id().await;
    assert_eq!(client.text(), format!("id: {prime}\n\n"));
    drop(client);
    upstream.events(["a"]).await;
    let mut back = world.event_source("/e", &prime).await;
    assert_eq!((back.data().await, back.resume()), (vec!["a".to_owned()], "resumed; missed=1"));
    assert!(!back.text().contains("-0\n"), "a resumed client gets no prime");
}

#[tokio::test(start_paused = true)]
async fn only_an_event_source_is_primed() {
    let mut world = World::new("");
    let mut client = world.send("GET /e HTTP/1.1\nHost: h\nAccept: text/event-stream").await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    client.read().await;
    assert!(client.text().starts_with("data: a\nid: r"), "{}", client.text());
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_resume_has_the_first_head_without_its_cookie() {
    let mut world = World::new("");
    let mut client = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin_with("Set-Cookie: sid=secret\nX-App: 1\nCache-Control: no-cache\n").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    assert_eq!(client.headers["set-cookie"], "sid=secret");
    drop(client);
    let back = world.event_source("/e", &id).await;
    assert_eq!(back.resume(), "resumed; missed=0");
    assert!(!back.headers.contains_key("set-cookie"));
    assert_eq!(back.headers["x-app"], "1");
    assert_eq!(back.headers["cache-control"], "no-cache", "the upstream's own stays");
    assert_eq!(back.headers["x-accel-buffering"], "no");
}

#[tokio::test(start_paused = true)]
async fn case_6_two_clients_with_one_id_both_go_on() {
    let mut world = World::new("");
    let (id, mut upstream) = left(&mut world).await;
    upstream.events(["b"]).await;
    let mut first = world.event_source("/e", &id).await;
    let mut second = world.event_source("/e", &id).await;
    upstream.events(["c"]).await;
    assert_eq!(first.data().await, ["b", "c"]);
    assert_eq!(second.data().await, ["b", "c"]);
    assert_eq!((first.end, second.end), (None, None));
    assert_eq!(world.origin.dials(), 1);
}

/// The older one reads nothing; the newer one gets everything all the same.
#[tokio::test(start_paused = true)]
async fn case_6_the_older_client_does_not_hold_the_pump_back() {
    let mut world = World::new("");
    let (id, mut upstream) = left(&mut world).await;
    world.pipe = 1000;
    let _older = world.send(&event_source("/e", &id)).await;
    settle().await;
    world.pipe = 1 << 20;
    let mut newer = world.event_source("/e", &id).await;
    let data: Vec<String> = (0..1000).map(|n| format!("{n} {}", "x".repeat(1000))).collect();
    for some in data.chunks(100) {
        upstream.events(some).await;
        newer.read().await;
    }
    assert_eq!(newer.data().await, data);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_holds_its_upstream_back_and_loses_nothing() {
    let mut world = World::new("[window]\nevents = 10\nbytes = '100KiB'\n[limits]\nevent = '10KiB'\n");
    world.pipe = 4000;
    let (mut client, mut upstream) = world.open("/e").await;
    let data: Vec<String> = (0..3000).map(|n| format!("{n} {}", "x".repeat(1000))).collect();
    let mut seen = Vec::new();
    let sending = async {
        for some in data.chunks(100) {
            upstream.events(some).await;
        }
    };
    tokio::select! {
        () = sending => panic!("3 MB were taken although the client read nothing"),
        () = sleep(Duration::from_secs(20)) => {}
    }
    seen.extend(client.data().await);
    assert!(seen.len() > 200, "what was taken was kept for it: {}", seen.len());
    assert_eq!(seen, data[..seen.len()]);
}

#[tokio::test(start_paused = true)]
async fn case_8_a_client_that_was_away_gets_the_rest_and_then_the_end() {
    let mut world = World::new("");
    let (id, mut upstream) = left(&mut world).await;
    upstream.events(["b"]).await;
    upstream.finish().await;
    let mut back = world.event_source("/e", &id).await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
    assert_eq!(back.end, Some(Ended::Properly));
}

#[tokio::test(start_paused = true)]
async fn case_8_an_id_whose_end_was_not_written_yet_gets_the_end() {
    let mut world = World::new("");
    let (id, mut upstream) = left(&mut world).await;
    upstream.finish().await;
    let back = world.event_source("/e", &id).await;
    assert_eq!((back.resume(), back.text().as_str()), ("resumed; missed=0", ""));
    assert_eq!(back.end, Some(Ended::Properly));
}

/// The end is not given before all that comes before it is with the client's socket.
#[tokio::test(start_paused = true)]
async fn case_8_an_end_behind_events_that_were_not_written_was_not_written_either() {
    let mut world = World::new("");
    world.pipe = 1024;
    let (mut client, mut upstream) = world.open("/e").await;
    let fence = client.id().await;
    upstream.events(["x".repeat(5000)]).await;
    upstream.finish().await;
    drop(client);
    world.pipe = 1 << 20;
    let last = format!("{}-1", fence.strip_suffix("-0").unwrap());
    let back = world.event_source("/e", &last).await;
    assert_eq!((back.resume(), back.end), ("resumed; missed=0", Some(Ended::Properly)));
}

#[tokio::test(start_paused = true)]
async fn case_8_an_id_whose_end_was_written_goes_to_the_upstream_as_fresh() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    upstream.finish().await;
    let id = client.id().await;
    assert_eq!(client.end, Some(Ended::Properly));
    let mut back = world.send(&event_source("/e", &id)).await;
    upstream.again().await;
    assert_eq!(upstream.header("last-event-id"), None, "ids that we made never reach the upstream");
    upstream.begin().await;
    upstream.events(["b"]).await;
    assert_eq!((back.data().await, back.resume()), (vec!["b".to_owned()], "fresh"));
}

#[tokio::test(start_paused = true)]
async fn case_8_another_method_gets_the_head_and_the_end() {
    let mut world = World::new("[[route]]\npath = '/e'\nstamp = 'always'\n");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    upstream.finish().await;
    let id = client.id().await;
    let post = format!("POST /e HTTP/1.1\nHost: h\nContent-Length: 0\nLast-Event-ID: {id}");
    let back = world.request(&post).await;
    assert_eq!((back.status, back.text().as_str(), back.end), (200, "", Some(Ended::Properly)));
}

#[tokio::test(start_paused = true)]
async fn case_8_a_session_whose_upstream_was_lost_serves_its_rest_and_cuts() {
    let mut world = World::new("");
    let (id, mut upstream) = left(&mut world).await;
    upstream.events(["b"]).await;
    drop(upstream);
    let mut back = world.event_source("/e", &id).await;
    assert_eq!(back.data().await, ["b"]);
    assert_eq!(back.end, Some(Ended::Cut));
    let last = back.id().await;
    let mut again = world.send(&event_source("/e", &last)).await;
    world.origin.accept().await.begin().await;
    again.read().await;
    assert_eq!(again.resume(), "gap; reason=generation");
}

#[tokio::test(start_paused = true)]
async fn case_8_an_ended_session_is_kept_for_linger_from_when_its_last_client_left() {
    let mut world = World::new("");
    let (id, mut upstream) = left(&mut world).await;
    upstream.events(["b", "c"]).await;
    drop(upstream);
    sleep(Duration::from_secs(115)).await;
    let cut_again = world.event_source("/e", &id).await;
    assert_eq!(cut_again.resume(), "resumed; missed=2");
    drop(cut_again);
    sleep(Duration::from_secs(115)).await;
    let mut back = world.event_source("/e", &id).await;
    assert_eq!(back.data().await, ["b", "c"]);
    drop(back);
    sleep(Duration::from_secs(121)).await;
    assert_eq!(world.metric("respool_streams{kind=\"private\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn ends_are_ends_and_losses_are_cuts() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    upstream.finish().await;
    assert_eq!((client.data().await, client.end), (vec!["a".to_owned()], Some(Ended::Properly)));
    let mut client = world.send(&event_source("/e", "")).await;
    upstream.again().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    drop(upstream);
    assert_eq!((client.data().await, client.end), (vec!["a".to_owned()], Some(Ended::Cut)));
}

#[tokio::test(start_paused = true)]
async fn case_9_a_session_lingers_only_if_its_own_request_was_sent_whole() {
    for whole in [true, false] {
        let mut world = World::new("[[route]]\npath = '/e'\nstamp = 'always'\n");
        let mut client = world.send("POST /e HTTP/1.1\nHost: h\nContent-Length: 4").await;
        client.write(if whole { b"four" } else { b"two" }).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        upstream.events(["a"]).await;
        assert_eq!(client.data().await, ["a"]);
        drop(client);
        settle().await;
        assert_eq!(upstream.is_closed().await, !whole);
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_is_resumed_by_a_post_or_a_get_and_its_body_is_not_sent_again() {
    let mut world = World::new("[[route]]\npath = '/e'\nstamp = 'always'\n");
    let mut client = world.send("POST /e HTTP/1.1\nHost: h\nContent-Length: 4").await;
    client.write(b"four").await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    upstream.events(["b"]).await;
    let mut posted =
        world.send(&format!("POST /e HTTP/1.1\nHost: h\nLast-Event-ID: {id}\nContent-Length: 4")).await;
    posted.write(b"four").await;
    assert_eq!((posted.data().await, posted.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
    let mut got = world.event_source("/e", &id).await;
    assert_eq!((got.data().await, got.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
    assert_eq!(world.origin.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_post_gets_no_ids_unless_the_route_says_so() {
    let mut world = World::new("");
    let mut client = world.send("POST /e HTTP/1.1\nHost: h\nContent-Length: 0").await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send("data: a\n\ndata: half").await;
    client.read().await;
    assert_eq!((client.text().as_str(), client.resume()), ("data: a\n\ndata: half", ""), "byte for byte");
    drop(client);
    settle().await;
    assert!(upstream.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn case_13_half_a_frame_at_the_end_is_dropped_where_we_stamp() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send("data: a\n\ndata: half").await;
    upstream.finish().await;
    assert_eq!(client.data().await, ["a"]);
    assert!(!client.text().contains("half"));
    assert_eq!(client.end, Some(Ended::Properly));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_a_comment_line_between_frames() {
    let mut world = World::new("[[route]]\npath = '/e'\nheartbeat = '15s'\nprime = false\n");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send("data: a\n\ndata: half").await;
    let mut heartbeats = Vec::new();
    for seconds in [14, 2, 13, 2] {
        sleep(Duration::from_secs(seconds)).await;
        client.read().await;
        heartbeats.push(client.text().lines().filter(|line| *line == ":").count());
    }
    assert_eq!(heartbeats, [0, 1, 1, 2], "after 15 s and 30 s of silence: {:?}", client.text());
    upstream.send(" whole\n\n").await;
    client.read().await;
    assert_eq!(client.held().data(), ["a", "half whole"]);
}

#[tokio::test(start_paused = true)]
async fn comments_that_do_not_end_do_not_wait_for_a_blank_line() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send(": heartbeat without a blank line\n").await;
    client.read().await;
    assert!(client.text().ends_with(": heartbeat without a blank line\n"));
}

#[tokio::test(start_paused = true)]
async fn an_event_beyond_the_limit_breaks_the_stream_and_nothing_else() {
    let mut world = World::new("[limits]\nevent = '1KiB'\n");
    let (mut other, mut others) = world.open("/other").await;
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    upstream.events(["x".repeat(2000)]).await;
    assert_eq!((client.data().await, client.end), (vec!["a".to_owned()], Some(Ended::Cut)));
    assert!(upstream.is_closed().await);
    others.events(["b"]).await;
    assert_eq!(other.data().await, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn over_the_limit_of_streams_a_new_one_passes_without_ids() {
    let mut world = World::new("[limits]\nstreams = 1\n");
    let (_first, _upstream) = world.open("/e").await;
    let (mut second, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    assert_eq!((second.data().await, second.resume()), (vec!["a".to_owned()], ""));
    assert_eq!(second.text(), "data: a\n\n");
}

#[tokio::test(start_paused = true)]
async fn case_18_a_drain_cuts_between_frames_and_spreads_the_cuts() {
    let mut world = World::new("[drain]\ntime = '10s'\n");
    let mut pairs = Vec::new();
    for _ in 0..20 {
        pairs.push(world.open("/e").await);
    }
    let drain = world.app.drain().clone();
    let finish = tokio::spawn(async move { drain.finish().await });
    let mut cut_at: Vec<u64> = Vec::new();
    for second in 0..10 {
        for (client, upstream) in &mut pairs {
            upstream.events([second]).await;
            if client.end.is_none() {
                client.read().await;
                cut_at.extend(client.end.map(|_| second));
            }
        }
        sleep(Duration::from_millis(900)).await;
    }
    finish.await.unwrap();
    for (client, _) in &mut pairs {
        client.read().await;
        assert_eq!(client.end, Some(Ended::Cut));
        assert!(client.text().ends_with("\n\n"), "between frames");
    }
    cut_at.dedup();
    assert!(cut_at.len() > 3, "not all at once: {cut_at:?}");
}

#[tokio::test(start_paused = true)]
async fn case_18_a_drain_cuts_streams_without_ids_between_frames_too() {
    let never = "[drain]\ntime = '10s'\n[[route]]\npath = '/never'\nstamp = 'never'\n";
    for (head, file) in [
        (
            "POST /e HTTP/1.1\nHost: h\nContent-Length: 0\nAccept: text/event-stream",
            "[drain]\ntime = '10s'\n",
        ),
        (
            "POST /e HTTP/1.0\nHost: h\nContent-Length: 0\nAccept: text/event-stream",
            "[drain]\ntime = '10s'\n",
        ),
        (event_source("/never", "").as_str(), never),
    ] {
        let mut world = World::new(file);
        let mut pairs = Vec::new();
        for n in 0..24 {
            let client = world.send(head).await;
            let mut upstream = world.origin.accept().await;
            upstream.begin().await;
            // One third stands between frames, one in the middle of one, and one gets frames that straddle its pieces.
            upstream.send(["data: a\r\n\r\n", "data: a\n\ndata: b", "data: a\n\n"][n % 3]).await;
            pairs.push((n % 3, client, upstream));
        }
        let drain = world.app.drain().clone();
        let begun = tokio::time::Instant::now();
        let finish = tokio::spawn(async move { drain.finish().await });
        let mut cut_at = Vec::new();
        while begun.elapsed() < Duration::from_millis(8500) {
            for (kind, client, upstream) in pairs.iter_mut().filter(|(_, client, _)| client.end.is_none()) {
                if *kind == 2 {
                    upstream.send("data: b\n\ndata: ").await;
                    upstream.send("c\n\n\r\ndata: d\n").await;
                    upstream.send("\ndata: e").await;
                    upstream.send("\n\n").await;
                }
                client.read().await;
                cut_at.extend(client.end.map(|_| begun.elapsed().as_secs()));
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(cut_at.len(), 16, "at {cut_at:?}");
        cut_at.dedup();
        assert!(cut_at.len() > 2 && cut_at[0] >= 4, "spread, and not at once: {cut_at:?}");
        for (kind, client, _) in &mut pairs {
            assert_eq!(client.end, (*kind != 1).then_some(Ended::Cut));
            assert!(*kind == 1 || client.text().ends_with("\n\n") || client.text().ends_with("\n\r\n"));
        }
        finish.await.unwrap();
        for (_, client, _) in &mut pairs {
            client.read().await;
            assert_eq!(client.end, Some(Ended::Cut));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_ids_that_ends_in_a_drain_ends_properly() {
    let mut world = World::new("");
    let mut client = world.send("POST /e HTTP/1.1\nHost: h\nContent-Length: 0").await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    let drain = world.app.drain().clone();
    let finish = tokio::spawn(async move { drain.finish().await });
    sleep(Duration::from_secs(3)).await;
    upstream.events(["b"]).await;
    upstream.finish().await;
    assert_eq!(
        (client.data().await.as_slice(), client.end),
        (["a", "b"].map(String::from).as_slice(), Some(Ended::Properly))
    );
    finish.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn http_1_0_clients_get_streams_too() {
    let mut world = World::new("");
    let mut client =
        world.send("GET /e HTTP/1.0\nHost: h\nAccept: text/event-stream\nCache-Control: no-cache").await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    assert_eq!(client.data().await, ["a"]);
    assert!(!client.headers.contains_key("transfer-encoding"));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_away_is_waited_for_and_then_the_client_is_cut_unanswered() {
    let mut world = World::new("");
    world.origin.set_away(true);
    let mut client: Client = world.send(&event_source("/e", "")).await;
    sleep(Duration::from_secs(4)).await;
    client.read().await;
    assert_eq!((client.status, client.end), (0, None), "held");
    sleep(Duration::from_secs(2)).await;
    client.read().await;
    assert_eq!((client.status, client.end), (0, Some(Ended::Cut)), "and cut without an answer");
    let mut client = world.send(&event_source("/e", "")).await;
    sleep(Duration::from_secs(2)).await;
    world.origin.set_away(false);
    world.origin.accept().await.begin().await;
    client.read().await;
    assert_eq!((client.status, client.resume()), (200, "fresh"), "it came back in time");
}

#[tokio::test(start_paused = true)]
async fn what_may_be_a_stream_is_asked_for_uncompressed_and_all_else_as_the_client_did() {
    let mut world = World::new("[[route]]\npath = '/e'\n[[route]]\npath = '/pass'\nmode = 'pass'\n");
    for (path, accept, wanted) in [
        ("/any", "text/event-stream", "identity"),
        ("/any", "text/html, text/event-stream;q=0.9", "identity"),
        ("/e", "*/*", "identity"),
        ("/any", "*/*", "gzip"),
        ("/pass", "text/event-stream", "gzip"),
    ] {
        let request = format!("GET {path} HTTP/1.1\nHost: h\nAccept: {accept}\nAccept-Encoding: gzip");
        let _client = world.send(&request).await;
        let upstream = world.origin.accept().await;
        assert_eq!(upstream.header("accept-encoding"), Some(wanted), "{path} {accept}");
    }
}

/// A route says that it is an event stream, whatever the client accepts.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_away_is_waited_for_where_a_route_matches() {
    let world = World::new("[[route]]\npath = '/e'\n");
    world.origin.set_away(true);
    for (path, held) in [("/e", true), ("/any", false)] {
        let mut client = world.request(&format!("GET {path} HTTP/1.1\nHost: h\nAccept: */*")).await;
        assert_eq!(client.status, if held { 0 } else { 502 }, "{path}");
        sleep(Duration::from_secs(6)).await;
        client.read().await;
        assert_eq!(client.end, Some(if held { Ended::Cut } else { Ended::Properly }));
    }
}

/// Who is not waited for is cut all the same: an `EventSource` gives up after a 502.
#[tokio::test(start_paused = true)]
async fn without_patience_an_upstream_that_is_away_is_a_cut_at_once() {
    for mode in ["private", "shared"] {
        let world = World::new(&format!("[outage]\nhold = '0s'\n[[route]]\npath = '/e'\nmode = '{mode}'\n"));
        world.origin.set_away(true);
        let client = world.event_source("/e", "").await;
        assert_eq!((client.status, client.end), (0, Some(Ended::Cut)), "{mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_no_of_the_upstream_is_the_no_of_the_client() {
    for status in [204, 301, 401, 404, 500, 503] {
        let mut world = World::new("");
        let mut client = world.send(&event_source("/e", "")).await;
        world.origin.accept().await.refuse(status).await;
        client.read().await;
        assert_eq!(client.status, status);
    }
}
