//! `SpliceLayer` around the handlers of a server that people use: axum's, in one line.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    response::{
        IntoResponse as _,
        sse::{Event, Sse},
    },
    routing::{get, post},
};
use bytes::Bytes;
use futures_core::Stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use respool::{layer::SpliceLayer, net::Peer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tower::util::MapRequestLayer;

use crate::support::{
    reader::{self, Held},
    until, within,
};

/// An application that tells everybody who listens, and keeps nothing.
#[derive(Clone, Default)]
struct Hub(Arc<Mutex<Vec<UnboundedSender<u64>>>>, Arc<AtomicBool>);

impl Hub {
    fn say(&self, n: u64) {
        self.0.lock().unwrap().retain(|listener| listener.send(n).is_ok());
    }

    /// From now on nobody is a member.
    fn close(&self) {
        self.1.store(true, SeqCst);
    }

    fn listeners(&self) -> usize {
        self.0.lock().unwrap().iter().filter(|listener| !listener.is_closed()).count()
    }
}

/// A number that the application cannot say.
const PANICS: u64 = u64::MAX;

struct Feed(UnboundedReceiver<u64>);

impl Stream for Feed {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.0.poll_recv(cx);
        assert!(!matches!(polled, Poll::Ready(Some(PANICS))), "as a handler may");
        polled.map(|n| n.filter(|n| *n > 0).map(|n| Ok(Event::default().data(n.to_string()))))
    }
}

async fn feed(State(hub): State<Hub>) -> Sse<Feed> {
    Sse::new(Feed(feed_of(&hub)))
}

/// The same, for members alone.
async fn members(State(hub): State<Hub>) -> axum::response::Response {
    if hub.1.load(SeqCst) {
        return StatusCode::FORBIDDEN.into_response();
    }
    feed(State(hub)).await.into_response()
}

/// The same, by a handler that numbers its events and knows no replay.
async fn numbered(State(hub): State<Hub>) -> Sse<Numbered> {
    Sse::new(Numbered(feed_of(&hub)))
}

struct Numbered(UnboundedReceiver<u64>);

impl Stream for Numbered {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let numbered = |n: u64| Ok(Event::default().id(n.to_string()).data(n.to_string()));
        self.0.poll_recv(cx).map(|n| n.map(numbered))
    }
}

/// As a handler may, before it answers.
async fn panics() -> Sse<Feed> {
    panic!("no feed")
}

fn feed_of(hub: &Hub) -> UnboundedReceiver<u64> {
    let (listener, feed) = unbounded_channel();
    hub.0.lock().unwrap().push(listener);
    feed
}

/// The server as it was, with one line more.
async fn serve(hub: &Hub, replay: SpliceLayer) -> SocketAddr {
    serve_with(hub, replay, false).await
}

