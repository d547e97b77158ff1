use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::watch,
    time::{sleep, sleep_until},
};

use super::binary::Running;
use crate::support::{Origin, world::event_source};

const PAUSE: Duration = Duration::from_millis(100);
/// How long a reload may take on a machine that has much else to do.
const ANSWERED: Duration = Duration::from_secs(20);
const LAST: &str = "last";

/// How long, and with how many clients: a minute with five hundred where it is asked for, so that a machine on which much
/// else runs has less to do.
fn scale() -> (Duration, usize) {
    match std::env::var("RESPOOL_STORM").ok().and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) => (Duration::from_secs(seconds), 500),
        None => (Duration::from_secs(3), 60),
    }
}

/// The routes that clients are on mean the same in each of these, and all else changes.
fn configuration(n: usize) -> String {
    let of = |choices: [&'static str; 3]| choices[n % 3];
    let bounds = of(["events = 2048", "events = 1000", "events = 4000\nage = '1m'"]);
    let limits =
        of(["streams = 9000", "memory = '100MiB'\nlingering = 900", "admissions = 7\nconnections = 5000"]);
    let rules =
        of(["ephemeral = ['beat']", "heartbeat = '1s'\nlinger = '1m'", "reset = ['never']\nretry = '2s'"]);
    let mut file =
        format!("host = '{}'\n[limits]\n{limits}\n[window]\n{bounds}\n", of(["keep", "upstream", "keep"]));
    let mut route = |path: &str, rest: &str| file += &format!("[[route]]\npath = '{path}'\n{rest}\n");
    if n.is_multiple_of(2) {
        route("/other/*", "mode = 'pass'");
        // Under a route of its own now, and under the default one then.
        route("/private", "window = { events = 3000 }");
    }
    let shared = "mode = 'shared'\nkey = 'path'\nadmit = 'none'";
    route("/pinned", &format!("{shared}\npin = {}", n % 4 < 2));
    route("/shared", &format!("{shared}\n{rules}"));
    route("/turns", if n % 5 < 3 { shared } else { "ids = 'replace'" });
    // A bad one changes nothing.
    if is_bad(n) { file + "nonsense = 1\n" } else { file }
}

fn is_bad(n: usize) -> bool {
    n % 7 == 6
}

/// One that says what the one in force says.
fn is_same(n: usize) -> bool {
    n % 10 == 9
}

/// How many reloads were loaded, refused, and said nothing new.
async fn results(running: &Running) -> [u64; 3] {
    let text = running.metrics().await;
    ["loaded", "refused", "unchanged"].map(|result| {
        let line = format!("respool_reloads_total{{result=\"{result}\"}} ");
        text.lines().find_map(|had| had.strip_prefix(&line)).unwrap().parse().unwrap()
    })
}

/// An event server that numbers the events of each connection, until it is told to send the last one.
async fn server(over: watch::Receiver<bool>) -> Origin {
    Origin::start(move |mut visit| {
        let mut over = over.clone();
        async move {
            if !visit.request().await {
                return;
            }
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut alive = visit.try_send(head).await.is_ok();
            for number in 0.. {
                let is_over = tokio::time::timeout(PAUSE / 4, over.wait_for(|over| *over)).await.is_ok();
                let data = if is_over { LAST.to_owned() } else { number.to_string() };
                let frame =
                    format!("event: {}\ndata: {data}\n\n", if number % 9 == 0 { "turn" } else { "message" });
                alive = alive && visit.try_send(format!("{:x}\r\n{frame}\r\n", frame.len())).await.is_ok();
                if !alive || data == LAST {
                    break;
                }
            }
            // Whoever has the last event leaves by itself.
            std::future::pending::<()>().await;
        }
    })
    .await
}

/// A client that has every event once, in order, from its first to the last one, on one connection unless it cuts itself.
/// Says how many it had.
async fn listen(proxy: SocketAddr, path: &str, seed: u64, cuts: bool, here: Arc<AtomicUsize>) -> usize {
    let (mut dice, mut id, mut next, mut had) = (StdRng::seed_from_u64(seed), String::new(), None, 0);
    loop {
        let mut socket = TcpStream::connect(proxy).await.unwrap();
        let head = event_source(path, &id).replace('\n', "\r\n");
        socket.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        let mut lines = BufReader::new(socket).lines();
        let (mut last, most) = (None, if cuts { dice.random_range(1..40) } else { usize::MAX });
        let mut here_now = 0;
        while here_now < most {
            // No chunk splits a line.
            let line = lines.next_line().await.ok().flatten();
            let line = line.unwrap_or_else(|| panic!("a client of {path} was cut after {had} events"));
            if let Some(said) = line.strip_prefix("respool-resume: ") {
                let expected = if id.is_empty() { "fresh" } else { "resumed" };
                assert!(said.starts_with(expected), "a client of {path}: {said}");
            } else if let Some(data) = line.strip_prefix("data: ") {
                last = Some(data.trim_end().to_owned());
            } else if let Some(said) = line.strip_prefix("id: ") {
                id = said.trim_end().to_owned();
            } else if line.trim_end().is_empty()
                && let Some(data) = last.take()
            {
                if data == LAST {
                    return had;
                }
                let number: usize = data.parse().unwrap();
                assert_eq!(number, next.unwrap_or(number), "a client of {path}, after {had} events");
                if next.is_none() {
                    here.fetch_add(1, SeqCst);
                }
                (next, had, here_now) = (Some(number + 1), had + 1, here_now + 1);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_reloads_a_second_lose_no_event_and_cut_nobody() {
    let (time, count) = scale();
    let (over, is_over) = watch::channel(false);
    let running = Running::before(server(is_over).await, "storm", &configuration(0)).await;
    let proxy = running.binary.address;
    let here = Arc::new(AtomicUsize::new(0));
    // Most share a stream, some have one of their own, and that of some becomes another one; some come and go.
    let kind = |n: usize| match n % 16 {
        0 | 8 => "/private",
        3 => "/turns",
        _ => "/shared",
    };
    let listen =
        |n: usize| listen(proxy, kind(n), n as u64, n % 16 == 1 || n.is_multiple_of(16), here.clone());
    let clients: Vec<_> = (0..count).map(|n| tokio::spawn(listen(n))).collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    while here.load(SeqCst) < count {
        assert!(Instant::now() < deadline, "only {here:?} of {count} clients have events");
        sleep(PAUSE / 4).await;
    }
    let start = tokio::time::Instant::now();
    let mut in_force = configuration(0);
    let (mut wanted, mut done, mut slowest) = ([0, 0, 0], 0, Duration::ZERO);
    while start.elapsed() < time {
        done += 1;
        let text = if is_same(done) { in_force.clone() } else { configuration(done) };
        let result = match (is_same(done), is_bad(done)) {
            (true, _) => 2,
            (false, is_bad) => usize::from(is_bad),
        };
        wanted[result] += 1;
        let asked = Instant::now();
        running.write(&text);
        running.binary.signal("-HUP");
        let deadline = asked + ANSWERED;
        while results(&running).await.iter().sum::<u64>() < done as u64 {
            assert!(Instant::now() < deadline, "signal {done} was lost: {:?}", results(&running).await);
            sleep(PAUSE / 20).await;
        }
        if result == 0 {
            in_force = text;
        }
        slowest = slowest.max(asked.elapsed());
        sleep_until(start + PAUSE * u32::try_from(done).unwrap()).await;
    }
    let took = start.elapsed();
    over.send(true).unwrap();
    let mut events = 0;
    for client in clients {
        events += client.await.unwrap();
    }
    let rate = f64::from(u32::try_from(done).unwrap()) / took.as_secs_f64();
    println!(
        "{count} clients had {events} events in {took:?}; {done} reloads, {rate:.1} a second, the slowest in {slowest:?}: \
         {wanted:?} loaded, refused, unchanged"
    );
    assert_eq!(results(&running).await, wanted, "loaded, refused, unchanged");
    assert!(wanted.iter().all(|count| *count > 0), "{wanted:?}");
    assert!(events > count * 10, "{events} events");
    for reason in ["lost", "behind", "stalled", "drain"] {
        for route in ["/shared", "/private", "default"] {
            let line = format!("respool_clients_cut_total{{route=\"{route}\",reason=\"{reason}\"}}");
            assert_eq!(running.metric(&line).await, 0, "{line}");
        }
    }
}
