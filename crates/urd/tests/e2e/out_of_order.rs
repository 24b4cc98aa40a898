//! Samples that came out of order in directories of killed processes: those of Prometheus open in
//! Urd and the other way round, with equal answers.

use std::path::Path;

use serde_json::Value;

use crate::harness::{self, Server};
use crate::remote_write::{Series, push};

const START_MS: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 15_000;
const PROMETHEUS_CONFIG: &str = "storage:\n  tsdb:\n    out_of_order_time_window: 1d\n";
const PROMETHEUS_PUSH: &str = "/api/v1/write";
const URD_PUSH: &str = "/api/v1/push";

/// Requests whose samples come in order first and then late, so many that lists become chunks.
fn requests() -> Vec<Vec<Series>> {
    let series = |name: &str, indices: &mut dyn Iterator<Item = i64>| {
        let samples = indices.map(|i| (START_MS + i * STEP_MS, i as f64 * 0.25)).collect();
        Series::new(name, &[("job", "late")], samples)
    };
    let mut requests = vec![
        vec![series("often", &mut [400].into_iter()), series("seldom", &mut [399].into_iter())],
        // Only late samples.
        vec![series("never", &mut [5, 3, 100].into_iter())],
    ];
    for round in 0..10 {
        // Strides that are prime to 400 reach every place once, in another order.
        let mut often = (0..39).map(|i| (round * 39 + i) * 167 % 400);
        let mut seldom = [(round * 53) % 399].into_iter();
        requests.push(vec![series("often", &mut often), series("seldom", &mut seldom)]);
    }
    requests.push(vec![series("often", &mut [401, 402, 403].into_iter())]);
    requests
}

fn push_all(server: &Server, path: &str) {
    for request in requests() {
        let answer = push(server, path, &request);
        assert!(answer.status < 300, "{answer:?}");
    }
}

/// All samples of all series.
fn samples(server: &Server, prefix: &str) -> Value {
    let time = ((START_MS + 500 * STEP_MS) / 1000).to_string();
    let query = [("query", "{job=\"late\"}[1d]"), ("time", &*time)];
    let answer = server.api(&format!("{prefix}/api/v1/query"), &query);
    let mut result = answer.json()["data"]["result"].take();
    let series = result.as_array_mut().unwrap_or_else(|| panic!("{answer:?}"));
    series.sort_by_key(|series| series["metric"].to_string());
    result
}

fn count(result: &Value) -> usize {
    let series = result.as_array().unwrap();
    series.iter().map(|series| series["values"].as_array().unwrap().len()).sum()
}

fn start_prometheus(dir: &Path, extra: &[&str]) -> Server {
    let fixed = ["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=100y"];
    harness::prometheus(dir, PROMETHEUS_CONFIG, &[&fixed[..], extra].concat())
}

#[test]
fn a_killed_prometheus_with_late_samples_opens_in_urd() {
    if !harness::has("prometheus") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut prometheus = start_prometheus(&dir.path().join("prometheus"), &[]);
    push_all(&prometheus, PROMETHEUS_PUSH);
    let want = samples(&prometheus, "");
    assert_eq!(count(&want), 4 + 3 + 390 + 10 + 1);
    prometheus.kill();
    let data = dir.path().join("prometheus/data");
    assert!(data.join("wbl").is_dir());
    std::fs::create_dir_all(dir.path().join("urd/tsdb")).unwrap();
    std::fs::rename(&data, dir.path().join("urd/tsdb/anonymous")).unwrap();
    // A window of 0 replays what is there all the same.
    let urd = harness::urd(&dir.path().join("urd"), &[]);
    assert_eq!(samples(&urd, "/prometheus"), want);
}

#[test]
fn a_killed_urd_with_late_samples_opens_in_prometheus_and_in_urd() {
    if !harness::has("prometheus") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let window = ["-ingester.out-of-order-time-window=1d"];
    let mut urd = harness::urd(dir.path(), &window);
    push_all(&urd, URD_PUSH);
    let want = samples(&urd, "/prometheus");
    assert_eq!(count(&want), 4 + 3 + 390 + 10 + 1);
    urd.kill();
    let tenant = dir.path().join("tsdb/anonymous");
    assert!(tenant.join("wbl").is_dir());
    let mut urd = harness::urd(dir.path(), &window);
    assert_eq!(samples(&urd, "/prometheus"), want, "Urd itself");
    urd.kill();
    let storage = format!("--storage.tsdb.path={}", tenant.display());
    let prometheus = start_prometheus(&dir.path().join("prometheus"), &[&storage]);
    assert_eq!(samples(&prometheus, ""), want, "Prometheus");
}
