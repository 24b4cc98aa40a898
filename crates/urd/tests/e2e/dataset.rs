//! A deterministic set of series that looks like a small service: counters with resets, gauges,
//! classic histograms, series that begin late, end early and have gaps.

use crate::remote_write::Series;

/// Between two samples, ms.
pub(crate) const INTERVAL_MS: i64 = 15_000;

/// A cheap hash, so that values look random and are the same every time.
fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Series with a sample each `INTERVAL_MS` from `start_ms`, `count` times.
pub(crate) fn series(start_ms: i64, count: i64) -> Vec<Series> {
    let mut all = Vec::new();
    for pod in 0..6u64 {
        let pod_name = format!("api-{pod}");
        let ns = format!("team-{}", pod % 2);
        let base = [("pod", pod_name.as_str()), ("namespace", ns.as_str()), ("job", "api")];
        for (i, code) in ["200", "404", "500"].iter().enumerate() {
            let seed = pod * 10 + i as u64;
            let labels = with(&base, &[("code", code), ("method", "GET")]);
            all.push(sampled("http_requests_total", &labels, (start_ms, count), |t| {
                counter(seed, t)
            }));
        }
        let memory = |t: i64| Some((1_000_000 + mix(pod << 32 | t as u64) % 50_000) as f64);
        all.push(sampled("memory_bytes", &base, (start_ms, count), memory));
        let temperature = |t: i64| Some(-5.0 + (mix(pod ^ (t as u64 * 77)) % 1000) as f64 / 37.0);
        all.push(sampled("temperature", &base, (start_ms, count), temperature));
        for (i, le) in ["0.1", "0.5", "1", "+Inf"].iter().enumerate() {
            let labels = with(&base, &[("le", le)]);
            let bucket = move |t: i64| Some((t as u64 * (i as u64 + 1) * (pod + 1)) as f64);
            all.push(sampled("latency_seconds_bucket", &labels, (start_ms, count), bucket));
        }
        let late = |t: i64| (t > count / 3 && t < count - (pod as i64) * 5).then_some(t as f64);
        all.push(sampled("late_total", &base, (start_ms, count), late));
        let gaps = |t: i64| (!mix(t as u64 / 7 + pod).is_multiple_of(3)).then_some((t % 50) as f64);
        all.push(sampled("gappy", &base, (start_ms, count), gaps));
        let info = with(&base, &[("version", if pod < 3 { "v1" } else { "v2" })]);
        all.push(sampled("build_info", &info, (start_ms, count), |_| Some(1.0)));
    }
    all
}

/// The same samples as requests in order of time, each over a quarter of an hour: a TSDB takes
/// nothing that is much older than its newest sample.
pub(crate) fn requests(start_ms: i64, count: i64) -> Vec<Vec<Series>> {
    const SLICE_MS: i64 = 900_000;
    let all = series(start_ms, count);
    let slices = (count * INTERVAL_MS + SLICE_MS - 1) / SLICE_MS;
    let slice = |i: i64| {
        let times = start_ms + i * SLICE_MS..start_ms + (i + 1) * SLICE_MS;
        let part = |one: &Series| Series {
            labels: one.labels.clone(),
            samples: one.samples.iter().copied().filter(|(t, _)| times.contains(t)).collect(),
        };
        all.iter().map(part).filter(|one| !one.samples.is_empty()).collect()
    };
    (0..slices).map(slice).collect()
}

/// Grows by a step that differs by series; begins again from 0 now and then.
fn counter(seed: u64, t: i64) -> Option<f64> {
    let since_reset = t % (97 + seed as i64);
    Some((since_reset as u64 * (1 + seed % 7)) as f64 + (seed % 3) as f64 / 4.0)
}

fn with<'a>(a: &[(&'a str, &'a str)], b: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [a, b].concat()
}

fn sampled(
    name: &str,
    labels: &[(&str, &str)],
    (start_ms, count): (i64, i64),
    value: impl Fn(i64) -> Option<f64>,
) -> Series {
    let samples = (0..count).filter_map(|t| Some((start_ms + t * INTERVAL_MS, value(t)?)));
    Series::new(name, labels, samples.collect())
}

