//! An app between a scripted event server and scripted clients, on in-memory pipes. Tests that use it stop the
//! clock: it moves on when everyone waits, so that "what comes" is what comes before anybody would wait longer.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use respool::{
    app::App,
    config::{Config, Flags},
    dice::Dice,
    drain::Drain,
    metrics::Metrics,
    net::{BoxFuture, BoxIo, Dial, Peer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
    time::{sleep, timeout},
};

use super::reader::{self, Held};

/// How much fits a pipe: more than any test sends without somebody reading.
const PIPE: usize = 1 << 20;
const MOMENT: Duration = Duration::from_millis(1);

pub struct World {
    pub app: App,
    pub origin: Origin,
    /// From where clients come.
    pub peer: Option<IpAddr>,
    /// How much fits the pipe to a client that is made from now on.
    pub pipe: usize,
}

/// The event server.
pub struct Origin {
    calls: mpsc::UnboundedReceiver<DuplexStream>,
    waiting: Arc<Wires>,
}

struct Wires {
    calls: mpsc::UnboundedSender<DuplexStream>,
    dials: AtomicUsize,
    open: Arc<AtomicUsize>,
    away: AtomicBool,
}

struct Wire(Arc<Wires>);

impl Dial for Wire {
    fn dial(&self) -> BoxFuture<io::Result<BoxIo>> {
        let wires = self.0.clone();
        Box::pin(async move {
            if wires.away.load(SeqCst) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            wires.dials.fetch_add(1, SeqCst);
            let (near, far) = duplex(PIPE);
            wires.calls.send(far).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Box::new(near) as BoxIo)
        })
    }
}

impl World {
    /// An app with this configuration file, less the upstream.
    pub fn new(file: &str) -> Self {
        Self::seeded(file, 7)
    }

    pub fn seeded(file: &str, seed: u64) -> Self {
        let config = config(file);
        let (calls, receiver) = mpsc::unbounded_channel();
        let wires = Arc::new(Wires { calls, dials: 0.into(), open: Arc::default(), away: false.into() });
        let drain = Drain::new(config.drain_time);
        let dial = Arc::new(Wire(wires.clone()));
        let app = App::new(&config, dial, Dice::seeded(seed), Metrics::new(), drain);
        app.start();
        Self { app, origin: Origin { calls: receiver, waiting: wires }, peer: None, pipe: PIPE }
    }

    /// Another configuration file, less the upstream, from now on.
    pub async fn change(&self, file: &str) {
        self.app.change(&config(file));
        settle().await;
    }

    /// A client that sends this head (request line and header lines, without the empty line) and reads the answer's.
    pub async fn request(&self, head: &str) -> Client {
        let mut client = self.send(head).await;
        client.read().await;
        client
    }

    /// The same, without reading yet.
    pub async fn send(&self, head: &str) -> Client {
        self.send_raw(head.trim().replace('\n', "\r\n").as_bytes()).await
    }

    /// The same, for what may be no text, with its own line ends.
    pub async fn send_raw(&self, head: &[u8]) -> Client {
        let (near, far) = duplex(self.pipe);
        tokio::spawn(self.app.server().serve(far, Peer(self.peer)));
        let mut client = Client::new(near);
        client.io.write_all(&[head, b"\r\n\r\n"].concat()).await.unwrap();
        client
    }

    /// What a browser's `EventSource` sends.
    pub async fn event_source(&self, path: &str, last_event_id: &str) -> Client {
        self.request(&event_source(path, last_event_id)).await
    }

    /// An `EventSource`, and the upstream's connection for it, which answers with a stream.
    pub async fn open(&mut self, path: &str) -> (Client, Exchange) {
        let mut client = self.send(&event_source(path, "")).await;
        let mut exchange = self.origin.accept().await;
        exchange.begin().await;
        client.read().await;
        assert_eq!(client.status, 200, "{}", client.head);
        (client, exchange)
    }

    /// The value of a metric's line, by its start.
    pub fn metric(&self, line: &str) -> u64 {
        let text = self.app.metrics().encode();
        let found = text.lines().find_map(|l| l.strip_prefix(line));
        found.unwrap_or_else(|| panic!("no {line} in\n{text}")).trim().parse().unwrap()
    }
}

