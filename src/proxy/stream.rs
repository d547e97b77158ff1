//! A client's body: everything between its cursor and the tail, in as few and as large pieces as possible; when
//! there is nothing, it waits for the tail to move.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::request;
use http_body::{Body as HttpBody, Frame};
use smallvec::{SmallVec, smallvec};
use tokio::time::Sleep;
use tracing::Span;

use super::{
    greeting::Greeting,
    piece::{CatchUp, Flight, Piece},
    readmission::{Asking, Readmission},
};
use crate::{
    body::{BoxError, Relay},
    metrics::{Cut, Held, Label as _, RouteMetrics},
    net::Control,
    pump::{now, quiet},
    registry::{Member, Registry},
    route::{Heartbeat, Key},
    window::{Cursor, End, Parts, Step},
};

/// How much one piece takes from the window: a thousand events of ordinary size are one write.
const ROOM: usize = 256 << 10;
const BOM: &[u8] = b"\xEF\xBB\xBF";
/// Over how long the clients of a lost upstream are cut, so that they do not come back all at once.
const MOMENT: Duration = Duration::from_secs(1);

/// What a client is given.
#[derive(Debug)]
pub enum Body {
    /// The upstream's own body.
    Relay(Relay),
    /// A stream that is read from a window.
    Stream(Box<StreamBody>),
}

impl From<Relay> for Body {
    fn from(body: Relay) -> Self {
        Self::Relay(body)
    }
}

impl HttpBody for Body {
    type Data = Piece;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        match self.get_mut() {
            Self::Relay(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(Piece::relayed))))
            }
            Self::Stream(body) => body.poll_piece(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Relay(body) => body.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Relay(body) => body.size_hint(),
            Self::Stream(_) => http_body::SizeHint::new(),
        }
    }
}

/// A stream as one client reads it.
#[derive(Debug)]
pub struct StreamBody {
    cursor: Cursor,
    registry: Registry,
    metrics: Arc<RouteMetrics>,
    /// Goes out before anything else, and waits for nothing.
    notice: Option<Bytes>,
    /// Goes out before any event: the prime, or the hello in its place.
    first: Option<Bytes>,
    /// Nothing has gone out yet.
    at_start: bool,
    /// The client gets no frame without data.
    stumbles: bool,
    /// Goes out in the chunk of the next frames.
    lead: Option<Bytes>,
    /// How many events of a replay are still to be counted.
    replayed: u64,
    /// Counts how long it takes until they are written.
    catch_up: Option<Box<CatchUp>>,
    flight: Flight,
    heartbeat: Option<Arc<Heartbeat>>,
    last: Instant,
    timer: Pin<Box<Sleep>>,
    cutting: Option<Cutting>,
    /// Clients of a shared stream are cut one after the other.
    spread: Duration,
    connection: Option<Control>,
    _client: Held,
    kind: Kind,
    /// While it is one of a shared stream, where the upstream is asked again about it.
    asking: Option<Asking>,
    log: Log,
}

/// What the log says of a client when it is gone.
#[derive(Debug)]
struct Log {
    span: Span,
    /// How it was told to go, if it was.
    how: Option<&'static str>,
    events: u64,
    bytes: u64,
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if let Some(why) = self.cut_from_outside() {
            self.metrics.cuts.count(why);
            self.log.how = Some(why.text());
        }
        let Log { span, how, events, bytes } = &self.log;
        tracing::debug!(parent: span, how = how.unwrap_or("left"), events, bytes, "a client is gone");
    }
}

/// The client will be cut.
#[derive(Clone, Copy, Debug)]
struct Cutting {
    why: Cut,
    at: Instant,
}

/// What a body begins with.
#[derive(Debug)]
pub struct Start {
    /// The client's place.
    pub cursor: Cursor,
    /// What the client is told first of what it missed and cannot have.
    pub notice: Option<Bytes>,
    /// An id and nothing else, for a client that has none yet.
    pub prime: Option<Bytes>,
    /// How many events it is given that came before its request.
    pub replayed: u64,
    /// The id that it came back with, to be told again.
    pub came_with: Option<Bytes>,
    /// What is sent when nothing was for a while.
    pub heartbeat: Option<Arc<Heartbeat>>,
    /// After about how long it is told to come back, where the upstream does not say.
    pub retry: Option<Duration>,
    /// It stumbles over frames without data.
    pub stumbles: bool,
    /// The kind of its stream.
    pub kind: Kind,
    /// Where the upstream is to be asked again whether this client of a shared stream would still be let in.
    pub readmission: Option<Readmission>,
    /// Its connection, if it came by one.
    pub connection: Option<Control>,
    /// What the log says of it is said in this.
    pub span: Span,
}

/// The kind of a client's stream.
#[derive(Debug)]
pub enum Kind {
    /// Its own; with the shared stream that it may move onto.
    Session(Option<Home>),
    /// Shared, and remembered there as long as the body lives; with a hello that is still to come.
    Shared(Option<Member>, Option<Greeting>),
}

