//! From a request to the upstream's answer, both unchanged but for what belongs to a connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::Error;
use tower::Service;

use super::{
    connector::Past,
    expect::Gate,
    hygiene,
    lanes::{Lanes, Place},
    tunnel,
};
use crate::{
    body::{self, BoxError, Relay},
    current::Current,
    fault::Fault,
    head::is_stream,
    net::{BoxFuture, Control, Dial, Peer, Secure, Upstream, descriptors::is_none_left},
};

/// The `Host` that the upstream gets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum HostPolicy {
    /// The client's.
    #[default]
    Keep,
    /// The upstream's own address.
    Upstream,
}

/// How requests are passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The `Host` that the upstream gets; a request without one gets the upstream's in any case.
    pub host: HostPolicy,
    /// Whether the upstream is told, by `X-Forwarded-For` (appended to), `-Proto` and `-Host` (where absent), whom
    /// a request comes from.
    pub forwarded: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { host: HostPolicy::Keep, forwarded: true }
    }
}

/// Sends requests to the upstream. Clones share its pool of connections.
///
/// As a service it takes any request, a client's or one of our own making: [`Peer`] and [`Control`] in its
/// extensions are used if they are there, the authority of its URI is ignored. It answers as soon as the upstream's
/// head is there, however long that takes; dropping the future before gives the upstream request up at once, and
/// dropping the response's body does so later. A request body that fails aborts the upstream request.
///
/// A request is sent again only if nothing of it was sent before, or if it is a GET or HEAD without a body and died
/// unanswered on a connection from the pool.
#[derive(Clone)]
pub struct Forward(Arc<Inner>);

struct Inner {
    pooled: Lanes,
    /// Always on a connection of its own: for a second attempt, which must not find a dead one again.
    fresh: Lanes,
    /// For what HTTP/2 has no word for.
    upgrading: Lanes,
    authority: Authority,
    scheme: Scheme,
    /// Whether the upstream may be asked by HTTP/2.
    http2: bool,
    settings: Current<Settings>,
}

impl Forward {
    /// Sends to this upstream.
    #[must_use]
    pub fn new(upstream: &Upstream, settings: Settings) -> Self {
        Self::with_dial(upstream.dialer(), upstream.authority(), settings)
    }

    /// Sends on connections of this making, with `authority` as the upstream's own `Host`.
    #[must_use]
    pub fn with_dial(dial: Arc<dyn Dial>, authority: Authority, settings: Settings) -> Self {
        let (scheme, http2) = (dial.scheme(), dial.may_speak_http2());
        let (pooled, fresh) = (Lanes::pooled(dial.clone()), Lanes::fresh(dial.clone()));
        let upgrading = if http2 { Lanes::upgrading(dial) } else { pooled.clone() };
        let settings = Current::new(settings);
        Self(Arc::new(Inner { pooled, fresh, upgrading, authority, scheme, http2, settings }))
    }

    /// Passes requests on by these settings from now on.
    pub fn set(&self, settings: Settings) {
        self.0.settings.set(settings);
    }
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward").field("authority", &self.0.authority).finish_non_exhaustive()
    }
}

impl Service<Request<Relay>> for Forward {
    type Response = Response<Relay>;
    type Error = Fault;
    type Future = BoxFuture<Result<Response<Relay>, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Relay>) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move { inner.forward(request).await })
    }
}

