//! What a client is sent: which answers are streams, what stays as the upstream sent it, who gets ids, and where.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

use crate::support::{
    Binary, End, reader, within,
    world::{Client, Ended, Exchange, World, event_source, settle},
};

const PLAIN: &str = "[[route]]\npath = '/e'\nprime = false\n";
const POST: &str = "POST /e HTTP/1.1\nHost: h\nContent-Length: 0";

/// Both kinds of stream, without a prime, and with these lines in their route.
fn kinds(lines: &str) -> [String; 2] {
    ["", "mode = 'shared'\nkey = ['path']\nadmit = 'none'\n"].map(|mode| format!("{PLAIN}{mode}{lines}\n"))
}

/// A client that sends this, and the upstream's connection for it, which answers with a stream.
async fn open(world: &mut World, request: &str) -> (Client, Exchange) {
    let client = world.send(request).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    (client, upstream)
}

/// A stream less the id lines that we put in.
fn without_ours(stream: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let content = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let end = if rest[content..].starts_with(b"\r\n") { 2 } else { 1 };
        let (line, more) = rest.split_at((content + end).min(rest.len()));
        lines.push(line);
        rest = more;
    }
    lines.retain(|line| !line.starts_with(b"id: r"));
    lines.concat()
}

#[tokio::test(start_paused = true)]
async fn the_response_decides_what_is_an_event_stream() {
    let plain = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked";
    for (head, is) in [
        (format!("200 OK\r\n{plain}"), true),
        (
            "200 OK\r\nContent-Type: Text/EVENT-Stream ; charset=latin1\r\nTransfer-Encoding: chunked".into(),
            true,
        ),
        (format!("200 OK\r\n{plain}\r\nContent-Encoding: none"), true),
        (format!("200 OK\r\n{plain}\r\nContent-Encoding: gzip"), false),
        (format!("201 Created\r\n{plain}"), false),
        (format!("210 Odd\r\n{plain}"), false),
        (format!("404 Not Found\r\n{plain}"), false),
        (format!("503 Away\r\n{plain}"), false),
        ("200 OK\r\nContent-Type: text/event-streams\r\nTransfer-Encoding: chunked".into(), false),
        ("200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked".into(), false),
        ("200 OK\r\nTransfer-Encoding: chunked".into(), false),
        ("200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9".into(), false),
    ] {
        let mut world = World::new("");
        let mut client = world.send(&event_source("/e", "")).await;
        let mut upstream = world.origin.accept().await;
        let body = if head.contains("chunked") { "9\r\ndata: a\n\n\r\n0\r\n\r\n" } else { "data: a\n\n" };
        upstream.raw(format!("HTTP/1.1 {head}\r\n\r\n{body}")).await;
        client.read().await;
        assert_eq!(client.status.to_string(), head[..3]);
        assert_eq!(client.resume(), if is { "fresh" } else { "" }, "{head}");
        assert_eq!(client.text() == "data: a\n\n", !is, "{head}: {}", client.text());
        assert_eq!(client.end, Some(Ended::Properly));
        let kind = head.lines().find_map(|line| line.strip_prefix("Content-Type: "));
        assert_eq!(client.headers.get("content-type").map(String::as_str), kind, "verbatim");
    }
}

#[tokio::test(start_paused = true)]
async fn head_and_options_and_a_route_that_passes_are_left_alone() {
    for (config, method) in
        [("", "HEAD"), ("", "OPTIONS"), ("[[route]]\npath = '/e'\nmode = 'pass'\nheartbeat = '1s'\n", "GET")]
    {
        // What passes on a route has nothing else said of it.
        let mut world = World::new(config.strip_suffix("heartbeat = '1s'\n").unwrap_or(config));
        let (mut client, mut upstream) =
            open(&mut world, &event_source("/e", "").replace("GET", method)).await;
        if method != "HEAD" {
            upstream.send("data: a\n\ndata: half").await;
        }
        sleep(Duration::from_secs(60)).await;
        client.read().await;
        assert_eq!((client.status, client.resume()), (200, ""), "{method}");
        assert_eq!(client.text(), if method == "HEAD" { "" } else { "data: a\n\ndata: half" });
        assert!(!client.headers.contains_key("x-accel-buffering"), "{}", client.head);
        assert_eq!(world.metric("respool_streams{kind=\"private\"}"), 0);
    }
}

