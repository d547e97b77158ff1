//! An upstream that injects, and clients that do: CR, LF, NUL, escape sequences, markup, half characters and our own words in
//! ids, types, data, heads, paths and queries reach no other line, header, log, metric or page.

/// Heads of the upstream's, and those of ours to it.
mod heads;
/// What is told of it: logs, metrics, the status.
mod told;

use respool::id::Position;

use crate::support::{
    reader::{self, Event, Held},
    world::{Client, World, event_source},
};

/// Frames of an upstream that wants to be understood in another way than it is.
const FRAMES: &[&[u8]] = &[
    b"data: plain\n\n",
    b"event: a\0b\nid: 1\0\ndata: with NUL\n\n",
    b"id: x\nid: y\0\nid\ndata: x\n\n",
    b"id: \x1b]0;title\x07\x9b31m\nevent: \x1b[2J\x08\x7f\ndata: \x1b[1m\n\n",
    b"id: a\rdata: b\r\rid: r0000000000000-9\rdata: of our form\r\r",
    b"id:r0000000000000-3\ndata\nevent:~\n\n",
    b"event:~\ndata\nid:r000000000000000000000000-3\n\n",
    b"data: {\"type\":\"a\\nid: r0000000000000-5\\n\\ndata: forged\\r\\u0000\"}\n\n",
    b"event: \"}\ndata: {\"type\":\"\\\"} 1\\nrespool_forged{a=\\\"\"}\n\n",
    b"retry: 1\0\nretry: -1\nretry: 99999999999999999999999\nretry: \nretry:7\ndata: r\n\n",
    b": comment \0\x1b\r\n: id: r0000000000000-5\r\ndata: c\r\n\r\n",
    b": alone \x1b[2J\n\n",
    b"id: \xe2\x80\xa8data: x\xe2\x80\xa9\xc2\x85\ndata: \xe2\x80\xa8id: 7\n\n",
    b"id: \xff\xfe\xc3\nevent: \xf0\x9f\x98\ndata: \xc3\n\n",
    b"\xef\xbb\xbfid: 7\ndata: behind a mark\n\n",
    b"id: <img src=x onerror=alert(1)>\nevent: <script>\ndata: </script>{{7*7}}${7*7}\n\n",
    b"data: a\r\ndata: b\nid: 8\rdata: c\n\r\n",
    b"id : 9\n id: 9\nID: 9\ndata : x\ndata:\n\n",
    b"id: 10\n\n\n\nid\n\n",
    b"Last-Event-ID: 11\r\nContent-Length: 0\r\ndata: \r\n\r\n",
    b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\ndata: x\r\n\r\n",
    b"event: message\nid: 12\ndata: the last\n\n",
];

/// Every way in which an id is written, with each rule that reads a type.
const ROUTES: [&str; 8] = [
    "",
    "ids = 'replace'\n",
    "ids = 'hidden'\n",
    "ids = 'replace'\ntype = '/type'\nephemeral = '*forged*'\nretry = '3s'\n",
    "type = '/type'\nephemeral = '*forged*'\n[[route.guard]]\nopen = '*respool*'\nclose = '*'\nkey = '/type'\n",
    "ids = 'hidden'\nephemeral = '<*'\n",
    "ids = 'replace'\nkeep_ids_of = '*'\n",
    "ids = 'replace'\nretain = [\"*\\u001b*\", '~', 'message']\n",
];
const MODES: [&str; 2] = ["", "mode = 'shared'\nadmit = 'none'\n"];

/// A long id, type, comment and datum besides.
fn frames() -> Vec<u8> {
    let long = "x".repeat(3_000);
    let long = format!("event: {long}\nid: {long}\n: {long}\ndata: {long}\n\nid: short\n\n");
    let (last, others) = FRAMES.split_last().unwrap();
    [&others.concat(), long.as_bytes(), last].concat()
}

/// What a page is given, less the frames that carry an id and that nobody listens for: they are ours, or look like it.
fn given(held: Held) -> Vec<Event> {
    let is_carrier = |event: &Event| event.kind == "~" && event.data.is_empty();
    held.events.into_iter().filter(|event| !is_carrier(event)).collect()
}

/// They are of the same types and data.
#[track_caller]
fn same(had: &[Event], sent: &[Event], about: &str) {
    let short = |text: &str| text.chars().take(60).collect::<String>();
    for (had, sent) in had.iter().zip(sent) {
        let is_same = (&had.kind, &had.data) == (&sent.kind, &sent.data);
        assert!(
            is_same,
            "{about}: {}, {} for {}, {}",
            short(&had.kind),
            short(&had.data),
            short(&sent.kind),
            short(&sent.data)
        );
    }
    assert_eq!(had.len(), sent.len(), "{about}");
}

fn sent(bytes: &[u8]) -> Vec<Event> {
    given(reader::read(bytes, ""))
}

fn comments(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).replace('\r', "\n");
    text.split('\n').filter(|line| line.starts_with(':')).map(str::to_owned).collect()
}

