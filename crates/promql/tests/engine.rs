//! The engine's face: kinds of values, limits, cancellation, errors of storage, deep queries.

use std::sync::Arc;

use model::{
    FloatHistogram, Labels, Matcher, Querier, QueryContext, Queryable, SelectHints, SeriesSet,
    Span, StorageError, TimeRange,
};
use promql::annotations::Severity;
use promql::memstore::MemoryStorage;
use promql::parser::{MAX_DEPTH, ParserOptions, parse_expr};
use promql::value::{SampleValue, Value};
use promql::{Engine, EngineOptions, ErrorKind, QueryError, QueryKind, QueryResult};

const MINUTE: i64 = 60_000;
const HOUR: QueryKind = QueryKind::Range { start_ms: 0, end_ms: 60 * MINUTE, step_ms: MINUTE };
const NOW: QueryKind = QueryKind::Instant { time_ms: 60 * MINUTE };

/// `series` counters `c_total{i="…"}` that grow by one every 15 s for an hour.
fn counters(series: usize) -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    for index in 0..series {
        let labels = Labels::from_pairs([("__name__", "c_total"), ("i", &format!("{index:04}"))]);
        for sample in 0..=240_i32 {
            let time_ms = i64::from(sample) * 15_000;
            storage.append_float(&labels, (time_ms, 0), f64::from(sample)).expect("times ascend");
        }
    }
    storage
}

fn query_with(
    options: EngineOptions,
    query: &str,
    kind: QueryKind,
    storage: &dyn Queryable,
) -> Result<QueryResult, QueryError> {
    let expr = parse_expr(query, &ParserOptions::all()).expect("the query is valid");
    let context = Arc::new(QueryContext::unlimited());
    Engine::new(options).query(&expr, kind, storage, &context)
}

fn query(text: &str, kind: QueryKind) -> Result<QueryResult, QueryError> {
    query_with(EngineOptions::default(), text, kind, &counters(3))
}

fn only_float(result: &QueryResult) -> f64 {
    let Value::Vector(samples) = &result.value else { panic!("{:?}", result.value) };
    match &samples[..] {
        [sample] => match sample.value {
            SampleValue::Float(value) => value,
            SampleValue::Histogram(_) => panic!("a histogram"),
        },
        _ => panic!("{samples:?}"),
    }
}

#[test]
fn each_type_of_expression_has_its_value() {
    assert!(matches!(query("1 + 1", NOW).unwrap().value, Value::Scalar(p) if p.value == 2.0));
    let text = query("\"\\xff\"", NOW).unwrap().value;
    assert!(matches!(text, Value::String { value, .. } if value == [0xff]));
    let Value::Matrix(series) = query("c_total[1m]", NOW).unwrap().value else { panic!() };
    assert_eq!((series.len(), series[0].floats.len()), (3, 4));
    let Value::Matrix(series) = query("pi()", HOUR).unwrap().value else { panic!() };
    assert_eq!((series.len(), series[0].floats.len()), (1, 61));
    let error = query("c_total[1m]", HOUR).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadData);
    assert_eq!(
        error.to_string(),
        "invalid expression type \"range vector\" for range query, must be Scalar or instant \
         Vector"
    );
}

#[test]
fn annotations_carry_their_place_in_the_query() {
    let text = "sum(\n  rate(up[5m]))";
    let mut storage = MemoryStorage::new();
    let up = Labels::from_pairs([("__name__", "up")]);
    storage.append_float(&up, (59 * MINUTE, 0), 1.0).unwrap();
    storage.append_float(&up, (60 * MINUTE, 0), 2.0).unwrap();
    let result = query_with(EngineOptions::default(), text, NOW, &storage).unwrap();
    let want = "PromQL info: metric might not be a counter, name does not end in \
                _total/_sum/_count/_bucket: \"up\" (2:8)";
    assert_eq!(result.annotations.texts(Severity::Info, text, 10), [want]);
    assert!(result.annotations.texts(Severity::Warning, text, 10).is_empty());
}

#[test]
fn chains_of_any_length_need_no_stack() {
    let chain = format!("0{}", " + c_total{i=\"0000\"}".repeat(2_000));
    assert_eq!(only_float(&query(&chain, NOW).unwrap()), 240.0 * 2_000.0);
    let scalars = format!("0{}", " + 1".repeat(20_000));
    let value = query(&scalars, NOW).unwrap().value;
    assert!(matches!(value, Value::Scalar(p) if p.value == 20_000.0));
    let maps = format!("c_total{{i=\"0000\"}}{}", " + 1".repeat(20_000));
    assert_eq!(only_float(&query(&maps, NOW).unwrap()), 20_240.0);
}

