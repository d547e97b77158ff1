//! Whatever clients and upstreams do, resident memory stays within what `memory.md` says.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{STREAM, ask, chunk, in_time, read_all, read_until, sized};
use crate::{
    reload::binary::Running,
    support::{Origin, Wire},
};

/// What streams may hold, in KiB.
const BUDGET: u64 = 16 << 10;
const LIMITS: &str = "[limits]\nmemory = '16MiB'\nevent = '1MiB'\n[window]\nbytes = '4MiB'\n";
/// What the program itself takes at most, in KiB.
const PROGRAM: u64 = 16 << 10;
/// What each client costs at most, in KiB, with a stream of its own.
const CLIENT: u64 = 50;
/// What it costs while its upstream sends as fast as it is read.
const FLOODED: u64 = CLIENT + 256;

/// The most memory that it ever had is within the budget, and what is said of the program and of so many clients.
#[expect(clippy::print_stdout, reason = "what was measured is what the documentation shows")]
fn holds(running: &Running, clients: u64, each: u64) {
    let (peak, most) = (running.binary.own_peak(), BUDGET + PROGRAM + clients * each);
    println!("{peak} KiB of {most}, of all {}", running.binary.peak());
    assert!(peak <= most, "{peak} KiB, of which {BUDGET} are for streams: more than {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_without_end_stay_within_the_budget() {
    in_time(async {
        const AT_ONCE: usize = 8;
        let keys = sized(1_000, 100_000, 1_000_000);
        let origin = Origin::start(|mut visit| async move {
            if visit.request().await {
                let _ = visit.try_send(format!("{STREAM}{}", chunk("data: a\n\n"))).await;
                visit.rest().await;
            }
        })
        .await;
        let shared = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['query:n']\nadmit = 'none'\n";
        let running = Running::before(origin, "keys", &format!("{LIMITS}{shared}")).await;
        let (address, next) = (running.binary.address, Arc::new(AtomicUsize::new(0)));
        let clients = (0..AT_ONCE).map(|_| {
            let next = next.clone();
            tokio::spawn(async move {
                loop {
                    let key = next.fetch_add(1, SeqCst);
                    if key >= keys {
                        return;
                    }
                    let path = if key % 2 == 0 { format!("/e?n={key}") } else { format!("/private/{key}") };
                    read_until(&mut ask(address, &path, "").await, "data: a").await;
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        assert!(running.metric("respool_lingering ").await <= 1_000);
        // Those that linger are connections of the upstream's.
        holds(&running, 1_000, CLIENT);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_without_end_stay_within_the_budget() {
    in_time(async {
        let (clients, times) = sized((16, 2), (200, 3), (1000, 10));
        let origin = Origin::start(|mut visit| async move {
            if visit.request().await {
                let piece = chunk(&"x".repeat(64 << 10));
                let mut sent = visit.try_send(format!("{STREAM}{}", chunk("data: "))).await;
                while sent.is_ok() {
                    sent = visit.try_send(&piece).await;
                }
            }
        })
        .await;
        let running = Running::before(origin, "lines", LIMITS).await;
        let address = running.binary.address;
        let each = (0..clients).map(|n| {
            tokio::spawn(async move {
                for _ in 0..times {
                    read_all(&mut ask(address, &format!("/{n}"), "").await).await;
                }
            })
        });
        for client in each.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        holds(&running, clients, FLOODED);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giant_events_stay_within_the_budget() {
    in_time(async {
        let (clients, events) = sized((20, 4), (300, 10), (1000, 20));
        let origin = Origin::start(move |mut visit| async move {
            if visit.request().await {
                let event = chunk(&format!("data: {}\n\n", "x".repeat(1_000_000)));
                let _ = visit.try_send(STREAM).await;
                for _ in 0..events {
                    let _ = visit.try_send(&event).await;
                }
                let _ = visit.try_send("0\r\n\r\n").await;
            }
        })
        .await;
        let running = Running::before(origin, "giants", LIMITS).await;
        let address = running.binary.address;
        let each = (0..clients).map(|n| {
            tokio::spawn(async move { read_all(&mut ask(address, &format!("/{n}"), "").await).await })
        });
        let mut whole = 0;
        for client in each.collect::<Vec<_>>() {
            whole += client.await.unwrap() / 1_000_000;
        }
        // What had to give way was a client's, which was cut.
        assert!(whole > 0);
        assert!(running.binary.log().contains("windows gave way"));
        holds(&running, clients, FLOODED);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_end_are_refused_and_stay_within_the_budget() {
    in_time(async {
        let count = sized(50, 1_000, 1_000);
        let origin = Origin::start(|mut visit| async move {
            while visit.request().await {
                let lines = visit.head_of_request().contains("/lines");
                let piece = "x".repeat(8 << 10) + if lines { "\r\nX-More: " } else { "" };
                let mut sent = visit.try_send("HTTP/1.1 200 OK\r\nX-First: ").await;
                while sent.is_ok() {
                    sent = visit.try_send(&piece).await;
                }
            }
        })
        .await;
        let running = Running::before(origin, "heads", LIMITS).await;
        let address = running.binary.address;
        let each = (0..count).map(|n| {
            tokio::spawn(async move {
                let path = ["/lines", "/line"][n % 2];
                let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
                // Or it takes too long, where so many are asked for.
                let status = Wire::to(address).await.ask(request).await.status();
                assert!(matches!(status, 502 | 504), "{status}");
                let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
                let mut sent = client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nX-First: ").await;
                let piece = "x".repeat(8 << 10) + if n % 2 == 0 { "\r\nX-More: " } else { "" };
                while sent.is_ok() {
                    sent = client.write_all(piece.as_bytes()).await;
                }
            })
        });
        for client in each.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        holds(&running, count as u64, CLIENT);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarded_keys_without_end_stay_within_the_budget() {
    in_time(async {
        const KEYS: usize = 5_000;
        let streams = sized(10, 400, 1_000);
        let origin = Origin::start(|mut visit| async move {
            if visit.request().await {
                let _ = visit.try_send(STREAM).await;
                for hundred in 0..KEYS / 100 {
                    let event = |n| format!("data: {{\"type\":\"answered\",\"id\":\"{hundred}-{n}\"}}\n\n");
                    let _ = visit.try_send(chunk(&(0..100).map(event).collect::<String>())).await;
                }
                let _ = visit.try_send(chunk("data: last\n\n")).await;
                visit.rest().await;
            }
        })
        .await;
        let guard = "[[route]]\npath = '/**'\ntype = '/type'\n[[route.guard]]\nopen = 'asked'\nclose = 'answered'\nkey = '/id'\n";
        let running = Running::before(origin, "guards", &format!("{LIMITS}{guard}")).await;
        let mut all = Vec::new();
        for n in 0..streams {
            let mut client = ask(running.binary.address, &format!("/{n}"), "").await;
            // One whose events had to give way is cut.
            let (mut had, last) = (Vec::new(), b"data: last");
            while client.read_buf(&mut had).await.is_ok_and(|read| read > 0)
                && !had.windows(last.len()).any(|window| window == last)
            {}
            all.push(client);
        }
        println!("{}", running.metric("respool_memory_bytes ").await);
        holds(&running, streams, CLIENT);
    })
    .await;
}

/// What an upstream sent at once, however much, is nothing that its connection still has room for when it is quiet again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_a_flood_leaves_nothing_behind() {
    in_time(async {
        const FIRST: u64 = 10;
        const LAST: &[u8] = b"data: last\n\n\r\n";
        let clients = sized(20, 400, 1_000);
        let origin = Origin::start(|mut visit| async move {
            if visit.request().await {
                let hundred =
                    chunk(&"data: a little event of the kind that there are many of\n\n".repeat(100));
                let _ = visit.try_send(format!("{STREAM}{}", hundred.repeat(40))).await;
                let _ = visit.try_send(chunk("data: last\n\n")).await;
                visit.rest().await;
            }
        })
        .await;
        // Nothing is kept of what passes.
        let pass = "[[route]]\npath = '/**'\nmode = 'pass'\n";
        let running = Running::before(origin, "quiet", pass).await;
        let (mut all, mut first) = (Vec::new(), 0);
        for n in 0..FIRST + clients {
            if n == FIRST {
                first = running.binary.own();
            }
            let mut client = ask(running.binary.address, "/e", "").await;
            let mut had = Vec::new();
            while !had.ends_with(LAST) {
                assert!(client.read_buf(&mut had).await.unwrap() > 0, "it ended before its last event");
            }
            all.push(client);
        }
        let each = (running.binary.own() - first) / clients;
        println!("{each} KiB each");
        assert!(each <= CLIENT + 16, "{each} KiB each");
    })
    .await;
}

/// A gigabyte that is a megabyte: nothing is unpacked, so that it is neither read for events nor held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compressed_passes_as_it_is() {
    in_time(async {
        let bomb = bomb(sized("64M", "1G", "1G"));
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            bomb.len()
        );
        let origin = Origin::saying([head.as_bytes(), &bomb].concat()).await;
        let running = Running::before(origin, "bomb", LIMITS).await;
        let request = "GET /e HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";
        let answer = running.binary.connect().await.ask(request).await;
        assert!(answer.body == bomb, "{} bytes of {}", answer.body.len(), bomb.len());
        holds(&running, 1, CLIENT);
    })
    .await;
}

fn bomb(unpacked: &str) -> Vec<u8> {
    let shell = format!("head -c {unpacked} /dev/zero | gzip -1");
    let made = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert!(made.status.success() && made.stdout.len() > 10_000);
    made.stdout
}
