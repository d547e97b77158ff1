//! The same on real sockets, where the kernel holds some of it, too.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use respool::{
    app::App,
    config::{Config, Flags},
    dice::Dice,
    drain::Drain,
    metrics::Metrics,
    net::{
        Address, Listener,
        tls::{Certificates, Files},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::watch,
};

use super::{EVENT, EVENTS, ROUTE};
use crate::support::{Authority, Origin, until, within, world::event_source};

/// What the kernel may hold for the client that takes nothing: it makes two of it.
const KERNEL: u32 = 4096;

/// An event server: the first connection gets 10 MB, once `begin` says so. Any other only asks; it is let in, but for the
/// client that is revoked, which is refused when it is asked about for the second time and `begin` says so.
async fn server(begin: watch::Receiver<u8>) -> Origin {
    let (all, about) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    Origin::start(move |mut visit| {
        let (all, about, mut begin) = (all.clone(), about.clone(), begin.clone());
        async move {
            if !visit.request().await {
                return;
            }
            let is_revoked = visit.head_of_request().to_lowercase().contains("x-who: revoked");
            if is_revoked && about.fetch_add(1, SeqCst) > 0 {
                let _ = begin.wait_for(|phase| *phase == 2).await;
                return visit.send("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").await;
            }
            visit
                .send(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
                )
                .await;
            if all.fetch_add(1, SeqCst) == 0 {
                let _ = begin.wait_for(|phase| *phase == 1).await;
                let frame = format!("data: {}\n\n", "x".repeat(EVENT));
                for _ in 0..EVENTS {
                    visit.send(format!("{:x}\r\n{frame}\r\n", frame.len())).await;
                }
            }
            visit.rest().await;
        }
    })
    .await
}

fn app(upstream: SocketAddr) -> App {
    let flags = Flags { upstream: Some(format!("http://{upstream}")), ..Flags::default() };
    let file = format!("{ROUTE}readmit = '1s'\n");
    let config = Config::resolve(&flags, &|_| None, Some(("test.toml", &file))).unwrap();
    let drain = Drain::new(config.drain_time);
    let app = App::new(&config, config.upstream.dialer(), Dice::seeded(7), Metrics::new(), drain);
    app.start();
    app
}

fn serve(app: &App, address: &str, certificates: Option<&Certificates>) -> SocketAddr {
    let listener = Listener::bind_with(&address.parse().unwrap(), certificates).unwrap();
    let (Address::Tcp(address) | Address::Tls(address)) = listener.local().unwrap() else { unreachable!() };
    tokio::spawn(app.server().clone().run(listener));
    address
}

async fn ask(io: &mut (impl AsyncRead + AsyncWrite + Unpin), who: &str) {
    let head = format!("{}\nX-Who: {who}\n\n", event_source("/a", "")).replace('\n', "\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    io.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
}

/// A connection for which the kernel holds next to nothing.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(KERNEL).unwrap();
    socket.connect(address).await.unwrap()
}

/// A client that took nothing gets what its own kernel had when the answer turned to no, and a reset.
async fn cut_at_once(by_tls: bool) {
    let authority = Authority::new();
    authority.sign("front", &["localhost"]);
    let files = Files { certificate: authority.path("front.pem"), key: authority.path("front.key") };
    let certificates = Certificates::load(files).unwrap();
    let (phase, begin) = watch::channel(0);
    let origin = server(begin).await;
    let app = app(origin.address);
    let plain = serve(&app, "127.0.0.1:0", None);
    let mut first = TcpStream::connect(plain).await.unwrap();
    ask(&mut first, "first").await;
    let mut revoked: Box<dyn Io> = if by_tls {
        let secured = serve(&app, "https://127.0.0.1:0", Some(&certificates));
        Box::new(authority.connect_by(narrow(secured).await, &["http/1.1"]).await.unwrap())
    } else {
        Box::new(narrow(plain).await)
    };
    ask(&mut revoked, "revoked").await;
    phase.send(1).unwrap();
    let mut taken = 0;
    let mut buffer = vec![0; 1 << 16];
    while taken < EVENTS * EVENT {
        taken += first.read(&mut buffer).await.unwrap();
    }
    let metric = |line: &str| {
        let text = app.metrics().encode();
        text.lines().find_map(|had| had.strip_prefix(line)).unwrap().trim().parse::<u64>().unwrap()
    };
    assert_eq!(metric("respool_clients{route=\"/*\"}"), 2);
    phase.send(2).unwrap();
    until(|| metric("respool_clients_cut_total{route=\"/*\",reason=\"revoked\"}") == 1).await;
    let mut rest = Vec::new();
    let end = revoked.read_to_end(&mut rest).await;
    assert_eq!(end.map_err(|fault| fault.kind()), Err(ErrorKind::ConnectionReset));
    assert!(rest.len() < 2 * KERNEL as usize, "{}", rest.len());
    assert_eq!(metric("respool_clients{route=\"/*\"}"), 1, "the other goes on");
}

trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

#[tokio::test]
async fn readmit_resets_a_connection_with_what_the_kernel_holds_of_it() {
    within(cut_at_once(false)).await;
}

#[tokio::test]
async fn readmit_resets_a_connection_by_tls_with_what_tls_and_the_kernel_hold_of_it() {
    within(cut_at_once(true)).await;
}
