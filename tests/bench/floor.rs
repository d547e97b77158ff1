//! The floor: the simplest possible broadcaster, a program of its own. One thread, one log that all clients share, of
//! bytes as they came, and of each client how much of it it has. Nothing that gives each client each event in a write of
//! its own can be cheaper. It forgets nothing, and all that it reads of a request is the id.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddr,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use slab::Slab;

use crate::source::{self, EVENT, HEAD};

/// What may gather between two passes over all clients.
const GATHERED: usize = 64 * EVENT;
const LISTENER: Token = Token(usize::MAX);
const UPSTREAM: Token = Token(usize::MAX - 1);

/// Serves clients what the upstream says, and tells on standard output where.
pub(crate) fn run(upstream: SocketAddr) {
    let mut listener = listen();
    println!("{}", listener.local_addr().unwrap());
    let mut upstream = subscribe(upstream);
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
    poll.registry().register(&mut upstream, UPSTREAM, Interest::READABLE).unwrap();
    let (mut log, mut clients, mut buffer) = (Log::default(), Slab::new(), vec![0; GATHERED]);
    loop {
        poll.poll(&mut events, None).unwrap();
        for event in &events {
            match event.token() {
                LISTENER => while greet(&listener, &poll, &mut clients) {},
                UPSTREAM => while pass(&mut upstream, &mut buffer, &mut log, &mut clients) {},
                Token(at) => {
                    if clients.get_mut(at).is_some_and(|client| client.go_on(&log).is_none()) {
                        clients.remove(at);
                    }
                }
            }
        }
    }
}

/// With room for all who come at once.
fn listen() -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(4096).unwrap();
    socket.set_nonblocking(true).unwrap();
    TcpListener::from_std(socket.into())
}

fn subscribe(upstream: SocketAddr) -> TcpStream {
    let mut upstream = std::net::TcpStream::connect(upstream).unwrap();
    upstream.write_all(b"GET /shared HTTP/1.1\r\nHost: floor\r\n\r\n").unwrap();
    source::until_blank_line(&mut upstream);
    upstream.set_nonblocking(true).unwrap();
    TcpStream::from_std(upstream)
}

/// Whether somebody came.
fn greet(listener: &TcpListener, poll: &Poll, clients: &mut Slab<Client>) -> bool {
    let Ok((mut socket, _)) = listener.accept() else { return false };
    socket.set_nodelay(true).unwrap();
    let entry = clients.vacant_entry();
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut socket, Token(entry.key()), both).unwrap();
    entry.insert(Client { socket, request: Vec::new(), at: None, is_full: false });
    true
}

/// Reads once and writes to every client that takes something; whether there may be more to read.
fn pass(upstream: &mut TcpStream, buffer: &mut [u8], log: &mut Log, clients: &mut Slab<Client>) -> bool {
    let read = match upstream.read(buffer) {
        // Who measures it has gone.
        Ok(0) => std::process::exit(0),
        Ok(read) => read,
        Err(fault) if fault.kind() == ErrorKind::WouldBlock => return false,
        Err(fault) => panic!("{fault}"),
    };
    log.append(&buffer[..read]);
    clients.retain(|_, client| client.is_full || client.write(log).is_some());
    read == buffer.len()
}

#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    /// Where each event ends.
    ends: Vec<usize>,
}

impl Log {
    fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let mut at = self.ends.last().copied().unwrap_or_default();
        while let Some(end) = self.bytes.get(at..).and_then(|rest| memchr::memmem::find(rest, b"\n\n\r\n")) {
            at += end + 4;
            self.ends.push(at);
        }
    }

    /// Where somebody begins who asks for it so.
    fn start(&self, request: &[u8]) -> usize {
        let request = String::from_utf8_lossy(request);
        let id = request.lines().find_map(|line| line.strip_prefix("Last-Event-ID: "));
        let last = match id.and_then(|id| id.rsplit('-').next()?.parse().ok()) {
            Some(last) => last,
            None => self.ends.len(),
        };
        last.checked_sub(1).and_then(|last: usize| self.ends.get(last)).copied().unwrap_or_default()
    }
}

struct Client {
    socket: TcpStream,
    request: Vec<u8>,
    /// What it has of the log, once it has asked for it.
    at: Option<usize>,
    /// Its socket takes no more.
    is_full: bool,
}

impl Client {
    /// Reads and writes as far as that goes; none when it is gone.
    fn go_on(&mut self, log: &Log) -> Option<()> {
        let mut buffer = [0; 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(read @ 1..) => self.request.extend_from_slice(&buffer[..read]),
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                _ => return None,
            }
        }
        if self.at.is_none() && self.request.ends_with(b"\r\n\r\n") {
            self.socket.write_all(HEAD).ok()?;
            self.at = Some(log.start(&self.request));
        }
        self.write(log)
    }

    fn write(&mut self, log: &Log) -> Option<()> {
        let Some(at) = &mut self.at else { return Some(()) };
        self.is_full = false;
        while *at < log.bytes.len() {
            match self.socket.write(&log.bytes[*at..]) {
                Ok(written) => *at += written,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => {
                    self.is_full = true;
                    break;
                }
                Err(_) => return None,
            }
        }
        Some(())
    }
}
