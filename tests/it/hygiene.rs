//! Requests that a proxy must refuse, raw, on real sockets: what hyper refuses, what we do, and what neither has to.

use crate::support::{Answer, End, Origin, Proxy, Wire, moment, within, world::World};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends a request as it is, and wants this status. A refused one must not reach the upstream, and ends its
/// connection.
async fn check(request: &str, status: u16) {
    let origin = Origin::saying(OK).await;
    let proxy = Proxy::to(origin.address);
    let mut client = proxy.connect().await;
    // A refusal can come, and the connection end, before all was sent.
    let _ = client.try_send(request).await;
    let answer = client.answer(request.starts_with("HEAD")).await;
    assert_eq!(answer.status(), status, "{request:.200}");
    let passed = origin.heads().iter().filter(|head| head[0].ends_with(" HTTP/1.1")).count();
    assert_eq!(passed, usize::from(status == 200), "{request:.200}");
    if status != 200 {
        is_refusal(&answer, request);
        assert_ne!(client.rest().await.1, End::Whole);
    }
}

/// One line of text that says why.
fn is_refusal(answer: &Answer, request: &str) {
    let text = answer.text();
    assert!(text.starts_with("respool: ") && text.len() > 20, "{text:?} to {request:.200}");
    assert_eq!(text.lines().count(), 1);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_request_names_one_host() {
    within(async {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200).await;
        check("GET / HTTP/1.0\r\n\r\n", 200).await;
        check("GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", 200).await;
        check("GET / HTTP/1.1\r\n\r\n", 400).await;
        check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400).await;
        check("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400).await;
        check("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400).await;
        check("GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", 400).await;
        check("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400).await;
        check("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400).await;
    })
    .await;
}

#[tokio::test]
async fn a_body_is_framed_in_one_way() {
    within(async {
        let post = |framing: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n0\r\n\r\n");
        check(&post("Transfer-Encoding: chunked"), 200).await;
        check(&post("Transfer-Encoding: CHUNKED"), 200).await;
        check(&post("Transfer-Encoding: gzip, chunked"), 400).await;
        check(&post("Transfer-Encoding: chunked, chunked"), 400).await;
        check(&post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 400).await;
        check(&post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), 400).await;
        check(&post("Transfer-Encoding: identity"), 400).await;
        check(&post("Transfer-Encoding: \x0bchunked"), 400).await;
        check(&post("Transfer-Encoding : chunked"), 400).await;
        check(&post(" Transfer-Encoding: chunked"), 400).await;
        check(&post("X: y\r\n Transfer-Encoding: chunked"), 400).await;
        check(&post("Content-Length: 5\r\nContent-Length: 6"), 400).await;
        check(&post("Content-Length: 5, 5"), 400).await;
        check(&post("Content-Length: +5"), 400).await;
        check(&post("Content-Length: 0x5"), 400).await;
        check(&post("Content-Length: -1"), 400).await;
        check(&post("Content-Length: 18446744073709551616"), 400).await;
        check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400).await;
    })
    .await;
}

/// hyper goes by the chunks, takes the length out and ends the connection; whoever is behind us sees one framing.
#[tokio::test]
async fn of_a_length_and_chunks_only_the_chunks_go_on() {
    within(async {
        for framing in [
            "Content-Length: 6\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 6",
        ] {
            let origin = Origin::start(|mut visit| async move {
                visit.request().await;
                assert_eq!(visit.chunked().await.0, b"abc");
                visit.send(OK).await;
                assert!(!visit.request().await, "the rest was taken for a request");
            })
            .await;
            let proxy = Proxy::to(origin.address);
            let mut client = proxy.connect().await;
            let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
            client
                .send(format!(
                    "POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n3\r\nabc\r\n0\r\n\r\n{smuggled}"
                ))
                .await;
            let answer = client.answer(false).await;
            assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
            client.rest().await;
            let heads = origin.heads();
            assert_eq!(heads.len(), 1, "{heads:?}");
            assert!(
                !heads[0].iter().any(|line| line.to_lowercase().starts_with("content-length")),
                "{heads:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn connection_names_no_end_to_end_header() {
    within(async {
        for (named, status) in [
            ("close", 200),
            ("keep-alive, X-Own", 200),
            ("Last-Event-ID", 400),
            ("keep-alive, Host", 400),
            ("Cookie", 400),
            ("authorization", 400),
            ("Content-Length", 400),
            ("ORIGIN", 400),
            ("X-Api-Key", 400),
        ] {
            check(
                &format!(
                    "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nX-Api-Key: c\r\nConnection: {named}\r\n\r\n"
                ),
                status,
            )
            .await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_an_upstreams_connection_names_stays_there() {
    within(async {
        let said = "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Own\r\nX-Own: 1\r\nX-All: 2\r\nContent-Length: 2\r\n\r\nok";
        let origin = Origin::saying(said).await;
        let answer = Proxy::to(origin.address).connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((answer.header("x-own"), answer.header("x-all")), (None, Some("2")));
    })
    .await;
}

#[tokio::test]
async fn some_methods_and_targets_are_not_for_a_reverse_proxy() {
    within(async {
        check("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405).await;
        check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200).await;
        check("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400).await;
        check("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400).await;
        check("G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n", 400).await;
        check("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400).await;
        check("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400).await;
        check(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "b".repeat(8191)), 200).await;
        check(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "b".repeat(8192)), 414).await;
    })
    .await;
}

#[tokio::test]
async fn an_options_for_the_server_itself_arrives_as_one() {
    within(async {
        let origin = Origin::saying(OK).await;
        Proxy::to(origin.address).connect().await.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(origin.heads()[0][0], "OPTIONS * HTTP/1.1");
    })
    .await;
}

#[tokio::test]
async fn a_head_is_bounded_by_count_and_by_size() {
    within(async {
        let lines = |count: usize| (1..count).fold(String::new(), |all, n| all + &format!("x-{n}: 1\r\n"));
        check(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(64)), 200).await;
        check(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(65)), 431).await;
        let long = |size: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(size));
        check(&long(31 * 1024), 200).await;
        check(&long(33 * 1024), 431).await;
    })
    .await;
}

#[tokio::test]
async fn a_refusal_repeats_nothing_of_the_request() {
    within(async {
        let origin = Origin::saying(OK).await;
        let request = "GET /secret-path?token=secret HTTP/1.1\r\nHost: secret host\r\nCookie: secret\r\n\r\n";
        let answer = Wire::to(Proxy::to(origin.address).address).await.ask(request).await;
        assert_eq!(answer.text(), "respool: bad request: the Host is malformed\n");
        assert!(!format!("{answer:?}").contains("secret"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    })
    .await;
}

/// What hyper refuses never is a request to us; still the client is told why.
#[tokio::test]
async fn what_is_no_request_at_all_is_told_so() {
    let malformed = "respool: bad request: the request line or a header line is malformed\n";
    within(async {
        let origin = Origin::saying(OK).await;
        let proxy = Proxy::to(origin.address);
        for (request, status, text) in [
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, malformed),
            ("\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03", 400, malformed),
            (&"x".repeat(40_000), 431, "respool: the request head is too large\n"),
        ] {
            // On a connection of its own, and after a request that was answered: of each version, with and without a body.
            for before in [
                "",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
            ] {
                for pipelined in [false, true] {
                    let mut client = proxy.connect().await;
                    let together = format!("{before}{request}");
                    let _ = client.try_send(if pipelined { &together } else { before }).await;
                    if !before.is_empty() {
                        assert_eq!(client.answer(before.starts_with("HEAD")).await.status(), 200);
                    }
                    if !pipelined {
                        let _ = client.try_send(request).await;
                    }
                    let answer = client.answer(false).await;
                    assert_eq!((answer.status(), answer.text().as_str()), (status, text), "{together:.80}");
                    is_refusal(&answer, request);
                    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
                }
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_at_all_is_counted_as_refused() {
    let world = World::new("");
    let client = world.request("GET  / HTTP/1.1\nHost: h").await;
    assert_eq!((client.status, client.text().starts_with("respool: bad request")), (400, true));
    assert_eq!(world.metric("respool_requests_total{outcome=\"refused\"}"), 1);
}

#[tokio::test]
async fn a_bad_chunk_is_refused_too() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.rest().await;
        })
        .await;
        let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
        let mut client = Proxy::to(origin.address).connect().await;
        let answer = client.ask(request).await;
        assert_eq!(answer.status(), 400);
        is_refusal(&answer, request);
    })
    .await;
}

/// The very bytes of hyper's refusals, said by somebody else.
#[tokio::test]
async fn what_an_upstream_says_is_never_taken_for_a_refusal() {
    const REFUSAL: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", REFUSAL.len())).await;
            moment().await;
            visit.send(REFUSAL).await;
            visit.request().await;
            visit.send("HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n").await;
            moment().await;
            visit.send(REFUSAL).await;
        })
        .await;
        let mut client = Proxy::to(origin.address).connect().await;
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), REFUSAL);
        client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
        assert_eq!(client.rest().await, (REFUSAL.into(), End::Closed));
        let origin = Origin::saying(REFUSAL).await;
        let answer = Proxy::to(origin.address).connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((answer.status(), answer.text().as_str()), (400, ""), "the upstream's own no");
    })
    .await;
}
