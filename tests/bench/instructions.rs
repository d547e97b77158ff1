//! How many instructions each of the counted rows takes, by valgrind: `cargo bench -- instructions`. Unlike a time, a count
//! is the same on a busy machine, so that it can be held to what it was; `tests/bench/instructions.txt` says to what.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    io::ErrorKind,
    process::{Command, ExitCode},
    thread,
};

use crate::counted::{FLAT, ROWS, Row};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/instructions.txt");

/// By how much a count may differ from what is expected, made by the same compiler for the same machine and C library.
const MARGIN: f64 = 0.05;
/// The same, made by another compiler or with another library; and by how much a count may grow with a hundred times as much retained.
const WIDE: f64 = 0.25;

/// What is asked for by the first argument; `None`, if it is no count.
pub(crate) fn main(arguments: &[String]) -> Option<ExitCode> {
    match arguments {
        [command, name, times] if command == "count" => {
            let row = ROWS.iter().find(|row| row.name == name).expect("a row");
            (row.run)(times.parse().expect("a number"));
            Some(ExitCode::SUCCESS)
        }
        [command, ..] if command == "instructions" => Some(held()),
        _ => None,
    }
}

/// Each row once, so that what is counted is known to work where nothing counts.
pub(crate) fn try_each() {
    ROWS.iter().for_each(|row| (row.run)(1));
}

/// Counts all, and compares.
fn held() -> ExitCode {
    match Command::new("valgrind").arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("valgrind counts instructions: install it (Debian: apt-get install valgrind)");
            return ExitCode::FAILURE;
        }
        answer => drop(answer.expect("valgrind says its version")),
    }
    let counts = Counts {
        made: Made::here(),
        of: ROWS.iter().map(|row| (row.name.to_owned(), per_one(row))).collect(),
    };
    let file = fs::read_to_string(FILE).expect("the file of what is expected");
    if env::var_os("RESPOOL_ACCEPT").is_some() {
        let head: Vec<_> = file.lines().take_while(|line| line.starts_with('#')).collect();
        fs::write(FILE, format!("{}\n{counts}", head.join("\n"))).expect("it can be written");
    }
    let faults = counts.faults(&Counts::read(&fs::read_to_string(FILE).expect("it was there")));
    print!("{counts}");
    for fault in &faults {
        println!("{fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The instructions of one of what a row is of. Twice as many less once as many: what comes before and after is in both.
fn per_one(row: &Row) -> u64 {
    let [once, twice] = thread::scope(|scope| {
        [row.times, row.times * 2]
            .map(|times| scope.spawn(move || all(row, times)))
            .map(|count| count.join().unwrap())
    });
    twice.saturating_sub(once) / (row.times * row.each)
}

/// The instructions of a process that does it so many times.
fn all(row: &Row, times: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    valgrind.arg(env::current_exe().expect("this program"));
    let output = valgrind.args(["count", row.name, &times.to_string()]).output().expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", row.name);
    let line = said.lines().find_map(|line| line.split_once("refs:")).expect("valgrind says how many");
    line.1.trim().replace(',', "").parse().expect("a number")
}

/// By whom a program was made, and for which machine: the rows of the file are of one that was made so.
#[derive(PartialEq, Debug)]
struct Made {
    compiler: String,
    machine: String,
}

impl Made {
    fn here() -> Self {
        let output = Command::new("rustc").arg("-vV").output().expect("the compiler says its version");
        let said = String::from_utf8(output.stdout).expect("text");
        let of =
            |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("unknown").to_owned();
        Self { compiler: of("release: ") + &library(), machine: of("host: ") + features() }
    }
}

/// The C library, which copies and allocates.
fn library() -> String {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.ok().filter(|said| !said.is_empty()).map_or(String::new(), |said| format!(" with {said}"))
}

/// What memchr and the C library look at when they choose.
#[cfg(target_arch = "x86_64")]
fn features() -> &'static str {
    if is_x86_feature_detected!("avx2") { " with AVX2" } else { " without AVX2" }
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> &'static str {
    ""
}

/// What was counted, or is expected.
struct Counts {
    made: Made,
    of: BTreeMap<String, u64>,
}

impl Counts {
    fn read(file: &str) -> Self {
        let lines = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let mut all: BTreeMap<_, _> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{FILE}: no `name: value`: {line}")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut take = |name: &str| all.remove(name).unwrap_or_default();
        let made = Made { compiler: take("rustc"), machine: take("machine") };
        let number = |(name, value): (String, String)| {
            let number = value.parse().unwrap_or_else(|_| panic!("{FILE}: no number: {name}: {value}"));
            (name, number)
        };
        Self { made, of: all.into_iter().map(number).collect() }
    }

    /// What is not as it should be.
    fn faults(&self, expected: &Self) -> Vec<String> {
        let mut faults = Vec::new();
        for (few, many) in FLAT {
            let (few, many) = ((few, self.of[few]), (many, self.of[many]));
            if many.1 as f64 > few.1 as f64 * (1.0 + WIDE) {
                faults.push(format!("{}: {}, but {}: {}: it grows", many.0, many.1, few.0, few.1));
            }
        }
        if self.made.machine != expected.made.machine {
            println!(
                "the counts expected are of {}: these, of another, are not compared",
                expected.made.machine
            );
            return faults;
        }
        let is_same = self.made == expected.made;
        let margin = if is_same { MARGIN } else { WIDE };
        if !is_same {
            println!(
                "the counts expected are by rustc {}: compared within 25 %, not 5",
                expected.made.compiler
            );
        }
        if !self.of.keys().eq(expected.of.keys()) {
            faults.push("the rows expected are others: RESPOOL_ACCEPT=1 takes these".into());
        }
        for (name, count) in &self.of {
            let Some(expected) = expected.of.get(name) else { continue };
            let ratio = *count as f64 / *expected as f64;
            if ratio > 1.0 + margin {
                faults.push(format!(
                    "{name}: {count} instructions instead of {expected}: mend it, or RESPOOL_ACCEPT=1"
                ));
            } else if is_same && ratio < 1.0 - margin {
                faults.push(format!(
                    "{name}: only {count} instead of {expected}: RESPOOL_ACCEPT=1 holds it there"
                ));
            }
        }
        faults
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rustc: {}\nmachine: {}", self.made.compiler, self.made.machine)?;
        self.of.iter().try_for_each(|(name, count)| writeln!(f, "{name}: {count}"))
    }
}
