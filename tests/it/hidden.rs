//! Ids that pages do not see: `ids = "hidden"`.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::{
    reader::{self, Held},
    world::{Client, World, event_source, settle},
};

fn kinds(lines: &str) -> [String; 2] {
    ["", "mode = 'shared'\nkey = ['path']\nadmit = 'none'\n"]
        .map(|mode| format!("[[route]]\npath = '/e'\n{mode}ids = 'hidden'\n{lines}\n"))
}

/// What a page has seen, by its listeners: the data and `lastEventId` of each event of the server's.
fn page(held: &Held) -> Vec<(String, String)> {
    let events = held.events.iter().filter(|event| event.kind != "~");
    events.map(|event| (event.data.clone(), event.id.clone())).collect()
}

fn seen(events: &[(&str, &str)]) -> Vec<(String, String)> {
    events.iter().map(|(data, id)| ((*data).to_owned(), (*id).to_owned())).collect()
}

async fn of(client: &mut Client) -> Vec<(String, String)> {
    client.read().await;
    page(&client.held())
}

/// Ids in every awkward place.
const AWKWARD: &[&str] = &[
    "data: 1\n\n",
    "id: a\ndata: 2\n\n",
    "data: 3\n\n",
    "id: x\0y\ndata: 4\n\n",
    "id\ndata: 5\n\n",
    "data: 6\r\n\r\n",
    "id: caf\u{e9} \u{1f600}, \"unsafe\" for CORS\ndata: 7\n\n",
    "data: 8\r\r",
    ": comment\n\n",
    "id: lone\n\n",
    "data: 9\n\n",
    "id: b\nid: c\ndata: 10\n\n",
    "event: typed\nid: d\ndata: 11\ndata: 12\n\n",
];

#[tokio::test(start_paused = true)]
async fn a_page_sees_the_ids_that_the_upstream_sent_and_resumes_from_each_event() {
    let whole = AWKWARD.concat();
    let direct = page(&reader::read(whole.as_bytes(), ""));
    for config in kinds("") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        for frame in AWKWARD {
            upstream.send(frame).await;
        }
        assert_eq!(of(&mut client).await, direct, "{config}");
        let all = client.held();
        let ids: Vec<_> =
            all.events.iter().filter(|event| event.kind == "~").map(|event| &event.id).collect();
        for (n, id) in ids.iter().enumerate() {
            let mut back = world.event_source("/e", id).await;
            // Whoever comes back holds ours, and no page sees it.
            back.read().await;
            let held = reader::read(&back.body, id);
            let missed = direct.len() - n;
            assert_eq!(page(&held), direct[n..], "behind {id}");
            assert_eq!(back.resume(), format!("resumed; missed={missed}"));
        }
        assert_eq!(ids.len(), direct.len() + 1, "the prime, and one for each event");
        assert_eq!(world.origin.dials(), 1);
    }
}

