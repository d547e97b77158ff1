//! The pump: one upstream response to one window.
//!
//! It reads as long as somebody listens or may come back, numbers what it reads, and says how it came to an end.
//! What that means for the stream is for its owner in the registry to decide.

mod append;
mod guarding;
mod hello;
mod linger;
mod moving;
mod numbering;
mod quiet;
mod terms;

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Body;
use tokio::time::Sleep;
use tracing::Span;

use crate::{
    body::{BoxError, Relay},
    id::Position,
    metrics::{Break, End, Held, Over},
    sse::{Splitter, TooLong},
    window::{Audience, Budget, LiveWindow},
};

use append::Appender;
pub use append::Successor;
pub use guarding::Guarding;
pub use hello::Greeter;
pub use linger::{Lingerer, Lingerers};
use moving::Moving;
pub use moving::Onto;
use numbering::Numbering;
pub use quiet::quiet;
pub use terms::{Standing, Terms};

/// How many bytes are gathered at most before they are written.
const GATHERED: usize = 64 << 10;

/// Makes room when the budget is exceeded.
pub type Relieve = Arc<dyn Fn() + Send + Sync>;

/// Half a frame of this size is no reason to end a stream.
const SMALL: usize = 16 << 10;

/// How a pump came to an end.
#[derive(Debug)]
pub enum Outcome {
    /// The upstream ended the stream properly.
    Finished,
    /// The upstream was lost.
    Lost(BoxError),
    /// The upstream sent a frame beyond the limit.
    Oversized(TooLong),
    /// The upstream was asked to go on behind an id, and sent one from before it with another event.
    Contradicted,
    /// The stream goes on in a window that others share, and this connection is not needed.
    Moved,
    /// There is no memory for the frame that it is sending, whatever others gave up.
    Starved,
    /// Nobody listens, and nobody was given an id to come back with.
    Abandoned,
    /// Nobody came back in time.
    Lingered,
    /// Nobody listens, and others who linger were more recent.
    Evicted,
}

impl Outcome {
    /// What it is for a stream that does not go on behind it.
    #[must_use]
    pub fn over(&self) -> Over {
        match self {
            Self::Finished => Over::Ended(End::Finished),
            Self::Moved => Over::Ended(End::Moved),
            Self::Abandoned => Over::Ended(End::Abandoned),
            Self::Lingered => Over::Ended(End::Lingered),
            Self::Evicted => Over::Ended(End::Evicted),
            Self::Lost(_) => Over::Broke(Break::Lost),
            Self::Oversized(_) => Over::Broke(Break::Oversized),
            Self::Contradicted => Over::Broke(Break::Contradicted),
            Self::Starved => Over::Broke(Break::Starved),
        }
    }
}

/// Whether a pump goes on when nobody listens.
#[derive(Clone, Debug)]
pub struct Keep {
    /// The request that opened it was sent whole. Half a request does not outlive its client.
    pub whole: Arc<AtomicBool>,
    /// It is kept even if nobody was given an id yet: clients are about to come back.
    pub expected: bool,
}

/// Reads an upstream response into a window.
pub struct Pump {
    window: LiveWindow,
    standing: Standing,
    /// Which of its terms it goes by.
    version: u64,
    linger: Option<Duration>,
    splitter: Splitter,
    appender: Appender,
    budget: Budget,
    relieve: Relieve,
    lingerers: Lingerers,
    /// What was charged for the frame that is not complete, and for the upstream's last id.
    charged: usize,
    /// There is one.
    partial: Option<Held>,
    gathered: Gathered,
    /// Never entered: that would be paid for with every event.
    span: Span,
}

/// What came and is not in the window yet: what comes together is written together, and is one write for each client.
#[derive(Default)]
struct Gathered {
    chunks: Vec<Bytes>,
    bytes: usize,
    /// How many bytes there were when the connection was last given the chance to hand over more.
    asked: usize,
    /// How the body ended behind them.
    end: Option<Outcome>,
}

/// What a pump is made with.
pub struct Parts {
    /// Where it writes to.
    pub window: LiveWindow,
    /// What its stream goes by.
    pub standing: Standing,
    /// What its partial frame is charged to.
    pub budget: Budget,
    /// What makes room when that is exceeded.
    pub relieve: Relieve,
    /// Who else lingers.
    pub lingerers: Lingerers,
    /// Which generation comes after one that a reset ends.
    pub successor: Successor,
    /// What the stream remembers for its guards, from an earlier pump of it.
    pub guarding: Option<Guarding>,
    /// The id of the upstream's that the client came with: the upstream numbers its own events.
    pub foreign: Option<Bytes>,
    /// Where the stream was lost, if the upstream was asked to go on behind it.
    pub resumed: Option<Position>,
    /// A shared window that the stream may go on in.
    pub onto: Option<Onto>,
    /// What the log says of it is said in this.
    pub span: Span,
}

