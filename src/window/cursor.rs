//! A window that is written by one and read by many at once: the lock, and who waits for what.

use std::{
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use slab::Slab;

use super::{
    Bounds, End, Extent, Lag, Parts, Passed, Place, Verdict, Window,
    sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError, Weak},
};
use crate::{
    id::{Asked, Position},
    metrics::Level,
};

/// The memory that all windows share. Clones count together.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Level,
    limit: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Budget {
    /// A budget of `limit` bytes; `used` shows how many are in use.
    #[must_use]
    pub fn new(limit: usize, used: Level) -> Self {
        Self { used, limit: std::sync::Arc::new(limit.into()) }
    }

    /// How many bytes are in use.
    #[must_use]
    pub fn used(&self) -> usize {
        // Windows may be charged in another order than they changed, so that the sum is below zero for a moment.
        usize::try_from(self.used.get()).unwrap_or(0)
    }

    /// By how many bytes it is exceeded.
    #[must_use]
    pub fn excess(&self) -> usize {
        self.used().saturating_sub(self.limit.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// There are so many bytes from now on. Whoever lowers it sees to it that something gives way.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, std::sync::atomic::Ordering::Relaxed);
    }

    /// Takes account of something that cost `before` and now costs `after`.
    pub fn charge(&self, before: usize, after: usize) {
        if after >= before {
            self.used.raise(after - before);
        } else {
            self.used.lower(before - after);
        }
    }
}

/// Of how many readers it is looked, at most, how far behind they are, before others have a turn at the lock.
const SURVEYED: usize = 256;

/// How many windows were left by their last client: of several it tells which one was left last.
static DEPARTURES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// A window under a lock, and the tasks that wait for it. Clones are the same window.
#[derive(Clone, Debug)]
pub struct LiveWindow(Arc<Shared>);

/// A window that others keep: its pump, or whoever reads it.
#[derive(Debug)]
pub struct WeakWindow(Weak<Shared>);

impl WeakWindow {
    /// The window, if it is still there.
    #[must_use]
    pub fn upgrade(&self) -> Option<LiveWindow> {
        self.0.upgrade().map(LiveWindow)
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts the writes. A cursor that has seen this one, and is armed, need not take the lock to know that
    /// there is nothing for it.
    moved: AtomicU64,
    budget: Budget,
    /// At how many unread bytes of its client a pump stops reading; never, where nobody is waited for.
    high_water: Option<usize>,
}

#[derive(Debug)]
struct State {
    window: Window,
    seats: Slab<Seat>,
    /// The seat that came last: the one whose unread bytes hold the pump back.
    newest: Option<usize>,
    /// The pump, when it waits for a client to come, to go, or to read.
    pump: Option<Waker>,
    /// The pump waits for its client to read.
    starved: bool,
    /// A client was given an id that it can come back with.
    numbered: bool,
    /// A client was given everything, and the proper end behind it.
    end_given: bool,
    /// How many clients came, ever.
    visits: u64,
    /// Where the last client was when it left, and its number among all departures.
    left: Option<Left>,
    /// The place, in another window, where the next client goes on that has everything here.
    onward: Option<Cursor>,
    charged: usize,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    departure: u64,
    next: u64,
}

#[derive(Debug)]
struct Seat {
    place: Place,
    since: Instant,
    waker: Option<Waker>,
    /// It waits for the next write.
    armed: bool,
    /// Where the client before it was left, which is a gap that this one may not have heard of: it has taken nothing.
    former: Option<u64>,
}

/// One of a window's readers, as an operator is shown it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reader {
    /// How far behind it is.
    pub lag: Lag,
    /// For how long it has had its place.
    pub here: Duration,
}

/// What a pump has to know of its window's readers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Audience {
    /// How many cursors there are.
    pub readers: usize,
    /// How many there were, ever.
    pub visits: u64,
    /// A client was given an id: it may come back.
    pub numbered: bool,
    /// The client for whom the pump waits has room for more.
    pub room: bool,
}

