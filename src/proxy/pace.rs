//! The pace of a request's body: its client may take its time, but not be silent for as long as it likes.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Sleep, sleep};

use crate::body::{BoxError, Relay};

/// How long a client may send nothing of a body that is waited for. Once there is an answer, the two may talk as they like.
const PAUSE: Duration = Duration::from_secs(60);

/// => [`ANSWERED`] | [`LATE`], each for good.
const AWAITED: u8 = 0;
const ANSWERED: u8 = 1;
const LATE: u8 = 2;

/// What became of a request whose body is paced.
#[derive(Clone, Debug)]
pub(super) struct Pace(Arc<AtomicU8>);

impl Pace {
    /// Paces a body; nothing, where there is none.
    pub(super) fn set<B>(body: B) -> (Relay, Option<Self>)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return (body.map_err(Into::into).boxed_unsync(), None);
        }
        let pace = Self(Arc::new(AtomicU8::new(AWAITED)));
        let body = Paced { body, pace: pace.clone(), timer: None };
        (body.boxed_unsync(), Some(pace))
    }

    /// There is an answer: the rest of the body is no longer waited for.
    pub(super) fn answered(&self) {
        self.0.store(ANSWERED, Relaxed);
    }

    /// The body was given up.
    pub(super) fn is_late(&self) -> bool {
        self.0.load(Relaxed) == LATE
    }
}

/// A body that fails when its client is silent for too long. The time counts while somebody wants more of it alone: not
/// while the upstream is slow to take what came.
struct Paced<B> {
    body: B,
    pace: Pace,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // First: what is there is not late, however long nobody looked.
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() || self.pace.0.load(Relaxed) == ANSWERED {
            self.timer = None;
            return frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.timer.get_or_insert_with(|| Box::pin(sleep(PAUSE))).as_mut().poll(cx));
        self.pace.0.store(LATE, Relaxed);
        Poll::Ready(Some(Err("the client sent nothing more of its body".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