#[test]
fn the_deepest_nesting_needs_no_stack() {
    let nest = |open: &str, close: &str, depth: usize| {
        format!("{}c_total{{i=\"0000\"}}{}", open.repeat(depth), close.repeat(depth))
    };
    let depth = MAX_DEPTH - 10;
    assert_eq!(only_float(&query(&nest("abs(", ")", depth), NOW).unwrap()), 240.0);
    assert_eq!(only_float(&query(&nest("sum(", ")", depth), NOW).unwrap()), 240.0);
    assert_eq!(only_float(&query(&nest("-", "", depth), NOW).unwrap()), 240.0);
    assert_eq!(only_float(&query(&nest("(0 + ", ")", depth / 2), NOW).unwrap()), 240.0);
    let subqueries = nest("max_over_time(", "[1m:1m])", depth / 2);
    assert_eq!(only_float(&query(&subqueries, NOW).unwrap()), 240.0);
}

#[test]
fn too_many_samples_end_a_query() {
    let options = EngineOptions { max_samples: 1_000, ..EngineOptions::default() };
    for text in [
        "c_total",
        "sum(c_total + on(i) c_total)",
        "c_total[1h]",
        "sum_over_time(vector(1)[1y:1ms])",
    ] {
        let kind = if text.ends_with(']') { NOW } else { HOUR };
        match query_with(options.clone(), text, kind, &counters(50)) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Execution);
                assert_eq!(
                    error.to_string(),
                    "query processing would load too many samples into memory in query execution"
                );
            }
            Ok(result) => panic!("{text}: {:?}", result.stats),
        }
    }
    // Series that are let go one by one do not add up.
    let result = query_with(options, "sum(c_total)", NOW, &counters(50)).unwrap();
    assert_eq!(only_float(&result), 240.0 * 50.0);
    assert!(result.stats.peak_samples <= 1_000, "{:?}", result.stats);
}

#[test]
fn a_cancelled_query_ends() {
    let expr = parse_expr("sum(rate(c_total[5m]))", &ParserOptions::default()).unwrap();
    let context = Arc::new(QueryContext::unlimited());
    context.cancel();
    let engine = Engine::new(EngineOptions::default());
    let error = engine.query(&expr, HOUR, &counters(1), &context).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Canceled);
}

struct Broken;

impl Queryable for Broken {
    fn querier(
        &self,
        _range: TimeRange,
        _context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(Self))
    }
}

impl Querier for Broken {
    fn select(
        &self,
        _matchers: &[Matcher],
        _hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        Err(StorageError::Unavailable("no store-gateway".to_owned()))
    }

    fn label_values(
        &self,
        _name: &str,
        _matchers: &[Matcher],
        _limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    fn label_names(
        &self,
        _matchers: &[Matcher],
        _limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }
}

#[test]
fn errors_of_storage_are_internal() {
    let error = query_with(EngineOptions::default(), "up", NOW, &Broken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(error.to_string(), "expanding series: no store-gateway");
    // What selects nothing asks nothing of storage.
    assert!(query_with(EngineOptions::default(), "1 + 1", NOW, &Broken).is_ok());
}

/// Storage that notes what it is asked for.
struct Noting {
    storage: MemoryStorage,
    hints: Arc<std::sync::Mutex<Vec<SelectHints>>>,
}

impl Queryable for Noting {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        let inner = self.storage.querier(range, context)?;
        Ok(Box::new(NotingQuerier { inner, hints: Arc::clone(&self.hints) }))
    }
}

struct NotingQuerier {
    inner: Box<dyn Querier>,
    hints: Arc<std::sync::Mutex<Vec<SelectHints>>>,
}

impl Querier for NotingQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        self.hints.lock().expect("nobody panics with it").push(hints.clone());
        self.inner.select(matchers, hints)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        self.inner.label_values(name, matchers, limit)
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        self.inner.label_names(matchers, limit)
    }
}

