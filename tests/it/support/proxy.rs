//! The proxy: the forwarding stack in this process, or the binary in one of its own.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use respool::{
    dice::Dice,
    drain::Drain,
    metrics::Metrics,
    net::{Address, Listener, Upstream},
    proxy::{
        answer::Answer,
        forward::{Forward, Settings},
        outage::Outage,
    },
    server::{Limits, Server},
};
use tokio::net::TcpStream;

use super::{Wire, until};

/// The forwarding stack on a socket of its own.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
}

impl Proxy {
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        Self::with(&format!("http://{upstream}"), Settings::default(), Limits::default())
    }

    pub(crate) fn with(upstream: &str, settings: Settings, limits: Limits) -> Self {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let Address::Tcp(address) = listener.local().unwrap() else { unreachable!() };
        Self { address, drain: Self::on([listener], upstream, settings, limits) }
    }

    /// On these listeners.
    pub(crate) fn on(
        listeners: impl IntoIterator<Item = Listener>,
        upstream: &str,
        settings: Settings,
        limits: Limits,
    ) -> Drain {
        let upstream: Upstream = upstream.parse().unwrap();
        let drain = Drain::new(Duration::from_secs(20));
        let (forward, metrics) = (Forward::new(&upstream, settings), Metrics::new());
        let hold = Duration::from_millis(700);
        let held = Outage::new(forward, hold, Dice::seeded(7), metrics.outages.clone());
        let service = Answer::new(held, metrics);
        let refuse = service.refusals();
        let server = Server::new(service, limits, drain.clone()).refusing(refuse);
        for listener in listeners {
            tokio::spawn(server.clone().run(listener));
        }
        drain
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire::to(self.address).await
    }
}

/// The binary, forwarding. Dropping it kills it.
pub(crate) struct Binary {
    pub(crate) address: SocketAddr,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Binary {
    pub(crate) async fn to(upstream: SocketAddr) -> Self {
        Self::start(upstream, "exec \"$0\" \"$@\"").await
    }

    /// With a log of this level.
    pub(crate) async fn logging(upstream: SocketAddr, level: &str) -> Self {
        Self::start(upstream, &format!("exec \"$0\" --log {level} \"$@\"")).await
    }

    /// With this configuration file.
    pub(crate) async fn configured(upstream: SocketAddr, file: &str) -> Self {
        Self::start(upstream, &format!("exec \"$0\" --config {file} \"$@\"")).await
    }

    /// With so many file descriptors and no more.
    pub(crate) async fn with_descriptors(upstream: SocketAddr, descriptors: u32) -> Self {
        Self::start(upstream, &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")).await
    }

    /// With this configuration file, and the clock that this file sets, by this library.
    pub(crate) async fn faked(
        upstream: SocketAddr,
        file: &str,
        library: &std::path::Path,
        clock: &std::path::Path,
    ) -> Self {
        let fake = "FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1";
        let shell = format!(
            "{fake} FAKETIME_TIMESTAMP_FILE={clock:?} LD_PRELOAD={library:?} exec \"$0\" --config {file} \"$@\""
        );
        Self::start(upstream, &shell).await
    }

    /// With this configuration file, and so many file descriptors.
    pub(crate) async fn limited(upstream: SocketAddr, file: &str, descriptors: u32) -> Self {
        let shell = format!("ulimit -n {descriptors}; exec \"$0\" --config {file} \"$@\"");
        Self::start(upstream, &shell).await
    }

    /// Before this upstream, on a system that trusts the authorities in this file and no others.
    pub(crate) async fn trusting(authorities: &std::path::Path, upstream: &str) -> Self {
        let address = free();
        let shell = format!("unset SSL_CERT_DIR; SSL_CERT_FILE={authorities:?} exec \"$0\" \"$@\"");
        Self::run(address, &shell, &["--upstream", upstream, "--listen", &address.to_string()]).await
    }

    /// With TLS for clients, and this in its configuration file.
    pub(crate) async fn secured(upstream: SocketAddr, file: &str) -> Self {
        let address = free();
        let listen = format!("https://{address}");
        Self::written(address, &["--upstream", &format!("http://{upstream}"), "--listen", &listen], file)
            .await
    }

    /// With this in its configuration file, which says where the upstream is.
    pub(crate) async fn with_file(file: &str) -> Self {
        let address = free();
        Self::written(address, &["--listen", &address.to_string()], file).await
    }

    async fn written(address: SocketAddr, arguments: &[&str], file: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("respool-{}-{}.toml", std::process::id(), address.port()));
        std::fs::write(&path, file).unwrap();
        let shell = "exec \"$0\" \"$@\"";
        let config = ["--config", path.to_str().unwrap()];
        let binary = Self::run(address, shell, &[arguments, &config].concat()).await;
        std::fs::remove_file(path).unwrap();
        binary
    }

    async fn start(upstream: SocketAddr, shell: &str) -> Self {
        let address = free();
        let arguments = ["--upstream", &format!("http://{upstream}"), "--listen", &address.to_string()];
        Self::run(address, shell, &arguments).await
    }

    async fn run(address: SocketAddr, shell: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", shell, &program()])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), log.clone());
        collect(child.stderr.take().unwrap(), log.clone());
        let mut binary = Self { address, child, log };
        while TcpStream::connect(address).await.is_err() {
            assert!(binary.status().is_none(), "it ended at once: {}", binary.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        binary
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire::to(self.address).await
    }

    /// All that it has logged, whether or not JSON has escaped the backslashes.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().replace("\\\\", "\\")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("sh").args(["-c", "kill \"$0\" \"$1\"", signal, &pid]).status().unwrap().success()
        );
    }

    /// Its exit code, once it has ended; -1 if a signal ended it.
    pub(crate) fn status(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    pub(crate) async fn ended(&mut self) -> i32 {
        until(|| self.status().is_some()).await;
        self.status().unwrap()
    }

    /// The most memory that it ever had, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The same without what it shares with its file: its own, however large the program is.
    pub(crate) fn own_peak(&self) -> u64 {
        self.peak().saturating_sub(self.memory("RssFile:"))
    }

    /// What of the memory that it has now is its own, in KiB.
    pub(crate) fn own(&self) -> u64 {
        self.memory("RssAnon:")
    }

    /// How many file descriptors it has in use.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// The memory that it has now, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// The program that is tested: the one that `RESPOOL_TESTED` names, a release build say, or the one that was built for
/// this test.
fn program() -> String {
    let named = std::env::var("RESPOOL_TESTED").ok().filter(|path| !path.is_empty());
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_respool").to_owned())
}

/// An address that nobody listens on: of the ports that the system gives to nobody by itself, so that no connection of
/// another test has it a moment later.
pub(crate) fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Another run of the tests, at the same time, begins elsewhere.
        let at = std::process::id() + NEXT.fetch_add(1, SeqCst);
        let port = 20_000 + u16::try_from(at % 12_000).unwrap();
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

fn collect(mut from: impl std::io::Read + Send + 'static, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    });
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
