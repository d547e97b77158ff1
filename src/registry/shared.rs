//! Shared streams: one upstream connection feeds every client with the same key.
//!
//! One task owns a shared stream. It asks the upstream with a client's own request, pumps what it gets, and asks
//! again when the upstream was lost. Clients that come while it asks wait in a line; a refusal is for the one who
//! asked alone, and the next one asks for itself.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, Weak, atomic::AtomicBool},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Response, request::Parts, response};
use tokio::sync::{Notify, oneshot};

use super::{Counted, Joined, Pinned, Registry, keeper::Keeper, lock};
use crate::{
    body::Relay,
    fault::Fault,
    head::Head,
    id::{Asked, Generation},
    metrics::{Finding, Hold, Kind, Outages, Release},
    pump::{Standing, now},
    route::{Key, Route},
    window::{Gap, LiveWindow, Verdict},
};

/// How many of the clients admitted last are remembered, for a reconnect with the request of one of them, and how many of
/// those that have been here longest: who came last may leave first.
const REMEMBERED: usize = 8;

/// A shared stream, through all its generations.
pub struct SharedStream {
    pub(super) key: Key,
    /// The path that it was first asked for by.
    pub(super) path: Box<str>,
    /// What it goes by.
    pub(super) standing: Standing,
    pub(super) state: Mutex<State>,
    /// A client joined the line, or was admitted.
    pub(super) asked: Notify,
    /// The upstream is being asked with the request of a client, which stands in the line no more.
    pub(super) is_asked_for: AtomicBool,
    outages: Outages,
    pub(super) counted: Counted,
}

pub(super) struct State {
    pub(super) phase: Phase,
    /// When the phase began.
    pub(super) since: Instant,
    /// What is wrong with the upstream, in words for the operator, as long as there is no stream.
    pub(super) why: Option<Arc<str>>,
    pub(super) line: VecDeque<Asker>,
    /// The one admitted last first.
    pub(super) members: VecDeque<(Weak<()>, Arc<Parts>)>,
}

impl State {
    fn new() -> Self {
        Self {
            phase: Phase::Opening,
            since: now(),
            why: None,
            line: VecDeque::new(),
            members: VecDeque::new(),
        }
    }

    pub(super) fn turn(&mut self, phase: Phase) {
        if matches!(phase, Phase::Live(_)) {
            self.why = None;
        }
        self.phase = phase;
        self.since = now();
    }

    fn line_up(&mut self, asker: Asker) {
        // Those who left stand there until it is their turn, which may never come while the upstream says nothing. They
        // go whenever there would have to be more room; of what is left there is then at most half.
        if self.line.len() == self.line.capacity() {
            self.line.retain(|asker| !asker.answer.is_closed());
            self.line.reserve(self.line.len() + 4);
        }
        self.line.push_back(asker);
    }

    /// The requests of the members that are here, the one admitted last at the end.
    pub(super) fn attached(&self) -> Vec<Arc<Parts>> {
        let here = self.members.iter().rev().filter(|(member, _)| member.strong_count() > 0);
        here.map(|(_, request)| request.clone()).collect()
    }
}

/// Where a shared stream stands.
pub(super) enum Phase {
    // Opening => Live, when the upstream answers with a stream; => Closed, when nobody is left who asks.
    Opening,
    // Live => Down, when the upstream was lost; => Opening, when it ended; => Closed, when nobody is there any more.
    Live(Arc<Live>),
    // The upstream was lost, and what is retained is still here for those who missed it.
    // Down => Live, when the upstream answers with a stream; => Closed, when nobody comes back.
    Down(Arc<Live>),
    // For good: whoever comes next opens another one.
    Closed,
}

/// A generation that is being pumped.
pub struct Live {
    /// Its window.
    pub window: LiveWindow,
    /// The head of the answer that it comes from.
    pub head: Head,
}

/// A client that waits for the stream to be opened.
pub(super) struct Asker {
    pub(super) request: Arc<Parts>,
    /// How it was judged when it came.
    pub(super) verdict: Verdict,
    /// The place that it was given then, where there was a window that may go on.
    pub(super) joined: Option<Joined>,
    pub(super) since: Instant,
    /// Told when the upstream is found to be away.
    pub(super) held: Finding,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The place of a client in the line of those who wait for a stream to be opened. Dropping it gives the place up.
pub struct Line {
    answer: oneshot::Receiver<Answer>,
    held: Hold,
}

impl Line {
    /// Waits for the answer; `None` where the stream was given up.
    pub async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }

    /// The wait ends so.
    pub fn end(self, release: Release) {
        self.held.end(release);
    }
}

/// The hello of the pump's connection, for the client whose request opened it, once it is there; none, where none came.
pub type Spoken = oneshot::Receiver<Option<Bytes>>;

