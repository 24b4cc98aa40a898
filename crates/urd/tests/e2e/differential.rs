//! Random queries to Urd and to a real Prometheus over the same random data: the answers must be
//! the same. The generator is that of the engine's naive twin, with a language that Prometheus
//! 2.42 and today's PromQL understand alike.
//!
//! What changed between the two, and how it is kept out of the way:
//! - Range selectors and look-back are open at their start now. Samples stand at times where no
//!   window begins: neither those of the query nor those of nested subqueries.
//! - The extrapolation of `rate` looks at the counter's zero after the threshold, no longer before
//!   it, which matters where a reset and a gap fall into one window: no counter has both.
//! - `stddev` and `stdvar` of one value that is not finite are NaN, no longer 0: they are asked of
//!   stored values, which are finite.
//! - `atan2` removes the metric's name as other operators do: it is left out.
//! - Sums and averages of groups are compensated now. Numbers may differ by `TOLERANCE`, and by as
//!   much of the size of what went into them where nearly equal numbers were subtracted.
//! - `predict_linear` of a range with `@` looked at another window at every step of a range query;
//!   now at the one that is asked for. It is not asked for with `@`.
//! - Pairs that a comparison leaves out count as matches now, so that more comparisons of many with
//!   one are errors: vectors are compared with `bool`, or grouped alike.
//! - `timestamp` of a selector with both `@` and an offset found nothing: it is not asked for.
//! - The date of NaN and of infinity is what the conversion to an integer gives, which Go leaves
//!   open: dates are asked of stored values.
//! - `topk` chooses among equal values as it likes: it is asked for values that differ.
//! - Functions, operators and modifiers that 2.42 does not have are not generated, nor native
//!   histograms, whose answers have changed.
//! - Error texts changed; that both fail is what counts.

use std::fmt::Write as _;

use serde_json::Value;

use crate::harness::{self, Server};
use crate::promql::{now_ms, seconds};
use crate::remote_write::{self, Series};
use generate::{Dice, Generator, Language};

#[path = "../../../promql/tests/naive/generate.rs"]
mod generate;

/// In every run; `cargo xtask differential` asks for more.
const QUERIES: u64 = 150;
/// Of every so many queries the statistics are compared as well.
const STATS_EVERY: u64 = 3;
const SCRAPES: i64 = 240;
const INTERVAL_MS: i64 = 15_000;
const TOLERANCE: f64 = 1e-9;
/// A request covers so much time, since a TSDB takes nothing that is much older than its newest.
const SCRAPES_PER_REQUEST: i64 = 60;

/// A number from the environment.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn differential_random_queries_have_the_answers_that_prometheus_gives() {
    if !harness::has("prometheus") {
        return;
    }
    let queries = asked("URD_DIFFERENTIAL_QUERIES", QUERIES);
    let seed = asked("URD_DIFFERENTIAL_SEED", 1);
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--web.enable-remote-write-receiver", "--enable-feature=promql-per-step-stats"];
    let prometheus = harness::prometheus(&dir.path().join("prom"), "", &flags);
    let urd = harness::urd(dir.path(), &["-querier.default-evaluation-interval=1m"]);
    // No sample at a whole second.
    let end_ms = (now_ms(&prometheus) / INTERVAL_MS - 1) * INTERVAL_MS + 4_321;
    let start_ms = end_ms - (SCRAPES - 1) * INTERVAL_MS;
    for request in requests(seed, start_ms) {
        for (server, path) in [(&prometheus, "/api/v1/write"), (&urd, "/api/v1/push")] {
            let answer = remote_write::push(server, path, &request);
            assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.body);
        }
    }
    let mut tally = Tally::default();
    for number in 0..queries {
        let mut dice = Dice::new(seed << 32 | number);
        let case = Case::random(&mut dice, start_ms, end_ms);
        case.run((&prometheus, &urd), &mut tally);
        if number % STATS_EVERY == 0 {
            case.compare_stats((&prometheus, &urd), &mut tally);
        }
    }
    eprintln!(
        "{queries} queries, seed {seed}: {} answers the same ({} of them empty; statistics of {}), \
         {} fail in both, {} differ",
        tally.same,
        tally.empty,
        tally.same_stats,
        tally.fail_alike,
        tally.differences.len()
    );
    assert!(tally.differences.is_empty(), "{}", tally.differences.join("\n"));
    assert!(tally.same - tally.empty > queries / 2, "too few answers: {tally:?}");
}

#[derive(Debug, Default)]
struct Tally {
    same: u64,
    same_stats: u64,
    empty: u64,
    fail_alike: u64,
    differences: Vec<String>,
}

