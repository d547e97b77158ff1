//! All that clients, the upstream and the operator do, for long: nothing grows, nothing is lost or doubled, and nothing is
//! left of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, sleep_until},
};

use super::{STREAM, chunk, follower::Follower};
use crate::{
    reload::binary::Running,
    support::{Multiplexed, Origin, Wire},
};

/// How long an event server waits between two events.
const PAUSE: Duration = Duration::from_millis(50);
/// How long streams are kept for nobody.
const LINGER: Duration = Duration::from_secs(3);
/// So many clients of each kind at a time.
const EACH: usize = 8;
/// Whom the upstream never loses. What it cuts is `/torn/…`.
const STEADY: [&str; 3] = ["/shared", "/asked", "/private"];
/// How often it is measured.
const MEASURED: usize = 200;

/// How long: seconds in a test among others, minutes where it is asked for.
fn length() -> Duration {
    let said = std::env::var("RESPOOL_SOAK").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(said.unwrap_or(4))
}

/// They mean the same for all clients, and are written in turn.
fn configuration(n: usize) -> String {
    let limits = ["streams = 9000", "lingering = 900\nmemory = '100MiB'", "connections = 5000"][n % 3];
    let mut file = format!("[limits]\n{limits}\n");
    for (path, rest) in [
        ("/shared", "mode = 'shared'\nkey = 'path'\nadmit = 'none'"),
        ("/torn/shared", "mode = 'shared'\nkey = 'path'\nadmit = 'none'"),
        ("/asked", "mode = 'shared'\nkey = 'path'"),
        ("/**", ""),
    ] {
        file += &format!("[[route]]\npath = '{path}'\n{rest}\nlinger = '{}s'\n", LINGER.as_secs());
        if n % 2 == 1 {
            file += "heartbeat = '1s'\n";
        }
    }
    file
}

/// Numbers the events of each connection, and answers pages. Torn streams end properly, in the middle of a frame, or of a
/// chunk.
async fn server() -> Origin {
    let connections = Arc::new(AtomicUsize::new(0));
    Origin::start(move |mut visit| {
        let connection = connections.fetch_add(1, SeqCst);
        async move {
            while visit.request().await && visit.head_of_request().starts_with("GET /page ") {
                if visit.try_send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage").await.is_err() {
                    return;
                }
            }
            let head = visit.head_of_request();
            let most = if head.starts_with("GET /torn/") { 20 + connection % 50 } else { usize::MAX };
            let mut alive = visit.try_send(STREAM).await.is_ok();
            for number in 0..most {
                let event = chunk(&format!("data: {connection}:{number}\n\n"));
                alive = alive && visit.try_send(event).await.is_ok();
                if !alive {
                    return;
                }
                sleep(PAUSE).await;
            }
            let end = ["0\r\n\r\n", "9\r\ndata: hal\r\n", "400\r\ndata: half a chunk"][connection % 3];
            let _ = visit.try_send(end).await;
        }
    })
    .await
}

/// What all clients together had.
#[derive(Default)]
struct Had {
    events: AtomicUsize,
    resumed: AtomicUsize,
    gaps: AtomicUsize,
    pages: AtomicUsize,
}

struct Load {
    proxy: SocketAddr,
    over: AtomicBool,
    had: Had,
}

impl Load {
    /// A client that reads, cuts itself, comes back in time, and leaves for good after a few times.
    async fn come_and_go(self: Arc<Self>, path: &'static str, seed: u64) {
        let mut dice = StdRng::seed_from_u64(seed);
        while !self.over.load(SeqCst) {
            let mut follower = Follower::of(path);
            for visit in 0..dice.random_range(1..6) {
                follower.follow(self.proxy, dice.random_range(1..40)).await;
                if visit > 0 && STEADY.contains(&path) {
                    assert_eq!((follower.resumed, follower.gaps), (visit, 0), "a client of {path}");
                }
                sleep(PAUSE * dice.random_range(0..10)).await;
                if self.over.load(SeqCst) {
                    break;
                }
            }
            self.add(&follower);
        }
    }

    /// The same by HTTP/2, several on a connection, which ends with them.
    async fn come_and_go_together(self: Arc<Self>, seed: u64) {
        let mut dice = StdRng::seed_from_u64(seed);
        while !self.over.load(SeqCst) {
            let mut connection = Multiplexed::over(TcpStream::connect(self.proxy).await.unwrap()).await;
            let mut followers = STEADY.map(Follower::of);
            for _ in 0..dice.random_range(2..5) {
                for follower in &mut followers {
                    follower.follow_multiplexed(&mut connection, dice.random_range(2..10)).await;
                }
            }
            for follower in &followers {
                assert_eq!(follower.gaps, 0);
                self.add(follower);
            }
        }
    }

    async fn ask_for_pages(self: Arc<Self>, seed: u64) {
        let mut dice = StdRng::seed_from_u64(seed);
        while !self.over.load(SeqCst) {
            let mut client = Wire::to(self.proxy).await;
            for _ in 0..dice.random_range(1..5) {
                let answer = client.ask("GET /page HTTP/1.1\r\nHost: h\r\n\r\n").await;
                assert_eq!(answer.text(), "page");
                self.had.pages.fetch_add(1, SeqCst);
                sleep(PAUSE * dice.random_range(0..4)).await;
            }
        }
    }

