//! The load generator: many clients on one thread, which read and compare. It must cost less than what it measures,
//! and the table shows that it does.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};

use crate::{reader::Reader, source::JSON};

/// How long nothing may come while something is owed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Load {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    clients: Vec<Client>,
    /// That of the ids that the first client was given.
    pub(crate) generation: String,
}

struct Client {
    socket: mio::net::TcpStream,
    reader: Reader,
}

impl Load {
    pub(crate) fn new() -> Self {
        Self {
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            buffer: vec![0; 64 << 10],
            clients: Vec::new(),
            generation: String::new(),
        }
    }

    /// Adds clients that have everything up to the event `last`, and waits until each has its answer. With
    /// `generation`, they come back with an id.
    pub(crate) fn connect(
        &mut self,
        to: SocketAddr,
        path: &str,
        count: usize,
        last: u64,
        generation: Option<&str>,
    ) {
        self.dial(to, path, count, last, generation);
        self.until("an answer", |reader| reader.open, || ());
    }

    /// The same without waiting for an answer.
    pub(crate) fn dial(
        &mut self,
        to: SocketAddr,
        path: &str,
        count: usize,
        last: u64,
        generation: Option<&str>,
    ) {
        let id = generation.map_or(String::new(), |g| format!("Last-Event-ID: {g}-{last}\r\n"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n{id}\r\n");
        for n in 0..count {
            let mut socket = connect(to);
            socket.write_all(request.as_bytes()).unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut socket = mio::net::TcpStream::from_std(socket);
            let token = Token(self.clients.len());
            self.poll.registry().register(&mut socket, token, Interest::READABLE).unwrap();
            self.clients.push(Client { socket, reader: Reader::at(last) });
            // Those that are there read meanwhile.
            if n % 10 == 9 {
                self.turn();
            }
        }
    }

    /// How many clients there are.
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Reads until every client has the event `last`.
    pub(crate) fn read_to(&mut self, last: u64) {
        self.read_past(last);
        assert!(self.clients.iter().all(|client| client.reader.last == last), "an event that was never sent");
        if let ("", [first, ..]) = (&*self.generation, &self.clients[..]) {
            self.generation = String::from_utf8_lossy(&first.reader.generation).into_owned();
        }
    }

    /// Reads until every client has the event `last`, and those behind it that came meanwhile.
    pub(crate) fn read_past(&mut self, last: u64) {
        self.until("an event", |reader| reader.last >= last, || ());
    }

    /// Reads until every client has the event `last`; says for each of them how long it took since then.
    pub(crate) fn delays_to(&mut self, last: u64, since: Instant) -> Vec<Duration> {
        self.arrivals(last).into_iter().map(|arrival| arrival - since).collect()
    }

    /// Reads until every client has the event `last`; says for each of them when it came.
    pub(crate) fn arrivals(&mut self, last: u64) -> Vec<Instant> {
        let mut arrivals = Vec::with_capacity(self.clients.len());
        self.until("an event", |reader| reader.last >= last, || arrivals.push(Instant::now()));
        arrivals
    }

    /// How many bytes an event has as its client gets it, with its id.
    pub(crate) fn size_of(&self, event: u64) -> usize {
        "data: ".len() + JSON + format!("\nid: {}-{event}\n\n", self.generation).len()
    }

    /// All clients go.
    pub(crate) fn leave(&mut self) {
        self.clients.clear();
    }

    /// Reads what is there.
    fn turn(&mut self) {
        self.poll.poll(&mut self.events, Some(Duration::ZERO)).unwrap();
        for event in &self.events {
            self.clients[event.token().0].read(&mut self.buffer);
        }
    }

    fn until(&mut self, wanted: &str, has: impl Fn(&Reader) -> bool, mut came: impl FnMut()) {
        let mut missing = self.clients.iter().filter(|client| !has(&client.reader)).count();
        let mut heard = Instant::now();
        while missing > 0 {
            self.poll.poll(&mut self.events, Some(PATIENCE)).unwrap();
            assert!(heard.elapsed() < PATIENCE, "{missing} clients wait for {wanted}");
            for event in &self.events {
                let client = &mut self.clients[event.token().0];
                let (had, last) = (has(&client.reader), client.reader.last);
                client.read(&mut self.buffer);
                if !had && has(&client.reader) {
                    missing -= 1;
                    came();
                } else if client.reader.last == last {
                    // A heartbeat is nothing that is owed.
                    continue;
                }
                heard = Instant::now();
            }
        }
    }
}

/// With room for what a thousand events take: else the sender would wait, and go on in the time of who reads.
fn connect(to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1 << 20).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

impl Client {
    /// Reads all there is: one read, unless there is more than the buffer takes.
    fn read(&mut self, buffer: &mut [u8]) {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => panic!("the stream ended after event {}", self.reader.last),
                Ok(read) => {
                    self.reader.feed(&buffer[..read]);
                    if read < buffer.len() {
                        return;
                    }
                }
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return,
                Err(fault) => panic!("the stream broke after event {}: {fault}", self.reader.last),
            }
        }
    }
}
