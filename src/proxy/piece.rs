//! What one write of a stream is made of, and how it is known that it was written.

use std::{
    io::IoSlice,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Instant,
};

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::{
    metrics::{RouteMetrics, Times},
    pump::now,
};

/// Whole frames on their way to a client: one chunk, in one write.
#[derive(Debug)]
pub struct Piece {
    parts: SmallVec<[Bytes; 1]>,
    /// The part that is being written.
    at: usize,
    /// What is to be told when all of it was written.
    caught_up: Option<Box<CatchUp>>,
    landing: Option<Landing>,
}

/// A client that is given what it missed.
#[derive(Debug)]
pub struct CatchUp {
    /// When it was answered.
    since: Instant,
    /// Where it is counted how long it took.
    times: Times,
}

impl CatchUp {
    /// One that was answered now.
    pub(super) fn starting(metrics: &RouteMetrics) -> Box<Self> {
        Box::new(Self { since: now(), times: metrics.catch_up.clone() })
    }

    /// It has all of it.
    pub(super) fn over(self) {
        self.times.observe(now().saturating_duration_since(self.since));
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // One that is dropped with something left never reached its client.
        if self.at == self.parts.len()
            && let Some(catch_up) = self.caught_up.take()
        {
            catch_up.over();
        }
    }
}

impl Piece {
    /// Bytes that nobody waits to see written.
    #[must_use]
    pub fn relayed(bytes: Bytes) -> Self {
        Self { parts: SmallVec::from_buf([bytes]), at: 0, caught_up: None, landing: None }
    }

    /// Frames that are in flight until they are written.
    #[must_use]
    pub fn of(parts: SmallVec<[Bytes; 1]>, flight: &Flight) -> Self {
        Self { parts, at: 0, caught_up: None, landing: Some(flight.start()) }
    }

    /// With it its client has all that it missed.
    #[must_use]
    pub fn catching_up(mut self, caught_up: Option<Box<CatchUp>>) -> Self {
        self.caught_up = caught_up;
        self
    }

    /// All of it as one run of bytes, in flight until no handle of them is left.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        let whole = self.copy_to_bytes(self.remaining());
        // Handed over: when it is written is for the server around us to know.
        self.caught_up.take().into_iter().for_each(|catch_up| catch_up.over());
        match self.landing.take() {
            Some(landing) => Bytes::from_owner(Landed { whole, _landing: landing }),
            None => whole,
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.parts.iter().skip(self.at).map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.parts.get(self.at).map_or(&[], |part| part)
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        // A single part is handed on as it is.
        match self.parts.get_mut(self.at) {
            Some(part) if part.len() >= len => part.split_to(len),
            _ => {
                let mut whole = BytesMut::with_capacity(len);
                whole.put(self.take(len));
                whole.freeze()
            }
        }
    }

    fn advance(&mut self, mut by: usize) {
        while by > 0 {
            let Some(part) = self.parts.get_mut(self.at) else { return };
            let step = by.min(part.len());
            part.advance(step);
            by -= step;
            if part.is_empty() {
                // Written: the window's memory is free of it.
                *part = Bytes::new();
                self.at += 1;
            }
        }
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let parts = self.parts.iter().skip(self.at);
        into.iter_mut().zip(parts).map(|(slice, part)| *slice = IoSlice::new(part)).count()
    }
}

/// What of a stream's pieces its connection has not written yet. Only one is in flight at a time: the rest waits in
/// the window, where it is shared.
#[derive(Clone, Debug, Default)]
pub struct Flight(Arc<State>);

#[derive(Debug, Default)]
struct State {
    pieces: AtomicUsize,
    wanted: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

#[derive(Debug)]
struct Landing(Flight);

/// Bytes that have landed when they are dropped.
struct Landed {
    whole: Bytes,
    _landing: Landing,
}

impl AsRef<[u8]> for Landed {
    fn as_ref(&self) -> &[u8] {
        &self.whole
    }
}

impl Flight {
    fn start(&self) -> Landing {
        self.0.pieces.fetch_add(1, Ordering::Relaxed);
        Landing(self.clone())
    }

    /// Something is in flight.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.pieces.load(Ordering::SeqCst) > 0
    }

    /// Whether nothing is in flight; if something is, the task is woken when it has landed.
    pub fn poll_landed(&self, cx: &Context<'_>) -> bool {
        if !self.is_busy() {
            return true;
        }
        *self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        self.0.wanted.store(true, Ordering::SeqCst);
        // Landed in between: whoever landed it may not have seen that it is waited for.
        !self.is_busy()
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let state = &self.0.0;
        state.pieces.fetch_sub(1, Ordering::SeqCst);
        if state.wanted.swap(false, Ordering::SeqCst) {
            let waker = state.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_waits_for_a_landing_is_woken_once() {
        let (flight, woken) = (Flight::default(), Arc::new(Woken::default()));
        let waker = Waker::from(woken.clone());
        let piece = Piece::of(SmallVec::from_buf([Bytes::from_static(b"a")]), &flight);
        assert!(!flight.poll_landed(&Context::from_waker(&waker)));
        drop(piece);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        drop(Piece::of(SmallVec::from_buf([Bytes::from_static(b"b")]), &flight));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "nobody waits any more");
    }

    #[test]
    fn a_piece_is_read_in_any_steps() {
        for step in 1..12 {
            let flight = Flight::default();
            let parts = ["ab", "cde", "f"].map(|part| Bytes::from_static(part.as_bytes()));
            let mut piece = Piece::of(SmallVec::from_iter(parts), &flight);
            let mut read = Vec::new();
            while piece.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 4];
                let filled = piece.chunks_vectored(&mut slices);
                let all: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                assert_eq!(all.len(), piece.remaining());
                assert!(all.starts_with(piece.chunk()));
                let step = step.min(all.len());
                read.extend_from_slice(&all[..step]);
                piece.advance(step);
            }
            assert_eq!(read, b"abcdef");
            assert!(flight.is_busy());
            drop(piece);
            assert!(flight.poll_landed(&Context::from_waker(Waker::noop())));
        }
    }
}
