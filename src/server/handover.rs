//! An event stream needs nothing of hyper once its head is written: its connection is taken back, what hyper keeps for it is
//! gone, and its body is written in chunks straight to the socket (RFC 9112, 7.1). After a proper end the connection
//! goes back to hyper for the next request.

use std::{
    io::{self, Cursor, IoSlice, Write as _},
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut, buf::Chain};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::{
    body::BoxError,
    net::{Client, Control, Socket},
};

/// A body that is to be written, and whether its connection lives on behind it.
pub(super) struct Handed<B> {
    pub(super) body: Pin<Box<B>>,
    pub(super) lives_on: bool,
}

/// Where a body is put when hyper gives it up. Clones are of one place.
pub(super) struct Slot<B>(Arc<Place<B>>);

struct Place<B> {
    leaving: AtomicBool,
    handed: Mutex<Option<Handed<B>>>,
}

impl<B> Slot<B> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Place { leaving: AtomicBool::new(false), handed: Mutex::new(None) }))
    }

    /// Whether hyper is to be dropped as soon as it has written everything.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.leaving.load(Relaxed)
    }

    /// What hyper had, after it was dropped.
    pub(super) fn take(&self) -> Option<Handed<B>> {
        self.0.leaving.store(false, Relaxed);
        self.place().take()
    }

    fn place(&self) -> MutexGuard<'_, Option<Handed<B>>> {
        self.0.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Clone for Slot<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A body that hyper has until it has nothing at the moment: what it begins with goes out with the head, in one write.
/// From then on it is silent, until it is dropped, and with that in its slot.
pub(super) struct Leaving<B> {
    /// Until it is dropped.
    handed: Option<Handed<B>>,
    slot: Slot<B>,
    control: Control,
}

impl<B> Leaving<B> {
    pub(super) fn new(body: B, lives_on: bool, slot: Slot<B>, control: Control) -> Self {
        Self { handed: Some(Handed { body: Box::pin(body), lives_on }), slot, control }
    }
}

/// Its end is with who takes over: here it never comes.
impl<B: Body> Body for Leaving<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let is_awaited = self.slot.is_awaited();
        // What comes from then on is for who takes over: nothing may be with hyper when that is dropped.
        let Some(Handed { body, .. }) = self.handed.as_mut().filter(|_| !is_awaited) else {
            return Poll::Pending;
        };
        if let Poll::Ready(frame) = body.as_mut().poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.slot.0.leaving.store(true, Relaxed);
        self.control.want_flush();
        // hyper may have flushed already in this round; the next one flushes whatever there is.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<B> Drop for Leaving<B> {
    fn drop(&mut self) {
        if self.slot.is_awaited() {
            *self.slot.place() = self.handed.take();
        }
    }
}

/// How many pieces of memory one call writes: more than a window gives at once, with what may stand before it, and what
/// makes a chunk of it.
const SLICES: usize = 40;
/// How many bytes of its next request a client may send while its answer is written. hyper would read no more.
const AHEAD: usize = 8 << 10;

/// A chunk: its length, what it is of, and a line's end.
type Chunk<D> = Chain<Chain<Cursor<[u8; 18]>, D>, &'static [u8]>;

fn chunk<D: Buf>(data: D) -> Chunk<D> {
    let mut size = Cursor::new([b'0'; 18]);
    // Zeros before a length say nothing, and all lengths have room.
    let _ = write!(size, "{:016x}\r\n", data.remaining());
    // Not those zeros.
    let digits = (data.remaining().max(1).ilog2() / 4 + 1) as u64;
    size.set_position(16 - digits);
    size.chain(data).chain(b"\r\n")
}

/// Behind the last chunk there are no trailers.
const LAST: &[u8] = b"0\r\n\r\n";

/// Writes a body to a client, to its end. Ready with an error of the body after all that came before is written, of the
/// socket, or because the client is gone. Dropping it leaves the client in the middle of a chunk.
pub(super) struct Writer<'a, S: Socket, K, B: Body> {
    client: &'a mut Client<S, K>,
    /// What the client has sent behind its request.
    ahead: BytesMut,
    /// Until it has ended.
    body: Option<Pin<Box<B>>>,
    /// What the socket has not taken of a chunk. Boxed: most are taken at once.
    rest: Option<Box<Chunk<B::Data>>>,
    /// How the body ended: with what is still to be written, or cut.
    end: Option<Result<&'static [u8], BoxError>>,
}

