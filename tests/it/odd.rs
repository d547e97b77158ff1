//! Odd input: each kind is counted, does what the README says, and is no matter of any other stream.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Exchange, World, event_source, settle};

const MODES: [&str; 2] = ["", "mode = 'shared'\nkey = ['path']\n"];

/// A route for `/odd` and a plain one, of the same mode.
fn config(mode: &str, lines: &str) -> String {
    format!("[[route]]\npath = '/odd'\n{mode}{lines}\n[[route]]\npath = '/plain'\n{mode}")
}

/// Another stream, for which all goes on as ever.
struct Plain {
    client: Client,
    upstream: Exchange,
    had: usize,
}

impl Plain {
    async fn open(world: &mut World) -> Self {
        let (client, upstream) = world.open("/plain").await;
        Self { client, upstream, had: 0 }
    }

    /// An event reaches its client, and one that comes back is served at once.
    async fn goes_on(&mut self, world: &mut World) {
        let id = self.client.id().await;
        self.upstream.events([self.had]).await;
        self.had += 1;
        assert_eq!(self.client.data().await.len(), self.had);
        let mut back = world.send(&event_source("/plain", &id)).await;
        settle().await;
        if let Some(mut asked) = world.origin.waiting().await {
            asked.begin().await;
        }
        assert_eq!((back.data().await.len(), back.resume()), (1, "resumed; missed=1"));
    }
}

fn count(world: &World, metric: &str) -> u64 {
    world.metric(&format!("respool_{metric}{{route=\"/odd\"}}"))
}

fn hellos(world: &World) -> [u64; 3] {
    ["complete", "partial", "none"]
        .map(|hello| world.metric(&format!("respool_hellos_total{{route=\"/odd\",hello=\"{hello}\"}}")))
}

/// Data in which nothing can be read where a type is asked for.
const UNTYPED: &[&[u8]] = &[
    b"data: no JSON\n\n",
    b"data: \n\n",
    b"data: {\"type\":\n\n",
    b"data: {\"kind\":\"beat\"}\n\n",
    b"data: {\"type\":{\"of\":\"beat\"}}\n\n",
    b"data: {\"type\":null}\n\n",
    b"data: [\"beat\"]\n\n",
    b"data: \xff\xfe\x00\n\n",
    b"event: beat\ndata: 7\n\n",
];

