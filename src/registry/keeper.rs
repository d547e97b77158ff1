//! The task of a shared stream: it asks the upstream, pumps what it gets, and asks again.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header, request::Parts};
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

use super::{
    Registry, lock,
    opening::Opened,
    shared::{Answer, Asker, Live, OnRefusal, Phase, SharedStream},
};
use crate::{
    body::{self, Relay},
    fault::{Fault, deepest},
    head::{self, LAST_EVENT_ID},
    metrics::{Break, Connect, Kind, Over, RouteMetrics},
    pump::{self, Guarding, Keep, Outcome, Pump, Terms, now},
    route::OnBreak,
    window::{End, Past, Window},
};

/// The first pause before the upstream is asked again; it doubles up to the last one, each with full jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// How often it is looked for whom to cut, at most, by each stream that is down.
const SOON: Duration = Duration::from_millis(100);
/// The last pause while somebody waits.
const WAITED_FOR: Duration = Duration::from_secs(1);

/// Whose request asks the upstream.
enum Source {
    Asker(Asker),
    /// A client that was attached when the upstream was lost.
    Candidate(Arc<Parts>),
    Pin,
}

/// The task of a shared stream, and what it remembers from one connection to the next.
pub(super) struct Keeper {
    pub(super) registry: Registry,
    pub(super) stream: Arc<SharedStream>,
    /// The clients that were attached when the upstream was lost, the one admitted last at the end.
    candidates: Vec<Arc<Parts>>,
    /// The upstream's last own id.
    upstream_id: Option<Bytes>,
    /// What the stream remembers for its guards.
    guarding: Option<Guarding>,
    /// The reconnection time that the upstream asked for.
    retry: Duration,
    /// Connections in a row that failed or were lost.
    failures: u32,
    /// Why there was no answer, when the upstream was asked last.
    away: Option<String>,
    /// How long clients of the lost generation are expected back.
    expected_until: Option<Instant>,
    /// The ids that the upstream gave in a generation that ended.
    pub(super) past: Past,
    /// What was lost and may go on.
    pub(super) held: Option<Held>,
}

/// A stream that was lost, whose clients stay until it is known whether it goes on.
pub(super) enum Held {
    /// The upstream resumes by its own id: the generation goes on, if it does.
    Resumes(Arc<Live>),
    /// A new generation begins, and clients are told so.
    Breaks(Arc<Live>),
}

impl Held {
    pub(super) fn live(&self) -> &Arc<Live> {
        match self {
            Self::Resumes(live) | Self::Breaks(live) => live,
        }
    }
}

impl Keeper {
    pub(super) fn new(registry: Registry, stream: Arc<SharedStream>) -> Self {
        Self {
            registry,
            stream,
            candidates: Vec::new(),
            upstream_id: None,
            guarding: None,
            retry: Duration::ZERO,
            failures: 0,
            away: None,
            expected_until: None,
            past: Past::default(),
            held: None,
        }
    }

    /// The stream is over, whatever was going on: nobody waits for a task that is gone.
    fn abandon(&mut self) {
        let mut all = lock(&self.registry.0.shared);
        if all.get(&self.stream.key).is_some_and(|stream| Arc::ptr_eq(stream, &self.stream)) {
            all.remove(&self.stream.key);
        }
        let mut state = lock(&self.stream.state);
        let phase = std::mem::replace(&mut state.phase, Phase::Closed);
        let line = std::mem::take(&mut state.line);
        drop((state, all));
        drop(line);
        if let Phase::Live(live) | Phase::Down(live) = phase {
            live.window.end(End::Lost);
        }
        if let Some(held) = self.held.take() {
            held.live().window.end(End::Lost);
        }
    }

    /// Lives as long as the stream.
    pub(super) async fn keep(mut self) {
        loop {
            while let Some(source) = self.next_source() {
                if let Some(opened) = self.open(source).await {
                    self.pump(opened).await;
                }
                self.pause().await;
            }
            if !self.is_returned_to().await && self.close_if_unwanted() {
                return;
            }
        }
    }

    /// Nobody is here whose request could be sent, but clients of the stream that was lost may come back for what is
    /// retained. Waits for the first who needs the upstream, as long as they are expected; says whether one came.
    async fn is_returned_to(&self) -> bool {
        let Some(until) = self.expected_until.filter(|_| self.is_expected()) else { return false };
        let needs_it = || {
            let is_wanted = self.stream.is_waited_for() || self.stream.standing.is_pinned();
            is_wanted || (self.held.is_some() && self.stream.has_members())
        };
        let came = async {
            while !needs_it() {
                self.stream.asked.notified().await;
            }
        };
        timeout_at(until.into(), came).await.is_ok()
    }

