//! The splice: event streams are answered from windows, everything else passes.

mod preflight;
mod private;
mod verdict;

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header, request::Parts, response};
use http_body::Body as HttpBody;
use tower::{Service, ServiceExt as _};
use tracing::{
    Instrument as _, Span,
    field::{Empty, display},
};

use super::{
    admission::{Admissions, Admitted, Visit},
    greeting::Greeting,
    hygiene,
    outage::{InTurn, Patient},
    readmission::{Readmission, Readmitted},
    stream::{Body, Kind, Start, StreamBody},
    stumbling::Stumbling,
    waiting::{answered, until_drain},
};
use crate::{
    body::{self, Relay},
    current::Current,
    fault::Fault,
    head::{self, Head, LAST_EVENT_ID},
    id::{Asked, Position},
    metrics::{Connect, Label as _, Metrics, RouteMetrics},
    net::{BoxFuture, Control},
    pump::{Greeter, now},
    registry::{Answer, Entry, Joined, Live, OnRefusal, Pinned, Registry, Rejoin, Upstream},
    route::{Admit, CursorQuery, Ids, Key, Keyer, Mode, Route, Routes, has_own_origin},
    trace::TraceId,
    window::Verdict,
};

/// How a client was answered: fresh, resumed, gap, foreign.
const RESUME: HeaderName = HeaderName::from_static("respool-resume");

/// Puts windows around a service that answers with event streams. Clones share their streams.
#[derive(Clone, Debug)]
pub struct Splice {
    inner: Upstream,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Current<Settings>,
    keyer: Keyer,
    registry: Registry,
    admissions: Admissions,
    metrics: Metrics,
    /// How long a client of a stamped stream may take nothing.
    stall: Duration,
}

/// What the operator says of requests, at one time.
#[derive(Debug)]
struct Settings {
    routes: Routes,
    /// The routes' own numbers, looked up once.
    by_route: HashMap<String, Arc<RouteMetrics>>,
    /// Which clients get no frame without data.
    stumbling: Stumbling,
}

impl Splice {
    /// Splices what `inner` answers, by these routes.
    #[must_use]
    pub fn new(
        inner: Upstream,
        routes: Routes,
        registry: Registry,
        admissions: Admissions,
        metrics: &Metrics,
        stumbling: Stumbling,
        stall: Duration,
    ) -> Self {
        let keyer = Keyer::new(registry.dice().secret());
        let settings = Current::new(Settings::new(routes, stumbling, metrics));
        let metrics = metrics.clone();
        let shared = Arc::new(Shared { settings, keyer, registry, admissions, metrics, stall });
        shared.tell_registry(&shared.settings.get().routes);
        Self { inner, shared }
    }

    /// Goes by these routes from now on. Requests that are here already go on by those that they came to; what it means
    /// for their streams is for the [registry](Registry::set_routes). Needs a runtime.
    pub fn change(&self, routes: Vec<Route>, stumbling: Stumbling) {
        let former = self.shared.settings.get();
        let routes = former.routes.followed_by(routes);
        self.shared.tell_registry(&routes);
        let is_admitted_alike = former.routes.admit_as(&routes);
        self.shared.settings.set(Settings::new(routes, stumbling, &self.shared.metrics));
        // After that: whoever comes from now on comes to the new routes.
        if !is_admitted_alike {
            self.shared.admissions.forget();
        }
        self.pin();
    }

    /// Subscribes to the streams that are pinned. Needs a runtime.
    pub fn pin(&self) {
        let pinned = self.shared.pinned(&self.shared.settings.get().routes);
        pinned.into_iter().for_each(|pinned| self.shared.registry.pin(pinned));
    }

    /// The routes that it goes by.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.shared.settings.get().routes.clone()
    }
}

impl Settings {
    fn new(routes: Routes, stumbling: Stumbling, metrics: &Metrics) -> Self {
        let numbers = |route: &Arc<Route>| (route.name.clone(), Arc::new(metrics.route(&route.name)));
        let by_route = routes.iter().map(numbers).collect();
        Self { routes, by_route, stumbling }
    }
}

