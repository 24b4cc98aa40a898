//! The passes over a plan change how a value is found, never the value: queries of all shapes give
//! the same results, annotations and errors with each pass alone, with all and with none. Plans
//! can be read and measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::env::ManualClock;
use model::{
    FloatHistogram, Labels, Matcher, Querier, QueryContext, Queryable, SelectHints, SeriesSet,
    StorageError, TimeRange,
};
use promql::annotations::Severity;
use promql::memstore::MemoryStorage;
use promql::parser::{ParserOptions, parse_expr};
use promql::{Engine, EngineOptions, Passes, QueryKind, analyze, explain};

const MINUTE: i64 = 60_000;
const RANGE: QueryKind =
    QueryKind::Range { start_ms: 0, end_ms: 60 * MINUTE, step_ms: 3 * MINUTE + 7_000 };
const NOW: QueryKind = QueryKind::Instant { time_ms: 50 * MINUTE };

/// Counters with resets and gaps, a gauge, an info-like series, native histograms beside floats.
fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    for (index, code) in ["200", "404", "500"].into_iter().enumerate() {
        for pod in ["a", "b", "c", "d.x"] {
            let labels =
                Labels::from_pairs([("__name__", "req_total"), ("code", code), ("pod", pod)]);
            for sample in 0..240_i32 {
                let is_gap = sample % 50 < 12 && pod == "b";
                let value = f64::from(sample % 90) * (1.0 + index as f64) + pod.len() as f64 / 3.0;
                if !is_gap {
                    storage
                        .append_float(&labels, (i64::from(sample) * 15_000, 0), value)
                        .expect("times ascend");
                }
            }
        }
    }
    for pod in ["a", "c", "e"] {
        let labels = Labels::from_pairs([("__name__", "pod_info"), ("node", "n1"), ("pod", pod)]);
        let mixed = Labels::from_pairs([("__name__", "mixed"), ("pod", pod)]);
        for sample in 0..120_i32 {
            let at = (i64::from(sample) * 30_000, 0);
            storage.append_float(&labels, at, 1.0).expect("times ascend");
            if sample % 40 < 20 {
                storage.append_float(&mixed, at, f64::from(sample)).expect("times ascend");
            } else {
                let histogram =
                    FloatHistogram { count: 3.0, sum: 4.5, ..FloatHistogram::default() };
                storage.append_histogram(&mixed, at, histogram).expect("times ascend");
            }
        }
    }
    storage
}

const QUERIES: &[&str] = &[
    "1 + 2 * pi() - -3",
    "vector(1 + 1) + time()",
    "req_total{code=~\"200\"}",
    "{__name__=~\"req_.+\",code=~\".*\",pod=~\".+\"}",
    "req_total{code=\"200\",code=~\"200|500\",code!=\"404\"}",
    "req_total + req_total",
    "rate(req_total[5m]) + rate( req_total [5m] ) * 2",
    "sum(rate(mixed[5m])) / sum(rate(mixed[5m]))",
    "sum(mixed) / count(mixed) + sum(mixed)",
    "sum_over_time(req_total[5m]) / count_over_time(req_total[5m])",
    "max_over_time(req_total[10m]) - min_over_time(req_total[7m] offset 1m)",
    "sum by (pod) (rate(req_total{code=\"500\"}[5m])) / sum by (pod) (rate(req_total[5m]))",
    "sum(rate(req_total[5m])) - sum(rate(req_total{code=\"500\"}[5m]))",
    "req_total{code=\"500\"} / ignoring (code) group_left sum without (code) (req_total)",
    "req_total > 10 or req_total{code=\"200\"} or mixed",
    "(req_total and req_total > 20) unless req_total < 30",
    "max_over_time(sum(req_total)[10m:1m]) - min_over_time(sum(req_total)[10m:1m])",
    "sum(req_total @ 600) + req_total @ 600",
    "quantile_over_time(scalar(vector(0.5)), req_total[5m]) + quantile_over_time(0.5, req_total[5m])",
    "topk(2, req_total) - bottomk(2, req_total) or topk(2, req_total)",
    "label_replace(req_total, \"x\", \"$1-$1\", \"pod\", \"(.).*\") and req_total",
    "histogram_quantile(0.9, mixed) or histogram_quantile(0.9, mixed)",
    "rate(pod_info[5m]) + rate(pod_info[5m])",
    "req_total and on (pod) pod_info",
    "req_total unless on (pod) pod_info",
    "req_total * on (pod) group_right pod_info",
    "sum by (pod) (req_total) * on (pod) group_right pod_info",
    "sum by (pod) (req_total) / on (pod) count by (pod) (pod_info)",
    "req_total and on (pod) last_over_time(pod_info[5m])",
    "req_total{pod=\"nope\"} and on (pod) pod_info",
    "req_total / on (pod) pod_info",
    "req_total / on (pod) req_total",
    "absent(req_total{pod=\"z\"}) * absent(req_total{pod=\"z\"})",
    "count_values(\"v\", req_total) and count_values(\"v\", req_total)",
    "-req_total + -req_total",
    "abs(-abs({__name__=~\"req_total|pod_info\"}))",
    "scalar(sum(req_total)) + scalar(sum(req_total))",
    "count(req_total) + group(mixed)",
    "count(req_total) / count(req_total) + on () count by (pod) (req_total{code=\"200\"})",
    "max_over_time(count({__name__=~\".+\"})[10m:1m])",
    "count(req_total) * on () group_right req_total",
    "timestamp(req_total) - timestamp(req_total)",
    "sort(req_total) + on (pod, code) sort_desc(req_total)",
];