fn config(file: &str) -> Config {
    let flags = Flags { upstream: Some("http://origin:80".into()), ..Flags::default() };
    Config::resolve(&flags, &|_| None, Some(("test.toml", file))).unwrap()
}

pub fn event_source(path: &str, last_event_id: &str) -> String {
    let id =
        if last_event_id.is_empty() { String::new() } else { format!("\nLast-Event-ID: {last_event_id}") };
    format!("GET {path} HTTP/1.1\nHost: h\nAccept: text/event-stream\nCache-Control: no-cache{id}")
}

/// Lets everybody do what they can before anybody waits.
pub async fn settle() {
    sleep(MOMENT).await;
}

impl Origin {
    /// The next request that comes, on whatever connection.
    pub async fn accept(&mut self) -> Exchange {
        self.try_accept().await.expect("a request at the upstream")
    }

    pub async fn try_accept(&mut self) -> Option<Exchange> {
        let io = timeout(Duration::from_secs(60), self.calls.recv()).await.ok()??;
        let mut exchange = Exchange { io, request: String::new(), open: Open::new(&self.waiting.open) };
        exchange.read_request().await;
        Some(exchange)
    }

    /// A request that has come by now, if there is one. No time passes.
    pub async fn waiting(&mut self) -> Option<Exchange> {
        if self.calls.is_empty() { None } else { self.try_accept().await }
    }

    /// No request has come that was not accepted.
    pub async fn is_quiet(&mut self) -> bool {
        settle().await;
        self.calls.is_empty()
    }

    pub fn dials(&self) -> usize {
        self.waiting.dials.load(SeqCst)
    }

    /// How many of the accepted connections are open on both sides.
    pub fn open(&self) -> usize {
        self.waiting.open.load(SeqCst)
    }

    pub fn set_away(&self, away: bool) {
        self.waiting.away.store(away, SeqCst);
    }
}

struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A request that reached the event server, and the connection to answer it on. Dropping it loses the connection.
pub struct Exchange {
    io: DuplexStream,
    pub request: String,
    #[expect(dead_code, reason = "held for its drop")]
    open: Open,
}

impl Exchange {
    /// The next request on this connection, which was kept after a proper end.
    pub async fn again(&mut self) {
        timeout(Duration::from_secs(60), self.read_request()).await.expect("another request");
    }

    async fn read_request(&mut self) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.io.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        self.request = String::from_utf8_lossy(&head).into_owned();
    }

    /// The value of a header of the request.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.request.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Reads so much of a request's body, or as much as comes before its connection ends.
    pub async fn read_bytes(&mut self, length: usize) -> usize {
        let mut body = vec![0; length];
        let mut had = 0;
        while let Ok(read @ 1..) = self.io.read(body.get_mut(had..).unwrap_or_default()).await {
            had += read;
        }
        had
    }

    /// Writes anything.
    pub async fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.io.write_all(bytes.as_ref()).await;
        settle().await;
    }

    /// Answers with the head of a stream.
    pub async fn begin(&mut self) {
        self.begin_with("").await;
    }

    /// ... and these header lines.
    pub async fn begin_with(&mut self, lines: &str) {
        let lines = lines.replace('\n', "\r\n");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";
        self.raw(format!("{head}{lines}\r\n")).await;
    }

    /// Answers with a status and no body.
    pub async fn refuse(&mut self, status: u16) {
        self.raw(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")).await;
    }

    /// Sends bytes of the stream, as one chunk, and goes on at once.
    pub async fn burst(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        let _ = self.io.write_all(&chunk).await;
    }

    /// Sends bytes of the stream, as one chunk.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.raw(chunk).await;
    }

    /// Sends events of these data, one chunk each, without waiting in between.
    pub async fn events<T: std::fmt::Display>(&mut self, data: impl IntoIterator<Item = T>) {
        let mut all = Vec::new();
        for data in data {
            let frame = format!("data: {data}\n\n");
            all.extend_from_slice(format!("{:x}\r\n{frame}\r\n", frame.len()).as_bytes());
        }
        self.raw(all).await;
    }

    /// Ends the stream properly.
    pub async fn finish(&mut self) {
        self.raw("0\r\n\r\n").await;
    }

    /// The other side has closed the connection.
    pub async fn is_closed(&mut self) -> bool {
        self.closes_within(MOMENT).await
    }

    /// The same, at once: no time passes.
    pub async fn was_closed(&mut self) -> bool {
        self.closes_within(Duration::ZERO).await
    }

    async fn closes_within(&mut self, time: Duration) -> bool {
        let mut rest = [0; 64];
        loop {
            match timeout(time, self.io.read(&mut rest)).await {
                Ok(Ok(0) | Err(_)) => return true,
                Ok(Ok(_)) => {}
                Err(_) => return false,
            }
        }
    }
}

