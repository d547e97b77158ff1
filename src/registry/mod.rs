//! Every stream that there is: sessions by the name in their generation, shared streams by their key.
//!
//! The registry opens streams, finds them again, keeps them within their limits and ends them all in a drain. It
//! knows requests only as keys, and the upstream only as a service.

mod conflict;
mod inspect;
mod keeper;
mod moving;
mod opening;
mod relief;
mod renewal;
mod session;
mod sessions;
mod shared;
mod survey;
mod upstream_id;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::SetOnce;
use tower::{ServiceExt as _, util::BoxCloneSyncService};
use tracing::{Span, field::Empty};

use crate::{
    body::Relay,
    current::Current,
    dice::Dice,
    fault::Fault,
    id::Generation,
    metrics::{End, Eviction, Held, Kind, Label as _, Metrics, Over, RouteMetrics},
    net::BoxFuture,
    pump::{Lingerers, Parts, Relieve, Standing, Successor, now},
    route::{Cookies, Key, OnGap, Route},
    seldom::Seldom,
    window::{Budget, Cursor, LiveWindow, Verdict, WeakWindow},
};

use renewal::Course;
use sessions::Sessions;

pub use inspect::{Client, Inspection, Kind as StreamKind, Phase, Stream, Totals};
pub use renewal::Pinned;
pub use session::{Opened, Rejoin, Session, Who};
pub use shared::{Admits, Answer, Entry, Line, Live, Member, OnRefusal, SharedStream, Spoken};

/// The upstream: a request in, its answer out.
pub type Upstream = BoxCloneSyncService<http::Request<Relay>, http::Response<Relay>, Fault>;

/// What all streams together may take, and how long who waits is kept waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of windows, unread and partial frames together.
    pub memory: usize,
    /// Streams; over it a new one passes without ids.
    pub streams: usize,
    /// Upstream connections that nobody listens to; the one alone longest ends first.
    pub lingering: usize,
    /// Bytes of one event; a larger one breaks the upstream connection.
    pub event: usize,
    /// How long a client waits for an upstream that cannot be reached.
    pub hold: Duration,
}

/// All streams. Clones are the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    limits: Current<Limits>,
    course: Current<Course>,
    dice: Dice,
    metrics: Metrics,
    upstream: Upstream,
    budget: Budget,
    lingerers: Lingerers,
    sessions: Mutex<Sessions>,
    shared: Mutex<HashMap<Key, Arc<SharedStream>>>,
    /// The windows of all shared streams, and of those generations that are over whose clients are slow to take them.
    generations: Mutex<Vec<Run>>,
    count: Arc<AtomicUsize>,
    /// How many streams there were, ever.
    numbers: AtomicU64,
    /// The last shared generation: the next one sorts after it, whatever the clock says. Nothing is locked under it but
    /// the dice.
    last: Mutex<Option<Generation>>,
    /// Which cookies the upstream has replaced.
    cookies: Cookies,
    draining: SetOnce<Duration>,
    relieving: AtomicBool,
    /// Windows gave way.
    gave_way: Seldom,
    /// ... and upstream connections did whose clients were away.
    too_many_linger: Seldom,
    /// A stream passed without ids.
    passed: Seldom,
}

/// One of the streams that there may be; dropping it makes room for another.
struct Counted {
    /// Its name to operators, who can tell neither keys nor generations apart by the few digits that they see.
    number: u64,
    since: Instant,
    count: Arc<AtomicUsize>,
    _held: Held,
}

/// The window of one generation of a shared stream.
struct Run {
    key: Key,
    route: Arc<Route>,
    window: WeakWindow,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// An empty registry, for the routes that it is [given](Self::set_routes). `upstream` is asked for shared streams, without any patience of its own; `cookies` are those
    /// that it replaces.
    #[must_use]
    pub fn new(limits: Limits, dice: Dice, metrics: Metrics, upstream: Upstream, cookies: Cookies) -> Self {
        let registry = Self(Arc::new(Inner {
            budget: Budget::new(limits.memory, metrics.memory.clone()),
            lingerers: Lingerers::new(limits.lingering, metrics.lingering.clone()),
            limits: Current::new(limits),
            course: Current::new(Course::default()),
            dice,
            metrics,
            upstream,
            sessions: Mutex::default(),
            shared: Mutex::default(),
            generations: Mutex::default(),
            count: Arc::default(),
            numbers: AtomicU64::new(1),
            last: Mutex::default(),
            cookies,
            draining: SetOnce::new(),
            relieving: AtomicBool::new(false),
            gave_way: Seldom::new(),
            too_many_linger: Seldom::new(),
            passed: Seldom::new(),
        }));
        registry.0.metrics.survey_by(registry.surveyor());
        registry
    }

    /// What all streams together may take.
    #[must_use]
    pub fn limits(&self) -> Limits {
        *self.0.limits.get()
    }

    /// The randomness that streams draw from.
    #[must_use]
    pub fn dice(&self) -> &Dice {
        &self.0.dice
    }

    /// The cookies that the upstream replaces.
    #[must_use]
    pub fn cookies(&self) -> &Cookies {
        &self.0.cookies
    }

