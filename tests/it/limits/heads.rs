//! A head has ten seconds. One that is late by a moment ends its connection, is counted, and told of; a connection that waits for
//! nothing ends after as long, and is not worth a word.

use std::convert::Infallible;

use http::{Request, Response};
use respool::{
    drain::Drain,
    metrics::Metrics,
    net::Peer,
    server::{Limits, Server},
};
use tokio::{
    io::duplex,
    time::{Duration, sleep},
};

use super::told::Told;
use crate::support::{End, Wire, within};

const MESSAGE: &str = "a connection was ended: the head of its request did not come in time";
const LIMIT: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(2);
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn cut() -> &'static str {
    "respool_connections_cut_total{reason=\"head\"}"
}

/// A client of a server that counts what it ends connections for, by the clock that is stopped.
struct Counted {
    metrics: Metrics,
    client: Wire,
}

impl Counted {
    fn new() -> Self {
        let (near, far) = duplex(1 << 16);
        let service = tower::service_fn(|_: Request<hyper::body::Incoming>| async {
            Ok::<_, Infallible>(Response::new(String::from("ok")))
        });
        let metrics = Metrics::default();
        let server = Server::new(service, Limits::default(), Drain::default()).counting(
            metrics.connections.clone(),
            metrics.shortages.clone(),
            metrics.cut_connections.clone(),
        );
        tokio::spawn(server.serve(near, Peer(None)));
        Self { metrics, client: Wire::new(far) }
    }

    /// It is ended without an answer; whether that is counted.
    async fn is_counted(&mut self) -> bool {
        let (said, end) = self.client.rest().await;
        assert!(said.is_empty() && end != End::Whole, "{said:?}");
        let text = self.metrics.encode();
        let count =
            text.lines().find_map(|line| line.strip_prefix(cut())).unwrap_or_else(|| panic!("{text}"));
        count.trim() == "1"
    }
}

/// Each head comes in these two parts, the second one so late.
async fn check(first: &str, late: Duration, in_time: bool) {
    for before in [0, 1, 3] {
        let mut counted = Counted::new();
        for _ in 0..before {
            assert_eq!(counted.client.ask(GET).await.text(), "ok");
        }
        counted.client.send(first).await;
        sleep(late).await;
        let is_open = counted.client.try_send(GET.strip_prefix(first).unwrap()).await.is_ok();
        assert_eq!(is_open, in_time, "{first:?} {before}");
        if in_time {
            assert_eq!(counted.client.answer(false).await.text(), "ok", "{first:?} {before}");
            assert!(!counted.is_counted().await, "{first:?} {before}");
        } else {
            assert!(counted.is_counted().await, "{first:?} {before}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_in_time_is_answered_and_one_that_does_not_is_counted() {
    for first in ["G", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        check(first, LIMIT - MOMENT, true).await;
        check(first, LIMIT + MOMENT, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_from_http_2_yet_is_a_head_too() {
    let mut counted = Counted::new();
    counted.client.send("PR").await;
    sleep(LIMIT + MOMENT).await;
    assert!(counted.is_counted().await);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_is_not_counted() {
    for before in [0, 1, 3] {
        let mut counted = Counted::new();
        for _ in 0..before {
            assert_eq!(counted.client.ask(GET).await.text(), "ok");
        }
        sleep(LIMIT + MOMENT).await;
        assert!(!counted.is_counted().await, "{before}");
    }
}

#[tokio::test]
async fn a_head_that_was_begun_and_does_not_come_is_told_of() {
    within(async {
        let told = Told::start("").await;
        let (mut idle, mut slow) = (told.binary.connect().await, told.binary.connect().await);
        slow.send("GET / HTTP/1.1\r\nHost: ").await;
        assert_eq!(idle.rest().await.0, b"");
        assert_eq!(slow.rest().await.0, b"");
        told.tells("fixed", cut(), 1).await;
        let log = told.binary.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("\"setting\"")).collect();
        let [line] = lines[..] else { panic!("{log}") };
        let facts =
            ["\"level\":\"WARN\"", "\"reason\":\"head\"", "\"limit\":\"10s\"", "\"times\":1", MESSAGE];
        assert!(facts.iter().all(|fact| line.contains(fact)), "{line}");
    })
    .await;
}
