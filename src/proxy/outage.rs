//! An upstream that is away for a moment must not end an `EventSource` for good: it comes back after a network error
//! and gives up after any status but 200.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, request::Parts};
use http_body::Body as _;
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt as _};

use super::{absent::Absent, hygiene};
use crate::{
    body::{self, Relay},
    current::Current,
    dice::Dice,
    fault::Fault,
    metrics::{Outages, Release},
    net::{BoxFuture, Control},
};

/// The longest first pause between two attempts; each later one may be twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause of all.
const LONGEST: Duration = Duration::from_secs(1);

/// In a request's extensions: it is for an event stream, whatever its `Accept` says, and its client has waited since
/// then.
#[derive(Clone, Copy, Debug)]
pub struct Patient(pub Instant);

/// In a request's extensions: its client has waited for its turn to ask, and not for the upstream. However long that took,
/// it is sent again when it is lost.
#[derive(Clone, Copy, Debug)]
pub struct InTurn;

/// Holds requests for event streams while the upstream cannot be reached, or loses them unanswered: they are sent
/// again, after pauses, until their client has waited for `hold`, and then fail with [`Fault::Outage`].
///
/// It holds a GET without a body that accepts `text/event-stream` or carries [`Patient`]; any other request passes
/// and fails at once. An answer ends the wait, whatever its status unless that is one of those that are taken for no
/// answer, and so does the begin of the drain (by [`Control`], where the request has one). Dropping the future gives
/// up.
#[derive(Clone, Debug)]
pub struct Outage<S> {
    inner: S,
    /// The same, for requests that are held.
    insisted: Absent<S>,
    hold: Current<Duration>,
    dice: Dice,
    outages: Outages,
}

impl<S: Clone> Outage<S> {
    /// Holds requests for up to `hold`, with pauses that `dice` draws; `outages` counts them.
    pub fn new(inner: S, hold: Duration, dice: Dice, outages: Outages) -> Self {
        let insisted = Absent::new(inner.clone(), Current::new(Vec::new()));
        Self { insisted, inner, hold: Current::new(hold), dice, outages }
    }

    /// Takes answers with these statuses, to requests that are held, for none.
    #[must_use]
    pub fn with_statuses(self, statuses: Current<Vec<StatusCode>>) -> Self {
        Self { insisted: Absent::new(self.inner.clone(), statuses), ..self }
    }

    /// Holds requests for up to `hold` as it is when one comes.
    #[must_use]
    pub fn holding(self, hold: Current<Duration>) -> Self {
        Self { hold, ..self }
    }
}

impl<S, B> Service<Request<Relay>> for Outage<S>
where
    S: Service<Request<Relay>, Response = Response<B>, Error = Fault> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = Fault;
    type Future = BoxFuture<Result<Response<B>, Fault>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Relay>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let is_stream = hygiene::wants_events(&parts) || parts.extensions.get::<Patient>().is_some();
        // Anything but a GET may have had its effect before its answer was lost.
        if !is_stream || parts.method != Method::GET || !body.is_end_stream() {
            return Box::pin(self.inner.call(Request::from_parts(parts, body)));
        }
        Box::pin(self.clone().insist(parts))
    }
}

