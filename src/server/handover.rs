//! An event stream needs nothing of hyper once its head is written: its connection is taken back, what hyper keeps for it is
//! gone, and its body is written in chunks straight to the socket (RFC 9112, 7.1). After a proper end the connection
//! goes back to hyper for the next request.

use std::{
    future::poll_fn,
    io::{self, Cursor, IoSlice, Write as _},
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

use super::HEAD;
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

impl<B: Body> Leaving<B> {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        // What comes from then on is for who takes over: nothing may be with hyper when that is dropped.
        let Some(Handed { body, .. }) = self.handed.as_mut().filter(|_| !self.slot.is_awaited()) else {
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

/// A client whose answer is written without hyper.
pub(super) struct Writer<'a, S: Socket, K> {
    client: &'a mut Client<S, K>,
    /// What it has sent behind its request.
    ahead: BytesMut,
}

impl<'a, S: Socket, K: Unpin> Writer<'a, S, K> {
    pub(super) fn new(client: &'a mut Client<S, K>, ahead: Bytes) -> Self {
        Self { client, ahead: ahead.into() }
    }

    /// Writes a body, to its end. Dropping the future leaves the client in the middle of a chunk.
    ///
    /// # Errors
    /// That of the body, after all that came before is written; that of the socket; that the client is gone.
    pub(super) async fn write<B>(&mut self, mut body: Pin<Box<B>>) -> Result<(), BoxError>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        loop {
            match poll_fn(|cx| self.poll_frame(body.as_mut(), cx)).await? {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.into_data().ok().filter(Buf::has_remaining) {
                        let mut chunk = chunk(data);
                        poll_fn(|cx| self.poll_write(&mut chunk, cx)).await?;
                    }
                }
                Some(Err(fault)) => {
                    self.flush().await?;
                    return Err(fault);
                }
                None => {
                    poll_fn(|cx| self.poll_write(&mut &b"0\r\n\r\n"[..], cx)).await?;
                    return Ok(self.flush().await?);
                }
            }
        }
    }

    /// What the client has sent meanwhile, which is its next request.
    pub(super) fn into_ahead(self) -> Bytes {
        self.ahead.freeze()
    }

    /// The body's next frame; what was written goes out while there is none.
    fn poll_frame<B: Body>(
        &mut self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Result<Frame<B::Data>, BoxError>>>>
    where
        B::Error: Into<BoxError>,
    {
        self.poll_gone(cx)?;
        if let Poll::Ready(frame) = body.poll_frame(cx) {
            return Poll::Ready(Ok(frame.map(|frame| frame.map_err(Into::into))));
        }
        let _ = Pin::new(&mut *self.client).poll_flush(cx)?;
        Poll::Pending
    }

    fn poll_write(&mut self, chunk: &mut impl Buf, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_gone(cx)?;
        while chunk.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = chunk.chunks_vectored(&mut slices);
            let slices = slices.get(..filled).unwrap_or_default();
            let written = ready!(Pin::new(&mut *self.client).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            chunk.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            self.poll_gone(cx)?;
            Pin::new(&mut *self.client).poll_flush(cx)
        })
        .await
    }

    /// Reads what the client sends, as far as a connection buffers; an error when it has ended the connection.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 1024];
        while self.ahead.len() < HEAD {
            let mut buf = ReadBuf::new(&mut buffer);
            match Pin::new(&mut *self.client).poll_read(cx, &mut buf)? {
                Poll::Ready(()) if buf.filled().is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(()) => self.ahead.extend_from_slice(buf.filled()),
                Poll::Pending => break,
            }
        }
        Ok(())
    }
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
