//! What the log says, and what it never says: payloads, credentials, queries, ids, header values.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::sleep;
use tracing_subscriber::fmt;

use crate::support::{Binary, Origin, until, within, world::World};

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
        for secret in ["hidden", "r00000000000000000000", "token", "sid"] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    })
    .await;
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
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self, with: &str) -> Vec<String> {
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

fn listen() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
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