/// A query and when it is asked.
struct Case {
    query: String,
    endpoint: &'static str,
    times: Vec<(&'static str, String)>,
}

impl Case {
    fn random(dice: &mut Dice, start_ms: i64, end_ms: i64) -> Self {
        // Neither samples nor whole seconds, with which windows of subqueries begin.
        let moment = |dice: &mut Dice| {
            let span = ((end_ms - start_ms) / 1000) as usize;
            (start_ms / 1000 + dice.below(span) as i64) * 1000 + 123
        };
        let at_ms = [moment(dice), moment(dice)];
        let query = Generator::new(dice, Language { is_new: false, at_ms }).query();
        let time = moment(dice);
        if dice.one_in(2) {
            return Self { query, endpoint: "query", times: vec![("time", seconds(time))] };
        }
        let step = [7, 15, 37, 60, 121][dice.below(5)];
        let end = time + step * 1000 * dice.below(30) as i64;
        let times =
            vec![("start", seconds(time)), ("end", seconds(end)), ("step", step.to_string())];
        Self { query, endpoint: "query_range", times }
    }

    fn params(&self) -> Vec<(&str, &str)> {
        let mut params = vec![("query", self.query.as_str())];
        params.extend(self.times.iter().map(|(name, value)| (*name, value.as_str())));
        params
    }

    fn answers(
        &self,
        (prometheus, urd): (&Server, &Server),
        params: &[(&str, &str)],
    ) -> (Value, Value) {
        let want = prometheus.api(&format!("/api/v1/{}", self.endpoint), params).json();
        let got = urd.api(&format!("/prometheus/api/v1/{}", self.endpoint), params).json();
        (want, got)
    }

    /// The samples of every step are those that Prometheus looks at.
    fn compare_stats(&self, servers: (&Server, &Server), tally: &mut Tally) {
        let mut params = self.params();
        params.push(("stats", "all"));
        let (want, got) = self.answers(servers, &params);
        if want["status"] == "error" {
            return;
        }
        for field in ["totalQueryableSamples", "totalQueryableSamplesPerStep"] {
            let (want, got) =
                (&want["data"]["stats"]["samples"][field], &got["data"]["stats"]["samples"][field]);
            if want.is_null() || want != got {
                let how = format!("{field} {} instead of {}", short(got), short(want));
                tally.differences.push(format!("{} {params:?}: {how}", self.endpoint));
                return;
            }
        }
        tally.same_stats += 1;
    }

    fn run(&self, (prometheus, urd): (&Server, &Server), tally: &mut Tally) {
        let params = self.params();
        let (want, got) = self.answers((prometheus, urd), &params);
        if want["status"] == "error" && got["status"] == "error" {
            tally.fail_alike += 1;
            return;
        }
        match same(&want, &got) {
            Ok(is_empty) => {
                tally.same += 1;
                tally.empty += u64::from(is_empty);
            }
            Err(how) => tally.differences.push(format!("{} {params:?}: {how}", self.endpoint)),
        }
    }
}

/// Whether the answers are alike; whether they are empty.
fn same(want: &Value, got: &Value) -> Result<bool, String> {
    if want["status"] != got["status"] {
        return Err(format!("want {}, got {}", short(want), short(got)));
    }
    let (want, got) = (&want["data"], &got["data"]);
    if want["resultType"] == "scalar" || want["resultType"] == "string" {
        return points(&want["result"], &got["result"]).map(|()| false);
    }
    let (want, got) = (sorted(&want["result"]), sorted(&got["result"]));
    let labels = |all: &[Value]| -> Vec<String> {
        all.iter().map(|series| sorted_labels(&series["metric"])).collect()
    };
    if labels(&want) != labels(&got) {
        return Err(format!("series {:?} instead of {:?}", labels(&got), labels(&want)));
    }
    for (want, got) in want.iter().zip(&got) {
        let at = |how| format!("{}: {how}", sorted_labels(&want["metric"]));
        points(&want["value"], &got["value"]).map_err(at)?;
        let list = |series: &Value| series["values"].as_array().cloned().unwrap_or_default();
        let (want_points, got_points) = (list(want), list(got));
        if want_points.len() != got_points.len() {
            let (a, b) = (got_points.len(), want_points.len());
            return Err(at(format!("{a} points instead of {b}")));
        }
        for (want, got) in want_points.iter().zip(&got_points) {
            points(want, got).map_err(at)?;
        }
    }
    Ok(want.is_empty())
}

fn sorted(result: &Value) -> Vec<Value> {
    let mut series = result.as_array().cloned().unwrap_or_default();
    series.sort_by_key(|series| sorted_labels(&series["metric"]));
    series
}

fn sorted_labels(metric: &Value) -> String {
    let mut labels: Vec<(String, String)> = metric
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect();
    labels.sort();
    labels.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = write!(text, "{name}={value},");
        text
    })
}