impl<'a, S: Socket, K: Unpin, B: Body> Writer<'a, S, K, B>
where
    B::Error: Into<BoxError>,
{
    pub(super) fn new(client: &'a mut Client<S, K>, ahead: Bytes, body: Pin<Box<B>>) -> Self {
        Self { client, ahead: ahead.into(), body: Some(body), rest: None, end: None }
    }

    /// Whether it waits for the socket alone, and its body hears of nothing.
    pub(super) fn is_deaf(&self) -> bool {
        self.rest.is_some() || self.end.is_some()
    }

    /// What the client has sent meanwhile, which is its next request.
    pub(super) fn into_ahead(self) -> Bytes {
        self.ahead.freeze()
    }

    /// Takes the body's next frame, and writes it as far as the socket takes it.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.body.as_mut().map_or(Poll::Ready(None), |body| body.as_mut().poll_frame(cx));
        let Poll::Ready(frame) = polled else {
            // What was written goes out while there is nothing else.
            let _ = Pin::new(&mut *self.client).poll_flush(cx)?;
            return Poll::Pending;
        };
        match frame {
            Some(Ok(frame)) => {
                let Some(data) = frame.into_data().ok().filter(Buf::has_remaining) else {
                    return Poll::Ready(Ok(()));
                };
                let mut chunk = chunk(data);
                if send(self.client, &mut chunk, cx)?.is_pending() {
                    self.rest = Some(Box::new(chunk));
                    return Poll::Pending;
                }
            }
            Some(Err(fault)) => self.end = Some(Err(fault.into())),
            None => {
                // It has all that its client will have, and is in nobody's way while that is written.
                self.body = None;
                self.end = Some(Ok(LAST));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what the client sends, as far as there is room; an error when it has ended the connection. One that has sent
    /// that much is not looked at any more: that it is gone shows in the next write.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        while let room @ 1.. = AHEAD.saturating_sub(self.ahead.len()) {
            let most = room.min(buffer.len());
            let mut buf = ReadBuf::uninit(buffer.get_mut(..most).unwrap_or_default());
            match Pin::new(&mut *self.client).poll_read(cx, &mut buf)? {
                Poll::Ready(()) if buf.filled().is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(()) => {
                    if self.ahead.is_empty() {
                        // All at once: doubled again and again, it would be more.
                        self.ahead = BytesMut::with_capacity(AHEAD);
                    }
                    self.ahead.extend_from_slice(buf.filled());
                }
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

impl<S: Socket, K: Unpin, B: Body> Future for Writer<'_, S, K, B>
where
    B::Error: Into<BoxError>,
{
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.poll_gone(cx)?;
        loop {
            if let Some(rest) = &mut this.rest {
                ready!(send(this.client, &mut **rest, cx))?;
                this.rest = None;
            }
            if let Some(end) = &mut this.end {
                if let Ok(last) = end {
                    ready!(send(this.client, last, cx))?;
                }
                ready!(Pin::new(&mut *this.client).poll_flush(cx))?;
                return Poll::Ready(this.end.take().map_or(Ok(()), |end| end.map(drop)));
            }
            ready!(this.poll_next(cx))?;
        }
    }
}

/// Writes all of it, in as few calls as its pieces allow.
fn send<S: Socket, K: Unpin>(
    client: &mut Client<S, K>,
    bytes: &mut impl Buf,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while bytes.has_remaining() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = bytes.chunks_vectored(&mut slices);
        let slices = slices.get(..filled).unwrap_or_default();
        let written = ready!(Pin::new(&mut *client).poll_write_vectored(cx, slices))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        bytes.advance(written);
    }
    Poll::Ready(Ok(()))
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    #[test]
    fn a_chunk_has_its_length_without_zeros() {
        for (length, head) in [(1, "1"), (15, "f"), (16, "10"), (255, "ff"), (0x1_0000, "10000")] {
            let data = vec![b'x'; length];
            let mut whole = Vec::new();
            whole.put(chunk(&data[..]));
            assert_eq!(whole, [head.as_bytes(), b"\r\n", &data, b"\r\n"].concat());
        }
    }
}
