//! Ordinary requests, many at a time: a server whose answers are always the same bytes, and who asks for them. Each is one
//! thread, so that both are cheap beside what stands between them.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};

use crate::{Scale, measure, measure::Table, peers::Peer, world::Program};

/// How many are asked for at a time, each on a connection of its own.
const AT_A_TIME: usize = 64;
/// The token of who listens.
const LISTENER: Token = Token(usize::MAX);

/// What is asked for.
#[derive(Clone, Copy)]
struct Wanted {
    path: &'static str,
    bytes: usize,
    cpu: &'static str,
    time: Option<&'static str>,
    nginx: &'static str,
    generator: &'static str,
}

const WANTED: [Wanted; 2] = [
    Wanted {
        path: "/kilobyte",
        bytes: 1 << 10,
        cpu: "ordinary HTTP, 1 KiB, 64 connections: CPU",
        time: Some("ordinary HTTP, 1 KiB, from one answer to the next"),
        nginx: "... nginx: CPU of an answer",
        generator: "ordinary HTTP, 1 KiB",
    },
    Wanted {
        path: "/megabyte",
        bytes: 1 << 20,
        cpu: "ordinary HTTP, 1 MiB, 64 connections: CPU",
        time: None,
        nginx: "... nginx: CPU of an answer of 1 MiB",
        generator: "ordinary HTTP, 1 MiB",
    },
];

/// What an answer costs, in seconds.
struct Cost {
    cpu: f64,
    time: f64,
    /// Who asks, as a part of `cpu`.
    generator: f64,
}

/// What an ordinary request costs through respool, by what it costs through nginx.
pub(crate) fn ordinary(scale: &Scale, table: &mut Table) {
    let origin = serve();
    let config = format!("listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\nupstream = 'http://{origin}'\n");
    let (program, [address, _]) = Program::respool(&config, "info");
    let mut asked = vec![(None, program, address)];
    for &peer in scale.peers.iter().filter(|peer| peer.is_told().is_none()) {
        let (program, address, _) = peer.start(origin);
        asked.push((Some(peer), program, address));
    }
    let time = Duration::from_millis(10 * scale.events);
    for wanted in WANTED {
        let mut clients: Vec<Asking> = asked.iter().map(|(.., to)| Asking::connect(*to, wanted)).collect();
        for (clients, (_, program, _)) in clients.iter_mut().zip(&asked) {
            clients.cost(program, time / 10);
        }
        for _ in 0..scale.rounds {
            let of = clients.iter_mut().zip(&asked);
            let costs: Vec<_> =
                of.map(|(clients, (peer, program, _))| (*peer, clients.cost(program, time))).collect();
            say(&costs, wanted, table);
        }
    }
}

fn say(costs: &[(Option<Peer>, Cost)], wanted: Wanted, table: &mut Table) {
    let ours = &costs[0].1;
    table.generator(wanted.generator, ours.generator);
    let Some((_, nginx)) = costs.iter().find(|(peer, _)| *peer == Some(Peer::Nginx)) else {
        return table.add(wanted.cpu, "µs", None, ours.cpu * 1e6);
    };
    table.whole(wanted.cpu, ours.cpu / nginx.cpu);
    if let Some(what) = wanted.time {
        table.whole(what, ours.time / nginx.time);
    }
    table.add(wanted.nginx, "µs", None, nginx.cpu * 1e6);
    for (peer, cost) in costs.iter().filter_map(|(peer, cost)| Some(((*peer)?, cost))) {
        table.beside(peer.name(), wanted.cpu, "× nginx", cost.cpu / nginx.cpu);
        if let Some(what) = wanted.time {
            table.beside(peer.name(), what, "× nginx", cost.time / nginx.time);
        }
    }
}

/// So many bytes, of which no two stretches are alike.
fn body(bytes: usize) -> Vec<u8> {
    (0..bytes / 16).flat_map(|n| format!("{n:015}\n").into_bytes()).collect()
}

/// Says where it listens.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let answers = WANTED.map(|wanted| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ";
        [format!("{head}{}\r\n\r\n", wanted.bytes).as_bytes(), &body(wanted.bytes)].concat()
    });
    thread::spawn(move || answer(mio::net::TcpListener::from_std(listener), &answers));
    address
}

/// Answers whoever asks for one of what is wanted.
fn answer(mut listener: mio::net::TcpListener, answers: &[Vec<u8>; 2]) {
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
    let mut visitors: Vec<Option<Visitor>> = Vec::new();
    loop {
        poll.poll(&mut events, None).unwrap();
        for event in &events {
            if event.token() != LISTENER {
                let visitor = &mut visitors[event.token().0];
                if visitor.as_mut().is_some_and(|visitor| visitor.go_on(answers).is_none()) {
                    *visitor = None;
                }
                continue;
            }
            while let Ok((mut socket, _)) = listener.accept() {
                let both = Interest::READABLE | Interest::WRITABLE;
                socket.set_nodelay(true).unwrap();
                poll.registry().register(&mut socket, Token(visitors.len()), both).unwrap();
                visitors.push(Some(Visitor { socket, request: Vec::new(), written: 0 }));
            }
        }
    }
}

