//! A client's socket where TLS is spoken.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

/// The first byte of whoever speaks TLS: a record with a handshake in it.
const HANDSHAKE: u8 = 0x16;
/// For whoever speaks HTTP without TLS.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    cache-control: no-store\r\nconnection: close\r\ncontent-length: 45\r\n\r\n\
    respool: TLS is spoken here: ask by https://\n";

/// A socket that has to be opened, by a handshake, before bytes pass.
pub struct Front(State);

/// Silent => Shaking | Gone; Shaking => Open | Gone.
enum State {
    /// Nothing has come yet.
    Silent(TcpStream, TlsAcceptor),
    Shaking(Accept<TcpStream>),
    Open(TlsStream<TcpStream>),
    /// There is nobody to speak with.
    Gone,
}

impl Front {
    pub(in crate::net) fn new(stream: TcpStream, acceptor: TlsAcceptor) -> Self {
        Self(State::Silent(stream, acceptor))
    }

    /// Ready when both sides have agreed on keys, or when they do not. Whoever speaks no TLS is told so.
    pub(in crate::net) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.0 {
                State::Silent(stream, _) => {
                    let speaks_tls = ready!(poll_first(stream, cx))? == Some(HANDSHAKE);
                    match std::mem::replace(&mut self.0, State::Gone) {
                        State::Silent(stream, acceptor) if speaks_tls => {
                            self.0 = State::Shaking(acceptor.accept(stream));
                        }
                        State::Silent(stream, _) => tell(&stream),
                        _ => {}
                    }
                }
                State::Shaking(shaking) => {
                    let shaken = ready!(Pin::new(shaking).poll(cx));
                    self.0 = State::Gone;
                    self.0 = State::Open(shaken?);
                }
                State::Open(_) => return Poll::Ready(Ok(())),
                State::Gone => return Poll::Ready(Err(gone())),
            }
        }
    }

    /// Has the coming drop reset the connection.
    pub(in crate::net) fn reset(&self) {
        if let State::Open(stream) = &self.0 {
            super::super::control::reset(stream.get_ref().0);
        }
    }

    /// Has a client that takes nothing be waited for, or no longer than one that is gone.
    pub(in crate::net) fn set_patient(&self, patient: bool) {
        if let State::Open(stream) = &self.0 {
            super::super::control::set_patient(stream.get_ref().0, patient);
        }
    }

    fn open(self: Pin<&mut Self>) -> io::Result<Pin<&mut TlsStream<TcpStream>>> {
        match &mut self.get_mut().0 {
            State::Open(stream) => Ok(Pin::new(stream)),
            _ => Err(gone()),
        }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the client speaks no TLS")
}

/// The first byte, which stays there to be read; `None` at the end.
fn poll_first(stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
    let mut first = [0];
    let mut first = ReadBuf::new(&mut first);
    ready!(stream.poll_peek(cx, &mut first))?;
    Poll::Ready(Ok(first.filled().first().copied()))
}

/// As much as can be said at once.
fn tell(stream: &TcpStream) {
    // Closed with bytes unread, the kernel would send a reset, which can take the answer from the client.
    // Of one who sends for ever that is no matter.
    for _ in 0..16 {
        let Ok(1..) = stream.try_read(&mut [0; 4096]) else { break };
    }
    let _ = stream.try_write(PLAIN);
}

impl AsyncRead for Front {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Front {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, buf)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_shutdown(cx)
    }
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Front")
    }
}

#[test]
fn what_is_said_is_as_long_as_it_says() {
    let text = std::str::from_utf8(PLAIN).unwrap_or_default();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
}
