//! The engine over an in-memory storage: 6 h of samples every 15 s, on one thread.
//!
//! What is measured is everything behind the decoding of chunks.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use model::{Labels, QueryContext, SampleBuffer};
use promql::memstore::MemoryStorage;
use promql::parser::{ParserOptions, parse_expr};
use promql::{Engine, EngineOptions, QueryKind};

const SAMPLES: i64 = 1_440;
const INTERVAL_MS: i64 = 15_000;
const END_MS: i64 = (SAMPLES - 1) * INTERVAL_MS;
const BOUNDS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

/// A series that grows by `step` a sample, with a reset now and then.
fn add_counter(storage: &mut MemoryStorage, labels: &[(&str, &str)], seed: i64) {
    let labels = Labels::from_pairs(labels.iter().copied());
    let mut samples = SampleBuffer::default();
    let mut value = seed as f64;
    for sample in 0..SAMPLES {
        value = if (sample + seed) % 1_000 == 999 { 0.0 } else { value + (seed % 7) as f64 };
        let jitter = (sample * 7919 + seed * 104_729) % 7 - 3;
        samples.push_float(sample * INTERVAL_MS + jitter, value);
    }
    storage.insert(labels, samples);
}

/// 1,000 counters of requests and 2,400 classic buckets.
fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    for index in 0..1_000_i64 {
        let (namespace, pod) = (format!("ns-{:02}", index % 20), format!("pod-{index:04}"));
        let labels = [
            ("__name__", "http_requests_total"),
            ("cluster", "prod-eu-1"),
            ("code", "200"),
            ("instance", "10.0.0.1:8080"),
            ("job", "kubernetes-pods"),
            ("namespace", namespace.as_str()),
            ("pod", pod.as_str()),
        ];
        add_counter(&mut storage, &labels, index);
    }
    for index in 0..200_i64 {
        let (route, pod) = (format!("/route/{}", index % 20), format!("pod-{index:04}"));
        for (number, bound) in (0_i64..).zip(BOUNDS) {
            let labels = [
                ("__name__", "http_request_duration_seconds_bucket"),
                ("cluster", "prod-eu-1"),
                ("instance", "10.0.0.1:8080"),
                ("job", "kubernetes-pods"),
                ("le", bound),
                ("pod", pod.as_str()),
                ("route", route.as_str()),
            ];
            add_counter(&mut storage, &labels, index + number * 7);
        }
    }
    storage
}

const QUERIES: [(&str, &str, i64); 10] = [
    ("sum_rate_6h", "sum by (namespace) (rate(http_requests_total[5m]))", 60_000),
    (
        "hq_6h",
        "histogram_quantile(0.99, sum by (le, route) \
         (rate(http_request_duration_seconds_bucket[5m])))",
        60_000,
    ),
    ("raw_6h", "http_requests_total", 60_000),
    ("sum_6h", "sum(http_requests_total)", 60_000),
    ("quantile_over_time_6h", "max(quantile_over_time(0.9, http_requests_total[10m]))", 60_000),
    ("max_over_time_6h", "max(max_over_time(http_requests_total[10m]))", 60_000),
    ("avg_over_time_6h", "max(avg_over_time(http_requests_total[1h]))", 60_000),
    (
        "subquery_6h",
        "max_over_time(sum by (namespace) (rate(http_requests_total[1m]))[30m:1m])",
        60_000,
    ),
    (
        "join_6h",
        "sum by (pod) (rate(http_requests_total[5m])) * on (pod) group_left (namespace) \
         max by (pod, namespace) (http_requests_total)",
        60_000,
    ),
    ("topk_6h", "topk(10, sum by (pod) (rate(http_requests_total[5m])))", 60_000),
];

fn engine(c: &mut Criterion) {
    let storage = storage();
    let engine = Engine::new(EngineOptions::default());
    let mut group = c.benchmark_group("engine");
    group.sample_size(10);
    for (name, query, step_ms) in QUERIES {
        let expr = parse_expr(query, &ParserOptions::default()).expect("the query is valid");
        let kind = QueryKind::Range { start_ms: 10 * 60_000, end_ms: END_MS, step_ms };
        group.bench_function(name, |b| {
            b.iter(|| {
                let context = Arc::new(QueryContext::unlimited());
                let result = engine.query(&expr, kind, &storage, &context);
                black_box(result.expect("the query succeeds"))
            });
        });
    }
    let expr = parse_expr("count({__name__=~\".+\"})", &ParserOptions::default());
    let expr = expr.expect("the query is valid");
    group.bench_function("count_all_instant", |b| {
        b.iter(|| {
            let context = Arc::new(QueryContext::unlimited());
            let kind = QueryKind::Instant { time_ms: END_MS };
            let result = engine.query(&expr, kind, &storage, &context);
            black_box(result.expect("the query succeeds"))
        });
    });
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
