//! Exemplars: Prometheus scrapes a server that has some, sends them on, and both answer queries for
//! them alike.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use crate::harness::{self, Server};
use crate::remote_write::{self, bytes_field, compressed, label, sample, varint};

/// A page of metrics in OpenMetrics' form, the same at every scrape.
const PAGE: &str = "\
# TYPE requests counter
# HELP requests Requests.
requests_total{code=\"200\"} 10 # {trace_id=\"abc\"} 0.5
requests_total{code=\"500\"} 2 # {trace_id=\"def\",span=\"1\"} 1.25
# TYPE latency histogram
latency_bucket{le=\"0.1\"} 8 # {trace_id=\"low\"} 0.054
latency_bucket{le=\"+Inf\"} 10 # {trace_id=\"high\"} 9.8
latency_sum 12
latency_count 10
# EOF
";

/// Serves the page to everybody who asks, for as long as the test runs; its port.
fn serve_page() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: \
                        application/openmetrics-text; version=1.0.0\r\nContent-Length:";
            let _ = write!(stream, "{head} {}\r\n\r\n{PAGE}", PAGE.len());
        }
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    port
}

fn exemplars(server: &Server, path: &str, query: &str) -> Value {
    let params = [("query", query), ("start", "0"), ("end", "9999999999")];
    let answer = server.api(&format!("{path}/api/v1/query_exemplars"), &params);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

const ON: &str = "-ingester.max-global-exemplars-per-user=1000";

#[test]
fn prometheus_and_urd_answer_alike() {
    if !harness::has("prometheus") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut urd = harness::urd(dir.path(), &[ON]);
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: page\n  static_configs:\n  \
         - targets: [127.0.0.1:{}]\nremote_write:\n- url: {}/api/v1/push\n  send_exemplars: true\n",
        serve_page(),
        urd.url
    );
    let flags = ["--enable-feature=exemplar-storage"];
    let prometheus = harness::prometheus(&dir.path().join("prom"), &config, &flags);
    let count = |server: &Server, path: &str| {
        let data = exemplars(server, path, "{job=\"page\"}")["data"].clone();
        data.as_array().map_or(0, Vec::len)
    };
    urd.wait_until("all exemplars", || count(&urd, "/prometheus") == 4);
    // What was scraped in the meantime is on its way: each later scrape brings the same exemplars at
    // a new time, so that only the last of them may differ.
    for query in ["requests_total", "latency_bucket", "rate(latency_bucket{le=\"0.1\"}[5m]) > 0"] {
        let (want, got) =
            (exemplars(&prometheus, "", query), exemplars(&urd, "/prometheus", query));
        assert_eq!(without_times(&want), without_times(&got), "{query}");
        let first = |answer: &Value| answer["data"][0]["exemplars"][0].clone();
        assert_eq!(first(&want), first(&got), "{query}");
    }
    for (server, path) in [(&prometheus, ""), (&urd, "/prometheus")] {
        let answer = server.api(&format!("{path}/api/v1/query_exemplars"), &[("query", "1 + 1")]);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    }
    let before = exemplars(&urd, "/prometheus", "requests_total");
    drop(prometheus);
    urd.kill();
    let again = harness::urd(dir.path(), &[ON]);
    let after = exemplars(&again, "/prometheus", "requests_total");
    assert_eq!(without_times(&before), without_times(&after), "the log has them");
}

/// The series, and for each its exemplars without their times, each once.
fn without_times(answer: &Value) -> Vec<(Value, Vec<(Value, Value)>)> {
    let of_series = |series: &Value| {
        let all = series["exemplars"].as_array().unwrap().iter();
        let mut all: Vec<_> = all.map(|e| (e["labels"].clone(), e["value"].clone())).collect();
        all.dedup();
        (series["seriesLabels"].clone(), all)
    };
    answer["data"].as_array().unwrap().iter().map(of_series).collect()
}

fn exemplar(t: i64, labels: &[Vec<u8>]) -> Vec<u8> {
    let value = [vec![2 << 3 | 1], 1.5f64.to_le_bytes().to_vec()].concat();
    let time = [vec![3 << 3], varint(t as u64)].concat();
    bytes_field(3, &[labels.concat(), value, time].concat())
}

fn push(server: &Server, parts: &[Vec<u8>]) -> u16 {
    let labels = label(b"__name__", b"x");
    let body = bytes_field(1, &[labels, parts.concat()].concat());
    server.post("/api/v1/push", remote_write::HEADERS, &compressed(&body)).status
}

#[test]
fn what_is_not_valid_is_left_out_and_what_is_late_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let per_request = "-distributor.max-exemplars-per-series-per-request=4";
    let urd = harness::urd(dir.path(), &[ON, per_request]);
    let t = 1_700_000_000_000;
    let trace = |id: &str| label(b"trace", id.as_bytes());
    let long = trace(&"x".repeat(200));
    let status = push(
        &urd,
        &[
            sample(t, 1.0),
            exemplar(t + 1, &[trace("b")]),
            exemplar(t, &[trace("a")]),
            exemplar(t + 2, &[long]),
            exemplar(t + 3, &[]),
            exemplar(t + 4, &[trace("one too many")]),
        ],
    );
    assert_eq!(status, 200);
    let data = exemplars(&urd, "/prometheus", "x")["data"][0]["exemplars"].clone();
    let traces: Vec<&str> =
        data.as_array().unwrap().iter().map(|e| e["labels"]["trace"].as_str().unwrap()).collect();
    assert_eq!(traces, ["a", "b"]);
    assert_eq!(push(&urd, &[sample(t + 10, 1.0), exemplar(t - 1, &[trace("late")])]), 400);
    let metrics = urd.get("/metrics").body;
    for line in [
        "cortex_discarded_exemplars_total{reason=\"exemplar_labels_missing\",user=\"anonymous\"} 1",
        "cortex_discarded_exemplars_total{reason=\"exemplar_labels_too_long\",user=\"anonymous\"} 1",
        "cortex_ingester_ingested_exemplars_total 2",
        "cortex_ingester_ingested_exemplars_failures_total 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    // Nothing is kept for a tenant without room.
    let other = tempfile::tempdir().unwrap();
    let off = harness::urd(other.path(), &[]);
    assert_eq!(push(&off, &[sample(t, 1.0), exemplar(t, &[trace("a")])]), 200);
    assert_eq!(exemplars(&off, "/prometheus", "x")["data"], Value::Array(Vec::new()));
}
