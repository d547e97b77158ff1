//! Whether a client may still have what it was let in for.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Waker},
};

/// Nobody asks about it. => [`DOUBTED`], when somebody begins to.
const GIVEN: u8 = 0;
/// => [`GIVEN`], when nobody asks any more; => [`REVOKED`], when the answer is no.
const DOUBTED: u8 = 1;
/// For good.
const REVOKED: u8 = 2;

/// Where nobody asks, it costs a look at an atomic.
#[derive(Debug, Default)]
pub(super) struct Permission {
    state: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Permission {
    pub(super) fn doubt(&self) {
        let _ = self.state.compare_exchange(GIVEN, DOUBTED, Relaxed, Relaxed);
    }

    pub(super) fn trust(&self) {
        let _ = self.state.compare_exchange(DOUBTED, GIVEN, Relaxed, Relaxed);
        *self.waker() = None;
    }

    /// Without effect unless it is doubted: an answer that comes late is none about what came after.
    pub(super) fn revoke(&self) {
        if self.state.compare_exchange(DOUBTED, REVOKED, Relaxed, Relaxed).is_ok()
            && let Some(waker) = self.waker().take()
        {
            waker.wake();
        }
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.state.load(Relaxed) == REVOKED
    }

    /// The same; if it is not revoked but may be, the task is woken when it is.
    pub(super) fn poll_revoked(&self, cx: &Context<'_>) -> bool {
        if self.state.load(Relaxed) == DOUBTED {
            *self.waker() = Some(cx.waker().clone());
        }
        // Looked at after that: who revokes it in between may have found nobody to wake, and the lock tells us of it.
        self.is_revoked()
    }

    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn who_waits_is_woken_by_a_no_and_only_while_somebody_asks() {
        let (permission, woken) = (Permission::default(), Arc::new(Woken::default()));
        let waker = Waker::from(woken.clone());
        let cx = Context::from_waker(&waker);
        let revoked = || permission.poll_revoked(&cx);
        permission.revoke();
        assert!(!revoked(), "nobody has asked");
        permission.doubt();
        assert!(!revoked());
        permission.trust();
        permission.revoke();
        assert!(!revoked(), "a late answer");
        permission.doubt();
        assert!(!revoked());
        assert_eq!((woken.0.load(SeqCst), Arc::strong_count(&woken)), (0, 3));
        permission.revoke();
        assert!(revoked());
        permission.trust();
        permission.doubt();
        assert!(revoked(), "it is for good");
        assert_eq!((woken.0.load(SeqCst), Arc::strong_count(&woken)), (1, 2));
    }
}
