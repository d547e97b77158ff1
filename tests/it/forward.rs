//! Everything that is no event stream passes, both ways, unchanged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use respool::{
    net::{Address, Listener},
    proxy::forward::{HostPolicy, Settings},
    server::Limits,
};
use tokio::net::{UnixListener, UnixStream};

use crate::support::{Answer, Binary, End, Origin, Proxy, Wire, moment, until, within};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The same request to the upstream directly and through us; what comes back must be the same.
async fn alike(origin: &Origin, request: &str) -> Answer {
    let direct = Wire::to(origin.address).await.ask(request).await;
    let through = Proxy::to(origin.address).connect().await.ask(request).await;
    assert_eq!(direct.clone().end_to_end(), through.clone().end_to_end(), "{request}");
    through
}

fn plain() -> Settings {
    Settings { forwarded: false, ..Settings::default() }
}

#[tokio::test]
async fn an_answer_may_have_many_headers() {
    within(async {
        for (count, status) in [(200, 200), (254, 200), (300, 502)] {
            let lines: String = (0..count).map(|n| format!("Set-Cookie: c{n}=1\r\n")).collect();
            let origin =
                Origin::saying(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{lines}\r\nok")).await;
            let mut client = Proxy::to(origin.address).connect().await;
            let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(answer.status(), status, "{count}");
            let cookies = answer.headers.iter().filter(|line| line.starts_with("Set-Cookie: c")).count();
            assert_eq!(cookies, if status == 200 { count } else { 0 });
        }
    })
    .await;
}

#[tokio::test]
async fn the_upstream_gets_what_the_client_sent() {
    within(async {
        let origin = Origin::saying(OK).await;
        let url = format!("http://{}", origin.address);
        let proxy = Proxy::with(&url, plain(), Limits::default());
        let head = "PATCH /a%2Fb/../c;x//y?q=%20&&z=1?%C3%A9 HTTP/1.1\r\nHost: shop.example:81\r\nX-OdD-case: 1\r\n\
                    cookie: a=b\r\nx-twice: 1\r\nX-Twice:  2 \r\nX-Empty:\r\nX-High: \u{e9}\r\nContent-Length: 0\r\n\r\n";
        proxy.connect().await.ask(head).await;
        let mut sent: Vec<String> =
            head.trim_end().split("\r\n").map(|line| line.replace(":  2 ", ": 2")).collect();
        let mut got = origin.heads().remove(0);
        assert_eq!(got.remove(0), sent.remove(0));
        got.sort();
        sent.sort();
        assert_eq!(got, sent);
    })
    .await;
}

#[tokio::test]
async fn the_client_gets_what_the_upstream_sent() {
    within(async {
        let origin = Origin::saying(
            "HTTP/1.1 299 Quite Fine\r\nX-OdD-case: 1\r\nset-cookie: a\r\nSet-Cookie: b\r\nServer: me\r\n\
             Location: http://elsewhere/\r\nConnection: close\r\nKeep-Alive: timeout=5\r\nContent-Length: 3\r\n\r\nabc",
        )
        .await;
        let answer = alike(&origin, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(answer.line, "HTTP/1.1 299 Quite Fine");
        assert_eq!(answer.header("connection"), None);
        assert_eq!(answer.header("keep-alive"), None);
        assert_eq!(answer.header("date"), None);
    })
    .await;
}

#[tokio::test]
async fn the_host_and_where_a_request_comes_from_are_told_as_configured() {
    within(async {
        let origin = Origin::saying(OK).await;
        let url = format!("http://{}", origin.address);
        let request = "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n\r\n";
        let telling = Settings { host: HostPolicy::Upstream, forwarded: true };
        Proxy::with(&url, telling, Limits::default()).connect().await.ask(request).await;
        let mut told = origin.heads().remove(0);
        told.sort();
        let host = format!("Host: {}", origin.address);
        let chain = "X-Forwarded-For: 10.0.0.1, 10.0.0.2, 127.0.0.1";
        let ours = ["x-forwarded-host: shop.example", "x-forwarded-proto: http"];
        assert_eq!(told, ["GET / HTTP/1.1", &host, chain, ours[0], ours[1]]);
        let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n\r\n";
        Proxy::to(origin.address).connect().await.ask(request).await;
        let told = origin.heads().remove(1);
        assert!(told.contains(&"X-Forwarded-Proto: https".to_owned()), "{told:?}");
        assert!(told.contains(&"X-Forwarded-Host: b".to_owned()), "{told:?}");
    })
    .await;
}

#[tokio::test]
async fn answers_without_a_body_keep_their_lengths() {
    within(async {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
        for (request, answer) in [
            (get, "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n"),
            (get, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
            (get, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
            (get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: \"a\"\r\n\r\n"),
            (head, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
            (head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (head, "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n"),
            (head, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            (get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            (get, "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno"),
            (get, "HTTP/1.1 302 Found\r\nLocation: /b?c\r\nContent-Length: 0\r\n\r\n"),
        ] {
            let origin = Origin::saying(answer).await;
            alike(&origin, request).await;
            // The connection goes on: nothing that looks like a body was left on it.
            let proxy = Proxy::to(origin.address);
            let mut client = proxy.connect().await;
            let first = client.ask(request).await;
            assert_eq!(first, client.ask(request).await, "{answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_length_that_the_upstream_gave_beside_chunks_is_not_passed_on() {
    within(async {
        let origin = Origin::saying(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        )
        .await;
        let answer = Proxy::to(origin.address).connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((answer.text().as_str(), answer.header("content-length")), ("hello", None));
    })
    .await;
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            while visit.request().await {
                let (body, trailers, _) = visit.chunked().await;
                let echo = format!("{} {}", String::from_utf8_lossy(&body), trailers.join(";"));
                visit
                    .send(format!(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{:x}\r\n{echo}\r\n0\r\nx-sum: 7\r\n\r\n",
                        echo.len()
                    ))
                    .await;
            }
        })
        .await;
        for method in ["POST", "GET"] {
            let request = format!(
                "{method} / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\
                 Trailer: X-Digest\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nx-digest: 42\r\n\r\n"
            );
            let answer = alike(&origin, &request).await;
            assert_eq!(answer.text(), "abcde x-digest: 42");
            assert_eq!(answer.trailers, ["x-sum: 7"]);
        }
        let told = origin.heads().pop().unwrap();
        assert!(told.iter().any(|line| line == "TE: trailers"), "{told:?}");
    })
    .await;
}

#[tokio::test]
async fn a_websocket_echoes_through_us() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            // The first frame of the server comes with the handshake's answer.
            visit
                .send(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x01\x02hi",
                )
                .await;
            loop {
                let (frame, end) = visit.exactly(8).await;
                if end != End::Whole {
                    return;
                }
                visit.send(frame).await;
            }
        })
        .await;
        let handshake = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let answer = alike(&origin, handshake).await;
        assert_eq!(answer.line, "HTTP/1.1 101 Switching Protocols");
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(answer.header("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));

        let proxy = Proxy::to(origin.address);
        let mut client = proxy.connect().await;
        client.ask(handshake).await;
        assert_eq!(client.exactly(4).await.0, b"\x01\x02hi");
        for frame in [*b"\x81\x82maskab", *b"\x82\x82MASK\x00\xff", *b"12345678"] {
            client.send(frame).await;
            assert_eq!(client.exactly(8).await.0, frame);
        }
        drop(client);
        until(|| origin.open() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_no_answer() {
    within(async {
        let origin =
            Origin::saying("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
                .await;
        let answer = Proxy::to(origin.address).connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(answer.status(), 502);
    })
    .await;
}

const EXPECTING: &str = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[tokio::test]
async fn a_body_waits_for_the_upstreams_100() {
    within(async {
        let said = Arc::new(AtomicBool::new(false));
        let says = said.clone();
        let origin = Origin::start(move |mut visit| {
            let says = says.clone();
            async move {
                visit.request().await;
                assert_eq!(visit.unasked().await, b"");
                says.store(true, SeqCst);
                visit.send("HTTP/1.1 100 Continue\r\n\r\n").await;
                let (body, _) = visit.exactly(5).await;
                visit.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
                visit.send(body).await;
            }
        })
        .await;
        for address in [origin.address, Proxy::to(origin.address).address] {
            said.store(false, SeqCst);
            let mut client = Wire::to(address).await;
            client.send(EXPECTING).await;
            assert_eq!(client.answer(false).await.line, "HTTP/1.1 100 Continue");
            assert!(said.load(SeqCst), "the 100 is the upstream's to say");
            assert_eq!(client.ask("hello").await.text(), "hello");
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_the_upstream_refuses_is_never_asked_for() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send("HTTP/1.1 417 No\r\nContent-Length: 4\r\n\r\nnope").await;
            let (unasked, _) = visit.rest().await;
            assert!(unasked.is_empty());
        })
        .await;
        let answer = alike(&origin, EXPECTING).await;
        assert_eq!((answer.status(), answer.text().as_str()), (417, "nope"));
        let seen = origin.heads().pop().unwrap();
        assert!(seen.iter().any(|line| line == "Expect: 100-continue"), "{seen:?}");
        // The request will never be whole, so its connection is of no more use.
        until(|| origin.open() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_knows_no_100_gets_the_body_after_a_while() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            let (body, _) = visit.exactly(5).await;
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
            visit.send(body).await;
        })
        .await;
        let proxy = Proxy::to(origin.address);
        let mut client = proxy.connect().await;
        client.send(EXPECTING).await;
        assert_eq!(client.answer(false).await.status(), 100);
        assert_eq!(client.ask("hello").await.text(), "hello");
    })
    .await;
}

#[tokio::test]
async fn one_upstream_connection_serves_many_requests() {
    within(async {
        let origin = Origin::saying(OK).await;
        let proxy = Proxy::to(origin.address);
        let mut client = proxy.connect().await;
        for _ in 0..20 {
            assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
        }
        assert_eq!(proxy.connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
        assert_eq!((origin.heads().len(), origin.connections()), (21, 1));
    })
    .await;
}

/// An upstream whose connections answer once, and close as soon as a second request comes.
async fn forgetful() -> Origin {
    Origin::start(|mut visit| async move {
        visit.request().await;
        visit.send(OK).await;
        visit.request().await;
    })
    .await
}

#[tokio::test]
async fn a_get_is_sent_again_when_a_pooled_connection_was_dead() {
    within(async {
        let origin = forgetful().await;
        let proxy = Proxy::to(origin.address);
        let mut client = proxy.connect().await;
        for method in ["GET", "GET", "GET"] {
            let answer = client.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            assert_eq!(answer.status(), 200);
        }
        assert!(origin.heads().len() > 3);
    })
    .await;
}

#[tokio::test]
async fn nothing_else_is_sent_again() {
    within(async {
        for again in [
            "POST /again HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "POST /again HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
            "DELETE /again HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /again HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
        ] {
            let origin = forgetful().await;
            let proxy = Proxy::to(origin.address);
            let mut client = proxy.connect().await;
            assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
            let answer = client.ask(again).await;
            assert_eq!(answer.status(), 502, "{again}");
            assert_eq!(origin.heads().len(), 2, "{again}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_get_that_dies_on_a_new_connection_is_not_sent_again() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
        })
        .await;
        let answer = Proxy::to(origin.address).connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(answer.status(), 502);
        assert_eq!(origin.heads().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_old_client_gets_an_old_answer() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            while visit.request().await {
                visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
                moment().await;
                visit.send("2\r\nde\r\n0\r\n\r\n").await;
            }
        })
        .await;
        let proxy = Proxy::to(origin.address);
        let answer = proxy.connect().await.ask("GET / HTTP/1.0\r\n\r\n").await;
        assert_eq!((answer.line.as_str(), answer.text().as_str()), ("HTTP/1.0 200 OK", "abcde"));
        assert_eq!(answer.end, End::Closed);
        assert_eq!(answer.header("transfer-encoding"), None);
        let seen = origin.heads().remove(0);
        assert_eq!(seen[0], "GET / HTTP/1.1");
        assert!(
            seen.iter().any(|line| line.eq_ignore_ascii_case(&format!("host: {}", origin.address))),
            "{seen:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_old_client_that_asks_for_it_keeps_its_connection() {
    within(async {
        let origin = Origin::saying(OK).await;
        let proxy = Proxy::to(origin.address);
        let mut client = proxy.connect().await;
        for _ in 0..2 {
            let answer = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
            assert_eq!((answer.text().as_str(), answer.end), ("ok", End::Whole));
        }
    })
    .await;
}

#[tokio::test]
async fn an_old_client_that_got_everything_sees_a_proper_end() {
    within(async {
        for (method, answer) in [
            ("GET", OK),
            ("HEAD", OK),
            ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
            ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
            ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ] {
            let origin = Origin::saying(answer).await;
            let proxy = Proxy::to(origin.address);
            let mut client = proxy.connect().await;
            client.ask(format!("{method} / HTTP/1.0\r\n\r\n")).await;
            assert_eq!(client.rest().await, (Vec::new(), End::Closed), "{method} {answer}");
        }
    })
    .await;
}

/// An upstream that is lost in the middle of a body.
async fn cut_short() -> Origin {
    Origin::start(|mut visit| async move {
        visit.request().await;
        visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        moment().await;
        visit.send("2\r\nde\r\n").await;
    })
    .await
}

#[tokio::test]
async fn a_body_that_the_upstream_cut_is_cut_after_all_that_came() {
    within(async {
        let origin = cut_short().await;
        let answer = Proxy::to(origin.address).connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((answer.text().as_str(), answer.end), ("abcde", End::Cut));
    })
    .await;
}

#[tokio::test]
async fn an_old_client_is_cut_by_a_reset() {
    within(async {
        let origin = cut_short().await;
        let answer = Proxy::to(origin.address).connect().await.ask("GET / HTTP/1.0\r\n\r\n").await;
        assert_eq!(answer.end, End::Reset);
    })
    .await;
}

#[tokio::test]
async fn an_old_upstream_ends_its_body_by_closing() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nabc").await;
        })
        .await;
        let answer = Proxy::to(origin.address).connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((answer.line.as_str(), answer.text().as_str()), ("HTTP/1.1 200 OK", "abc"));
        assert_eq!(answer.end, End::Whole);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_the_upstreams_fault() {
    within(async {
        for (nonsense, said) in [
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "SSH-2.0-OpenSSH_9.2"),
            ("\x15\x03\x01\x00\x02\x02\x16", "\\x15\\x03\\x01"),
            ("HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 20 OK"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK"),
            ("HTTP/1.1 203 Odd\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 203 Odd"),
            ("HTTP/1.1 101 Unasked\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n", "HTTP/1.1 101 Unasked"),
        ] {
            let origin = Origin::start(move |mut visit| async move {
                visit.request().await;
                visit.send(nonsense).await;
            })
            .await;
            let binary = Binary::to(origin.address).await;
            let answer = binary.connect().await.ask("GET /secret?token=1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(answer.status(), 502, "{nonsense}");
            assert!(answer.text().starts_with("respool: the upstream's answer makes no sense"), "{answer:?}");
            // The log is JSON, which escapes what is escaped.
            until(|| binary.log().replace("\\\\", "\\").contains(said)).await;
            assert!(!binary.log().contains("secret") && !binary.log().contains("token"), "{}", binary.log());
        }
    })
    .await;
}

/// An address where nobody listens.
fn nobody() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn an_upstream_that_is_down_is_told_at_once() {
    within(async {
        let answer = Proxy::to(nobody()).connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (502, "respool: the upstream cannot be reached\n")
        );
    })
    .await;
}

const EVENTS: &str =
    "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n\r\n";

#[tokio::test]
async fn an_event_source_is_held_and_then_cut_without_an_answer() {
    within(async {
        let proxy = Proxy::to(nobody());
        let mut client = proxy.connect().await;
        let start = Instant::now();
        client.send(EVENTS).await;
        assert_eq!(client.rest().await, (Vec::new(), End::Closed));
        assert!(start.elapsed() >= Duration::from_millis(600), "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test]
async fn an_event_source_gets_the_answer_of_an_upstream_that_comes_back() {
    within(async {
        let address = nobody();
        let proxy = Proxy::to(address);
        let mut client = proxy.connect().await;
        client.send(EVENTS).await;
        moment().await;
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let mut upstream = Wire::new(listener.accept().await.unwrap().0);
        upstream.head().await;
        upstream.send(OK).await;
        assert_eq!(client.answer(false).await.text(), "ok");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_while_waiting_takes_its_request_with_it() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.rest().await;
        })
        .await;
        let proxy = Proxy::to(origin.address);
        let mut client = proxy.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until(|| origin.heads().len() == 1).await;
        drop(client);
        until(|| origin.open() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_a_body_takes_the_upstreams_with_it() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
            visit.rest().await;
        })
        .await;
        let proxy = Proxy::to(origin.address);
        let mut client = proxy.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await;
        drop(client);
        until(|| origin.open() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_broken_request_body_never_ends_properly_at_the_upstream() {
    within(async {
        for (rest, leaves) in [("zz\r\nnot a chunk", false), ("5\r\nab", true)] {
            let (told, mut ended) = tokio::sync::mpsc::unbounded_channel();
            let origin = Origin::start(move |mut visit| {
                let told = told.clone();
                async move {
                    visit.request().await;
                    told.send(visit.chunked().await).unwrap();
                }
            })
            .await;
            let proxy = Proxy::to(origin.address);
            let mut client = proxy.connect().await;
            client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
            until(|| origin.heads().len() == 1).await;
            client.send(rest).await;
            if leaves {
                drop(client);
            } else {
                assert_eq!(client.answer(false).await.status(), 400);
            }
            let (body, _, end) = ended.recv().await.unwrap();
            assert_eq!(end, End::Cut, "{rest}");
            assert!(body.starts_with(b"abc"), "{rest}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_is_through_arrives() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.exactly(10_000).await;
            visit.send("HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop").await;
        })
        .await;
        for _ in 0..20 {
            let mut client = Proxy::to(origin.address).connect().await;
            client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
            // As clients do that look for the answer only when they have said all that they can.
            for _ in 0..100 {
                if client.try_send(vec![b'a'; 100_000]).await.is_err() {
                    break;
                }
            }
            let answer = client.answer(false).await;
            assert_eq!((answer.status(), answer.text().as_str()), (413, "stop"));
        }
    })
    .await;
}

#[tokio::test]
async fn odd_targets_arrive_as_they_are() {
    within(async {
        let origin = Origin::saying(OK).await;
        let proxy = Proxy::to(origin.address);
        for target in [
            "/",
            "//",
            "/?",
            "/a?b?c",
            "/%2e%2e/%zz",
            "/a;b=c/./..",
            "/{}|\\^\"'",
            "/\u{e9}",
            "/?q={'a':[1]}|\\^`",
            "/a:80",
        ] {
            let answer = proxy.connect().await.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            assert_eq!(answer.status(), 200, "{target}");
            assert_eq!(origin.heads().pop().unwrap()[0], format!("GET {target} HTTP/1.1"));
        }
    })
    .await;
}

#[tokio::test]
async fn unix_sockets_serve_on_both_sides() {
    within(async {
        let place =
            |name: &str| std::env::temp_dir().join(format!("respool-it-{}-{name}", std::process::id()));
        let (upstream, front) = (place("upstream"), place("front"));
        let _ = std::fs::remove_file(&upstream);
        let listener = UnixListener::bind(&upstream).unwrap();
        tokio::spawn(async move {
            let mut visit = Wire::new(listener.accept().await.unwrap().0);
            let head = visit.head().await;
            assert!(!head.iter().any(|line| line.starts_with("x-forwarded-for")), "{head:?}");
            visit.send(OK).await;
            visit.head().await;
        });
        let address = Address::Unix(front.clone());
        let url = format!("unix:{}", upstream.display());
        let drain =
            Proxy::on([Listener::bind(&address).unwrap()], &url, Settings::default(), Limits::default());
        let mut client = Wire::new(UnixStream::connect(&front).await.unwrap());
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "ok");
        drop(client);
        drain.finish().await;
        until(|| !front.exists()).await;
        std::fs::remove_file(upstream).unwrap();
    })
    .await;
}