    fn add(&self, follower: &Follower) {
        self.had.events.fetch_add(follower.events, SeqCst);
        self.had.resumed.fetch_add(follower.resumed, SeqCst);
        self.had.gaps.fetch_add(follower.gaps, SeqCst);
    }

    fn start(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let mut all = Vec::new();
        for n in 0..EACH as u64 {
            for path in ["/shared", "/asked", "/private", "/torn/shared", "/torn/private"] {
                all.push(tokio::spawn(self.clone().come_and_go(path, n)));
            }
            all.push(tokio::spawn(self.clone().ask_for_pages(n)));
        }
        for n in 0..EACH as u64 / 2 {
            all.push(tokio::spawn(self.clone().come_and_go_together(n)));
        }
        all
    }
}

/// What was measured, over time.
#[derive(Default)]
struct Measured {
    memory: Vec<(f64, f64)>,
    descriptors: Vec<(f64, f64)>,
}

impl Measured {
    fn take(&mut self, running: &Running, at: Duration) {
        self.memory.push((at.as_secs_f64(), running.binary.own() as f64));
        self.descriptors.push((at.as_secs_f64(), running.binary.descriptors() as f64));
    }
}

/// Of what was measured behind a warm-up: its mean, and by how much it rose from its beginning to its end, as the straight
/// line says that is nearest to all of it.
fn rise(all: &[(f64, f64)]) -> (f64, f64) {
    let all = &all[all.len() / 4..];
    let count = all.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).sum::<f64>() / count;
    let (time, value) = (mean(|at| at.0), mean(|at| at.1));
    let (both, own) = all.iter().fold((0.0, 0.0), |(both, own), at| {
        (both + (at.0 - time) * (at.1 - value), own + (at.0 - time).powi(2))
    });
    (value, both / own * (all[all.len() - 1].0 - all[0].0))
}

#[test]
fn a_rise_is_that_of_the_nearest_line() {
    let line: Vec<_> = (0..400).map(|at| (f64::from(at), 7.0 + 2.0 * f64::from(at))).collect();
    let (mean, rise) = rise(&line);
    assert!((mean - 506.0).abs() < 1e-6 && (rise - 598.0).abs() < 1e-6, "{mean} {rise}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_on_nothing_grows_and_nothing_is_left() {
    let length = length();
    let running = Running::before(server().await, "soak", &configuration(0)).await;
    let (before, proxy) = (running.binary.descriptors(), running.binary.address);
    let load = Arc::new(Load { proxy, over: AtomicBool::new(false), had: Had::default() });
    let clients = load.start();
    let (start, mut measured, mut reloads) = (tokio::time::Instant::now(), Measured::default(), 0);
    for at in 1..=MEASURED {
        sleep_until(start + length * u32::try_from(at).unwrap() / MEASURED as u32).await;
        assert!(clients.iter().all(|client| !client.is_finished()), "a client has failed");
        measured.take(&running, start.elapsed());
        // About one in five seconds.
        if at % (MEASURED / 20) == 0 {
            reloads += 1;
            running.write(&configuration(reloads));
            running.binary.signal("-HUP");
        }
    }
    load.over.store(true, SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let Had { events, resumed, gaps, pages } = &load.had;
    let (memory, grown) = rise(&measured.memory);
    let (descriptors, more) = rise(&measured.descriptors);
    println!(
        "{length:?}: {events:?} events, {resumed:?} resumed, {gaps:?} gaps, {pages:?} pages, {reloads} reloads; {memory:.0} KiB, \
         which rose by {grown:.0}; {descriptors:.0} descriptors, which rose by {more:.1}"
    );
    nothing_is_left(&running, before).await;
    assert!([events, resumed, gaps, pages].iter().all(|count| count.load(SeqCst) > 0));
    assert!(running.reloads("loaded").await > 0 && running.reloads("refused").await == 0);
    // A few seconds are all warm-up.
    if length >= Duration::from_secs(60) {
        assert!(grown < f64::max(1024.0, memory / 50.0), "{memory:.0} KiB grew by {grown:.0}");
        assert!(more < f64::max(4.0, descriptors / 20.0), "{descriptors:.0} descriptors grew by {more:.1}");
    }
}

/// Soon after the last client has left, all that was for clients is gone.
async fn nothing_is_left(running: &Running, descriptors: usize) {
    let deadline = Instant::now() + LINGER + Duration::from_secs(30);
    loop {
        let text = running.metrics().await;
        let there = |line: &&str| GAUGES.iter().any(|gauge| line.starts_with(gauge)) && !line.ends_with(" 0");
        let left: Vec<_> = text.lines().filter(there).collect();
        // What asks is one.
        let open = running.binary.descriptors();
        if left.is_empty() && open <= descriptors + POOLED {
            return;
        }
        assert!(Instant::now() < deadline, "{open} descriptors of {descriptors} before, {left:?}");
        sleep(PAUSE).await;
    }
}

/// What says how much there is of what clients have.
const GAUGES: [&str; 11] = [
    "respool_connections ",
    "respool_clients{",
    "respool_streams{",
    "respool_lingering ",
    "respool_admitting{",
    "respool_memory_bytes ",
    "respool_held_requests ",
    "respool_heads_awaited{",
    "respool_partial_frames{",
    "respool_retained_events{",
    "respool_retained_bytes{",
];
/// Connections to the upstream that wait for the next request, and the admin's.
const POOLED: usize = 12;
