//! What the log says, and what it never says: payloads, credentials, queries, ids, header values.

mod table;

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use tokio::time::sleep;
use tracing::{Dispatch, dispatcher::DefaultGuard, level_filters::LevelFilter};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::support::{
    Binary, Origin, until, within,
    world::{World, settle},
};

#[tokio::test]
async fn case_19_no_payload_credential_query_or_id_is_ever_logged() {
    within(async {
        let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSet-Cookie: sid=hidden1\r\n\
                      X-App: hidden2\r\nTransfer-Encoding: chunked\r\n\r\n\
                      29\r\nevent: hidden3\nid: hidden4\ndata: hidden5\n\r\n1\r\n\n\r\n0\r\n\r\n";
        let origin = Origin::saying(stream).await;
        let binary = Binary::logging(origin.address, "trace").await;
        for id in ["hidden6", "r00000000000000000000-1"] {
            let request = format!(
                "GET /e/hidden7?token=hidden8 HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\
                 Authorization: Bearer hidden9\r\nCookie: sid=hidden10\r\nLast-Event-ID: {id}\r\n\r\n"
            );
            let answer = binary.connect().await.ask(request).await;
            assert!(answer.text().contains("data: hidden5"), "{answer:?}");
        }
        let refused = "GET /?hidden11 HTTP/1.1\r\nHost: a\r\nHost: hidden12\r\n\r\n";
        assert_eq!(binary.connect().await.ask(refused).await.status(), 400);
        until(|| binary.log().contains("a request was refused")).await;
        let log = binary.log();
        // What libraries say of themselves may quote a request.
        let others = log.lines().filter(|line| !line.contains("\"target\":\"respool"));
        assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
        for secret in ["hidden", "r00000000000000000000", "token", "sid"] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    })
    .await;
}

/// A client whose every part is a secret.
fn secretive(path: &str, id: &str) -> String {
    let id = if id.is_empty() { String::new() } else { format!("\nLast-Event-ID: {id}") };
    format!(
        "GET {path}/hidden?hidden=hidden&lastEventId= HTTP/1.1\nHost: h\nAccept: text/event-stream\nCookie: hidden=hidden\n\
         Authorization: Bearer hidden\nX-Hidden: hidden\nUser-Agent: hidden\ntraceparent: 00-hidden-hidden-01\n\
         tracestate: hidden=hidden\nbaggage: hidden=hidden\nX-Request-Id: hidden{id}"
    )
}

const SECRETS: &str = "\
[limits]
event = '1KiB'
[[route]]
path = '/shared/*'
mode = 'shared'
key = ['path']
type = '/kind'
hello = ['hidden-hello']
ephemeral = ['hidden-beat']
reset = ['hidden-reset']
on_gap = 'replay'
gap_event = { event = 'hidden-gap', data = 'hidden {reason}' }
on_break = 'hold'
admit_cache = '1s'
linger = '20s'
[[route.guard]]
open = ['hidden-ask']
close = ['hidden-answer']
key = '/hidden'
[[route]]
path = '/resumes/*'
mode = 'shared'
key = ['path']
upstream_resumes = true
";

/// Every kind of event; the id is the upstream's own.
fn every_kind() -> String {
    let kinds = ["hello", "beat", "ask", "answer", "ask", "reset", "other"];
    let event = |kind| format!("data: {{\"kind\": \"hidden-{kind}\", \"hidden\": \"hidden\"}}\n\n");
    let events: String = kinds.into_iter().map(event).collect();
    format!(
        "{events}event: hidden\nid: hidden-id\ndata: hidden\n\n:hidden\n\nid: hidden-lone\n\nretry: 1000\n\n"
    )
}

