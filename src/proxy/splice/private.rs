//! Streams of one client's own: found again, or asked of the upstream.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Response, StatusCode, response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt as _;

use super::Call;
use crate::{
    body::{self, BoxError, Relay},
    fault::Fault,
    head::{self, Head},
    id::Asked,
    metrics::{self, Connect, Label as _},
    net::Peer,
    proxy::{
        outage::Patient,
        stream::{Body, Home, Kind},
        unnumbered::unnumbered,
    },
    registry::{Joined, Opened, Rejoin, Who},
    route::{Address, Jar, Key, Mode},
    window::Verdict,
};

impl Call {
    /// A stream of this client's own: the one that it had, or a new one.
    pub(super) async fn private_stream(self) -> Result<Response<Body>, Fault> {
        let verdict = match (&self.asked, self.by_our_id()) {
            (_, Some(Rejoin::Joined(joined, head))) => return Ok(self.rejoined(*joined, &head)),
            (_, Some(Rejoin::Anew(verdict))) => verdict,
            (Asked::Foreign(_), None) if !self.by_query => Verdict::Foreign,
            (_, None) => Verdict::Fresh,
        };
        match self.by_upstream_id() {
            Some((joined, head)) => Ok(self.rejoined(joined, &head)),
            None => self.new_session(verdict).await,
        }
    }

    /// The session that this client had, by an id of ours.
    pub(super) fn by_our_id(&self) -> Option<Rejoin> {
        let Asked::Ours(position) = self.asked else { return None };
        // It asks for the end of something, not for a stream; an answer of ours would keep it from being heard.
        if self.parts.method == Method::DELETE {
            return None;
        }
        let is_get = self.parts.method == Method::GET;
        let who = Who { key: self.own_key(), jar: &|| self.jar() };
        Some(self.shared.registry.rejoin(who, position, is_get, self.route.on_gap))
    }

    /// The key of this client's own streams.
    fn own_key(&self) -> Key {
        self.shared.keyer.own_key(&self.route, &self.parts)
    }

    /// The cookies of this client, as far as they count.
    fn jar(&self) -> Option<Jar> {
        self.shared.registry.cookies().jar(&self.route, &self.parts)
    }

    /// The session that this client had, by an id of the upstream's.
    fn by_upstream_id(&self) -> Option<(Joined, Head)> {
        // A body could say what is wanted, and what gets no ids has no session.
        let may = self.route.finds_by_upstream_ids() && self.gets_ids && self.body.is_end_stream();
        if !may || self.asked == Asked::Nothing {
            return None;
        }
        let is_get = self.parts.method == Method::GET;
        self.shared.registry.find(self.key, self.address()?, &self.asked, is_get)
    }

    /// The session whose connection is in this client's way.
    fn former(&self, answer: StatusCode) -> Option<(Joined, Head)> {
        let may = self.route.mode == Mode::Private && self.parts.method == Method::GET && self.gets_ids;
        let (registry, on_gap) = (&self.shared.registry, self.route.on_gap);
        (may && answer == StatusCode::CONFLICT)
            .then(|| registry.take_over(self.key, &self.asked, on_gap))
            .flatten()
    }

    fn address(&self) -> Option<Address> {
        let Peer(peer) = self.parts.extensions.get().copied().unwrap_or(Peer(None));
        self.shared.keyer.address(peer, &self.parts.headers)
    }

    /// The upstream is not asked again: its connection to this session is the client's permission.
    pub(super) fn rejoined(mut self, joined: Joined, head: &Head) -> Response<Body> {
        // The body says what the first one said.
        if !self.body.is_end_stream() {
            tokio::spawn(drop_unread(std::mem::take(&mut self.body)));
        }
        self.stamped().respond(
            &self.shared,
            self.metrics.clone(),
            head.to_parts(),
            joined,
            Kind::Session(None),
            None,
        )
    }

    pub(super) async fn new_session(mut self, verdict: Verdict) -> Result<Response<Body>, Fault> {
        let bodiless = self.body.is_end_stream();
        let whole = Arc::new(AtomicBool::new(bodiless));
        let body = std::mem::replace(&mut self.body, body::empty());
        let body =
            if body.is_end_stream() { body } else { Watched { body, whole: whole.clone() }.boxed_unsync() };
        // Any other request is none for a stream, as far as is known.
        let is_awaited = self.parts.extensions.get::<Patient>().is_some();
        let awaited = is_awaited.then(|| self.metrics.heads_awaited.hold());
        let (head, body) = self.ask(body).await?.into_parts();
        drop(awaited);
        if !head::is_stream(&head) {
            if self.may_share(bodiless) {
                self.shared.admissions.said_no(&self.visit(false));
            }
            let former = if bodiless { self.former(head.status) } else { None };
            return Ok(match former {
                Some((joined, head)) => self.rejoined(joined, &head),
                None => Response::from_parts(head, Body::Relay(body)),
            });
        }
        self.metrics.connects.count(Connect::Stream);
        if !self.gets_ids {
            return Ok(self.unnumbered(head, body));
        }
        Ok(self.opened(verdict, (head, body), whole, bodiless))
    }

    /// A session of a stream that the upstream has answered with.
    fn opened(
        self,
        verdict: Verdict,
        (head, body): (response::Parts, Relay),
        whole: Arc<AtomicBool>,
        bodiless: bool,
    ) -> Response<Body> {
        let foreign = match &self.asked {
            Asked::Foreign(id) if verdict == Verdict::Foreign => Some(id.clone()),
            _ => None,
        };
        let (key, from, route) = (self.own_key(), self.address(), self.route.clone());
        let home = (foreign.is_some() && self.may_share(bodiless)).then(|| Home {
            key: self.key,
            request: self.as_a_member(),
            readmission: self.readmission(),
        });
        let (by_get, shared) = (self.parts.method == Method::GET, home.as_ref().map(|home| home.key));
        let opened = Opened {
            key,
            jar: self.jar(),
            from,
            by_get,
            route,
            path: self.parts.uri.path().into(),
            head: Head::of(&head),
            body,
            foreign,
            shared,
            whole,
        };
        match self.shared.registry.open(opened) {
            Ok(joined) => {
                let (joined, kind) = (Joined { verdict, ..joined }, Kind::Session(home));
                self.stamped().respond(&self.shared, self.metrics.clone(), head, joined, kind, None)
            }
            Err(body) => self.unnumbered(head, body),
        }
    }

    fn unnumbered(&self, head: response::Parts, body: Relay) -> Response<Body> {
        self.metrics.answers.count(metrics::Answer::Passed);
        self.span.record("verdict", metrics::Answer::Passed.text());
        let body = unnumbered(body, &self.shared.registry, self.metrics.clone(), self.span.clone());
        Response::from_parts(head, Body::Relay(body))
    }
}

/// Reads a body to its end, so that the connection can be used again.
async fn drop_unread(mut body: Relay) {
    while let Some(Ok(_)) = body.frame().await {}
}

pin_project_lite::pin_project! {
    /// A request body that says when it was sent whole.
    struct Watched {
        #[pin]
        body: Relay,
        whole: Arc<AtomicBool>,
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if frame.is_none() {
            this.whole.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.body.is_end_stream();
        if ended {
            // hyper asks, and polls no body that has ended.
            self.whole.store(true, Ordering::Relaxed);
        }
        ended
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
