//! The engine's fast paths against a naive twin: every function of a range vector, and the
//! instant selector, computed window by window straight from their definitions, over random
//! series with gaps, resets, stale markers and irregular times.

use std::sync::Arc;

use model::{Labels, QueryContext, stale_nan};
use promql::memstore::MemoryStorage;
use promql::parser::{ParserOptions, parse_expr};
use promql::value::{MatrixSeries, Value};
use promql::{Engine, EngineOptions, QueryKind};
use proptest::prelude::*;

#[path = "naive/window.rs"]
mod window;

use window::{Sample, Window, kahan};

const LOOKBACK_MS: i64 = 300_000;

#[derive(Debug, Clone)]
struct Case {
    samples: Vec<Sample>,
    start_ms: i64,
    step_ms: i64,
    steps: i64,
    range_ms: i64,
    offset_ms: i64,
}

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0_i32..1000).prop_map(f64::from),
        4 => -1e3..1e3_f64,
        1 => Just(f64::NAN),
        1 => prop_oneof![Just(f64::INFINITY), Just(1e300), Just(-1e300), Just(1e-300), Just(-0.0)],
        1 => Just(stale_nan()),
    ]
}

/// Times that mostly keep a scrape interval, with jitter and gaps; values of a kind for each
/// series: anything, or a counter that grows and falls.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let gaps = prop_oneof![
        8 => Just(15_000_i64),
        3 => 14_000_i64..16_000,
        1 => 1_i64..400_000,
    ];
    let anything = prop::collection::vec((gaps.clone(), values()), 0..120);
    let growth = prop_oneof![9 => 0_i32..50, 1 => -2000_i32..0];
    let counter = prop::collection::vec((gaps, growth), 0..120).prop_map(|steps| {
        let mut total = 0_f64;
        let grown = steps.into_iter().map(|(gap, by)| {
            total = (total + f64::from(by)).max(0.0);
            (gap, total)
        });
        grown.collect()
    });
    prop_oneof![anything, counter].prop_map(|steps: Vec<(i64, f64)>| {
        let mut time = 0;
        let at = steps.into_iter().map(|(gap, value)| {
            time += gap;
            (time, value)
        });
        at.collect()
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let times = (-100_000_i64..1_000_000, prop_oneof![Just(15_000_i64), 1_i64..200_000], 1_i64..80);
    let window = (prop_oneof![Just(60_000_i64), 1_i64..900_000], -60_000_i64..60_000);
    (samples(), times, window).prop_map(|(samples, (start_ms, step_ms, steps), (range, offset))| {
        Case { samples, start_ms, step_ms, steps, range_ms: range, offset_ms: offset }
    })
}

impl Case {
    fn run(&self, query: &str) -> Vec<Option<f64>> {
        let mut storage = MemoryStorage::new();
        let labels = Labels::from_pairs([("__name__", "x_total")]);
        for &(time, value) in &self.samples {
            storage.append_float(&labels, (time, 0), value).expect("times ascend");
        }
        let kind = QueryKind::Range {
            start_ms: self.start_ms,
            end_ms: self.start_ms + (self.steps - 1) * self.step_ms,
            step_ms: self.step_ms,
        };
        let engine =
            Engine::new(EngineOptions { lookback_delta_ms: LOOKBACK_MS, ..Default::default() });
        let expr = parse_expr(query, &ParserOptions::all()).expect("the query is valid");
        let context = Arc::new(QueryContext::unlimited());
        let result = engine.query(&expr, kind, &storage, &context).expect("the query succeeds");
        let Value::Matrix(series) = result.value else { panic!("not a matrix") };
        assert!(series.len() <= 1);
        let points = series.into_iter().next().unwrap_or_else(MatrixSeries::default).floats;
        let at = |time| points.iter().find(|p| p.timestamp_ms == time).map(|p| p.value);
        (0..self.steps).map(|step| at(self.start_ms + step * self.step_ms)).collect()
    }

    fn reference(&self, step: i64) -> i64 {
        self.start_ms + step * self.step_ms - self.offset_ms
    }

    /// The samples of the window of each step, without stale markers.
    fn windows(&self) -> Vec<(Window, i64)> {
        let window = |step| {
            let end = self.reference(step);
            let start = end - self.range_ms;
            let inside = |&&(time, value): &&Sample| {
                time > start && time <= end && value.to_bits() != stale_nan().to_bits()
            };
            let samples = self.samples.iter().filter(inside).copied().collect();
            (Window { samples, start, end }, self.start_ms + step * self.step_ms)
        };
        (0..self.steps).map(window).collect()
    }

    fn check(&self, call: &str, naive: impl Fn(&Window, i64) -> Option<f64>) {
        let selector = format!("x_total[{}ms] offset {}ms", self.range_ms, self.offset_ms);
        let query = call.replace("$x", &selector);
        let got = self.run(&query);
        for ((window, time), got) in self.windows().iter().zip(got) {
            let want = if window.samples.is_empty() { None } else { naive(window, *time) };
            assert!(same(want, got), "{query} at {time}: want {want:?}, got {got:?} of {window:?}");
        }
    }
}

/// Equal to the last bit, but for the kind of NaN and the sign of zero.
fn same(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
        (None, None) => true,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rates_are_those_of_each_window(case in cases()) {
        case.check("rate($x)", |w, _| w.rate(true, true));
        case.check("increase($x)", |w, _| w.rate(true, false));
        case.check("delta($x)", |w, _| w.rate(false, false));
        case.check("irate($x)", |w, _| w.instant_delta(true));
        case.check("idelta($x)", |w, _| w.instant_delta(false));
    }

    #[test]
    fn aggregations_over_time_are_those_of_each_window(case in cases()) {
        case.check("count_over_time($x)", |w, _| Some(w.samples.len() as f64));
        case.check("present_over_time($x)", |_, _| Some(1.0));
        case.check("first_over_time($x)", |w, _| w.samples.first().map(|s| s.1));
        case.check("last_over_time($x)", |w, _| w.samples.last().map(|s| s.1));
        case.check("sum_over_time($x)", |w, _| {
            let (sum, lost) = kahan(w.values());
            Some(if sum.is_infinite() { sum } else { sum + lost })
        });
        case.check("avg_over_time($x)", |w, _| Some(w.average()));
        case.check("min_over_time($x)", |w, _| Some(w.extreme(|a, b| a < b)));
        case.check("max_over_time($x)", |w, _| Some(w.extreme(|a, b| a > b)));
        case.check("stdvar_over_time($x)", |w, _| Some(w.variance()));
        case.check("quantile_over_time(0.9, $x)", |w, _| Some(w.quantile(0.9)));
    }

    #[test]
    fn changes_and_lines_are_those_of_each_window(case in cases()) {
        case.check("changes($x)", |w, _| Some(w.changes()));
        case.check("resets($x)", |w, _| Some(w.resets()));
        case.check("deriv($x)", |w, _| w.line(w.samples[0].0).map(|line| line.0));
        case.check("predict_linear($x, 60)", |w, t| {
            w.line(t).map(|(slope, intercept)| slope * 60.0 + intercept)
        });
    }

    #[test]
    fn instant_selectors_take_the_newest_sample(case in cases()) {
        let got = case.run(&format!("x_total offset {}ms", case.offset_ms));
        for (step, got) in (0..case.steps).zip(got) {
            let at = case.reference(step);
            let newest = case.samples.iter().rev().find(|s| s.0 <= at);
            let want = newest.filter(|s| s.0 > at - LOOKBACK_MS).map(|s| s.1);
            let want = want.filter(|v| v.to_bits() != stale_nan().to_bits());
            prop_assert!(same(want, got), "at {at}: want {want:?}, got {got:?}");
        }
    }
}
