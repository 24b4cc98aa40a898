//! Queries over random data, with limits: whatever is asked, the answer or an error comes soon.

use std::sync::Arc;

use model::env::ManualClock;
use model::{FloatHistogram, Labels, QueryContext, QueryLimits, SampleBuffer, Span, stale_nan};
use promql::memstore::MemoryStorage;
use promql::parser::{ParserOptions, parse_expr};
use promql::testlang::{RunOptions, run_script};
use promql::{Engine, EngineOptions, QueryKind};

use crate::mutate::Numbers;

const SAMPLES: i64 = 60;
const MAX_SAMPLES: u64 = 20_000;
const MAX_MEMORY_BYTES: u64 = 32 << 20;

/// Two bytes choose data, kind of query and options; the rest is the query.
pub(super) fn query(data: &[u8]) {
    let [seed, kind, text @ ..] = data else { return };
    let Ok(expr) = parse_expr(text, &ParserOptions::all()) else { return };
    let options = EngineOptions {
        max_samples: MAX_SAMPLES,
        enable_delayed_name_removal: kind & 2 != 0,
        enable_start_timestamps: kind & 4 != 0,
        enable_type_and_unit_labels: kind & 8 != 0,
        ..EngineOptions::default()
    };
    let limits =
        QueryLimits { max_series: 1_000, max_memory_bytes: MAX_MEMORY_BYTES, ..Default::default() };
    let context = Arc::new(QueryContext::new(limits, Arc::new(ManualClock::new(0))));
    let time = i64::from(*seed) * 10_000;
    let kind = if kind & 1 == 0 {
        QueryKind::Instant { time_ms: time }
    } else {
        QueryKind::Range { start_ms: time, end_ms: time + 300_000, step_ms: 17_000 }
    };
    let storage = storage(u64::from(*seed));
    let _ = Engine::new(options).query(&expr, kind, &storage, &context);
    let peak = context.usage().peak_memory_bytes;
    assert!(peak <= 2 * MAX_MEMORY_BYTES, "{peak} bytes reserved");
}

/// A few series of each kind, with gaps, resets and stale markers.
pub(super) fn storage(seed: u64) -> MemoryStorage {
    let mut numbers = Numbers::new(seed);
    let mut storage = MemoryStorage::new();
    for name in ["metric", "http_requests", "up", "foo", "bar", "metric_total", "request_bucket"] {
        for instance in 0..3 {
            let (instance, le) = (instance.to_string(), ["0.1", "1", "+Inf"][instance]);
            let labels = [("__name__", name), ("instance", &*instance), ("job", "a"), ("le", le)];
            let samples = samples(&mut numbers, name);
            storage.insert(Labels::from_pairs(labels), samples);
        }
    }
    storage
}

fn samples(numbers: &mut Numbers, name: &str) -> SampleBuffer {
    let mut samples = SampleBuffer::default();
    let mut total = 0.0;
    for i in 0..SAMPLES {
        let t = i * 15_000 + numbers.below(900) as i64;
        total += numbers.below(20) as f64;
        match numbers.below(30) {
            0 => total = 0.0,
            1 => samples.push_float(t, stale_nan()),
            2 => continue,
            _ if matches!(name, "foo" | "bar") && i % 20 > 4 => {
                samples.push_histogram(t, Arc::new(histogram(total, numbers.below(8) as i32 - 1)));
            }
            _ => samples.push_float(t, total),
        }
    }
    samples
}

fn histogram(total: f64, schema: i32) -> FloatHistogram {
    FloatHistogram {
        schema,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 1.0 + 3.0 * total,
        sum: total * 5.0,
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 3, length: 1 }],
        positive_buckets: vec![total, total, total],
        ..FloatHistogram::default()
    }
}

pub(super) fn script(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = run_script(text, &RunOptions::default());
}
