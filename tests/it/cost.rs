//! What is pending for a client goes out as one write, however many events it is.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use respool::{
    app::App,
    config::{Config, Flags},
    dice::Dice,
    drain::Drain,
    metrics::Metrics,
    net::{BoxFuture, BoxIo, Peer, Socket},
};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};

const CONFIG: &str = r#"
upstream = "http://127.0.0.1:1"
[[route]]
path = "/events"
mode = "shared"
key = ["path"]
admit = "none"
"#;
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
/// More than anything here writes at once.
const PIPE: usize = 1 << 20;

/// A socket that counts what is written to it.
struct Counting {
    socket: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl Socket for Counting {}

impl Counting {
    fn count<T>(&self, written: Poll<T>) -> Poll<T> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        written
    }
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.count(written)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.count(written)
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// An app whose one upstream connection is a pipe to us.
struct World {
    app: App,
    dialed: Arc<Mutex<Option<DuplexStream>>>,
}

struct Client {
    socket: DuplexStream,
    writes: Arc<AtomicUsize>,
    text: String,
}

impl World {
    fn new() -> Self {
        let config = Config::resolve(&Flags::default(), &|_| None, Some(("r.toml", CONFIG))).unwrap();
        let dialed = Arc::<Mutex<Option<DuplexStream>>>::default();
        let far = dialed.clone();
        let dial = move || -> BoxFuture<io::Result<BoxIo>> {
            let (ours, theirs) = duplex(PIPE);
            *far.lock().unwrap() = Some(theirs);
            Box::pin(async move { Ok(Box::new(ours) as BoxIo) })
        };
        let app = App::new(&config, Arc::new(dial), Dice::seeded(1), Metrics::new(), Drain::default());
        Self { app, dialed }
    }

    async fn ask(&self, id: &str) -> Client {
        let (mut socket, theirs) = duplex(PIPE);
        let writes = Arc::<AtomicUsize>::default();
        let counting = Counting { socket: theirs, writes: writes.clone() };
        tokio::spawn(self.app.server().serve(counting, Peer(None)));
        let request = format!(
            "GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nLast-Event-ID: {id}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        Client { socket, writes, text: String::new() }
    }

    /// The upstream's side of its one connection, once its head is there.
    async fn upstream(&self) -> DuplexStream {
        let mut upstream = loop {
            tokio::task::yield_now().await;
            if let Some(upstream) = self.dialed.lock().unwrap().take() {
                break upstream;
            }
        };
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(upstream.read_u8().await.unwrap());
        }
        upstream.write_all(HEAD.as_bytes()).await.unwrap();
        upstream
    }
}

impl Client {
    async fn read_to(&mut self, end: &str) {
        let mut bytes = vec![0; PIPE];
        while !self.text.contains(end) {
            let read = self.socket.read(&mut bytes).await.unwrap();
            assert!(read > 0, "the stream ended: {}", self.text);
            self.text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
    }

    fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }
}

fn events(numbers: std::ops::Range<usize>) -> String {
    let event = |n| format!("data: {n:03} {}\n\n", "x".repeat(200));
    let chunk = |event: String| format!("{:x}\r\n{event}\r\n", event.len());
    numbers.map(|n| chunk(event(n))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_events_that_a_client_missed_are_one_write() {
    let world = World::new();
    let mut first = world.ask("").await;
    let mut upstream = world.upstream().await;
    upstream.write_all(events(0..1000).as_bytes()).await.unwrap();
    first.read_to("-1000\n\n").await;
    let id = first.text.split("id: ").nth(1).unwrap().lines().next().unwrap();

    let mut back = world.ask(id).await;
    back.read_to("-1000\n\n").await;
    assert!(back.text.contains("resumed; missed=999"), "{}", &back.text[..400]);
    assert_eq!(back.text.matches("data: ").count(), 999);
    // Its head goes out by itself: it must not wait for events.
    assert!(back.writes() <= 2, "{} writes", back.writes());
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_few_writes() {
    let world = World::new();
    let mut client = world.ask("").await;
    let mut upstream = world.upstream().await;
    client.read_to("\r\n\r\n").await;
    let before = client.writes();
    upstream.write_all(events(0..500).as_bytes()).await.unwrap();
    client.read_to("-500\n\n").await;
    let writes = client.writes() - before;
    assert!(writes <= 10, "{writes} writes");
}