/// In-process, at every level and with every step of every span: clients that come, come back in every way, are refused,
/// held and cut, and upstreams that are lost in every way.
#[tokio::test(start_paused = true)]
async fn case_19_nothing_secret_is_in_any_event_or_span_or_metric_whatever_becomes_of_a_stream() {
    let (log, _guard) = listen_to_all();
    for path in ["/private", "/shared", "/resumes"] {
        let mut world = World::new(SECRETS);
        let mut client = world.send(&secretive(path, "")).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin_with("Set-Cookie: hidden=hidden2\nX-Hidden: hidden\n").await;
        upstream.send(every_kind()).await;
        let own = client.id().await;
        drop(client);
        settle().await;
        let ids = [
            own.as_str(),
            "r0123456789abcdefghij-1",
            "r0123456789abcdefghij-hidden",
            "hidden-id",
            "hidden-no",
        ];
        for id in ids {
            let mut back = world.send(&secretive(path, id)).await;
            back.read().await;
            for status in [403, 200] {
                if let Some(mut asked) = world.origin.waiting().await {
                    match status {
                        403 => asked.refuse(403).await,
                        _ => asked.begin().await,
                    }
                }
                back.read().await;
            }
        }
        // Lost, away, refused, there again, and too large.
        let _stays = world.send(&secretive(path, "")).await;
        world.origin.set_away(true);
        drop(upstream);
        sleep(Duration::from_secs(8)).await;
        world.origin.set_away(false);
        sleep(Duration::from_secs(2)).await;
        while let Some(mut asked) = world.origin.waiting().await {
            asked.begin().await;
            asked.events(["hidden".repeat(1000)]).await;
            sleep(Duration::from_secs(2)).await;
        }
        let post = secretive(path, "").replace("GET ", "POST ") + "\nContent-Length: 6";
        let mut post = world.send(&post).await;
        post.write(b"hidden").await;
        world.origin.accept().await.begin().await;
        world.app.drain().begin();
        sleep(Duration::from_secs(20)).await;
        let metrics = world.app.metrics().encode();
        assert!(!metrics.contains("hidden"), "{metrics}");
    }
    // Nothing that is said once in some seconds: another test may have said it.
    for seen in ["a client joined", "an event stream is held", "was lost", "\"client\"", "\"upstream\""] {
        assert!(!log.lines(seen).is_empty(), "{seen}: this is a test of what is logged");
    }
    for secret in ["hidden", "r0123456789abcdefghij", "Hidden"] {
        assert!(log.lines(secret).is_empty(), "{:?}", log.lines(secret));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_and_an_upstream_connection_have_a_span_each() {
    for shared in [false, true] {
        let (log, _guard) = listen_to_all();
        let file = "[[route]]\npath = '/e'\nmode = 'shared'\nadmit = 'none'\n";
        let mut world = World::new(if shared { file } else { "" });
        let (mut first, mut upstream) = world.open("/e").await;
        upstream.events(["a"]).await;
        let id = first.id().await;
        drop(first);
        upstream.events(["b"]).await;
        let mut back = world.event_source("/e", &id).await;
        back.read().await;
        upstream.finish().await;
        back.read().await;
        drop(back);
        settle().await;
        // A span's own part of a line.
        let own = |line: &str| Some(line.split_once("\"span\":{")?.1.split_once('}')?.0.to_owned());
        let begun: Vec<_> = log.lines("\"message\":\"new\"").iter().filter_map(|line| own(line)).collect();
        let new =
            |name: &str| begun.iter().filter(|span| span.contains(&format!("\"name\":\"{name}\""))).count();
        assert_eq!((new("client"), new("upstream")), (2, 1));
        let (joined, gone) = (log.lines("\"a client joined\""), log.lines("\"a client is gone\""));
        let route = if shared { "/e" } else { "default" };
        for (lines, verdict, fields) in [
            (&joined, "fresh", "\"replayed\":0"),
            (&joined, "resumed", "\"replayed\":1"),
            (&gone, "fresh", "\"how\":\"left\",\"events\":1"),
            (&gone, "resumed", "\"how\":\"ended\",\"events\":1"),
        ] {
            let span = format!("\"route\":\"{route}\",\"verdict\":\"{verdict}\"");
            let found = lines.iter().filter(|line| line.contains(&span) && line.contains(fields)).count();
            assert_eq!(found, 1, "{span} {fields} in {lines:?}");
        }
        let over = log.lines("\"an upstream connection is over\"");
        assert!(over.len() == 1 && over[0].contains("\"end\":\"finished\""), "{over:?}");
        let key = |line: &str| line.split("\"key\":\"").nth(1).unwrap()[..8].to_owned();
        let keys: Vec<_> = joined.iter().chain(&gone).chain(&over).map(|line| key(line)).collect();
        assert!(keys.iter().all(|other| *other == keys[0] && other.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}

#[tokio::test]
async fn the_cause_of_a_loss_is_logged() {
    within(async {
        let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                      9\r\ndata: 1\n\n\r\nno chunk\r\n";
        let origin = Origin::saying(stream).await;
        let binary = Binary::to(origin.address).await;
        let request = "GET /e HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n";
        let mut client = binary.connect().await;
        client.send(request).await;
        until(|| binary.log().contains("the upstream of a session was lost")).await;
        assert!(binary.log().contains("chunk"), "{}", binary.log());
    })
    .await;
}

/// What is logged by this thread.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The lines that have this in them.
    pub(super) fn lines(&self, with: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// While there is one subscriber alone, a message that another test's thread comes to first, which has none, is taken
/// for one that nobody wants, in all threads. So there are others always.
static COMPANY: LazyLock<[Dispatch; 2]> = LazyLock::new(|| {
    let deaf = || tracing_subscriber::fmt().with_max_level(LevelFilter::OFF).finish();
    [Dispatch::new(deaf()), Dispatch::new(deaf())]
});

fn set(subscriber: impl Into<Dispatch>) -> DefaultGuard {
    LazyLock::force(&COMPANY);
    tracing::dispatcher::set_default(&subscriber.into())
}

/// Everything at every level, with the beginning, each step and the end of each span.
pub(super) fn listen_to_all() -> (Log, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let all = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL);
    let subscriber = all.with_writer(move || writer.clone()).finish();
    (log, set(subscriber))
}

/// The same as a person reads it.
pub(super) fn read_all() -> (Log, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    (log, set(all.with_span_events(FmtSpan::FULL).with_writer(move || writer.clone()).finish()))
}

fn listen() -> (Log, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (log, set(subscriber))
}

#[tokio::test(start_paused = true)]
async fn lasting_pressure_is_a_line_in_some_seconds_and_not_one_for_each_event() {
    let (log, _guard) = listen();
    let mut world = World::new(
        "[limits]\nmemory = '1MiB'\nevent = '64KiB'\nstreams = 3\n[window]\nbytes = '512KiB'\nevents = 100000\n",
    );
    let mut greedy = Vec::new();
    for _ in 0..8 {
        greedy.push(world.open("/greedy").await);
    }
    let mut press = async || {
        for (client, exchange) in &mut greedy {
            for _ in 0..60 {
                exchange.events(["x".repeat(10_000)]).await;
                client.read().await;
            }
        }
    };
    press().await;
    assert_eq!(log.lines("windows gave way").len(), 1);
    sleep(Duration::from_secs(6)).await;
    press().await;
    let lines = log.lines("windows gave way");
    assert!(lines.len() == 2 && !lines[1].contains("times=1 "), "{lines:?}");
    assert_eq!(log.lines("passes without ids").len(), 1, "of five");
}

#[tokio::test]
async fn an_upstream_that_is_away_is_a_line_and_not_one_for_each_request() {
    within(async {
        let nobody = Origin::saying("").await.address;
        let binary = Binary::to(nobody).await;
        for _ in 0..20 {
            let mut client = binary.connect().await;
            assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 502);
        }
        until(|| binary.log().contains("the upstream did not answer")).await;
        assert_eq!(binary.log().matches("the upstream did not answer").count(), 1, "{}", binary.log());
    })
    .await;
}