fn points(want: &Value, got: &Value) -> Result<(), String> {
    let number = |point: &Value| point[1].as_str().and_then(|text| text.parse::<f64>().ok());
    let is_same = match (number(want), number(got)) {
        (Some(a), Some(b)) => {
            // What is left of numbers of up to 1e6 after a subtraction.
            let tolerance = TOLERANCE * a.abs().max(b.abs()).max(1e-1);
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance
        }
        _ => want == got,
    };
    if is_same && want[0] == got[0] { Ok(()) } else { Err(format!("{got} instead of {want}")) }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

/// The data of a seed, in order of time.
fn requests(seed: u64, start_ms: i64) -> Vec<Vec<Series>> {
    let all = series(&mut Dice::new(seed), start_ms);
    let slices = SCRAPES / SCRAPES_PER_REQUEST;
    let slice = |index: i64| {
        let from = start_ms + index * SCRAPES_PER_REQUEST * INTERVAL_MS;
        let until = from + SCRAPES_PER_REQUEST * INTERVAL_MS;
        let part = |one: &Series| Series {
            labels: one.labels.clone(),
            samples: one.samples.iter().copied().filter(|s| (from..until).contains(&s.0)).collect(),
        };
        all.iter().map(part).filter(|one| !one.samples.is_empty()).collect()
    };
    (0..slices).map(slice).collect()
}

fn series(dice: &mut Dice, start_ms: i64) -> Vec<Series> {
    let mut all = Vec::new();
    for job in ["api", "web"] {
        for instance in ["a", "b", "c"] {
            let base = [("job", job), ("instance", instance)];
            for code in ["200", "500"] {
                let labels = [&base[..], &[("code", code)]].concat();
                all.push(Series::new("requests_total", &labels, counter(dice, start_ms)));
            }
            all.push(Series::new("bytes_total", &base, counter(dice, start_ms)));
            let temperature = |dice: &mut Dice| (dice.below(4_000_001) as f64 - 2e6) / 65_536.0;
            all.push(Series::new("temperature", &base, gauge(dice, start_ms, temperature)));
            let queue = |dice: &mut Dice| dice.below(7) as f64 - 3.0;
            all.push(Series::new("queue", &base, gauge(dice, start_ms, queue)));
            let mut counts = counter(dice, start_ms);
            for (i, le) in ["+Inf", "1", "0.1"].iter().enumerate() {
                let labels = [&base[..], &[("le", le)]].concat();
                all.push(Series::new("latency_bucket", &labels, counts.clone()));
                // The share of the buckets differs, and none is above the next.
                counts.iter_mut().filter(|s| !s.1.is_nan()).for_each(|s| {
                    s.1 = (s.1 / (2.0 + i as f64)).floor();
                });
            }
        }
    }
    for (instance, zone) in [("a", "north"), ("b", "south"), ("c", "south")] {
        let labels = [("instance", instance), ("zone", zone)];
        all.push(Series::new("target", &labels, gauge(dice, start_ms, |_| 1.0)));
    }
    all
}

/// Times, some of them with jitter, and whether a stale marker stands there.
fn times(dice: &mut Dice, start_ms: i64, has_gaps: bool) -> Vec<(i64, bool)> {
    let jitters = dice.one_in(3);
    let mut silent = 0;
    let mut times = Vec::new();
    for scrape in 0..SCRAPES {
        let jitter = if jitters { 2 * dice.below(150) as i64 } else { 0 };
        let is_stale = has_gaps && dice.one_in(60);
        if silent > 0 {
            silent -= 1;
            continue;
        }
        if has_gaps && (is_stale || dice.one_in(50)) {
            silent = dice.below(12);
        }
        times.push((start_ms + scrape * INTERVAL_MS + jitter, is_stale));
    }
    times
}

fn stale_marker() -> f64 {
    f64::from_bits(0x7ff0_0000_0000_0002)
}

/// With gaps or with resets; these not in the first windows, before which there is nothing.
fn counter(dice: &mut Dice, start_ms: i64) -> Vec<(i64, f64)> {
    const FIRST_RESET: usize = 45;
    let has_gaps = dice.one_in(2);
    let mut total = 1e6 + dice.below(1000) as f64;
    let mut samples = Vec::new();
    for (index, (time, is_stale)) in times(dice, start_ms, has_gaps).into_iter().enumerate() {
        total += dice.below(50) as f64;
        if !has_gaps && index > FIRST_RESET && dice.one_in(60) {
            total = (total / 2.0).floor();
        }
        samples.push((time, if is_stale { stale_marker() } else { total }));
    }
    samples
}

fn gauge(dice: &mut Dice, start_ms: i64, value: impl Fn(&mut Dice) -> f64) -> Vec<(i64, f64)> {
    let mut samples = Vec::new();
    for (time, is_stale) in times(dice, start_ms, true) {
        let value = value(dice);
        samples.push((time, if is_stale { stale_marker() } else { value }));
    }
    samples
}
