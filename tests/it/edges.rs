//! Beginning and end: limits, signals, drains, and what is left of what was open.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, Response};
use http_body::{Body, Frame};
use respool::{
    drain::Drain,
    net::{Address, Control, Listener, Peer},
    proxy::forward::Settings,
    server::{Limits, Server},
};
use tokio::io::duplex;

use crate::support::{Binary, End, Multiplexed, Origin, Proxy, Wire, moment, until, within};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An upstream that answers a request only once it is told to, by one byte on the returned sender.
async fn slow() -> (Origin, tokio::sync::watch::Sender<bool>) {
    let (go, gone) = tokio::sync::watch::channel(false);
    let origin = Origin::start(move |mut visit| {
        let mut gone = gone.clone();
        async move {
            while visit.request().await {
                let _ = gone.wait_for(|go| *go).await;
                visit.send(OK).await;
            }
        }
    })
    .await;
    (origin, go)
}

#[tokio::test]
async fn a_slow_head_is_cut() {
    within(async {
        let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
        let origin = Origin::saying(OK).await;
        let proxy = Proxy::with(&format!("http://{}", origin.address), Settings::default(), limits);
        let mut client = proxy.connect().await;
        client.send("GET / HTTP/1.1\r\nHo").await;
        let (said, end) = client.rest().await;
        assert!(said.is_empty() && end != End::Whole);
        assert!(origin.heads().is_empty());
    })
    .await;
}

#[tokio::test]
async fn over_the_limit_clients_wait_their_turn() {
    within(async {
        let limits = Limits { connections: 1, ..Limits::default() };
        let origin = Origin::saying(OK).await;
        let proxy = Proxy::with(&format!("http://{}", origin.address), Settings::default(), limits);
        let mut first = proxy.connect().await;
        assert_eq!(first.ask(GET).await.text(), "ok");
        let mut second = proxy.connect().await;
        second.send(GET).await;
        assert_eq!(second.unasked().await, b"");
        drop(first);
        assert_eq!(second.answer(false).await.text(), "ok");
    })
    .await;
}

#[tokio::test]
async fn a_listener_that_nobody_comes_to_keeps_no_place() {
    within(async {
        let limits = Limits { connections: 1, ..Limits::default() };
        let origin = Origin::saying(OK).await;
        let listeners = [(); 3].map(|()| Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap());
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.local().unwrap()).collect();
        let _drain = Proxy::on(listeners, &format!("http://{}", origin.address), Settings::default(), limits);
        for address in addresses {
            let Address::Tcp(address) = address else { panic!("no TCP") };
            assert_eq!(Wire::to(address).await.ask(GET).await.text(), "ok");
        }
    })
    .await;
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_place() {
    within(async {
        let limits = Limits { connections: 1, ..Limits::default() };
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send("HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n").await;
            // Our side closes first; what the client says after that still has to arrive.
            visit.shut().await;
            assert_eq!(visit.rest().await.0, b"last words");
        })
        .await;
        let proxy = Proxy::with(&format!("http://{}", origin.address), Settings::default(), limits);
        let mut first = proxy.connect().await;
        first.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
        assert_eq!(first.rest().await.1, End::Closed);
        let mut second = proxy.connect().await;
        second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(second.unasked().await, b"");
        first.send("last words").await;
        drop(first);
        assert_eq!(second.answer(false).await.status(), 502);
    })
    .await;
}

#[tokio::test]
async fn without_descriptors_it_waits_and_goes_on() {
    within(async {
        let origin = Origin::saying(OK).await;
        let binary = Binary::with_descriptors(origin.address, 24).await;
        let mut clients = Vec::new();
        for _ in 0..40 {
            clients.push(binary.connect().await);
        }
        until(|| binary.log().contains("clients wait: there are too few file descriptors")).await;
        clients.clear();
        // There is none for the upstream's connection either until some of them are gone.
        let mut answer = binary.connect().await.ask(GET).await;
        while answer.status() == 502 {
            moment().await;
            answer = binary.connect().await.ask(GET).await;
        }
        assert_eq!(answer.text(), "ok");
    })
    .await;
}

