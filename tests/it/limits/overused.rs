//! What a client of HTTP/2 may do so often and no more: at the edge nothing is said, beyond it the connection is ended,
//! counted, and told.

use tokio::time::{Duration, sleep};

use super::told::Told;
use crate::{
    raw::{
        frames::{END_HEADERS, END_STREAM, HEADERS, PRIORITY, RESET, block, frame, get},
        spoken::{Said, Spoken},
    },
    support::within,
};

/// The first request of a client, which costs it one frame beside those that its settings are.
const FIRST: u32 = 1;
/// What is told, for all of them.
const MESSAGE: &str = "a connection was ended: its client did more than is taken";

fn cut(reason: &str) -> String {
    format!("respool_connections_cut_total{{reason=\"{reason}\"}}")
}

impl Told {
    async fn spoken(&self) -> Spoken {
        Spoken::begin(self.binary.address).await
    }

    /// A word of this reason is in the log, with all that is said of it, and once for as often as it was.
    async fn ends(&self, reason: &str, fact: &str) {
        self.tells("fixed", &cut(reason), 1).await;
        let log = self.binary.log();
        let line = log.lines().find(|line| line.contains(MESSAGE)).unwrap();
        let facts = ["\"level\":\"WARN\"", &format!("\"reason\":\"{reason}\""), "\"times\":1", fact];
        assert!(facts.iter().all(|fact| line.contains(fact)), "{line}");
        for other in ["head", "frames", "given_up", "protocol"].into_iter().filter(|other| *other != reason) {
            assert_eq!(self.metric(&cut(other)).await, 0, "{other}");
        }
    }

    async fn has_ended_none(&self) {
        for reason in ["head", "frames", "given_up", "protocol"] {
            assert_eq!(self.metric(&cut(reason)).await, 0, "{reason}");
        }
        self.is_silent();
    }
}

/// A request whose answer never comes.
fn mute(stream: u32) -> Vec<u8> {
    let lines = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/0"),
        (":authority", "a"),
        ("accept", "text/event-stream"),
        ("mute", "1"),
    ];
    let lines = lines.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&lines))
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &[0, 0, 0, 8])
}

async fn is_answered(client: &mut Spoken, stream: u32) -> bool {
    client.send(get(stream, "/0")).await;
    client.until(|said| *said == Said::Status(stream, 200)).await
}

#[tokio::test]
async fn frames_beyond_two_thousand_that_ask_for_nothing_end_their_connection() {
    within(async {
        let told = Told::start("").await;
        let mut client = told.spoken().await;
        let priority = frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]);
        // Beside two that are its settings.
        client.send(priority.repeat(1998)).await;
        assert!(is_answered(&mut client, FIRST).await);
        told.has_ended_none().await;
        // More than come again in ten seconds.
        client.send(priority.repeat(1000)).await;
        assert!(!client.until(|_| false).await);
        told.ends("frames", "\"limit\":2000").await;
    })
    .await;
}

#[tokio::test]
async fn requests_beyond_a_hundred_that_are_given_up_end_their_connection() {
    within(async {
        let told = Told::start("").await;
        let mut client = told.spoken().await;
        let streams = |from: u32, count: u32| (0..count).map(move |n| from + 2 * n);
        client.send(streams(1, 100).flat_map(mute).collect()).await;
        told.until("respool_heads_awaited{route=\"default\"}", 100).await;
        client.send(streams(1, 100).flat_map(reset).collect()).await;
        assert!(is_answered(&mut client, 201).await);
        told.until("respool_heads_awaited{route=\"default\"}", 0).await;
        told.has_ended_none().await;
        // One more may be, for the one that was answered; and ten in each second.
        for from in (203..).step_by(40) {
            if !client.send(streams(from, 20).flat_map(mute).collect()).await {
                break;
            }
            sleep(Duration::from_millis(50)).await;
            if !client.send(streams(from, 20).flat_map(reset).collect()).await {
                break;
            }
        }
        told.ends("given_up", "\"limit\":100").await;
    })
    .await;
}

#[tokio::test]
async fn what_http_2_is_known_to_be_abused_with_ends_its_connection() {
    within(async {
        let told = Told::start("").await;
        let mut client = told.spoken().await;
        let at_once = |from: u32, count: u32| -> Vec<u8> {
            (0..count).flat_map(|n| [get(from + 2 * n, "/0"), reset(from + 2 * n)].concat()).collect()
        };
        client.send(at_once(1, 20)).await;
        assert!(is_answered(&mut client, 41).await);
        told.has_ended_none().await;
        client.send(at_once(43, 2000)).await;
        assert!(!client.until(|_| false).await);
        told.ends("protocol", "excessive load").await;
    })
    .await;
}
