//! `Expect: 100-continue`, end to end: hyper sends its client the 100 as soon as the body is read, so the body is
//! not read before the upstream wants it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Sleep, sleep};

use crate::body::{self, BoxError, Relay};

/// How long an upstream that may not know the expectation is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waiting => Wanted | Answered; Answered => Done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The upstream has said nothing yet.
    Waiting,
    /// The upstream said 100, or nothing for too long: the body passes.
    Wanted,
    /// The upstream answered without the body: it is dropped unread, and the request stands still.
    Answered,
    /// That answer is over: the request is given up, and its connection with it.
    Done,
}

/// Where a held body and its request's answer meet. Dropping it does nothing.
#[derive(Clone)]
pub(super) struct Gate(Arc<Mutex<State>>);

struct State {
    phase: Phase,
    waker: Option<Waker>,
}

impl Gate {
    /// Holds the body of a request that expects a 100; `None` for one that does not, or has no body.
    pub(super) fn hold(request: &mut Request<Relay>) -> Option<Self> {
        let expects = request.headers().get(header::EXPECT)?.as_bytes().eq_ignore_ascii_case(b"100-continue");
        if !expects || request.body().is_end_stream() {
            return None;
        }
        let gate = Self(Arc::new(Mutex::new(State { phase: Phase::Waiting, waker: None })));
        let body = std::mem::take(request.body_mut());
        let held = Held { body: Some(body), gate: gate.clone(), patience: None };
        *request.body_mut() = held.boxed_unsync();
        let opened = gate.clone();
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                opened.advance(Phase::Wanted);
            }
        });
        Some(gate)
    }

    /// The upstream's final answer is here. If it came without the body, the answer's own body gives up the request
    /// when it ends or is dropped.
    pub(super) fn answered(self, body: Relay) -> Relay {
        if self.advance(Phase::Answered) { body::keeping(body, GivesUp(self)) } else { body }
    }

    /// Whether the phase is `to` now, and the body told.
    fn advance(&self, to: Phase) -> bool {
        let mut state = self.state();
        let allowed = matches!(
            (state.phase, to),
            (Phase::Waiting, Phase::Wanted | Phase::Answered) | (Phase::Answered, Phase::Done)
        );
        if allowed {
            state.phase = to;
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
        allowed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request body that is not read before its gate says so.
struct Held {
    body: Option<Relay>,
    gate: Gate,
    patience: Option<Pin<Box<Sleep>>>,
}

impl Held {
    /// The phase, once it is neither `Waiting` nor `Answered`.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        {
            let mut state = self.gate.state();
            match state.phase {
                Phase::Wanted | Phase::Done => return Poll::Ready(state.phase),
                Phase::Waiting | Phase::Answered => state.waker = Some(cx.waker().clone()),
            }
            if state.phase == Phase::Answered {
                self.body = None;
                return Poll::Pending;
            }
        }
        ready!(self.patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE))).as_mut().poll(cx));
        self.gate.advance(Phase::Wanted);
        // An answer may have come in between.
        Poll::Ready(self.gate.state().phase)
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match ready!(self.poll_gate(cx)) {
            Phase::Wanted => {
                self.patience = None;
                match &mut self.body {
                    Some(body) => Pin::new(body).poll_frame(cx),
                    None => Poll::Ready(None),
                }
            }
            _ => Poll::Ready(Some(Err("answered without its body".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        // Without its body it must not look ended: the upstream was promised one.
        self.body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// Dropped with the body of an answer that came without the request's body.
struct GivesUp(Gate);

impl Drop for GivesUp {
    fn drop(&mut self) {
        // The connection stands in the middle of a request that will never be sent: it serves nobody else.
        self.0.advance(Phase::Done);
    }
}