impl Shared {
    fn tell_registry(&self, routes: &Routes) {
        self.registry.set_routes(routes.clone(), &self.pinned(routes));
    }

    /// The streams that are pinned by these routes.
    fn pinned(&self, routes: &Routes) -> Vec<Pinned> {
        let pinned = |route: &Arc<Route>| {
            let pin = route.pin.as_ref()?;
            let mut request = Request::new(()).into_parts().0;
            request.uri = pin.target.clone().into();
            request.headers = pin.headers.clone();
            let key = self.keyer.key(route, &request);
            Some(Pinned { key, route: route.clone(), path: pin.target.path().into() })
        };
        routes.iter().filter_map(pinned).collect()
    }
}

impl Service<Request<Relay>> for Splice {
    type Response = Response<Body>;
    type Error = Fault;
    type Future = BoxFuture<Result<Response<Body>, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Relay>) -> Self::Future {
        // Before: who comes with the routes of before came before they were others.
        let came = now();
        let settings = self.shared.settings.get();
        let Some(route) = settings.routes.find(request.uri().path()).cloned() else {
            return self.pass(request);
        };
        let upgrades = hygiene::asks_for_upgrade(request.headers());
        let never = matches!(*request.method(), Method::HEAD | Method::OPTIONS);
        if route.mode == Mode::Pass {
            return self.pass(request);
        }
        if never || upgrades {
            let (mut parts, body) = request.into_parts();
            hide_ours(&mut parts, &route.cursor_query);
            let asks = route.cors_allow_cursor && preflight::take_cursor(&mut parts);
            let answer = self.pass(Request::from_parts(parts, body));
            return if asks { allowing(answer) } else { answer };
        }
        let call = Call::new(self.inner.clone(), self.shared.clone(), settings, route, (request, came));
        let span = call.span.clone();
        Box::pin(call.answer().instrument(span))
    }
}

impl Splice {
    fn pass(&self, request: Request<Relay>) -> BoxFuture<Result<Response<Body>, Fault>> {
        let answer = ask(&self.inner, request);
        Box::pin(async move { answer.await.map(|response| response.map(Body::from)) })
    }
}

/// The answer to a page that asks whether it may bring an id.
fn allowing(answer: BoxFuture<Result<Response<Body>, Fault>>) -> BoxFuture<Result<Response<Body>, Fault>> {
    Box::pin(async move {
        let (mut head, body) = answer.await?.into_parts();
        preflight::allow_cursor(&mut head);
        Ok(Response::from_parts(head, body))
    })
}

/// Behind a pointer, since the compiler cannot see that the service's own future is `Send` from within another.
fn ask(upstream: &Upstream, request: Request<Relay>) -> BoxFuture<Result<Response<Relay>, Fault>> {
    Box::pin(upstream.clone().oneshot(request))
}

/// Ids that we made mean nothing to the upstream, and of several lines only one counts.
fn hide_ours(parts: &mut Parts, query: &CursorQuery) {
    let asked = head::asked(&parts.headers);
    parts.headers.remove(LAST_EVENT_ID);
    if let Asked::Foreign(id) = asked
        && let Ok(id) = HeaderValue::from_bytes(&id)
    {
        parts.headers.insert(LAST_EVENT_ID, id);
    }
    if let Some(uri) = query.strip(&parts.uri, |id| Position::parse(id).is_some()) {
        parts.uri = uri;
    }
}

/// One request that may be for an event stream.
struct Call {
    inner: Upstream,
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    route: Arc<Route>,
    metrics: Arc<RouteMetrics>,
    parts: Arc<Parts>,
    body: Relay,
    asked: Asked,
    /// By a parameter, which is a cursor only to a stream that knows it.
    by_query: bool,
    key: Key,
    came: Instant,
    gets_ids: bool,
    is_event_source: bool,
    /// The client's: as long as its request and what it is answered with.
    span: Span,
}

/// The span of a client: which stream it asks for and how it is answered, and nothing else that it said.
fn span(route: &Route, key: Key, request: &Parts) -> Span {
    let span = tracing::debug_span!("client", route = route.name, %key, verdict = Empty, trace = Empty);
    if !span.is_disabled()
        && let Some(trace) = TraceId::of(&request.headers)
    {
        span.record("trace", display(trace));
    }
    span
}

