//! Clients that read nothing while events flow: what they cost is bounded, and nobody else notices.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    crowd::{Client, Server, Transcript},
    in_time, sized,
};
use crate::reload::binary::Running;

/// What one that reads nothing may cost, in KiB, beside what it costs by being connected.
const EACH: u64 = 64;
/// What that is.
const CONNECTED: u64 = 14;
/// Those that read.
const OTHERS: usize = 10;
/// How many of those that read nothing read everything in the end.
const WOKEN: usize = 20;
const ROUTE: &str =
    "[[route]]\npath = '/e'\nmode = 'shared'\nkey = 'path'\nadmit = 'none'\nheartbeat = 'none'\n";

/// Says so many in all, 5,000 a second.
async fn flow(server: &Server, events: usize) {
    let (step, mut next) = (Duration::from_millis(10), Instant::now());
    for _ in 0..events / 50 {
        server.say(50);
        next += step;
        sleep_until(next).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_costs_little_and_keeps_nothing_from_others() {
    in_time(async {
        let (slow, events) = sized((50, 5_000), (2_000, 50_000), (2_000, 100_000));
        // More than a window has, so that all that it keeps is there before.
        let before = 5_000;
        let (server, origin) = Server::start(Duration::ZERO).await;
        let limits = format!("[limits]\nconnections = {}\n", slow + OTHERS + 10);
        let running = Running::before(origin, "slow", &format!("{limits}{ROUTE}")).await;
        let proxy = running.binary.address;

        let mut readers = vec![Client::come(proxy, "0", "").await.unwrap()];
        let id = readers[0].prime().await;
        let transcript = Arc::new(Transcript::new(id.strip_suffix("-0").unwrap(), before + events));
        for number in 1..OTHERS {
            let mut reader = Client::come(proxy, &number.to_string(), "").await.unwrap();
            reader.prime().await;
            readers.push(reader);
        }
        let read = |readers: Vec<Client>, events: std::ops::Range<usize>| {
            let one = |mut reader: Client| {
                let (transcript, events) = (transcript.clone(), events.clone());
                tokio::spawn(async move {
                    reader.read(&transcript, events).await;
                    reader
                })
            };
            readers.into_iter().map(one).collect::<Vec<_>>()
        };
        let reading = read(readers, 0..before);
        flow(&server, before).await;
        let mut readers = Vec::new();
        for reader in reading {
            readers.push(reader.await.unwrap());
        }

        let held = running.binary.own() + CONNECTED * slow as u64;
        // Every other one comes back, so that it has much coming at once.
        let missed = 2_000;
        let mut sleepers = Vec::new();
        for number in 0..slow {
            let had = if number % 2 == 0 { before } else { before - missed };
            let id = if had < before { transcript.id(had) } else { String::new() };
            let mut sleeper = Client::come_narrow(proxy, &number.to_string(), &id).await.unwrap();
            if had == before {
                assert_eq!(sleeper.prime().await, transcript.id(before));
            } else {
                assert_eq!(sleeper.resume, format!("resumed; missed={missed}"));
            }
            sleepers.push((sleeper, had));
        }
        let sent = "respool_sent_bytes_total{route=\"/e\"}";
        let before_that = running.metric(sent).await;
        let reading = read(readers, before..before + events);
        let start = Instant::now();
        flow(&server, events).await;
        for reader in reading {
            reader.await.unwrap();
        }
        let (took, peak) = (start.elapsed(), running.binary.own_peak());
        let more = peak.saturating_sub(held);
        println!(
            "{slow} that read nothing while {events} events came in {took:?}: {more} KiB more than {held}, {} each",
            more / slow as u64
        );
        let whole = transcript.length(before..before + events);
        let given = running.metric(sent).await - before_that - (OTHERS * whole) as u64;
        assert!(given / (slow as u64) < whole as u64 / 2, "{given} bytes were taken of them");
        assert!(more <= EACH * slow as u64, "{more} KiB for {slow}");

        // Nothing was taken from them, and nobody was cut.
        sleepers.truncate(WOKEN);
        for (mut sleeper, had) in sleepers {
            sleeper.read(&transcript, had..before + events).await;
        }
    })
    .await;
}