/// A shared stream whose client may have a stream of its own for a while.
#[derive(Debug)]
pub struct Home {
    /// Its key.
    pub key: Key,
    /// The client's request, as others may be served by it.
    pub request: Arc<request::Parts>,
    /// Where the upstream is to be asked again, from when it has moved. A stream of its own has the upstream's word by its
    /// connection.
    pub readmission: Option<Readmission>,
}

/// The client was cut, so that it comes back.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client was cut: {}", self.0.text())]
pub struct CutShort(pub(super) Cut);

impl StreamBody {
    /// The body of a client that has joined a stream. Dropping it gives up the client's place.
    #[must_use]
    pub fn new(start: Start, registry: &Registry, metrics: Arc<RouteMetrics>) -> Self {
        if start.prime.is_some() {
            start.cursor.note_numbered();
        }
        let far = Duration::from_secs(365 * 24 * 3600);
        let lead = lead(&start, registry);
        Self {
            registry: registry.clone(),
            notice: start.notice,
            first: start.prime,
            at_start: true,
            stumbles: start.stumbles,
            lead,
            replayed: start.replayed,
            catch_up: (start.replayed > 0).then(|| CatchUp::starting(&metrics)),
            flight: Flight::default(),
            last: now(),
            timer: Box::pin(tokio::time::sleep(start.heartbeat.as_ref().map_or(far, |beat| beat.every))),
            heartbeat: start.heartbeat,
            cutting: None,
            spread: if matches!(start.kind, Kind::Shared(..)) { MOMENT } else { Duration::ZERO },
            asking: start.readmission.map(|readmission| readmission.begin(start.connection.clone())),
            connection: start.connection,
            _client: metrics.clients.hold(),
            metrics,
            cursor: start.cursor,
            kind: start.kind,
            log: Log { span: start.span, how: None, events: 0, bytes: 0 },
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        if self.asking.as_ref().is_some_and(|asking| asking.poll_revoked(cx)) {
            // Not what it has coming, either.
            return Poll::Ready(Some(Err(CutShort(Cut::Revoked).into())));
        }
        if let Some(notice) = self.notice.take() {
            let waits = matches!(self.kind, Kind::Shared(_, Some(_)));
            let first = if waits { None } else { self.first.take() };
            return self.send([notice].into_iter().chain(first).collect());
        }
        if !ready!(self.poll_greeted(cx)) {
            return self.poll_timers(cx);
        }
        if let Some(first) = self.first.take() {
            return self.send(smallvec![first]);
        }
        if let Some(spread) = self.registry.draining() {
            self.cut_within(Cut::Drain, spread);
        }
        self.poll_window(cx)
    }

    /// Ready when no hello is waited for any more; with `false`, if the client is to be cut first.
    fn poll_greeted(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Kind::Shared(_, greeting) = &mut self.kind else { return Poll::Ready(true) };
        let Some(waiting) = greeting else { return Poll::Ready(true) };
        // Its events wait: until the hello is there, the client has no position.
        let Poll::Ready(said) = waiting.poll(cx) else {
            // Nor does its window wake it.
            if self.cutting.is_none() {
                let spread = ready!(waiting.poll_drained(&self.registry, cx));
                self.cut_within(Cut::Drain, spread);
            }
            return Poll::Ready(false);
        };
        *greeting = None;
        if let Some(said) = said {
            // In place of a prime, which a hello that never came leaves to be sent.
            self.first = Some(if self.stumbles { quiet(&said) } else { said });
            self.cursor.note_numbered();
        }
        Poll::Ready(true)
    }

    /// What the window has for the client, or that nothing will come.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        if self.flight.is_busy()
            && (self.cutting.is_some() || !self.cursor.is_caught_up(cx))
            && !self.flight.poll_landed(cx)
        {
            return Poll::Pending;
        }
        match self.cursor.poll_step(cx, ROOM) {
            Poll::Ready(Step::Parts(parts)) => return self.deliver(parts),
            Poll::Ready(Step::Behind) => {
                self.cut_within(Cut::Behind, Duration::ZERO);
            }
            Poll::Ready(Step::Moved) => {
                self.move_in();
                return self.poll_piece(cx);
            }
            Poll::Ready(Step::End(End::Lost)) => {
                let spread = self.spread;
                self.cut_within(Cut::Lost, spread);
            }
            Poll::Ready(Step::End(End::Finished)) => {
                // Its last events first: a client that is lost before it has them comes back for them.
                if !self.flight.poll_landed(cx) {
                    return Poll::Pending;
                }
                self.cursor.note_end_given();
                self.log.how = Some("ended");
                return Poll::Ready(None);
            }
            Poll::Pending => self.note_caught_up(),
        }
        self.poll_timers(cx)
    }

