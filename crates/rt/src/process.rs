//! The `process_*` metrics of Prometheus' client libraries, from Linux' `/proc/self`.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::Metrics;

/// The unit of times in `/proc`: fixed in Linux' interface to user space, whatever the kernel
/// itself ticks with.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

/// Registers CPU seconds, memory, file descriptors and the start time of this process.
pub fn register_process_metrics(metrics: &Metrics) {
    metrics.collector(Box::new(ProcessCollector));
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = Stat::read();
        if let Some(stat) = &stat {
            let seconds = ConstCounter::new(stat.cpu_seconds);
            let help = "Total user and system CPU time spent in seconds.";
            let kind = seconds.metric_type();
            seconds.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                kind,
            )?)?;
        }
        let gauges = [
            ("process_open_fds", "Number of open file descriptors.", open_fds()),
            ("process_max_fds", "Maximum number of open file descriptors.", max_fds()),
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
                status_bytes("VmRSS:"),
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
                status_bytes("VmSize:"),
            ),
            (
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                stat.and_then(|stat| Some(boot_time_seconds()? + stat.start_seconds)),
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

struct Stat {
    cpu_seconds: f64,
    /// Seconds from the machine's start to the process' start.
    start_seconds: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the name in brackets, which may itself hold blanks and brackets.
        let (_, rest) = text.rsplit_once(") ")?;
        let ticks = |field: usize| rest.split(' ').nth(field)?.parse::<f64>().ok();
        // Fields 14, 15 and 22 of proc(5); `rest` begins with field 3.
        let (user, system, start) = (ticks(11)?, ticks(12)?, ticks(19)?);
        Some(Self {
            cpu_seconds: (user + system) / CLOCK_TICKS_PER_SECOND,
            start_seconds: start / CLOCK_TICKS_PER_SECOND,
        })
    }
}

fn boot_time_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// A line of `/proc/self/status` that counts in kB.
fn status_bytes(key: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: f64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn open_fds() -> Option<f64> {
    // Reading the directory opens one more.
    Some((fs::read_dir("/proc/self/fd").ok()?.count() as f64 - 1.0).max(0.0))
}

fn max_fds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plausible_numbers_under_the_usual_names() {
        let metrics = Metrics::new();
        register_process_metrics(&metrics);
        let gathered = metrics.gather().unwrap();
        let value = |name: &str| gathered.samples.iter().find(|s| s.name == name).unwrap().value;
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") > value("process_open_fds"));
        assert!(value("process_start_time_seconds") > 1.6e9);
    }
}
