//! The estimate of a query's memory is honest: it is compared with what the allocator hands out
//! while the query runs. A binary of its own, because the allocator counts for the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::env::ManualClock;
use model::{FloatHistogram, Labels, LimitKind, QueryContext, QueryLimits, SampleBuffer};
use promql::memstore::MemoryStorage;
use promql::parser::{ParserOptions, parse_expr};
use promql::{Engine, EngineOptions, QueryError, QueryKind, QueryResult};

static NOW_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[expect(unsafe_code, reason = "an allocator that counts can only be written so")]
// SAFETY: everything is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW_BYTES.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK_BYTES.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // What shrinks stays where it is; what grows may have to move.
        let copy = if new_size > layout.size() { new_size } else { 0 };
        let now = NOW_BYTES.fetch_add(copy, Ordering::Relaxed) + copy;
        PEAK_BYTES.fetch_max(now, Ordering::Relaxed);
        NOW_BYTES.fetch_sub(copy, Ordering::Relaxed);
        NOW_BYTES.fetch_add(new_size, Ordering::Relaxed);
        NOW_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MINUTE: i64 = 60_000;
const RANGE: QueryKind = QueryKind::Range { start_ms: 0, end_ms: 100 * MINUTE, step_ms: MINUTE };
const INSTANT: QueryKind = QueryKind::Instant { time_ms: 50 * MINUTE };

/// 800 counters and 100 native histograms over 100 minutes.
fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    for index in 0..800_i32 {
        let (pod, ns) = (format!("pod-{index:05}"), format!("ns-{:03}", index % 200));
        let labels = [
            ("__name__", "c_total"),
            ("cluster", "prod-eu-1"),
            ("instance", "10.0.0.1:8080"),
            ("ns", ns.as_str()),
            ("pod", pod.as_str()),
        ];
        let mut samples = SampleBuffer::default();
        for minute in 0..100_i32 {
            samples.push_float(i64::from(minute) * MINUTE, f64::from(minute * (index % 97)));
        }
        storage.insert(Labels::from_pairs(labels), samples);
    }
    for index in 0..100 {
        let labels = Labels::from_pairs([("__name__", "h"), ("pod", &format!("pod-{index:05}"))]);
        let mut samples = SampleBuffer::default();
        for minute in 0..100_i32 {
            samples.push_histogram(i64::from(minute) * MINUTE, Arc::new(histogram(minute)));
        }
        storage.insert(labels, samples);
    }
    storage
}

fn histogram(minute: i32) -> FloatHistogram {
    FloatHistogram {
        count: 16.0,
        sum: f64::from(minute),
        positive_spans: vec![model::Span { offset: 0, length: 16 }],
        positive_buckets: vec![1.0; 16],
        ..FloatHistogram::default()
    }
}

fn run(
    query: &str,
    kind: QueryKind,
    storage: &MemoryStorage,
    context: &Arc<QueryContext>,
) -> Result<QueryResult, QueryError> {
    let expr = parse_expr(query, &ParserOptions::all()).expect("the query is valid");
    Engine::new(EngineOptions::default()).query(&expr, kind, storage, context)
}

/// Histograms of the storage are shared with it and not the query's: they are changed first.
const QUERIES: &[(&str, QueryKind)] = &[
    ("c_total", RANGE),
    ("c_total", INSTANT),
    ("sum by (pod) (rate(c_total[5m]))", RANGE),
    ("avg by (ns) (c_total)", RANGE),
    ("quantile by (ns) (0.9, c_total)", RANGE),
    ("topk(5, c_total)", RANGE),
    ("c_total + c_total", RANGE),
    ("c_total / on (ns) group_left sum by (ns) (c_total)", RANGE),
    ("c_total and on (pod) c_total offset 5m", RANGE),
    ("c_total or c_total offset 1m", RANGE),
    ("count_values by (pod) (\"v\", c_total)", RANGE),
    ("label_replace(c_total, \"x\", \"$1-$1-$1\", \"pod\", \"(.*)\")", RANGE),
    ("label_join(c_total, \"x\", \"-\", \"pod\", \"ns\", \"instance\")", INSTANT),
    ("max_over_time(rate(c_total[5m])[10m:1m])", RANGE),
    ("sum_over_time(c_total[5m]) / count_over_time(c_total[5m])", RANGE),
    ("sort_by_label(c_total, \"ns\")", INSTANT),
    ("h * 2", RANGE),
    ("rate(h[5m])", RANGE),
    ("sum by (pod) (h)", RANGE),
    ("h * 2 + h * 3", RANGE),
    ("c_total[1h]", INSTANT),
];

