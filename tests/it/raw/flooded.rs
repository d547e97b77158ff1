//! Each flood before respool: its connection is ended, or it is taken as slowly as it may be; memory stays flat, and who
//! else is there goes on.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tokio::time::sleep;

use super::floods::{Flood, attack, floods, plain};
use crate::support::{Authority, Binary, Origin, Wire, within};

/// How long each goes on.
const TIME: Duration = Duration::from_millis(400);
/// How much longer than that a machine may take on which much else runs.
const PATIENCE: Duration = Duration::from_secs(10);
/// By how much memory may grow in a flood, in KiB. It is of one connection at a time, and a stream may buffer 64 KiB in
/// each direction.
const GROWTH: u64 = 16 * 1024;

/// An upstream that never answers at `/hang`, says far too much at `/big`, and an event every few milliseconds at `/events`.
async fn upstream() -> Origin {
    Origin::start(|mut visit| async move {
        while visit.request().await {
            let head = visit.head_of_request();
            let path = head.split(' ').nth(1).unwrap();
            let chunked =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            match path {
                "/hang" => drop(visit.rest().await),
                "/big" => {
                    visit.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
                    while visit.try_send(vec![b'x'; 100_000]).await.is_ok() {}
                    return;
                }
                "/events" => {
                    visit.send(chunked).await;
                    while visit.try_send("9\r\ndata: a\n\n\r\n").await.is_ok() {
                        sleep(Duration::from_millis(5)).await;
                    }
                    return;
                }
                _ => visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await,
            }
        }
    })
    .await
}

/// Reads what is there for somebody else while a flood goes on: how many events there were.
async fn events(client: &mut Wire, until: Instant) -> usize {
    let left = until.saturating_duration_since(Instant::now());
    let _ = tokio::time::timeout(left, client.rest_or(|_| false)).await;
    client.take_ahead().windows(7).filter(|window| window == b"data: a").count()
}

/// How who floods connects to whom.
trait Connect<S>: Fn(SocketAddr) -> io::Result<S> + Clone + Send + 'static {}
impl<S, F: Fn(SocketAddr) -> io::Result<S> + Clone + Send + 'static> Connect<S> for F {}

async fn flooded<S: Read + Write>(
    flood: &'static Flood,
    binary: &Binary,
    client: &mut Wire,
    connect: impl Connect<S>,
) -> Result<(), String> {
    let (before, address) = (binary.resident(), binary.address);
    events(client, Instant::now()).await;
    let attacked = tokio::task::spawn_blocking(move || attack(flood, || connect(address), TIME));
    let (until, mut most, mut seen) = (Instant::now() + TIME, 0, 0);
    // About eighty come in that time, on an idle machine.
    while Instant::now() < until || (seen < 20 && Instant::now() < until + PATIENCE) {
        seen += events(client, Instant::now() + Duration::from_millis(20)).await;
        most = most.max(binary.resident());
    }
    let attacked = attacked.await.unwrap();
    if most > before + GROWTH {
        return Err(format!("memory went from {before} to {most} KiB"));
    }
    if seen < 20 {
        return Err(format!("somebody else had {seen} events"));
    }
    if flood.is_ended != (attacked.ended > 0) {
        return Err(format!("{attacked:?}"));
    }
    Ok(())
}

/// All floods by such connections, while this client has a stream.
async fn all_flood<S: Read + Write>(binary: &Binary, mut client: Wire, connect: impl Connect<S>) {
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    // What the first connection of all costs is not a flood's.
    let mut wrong = Vec::new();
    let all: &'static [Flood] = floods().leak();
    let (first, address) = (connect.clone(), binary.address);
    let warm = move || attack(&all[0], || first(address), TIME / 4);
    tokio::task::spawn_blocking(warm).await.unwrap();
    for flood in all {
        if let Err(what) = flooded(flood, binary, &mut client, connect.clone()).await {
            wrong.push(format!("{}: {what}", flood.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!binary.log().contains("panicked"), "{}", binary.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_ends_its_connection_or_waits_and_nobody_else_notices() {
    within(async {
        let origin = upstream().await;
        let binary = Binary::to(origin.address).await;
        let client = binary.connect().await;
        all_flood(&binary, client, plain).await;
        assert_eq!(binary.connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
    })
    .await;
}

/// A connection by TLS, on which HTTP/2 was agreed.
fn secured(
    config: Arc<ClientConfig>,
    to: SocketAddr,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = "localhost".try_into().map_err(io::Error::other)?;
    let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, TcpStream::connect(to)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    stream.sock.set_nodelay(true)?;
    stream.sock.set_nonblocking(true)?;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_by_tls_gets_what_it_gets_without() {
    within(async {
        let authority = Authority::new();
        authority.sign("front", &["localhost"]);
        let origin = upstream().await;
        let (certificate, key) = (authority.path("front.pem"), authority.path("front.key"));
        let file = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
        let binary = Binary::secured(origin.address, &file).await;
        let client = Wire::new(authority.connect(binary.address, &["http/1.1"]).await.unwrap());
        let config = Arc::new(authority.client(&["h2"]));
        all_flood(&binary, client, move |to| secured(config.clone(), to)).await;
    })
    .await;
}

#[test]
fn the_page_has_each_flood() {
    let page = include_str!("../../../deploy/docs/attacks.md");
    let rows = page.lines().filter(|line| line.starts_with("| flood: ")).count();
    assert_eq!(rows, floods().len());
    for flood in floods() {
        let gets = if flood.is_ended { "the connection is ended" } else { "waits" };
        let row = page.lines().find(|line| line.starts_with(&format!("| {} | {gets}", flood.name)));
        let row = row.unwrap_or_else(|| panic!("{}", flood.name));
        assert_eq!(row.contains("reached the server"), flood.is_forwarded, "{row}");
    }
}
