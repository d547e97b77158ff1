//! What every process is measured by, under the names that Prometheus gives it. Read when it is asked for, from
//! `/proc`; where that is not there, only the start is said.

use std::{
    fmt, fs,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use crate::net::descriptors;

/// Ticks in a second, as Linux counts them for programs on whatever machine.
const TICKS: f64 = 100.0;

/// This process.
#[derive(Debug)]
pub(super) struct Process {
    started: f64,
}

impl Process {
    /// A process that starts now.
    pub(super) fn starting() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self { started: since.map_or(0.0, |since| since.as_secs_f64()) }
    }
}

impl Collector for Process {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let started = ConstGauge::new(self.started);
        put(&mut to, "process_start_time_seconds", "When it started, since 1970", &started)?;
        if let Some(seconds) = cpu() {
            let help = "Processor time that it took, of its own and in the kernel";
            put(&mut to, "process_cpu_seconds", help, &ConstCounter::new(seconds))?;
        }
        if let Some(bytes) = resident() {
            let help = "Memory that it has: compare it with respool_memory_bytes, which is what streams take";
            put(&mut to, "process_resident_memory_bytes", help, &ConstGauge::new(bytes))?;
        }
        if let Some(open) = fs::read_dir("/proc/self/fd").ok().map(Iterator::count) {
            // One is open to count them.
            let open = ConstGauge::new(open.saturating_sub(1) as u64);
            let help = "Descriptors in use: each client and each upstream connection is one";
            put(&mut to, "process_open_fds", help, &open)?;
        }
        if let Some(most) = descriptors::most() {
            put(
                &mut to,
                "process_max_fds",
                "How many descriptors there may be",
                &ConstGauge::new(most as u64),
            )?;
        }
        Ok(())
    }
}

/// Encodes one metric without labels.
pub(super) fn put(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(to.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// The processor time of this process, in seconds.
fn cpu() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in parentheses, and may have anything in it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

/// The memory of this process, in bytes.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let before = cpu().unwrap();
        let busy = std::time::Instant::now();
        while busy.elapsed() < std::time::Duration::from_millis(50) {
            std::hint::black_box(before);
        }
        assert!((0.01..60.0).contains(&(cpu().unwrap() - before)), "{before}");
        let held = vec![1_u8; 64 << 20];
        assert!(resident().unwrap() > 64 << 20, "{}", held.len());
    }
}
