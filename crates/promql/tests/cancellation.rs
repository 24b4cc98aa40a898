//! A query that must stop does: each operator asks often enough, and whenever the answer is no the
//! query ends. Without wall-clock time: the deadline comes after a number of questions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Clock, Labels, QueryContext, QueryLimits, SampleBuffer, TimestampMs};
use promql::memstore::MemoryStorage;
use promql::parser::{ParserOptions, parse_expr};
use promql::{Engine, EngineOptions, QueryError, QueryKind};

const MINUTE: i64 = 60_000;
const SERIES: u64 = 2_000;
const STEPS: u64 = 30;
const RANGE: QueryKind =
    QueryKind::Range { start_ms: 0, end_ms: (STEPS as i64 - 1) * MINUTE, step_ms: MINUTE };
const INSTANT: QueryKind = QueryKind::Instant { time_ms: 10 * MINUTE };

/// Counts the questions; the time is up after a number of them.
struct Questions {
    asked: AtomicU64,
    last: u64,
}

impl Clock for Questions {
    fn now_ms(&self) -> TimestampMs {
        0
    }

    fn monotonic(&self) -> Duration {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        Duration::from_secs(if asked > self.last { 10 } else { 0 })
    }
}

fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    for index in 0..SERIES {
        let labels = [("__name__", "x"), ("a", "same"), ("pod", &format!("{:05}", index ^ 0x155))];
        let mut samples = SampleBuffer::default();
        for minute in 0..STEPS as i64 {
            samples.push_float(minute * MINUTE, ((index * 7919) % 1013) as f64);
        }
        storage.insert(Labels::from_pairs(labels), samples);
    }
    storage
}

/// The error after at most `last` questions, and how many there were.
fn ask(
    (query, kind): (&str, QueryKind),
    last: u64,
    storage: &MemoryStorage,
) -> (Option<QueryError>, u64) {
    let expr = parse_expr(query, &ParserOptions::all()).expect("the query is valid");
    let clock = Arc::new(Questions { asked: AtomicU64::new(0), last });
    let limits = QueryLimits { timeout: Some(Duration::from_secs(1)), ..QueryLimits::default() };
    let context = Arc::new(QueryContext::new(limits, clock.clone()));
    let result = Engine::new(EngineOptions::default()).query(&expr, kind, storage, &context);
    (result.err(), clock.asked.load(Ordering::Relaxed))
}

/// Each with the operator that is looked at above one that has all its series at once.
const QUERIES: &[(&str, QueryKind)] = &[
    ("sum by (pod) (sort(x))", INSTANT),
    ("sort_desc(sum by (pod) (x))", INSTANT),
    ("sort_by_label(sum by (pod) (x), \"pod\")", INSTANT),
    ("topk(1500, sum by (pod) (x))", RANGE),
    ("quantile(0.5, sum by (pod) (x))", RANGE),
    ("count_values(\"v\", sum by (pod) (x))", RANGE),
    ("limit_ratio(0.5, sum by (pod) (x))", RANGE),
    ("label_replace(sum by (pod) (x), \"y\", \"$1\", \"pod\", \"(.*)\")", RANGE),
    ("label_join(sum by (pod) (x), \"y\", \"-\", \"pod\")", RANGE),
    ("sum by (pod) (x) and sum by (pod) (x + 1)", RANGE),
    ("sum by (pod) (x) unless on (a) vector(1)", RANGE),
    ("sum by (pod) (x) or sum by (pod) (x + 1)", RANGE),
    ("sum by (pod) (x) * sum by (pod) (x + 1)", RANGE),
    ("sum by (pod, a) (x) * on (a) group_left sum by (a) (x)", RANGE),
    ("absent(sum by (pod) (x))", RANGE),
    ("scalar(sum by (pod) (x))", RANGE),
    ("max_over_time(sum by (pod) (x)[5m:1m])", RANGE),
    ("histogram_quantile(0.9, label_replace(x, \"le\", \"$1\", \"pod\", \"(.*)\"))", RANGE),
];

#[test]
fn operators_ask_and_stop() {
    let storage = storage();
    for &query in QUERIES {
        let (error, all) = ask(query, u64::MAX, &storage);
        assert!(error.is_none(), "{query:?}: {error:?}");
        // Reading storage asks once in so many series, the rest once in so many cells.
        assert!(all > SERIES / 40, "{query:?}: {all}");
        for last in [1, all / 4, all / 2, all - all / 20, all - 2] {
            let (error, asked) = ask(query, last, &storage);
            assert!(
                matches!(error, Some(QueryError::TimedOut)),
                "{query:?} after {last}: {error:?}"
            );
            assert!(asked <= last + 3, "{query:?} after {last}: {asked}");
        }
    }
}