impl LiveWindow {
    /// A window that is charged to `budget`. With `high_water`, the pump is told to wait while the newest client
    /// has that many bytes unread.
    #[must_use]
    pub fn new(window: Window, budget: Budget, high_water: Option<usize>) -> Self {
        let state = State {
            window,
            seats: Slab::new(),
            newest: None,
            pump: None,
            starved: false,
            numbered: false,
            end_given: false,
            visits: 0,
            left: None,
            onward: None,
            charged: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), moved: AtomicU64::new(0), budget, high_water }))
    }

    /// Writes: whatever `write` appends is there for every cursor, and those that wait are woken once.
    pub fn write<T>(&self, write: impl FnOnce(&mut Writer<'_>) -> T) -> T {
        let mut state = self.lock();
        let result = write(&mut Writer { state: &mut state, waits: self.0.high_water.is_some() });
        // Before the lock is free: a cursor that looks after this finds the write, one that looked before is armed.
        self.0.moved.fetch_add(1, Ordering::Release);
        let wake = |(_, seat): (usize, &mut Seat)| seat.disarm();
        let armed: Vec<Waker> = state.seats.iter_mut().filter_map(wake).collect();
        self.settle(&mut state);
        drop(state);
        armed.into_iter().for_each(Waker::wake);
        result
    }

    /// Ends the generation; cursors get what is left, then the end.
    pub fn end(&self, end: End) {
        self.write(|writer| writer.state.window.end(end));
    }

    /// Looks at the window.
    pub fn look<T>(&self, look: impl FnOnce(&mut Window) -> T) -> T {
        let mut state = self.lock();
        let result = look(&mut state.window);
        self.settle(&mut state);
        result
    }

    /// Judges what a client asks for and takes a place for it, so that nothing that it is owed can go.
    pub fn attach(&self, asked: &Asked, now: Instant) -> (Verdict, Cursor) {
        let mut verdict = Verdict::Fresh;
        let cursor = self.seat(now, |window| {
            verdict = window.judge(asked, now);
            window.enter(verdict)
        });
        (verdict, cursor)
    }

    /// The same, if a client that is so judged, by what its window came to, stays; no place is taken otherwise.
    ///
    /// # Errors
    /// What `stays` says that it is instead.
    pub fn attach_if(
        &self,
        asked: &Asked,
        now: Instant,
        stays: impl FnOnce(Verdict, Option<End>) -> Result<(), Verdict>,
    ) -> Result<(Verdict, Cursor), Verdict> {
        let mut state = self.lock();
        let verdict = state.window.judge(asked, now);
        self.settle(&mut state);
        stays(verdict, state.window.ended())?;
        let place = state.window.enter(verdict);
        Ok((verdict, self.seated(state, place, now)))
    }

    /// Takes a place where the last client was left, if none is here; for one that brings an id of this window, behind
    /// that.
    pub fn take_over(&self, own: Option<&Asked>, now: Instant) -> Option<(Verdict, Cursor)> {
        let mut state = self.lock();
        let left = state.left.filter(|_| state.seats.is_empty())?;
        let window = &mut state.window;
        let verdict = match own {
            Some(asked) => window.judge(asked, now),
            None => window.judge_left(left.next, now),
        };
        let place = window.enter(verdict);
        let cursor = self.seated(state, place, now);
        if matches!(verdict, Verdict::Gap(_))
            && let Some(seat) = self.lock().seats.get_mut(cursor.seat)
        {
            seat.former = Some(left.next);
        }
        Some((verdict, cursor))
    }

    /// Takes a place behind this very event, for a client that was given it otherwise, by the id that the upstream gave it
    /// and no other one.
    pub fn attach_behind(&self, id: &[u8], event: &Bytes, now: Instant) -> Option<Cursor> {
        let mut state = self.lock();
        match state.window.enter_behind(id, event, now) {
            Some(place) => Some(self.seated(state, place, now)),
            None => {
                self.settle(&mut state);
                None
            }
        }
    }

    /// Takes a place before everything that is here, for a client that waited for the stream to open.
    pub fn attach_at_start(&self, now: Instant) -> Cursor {
        self.seat(now, Window::enter_at_start)
    }

    fn seat(&self, now: Instant, enter: impl FnOnce(&mut Window) -> Place) -> Cursor {
        let mut state = self.lock();
        let place = enter(&mut state.window);
        self.seated(state, place, now)
    }

    fn seated(&self, mut state: MutexGuard<'_, State>, place: Place, now: Instant) -> Cursor {
        let fence = state.window.fence(&place);
        if let (Some(older), true) = (state.newest, self.0.high_water.is_some()) {
            // Two clients with one id: the older one goes on, but keeps neither the pump nor memory.
            let State { window, seats, .. } = &mut *state;
            if let Some(seat) = seats.get_mut(older) {
                window.release(&mut seat.place);
            }
        }
        let seat = state.seats.insert(Seat { place, since: now, waker: None, armed: false, former: None });
        state.newest = Some(seat);
        state.visits += 1;
        self.settle(&mut state);
        let pump = state.pump.take();
        drop(state);
        pump.into_iter().for_each(Waker::wake);
        Cursor { live: self.clone(), seat, fence, seen: None, waker: None }
    }

    /// What the pump has to know; it is woken when a client comes or goes, and, if there was no room, when there is.
    pub fn audience(&self, cx: &mut Context<'_>) -> Audience {
        let mut state = self.lock();
        state.pump = Some(cx.waker().clone());
        let room = state.has_room(self.0.high_water);
        state.starved = !room;
        Audience { readers: state.seats.len(), visits: state.visits, numbered: state.numbered, room }
    }

    /// Resolves when there is no cursor, with how many there were. Only one task may wait, the one that asks for the
    /// audience.
    pub async fn vacant(&self) -> u64 {
        std::future::poll_fn(|cx| match self.audience(cx) {
            Audience { readers: 0, visits, .. } => Poll::Ready(visits),
            _ => Poll::Pending,
        })
        .await
    }

    /// Resolves when there were more cursors than `visits`, also if they are gone again. Only one task may wait, as for
    /// [`vacant`](Self::vacant).
    pub async fn visited(&self, visits: u64) {
        std::future::poll_fn(|cx| match self.audience(cx).visits > visits {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Wakes everyone who waits, for something that is not in the window.
    pub fn wake(&self) {
        self.write(|_| ());
    }

    /// Other bounds apply from now on; see [`Window::rebound`]. The pump is woken, as one whose terms may be others too.
    /// The bounds are asked for under the window's lock, so that of two changes the later one counts.
    pub fn rebound(&self, bounds: impl FnOnce() -> Bounds, now: Instant) {
        let mut state = self.lock();
        state.window.rebound(bounds(), now);
        self.settle(&mut state);
        let pump = state.pump.take();
        drop(state);
        pump.into_iter().for_each(Waker::wake);
    }

    /// Makes room for others; see [`Window::give_way`].
    pub fn give_way(&self, excess: usize) -> usize {
        self.write(|writer| writer.window().give_way(excess))
    }

    /// This window, for who does not keep it.
    #[must_use]
    pub fn downgrade(&self) -> WeakWindow {
        WeakWindow(Arc::downgrade(&self.0))
    }

    /// It is the same window.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many cursors there are.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.lock().seats.len()
    }

    /// How far it reaches, and how many cursors there are.
    #[must_use]
    pub fn extent(&self, now: Instant) -> (Extent, usize) {
        let mut state = self.lock();
        state.window.prune(now);
        self.settle(&mut state);
        (state.window.extent(now), state.seats.len())
    }

    /// Shows each reader. The lock is held for a few of them at a time: whoever comes or goes meanwhile may be missed.
    pub fn survey(&self, now: Instant, mut each: impl FnMut(Reader)) {
        let mut from = 0;
        loop {
            let state = self.lock();
            let places = state.seats.capacity();
            let until = places.min(from + SURVEYED);
            for seat in (from..until).filter_map(|at| state.seats.get(at)) {
                let here = now.saturating_duration_since(seat.since);
                each(Reader { lag: state.window.lag(&seat.place), here });
            }
            if until == places {
                return;
            }
            from = until;
        }
    }

    /// When the last client left, as a number that rises with each departure from any window; `None` while one is here.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        let state = self.lock();
        state.left.filter(|_| state.seats.is_empty()).map(|left| left.departure)
    }

    /// A client was given everything and the proper end.
    #[must_use]
    pub fn end_given(&self) -> bool {
        self.lock().end_given
    }

    /// Lets go what age has taken, from memory too.
    pub fn prune(&self, now: Instant) {
        let mut state = self.lock();
        let State { window, seats, .. } = &mut *state;
        window.prune(now);
        if window.is_spent() && !seats.iter().any(|(_, seat)| window.is_behind(&seat.place)) {
            window.renew(now, seats.iter_mut().map(|(_, seat)| &mut seat.place));
        }
        self.settle(&mut state);
    }

    /// Lets go everything, when there is no memory left: who has not taken it is cut. Says how many bytes it gave.
    pub fn clear(&self, now: Instant) -> usize {
        self.write(|writer| {
            let State { window, seats, .. } = &mut *writer.state;
            let before = window.cost();
            window.clear(now, seats.iter_mut().map(|(_, seat)| &mut seat.place));
            before.saturating_sub(window.cost())
        })
    }

    /// What it costs, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.lock().window.cost()
    }

    fn settle(&self, state: &mut State) {
        let cost = state.window.cost();
        if cost != state.charged {
            self.0.budget.charge(state.charged, cost);
            state.charged = cost;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves a window that is whole: nothing there stops half way and goes on.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let charged = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).charged;
        self.budget.charge(charged, 0);
    }
}