/// Fields that nobody knows, in every way to write them; bytes that are no UTF-8; all line ends.
const ODD: &[&[u8]] = &[
    b"data: one\n\n",
    b"\n\r\n\n",
    b": comment\n\n",
    b"Data: no\n data: no\ndata : no\ndata:  two\ndata:\tthree\ndata\n\n",
    b"\xEF\xBB\xBFdata: no mark here\ndata: b\n\n",
    b"data: \xFF\xC3 nul \0 \xF0\x9F\x98\r\n: within\r\nevent: a\r\nevent: b\r\n\r\n",
    b"data: CR\rfoo: bar\r\r",
    b"retry: 7\nretry: 1x\n\n",
    b"event: nothing to dispatch\n\n",
    b"data: {\"n\":1}\n\n",
];

#[tokio::test(start_paused = true)]
async fn a_stream_is_byte_for_byte_but_for_its_mark_and_id_lines_live_and_replayed() {
    for config in kinds("") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send(b"\xEF\xBB\xBFdata: zero\n\n").await;
        let id = client.id().await;
        upstream.send(ODD.concat()).await;
        client.read().await;
        let sent = [b"data: zero\n\n", &ODD.concat()[..]].concat();
        assert_eq!(
            without_ours(&client.body).escape_ascii().to_string(),
            sent.escape_ascii().to_string(),
            "{config}"
        );
        let back = world.event_source("/e", &id).await;
        let events = [0, 3, 4, 5, 6, 9].map(|n| ODD[n]).concat();
        let replayed = back.body.strip_prefix(b"retry: 7\n").expect("the time to come back after");
        assert_eq!(
            without_ours(replayed).escape_ascii().to_string(),
            events.escape_ascii().to_string(),
            "{config}"
        );
        assert_eq!(back.held().data(), client.held().data()[1..]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_head_goes_out_at_once_with_what_a_stream_needs() {
    for (asked, answered, cache, connection) in [
        ("", "", "no-store", None),
        ("", "Cache-Control: no-cache, private\n", "no-cache, private", None),
        ("", "Connection: close\nX-Accel-Buffering: yes\n", "no-store", None),
        ("\nConnection: close", "", "no-store", Some("close")),
    ] {
        let mut world = World::new("");
        let mut client = world.send(&(event_source("/e", "") + asked)).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin_with(answered).await;
        client.read().await;
        assert_eq!(client.status, 200, "before any event");
        assert_eq!(client.headers["cache-control"], cache);
        assert_eq!(client.headers["x-accel-buffering"], "no");
        assert_eq!(client.headers.get("connection").map(String::as_str), connection);
    }
}

#[tokio::test(start_paused = true)]
async fn a_complete_frame_waits_for_nothing_and_an_incomplete_one_is_held() {
    for config in kinds("heartbeat = 'none'") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("data: a\n\ndata: b\n: within\nevent: x").await;
        client.read().await;
        assert_eq!(without_ours(&client.body), b"data: a\n\n");
        sleep(Duration::from_secs(60)).await;
        client.read().await;
        assert_eq!(without_ours(&client.body), b"data: a\n\n", "however long it takes");
        upstream.send("\n\n").await;
        client.read().await;
        assert_eq!(without_ours(&client.body), b"data: a\n\ndata: b\n: within\nevent: x\n\n");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_line_stands_right_before_the_blank_line_in_the_frames_own_line_end() {
    for config in kinds("") {
        for (sent, got) in [
            ("data: a\n\n", "data: a\nid: OURS\n\n"),
            ("data: a\r\nevent: x\r\n\r\n", "data: a\r\nevent: x\r\nid: OURS\r\n\r\n"),
            ("data: a\r\r", "data: a\rid: OURS\r\r"),
            ("id: 7\r\nevent: x\r\ndata: b\r\n\r\n", "event: x\r\ndata: b\r\nid: 7\r\n\r\n"),
            ("id:7\ndata: b\nid:  8\n: c\n\n", "data: b\n: c\nid:7\nid:  8\n\n"),
        ] {
            let mut world = World::new(&config);
            let (mut client, mut upstream) = world.open("/e").await;
            upstream.send(sent).await;
            let id = client.id().await;
            assert_eq!(client.text(), got.replace("OURS", &id), "{sent:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_gets_ids() {
    let fetch = "GET /e HTTP/1.1\nHost: h\nAccept: text/event-stream";
    let elsewhere = "\nOrigin: http://elsewhere";
    for (stamp, request, gets) in [
        ("auto", fetch.to_owned(), true),
        ("auto", format!("{fetch}\nOrigin: http://h"), true),
        ("auto", format!("{fetch}{elsewhere}"), false),
        ("auto", event_source("/e", "") + elsewhere, true),
        ("auto", POST.to_owned(), false),
        ("always", POST.to_owned(), true),
        ("always", format!("{fetch}{elsewhere}"), true),
        ("never", event_source("/e", ""), false),
    ] {
        // Where nobody gets ids there is no more to be said.
        let more = if stamp == "never" { "" } else { "prime = false\nheartbeat = '1s'\n" };
        let mut world = World::new(&format!("[[route]]\npath = '/e'\nstamp = '{stamp}'\n{more}"));
        let (mut client, mut upstream) = open(&mut world, &request).await;
        upstream.send("data: a\n\n").await;
        client.read().await;
        assert_eq!(client.resume(), if gets { "fresh" } else { "" }, "{stamp} {request}");
        assert_eq!(client.text() == "data: a\n\n", !gets, "{stamp} {request}: {}", client.text());
        // Without them nothing is kept, nor is anything added.
        assert_eq!(world.metric("respool_streams{kind=\"private\"}"), u64::from(gets));
        sleep(Duration::from_secs(3)).await;
        client.read().await;
        assert_eq!(client.text().ends_with(":\n"), gets, "{stamp} {request}: {}", client.text());
        drop(client);
        settle().await;
        assert_eq!(upstream.is_closed().await, !gets, "{stamp} {request}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_of_ours_is_r_and_a_generation_of_fixed_length_and_a_number_that_rises_by_one() {
    for (config, digits) in kinds("").iter().zip([24, 13]) {
        let mut world = World::new(config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events(0..12).await;
        client.read().await;
        let ids: Vec<_> = client.held().events.iter().map(|event| event.id.clone()).collect();
        let (generation, _) = ids[0].strip_prefix('r').unwrap().split_once('-').unwrap();
        assert_eq!(generation.len(), digits);
        assert!(generation.chars().all(|c| matches!(c, '0'..='9' | 'a'..='v')), "{generation}");
        let expected: Vec<_> = (1..=12).map(|seq| format!("r{generation}-{seq}")).collect();
        assert_eq!(ids, expected);
    }
}

/// Ids in every awkward place, behind one that says that the upstream has its own.
#[tokio::test(start_paused = true)]
async fn a_page_sees_ids_of_the_upstreams_as_without_us() {
    let stream = "id: 0\ndata: 0\n\ndata: 1\n\nid: a\ndata: 2\n\nid: x\0y\ndata: 3\n\nid\ndata: 4\n\n\
        id: caf\u{e9} \u{1f600}, \"unsafe\"\r\ndata: 5\r\n\r\nid: lone\n\ndata: 6\n\nid: b\ndata: 7\nid: c\n\n\
        id: d\nid: z\0\ndata: 8\n\nid:\n\ndata: 9\n\nid:  two\ndata: 10\n\nId: no\nid : no\ndata: 11\n\n";
    for config in kinds("") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send(stream).await;
        client.read().await;
        assert_eq!(client.held(), reader::read(stream.as_bytes(), ""), "{config}");
    }
}

/// What is asked for is found before the upstream is asked, and kept until it has answered.
#[tokio::test(start_paused = true)]
async fn the_judgement_is_made_when_the_request_arrives() {
    let mut world =
        World::new(&format!("{PLAIN}mode = 'shared'\nkey = ['path']\nwindow = {{ events = 2 }}\n"));
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["1"]).await;
    let id = client.id().await;
    drop(client);
    upstream.events(["2", "3"]).await;
    let mut back = world.send(&event_source("/e", &id)).await;
    let mut asked = world.origin.accept().await;
    upstream.events(4..50).await;
    asked.begin().await;
    let all: Vec<_> = (2..50).map(|n| n.to_string()).collect();
    assert_eq!((back.data().await, back.resume()), (all, "resumed; missed=2"));
}

#[tokio::test(start_paused = true)]
async fn control_frames_pass_live_and_are_not_replayed_but_for_the_last_valid_retry() {
    let frames =
        [": c\n\n", "retry: 0250\n\n", "event: ping\n\n", "retry: 1x\n\n", "retry: -1\n\n", "retry\n\n"];
    for config in kinds("") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("data: a\n\n").await;
        let id = client.id().await;
        for frame in frames {
            upstream.send(frame).await;
        }
        upstream.send("data: b\n\n").await;
        client.read().await;
        let all = format!("data: a\n\n{}data: b\n\n", frames.concat());
        assert_eq!(without_ours(&client.body), all.as_bytes());
        let back = world.event_source("/e", &id).await;
        assert_eq!((back.resume(), back.held().retry), ("resumed; missed=1", Some(250)));
        assert_eq!(without_ours(&back.body), b"retry: 0250\ndata: b\n\n");
    }
}

/// A body that only its connection frames: when it is closed it has ended, when it is reset it was lost.
#[tokio::test]
async fn a_stream_without_a_frame_of_its_own_is_lost_when_reset_and_ended_when_closed() {
    within(async {
        for reset in [false, true] {
            let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let binary = Binary::to(upstream.local_addr().unwrap()).await;
            let mut client = binary.connect().await;
            client.send(event_source("/e", "").replace('\n', "\r\n") + "\r\n\r\n").await;
            let (mut socket, _) = upstream.accept().await.unwrap();
            // What is closed with something unread is reset.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(socket.read_u8().await.unwrap());
            }
            socket
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n")
                .await
                .unwrap();
            client.head().await;
            let mut seen = String::new();
            while !seen.contains("data: a") {
                seen += &String::from_utf8(client.unasked().await).unwrap();
            }
            if reset {
                socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(socket);
            let (_, _, end) = client.chunked().await;
            assert_eq!(end, if reset { End::Cut } else { End::Whole }, "reset: {reset}");
        }
    })
    .await;
}

/// Some servers send their head with the first event.
#[tokio::test(start_paused = true)]
async fn there_is_no_time_limit_on_the_upstreams_head() {
    for config in kinds("") {
        let mut world = World::new(&config);
        let mut client = world.send(&event_source("/e", "")).await;
        let mut upstream = world.origin.accept().await;
        sleep(Duration::from_secs(3600)).await;
        upstream.begin().await;
        upstream.events(["a"]).await;
        assert_eq!((client.data().await, client.resume()), (vec!["a".to_owned()], "fresh"), "{config}");
        assert_eq!(world.origin.dials(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_private_pump_never_reconnects() {
    let mut world = World::new("");
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a"]).await;
    drop(upstream);
    assert_eq!((client.data().await, client.end), (vec!["a".to_owned()], Some(Ended::Cut)));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.origin.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_is_asked_a_head_for_any_origin_lets_every_origin_in() {
    let mut world = World::new(&kinds("")[1]);
    let mut first = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin_with("Access-Control-Allow-Origin: *\n").await;
    first.read().await;
    let other = world.request(&(event_source("/e", "") + "\nOrigin: http://elsewhere")).await;
    assert_eq!((other.status, other.headers["access-control-allow-origin"].as_str()), (200, "*"));
    assert_eq!(world.origin.dials(), 1);
}

/// What an upstream had sent of a frame when it was lost is no part of what its next connection sends.
#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_on_over_a_loss_begins_a_frame_anew() {
    let mut world = World::new(&kinds("upstream_resumes = true")[1]);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send("id: 1\ndata: 1\n\nid: 2\ndata: ha").await;
    client.read().await;
    drop(upstream);
    let mut again = world.origin.accept().await;
    assert_eq!(again.header("last-event-id"), Some("1"));
    again.begin().await;
    again.send("id: 2\ndata: half no more\n\n").await;
    assert_eq!(client.data().await, ["1", "half no more"]);
    assert_eq!(client.end, None);
}

/// Where nobody resumes, nothing of what a slow client has not taken may be thrown away or cut.
#[tokio::test(start_paused = true)]
async fn case_12_a_stream_without_ids_waits_for_its_client() {
    let mut world = World::new("");
    world.pipe = 3000;
    let (mut client, mut upstream) = open(&mut world, POST).await;
    let data: Vec<_> = (0..100).map(|n| format!("{n} {}", "x".repeat(1000))).collect();
    upstream.events(&data).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!((client.data().await, client.end), (data, None));
}

#[tokio::test(start_paused = true)]
async fn case_13_half_a_frame_at_the_end_passes_where_we_do_not_stamp() {
    for finished in [true, false] {
        let mut world = World::new("");
        let (mut client, mut upstream) = open(&mut world, POST).await;
        upstream.send("data: a\n\ndata: half").await;
        if finished {
            upstream.finish().await;
        }
        drop(upstream);
        client.read().await;
        assert_eq!(client.text(), "data: a\n\ndata: half");
        assert_eq!(client.end, Some(if finished { Ended::Properly } else { Ended::Cut }));
    }
}

#[tokio::test(start_paused = true)]
async fn case_14_a_frame_that_ends_in_cr_waits_for_an_lf_only_where_the_stream_has_used_crlf() {
    for config in kinds("heartbeat = 'none'") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("data: a\r\r").await;
        assert_eq!(client.data().await, ["a"], "it waits for nothing");
        upstream.send("data: b\r\n\r\n").await;
        assert_eq!(client.data().await, ["a", "b"]);
        upstream.send("data: c\r\n\r").await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(client.data().await, ["a", "b"], "its LF may come yet");
        upstream.send("\ndata: d\r\n\r").await;
        assert_eq!(client.data().await, ["a", "b", "c"]);
        upstream.finish().await;
        assert_eq!(client.data().await, ["a", "b", "c", "d"], "and it will not come any more");
        let sent = "data: a\r\rdata: b\r\n\r\ndata: c\r\n\r\ndata: d\r\n\r";
        assert_eq!(String::from_utf8(without_ours(&client.body)).unwrap(), sent);
    }
}

#[tokio::test(start_paused = true)]
async fn case_15_ids_of_what_is_not_retained_mean_the_then_tail() {
    let mut world = World::new(&kinds("ephemeral = 'beat'")[1]);
    let (mut client, mut upstream) = world.open("/e").await;
    let frames = ["id: 7\ndata: a\n\n", "id: 8\n\n", "data: b\n\n", "event: beat\nid: 9\ndata: beat\n\n"];
    for frame in frames {
        upstream.send(frame).await;
    }
    upstream.send("data: c\n\n").await;
    client.read().await;
    let ids: Vec<_> = client.held().events.iter().map(|event| event.id.clone()).collect();
    assert_eq!(ids, ["7", "8", "9", "9"], "they stay");
    for (id, missed) in [("7", "bc"), ("8", "bc"), ("9", "c")] {
        let back = world.event_source("/e", id).await;
        assert_eq!((back.held().data().concat().as_str(), back.status), (missed, 200), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_15_ids_of_control_frames_are_removed_where_they_are_no_cursors() {
    for config in kinds("ids = 'replace'").into_iter().chain(kinds("ids = 'hidden'")) {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("data: a\n\n").await;
        let id = client.id().await;
        upstream.send("id: 8\n\nretry: 7\nid: 9\n\n: c\nid\n\n").await;
        assert_eq!(client.id().await, id);
        assert!(client.text().ends_with("\n\n\nretry: 7\n\n: c\n\n"), "{}", client.text());
    }
}
