//! One server under load: the program that is measured, a source behind it, clients before it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    load::Load,
    measure,
    peers::Peer,
    published::{self, Publisher},
    source::Source,
};

/// How many clients that may want a stream of their own each come at once.
const PARTY: usize = 50;

pub(crate) struct World {
    program: Option<Program>,
    pub(crate) address: SocketAddr,
    /// Where it tells of itself; only respool does.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) source: Source,
    pub(crate) load: Load,
    /// What the load generator took in the last measurement, by what the program took.
    pub(crate) generator: f64,
}

/// A process that ends with us, and with it its children and the files that it was given.
pub(crate) struct Program {
    child: Child,
    place: Option<PathBuf>,
}

impl Program {
    /// One whose files are at this place; what it says is in the one named `said`.
    pub(crate) fn at(child: Child, place: PathBuf) -> Self {
        Self { child, place: Some(place) }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// What it said on standard error.
    pub(crate) fn said(&self) -> String {
        let said = self.place.as_ref().and_then(|place| fs::read_to_string(place.join("said")).ok());
        said.unwrap_or_default()
    }

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
        let mut program = Self { child: command.spawn().unwrap(), place: None };
        let mut log = BufReader::new(program.child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut next = || log.find_map(|line| address(&line)).expect("respool says where it listens");
        let addresses = [next(), next()];
        fs::remove_file(&file).unwrap();
        // Whatever goes wrong there shows here.
        let is_wrong = |line: &String| levels.iter().any(|level| line.contains(level));
        thread::spawn(move || log.filter(is_wrong).for_each(|line| eprintln!("{line}")));
        (program, addresses)
    }

    /// The processor time that it and its children have taken.
    pub(crate) fn cpu(&self) -> Duration {
        measure::tree(self.child.id()).into_iter().map(measure::cpu).sum()
    }

    /// Its memory, in bytes, when it has done what it was about.
    pub(crate) fn memory(&self) -> f64 {
        thread::sleep(Duration::from_millis(200));
        measure::tree(self.child.id()).into_iter().map(measure::memory).sum()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that lost its parent would live on.
        let tree: Vec<String> = measure::tree(self.child.id()).iter().map(u32::to_string).collect();
        let _ = Command::new("sh").args(["-c", &format!("kill -KILL {}", tree.join(" "))]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprint!("{}", self.said());
        }
        let _ = self.place.as_ref().map(fs::remove_dir_all);
    }
}

impl World {
    /// The floor.
    pub(crate) fn floor() -> Self {
        let source = Source::start();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["floor", &source.address.to_string()]).stdout(Stdio::piped());
        let mut program = Program { child: command.spawn().unwrap(), place: None };
        let mut line = String::new();
        BufReader::new(program.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        source.wait_for(1);
        Self::new(Some(program), line.trim().parse().unwrap(), None, source)
    }

    /// Nothing between the source and its clients.
    pub(crate) fn direct() -> Self {
        let source = Source::start();
        Self::new(None, source.address, None, source)
    }

    /// Somebody else.
    pub(crate) fn peer(peer: Peer) -> Self {
        let Some(manner) = peer.is_told() else {
            let source = Source::start();
            let (program, address, _) = peer.start(source.address);
            return Self::new(Some(program), address, None, source);
        };
        let (program, address, told) = peer.start(published::that_holds());
        Self::new(Some(program), address, None, Source::publishing(Publisher::new(told, manner)))
    }

    fn new(program: Option<Program>, address: SocketAddr, admin: Option<SocketAddr>, source: Source) -> Self {
        Self { program, address, admin, source, load: Load::new(), generator: 0.0 }
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
        Self::new(Some(program), address, Some(admin), source)
    }

    /// Adds clients that have everything so far, no more of them at once than the source's backlog takes.
    pub(crate) fn join(&mut self, path: &str, clients: usize) {
        let mut left = clients;
        while left > 0 {
            let party = left.min(PARTY);
            self.load.connect(self.address, path, party, self.source.sent, None);
            left -= party;
        }
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

    /// So many clients at once that have missed so much of the shared stream, in the place of those who are there.
    pub(crate) fn come_back(&mut self, clients: usize, missed: u64) {
        let generation = self.load.generation.clone();
        self.load.leave();
        self.load.dial(self.address, "/shared", clients, self.source.sent - missed, Some(&generation));
    }

    /// The same, and until all have it so many more events arrive, ten at a time.
    pub(crate) fn come_back_while(&mut self, clients: usize, missed: u64, more: u64) {
        let generation = self.load.generation.clone();
        let (last, first) = (self.source.sent + more, self.source.sent - missed);
        let Self { source, load, address, .. } = self;
        load.leave();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..more / 10 {
                    source.emit(10);
                    thread::sleep(Duration::from_millis(2));
                }
                source.emit(last - source.sent);
            });
            load.dial(*address, "/shared", clients, first, Some(&generation));
            load.read_to(last);
        });
    }

    /// So many events in a second, each as soon as its time has come, by a thread of their own; of each client and event how
    /// long it took.
    pub(crate) fn hops(&mut self, events: u64, per_second: u32) -> Vec<Duration> {
        let Self { source, load, .. } = self;
        let (next, (begun, begins)) = (source.sent + 1, mpsc::channel());
        thread::scope(|scope| {
            scope.spawn(move || {
                let start = Instant::now();
                for n in 1..=events {
                    thread::sleep(
                        (start + Duration::from_secs(n) / per_second).duration_since(Instant::now()),
                    );
                    begun.send(Instant::now()).unwrap();
                    source.emit_at_once(1);
                }
            });
            let arrivals = (next..next + events).map(|n| load.arrivals(n));
            arrivals
                .flat_map(|all| {
                    let begin = begins.recv().unwrap();
                    all.into_iter().map(move |arrival| arrival - begin)
                })
                .collect()
        })
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
        let (before, own, spent) = (self.cpu(), measure::own_cpu(), self.source.spent);
        of(self);
        let own = (measure::own_cpu() - own).saturating_sub(self.source.spent - spent);
        // What it does behind the last byte belongs to it.
        thread::sleep(Duration::from_millis(20));
        let cost = self.cpu() - before;
        self.generator = own.as_secs_f64() / cost.as_secs_f64();
        cost
    }

    fn cpu(&self) -> Duration {
        self.program.as_ref().map(Program::cpu).unwrap_or_default()
    }

    /// The memory of the program, in bytes.
    pub(crate) fn memory(&self) -> f64 {
        self.program.as_ref().map(Program::memory).unwrap_or_default()
    }
}

fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("\"address\":\"")?;
    rest.split('"').next()?.parse().ok()
}
