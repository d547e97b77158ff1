//! The edge towards clients: accepts connections and serves HTTP/1.1 or HTTP/2 on them, under limits, until the drain.

use std::{
    io,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;
use tower::Service;

use crate::{
    body::BoxError,
    drain::Drain,
    metrics::{Count, Counts, Level, Overuse},
    net::{
        Accept, Client, Control, Peer, Protocol, Refuse, Socket,
        descriptors::{self, Wanted},
    },
    seldom::Seldom,
};

mod allowance;
mod handler;
mod handover;
mod meter;
mod multiplex;
mod overuse;
mod passage;
mod places;
mod turns;

use handler::Whence;
pub use meter::Metered;
use multiplex::{GIVEN_UP, Streams};
use overuse::Overuses;
use places::Places;

/// The bytes of one stream's answer that wait in HTTP/2 for its client.
const SENT_AHEAD: usize = 64 * 1024;
/// The bytes that a request's head may have, and that a connection buffers in either direction.
const HEAD: usize = 32 * 1024;
/// The headers that a request may have.
const HEADERS: usize = 64;
/// The requests that a connection of HTTP/2 may have open at a time.
const STREAMS: u32 = 128;
/// The bytes of request bodies that a client may send ahead of the upstream: on one stream, and on all of a connection.
const AHEAD: (u32, u32) = (64 * 1024, 1024 * 1024);
/// How often a silent client of HTTP/2 is asked whether it is still there. Its kernel answers for its host, and sooner;
/// this keeps what is on the way from forgetting the connection.
const PING: Duration = Duration::from_secs(20);
/// How long it may leave that unanswered: one that stopped reading in the middle of a download is waited for, too.
const PONG: Duration = Duration::from_secs(10 * 60);
/// How long nothing is accepted after accepting failed.
const PAUSE: Duration = Duration::from_millis(100);

/// What clients together, and each of them, may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at a time, upgraded ones included; over it others wait until one ends.
    pub connections: usize,
    /// How long a request's head may take to arrive, counted from when the connection was ready for it: a connection on
    /// which nothing is asked for is closed after this long, too.
    pub header_timeout: Duration,
    /// How long a client of a stamped stream may take nothing; carried out by whoever calls
    /// [`Control::limit_stalls`].
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 20_000, header_timeout: Duration::from_secs(10), stall: Duration::from_secs(30) }
    }
}

/// What is shown of clients.
#[derive(Clone, Debug)]
struct Counted {
    connections: Level,
    shortages: Count,
}

/// Serves connections with one service. Clones share their limits.
#[derive(Clone, Debug)]
pub struct Server<S> {
    service: Arc<S>,
    http: Arc<http1::Builder>,
    limits: Limits,
    places: Arc<Places>,
    counted: Option<Counted>,
    overuses: Overuses,
    refuse: Option<Refuse>,
    drain: Drain,
}

impl<S> Server<S> {
    /// A server of `service`, until `drain`.
    ///
    /// The service finds [`Control`] and [`Peer`] in each request's extensions. An error of its own cuts the
    /// connection without an answer; an error of a response's body cuts it after all that came before was written, and
    /// [`Control::revoke`] before that.
    pub fn new(service: S, limits: Limits, drain: Drain) -> Self {
        let places = Arc::new(Places::new(limits.connections));
        Self {
            service: Arc::new(service),
            http: Arc::new(http(limits)),
            limits,
            places,
            counted: None,
            overuses: Overuses::default(),
            refuse: None,
            drain,
        }
    }

    /// Shows in `connections` how many there are that were accepted, in `shortages` how often none was for want of file
    /// descriptors, and in `cut` those that were ended for what their clients did. The last descriptors are left to others:
    /// with few left, clients wait.
    #[must_use]
    pub fn counting(self, connections: Level, shortages: Count, cut: Counts<Overuse>) -> Self {
        let counted = Some(Counted { connections, shortages });
        Self { counted, overuses: Overuses::counted(cut), ..self }
    }

    /// So many connections at a time from now on. Those that are too many go on: nothing is accepted until there is room
    /// again. Needs a runtime.
    pub fn set_connections(&self, connections: usize) {
        self.places.set(connections);
    }

