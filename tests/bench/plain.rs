//! An ordinary server: the upstream of requests that are none for a stream. Paths are those that floods ask for.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    floods,
    frames::{PREFACE, WINDOW, frame, get, settings},
    measure,
    world::Program,
};

/// The bytes of the body at `/kilobyte`.
const KILOBYTE: usize = 1024;

/// Says where it listens.
pub(crate) fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || visited(connection));
        }
    });
    address
}

/// Answers what is asked for on one connection until it is closed.
fn visited(mut connection: TcpStream) {
    connection.set_nodelay(true).unwrap();
    let (mut buffer, mut ahead) = (vec![0; 16 * 1024], Vec::new());
    loop {
        let Some(end) = memchr::memmem::find(&ahead, b"\r\n\r\n") else {
            match connection.read(&mut buffer) {
                Ok(read @ 1..) => ahead.extend_from_slice(&buffer[..read]),
                _ => return,
            }
            continue;
        };
        let head = String::from_utf8_lossy(&ahead[..end]).into_owned();
        ahead.drain(..end + 4);
        let answer = match head.split(' ').nth(1) {
            // Its answer never comes; whoever asked is gone some day.
            Some("/hang") => continue,
            Some("/big") => return too_much(connection),
            Some("/kilobyte") => answer(KILOBYTE),
            _ => answer(2),
        };
        if connection.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{}",
        "x".repeat(length)
    )
}

fn too_much(mut connection: TcpStream) {
    let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    while connection.write_all(&[b'x'; 100_000]).is_ok() {}
}

/// respool before such a server.
pub(crate) struct Attacked {
    program: Program,
    address: SocketAddr,
}

impl Attacked {
    pub(crate) fn start() -> Self {
        let upstream = serve();
        let config =
            format!("listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\nupstream = 'http://{upstream}'\n");
        // That connections are ended is told, and costs what it costs.
        let (program, [address, _]) = Program::warning(&config);
        Self { program, address }
    }

    /// The processor time that the program takes for what this thread does, and that this thread takes.
    pub(crate) fn by(&self, what: impl FnOnce(SocketAddr)) -> [Duration; 2] {
        let (ours, theirs) = (self.program.cpu(), measure::own_cpu());
        what(self.address);
        let theirs = measure::own_cpu() - theirs;
        // What is on its way by then belongs to it.
        thread::sleep(Duration::from_millis(100));
        [self.program.cpu() - ours, theirs]
    }
}

/// Ordinary requests by HTTP/1 for so long, one after the other: how many.
pub(crate) fn requests(to: SocketAddr, path: &str, time: Duration) -> usize {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_nodelay(true).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n");
    let (until, mut buffer, mut requests) = (Instant::now() + time, vec![0; 16 * 1024], 0);
    let whole = if path == "/kilobyte" { KILOBYTE } else { 2 };
    while Instant::now() < until {
        socket.write_all(request.as_bytes()).unwrap();
        let mut had = Vec::new();
        loop {
            let read = socket.read(&mut buffer).unwrap();
            assert!(read > 0, "the connection ended");
            had.extend_from_slice(&buffer[..read]);
            if memchr::memmem::find(&had, b"\r\n\r\n").is_some_and(|end| had.len() == end + 4 + whole) {
                break;
            }
        }
        assert!(had.starts_with(b"HTTP/1.1 200 "), "refused");
        requests += 1;
    }
    requests
}

/// Ordinary requests by HTTP/2 for so long, a hundred at a time: how many were answered.
pub(crate) fn multiplexed(to: SocketAddr, time: Duration) -> usize {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.write_all(&[PREFACE, &settings(&[]), &frame(4, 1, 0, &[])].concat()).unwrap();
    let (until, mut buffer, mut ends) = (Instant::now() + time, vec![0; 64 * 1024], 0);
    let mut reader = Frames::default();
    for hundred in 0.. {
        if Instant::now() >= until {
            break;
        }
        // Two bytes of each answer are taken.
        let window = frame(WINDOW, 0, 0, &200_u32.to_be_bytes());
        let asked: Vec<u8> = (0..100).flat_map(|n| get(hundred * 200 + 2 * n + 1, "/")).collect();
        socket.write_all(&[asked, window].concat()).unwrap();
        while reader.ends < 100 {
            let read = socket.read(&mut buffer).unwrap();
            assert!(read > 0, "the connection ended");
            reader.feed(&buffer[..read]);
        }
        ends += std::mem::take(&mut reader.ends);
    }
    ends
}

/// Connections that ask for a hundred answers by HTTP/2 and are gone before they have them, for so long.
pub(crate) fn leaving(to: SocketAddr, time: Duration) {
    let (until, hundred) = (Instant::now() + time, (0..100).flat_map(|n| get(2 * n + 1, "/hang")));
    let asked = [PREFACE, &settings(&[]), &hundred.collect::<Vec<u8>>()].concat();
    while Instant::now() < until {
        let mut socket = floods::plain(to).unwrap();
        assert_eq!(socket.write(&asked).unwrap(), asked.len());
        // They are on their way by then.
        thread::sleep(Duration::from_millis(20));
    }
}

/// Counts the streams that end.
#[derive(Default)]
struct Frames {
    rest: Vec<u8>,
    ends: usize,
}

impl Frames {
    fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some([high, middle, low, kind, flags, ..]) = self.rest.get(at..at + 9) {
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if self.rest.len() < at + 9 + length {
                break;
            }
            assert!(![3, 7].contains(kind), "a reset");
            self.ends += usize::from(*kind < 2 && flags & 1 > 0);
            at += 9 + length;
        }
        self.rest.drain(..at);
    }
}

/// Connections that are closed as soon as they are open, for so long.
pub(crate) fn connections(to: SocketAddr, time: Duration) {
    let (until, mut buffer) = (Instant::now() + time, [0; 64]);
    while Instant::now() < until {
        let mut socket = floods::plain(to).unwrap();
        socket.write_all(PREFACE).unwrap();
        match socket.read(&mut buffer) {
            Err(fault) if fault.kind() != ErrorKind::WouldBlock => panic!("{fault}"),
            _ => {}
        }
    }
}