    /// What others than the body have cut it for, whether or not it was asked for more since.
    fn cut_from_outside(&self) -> Option<Cut> {
        if self.asking.as_ref().is_some_and(Asking::is_revoked) {
            return Some(Cut::Revoked);
        }
        self.connection.as_ref().is_some_and(Control::is_stalled).then_some(Cut::Stalled)
    }

    /// The client has everything. Where it was to get more than there was, some was withdrawn meanwhile.
    fn note_caught_up(&mut self) {
        if std::mem::take(&mut self.replayed) > 0 {
            self.catch_up.take().into_iter().for_each(|catch_up| catch_up.over());
        }
    }

    /// The client is one of a shared stream from now on: the upstream has let it in, by a connection of its own.
    fn move_in(&mut self) {
        // By the id that it holds.
        self.cursor.note_numbered();
        if self.stumbles {
            self.cursor.set_stumbling();
        }
        self.spread = MOMENT;
        if let Kind::Session(Some(home)) = &mut self.kind {
            let (readmission, connection) = (home.readmission.take(), self.connection.clone());
            self.asking = readmission.map(|readmission| readmission.begin(connection));
            self.kind = Kind::Shared(self.registry.admitted(home.key, &home.request), None);
        }
    }

    fn deliver(&mut self, parts: Parts) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        if self.replayed > 0 {
            let replayed = self.replayed.min(parts.events);
            self.replayed -= replayed;
            self.metrics.replayed(replayed);
        }
        self.metrics.sent_events(parts.events);
        self.log.events += parts.events;
        self.last = now();
        self.send(parts.pieces)
    }

    /// Sends frames, the reconnection time as a line of the first one.
    fn send(&mut self, mut parts: SmallVec<[Bytes; 1]>) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        if let Some(lead) = self.lead.take() {
            parts.insert(0, lead);
        }
        // At the start a client would drop it; in the middle of the upstream's stream it is part of a field's name.
        if self.at_start && parts.first().is_some_and(|piece| piece.starts_with(BOM)) {
            parts.insert(0, Bytes::from_static(b"\n"));
        }
        self.write(parts)
    }

    fn write(&mut self, parts: SmallVec<[Bytes; 1]>) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        self.at_start = false;
        let bytes = parts.iter().map(Bytes::len).sum();
        self.metrics.sent_bytes(bytes);
        self.log.bytes += bytes as u64;
        let caught_up = if self.replayed == 0 { self.catch_up.take() } else { None };
        let piece = Piece::of(parts, &self.flight).catching_up(caught_up);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// Cuts at a moment of its own within `spread`; of two reasons the sooner one counts.
    fn cut_within(&mut self, why: Cut, spread: Duration) {
        if self.cutting.is_some_and(|cutting| cutting.why == why) {
            return;
        }
        let at = now() + self.registry.dice().up_to(spread);
        if self.cutting.is_none_or(|cutting| at < cutting.at) {
            self.cutting = Some(Cutting { why, at });
            self.timer.as_mut().reset(at.into());
        }
    }

    /// Nothing can be taken: a cut or a heartbeat may be due.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        loop {
            if let Some(Cutting { why, at }) = self.cutting {
                if at > now() {
                    ready!(self.timer.as_mut().poll(cx));
                }
                if !self.flight.poll_landed(cx) {
                    return Poll::Pending;
                }
                self.metrics.cuts.count(why);
                self.log.how = Some(why.text());
                return Poll::Ready(Some(Err(CutShort(why).into())));
            }
            ready!(self.timer.as_mut().poll(cx));
            let Some(heartbeat) = &self.heartbeat else { return Poll::Pending };
            let due = self.last + heartbeat.every;
            let is_due = due <= now();
            if is_due {
                self.last = now();
            }
            self.timer.as_mut().reset((self.last + heartbeat.every).into());
            if is_due && !self.flight.is_busy() {
                let frame = heartbeat.frame(self.stumbles);
                return self.write(smallvec![frame]);
            }
        }
    }
}

/// The lines that stand before the first frame: the reconnection time, and the id that the client has.
fn lead(start: &Start, registry: &Registry) -> Option<Bytes> {
    let mut lines = Vec::new();
    if let Some(retry) = retry(start, registry) {
        lines.extend_from_slice(&[b"retry: ", &retry[..], b"\n"].concat());
    }
    if let Some(id) = &start.came_with {
        lines.extend_from_slice(&[b"id: ", &id[..], b"\n"].concat());
    }
    (!lines.is_empty()).then(|| lines.into())
}

/// The reconnection time: the upstream's, which a new client of a shared stream has not seen either, else a time for
/// this client alone, so that those who are lost together do not all come back at once.
fn retry(start: &Start, registry: &Registry) -> Option<Bytes> {
    if let Some(digits) = start.cursor.window().look(|window| window.retry().cloned()) {
        return Some(digits);
    }
    let retry = start.retry?;
    let own = retry + registry.dice().up_to(retry / 2);
    Some(own.as_millis().to_string().into())
}