impl Call {
    fn new(
        inner: Upstream,
        shared: Arc<Shared>,
        settings: Arc<Settings>,
        route: Arc<Route>,
        (request, came): (Request<Relay>, Instant),
    ) -> Self {
        let (mut parts, body) = request.into_parts();
        let mut asked = head::asked(&parts.headers);
        let by_query = asked == Asked::Nothing;
        if by_query {
            asked = head::asked_by_query(&route, &parts.uri);
        }
        let (gets_ids, is_event_source) = (head::gets_ids(&route, &parts), head::is_event_source(&parts));
        let key = shared.keyer.key(&route, &parts);
        if route.path.is_some() || hygiene::wants_events(&parts) {
            parts.extensions.insert(Patient(came.into()));
            parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        hide_ours(&mut parts, &route.cursor_query);
        let known = settings.by_route.get(&route.name).cloned();
        let metrics = known.unwrap_or_else(|| Arc::new(shared.metrics.route(&route.name)));
        let span = span(&route, key, &parts);
        let parts = Arc::new(parts);
        Self {
            inner,
            shared,
            settings,
            route,
            metrics,
            parts,
            body,
            asked,
            by_query,
            key,
            came,
            gets_ids,
            is_event_source,
            span,
        }
    }

    async fn answer(self) -> Result<Response<Body>, Fault> {
        if self.may_share(self.body.is_end_stream()) {
            self.shared_stream().await
        } else {
            self.private_stream().await
        }
    }

    /// The stream may be one that others share.
    fn may_share(&self, bodiless: bool) -> bool {
        // A body could say what is wanted, and no key knows it.
        let is_get = self.parts.method == Method::GET && bodiless;
        self.route.mode == Mode::Shared && is_get && self.gets_ids
    }

    /// A stream that others share.
    async fn shared_stream(self) -> Result<Response<Body>, Fault> {
        // What was answered to a POST, or to an id of the upstream's, is its client's own.
        if let Some(Rejoin::Joined(joined, head)) = self.by_our_id() {
            return Ok(self.rejoined(*joined, &head));
        }
        match self.enter() {
            Some(Entry::Live(live, joined)) => self.join(&live, joined).await,
            Some(Entry::Down(head, joined)) => Ok(self.joined(head.to_parts(), joined, None)),
            Some(Entry::Line(line)) => match answered(line, self.connection()).await? {
                Answer::Opened(head, joined, spoken) => {
                    self.shared.admissions.said_yes(&self.visit(false), &head, self.came);
                    let greeting = spoken.filter(|_| is_new(joined.verdict)).map(Greeting::of_the_pump);
                    Ok(self.joined(*head, joined, greeting))
                }
                Answer::Live(live, joined) => self.join(&live, joined).await,
                Answer::Refused(response) => {
                    self.shared.admissions.said_no(&self.visit(false));
                    Ok(response.map(Body::from))
                }
                Answer::Failed(fault) => Err(fault),
            },
            Some(Entry::Foreign) => self.new_session(Verdict::Foreign).await,
            None => {
                let verdict = Verdict::Fresh;
                self.new_session(verdict).await
            }
        }
    }

    /// The request as others may be served by it: without a place of this client's in its query.
    fn for_the_pump(&self) -> Arc<Parts> {
        let Some(uri) = self.route.cursor_query.strip(&self.parts.uri, |_| true) else {
            return self.parts.clone();
        };
        let mut parts = (*self.parts).clone();
        parts.uri = uri;
        Arc::new(parts)
    }

    /// The same, as that of one who was let in. What the upstream says of it later it says of this client.
    fn as_a_member(&self) -> Arc<Parts> {
        let request = self.for_the_pump();
        let Some((identity, time)) = self.visit(false).known else { return request };
        let (mut parts, admissions, key) = ((*request).clone(), self.shared.admissions.clone(), self.key);
        parts.extensions.insert(OnRefusal(Arc::new(move || admissions.refused(key, identity, time))));
        Arc::new(parts)
    }

    /// Joins a live stream, if the upstream would serve this very request. The place was taken when the request
    /// came, so that nothing is lost while the upstream is asked.
    async fn join(self, live: &Live, joined: Joined) -> Result<Response<Body>, Fault> {
        let hello = self.route.rules.hello.clone().filter(|_| is_new(joined.verdict));
        if self.needs_no_asking(live) && hello.is_none() {
            return Ok(self.joined(live.head.to_parts(), joined, None));
        }
        let visit = self.visit(matches!(joined.verdict, Verdict::Resumed { .. }));
        let visit = Visit { reads_on: hello.is_some(), ..visit };
        let admitted = self.shared.admissions.admit(visit, self.ask_in_turn());
        let (head, body) = match until_drain(admitted, self.connection()).await? {
            Admitted::Yes(head, body) => (*head, body),
            Admitted::Remembered(head) => return Ok(self.joined(head.to_parts(), joined, None)),
            Admitted::No(response) => {
                self.metrics.connects.count(Connect::Refused);
                return Ok(response.map(Body::from));
            }
        };
        let limit = self.shared.registry.limits().event;
        let greeter = hello.map(|hello| Greeter::new(&hello, self.route.ids, limit));
        let (fence, metrics) = (joined.cursor.fence(), self.metrics.clone());
        let greeting = greeter.map(|greeter| Greeting::read(greeter, fence, body, metrics));
        Ok(self.joined(head, joined, greeting))
    }

    fn enter(&self) -> Option<Entry> {
        let admits = |live: &Live| {
            let open = self.needs_no_asking(live).then(|| live.head.clone());
            open.or_else(|| self.remembered())
        };
        let (registry, request) = (&self.shared.registry, self.for_the_pump());
        match registry.enter(self.key, &self.route, &self.asked, &request, &admits) {
            // What no window knows is no cursor.
            Some(Entry::Foreign) if self.by_query => {
                registry.enter(self.key, &self.route, &Asked::Nothing, &request, &admits)
            }
            entry => entry,
        }
    }

    /// The stream needs no permission, and a page of this origin may read it with the head that is here.
    fn needs_no_asking(&self, live: &Live) -> bool {
        let may_read = || has_own_origin(&self.parts) || live.head.is_for_any_origin();
        self.route.admit == Admit::None && may_read()
    }

    fn joined(self, head: response::Parts, joined: Joined, greeting: Option<Greeting>) -> Response<Body> {
        let member = self.shared.registry.admitted(self.key, &self.as_a_member());
        self.stamped().respond(
            &self.shared,
            self.metrics.clone(),
            head,
            joined,
            Kind::Shared(member, greeting),
            self.readmission(),
        )
    }

    /// The head of a yes to this very client, if one is remembered.
    fn remembered(&self) -> Option<Head> {
        self.route.admit_cache?;
        let identity = self.shared.keyer.identity(&self.route, &self.parts);
        self.shared.admissions.remembered(self.key, identity, now()).map(|head| Head::clone(&head))
    }

    fn stamped(&self) -> Stamped<'_> {
        let Self { settings, parts, asked, route, is_event_source, span, .. } = self;
        Stamped { settings, parts, asked, route, is_event_source: *is_event_source, span }
    }

