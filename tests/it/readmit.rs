//! Clients of a shared stream that are asked about again: on time, whatever they do with their sockets, and cut with all
//! that waits for them.

mod sockets;

use std::time::Duration;

use h2::Reason;
use http::Request;
use respool::net::Peer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use crate::{
    logs::listen_to_all,
    support::{
        Multiplexed,
        world::{Client, Ended, Exchange, World, event_source, settle},
    },
};

/// Nothing gives way, nothing is too old, and nobody is cut for taking nothing before they are asked about.
const ROUTE: &str = "[[route]]\npath = '/*'\nmode = 'shared'\nkey = ['path']\nheartbeat = 'none'\n\
    window = { events = 10_000, bytes = '32MiB', age = '1h' }\n";
const AGAIN: &str = "readmit = '20s'\n";
/// What the pipe to a client holds that takes nothing.
const PIPE: usize = 4096;
const EVENTS: usize = 1000;
const EVENT: usize = 10_000;

/// A stream with 10 MB that its first client has taken, and others have missed.
struct Missed {
    world: World,
    first: Client,
    upstream: Exchange,
    /// The id before all that.
    id: String,
}

impl Missed {
    async fn new(rest: &str) -> Self {
        let mut world = World::new(&format!("{ROUTE}{rest}"));
        let (mut first, mut upstream) = world.open("/a").await;
        upstream.events(["a"]).await;
        let id = first.id().await;
        for _ in 0..EVENTS / 50 {
            upstream.events(vec!["x".repeat(EVENT); 50]).await;
            first.read().await;
        }
        Self { world, first, upstream, id }
    }

    /// A client that comes back and is let in, and takes nothing yet.
    async fn back(&mut self) -> Client {
        self.world.pipe = PIPE;
        let client = self.world.send(&format!("{}\nX-Who: back", event_source("/a", &self.id))).await;
        self.world.origin.accept().await.begin().await;
        client
    }

    /// The next question about one that came back; the others, about the first, are answered with yes.
    async fn asked(&mut self) -> Exchange {
        for _ in 0..3 {
            let mut asked = self.world.origin.accept().await;
            if asked.header("x-who").is_some() {
                return asked;
            }
            asked.begin().await;
        }
        panic!("nobody asks about it")
    }

    /// How many were cut since the upstream would not let them in, and how many are there.
    fn counted(&self) -> (u64, u64) {
        let cut = self.world.metric("respool_clients_cut_total{route=\"/*\",reason=\"revoked\"}");
        (cut, self.world.metric("respool_clients{route=\"/*\"}"))
    }

    /// The first client has noticed nothing.
    async fn goes_on(mut self) {
        let before = self.first.body.len();
        self.upstream.events(["for those who are there"]).await;
        self.first.read().await;
        assert!(self.first.body[before..].starts_with(b"data: for those who are there\n"));
        assert_eq!(self.first.end, None);
    }
}

#[tokio::test(start_paused = true)]
async fn readmit_asks_on_time_about_a_client_that_takes_nothing_and_takes_back_what_waits_for_it() {
    let mut missed = Missed::new(AGAIN).await;
    let (log, _guard) = listen_to_all();
    let came = Instant::now();
    let mut client = missed.back().await;
    let mut asked = missed.asked().await;
    let after = came.elapsed();
    assert!((15..=20).contains(&after.as_secs()), "{after:?}");
    assert_eq!(asked.header("x-who"), Some("back"), "it is the client's own request");
    asked.refuse(401).await;
    assert_eq!(missed.counted(), (1, 1), "it is cut although it takes nothing");
    let gone = log.lines("\"a client is gone\"");
    assert!(gone.len() == 1 && gone[0].contains("\"how\":\"revoked\""), "{gone:?}");
    let mut had = 0;
    while let read @ 1.. = client.read_some(1 << 20).await {
        had += read;
    }
    assert!((PIPE / 2..=PIPE).contains(&had), "{had}");
    client.read().await;
    assert_eq!(client.end, Some(Ended::Cut));
    missed.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn readmit_lets_a_client_that_takes_nothing_go_on_while_the_answer_is_yes() {
    let mut missed = Missed::new(AGAIN).await;
    let mut client = missed.back().await;
    let mut asked = missed.asked().await;
    asked.begin().await;
    assert!(asked.is_closed().await);
    assert_eq!(missed.counted(), (0, 2));
    client.read().await;
    let events = client.text().matches("data: x").count();
    assert_eq!((events, client.end), (EVENTS, None));
    missed.goes_on().await;
}

/// The first piece fills the stream's window, which is never opened.
#[tokio::test(start_paused = true)]
async fn readmit_resets_a_stream_of_http_2_without_waiting_for_its_window() {
    let mut missed = Missed::new(AGAIN).await;
    let (near, far) = duplex(1 << 20);
    tokio::spawn(missed.world.app.server().serve(far, Peer(None)));
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let mut connection = Multiplexed::with(builder, near).await;
    let request = |who: &str| {
        let request = Request::get("http://h/a").header("last-event-id", &missed.id);
        if who.is_empty() { request } else { request.header("x-who", who) }.body(()).unwrap()
    };
    let (revoked, neighbour) = (request("revoked"), request(""));
    let asked = tokio::spawn(async move {
        let revoked = connection.ask(revoked).await.unwrap();
        let neighbour = connection.ask(neighbour).await.unwrap();
        (connection, revoked, neighbour)
    });
    for _ in 0..2 {
        missed.world.origin.accept().await.begin().await;
    }
    let (connection, revoked, mut neighbour) = asked.await.unwrap();
    missed.asked().await.refuse(403).await;
    assert_eq!(missed.counted(), (1, 2));
    let revoked = revoked.rest().await;
    assert_eq!(revoked.end, Some(Err(Reason::CANCEL)));
    assert!((1..=65_535).contains(&revoked.body.len()), "{}", revoked.body.len());
    neighbour.read().await;
    assert_eq!((neighbour.text().matches("data: x").count(), neighbour.end), (EVENTS, None));
    assert!(!connection.has_ended());
    missed.goes_on().await;
}

/// One frame of HTTP/2: its kind, its stream, what is in it.
type Frame = (u8, u8, Vec<u8>);
const DATA: u8 = 0;
const RESET: u8 = 3;

/// A request on the first stream, as it is on the wire.
fn on_the_wire(headers: &[(&str, &str)]) -> Vec<u8> {
    // GET, http, and `/a` of `h`, by the static table; then literals.
    let mut block = vec![0x82, 0x86, 0x04, 2, b'/', b'a', 0x01, 1, b'h'];
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let head = [0, 0, u8::try_from(block.len()).unwrap(), 1, 0x05, 0, 0, 0, 1];
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &head, &block].concat()
}

