//! Whether the samples that were acknowledged are answered, and no others.

use std::collections::BTreeSet;

use serde_json::Value;

use super::writers::{Fleet, Log, SERIES_PER_WRITER, START_MS, STEP_MS};
use crate::harness::Server;

/// Looks at each sample of the last hours, and counts all before.
pub(super) fn recent(server: &Server, fleet: &Fleet) {
    for (number, writer) in fleet.writers.iter().enumerate() {
        let log = writer.log();
        let last = fleet.last(writer);
        let samples = 600.min(last + 1);
        check_samples(server, number, &log, (last - samples, last));
        check_counts(server, number, &log, last);
    }
}

/// Looks at each sample that was ever written.
pub(super) fn everything(server: &Server, fleet: &Fleet) {
    for (number, writer) in fleet.writers.iter().enumerate() {
        check_samples(server, number, &writer.log(), (-1, fleet.last(writer)));
    }
}

/// Compares the samples after the first and up to the second number.
fn check_samples(server: &Server, writer: usize, log: &Log, (after, last): (i64, i64)) {
    let part = |set: &BTreeSet<i64>| set.range(after + 1..=last).copied().collect::<BTreeSet<_>>();
    let (acknowledged, unanswered) = (part(&log.acknowledged), part(&log.unanswered));
    let minutes = (last - after) * STEP_MS / 60_000;
    let selector = format!("crash_total{{writer=\"{writer}\"}}[{minutes}m]");
    let found = query(server, &selector, last);
    if acknowledged.is_empty() {
        return;
    }
    assert_eq!(found.len(), SERIES_PER_WRITER, "{selector} at {last}:\n{}", server.log());
    for series in &found {
        let got: BTreeSet<i64> =
            series["values"].as_array().unwrap().iter().map(number_of_sample).collect();
        let missing: Vec<&i64> = acknowledged.difference(&got).collect();
        if !missing.is_empty() {
            // Lost, or only not found: that is another mistake.
            std::thread::park_timeout(std::time::Duration::from_secs(5));
            let again = query(server, &selector, last);
            let again = again.iter().find(|other| other["metric"] == series["metric"]);
            let count = again.map_or(0, |s| s["values"].as_array().map_or(0, Vec::len));
            panic!(
                "{}: missing {missing:?} of {} found, {count} found 5 s later:\n{}",
                series["metric"],
                got.len(),
                server.log()
            );
        }
        let foreign: Vec<&i64> =
            got.iter().filter(|n| !acknowledged.contains(n) && !unanswered.contains(n)).collect();
        assert!(foreign.is_empty(), "{series}: never written: {foreign:?}");
    }
}

fn check_counts(server: &Server, writer: usize, log: &Log, last: i64) {
    let low = log.acknowledged.len() as i64;
    let high = low + log.unanswered.len() as i64;
    if low == 0 {
        return;
    }
    let counts =
        query(server, &format!("count_over_time(crash_total{{writer=\"{writer}\"}}[10y])"), last);
    assert_eq!(counts.len(), SERIES_PER_WRITER, "{counts:?}\n{}", server.log());
    for series in counts {
        let got: i64 = series["value"][1].as_str().unwrap().parse().unwrap();
        assert!(
            (low..=high).contains(&got),
            "{series}: {low} were acknowledged:\n{}",
            server.log()
        );
    }
}

/// The result of an instant query at a sample.
fn query(server: &Server, query: &str, sample: i64) -> Vec<Value> {
    let time = ((START_MS + sample * STEP_MS) as f64 / 1000.0).to_string();
    let answer = server.api("/prometheus/api/v1/query", &[("query", query), ("time", &time)]);
    assert_eq!(answer.status, 200, "{query}: {}\n{}", answer.body, server.log());
    answer.json()["data"]["result"].as_array().unwrap().clone()
}

/// The number of a sample, which its time and its value must agree on.
fn number_of_sample(sample: &Value) -> i64 {
    let time_ms = (sample[0].as_f64().unwrap() * 1000.0).round() as i64;
    let value: i64 = sample[1].as_str().unwrap().parse().unwrap();
    assert_eq!(time_ms, START_MS + value * STEP_MS, "{sample}");
    value
}
