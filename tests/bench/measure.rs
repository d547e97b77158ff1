//! What a process costs, and the table of it.

use std::{fs, time::Duration};

/// The processor time that a process has taken, over all threads that it still has: to the nanosecond, where clock
/// ticks would be ten milliseconds.
pub(crate) fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let times = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    times.map(|times| Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())).sum()
}

/// The processor time that the calling thread has taken.
pub(crate) fn own_cpu() -> Duration {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// The memory that a process holds in user space, in bytes; what it shares is divided among those who share.
pub(crate) fn memory(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
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
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    /// What it may be at most; without one it is shown for information.
    pub(crate) limit: Option<f64>,
    /// No noise of the machine changes it.
    pub(crate) is_count: bool,
    pub(crate) values: Vec<f64>,
}

impl Row {
    fn median(&self) -> f64 {
        let middle = self.values.len() / 2;
        self.values[middle]
    }

    /// Whether it is more than so many times its limit; a count may not be more than the limit itself.
    fn is_over(&self, times: f64) -> bool {
        let times = if self.is_count { 1.0 } else { times };
        self.limit.is_some_and(|limit| self.median() > limit * times)
    }
}

/// All figures, in the order in which they were first measured.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Adds one round's value.
    pub(crate) fn add(&mut self, what: &'static str, unit: &'static str, limit: Option<f64>, value: f64) {
        self.row(what, unit, limit, value);
    }

    /// The same for what is counted, and not measured.
    pub(crate) fn count(&mut self, what: &'static str, unit: &'static str, limit: f64, value: f64) {
        self.row(what, unit, Some(limit), value).is_count = true;
    }

    fn row(&mut self, what: &'static str, unit: &'static str, limit: Option<f64>, value: f64) -> &mut Row {
        let at = self.0.iter().position(|row| row.what == what).unwrap_or_else(|| {
            self.0.push(Row { what, unit, limit, is_count: false, values: Vec::new() });
            self.0.len() - 1
        });
        let row = &mut self.0[at];
        row.values.insert(row.values.partition_point(|&other| other < value), value);
        row
    }

    /// Prints the medians, and says whether each is within so many times its limit.
    pub(crate) fn print(&self, times: f64) -> bool {
        println!("{:62} {:>9} {:>19} {:>7}", "", "median", "min to max", "limit");
        for row in &self.0 {
            let (least, most) = (row.values[0], row.values[row.values.len() - 1]);
            let spread = format!("{least:.2} to {most:.2}");
            let limit = row.limit.map_or(String::new(), |limit| limit.to_string());
            let verdict = if row.is_over(1.0) { "OVER" } else { "" };
            let (what, unit) = (row.what, row.unit);
            println!(
                "{:62} {:>9.2} {spread:>19} {limit:>7} {verdict}",
                format!("{what}, {unit}"),
                row.median()
            );
        }
        !self.0.iter().any(|row| row.is_over(times))
    }
}