/// What comes before anybody would wait.
async fn frames(from: &mut DuplexStream) -> Vec<Frame> {
    let mut bytes = Vec::new();
    while let Ok(read) = timeout(Duration::from_millis(1), from.read_buf(&mut bytes)).await {
        assert!(read.unwrap() > 0, "the connection ended");
    }
    let (mut frames, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((head, behind)) = rest.split_first_chunk::<9>() {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        frames.push((head[3], head[8], behind[..length].to_vec()));
        rest = &behind[length..];
    }
    frames
}

/// A frame that was begun has to be ended; but not with what the client may not have any more.
#[tokio::test(start_paused = true)]
async fn readmit_takes_back_the_rest_of_a_frame_of_http_2_that_waits_for_the_socket() {
    let mut missed = Missed::new(AGAIN).await;
    let (mut near, far) = duplex(PIPE);
    tokio::spawn(missed.world.app.server().serve(far, Peer(None)));
    near.write_all(&on_the_wire(&[("last-event-id", &missed.id), ("x-who", "revoked")])).await.unwrap();
    missed.asked().await.begin().await;
    missed.asked().await.refuse(403).await;
    assert_eq!(missed.counted(), (1, 1));
    let frames = frames(&mut near).await;
    let data: Vec<_> = frames.iter().filter(|frame| frame.0 == DATA).collect();
    assert_eq!(data.len(), 1, "what was not begun is dropped");
    let given = data[0].2.iter().position(|byte| *byte == 0).unwrap();
    assert!((PIPE / 2..PIPE).contains(&given), "{given}");
    assert!(data[0].2[given..].iter().all(|byte| *byte == 0));
    assert_eq!(frames.last().unwrap(), &(RESET, 1, vec![0, 0, 0, 8]));
    missed.goes_on().await;
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn readmit_is_a_task_of_its_own_for_as_long_as_its_client_is_there() {
    for (rest, one_more) in [("", 0), (AGAIN, 1)] {
        let mut world = World::new(&format!("{ROUTE}{rest}"));
        let (_first, _upstream) = world.open("/a").await;
        settle().await;
        let before = tasks();
        let mut client = world.send(&event_source("/a", "")).await;
        world.origin.accept().await.begin().await;
        client.read().await;
        settle().await;
        // One for its connection.
        assert_eq!(tasks(), before + 1 + one_more, "{rest}");
        drop(client);
        settle().await;
        assert_eq!(tasks(), before, "{rest}");
    }
}

/// One that the upstream is slow to be asked about has nobody to be asked for any more.
#[tokio::test(start_paused = true)]
async fn readmit_gives_up_what_it_asks_when_its_client_is_gone() {
    let mut missed = Missed::new(AGAIN).await;
    let client = missed.back().await;
    let mut asked = missed.asked().await;
    assert!(!asked.is_closed().await);
    drop(client);
    assert!(asked.is_closed().await);
    assert_eq!(missed.counted(), (0, 1));
    sleep(Duration::from_secs(14)).await;
    missed.goes_on().await;
}
