//! A real Prometheus scrapes itself and Urd, and remote-writes everything into Urd.

use serde_json::Value;

use crate::harness::{self, Server};
use crate::promql::{now_ms, same_answers, seconds};

/// Queries over what every Prometheus and every Urd exposes.
const QUERIES: &[&str] = &[
    "up",
    "count by (job) ({__name__=~\".+\"})",
    "sum by (job) (rate(process_cpu_seconds_total[5s]))",
    "sum by (code) (rate(prometheus_http_requests_total[5s]))",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[10s])))",
    "prometheus_tsdb_head_series{job=\"prometheus\"}",
    "max_over_time(process_resident_memory_bytes[5s])",
    "cortex_ingester_memory_series",
];

#[test]
fn a_prometheus_remote_writes_into_urd_and_both_answer_alike() {
    if !harness::has("prometheus") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let urd = harness::urd(dir.path(), &[]);
    let prometheus = start_prometheus(dir.path(), &urd);
    let samples = |server: &Server, prefix: &str| {
        let path = format!("{prefix}/api/v1/query");
        let params = [("query", "min(count_over_time(up[10m]))")];
        let value = server.api(&path, &params).json()["data"]["result"][0]["value"][1].clone();
        value.as_str().map_or(0, |text| text.parse::<u64>().unwrap())
    };
    prometheus.wait_until("60 scrapes", || samples(&prometheus, "") >= 60);
    let time_ms = between_scrapes(&prometheus, now_ms(&prometheus) - 3_000);
    // Everything up to that time has arrived when a later sample of each target has.
    let newest = format!("min(timestamp(up)) > {}", seconds(time_ms + 1));
    let has_arrived = || {
        let params = [("query", newest.as_str())];
        let result = urd.api("/prometheus/api/v1/query", &params).json()["data"]["result"].clone();
        result.as_array().is_some_and(|series| !series.is_empty())
            && samples(&urd, "/prometheus") >= 60
    };
    urd.wait_until("the samples to arrive", has_arrived);
    for query in QUERIES {
        let params = [("query", *query), ("time", &seconds(time_ms))];
        let want = prometheus.api("/api/v1/query", &params).json();
        let got = urd.api("/prometheus/api/v1/query", &params).json();
        assert!(!want["data"]["result"].as_array().unwrap().is_empty(), "{query}: no data");
        same_answers(&want, &got).unwrap_or_else(|difference| panic!("{query}: {difference}"));
    }
    has_metadata(&urd);
}

fn start_prometheus(dir: &std::path::Path, urd: &Server) -> Server {
    let port = harness::free_port();
    let target = urd.url.trim_start_matches("http://");
    let config = format!(
        "global: {{scrape_interval: 250ms}}\n\
         remote_write:\n\
         - url: {}/api/v1/push\n\
         \x20 queue_config: {{batch_send_deadline: 200ms}}\n\
         \x20 metadata_config: {{send_interval: 1s}}\n\
         scrape_configs:\n\
         - job_name: prometheus\n\
         \x20 static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n\
         - job_name: urd\n\
         \x20 static_configs: [{{targets: ['{target}']}}]\n",
        urd.url
    );
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    harness::prometheus(&dir.join("prometheus"), &config, &[&listen])
}

/// A time at or after `from_ms` that is far from every scrape of every target (they come each
/// 250 ms, each target at its own offset).
fn between_scrapes(prometheus: &Server, from_ms: i64) -> i64 {
    let params = [("query", "up[5s]"), ("time", &seconds(from_ms))];
    let result = prometheus.api("/api/v1/query", &params).json();
    let series = result["data"]["result"].as_array().unwrap().clone();
    let phases: Vec<i64> =
        series.iter().flat_map(|s| s["values"].as_array().unwrap().iter().map(phase)).collect();
    let distance = |ms: i64| {
        let one = |phase: &i64| {
            let d = (ms - phase).rem_euclid(250);
            d.min(250 - d)
        };
        phases.iter().map(one).min().unwrap()
    };
    (from_ms..from_ms + 250).max_by_key(|&ms| distance(ms)).unwrap()
}

fn phase(point: &Value) -> i64 {
    (point[0].as_f64().unwrap() * 1000.0).round() as i64
}

fn has_metadata(urd: &Server) {
    let of = || {
        let answer = urd.get("/prometheus/api/v1/metadata?metric=prometheus_http_requests_total");
        answer.json()["data"]["prometheus_http_requests_total"][0]["type"].clone()
    };
    urd.wait_until("metadata", || of() == "counter");
}
