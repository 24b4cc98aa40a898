//! Blocks in the bucket are Prometheus' blocks: promtool reads them, a Prometheus started on them
//! answers as Urd does, and Urd answers from them when nothing is local any more.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::dataset::{self, INTERVAL_MS, QUERIES};
use crate::harness::{self, Server};
use crate::promql::{same_answers, seconds};
use crate::remote_write;

/// 2023-11-14 22:00 UTC, a border of two-hour blocks.
const BORDER_MS: i64 = 1_699_999_200_000;
/// Samples stand beside whole minutes, so that no step of a subquery meets one.
pub(crate) const START_MS: i64 = BORDER_MS + 4_321;
const SAMPLES: i64 = 5 * 3600 * 1000 / INTERVAL_MS;

#[test]
fn blocks_are_read_by_promtool_prometheus_and_urd() {
    let dir = tempfile::tempdir().unwrap();
    let mut urd = harness::urd(dir.path(), &[]);
    for request in dataset::requests(START_MS, SAMPLES) {
        let answer = remote_write::push(&urd, "/api/v1/push", &request);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let before = answers(&urd, "/prometheus");
    assert_eq!(urd.get("/ingester/flush?wait=true").status / 100, 2);
    let bucket = dir.path().join("blocks/anonymous");
    urd.wait_until("three blocks in the bucket", || complete_blocks(&bucket).len() >= 3);
    check_meta(&complete_blocks(&bucket));
    assert_same(&before, &answers(&urd, "/prometheus"), "after the flush");
    assert_eq!(urd.terminate(), Some(0), "{}", urd.log());

    // Both write into the directory that they read.
    let copy = dir.path().join("copy");
    harness::run("cp", &["-r", bucket.to_str().unwrap(), copy.to_str().unwrap()]);
    read_by_promtool(&copy);
    read_by_prometheus(&dir.path().join("prom"), &copy, &before);

    // Without any local data everything comes from the bucket.
    std::fs::remove_dir_all(dir.path().join("tsdb")).unwrap();
    let urd = harness::urd(dir.path(), &[]);
    assert_same(&before, &answers(&urd, "/prometheus"), "from the bucket");
    without_its_bucket(&urd, dir.path(), &before);
}

/// Nothing is answered in part, and nothing is broken when the bucket is back.
fn without_its_bucket(urd: &Server, dir: &Path, before: &[Value]) {
    let (bucket, aside) = (dir.join("blocks"), dir.join("aside"));
    std::fs::rename(&bucket, &aside).unwrap();
    for answer in [answers(urd, "/prometheus"), answers(urd, "/prometheus")] {
        // Those that need samples, whatever is known of the index.
        let needs_samples = |query: &str| query.contains("temperature");
        let asked = QUERIES.iter().zip(&answer).filter(|(query, _)| needs_samples(query));
        for (query, answer) in asked {
            assert_eq!(answer["status"], "error", "{query}: {answer}");
        }
    }
    std::fs::rename(&aside, &bucket).unwrap();
    assert_same(before, &answers(urd, "/prometheus"), "when the bucket is back");
}

pub(crate) fn answers(server: &Server, prefix: &str) -> Vec<Value> {
    let (start, end) = (START_MS + 1_807_123, START_MS + SAMPLES * INTERVAL_MS - 7_877);
    let ask = |query: &&str| {
        let path = format!("{prefix}/api/v1/query_range");
        let (start, end) = (seconds(start), seconds(end));
        let params = [("query", *query), ("start", &*start), ("end", &*end), ("step", "307")];
        server.api(&path, &params).json()
    };
    QUERIES.iter().map(ask).collect()
}

pub(crate) fn assert_same(want: &[Value], got: &[Value], what: &str) {
    for ((query, want), got) in QUERIES.iter().zip(want).zip(got) {
        same_answers(want, got).unwrap_or_else(|d| panic!("{what}: {query}: {d}"));
    }
}

pub(crate) fn complete_blocks(bucket: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(bucket) else { return Vec::new() };
    let dirs = entries.map(|entry| entry.unwrap().path());
    dirs.filter(|dir| dir.join("meta.json").is_file()).collect()
}

fn check_meta(blocks: &[PathBuf]) {
    for block in blocks {
        let text = std::fs::read_to_string(block.join("meta.json")).unwrap();
        let meta: Value = serde_json::from_str(&text).unwrap();
        let (min, max) = (meta["minTime"].as_i64().unwrap(), meta["maxTime"].as_i64().unwrap());
        // A flush also cuts what is left, up to the newest sample.
        assert!(min.rem_euclid(7_200_000) == 0 && max - min <= 7_200_000, "{text}");
        assert_eq!(meta["compaction"]["level"], 1);
        let thanos = &meta["thanos"];
        assert_eq!((&thanos["version"], &thanos["source"]), (&1.into(), &"receive".into()));
        for file in thanos["files"].as_array().unwrap() {
            let path = block.join(file["rel_path"].as_str().unwrap());
            let size = std::fs::metadata(&path).unwrap().len();
            if !path.ends_with("meta.json") {
                assert_eq!(file["size_bytes"].as_u64(), Some(size), "{}", path.display());
            }
        }
    }
}

fn read_by_promtool(bucket: &Path) {
    if !harness::has("promtool") {
        return;
    }
    let data = bucket.to_str().unwrap();
    let blocks = complete_blocks(bucket);
    let id = blocks[0].file_name().unwrap().to_str().unwrap();
    let analysis = harness::run("promtool", &["tsdb", "analyze", data, id]);
    assert!(analysis.contains("http_requests_total"), "{analysis}");
    std::fs::create_dir(bucket.join("wal")).unwrap(); // It wants one, an empty one will do.
    let dump = harness::run("promtool", &["tsdb", "dump", data]);
    let want: usize = dataset::series(START_MS, SAMPLES).iter().map(|s| s.samples.len()).sum();
    assert_eq!(dump.lines().count(), want);
}

fn read_by_prometheus(dir: &Path, bucket: &Path, want: &[Value]) {
    if !harness::has("prometheus") {
        return;
    }
    let storage = format!("--storage.tsdb.path={}", bucket.display());
    let options = [&*storage, "--storage.tsdb.retention.time=100y"];
    let prometheus = harness::prometheus(dir, "", &options);
    assert_same(&answers(&prometheus, ""), want, "a Prometheus on the blocks");
}
