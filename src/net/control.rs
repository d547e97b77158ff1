//! A client's connection: what its requests may ask of it.

use std::{
    future::poll_fn,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Sleep, sleep},
};

use super::{
    permission::Permission,
    protocol::Protocol,
    refusal::{Refusal, Refuse},
};
use crate::drain::{Drain, Presence};

/// How long a client that sends to a closed connection is listened to.
const LINGER: Duration = Duration::from_secs(2);

/// Whose connection a request came by; `None` for a unix socket. In each request's extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub Option<IpAddr>);

/// That it came by a connection that nobody on the way can read. In a request's extensions, where it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Secure;

/// What a client can be connected by.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Ready when bytes can pass, after a handshake, say; an error says that they never will. Waited for once, before
    /// anything is read or written.
    fn poll_open(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Whether nobody on the way can read what passes.
    fn is_secure(&self) -> bool {
        false
    }

    /// Has the coming drop tell the other side that the connection broke, where the transport can.
    fn reset(&self) {}

    /// Has a client who is there and takes nothing be waited for, however long; or, as it is at first, no longer than one
    /// that is gone, where the transport tells them apart by that alone.
    fn set_patient(&self, _: bool) {}
}

impl Socket for TcpStream {
    fn reset(&self) {
        reset(self);
    }

    fn set_patient(&self, patient: bool) {
        set_patient(self, patient);
    }
}

/// A client that confirms nothing of what was sent to it for this long is gone.
pub(super) const GONE: Duration = Duration::from_secs(30);

/// The kernel's limit for what is not confirmed counts for one who confirms that he takes nothing, too. Without it, who
/// vanished in the middle of a download is noticed as late as the system does.
pub(super) fn set_patient(stream: &TcpStream, patient: bool) {
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout((!patient).then_some(GONE));
}

