//! Sessions: private streams, one upstream connection and one window for one client.

use std::sync::{Arc, Mutex, atomic::AtomicBool};

use bytes::Bytes;
use tracing::Span;

use super::{Counted, Joined, Registry, lock};
use crate::{
    body::Relay,
    fault::deepest,
    head::Head,
    id::{Asked, Generation, Position},
    metrics::{Kind, Over},
    pump::{self, Keep, Outcome, Pump, Standing, now},
    route::{Address, Ids, Jar, Key, OnGap, Route},
    window::{End, Gap, LiveWindow, Verdict, Window},
};

/// At how many bytes that its client has not taken a session's pump stops reading, as it would without us.
const HIGH_WATER: usize = 256 << 10;

/// A private stream.
pub struct Session {
    pub(super) key: Key,
    /// The path that it was asked for by.
    pub(super) path: Box<str>,
    /// What it goes by.
    pub(super) standing: Standing,
    pub(super) window: LiveWindow,
    /// The cookies that count for the key, as its client had them last.
    jar: Mutex<Option<Jar>>,
    /// What all its generations have in common.
    pub(super) name: Generation,
    /// From where its first client came, if it can be found by that and an id of the upstream's.
    pub(super) from: Option<Address>,
    /// It was asked for with a GET.
    pub(super) by_get: bool,
    pub(super) head: Head,
    pub(super) counted: Counted,
}

/// What opens a session.
pub struct Opened {
    /// What a request must share to come back to it.
    pub key: Key,
    /// The cookies that count for that.
    pub jar: Option<Jar>,
    /// From where its client comes, if that is known.
    pub from: Option<Address>,
    /// It was asked for with a GET.
    pub by_get: bool,
    /// Its route.
    pub route: Arc<Route>,
    /// The path that it was asked for by.
    pub path: Box<str>,
    /// The head of the upstream's answer.
    pub head: Head,
    /// The rest of the upstream's answer.
    pub body: Relay,
    /// The id of the upstream's that the client came with.
    pub foreign: Option<Bytes>,
    /// The key of a shared stream that there is or may be: the client moves onto that when both are at the same event.
    pub shared: Option<Key>,
    /// The client's request was sent whole.
    pub whole: Arc<AtomicBool>,
}

/// Who comes back.
#[derive(Clone, Copy)]
pub struct Who<'a> {
    /// The key of its request.
    pub key: Key,
    /// The cookies that count for that; they matter only where the key is another one.
    pub jar: &'a dyn Fn() -> Option<Jar>,
}

/// What becomes of a client that comes back with an id of a session.
pub enum Rejoin {
    /// It goes on where it was.
    Joined(Box<Joined>, Head),
    /// It is a new client, for the upstream to answer; this is what it is told.
    Anew(Verdict),
}

impl Registry {
    /// Opens a session and takes its client's place in it.
    ///
    /// # Errors
    /// When there are too many streams; the body is given back, to pass without ids.
    pub fn open(&self, opened: Opened) -> Result<Joined, Relay> {
        let Some(counted) = self.count(Kind::Private) else {
            if let Some(times) = self.0.passed.again(now()) {
                tracing::warn!(
                    limit = self.limits().streams,
                    setting = "limits.streams",
                    times,
                    "a stream passes without ids"
                );
            }
            return Err(opened.body);
        };
        let Opened { key, jar, from, by_get, route, path, head, body, foreign, shared, whole } = opened;
        let generation = self.0.dice.session();
        let from = from.filter(|_| route.finds_by_upstream_ids());
        // Its route may be one of before: the request was sent to the upstream, and much can happen until it answers.
        let terms = self.terms(None, &route, &path);
        let mut window = Window::new(generation, terms.route.window, now());
        if foreign.is_some() && route.ids == Ids::Keep {
            window.expect_names();
        }
        if from.is_none() {
            window.forgo_names();
        }
        let window = LiveWindow::new(window, self.0.budget.clone(), Some(HIGH_WATER));
        let (_, cursor) = window.attach(&Asked::Nothing, now());
        let name = generation.name();
        let session = Arc::new(Session {
            key,
            standing: Standing::new(terms),
            path,
            jar: Mutex::new(jar),
            window,
            name,
            from,
            by_get,
            head,
            counted,
        });
        lock(&self.0.sessions).insert(&session);
        self.renew_session(&session);
        let successor = Box::new(Generation::next_run);
        let onto = shared.and_then(|key| self.onto(key, &route));
        let verdict = if foreign.is_some() { Verdict::Foreign } else { Verdict::Fresh };
        let span = Self::upstream_span(&route, session.key, Kind::Private);
        let parts = self.pump_parts(&session.window, &session.standing, successor, &span);
        let pump = Pump::new(pump::Parts { foreign, onto, ..parts });
        let keep = Keep { whole, expected: false };
        tokio::spawn(self.clone().keep(session, pump, body, keep, span));
        Ok(Joined::new(verdict, cursor, OnGap::Fresh))
    }