impl Inner {
    async fn forward(&self, mut request: Request<Relay>) -> Result<Response<Relay>, Fault> {
        // Taken out in any case: the upstream's answer has one of its own in the same place.
        let client = hyper::upgrade::on(&mut request);
        let drain = request.extensions_mut().remove::<Control>().map(|control| control.drain().clone());
        let upgrades = self.rewrite(&mut request)?;
        let gate = Gate::hold(&mut request);

        let (mut response, place) = self.send(request, upgrades).await?;
        let past = response.extensions_mut().remove::<Past>();
        let quoted = |reason| nonsense(reason, past.as_ref());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if !upgrades {
                return Err(quoted("it switches protocols unasked"));
            }
            tunnel::join(client, hyper::upgrade::on(&mut response), drain);
        }
        let response = relayed(response, gate, past.clone()).map_err(quoted)?;
        // Others may be on the same connection, which carries so many and no more.
        Ok(if self.http2 { response.map(|body| place.keep(body)) } else { response })
    }

    /// Makes the client's request one to the upstream, and says whether it asks for an upgrade.
    fn rewrite(&self, request: &mut Request<Relay>) -> Result<bool, Fault> {
        let (mut parts, body) = std::mem::take(request).into_parts();
        if self.settings.get().forwarded {
            forwarded(&mut parts);
        }
        let upgrades = hygiene::strip_request(&mut parts);
        frame(&mut parts.headers, &body);
        self.address(&mut parts)?;
        parts.version = Version::HTTP_11;
        *request = Request::from_parts(parts, body);
        Ok(upgrades)
    }

    fn address(&self, parts: &mut Parts) -> Result<(), Fault> {
        let target = std::mem::take(&mut parts.uri).into_parts();
        let host = match self.settings.get().host {
            HostPolicy::Keep if parts.headers.contains_key(header::HOST) => None,
            // An absolute target names the host that an HTTP/1.0 client has no other place for.
            HostPolicy::Keep => target.authority.as_ref().or(Some(&self.authority)),
            HostPolicy::Upstream => Some(&self.authority),
        };
        if let Some(host) = host {
            let host =
                HeaderValue::from_str(host.as_str()).map_err(|_| Fault::Request("the Host is malformed"))?;
            parts.headers.insert(header::HOST, host);
        }
        let mut to = http::uri::Parts::default();
        to.scheme = Some(self.scheme.clone());
        to.authority = Some(self.authority.clone());
        if self.http2 {
            // HTTP/2 says there, once for all of a request, whom it is for.
            let host = parts.headers.get(header::HOST).map(HeaderValue::as_bytes);
            to.authority = host.and_then(|host| Authority::try_from(host).ok()).or(to.authority);
        }
        to.path_and_query = target.path_and_query.or(Some(PathAndQuery::from_static("/")));
        parts.uri = Uri::from_parts(to).map_err(|_| Fault::Request("the target is no path"))?;
        Ok(())
    }

    async fn send(
        &self,
        request: Request<Relay>,
        upgrade: bool,
    ) -> Result<(Response<Incoming>, Place), Fault> {
        let again = copy(&request);
        let lanes = if upgrade { &self.upgrading } else { &self.pooled };
        let fault = match ask(lanes, request).await {
            Ok(answered) => return Ok(answered),
            Err(fault) => fault,
        };
        match again {
            Some(request) if was_stale(&fault) => ask(&self.fresh, request).await.map_err(judge),
            _ => Err(judge(fault)),
        }
    }
}

async fn ask(lanes: &Lanes, request: Request<Relay>) -> Result<(Response<Incoming>, Place), Error> {
    let place = lanes.place();
    let response = place.client().request(request).await?;
    Ok((noted(response), place))
}

/// Has the headers say how the body is framed, whatever they said before: hyper takes their word for it, and sends no
/// body with a GET unless told to.
fn frame(headers: &mut HeaderMap, body: &Relay) {
    let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    let Some(length) = length else {
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        return;
    };
    let told = headers.get(header::CONTENT_LENGTH).map(|told| told == length.to_string().as_str());
    match told {
        Some(true) => {}
        // No body and no word about it is how most requests come.
        None | Some(false) if length == 0 => drop(headers.remove(header::CONTENT_LENGTH)),
        None | Some(false) => drop(headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length))),
    }
}

/// A second one of a request that may be sent twice.
fn copy(request: &Request<Relay>) -> Option<Request<Relay>> {
    let repeatable =
        matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream();
    repeatable.then(|| {
        let mut copy = Request::new(body::empty());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        copy
    })
}

/// Whether a request died unanswered on a connection that had answered another one.
fn was_stale(fault: &Error) -> bool {
    let died = cause(fault).is_some_and(|cause| !cause.is_parse() && !cause.is_user());
    died && past(fault).is_some_and(|past| past.has_answered())
}

fn past(fault: &Error) -> Option<Past> {
    let mut extensions = http::Extensions::new();
    fault.connect_info()?.get_extras(&mut extensions);
    extensions.remove()
}

fn noted(response: Response<Incoming>) -> Response<Incoming> {
    let (parts, body) = response.into_parts();
    if let Some(past) = parts.extensions.get::<Past>() {
        past.note_answer(is_stream(&parts));
    }
    Response::from_parts(parts, body)
}

/// The upstream's fault, with what it said on its connection.
fn nonsense(reason: &str, past: Option<&Past>) -> Fault {
    Fault::Nonsense { reason: reason.to_owned(), said: past.map(Past::beginning).unwrap_or_default() }
}

