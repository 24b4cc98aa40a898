//! Remote read: Prometheus reads Urd's samples, and a client of our own takes the stream of
//! chunks.

use model::SampleBuffer;
use serde_json::Value;
use tsdb::chunk::{ChunkEncoding, decode};

use crate::dataset::{self, INTERVAL_MS, QUERIES};
use crate::harness::{self, Server};
use crate::promql::{now_ms, same_answers, seconds};
use crate::remote_write::{self, bytes_field, compressed, label, varint};

const SAMPLES: i64 = 240;

/// A native histogram of remote write whose buckets grow with `n`.
fn histogram(t: i64, n: u64) -> Vec<u8> {
    let double = |field: u8, v: f64| [vec![field << 3 | 1], v.to_le_bytes().to_vec()].concat();
    let zigzags = |values: &[u64]| values.iter().flat_map(|v| varint(v * 2)).collect::<Vec<u8>>();
    let span = bytes_field(11, &[8, 0, 16, 2]);
    let parts = [
        vec![1 << 3],
        varint(4 * n + 3),
        double(3, n as f64 * 1.5),
        vec![4 << 3, 2],
        double(5, 0.001),
        vec![6 << 3, 3],
        span,
        bytes_field(12, &zigzags(&[n, 2 * n])),
        vec![15 << 3],
        varint(t as u64),
    ];
    bytes_field(4, &parts.concat())
}

fn histogram_request(times: impl Iterator<Item = i64>) -> Vec<u8> {
    let labels = [label(b"__name__", b"rpc_seconds"), label(b"job", b"api")].concat();
    let samples: Vec<u8> = times.enumerate().flat_map(|(n, t)| histogram(t, n as u64)).collect();
    bytes_field(1, &[labels, samples].concat())
}

fn write(server: &Server, path: &str, message: &[u8]) {
    let answer = server.post(path, remote_write::HEADERS, &compressed(message));
    assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.body);
}

/// The same samples in all `targets`, up to `now_ms`; the time of the first and of the last one.
fn fill(targets: &[(&Server, &str)], now_ms: i64) -> (i64, i64) {
    let end_ms = (now_ms / INTERVAL_MS - 1) * INTERVAL_MS + 4_321;
    let start_ms = end_ms - (SAMPLES - 1) * INTERVAL_MS;
    let times = || (0..SAMPLES).map(|i| start_ms + i * INTERVAL_MS);
    for (server, path) in targets {
        for request in dataset::requests(start_ms, SAMPLES) {
            write(server, path, &remote_write::message(&request));
        }
        write(server, path, &histogram_request(times()));
    }
    (start_ms, end_ms)
}