/// A client's connection. Dropping it is a cut.
pub struct Client {
    io: DuplexStream,
    raw: Vec<u8>,
    pub status: u16,
    pub head: String,
    pub headers: HashMap<String, String>,
    /// The bytes of the stream so far.
    pub body: Vec<u8>,
    /// Where in it each chunk ended.
    pub chunks: Vec<usize>,
    pub end: Option<Ended>,
}

/// How an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    Properly,
    Cut,
}

impl Client {
    fn new(io: DuplexStream) -> Self {
        let (head, headers) = (String::new(), HashMap::new());
        Self {
            io,
            raw: Vec::new(),
            status: 0,
            head,
            headers,
            body: Vec::new(),
            chunks: Vec::new(),
            end: None,
        }
    }

    /// Reads everything that comes before anybody would wait.
    pub async fn read(&mut self) {
        let mut buffer = vec![0; 65536];
        while self.end.is_none() {
            match timeout(MOMENT, self.io.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => {
                    self.parse();
                    self.end.get_or_insert(Ended::Cut);
                }
                Ok(Ok(read)) => {
                    self.raw.extend_from_slice(&buffer[..read]);
                    self.parse();
                }
                Err(_) => return,
            }
        }
    }

    /// Reads at most so many bytes off the wire, and takes them for what they are.
    pub async fn read_some(&mut self, most: usize) -> usize {
        let mut buffer = vec![0; most];
        let read = timeout(MOMENT, self.io.read(&mut buffer)).await.map_or(0, |read| read.unwrap_or(0));
        self.raw.extend_from_slice(&buffer[..read]);
        self.parse();
        read
    }

    fn parse(&mut self) {
        if self.status == 0 {
            let Some(at) = find(&self.raw, b"\r\n\r\n") else { return };
            self.head = String::from_utf8_lossy(&self.raw[..at]).into_owned();
            self.raw.drain(..at + 4);
            self.status = self.head[9..12].parse().unwrap();
            let pairs = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
            self.headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        }
        if !self.headers.contains_key("transfer-encoding") {
            self.body.append(&mut self.raw);
            let length = self.headers.get("content-length").and_then(|length| length.parse().ok());
            if length == Some(self.body.len()) {
                self.end = Some(Ended::Properly);
            }
            return;
        }
        while let Some(at) = find(&self.raw, b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&self.raw[..at]).unwrap(), 16).unwrap();
            let Some(chunk) = self.raw.get(at + 2..at + 2 + size) else { return };
            if self.raw.len() < at + 4 + size {
                return;
            }
            self.body.extend_from_slice(chunk);
            self.chunks.push(self.body.len());
            self.raw.drain(..at + 4 + size);
            if size == 0 {
                self.end = Some(Ended::Properly);
                return;
            }
        }
    }

    /// What a page would have by now.
    pub fn held(&self) -> Held {
        reader::read(&self.body, "")
    }

    /// Reads, and says which data came so far.
    pub async fn data(&mut self) -> Vec<String> {
        self.read().await;
        self.held().data().iter().map(|data| (*data).to_owned()).collect()
    }

    /// Reads, and says what the client would come back with.
    pub async fn id(&mut self) -> String {
        self.read().await;
        self.held().id
    }

    /// The answer's `Respool-Resume`.
    pub fn resume(&self) -> &str {
        self.headers.get("respool-resume").map_or("", |value| value)
    }

    /// The other side has ended the connection, whatever it said before.
    pub async fn has_left(&mut self) -> bool {
        let mut rest = [0; 1024];
        loop {
            match timeout(MOMENT, self.io.read(&mut rest)).await {
                Ok(Ok(0) | Err(_)) => return true,
                Ok(Ok(_)) => {}
                Err(_) => return false,
            }
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