impl<S, B> Outage<S>
where
    S: Service<Request<Relay>, Response = Response<B>, Error = Fault> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    async fn insist(self, parts: Parts) -> Result<Response<B>, Fault> {
        // Whoever waited for something else before is held for the rest.
        let since = parts.extensions.get().map_or_else(Instant::now, |Patient(since)| *since);
        let hold = *self.hold.get();
        let deadline = since + hold;
        // One connection that is lost is no outage: whose time was as good as over when it was its turn is owed another
        // attempt.
        let was_late = parts.extensions.get::<InTurn>().is_some() && deadline <= Instant::now() + FIRST;
        let mut is_owed = was_late && !hold.is_zero();
        let drain = parts.extensions.get::<Control>().map(|control| control.drain().clone());
        let mut longest = FIRST;
        let held = self.outages.watch(since);
        loop {
            let request = Request::from_parts(parts.clone(), body::empty());
            let fault = match self.attempt(request).await {
                Err(fault) if fault.may_pass() => fault,
                answered => {
                    held.end(Release::Answered);
                    return answered;
                }
            };
            held.begin();
            let left = match std::mem::take(&mut is_owed) {
                true => FIRST,
                false => deadline.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                held.end(Release::Cut);
                return Err(Fault::Outage(Box::new(fault)));
            }
            tracing::debug!(reason = %fault, "an event stream is held");
            // Full jitter: clients that lost the same upstream must not return to it in step.
            let pause = sleep(self.dice.up_to(longest).min(left));
            match &drain {
                // Whoever is held would only hold up the end; it comes back to whoever serves next.
                Some(drain) => tokio::select! {
                    () = pause => {}
                    () = drain.begun() => {
                        held.end(Release::Drained);
                        return Err(Fault::Outage(Box::new(fault)));
                    }
                },
                None => pause.await,
            }
            longest = (longest * 2).min(LONGEST);
        }
    }

    /// Behind a pointer, since the compiler cannot see that a service's own future is `Send` from within another.
    fn attempt(&self, request: Request<Relay>) -> BoxFuture<Result<Response<B>, Fault>> {
        Box::pin(self.insisted.clone().oneshot(request))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    };

    use super::*;

    /// An upstream that is away for the first `away` attempts, and the attempts it saw.
    fn upstream(away: u32) -> (impl Fn(&'static str) -> Request<Relay>, Outage<Away>, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let service = Outage::new(
            Away { away, asked: asked.clone() },
            Duration::from_secs(5),
            Dice::seeded(7),
            outages(),
        );
        let request =
            |accept| Request::get("/").header(http::header::ACCEPT, accept).body(body::empty()).unwrap();
        (request, service, asked)
    }

    fn outages() -> Outages {
        crate::metrics::Metrics::new().outages
    }

    #[derive(Clone)]
    struct Away {
        away: u32,
        asked: Arc<AtomicU32>,
    }

    impl Service<Request<Relay>> for Away {
        type Response = Response<Relay>;
        type Error = Fault;
        type Future = std::future::Ready<Result<Response<Relay>, Fault>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<Relay>) -> Self::Future {
            let away = self.asked.fetch_add(1, Relaxed) < self.away;
            std::future::ready(if away {
                Err(Fault::Unreachable("refused".into()))
            } else {
                Ok(Response::new(body::empty()))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_stream_waits_for_an_upstream_that_comes_back() {
        let (request, service, asked) = upstream(4);
        service.oneshot(request("text/event-stream")).await.unwrap();
        assert_eq!(asked.load(Relaxed), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_stream_is_held_for_so_long_and_no_longer() {
        let (request, service, asked) = upstream(u32::MAX);
        let start = Instant::now();
        let fault = service.oneshot(request("text/event-stream")).await.unwrap_err();
        assert!(matches!(fault, Fault::Outage(_)));
        // The clock has milliseconds.
        assert!((4999..=5001).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        assert!((6..60).contains(&asked.load(Relaxed)), "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_before_is_held_for_the_rest() {
        for (waited, held) in [(3, 2), (5, 0), (7, 0)] {
            let (request, service, _) = upstream(u32::MAX);
            let mut request = request("*/*");
            request.extensions_mut().insert(Patient(Instant::now()));
            sleep(Duration::from_secs(waited)).await;
            let start = Instant::now();
            assert!(matches!(service.oneshot(request).await, Err(Fault::Outage(_))));
            assert_eq!(start.elapsed().as_secs_f64().round() as u64, held);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_lets_go_of_who_is_held() {
        let (request, service, _) = upstream(u32::MAX);
        let drain = crate::drain::Drain::default();
        let mut request = request("text/event-stream");
        request.extensions_mut().insert(Control::new(drain.clone()));
        let held = tokio::spawn(service.oneshot(request));
        sleep(Duration::from_secs(1)).await;
        assert!(!held.is_finished());
        let start = Instant::now();
        drain.begin();
        assert!(matches!(held.await.unwrap(), Err(Fault::Outage(_))));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_else_is_held() {
        let (request, service, asked) = upstream(u32::MAX);
        let fault = service.clone().oneshot(request("*/*")).await.unwrap_err();
        assert!(matches!(fault, Fault::Unreachable(_)));
        let mut with_body = request("text/event-stream");
        *with_body.body_mut() = body::full("a");
        let fault = service.oneshot(with_body).await.unwrap_err();
        assert!(matches!(fault, Fault::Unreachable(_)));
        assert_eq!(asked.load(Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_can_say_what_is_an_event_stream() {
        let (request, service, asked) = upstream(1);
        let mut request = request("*/*");
        request.extensions_mut().insert(Patient(Instant::now()));
        service.oneshot(request).await.unwrap();
        assert_eq!(asked.load(Relaxed), 2);
    }
}
