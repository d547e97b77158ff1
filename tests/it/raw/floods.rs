//! Floods of HTTP/2 frames, written by hand: what each sends, and a client that sends it as fast as it is taken. Used by
//! the benchmark, too.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// With which a client says that it speaks HTTP/2.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const PADDED: u8 = 8;

/// A frame as it is on the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A length of up to some thousands, in what is left of its first byte.
fn length(length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short @ ..0x7f) => vec![short],
        _ => {
            let rest = length - 0x7f;
            vec![0x7f, 0x80 | u8::try_from(rest & 0x7f).unwrap(), u8::try_from(rest >> 7).unwrap()]
        }
    }
}

/// Header lines as HPACK has them that knows no table, in this order.
pub(crate) fn block(lines: &[(&[u8], &[u8])]) -> Vec<u8> {
    let line = |(name, value): &(&[u8], &[u8])| {
        [&[0], &length(name.len())[..], name, &length(value.len()), value].concat()
    };
    lines.iter().flat_map(line).collect()
}

/// A request without a body.
fn get(stream: u32, path: &str) -> Vec<u8> {
    let lines = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")];
    let lines = lines.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&lines))
}

/// The head of a request with a body.
fn post(stream: u32, flags: u8) -> Vec<u8> {
    let lines: [(&[u8], &[u8]); 4] =
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")];
    frame(HEADERS, flags, stream, &block(&lines))
}

fn settings(lines: &[(u16, u32)]) -> Vec<u8> {
    let lines: Vec<u8> =
        lines.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &lines)
}

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
}

const fn flood(name: &'static str, begin: fn() -> Vec<u8>, go_on: fn(u32) -> Vec<u8>) -> Flood {
    Flood { name, begin, go_on, pause: Duration::ZERO, is_ended: true }
}

fn nothing() -> Vec<u8> {
    settings(&[])
}

/// All of them.
pub(crate) fn floods() -> Vec<Flood> {
    let slow = |flood: Flood, millis: u64| Flood { pause: Duration::from_millis(millis), ..flood };
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
        slow(
            flood("flood: requests that are reset when the server has them", nothing, |n| match n % 2 {
                0 => hundred(n / 2, |stream| get(stream, "/hang")),
                _ => hundred(n / 2, |stream| frame(RESET, 0, stream, &[0, 0, 0, 8])),
            }),
            20,
        ),
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
        bounded(slow(
            flood(
                "flood: a hundred answers that are not taken, for want of a window",
                || [settings(&[(4, 0)]), hundred(0, |stream| get(stream, "/big"))].concat(),
                |_| frame(PING, 0, 0, b"12345678"),
            ),
            100,
        )),
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

/// Sends a flood for so long, on one connection after the other; one that is to be ended until it is, in good time.
pub(crate) fn attack(flood: &Flood, to: SocketAddr, time: Duration) -> Attack {
    let (until, mut attack) = (Instant::now() + time, Attack::default());
    if flood.is_ended {
        attack.connections += 1;
        attack.ended += u32::from(is_ended(flood, to, until + PATIENCE));
    }
    while Instant::now() < until {
        attack.connections += 1;
        attack.ended += u32::from(is_ended(flood, to, until));
    }
    attack
}

/// Floods one connection. Says whether it was ended before the time was over.
fn is_ended(flood: &Flood, to: SocketAddr, until: Instant) -> bool {
    let Ok(mut socket) = TcpStream::connect(to) else { return false };
    socket.set_nodelay(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let (mut n, mut left) = (0, [PREFACE.to_vec(), (flood.begin)()].concat());
    while Instant::now() < until {
        let sent = socket.write(&left);
        let read = socket.read(&mut buffer);
        match (&sent, &read) {
            (_, Ok(0)) => return true,
            (Err(fault), _) | (_, Err(fault)) if fault.kind() != ErrorKind::WouldBlock => return true,
            (Err(_), Err(_)) => std::thread::sleep(Duration::from_millis(1)),
            _ => {}
        }
        left.drain(..sent.unwrap_or(0));
        if left.is_empty() {
            std::thread::sleep(flood.pause);
            left = (flood.go_on)(n);
            n += 1;
        }
    }
    false
}
