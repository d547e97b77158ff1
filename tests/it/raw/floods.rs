//! Floods of HTTP/2 frames, written by hand: what each sends, and a client that sends it as fast as it is taken. Used by
//! the benchmark, too.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PREFACE, PRIORITY, RESET,
    WINDOW, block, frame, get, length, post, settings,
};

/// The first stream of the `n`th hundred.
fn first_of(n: u32) -> u32 {
    n * 200 + 1
}

fn hundred(n: u32, each: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..100).flat_map(|k| each(first_of(n) + 2 * k)).collect()
}

fn many(frame: &[u8]) -> Vec<u8> {
    frame.repeat(1000)
}

/// What is sent on a connection.
pub(crate) struct Flood {
    /// As the docs have it.
    pub(crate) name: &'static str,
    /// Behind the preface.
    begin: fn() -> Vec<u8>,
    /// What is sent for the `n`th time.
    go_on: fn(u32) -> Vec<u8>,
    /// After each of those.
    pause: Duration,
    /// Whether the connection is ended for it.
    pub(crate) is_ended: bool,
    /// Whether its requests reach the server, so that each costs what any request costs.
    pub(crate) is_forwarded: bool,
}

const fn flood(name: &'static str, begin: fn() -> Vec<u8>, go_on: fn(u32) -> Vec<u8>) -> Flood {
    Flood { name, begin, go_on, pause: Duration::ZERO, is_ended: true, is_forwarded: false }
}

fn nothing() -> Vec<u8> {
    settings(&[])
}

/// All of them.
pub(crate) fn floods() -> Vec<Flood> {
    let slow = |flood: Flood, millis: u64| Flood { pause: Duration::from_millis(millis), ..flood };
    let forwarded = |flood: Flood| Flood { is_forwarded: true, ..flood };
    let bounded = |flood: Flood| Flood { is_ended: false, ..flood };
    vec![
        flood("flood: PING", nothing, |_| many(&frame(PING, 0, 0, b"12345678"))),
        flood("flood: PING that answers none", nothing, |_| many(&frame(PING, ACK, 0, b"12345678"))),
        flood("flood: SETTINGS", nothing, |_| many(&settings(&[]))),
        flood("flood: SETTINGS that change the table of headers", nothing, |_| {
            [settings(&[(1, 0)]), settings(&[(1, 4096)])].concat().repeat(500)
        }),
        flood("flood: PRIORITY", nothing, |_| many(&frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]))),
        flood("flood: WINDOW_UPDATE of the connection", nothing, |_| {
            many(&frame(WINDOW, 0, 0, &[0, 0, 0, 1]))
        }),
        flood("flood: frames that nobody knows", nothing, |_| many(&frame(0xbb, 0, 0, b"x"))),
        flood("flood: requests that are reset at once (rapid reset)", nothing, |n| {
            hundred(n, |stream| [get(stream, "/"), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat())
        }),
        forwarded(slow(
            flood("flood: requests that are reset when the server has them", nothing, |n| match n % 2 {
                0 => hundred(n / 2, |stream| get(stream, "/hang")),
                _ => hundred(n / 2, |stream| frame(RESET, 0, stream, &[0, 0, 0, 8])),
            }),
            20,
        )),
        flood("flood: resets of streams that are not open", nothing, |n| {
            hundred(n, |stream| frame(RESET, 0, stream, &[0, 0, 0, 8]))
        }),
        flood("flood: heads without anything", nothing, |n| {
            hundred(n, |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &[]))
        }),
        flood(
            "flood: CONTINUATION without anything",
            || [nothing(), post(1, 0)].concat(),
            |_| many(&frame(CONTINUATION, 0, 1, &[])),
        ),
        flood(
            "flood: CONTINUATION without an end",
            || [nothing(), post(1, 0)].concat(),
            |_| frame(CONTINUATION, 0, 1, &block(&[(b"x", b"y")]).repeat(2000)).repeat(10),
        ),
        flood(
            "flood: DATA without anything",
            || [nothing(), post(1, END_HEADERS)].concat(),
            |_| many(&frame(DATA, 0, 1, &[])),
        ),
        flood(
            "flood: DATA of nothing but padding",
            || [nothing(), post(1, END_HEADERS)].concat(),
            |_| frame(DATA, PADDED, 1, &[&[255][..], &[0; 255]].concat()).repeat(100),
        ),
        flood(
            "flood: heads that unpack to sixty megabytes",
            || [nothing(), table()].concat(),
            |n| (0..4).flat_map(|k| bomb(3 + 2 * (4 * n + k))).collect(),
        ),
        forwarded(bounded(slow(
            flood(
                "flood: a hundred answers that are not taken, for want of a window",
                || [settings(&[(4, 0)]), hundred(0, |stream| get(stream, "/big"))].concat(),
                |_| frame(PING, 0, 0, b"12345678"),
            ),
            100,
        ))),
        flood(
            "flood: a hundred answers, taken byte by byte",
            || [settings(&[(4, 0)]), hundred(0, |stream| get(stream, "/big"))].concat(),
            |_| hundred(0, |stream| frame(WINDOW, 0, stream, &[0, 0, 0, 1])).repeat(10),
        ),
    ]
}

