//! Everybody is cut at once, misses much, and comes back at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    crowd::{Client, Server, Transcript, is_unlucky},
    in_time, sized,
};
use crate::reload::binary::Running;

/// How many the upstream may be asked about at once.
const PLACES: usize = 32;
/// How long it takes to answer.
const ANSWER: Duration = Duration::from_millis(10);
/// How long an upstream may be away: less than most wait for their turn.
const HOLD: &str = "100ms";
/// What is said while they come back.
const MEANWHILE: usize = 50;
/// Clients that are not cut.
const OTHERS: usize = 20;

fn config(clients: usize, rest: &str) -> String {
    let connections = clients + OTHERS + 10;
    format!(
        "[limits]\nadmissions = {PLACES}\nconnections = {connections}\n[outage]\nhold = '{HOLD}'\n[[route]]\npath = '/e'\nmode = 'shared'\nkey = 'path'\nheartbeat = 'none'\n{rest}"
    )
}

/// What a storm came to.
struct Storm {
    /// How many clients there were, and how many requests reached the upstream when all came for the first time, and when
    /// all came back.
    clients: usize,
    first: usize,
    again: usize,
}

/// All come, are cut at once, and come back at once: everybody has every event once. `who` says which credentials each has.
#[expect(clippy::print_stdout, reason = "what was measured is what the documentation shows")]
async fn storm(name: &str, rest: &str, who: fn(usize) -> usize) -> Storm {
    let (clients, missed) = sized((200, 200), (5_000, 1_000), (5_000, 1_000));
    let (server, origin) = Server::start(ANSWER).await;
    let running = Running::before(origin, name, &config(clients, rest)).await;
    let proxy = running.binary.address;

    let mut opener = Client::come(proxy, "opener", "").await.unwrap();
    let id = opener.prime().await;
    let generation = id.strip_suffix("-0").unwrap();
    let transcript = Arc::new(Transcript::new(generation, 1 + missed + MEANWHILE + 1));

    let come = |first: usize, count: usize, id: &str, back: &Arc<AtomicUsize>| {
        let come = |number: usize| {
            let (id, back) = (id.to_owned(), back.clone());
            tokio::spawn(async move {
                let client = Client::come(proxy, &who(number).to_string(), &id).await;
                back.fetch_add(1, SeqCst);
                client
            })
        };
        (first..first + count).map(come).collect::<Vec<_>>()
    };
    let all = async |visits: Vec<tokio::task::JoinHandle<Result<Client, String>>>| {
        let (mut there, mut not) = (Vec::new(), Vec::new());
        for visit in visits {
            match visit.await.unwrap() {
                Ok(client) => there.push(client),
                Err(why) => not.push(why),
            }
        }
        assert!(
            not.is_empty(),
            "{} had no stream: {:?}\n{}",
            not.len(),
            &not[..not.len().min(5)],
            running.binary.log()
        );
        there
    };

    let back = Arc::default();
    let mut others = all(come(clients, OTHERS, "", &back)).await;
    others.push(opener);
    let mut crowd = all(come(0, clients, "", &back)).await;
    let first = server.requests();
    server.say(1);
    for client in &mut crowd {
        assert_eq!(client.prime().await, transcript.id(0));
        assert_eq!(client.resume, "fresh");
        client.read(&transcript, 0..1).await;
    }
    drop(crowd);
    server.say(missed);
    for (number, client) in others.iter_mut().enumerate() {
        if number < OTHERS {
            client.prime().await;
        }
        client.read(&transcript, 0..1 + missed).await;
    }

    let start = Instant::now();
    let back = Arc::default();
    let visits = come(0, clients, &transcript.id(1), &back);
    let speaker = tokio::spawn({
        let (server, back) = (server.clone(), back.clone());
        async move {
            for _ in 0..MEANWHILE {
                sleep(Duration::from_millis(10)).await;
                server.say(1);
            }
            while back.load(SeqCst) < clients {
                sleep(Duration::from_millis(5)).await;
            }
            server.say(1);
        }
    });
    let read = all(visits).await.into_iter().map(|mut client| {
        let transcript = transcript.clone();
        tokio::spawn(async move {
            let missed = client.resume.strip_prefix("resumed; missed=").map(str::parse::<usize>);
            assert!(missed.clone().is_some_and(|missed| missed.is_ok()), "{}", client.resume);
            client.read(&transcript, 1..transcript.events()).await;
            client
        })
    });
    let mut crowd = Vec::new();
    for client in read.collect::<Vec<_>>() {
        crowd.push(client.await.unwrap());
    }
    let took = start.elapsed();
    speaker.await.unwrap();
    for client in &mut others {
        client.read(&transcript, 1 + missed..transcript.events()).await;
    }
    let again = server.requests() - first;
    println!(
        "{clients} clients were back with {missed} missed events each in {took:?}; the upstream had {first} requests, then {again}, \
         at most {} unanswered and {} open; {} open now",
        server.waiting.most(),
        server.open.most(),
        server.open.now()
    );
    // Beside those that ask: the one that the stream comes from.
    assert!(server.waiting.most() <= PLACES + 1, "{} were asked about at once", server.waiting.most());
    // And those that were answered and are being closed.
    assert!(server.open.most() <= 4 * PLACES, "{} were open at once", server.open.most());
    assert_eq!(running.metric("respool_admitting{state=\"asking\"}").await, 0);
    Storm { clients, first, again }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_with_all_others_comes_back_with_all_others_and_has_every_event_once() {
    in_time(async {
        let storm = storm("storm", "", |number| number).await;
        let asks = |clients: usize| clients + (0..clients).filter(|who| is_unlucky(*who)).count();
        let (first, again) = (1 + asks(storm.clients + OTHERS), asks(storm.clients));
        let each = "each asks by its own request, and again only if it was lost";
        assert_eq!((storm.first, storm.again), (first, again), "{each}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_storm_of_one_credential_one_is_asked_about_where_a_yes_is_remembered() {
    in_time(async {
        let storm = storm("one", "admit_cache = '30s'\n", |_| 7).await;
        assert!(storm.again <= 1, "{} were asked about", storm.again);
    })
    .await;
}
