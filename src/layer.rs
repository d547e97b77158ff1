//! Replay for a Rust server's own handlers, without a proxy.
//!
//! [`SpliceLayer`] goes around any service that answers with `text/event-stream`. Its clients get ids and, when they come
//! back, what they missed; the handlers change nothing. With axum it is one line:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use axum::{Router, response::sse::{Event, Sse}, routing::get};
//! use respool::layer::SpliceLayer;
//!
//! async fn ticks() -> Sse<impl futures_core::Stream<Item = Result<Event, Infallible>>> {
//! #   struct Ticks(u64);
//! #   impl futures_core::Stream for Ticks {
//! #       type Item = Result<Event, Infallible>;
//! #       fn poll_next(
//! #           mut self: std::pin::Pin<&mut Self>,
//! #           _: &mut std::task::Context<'_>,
//! #       ) -> std::task::Poll<Option<Self::Item>> {
//! #           self.0 += 1;
//! #           std::task::Poll::Ready((self.0 < 9).then(|| Ok(Event::default().data("tick"))))
//! #       }
//! #   }
//!     Sse::new(Ticks(0)) // as it was
//! }
//!
//! let app: Router = Router::new()
//!     .route("/ticks", get(ticks))
//!     .layer(SpliceLayer::new()?);
//! # Ok::<_, respool::layer::LayerError>(())
//! ```
//!
//! # What handlers notice
//!
//! - A handler's body is what the upstream's connection is to the proxy: it is read on when its client is gone, for as long
//!   as `linger` says, and dropped then. A handler that stops when its client leaves stops that much later.
//! - A client that comes back finds its stream, and its handler is not called. So what the first request was allowed its
//!   stream is allowed as long as it is open. On a shared route (`mode = "shared"`) the handler is called for each client that
//!   comes or comes back, and says whether it may; its body is dropped again.
//! - `Last-Event-ID` reaches a handler only where it is none of ours: where the handler has put it into an event itself.
//!
//! # Handlers that number their events
//!
//! Their ids stay, and are what their clients come back with. On a shared route those are looked up in the stream. A private
//! stream is found by such an id only from the address that it was opened from, which no layer can know: an outer one
//! has to put [`Peer`](crate::net::Peer) into the request's extensions. Else the handler is asked with the id, as without the
//! layer. With `ids = "replace"` the layer's ids take their place, and nobody's address matters.
//!
//! # What is the server's
//!
//! - **The end.** Event streams do not end by themselves: a server that ends gracefully calls [`SpliceLayer::drain`] when it
//!   begins to. With axum:
//!
//!   ```no_run
//!   # use std::time::Duration;
//!   # use axum::Router;
//!   # use respool::layer::SpliceLayer;
//!   # async fn serve(app: Router, signal: impl Future<Output = ()> + Send + 'static) -> Result<(), Box<dyn std::error::Error>> {
//!   let replay = SpliceLayer::new()?;
//!   let app = app.layer(replay.clone());
//!   let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!   let drained = async move {
//!       signal.await;
//!       replay.drain(Duration::from_secs(10));
//!   };
//!   axum::serve(listener, app).with_graceful_shutdown(drained).await?;
//!   # Ok(())
//!   # }
//!   ```
//!
//! - **A cut.** A body of ours that ends with an error stands for one. hyper ends the connection then, or resets the stream.
//!   Any layer outside of this one has to hand that on, and each piece when it comes.
//! - **Compression** goes outside, and must not hold events back; a handler whose answer is compressed already passes as it is.
//! - **Slow and dead clients.** The proxy cuts who takes nothing for 30 seconds, and has the kernel ask who is still there.
//!   Here the connection is the server's, and so is that. What a slow client has coming is bounded by `limits.memory`.
//! - **A no to who is asked about again** (`readmit`). The body fails at once, and hyper drops what it has buffered of it; but it
//!   asks a body for more only when the client has taken something.
//!
//! # What is not there
//!
//! Windows are in memory, and end with the process: a client then finds one gap. There are no pinned streams, since nobody asks
//! before a client does.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt as _;
use toml::{Spanned, de::DeTable};
use tower::{Layer, Service, ServiceExt as _, util::BoxCloneSyncService};

