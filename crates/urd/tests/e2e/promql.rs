//! The same samples in Urd and in Prometheus: the same queries have the same answers.

use serde_json::Value;

use crate::dataset::{self, INTERVAL_MS, QUERIES};
use crate::harness::{self, Server};
use crate::remote_write::{self, Series};

const SAMPLES: i64 = 480;
/// Relative difference that summing in another order may make.
const TOLERANCE: f64 = 1e-9;

#[test]
fn queries_have_the_answers_that_prometheus_gives() {
    if !harness::has("prometheus") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let prometheus =
        harness::prometheus(&dir.path().join("prom"), "", &["--web.enable-remote-write-receiver"]);
    let urd = harness::urd(dir.path(), &[]);
    // Samples stand 4.321 s after whole minutes and their quarters: subqueries, whose steps are
    // multiples of theirs, meet none either.
    let end_ms = (now_ms(&prometheus) / INTERVAL_MS - 1) * INTERVAL_MS + 4_321;
    let start_ms = end_ms - (SAMPLES - 1) * INTERVAL_MS;
    for request in dataset::requests(start_ms, SAMPLES) {
        write(&prometheus, "/api/v1/write", &request);
        write(&urd, "/api/v1/push", &request);
    }
    let mut differences = Vec::new();
    // 7.123 s after a sample: no window of whole seconds begins or ends at one.
    let (t0, t1) = (start_ms + 3_607_123, end_ms - 7_877);
    for query in QUERIES {
        for time in [t0, t1] {
            let params = [("query", *query), ("time", &seconds(time))];
            compare((&prometheus, &urd), "query", &params, &mut differences);
        }
        for step in ["60", "47"] {
            let params =
                [("query", *query), ("start", &seconds(t0)), ("end", &seconds(t1)), ("step", step)];
            compare((&prometheus, &urd), "query_range", &params, &mut differences);
        }
    }
    assert!(QUERIES.len() >= 60);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn write(server: &Server, path: &str, series: &[Series]) {
    let answer = remote_write::push(server, path, series);
    assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.body);
}

/// The server's time of day, ms.
pub(crate) fn now_ms(server: &Server) -> i64 {
    let time = server.api("/api/v1/query", &[("query", "time()")]).json();
    (time["data"]["result"][0].as_f64().unwrap() * 1000.0) as i64
}

pub(crate) fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn compare(
    (prometheus, urd): (&Server, &Server),
    endpoint: &str,
    params: &[(&str, &str)],
    differences: &mut Vec<String>,
) {
    let want = prometheus.api(&format!("/api/v1/{endpoint}"), params);
    let got = urd.api(&format!("/prometheus/api/v1/{endpoint}"), params);
    if let Err(difference) = same_answers(&want.json(), &got.json()) {
        differences.push(format!("{endpoint} {params:?}: {difference}"));
    }
}

/// Whether two answers of the query API are the same but for the order of series where it has no
/// meaning, and for rounding.
pub(crate) fn same_answers(want: &Value, got: &Value) -> Result<(), String> {
    if want["status"] != got["status"] {
        return Err(format!("want {want}, got {got}"));
    }
    let (want, got) = (&want["data"], &got["data"]);
    if want["resultType"] != got["resultType"] {
        return Err(format!("want {}, got {}", want["resultType"], got["resultType"]));
    }
    same(&normalized(want), &normalized(got), "")
}

fn normalized(data: &Value) -> Value {
    let mut result = data["result"].clone();
    if let Some(series) = result.as_array_mut()
        && data["resultType"] != "scalar"
    {
        series.sort_by_key(|s| s["metric"].to_string());
    }
    result
}

fn same(want: &Value, got: &Value, at: &str) -> Result<(), String> {
    match (want, got) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .try_for_each(|(i, (a, b))| same(a, b, &format!("{at}[{i}]"))),
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => a
            .iter()
            .try_for_each(|(k, v)| same(v, b.get(k).unwrap_or(&Value::Null), &format!("{at}.{k}"))),
        (Value::String(a), Value::String(b)) if a == b || is_close(a, b) => Ok(()),
        (a, b) if a == b => Ok(()),
        _ => Err(format!("{at}: want {}, got {}", short(want), short(got))),
    }
}

fn is_close(a: &str, b: &str) -> bool {
    let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>()) else { return false };
    a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}