    /// Has what is no request that the service could be asked with be answered by `refuse`; else the answer is a
    /// status and nothing more.
    #[must_use]
    pub fn refusing(self, refuse: Refuse) -> Self {
        Self { refuse: Some(refuse), ..self }
    }
}

fn http(limits: Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(HEADERS)
        // The size of a buffer alone bounds nothing exactly: it grows in steps.
        .max_header_size(HEAD)
        .max_buf_size(HEAD)
        .preserve_header_case(true)
        // A Date is the upstream's to give.
        .auto_date_header(false);
    http
}

fn http2(streams: Streams) -> http2::Builder<Streams> {
    let mut http = http2::Builder::new(streams);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        // What a head comes to unpacked, with 32 bytes for each line. hyper answers a larger one with a 431.
        .max_header_list_size(HEAD as u32)
        .initial_stream_window_size(AHEAD.0)
        .initial_connection_window_size(AHEAD.1)
        // What is written and not taken yet stays where it is shared, as by HTTP/1.1.
        .max_send_buf_size(SENT_AHEAD)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .auto_date_header(false);
    http
}

impl<S, B> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// Accepts clients, each served in a task of its own, and returns when the drain begins; the listener is
    /// closed then. The connections go on; [`Drain::finish`] waits for them.
    pub async fn run(self, mut listener: impl Accept) {
        let mut begun = pin!(self.drain.begun());
        let server = Arc::new(self.clone());
        loop {
            let next = async {
                let accepted = listener.accept().await?;
                self.spared().await;
                // One for each listener waits here; all others that are over the limit do in the kernel, where they cost
                // us nothing. Were the place taken first, a listener that nobody comes to would keep one.
                let place = self.places.take().await.ok_or_else(|| io::Error::other("no places"))?;
                Ok::<_, io::Error>((
                    accepted,
                    (place, self.counted.as_ref().map(|counted| counted.connections.hold())),
                ))
            };
            let accepted = tokio::select! {
                biased;
                () = &mut begun => return,
                accepted = next => accepted,
            };
            match accepted {
                Ok(((socket, peer), place)) => {
                    tokio::spawn(server.clone().connection(socket, peer, place));
                }
                Err(fault) if is_the_clients(&fault) => {}
                Err(fault) => {
                    // Those who are there must end before the next one can come.
                    self.tell(&fault);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Waits until there are descriptors for a client and what it asks for, where that is looked after.
    async fn spared(&self) {
        while self.counted.is_some()
            && let Err(fault) = descriptors::spare(Wanted::Client)
        {
            self.tell(&fault);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Nobody is accepted for now, and why.
    fn tell(&self, fault: &io::Error) {
        static SHORT: Seldom = Seldom::new();
        if !descriptors::is_none_left(fault) {
            tracing::error!(error = %fault, "accepting failed");
            return;
        }
        if let Some(counted) = &self.counted {
            counted.shortages.count();
        }
        let Some(times) = SHORT.again(Instant::now()) else { return };
        let (limit, setting) = (descriptors::most(), "limits.connections");
        tracing::error!(
            limit,
            setting,
            times,
            "clients wait: there are too few file descriptors; raise them (ulimit -n, LimitNOFILE=) or lower limits.connections"
        );
    }

    /// Serves one client, whether or not there is a place for it, until the connection ends or the drain is over.
    pub fn serve<T: Socket>(&self, socket: T, peer: Peer) -> impl Future<Output = ()> + Send + use<S, B, T> {
        Arc::new(self.clone()).connection(socket, peer, ())
    }

    fn connection<T, K>(
        self: Arc<Self>,
        socket: T,
        peer: Peer,
        keep: K,
    ) -> impl Future<Output = ()> + Send + use<S, B, T, K>
    where
        T: Socket,
        K: Unpin + Send + 'static,
    {
        let control = Control::new(self.drain.clone());
        // Boxed: handed on, it would have its room in the future of each that had it.
        let mut client = Box::new(Client::new(socket, control.clone(), keep));
        async move {
            let _witness = Witness("connection");
            // Boxed, as all that is there only for a while.
            let Some(protocol) = Box::pin(self.protocol(&mut client)).await else { return };
            let whence = Whence { peer, secure: client.is_secure() };
            if protocol == Protocol::Http2 {
                // Far more than what HTTP/1 needs: out of the way of those who do not need it.
                return Box::pin(self.http2(client, whence)).await;
            }
            client.refuse_by(self.refuse.clone());
            self.http1(client, &control, whence).await;
        }
    }

    /// What a client speaks, if it says so in time.
    async fn protocol<T: Socket, K: Unpin>(&self, client: &mut Client<T, K>) -> Option<Protocol> {
        let protocol = tokio::select! {
            protocol = timeout(self.limits.header_timeout, client.protocol()) => protocol,
            // Nothing was asked for yet.
            () = self.drain.begun() => return None,
        };
        if protocol.is_err() && client.has_ahead() {
            self.overuses.note_head(self.limits.header_timeout);
        }
        protocol.ok()?.ok()
    }

    /// A connection on which nothing was asked for as long as a head may take ends, as one of HTTP/1 does.
    async fn http2<T: Socket, K: Unpin + Send + 'static>(&self, client: Box<Client<T, K>>, whence: Whence) {
        let (streams, idle) = (Streams::new(), self.limits.header_timeout);
        let handler =
            multiplex::Handler::new(self.service.clone(), self.drain.clone(), whence, streams.clone());
        let client = TokioIo::new(Metered::new(client).noting(self.overuses.clone()));
        let mut connection = pin!(http2(streams.clone()).serve_connection(client, handler));
        let mut given_up = pin!(streams.given_up_too_often());
        let note = |ended: hyper::Result<()>| {
            if let Err(fault) = &ended {
                self.overuses.note_fault(fault);
            }
            note(ended);
        };
        tokio::select! {
            ended = connection.as_mut() => return note(ended),
            () = given_up.as_mut() => return self.overuses.note_given_up(GIVEN_UP),
            () = self.drain.begun() => {}
            () = streams.idle(idle) => {}
        }
        // Says that no new stream is taken. The bodies of those that are there see the drain for themselves.
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection => note(ended),
            () = given_up => self.overuses.note_given_up(GIVEN_UP),
            // A client need not answer to that.
            () = streams.idle(idle) => {}
            () = self.drain.over() => {}
        }
    }
}

fn note(ended: hyper::Result<()>) {
    if let Err(fault) = ended {
        tracing::debug!(error = %fault, "a connection broke");
    }
}

/// Whether accepting failed for this one client's sake, so that the next one can be accepted at once.
fn is_the_clients(fault: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(fault.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Says so when the task of a connection or a stream panics; the runtime keeps the panic to that task.
struct Witness(&'static str);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(lost = self.0, "a task panicked; nothing else is lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use bytes::Bytes;
    use http_body::Frame;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tower::service_fn;

    use super::*;

    /// Thousands wait for an event: what a connection's task has room for, each of them takes.
    #[test]
    fn a_connection_takes_half_a_kilobyte_beside_what_is_there_only_for_a_while() {
        let answer = |_: Request<Incoming>| async { Ok::<_, BoxError>(Response::new(crate::body::empty())) };
        let server = Server::new(service_fn(answer), Limits::default(), Drain::default());
        let connection = server.serve(duplex(1).0, Peer(None));
        assert!(size_of_val(&connection) <= 512, "{}", size_of_val(&connection));
    }

    /// Says a word, has nothing once, and then always has more.
    struct Talks(u8);

    impl Body for Talks {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.0 = self.0.saturating_add(1);
            if self.0 == 2 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"word")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_of_a_stream_is_closed_when_the_drain_is_over() {
        let answer = |request: Request<Incoming>| async move {
            request.extensions().get::<Control>().unwrap().note_long();
            Ok::<_, BoxError>(Response::new(Talks(0)))
        };
        let drain = Drain::default();
        let server = Server::new(service_fn(answer), Limits::default(), drain.clone());
        let (near, mut far) = duplex(256);
        let connection = tokio::spawn(server.serve(near, Peer(None)));
        far.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut head = vec![0; 64];
        far.read_exact(&mut head).await.unwrap();
        // By then it is hyper's no more, and waits for its client.
        tokio::time::sleep(Duration::from_secs(1)).await;
        drain.begin();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!connection.is_finished());
        drain.end();
        timeout(Duration::from_secs(1), connection).await.unwrap().unwrap();
    }
}
