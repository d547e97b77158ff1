//! An event server that says the same to all, and clients that know what it will have said.

use std::{
    collections::HashSet,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::watch,
    time::sleep,
};

use super::{STREAM, chunk};
use crate::support::{Origin, world::event_source};

/// What it sends of the event of this number, less what makes a frame of it.
fn data(number: usize) -> String {
    format!("data: {number:0>200}\n")
}

/// Whether the event server loses the connection of a client, the first one of every two.
pub(super) fn is_unlucky(who: usize) -> bool {
    who % 50 == 49
}

/// What an event server does with whoever asks.
#[derive(Clone)]
pub(super) struct Server {
    said: Arc<watch::Sender<usize>>,
    requests: Arc<AtomicUsize>,
    /// Who was left without an answer when it asked last.
    lost: Arc<Mutex<HashSet<usize>>>,
    /// Those that wait for a head, and those that are not closed.
    pub(super) waiting: Arc<Peak>,
    pub(super) open: Arc<Peak>,
}

/// How many there are, and were at most.
#[derive(Default)]
pub(super) struct Peak(AtomicUsize, AtomicUsize);

impl Peak {
    fn enter(&self) {
        self.1.fetch_max(self.0.fetch_add(1, SeqCst) + 1, SeqCst);
    }

    fn leave(&self) {
        self.0.fetch_sub(1, SeqCst);
    }

    pub(super) fn most(&self) -> usize {
        self.1.load(SeqCst)
    }

    pub(super) fn now(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Server {
    /// One that takes so long to say yes.
    pub(super) async fn start(pause: Duration) -> (Self, Origin) {
        let server = Self {
            said: Arc::new(watch::channel(0).0),
            requests: Arc::default(),
            lost: Arc::default(),
            waiting: Arc::default(),
            open: Arc::default(),
        };
        let this = server.clone();
        let origin = Origin::start(move |mut visit| {
            let server = this.clone();
            async move {
                if !visit.request().await {
                    return;
                }
                server.requests.fetch_add(1, SeqCst);
                server.waiting.enter();
                server.open.enter();
                sleep(pause).await;
                if server.loses(&visit.head_of_request()) {
                    server.waiting.leave();
                    return server.open.leave();
                }
                let mut said = server.said.subscribe();
                let mut next = *said.borrow_and_update() + 1;
                server.waiting.leave();
                let mut alive = visit.try_send(STREAM).await.is_ok();
                while alive {
                    tokio::select! {
                        () = visit.rest_or(|_| false) => break,
                        changed = said.changed() => alive = changed.is_ok(),
                    }
                    let last = *said.borrow_and_update();
                    let frames: String =
                        (next..=last).map(|number| chunk(&format!("{}\n", data(number)))).collect();
                    alive = alive && visit.try_send(frames).await.is_ok();
                    next = last + 1;
                }
                server.open.leave();
            }
        })
        .await;
        (server, origin)
    }

    /// Whoever is unlucky is lost each time before it is answered.
    fn loses(&self, head: &str) -> bool {
        let who = head.lines().find_map(|line| line.strip_prefix("Cookie: sid=")?.parse().ok());
        let Some(who) = who.filter(|who| is_unlucky(*who)) else { return false };
        let mut lost = self.lost.lock().unwrap();
        lost.insert(who) || !lost.remove(&who)
    }

    /// Says so many more.
    pub(super) fn say(&self, events: usize) {
        self.said.send_modify(|said| *said += events);
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }
}

/// All that a stream will have said, as clients have it: with ids.
pub(super) struct Transcript {
    generation: String,
    text: Vec<u8>,
    /// Where the event of each number ends.
    ends: Vec<usize>,
}

impl Transcript {
    /// So many events of a generation.
    pub(super) fn new(generation: &str, events: usize) -> Self {
        let (mut text, mut ends) = (Vec::new(), vec![0]);
        for number in 1..=events {
            text.extend(format!("{}id: {generation}-{number}\n\n", data(number)).into_bytes());
            ends.push(text.len());
        }
        Self { generation: generation.to_owned(), text, ends }
    }

    pub(super) fn id(&self, number: usize) -> String {
        format!("{}-{number}", self.generation)
    }

    /// How many events there are.
    pub(super) fn events(&self) -> usize {
        self.ends.len() - 1
    }

    /// How many bytes these are.
    pub(super) fn length(&self, events: Range<usize>) -> usize {
        self.of(events).len()
    }

    fn of(&self, events: Range<usize>) -> &[u8] {
        &self.text[self.ends[events.start]..self.ends[events.end]]
    }
}

/// A client, which holds what it gets against what it should.
pub(super) struct Client {
    socket: TcpStream,
    /// What was read and not looked at.
    ahead: Vec<u8>,
    /// How many bytes of the chunk are still to come; its end is.
    chunk: Option<usize>,
    /// How it was answered.
    pub(super) resume: String,
}

impl Client {
    /// Comes as who it is, with an id, and has the head of its answer.
    ///
    /// # Errors
    /// Says what it was given instead of a stream.
    pub(super) async fn come(proxy: SocketAddr, who: &str, id: &str) -> Result<Self, String> {
        let socket = TcpStream::connect(proxy).await.map_err(|fault| format!("not connected: {fault}"))?;
        Self::on(socket, who, id).await
    }

    /// The same, for one whose kernel takes next to nothing ahead of it, as by Ethernet: by the large packets of a host to
    /// itself ours would take megabytes.
    ///
    /// # Errors
    /// As those of [`come`](Self::come).
    pub(super) async fn come_narrow(proxy: SocketAddr, who: &str, id: &str) -> Result<Self, String> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket2::SockRef::from(&socket).set_tcp_mss(1400).unwrap();
        Self::on(socket.connect(proxy).await.unwrap(), who, id).await
    }

    async fn on(socket: TcpStream, who: &str, id: &str) -> Result<Self, String> {
        let mut client = Self { socket, ahead: Vec::new(), chunk: None, resume: String::new() };
        let request = format!("{}\nCookie: sid={who}\n\n", event_source("/e", id)).replace('\n', "\r\n");
        client.socket.write_all(request.as_bytes()).await.map_err(|fault| format!("not asked: {fault}"))?;
        let head = loop {
            if let Some(at) = client.ahead.windows(4).position(|end| end == b"\r\n\r\n") {
                let head: Vec<u8> = client.ahead.drain(..at + 4).collect();
                break String::from_utf8(head).unwrap();
            }
            match client.more().await {
                Ok(1..) => {}
                Ok(0) => return Err(format!("no answer: closed after {:?}", client.ahead)),
                Err(fault) => return Err(format!("no answer: {fault}")),
            }
        };
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(head);
        }
        let said = head.lines().find_map(|line| line.strip_prefix("respool-resume: "));
        said.unwrap_or(&head).clone_into(&mut client.resume);
        Ok(client)
    }