use crate::{
    body::{BoxError, Relay},
    config::{self, Config, Flags, Place},
    dice::{self, Dice},
    fault::Fault,
    metrics::Metrics,
    net::BoxFuture,
    proxy::{admission::Admissions, piece::Piece, rotating::Rotating, splice::Splice, stream},
    registry::{Limits, Registry},
    route::{Cookies, Routes},
    server,
};

/// Puts replay around services. Clones share their streams and their limits, and so do all services that one is put around:
/// it can be applied to a whole router, or to each of several handlers. Two that are made apart share nothing: an id of one is
/// a gap to the other. Needs a tokio runtime when it is used.
///
/// What a request means is told by its path, query and headers as they are where the layer stands. Routers that are nested
/// see a path without the prefix that they are nested at: put the layer outside them, or give each a layer made for it, or two
/// of them with the same path inside would be one stream.
#[derive(Clone, Debug)]
pub struct SpliceLayer {
    splice: Splice,
    registry: Registry,
    metrics: Metrics,
}

impl SpliceLayer {
    /// With the defaults: each client's stream is its own, with 2048 events, 4 MiB and five minutes to come back in.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn new() -> Result<Self, LayerError> {
        Self::configured("")
    }

    /// By the `[[route]]`, `[window]`, `[limits]` and `stumbling` of a configuration, as the proxy's file has them.
    ///
    /// ```
    /// # use respool::layer::SpliceLayer;
    /// let replay = SpliceLayer::configured(
    ///     r#"
    ///     window = { age = "1h" }
    ///     [[route]]
    ///     path = "/news"
    ///     mode = "shared"
    ///     key = ["path"]
    ///     "#,
    /// )?;
    /// # Ok::<_, respool::layer::LayerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// All that is wrong with it, with line and column; also what means nothing here: what is said of listeners, of the
    /// upstream, and of streams that nobody has asked for (`pin`). Or when the system has no randomness to give.
    pub fn configured(toml: &str) -> Result<Self, LayerError> {
        // Nobody goes there: it is the handlers who are asked.
        let flags = Flags { upstream: Some("http://handlers".into()), ..Flags::default() };
        let config = Config::resolve(&flags, &|_| None, Some((NAME, toml)))?;
        let idle: Vec<_> = idle(toml).chain(pinned(&config)).collect();
        if !idle.is_empty() {
            return Err(config::Faults::new(idle, toml).into());
        }
        Ok(Self::of(&config, Dice::new()?))
    }

    fn of(config: &Config, dice: Dice) -> Self {
        let metrics = Metrics::new();
        let routes = Routes::new(config.routes.clone());
        let cookies = Cookies::new(dice.secret(), routes.longest_private_linger());
        let handlers = BoxCloneSyncService::new(Rotating::new(Handlers, cookies.clone()));
        let limits = Limits {
            memory: config.limits.memory.get(),
            streams: config.limits.streams.get(),
            lingering: config.limits.lingering.get(),
            event: config.limits.event.get(),
            hold: config.outage_hold,
        };
        let registry = Registry::new(limits, dice, metrics.clone(), handlers.clone(), cookies);
        let admissions = Admissions::new(config.limits.admissions.get(), &metrics);
        let stall = server::Limits::default().stall;
        let stumbling = config.stumbling.clone();
        let splice = Splice::new(handlers, routes, registry.clone(), admissions, &metrics, stumbling, stall);
        Self { splice, registry, metrics }
    }

    /// What is counted, for the server's own `/metrics`.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Cuts every event stream between frames, each at a moment of its own within `spread`, so that its client comes back,
    /// to the server's next process or to another one. New ones are cut, too. To be called when the server begins to end.
    pub fn drain(&self, spread: Duration) {
        self.registry.drain(spread);
    }
}

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Something is wrong with what was written.
    #[error(transparent)]
    Configuration(#[from] config::Faults),
    /// The system has no randomness to give, and ids must not be guessed.
    #[error("the system has no randomness to give")]
    Randomness(#[from] dice::SysError),
}

/// What a configuration is called in what is said of it.
const NAME: &str = "configuration";
/// What means something here. All else is said of listeners, of the upstream, or of the program around them.
const MEANT: [&str; 4] = ["limits", "route", "stumbling", "window"];

/// The keys that mean nothing around handlers, of a configuration that is right.
fn idle(text: &str) -> impl Iterator<Item = config::Fault> {
    let table = DeTable::parse(text).map(Spanned::into_inner).unwrap_or_default();
    let others = table.keys().filter(|key| !MEANT.contains(&&**key.get_ref()));
    let mut idle: Vec<_> = others.map(|key| (key.span(), key.get_ref().to_string())).collect();
    let limits = table.get("limits").and_then(|limits| limits.get_ref().as_table());
    if let Some((key, _)) = limits.and_then(|limits| limits.get_key_value("connections")) {
        idle.push((key.span(), "limits.connections".into()));
    }
    idle.into_iter().map(|(bytes, name)| config::Fault {
        place: Place::in_file(NAME, text, bytes),
        message: format!("`{name}` means nothing around handlers"),
        remedy: "leave it out: the server that they are part of has its own".into(),
    })
}

/// Nobody asks before a client does.
fn pinned(config: &Config) -> Option<config::Fault> {
    let route = config.routes.iter().find(|route| route.pin.is_some())?;
    Some(config::Fault {
        place: Place::Whole(NAME.into()),
        message: format!(
            "the route `{}` is pinned, and around handlers there is nobody to ask for it",
            route.name
        ),
        remedy: "leave `pin` out; `linger` says how long a stream is kept without a client".into(),
    })
}

impl<S> Layer<S> for SpliceLayer {
    type Service = Spliced<S>;

    fn layer(&self, inner: S) -> Spliced<S> {
        Spliced { inner, splice: self.splice.clone() }
    }
}

/// A service with replay; see [`SpliceLayer`].
#[derive(Clone, Debug)]
pub struct Spliced<S> {
    inner: S,
    splice: Splice,
}

impl<S, B, R> Service<Request<B>> for Spliced<S>
where
    S: Service<Request<Relay>, Response = Response<R>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Asked when it is called: some requests never get there.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        request.extensions_mut().insert(Handler::of(self.inner.clone()));
        let answer = self.splice.call(request);
        Box::pin(async move {
            let response = answer.await.unwrap_or_else(|fault| {
                fault.log();
                fault.into_response().map(stream::Body::from)
            });
            Ok(response.map(Body))
        })
    }
}