pub(super) fn reset(stream: &TcpStream) {
    // Without it the drop sends a FIN, which an HTTP/1.0 client takes for a proper end.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
impl Socket for UnixStream {}
impl Socket for DuplexStream {}

/// A request's handle to what carries its answer: its connection, or, where others are on that one too (HTTP/2), its
/// stream. In each request's extensions; cheap to clone, and without effect once what it is for is gone.
#[derive(Clone, Debug)]
pub struct Control(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Milliseconds; 0 is no limit.
    stall: AtomicU32,
    reset: AtomicBool,
    flush_wanted: AtomicBool,
    flushed: AtomicBool,
    upgraded: AtomicBool,
    stalled: AtomicBool,
    long: AtomicBool,
    /// One of those below.
    turn: AtomicU8,
    permission: Permission,
    drain: Drain,
}

/// Nobody has asked for anything, or all answers are with the socket: what is written now, hyper says by itself.
/// => [`ASKED`], with a request.
const IDLE: u8 = 0;
/// => [`ANSWERED`], when hyper has all of the answer.
const ASKED: u8 = 1;
/// => [`IDLE`], when the socket has all of it.
const ANSWERED: u8 = 2;

impl Control {
    /// The handle of a connection or a stream that ends with `drain`.
    #[must_use]
    pub fn new(drain: Drain) -> Self {
        Self(Arc::new(Shared {
            stall: AtomicU32::new(0),
            reset: AtomicBool::new(false),
            flush_wanted: AtomicBool::new(false),
            flushed: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            long: AtomicBool::new(false),
            turn: AtomicU8::new(IDLE),
            permission: Permission::default(),
            drain,
        }))
    }

    /// From now on the connection (or the stream) is cut when the client takes nothing for `limit` although something is
    /// there for it. A later call replaces the limit, from the next write on; less than a millisecond counts as one.
    pub fn limit_stalls(&self, limit: Duration) {
        let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1);
        self.0.stall.store(millis, Relaxed);
    }

    /// Says that the answer's body goes on for long, in small parts: it is worth a way of its own.
    pub fn note_long(&self) {
        self.0.long.store(true, Relaxed);
    }

    /// Whether that was said.
    pub(crate) fn is_long(&self) -> bool {
        self.0.long.load(Relaxed)
    }

    /// What was said of the connection's last answer is not said of its next one: it may be taken as slowly as its client
    /// likes.
    pub(crate) fn forget_answer(&self) {
        self.0.stall.store(0, Relaxed);
        self.0.long.store(false, Relaxed);
    }

    /// Whether it was cut because the client took nothing.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.0.stalled.load(Relaxed)
    }

    /// Says that it is.
    pub(crate) fn note_stall(&self) {
        self.0.stalled.store(true, Relaxed);
    }

    /// From now on the socket is closed with a reset when it is dropped: so is a client cut for whom the end of the
    /// connection would be the proper end of the body (HTTP/1.0). What the client has not taken yet is lost.
    pub fn reset_on_close(&self) {
        self.0.reset.store(true, Relaxed);
    }

    /// Takes [`reset_on_close`](Self::reset_on_close) back.
    pub fn close_properly(&self) {
        self.0.reset.store(false, Relaxed);
    }

    /// From now on somebody asks whether its client may still have what is on the way to it.
    pub fn doubt(&self) {
        self.0.permission.doubt();
    }

    /// Nobody asks any more.
    pub fn trust(&self) {
        self.0.permission.trust();
    }

    /// It may not, if somebody asks. Nothing more is written to the connection, not even what waits in it; it is closed at
    /// once, with a reset, which takes back what the kernel has not sent, too. A stream is reset, and its connection stays:
    /// what the stream has given to that is out of reach.
    pub fn revoke(&self) {
        self.0.permission.revoke();
    }

    /// Whether that was said.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.0.permission.is_revoked()
    }

    /// That as a fault.
    fn permitted(&self) -> io::Result<()> {
        if self.is_revoked() { Err(revoked()) } else { Ok(()) }
    }

    /// Whether it was; if it was not, and somebody asks, the task is woken when it is.
    pub fn poll_revoked(&self, cx: &Context<'_>) -> bool {
        self.0.permission.poll_revoked(cx)
    }

    /// The end that this connection belongs to.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.0.drain
    }

    /// Asks to be woken (through the connection's own task) once everything written so far is with the socket.
    pub(crate) fn want_flush(&self) {
        self.0.flushed.store(false, Relaxed);
        self.0.flush_wanted.store(true, Relaxed);
    }

    /// Whether that is so since [`want_flush`](Self::want_flush).
    pub(crate) fn is_flushed(&self) -> bool {
        self.0.flushed.load(Relaxed)
    }

    /// Says that from now on the connection carries something else than HTTP.
    pub(crate) fn note_upgrade(&self) {
        self.0.upgraded.store(true, Relaxed);
    }

    /// Says that a request has come.
    pub(crate) fn note_request(&self) {
        self.0.turn.store(ASKED, Relaxed);
    }

    /// Says that there is nothing more to come of its answer.
    pub(crate) fn note_answer(&self) {
        self.0.turn.store(ANSWERED, Relaxed);
    }

    /// Says that all of its answer is with the socket.
    pub(crate) fn note_idle(&self) {
        self.0.turn.store(IDLE, Relaxed);
    }

    fn speaks_for_itself(&self) -> bool {
        self.0.turn.load(Relaxed) == IDLE && !self.0.upgraded.load(Relaxed)
    }

    /// How long the client may take nothing.
    pub(crate) fn stall(&self) -> Option<Duration> {
        match self.0.stall.load(Relaxed) {
            0 => None,
            millis => Some(Duration::from_millis(u64::from(millis))),
        }
    }
}

/// A client's socket, with what [`Control`] asks for carried out, and whatever has to live as long as it does. It
/// costs an idle connection a few words: the timer exists only while a write waits.
#[derive(Debug)]
pub struct Client<S: Socket, K = ()> {
    socket: S,
    /// What was read to tell the protocol by.
    ahead: Bytes,
    control: Control,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether the socket waits for a client that takes nothing.
    patient: bool,
    lingering: Lingering,
    refusal: Refusal,
    _presence: Presence,
    _keep: K,
}

/// Not => Shut => Reading, each only once.
#[derive(Debug)]
enum Lingering {
    Not,
    /// Our side is closed.
    Shut,
    /// What the client still sends is read and dropped, until then.
    Reading(Pin<Box<Sleep>>),
}

impl<S: Socket, K> Client<S, K> {
    /// Wraps a socket; `keep` is dropped with it, also after an upgrade has carried it elsewhere.
    pub fn new(socket: S, control: Control, keep: K) -> Self {
        let presence = control.drain().presence();
        Self {
            socket,
            ahead: Bytes::new(),
            control,
            stalled: None,
            patient: false,
            lingering: Lingering::Not,
            refusal: Refusal::new(None),
            _presence: presence,
            _keep: keep,
        }
    }

    /// Has a client whose request hyper refuses be answered by `refuse`.
    pub fn refuse_by(&mut self, refuse: Option<Refuse>) {
        self.refusal = Refusal::new(refuse);
    }

    /// Whether nobody on the way can read what passes.
    pub fn is_secure(&self) -> bool {
        self.socket.is_secure()
    }

