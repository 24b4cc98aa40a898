//! Days of samples in an S3 server: written as blocks of two hours, compacted to days by the
//! compactor, and asked over short, long and very long ranges. A Prometheus on the blocks as they
//! were before any compaction gives the expected answers. What is asked again is answered from
//! memcached alone.
//!
//! CI runs two days of 500 series; `cargo xtask long-term` runs two weeks of 5,000 and prints what
//! each query asked of the bucket.

mod fleet;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bucket::testing::S3Server;
use bucket::{Bucket, BucketMetrics, TenantBucket};
use serde_json::Value;

use crate::harness::{self, Server};
use crate::object_storage::{PREFIX, as_strs, memcached, options};
use crate::promql::same_answers;
use fleet::{BLOCK_MS, Fleet};

/// 2023-11-15 00:00 UTC, where days and the ranges of compactions begin.
const START_MS: i64 = 1_700_006_400_000;
const DAY_MS: i64 = 24 * 3_600_000;
/// Two weeks of everything take Prometheus more than a minute.
const QUERY_PATIENCE: Duration = Duration::from_secs(600);

/// Shapes of queries over ranges: rates, quantiles of histograms, ratios, joins, patterns, ranks,
/// quantiles over time, subqueries, raw series.
const QUERIES: &[(&str, &str)] = &[
    ("select", r#"container_memory_working_set_bytes{cluster="prod-eu-1"}"#),
    ("sum_rate", "sum by (namespace) (rate(http_requests_total[5m]))"),
    ("count_all", r#"count({__name__=~".+"})"#),
    (
        "hq",
        "histogram_quantile(0.99, sum by (le, route) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    (
        "ratio",
        r#"sum by (app) (rate(http_requests_total{code="500"}[5m])) / sum by (app) (rate(http_requests_total[5m]))"#,
    ),
    (
        "join",
        "sum by (pod) (rate(container_cpu_usage_seconds_total[5m])) * on (pod) group_left (namespace) max by (pod, namespace) (container_memory_working_set_bytes)",
    ),
    ("regex", r#"sum by (app) (rate(http_requests_total{app=~"app-0[0-4].*",code!="200"}[5m]))"#),
    ("topk", "topk(10, sum by (pod) (rate(container_cpu_usage_seconds_total[5m])))"),
    (
        "quantile_ot",
        "max by (namespace) (quantile_over_time(0.9, container_memory_working_set_bytes[10m]))",
    ),
    ("subquery", "max_over_time(sum by (namespace) (rate(http_requests_total[1m]))[30m:1m])"),
    ("raw", r#"container_cpu_usage_seconds_total{cpu="cpu00"}"#),
];

/// How much of everything.
struct Size {
    days: i64,
    series: u64,
    memcached_megabytes: u64,
    /// Print what each query cost.
    report: bool,
}

impl Size {
    fn of_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
        let days = number("URD_LONG_TERM_DAYS");
        Self {
            days: days.unwrap_or(2),
            series: number("URD_LONG_TERM_SERIES").unwrap_or(500) as u64,
            memcached_megabytes: number("URD_LONG_TERM_MEMCACHED_MB").unwrap_or(256) as u64,
            report: days.is_some(),
        }
    }

    fn end_ms(&self) -> i64 {
        START_MS + self.days * DAY_MS
    }

    /// Name, length and step of the ranges that are asked for, seconds.
    fn ranges(&self) -> [(&'static str, i64, i64); 3] {
        [("6h", 6 * 3600, 60), ("24h", 24 * 3600, 240), ("all", self.days * 24 * 3600, 3600)]
    }
}

#[test]
fn days_in_object_storage_are_answered_as_by_prometheus() {
    let size = Size::of_environment();
    if !harness::has("prometheus") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let s3 = runtime.block_on(S3Server::start()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let originals = dir.path().join("originals");
    let start = Instant::now();
    let samples = runtime.block_on(fill(&s3, &originals, &size));
    say(&size, &format!("{samples} samples written and uploaded in {:.0?}", start.elapsed()));
    compact(dir.path(), &s3, &size);

    let storage = format!("--storage.tsdb.path={}", originals.display());
    let keep = [
        &*storage,
        "--storage.tsdb.retention.time=100y",
        "--query.timeout=10m",
        "--storage.tsdb.min-block-duration=2h",
        "--storage.tsdb.max-block-duration=2h",
    ];
    let prometheus = harness::prometheus(&dir.path().join("prometheus"), "", &keep);
    let Some((_memcached, port)) = memcached(dir.path(), size.memcached_megabytes) else { return };
    let urd = reader(dir.path(), &s3, port);
    for range in size.ranges() {
        ask_everything((&prometheus, &urd), range, &size);
    }
}

fn say(size: &Size, line: &str) {
    if size.report {
        eprintln!("{line}");
    }
}

/// Writes the blocks, and uploads them. Returns how many samples they have.
async fn fill(s3: &S3Server, originals: &Path, size: &Size) -> u64 {
    let clock = Arc::new(rt::SystemClock::new());
    let metrics = BucketMetrics::new(&rt::Metrics::new(), "test");
    let bucket = Bucket::open(&s3.options(PREFIX), clock, metrics).unwrap();
    let bucket = TenantBucket::new(bucket, model::TenantId::new("anonymous").unwrap());
    std::fs::create_dir_all(originals).unwrap();
    let fleet = Fleet::new(size.series);
    let mut samples = 0;
    for start_ms in (START_MS..size.end_ms()).step_by(BLOCK_MS as usize) {
        let (meta, dir) = fleet.write_block(originals, start_ms);
        fleet::upload(&bucket, &meta, &dir).await;
        samples += meta.stats.num_samples;
    }
    assert_eq!(samples, size.series * (size.days * DAY_MS / fleet::INTERVAL_MS) as u64);
    samples
}

/// Runs a server until each day is one block and nothing else is left.
fn compact(dir: &Path, s3: &S3Server, size: &Size) {
    let mut args = options(s3);
    args.extend(
        [
            "-compactor.first-level-compaction-wait-period=0s",
            "-compactor.compaction-interval=1s",
            "-compactor.cleanup-interval=1s",
            "-compactor.deletion-delay=1s",
        ]
        .map(str::to_owned),
    );
    let start = Instant::now();
    let mut urd = harness::urd(dir, &as_strs(&args));
    let is_done = || {
        let page = urd.get("/metrics").body;
        let count = |name: &str| value_of(&page, name, "anonymous");
        count("cortex_bucket_blocks_count") == Some(size.days as f64)
            && count("cortex_bucket_blocks_marked_for_deletion_count") == Some(0.0)
    };
    let deadline = start + harness::PATIENCE * if size.report { 20 } else { 2 };
    while !is_done() {
        assert!(Instant::now() < deadline, "{}", urd.log());
        std::thread::park_timeout(Duration::from_millis(100));
    }
    say(size, &format!("compacted to {} blocks in {:.0?}", size.days, start.elapsed()));
    assert_eq!(urd.terminate(), Some(0), "{}", urd.log());
}

/// The value of the first series of a metric with this text among its labels.
fn value_of(metrics: &str, name: &str, label: &str) -> Option<f64> {
    let is_it = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') && rest.contains(label))
    };
    metrics.lines().find(is_it)?.rsplit_once(' ')?.1.parse().ok()
}

/// A server that only reads, with memcached before the bucket.
fn reader(dir: &Path, s3: &S3Server, memcached_port: u16) -> Server {
    let mut args = options(s3);
    args.push("-querier.max-fetched-chunks-per-query=0".to_owned());
    args.push("-querier.timeout=10m".to_owned());
    for cache in ["chunks-cache", "metadata-cache"] {
        let flag = format!("-blocks-storage.bucket-store.{cache}");
        args.push(format!("{flag}.backend=memcached"));
        args.push(format!("{flag}.memcached.addresses=127.0.0.1:{memcached_port}"));
        args.push(format!("{flag}.memcached.timeout=10s"));
        // A first query over all days writes more at once than is usual.
        args.push(format!("{flag}.memcached.max-async-buffer-size=1000000"));
    }
    harness::urd(dir, &as_strs(&args))
}

fn ask_everything(
    (prometheus, urd): (&Server, &Server),
    (range, length_s, step_s): (&str, i64, i64),
    size: &Size,
) {
    let end_s = size.end_ms() / 1000 - 60;
    let params = |query| Params { query, start_s: end_s - length_s, end_s, step_s };
    for (name, query) in QUERIES {
        let params = params(query);
        let want = params.ask(prometheus, "");
        let (first, got) = measured(urd, || params.ask(urd, "/prometheus"));
        same_answers(&want, &got).unwrap_or_else(|e| panic!("{range} {name}: {e}"));
        assert!(!got["data"]["result"].as_array().unwrap().is_empty(), "{range} {name}");
        let (mut again, mut repeated) = measured(urd, || params.ask(urd, "/prometheus"));
        // What the first one has read is written to memcached beside the query.
        let deadline = Instant::now() + harness::PATIENCE;
        while range != "all" && again.requests > 0.0 {
            assert!(Instant::now() < deadline, "{range} {name} reads from the bucket every time");
            (again, repeated) = measured(urd, || params.ask(urd, "/prometheus"));
        }
        same_answers(&want, &repeated).unwrap_or_else(|e| panic!("{range} {name} again: {e}"));
        say(
            size,
            &format!(
                "| {range} {name} | {} | {:.2} | {:.0} | {} | {:.2} | {:.0} |",
                first.requests,
                first.bytes / 1e6,
                first.millis,
                again.requests,
                again.bytes / 1e6,
                again.millis,
            ),
        );
    }
}

struct Params<'a> {
    query: &'a str,
    start_s: i64,
    end_s: i64,
    step_s: i64,
}

impl Params<'_> {
    fn ask(&self, server: &Server, prefix: &str) -> Value {
        let [start, end, step] = [self.start_s, self.end_s, self.step_s].map(|n| n.to_string());
        let params = [("query", self.query), ("start", &*start), ("end", &*end), ("step", &*step)];
        server.api_within(QUERY_PATIENCE, &format!("{prefix}/api/v1/query_range"), &params).json()
    }
}

/// What a query cost.
struct Cost {
    /// Reads of blocks; the regular looks at the bucket index are not the query's.
    requests: f64,
    bytes: f64,
    millis: f64,
}

fn measured(urd: &Server, ask: impl FnOnce() -> Value) -> (Cost, Value) {
    let before = reads(urd);
    let start = Instant::now();
    let answer = ask();
    let millis = start.elapsed().as_secs_f64() * 1000.0;
    let after = reads(urd);
    let difference = |name: &str| after[name] - before[name];
    let (requests, bytes) = (difference(OPERATIONS), difference(BYTES));
    (Cost { requests, bytes, millis }, answer)
}

const OPERATIONS: &str = "thanos_objstore_bucket_operations_total";
const BYTES: &str = "thanos_objstore_bucket_operation_fetched_bytes_total";

/// Reads of the store-gateway so far.
fn reads(urd: &Server) -> BTreeMap<&'static str, f64> {
    let metrics = urd.get("/metrics").body;
    let sum = |name: &'static str| {
        let is_read = |line: &&str| {
            let labels = line.strip_prefix(name).unwrap_or_default();
            labels.contains("store-gateway") && labels.contains("operation=\"get_range\"")
        };
        let values = metrics.lines().filter(is_read).filter_map(|line| line.rsplit_once(' '));
        (name, values.map(|(_, value)| value.parse::<f64>().unwrap()).sum())
    };
    [OPERATIONS, BYTES].map(sum).into()
}