#[test]
fn storage_is_told_what_the_series_are_for() {
    let storage = Noting { storage: counters(2), hints: Arc::default() };
    let hints = |text, kind| {
        query_with(EngineOptions::default(), text, kind, &storage).unwrap();
        std::mem::take(&mut *storage.hints.lock().unwrap()).remove(0)
    };
    let rate = hints("sum by (i) (rate(c_total[5m] offset 10m))", HOUR);
    assert_eq!((rate.start_ms_incl, rate.end_ms_incl), (-15 * MINUTE + 1, 50 * MINUTE));
    assert_eq!((rate.function.as_str(), rate.range_ms, rate.step_ms), ("rate", 5 * MINUTE, MINUTE));
    let sum = hints("sum by (i) (c_total)", NOW);
    assert_eq!((sum.start_ms_incl, sum.end_ms_incl), (55 * MINUTE + 1, 60 * MINUTE));
    assert_eq!((sum.function.as_str(), sum.grouping_is_by, sum.newest_only), ("sum", true, true));
    let pinned = hints("c_total @ 600", HOUR);
    assert_eq!((pinned.start_ms_incl, pinned.end_ms_incl), (5 * MINUTE + 1, 10 * MINUTE));
    let inner = hints("max_over_time(c_total[10m:2m])", NOW);
    assert_eq!(
        (inner.start_ms_incl, inner.end_ms_incl, inner.step_ms),
        (47 * MINUTE + 1, 60 * MINUTE, 2 * MINUTE)
    );
}

/// The numbers of each step by Prometheus' rules, worked out by hand; random queries are compared
/// with a real Prometheus in the tests of the server.
#[test]
fn samples_are_counted_at_each_step_that_looks_at_them() {
    let range = |start, end| QueryKind::Range {
        start_ms: start * MINUTE,
        end_ms: end * MINUTE,
        step_ms: MINUTE,
    };
    let options = EngineOptions { count_samples_per_step: true, ..EngineOptions::default() };
    // Three series, a sample every 15 s from 0 to 60 minutes.
    for (text, kind, want) in [
        ("c_total", NOW, vec![3]),
        ("c_total[5m]", NOW, vec![60]),
        ("sum_over_time(c_total[2m])", range(0, 2), vec![3, 15, 24]),
        // Written twice, read twice.
        ("c_total - c_total", range(0, 1), vec![6, 6]),
        ("c_total * on (i) group_left () (c_total{i=\"0000\"})", range(0, 1), vec![4, 4]),
        // Looked at once, and counted at all steps.
        ("sum_over_time(c_total[2m] @ 600)", range(0, 2), vec![24, 24, 24]),
        // Of a subquery below a function its windows; as a value what it is made of.
        ("max_over_time(sum_over_time(c_total[1m])[3m:1m])", range(30, 31), vec![9, 9]),
        ("sum_over_time(c_total[1m])[3m:1m]", NOW, vec![36]),
        ("(c_total @ 60)[3m:1m]", NOW, vec![9]),
        ("timestamp(c_total)", range(0, 1), vec![3, 3]),
        ("increase(c_total[2m] anchored)", range(30, 31), vec![84, 84]),
        ("vector(1)", range(0, 1), vec![0, 0]),
    ] {
        let stats = query_with(options.clone(), text, kind, &counters(3)).unwrap().stats;
        let steps: Vec<u64> = stats.samples_per_step.iter().map(|(_, samples)| *samples).collect();
        assert_eq!(steps, want, "{text}");
        assert_eq!(stats.total_samples, want.iter().sum::<u64>(), "{text}");
    }
    let stats = query_with(EngineOptions::default(), "c_total", NOW, &counters(3)).unwrap().stats;
    assert!(stats.samples_per_step.is_empty());
}

#[test]
fn a_histogram_counts_as_the_samples_that_would_take_its_room() {
    let mut storage = MemoryStorage::new();
    let labels = Labels::from_pairs([("__name__", "h")]);
    let histogram = FloatHistogram {
        count: 3.0,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![1.0, 2.0],
        ..FloatHistogram::default()
    };
    storage.append_histogram(&labels, (60 * MINUTE, 0), histogram).unwrap();
    let options = EngineOptions { count_samples_per_step: true, ..EngineOptions::default() };
    // (168 + 8 for the span + 2 * 8 for the buckets + 8 for the time) / 16.
    for (text, want) in [
        ("h", 12),
        ("h[1m]", 12),
        ("rate(h[1m])", 12),
        ("timestamp(h)", 1),
        ("histogram_sum(h)", 11),
    ] {
        let stats = query_with(options.clone(), text, NOW, &storage).unwrap().stats;
        assert_eq!(stats.total_samples, want, "{text}");
    }
}