#[test]
fn prometheus_reads_samples_of_urd() {
    if !harness::has("prometheus") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let urd = harness::urd(dir.path(), &[]);
    let native = "--enable-feature=native-histograms";
    let flags = ["--web.enable-remote-write-receiver", native];
    let owner = harness::prometheus(&dir.path().join("owner"), "", &flags);
    let reader = |name: &str, url: &str| {
        let config = format!("remote_read:\n- url: {url}\n  read_recent: true\n");
        harness::prometheus(&dir.path().join(name), &config, &[native])
    };
    // What Prometheus can read from Prometheus is the measure: 2.42 reads no native histograms.
    let of_owner = reader("of-owner", &format!("{}/api/v1/read", owner.url));
    let of_urd = reader("of-urd", &format!("{}/prometheus/api/v1/read", urd.url));
    let (start_ms, end_ms) =
        fill(&[(&owner, "/api/v1/write"), (&urd, "/api/v1/push")], now_ms(&owner));
    let mut differences = Vec::new();
    let histograms =
        ["rpc_seconds", "rate(rpc_seconds[5m])", "histogram_quantile(0.9, rpc_seconds)"];
    for query in QUERIES.iter().copied().chain(histograms) {
        let (start, end) = (seconds(start_ms + 607_123), seconds(end_ms - 7_877));
        let params = [("query", query), ("start", &*start), ("end", &*end), ("step", "60")];
        let want = of_owner.api("/api/v1/query_range", &params).json();
        let got = of_urd.api("/api/v1/query_range", &params).json();
        assert_eq!(want["status"], "success", "{query}: {want}");
        if let Err(difference) = same_answers(&want, &got) {
            differences.push(format!("{query}: {difference}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A `ReadRequest` of one query: `name` over a range, with the kinds of answers that are taken.
fn read_request(name: &str, (start_ms, end_ms): (i64, i64), accepted: &[u8]) -> Vec<u8> {
    let matcher = [bytes_field(2, b"__name__"), bytes_field(3, name.as_bytes())].concat();
    let times = [vec![8], varint(start_ms as u64), vec![16], varint(end_ms as u64)].concat();
    let query = [times, bytes_field(3, &matcher)].concat();
    compressed(&[bytes_field(1, &query), bytes_field(2, accepted)].concat())
}

/// Reads a varint off the front.
fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// The fields of a message: number, and number or bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut all = Vec::new();
    while !message.is_empty() {
        let tag = take_varint(&mut message);
        let number = take_varint(&mut message);
        let (payload, rest) = message.split_at(if tag & 7 == 2 { number as usize } else { 0 });
        message = rest;
        all.push((tag >> 3, number, payload));
    }
    all
}

/// Labels as text, and samples, of each series of a stream.
fn read_stream(mut bytes: &[u8]) -> Vec<(String, SampleBuffer)> {
    let mut all: Vec<(String, SampleBuffer)> = Vec::new();
    while !bytes.is_empty() {
        let length = take_varint(&mut bytes) as usize;
        let (crc, rest) = bytes.split_at(4);
        let (message, rest) = rest.split_at(length);
        bytes = rest;
        assert_eq!(crc, tsdb::encoding::crc32c(message).to_be_bytes());
        let (_, _, series) = fields(message)[0];
        let parts = fields(series);
        let labels = parts.iter().filter(|part| part.0 == 1);
        let labels: String = labels.map(|part| String::from_utf8_lossy(part.2)).collect();
        if all.last().is_none_or(|last| last.0 != labels) {
            all.push((labels, SampleBuffer::default()));
        }
        let samples = &mut all.last_mut().unwrap().1;
        for (_, _, chunk) in parts.iter().filter(|part| part.0 == 2) {
            let chunk = fields(chunk);
            let encoding = chunk.iter().find(|field| field.0 == 3).unwrap().1 as u8;
            let data = chunk.iter().find(|field| field.0 == 4).unwrap().2;
            decode(ChunkEncoding::from_number(encoding).unwrap(), data, samples).unwrap();
        }
    }
    all
}

#[test]
fn chunks_are_streamed() {
    let dir = tempfile::tempdir().unwrap();
    let urd = harness::urd(dir.path(), &[]);
    let (start_ms, end_ms) = fill(&[(&urd, "/api/v1/push")], 1_700_000_000_000);
    for (name, query_field) in [("memory_bytes", "values"), ("rpc_seconds", "histograms")] {
        let request = read_request(name, (start_ms, end_ms), &[1]);
        let body = urd.post_bytes("/prometheus/api/v1/read", remote_write::HEADERS, &request);
        let streamed = read_stream(&body);
        let params = [("query", &*format!("{name}[2h]")), ("time", &*seconds(end_ms))];
        let answer = urd.api("/prometheus/api/v1/query", &params).json();
        let series = answer["data"]["result"].as_array().unwrap();
        assert_eq!(series.len(), streamed.len());
        for (want, (labels, got)) in series.iter().zip(&streamed) {
            assert!(labels.contains(name), "{labels}");
            check_series(&want[query_field], got);
        }
    }
}

fn check_series(want: &Value, got: &SampleBuffer) {
    let want = want.as_array().unwrap();
    assert_eq!(want.len(), got.len());
    let time = |point: &Value| (point[0].as_f64().unwrap() * 1000.0).round() as i64;
    let times = got.float_times.iter().chain(&got.histogram_times);
    assert!(want.iter().map(time).eq(times.copied()));
    for (point, value) in want.iter().zip(&got.float_values) {
        assert_eq!(point[1].as_str().unwrap().parse::<f64>().unwrap(), *value);
    }
    for (point, value) in want.iter().zip(&got.histograms) {
        assert_eq!(point[1]["count"].as_str().unwrap().parse::<f64>().unwrap(), value.count);
    }
}

#[test]
fn requests_that_cannot_be_answered_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let urd = harness::urd(dir.path(), &["-querier.max-fetched-series-per-query=2"]);
    let (start_ms, end_ms) = fill(&[(&urd, "/api/v1/push")], 1_700_000_000_000);
    let range = (start_ms, end_ms);
    for (request, status, text) in [
        (b"not snappy".to_vec(), 400, "snappy"),
        (read_request("up", range, &[7]), 400, "does not support any of the requested"),
        (read_request("memory_bytes", range, &[0]), 400, "err-mimir-max-series-per-query"),
        (read_request("memory_bytes", range, &[1]), 400, "err-mimir-max-series-per-query"),
        (read_request("nothing", range, &[1]), 200, ""),
    ] {
        let answer = urd.post("/prometheus/api/v1/read", remote_write::HEADERS, &request);
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(text), "{}", answer.body);
    }
}
