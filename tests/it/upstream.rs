//! An upstream by https, by HTTP/2, or by both.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response, Uri};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use crate::support::{Authority, Binary, End, Multiplexed, Wire, until, within};

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: a.example\r\nCookie: c=1\r\n\r\n";
const EVENTS: &str = "GET /events HTTP/1.1\r\nHost: a.example\r\nAccept: text/event-stream\r\n\r\n";

/// What an upstream saw: for each connection the requests on it.
type Seen = Arc<Mutex<Vec<Vec<(Uri, HeaderMap)>>>>;

/// An upstream that speaks HTTP/2, and HTTP/1 with whoever agrees on that.
async fn origin(tls: Option<TlsAcceptor>) -> (SocketAddr, Seen) {
    origin_that_changes(watch::channel(tls).1).await
}

/// The same, which shows each new connection what it has by then.
async fn origin_that_changes(tls: watch::Receiver<Option<TlsAcceptor>>) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
    let all = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let (tls, seen) = (tls.borrow().clone(), all.clone());
            tokio::spawn(async move {
                let Some(tls) = tls else { return multiplexed(stream, seen).await };
                let Ok(stream) = tls.accept(stream).await else { return };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    multiplexed(stream, seen).await;
                } else {
                    plain(Wire::new(stream)).await;
                }
            });
        }
    });
    (address, seen)
}

async fn multiplexed(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, seen: Seen) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let at = {
        let mut all = seen.lock().unwrap();
        all.push(Vec::new());
        all.len() - 1
    };
    // Streams that stay open, until the connection ends.
    let mut open = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, mut body) = request.into_parts();
        let path = head.uri.path().to_owned();
        seen.lock().unwrap()[at].push((head.uri, head.headers));
        match path.as_str() {
            "/events" => {
                let head = Response::builder().header("content-type", "text/event-stream");
                let mut to = respond.send_response(head.body(()).unwrap(), false).unwrap();
                to.send_data(Bytes::from_static(b"data: a\n\n"), false).unwrap();
                open.push(to);
            }
            // More than is taken of it, in frames as small as those of small events.
            "/small" => {
                let mut to = respond.send_response(Response::new(()), false).unwrap();
                for _ in 0..20_000 {
                    to.send_data(Bytes::from_static(b"data: a\n\n"), false).unwrap();
                }
                open.push(to);
            }
            "/ticks" => {
                let head = Response::builder().header("content-type", "text/event-stream");
                let mut to = respond.send_response(head.body(()).unwrap(), false).unwrap();
                tokio::spawn(async move {
                    while to.send_data(Bytes::from_static(b"data: a\n\n"), false).is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                });
            }
            "/reset" => {
                let head = Response::builder().header("content-type", "text/event-stream");
                let mut to = respond.send_response(head.body(()).unwrap(), false).unwrap();
                to.send_data(Bytes::from_static(b"data: a\n\n"), false).unwrap();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    to.send_reset(h2::Reason::INTERNAL_ERROR);
                });
            }
            _ => {
                let mut to = respond.send_response(Response::new(()), false).unwrap();
                tokio::spawn(async move {
                    let mut length = 0;
                    while let Some(Ok(bytes)) = body.data().await {
                        length += bytes.len();
                        let _ = body.flow_control().release_capacity(bytes.len());
                    }
                    to.send_data(format!("ok {length}").into(), true).unwrap();
                });
            }
        }
    }
}