/// A page that came with an id of the upstream's has it, until the upstream sends another: as without us.
#[tokio::test(start_paused = true)]
async fn a_page_keeps_the_id_of_the_upstreams_that_it_came_with() {
    const SENT: &str = "data: 1\n\n: c\n\nid: 43\ndata: 2\n\ndata: 3\n\nid\ndata: 4\n\ndata: 5\n\n";
    for config in kinds("") {
        let mut world = World::new(&config);
        let mut client = world.send(&event_source("/e", " 42 ")).await;
        let mut upstream = world.origin.accept().await;
        assert_eq!(upstream.header("last-event-id"), Some("42"));
        upstream.begin().await;
        upstream.send(SENT).await;
        client.read().await;
        assert_eq!(client.resume(), "foreign");
        let held = reader::read(&client.body, "42");
        let without_us = page(&reader::read(SENT.as_bytes(), "42"));
        assert_eq!(page(&held), without_us, "{}", client.text());
        assert_eq!(without_us[0], ("1".to_owned(), "42".to_owned()));
        assert!(client.held().id.starts_with('r'), "it comes back to where it was");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_every_byte_shows_no_page_an_id_of_ours_and_loses_nothing_but_between_the_two_frames() {
    for config in kinds("") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        let frames = ["data: 1\n\n", "id: a\ndata: 2\n\n", "data: 3\r\n\r\n"];
        for frame in frames {
            upstream.send(frame).await;
        }
        let all = of(&mut client).await;
        let bytes = client.body.clone();
        for cut in 0..=bytes.len() {
            let held = reader::read(&bytes[..cut], "");
            assert!(page(&held).iter().all(|(_, id)| id.is_empty() || id == "a"));
            if !held.id.starts_with('r') {
                // Nothing yet, or the upstream's own: a new client, and that is the price.
                continue;
            }
            let mut back = world.event_source("/e", &held.id).await;
            back.read().await;
            let rest = page(&reader::read(&back.body, &held.id));
            let before = page(&held);
            assert!(all.ends_with(&rest), "cut at {cut}");
            let behind = all.len() - rest.len();
            assert!(
                before.len() == behind || before.len() == behind + 1,
                "cut at {cut}: {before:?} then {rest:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_position_comes_in_the_same_write_as_its_event() {
    for config in kinds("prime = false") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("data: 1\n\n").await;
        client.read().await;
        let text = client.text();
        let (event, carrier) = text.split_at("data: 1\nid: \n\n".len());
        assert_eq!(event, "data: 1\nid: \n\n");
        assert!(carrier.starts_with("event:~\ndata\nid:r") && carrier.ends_with("-1\n\n"), "{carrier:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_event_shows_no_id_of_ours_and_takes_none_away() {
    for config in kinds("ephemeral = 'beat'") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("id: a\ndata: 1\n\n").await;
        let id = client.id().await;
        upstream.send("event: beat\ndata: b\n\n").await;
        assert_eq!(of(&mut client).await, seen(&[("1", "a"), ("b", "a")]));
        assert_eq!(client.id().await, id);
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_event_source_is_given_ids_that_are_hidden() {
    for config in kinds("") {
        let mut world = World::new(&config);
        let mut other = world.send("GET /e HTTP/1.1\nHost: h\nAccept: text/event-stream").await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        upstream.send("data: 1\n\n").await;
        other.read().await;
        assert_eq!((other.text().as_str(), other.resume()), ("data: 1\n\n", ""));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_is_seen_without_the_fence_that_it_carries() {
    let config = kinds("hello = 'hi'\nhello_events = 2")[1].clone();
    let mut world = World::new(&config);
    let hello = "event: hi\ndata: one\n\nid: h\nevent: hi\ndata: two\n\n";
    let mut client = world.send(&event_source("/e", "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send(hello).await;
    assert_eq!(of(&mut client).await, seen(&[("one", ""), ("two", "h")]));
    let fence = client.id().await;
    assert!(fence.ends_with("-0"), "{fence}");
    upstream.send("data: 1\n\n").await;
    let mut back = world.event_source("/e", &fence).await;
    assert_eq!(of(&mut back).await, seen(&[("1", "")]));
    let mut gapped = world.send(&event_source("/e", "r0000000000001-1")).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    asked.send(hello).await;
    gapped.read().await;
    assert_eq!(page(&reader::read(&gapped.body, "r0000000000001-1")), seen(&[("one", ""), ("two", "h")]));
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_seen_without_the_position_that_it_begins() {
    for config in kinds("reset = 'gone'") {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send("id: a\ndata: 1\n\n").await;
        upstream.send("event: gone\ndata: 2\n\ndata: 3\n\n").await;
        assert_eq!(of(&mut client).await, seen(&[("1", "a"), ("2", "a"), ("3", "a")]));
        assert!(client.id().await.ends_with("-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn hidden_ids_at_most_double_the_bytes_of_ids() {
    let mut lengths = Vec::new();
    for config in kinds("prime = false") {
        for config in [config.replace("hidden", "keep"), config] {
            let mut world = World::new(&config);
            let (mut client, mut upstream) = world.open("/e").await;
            upstream.events(0..1000).await;
            client.read().await;
            let plain: usize = (0..1000).map(|n| format!("data: {n}\n\n").len()).sum();
            lengths.push(client.body.len() - plain);
        }
    }
    assert!(lengths[1] <= 2 * lengths[0] && lengths[3] <= 2 * lengths[2], "{lengths:?}");
}

/// Firefox takes no id from a frame without data, and so would not come back with a lone one.
#[tokio::test(start_paused = true)]
async fn a_prime_is_in_a_shape_that_its_client_takes() {
    for (agent, carried) in [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0", true),
        ("node", true),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
            false,
        ),
        ("another", false),
    ] {
        let mut world = World::new("");
        let mut client = world.send(&format!("{}\nUser-Agent: {agent}", event_source("/e", ""))).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        client.read().await;
        let prime = client.id().await;
        let expected =
            if carried { format!("event:~\ndata\nid:{prime}\n\n") } else { format!("id: {prime}\n\n") };
        assert_eq!(client.text(), expected, "{agent}");
        drop(client);
        settle().await;
        upstream.events(["a"]).await;
        sleep(Duration::from_secs(1)).await;
        let mut back = world.event_source("/e", &prime).await;
        assert_eq!(back.data().await, ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_event_shows_no_id_of_ours_and_leaves_its_client_where_it_was() {
    let told = "gap_event = { event = 'gap', data = '{reason}' }\nwindow = { events = 1 }\non_gap = 'replay'";
    for config in kinds(told) {
        let mut world = World::new(&config);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.events(["1"]).await;
        let id = client.id().await;
        drop(client);
        upstream.events(["2", "3", "4"]).await;
        let mut back = world.event_source("/e", &id).await;
        back.read().await;
        assert_eq!(back.resume(), "gap; reason=expired");
        let all = back.text();
        let held = reader::read(&back.body, &id);
        assert_eq!(page(&held), seen(&[("expired", ""), ("4", "")]), "{config}");
        // Cut behind it, it finds the gap again.
        let told = all.split_inclusive("\n\n").take(2).collect::<String>();
        let held = reader::read(told.as_bytes(), &id);
        assert_eq!((page(&held), &held.id), (seen(&[("expired", "")]), &id));
    }
}

#[tokio::test(start_paused = true)]
async fn with_hold_what_tells_of_a_gap_shows_no_id_of_ours() {
    let told = "on_break = 'hold'\ngap_event = { event = 'gap', data = '{reason}' }";
    let mut world = World::new(&kinds(told)[1]);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["1"]).await;
    let id = client.id().await;
    drop(upstream);
    sleep(Duration::from_secs(1)).await;
    let mut again = world.origin.accept().await;
    again.begin().await;
    assert_eq!(of(&mut client).await, seen(&[("1", ""), ("generation", "")]));
    assert_eq!(client.id().await, id, "it has moved past nothing");
    again.events(["2"]).await;
    assert_eq!(of(&mut client).await, seen(&[("1", ""), ("generation", ""), ("2", "")]));
}

/// An ephemeral event brings a place of ours, and whoever holds it is waited for.
#[tokio::test(start_paused = true)]
async fn a_session_whose_client_has_had_ephemeral_events_alone_is_found_again() {
    let mut world = World::new(&kinds("prime = false\nephemeral = 'beat'")[0]);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.send("event: beat\ndata: b\n\n").await;
    let id = client.id().await;
    assert!(id.ends_with("-0"), "{id}");
    drop(client);
    sleep(Duration::from_secs(60)).await;
    upstream.events(["1"]).await;
    let mut back = world.event_source("/e", &id).await;
    assert_eq!((of(&mut back).await, back.resume()), (seen(&[("1", "")]), "resumed; missed=1"));
}
