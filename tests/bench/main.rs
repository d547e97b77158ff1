//! What it costs, in one table: `cargo bench`; of one group of rows: `cargo bench -- idle`. With `-- --quick`, one short
//! round that shows that all of it works and nothing costs twice what it may. With `-- instructions`, what the inside
//! takes, counted by valgrind and held to what it was.
//!
//! Figures are ratios within one run, or bytes: what a processor makes of them cancels out. Each is the median of five
//! rounds. Every client checks that it gets each event once and in order; a gap or a repeat ends the run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::unreachable
)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

/// What limits and checks cost.
mod checks;
/// What is counted, instruction by instruction.
mod counted;
/// What counting costs.
mod counting;
/// Many clients at once that are no help.
mod crowd;
/// One event to many clients.
mod fan_out;
#[path = "../it/raw/floods.rs"]
mod floods;
/// The simplest possible broadcaster.
mod floor;
#[path = "../it/raw/frames.rs"]
#[allow(dead_code, reason = "tests need more of them")]
mod frames;
/// One that has nothing to do.
mod idle;
/// How many instructions there are.
mod instructions;
/// How long an event takes.
mod latency;
/// What may be.
mod limits;
/// Clients that read and compare.
mod load;
/// An operator who looks.
mod look;
/// What a process costs, and the table of it.
mod measure;
/// Ordinary requests, many at a time.
mod ordinary;
/// Servers that people use today.
mod peers;
/// An ordinary server, and who asks it.
mod plain;
/// How events get to those who are told of each.
mod published;
/// What a client reads.
mod reader;
/// What was missed.
mod replay;
/// What is said upstream.
mod source;
/// An event whose type stands in its data.
mod typed;
/// One server under load.
mod world;

use std::{env, net::SocketAddr, process::ExitCode, time::Duration};

use crowd::Storm;
use measure::{Table, p99};
use peers::Peer;
use world::World;

/// Rows that are measured together.
type Group = fn(&Scale, &mut Table);

/// What is asked for so long.
type Requests = fn(SocketAddr, Duration);

/// How much is done.
struct Scale {
    rounds: usize,
    clients: usize,
    events: u64,
    idle: usize,
    resumes: usize,
    retained: u64,
    /// Clients that read nothing, and clients that come back at once.
    sleepers: usize,
    storm: usize,
    /// By how much windows are smaller.
    part: u64,
    /// Who is measured, too.
    peers: Vec<Peer>,
}

