//! SIGTERM while much goes on: who is cut when, with what, and what becomes of the rest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    STREAM, chunk,
    follower::{Ended, Follower},
    in_time, sized,
};
use crate::{
    reload::binary::Running,
    support::{End, Multiplexed, Origin, until},
};

const PAUSE: Duration = Duration::from_millis(20);
const SHARED: &str = "[[route]]\npath = '/shared'\nmode = 'shared'\nkey = 'path'\nadmit = 'none'\n";
const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n";
/// More than any of them has before its end.
const ALL: usize = usize::MAX / 2;

/// Streams of events that never end, and a page that is answered once it may be.
async fn server(go: watch::Receiver<bool>) -> Origin {
    let connections = Arc::new(AtomicUsize::new(0));
    Origin::start(move |mut visit| {
        let (mut go, connection) = (go.clone(), connections.fetch_add(1, SeqCst));
        async move {
            while visit.request().await && visit.head_of_request().starts_with("GET /slow ") {
                let _ = go.wait_for(|go| *go).await;
                let _ = visit.try_send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await;
            }
            let mut alive = visit.try_send(STREAM).await.is_ok();
            for number in 0.. {
                alive =
                    alive && visit.try_send(chunk(&format!("data: {connection}:{number}\n\n"))).await.is_ok();
                if !alive {
                    return;
                }
                sleep(PAUSE).await;
            }
        }
    })
    .await
}

/// respool with clients of all kinds on it, each of whom has events, and a request that is not answered yet.
struct Busy {
    running: Running,
    go: watch::Sender<bool>,
    clients: Vec<JoinHandle<(Follower, Ended, Instant)>>,
    multiplexed: JoinHandle<Vec<(Result<(), h2::Reason>, usize)>>,
    requests: Vec<JoinHandle<Option<String>>>,
}

impl Busy {
    async fn start(name: &str, drain: &str) -> Self {
        let (go, gone) = watch::channel(false);
        let file = format!("[drain]\ntime = '{drain}'\n{SHARED}");
        let running = Running::before(server(gone).await, name, &file).await;
        let address = running.binary.address;
        let count = sized(200, 1_000, 1_000);
        let path = |n: usize| if n.is_multiple_of(3) { "/private" } else { "/shared" };
        let clients = (0..count).map(|n| {
            tokio::spawn(async move {
                let mut follower = Follower::of(path(n));
                let ended = follower.follow(address, ALL).await;
                (follower, ended, Instant::now())
            })
        });
        let clients = clients.collect();
        let requests = (0..20).map(|_| {
            let request = async move {
                let mut client = crate::support::Wire::to(address).await;
                client.send(SLOW).await;
                Some(client.try_answer(false).await?)
                    .filter(|answer| answer.end == End::Whole)
                    .map(|answer| answer.text())
            };
            tokio::spawn(request)
        });
        let requests = requests.collect();
        let multiplexed = tokio::spawn(multiplexed(address));
        let busy = Self { running, go, clients, multiplexed, requests };
        busy.until("respool_clients{route=\"/shared\"}", count - count.div_ceil(3) + 5).await;
        busy.until("respool_clients{route=\"default\"}", count.div_ceil(3)).await;
        busy.until("respool_connections ", count + 20 + 1).await;
        busy
    }

    async fn until(&self, line: &str, value: usize) {
        while self.running.metric(line).await != value as u64 {
            sleep(PAUSE).await;
        }
    }

    /// Nobody is told of an end that is none, and everybody has all there was between the first event and the cut. When
    /// each of them was cut.
    async fn are_cut(&mut self) -> Vec<Instant> {
        let mut cuts = Vec::new();
        for client in self.clients.drain(..) {
            let (follower, ended, at) = client.await.unwrap();
            assert_eq!(ended, Ended::Cut);
            assert!(follower.events > 0);
            cuts.push(at);
        }
        for (ended, events) in (&mut self.multiplexed).await.unwrap() {
            assert!(ended.is_err() && events > 0, "{ended:?} after {events}");
        }
        cuts.sort();
        cuts
    }
}

/// Five streams of one connection, each to its end.
async fn multiplexed(address: std::net::SocketAddr) -> Vec<(Result<(), h2::Reason>, usize)> {
    let mut connection = Multiplexed::over(tokio::net::TcpStream::connect(address).await.unwrap()).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(connection.events("/shared", "").await);
    }
    // At the same time: what nobody takes would end them all.
    let streams: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(stream.rest())).collect();
    let mut ends = Vec::new();
    for stream in streams {
        let stream = stream.await.unwrap();
        ends.push((stream.end.unwrap(), stream.held().events.len()));
    }
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_under_load_cuts_everybody_over_the_time_and_answers_what_was_asked() {
    in_time(async {
        let mut busy = Busy::start("ending", "5s").await;
        let begun = Instant::now();
        busy.running.binary.signal("-TERM");
        let address = busy.running.binary.address;
        until(|| std::net::TcpStream::connect(address).is_err()).await;
        busy.go.send_replace(true);
        for request in busy.requests.drain(..) {
            assert_eq!(request.await.unwrap().as_deref(), Some("slow"));
        }
        let cuts = busy.are_cut().await;
        assert_eq!(busy.running.binary.ended().await, 0);
        // Each at a moment of its own, within four fifths of the time: never most of them at once.
        let tenth = Duration::from_millis(500);
        let at_once = |from: &Instant| cuts.iter().filter(|at| **at >= *from && **at < *from + tenth).count();
        let most = cuts.iter().map(at_once).max().unwrap();
        let (first, last) = (cuts[0] - begun, cuts[cuts.len() - 1] - begun);
        println!(
            "{} clients were cut between {first:?} and {last:?}, at most {most} in {tenth:?}",
            cuts.len()
        );
        assert!(most < cuts.len() / 2, "{most} of {} at once", cuts.len());
        assert!(last < Duration::from_secs(20), "{last:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_under_load_cuts_everybody_at_once() {
    in_time(async {
        let mut busy = Busy::start("ending-at-once", "10m").await;
        busy.running.binary.signal("-TERM");
        let address = busy.running.binary.address;
        until(|| std::net::TcpStream::connect(address).is_err()).await;
        busy.running.binary.signal("-INT");
        let _ = busy.are_cut().await;
        assert_eq!(busy.running.binary.ended().await, 0);
        for request in busy.requests.drain(..) {
            assert_eq!(request.await.unwrap(), None);
        }
    })
    .await;
}
