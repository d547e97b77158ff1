//! The status as a stream of events: one a second while somebody looks, the same for all who do.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::status::Status;
use crate::{body::Relay, net::BoxFuture};

/// How long one event is the newest.
const PAUSE: Duration = Duration::from_secs(1);

/// What is handed to everyone who looks.
#[derive(Debug)]
pub(super) struct Feed {
    latest: watch::Sender<Bytes>,
    /// A task makes events. Who begins to look does so under this lock, and so does the task when it sees that nobody does.
    is_made: Mutex<bool>,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self { latest: watch::Sender::new(Bytes::new()), is_made: Mutex::new(false) }
    }

    /// A body that shows each status from now on; none, if too many look. Who is slow to take them misses some.
    pub(super) fn watch(self: &Arc<Self>, status: &Arc<Status>) -> Option<Relay> {
        let place = status.place()?;
        let mut is_made = self.is_made.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latest = self.latest.subscribe();
        if std::mem::replace(&mut *is_made, true) {
            // It is of this second.
            latest.mark_changed();
        } else {
            tokio::spawn(self.clone().make(status.clone()));
        }
        drop(is_made);
        Some(
            Watch { next: Box::pin(next(latest)), begun: false, _place: place }
                .map_err(|n| match n {})
                .boxed_unsync(),
        )
    }

    async fn make(self: Arc<Self>, status: Arc<Status>) {
        loop {
            if let Some(json) = status.picture().await {
                self.latest.send_replace([b"data: ", &json[..], b"\n\n"].concat().into());
            }
            tokio::time::sleep(PAUSE).await;
            let mut is_made = self.is_made.lock().unwrap_or_else(PoisonError::into_inner);
            if self.latest.receiver_count() == 0 {
                self.latest.send_replace(Bytes::new());
                *is_made = false;
                return;
            }
        }
    }
}

/// What one of those who look is sent.
struct Watch {
    next: BoxFuture<Option<(Bytes, watch::Receiver<Bytes>)>>,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

/// The next event; none, when there will be no more.
async fn next(mut latest: watch::Receiver<Bytes>) -> Option<(Bytes, watch::Receiver<Bytes>)> {
    loop {
        latest.changed().await.ok()?;
        let event = latest.borrow_and_update().clone();
        // What there was before the first one.
        if !event.is_empty() {
            return Some((event, latest));
        }
    }
}

impl Body for Watch {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::replace(&mut self.begun, true) {
            // The head goes out with it, before there is an event.
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"retry: 2000\n\n")))));
        }
        let Some((event, latest)) = ready!(self.next.as_mut().poll(cx)) else { return Poll::Ready(None) };
        self.next = Box::pin(next(latest));
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}