/// Answers by HTTP/1, and upgrades whoever asks for it.
async fn plain(mut wire: Wire) {
    while let Some(head) = wire.try_head().await {
        if head.iter().any(|line| line.to_lowercase().starts_with("upgrade:")) {
            wire.send("HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n").await;
            let (said, _) = wire.exactly(4).await;
            wire.send(said).await;
            return;
        }
        if head[0].starts_with("GET /events ") {
            wire.send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            )
            .await;
            while wire.try_send("9\r\ndata: a\n\n\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            return;
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain").await;
    }
}

fn https(authority: &Authority, address: SocketAddr, more: &str) -> String {
    let ca = authority.path("ca.pem");
    format!("upstream = 'https://localhost:{}'\n[upstream_tls]\nca = {ca:?}\n{more}", address.port())
}

#[tokio::test]
async fn an_upstream_by_https_is_asked_by_what_it_speaks() {
    within(async {
        let authority = Authority::new();
        authority.sign("up", &["localhost"]);
        for (protocols, text) in [(&["h2", "http/1.1"][..], "ok 0"), (&["http/1.1"], "plain"), (&[], "plain")]
        {
            let (address, seen) = origin(Some(authority.acceptor("up", protocols, false))).await;
            let binary = Binary::with_file(&https(&authority, address, "")).await;
            let mut client = binary.connect().await;
            assert_eq!(client.ask(GET).await.text(), text);
            // And the same connection serves the next.
            assert_eq!(client.ask(GET).await.text(), text);
            let seen = seen.lock().unwrap().clone();
            if protocols.first() == Some(&"h2") {
                let [requests] = &seen[..] else { panic!("{seen:?}") };
                let (uri, headers) = &requests[0];
                assert_eq!(uri, "https://a.example/a?b");
                assert_eq!((requests.len(), &headers["cookie"]), (2, &"c=1".parse().unwrap()));
                assert!(
                    !["connection", "transfer-encoding", "te"].iter().any(|own| headers.contains_key(*own))
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn streams_of_http_2_pass_and_a_reset_is_a_loss() {
    within(async {
        let (address, seen) = origin(None).await;
        let binary =
            Binary::with_file(&format!("upstream = 'http://{address}'\nupstream_http2 = true\n")).await;
        let mut client = binary.connect().await;
        let body = "x".repeat(200_000);
        let post =
            format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(client.ask(post).await.text(), "ok 200000");
        let answer = client.ask(EVENTS.replace("/events", "/reset")).await;
        assert!(answer.text().contains("data: a\n"), "{answer:?}");
        assert_eq!(answer.end, End::Cut);
        assert_eq!(seen.lock().unwrap().len(), 1, "all on one connection");
        assert_eq!(seen.lock().unwrap()[0][0].0, "http://a.example/");
    })
    .await;
}

#[tokio::test]
async fn small_frames_that_nobody_takes_end_no_other_stream_of_their_connection() {
    within(async {
        let (address, seen) = origin(None).await;
        let binary =
            Binary::with_file(&format!("upstream = 'http://{address}'\nupstream_http2 = true\n")).await;
        let mut ticks = binary.connect().await;
        ticks.send(EVENTS.replace("/events", "/ticks")).await;
        ticks.head().await;
        // Clients that take as little as HTTP/2 lets them.
        let mut slow = Vec::new();
        for _ in 0..8 {
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(1);
            let socket = tokio::net::TcpStream::connect(binary.address).await.unwrap();
            let mut client = Multiplexed::with(builder, socket).await;
            let stream = client.get("http://a.example/small").await;
            slow.push((client, stream));
        }
        // Until all is there that is read ahead of them, and for longer.
        for _ in 0..100 {
            ticks.exactly(9).await;
        }
        let (had, end) = ticks.exactly(5_000).await;
        assert_eq!((had.len(), end), (5_000, End::Whole));
        assert_eq!(seen.lock().unwrap().len(), 1, "all on one connection");
        assert!(slow.iter().all(|(client, _)| !client.has_ended()));
    })
    .await;
}

#[tokio::test]
async fn more_streams_than_a_connection_should_carry_go_on_several() {
    within(async {
        let (address, seen) = origin(None).await;
        let binary =
            Binary::with_file(&format!("upstream = 'http://{address}'\nupstream_http2 = true\n")).await;
        let mut clients = Vec::new();
        for _ in 0..120 {
            let mut client = binary.connect().await;
            client.send(EVENTS).await;
            client.head().await;
            clients.push(client);
        }
        let carried = || seen.lock().unwrap().iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(carried(), [100, 20]);
        // A place that is free is taken again. (It lingers, unless its client never had an id.)
        let mut client = binary.connect().await;
        assert_eq!(client.ask(GET).await.text(), "ok 0");
        assert_eq!(carried().iter().sum::<usize>(), 121);
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_goes_by_http_1_though_the_upstream_would_rather_speak_http_2() {
    within(async {
        let authority = Authority::new();
        authority.sign("up", &["localhost"]);
        let (address, _) = origin(Some(authority.acceptor("up", &["h2", "http/1.1"], false))).await;
        let binary = Binary::with_file(&https(&authority, address, "")).await;
        let mut client = binary.connect().await;
        let answer =
            client.ask("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n").await;
        assert_eq!(answer.status(), 101);
        client.send("ping").await;
        assert_eq!(client.exactly(4).await.0, b"ping");
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_is_not_who_it_should_be_is_a_502_and_the_log_says_why() {
    within(async {
        let (authority, other) = (Authority::new(), Authority::new());
        authority.sign("up", &["localhost"]);
        authority.sign("elsewhere", &["elsewhere.example"]);
        other.sign("up", &["localhost"]);
        authority.sign_until("expired", &["localhost"], 2020);
        for (acceptor, why) in [
            (authority.acceptor("expired", &["h2"], false), "certificate expired"),
            (other.acceptor("up", &["h2"], false), "invalid peer certificate"),
            (authority.acceptor("elsewhere", &["h2"], false), "not valid for name"),
        ] {
            let (address, _) = origin(Some(acceptor)).await;
            let binary = Binary::with_file(&https(&authority, address, "")).await;
            let answer = binary.connect().await.ask(GET).await;
            let text = "respool: the upstream cannot be reached\n";
            assert_eq!((answer.status(), answer.text().as_str()), (502, text));
            until(|| binary.log().contains(why)).await;
        }
        // The name that it has, where that is not its address's.
        let (address, _) = origin(Some(authority.acceptor("elsewhere", &["h2"], false))).await;
        let file = https(&authority, address, "name = 'elsewhere.example'\n");
        assert_eq!(Binary::with_file(&file).await.connect().await.ask(GET).await.text(), "ok 0");
        // A stream is held, then cut.
        let (address, _) = origin(Some(other.acceptor("up", &["h2"], false))).await;
        let file = format!("{}[outage]\nhold = '300ms'\n", https(&authority, address, ""));
        let binary = Binary::with_file(&file).await;
        let mut client = binary.connect().await;
        client.send(EVENTS).await;
        assert_eq!(client.rest().await.0, b"");
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_asks_who_we_are_is_shown_a_certificate() {
    within(async {
        let authority = Authority::new();
        authority.sign("up", &["localhost"]);
        authority.sign("we", &["respool"]);
        for protocols in [&["h2"][..], &["http/1.1"]] {
            let (address, _) = origin(Some(authority.acceptor("up", protocols, true))).await;
            let (certificate, key) = (authority.path("we.pem"), authority.path("we.key"));
            let own = format!("certificate = {certificate:?}\nkey = {key:?}\n");
            let shown = Binary::with_file(&https(&authority, address, &own)).await;
            assert_eq!(shown.connect().await.ask(GET).await.status(), 200);
            let without = Binary::with_file(&https(&authority, address, "")).await;
            assert_eq!(without.connect().await.ask(GET).await.status(), 502);
        }
    })
    .await;
}

#[tokio::test]
async fn new_files_are_for_new_connections_and_bad_ones_for_none() {
    within(async {
        let (authority, successor) = (Authority::new(), Authority::new());
        for signs in [&authority, &successor] {
            signs.sign("up", &["localhost"]);
            signs.sign("we", &["respool"]);
        }
        let acceptor = |of: &Authority| Some(of.acceptor("up", &["http/1.1"], true));
        let (shows, shown) = watch::channel(acceptor(&authority));
        let (address, _) = origin_that_changes(shown).await;
        let (certificate, key) = (authority.path("we.pem"), authority.path("we.key"));
        let own = format!("certificate = {certificate:?}\nkey = {key:?}\n[outage]\nhold = '100ms'\n");
        let binary = Binary::with_file(&https(&authority, address, &own)).await;
        // Each stream is a connection to the upstream.
        let open = async || {
            let mut client = binary.connect().await;
            client.send(EVENTS).await;
            let is_open = client.exactly(15).await.0 == b"HTTP/1.1 200 OK";
            is_open.then_some(client)
        };
        let mut stays = open().await.unwrap();

        // No key: the former one is shown.
        std::fs::write(authority.path("we.key"), "nothing").unwrap();
        until(|| {
            binary.log().contains("the upstream's new certificates cannot be used; the former ones stay")
        })
        .await;
        assert!(
            binary.log().contains("we.key: no private key that can be used is in it"),
            "{}",
            binary.log()
        );
        assert!(open().await.is_some());

        // The upstream is somebody else's from now on, trusts his alone, and is trusted once his files are there.
        shows.send(acceptor(&successor)).unwrap();
        assert!(open().await.is_none());
        for name in ["ca.pem", "we.key", "we.pem"] {
            std::fs::copy(successor.path(name), authority.path(name)).unwrap();
        }
        until(|| binary.log().contains("new connections to the upstream use the new certificates")).await;
        while open().await.is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // All that came meanwhile, and more.
        stays.exactly(1000).await;
        let had = stays.exactly(100).await.0;
        assert!(String::from_utf8_lossy(&had).contains("data: a\n"), "{had:?}");
    })
    .await;
}
