//! HTTP/2 with clients: many requests on one connection, each with limits, a cut and an end of its own.

use std::{process::Stdio, time::Duration};

use h2::Reason;
use http::Request;
use respool::{net::Peer, proxy::forward::Settings, server::Limits};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    net::TcpStream,
};

use crate::support::{
    Binary, Multiplexed, Origin, Proxy, moment, until, within,
    world::{World, settle},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Proxy {
    async fn multiplexed(&self) -> Multiplexed {
        Multiplexed::over(TcpStream::connect(self.address).await.unwrap()).await
    }
}

impl World {
    async fn multiplexed(&self) -> Multiplexed {
        let mut builder = h2::client::Builder::new();
        // As browsers have it: a stream that takes nothing must not fill the connection's window.
        builder.initial_connection_window_size(1 << 20);
        self.multiplexed_with(builder).await
    }

    async fn multiplexed_with(&self, builder: h2::client::Builder) -> Multiplexed {
        let (near, far) = duplex(self.pipe);
        tokio::spawn(self.app.server().serve(far, Peer(self.peer)));
        Multiplexed::with(builder, near).await
    }
}

/// The lines of a head, in lower case and in order, but for the first.
fn lines(head: &[String]) -> Vec<String> {
    let mut lines: Vec<_> = head[1..].iter().map(|line| line.to_lowercase()).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn the_upstream_gets_a_request_of_http_1_that_says_the_same() {
    within(async {
        let origin = Origin::saying(OK).await;
        let proxy = Proxy::to(origin.address);
        let mut client = proxy.multiplexed().await;
        let request = Request::get("http://a.example:81/b?c=d")
            .header("cookie", "one=1")
            .header("cookie", "two=2")
            .header("te", "trailers")
            .header("x-own", "kept");
        let answer = client.ask(request.body(()).unwrap()).await.unwrap().rest().await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str(), answer.end), (200, "ok", Some(Ok(()))));
        let head = &origin.heads()[0];
        assert_eq!(head[0], "GET /b?c=d HTTP/1.1");
        let wanted = [
            "connection: te",
            "cookie: one=1; two=2",
            "host: a.example:81",
            "te: trailers",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: a.example:81",
            "x-forwarded-proto: http",
            "x-own: kept",
        ];
        assert_eq!(lines(head), wanted);
    })
    .await;
}