#[tokio::test]
async fn a_drain_lets_requests_finish_and_takes_no_new_ones() {
    within(async {
        let (origin, go) = slow().await;
        let proxy = Proxy::to(origin.address);
        let mut idle = proxy.connect().await;
        let mut busy = proxy.connect().await;
        busy.send(GET).await;
        until(|| origin.heads().len() == 1).await;
        proxy.drain.begin();
        assert_eq!(idle.rest().await, (Vec::new(), End::Closed));
        until(|| std::net::TcpStream::connect(proxy.address).is_err()).await;
        go.send(true).unwrap();
        let answer = busy.answer(false).await;
        assert_eq!((answer.text().as_str(), answer.header("connection")), ("ok", Some("close")));
        assert_eq!(busy.rest().await.1, End::Closed);
        proxy.drain.finish().await;
    })
    .await;
}

#[tokio::test]
async fn what_outlasts_the_drain_is_cut() {
    within(async {
        let (origin, _go) = slow().await;
        let websocket = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send("HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n").await;
            visit.rest().await;
        })
        .await;
        for origin in [&origin, &websocket] {
            let proxy = Proxy::to(origin.address);
            let mut client = proxy.connect().await;
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
            until(|| origin.heads().len() == 1).await;
            moment().await;
            let drain = proxy.drain.clone();
            let finished = tokio::spawn(async move { drain.finish().await });
            moment().await;
            assert!(!finished.is_finished());
            proxy.drain.end();
            finished.await.unwrap();
            assert_ne!(client.rest().await.1, End::Whole);
        }
        until(|| websocket.open() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_signal_ends_the_process_when_its_requests_are_done() {
    within(async {
        for signal in ["-TERM", "-INT"] {
            let (origin, go) = slow().await;
            let mut binary = Binary::to(origin.address).await;
            let mut busy = binary.connect().await;
            busy.send(GET).await;
            until(|| origin.heads().len() == 1).await;
            binary.signal(signal);
            until(|| std::net::TcpStream::connect(binary.address).is_err()).await;
            moment().await;
            assert_eq!(binary.status(), None);
            go.send(true).unwrap();
            assert_eq!(busy.answer(false).await.text(), "ok");
            assert_eq!(binary.ended().await, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    within(async {
        let (origin, _go) = slow().await;
        let mut binary = Binary::to(origin.address).await;
        let mut busy = binary.connect().await;
        busy.send(GET).await;
        until(|| origin.heads().len() == 1).await;
        binary.signal("-TERM");
        until(|| std::net::TcpStream::connect(binary.address).is_err()).await;
        let second = Instant::now();
        binary.signal("-TERM");
        assert_eq!(binary.ended().await, 0);
        assert!(second.elapsed() < Duration::from_secs(5), "it waited for the drain, which takes 10 s");
        assert_ne!(busy.rest().await.1, End::Whole);
    })
    .await;
}

/// A body of pieces that are not `Bytes`, and a fault at its end.
struct Faulty(u32);

impl Body for Faulty {
    type Data = std::io::Cursor<Vec<u8>>;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(left) = self.0.checked_sub(1) else {
            return Poll::Ready(Some(Err(std::io::Error::other("cut"))));
        };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(std::io::Cursor::new(vec![b'a'; 10_000])))))
    }
}

/// Serves a pipe with a service that answers with a faulty body, or panics at `/panic`.
fn served(room: usize) -> Wire {
    let (near, far) = duplex(room);
    let service = tower::service_fn(|request: Request<hyper::body::Incoming>| async move {
        assert_ne!(request.uri().path(), "/panic");
        assert!(request.extensions().get::<Control>().is_some());
        assert_eq!(request.extensions().get(), Some(&Peer(None)));
        Ok::<_, Infallible>(Response::new(Faulty(50)))
    });
    let server = Server::new(service, Limits::default(), Drain::default());
    tokio::spawn(server.serve(near, Peer(None)));
    Wire::new(far)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_is_cut_after_all_that_came_before() {
    for room in [64, 5_000, 1_000_000] {
        let answer = served(room).ask(GET).await;
        assert_eq!((answer.body.len(), answer.end), (500_000, End::Cut), "{room}");
    }
}

/// While a request waits for its answer, the kernel has, in its list of connections, a timer of at most 30 s for the one
/// whose address in `column` has this port, although nothing is to be sent.
#[cfg(target_os = "linux")]
async fn looked_after(column: usize, port: impl Fn(&Origin, &Proxy) -> u16) {
    let (origin, _go) = slow().await;
    let proxy = Proxy::to(origin.address);
    let mut client = proxy.connect().await;
    client.send(GET).await;
    until(|| origin.heads().len() == 1).await;
    let port = format!(":{:04X}", port(&origin, &proxy));
    until(|| {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row[column].ends_with(&port) && row[3] == "01").unwrap();
        let (timer, hundredths) = row[5].split_once(':').unwrap();
        timer == "02" && (1..=3000).contains(&u32::from_str_radix(hundredths, 16).unwrap())
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_looks_after_half_open_upstreams() {
    within(looked_after(2, |origin, _| origin.address.port())).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn case_12_the_kernel_looks_after_half_open_clients() {
    within(looked_after(1, |_, proxy| proxy.address.port())).await;
}

#[tokio::test]
async fn a_panic_takes_nothing_else_down() {
    within(async {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let Address::Tcp(address) = listener.local().unwrap() else { unreachable!() };
        let service = tower::service_fn(|request: Request<hyper::body::Incoming>| async move {
            assert_ne!(request.uri().path(), "/panic");
            Ok::<_, Infallible>(Response::new(http_body_util::Full::new(bytes::Bytes::from_static(b"ok"))))
        });
        // The place of a connection that panicked is given back.
        let limits = Limits { connections: 1, ..Limits::default() };
        tokio::spawn(Server::new(service, limits, Drain::default()).run(listener));
        for _ in 0..3 {
            let mut lost = Wire::to(address).await;
            lost.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_ne!(lost.rest().await.1, End::Whole);
        }
        assert_eq!(Wire::to(address).await.ask(GET).await.text(), "ok");
    })
    .await;
}

/// A request's own task, where others are on the same connection.
#[tokio::test]
async fn a_panic_in_a_stream_of_http_2_resets_it_and_leaves_its_neighbours() {
    within(async {
        let (near, far) = duplex(1 << 16);
        let (go, gone) = tokio::sync::watch::channel(false);
        let service = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
            let mut gone = gone.clone();
            async move {
                assert_ne!(request.uri().path(), "/panic");
                let _ = gone.wait_for(|go| *go).await;
                Ok::<_, Infallible>(Response::new(http_body_util::Full::new(bytes::Bytes::from_static(
                    b"ok",
                ))))
            }
        });
        let server = Server::new(service, Limits::default(), Drain::default());
        tokio::spawn(server.serve(near, Peer(None)));
        let mut client = Multiplexed::over(far).await;
        let request = |path| Request::get(format!("http://h{path}")).body(()).unwrap();
        let mut requests = client.requests.clone().ready().await.unwrap();
        let neighbour = requests.send_request(request("/"), true).unwrap().0;
        for _ in 0..3 {
            let lost = client.ask(request("/panic")).await.map(|stream| stream.status).unwrap_err();
            assert!(lost.is_reset(), "{lost}");
        }
        go.send_replace(true);
        assert_eq!(neighbour.await.unwrap().status(), 200);
        assert_eq!(client.get("/").await.rest().await.text(), "ok");
    })
    .await;
}