/// Where a stream that was just opened stands, by the prime.
fn generation(client: &Client) -> String {
    let id = client.held().id;
    assert!(Position::parse(id.as_bytes()).is_some(), "{id}");
    id.split_inclusive('-').next().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn one_event_stays_one_event_and_no_id_of_ours_is_forged() {
    let bytes = frames();
    let sent = sent(&bytes);
    assert!(sent.len() > 18);
    for (mode, route) in MODES.iter().flat_map(|mode| ROUTES.map(|route| (mode, route))) {
        for size in [1, 7, 4096, usize::MAX] {
            let mut world = World::new(&format!("[[route]]\npath = '/e'\nheartbeat = 'none'\n{mode}{route}"));
            let (mut client, mut upstream) = world.open("/e").await;
            let own = generation(&client);
            for piece in bytes.chunks(size) {
                upstream.burst(piece).await;
            }
            upstream.finish().await;
            client.read().await;
            let (had, about) = (given(client.held()), format!("{mode}{route} by {size}"));
            same(&had, &sent, &about);
            assert!(comments(&client.body) == comments(&bytes), "{about}");
            assert_eq!(client.held().retry, Some(7), "{about}");
            let mut last = 0;
            for (event, sent) in had.iter().zip(&sent) {
                let ours = event.id.strip_prefix(&own).map(|seq| seq.parse::<u64>().unwrap());
                if let Some(seq) = ours {
                    assert!(seq >= last, "{about}: {event:?}");
                    last = seq;
                }
                match route {
                    _ if route.contains("keep_ids_of") => {}
                    _ if route.contains("replace") => assert!(ours.is_some(), "{about}: {event:?}"),
                    _ if route.contains("hidden") => assert_eq!(event.id, sent.id, "{about}"),
                    _ => assert!(ours.is_some() || event.id == sent.id, "{about}: {event:?}"),
                }
            }
        }
    }
}

/// What is retained is what was sent, too, however the client says where it was.
#[tokio::test(start_paused = true)]
async fn a_replay_is_no_other_than_what_was_live() {
    let bytes = frames();
    let sent = sent(&bytes);
    for (mode, route) in MODES.iter().flat_map(|mode| ROUTES.map(|route| (mode, route))) {
        if ["ephemeral", "retain", "guard"].iter().any(|rule| route.contains(rule)) {
            continue;
        }
        for agent in ["", "\nUser-Agent: python-httpx/0.28"] {
            let mut world = World::new(&format!("[[route]]\npath = '/e'\nheartbeat = 'none'\n{mode}{route}"));
            let (mut client, mut upstream) = world.open("/e").await;
            let first = client.id().await;
            upstream.send(&bytes).await;
            client.read().await;
            drop(client);
            for path in ["/e", &format!("/e?lastEventId={first}")] {
                let id = if path == "/e" { first.as_str() } else { "" };
                let mut back = world.send(&(event_source(path, id) + agent)).await;
                back.read().await;
                let missed = reader::read(&bytes, "").events.len();
                assert_eq!(back.resume(), format!("resumed; missed={missed}"), "{mode}{route}");
                same(&given(back.held()), &sent, &format!("{mode}{route}{agent} {path}"));
                let has = comments(&bytes);
                assert!(comments(&back.body).iter().all(|line| has.contains(line)), "{mode}{route}");
            }
        }
    }
}

/// A cursor in the query is decoded, and so may be of any bytes: it is no line of ours.
#[tokio::test(start_paused = true)]
async fn a_cursor_of_more_than_one_line_is_none_of_any_stream() {
    for cursor in [
        "7%0Adata:%20forged%0A%0A",
        "7%0D%0Aid:%20forged",
        "%00forged",
        "%0A%0Aevent:%20forged%0Adata",
        "r0000000000000-7%0Adata:forged",
        "%1b%5d0%3bforged%07",
        "%e2%80%a8forged",
        "%ff%feforged",
    ] {
        for (mode, route) in MODES.iter().flat_map(|mode| ROUTES.map(|route| (mode, route))) {
            let gap = "gap_event = { data = 'gone: {reason}' }\n";
            let mut world = World::new(&format!("[[route]]\npath = '/e'\n{mode}{gap}{route}"));
            let path = format!("/e?lastEventId={cursor}");
            let mut client = world.send(&event_source(&path, "")).await;
            let mut upstream = world.origin.accept().await;
            let line = upstream.request.lines().next().unwrap().to_owned();
            let asked = if mode.is_empty() { path.as_str() } else { "/e" };
            assert_eq!(line, format!("GET {asked} HTTP/1.1"), "{route}");
            assert_eq!(upstream.header("last-event-id"), None, "{route}");
            upstream.begin().await;
            upstream.events(["a", "b"]).await;
            client.read().await;
            generation(&client);
            let had = given(client.held());
            assert_eq!(had.iter().map(|event| &*event.data).collect::<Vec<_>>(), ["a", "b"], "{mode}{route}");
            assert!(!(client.text() + &client.head).contains("forged"), "{}{}", client.head, client.text());
        }
    }
}
