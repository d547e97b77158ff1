//! HTTP/2: many requests on one connection, each on a stream of its own, which is cut for itself.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, Sleep, sleep_until, timeout},
};
use tower::{Service, ServiceExt as _};

use super::{
    Witness,
    allowance::Allowance,
    handler::Whence,
    passage::{Passage, Passing},
};
use crate::{
    body::BoxError,
    drain::Drain,
    net::{BoxFuture, Control},
};

/// The requests that a client of HTTP/2 may give up at once before they are answered: as many as a page that is left may
/// have open. Each costs it a few bytes, and us a request to the upstream; and since it is over then, the number of those
/// that may be open is no limit.
pub(super) const GIVEN_UP: u32 = 100;
/// And one more after each of these: ten a second.
const AGAIN: Duration = Duration::from_millis(100);

/// What answers of HTTP/1 say of their connection, and HTTP/2 knows no word for.
const OF_A_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The streams of one connection, of which each is a task of its own. hyper's executor. Clones are of one connection.
#[derive(Clone, Debug)]
pub(super) struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: watch::Sender<usize>,
    /// The stream whose request was handed to the service, and whose task was not begun yet.
    next: Mutex<Option<Stream>>,
    /// How many more requests the client may give up before they are answered.
    given_up: Mutex<Allowance>,
    too_often: Notify,
}

/// One stream: what its request may ask of it, and what is on its way.
#[derive(Clone, Debug)]
struct Stream {
    control: Control,
    passage: Passage,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner {
            open: watch::Sender::new(0),
            next: Mutex::new(None),
            given_up: Mutex::new(Allowance::new(GIVEN_UP, AGAIN, Instant::now())),
            too_often: Notify::new(),
        }))
    }

    /// Resolves when the client has given up more requests than it may. Cancel-safe. The future owns what it needs.
    pub(super) fn given_up_too_often(&self) -> impl Future<Output = ()> + Send + use<> {
        let inner = self.0.clone();
        async move { inner.too_often.notified().await }
    }

    /// Resolves when no stream was open for `limit`. Cancel-safe. The future owns what it needs.
    pub(super) fn idle(&self, limit: Duration) -> impl Future<Output = ()> + Send + use<> {
        let mut open = self.0.open.subscribe();
        async move {
            loop {
                if open.wait_for(|open| *open == 0).await.is_err() {
                    return;
                }
                if timeout(limit, open.wait_for(|open| *open > 0)).await.is_err() {
                    return;
                }
            }
        }
    }

    fn next(&self) -> std::sync::MutexGuard<'_, Option<Stream>> {
        self.0.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    /// hyper calls the service, and hands what becomes of that to us, in one go: the stream is the one whose request
    /// the service was just called with.
    fn execute(&self, task: F) {
        let stream = self.next().take();
        let open = Open::new(self.0.clone());
        tokio::spawn(async move {
            let (_witness, _open) = (Witness("stream"), open);
            match stream {
                Some(stream) => Watched { task: Some(Box::pin(task)), stream, timer: None }.await,
                None => task.await,
            }
        });
    }
}

/// A request that has no answer yet. Dropped before it has one, it was given up.
struct Asked(Option<Arc<Inner>>);

impl Asked {
    /// A client that waits for its answers may ask as often as it likes.
    fn answered(mut self) {
        if let Some(inner) = self.0.take() {
            inner.allowance().give(1);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(inner) = &self.0
            && !inner.allowance().take(Instant::now())
        {
            inner.too_often.notify_one();
        }
    }
}

impl Inner {
    fn allowance(&self) -> std::sync::MutexGuard<'_, Allowance> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a stream as open.
struct Open(Arc<Inner>);

impl Open {
    fn new(inner: Arc<Inner>) -> Self {
        inner.open.send_modify(|open| *open += 1);
        Self(inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

/// A stream's task, given up when the client takes nothing for too long, or may have nothing more. Dropped, it resets its
/// stream, and what of it was not sent is dropped, too.
struct Watched<F> {
    task: Option<Pin<Box<F>>>,
    stream: Stream,
    /// Runs until no later than the client must have taken something.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.stream.control.is_revoked() {
            this.task = None;
        }
        let Some(task) = &mut this.task else { return Poll::Ready(()) };
        if task.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        ready!(this.poll_stalled(cx));
        this.stream.control.note_stall();
        this.task = None;
        Poll::Ready(())
    }
}

impl<F> Watched<F> {
    /// Ready when the client has taken nothing for its limit.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.stream.control.stall() else { return Poll::Pending };
        loop {
            let Some(since) = self.stream.passage.waits_since() else { return Poll::Pending };
            let due = since + limit;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            // Set anew only when it has run out, not with each piece.
            ready!(timer.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

/// One connection's view of the service.
pub(super) struct Handler<S> {
    service: Arc<S>,
    drain: Drain,
    whence: Whence,
    streams: Streams,
}

impl<S> Handler<S> {
    pub(super) fn new(service: Arc<S>, drain: Drain, whence: Whence, streams: Streams) -> Self {
        Self { service, drain, whence, streams }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Handler<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Streamed<B>>;
    type Error = BoxError;
    type Future = BoxFuture<Result<Self::Response, BoxError>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let control = Control::new(self.drain.clone());
        let stream = Stream { control: control.clone(), passage: Passage::new(control.clone()) };
        let passage = stream.passage.clone();
        *self.streams.next() = Some(stream);
        self.whence.tell(request.extensions_mut());
        request.extensions_mut().insert(control);
        let to_head = request.method() == Method::HEAD;
        let answered = S::clone(&self.service).oneshot(request);
        let asked = Asked(Some(self.streams.0.clone()));
        Box::pin(async move {
            let answer = answered.await;
            asked.answered();
            let mut response = answer.map_err(Into::into)?;
            strip(response.headers_mut());
            let bodiless =
                to_head || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            Ok(response.map(|body| Streamed { body: (!bodiless).then_some(body), passage, fault: None }))
        })
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in &OF_A_CONNECTION {
        headers.remove(name);
    }
}

pin_project_lite::pin_project! {
    /// A body whose error reaches hyper only when all that came before it is on the connection: hyper resets the stream
    /// then, which drops what of it was not sent, and a client that is cut would lose events that it was already given.
    pub(super) struct Streamed<B> {
        #[pin]
        body: Option<B>,
        passage: Passage,
        fault: Option<BoxError>,
    }
}

impl<B> Body for Streamed<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Passing<B::Data>;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        let this = self.project();
        if this.fault.is_none() {
            let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
            match ready!(body.poll_frame(cx)) {
                Some(Err(fault)) => *this.fault = Some(fault.into()),
                Some(Ok(frame)) => {
                    return Poll::Ready(Some(Ok(frame.map_data(|data| this.passage.send(data)))));
                }
                None => return Poll::Ready(None),
            }
        }
        if this.passage.poll_landed(cx) { Poll::Ready(this.fault.take().map(Err)) } else { Poll::Pending }
    }

    fn is_end_stream(&self) -> bool {
        self.fault.is_none() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
