//! What of an answer is with hyper, and has not been taken by its client yet.

use std::{
    io::IoSlice,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Waker},
    time::Duration,
};

use bytes::Buf;
use tokio::time::Instant;

use crate::net::Control;

/// Goes out in place of what its client may not have any more, since the frame that was begun has said how long it is.
/// It ends no line, so that nothing comes of it.
const NOTHING: [u8; 1024] = [0; 1024];

/// The way of one stream's pieces to its client. Clones are of one way.
#[derive(Clone, Debug)]
pub(super) struct Passage(Arc<State>);

#[derive(Debug)]
struct State {
    control: Control,
    pieces: AtomicUsize,
    begun: Instant,
    /// When the client last took something, or was first to take something: milliseconds since `begun`.
    moved: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Passage {
    /// The way of the stream that this is the handle to.
    pub(super) fn new(control: Control) -> Self {
        let begun = Instant::now();
        Self(Arc::new(State {
            control,
            pieces: AtomicUsize::new(0),
            begun,
            moved: AtomicU64::new(0),
            waker: Mutex::new(None),
        }))
    }

    /// These bytes, on their way from now on.
    pub(super) fn send<D: Buf>(&self, data: D) -> Passing<D> {
        if self.0.pieces.fetch_add(1, SeqCst) == 0 {
            self.note_move();
        }
        Passing { data, landing: Landing(self.clone()) }
    }

    /// Since when the client has taken nothing of what is there for it; `None`, if nothing is.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let waits = self.0.pieces.load(SeqCst) > 0;
        waits.then(|| self.0.begun + Duration::from_millis(self.0.moved.load(SeqCst)))
    }

    /// Whether nothing is on its way; if something is, the task is woken when it has arrived.
    pub(super) fn poll_landed(&self, cx: &Context<'_>) -> bool {
        *self.waker() = Some(cx.waker().clone());
        // Looked at after that: what arrives in between wakes.
        self.0.pieces.load(SeqCst) == 0
    }

    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_move(&self) {
        let since = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.moved.store(since, SeqCst);
    }
}

/// Bytes on their way: they arrive when hyper has written and dropped them.
#[derive(Debug)]
pub(super) struct Passing<D> {
    data: D,
    landing: Landing,
}

#[derive(Debug)]
struct Landing(Passage);

impl<D: Buf> Buf for Passing<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }
    fn chunk(&self) -> &[u8] {
        let data = self.data.chunk();
        if self.is_revoked() { NOTHING.get(..data.len()).unwrap_or(&NOTHING) } else { data }
    }
    fn advance(&mut self, by: usize) {
        self.landing.0.note_move();
        self.data.advance(by);
    }
    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        match into.first_mut() {
            Some(first) if self.is_revoked() && self.has_remaining() => {
                *first = IoSlice::new(self.chunk());
                1
            }
            _ => self.data.chunks_vectored(into),
        }
    }
}

impl<D> Passing<D> {
    fn is_revoked(&self) -> bool {
        self.landing.0.0.control.is_revoked()
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if self.0.0.pieces.fetch_sub(1, SeqCst) == 1
            && let Some(waker) = self.0.waker().take()
        {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::drain::Drain;

    #[test]
    fn of_what_was_taken_back_nothing_goes_out_but_its_length() {
        let control = Control::new(Drain::default());
        let mut piece = Passage::new(control.clone()).send(&[b'x'; 3000][..]);
        control.doubt();
        piece.advance(100);
        control.revoke();
        let mut seen = 0;
        while piece.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = piece.chunks_vectored(&mut slices);
            assert_eq!((filled, &slices[0][..]), (1, piece.chunk()));
            assert!(piece.chunk().iter().all(|byte| *byte == 0));
            let step = piece.chunk().len();
            piece.advance(step);
            seen += step;
        }
        assert_eq!((seen, piece.chunks_vectored(&mut [IoSlice::new(&[])])), (2900, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_waits_as_long_as_it_takes_nothing_of_what_is_there() {
        let passage = Passage::new(Control::new(Drain::default()));
        let (second, begun) = (Duration::from_secs(1), Instant::now());
        sleep(second).await;
        assert_eq!(passage.waits_since(), None);
        let mut piece = passage.send(&b"abc"[..]);
        sleep(second).await;
        assert_eq!(passage.waits_since(), Some(begun + second));
        piece.advance(1);
        sleep(second).await;
        // What is behind it does not make it look younger.
        let next = passage.send(&b"d"[..]);
        assert_eq!(passage.waits_since(), Some(begun + 2 * second));
        assert!(!passage.poll_landed(&Context::from_waker(Waker::noop())));
        drop((piece, next));
        assert_eq!(passage.waits_since(), None);
        assert!(passage.poll_landed(&Context::from_waker(Waker::noop())));
    }
}