/// What a client in the line gets.
pub enum Answer {
    /// The upstream answered its request with the stream; this is the head, and its place.
    Opened(Box<response::Parts>, Joined, Option<Spoken>),
    /// Somebody else's request opened the stream: a place from its first position on.
    Live(Arc<Live>, Joined),
    /// The upstream's answer is no stream; it passes as it is.
    Refused(Response<Relay>),
    /// There was none.
    Failed(Fault),
}

/// What becomes of a client that comes.
pub enum Entry {
    /// The stream is live, and this is its place.
    Live(Arc<Live>, Joined),
    /// The upstream is away; what the client missed is here, and it needs nobody's permission to have it.
    Down(Head, Joined),
    /// It is being opened: wait.
    Line(Line),
    /// The id is none of ours: a matter between this client and the upstream.
    Foreign,
}

/// With which head a client is served without asking the upstream, if it may be.
pub type Admits<'a> = &'a dyn Fn(&Live) -> Option<Head>;

/// In the extensions of a client's request: who is told when that was sent for the stream, and the upstream said no to it.
#[derive(Clone)]
pub struct OnRefusal(pub Arc<dyn Fn() + Send + Sync>);

/// A client of a shared stream, for as long as it is one.
#[derive(Clone, Debug)]
pub struct Member(#[expect(dead_code, reason = "held for its drop")] Arc<()>);

impl Registry {
    /// A client comes to a shared stream. `None` when there are too many streams: its own passes without ids. While the
    /// upstream is away, a client that comes back is served from the window where `admits` says with which head it may be without asking.
    #[must_use]
    pub fn enter(
        &self,
        key: Key,
        route: &Arc<Route>,
        asked: &Asked,
        request: &Arc<Parts>,
        admits: Admits<'_>,
    ) -> Option<Entry> {
        let mut all = lock(&self.0.shared);
        if let Some(entry) = all.get(&key).and_then(|stream| stream.enter(asked, request, admits)) {
            return Some(entry);
        }
        if matches!(asked, Asked::Foreign(_)) {
            return Some(Entry::Foreign);
        }
        let stream = self.new_stream(key, route, request.uri.path())?;
        let entry = stream.enter(asked, request, admits);
        all.insert(key, stream.clone());
        drop(all);
        self.renew_shared(&stream);
        tokio::spawn(Keeper::new(self.clone(), stream).keep());
        entry
    }

    /// A client was admitted to a shared stream; it is one of its members as long as what is returned is kept.
    #[must_use]
    pub fn admitted(&self, key: Key, request: &Arc<Parts>) -> Option<Member> {
        let stream = lock(&self.0.shared).get(&key).cloned()?;
        Some(stream.admitted(request.clone()))
    }

    /// Subscribes to a stream that is pinned now, if it is not there. Needs a runtime.
    pub fn pin(&self, pinned: Pinned) {
        let Pinned { key, route, path } = pinned;
        let mut all = lock(&self.0.shared);
        // Where it is it has heard of it, and does not close any more.
        if all.contains_key(&key) {
            return;
        }
        let Some(stream) = self.new_stream(key, &route, &path) else {
            tracing::error!(
                route = route.name,
                setting = "limits.streams",
                "a stream cannot be pinned: there are too many"
            );
            return;
        };
        all.insert(key, stream.clone());
        drop(all);
        self.renew_shared(&stream);
        tokio::spawn(Keeper::new(self.clone(), stream).keep());
    }

    fn new_stream(&self, key: Key, route: &Arc<Route>, path: &str) -> Option<Arc<SharedStream>> {
        Some(Arc::new(SharedStream {
            key,
            path: path.into(),
            standing: Standing::new(self.terms(Some(key), route, path)),
            state: Mutex::new(State::new()),
            asked: Notify::new(),
            is_asked_for: AtomicBool::new(false),
            outages: self.0.metrics.outages.clone(),
            counted: self.count(Kind::Shared)?,
        }))
    }

    pub(super) fn next_generation(&self) -> Generation {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let mut last = lock(&self.0.last);
        let next = Generation::shared(millis, self.0.dice.number() as u32, *last);
        *last = Some(next);
        next
    }
}

impl SharedStream {
    /// `None` where another stream has to be opened.
    fn enter(&self, asked: &Asked, request: &Arc<Parts>, admits: Admits<'_>) -> Option<Entry> {
        let on_gap = self.standing.route().on_gap;
        let mut state = lock(&self.state);
        match &state.phase {
            Phase::Closed => None,
            Phase::Live(live) => {
                let (verdict, cursor) = live.window.attach(asked, now());
                match verdict {
                    Verdict::Foreign => Some(Entry::Foreign),
                    verdict => {
                        let joined = Joined::new(verdict, cursor, on_gap);
                        Some(Entry::Live(live.clone(), joined))
                    }
                }
            }
            Phase::Opening if matches!(asked, Asked::Foreign(_)) => Some(Entry::Foreign),
            Phase::Opening => {
                let verdict = match asked {
                    Asked::Nothing => Verdict::Fresh,
                    _ => Verdict::Gap(Gap::Generation),
                };
                Some(self.line_up(&mut state, request, verdict, None))
            }
            Phase::Down(live) => {
                let live = live.clone();
                Some(self.enter_down(&mut state, &live, asked, request, admits))
            }
        }
    }

    /// A client comes while the upstream is away.
    fn enter_down(
        &self,
        state: &mut State,
        live: &Live,
        asked: &Asked,
        request: &Arc<Parts>,
        admits: Admits<'_>,
    ) -> Entry {
        let (verdict, cursor) = live.window.attach(asked, now());
        let joined = Joined::new(verdict, cursor, self.standing.route().on_gap);
        let goes_on = live.window.look(|window| window.ended()).is_none();
        // Of a window that has ended there is nothing for one who has everything but the cut.
        let has_something = |missed| goes_on || missed > 0;
        match verdict {
            Verdict::Foreign => return Entry::Foreign,
            Verdict::Resumed { missed, .. } if has_something(missed) => {
                if let Some(head) = admits(live) {
                    return Entry::Down(head, joined);
                }
            }
            _ => {}
        }
        match verdict {
            verdict if goes_on => self.line_up(state, request, verdict, Some(joined)),
            Verdict::Fresh => self.line_up(state, request, verdict, None),
            _ => self.line_up(state, request, Verdict::Gap(Gap::Generation), None),
        }
    }

    fn line_up(
        &self,
        state: &mut State,
        request: &Arc<Parts>,
        verdict: Verdict,
        joined: Option<Joined>,
    ) -> Entry {
        let (answer, waiting) = oneshot::channel();
        let (since, request) = (now(), request.clone());
        let line = Line { answer: waiting, held: self.outages.watch(since.into()) };
        state.line_up(Asker { request, verdict, joined, since, held: line.held.finding(), answer });
        self.asked.notify_one();
        Entry::Line(line)
    }

    /// A client was admitted. Its request may open the stream again, as long as what is returned is kept.
    fn admitted(&self, request: Arc<Parts>) -> Member {
        let member = Arc::new(());
        let mut state = lock(&self.state);
        let members = &mut state.members;
        members.retain(|(member, _)| member.strong_count() > 0);
        if members.len() == 2 * REMEMBERED {
            members.remove(REMEMBERED - 1);
        }
        members.push_front((Arc::downgrade(&member), request));
        drop(state);
        self.asked.notify_one();
        Member(member)
    }

    /// Its terms have changed: so have its window's bounds, and what its keeper waits for.
    pub(super) fn rebound(&self) {
        let live = match &lock(&self.state).phase {
            Phase::Live(live) | Phase::Down(live) => Some(live.clone()),
            Phase::Opening | Phase::Closed => None,
        };
        if let Some(live) = live {
            live.window.rebound(|| self.standing.route().window, now());
        }
        self.asked.notify_one();
    }

    pub(super) fn attached(&self) -> Vec<Arc<Parts>> {
        lock(&self.state).attached()
    }

    /// There is no stream, and why.
    pub(super) fn note_trouble(&self, why: impl Into<Arc<str>>) {
        lock(&self.state).why = Some(why.into());
    }

    pub(super) fn has_members(&self) -> bool {
        lock(&self.state).members.iter().any(|(member, _)| member.strong_count() > 0)
    }

    /// Takes the first in the line who still waits.
    pub(super) fn next_asker(&self) -> Option<Asker> {
        let mut state = lock(&self.state);
        std::iter::from_fn(|| state.line.pop_front()).find(|asker| !asker.answer.is_closed())
    }

    pub(super) fn is_waited_for(&self) -> bool {
        lock(&self.state).line.iter().any(|asker| !asker.answer.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_left_the_line_is_not_kept_in_it() {
        let mut state = State::new();
        let (mut waiting, outages) = (Vec::new(), crate::metrics::Metrics::new().outages);
        for n in 0..10_000 {
            let (answer, line) = oneshot::channel();
            let request = Arc::new(http::Request::new(()).into_parts().0);
            let (since, held) = (now(), outages.watch(now().into()).finding());
            state.line_up(Asker { request, verdict: Verdict::Fresh, joined: None, since, held, answer });
            if n % 1000 == 0 {
                waiting.push(line);
            }
        }
        assert!(state.line.len() < 100, "{} for {} who wait", state.line.len(), waiting.len());
        assert!(state.line.capacity() < 200);
        assert_eq!(state.line.iter().filter(|asker| !asker.answer.is_closed()).count(), waiting.len());
    }
}
