//! The graceful end: who has to know that it began, who is still there, and when it is over.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::timeout,
};

/// How long connections that were told to end at once are waited for.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// A handle to the end of this process (or of one test's world). Clones share one end.
#[derive(Clone, Debug)]
pub struct Drain(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    time: Mutex<Duration>,
    since: OnceLock<Instant>,
    phase: watch::Sender<Phase>,
    /// Its receivers are the [`Presence`]s: it is closed when the last of them is gone.
    present: watch::Sender<()>,
}

/// Serving => Draining => Over, never back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum Phase {
    Serving,
    Draining,
    Over,
}

/// Something that a drain waits for. Dropping it says that it is gone.
#[derive(Debug)]
pub struct Presence(#[expect(dead_code, reason = "held for its drop")] watch::Receiver<()>);

impl Drain {
    /// A drain that has not begun. Once it has, what is open gets `time` to end by itself.
    #[must_use]
    pub fn new(time: Duration) -> Self {
        Self(Arc::new(Inner {
            time: Mutex::new(time),
            since: OnceLock::new(),
            phase: watch::Sender::new(Phase::Serving),
            present: watch::Sender::new(()),
        }))
    }

    /// How long what is open gets to end by itself.
    #[must_use]
    pub fn time(&self) -> Duration {
        *self.0.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It gets so much, unless the end has begun.
    pub fn set_time(&self, time: Duration) {
        *self.0.time.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    /// Tells everyone that the end has begun: listeners close, idle connections close, each other connection ends
    /// with what it is doing. Returns at once; a second call changes nothing.
    pub fn begin(&self) {
        self.advance(Phase::Draining);
    }

    /// Ends what is still there, at once: no further request or frame is waited for.
    pub fn end(&self) {
        self.advance(Phase::Over);
    }

    fn advance(&self, to: Phase) {
        self.0.since.get_or_init(|| tokio::time::Instant::now().into_std());
        self.0.phase.send_if_modified(|phase| {
            let later = *phase < to;
            if later {
                *phase = to;
            }
            later
        });
    }

    /// Whether the end has begun. One short lock, no waiting.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.phase.borrow() != Phase::Serving
    }

    /// When the end began, as the runtime tells the time.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.0.since.get().copied()
    }

    /// Resolves when the end begins, at once if it has. Cancel-safe. The future owns what it needs.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Draining)
    }

    /// Resolves when what is still there has to close. Cancel-safe. The future owns what it needs.
    pub fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Over)
    }

    fn reached(&self, wanted: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut phase = self.0.phase.subscribe();
        async move {
            // An error says that every handle is gone, so that nobody can end anything any more.
            if phase.wait_for(|phase| *phase >= wanted).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Says that something is there which [`finish`](Self::finish) has to wait for.
    #[must_use]
    pub fn presence(&self) -> Presence {
        Presence(self.0.present.subscribe())
    }

    /// Begins the end if nobody has, and returns when all who are present are gone: by themselves, or because
    /// [`time`](Self::time) is over or [`end`](Self::end) was called and they were closed. Dropping the future
    /// takes nothing back.
    pub async fn finish(&self) {
        self.begin();
        let gone = self.0.present.closed();
        tokio::pin!(gone);
        let over = self.over();
        tokio::select! {
            () = &mut gone => return,
            () = tokio::time::sleep(self.time()) => self.end(),
            () = over => {}
        }
        // Whoever does not hear it now is taken down with the runtime.
        let _ = timeout(LAST_MOMENT, gone).await;
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new(Duration::from_secs(10))
    }
}

/// SIGTERM and SIGINT, one after the other.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
}

/// Begins to listen for SIGTERM and SIGINT; from now on neither ends the process by itself.
///
/// # Errors
///
/// When the handlers cannot be installed. Needs a tokio runtime with I/O.
pub fn signals() -> io::Result<Signals> {
    Ok(Signals { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
}

impl Signals {
    /// Waits for the next signal and says which it was. Cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_present_is_nothing_to_wait_for() {
        let drain = Drain::new(Duration::from_secs(10));
        let start = tokio::time::Instant::now();
        drain.finish().await;
        assert!(drain.is_draining());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stays_is_told_when_the_time_is_over() {
        let drain = Drain::new(Duration::from_secs(10));
        let (presence, over) = (drain.presence(), drain.over());
        let stayer = tokio::spawn(async move {
            over.await;
            drop(presence);
        });
        let start = tokio::time::Instant::now();
        drain.finish().await;
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        stayer.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_comes_at_once_when_asked_for() {
        let drain = Drain::new(Duration::from_secs(10));
        let (presence, over) = (drain.presence(), drain.over());
        tokio::spawn(async move {
            over.await;
            drop(presence);
        });
        let start = tokio::time::Instant::now();
        let finish = tokio::spawn({
            let drain = drain.clone();
            async move { drain.finish().await }
        });
        tokio::task::yield_now().await;
        drain.end();
        finish.await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