/// ... and with one around it that says from where a request comes, if it is `told`.
async fn serve_with(hub: &Hub, replay: SpliceLayer, told: bool) -> SocketAddr {
    let from = move |mut request: axum::extract::Request| {
        if told {
            request.extensions_mut().insert(Peer(Some(Ipv4Addr::LOCALHOST.into())));
        }
        request
    };
    let app = Router::new()
        .route("/feed", get(feed).post(feed))
        .route("/shared", get(feed))
        .route("/members", get(members))
        .route("/numbered", get(numbered))
        .route("/panics", get(panics))
        .route("/panics/shared", get(panics))
        .route("/refused", get(|| async { (StatusCode::FORBIDDEN, "no") }))
        .route("/echo", post(|body: String| async move { body }))
        .layer(replay)
        .layer(MapRequestLayer::new(from))
        .with_state(hub.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

async fn send<B>(address: SocketAddr, request: Request<B>) -> Response<Incoming>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

/// One client of a stream, on one connection.
struct Client {
    answer: Response<Incoming>,
    read: Vec<u8>,
    id: String,
}

impl Client {
    async fn of(address: SocketAddr, path: &str, id: &str) -> Self {
        let request = Request::get(path).header("host", "h").header("accept", "text/event-stream");
        let request = if id.is_empty() { request } else { request.header("last-event-id", id) };
        let answer = send(address, request.body(Empty::<Bytes>::new()).unwrap()).await;
        Self { answer, read: Vec::new(), id: id.to_owned() }
    }

    fn resume(&self) -> &str {
        self.answer.headers().get("respool-resume").map_or("", |value| value.to_str().unwrap())
    }

    fn held(&self) -> Held {
        reader::read(&self.read, &self.id)
    }

    /// Reads until it has dispatched so many events.
    async fn events(&mut self, count: usize) -> Vec<String> {
        while self.held().events.len() < count {
            let frame = self.answer.body_mut().frame().await.unwrap().unwrap();
            self.read.extend_from_slice(&frame.into_data().unwrap());
        }
        self.held().events.into_iter().map(|event| event.data).collect()
    }

    /// How it ended: properly, or not.
    async fn end(mut self) -> Result<(), hyper::Error> {
        while let Some(frame) = self.answer.body_mut().frame().await {
            frame?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_gets_replay_by_one_line() {
    within(async {
        let hub = Hub::default();
        let address = serve(&hub, SpliceLayer::new().unwrap()).await;
        let mut client = Client::of(address, "/feed", "").await;
        assert_eq!(client.resume(), "fresh");
        assert_eq!(client.answer.headers()["content-type"], "text/event-stream");
        let mut n = 0;
        for cut in 0..5 {
            (1..=3).for_each(|i| hub.say(n + i));
            n += 3;
            let missed = if cut == 0 { 0 } else { 2 };
            let expected: Vec<_> = (n - 2 - missed..=n).map(|n| n.to_string()).collect();
            assert_eq!(client.events(expected.len()).await, expected);
            let id = client.held().id;
            drop(client);
            (1..=2).for_each(|i| hub.say(n + i));
            n += 2;
            client = Client::of(address, "/feed", &id).await;
            until_missed(&client);
        }
        assert_eq!(hub.listeners(), 1, "the handler was asked once");
    })
    .await;
}

#[track_caller]
fn until_missed(client: &Client) {
    // What was said a moment ago may be on its way.
    assert!(client.resume().starts_with("resumed; missed="), "{}", client.resume());
}

#[tokio::test]
async fn all_else_is_as_it_was() {
    within(async {
        let address = serve(&Hub::default(), SpliceLayer::new().unwrap()).await;
        let request = Request::post("/echo").header("host", "h").body(http_body_util::Full::from("hello"));
        let answer = send(address, request.unwrap()).await;
        assert!(answer.headers().get("respool-resume").is_none());
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        let refused = Client::of(address, "/refused", "").await;
        assert_eq!((refused.answer.status(), refused.resume()), (StatusCode::FORBIDDEN, ""));
        let missing = Client::of(address, "/missing", "").await;
        assert_eq!(missing.answer.status(), StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn a_configuration_is_that_of_the_proxy() {
    within(async {
        let hub = Hub::default();
        let shared = "[[route]]\npath = '/shared'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";
        let address = serve(&hub, SpliceLayer::configured(shared).unwrap()).await;
        let mut one = Client::of(address, "/shared", "").await;
        let mut two = Client::of(address, "/shared", "").await;
        hub.say(7);
        assert_eq!((one.events(1).await, two.events(1).await), (vec!["7".to_owned()], vec!["7".to_owned()]));
        assert_eq!(one.held().id, two.held().id);
        assert_eq!(hub.listeners(), 1, "one feeds both");
        // The handler ends: so do they.
        hub.say(0);
        assert!(one.end().await.is_ok() && two.end().await.is_ok());
    })
    .await;
}

/// The connection is the server's; that it is cut is its body's to say.
#[tokio::test]
async fn a_handler_that_is_asked_again_and_says_no_has_its_client_cut() {
    within(async {
        let hub = Hub::default();
        let shared = "[[route]]\npath = '/members'\nmode = 'shared'\nkey = ['path']\nreadmit = '1s'\n";
        let address = serve(&hub, SpliceLayer::configured(shared).unwrap()).await;
        let mut member = Client::of(address, "/members", "").await;
        hub.say(1);
        assert_eq!(member.events(1).await, ["1"]);
        tokio::time::sleep(Duration::from_millis(1200)).await;
        hub.say(2);
        assert_eq!(member.events(2).await, ["1", "2"]);
        hub.close();
        let id = member.held().id;
        assert!(member.end().await.is_err());
        hub.say(3);
        let back = Client::of(address, "/members", &id).await;
        assert_eq!((back.answer.status(), back.resume()), (StatusCode::FORBIDDEN, ""));
    })
    .await;
}

#[tokio::test]
async fn by_ids_of_the_handlers_own_a_private_stream_is_found_where_it_is_told_from_where_clients_come() {
    within(async {
        let replaced = "[[route]]\npath = '/numbered'\nids = 'replace'\n";
        for (told, config, resumes) in [(true, "", true), (false, "", false), (false, replaced, true)] {
            let hub = Hub::default();
            let address = serve_with(&hub, SpliceLayer::configured(config).unwrap(), told).await;
            let mut client = Client::of(address, "/numbered", "").await;
            hub.say(1);
            client.events(1).await;
            let id = client.held().id;
            assert_eq!(id == "1", config.is_empty());
            drop(client);
            hub.say(2);
            let mut back = Client::of(address, "/numbered", &id).await;
            if resumes {
                until_missed(&back);
                assert_eq!(back.events(1).await, ["2"]);
            } else {
                assert_eq!(back.resume(), "foreign", "the handler is asked");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_drain_cuts_streams_so_that_their_clients_come_back() {
    within(async {
        let (hub, replay) = (Hub::default(), SpliceLayer::new().unwrap());
        let address = serve(&hub, replay.clone()).await;
        let mut client = Client::of(address, "/feed", "").await;
        hub.say(1);
        client.events(1).await;
        replay.drain(Duration::from_millis(50));
        assert!(client.end().await.is_err(), "a proper end would keep some away");
    })
    .await;
}

#[tokio::test]
async fn a_handler_is_let_go_when_nobody_comes_back() {
    within(async {
        let hub = Hub::default();
        let soon = "[[route]]\npath = '/feed'\nlinger = '50ms'\n";
        let address = serve(&hub, SpliceLayer::configured(soon).unwrap()).await;
        let mut client = Client::of(address, "/feed", "").await;
        hub.say(1);
        client.events(1).await;
        drop(client);
        until(|| hub.listeners() == 0).await;
    })
    .await;
}

#[test]
fn what_means_nothing_around_handlers_is_refused() {
    let check = |toml: &str, expected: &str| {
        assert_eq!(SpliceLayer::configured(toml).unwrap_err().to_string(), expected);
    };
    let own = "leave it out: the server that they are part of has its own";
    check(
        "[window]\nevents = 5\n[outage]\nhold = '1s'",
        &format!("configuration:3:2: `outage` means nothing around handlers; {own}"),
    );
    check(
        "admin_hosts = ['a']",
        &format!("configuration:1:1: `admin_hosts` means nothing around handlers; {own}"),
    );
    check(
        "upstream = 'http://a'",
        &format!("configuration:1:1: `upstream` means nothing around handlers; {own}"),
    );
    check(
        "[limits]\nstreams = 5\nconnections = 7",
        &format!("configuration:3:1: `limits.connections` means nothing around handlers; {own}"),
    );
    check(
        "admin = '127.0.0.1:1'\nlisten = '127.0.0.1:2'",
        &format!(
            "configuration:1:1: `admin` means nothing around handlers; {own}\n\
             configuration:2:1: `listen` means nothing around handlers; {own}"
        ),
    );
    check(
        "[[route]]\npath = '/a'\nmode = 'shared'\nkey = ['path']\npin = true",
        "configuration: the route `/a` is pinned, and around handlers there is nobody to ask for it; \
         leave `pin` out; `linger` says how long a stream is kept without a client",
    );
    let wrong = SpliceLayer::configured("[window]\nevents = 0").unwrap_err().to_string();
    assert!(wrong.starts_with("configuration:2:10: "), "{wrong}");
}

/// It takes its own stream with it, and nothing else: clients are cut and come back to a new one.
#[tokio::test]
async fn a_handler_that_panics_wedges_nothing() {
    within(async {
        let hub = Hub::default();
        let shared = "[[route]]\npath = '/shared'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";
        let address = serve(&hub, SpliceLayer::configured(shared).unwrap()).await;
        // Another stream, of a handler that goes on.
        let mut other = Client::of(address, "/numbered", "").await;
        let mut said = 0;
        for path in ["/feed", "/shared"] {
            let mut client = Client::of(address, path, "").await;
            hub.say(1);
            client.events(1).await;
            let id = client.held().id;
            hub.say(PANICS);
            assert!(client.end().await.is_err(), "{path}: cut");
            let mut back = Client::of(address, path, &id).await;
            assert_eq!(back.resume(), "gap; reason=generation", "{path}");
            hub.say(2);
            assert_eq!(back.events(1).await, ["2"], "{path}");
            said += 3;
            assert_eq!(other.events(said).await.len(), said, "all of it");
        }
    })
    .await;
}

/// Whoever waits for that stream is cut; nobody else is.
#[tokio::test]
async fn a_handler_that_panics_before_it_answers_takes_only_its_askers_along() {
    within(async {
        let hub = Hub::default();
        let shared = "[[route]]\npath = '/panics/shared'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";
        let address = serve(&hub, SpliceLayer::configured(shared).unwrap()).await;
        let mut other = Client::of(address, "/numbered", "").await;
        // Around handlers there is nobody to cut who waits for a shared stream: a 502 says that there is none.
        for (path, status) in [("/panics", None), ("/panics/shared", Some(502))] {
            let askers = (0..3).map(|_| {
                tokio::spawn(async move {
                    let mut asker = crate::support::Wire::to(address).await;
                    let head = crate::support::world::event_source(path, "").replace('\n', "\r\n");
                    asker.send(format!("{head}\r\n\r\n")).await;
                    asker.try_answer(false).await.map(|answer| answer.status())
                })
            });
            for asker in askers.collect::<Vec<_>>() {
                assert_eq!(asker.await.unwrap(), status, "{path}");
            }
            hub.say(1);
        }
        assert_eq!(other.events(2).await, ["1", "1"]);
    })
    .await;
}