    /// This client, as one that is to be let into its stream.
    fn visit(&self, returns: bool) -> Visit<'_> {
        let Self { shared, route, parts, metrics, key, came, .. } = self;
        visit((shared, route), (parts, *key, *came), metrics, returns)
    }

    /// What asks again about this client, where the route has that done.
    fn readmission(&self) -> Option<Readmission> {
        let every = self.route.readmit?;
        let (shared, inner, parts) = (self.shared.clone(), self.inner.clone(), self.parts.clone());
        let (route, metrics, key, came) = (self.route.clone(), self.metrics.clone(), self.key, self.came);
        let again = move || -> Readmitted {
            let (shared, route, metrics) = (shared.clone(), route.clone(), metrics.clone());
            let (inner, parts) = (inner.clone(), parts.clone());
            Box::pin(async move {
                let visit = visit((&shared, &route), (&parts, key, came), &metrics, false);
                let request = Request::from_parts((*parts).clone(), body::empty());
                shared.admissions.admit(visit, ask(&inner, request)).await
            })
        };
        Some(Readmission::new(every, self.shared.registry.dice().clone(), again))
    }

    fn connection(&self) -> Option<&Control> {
        self.parts.extensions.get()
    }

    /// Sends this client's own request to the upstream, when it is its turn.
    fn ask_in_turn(&self) -> BoxFuture<Result<Response<Relay>, Fault>> {
        let mut parts = (*self.parts).clone();
        parts.extensions.insert(InTurn);
        ask(&self.inner, Request::from_parts(parts, body::empty()))
    }

    /// Sends this client's own request to the upstream.
    fn ask(&self, body: Relay) -> BoxFuture<Result<Response<Relay>, Fault>> {
        ask(&self.inner, Request::from_parts((*self.parts).clone(), body))
    }
}