    async fn more(&mut self) -> std::io::Result<usize> {
        self.ahead.reserve(16 << 10);
        self.socket.read_buf(&mut self.ahead).await
    }

    /// The id that it is given before any event.
    pub(super) async fn prime(&mut self) -> String {
        let mut prime = Vec::new();
        while !prime.ends_with(b"\n\n") {
            self.take(1, |bytes| prime.extend_from_slice(bytes)).await;
        }
        let prime = String::from_utf8(prime).unwrap();
        prime.strip_prefix("id: ").unwrap_or_else(|| panic!("no prime: {prime}")).trim_end().to_owned()
    }

    /// Gets these events, each once, in order, and nothing else.
    pub(super) async fn read(&mut self, transcript: &Transcript, events: Range<usize>) {
        let mut wanted = transcript.of(events);
        while !wanted.is_empty() {
            self.take(wanted.len(), |bytes| match wanted.strip_prefix(bytes) {
                Some(rest) => wanted = rest,
                None => panic!("not {}", String::from_utf8_lossy(bytes)),
            })
            .await;
        }
    }

    /// Hands over what comes next of the body, so much at most.
    async fn take(&mut self, most: usize, mut of_body: impl FnMut(&[u8])) {
        let mut given = 0;
        while given == 0 {
            let mut at = 0;
            while given < most {
                let rest = &self.ahead[at..];
                match &mut self.chunk {
                    None => {
                        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { break };
                        let size = std::str::from_utf8(&rest[..end]).unwrap().trim_end();
                        self.chunk = Some(usize::from_str_radix(size, 16).unwrap());
                        at += end + 1;
                    }
                    // Its end is a line of its own.
                    Some(0) if rest.len() < 2 => break,
                    Some(0) => {
                        self.chunk = None;
                        at += 2;
                    }
                    Some(_) if rest.is_empty() => break,
                    Some(left) => {
                        let part = &rest[..rest.len().min(*left).min(most - given)];
                        of_body(part);
                        *left -= part.len();
                        (at, given) = (at + part.len(), given + part.len());
                    }
                }
            }
            self.ahead.drain(..at);
            assert!(given > 0 || self.more().await.unwrap() > 0, "it was cut");
        }
    }
}
