//! Names and formats as dashboards and scrapers expect them.

use super::*;

/// A registry with one metric of each kind; the expositions below are written by hand from the
/// two formats' specifications.
fn metrics() -> Metrics {
    let metrics = Metrics::new();
    metrics.counter("cortex_distributor_samples_in_total", "Samples.").inc_by(3);
    let received = metrics.counter_vec("received_total", "By user", &["user", "kind"]);
    received.with(&["a\"b\\c\nd", "float"]).inc();
    metrics.gauge("up", "Up").set(-1);
    metrics.gauge_fn("asked", "Asked for", || 2.5);
    metrics.counter_fn("cpu_seconds_total", "CPU", || 0.25);
    let durations = metrics.histogram("duration_seconds", "Times", &[0.1, 1.0]);
    durations.observe(0.5);
    metrics
}

#[test]
fn open_metrics_text() {
    let want = "\
# HELP cortex_distributor_samples_in Samples.
# TYPE cortex_distributor_samples_in counter
cortex_distributor_samples_in_total 3
# HELP received By user.
# TYPE received counter
received_total{user=\"a\\\"b\\\\c\\nd\",kind=\"float\"} 1
# HELP up Up.
# TYPE up gauge
up -1
# HELP asked Asked for.
# TYPE asked gauge
asked 2.5
# HELP cpu_seconds CPU.
# TYPE cpu_seconds counter
cpu_seconds_total 0.25
# HELP duration_seconds Times.
# TYPE duration_seconds histogram
duration_seconds_sum 0.5
duration_seconds_count 1
duration_seconds_bucket{le=\"0.1\"} 0
duration_seconds_bucket{le=\"1.0\"} 1
duration_seconds_bucket{le=\"+Inf\"} 1
# EOF
";
    assert_eq!(metrics().encode(TextFormat::OpenMetrics), want);
}

#[test]
fn prometheus_text_names_counters_in_full() {
    let text = metrics().encode(TextFormat::Prometheus);
    let head = "# HELP cortex_distributor_samples_in_total Samples.\n\
                # TYPE cortex_distributor_samples_in_total counter\n\
                cortex_distributor_samples_in_total 3\n";
    assert!(text.starts_with(head), "{text}");
    assert!(text.contains("# TYPE up gauge\nup -1\n"), "{text}");
    assert!(!text.contains("# EOF"), "{text}");
}

#[test]
fn the_format_follows_the_accept_header() {
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    assert_eq!(TextFormat::from_accept(Some(accept)), TextFormat::OpenMetrics);
    assert_eq!(TextFormat::from_accept(Some("*/*")), TextFormat::Prometheus);
    assert_eq!(TextFormat::from_accept(None), TextFormat::Prometheus);
}

#[test]
fn what_is_gathered_is_what_was_counted() {
    let gathered = metrics().gather().unwrap();
    let find = |name: &str| gathered.samples.iter().find(|s| s.name == name).unwrap();
    assert_eq!(find("cortex_distributor_samples_in_total").value, 3.0);
    let labels = [("kind", "float"), ("user", "a\"b\\c\nd")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(find("received_total").labels, labels);
    let buckets: Vec<_> = gathered
        .samples
        .iter()
        .filter(|sample| sample.name == "duration_seconds_bucket")
        .map(|sample| (sample.labels[0].1.as_str(), sample.value))
        .collect();
    assert_eq!(buckets, [("0.1", 0.0), ("1.0", 1.0), ("+Inf", 1.0)]);
    let family = GatheredFamily {
        name: "received_total".to_owned(),
        kind: "counter".to_owned(),
        help: "By user.".to_owned(),
    };
    assert!(gathered.families.contains(&family), "{:?}", gathered.families);
}

#[test]
fn asking_twice_gives_the_same_metric() {
    let metrics = Metrics::new();
    metrics.counter("shared_total", "x").inc();
    metrics.counter("shared_total", "x").inc();
    assert_eq!(metrics.counter("shared_total", "x").get(), 2);
    assert_eq!(metrics.encode(TextFormat::OpenMetrics).matches("# TYPE shared ").count(), 1);
}

#[test]
fn a_removed_metric_is_gone() {
    let metrics = Metrics::new();
    let series = metrics.gauge_vec("series", "Series", &["user"]);
    series.with(&["a"]).set(1);
    series.with(&["b"]).set(2);
    assert!(series.remove(&["a"]));
    let text = metrics.encode(TextFormat::Prometheus);
    assert!(text.contains("series{user=\"b\"} 2\n") && !text.contains("user=\"a\""), "{text}");
}
