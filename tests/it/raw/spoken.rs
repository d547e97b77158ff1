//! A connection of HTTP/2 that is spoken frame by frame, by one who keeps no rule of it unless told to.

use tokio::net::TcpStream;

use super::frames::{DATA, END_STREAM, HEADERS, PREFACE, RESET, SETTINGS, frame, settings};
use crate::support::Wire;

const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// The head of an answer on this stream, of this status.
    Status(u32, u16),
    /// The end of this stream.
    End(u32),
    /// It was reset, with this code.
    Reset(u32, u32),
    /// No stream behind that one is taken any more; and why.
    GoAway(u32, u32),
    /// Any other frame: its kind.
    Other(u8),
}

/// The client's side.
pub(crate) struct Spoken {
    wire: Wire,
    /// The next stream that answers end, whose head said so.
    ended: Option<u32>,
}

impl Spoken {
    /// A client that has begun: what it asks for is sent as it is, and nothing is said of windows unless it is done here.
    pub(crate) async fn begin(address: std::net::SocketAddr) -> Self {
        let mut spoken = Self::silent(address).await;
        // So that answers are written without a table.
        spoken.send([PREFACE.to_vec(), settings(&[(1, 0)])].concat()).await;
        spoken
    }

    /// One that has said nothing yet.
    pub(crate) async fn silent(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { wire: Wire::new(stream), ended: None }
    }

    /// Whether the other side still listens.
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) -> bool {
        self.wire.try_send(bytes).await.is_ok()
    }

    /// What is said next; `None`, when the connection is at its end.
    pub(crate) async fn next(&mut self) -> Option<Said> {
        if let Some(stream) = self.ended.take() {
            return Some(Said::End(stream));
        }
        let (head, _) = self.wire.exactly(9).await;
        let [high, middle, low, kind, flags, stream @ ..] = head.try_into().ok().unwrap_or([255; 9]);
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let stream = u32::from_be_bytes(stream);
        let (payload, _) = self.wire.exactly(length).await;
        if payload.len() < length {
            return None;
        }
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        if [HEADERS, DATA].contains(&kind) && flags & END_STREAM > 0 {
            self.ended = Some(stream);
        }
        Some(match kind {
            HEADERS => Said::Status(stream, status(&payload)),
            RESET => Said::Reset(stream, number(0)),
            GOAWAY => Said::GoAway(number(0), number(4)),
            SETTINGS if flags & ACK == 0 => {
                // It may be gone by now.
                self.send(frame(SETTINGS, ACK, 0, &[])).await;
                Said::Other(kind)
            }
            other => Said::Other(other),
        })
    }

    /// Reads until that was said; or the connection is at its end.
    pub(crate) async fn until(&mut self, is_enough: impl Fn(&Said) -> bool) -> bool {
        while let Some(said) = self.next().await {
            if is_enough(&said) {
                return true;
            }
        }
        false
    }
}

/// The status that a head begins with, as HPACK has it without a table of its own.
fn status(block: &[u8]) -> u16 {
    // A word that the table has no room for may stand before it.
    let block = if block.first().is_some_and(|byte| byte >> 5 == 1) { &block[1..] } else { block };
    match block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [_, length, digits @ ..] if length & 0x80 > 0 => packed(&digits[..usize::from(length & 0x7f)]),
        [_, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        _ => panic!("no status in {block:x?}"),
    }
}

/// A number by Huffman's code, as far as it has digits.
fn packed(bytes: &[u8]) -> u16 {
    let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let (mut number, mut left) = (0, bytes.len() * 8);
    for _ in 0..3 {
        let next = |length: usize| (bits >> (left - length)) as u16 & ((1 << length) - 1);
        let (digit, length) = if next(5) < 3 { (next(5), 5) } else { (next(6) - 0b01_1001 + 3, 6) };
        number = number * 10 + digit;
        left -= length;
    }
    number
}