fn passes() -> Vec<Passes> {
    vec![
        Passes::ALL,
        Passes { evaluate_once: true, ..Passes::NONE },
        Passes { fold_constants: true, ..Passes::NONE },
        Passes { reduce_matchers: true, ..Passes::NONE },
        Passes { share_expressions: true, ..Passes::NONE },
        Passes { share_selectors: true, ..Passes::NONE },
        Passes { narrow_joins: true, ..Passes::NONE },
        Passes { without_labels: true, ..Passes::NONE },
    ]
}

fn outcome(query: &str, kind: QueryKind, options: EngineOptions, data: &dyn Queryable) -> String {
    let expr = parse_expr(query, &ParserOptions::all()).expect("the query is valid");
    let context = Arc::new(QueryContext::unlimited());
    match Engine::new(options).query(&expr, kind, data, &context) {
        Err(error) => format!("error: {error}"),
        Ok(result) => {
            assert_eq!(context.usage().memory_bytes, 0, "{query}: all memory is given back");
            let texts = |severity| result.annotations.texts(severity, query, 0);
            let (warnings, infos) = (texts(Severity::Warning), texts(Severity::Info));
            format!("{:?} {warnings:?} {infos:?}", result.value)
        }
    }
}

#[test]
fn each_pass_changes_nothing_but_the_way() {
    let data = storage();
    for query in QUERIES {
        for kind in [RANGE, NOW] {
            for enable_delayed_name_removal in [false, true] {
                let with = |passes| EngineOptions {
                    passes,
                    enable_delayed_name_removal,
                    ..EngineOptions::default()
                };
                let want = outcome(query, kind, with(Passes::NONE), &data);
                for passes in passes() {
                    let got = outcome(query, kind, with(passes), &data);
                    assert_eq!(got, want, "{query} {kind:?} {passes:?}");
                }
            }
        }
    }
}

/// Counts what is asked of storage.
struct Counting {
    inner: MemoryStorage,
    selects: Arc<AtomicUsize>,
    series: Arc<AtomicUsize>,
}

struct CountingQuerier(Box<dyn Querier>, Arc<AtomicUsize>, Arc<AtomicUsize>);

struct CountingSet(Box<dyn SeriesSet>, Arc<AtomicUsize>);

impl Queryable for Counting {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        let inner = self.inner.querier(range, context)?;
        Ok(Box::new(CountingQuerier(inner, Arc::clone(&self.selects), Arc::clone(&self.series))))
    }
}

impl Querier for CountingQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(CountingSet(self.0.select(matchers, hints)?, Arc::clone(&self.2))))
    }

    fn label_values(&self, n: &str, m: &[Matcher], l: usize) -> Result<Vec<String>, StorageError> {
        self.0.label_values(n, m, l)
    }

    fn label_names(&self, m: &[Matcher], l: usize) -> Result<Vec<String>, StorageError> {
        self.0.label_names(m, l)
    }
}

