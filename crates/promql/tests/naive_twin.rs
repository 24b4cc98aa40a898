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

const LOOKBACK_MS: i64 = 300_000;

/// A sample: time and value.
type Sample = (i64, f64);

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

#[derive(Debug)]
struct Window {
    samples: Vec<Sample>,
    start: i64,
    end: i64,
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn kahan(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        lost = if next.is_infinite() {
            0.0
        } else if sum.abs() >= value.abs() {
            lost + ((sum - next) + value)
        } else {
            lost + ((value - next) + sum)
        };
        sum = next;
    }
    (sum, lost)
}

impl Window {
    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.samples.iter().map(|s| s.1)
    }

    fn rate(&self, is_counter: bool, is_rate: bool) -> Option<f64> {
        let (first, last) = (self.samples.first()?, self.samples.last()?);
        if self.samples.len() < 2 {
            return None;
        }
        let mut increase = last.1 - first.1;
        for pair in self.samples.windows(2).filter(|_| is_counter) {
            if pair[1].1 < pair[0].1 {
                increase += pair[0].1;
            }
        }
        let sampled = seconds(last.0 - first.0);
        let average = sampled / (self.samples.len() - 1) as f64;
        let limit = average * 1.1;
        let mut before = seconds(first.0 - self.start);
        if before >= limit {
            before = average / 2.0;
        }
        if is_counter {
            let mut to_zero = before;
            if increase > 0.0 && first.1 >= 0.0 {
                to_zero = sampled * (first.1 / increase);
            }
            if to_zero < before {
                before = to_zero;
            }
        }
        let mut after = seconds(self.end - last.0);
        if after >= limit {
            after = average / 2.0;
        }
        let mut factor = (sampled + before + after) / sampled;
        if is_rate {
            factor /= seconds(self.end - self.start);
        }
        Some(increase * factor)
    }

    fn instant_delta(&self, is_rate: bool) -> Option<f64> {
        let [.., a, b] = &self.samples[..] else { return None };
        let delta = if is_rate && b.1 < a.1 { b.1 } else { b.1 - a.1 };
        Some(if is_rate { delta / seconds(b.0 - a.0) } else { delta })
    }

    fn average(&self) -> f64 {
        let (mut sum, mut lost, mut count) = (self.samples[0].1, 0.0_f64, 1.0_f64);
        let (mut mean, mut incremental) = (0.0, false);
        for value in self.values().skip(1) {
            count += 1.0;
            if !incremental {
                let (next, next_lost) = step(value, sum, lost);
                if !next.is_infinite() {
                    (sum, lost) = (next, next_lost);
                    continue;
                }
                incremental = true;
                mean = sum / (count - 1.0);
                lost /= count - 1.0;
            }
            let share = (count - 1.0) / count;
            (mean, lost) = step(value / count, share * mean, share * lost);
        }
        if incremental { mean + lost } else { sum / count + lost / count }
    }

    fn extreme(&self, better: impl Fn(f64, f64) -> bool) -> f64 {
        let mut best = self.samples[0].1;
        for value in self.values() {
            if better(value, best) || best.is_nan() {
                best = value;
            }
        }
        best
    }

    fn variance(&self) -> f64 {
        let (mut count, mut mean, mut mean_lost) = (0.0, 0.0, 0.0);
        let (mut squares, mut squares_lost) = (0.0, 0.0);
        for value in self.values() {
            count += 1.0;
            let delta = value - (mean + mean_lost);
            (mean, mean_lost) = step(delta / count, mean, mean_lost);
            let square = delta * (value - (mean + mean_lost));
            (squares, squares_lost) = step(square, squares, squares_lost);
        }
        (squares + squares_lost) / count
    }

    fn quantile(&self, q: f64) -> f64 {
        let mut sorted: Vec<f64> = self.values().collect();
        sorted.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(b).expect("neither is NaN"),
            (a, b) => b.cmp(&a),
        });
        let rank = q * (sorted.len() - 1) as f64;
        let low = rank.floor() as usize;
        let high = (low + 1).min(sorted.len() - 1);
        let weight = rank - rank.floor();
        sorted[low] * (1.0 - weight) + sorted[high] * weight
    }

    fn changes(&self) -> f64 {
        let changed = |p: &&[Sample]| p[0].1 != p[1].1 && !(p[0].1.is_nan() && p[1].1.is_nan());
        self.samples.windows(2).filter(changed).count() as f64
    }

    fn resets(&self) -> f64 {
        self.samples.windows(2).filter(|p| p[1].1 < p[0].1).count() as f64
    }

    fn line(&self, at: i64) -> Option<(f64, f64)> {
        let first = self.samples[0].1;
        if self.samples.len() < 2 {
            return None;
        }
        if self.values().all(|v| v == first) {
            return Some(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
        }
        let n = self.samples.len() as f64;
        let sum = |term: &dyn Fn(f64, f64) -> f64| {
            let terms = self.samples.iter().map(|s| term(seconds(s.0 - at), s.1));
            let (sum, lost) = kahan(terms);
            sum + lost
        };
        let (x, y) = (sum(&|x, _| x), sum(&|_, y| y));
        let (xy, xx) = (sum(&|x, y| x * y), sum(&|x, _| x * x));
        let slope = (xy - x * y / n) / (xx - x * x / n);
        Some((slope, y / n - slope * x / n))
    }
}

fn step(value: f64, sum: f64, lost: f64) -> (f64, f64) {
    let next = sum + value;
    if next.is_infinite() {
        (next, 0.0)
    } else if sum.abs() >= value.abs() {
        (next, lost + ((sum - next) + value))
    } else {
        (next, lost + ((value - next) + sum))
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