/// Long rows, so that what grows is moved while it is large.
const LONG: QueryKind = QueryKind::Range { start_ms: 0, end_ms: 100 * MINUTE, step_ms: 1_000 };

/// Each takes more than the limit, most of it in one place.
const TOO_LARGE: &[&str] = &[
    "c_total or c_total offset 1m",
    "topk(800, c_total)",
    "count_values by (pod) (\"v\", c_total)",
    "count_values(\"v\", c_total)",
    "histogram_quantile(0.9, label_replace(c_total, \"le\", \"1\", \"\", \"\"))",
    "avg by (pod) (c_total)",
    "quantile by (pod) (0.9, c_total)",
    "c_total / on (ns) group_left sum by (ns) (c_total)",
    "limit_ratio(0.9, c_total)",
    "sort(c_total)",
    "count_values without () (\"v\", c_total)",
    "sum by (__name__, cluster, instance, ns, pod) (c_total)",
    "min by (__name__, cluster, instance, ns, pod) (c_total)",
    "max_over_time(c_total[100m:1s])",
];

/// A limit holds for what is allocated, not for what is in the end in use: at most room of a column
/// that was not written to comes on top, which takes no memory in truth.
fn a_limit_bounds_what_is_allocated(storage: &MemoryStorage) {
    const LIMIT: usize = 16 << 20;
    let text = format!("label_replace(c_total, \"a\", \"{}\", \"\", \"\")", "x".repeat(100_000));
    for query in TOO_LARGE.iter().chain([&text.as_str()]) {
        let limits = QueryLimits { max_memory_bytes: LIMIT as u64, ..QueryLimits::default() };
        let context = Arc::new(QueryContext::new(limits, Arc::new(ManualClock::new(0))));
        let before = NOW_BYTES.load(Ordering::Relaxed);
        PEAK_BYTES.store(before, Ordering::Relaxed);
        let result = run(query, LONG, storage, &context);
        let real = PEAK_BYTES.load(Ordering::Relaxed) - before;
        assert!(matches!(result, Err(QueryError::Limit(_))), "{query}");
        let name = &query[..query.len().min(60)];
        assert!(real <= LIMIT + LIMIT / 2 + (2 << 20), "{name}: {real} bytes");
    }
}

/// One test, so that no other one allocates at the same time.
#[test]
fn the_estimate_is_honest_and_bounds_a_query() {
    let storage = storage();
    let mut wrong = Vec::new();
    for (query, kind) in QUERIES {
        let context = Arc::new(QueryContext::unlimited());
        // The tree of the query and the list of the storage's series are not the query's.
        drop(run(query, *kind, &storage, &context).expect("the query has a result"));
        let context = Arc::new(QueryContext::unlimited());
        let before = NOW_BYTES.load(Ordering::Relaxed);
        PEAK_BYTES.store(before, Ordering::Relaxed);
        let result = run(query, *kind, &storage, &context).expect("the query has a result");
        let real = PEAK_BYTES.load(Ordering::Relaxed) - before;
        drop(result);
        let estimate = context.usage().peak_memory_bytes as usize;
        assert_eq!(context.usage().memory_bytes, 0, "{query}: everything is given back");
        let is_honest = estimate <= real * 2 + (256 << 10) && real <= estimate * 2 + (256 << 10);
        if !is_honest {
            wrong.push(format!("{query} {kind:?}: estimated {estimate}, took {real}"));
        }
        let limits =
            QueryLimits { max_memory_bytes: estimate as u64 / 2, ..QueryLimits::default() };
        let context = Arc::new(QueryContext::new(limits, Arc::new(ManualClock::new(0))));
        match run(query, *kind, &storage, &context) {
            Err(QueryError::Limit(limit)) => assert_eq!(limit.kind, LimitKind::Memory),
            other => panic!("{query}: {:?}", other.map(|result| result.stats)),
        }
        assert_eq!(context.usage().memory_bytes, 0, "{query}: also after an error");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    a_limit_bounds_what_is_allocated(&storage);
}