    fn next_source(&mut self) -> Option<Source> {
        if !self.is_expected() {
            self.candidates.clear();
        } else if self.held.is_some() && self.candidates.is_empty() {
            // Whoever came back since goes on only if somebody asks.
            self.candidates = self.stream.attached();
        }
        let candidate = self.candidates.last().cloned().map(Source::Candidate);
        let kept = candidate.or_else(|| self.stream.standing.is_pinned().then_some(Source::Pin));
        let asker = || self.stream.next_asker().map(Source::Asker);
        // Where clients have stayed it is for one of them to ask: what a stranger is refused must not cut them.
        if self.held.is_some() { kept.or_else(asker) } else { asker().or(kept) }
    }

    /// Asks the upstream and answers who waits for it. `Some` when the stream is live.
    async fn open(&mut self, source: Source) -> Option<Opened> {
        let (asker, request) = match source {
            Source::Asker(asker) => (Some(asker), None),
            Source::Candidate(request) => (None, Some(request)),
            Source::Pin => (None, None),
        };
        let parts = asker.as_ref().map(|asker| asker.request.clone()).or(request);
        let call = self.registry.ask(self.request(parts.as_deref())?);
        let is_pin = parts.is_none();
        let awaited = self.metrics().heads_awaited.hold();
        self.stream.is_asked_for.store(asker.is_some(), Ordering::Relaxed);
        let answer = match &asker {
            Some(asker) => self.while_wanted(asker, call).await,
            None if is_pin => self.while_pinned(call).await,
            None => self.while_expected(call).await,
        };
        self.stream.is_asked_for.store(false, Ordering::Relaxed);
        // Nor is it known to be away where its answer was waited for in vain: who waits in the line asks for itself.
        self.away = None;
        let answer = answer?;
        drop(awaited);
        match answer {
            Ok(response) => {
                let (head, body) = response.into_parts();
                if head::is_stream(&head) {
                    self.metrics().connects.count(Connect::Stream);
                    return Some(self.opened(asker, head, body).await);
                }
                self.metrics().connects.count(Connect::Refused);
                self.refused(asker, Response::from_parts(head, body));
                None
            }
            Err(fault) => {
                self.metrics().connects.count(Connect::Failed);
                self.failed(asker, fault);
                None
            }
        }
    }

    /// Waits for the answer as long as somebody does: the stream owns its opening, not the client that came first.
    async fn while_wanted<T>(&self, asker: &Asker, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        loop {
            tokio::select! {
                answer = &mut call => return Some(answer),
                () = sleep(WAITED_FOR) => {}
            }
            if asker.answer.is_closed() && !self.stream.is_waited_for() && !self.stream.standing.is_pinned() {
                return None;
            }
        }
    }