impl Seat {
    /// The cursor waits for a write.
    fn arm(&mut self, waker: &Waker) {
        if self.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        self.armed = true;
    }

    /// The waker, if the cursor waits for a write.
    fn disarm(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.armed) { self.waker.clone() } else { None }
    }
}

impl State {
    /// The pump, if it waits for its client to read and the client has.
    fn pump_to_wake(&mut self, high_water: Option<usize>) -> Option<Waker> {
        if self.starved && self.has_room(high_water) {
            self.starved = false;
            return self.pump.take();
        }
        None
    }

    fn has_room(&self, high_water: Option<usize>) -> bool {
        let (Some(high_water), Some(newest)) = (high_water, self.newest) else { return true };
        self.seats.get(newest).is_none_or(|seat| self.window.unread(&seat.place) < high_water)
    }
}

/// Access to a window for the time of one write.
#[derive(Debug)]
pub struct Writer<'a> {
    state: &'a mut State,
    waits: bool,
}

impl Writer<'_> {
    /// The window.
    pub fn window(&mut self) -> &mut Window {
        &mut self.state.window
    }

    /// Nothing more will come here: the client goes on at this place, which is in another window, once it has everything.
    pub fn go_on(&mut self, place: Cursor) {
        self.state.onward = Some(place);
        self.state.window.end(End::Lost);
    }

    /// Appends a frame for the cursors that are here; for nobody it is not kept.
    pub fn pass(&mut self, frame: impl FnOnce() -> Passed) {
        if self.state.seats.is_empty() {
            return;
        }
        let newest = self.state.newest.filter(|_| self.waits).and_then(|newest| self.state.seats.get(newest));
        self.state.window.pass(frame(), newest.map(|seat| &seat.place));
    }
}