/// Queries that must have the same answer on Prometheus 2.42 and here, at times that coincide with
/// no sample. Left out are documented changes between 2.42 and 3.x: windows and lookback that
/// include a sample exactly at their left end (hence the times), `holt_winters` (removed),
/// regular expressions where `.` did not match a newline, and native histograms.
pub(crate) const QUERIES: &[&str] = &[
    "http_requests_total",
    "http_requests_total{code=\"500\"}",
    "http_requests_total{code=~\"4..|5..\"}",
    "http_requests_total{code!~\"2..\",pod=~\"api-[0-2]\"}",
    "{__name__=~\"memory_.*|temp.+\",namespace!=\"team-0\"}",
    "rate(http_requests_total[5m])",
    "increase(http_requests_total[10m])",
    "irate(http_requests_total[2m])",
    "delta(temperature[10m])",
    "idelta(temperature[1m])",
    "deriv(memory_bytes[15m])",
    "predict_linear(memory_bytes[15m], 3600)",
    "changes(gappy[10m])",
    "resets(http_requests_total[30m])",
    "sum(rate(http_requests_total[5m]))",
    "sum by (namespace) (rate(http_requests_total[5m]))",
    "sum without (pod, code) (rate(http_requests_total[5m]))",
    "avg by (code) (rate(http_requests_total[5m]))",
    "min by (pod) (temperature)",
    "max(temperature) by (namespace)",
    "count by (__name__) ({job=\"api\"})",
    "group(late_total) by (namespace)",
    "stddev by (namespace) (temperature)",
    "stdvar(temperature)",
    "quantile(0.9, temperature)",
    "quantile by (namespace) (0.25, memory_bytes)",
    "topk(3, memory_bytes)",
    "bottomk by (namespace) (1, temperature)",
    "count_values(\"v\", build_info)",
    "avg_over_time(temperature[10m])",
    "sum_over_time(gappy[10m])",
    "min_over_time(temperature[7m])",
    "max_over_time(temperature[7m])",
    "count_over_time(gappy[20m])",
    "last_over_time(gappy[20m])",
    "present_over_time(gappy[5m])",
    "stddev_over_time(temperature[10m])",
    "stdvar_over_time(temperature[10m])",
    "quantile_over_time(0.9, temperature[10m])",
    "histogram_quantile(0.9, rate(latency_seconds_bucket[5m]))",
    "histogram_quantile(0.5, sum by (le, namespace) (rate(latency_seconds_bucket[5m])))",
    "sum(rate(http_requests_total{code=\"500\"}[5m])) / sum(rate(http_requests_total[5m]))",
    "rate(http_requests_total{code=\"500\"}[5m]) / ignoring(code) rate(http_requests_total{code=\"200\"}[5m])",
    "memory_bytes * on (pod) group_left (version) build_info",
    "build_info * on (pod) group_right (version) memory_bytes",
    "http_requests_total and on (pod) late_total",
    "http_requests_total unless on (pod) late_total",
    "late_total or gappy",
    "temperature > 0",
    "temperature > bool 0",
    "memory_bytes > 1010000 < 1040000",
    "-temperature + 2 ^ 3 % 5",
    "temperature * 2 atan2 3",
    "max_over_time(sum by (namespace) (rate(http_requests_total[2m]))[30m:1m])",
    "avg_over_time(rate(http_requests_total[5m])[20m:3m])",
    "rate(http_requests_total[5m] offset 10m)",
    "http_requests_total offset 7m",
    "absent(nonexistent{a=\"b\"})",
    "absent_over_time(late_total{pod=\"api-1\"}[5m])",
    "label_replace(memory_bytes, \"short\", \"$1\", \"pod\", \"api-(.*)\")",
    "label_join(memory_bytes, \"both\", \"/\", \"namespace\", \"pod\")",
    "clamp(temperature, -1, 3)",
    "clamp_max(temperature, 2) - clamp_min(temperature, 1)",
    "round(temperature, 0.5)",
    "abs(temperature) + ceil(temperature) + floor(temperature)",
    "exp(temperature / 10) + ln(memory_bytes) + log2(memory_bytes) + log10(memory_bytes) + sqrt(memory_bytes)",
    "sgn(temperature) * sin(temperature) + cos(temperature) + tanh(temperature)",
    "timestamp(temperature)",
    "time() - timestamp(memory_bytes)",
    "scalar(sum(temperature))",
    "vector(1) + hour() + minute() + day_of_week() + days_in_month() + month() + year()",
    "day_of_year() + day_of_month()",
    "sort(memory_bytes)",
    "sort_desc(temperature)",
    "count(temperature == on (pod) group_left temperature)",
    "sum(memory_bytes @ end())",
];