#[tokio::test]
async fn bodies_pass_both_ways_with_and_without_a_length() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            while visit.request().await {
                let (body, _, _) = visit.chunked().await;
                let head = "HTTP/1.1 201 C\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n";
                visit.send(format!("{head}{:x}\r\n", body.len())).await;
                visit.send(&body).await;
                visit.send("\r\n0\r\nx-sum: 7\r\n\r\n").await;
            }
        })
        .await;
        let proxy = Proxy::to(origin.address);
        let mut client = proxy.multiplexed().await;
        let body = vec![b'x'; 300_000];
        let request = Request::post("http://a/").body(()).unwrap();
        // Half a connection's worth ahead of the upstream: windows are given back as it is passed on.
        let (answer, mut to) = client.requests.send_request(request, false).unwrap();
        let sent = body.clone();
        tokio::spawn(async move {
            to.send_data(sent.into(), true).unwrap();
            std::future::poll_fn(|cx| to.poll_reset(cx)).await
        });
        let (head, mut rest) = answer.await.unwrap().into_parts();
        assert_eq!(head.status, 201);
        let mut back = Vec::new();
        while let Some(bytes) = rest.data().await {
            let bytes = bytes.unwrap();
            rest.flow_control().release_capacity(bytes.len()).unwrap();
            back.extend_from_slice(&bytes);
        }
        assert!(back == body);
        assert_eq!(rest.trailers().await.unwrap().unwrap()["x-sum"], "7");
        assert!(lines(&origin.heads()[0]).contains(&"transfer-encoding: chunked".to_owned()));
        // One that says its length.
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            let (body, _) = visit.exactly(5).await;
            visit.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await;
            visit.send(body).await;
        })
        .await;
        let mut client = Proxy::to(origin.address).multiplexed().await;
        let request = Request::post("http://a/").header("content-length", "5").body(()).unwrap();
        let answer = client.send(request, Some(b"hello")).await.unwrap().rest().await;
        assert_eq!((answer.text().as_str(), answer.end), ("hello", Some(Ok(()))));
        assert!(lines(&origin.heads()[0]).contains(&"content-length: 5".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    within(async {
        let answers = [
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "5"),
            ("GET", "HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n", "5"),
            ("GET", "HTTP/1.1 204 N\r\n\r\n", ""),
        ];
        for (method, answer, length) in answers {
            let origin = Origin::saying(answer).await;
            let mut client = Proxy::to(origin.address).multiplexed().await;
            let request = Request::builder().method(method).uri("http://a/").body(()).unwrap();
            let answer = client.ask(request).await.unwrap().rest().await;
            let told = answer.headers.get("content-length").map_or("", |length| length.to_str().unwrap());
            assert_eq!((told, answer.text().as_str(), answer.end), (length, "", Some(Ok(()))));
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_proxy_must_not_let_through_is_refused_on_its_stream_alone() {
    within(async {
        let origin = Origin::saying(OK).await;
        let mut client = Proxy::to(origin.address).multiplexed().await;
        let get = |uri: &str| Request::get(uri);
        let many = (0..64).fold(get("http://a/"), |request, n| request.header(format!("x-{n}"), ""));
        let refused = [
            (get("http://a/").header("host", "b"), 400),
            (get("http://me@a/"), 400),
            (get(&format!("http://a/{}", "b".repeat(9000))), 414),
            (get("http://a/").header("x", "y".repeat(40_000)), 431),
            (many, 431),
            (Request::builder().method("CONNECT").uri("a:443"), 405),
        ];
        for (request, status) in refused {
            let answer = client.ask(request.body(()).unwrap()).await.unwrap();
            assert_eq!(answer.status, status);
            assert!(!answer.headers.contains_key("connection"));
        }
        assert!(origin.heads().is_empty());
        assert_eq!(client.get("http://a/").await.status, 200);
        assert_eq!(client.requests.current_max_send_streams(), 128);
    })
    .await;
}

/// A request as it is on the wire, with one more header, on the first stream.
fn raw_request(name: &str, value: &str) -> Vec<u8> {
    // GET, http, /, and the authority `a`, by the static table; then a literal.
    let mut block = vec![0x82, 0x86, 0x84, 0x01, 1, b'a', 0x00];
    for text in [name, value] {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend_from_slice(text.as_bytes());
    }
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let head = [0, 0, u8::try_from(block.len()).unwrap(), 1, 0x05, 0, 0, 0, 1];
    [PREFACE, &settings, &head, &block].concat()
}

#[tokio::test]
async fn a_request_that_is_none_of_http_2_is_reset() {
    within(async {
        let origin = Origin::saying(OK).await;
        let proxy = Proxy::to(origin.address);
        let odd =
            ["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection", "Upper", ":odd"];
        for (name, is_fine) in odd.map(|name| (name, false)).into_iter().chain([("x-own", true)]) {
            let mut socket = TcpStream::connect(proxy.address).await.unwrap();
            socket.write_all(&raw_request(name, "x")).await.unwrap();
            let (kind, stream) = loop {
                let mut head = [0; 9];
                socket.read_exact(&mut head).await.unwrap();
                let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
                socket.read_exact(&mut payload).await.unwrap();
                if head[8] == 1 || head[3] == 7 {
                    break (head[3], head[8]);
                }
            };
            // The head of an answer, or a reset of the stream (or, where what is left cannot be read, of all).
            let (answer, reset, goaway) = (1, 3, 7);
            let seen = kind == answer && stream == 1;
            assert_eq!(seen, is_fine, "{name}");
            assert!(seen || [reset, goaway].contains(&kind), "{name}: {kind}");
        }
        assert_eq!(origin.heads().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_is_away_is_told_as_to_http_1() {
    within(async {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = taken.local_addr().unwrap();
        drop(taken);
        let mut client = Proxy::to(nobody).multiplexed().await;
        let answer = client.get("http://a/").await.rest().await;
        assert_eq!(
            (answer.status.as_u16(), answer.text().as_str()),
            (502, "respool: the upstream cannot be reached\n")
        );
        // Held, then cut without an answer.
        let request = Request::get("http://a/").header("accept", "text/event-stream").body(()).unwrap();
        assert_eq!(client.ask(request).await.err().unwrap().reason(), Some(Reason::INTERNAL_ERROR));
        assert_eq!(client.get("http://a/").await.status, 502);
    })
    .await;
}

#[tokio::test]
async fn a_head_that_does_not_come_and_a_connection_that_asks_nothing_are_ended() {
    within(async {
        let limits = Limits { header_timeout: Duration::from_millis(300), ..Limits::default() };
        let (held, mut go) = (
            Origin::start(|mut visit| async move {
                visit.request().await;
                visit.send("HTTP/1.1 200 OK\r\n\r\n").await;
                visit.rest().await;
            })
            .await,
            Vec::new(),
        );
        let proxy = Proxy::with(&format!("http://{}", held.address), Settings::default(), limits);
        for begun in [&PREFACE[..10], PREFACE] {
            let mut socket = TcpStream::connect(proxy.address).await.unwrap();
            socket.write_all(begun).await.unwrap();
            socket.read_to_end(&mut go).await.unwrap();
        }
        let mut idle = proxy.multiplexed().await;
        idle.ended().await.unwrap();
        let mut busy = proxy.multiplexed().await;
        let stream = busy.get("http://a/").await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(!busy.has_ended());
        drop(stream);
        busy.ended().await.unwrap();
    })
    .await;
}

const SHARED: &str =
    "[[route]]\npath = '/s'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\nheartbeat = 'none'\n";

#[tokio::test(start_paused = true)]
async fn ends_are_ends_and_cuts_are_resets_after_all_that_came() {
    let mut world = World::new("");
    let mut client = world.multiplexed().await;
    let asked = tokio::spawn(async move {
        let stream = client.events("/a", "").await;
        (client, stream)
    });
    let mut exchange = world.origin.accept().await;
    exchange.begin().await;
    let (mut client, mut ending) = asked.await.unwrap();
    assert_eq!(ending.headers["respool-resume"], "fresh");
    exchange.events(["a", "b"]).await;
    exchange.finish().await;
    ending.read().await;
    assert_eq!((ending.held().data(), ending.end), (vec!["a", "b"], Some(Ok(()))));

    // The upstream is lost right behind more than a window of events.
    let large = "x".repeat(50_000);
    let asked = tokio::spawn(async move {
        let stream = client.events("/b", "").await;
        (client, stream)
    });
    exchange.again().await;
    exchange.begin().await;
    let (mut client, mut lost) = asked.await.unwrap();
    exchange.events([&large, &large, &large, "last"]).await;
    drop(exchange);
    settle().await;
    lost.read().await;
    assert_eq!(lost.held().data(), [&large, &large, &large, "last"]);
    assert_eq!(lost.end, Some(Err(Reason::INTERNAL_ERROR)));
    // And it comes back on the same connection.
    let id = lost.held().events[2].id.clone();
    let mut again = client.events("/b", &id).await;
    again.read().await;
    assert_eq!(
        (again.headers["respool-resume"].to_str().unwrap(), again.held().data()),
        ("resumed; missed=1", vec!["last"])
    );
    assert_eq!(again.end, Some(Err(Reason::INTERNAL_ERROR)));
}

#[tokio::test]
async fn what_came_of_a_download_that_is_lost_arrives_before_the_reset() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
            visit.send(vec![b'x'; 150_000]).await;
        })
        .await;
        let mut client = Proxy::to(origin.address).multiplexed().await;
        let stream = client.get("http://a/").await;
        moment().await;
        let stream = stream.rest().await;
        assert_eq!((stream.body.len(), stream.end), (150_000, Some(Err(Reason::INTERNAL_ERROR))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn case_12_a_stream_that_takes_nothing_is_reset_and_its_neighbours_stay() {
    let mut world = World::new(SHARED);
    let mut client = world.multiplexed().await;
    let asked = tokio::spawn(async move {
        let stalled = client.events("/s", "").await;
        (client, stalled)
    });
    let mut exchange = world.origin.accept().await;
    exchange.begin().await;
    let (mut client, stalled) = asked.await.unwrap();
    let mut live = client.events("/s", "").await;
    // A download is not what can be resumed: it may take its time.
    let asked = tokio::spawn(async move {
        let request = Request::get("http://h/file").body(()).unwrap();
        let download = client.ask(request).await.unwrap();
        (client, download)
    });
    let mut file = world.origin.accept().await;
    file.raw("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await;
    file.raw("x".repeat(100_000)).await;
    let (client, download) = asked.await.unwrap();

    let large = "x".repeat(40_000);
    for _ in 0..4 {
        exchange.events([&large]).await;
        live.read().await;
    }
    let mut waited = 0;
    while world.metric(r#"respool_clients_cut_total{route="/s",reason="stalled"}"#) == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        waited += 1;
        assert!(waited < 100, "it is never cut");
        exchange.events(["tick"]).await;
        live.read().await;
    }
    assert!((29..=31).contains(&waited), "{waited}");
    assert_eq!(world.metric(r#"respool_clients{route="/s"}"#), 1);
    assert_eq!(live.held().data().len(), 4 + waited);
    assert_eq!(live.end, None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(download.rest().await.body.len(), 100_000);
    let stalled = stalled.rest().await;
    assert_eq!(stalled.end, Some(Err(Reason::CANCEL)));
    assert!(!client.has_ended());
}

#[tokio::test(start_paused = true)]
async fn case_12_a_stream_that_takes_a_little_is_waited_for() {
    let mut world = World::new(SHARED);
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1000);
    let mut client = world.multiplexed_with(builder).await;
    let asked = tokio::spawn(async move {
        let stream = client.events("/s", "").await;
        (client, stream)
    });
    let mut exchange = world.origin.accept().await;
    exchange.begin().await;
    let (_client, mut slow) = asked.await.unwrap();
    exchange.events(["x".repeat(5_000)]).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        slow.read_one().await;
    }
    slow.read().await;
    assert_eq!(slow.end, None);
    assert_eq!(slow.held().data()[0].len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn case_18_a_drain_says_goaway_and_cuts_streams_between_frames() {
    let mut world = World::new(SHARED);
    let mut client = world.multiplexed().await;
    let asked = tokio::spawn(async move {
        let stream = client.events("/s", "").await;
        (client, stream)
    });
    let mut exchange = world.origin.accept().await;
    exchange.begin().await;
    let (mut client, mut stream) = asked.await.unwrap();
    exchange.events(["a"]).await;
    exchange.burst("data: half").await;
    let drain = world.app.drain().clone();
    let drained = tokio::spawn(async move { drain.finish().await });
    settle().await;
    let request = Request::get("http://h/s").body(()).unwrap();
    let refused = client.ask(request).await.err().expect("a stream behind a GOAWAY");
    assert!(refused.is_go_away() && refused.is_remote(), "{refused}");
    let began = tokio::time::Instant::now();
    stream.read_for(Duration::from_secs(9)).await;
    assert!(began.elapsed() < Duration::from_secs(9));
    assert_eq!((stream.held().data(), stream.end), (vec!["a"], Some(Err(Reason::INTERNAL_ERROR))));
    assert!(stream.body.ends_with(b"\n\n"));
    client.ended().await.unwrap();
    drained.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_client_resets_is_left_and_resumed() {
    let mut world = World::new("");
    let mut client = world.multiplexed().await;
    let asked = tokio::spawn(async move {
        let stream = client.events("/a", "").await;
        (client, stream)
    });
    let mut exchange = world.origin.accept().await;
    exchange.begin().await;
    let (mut client, mut stream) = asked.await.unwrap();
    exchange.events(["a"]).await;
    stream.read().await;
    let id = stream.held().id;
    drop(stream);
    settle().await;
    assert_eq!(world.metric(r#"respool_clients{route="default"}"#), 0);
    exchange.events(["b"]).await;
    let mut again = client.events("/a", &id).await;
    again.read().await;
    assert_eq!(
        (again.headers["respool-resume"].to_str().unwrap(), again.held().data()),
        ("resumed; missed=1", vec!["b"])
    );
    assert_eq!(world.origin.dials(), 1);
}

#[tokio::test]
async fn curl_with_prior_knowledge_is_served_and_cut_by_a_reset() {
    let Ok(known) = std::process::Command::new("curl").arg("--version").output() else { return };
    if !String::from_utf8_lossy(&known.stdout).contains("HTTP2") {
        return;
    }
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            visit.send("9\r\ndata: a\n\n\r\n").await;
            moment().await;
        })
        .await;
        let mut binary = Binary::to(origin.address).await;
        let curl = tokio::task::spawn_blocking({
            let url = format!("http://{}/events", binary.address);
            move || {
                let mut curl = std::process::Command::new("curl");
                curl.args(["--http2-prior-knowledge", "-sSN", "-w", "%{http_version}", &url]);
                curl.stdin(Stdio::null()).output().unwrap()
            }
        });
        let said = curl.await.unwrap();
        let (out, wrong) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(out.contains("data: a\n"), "{out}");
        assert!(out.ends_with('2') && wrong.contains("INTERNAL_ERROR"), "{out}{wrong}");
        assert_eq!(said.status.code(), Some(92), "{wrong}");
        binary.signal("-TERM");
        assert_eq!(binary.ended().await, 0);
        until(|| origin.open() == 0).await;
    })
    .await;
}