/// A request with a line that goes into the table of headers.
fn table() -> Vec<u8> {
    let line = [&[0x40, 1, b'x'][..], &length(3900), &[b'y'; 3900]].concat();
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &[&[0x82, 0x86, 0x84, 0x01, 1, b'a'][..], &line].concat())
}

/// One with that line 16,000 times, a byte for each.
fn bomb(stream: u32) -> Vec<u8> {
    let head = [&[0x82, 0x86, 0x84, 0x01, 1, b'a'][..], &[0xbe; 16_000]].concat();
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head)
}

/// How much longer than that a machine may take on which much else runs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of a flood.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Attack {
    /// How many connections it made.
    pub(crate) connections: u32,
    /// How many of them were ended by the other side.
    pub(crate) ended: u32,
}

/// A connection by TCP, which waits for nothing.
pub(crate) fn plain(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(to)?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sends a flood for so long, on one connection after the other; one that is to be ended until it is, in good time.
pub(crate) fn attack<S: Read + Write>(
    flood: &Flood,
    connect: impl Fn() -> io::Result<S>,
    time: Duration,
) -> Attack {
    let (until, mut attack) = (Instant::now() + time, Attack::default());
    let mut buffer = vec![0; 1 << 16];
    let mut one = |until: Instant| {
        attack.connections += 1;
        attack.ended += u32::from(is_ended(flood, &connect, &mut buffer, until));
    };
    if flood.is_ended {
        one(until + PATIENCE);
    }
    while Instant::now() < until {
        one(until);
    }
    attack
}

/// Floods one connection. Says whether it was ended before the time was over.
fn is_ended<S: Read + Write>(
    flood: &Flood,
    connect: &impl Fn() -> io::Result<S>,
    buffer: &mut [u8],
    until: Instant,
) -> bool {
    let Ok(mut socket) = connect() else { return false };
    let (mut n, mut left, mut at) = (0, [PREFACE.to_vec(), (flood.begin)()].concat(), 0);
    while Instant::now() < until {
        let sent = socket.write(&left[at..]);
        let read = socket.read(buffer);
        match (&sent, &read) {
            (_, Ok(0)) => return true,
            (Err(fault), _) | (_, Err(fault)) if fault.kind() != ErrorKind::WouldBlock => return true,
            (Err(_), Err(_)) => std::thread::sleep(Duration::from_millis(1)),
            _ => {}
        }
        at += sent.unwrap_or(0);
        if at == left.len() {
            std::thread::sleep(flood.pause);
            (left, at) = ((flood.go_on)(n), 0);
            n += 1;
        }
    }
    false
}