    /// How many bytes all streams hold.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.budget.used()
    }

    /// Every client is to be cut, at a moment of its own within `spread`.
    pub fn drain(&self, spread: Duration) {
        let _ = self.0.draining.set(spread);
        self.windows().into_iter().for_each(|(_, window)| window.wake());
    }

    /// Once a drain has begun: within which time every client is cut.
    #[must_use]
    pub fn draining(&self) -> Option<Duration> {
        self.0.draining.get().copied()
    }

    /// Waits for a drain; says within which time every client is cut. Cancel-safe.
    pub async fn drained(&self) -> Duration {
        *self.0.draining.wait().await
    }

    fn windows(&self) -> Vec<(Key, LiveWindow)> {
        let sessions = lock(&self.0.sessions);
        let mut all: Vec<_> = sessions.iter().map(|session| (session.key, session.window.clone())).collect();
        drop(sessions);
        let generations = lock(&self.0.generations);
        all.extend(generations.iter().filter_map(|run| Some((run.key, run.window.upgrade()?))));
        drop(generations);
        all
    }

    /// A window of a shared stream is one that may have to give way, as long as anybody has it.
    fn note_generation(&self, key: Key, route: &Arc<Route>, window: &LiveWindow) {
        let mut all = lock(&self.0.generations);
        // Those that are gone go whenever there would have to be more room; of what is left there is then at most half.
        if all.len() == all.capacity() {
            all.retain(|run| run.window.upgrade().is_some());
            let more = all.len() + 4;
            all.reserve(more);
        }
        all.push(Run { key, route: route.clone(), window: window.downgrade() });
    }

    /// Asks the upstream. Behind a pointer, since the compiler cannot see that the service's own future is `Send`
    /// from within another.
    fn ask(&self, request: http::Request<Relay>) -> BoxFuture<Result<http::Response<Relay>, Fault>> {
        Box::pin(self.0.upstream.clone().oneshot(request))
    }

    /// A place among the streams, if there is one.
    fn count(&self, kind: Kind) -> Option<Counted> {
        let most = self.limits().streams;
        let one_more = |count: usize| (count < most).then_some(count + 1);
        self.0.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Counted {
            number: self.0.numbers.fetch_add(1, Ordering::Relaxed),
            since: now(),
            count: self.0.count.clone(),
            _held: self.0.metrics.streams.hold(kind),
        })
    }

    fn pump_parts(
        &self,
        window: &LiveWindow,
        standing: &Standing,
        successor: Successor,
        upstream: &Span,
    ) -> Parts {
        Parts {
            successor,
            guarding: None,
            window: window.clone(),
            standing: standing.clone(),
            budget: self.0.budget.clone(),
            relieve: self.reliever(),
            lingerers: self.0.lingerers.clone(),
            foreign: None,
            resumed: None,
            onto: None,
            span: upstream.clone(),
        }
    }

    /// Counts how a pump ended; where others took its place, that too.
    fn count_end(&self, route: &RouteMetrics, over: Over) {
        route.over(over);
        if over == Over::Ended(End::Evicted) {
            self.0.metrics.evictions.count(Eviction::Lingering);
            let Some(times) = self.0.too_many_linger.again(now()) else { return };
            let (limit, setting) = (self.limits().lingering, "limits.lingering");
            tracing::warn!(
                limit,
                setting,
                times,
                "an upstream connection without a client gave way to others"
            );
        }
    }

    /// An upstream connection is there. The span is as long as it is pumped.
    fn upstream_span(route: &Route, key: Key, kind: Kind) -> Span {
        let (route, kind) = (&route.name, kind.text());
        let span = tracing::debug_span!(parent: None, "upstream", route, %key, kind, end = Empty);
        tracing::debug!(parent: &span, "an upstream connection is pumped");
        span
    }

    /// It is over.
    fn note_over(upstream: &Span, over: Over) {
        upstream.record("end", over.text());
        tracing::debug!(parent: upstream, "an upstream connection is over");
    }

    /// Makes room when it is needed; holds nothing alive.
    fn reliever(&self) -> Relieve {
        let inner: Weak<Inner> = Arc::downgrade(&self.0);
        Arc::new(move || {
            if let Some(inner) = inner.upgrade() {
                Self(inner).relieve();
            }
        })
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("limits", &self.limits()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client that has joined a stream: how it was judged, and its place.
#[derive(Debug)]
pub struct Joined {
    /// How its id was judged when its request arrived.
    pub verdict: Verdict,
    /// Its place.
    pub cursor: Cursor,
    /// How many events it is given that came before its request.
    pub replayed: u64,
}

impl Joined {
    /// A client that was judged so, at the place that it was given for that.
    fn new(verdict: Verdict, mut cursor: Cursor, on_gap: OnGap) -> Self {
        let replayed = match verdict {
            Verdict::Resumed { missed, .. } => missed,
            Verdict::Gap(_) if on_gap == OnGap::Replay => cursor.rewind(),
            _ => 0,
        };
        Self { verdict, cursor, replayed }
    }
}