enum Event {
    Gathered,
    Aged,
    Over(Outcome),
}

/// What a pump waits for beside its upstream and its clients.
#[derive(Default)]
struct Timers {
    lingering: Option<Lingering>,
    age: Option<Pin<Box<Sleep>>>,
}

/// Nobody listens, since then.
struct Lingering {
    lingerer: Lingerer,
    since: Instant,
    /// `None` where the time is beyond what a timer can hold: it lingers until others are more recent.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pump {
    /// A pump at the start of a response.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        // The version first: terms that change in between are looked at again.
        let version = parts.standing.version();
        let Terms { route, metrics, linger, event } = parts.standing.terms();
        let ids = match parts.foreign {
            Some(id) => Numbering::behind(route.ids, &id),
            None => Numbering::new(route.ids, parts.resumed.is_some()),
        };
        Self {
            window: parts.window,
            standing: parts.standing,
            version,
            linger,
            splitter: Splitter::new(event),
            appender: Appender {
                guarding: Guarding::under(&route, parts.guarding, &parts.budget),
                ids,
                route,
                metrics,
                successor: parts.successor,
                resumed: parts.resumed,
                contradicted: false,
                moving: parts.onto.map(Moving::new),
            },
            budget: parts.budget,
            relieve: parts.relieve,
            lingerers: parts.lingerers,
            charged: 0,
            partial: None,
            gathered: Gathered::default(),
            span: parts.span,
        }
    }

    /// The last id of its own that the upstream sent.
    #[must_use]
    pub fn upstream_id(&self) -> Option<Bytes> {
        self.appender.ids.last()
    }

    /// What the stream remembers for its guards, for its next pump. This one knows nothing of it any more.
    pub fn take_guarding(&mut self) -> Option<Guarding> {
        self.appender.guarding.take()
    }

    /// Reads until the end. What is left of a half frame then is dropped with the pump.
    pub async fn run(&mut self, body: &mut Relay, keep: &Keep) -> Outcome {
        let mut timers = Timers::default();
        loop {
            match poll_fn(|cx| self.poll_event(cx, body, keep, &mut timers)).await {
                Event::Gathered => {
                    if let Err(fault) = self.feed(now()) {
                        return Outcome::Oversized(fault);
                    }
                    if let Some(over) = self.appender.over() {
                        return over;
                    }
                    if self.is_starved() {
                        tracing::error!(
                            parent: &self.span,
                            route = self.appender.route.name,
                            bytes = self.charged,
                            setting = "limits.memory",
                            "there is no memory for the frame that an upstream is sending: its stream ends"
                        );
                        return Outcome::Starved;
                    }
                    if timers.age.is_none() {
                        timers.age = self.next_expiry();
                    }
                }
                Event::Aged => {
                    self.window.prune(now());
                    timers.age = self.next_expiry();
                }
                Event::Over(outcome) => {
                    if matches!(outcome, Outcome::Finished) && self.splitter.held() > 0 {
                        self.finish(now());
                    }
                    return self.appender.over().unwrap_or(outcome);
                }
            }
        }
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Relay,
        keep: &Keep,
        timers: &mut Timers,
    ) -> Poll<Event> {
        let audience = self.window.audience(cx);
        // Behind the audience, by which whoever changes them wakes this task.
        if self.version != self.standing.version() {
            self.change_terms(timers);
        }
        if audience.readers > 0 {
            timers.lingering = None;
        } else if let Poll::Ready(outcome) = self.poll_vacant(cx, audience, keep, timers) {
            return Poll::Ready(Event::Over(outcome));
        }
        if timers.age.as_mut().is_some_and(|age| age.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Event::Aged);
        }
        if audience.readers > 0 && !audience.room {
            return Poll::Pending;
        }
        self.gathered.poll(cx, body)
    }

    fn poll_vacant(
        &self,
        cx: &mut Context<'_>,
        audience: Audience,
        keep: &Keep,
        timers: &mut Timers,
    ) -> Poll<Outcome> {
        let Some(linger) = self.linger else { return Poll::Pending };
        if !(audience.numbered || keep.expected) || !keep.whole.load(Ordering::Relaxed) || linger.is_zero() {
            return Poll::Ready(Outcome::Abandoned);
        }
        let Lingering { lingerer, timer, .. } = timers.lingering.get_or_insert_with(|| Lingering {
            lingerer: self.lingerers.join(),
            since: now(),
            timer: sleep_until(now().checked_add(linger)),
        });
        if lingerer.poll_evicted(cx).is_ready() {
            return Poll::Ready(Outcome::Evicted);
        }
        match timer {
            Some(timer) => timer.as_mut().poll(cx).map(|()| Outcome::Lingered),
            None => Poll::Pending,
        }
    }

    /// Appends what the chunks complete; those who wait are woken once for all of it.
    fn feed(&mut self, now: Instant) -> Result<(), TooLong> {
        let Self { window, splitter, appender, gathered, .. } = self;
        let result = window.write(|writer| {
            let mut feed = |chunk: Bytes| splitter.feed(&chunk, |frame| appender.append(writer, &frame, now));
            gathered.take().try_for_each(&mut feed)
        });
        if self.appender.ids.has_repeat_to_tell() {
            let route = &self.appender.route.name;
            tracing::warn!(parent: &self.span, route, "the upstream repeats an id: who comes back with it may get events again");
        }
        let partial = self.splitter.held();
        let cost = partial + self.appender.ids.cost();
        self.budget.charge(self.charged, cost);
        self.charged = cost;
        self.partial = match self.partial.take() {
            _ if partial == 0 => None,
            None => Some(self.appender.metrics.partial_frames.hold()),
            held => held,
        };
        if let Some(guarding) = &mut self.appender.guarding {
            guarding.settle(now);
        }
        if self.budget.excess() > 0 {
            (self.relieve)();
        }
        result
    }

    /// Appends the frame that only waited for the rest of its last line end.
    fn finish(&mut self, now: Instant) {
        let Self { window, splitter, appender, .. } = self;
        // What is too long was told when it was fed.
        let _ = window.write(|writer| splitter.finish(|frame| appender.append(writer, &frame, now)));
    }

    /// Half a frame cannot give way: where windows have given all and it is not enough, its stream has to go.
    fn is_starved(&self) -> bool {
        self.charged > SMALL && self.budget.excess() > 0
    }

    fn next_expiry(&self) -> Option<Pin<Box<Sleep>>> {
        sleep_until(self.window.look(|window| window.expires()))
    }

    /// Goes by the terms as they are now: for what comes, and for how long nobody has been here.
    fn change_terms(&mut self, timers: &mut Timers) {
        self.version = self.standing.version();
        let Terms { route, metrics, linger, event } = self.standing.terms();
        self.splitter.set_limit(event);
        self.appender.change_route(route, metrics, &self.budget);
        // The window's bounds are others, too.
        timers.age = self.next_expiry();
        if self.linger == linger {
            return;
        }
        self.linger = linger;
        match (linger, &mut timers.lingering) {
            (Some(linger), Some(lingering)) => {
                lingering.timer = sleep_until(lingering.since.checked_add(linger));
            }
            (_, lingering) => *lingering = None,
        }
    }
}

