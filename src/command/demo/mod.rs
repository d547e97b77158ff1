//! `respool demo`: the main job on one screen. A small legacy event server, the proxy in front of it, a network that
//! is cut again and again, and two readers behind it: one connected directly, one through respool.
//!
//! ```text
//!   legacy ◀──────────────── relay ◀── browser, left column;  terminal, `direct`
//!      ▲
//!      └─────── respool ◀─── relay ◀── browser, right column; terminal, `through respool`
//! ```
//!
//! All of it is real: sockets, the proxy with its default configuration, the cuts.

use std::{
    convert::Infallible,
    fmt,
    future::ready,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tower::service_fn;

use crate::{
    app::App,
    body::Relay,
    config::{Config, Faults, Flags},
    dice::Dice,
    drain::{self, Drain, Signals},
    metrics::Metrics,
    net::{Address, Listener},
    server::{Limits, Server},
};

mod legacy;
mod network;
mod page;
mod reader;
mod screen;
mod tally;

use legacy::Legacy;
use network::{Network, OUTAGE};
use page::Page;
use reader::Reader;
use screen::{Moment, Screen};

/// Before the first cut both columns are seen to be alike.
const FIRST_CUT: Duration = Duration::from_millis(1500);
/// For this long before the end no cut begins.
const CALM: Duration = Duration::from_secs(2);
/// How long the right side may take, once the time is over, to get what was sent within it.
const GRACE: Duration = Duration::from_secs(3);
/// A run of this length and longer proves nothing without a cut.
const PROOF: Duration = Duration::from_secs(5);
/// How often one looks whether the right side has what it should.
const LOOK: Duration = Duration::from_millis(50);

/// How the demo is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long; until SIGINT or SIGTERM where nothing is said.
    pub length: Option<Duration>,
    /// Where the page is. A port that is taken is passed over for the next free one.
    pub listen: SocketAddr,
    /// From the beginning of one cut, by whomever, to the beginning of the next; at least [`SHORTEST`].
    pub cut_every: Duration,
}

/// The least that [`Settings::cut_every`] may be: readers need a moment after each cut to come back in.
pub const SHORTEST: Duration = Duration::from_secs(2);

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The page has no place.
    #[error("cannot listen on {0}; choose another address with --listen")]
    Listen(SocketAddr, #[source] io::Error),
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Dice(#[from] rand::rngs::SysError),
    /// Our own configuration is refused.
    #[error("the demo's configuration is refused: {0}")]
    Config(Faults),
    /// A socket, a signal handler or the output.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs the demo and shows it on `out`: as a screen that is drawn again and again where that is a `terminal`, else as
/// a line each second. True if the right side is whole: every number from its first one to the last, once and in
/// order; and, in a run of five seconds or longer, over at least one cut.
///
/// # Errors
///
/// When something cannot be started, or not be shown.
pub async fn run(settings: Settings, out: &mut impl Write, terminal: bool) -> Result<bool, DemoError> {
    let signals = drain::signals()?;
    let (mut demo, page) = Demo::start(settings).await?;
    let mut screen = Screen::new(terminal);
    screen.open(out, page)?;
    demo.show(settings, signals, &mut screen, out).await?;
    let summary = demo.moment();
    screen.summary(out, &summary)?;
    Ok(summary.is_proof(PROOF))
}

/// Everything that runs.
struct Demo {
    legacy: Legacy,
    network: Network,
    direct: Reader,
    respool: Reader,
    began: Instant,
    /// How long it ran; `None` while it does.
    ran: Option<Duration>,
}

impl Demo {
    /// Starts it all, and says where the page is.
    async fn start(settings: Settings) -> Result<(Self, SocketAddr), DemoError> {
        let (legacy, origin) = Legacy::start()?;
        let proxy = proxy(origin)?;
        let network = Network::new();
        let ip = settings.listen.ip();
        let (left, right) = (network.relay(ip, origin).await?, network.relay(ip, proxy).await?);
        let page = Page::new(left.port(), right.port(), network.clone());
        let page = serve_near(settings.listen, page)?;
        tokio::spawn(cut_again_and_again(network.clone(), settings.cut_every));
        let (direct, respool) = (Reader::start(reachable(left)), Reader::start(reachable(right)));
        let demo = Self { legacy, network, direct, respool, began: Instant::now(), ran: None };
        Ok((demo, reachable(page)))
    }

    /// Shows it until its time is over or a signal comes; then waits, for a fair end, for what is still to come. A
    /// second signal ends that too.
    async fn show(
        &mut self,
        settings: Settings,
        mut signals: Signals,
        screen: &mut Screen,
        out: &mut impl Write,
    ) -> Result<(), DemoError> {
        let calm = settings.length.map(|length| self.began + length.saturating_sub(CALM));
        let end = settings.length.map(|length| self.began + length);
        let mut tick = interval_at(self.began + screen.pause(), screen.pause());
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = tick.tick() => screen.draw(out, &self.moment())?,
                () = reached(calm), if !self.network.is_sealed() => self.network.seal(),
                () = reached(end) => break,
                _ = signals.next() => break,
            }
        }
        self.ran = Some(self.began.elapsed());
        self.network.seal();
        tokio::select! {
            () = self.settle() => {}
            _ = signals.next() => {}
        }
        Ok(())
    }

    /// Ends the count, gives the right side the time to get what was sent, and counts what is not there then. The
    /// left side is measured by the same.
    async fn settle(&self) {
        let sent = self.legacy.stop();
        let caught_up = async {
            while self.respool.column().tally.last() < sent {
                sleep(LOOK).await;
            }
        };
        // What does not come in time is missing.
        let _ = timeout(GRACE, caught_up).await;
        // The last number may still be on its way to the left side.
        sleep(LOOK).await;
        self.direct.column().tally.reach(sent);
        self.respool.column().tally.reach(sent);
    }

    fn moment(&self) -> Moment {
        Moment {
            time: self.ran.unwrap_or_else(|| self.began.elapsed()),
            direct: self.direct.column().clone(),
            respool: self.respool.column().clone(),
            cuts: self.network.cuts(),
            down: self.network.is_down(),
        }
    }
}

