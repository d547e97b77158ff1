//! A panic where respool talks to the upstream: it takes along who waits for that, and nobody else.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use respool::{
    app::App,
    config::{Config, Flags},
    dice::Dice,
    drain::Drain,
    metrics::Metrics,
    net::{Address, BoxFuture, BoxIo, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::support::{End, Origin, Wire, within, world::event_source};

const FILE: &str = "[[route]]\npath = '/shared/*'\nmode = 'shared'\nkey = 'path'\nadmit = 'none'\n";
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// Which of what is done for requests panics.
#[derive(Clone, Default)]
struct Faults {
    dial: Arc<AtomicBool>,
    read: Arc<AtomicBool>,
}

/// A connection to the upstream, whose reads may panic.
struct Fragile(TcpStream, Arc<AtomicBool>);

impl AsyncRead for Fragile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let had = buf.filled().len();
        let polled = Pin::new(&mut self.0).poll_read(cx, buf);
        let is_fatal = buf.filled()[had..].windows(6).any(|part| part == b"fatal\n");
        assert!(!(is_fatal && self.1.load(SeqCst)), "a fault in what reads");
        polled
    }
}

impl AsyncWrite for Fragile {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// respool before this upstream, with these faults.
fn serve(upstream: SocketAddr, faults: &Faults) -> SocketAddr {
    let flags = Flags { upstream: Some(format!("http://{upstream}")), ..Flags::default() };
    let config = Config::resolve(&flags, &|_| None, Some(("panics.toml", FILE))).unwrap();
    let (drain, faults) = (Drain::new(config.drain_time), faults.clone());
    let dial = move || -> BoxFuture<io::Result<BoxIo>> {
        assert!(!faults.dial.load(SeqCst), "a fault in what connects");
        let read = faults.read.clone();
        Box::pin(async move { Ok(Box::new(Fragile(TcpStream::connect(upstream).await?, read)) as BoxIo) })
    };
    let app = App::new(&config, Arc::new(dial), Dice::seeded(7), Metrics::new(), drain);
    app.start();
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let Address::Tcp(address) = listener.local().unwrap() else { unreachable!() };
    tokio::spawn(app.server().clone().run(listener));
    address
}

/// Says `a` on each stream and then what it is told to.
async fn server(said: tokio::sync::watch::Receiver<&'static str>) -> Origin {
    Origin::start(move |mut visit| {
        let mut said = said.clone();
        async move {
            if !visit.request().await {
                return;
            }
            said.mark_unchanged();
            let mut alive = visit.try_send(format!("{HEAD}data: a\n\n")).await.is_ok();
            while alive && said.changed().await.is_ok() {
                let data = *said.borrow_and_update();
                alive = visit.try_send(format!("data: {data}\n\n")).await.is_ok();
            }
        }
    })
    .await
}

async fn ask(proxy: SocketAddr, path: &str) -> Wire {
    let mut client = Wire::to(proxy).await;
    client.send(format!("{}\r\n\r\n", event_source(path, "").replace('\n', "\r\n"))).await;
    client
}

/// Reads until this was said.
async fn hears(client: &mut Wire, data: &str) {
    let wanted = format!("data: {data}\n").into_bytes();
    let is_there = |had: &[u8]| had.windows(wanted.len()).any(|part| part == wanted);
    client.rest_or(is_there).await;
    assert!(is_there(client.ahead()), "{}", String::from_utf8_lossy(client.ahead()));
}

#[tokio::test]
async fn a_panic_where_the_upstream_is_dialled_cuts_who_waits_for_it_and_nobody_else() {
    within(async {
        let (say, said) = tokio::sync::watch::channel("");
        let (origin, faults) = (server(said).await, Faults::default());
        let proxy = serve(origin.address, &faults);
        let mut others = [ask(proxy, "/shared/1").await, ask(proxy, "/private").await];
        for other in &mut others {
            hears(other, "a").await;
        }
        faults.dial.store(true, SeqCst);
        for path in ["/shared/2", "/private"] {
            let mut waiting = [ask(proxy, path).await, ask(proxy, path).await, ask(proxy, path).await];
            for client in &mut waiting {
                assert_eq!(client.rest().await.0, b"", "{path}: cut without an answer");
            }
        }
        say.send_replace("b");
        for other in &mut others {
            hears(other, "b").await;
        }
        // And nothing is left of it.
        faults.dial.store(false, SeqCst);
        for path in ["/shared/2", "/private"] {
            hears(&mut ask(proxy, path).await, "a").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_panic_where_the_upstream_is_read_is_the_loss_of_that_stream_and_of_no_other() {
    within(async {
        let (say, said) = tokio::sync::watch::channel("");
        let (quiet, asked) = tokio::sync::watch::channel("");
        let faults = Faults::default();
        let (origin, calm) = (server(said).await, server(asked).await);
        let (proxy, other) = (serve(origin.address, &faults), serve(calm.address, &faults));
        let mut others = [ask(other, "/shared/1").await, ask(other, "/private").await];
        let mut lost =
            [ask(proxy, "/shared/1").await, ask(proxy, "/shared/1").await, ask(proxy, "/private").await];
        for client in others.iter_mut().chain(&mut lost) {
            hears(client, "a").await;
        }
        faults.read.store(true, SeqCst);
        say.send_replace("fatal");
        for client in &mut lost {
            let (had, end) = client.rest().await;
            assert!(!had.windows(5).any(|part| part == b"fatal") && !had.ends_with(b"0\r\n\r\n"));
            assert_ne!(end, End::Whole);
        }
        quiet.send_replace("b");
        for client in &mut others {
            hears(client, "b").await;
        }
        // And nothing is left of it.
        for path in ["/shared/1", "/private"] {
            let mut back = ask(proxy, path).await;
            back.head().await;
            say.send_replace("c");
            hears(&mut back, "c").await;
        }
    })
    .await;
}
