//! Frames of HTTP/2, written by hand. Used by the benchmark, too.

/// With which a client says that it speaks HTTP/2.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;
pub(crate) const PADDED: u8 = 8;

/// A frame as it is on the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A length of up to some thousands, in what is left of its first byte.
pub(crate) fn length(length: usize) -> Vec<u8> {
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
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    let lines = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")];
    let lines = lines.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&lines))
}

/// The head of a request with a body.
pub(crate) fn post(stream: u32, flags: u8) -> Vec<u8> {
    let lines: [(&[u8], &[u8]); 4] =
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")];
    frame(HEADERS, flags, stream, &block(&lines))
}

pub(crate) fn settings(lines: &[(u16, u32)]) -> Vec<u8> {
    let lines: Vec<u8> =
        lines.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &lines)
}