struct Visitor {
    socket: mio::net::TcpStream,
    request: Vec<u8>,
    /// How much of its answer it has.
    written: usize,
}

impl Visitor {
    /// Reads and answers as far as that goes; none when it is gone.
    fn go_on(&mut self, answers: &[Vec<u8>; 2]) -> Option<()> {
        let mut buffer = [0; 4096];
        loop {
            while !self.request.ends_with(b"\r\n\r\n") {
                match self.socket.read(&mut buffer) {
                    Ok(read @ 1..) => self.request.extend_from_slice(&buffer[..read]),
                    Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Some(()),
                    _ => return None,
                }
            }
            let asks = |wanted: &Wanted| self.request.starts_with(format!("GET {} ", wanted.path).as_bytes());
            let answer = &answers[WANTED.iter().position(asks)?];
            while self.written < answer.len() {
                match self.socket.write(&answer[self.written..]) {
                    Ok(written) => self.written += written,
                    Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Some(()),
                    Err(_) => return None,
                }
            }
            self.request.clear();
            self.written = 0;
        }
    }
}

/// Who asks.
struct Asking {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    request: String,
    body: Vec<u8>,
    clients: Vec<Client>,
}

struct Client {
    socket: mio::net::TcpStream,
    /// A head that is not complete.
    head: Vec<u8>,
    /// How much of the body came.
    came: Option<usize>,
}

impl Asking {
    fn connect(to: SocketAddr, wanted: Wanted) -> Self {
        let poll = Poll::new().unwrap();
        let client = |token| {
            let socket = TcpStream::connect(to).unwrap();
            socket.set_nodelay(true).unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut socket = mio::net::TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(token), Interest::READABLE).unwrap();
            Client { socket, head: Vec::new(), came: None }
        };
        let clients = (0..AT_A_TIME).map(client).collect();
        let agent = "User-Agent: bench/1.0\r\nAccept: */*\r\n";
        let request = format!("GET {} HTTP/1.1\r\nHost: bench\r\n{agent}\r\n", wanted.path);
        let (events, buffer) = (Events::with_capacity(AT_A_TIME), vec![0; 256 << 10]);
        Self { poll, events, buffer, request, body: body(wanted.bytes), clients }
    }

    /// What an answer costs the program, when each connection asks for the next as soon as it has one, for so long.
    fn cost(&mut self, program: &Program, time: Duration) -> Cost {
        let (before, own, start) = (program.cpu(), measure::own_cpu(), Instant::now());
        let answers = self.ask(time) as f64;
        let (took, own) = (start.elapsed(), measure::own_cpu() - own);
        // What it does behind the last byte belongs to it.
        thread::sleep(Duration::from_millis(20));
        let cpu = (program.cpu() - before).as_secs_f64();
        Cost { cpu: cpu / answers, time: took.as_secs_f64() / answers, generator: own.as_secs_f64() / cpu }
    }

    /// How many were answered.
    fn ask(&mut self, time: Duration) -> usize {
        let (until, mut answers, mut asked) = (Instant::now() + time, 0, self.clients.len());
        self.clients.iter_mut().for_each(|client| client.ask(&self.request));
        while asked > 0 {
            self.poll.poll(&mut self.events, Some(Duration::from_secs(10))).unwrap();
            assert!(!self.events.is_empty(), "{asked} wait for an answer");
            for event in &self.events {
                let client = &mut self.clients[event.token().0];
                if !client.read(&mut self.buffer, &self.body) {
                    continue;
                }
                answers += 1;
                if Instant::now() < until {
                    client.ask(&self.request);
                } else {
                    asked -= 1;
                }
            }
        }
        answers
    }
}

impl Client {
    fn ask(&mut self, request: &str) {
        assert_eq!(self.socket.write(request.as_bytes()).unwrap(), request.len());
    }

    /// Reads all there is, and says whether the answer is complete.
    fn read(&mut self, buffer: &mut [u8], body: &[u8]) -> bool {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => panic!("the connection ended"),
                Ok(read) => {
                    if self.take(&buffer[..read], body) {
                        return true;
                    }
                    if read < buffer.len() {
                        return false;
                    }
                }
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return false,
                Err(fault) => panic!("the connection broke: {fault}"),
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8], body: &[u8]) -> bool {
        let had = match self.came {
            Some(had) => had,
            None => {
                self.head.extend_from_slice(bytes);
                let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n") else { return false };
                assert!(self.head.starts_with(b"HTTP/1.1 200 "), "refused");
                bytes = &bytes[bytes.len() - (self.head.len() - end - 4)..];
                self.head.clear();
                0
            }
        };
        let came = had + bytes.len();
        // Both ends of what came: to compare all of it would cost as much as to send it.
        let edge = bytes.len().min(32);
        let is_right = came <= body.len()
            && bytes[..edge] == body[had..had + edge]
            && bytes[bytes.len() - edge..] == body[came - edge..came];
        assert!(is_right, "other bytes than were asked for: this is no figure");
        self.came = (came < body.len()).then_some(came);
        came == body.len()
    }
}
