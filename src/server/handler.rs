//! HTTP/1: what stands between hyper's connection and the service: extensions on the way in, a proper cut on the way out.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower::{Service, ServiceExt as _};

use super::handover::{Leaving, Slot};
use crate::{
    body::BoxError,
    net::{BoxFuture, Control, Peer, Secure},
};

/// Whose connection requests come by, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whence {
    pub(super) peer: Peer,
    pub(super) secure: bool,
}

impl Whence {
    /// Tells it the service, in a request's extensions.
    pub(super) fn tell(self, extensions: &mut Extensions) {
        extensions.insert(self.peer);
        if self.secure {
            extensions.insert(Secure);
        }
    }
}

/// One connection's view of the service.
pub(super) struct Handler<S, B> {
    service: Arc<S>,
    control: Control,
    whence: Whence,
    /// Where bodies are put that hyper gives up.
    slot: Slot<B>,
}

impl<S, B> Handler<S, B> {
    pub(super) fn new(service: Arc<S>, control: Control, whence: Whence, slot: Slot<B>) -> Self {
        Self { service, control, whence, slot }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Handler<S, B>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Whole<Sent<B>>>;
    type Error = BoxError;
    /// Boxed: an idle connection keeps a pointer for it, not the room of the largest state of a whole stack.
    type Future = BoxFuture<Result<Self::Response, BoxError>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let control = self.control.clone();
        control.note_request();
        // What the last request wanted of the connection is not for this one.
        control.forget_answer();
        request.extensions_mut().insert(control.clone());
        self.whence.tell(request.extensions_mut());
        let (old, to_head) = (request.version() == Version::HTTP_10, request.method() == Method::HEAD);
        // Nothing of it is left for hyper to read.
        let is_whole = !old && !to_head && request.body().is_end_stream();
        let (slot, lives_on) = (self.slot.clone(), !asks_to_close(request.headers()));
        let answered = S::clone(&self.service).oneshot(request);
        Box::pin(async move {
            let response = answered.await.map_err(Into::into)?;
            // Without a length, only a reset tells an HTTP/1.0 client a cut from an end.
            let unframed = old && !to_head && is_unsized(&response);
            if unframed {
                control.reset_on_close();
            }
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                control.note_upgrade();
            }
            // What hyper writes no chunks for is written by nobody else.
            let leaves = is_whole
                && response.version() != Version::HTTP_10
                && control.is_long()
                && is_unsized(&response);
            let lives_on = lives_on && !asks_to_close(response.headers());
            Ok(response.map(|body| {
                let body = if leaves {
                    Sent::Leaving { body: Leaving::new(body, lives_on, slot, control.clone()) }
                } else {
                    Sent::Staying { body }
                };
                Whole { body, control, unframed, fault: None }
            }))
        })
    }
}

/// Whether one of both sides wants no answer behind this one.
fn asks_to_close(headers: &HeaderMap) -> bool {
    let options = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    options.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// Whether a response has a body whose length it does not say.
fn is_unsized(response: &Response<impl Body>) -> bool {
    let bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let told = response.headers().contains_key(header::CONTENT_LENGTH);
    !bodiless && !told && response.body().size_hint().exact().is_none()
}

pin_project_lite::pin_project! {
    /// The body of an answer: hyper has it to its end, or as long as it is of use.
    #[project = Projected]
    pub(super) enum Sent<B> {
        Staying { #[pin] body: B },
        Leaving { #[pin] body: Leaving<B> },
    }
}

impl<B: Body> Body for Sent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project() {
            Projected::Staying { body } => body.poll_frame(cx),
            Projected::Leaving { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Staying { body } => body.is_end_stream(),
            Self::Leaving { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Staying { body } => body.size_hint(),
            Self::Leaving { body } => body.size_hint(),
        }
    }
}

pin_project_lite::pin_project! {
    /// A body whose error reaches hyper only when all that came before it is with the socket: hyper drops what it
    /// has buffered when a body fails, and a client that is cut would lose events that it was already given.
    pub(super) struct Whole<B> {
        #[pin]
        body: B,
        control: Control,
        unframed: bool,
        fault: Option<BoxError>,
    }

    impl<B> PinnedDrop for Whole<B> {
        /// hyper keeps a body until it has all of it, or has no use for any.
        fn drop(this: Pin<&mut Self>) {
            this.control.note_answer();
        }
    }
}

impl<B> Body for Whole<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        if this.fault.is_some() {
            return if this.control.is_flushed() {
                Poll::Ready(this.fault.take().map(Err))
            } else {
                Poll::Pending
            };
        }
        let frame = std::task::ready!(this.body.as_mut().poll_frame(cx));
        match frame {
            Some(Err(fault)) => {
                *this.fault = Some(fault.into());
                this.control.want_flush();
                // hyper may have flushed already in this round; the next one flushes whatever there is.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(frame)) => {
                if *this.unframed && this.body.is_end_stream() {
                    this.control.close_properly();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                if *this.unframed {
                    this.control.close_properly();
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.fault.is_none() && self.body.is_end_stream();
        // hyper asks before it polls, and polls no body that has ended.
        if ended && self.unframed {
            self.control.close_properly();
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