/// One client's place in a window. Dropping it gives the place up.
#[derive(Debug)]
pub struct Cursor {
    live: LiveWindow,
    seat: usize,
    fence: Position,
    /// The count of writes when it was armed.
    seen: Option<u64>,
    waker: Option<Waker>,
}

/// What a cursor comes to next.
#[derive(Debug)]
pub enum Step {
    /// Frames.
    Parts(Parts),
    /// Everything was taken, and what follows is in another window: the cursor is there now.
    Moved,
    /// Everything was taken, and nothing will come.
    End(End),
    /// What it is owed is gone: the client was too slow.
    Behind,
}

impl Cursor {
    /// Takes everything up to about `room` bytes, or waits for it. Cancel-safe: while it waits nothing is taken.
    pub fn poll_step(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<Step> {
        if self.is_caught_up(cx) {
            return Poll::Pending;
        }
        let same_task = self.is_known(cx);
        let live = self.live.clone();
        let mut state = live.lock();
        let State { window, seats, numbered, .. } = &mut *state;
        let Some(seat) = seats.get_mut(self.seat) else { return Poll::Ready(Step::Behind) };
        let Some(parts) = window.take(&mut seat.place, room) else { return Poll::Ready(Step::Behind) };
        if parts.events > 0 {
            seat.former = None;
            *numbered = live.0.high_water.is_none() || window.is_found_by(&seat.place);
        } else if parts.bytes() > 0 {
            // An id may come behind the last event, too.
            *numbered |= parts.ours || window.is_found_by_name(&seat.place);
        }
        let ended = window.ended();
        self.seen = None;
        if ended.is_none() && !window.has_more(&seat.place) {
            // Armed under the lock under which nothing was found: a write comes before, and was taken, or after,
            // and wakes.
            seat.arm(cx.waker());
            self.waker = seat.waker.clone().filter(|_| !same_task).or_else(|| self.waker.take());
            self.seen = Some(live.0.moved.load(Ordering::Relaxed));
        }
        let onward = if ended.is_some() && parts.bytes() == 0 { state.onward.take() } else { None };
        let pump = state.pump_to_wake(live.0.high_water);
        live.settle(&mut state);
        drop(state);
        pump.into_iter().for_each(Waker::wake);
        if let Some(onward) = onward {
            *self = onward;
            return Poll::Ready(Step::Moved);
        }
        match ended {
            _ if parts.bytes() > 0 => Poll::Ready(Step::Parts(parts)),
            Some(end) => Poll::Ready(Step::End(end)),
            None => Poll::Pending,
        }
    }

    /// There is nothing to take, and this task is woken when there is. Takes no lock.
    #[must_use]
    pub fn is_caught_up(&self, cx: &Context<'_>) -> bool {
        self.is_known(cx) && self.seen == Some(self.live.0.moved.load(Ordering::Acquire))
    }

    fn is_known(&self, cx: &Context<'_>) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// The position of the last event that the client had, or need not have, when it came. It stays what it was when a
    /// new generation has begun since.
    #[must_use]
    pub fn fence(&self) -> Position {
        self.fence
    }

    /// Its fence is of the generation that the window is in.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.live.lock().window.tail().generation == self.fence.generation
    }

    /// Goes back to the oldest event that is retained, before anything was taken; says how many there are from there.
    pub fn rewind(&mut self) -> u64 {
        let live = self.live.clone();
        let mut state = live.lock();
        let State { window, seats, .. } = &mut *state;
        let mut retained = 0;
        if let Some(seat) = seats.get_mut(self.seat) {
            retained = window.rewind(&mut seat.place);
            self.fence = window.fence(&seat.place);
        }
        live.settle(&mut state);
        retained
    }

    /// The client stumbles over frames without data once it holds an id: from now on it is given none.
    pub fn set_stumbling(&self) {
        if let Some(seat) = self.live.lock().seats.get_mut(self.seat) {
            seat.place.set_stumbling();
        }
    }

    /// The client is given an id otherwise than with an event (a prime): it may come back.
    pub fn note_numbered(&self) {
        self.live.lock().numbered = true;
    }

    /// The client was given everything, and the proper end.
    pub fn note_end_given(&self) {
        self.live.lock().end_given = true;
    }

    /// The window that it reads.
    #[must_use]
    pub fn window(&self) -> &LiveWindow {
        &self.live
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut state = self.live.lock();
        let State { window, seats, newest, left, .. } = &mut *state;
        let gone = seats.try_remove(self.seat);
        if *newest == Some(self.seat) {
            // Of the others, the one that has most holds the pump and memory from now on: it is a client that is
            // there, and what it has not read must not go.
            let waits = self.live.0.high_water.is_some();
            let heirs = seats.iter_mut().filter(|_| waits);
            let heir = heirs.max_by_key(|(_, seat)| seat.place.next);
            *newest = heir.map(|(at, seat)| {
                window.rehold(&mut seat.place);
                at
            });
        }
        if let Some(seat) = gone {
            if seats.is_empty() {
                let departure = DEPARTURES.fetch_add(1, Ordering::Relaxed);
                *left = Some(Left { departure, next: seat.former.unwrap_or(seat.place.next) });
            }
            window.leave(seat.place, seats.is_empty());
        }
        self.live.settle(&mut state);
        let pump = state.pump.take();
        drop(state);
        pump.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
