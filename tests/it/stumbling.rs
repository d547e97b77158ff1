//! Clients that make an event of every blank line once they hold an id.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Ended, Exchange, World, event_source};

const SHARED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";
const AGENT: &str = "\nUser-Agent: python-httpx/0.28.1";

/// What httpx-sse gives its caller: an event at each blank line, once an id was seen.
fn given(text: &str) -> Vec<String> {
    let (mut id, mut lines, mut events) = (String::new(), Vec::new(), Vec::new());
    for line in text.replace("\r\n", "\n").split_inclusive(['\r', '\n']) {
        let line = line.trim_end_matches(['\r', '\n']);
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if !line.is_empty() => {}
            "" if lines.is_empty() && id.is_empty() => {}
            "" => events.push(std::mem::take(&mut lines).join(" ")),
            "id" => id = value.to_owned(),
            "event" | "data" | "retry" => lines.push(format!("{name}={value}")),
            _ => {}
        }
    }
    events
}

/// Everything that is no event, between events.
const AWKWARD: [&str; 9] = [
    ": ping\n\n",
    "\n\n\r\n",
    ": several\n: lines\r\n\r\n",
    "retry: 3000\n\n",
    "id: 9\n\n",
    "id\n\n",
    "event: ping\n\n",
    ": c\nevent: x\nretry: 4000\n: d\n\n",
    "nobody: knows\n\n",
];