/// In a request's extensions: who answers it, whoever asks by it. A shared stream goes on with the handler that one of its
/// clients came to.
#[derive(Clone)]
struct Handler(BoxCloneSyncService<Request<Relay>, Response<Relay>, Infallible>);

impl Handler {
    fn of<S, R>(service: S) -> Self
    where
        S: Service<Request<Relay>, Response = Response<R>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let relayed = |response: Response<R>| response.map(|body| body.map_err(Into::into).boxed_unsync());
        Self(BoxCloneSyncService::new(service.map_response(relayed)))
    }

    fn answer(self, request: Request<Relay>) -> BoxFuture<Result<Response<Relay>, Fault>> {
        Box::pin(infallible(self.0.oneshot(request)))
    }
}

async fn infallible<T>(answer: impl Future<Output = Result<T, Infallible>>) -> Result<T, Fault> {
    let Ok(response) = answer.await;
    Ok(response)
}

/// The upstream of all streams: whoever a request says.
#[derive(Clone, Debug)]
struct Handlers;

impl Service<Request<Relay>> for Handlers {
    type Response = Response<Relay>;
    type Error = Fault;
    type Future = BoxFuture<Result<Response<Relay>, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Relay>) -> Self::Future {
        match request.extensions_mut().remove::<Handler>() {
            Some(handler) => handler.answer(request),
            None => {
                Box::pin(std::future::ready(Err(Fault::Unreachable("no handler was asked for this".into()))))
            }
        }
    }
}

/// The body of an answer. Its error is a cut: the server has to end the connection, or reset the stream, without a proper
/// end, as hyper does, so that the client comes back.
#[derive(Debug)]
pub struct Body(stream::Body);

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(Piece::into_bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}
