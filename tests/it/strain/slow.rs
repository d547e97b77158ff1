//! Clients that write and read as slowly as they can, by the thousand, and those who are served meanwhile.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{STREAM, ask, chunk, in_time, read_until, sized};
use crate::{
    reload::binary::Running,
    support::{Origin, Visit, Wire},
};

/// How long anybody who behaves waits for anything; far longer than it takes, so that it fails for no load of the machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is read slowly: more than all buffers on the way hold.
const LARGE: usize = 4 << 20;
/// It is the same for all: a thousand of them would be too much for whoever tests.
static ALL_OF_IT: LazyLock<Vec<u8>> = LazyLock::new(|| vec![b'x'; LARGE]);

async fn patiently<T>(what: &str, done: impl Future<Output = T>) -> T {
    timeout(PATIENCE, done).await.unwrap_or_else(|_| panic!("nobody is served any more: {what}"))
}

/// Streams of numbers at `/events`, four megabytes at `/large`, and an answer to all that comes whole.
async fn answer(mut visit: Visit) {
    while visit.request().await {
        let head = visit.head_of_request();
        if head.starts_with("GET /events") {
            let mut sent = visit.try_send(STREAM).await;
            for n in 0.. {
                if sent.is_err() {
                    return;
                }
                sent = visit.try_send(chunk(&format!("data: {n}\n\n"))).await;
                sleep(Duration::from_millis(20)).await;
            }
        }
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        visit.exactly(length.unwrap_or(0)).await;
        let body = if head.starts_with("GET /large") { &ALL_OF_IT[..] } else { b"ok" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if visit.try_send(head).await.is_err() || visit.try_send(body).await.is_err() {
            return;
        }
    }
}

/// Somebody is served, again and again, until it is over: how often.
async fn served(address: SocketAddr, over: Arc<AtomicBool>) -> usize {
    let mut times = 0;
    while !over.load(SeqCst) {
        let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok";
        let answer = patiently("a request", async { Wire::to(address).await.ask(request).await }).await;
        assert_eq!((answer.status(), answer.body.len()), (200, 2));
        times += 1;
        sleep(Duration::from_millis(20)).await;
    }
    times
}

/// Somebody follows a stream, is cut and comes back, until it is over: which numbers they saw.
async fn followed(address: SocketAddr, over: Arc<AtomicBool>) -> usize {
    let (mut id, mut next) = (String::new(), 0);
    while !over.load(SeqCst) {
        let mut client = patiently("a stream", ask(address, "/events", &id)).await;
        let wanted = format!("data: {}\n", next + 10);
        let had = patiently("an event", read_until(&mut client, &wanted)).await;
        let text = String::from_utf8(had).unwrap();
        let frames = text.split_inclusive("\n\n").filter(|frame| frame.ends_with("\n\n"));
        for frame in frames {
            // As a client reads it: a number, and behind it the id to come back with.
            if let (Some((_, rest)), true) = (frame.split_once("data: "), frame.contains("\nid: r")) {
                assert_eq!(rest.lines().next().unwrap(), next.to_string(), "lost or doubled");
                next += 1;
                id = rest.split_once("id: ").unwrap().1.trim_end().to_owned();
            }
        }
    }
    next
}

/// Says this head, a byte at a time, until it is told that it took too long.
async fn write_head(address: SocketAddr) {
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x'));
    for byte in head {
        if client.write_all(&[*byte]).await.is_err() {
            return;
        }
        let mut end = [0; 64];
        if let Ok(read) = timeout(Duration::from_millis(500), client.read(&mut end)).await {
            assert!(!matches!(read, Ok(1..)), "it is no request: {}", String::from_utf8_lossy(&end));
            return;
        }
    }
}

async fn begin(address: SocketAddr, head: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    client
}

async fn write_on(mut client: TcpStream, over: Arc<AtomicBool>) -> TcpStream {
    while !over.load(SeqCst) {
        client.write_all(b"x").await.expect("it goes on, however slowly");
        sleep(Duration::from_millis(500)).await;
    }
    client
}

async fn read_on(mut client: TcpStream, over: Arc<AtomicBool>) -> TcpStream {
    while !over.load(SeqCst) {
        client.read_u8().await.expect("a download may take its time");
        sleep(Duration::from_millis(500)).await;
    }
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hold_up_nobody_else() {
    in_time(async {
        let each: usize = sized(50, 1_000, 1_000);
        let running = Running::before(Origin::start(answer).await, "slow", "").await;
        let (address, over) = (running.binary.address, Arc::new(AtomicBool::new(false)));
        let serving = tokio::spawn(served(address, over.clone()));
        let following = tokio::spawn(followed(address, over.clone()));
        let (mut bodies, mut readers, mut heads) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..each {
            let body = "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 4096\r\n\r\n";
            bodies.push(tokio::spawn(write_on(begin(address, body).await, over.clone())));
            let mut reader = begin(address, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n").await;
            // One after the other: it is no matter of how many can connect at once.
            patiently("a download", read_until(&mut reader, "HTTP/1.1 200 ")).await;
            readers.push(tokio::spawn(read_on(reader, over.clone())));
            heads.push(tokio::spawn(write_head(address)));
        }
        for head in heads {
            head.await.unwrap();
        }
        let here = usize::try_from(running.metric("respool_connections ").await).unwrap();
        let failed = running.metric("respool_requests_total{outcome=\"failed\"}").await;
        over.store(true, SeqCst);
        assert!(
            (2 * each..2 * each + 20).contains(&here),
            "{here} of {each} each: those with heads are gone"
        );
        assert_eq!(failed, 0);
        let (times, events) = (serving.await.unwrap(), following.await.unwrap());
        assert!(times > 0 && events > 10, "{times} requests, {events} events");
        for client in bodies.into_iter().chain(readers) {
            drop(client.await.unwrap());
        }
    })
    .await;
}

/// The program that others are tested with, in each of its ways. It is where `RESPOOL_SLOWHTTPTEST` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slowhttptest_holds_up_nobody_else() {
    let Ok(program) = std::env::var("RESPOOL_SLOWHTTPTEST") else {
        return println!("skipped: RESPOOL_SLOWHTTPTEST names no slowhttptest");
    };
    in_time(async {
        let running = Running::before(Origin::start(answer).await, "slowhttptest", "").await;
        let address = running.binary.address;
        for (mode, path) in
            [("-H -i 2", "/"), ("-B -i 2 -s 8192", "/slow"), ("-X -w 10 -y 20 -n 2 -z 32 -k 1", "/large")]
        {
            let over = Arc::new(AtomicBool::new(false));
            let serving = tokio::spawn(served(address, over.clone()));
            let following = tokio::spawn(followed(address, over.clone()));
            let line = format!("{mode} -c 1000 -r 500 -l 15 -p 10 -u http://{address}{path}");
            let mut command = Command::new(&program);
            command.args(line.split(' ')).stdin(Stdio::null());
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            over.store(true, SeqCst);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let (times, events) = (serving.await.unwrap(), following.await.unwrap());
            println!("{line}: {times} requests and {events} events meanwhile");
            assert!(said.contains("1000") && said.contains("YES"), "{said}");
            assert!(!said.contains("NO\u{1b}") && !said.contains("available:   NO"), "{said}");
            assert!(times > 0 && events > 10, "{times} requests, {events} events");
        }
    })
    .await;
}