/// The proxy with its default configuration, in front of `origin`; says where.
fn proxy(origin: SocketAddr) -> Result<SocketAddr, DemoError> {
    let flags = Flags {
        upstream: Some(format!("http://{origin}")),
        listen: vec!["127.0.0.1:0".to_owned()],
        ..Flags::default()
    };
    let config = Config::resolve(&flags, &|_| None, None).map_err(DemoError::Config)?;
    let drain = Drain::new(config.drain_time);
    let app = App::new(&config, config.upstream.dialer(), Dice::new()?, Metrics::new(), drain);
    app.start();
    let listener = Listener::bind(&Address::Tcp((Ipv4Addr::LOCALHOST, 0).into()))?;
    let address = local(&listener)?;
    tokio::spawn(app.server().clone().run(listener));
    Ok(address)
}

/// Serves at the first free port from the one asked for.
fn serve_near(listen: SocketAddr, page: Page) -> Result<SocketAddr, DemoError> {
    let ports = (listen.port()..=u16::MAX).take(100).chain([0]);
    for port in ports {
        let address = SocketAddr::new(listen.ip(), port);
        match Listener::bind(&Address::Tcp(address)) {
            Ok(listener) => return Ok(serve(listener, move |request| page.answer(request))?),
            Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => {}
            Err(fault) => return Err(DemoError::Listen(listen, fault)),
        }
    }
    Err(DemoError::Listen(listen, io::ErrorKind::AddrInUse.into()))
}

/// Answers requests that come in by `listener`, for as long as the program runs; says where.
fn serve<F>(listener: Listener, answer: F) -> io::Result<SocketAddr>
where
    F: Fn(Request<Incoming>) -> Response<Relay> + Send + Sync + 'static,
{
    let address = local(&listener)?;
    let answer = Arc::new(answer);
    let service = service_fn(move |request| ready(Ok::<_, Infallible>(answer(request))));
    tokio::spawn(Server::new(service, Limits::default(), Drain::default()).run(listener));
    Ok(address)
}

fn local(listener: &Listener) -> io::Result<SocketAddr> {
    match listener.local()? {
        Address::Tcp(address) => Ok(address),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Where a client of this machine finds who listens on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn cut_again_and_again(network: Network, every: Duration) {
    let mut wait = FIRST_CUT;
    loop {
        // Whoever cuts it by the button is left alone with that cut.
        if timeout(wait, network.next_cut()).await.is_err() {
            network.cut();
        }
        wait = every.max(OUTAGE);
    }
}

/// Never, where there is no such moment.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// A duration in seconds, to the tenth.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_passed_over() {
        let taken = Listener::bind(&Address::Tcp((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
        let taken = (local(&taken).unwrap(), taken);
        let near = serve_near(taken.0, Page::new(1, 2, Network::new())).unwrap();
        assert_eq!(near.ip(), taken.0.ip());
        assert_ne!(near.port(), taken.0.port());
    }

    #[tokio::test]
    async fn an_address_that_is_not_ours_is_named() {
        let other = "192.0.2.1:8090".parse().unwrap();
        let fault = serve_near(other, Page::new(1, 2, Network::new())).unwrap_err();
        assert!(fault.to_string().starts_with("cannot listen on 192.0.2.1:8090"), "{fault}");
    }
}
