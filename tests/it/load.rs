//! Real load on real sockets: ten thousand events, while each client is cut a hundred times at random places.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use respool::{
    app::App,
    config::{Config, Flags},
    dice::Dice,
    drain::Drain,
    metrics::Metrics,
    net::{Address, Listener},
};
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpStream, sync::watch, time::sleep};

use crate::support::{Origin, reader, within, world::event_source};

const EVENTS: usize = 10_000;
const CUTS: usize = 100;
/// The most that a client reads before it is cut: of 10,000 events it cannot have all before it was cut often enough.
const READ: usize = 5_000;
/// Nothing expires.
const WINDOW: &str = "[window]\nevents = 20000\nbytes = '16MiB'\n";

/// How the event server writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// As fast as it is read.
    Flood,
    /// So many events, then a pause.
    Paced(usize, Duration),
}

const STEADY: Pace = Pace::Paced(40, Duration::from_millis(4));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_stream_that_floods_loses_nothing_over_a_hundred_cuts() {
    whole_for("", 1, Pace::Flood).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_stream_that_flows_loses_nothing_over_a_hundred_cuts() {
    whole_for("", 1, STEADY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_stream_that_floods_loses_nothing_over_a_hundred_cuts_of_each_client() {
    whole_for("[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n", 3, Pace::Flood)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_stream_that_admits_loses_nothing_over_a_hundred_cuts_of_each_client() {
    whole_for("[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\n", 3, STEADY).await;
}

/// So many clients, each cut again and again, get every event once and in order.
async fn whole_for(route: &str, clients: usize, pace: Pace) {
    within(async {
        let (attached, all) = watch::channel(0);
        let origin = server(pace, clients, all).await;
        let proxy = serve(&format!("{WINDOW}{route}"), origin.address);
        let attached = Arc::new(attached);
        let clients = (0..clients).map(|seed| tokio::spawn(insist(proxy, seed as u64, attached.clone())));
        for client in clients.collect::<Vec<_>>() {
            let cuts = client.await.unwrap();
            assert!(cuts >= CUTS, "only {cuts} cuts");
        }
    })
    .await;
}

/// An event server: the first connection gets the events, once all clients are there. Any other only asks.
async fn server(pace: Pace, clients: usize, attached: watch::Receiver<usize>) -> Origin {
    let connections = Arc::new(AtomicUsize::new(0));
    Origin::start(move |mut visit| {
        let (mut attached, connections) = (attached.clone(), connections.clone());
        async move {
            if !visit.request().await {
                return;
            }
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            visit.send(head).await;
            if connections.fetch_add(1, SeqCst) > 0 {
                return std::future::pending().await;
            }
            attached.wait_for(|attached| *attached == clients).await.unwrap();
            for number in 0..EVENTS {
                let frame = format!("data: {number}\n\n");
                visit.send(format!("{:x}\r\n{frame}\r\n", frame.len())).await;
                if let Pace::Paced(events, pause) = pace
                    && number % events == 0
                {
                    sleep(pause).await;
                }
            }
            std::future::pending().await
        }
    })
    .await
}

pub(crate) fn serve(file: &str, upstream: SocketAddr) -> SocketAddr {
    let flags = Flags { upstream: Some(format!("http://{upstream}")), ..Flags::default() };
    let config = Config::resolve(&flags, &|_| None, Some(("load.toml", file))).unwrap();
    let drain = Drain::new(config.drain_time);
    let app = App::new(&config, config.upstream.dialer(), Dice::seeded(7), Metrics::new(), drain);
    app.start();
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let Address::Tcp(address) = listener.local().unwrap() else { unreachable!() };
    tokio::spawn(app.server().clone().run(listener));
    address
}

/// A client that comes back until it has everything; says how often it was cut.
async fn insist(proxy: SocketAddr, seed: u64, attached: Arc<watch::Sender<usize>>) -> usize {
    let (mut dice, mut id) = (StdRng::seed_from_u64(seed), String::new());
    let (mut seen, mut cuts) = (0, 0);
    while seen < EVENTS {
        let mut connection = TcpStream::connect(proxy).await.unwrap();
        let head = event_source("/e", &id).replace('\n', "\r\n");
        connection.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Answer::default();
        if id.is_empty() {
            // The first time it is let have its id: without one it would be a new client each time.
            while reader::read(&answer.body(), "").id.is_empty() {
                answer.read(&mut connection, 1).await;
            }
            assert_eq!(answer.resumed().as_deref(), Some("fresh"));
            attached.send_modify(|attached| *attached += 1);
        }
        let most = dice.random_range(1..READ);
        while answer.0.len() < most && answer.events(&id) + seen < EVENTS {
            answer.read(&mut connection, most - answer.0.len()).await;
        }
        drop(connection);
        if !id.is_empty()
            && let Some(said) = answer.resumed()
        {
            assert!(said.starts_with("resumed; missed="), "after {cuts} cuts, {seen} events: {said}");
        }
        let held = reader::read(&answer.body(), &id);
        for data in held.data() {
            assert_eq!(data, seen.to_string(), "after {cuts} cuts");
            seen += 1;
        }
        (id, cuts) = (held.id, cuts + 1);
    }
    cuts
}

/// What a client has of an answer, byte for byte.
#[derive(Default)]
struct Answer(Vec<u8>);

impl Answer {
    async fn read(&mut self, from: &mut TcpStream, most: usize) {
        let had = self.0.len();
        self.0.resize(had + most, 0);
        let read = from.read(&mut self.0[had..]).await.unwrap();
        assert!(read > 0, "nobody but the client cuts: {}", String::from_utf8_lossy(&self.0[..had]));
        self.0.truncate(had + read);
    }

    fn head(&self) -> Option<&str> {
        let end = self.0.windows(4).position(|window| window == b"\r\n\r\n")?;
        Some(std::str::from_utf8(&self.0[..end + 4]).unwrap())
    }

    fn resumed(&self) -> Option<String> {
        let head = self.head()?;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let line = head.lines().find_map(|line| line.strip_prefix("respool-resume: "));
        Some(line.expect("how it was answered").to_owned())
    }

    /// What has come of the body, a torn chunk too.
    fn body(&self) -> Vec<u8> {
        let mut rest = &self.0[self.head().map_or(self.0.len(), str::len)..];
        let mut body = Vec::new();
        while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
            let chunk = &rest[end + 2..];
            body.extend_from_slice(&chunk[..size.min(chunk.len())]);
            rest = chunk.get(size + 2..).unwrap_or_default();
        }
        body
    }

    fn events(&self, id: &str) -> usize {
        reader::read(&self.body(), id).events.len()
    }
}