impl SeriesSet for CountingSet {
    fn next_series(&mut self) -> Result<Option<model::SeriesEntry>, StorageError> {
        let next = self.0.next_series()?;
        self.1.fetch_add(usize::from(next.is_some()), Ordering::Relaxed);
        Ok(next)
    }
}

#[test]
fn storage_is_asked_less() {
    let asked = |query: &str, passes: Passes| {
        let (selects, series) = (Arc::default(), Arc::default());
        let data = Counting {
            inner: storage(),
            selects: Arc::clone(&selects),
            series: Arc::clone(&series),
        };
        outcome(query, RANGE, EngineOptions { passes, ..EngineOptions::default() }, &data);
        (selects.load(Ordering::Relaxed), series.load(Ordering::Relaxed))
    };
    for (query, without, with) in [
        ("rate(req_total[5m]) + rate(req_total[5m])", (2, 24), (1, 12)),
        ("sum_over_time(req_total[5m]) / count_over_time(req_total[5m])", (2, 24), (1, 12)),
        ("sum(rate(req_total{code=\"500\"}[5m])) / sum(rate(req_total[5m]))", (2, 16), (1, 12)),
        ("sum(rate(req_total[5m])) - sum(rate(req_total{code=\"500\"}[5m]))", (2, 16), (1, 12)),
        ("req_total{pod=\"a\"} and on (pod) pod_info", (2, 6), (2, 4)),
        ("req_total{pod=\"z\"} and on (pod) pod_info", (2, 3), (1, 0)),
    ] {
        assert_eq!(asked(query, Passes::NONE), without, "{query}");
        assert_eq!(asked(query, Passes::ALL), with, "{query}");
    }
}

#[test]
fn a_plan_can_be_read() {
    let engine = Engine::new(EngineOptions::default());
    let kind = QueryKind::Range { start_ms: 600_000, end_ms: 1_200_000, step_ms: 60_000 };
    let query = "sum by (pod) (rate(req_total{code=~\"500\"}[5m])) / (2 * 3) > bool 1";
    let expr = parse_expr(query, &ParserOptions::all()).unwrap();
    let text = explain(&engine, &expr, kind).unwrap().to_string();
    let want = "\
#8 > bool (11 steps)
  #6 / (11 steps)
    #1 sum by (pod) (11 steps)
      #0 rate {code=\"500\",__name__=\"req_total\"}[300000ms] over [300001, 1200000] (11 steps)
    #5 number 6 (11 steps)
  #7 number 1 (11 steps)
samples of [300001, 1200000] ms
";
    assert_eq!(renumbered(&text), renumbered(want));
    let deep = format!("{}1{}", "(1 + ".repeat(400), ")".repeat(400));
    let expr = parse_expr(&deep, &ParserOptions::all()).unwrap();
    let options = EngineOptions { passes: Passes::NONE, ..EngineOptions::default() };
    assert_eq!(explain(&Engine::new(options), &expr, NOW).unwrap().operators.len(), 801);
}

/// Numbers of nodes depend on how constants are lowered.
fn renumbered(text: &str) -> Vec<String> {
    let line = |line: &str| match line.split_once('#') {
        Some((indent, rest)) => {
            format!("{indent}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => line.to_owned(),
    };
    text.lines().map(line).collect()
}

#[test]
fn a_plan_is_measured_node_by_node() {
    let engine = Engine::new(EngineOptions::default());
    let query = "sum by (code) (req_total) + sum by (code) (req_total)";
    let expr = parse_expr(query, &ParserOptions::all()).unwrap();
    let context = Arc::new(QueryContext::unlimited());
    let clock = Arc::new(ManualClock::new(0));
    let analysis = analyze(&engine, (&expr, NOW), &storage(), &context, clock).unwrap();
    let operators: Vec<(String, u64, u64, u64)> = analysis
        .explanation
        .operators
        .iter()
        .map(|operator| {
            let did = operator.measured.unwrap();
            (operator.name.clone(), did.series, did.samples, did.samples_read)
        })
        .collect();
    let want = [("+", 3, 3, 0), ("sum", 3, 3, 0), ("select", 12, 12, 12), ("sum", 0, 0, 0)];
    let want = want.map(|(name, a, b, c)| (name.to_owned(), a, b, c));
    assert_eq!(operators, want);
    assert_eq!(analysis.explanation.operators[3].same_as, Some(1));
    assert_eq!(analysis.result.stats.total_samples, 12);
}