fn cause(fault: &Error) -> Option<&hyper::Error> {
    std::error::Error::source(fault)?.downcast_ref()
}

/// Whose fault it is that there is no answer.
fn judge(fault: Error) -> Fault {
    if fault.is_connect() {
        let any =
            |is: fn(&std::io::Error) -> bool| causes(&fault).filter_map(|cause| cause.downcast_ref()).any(is);
        return match () {
            () if any(is_none_left) => Fault::Descriptors(fault.into()),
            () if any(|cause| cause.kind() == std::io::ErrorKind::TimedOut) => {
                Fault::Unaccepted(fault.into())
            }
            () => Fault::Unreachable(fault.into()),
        };
    }
    match cause(&fault) {
        Some(cause) if cause.is_user() => Fault::Body(fault.into()),
        Some(cause) if cause.is_parse() => nonsense(&cause.to_string(), past(&fault).as_ref()),
        _ => Fault::Lost(fault.into()),
    }
}

fn causes<'a>(
    fault: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(fault), |fault| fault.source())
}

/// Makes the upstream's answer one to the client, or says what is wrong with it.
fn relayed(
    response: Response<Incoming>,
    gate: Option<Gate>,
    past: Option<Past>,
) -> Result<Response<Relay>, &'static str> {
    let (mut parts, body) = response.into_parts();
    hygiene::strip_response(&mut parts)?;
    // The framing on the client's side is between the client and us.
    parts.version = Version::HTTP_11;
    let body = match bodiless_length(parts.status, &parts.headers) {
        Some(length) => Bodiless(length).boxed_unsync(),
        None => Whole { body, past }.boxed_unsync(),
    };
    let body = match gate {
        Some(gate) => gate.answered(body),
        None => body,
    };
    Ok(Response::from_parts(parts, body))
}

/// An answer's body, whose end is none where the task of its connection panicked.
struct Whole {
    body: Incoming,
    past: Option<Past>,
}

impl Body for Whole {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None if self.past.as_ref().is_some_and(Past::is_broken) => {
                Poll::Ready(Some(Err("the connection's task panicked".into())))
            }
            frame => Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The length that a response without a body claims all the same.
fn bodiless_length(status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    let claims = status == StatusCode::NOT_MODIFIED || (status == StatusCode::NO_CONTENT && length == 0);
    claims.then_some(length)
}

/// A body that is never sent, but has a length: hyper takes the `Content-Length` out of a 304 that has no body.
struct Bodiless(u64);

impl Body for Bodiless {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(None)
    }
    fn is_end_stream(&self) -> bool {
        false
    }
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

fn forwarded(parts: &mut Parts) {
    let headers = &mut parts.headers;
    if let Some(Peer(Some(peer))) = parts.extensions.get() {
        let mut chain: Vec<&[u8]> =
            headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
        let peer = peer.to_string();
        chain.push(peer.as_bytes());
        if let Ok(chain) = HeaderValue::from_bytes(&chain.join(&b", "[..])) {
            headers.insert(FORWARDED_FOR, chain);
        }
    }
    let proto = if parts.extensions.get::<Secure>().is_some() { "https" } else { "http" };
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static(proto));
    if let (false, Some(host)) = (headers.contains_key(FORWARDED_HOST), headers.get(header::HOST)) {
        let host = host.clone();
        headers.insert(FORWARDED_HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Unsized;

    impl Body for Unsized {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
    }

    #[track_caller]
    fn framed(told: Option<&str>, body: Relay, wanted: &[(&str, &str)]) {
        let mut headers = HeaderMap::new();
        if let Some(told) = told {
            headers.insert(header::CONTENT_LENGTH, told.parse().unwrap());
        }
        frame(&mut headers, &body);
        let seen: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn a_request_is_framed_as_its_body_is() {
        let unsized_body = || Unsized.boxed_unsync();
        framed(None, body::empty(), &[]);
        framed(Some("0"), body::empty(), &[("content-length", "0")]);
        framed(Some("5"), body::empty(), &[]);
        framed(Some("5"), body::full("hello"), &[("content-length", "5")]);
        framed(None, body::full("hello"), &[("content-length", "5")]);
        framed(Some("7"), body::full("hello"), &[("content-length", "5")]);
        framed(Some("7"), unsized_body(), &[("transfer-encoding", "chunked")]);
        framed(None, unsized_body(), &[("transfer-encoding", "chunked")]);
    }
}
