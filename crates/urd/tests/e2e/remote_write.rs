//! Remote-write 1.0 requests, put together by hand from the protobuf rules: a writer that shares no
//! code with the decoder.

use crate::harness::{Answer, Server, post_to};

/// A series to write: its labels, sorted by name, and its samples.
pub(crate) struct Series {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) samples: Vec<(i64, f64)>,
}

impl Series {
    pub(crate) fn new(name: &str, labels: &[(&str, &str)], samples: Vec<(i64, f64)>) -> Self {
        let mut all = vec![("__name__".to_owned(), name.to_owned())];
        all.extend(labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        all.sort();
        Self { labels: all, samples }
    }
}

/// The headers of remote write 1.0.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("Content-Type", "application/x-protobuf"),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", "0.1.0"),
];

/// Writes series to `path` of a server.
pub(crate) fn push(server: &Server, path: &str, series: &[Series]) -> Answer {
    server.post(path, HEADERS, &compressed(&message(series)))
}

/// Writes series to `path` of the server at an address.
pub(crate) fn push_to(url: &str, path: &str, series: &[Series]) -> Result<Answer, String> {
    post_to(&format!("{url}{path}"), HEADERS, &compressed(&message(series)))
}

/// A snappy block.
pub(crate) fn compressed(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}

/// A `WriteRequest`.
pub(crate) fn message(series: &[Series]) -> Vec<u8> {
    series.iter().flat_map(|s| bytes_field(1, &time_series(s))).collect()
}

fn time_series(series: &Series) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in &series.labels {
        out.extend(label(name.as_bytes(), value.as_bytes()));
    }
    for (t, v) in &series.samples {
        out.extend(sample(*t, *v));
    }
    out
}

pub(crate) fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
    bytes_field(1, &[bytes_field(1, name), bytes_field(2, value)].concat())
}

pub(crate) fn sample(t: i64, v: f64) -> Vec<u8> {
    let value = [vec![1 << 3 | 1], v.to_le_bytes().to_vec()].concat();
    bytes_field(2, &[value, vec![2 << 3], varint(t as u64)].concat())
}

pub(crate) fn bytes_field(number: u64, payload: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(payload.len() as u64), payload.to_vec()].concat()
}

pub(crate) fn varint(mut v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
    out
}