/// Whoever sends a request, as one that is to be let into the stream of this key.
fn visit<'a>(
    (shared, route): (&Shared, &Route),
    (parts, key, came): (&Parts, Key, Instant),
    metrics: &'a RouteMetrics,
    returns: bool,
) -> Visit<'a> {
    let known = route.admit_cache.map(|time| (shared.keyer.identity(route, parts), time));
    Visit { key, known, came, returns, reads_on: false, timeout: route.admit_timeout, metrics }
}

/// A request whose answer carries ids.
struct Stamped<'a> {
    settings: &'a Settings,
    parts: &'a Parts,
    asked: &'a Asked,
    route: &'a Route,
    is_event_source: bool,
    span: &'a Span,
}

impl Stamped<'_> {
    fn respond(
        &self,
        shared: &Shared,
        metrics: Arc<RouteMetrics>,
        mut head: response::Parts,
        joined: Joined,
        kind: Kind,
        readmission: Option<Readmission>,
    ) -> Response<Body> {
        let Joined { verdict, cursor, replayed } = joined;
        verdict::count(verdict, self.route, &metrics);
        self.span.record("verdict", verdict::label(verdict).text());
        tracing::debug!(parent: self.span, replayed, "a client joined");
        head::dress(&mut head);
        if let Ok(value) = HeaderValue::try_from(verdict::header(verdict)) {
            head.headers.insert(RESUME, value);
        }
        let connection = self.parts.extensions.get::<Control>().cloned();
        if let Some(connection) = &connection {
            connection.limit_stalls(shared.stall);
            connection.note_long();
        }
        let stumbles = self.settings.stumbling.includes(&self.parts.headers);
        if stumbles {
            cursor.set_stumbling();
        }
        // One of the upstream's is worth more than a fence: the upstream may know it.
        let has_theirs = matches!((verdict, self.asked), (Verdict::Gap(_), Asked::Foreign(_)));
        let prime = self.route.prime && self.is_event_source && is_new(verdict) && !stumbles && !has_theirs;
        let notice = match verdict {
            Verdict::Gap(gap) => head::notice(self.route, gap, self.asked),
            _ => None,
        };
        let start = Start {
            notice,
            prime: prime.then(|| head::prime(self.parts, self.route, cursor.fence())),
            cursor,
            replayed,
            came_with: self.came_with(verdict),
            heartbeat: self.route.heartbeat.clone(),
            retry: self.route.retry,
            stumbles,
            kind,
            readmission,
            connection,
            span: self.span.clone(),
        };
        let body = StreamBody::new(start, &shared.registry, metrics);
        Response::from_parts(head, Body::Stream(Box::new(body)))
    }

    /// The id that a client came back with, to be told again where events without an id may come: one that goes by the
    /// letter of the standard has none on a new connection, and would have lost its place by such an event.
    fn came_with(&self, verdict: Verdict) -> Option<Bytes> {
        let theirs = matches!(self.asked, Asked::Foreign(_));
        let some_without =
            theirs || self.route.rules.ephemeral.is_some() || self.route.rules.retain.is_some();
        let resumed = matches!(verdict, Verdict::Resumed { .. }) && self.route.ids != Ids::Hidden;
        self.asked.text().filter(|_| resumed && some_without)
    }
}

/// It is served as a new client.
fn is_new(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Fresh | Verdict::Gap(_))
}