    /// A client comes back with an id of a session. Forged, another's and ended ids are answered alike.
    #[must_use]
    pub fn rejoin(&self, who: Who<'_>, position: Position, is_get: bool, on_gap: OnGap) -> Rejoin {
        // Under the lock, so that a session that is about to be forgotten is either found with its client or not.
        let sessions = lock(&self.0.sessions);
        let Some(session) = sessions.named(position.generation).filter(|session| self.is_for(session, who))
        else {
            return Rejoin::Anew(Verdict::Gap(Gap::Generation));
        };
        match session.resume(&Asked::Ours(position), is_get, on_gap) {
            Ok((joined, head)) => Rejoin::Joined(Box::new(joined), head),
            Err(verdict) => Rejoin::Anew(verdict),
        }
    }

    /// A session is for requests of its key; and for those that were of its key if the upstream had not replaced their
    /// cookies. From then on it is for the cookies that they have now, too.
    fn is_for(&self, session: &Session, who: Who<'_>) -> bool {
        if session.key == who.key {
            return true;
        }
        let mut former = lock(&session.jar);
        let Some(had) = &*former else { return false };
        let Some(jar) = (who.jar)() else { return false };
        let is_for = self.0.cookies.came_of(&jar, had, now());
        if is_for {
            *former = Some(jar);
        }
        is_for
    }

    /// Lives as long as the session: pumps, then keeps what is left for a client that was away.
    async fn keep(self, session: Arc<Session>, mut pump: Pump, mut body: Relay, keep: Keep, span: Span) {
        let _whole = Whole { registry: &self, session: &session };
        let (over, end) = loop {
            let outcome = pump.run(&mut body, &keep).await;
            let over = outcome.over();
            let route = session.standing.route();
            match outcome {
                // A client may have come between the decision and now.
                Outcome::Abandoned | Outcome::Lingered if !self.forget_if_vacant(&session) => {}
                Outcome::Evicted if !self.forget_if_vacant(&session) => {}
                Outcome::Abandoned | Outcome::Lingered | Outcome::Evicted => {
                    self.ended(&session, over, &span);
                    return;
                }
                Outcome::Moved => {
                    self.ended(&session, over, &span);
                    drop((pump, body, span));
                    // Until its client has what is left here.
                    session.window.vacant().await;
                    lock(&self.0.sessions).remove(&session);
                    return;
                }
                Outcome::Finished => break (over, End::Finished),
                Outcome::Lost(fault) => {
                    let fault = deepest(fault.as_ref());
                    tracing::info!(route = route.name, key = %session.key, %fault, "the upstream of a session was lost");
                    break (over, End::Lost);
                }
                Outcome::Oversized(fault) => {
                    tracing::error!(route = route.name, key = %session.key, %fault, "the upstream of a session was cut");
                    break (over, End::Lost);
                }
                Outcome::Starved | Outcome::Contradicted => break (over, End::Lost),
            }
        };
        self.ended(&session, over, &span);
        drop((pump, body, span));
        session.window.end(end);
        self.outlast(&session).await;
    }

    fn ended(&self, session: &Session, over: Over, upstream: &Span) {
        self.count_end(&session.standing.terms().metrics, over);
        Self::note_over(upstream, over);
    }

    /// Keeps an ended session until nobody was there for `linger`.
    async fn outlast(&self, session: &Arc<Session>) {
        loop {
            let visits = session.window.vacant().await;
            let linger = session.standing.terms().linger.unwrap_or_default();
            tokio::select! {
                // Whoever is cut in the middle of what is left comes back for the rest of it.
                () = session.window.visited(visits) => continue,
                () = tokio::time::sleep(linger) => {}
            }
            session.window.prune(now());
            if self.forget_if_vacant(session) {
                return;
            }
        }
    }

    fn forget_if_vacant(&self, session: &Session) -> bool {
        let mut sessions = lock(&self.0.sessions);
        let vacant = session.window.readers() == 0;
        if vacant {
            sessions.remove(session);
        }
        vacant
    }
}

/// A session whose task panics, by a handler's fault or by ours, is over: its client is cut and comes back.
struct Whole<'a> {
    registry: &'a Registry,
    session: &'a Session,
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.registry.0.sessions).remove(self.session);
            self.session.window.end(End::Lost);
        }
    }
}

impl Session {
    /// Takes a place again for a client that comes back. Who calls holds the lock of all sessions, so that this one is
    /// not forgotten meanwhile.
    ///
    /// # Errors
    /// When it is a new client; this is what it is told.
    pub(super) fn resume(
        &self,
        asked: &Asked,
        is_get: bool,
        on_gap: OnGap,
    ) -> Result<(Joined, Head), Verdict> {
        let end_given = self.window.end_given();
        let stays = |verdict, ended| match (verdict, ended) {
            (Verdict::Resumed { missed: 0, .. }, Some(End::Finished)) if is_get && end_given => {
                Err(Verdict::Fresh)
            }
            (Verdict::Resumed { missed: 0, .. }, Some(End::Lost)) if is_get => {
                Err(Verdict::Gap(Gap::Generation))
            }
            (Verdict::Resumed { .. }, _) => Ok(()),
            // What is left of an ended one is no stream to go on with.
            (Verdict::Gap(_), None) if on_gap == OnGap::Replay => Ok(()),
            _ => Err(verdict),
        };
        let (verdict, cursor) = self.window.attach_if(asked, now(), stays)?;
        Ok((Joined::new(verdict, cursor, on_gap), self.head.clone()))
    }
}