    /// Waits for the answer to a request of a client's that is gone, as long as clients are expected back. Whoever stands in
    /// the line by then asks for itself.
    async fn while_expected<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        loop {
            tokio::select! {
                answer = &mut call => return Some(answer),
                () = sleep(WAITED_FOR) => {}
            }
            if !self.is_expected() {
                return None;
            }
        }
    }

    /// Waits for the answer to the pin's request as long as there is a pin. Whoever stands in the line by then asks for itself.
    async fn while_pinned<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        loop {
            tokio::select! {
                answer = &mut call => return Some(answer),
                () = self.stream.asked.notified() => {}
            }
            if !self.stream.standing.is_pinned() {
                return None;
            }
        }
    }

    pub(super) fn metrics(&self) -> Arc<RouteMetrics> {
        self.stream.standing.terms().metrics
    }

    /// Clients of the stream that was lost are here, or may still come back.
    fn is_expected(&self) -> bool {
        let listened_to = || self.held.as_ref().is_some_and(|held| held.live().window.readers() > 0);
        self.expected_until.is_none_or(|until| now() < until) || listened_to()
    }

    /// A refusal is for the asker alone.
    fn refused(&mut self, asker: Option<Asker>, response: Response<Relay>) {
        // Perhaps it was its own last id that the upstream refused, and that no client sent.
        let id_was_sent = self.upstream_id.take().is_some();
        // Then the stream is broken, and the same client's request may still open it anew.
        let was_to_resume = matches!(self.held, Some(Held::Resumes(_)));
        self.let_go(Break::Refused);
        match asker {
            Some(asker) if id_was_sent => lock(&self.stream.state).line.push_front(asker),
            Some(asker) => drop(asker.answer.send(Answer::Refused(response))),
            None => {
                let status = response.status().as_u16();
                self.stream.note_trouble(format!("the upstream answers with {status} instead of a stream"));
                tracing::warn!(route = self.stream.standing.route().name, key = %self.stream.key, status, "the upstream refused a stream that is kept");
                let refused = if was_to_resume { None } else { self.candidates.pop() };
                if let Some(OnRefusal(tell)) = refused.as_ref().and_then(|request| request.extensions.get()) {
                    tell();
                }
                self.failures += 1;
            }
        }
    }

    /// The upstream is away: those who have waited long enough are told, the others go on waiting.
    fn failed(&mut self, asker: Option<Asker>, fault: Fault) {
        let asker = match asker {
            // An answer that makes no sense is for the asker alone, as a refusal is.
            Some(asker) if !fault.may_pass() => return drop(asker.answer.send(Answer::Failed(fault))),
            asker => asker,
        };
        self.failures += 1;
        asker.into_iter().for_each(|asker| lock(&self.stream.state).line.push_front(asker));
        fault.log();
        self.stream.note_trouble(fault.to_string());
        self.away = Some(fault.to_string());
        self.cut_late();
    }

    /// Tells those who have waited for an upstream that is away as long as they are held. Says when the next one has.
    fn cut_late(&self) -> Option<Instant> {
        let (cause, hold) = (self.away.as_ref()?, self.registry.limits().hold);
        let mut state = lock(&self.stream.state);
        state.line.iter().for_each(|asker| asker.held.begin());
        let (late, line): (VecDeque<Asker>, _) =
            std::mem::take(&mut state.line).into_iter().partition(|asker| asker.since + hold <= now());
        state.line = line;
        let next = state.line.iter().map(|asker| asker.since).min();
        drop(state);
        for asker in late {
            let lost = Fault::Unreachable(cause.clone().into());
            let _ = asker.answer.send(Answer::Failed(Fault::Outage(Box::new(lost))));
        }
        // Whoever comes now has all of it before them; a hold of nothing is over before the upstream is asked again.
        Some(next.unwrap_or_else(now) + hold.max(SOON))
    }

    /// Pumps a generation to its end, and says to its clients how it ended.
    async fn pump(&mut self, opened: Opened) {
        let Opened { live, mut body, resumed } = opened;
        let registry = self.registry.clone();
        let successor = Box::new(move |_| registry.next_generation());
        let route = self.stream.standing.route();
        let span = Registry::upstream_span(&route, self.stream.key, Kind::Shared);
        let parts = self.registry.pump_parts(&live.window, &self.stream.standing, successor, &span);
        let guarding = self.guarding.take();
        let mut pump = Pump::new(pump::Parts { resumed, guarding, ..parts });
        let keep =
            Keep { whole: Arc::new(AtomicBool::new(true)), expected: self.expected_until.take().is_some() };
        let began = now();
        if keep.expected {
            tracing::info!(route = route.name, key = %self.stream.key, "the upstream of a shared stream is there again");
        }
        let outcome = loop {
            let outcome = pump.run(&mut body, &keep).await;
            let alone = matches!(outcome, Outcome::Abandoned | Outcome::Lingered | Outcome::Evicted);
            if !alone || self.leave_if_vacant(&live) {
                break outcome;
            }
        };
        Registry::note_over(&span, outcome.over());
        self.guarding = pump.take_guarding();
        self.upstream_id = pump.upstream_id().or(self.upstream_id.take());
        self.retry =
            live.window.look(|window| window.retry().map_or(Duration::ZERO, |digits| millis(digits)));
        // A connection that held for a while was a good one.
        if now() - began > LAST_PAUSE {
            self.failures = 0;
        }
        self.ended(live, outcome);
    }

    fn ended(&mut self, live: Arc<Live>, outcome: Outcome) {
        let (route, key) = (self.stream.standing.route(), self.stream.key);
        let route = &route.name;
        let over = outcome.over();
        let end = match outcome {
            Outcome::Finished => End::Finished,
            Outcome::Lost(fault) => {
                let fault = deepest(fault.as_ref());
                self.stream.note_trouble(format!("the upstream was lost: {fault}"));
                tracing::warn!(route, %key, %fault, "the upstream of a shared stream was lost");
                End::Lost
            }
            Outcome::Oversized(fault) => {
                self.stream.note_trouble(format!("the upstream was cut: {fault}"));
                tracing::error!(route, %key, %fault, "the upstream of a shared stream was cut");
                End::Lost
            }
            Outcome::Contradicted => {
                // Not asked by that id again: what the upstream knows by it is something else.
                self.upstream_id = None;
                self.stream.note_trouble("the upstream does not resume by its ids");
                tracing::error!(
                    route,
                    %key,
                    setting = "upstream_resumes",
                    "an upstream that was to resume sent an id of before with another event: it does not resume by its ids"
                );
                End::Lost
            }
            Outcome::Abandoned | Outcome::Lingered | Outcome::Evicted | Outcome::Starved | Outcome::Moved => {
                End::Lost
            }
        };
        let lost = matches!(over, Over::Broke(why) if why != Break::Starved);
        // A pinned stream is asked for again after a proper end too, and not at once.
        self.failures += u32::from(lost || self.stream.standing.is_pinned());
        if lost {
            self.lost(live, over);
        } else {
            self.candidates.clear();
            self.upstream_id = None;
            lock(&self.stream.state).turn(Phase::Opening);
            self.registry.count_end(&self.metrics(), over);
            self.past = live.window.look(Window::take_past);
            live.window.end(end);
        }
    }

    /// Whoever is attached stays, where the stream may go on; all others are cut when they have everything.
    fn lost(&mut self, live: Arc<Live>, over: Over) {
        let mut state = lock(&self.stream.state);
        self.candidates = state.attached();
        state.turn(Phase::Down(live.clone()));
        drop(state);
        let Terms { route, linger, .. } = self.stream.standing.terms();
        self.expected_until = now().checked_add(linger.unwrap_or(route.linger));
        let breaks = route.breaks;
        // What cannot be asked for is not resumed, whatever comes then.
        if breaks.resumes && self.cursor().is_some() {
            self.held = Some(Held::Resumes(live));
            return;
        }
        self.metrics().over(over);
        match breaks.on_break {
            OnBreak::Close => live.window.end(End::Lost),
            OnBreak::Hold => self.held = Some(Held::Breaks(live)),
        }
    }

    /// What was held does not go on: its clients are cut.
    pub(super) fn let_go(&mut self, why: Break) {
        let Some(held) = self.held.take() else { return };
        if matches!(held, Held::Resumes(_)) {
            self.metrics().over(Over::Broke(why));
        }
        held.live().window.end(End::Lost);
    }

    /// The generation takes no more clients, if there are none.
    fn leave_if_vacant(&self, live: &Live) -> bool {
        let mut state = lock(&self.stream.state);
        let vacant = live.window.readers() == 0;
        if vacant {
            state.turn(Phase::Opening);
        }
        vacant
    }

    /// Waits before the upstream is asked again: not at all for one who asks after a proper end or a refusal.
    async fn pause(&self) {
        if self.failures == 0 {
            return;
        }
        let most = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(16));
        let dice = self.registry.dice();
        let short = dice.up_to(most.min(WAITED_FOR));
        let long = dice.up_to(most.min(LAST_PAUSE)).max(self.retry.min(LAST_PAUSE));
        let asked_for = async {
            // More than once: it may tell of somebody who was answered long ago.
            while !self.stream.is_waited_for() {
                self.stream.asked.notified().await;
            }
        };
        let mut over = pin!(async {
            sleep(short).await;
            let _ = timeout(long.saturating_sub(short), asked_for).await;
        });
        while let Some(next) = self.cut_late() {
            tokio::select! {
                biased;
                () = &mut over => return,
                () = sleep_until(next.into()) => {}
            }
        }
        over.await;
    }

    fn close_if_unwanted(&mut self) -> bool {
        self.let_go(Break::Unanswered);
        let mut all = lock(&self.registry.0.shared);
        if self.stream.is_waited_for() || self.stream.standing.is_pinned() {
            return false;
        }
        lock(&self.stream.state).turn(Phase::Closed);
        if all.get(&self.stream.key).is_some_and(|stream| Arc::ptr_eq(stream, &self.stream)) {
            all.remove(&self.stream.key);
        }
        true
    }

    /// The pump's own request: a client's, or the pin's, less what is that client's alone, and with the upstream's
    /// last own id.
    fn request(&self, parts: Option<&Parts>) -> Option<Request<Relay>> {
        let mut request = Request::new(body::empty());
        match (parts, &self.stream.standing.route().pin) {
            (Some(parts), _) => {
                *request.uri_mut() = parts.uri.clone();
                *request.headers_mut() = parts.headers.clone();
                *request.extensions_mut() = parts.extensions.clone();
            }
            (None, Some(pin)) => {
                *request.uri_mut() = pin.target.clone().into();
                *request.headers_mut() = pin.headers.clone();
                let accept = HeaderValue::from_static("text/event-stream");
                request.headers_mut().entry(header::ACCEPT).or_insert(accept);
            }
            (None, None) => return None,
        }
        let headers = request.headers_mut();
        for name in NOT_THE_PUMPS {
            headers.remove(name);
        }
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(id) = self.cursor() {
            headers.insert(LAST_EVENT_ID, id);
        }
        Some(request)
    }

    /// The upstream's last own id, if a head can say it: a line of a stream has control bytes, too, and a head none.
    fn cursor(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.upstream_id.as_deref()?).ok()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // A handler's panic, or one of ours, takes this stream with it, and nothing else.
        if std::thread::panicking() {
            self.abandon();
        }
    }
}

/// What makes sense for one client alone.
const NOT_THE_PUMPS: [HeaderName; 7] = [
    LAST_EVENT_ID,
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

/// A reconnection time as it stands in a stream.
fn millis(digits: &[u8]) -> Duration {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .map_or(LAST_PAUSE, Duration::from_millis)
}
