//! The event source: the upstream of whatever is measured. It speaks when it is told to.

use std::{
    io::{Read, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::{measure, published::Publisher};

/// The head of a stream whose chunks are frames.
pub(crate) const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
/// What an event's line begins with; ten digits follow.
pub(crate) const DATA: &[u8] = b"data: {\"n\":\"";
/// The bytes of JSON in each event.
pub(crate) const JSON: usize = 200;
/// The bytes of an event as it is sent: a chunk of its own.
pub(crate) const EVENT: usize = JSON + "xx\r\ndata: \n\n\r\n".len();

pub(crate) struct Source {
    pub(crate) address: SocketAddr,
    /// How many events it has sent.
    pub(crate) sent: u64,
    /// The processor time that it took to send them.
    pub(crate) spent: Duration,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    /// Who is told of events, where nobody asks for them.
    publisher: Option<Publisher>,
}

impl Source {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<Vec<TcpStream>>>::default();
        let accepted = connections.clone();
        thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                connection.set_nodelay(true).unwrap();
                until_blank_line(&mut connection);
                // Under the lock: whoever sees the head and has events sent finds this connection among the others.
                let mut accepted = accepted.lock().unwrap();
                connection.write_all(HEAD).unwrap();
                accepted.push(connection);
            }
        });
        Self { address, sent: 0, spent: Duration::ZERO, connections, publisher: None }
    }

    /// One that nobody asks.
    pub(crate) fn publishing(publisher: Publisher) -> Self {
        Self { publisher: Some(publisher), ..Self::start() }
    }

    /// Waits until somebody has asked for so many streams.
    pub(crate) fn wait_for(&self, streams: usize) {
        let start = Instant::now();
        while self.connections.lock().unwrap().len() < streams {
            assert!(start.elapsed() < Duration::from_secs(30), "fewer than {streams} streams were asked for");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends so many events on every stream, in one write, each a chunk of its own.
    pub(crate) fn emit(&mut self, events: u64) {
        let before = measure::own_cpu();
        self.emit_at_once(events);
        self.spent += measure::own_cpu() - before;
    }

    /// The same without looking at what it costs, which takes time.
    pub(crate) fn emit_at_once(&mut self, events: u64) {
        let events: Vec<String> = (self.sent + 1..=self.sent + events).map(json).collect();
        self.sent += events.len() as u64;
        let mut bytes = Vec::with_capacity(EVENT * events.len());
        for json in &events {
            write!(bytes, "{:x}\r\ndata: {json}\n\n\r\n", json.len() + 8).unwrap();
        }
        debug_assert_eq!(bytes.len(), EVENT * events.len());
        for connection in self.connections.lock().unwrap().iter_mut() {
            connection.write_all(&bytes).unwrap();
        }
        if let Some(publisher) = &mut self.publisher {
            publisher.publish(&events);
        }
    }
}

/// What the event of this number says.
pub(crate) fn json(n: u64) -> String {
    let json = format!(r#"{{"n":"{n:010}","pad":"{}"}}"#, "x".repeat(JSON - 27));
    debug_assert_eq!(json.len(), JSON);
    json
}

/// Reads a head, byte by byte: nothing that is measured waits for it.
pub(crate) fn until_blank_line(from: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}