    /// Has these bytes, which were read, be read again before any other.
    pub(crate) fn unread(&mut self, ahead: Bytes) {
        self.ahead = if self.ahead.is_empty() { ahead } else { [ahead, self.ahead.clone()].concat().into() };
    }

    /// Waits until bytes can pass, and for as many as tell what the client speaks. What was read for that is read again.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub async fn protocol(&mut self) -> io::Result<Protocol> {
        poll_fn(|cx| self.socket.poll_open(cx)).await?;
        poll_fn(|cx| self.poll_protocol(cx)).await
    }

    /// Whether something was read that is to be read again.
    pub(crate) fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    fn poll_protocol(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Protocol>> {
        loop {
            if let Some(protocol) = Protocol::told_by(&self.ahead) {
                return Poll::Ready(Ok(protocol));
            }
            // As much as most heads have: what is left is read by one more call.
            let mut buffer = [0; 1024];
            let mut buf = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                // Half a preface is no request either; who serves HTTP/1 finds the end for himself.
                return Poll::Ready(Ok(Protocol::Http1));
            }
            self.ahead = [&self.ahead, buf.filled()].concat().into();
        }
    }

    /// Writes our answer, where hyper writes a refusal of its own.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Option<Poll<io::Result<usize>>> {
        while let Some(rest) = self.refusal.instead_of(head) {
            let written = Pin::new(&mut self.socket).poll_write(cx, rest);
            match self.written(cx, written) {
                // A socket that takes nothing is hyper's to judge.
                Poll::Ready(Ok(written @ 1..)) if !self.refusal.advance(written) => {}
                Poll::Ready(Ok(1..)) => return Some(Poll::Ready(Ok(head.len()))),
                unwritten => return Some(unwritten),
            }
        }
        None
    }

    /// What a write came to: progress forgets the stall, waiting counts towards it.
    fn written<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        if self.control.poll_revoked(cx) {
            return Poll::Ready(Err(revoked()));
        }
        let limit = self.control.stall();
        if self.patient != limit.is_none() {
            self.patient = limit.is_none();
            self.socket.set_patient(self.patient);
        }
        let Some(limit) = limit else { return Poll::Pending };
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        self.control.note_stall();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }

    /// Reads and drops what the client is still sending to a side that is closed, for a moment: closed with bytes
    /// unread, the kernel sends a reset, which can take the answer (a 413 to an upload, say) from the client.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut dropped = [0; 4096];
        loop {
            // Before each read: a client that always has more to say would leave no other time for it.
            if let Lingering::Reading(timer) = &mut self.lingering
                && timer.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(());
            }
            let mut buf = ReadBuf::new(&mut dropped);
            let read = Pin::new(&mut self.socket).poll_read(cx, &mut buf);
            match (read, &mut self.lingering) {
                (Poll::Ready(Ok(())), lingering) if !buf.filled().is_empty() => {
                    if !matches!(lingering, Lingering::Reading(_)) {
                        *lingering = Lingering::Reading(Box::pin(sleep(LINGER)));
                    }
                }
                (Poll::Pending, Lingering::Reading(_)) => return Poll::Pending,
                _ => return Poll::Ready(()),
            }
        }
    }
}

/// Why nothing passes any more where the client's permission was taken back.
fn revoked() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "the upstream would let the client in no more")
}

impl<S: Socket, K> Drop for Client<S, K> {
    fn drop(&mut self) {
        if self.control.0.reset.load(Relaxed) || self.control.is_revoked() {
            self.socket.reset();
        }
    }
}