fn sleep_until(time: Option<Instant>) -> Option<Pin<Box<Sleep>>> {
    time.map(|time| Box::pin(tokio::time::sleep_until(time.into())))
}

impl Gathered {
    /// Gathers what is there. The connection hands over chunk by chunk, each when the one before was taken; so when
    /// there is no more it is given one turn to hand over the next, and what came is written when it did not.
    fn poll(&mut self, cx: &mut Context<'_>, body: &mut Relay) -> Poll<Event> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(Event::Over(end));
        }
        let end = loop {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers of an event stream mean nothing to its clients.
                    let Ok(chunk) = frame.into_data() else { continue };
                    self.bytes += chunk.len();
                    self.chunks.push(chunk);
                    if self.bytes >= GATHERED {
                        return Poll::Ready(Event::Gathered);
                    }
                }
                Poll::Ready(Some(Err(fault))) => break Outcome::Lost(fault),
                Poll::Ready(None) => break Outcome::Finished,
                Poll::Pending if self.bytes == 0 => return Poll::Pending,
                Poll::Pending if self.bytes == self.asked => return Poll::Ready(Event::Gathered),
                Poll::Pending => {
                    self.asked = self.bytes;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        };
        if self.chunks.is_empty() {
            return Poll::Ready(Event::Over(end));
        }
        self.end = Some(end);
        Poll::Ready(Event::Gathered)
    }

    fn take(&mut self) -> impl Iterator<Item = Bytes> {
        (self.bytes, self.asked) = (0, 0);
        self.chunks.drain(..)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.budget.charge(self.charged, 0);
    }
}

/// The time as the runtime tells it: a test may have stopped it. It never goes back, whatever the wall clock does.
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