#[test]
fn work_above_the_selectors_is_asked_about() {
    let storage = storage();
    let (_, base) = ask(("sum by (pod) (x)", RANGE), u64::MAX, &storage);
    for query in [
        "quantile(0.5, sum by (pod) (x))",
        "topk(5, sum by (pod) (x))",
        "absent(sum by (pod) (x))",
        "scalar(sum by (pod) (x))",
        "count_values(\"v\", sum by (pod) (x))",
        "label_join(sum by (pod) (x), \"y\", \"-\", \"pod\")",
        "sum by (pod) (x) * sum by (pod) (x)",
        "sum by (pod) (x) and sum by (pod) (x)",
    ] {
        let (_, asked) = ask((query, RANGE), u64::MAX, &storage);
        // 2,000 series of 30 steps are 60,000 cells.
        assert!(asked >= base + 2, "{query}: {asked} questions, {base} without the operator");
    }
}

#[test]
fn a_long_row_is_asked_about() {
    let mut storage = MemoryStorage::new();
    let mut samples = SampleBuffer::default();
    for at in 0..20_000_i32 {
        samples.push_float(i64::from(at) * 1000, f64::from(at));
    }
    storage.insert(Labels::from_pairs([("__name__", "y")]), samples);
    let kind = QueryKind::Range { start_ms: 0, end_ms: 20_000_000, step_ms: 200_000 };
    let query = ("quantile_over_time(0.5, y[5h])", kind);
    let (error, all) = ask(query, u64::MAX, &storage);
    assert!(error.is_none() && all > 50, "{error:?} {all}");
    let (error, asked) = ask(query, all / 2, &storage);
    assert!(matches!(error, Some(QueryError::TimedOut)), "{error:?}");
    assert!(asked <= all / 2 + 3, "{asked} of {all}");
}

/// One series with many steps: what looks at each of them asks within the series.
#[test]
fn many_steps_of_one_series_are_asked_about() {
    let storage = MemoryStorage::new();
    let kind = QueryKind::Range { start_ms: 0, end_ms: 20_000_000, step_ms: 1_000 };
    let base = ask(("vector(time())", kind), u64::MAX, &storage).1;
    let bucket = "label_replace(vector(time()), \"le\", \"1\", \"\", \"\")";
    for (query, more) in [
        // 20,001 texts and label sets of 32 units each, a question after 16 Ki units.
        ("count_values(\"v\", vector(time()) < bool 0)".to_owned(), 35),
        (format!("histogram_quantile(0.9, {bucket})"), 1),
    ] {
        let (error, all) = ask((&query, kind), u64::MAX, &storage);
        assert!(error.is_none(), "{query}: {error:?}");
        assert!(all >= base + more, "{query}: {all} questions, {base} without the operator");
    }
}

/// What is done before anything is evaluated.
#[test]
fn a_long_expression_is_asked_about() {
    let storage = MemoryStorage::new();
    let query = vec!["up{a=\"1\"}"; 5_000].join(" + ");
    let (error, _) = ask((&query, INSTANT), 5, &storage);
    assert!(matches!(error, Some(QueryError::TimedOut)), "{error:?}");
    let expr = parse_expr(&query, &ParserOptions::all()).expect("the query is valid");
    let (_, one) = ask(("up", INSTANT), u64::MAX, &storage);
    let context = Arc::new(QueryContext::unlimited());
    context.cancel();
    let result = Engine::new(EngineOptions::default()).query(&expr, INSTANT, &storage, &context);
    assert!(matches!(result, Err(QueryError::Canceled)));
    assert!(one < 50, "{one}");
}

/// One window over everything: nothing but the function itself can ask.
#[test]
fn a_giant_window_is_asked_about() {
    const MORE: u64 = 5;
    let kind = QueryKind::Instant { time_ms: 0 };
    let storage = MemoryStorage::new();
    // Half a million samples are 8 pieces of 64 Ki.
    let base = ask(("last_over_time(vector(1)[500s:1ms])", kind), u64::MAX, &storage).1;
    for function in [
        "quantile_over_time(0.3, X)",
        "mad_over_time(X)",
        "stddev_over_time(X)",
        "sum_over_time(X)",
        "avg_over_time(X)",
        "min_over_time(X)",
        "ts_of_max_over_time(X)",
        "deriv(X)",
        "predict_linear(X, 60)",
        "double_exponential_smoothing(X, 0.3, 0.4)",
        "changes(X)",
        "resets(X)",
        "rate(X)",
    ] {
        let query = function.replace('X', "vector(1)[500s:1ms]");
        let (error, all) = ask((&query, kind), u64::MAX, &storage);
        assert!(error.is_none(), "{query}: {error:?}");
        assert!(all >= base + MORE, "{query}: {all} questions, {base} without the function");
        let (error, asked) = ask((&query, kind), all - MORE / 2, &storage);
        assert!(matches!(error, Some(QueryError::TimedOut)), "{query}: {error:?}");
        assert!(asked <= all - MORE / 2 + 3, "{query}: {asked} of {all}");
    }
}
