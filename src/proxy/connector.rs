//! What the pool of upstream connections dials with, and what each of them remembers.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tower::Service;

use crate::net::{BoxFuture, BoxIo, Dial, Protocol};

/// How much of an answer's beginning is kept, for a log line about one that makes no sense.
const BEGINNING: usize = 48;

/// How much of an event stream is read at once: less than hyper's buffer has at first. One that fills it gets a larger one,
/// up to what may be read ahead, and keeps it however quiet it is then; and a stream may be quiet for hours.
const GLIMPSE: u64 = (8 << 10) - 1;

/// A [`Dial`] in the form that hyper's pool wants. The address that the pool names is of no account.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) dial: Arc<dyn Dial>,
    /// Whether connections are for requests that ask for an upgrade.
    pub(super) upgrade: bool,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = io::Error;
    type Future = BoxFuture<io::Result<TokioIo<Wire>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialled = self.dial.dial_for(self.upgrade);
        Box::pin(async move {
            let (io, protocol) = dialled.await?;
            // How an answer of HTTP/2 begins is nothing to read.
            let is_http2 = protocol == Protocol::Http2;
            let io = io.take(u64::MAX);
            Ok(TokioIo::new(Wire { io, past: Past::default(), is_http2, fresh: !is_http2, deaf: false }))
        })
    }
}

/// What an upstream connection has seen. Clones are of one connection.
#[derive(Clone, Default)]
pub(super) struct Past(Arc<PastInner>);

#[derive(Default)]
struct PastInner {
    answered: AtomicBool,
    streams: AtomicBool,
    broken: AtomicBool,
    beginning: Mutex<SmallVec<[u8; BEGINNING]>>,
}

impl Past {
    /// Notes that a request was answered on it, and whether by an event stream. What hyper reads before the answer's body
    /// is asked for goes by the answer before.
    pub(super) fn note_answer(&self, is_stream: bool) {
        self.0.answered.store(true, Relaxed);
        self.0.streams.store(is_stream, Relaxed);
    }

    /// Whether it had answered a request before: if it dies under the next one, it may have been dead already.
    pub(super) fn has_answered(&self) -> bool {
        self.0.answered.load(Relaxed)
    }

    /// Whether reading it panicked. hyper's task is gone then, and to whoever reads an answer from it that looks like its end.
    pub(super) fn is_broken(&self) -> bool {
        self.0.broken.load(Relaxed)
    }

    /// How the last answer began: its first line, or its first 48 bytes, escaped. No header is in it.
    pub(super) fn beginning(&self) -> String {
        let said = self.0.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        let line = said.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        line.escape_ascii().to_string()
    }

    fn note_beginning(&self, said: &[u8]) {
        let said = said.get(..BEGINNING).unwrap_or(said);
        let mut beginning = self.0.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        beginning.clear();
        beginning.extend_from_slice(said);
    }
}

/// An upstream connection that remembers how each answer began.
pub(super) struct Wire {
    io: Take<BoxIo>,
    past: Past,
    is_http2: bool,
    /// Whether the next read is the first after a write.
    fresh: bool,
    /// Whether the upstream takes no more.
    deaf: bool,
}

impl Wire {
    /// What a write came to. An upstream that closes without reading a request to its end has often answered it (with
    /// a 413, say): an error would have hyper drop that answer unread. So the write waits, and what ends the
    /// connection is what is read: the answer, then the end, which cannot be far.
    fn written<T>(&mut self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match written {
            Poll::Ready(Err(fault)) if matches!(fault.kind(), BrokenPipe | ConnectionReset) => {
                self.deaf = true;
                Poll::Pending
            }
            written => written,
        }
    }
}

/// Notes a panic that comes out of what is done while it is there, before hyper lets go of the answer.
struct Witness<'a>(&'a Past);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.0.broken.store(true, Relaxed);
        }
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.past.clone());
        if self.is_http2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { io, past, is_http2, fresh, .. } = self.get_mut();
        let _witness = Witness(past);
        let before = buf.filled().len();
        let is_stream = !*is_http2 && past.0.streams.load(Relaxed);
        io.set_limit(if is_stream { GLIMPSE } else { u64::MAX });
        let read = Pin::new(io).poll_read(cx, buf);
        if *fresh && buf.filled().len() > before {
            *fresh = false;
            past.note_beginning(buf.filled().get(before..).unwrap_or_default());
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Pending;
        }
        self.fresh = !self.is_http2;
        let written = Pin::new(self.io.get_mut()).poll_write(cx, buf);
        self.written(written)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Pending;
        }
        self.fresh = !self.is_http2;
        let written = Pin::new(self.io.get_mut()).poll_write_vectored(cx, bufs);
        self.written(written)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.get_ref().is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.get_mut()).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.get_mut()).poll_shutdown(cx)
    }
}