/// A stumbling client of a private stream.
async fn open(world: &mut World, id: &str) -> (Client, Exchange) {
    let mut client = world.send(&(event_source("/e", id) + AGENT)).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    client.read().await;
    (client, upstream)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stumbles_gets_ids_and_no_frame_without_data() {
    for ids in ["keep", "replace"] {
        let mut world = World::new(&format!("[[route]]\npath = '/e'\nids = '{ids}'\n"));
        let (mut client, mut upstream) = open(&mut world, "").await;
        assert_eq!(client.text(), "", "no prime");
        for (n, between) in AWKWARD.iter().enumerate() {
            upstream.send(format!("event: e\ndata: {n}\n\n{between}")).await;
        }
        upstream.send("data: last\n\n").await;
        client.read().await;
        let given = given(&client.text());
        let expected = (0..AWKWARD.len()).map(|n| match n {
            4 => "retry=3000 event=e data=4".to_owned(),
            8 => "retry=4000 event=e data=8".to_owned(),
            _ => format!("event=e data={n}"),
        });
        assert_eq!(given, expected.chain(["data=last".to_owned()]).collect::<Vec<_>>());
        assert!(client.text().contains("\n\n: ping\nevent: e\n"), "{}", client.text());
        assert!(client.text().contains("\n\nretry: 3000\nevent: e\n"), "{}", client.text());
        assert!(client.held().events[0].id.ends_with("-1"), "{}", client.text());
        assert_eq!(client.held().retry, Some(4000));

        let id = client.held().events[0].id.clone();
        drop(client);
        let mut back = world.request(&(event_source("/e", &id) + AGENT)).await;
        assert_eq!(back.resume(), format!("resumed; missed={}", AWKWARD.len()));
        back.read().await;
        assert!(back.text().starts_with("retry: 4000\nevent: e\ndata: 1\n"), "{}", back.text());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_withheld_does_not_keep_a_heartbeat_or_an_end_from_coming() {
    let mut world = World::new("[[route]]\npath = '/e'\nheartbeat = '15s'\n");
    let (mut client, mut upstream) = open(&mut world, "").await;
    upstream.send("data: a\n\n").await;
    for _ in 0..3 {
        sleep(Duration::from_secs(10)).await;
        upstream.send("event: ping\n\n").await;
    }
    client.read().await;
    let heartbeats = client.text().split_once("\n\n").unwrap().1.to_owned();
    assert_eq!(heartbeats, ":\n:\n", "it counts from what was sent to it");
    upstream.send(": c\n\n").await;
    upstream.finish().await;
    client.read().await;
    assert!(client.text().ends_with(":\n: c\n"), "{}", client.text());
    assert_eq!(client.end, Some(Ended::Properly));
}

#[tokio::test(start_paused = true)]
async fn case_17_those_who_stumble_share_the_window_and_others_get_it_byte_for_byte() {
    let mut world = World::new(&format!("{SHARED}ids = 'keep'\nprime = false\nephemeral = ['beat']\n"));
    let (mut plain, mut upstream) = world.open("/e").await;
    let mut stumbling = world.request(&(event_source("/e", "") + AGENT)).await;
    let sent = |n| format!("{}data: {n}\n\n", AWKWARD[n]);
    upstream.send("event: beat\ndata: b\n\n").await;
    for n in 0..4 {
        upstream.send(sent(n)).await;
    }
    plain.read().await;
    stumbling.read().await;
    let untouched = |text: String| {
        let lines = text.split_inclusive('\n').filter(|line| !line.starts_with("id: r"));
        lines.collect::<String>()
    };
    let all = "event: beat\ndata: b\n\n".to_owned() + &(0..4).map(sent).collect::<String>();
    assert_eq!(untouched(plain.text()), all);
    assert_eq!(
        given(&stumbling.text()),
        ["event=beat data=b", "data=0", "data=1", "data=2", "retry=3000 data=3"]
    );
    let id = plain.held().events[1].id.clone();
    assert_eq!(id, stumbling.held().events[1].id, "the same events");
    // Either resumes where the other was.
    for agent in ["", AGENT] {
        let mut back = world.request(&(event_source("/e", &id) + agent)).await;
        assert_eq!(back.data().await, ["1", "2", "3"]);
        assert_eq!(back.resume(), "resumed; missed=3");
    }
    assert_eq!(world.origin.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hello_has_no_frame_without_data_for_those_who_stumble() {
    let config = SHARED
        .replace("admit = 'none'\n", "hello = ['hi']\nhello_events = 2\ngap_event = { data = '{reason}' }\n");
    let mut world = World::new(&(config + "on_break = 'hold'\n"));
    let hello = ": welcome\n\nevent: hi\ndata: 1\n\nretry: 5\n\nid: 3\n\n: and\n\nevent: hi\ndata: 2\n\n";
    let quiet = ["event=hi data=1", "retry=5 event=hi data=2"];
    let (mut opener, mut pump) = open(&mut world, "").await;
    pump.send(hello).await;
    opener.read().await;
    assert_eq!(given(&opener.text()), quiet, "on the pump's connection: {}", opener.text());

    let (mut second, mut asked) = open(&mut world, "r0000000000000-1").await;
    asked.send(hello).await;
    second.read().await;
    assert_eq!(
        given(&second.text()),
        ["data=generation", quiet[0], quiet[1]],
        "on its own: {}",
        second.text()
    );

    let mut plain = world.send(&event_source("/e", "")).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    asked.send(hello).await;
    plain.read().await;
    let theirs: String =
        plain.text().split_inclusive('\n').filter(|line| !line.starts_with("id: r")).collect();
    assert_eq!(theirs, hello, "byte for byte but for ids of ours: {}", plain.text());

    drop(pump);
    let mut pump = world.origin.accept().await;
    pump.begin().await;
    pump.send(hello.to_owned() + "data: a\n\n").await;
    opener.read().await;
    let after = given(&opener.text()).split_off(2);
    assert_eq!(after, ["data=generation", quiet[0], quiet[1], "data=a"], "after a break: {}", opener.text());
}

#[tokio::test(start_paused = true)]
async fn who_stumbles_is_for_the_operator_to_say() {
    for (said, agent, stumbles) in [
        ("", "python-httpx/0.28.1", true),
        ("", "AsyncOpenAI/Python 3.57.0", true),
        ("", "OpenAI/JS 6.49.0", false),
        ("stumbling = []\n", "python-httpx/0.28.1", false),
        ("stumbling = ['*ours*']\n", "this is ours", true),
    ] {
        let mut world = World::new(said);
        let mut client = world.send(&(event_source("/e", "") + "\nUser-Agent: " + agent)).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        upstream.send(": c\n\n").await;
        client.read().await;
        assert_eq!(client.text() == ": c\n", stumbles, "{agent}: {}", client.text());
        assert_eq!(client.text().ends_with(": c\n\n"), !stumbles, "{agent}: {}", client.text());
    }
}
