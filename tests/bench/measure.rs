//! What a process costs, and the table of it.

use std::{fs, time::Duration};

use crate::limits::LIMITS;

/// A process, its children, theirs and so on.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    let parents: Vec<[u32; 2]> = stats.filter_map(|stat| parent(&stat)).collect();
    let (mut tree, mut at) = (vec![root], 0);
    while let Some(&of) = tree.get(at) {
        tree.extend(parents.iter().filter(|[_, parent]| *parent == of).map(|[child, _]| child));
        at += 1;
    }
    tree
}

/// The process that a line of its state is of, and its parent; its name, which may be anything, stands between the two.
fn parent(stat: &str) -> Option<[u32; 2]> {
    let (before, behind) = stat.split_once(" (").zip(stat.rsplit_once(") "))?;
    Some([before.0.parse().ok()?, behind.1.split(' ').nth(1)?.parse().ok()?])
}

/// The processor time that a process has taken, over all threads that it still has: to the nanosecond, where clock
/// ticks would be ten milliseconds.
pub(crate) fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let times = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    times.map(|times| Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())).sum()
}

/// The processor time that the calling thread has taken.
pub(crate) fn own_cpu() -> Duration {
    // It is brought up to date by the tick, and by this.
    std::thread::yield_now();
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// The memory that a process holds in user space, in bytes; what it shares is divided among those who share.
pub(crate) fn memory(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

/// What half of them stay within.
pub(crate) fn p50(mut delays: Vec<Duration>) -> Duration {
    delays.sort();
    delays[(delays.len() - 1) / 2]
}

/// What all but one in a hundred stay within.
pub(crate) fn p99(mut delays: Vec<Duration>) -> Duration {
    delays.sort();
    delays[(delays.len() * 99).div_ceil(100) - 1]
}

/// How many files this process may have open.
pub(crate) fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap_or_default().parse().unwrap_or(usize::MAX)
}

/// One figure, measured once in each round.
struct Row {
    what: &'static str,
    unit: &'static str,
    /// Of whom it is, if not of respool.
    who: Option<&'static str>,
    /// What it may be at most; without one it is shown for information.
    limit: Option<f64>,
    /// No noise of the machine changes it.
    is_count: bool,
    /// Only a whole run is judged by it.
    is_whole: bool,
    values: Vec<f64>,
}

impl Row {
    fn of(what: &'static str, unit: &'static str, limit: Option<f64>) -> Self {
        Self { what, unit, who: None, limit, is_count: false, is_whole: false, values: Vec::new() }
    }

    fn print(&self) {
        let (least, most) = (self.values[0], self.values[self.values.len() - 1]);
        let spread = format!("{least:.2} to {most:.2}");
        let limit = self.limit.map_or(String::new(), |limit| limit.to_string());
        let verdict = if self.is_over(1.0) { "OVER" } else { "" };
        let what = format!("{}, {}", self.what, self.unit);
        println!("{what:62} {:>9.2} {spread:>19} {limit:>7} {verdict}", self.median());
    }

    fn median(&self) -> f64 {
        let middle = self.values.len() / 2;
        self.values[middle]
    }

    /// Whether it is more than so many times its limit; a count may not be more than the limit itself.
    fn is_over(&self, times: f64) -> bool {
        let times = match times {
            _ if self.is_count => 1.0,
            times if self.is_whole && times > 1.0 => f64::INFINITY,
            times => times,
        };
        self.limit.is_some_and(|limit| self.median() > limit * times)
    }
}

/// All figures, in the order in which they were first measured.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    /// What the load generator took in each measurement, by what it measured.
    generator: Vec<Row>,
}

impl Table {
    /// Adds one round's value.
    pub(crate) fn add(&mut self, what: &'static str, unit: &'static str, limit: Option<f64>, value: f64) {
        add(&mut self.rows, Row::of(what, unit, limit), value);
    }

    /// The same for what is counted, and not measured.
    pub(crate) fn count(&mut self, what: &'static str, unit: &'static str, limit: f64, value: f64) {
        add(&mut self.rows, Row { is_count: true, ..Row::of(what, unit, Some(limit)) }, value);
    }

    /// The same for what stands among the limits of a whole run: short rounds on few clients say nothing about it.
    pub(crate) fn whole(&mut self, what: &'static str, value: f64) {
        let row = LIMITS.iter().find(|(named, ..)| *named == what);
        let &(what, unit, limit) = row.unwrap_or_else(|| panic!("no limit is set for {what}"));
        add(&mut self.rows, Row { is_whole: true, ..Row::of(what, unit, Some(limit)) }, value);
    }

    /// The same for somebody else, to be shown beside respool's.
    pub(crate) fn beside(&mut self, who: &'static str, what: &'static str, unit: &'static str, value: f64) {
        add(&mut self.rows, Row { who: Some(who), ..Row::of(what, unit, None) }, value);
    }

    /// Adds what the load generator took, as a part of what it measured took: one that takes more makes no figure.
    pub(crate) fn generator(&mut self, what: &'static str, part: f64) {
        self.receiver(what, 1.0, part);
    }

    /// The same where nearly all that is done is copying: to take a byte out of a socket costs the kernel more than to put it
    /// into one, whoever reads.
    pub(crate) fn receiver(&mut self, what: &'static str, limit: f64, part: f64) {
        add(&mut self.generator, Row::of(what, "× what it measures", Some(limit)), part);
    }

    /// Prints the medians, and says whether each is within so many times its limit.
    pub(crate) fn print(&self, times: f64) -> bool {
        println!("{:62} {:>9} {:>19} {:>7}", "", "median", "min to max", "limit");
        self.rows.iter().filter(|row| row.who.is_none()).for_each(Row::print);
        if !self.generator.is_empty() {
            println!("\nthe load generator: CPU");
            self.generator.iter().for_each(Row::print);
        }
        self.print_beside();
        !self.rows.iter().chain(&self.generator).any(|row| row.is_over(times))
    }

    /// What others need, where there are any: a line for each figure, a column for each of them.
    fn print_beside(&self) {
        let (mut others, mut figures) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let Some(who) = row.who else { continue };
            if !others.contains(&who) {
                others.push(who);
            }
            if !figures.contains(&(row.what, row.unit)) {
                figures.push((row.what, row.unit));
            }
        }
        if others.is_empty() {
            return;
        }
        print!("\n{:62} {:>9}", "beside others, medians", "respool");
        others.iter().for_each(|who| print!(" {who:>14}"));
        println!();
        for (what, unit) in figures {
            let of = |who| self.rows.iter().find(|row| (row.what, row.unit, row.who) == (what, unit, who));
            let shown =
                |who| of(who).map_or_else(|| "-".to_owned(), |row: &Row| format!("{:.2}", row.median()));
            print!("{:62} {:>9}", format!("{what}, {unit}"), shown(None));
            others.iter().for_each(|who| print!(" {:>14}", shown(Some(who))));
            println!();
        }
    }
}

fn add(rows: &mut Vec<Row>, new: Row, value: f64) {
    let is_same = |row: &Row| (row.what, row.who) == (new.what, new.who);
    let at = rows.iter().position(is_same).unwrap_or_else(|| {
        rows.push(new);
        rows.len() - 1
    });
    let values = &mut rows[at].values;
    values.insert(values.partition_point(|&other| other < value), value);
}