/// That of a whole run.
const FULL: Scale = Scale {
    rounds: 5,
    clients: 1000,
    events: 100,
    idle: 5000,
    resumes: 300,
    retained: 200_000,
    sleepers: 2000,
    storm: 5000,
    part: 1,
    peers: Vec::new(),
};
const QUICK: Scale = Scale {
    rounds: 1,
    clients: 100,
    events: 10,
    idle: 200,
    resumes: 5,
    retained: 5_000,
    sleepers: 100,
    storm: 200,
    part: 100,
    peers: Vec::new(),
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [command, upstream] = &arguments[..]
        && command == "floor"
    {
        floor::run(upstream.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if let Some(code) = instructions::main(&arguments) {
        return code;
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // Only `cargo bench` says so: run as one of all targets by `cargo test`, it is a test.
    let test = !has("--bench");
    if test {
        instructions::try_each();
    }
    let quick = has("--quick") || test;
    let peers = if has("--peers") || !quick { Peer::installed() } else { Vec::new() };
    let scale = Scale { peers, ..if quick { QUICK } else { FULL } };
    let only = arguments.iter().find(|argument| !argument.starts_with('-'));
    let groups: [(&str, Group); 15] = [
        ("started", started),
        ("delivery", fan_out::delivery),
        ("latency", latency::latency),
        ("replay", replay::replay),
        ("private", private),
        ("rules", rules),
        ("resume", resume),
        ("idle", idle),
        ("retained", retained),
        ("status", status),
        ("observed", observed),
        ("checks", checks),
        ("floods", floods),
        ("crowded", crowded),
        ("ordinary", ordinary::ordinary),
    ];
    assert!(only.is_none_or(|only| groups.iter().any(|(name, _)| name == only)), "there are no such rows");
    reader::notices_gaps_and_repeats();
    let mut table = Table::default();
    for (_, measure) in groups.iter().filter(|(name, _)| only.is_none_or(|only| only == name)) {
        measure(&scale, &mut table);
    }
    if has("--peers") || !quick {
        Peer::say_what_is_missing();
    }
    // So short a round says little about limits, and a build for tests nothing.
    let holds = table.print(if quick { 2.0 } else { 1.0 });
    if holds || test { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What it costs before anybody asks for anything.
fn started(scale: &Scale, table: &mut Table) {
    for _ in 0..scale.rounds {
        let (took, memory) = idle::start();
        table.add("from its start until it is ready", "ms", Some(100.0), took.as_secs_f64() * 1e3);
        table.count("memory of one that has nothing to do", "MB", 15.0, memory / 1e6);
        table.count("the program", "MB", 15.0, idle::size() / 1e6);
    }
}

/// Clients with a stream of their own each: what the hop costs for an event.
fn private(scale: &Scale, table: &mut Table) {
    let clients = scale.clients / 5;
    let (mut floor, mut respool) = (World::floor(), World::respool(1000));
    floor.join("/shared", clients);
    respool.join("/private", clients);
    respool.source.wait_for(clients);
    for world in [&mut floor, &mut respool] {
        world.steady(5, 50);
    }
    for _ in 0..scale.rounds {
        let least = floor.cost(|world| world.steady(scale.events, 50));
        let ours = respool.cost(|world| world.steady(scale.events, 50));
        table.add("private streams, steady: CPU of an event", "× floor", None, ratio(ours, least));
    }
}

/// What it costs to read a type: alone, and as a part of a private stream's event.
fn rules(scale: &Scale, table: &mut Table) {
    let (last, first) =
        (typed::Event::new(2000, typed::Stands::Last), typed::Event::new(2000, typed::Stands::First));
    let clients = scale.clients / 5;
    let (mut plain, mut ruled) = (World::respool(1000), World::respool(1000));
    plain.join("/private", clients);
    ruled.join("/ruled", clients);
    for world in [&mut plain, &mut ruled] {
        world.source.wait_for(clients);
        world.steady(5, 50);
    }
    for _ in 0..scale.rounds {
        let each =
            |event: &typed::Event| event.read(scale.retained).as_secs_f64() * 1e6 / scale.retained as f64;
        table.whole("a type found by pointer in a 2 KB event", each(&last));
        table.add("... where it stands first", "µs", None, each(&first));
        let without = plain.cost(|world| world.steady(scale.events, 50));
        let with = ruled.cost(|world| world.steady(scale.events, 50));
        table.add("private streams with a rule, steady: CPU", "× without", None, ratio(with, without));
    }
}

/// What a resume costs must depend on what was missed, not on what is retained.
fn resume(scale: &Scale, table: &mut Table) {
    let mut worlds = [1_000, 10_000, 100_000_u64].map(|events| {
        let mut world = World::respool(events / scale.part);
        world.join("/shared", 1);
        // More than it keeps.
        world.bursts(events / scale.part / 500 + 1, 500);
        world
    });
    for _ in 0..scale.rounds {
        let mut cost = |world: usize, missed: u64| {
            let missed = missed / scale.part;
            worlds[world].cost(|world| world.resumes(scale.resumes, missed))
        };
        let [small, middle, large] = [0, 1, 2].map(|world| cost(world, 100));
        let limit = Some(1.3);
        table.add("resume, 100 missed of 10,000 retained: CPU", "× of 1,000", limit, ratio(middle, small));
        table.add("resume, 100 missed of 100,000 retained: CPU", "× of 1,000", limit, ratio(large, small));
        let (thousand, ten_thousand) = (cost(2, 1_000), cost(2, 10_000));
        let limit = Some(11.0);
        table.add("resume, 1,000 missed: CPU", "× of 100", limit, ratio(thousand, large));
        table.add("resume, 10,000 missed: CPU", "× of 1,000", limit, ratio(ten_thousand, thousand));
    }
}

/// What a client costs that waits for the next event.
fn idle(scale: &Scale, table: &mut Table) {
    let clients = scale.idle.min(measure::descriptors().saturating_sub(100));
    for _ in 0..scale.rounds {
        let mut world = World::respool(1000);
        world.join("/shared", 10);
        world.steady(3, 50);
        let before = world.memory();
        world.join("/shared", clients);
        world.steady(3, 5);
        let each = (world.memory() - before) / clients as f64;
        table.add("memory of an idle client of a shared stream", "KB", Some(14.0), each / 1024.0);
        table.whole("memory of an idle client of a shared stream, as it should be", each / 1024.0);
    }
    for _ in 0..scale.rounds {
        let mut world = World::respool(1000);
        world.join("/private", 10);
        world.steady(3, 50);
        let before = world.memory();
        let clients = scale.idle / 5;
        world.join("/private", clients);
        world.steady(3, 5);
        let each = (world.memory() - before) / clients as f64;
        table.add("... with a stream of its own", "KB", Some(50.0), each / 1024.0);
        table.whole("memory of an idle private session and its upstream connection", each / 1024.0);
    }
}

/// What a retained event costs beside its bytes.
fn retained(scale: &Scale, table: &mut Table) {
    for _ in 0..scale.rounds {
        let mut world = World::respool(scale.retained + 5_000);
        world.join("/shared", 1);
        world.bursts(10, 500);
        let (before, first) = (world.memory(), world.source.sent + 1);
        world.bursts(scale.retained / 500, 500);
        let bytes: usize = (first..=world.source.sent).map(|n| world.load.size_of(n)).sum();
        let beside = world.memory() - before - bytes as f64;
        table.add(
            "memory of a retained event beside its bytes",
            "bytes",
            Some(64.0),
            beside / scale.retained as f64,
        );
    }
}

/// What it takes to say how everybody is, and what those notice of it.
fn status(scale: &Scale, table: &mut Table) {
    let streams = scale.clients.min(measure::descriptors().saturating_sub(1000) / 11);
    let mut world = World::respool(1000);
    world.join_many(streams, 10);
    let admin = world.admin.expect("respool has an admin");
    world.steady(3, 5);
    for _ in 0..scale.rounds {
        let (took, answer) = look::once(admin);
        let clients = format!("\"clients\":{}", streams * 10);
        assert!(answer.contains(&clients), "it is of all clients");
        table.add(
            "the status of 1,000 streams and 10,000 clients",
            "ms",
            Some(50.0),
            took.as_secs_f64() * 1e3,
        );
        table.add("... its size", "KB", Some(200.0), answer.len() as f64 / 1024.0);
        let mean = |world: &mut World| (0..10).map(|_| world.delivery()).sum::<Duration>();
        let without = mean(&mut world);
        let looking = look::all_the_time(admin);
        let with = mean(&mut world);
        drop(looking);
        table.add(
            "... an event to all of them while it is asked for all the time",
            "× without",
            Some(2.0),
            ratio(with, without),
        );
    }
}

/// What it costs to be watched: what is counted of a delivery, and spans that a log takes which takes everything. Both
/// together may take 3 % of a delivery.
fn observed(scale: &Scale, table: &mut Table) {
    // One part alone, which says where it listens.
    let quiet = "respool::command=info";
    let mut worlds = [quiet, "trace"].map(|level| World::logging(10_000, level));
    let mut own = [quiet, "trace"].map(|level| World::logging(1000, level));
    worlds.iter_mut().for_each(|world| world.join("/shared", scale.clients));
    for world in &mut own {
        world.join("/private", scale.clients / 5);
        world.source.wait_for(scale.clients / 5);
    }
    worlds.iter_mut().chain(&mut own).for_each(|world| world.steady(5, 50));
    // Three times as many as others: two rounds differ by more than what is allowed.
    for _ in 0..scale.rounds * 3 {
        let [off, all] = side_by_side(&mut worlds, scale.events);
        table.add("a log that takes everything, fan-out: CPU", "× of none", Some(1.03), ratio(all, off));
        let deliveries = scale.events as usize * scale.clients;
        // Far more of them, since the time of a thread is known by the tick.
        let counted = counting::of_deliveries(deliveries * 25) / 50;
        let part = ratio(counted, off) * 100.0;
        table.add("... what is counted of a delivery: CPU", "% of it", Some(3.0), part);
        // Without a log, too, all is counted.
        let both = ratio(all, off.saturating_sub(counted));
        table.add("... and both together: CPU", "× of neither", Some(1.03), both);
        let [off, all] = side_by_side(&mut own, scale.events);
        table.add("a log that takes everything, private: CPU", "× of none", Some(1.03), ratio(all, off));
    }
}

/// What limits and checks take of an ordinary request, and of a delivery: 3 % at most.
fn checks(scale: &Scale, table: &mut Table) {
    let attacked = plain::Attacked::start();
    let (mut shared, mut private) = (World::respool(10_000), World::respool(1000));
    shared.join("/shared", scale.clients);
    private.join("/private", scale.clients / 5);
    private.source.wait_for(scale.clients / 5);
    for world in [&mut shared, &mut private] {
        world.steady(5, 50);
    }
    for _ in 0..scale.rounds {
        let mut requests = 0;
        let time = Duration::from_millis(scale.events * 20);
        let [all, _] = attacked.by(|to| requests = plain::requests(to, "/kilobyte", time));
        let [each, part] = per(all, requests, checks::of_requests);
        table.add("an ordinary request of 1 KiB: CPU", "µs", None, each * 1e6);
        table.add("... its limits and checks", "% of it", Some(3.0), part);
        let fan_out = ["limits and checks of a delivery, fan-out: CPU", "... of the delivery, which is: CPU"];
        let own = ["limits and checks of a delivery, private: CPU", "... of that delivery, which is: CPU"];
        // By how many clients an event is shared.
        let (many, one) = ((&mut shared, scale.clients, scale.clients), (&mut private, scale.clients / 5, 1));
        for ((world, clients, share), [part_of, whole]) in [(many, fan_out), (one, own)] {
            let all = world.cost(|world| world.steady(scale.events, 50));
            let deliveries = scale.events as usize * clients;
            let [each, part] = per(all, deliveries, |times| checks::of_deliveries(times, share));
            table.add(part_of, "% of it", Some(3.0), part);
            table.add(whole, "µs", None, each * 1e6);
        }
    }
}

/// The time of one, in seconds, and what of it something takes that is done alone: in percent.
fn per(all: Duration, times: usize, part: impl Fn(usize) -> Duration) -> [f64; 2] {
    // Far more of them: the time of a thread is known by the tick.
    let many = 2_000_000;
    let (each, part) = (all.as_secs_f64() / times as f64, part(many).as_secs_f64() / many as f64);
    [each, part / each * 100.0]
}

/// What a flood of HTTP/2 costs respool, by what it costs who sends it, and makes a new connection whenever one is ended.
/// Beside them, what requests cost that reach the server, which no meter makes cheaper: it is bounded how many there can be,
/// and what each costs is what forwarding costs.
fn floods(scale: &Scale, table: &mut Table) {
    let attacked = plain::Attacked::start();
    let time = Duration::from_millis(scale.events * 10);
    let requests: [(&str, Requests); 4] = [
        ("no flood: requests by HTTP/2, a hundred at a time", |to, time| {
            plain::multiplexed(to, time);
        }),
        ("no flood: a hundred requests by HTTP/2, and gone", plain::leaving),
        ("no flood: requests by HTTP/1, one at a time", |to, time| {
            plain::requests(to, "/", time);
        }),
        ("no flood: connections that ask for nothing", plain::connections),
    ];
    for _ in 0..scale.rounds {
        for flood in &floods::floods() {
            let [ours, theirs] = attacked.by(|to| {
                let attack = floods::attack(flood, || floods::plain(to), time);
                assert!(!flood.is_ended || attack.ended > 0, "{}: {attack:?}", flood.name);
            });
            let limit = (!flood.is_forwarded).then_some(10.0);
            table.add(flood.name, "× its sender's CPU", limit, ratio(ours, theirs));
        }
        for (what, requests) in requests {
            let [ours, theirs] = attacked.by(|to| requests(to, time));
            table.add(what, "× its sender's CPU", None, ratio(ours, theirs));
        }
    }
}

/// What those who read notice of many who do not, and of many who come back at once.
fn crowded(scale: &Scale, table: &mut Table) {
    let most = measure::descriptors().saturating_sub(200) / 2;
    let (sleepers, storm) = (scale.sleepers.min(most), scale.storm.min(most));
    let missed = (1000 / scale.part).max(50);
    let mut worlds = [(); 2].map(|()| World::respool(10_000));
    for world in &mut worlds {
        world.join("/shared", 50);
        world.bursts(20, 500);
    }
    for _ in 0..scale.rounds {
        let crowd = crowd::that_reads_nothing(worlds[1].address, sleepers);
        // Until the kernel takes no more for them.
        worlds.iter_mut().for_each(|world| world.bursts(4, 500));
        let [without, with] = flowing(&mut worlds, 3 * scale.events);
        drop(crowd);
        table.add("an event to 50 clients, 5,000 in a second: p99", "ms", None, without.as_secs_f64() * 1e3);
        let what = "... while 2,000 more read nothing";
        table.add(what, "× without", Some(2.0), ratio(with, without));

        let world = &mut worlds[1];
        let last = world.source.sent;
        let storm = Storm::begin(world.address, world.load.generation.clone(), storm, (last - missed, last));
        let with = p99(world.delays(50, || !storm.is_over()));
        storm.end();
        let what = "... while 5,000 come back at once for 1,000 each";
        table.add(what, "× without", Some(300.0), ratio(with, without));
    }
}

/// How long an event takes in each of two worlds in which 50 come each hundredth of a second, by turns in small steps.
fn flowing(worlds: &mut [World; 2], events: u64) -> [Duration; 2] {
    let mut delays = [Vec::new(), Vec::new()];
    for step in 0..10 {
        let order = if step % 2 == 0 { [0, 1] } else { [1, 0] };
        for at in order {
            let mut ticks = 0..events.div_ceil(10);
            delays[at].extend(worlds[at].delays(50, || ticks.next().is_some()));
        }
    }
    delays.map(p99)
}

/// What so many events cost each of two worlds, by turns in small steps: whatever else the machine does meanwhile, both have
/// their part of it.
fn side_by_side(worlds: &mut [World; 2], events: u64) -> [Duration; 2] {
    let mut costs = [Duration::ZERO; 2];
    for step in 0..10 {
        let order = if step % 2 == 0 { [0, 1] } else { [1, 0] };
        for at in order {
            costs[at] += worlds[at].cost(|world| world.steady(events.div_ceil(10), 50));
        }
    }
    costs
}

fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}