#[tokio::test(start_paused = true)]
async fn what_has_no_type_where_a_rule_asks_for_one_is_retained_and_counted() {
    for (mode, rule) in MODES.iter().flat_map(|mode| {
        [
            "ephemeral = 'beat'",
            "retain = 'x'",
            "reset = 'beat'",
            "[[route.guard]]\nopen = 'beat'\nclose = '*'\nkey = '/id'",
        ]
        .map(|rule| (mode, rule))
    }) {
        let mut world = World::new(&config(mode, &format!("type = '/type'\n{rule}")));
        let mut plain = Plain::open(&mut world).await;
        let (mut client, mut upstream) = world.open("/odd").await;
        let id = client.id().await;
        upstream.send(UNTYPED.concat()).await;
        assert_eq!(client.data().await.len(), UNTYPED.len(), "{rule}");
        upstream.events(["{\"type\":\"x\"}"]).await;
        assert_eq!(count(&world, "untyped_events_total"), UNTYPED.len() as u64, "{rule}");
        let mut back = world.send(&event_source("/odd", &id)).await;
        settle().await;
        if let Some(mut asked) = world.origin.waiting().await {
            asked.begin().await;
        }
        assert_eq!(back.data().await.len(), UNTYPED.len() + 1);
        plain.goes_on(&mut world).await;
        assert_eq!(world.metric("respool_untyped_events_total{route=\"/plain\"}"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_rule_asks_for_a_type_and_where_the_field_says_it_each_event_has_one() {
    for rule in ["", "ephemeral = 'beat'", "type = '/type'\nids = 'replace'\nkeep_ids_of = 'beat'"] {
        let mut world = World::new(&config("", rule));
        let (_client, mut upstream) = world.open("/odd").await;
        upstream.send(UNTYPED.concat()).await;
        assert_eq!(count(&world, "untyped_events_total"), 0, "{rule}");
    }
}

const HI: &str = "event: hi\ndata: 1\n\n";

/// An upstream that stalls in its hello: the client waits for so long, then it is a new one without a hello.
#[tokio::test(start_paused = true)]
async fn a_hello_that_comes_in_part_or_not_at_all_is_counted_and_holds_up_nobody_else() {
    let lines = "hello = 'hi'\nhello_events = 2\nhello_wait = '3s'";
    for (said, kind) in
        [(HI.repeat(2), 0), (HI.to_owned(), 1), (format!("{HI}event: hi\nda"), 1), (": c\n".into(), 2)]
    {
        let mut world = World::new(&config(MODES[1], lines));
        let mut plain = Plain::open(&mut world).await;
        let mut client = world.send(&event_source("/odd", "")).await;
        let mut pump = world.origin.accept().await;
        pump.begin().await;
        pump.send(&said).await;
        plain.goes_on(&mut world).await;
        sleep(Duration::from_secs(3)).await;
        let mut expected = [0; 3];
        expected[kind] = 1;
        assert_eq!(hellos(&world), expected, "the pump's: {said:?}");
        // The rest of a frame that is torn between the two belongs to the stream.
        pump.send(if said.ends_with("da") { "ta: 2\n\ndata: x\n\n" } else { "data: x\n\n" }).await;
        assert_eq!(client.data().await.last().unwrap(), "x");
        assert!(client.id().await.starts_with('r'));

        let mut second = world.send(&event_source("/odd", "")).await;
        let mut asked = world.origin.accept().await;
        asked.begin().await;
        asked.send(&said).await;
        plain.goes_on(&mut world).await;
        sleep(Duration::from_secs(3)).await;
        expected[kind] = 2;
        assert_eq!(hellos(&world), expected, "an admission's: {said:?}");
        pump.send("data: y\n\n").await;
        assert_eq!(second.data().await.last().unwrap(), "y");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_waited_for_and_counted() {
    for mode in MODES {
        let mut world = World::new(&config(mode, ""));
        let mut plain = Plain::open(&mut world).await;
        let mut client = world.send(&event_source("/odd", "")).await;
        let mut upstream = world.origin.accept().await;
        assert_eq!(count(&world, "heads_awaited"), 1, "{mode}");
        upstream.raw("HTTP/1.1 200 OK\r\nContent-Ty").await;
        sleep(Duration::from_secs(3600)).await;
        plain.goes_on(&mut world).await;
        client.read().await;
        assert_eq!((client.status, client.end, count(&world, "heads_awaited")), (0, None, 1), "{mode}");
        upstream.raw("pe: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        upstream.events(["a"]).await;
        assert_eq!((client.data().await, count(&world, "heads_awaited")), (vec!["a".to_owned()], 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_nobody_waits_for_any_more_is_none() {
    for mode in MODES {
        let mut world = World::new(&config(mode, ""));
        let client = world.send(&event_source("/odd", "")).await;
        let mut upstream = world.origin.accept().await;
        assert_eq!(count(&world, "heads_awaited"), 1);
        drop(client);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(count(&world, "heads_awaited"), 0, "{mode}");
        assert!(upstream.is_closed().await);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stalls_in_a_frame_is_counted_and_what_was_whole_is_there() {
    for mode in MODES {
        let mut world = World::new(&config(mode, ""));
        let mut plain = Plain::open(&mut world).await;
        let (mut client, mut upstream) = world.open("/odd").await;
        assert_eq!(count(&world, "partial_frames"), 0);
        upstream.send("data: a\n\ndata: b").await;
        assert_eq!(
            (client.data().await, count(&world, "partial_frames")),
            (vec!["a".to_owned()], 1),
            "{mode}"
        );
        upstream.send("ut not all\n").await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(count(&world, "partial_frames"), 1);
        plain.goes_on(&mut world).await;
        client.read().await;
        assert!(client.text().contains(":\n") && client.end.is_none(), "it is told that all is well");
        upstream.send("\ndata: c").await;
        assert_eq!(client.data().await, ["a", "but not all"]);
        assert_eq!(count(&world, "partial_frames"), 1, "the next one");
        drop(upstream);
        settle().await;
        assert_eq!(count(&world, "partial_frames"), 0, "{mode}");
        client.read().await;
        assert_eq!(client.held().data(), ["a", "but not all"], "half a frame is none");
    }
}

/// Ids of the upstream's that are hard to come back with, each as its client sends it: without the spaces around it.
#[tokio::test(start_paused = true)]
async fn an_id_of_any_bytes_is_passed_on_and_found_again() {
    let long = "7".repeat(20_000);
    for id in ["a b", "café \u{1f600}", "\"unsafe\", for CORS; {}", "r1-1", "-", "null", &long] {
        let mut world = World::new(&config(MODES[1], ""));
        let mut plain = Plain::open(&mut world).await;
        let (mut client, mut upstream) = world.open("/odd").await;
        upstream.send(format!("id: {id}\ndata: a\n\nid: x\0\ndata: b\n\n")).await;
        assert_eq!(
            (client.id().await.as_str(), client.held().data()),
            (id, vec!["a", "b"]),
            "one with NUL is none"
        );
        let mut back = world.send(&event_source("/odd", id)).await;
        let mut asked = world.origin.accept().await;
        assert_eq!(asked.header("last-event-id"), Some(id));
        asked.begin().await;
        assert_eq!((back.data().await, back.resume()), (vec!["b".to_owned()], "resumed; missed=1"), "{id}");
        plain.goes_on(&mut world).await;
    }
}

/// What a client says that it has seen may be anything: it is looked up, and if it is nobody's the upstream may know it.
#[tokio::test(start_paused = true)]
async fn a_strange_last_event_id_is_for_the_upstream_to_know() {
    let long = "x".repeat(20_000);
    for mode in MODES {
        for id in [
            "r",
            "r1-1",
            "caf\u{e9}",
            "a, b",
            "\t.\t",
            "'; DROP",
            "r0000000000000-18446744073709551616",
            &long,
        ] {
            let mut world = World::new(&config(mode, ""));
            let mut plain = Plain::open(&mut world).await;
            let (_first, _pump) = world.open("/odd").await;
            let mut client = world.send(&event_source("/odd", id)).await;
            let mut asked = world.origin.accept().await;
            assert_eq!(asked.header("last-event-id"), Some(id.trim()), "{id}");
            asked.begin().await;
            asked.events(["a"]).await;
            assert_eq!((client.data().await, client.resume()), (vec!["a".to_owned()], "foreign"), "{id}");
            plain.goes_on(&mut world).await;
        }
    }
}

/// One that no head has room for is refused, as by most servers, and so is one with a byte that no head may have.
#[tokio::test(start_paused = true)]
async fn a_last_event_id_that_no_head_may_have_is_refused() {
    for (id, status) in [("x".repeat(40_000), 431), ("a\0b".into(), 400), ("a\u{1}b".into(), 400)] {
        let mut world = World::new(&config("", ""));
        let mut plain = Plain::open(&mut world).await;
        let client = world.event_source("/odd", &id).await;
        assert_eq!(client.status, status, "{id:.9}");
        assert!(world.origin.is_quiet().await);
        assert_eq!(world.metric("respool_requests_total{outcome=\"refused\"}"), 1);
        plain.goes_on(&mut world).await;
    }
}
