//! One server under load: the program that is measured, a source behind it, clients before it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{load::Load, measure, source::Source};

pub(crate) struct World {
    program: Program,
    pub(crate) address: SocketAddr,
    /// Where it tells of itself; the floor does not.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) source: Source,
    pub(crate) load: Load,
}

/// A process that ends with us.
pub(crate) struct Program(Child);

impl Program {
    /// The real program with this configuration and a log of this level, and where it listens: for clients, and to tell of
    /// itself.
    pub(crate) fn respool(config: &str, level: &str) -> (Self, [SocketAddr; 2]) {
        Self::run(config, level, &["WARN", "ERROR"])
    }

    /// The same with the log as it is unless told otherwise, of whom it is expected that it warns.
    pub(crate) fn warning(config: &str) -> (Self, [SocketAddr; 2]) {
        Self::run(config, "info", &["ERROR"])
    }

    fn run(config: &str, level: &str, levels: &'static [&str]) -> (Self, [SocketAddr; 2]) {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("respool-bench-{}-{}.toml", process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let file = env::temp_dir().join(name);
        fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_respool"));
        let command = command.args(["--log", level, "--config"]).arg(&file).stderr(Stdio::piped());
        let mut program = Self(command.spawn().unwrap());
        let mut log = BufReader::new(program.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut next = || log.find_map(|line| address(&line)).expect("respool says where it listens");
        let addresses = [next(), next()];
        fs::remove_file(&file).unwrap();
        // Whatever goes wrong there shows here.
        let is_wrong = |line: &String| levels.iter().any(|level| line.contains(level));
        thread::spawn(move || log.filter(is_wrong).for_each(|line| eprintln!("{line}")));
        (program, addresses)
    }

    /// The processor time that it has taken.
    pub(crate) fn cpu(&self) -> Duration {
        measure::cpu(self.0.id())
    }

    /// Its memory, in bytes, when it has done what it was about.
    pub(crate) fn memory(&self) -> f64 {
        thread::sleep(Duration::from_millis(200));
        measure::memory(self.0.id())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    /// The floor with all its clients.
    pub(crate) fn floor(clients: usize) -> Self {
        let source = Source::start();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["floor", &source.address.to_string(), &clients.to_string()]).stdout(Stdio::piped());
        let mut program = Program(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        let mut world = Self { program, address, admin: None, source, load: Load::new() };
        world.join("/shared", clients);
        world.source.wait_for(1);
        world
    }

    /// The real program, with shared streams at `/shared`, private ones elsewhere, with a rule at `/ruled`, and windows of so many
    /// events, whatever their bytes and age.
    pub(crate) fn respool(window: u64) -> Self {
        Self::logging(window, "info")
    }

    /// The same, with a log of this level for each part.
    pub(crate) fn logging(window: u64, level: &str) -> Self {
        let source = Source::start();
        let text = format!(
            r#"
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "http://{}"
limits = {{ memory = "4GiB" }}
window = {{ events = {window}, bytes = "1GiB", age = "1d" }}
[[route]]
path = "/{{shared,many/*}}"
mode = "shared"
key = ["path"]
admit = "none"
[[route]]
path = "/ruled"
type = "/pad"
ephemeral = ["heartbeat"]
"#,
            source.address
        );
        let (program, [address, admin]) = Program::respool(&text, level);
        Self { program, address, admin: Some(admin), source, load: Load::new() }
    }

    /// Adds clients that have everything so far.
    pub(crate) fn join(&mut self, path: &str, clients: usize) {
        self.load.connect(self.address, path, clients, self.source.sent, None);
    }

    /// Adds so many shared streams of so many clients each.
    pub(crate) fn join_many(&mut self, streams: usize, clients: usize) {
        for n in 0..streams {
            self.join(&format!("/many/{n}"), clients);
        }
        self.source.wait_for(streams);
    }

    /// How long it takes until one event is with every client.
    pub(crate) fn delivery(&mut self) -> Duration {
        let start = Instant::now();
        self.source.emit(1);
        self.load.read_to(self.source.sent);
        start.elapsed()
    }

    /// So many events each tick of ten milliseconds, as long as that is so, and of each client how long it took until it had
    /// the last of them.
    pub(crate) fn delays(&mut self, events: u64, mut goes_on: impl FnMut() -> bool) -> Vec<Duration> {
        let mut delays = Vec::new();
        while goes_on() {
            let start = Instant::now();
            self.source.emit(events);
            delays.extend(self.load.delays_to(self.source.sent, start));
            thread::sleep(Duration::from_millis(10).saturating_sub(start.elapsed()));
        }
        delays
    }

    /// One after the other so many clients come back to the shared stream that have missed so much of it.
    pub(crate) fn resumes(&mut self, clients: usize, missed: u64) {
        let generation = self.load.generation.clone();
        for _ in 0..clients {
            self.load.leave();
            self.load.connect(self.address, "/shared", 1, self.source.sent - missed, Some(&generation));
            self.load.read_to(self.source.sent);
        }
    }

    /// One event at a time, each delivered to every client before the next, and so many in a second at most.
    pub(crate) fn steady(&mut self, events: u64, per_second: u32) {
        for _ in 0..events {
            let next = Instant::now() + Duration::from_secs(1) / per_second;
            self.source.emit(1);
            // Clients that were woken for each delivery would cost more than the delivery.
            thread::sleep(Duration::from_millis(10));
            self.load.read_to(self.source.sent);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// So many events at once, and the next ones when all clients have them.
    pub(crate) fn bursts(&mut self, bursts: u64, events: u64) {
        for _ in 0..bursts {
            self.source.emit(events);
            self.load.read_to(self.source.sent);
        }
    }

    /// The processor time that the program takes for something.
    pub(crate) fn cost(&mut self, of: impl FnOnce(&mut Self)) -> Duration {
        let before = self.cpu();
        of(self);
        // What it does behind the last byte belongs to it.
        thread::sleep(Duration::from_millis(20));
        self.cpu() - before
    }

    fn cpu(&self) -> Duration {
        self.program.cpu()
    }

    /// The memory of the program, in bytes.
    pub(crate) fn memory(&self) -> f64 {
        self.program.memory()
    }
}

fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("\"address\":\"")?;
    rest.split('"').next()?.parse().ok()
}
