//! What a client of HTTP/2 may send besides requests and bodies. Frames that cost it next to nothing to send cost us
//! more to take, and HTTP/2 itself sets them no limit: pings, settings, priorities, windows opened by a byte, and what
//! nobody knows.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{allowance::Allowance, overuse::Overuses};

/// So many such frames at once: more than any client sends that opens all its streams together.
const AT_ONCE: u32 = 2000;
/// And one more after each of these: a hundred a second.
const EVERY: Duration = Duration::from_millis(10);
/// What a request comes with: a priority, a window, the end of its body, that it is not wanted any more.
const FOR_A_REQUEST: u32 = 4;
/// The bytes of answers for which there is one more: some clients say for each frame that they took it, twice, and an event
/// may be no longer than forty. The answer to a ping has 17.
const FOR_BYTES: usize = 24;
/// What a client says first of all, which is no frame.
const PREFACE: usize = 24;
/// The head of a frame: a length of three bytes, its kind, its flags, its stream.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;

/// A client's connection, which fails when there are too many frames on it that ask for nothing, or when the first one is
/// not its settings: HTTP/2 has it so, and h2 does not look.
#[derive(Debug)]
pub struct Metered<T> {
    socket: T,
    meter: Meter,
    overuses: Overuses,
}

impl<T> Metered<T> {
    /// A connection on which nothing was read.
    #[must_use]
    pub fn new(socket: T) -> Self {
        Self { socket, meter: Meter::new(Instant::now()), overuses: Overuses::default() }
    }

    /// Has it noted among these, should it fail.
    pub(super) fn noting(self, overuses: Overuses) -> Self {
        Self { overuses, ..self }
    }
}

/// The frames of a client, told apart as their bytes come.
#[derive(Debug)]
struct Meter {
    allowance: Allowance,
    /// The bytes until the next head begins.
    skip: usize,
    head: [u8; HEAD],
    /// How many of its bytes are there.
    had: usize,
    /// Whether the first frame came.
    begun: bool,
    /// The bytes of answers that nothing was given for yet.
    answered: usize,
}

/// What a client did that is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// There were too many frames that ask for nothing.
    TooMany,
    /// Its first frame is another than its settings.
    Unsettled,
}

impl Meter {
    fn new(now: Instant) -> Self {
        Self {
            allowance: Allowance::new(AT_ONCE, EVERY, now),
            skip: PREFACE,
            head: [0; HEAD],
            had: 0,
            begun: false,
            answered: 0,
        }
    }

    /// These bytes came. What began in them is told apart to the end, whatever is wrong with it.
    fn take(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Fault> {
        let mut taken = Ok(());
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((byte, rest)) = bytes.split_first() else { return taken };
            bytes = rest;
            if let Some(place) = self.head.get_mut(self.had) {
                *place = *byte;
                self.had += 1;
            }
            if self.had == HEAD {
                taken = taken.and(self.judge(now));
            }
        }
    }

    /// A head is there.
    fn judge(&mut self, now: Instant) -> Result<(), Fault> {
        let [high, middle, low, kind, ..] = self.head;
        if !self.begun && kind != SETTINGS {
            return Err(Fault::Unsettled);
        }
        self.begun = true;
        self.had = 0;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            DATA if self.skip > 0 => Ok(()),
            HEADERS => {
                self.allowance.give(FOR_A_REQUEST);
                Ok(())
            }
            _ if self.allowance.take(now) => Ok(()),
            _ => Err(Fault::TooMany),
        }
    }

    /// So many bytes of answers went out.
    fn answered(&mut self, bytes: usize) {
        self.answered += bytes;
        self.allowance.give(u32::try_from(self.answered / FOR_BYTES).unwrap_or(u32::MAX));
        self.answered %= FOR_BYTES;
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        let Err(fault) = self.meter.take(came, Instant::now()) else { return Poll::Ready(Ok(())) };
        Poll::Ready(Err(io::Error::other(match fault {
            Fault::TooMany => {
                self.overuses.note_frames(AT_ONCE);
                "more frames of HTTP/2 that ask for nothing than are taken"
            }
            Fault::Unsettled => "a connection of HTTP/2 that does not begin with settings",
        })))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.meter.answered(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, pieces))?;
        self.meter.answered(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD + payload, 7);
        frame
    }

    /// The frames of a client that has said what it speaks, with the clock standing still at that moment.
    struct Begun(Meter, Instant);

    impl Begun {
        fn new() -> Self {
            let now = Instant::now();
            let mut meter = Meter::new(now);
            assert_eq!(meter.take(&[&[0; PREFACE][..], &frame(SETTINGS, 0)].concat(), now), Ok(()));
            meter.allowance.give(1);
            Self(meter, now)
        }

        fn take(&mut self, kind: u8) -> bool {
            self.0.take(&frame(kind, 8), self.1).is_ok()
        }

        /// How many of these frames are taken, if they come in pieces of this size.
        fn taken(&mut self, kind: u8, payload: usize, piece: usize) -> u32 {
            let bytes = frame(kind, payload);
            let is_taken = |_: &u32| bytes.chunks(piece).all(|piece| self.0.take(piece, self.1).is_ok());
            (0..10_000).take_while(is_taken).max().map_or(0, |last| last + 1)
        }
    }

    #[test]
    fn frames_that_ask_for_nothing_are_counted_however_they_come() {
        for piece in [1, 2, 9, 1000] {
            for (kind, payload) in [(PING, 8), (4, 0), (2, 5), (DATA, 0), (9, 3), (0xbb, 20)] {
                assert_eq!(Begun::new().taken(kind, payload, piece), AT_ONCE, "{kind}");
            }
            for (kind, payload) in [(HEADERS, 20), (DATA, 1), (DATA, 7_000)] {
                assert_eq!(Begun::new().taken(kind, payload, piece), 10_000, "{kind}");
            }
        }
    }

    #[test]
    fn the_first_frame_is_the_settings() {
        let now = Instant::now();
        for kind in [DATA, HEADERS, PING, 0xbb] {
            let began = [&[0; PREFACE][..], &frame(kind, 8)].concat();
            assert_eq!(Meter::new(now).take(&began, now), Err(Fault::Unsettled), "{kind}");
        }
    }

    #[test]
    fn requests_and_answers_give_some_back() {
        let mut client = Begun::new();
        assert_eq!(client.taken(PING, 8, 1000), AT_ONCE);
        assert!(client.take(HEADERS));
        assert_eq!(client.taken(PING, 8, 1000), FOR_A_REQUEST);
        client.0.answered(FOR_BYTES - 1);
        assert!(!client.take(PING));
        client.0.answered(1 + 2 * FOR_BYTES);
        assert_eq!(client.taken(PING, 8, 1000), 3);
        client.1 += 2 * EVERY;
        assert!(client.take(PING), "time goes by");
    }
}