impl<S: Socket, K: Unpin> AsyncRead for Client<S, K> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // TLS answers what it does not understand, and what waits before that would go with it.
        self.control.permitted()?;
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buf.remaining());
            let part = self.ahead.split_to(length);
            buf.put_slice(&part);
            if self.ahead.is_empty() {
                // Its memory would be kept as long as the connection.
                self.ahead = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: Socket, K: Unpin> AsyncWrite for Client<S, K> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.control.permitted()?;
        if self.control.speaks_for_itself()
            && let Some(refused) = self.poll_refuse(cx, buf)
        {
            return refused;
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.control.permitted()?;
        if self.control.speaks_for_itself()
            && let [head] = bufs
            && let Some(refused) = self.poll_refuse(cx, head)
        {
            return refused;
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes only when all its own buffers are written, which is what `want_flush` waits for.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.control.permitted()?;
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        let shared = &self.control.0;
        if !matches!(flushed, Poll::Ready(Ok(()))) {
            return flushed;
        }
        if shared.turn.load(Relaxed) == ANSWERED {
            shared.turn.store(IDLE, Relaxed);
        }
        if shared.flush_wanted.swap(false, Relaxed) {
            shared.flushed.store(true, Relaxed);
            cx.waker().wake_by_ref();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.control.permitted()?;
        if matches!(self.lingering, Lingering::Not) {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.lingering = Lingering::Shut;
        }
        // After an upgrade either side may close first, and what the other still sends is for somebody else.
        if !self.control.0.upgraded.load(Relaxed) {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    fn client(room: usize) -> (Client<DuplexStream>, DuplexStream, Control) {
        let (near, far) = duplex(room);
        let control = Control::new(Drain::default());
        (Client::new(near, control.clone(), ()), far, control)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_after_the_limit() {
        let (mut client, _far, control) = client(4);
        control.limit_stalls(Duration::from_secs(30));
        let start = Instant::now();
        let fault = client.write_all(b"more than four").await.unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= Duration::from_secs(30) && start.elapsed() < Duration::from_secs(31));
    }

    /// A client that never stops talking, and takes all.
    struct Talker(tokio::io::Repeat);

    impl AsyncRead for Talker {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Talker {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Socket for Talker {}

    /// In real time: who never waits lets a stopped clock stand still.
    #[tokio::test]
    async fn a_client_that_never_stops_talking_is_not_listened_to_for_ever() {
        let mut client = Client::new(Talker(tokio::io::repeat(b'x')), Control::new(Drain::default()), ());
        let closed = tokio::time::timeout(LINGER * 5, client.shutdown()).await;
        assert!(closed.is_ok(), "it is listened to as long as it talks");
    }

    #[tokio::test]
    async fn nothing_passes_once_it_is_revoked_and_who_waits_to_write_is_told() {
        let (mut client, mut far, control) = client(4);
        control.doubt();
        let waits = tokio::spawn(async move { (client.write_all(b"more than four").await, client) });
        tokio::task::yield_now().await;
        control.revoke();
        let (waited, mut client) = waits.await.unwrap();
        // From now on the socket would take it, and give something.
        far.read_exact(&mut [0; 4]).await.unwrap();
        far.write_all(b"said").await.unwrap();
        let slices = [io::IoSlice::new(b"x")];
        let all = [
            waited,
            client.write(b"x").await.map(drop),
            client.write_vectored(&slices).await.map(drop),
            client.flush().await,
            client.read(&mut [0; 4]).await.map(drop),
            client.shutdown().await,
        ];
        for (at, one) in all.into_iter().enumerate() {
            assert_eq!(one.unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{at}");
        }
        drop(client);
        assert_eq!(far.read(&mut [0; 4]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_is_waited_for() {
        let (mut client, mut far, control) = client(1);
        control.limit_stalls(Duration::from_secs(30));
        tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                far.read_u8().await.unwrap();
            }
        });
        client.write_all(b"ten bytes!").await.unwrap();
        assert!(client.stalled.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_a_client_may_take_its_time() {
        let (mut client, mut far, _control) = client(1);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            far.read_exact(&mut [0; 2]).await.unwrap();
        });
        client.write_all(b"ab").await.unwrap();
    }

    /// The kernel ends a connection whose client confirms, again and again, that it takes nothing; but for whom we wait.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn case_12_the_kernel_waits_for_whom_we_wait() {
        use std::os::fd::AsFd as _;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = listener.accept().await.unwrap().0;
        set_patient(&socket, false);
        let same = socket2::Socket::from(socket.as_fd().try_clone_to_owned().unwrap());
        let control = Control::new(Drain::default());
        let mut client = Client::new(socket, control.clone(), ());
        for (stall, wanted) in [(None, None), (Some(GONE), Some(GONE)), (None, None)] {
            match stall {
                Some(limit) => control.limit_stalls(limit),
                None => control.forget_answer(),
            }
            // Until it takes no more.
            let filled = tokio::time::timeout(Duration::from_millis(100), async {
                loop {
                    client.write_all(&[0; 65536]).await.unwrap();
                }
            });
            filled.await.unwrap_err();
            assert_eq!(same.tcp_user_timeout().unwrap(), wanted);
        }
    }

    #[tokio::test]
    async fn a_reset_is_seen_as_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        for reset in [true, false] {
            let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let control = Control::new(Drain::default());
            let client = Client::new(listener.accept().await.unwrap().0, control.clone(), ());
            if reset {
                control.reset_on_close();
            }
            drop(client);
            let seen = far.read(&mut [0; 1]).await.map_err(|fault| fault.kind());
            let wanted = if reset { Err(io::ErrorKind::ConnectionReset) } else { Ok(0) };
            assert_eq!(seen, wanted);
        }
    }
}
