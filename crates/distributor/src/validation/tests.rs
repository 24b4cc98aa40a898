//! Tests of the checks: what stays, which error comes first, and its text.

use model::batch::{BatchHistogram, BatchSample, HistogramValue, MetricMetadata, MetricType};
use model::{Histogram, Label, Span};

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;

fn limits(change: impl FnOnce(&mut Limits)) -> ValidationLimits {
    let mut limits = config::Config::default().limits;
    change(&mut limits);
    ValidationLimits::new(&limits)
}

fn batch<'a>(all: &[&[(&'a str, &'a str)]]) -> WriteBatch<'a> {
    let mut batch = WriteBatch::default();
    for labels in all {
        let labels: Vec<Label<'_>> =
            labels.iter().map(|&(name, value)| Label { name, value }).collect();
        batch.push_float(&labels, BatchSample { timestamp_ms: NOW_MS, value: 1.0 });
    }
    batch
}

/// Says of all series that their names are those of the first one.
fn share_names<'a>(mut batch: WriteBatch<'a>) -> WriteBatch<'a> {
    batch.name_lists.push(batch.series[0].labels);
    let list = model::batch::NameListId::new(0);
    batch.series.iter_mut().for_each(|series| series.name_list = list);
    batch
}

#[test]
fn shared_names_are_judged_once_and_values_each_time() {
    let short = limits(|l| {
        l.max_label_name_length = 10;
        l.max_label_value_length = 5;
        l.max_label_names_per_series = 2;
    });
    let good: &[(&str, &str)] = &[("__name__", "m"), ("a", "12345")];
    let mixed =
        [good, &[("__name__", "m-"), ("a", "1")], &[("__name__", "m"), ("a", "123456")], good];
    for (series, kept) in [
        (&mixed[..], 2),
        (&[&[("__name__", "m"), ("a.b", "1")][..], &[("__name__", "n"), ("a.b", "1")]], 0),
        (&[&[("__name__", "m"), ("abcdefghijk", "1")][..]], 0),
        (&[&[("__name__", "m"), ("a", "1"), ("b", "2")][..]], 0),
        (&[&[("a", "1")][..]], 0),
    ] {
        let mut one_by_one = batch(series);
        let mut shared = share_names(batch(series));
        let want = validate(&mut one_by_one, &short, NOW_MS);
        let got = validate(&mut shared, &short, NOW_MS);
        assert_eq!(shared.series.len(), kept, "{series:?}");
        assert_eq!(one_by_one.series.len(), kept, "{series:?}");
        assert_eq!(got.first_error, want.first_error);
        assert_eq!(got.discarded_samples, want.discarded_samples);
    }
}

/// Checks one series beside a good one: the good one must stay.
fn error_of(labels: &[(&str, &str)], limits: &ValidationLimits) -> String {
    let mut batch = batch(&[labels, &[("__name__", "good")]]);
    let findings = validate(&mut batch, limits, NOW_MS);
    assert_eq!(batch.series.len(), 1, "the valid series stays");
    findings.first_error.unwrap()
}

#[test]
fn labels_that_are_refused_and_what_is_said() {
    let default = limits(|_| {});
    assert_eq!(
        error_of(&[("a", "b")], &default),
        "received series has no metric name (err-mimir-missing-metric-name)"
    );
    assert_eq!(
        error_of(&[("__name__", "a-b")], &default),
        "received a series with invalid metric name: 'a-b' (err-mimir-metric-name-invalid)"
    );
    assert_eq!(
        error_of(&[("__name__", "m"), ("a.b", "c")], &default),
        "received a series with an invalid label: 'a.b' series: 'm{a.b=\"c\"}' \
         (err-mimir-label-invalid)"
    );
    assert_eq!(
        error_of(&[("__name__", "m"), ("a", "1"), ("a", "2")], &default),
        "received a series with duplicate label name, label: 'a' series: 'm{a=\"1\", a=\"2\"}' \
         (err-mimir-duplicate-label-names)"
    );
    let short = limits(|l| {
        l.max_label_name_length = 10;
        l.max_label_value_length = 5;
        l.max_label_names_per_series = 2;
    });
    let too_long = error_of(&[("__name__", "m"), ("abcdefghijk", "1")], &short);
    assert!(too_long.starts_with(
        "received a series whose label name length exceeds the limit, label: 'abcdefghijk' series: \
         'm{abcdefghijk=\"1\"}' (err-mimir-label-name-too-long). To adjust the related per-tenant \
         limit, configure -validation.max-length-label-name, or contact your service administrator."
    ));
    let value = error_of(&[("__name__", "m"), ("a", "123456")], &short);
    assert!(
        value.contains("value length of 6 exceeds the limit of 5")
            && value.contains("err-mimir-label-value-too-long")
    );
    let count = error_of(&[("__name__", "m"), ("a", "1"), ("b", "2")], &short);
    assert!(
        count.contains("(actual: 3, limit: 2)")
            && count.contains("err-mimir-max-label-names-per-series")
    );
}

#[test]
fn info_series_have_a_limit_of_their_own() {
    let limits = limits(|l| {
        l.max_label_names_per_series = 1;
        l.max_label_names_per_info_series = 2;
    });
    let mut batch = batch(&[&[("__name__", "build_info"), ("a", "1")]]);
    assert_eq!(validate(&mut batch, &limits, NOW_MS).first_error, None);
    let error = error_of(&[("__name__", "build_info"), ("a", "1"), ("b", "1")], &limits);
    assert!(error.contains("err-mimir-max-label-names-per-info-series"));
}

/// What is found in one series of raw labels between two good ones.
fn findings_of_raw(labels: &[(&[u8], &[u8])], limits: &ValidationLimits) -> Findings {
    let mut batch = batch(&[&[("__name__", "good")], &[("a", "nameless")]]);
    let raw = |&(name, value)| model::batch::RawLabel { name, value };
    batch.undecodable.labels = labels.iter().map(raw).collect();
    batch.undecodable.series.push(model::batch::UndecodableSeries {
        position: 1,
        sample_count: 2,
        labels: BatchRange { start: 0, end: labels.len() as u32 },
    });
    let findings = validate(&mut batch, limits, NOW_MS);
    assert_eq!(batch.series.len(), 1, "the good one stays");
    assert!(batch.undecodable.is_empty(), "refused once");
    findings
}

#[test]
fn text_that_is_not_utf8_takes_out_its_series_alone() {
    let default = limits(|_| {});
    let found = findings_of_raw(&[(b"__name__", b"m2"), (b"a", b"x\xff\xfe")], &default);
    assert_eq!(
        found.first_error.unwrap(),
        "received a series with invalid value in label 'a': 'x\u{fffd}' metric: 'm2' \
         (err-mimir-label-value-invalid)",
        "it stands before the series without a name"
    );
    let want = [(Reason("label_value_invalid"), 2), (Reason("missing_metric_name"), 1)];
    assert_eq!(found.discarded_samples, want);
    let utf8 = limits(|l| l.name_validation_scheme = config::NameScheme::Utf8);
    for limits in [&default, &utf8] {
        let error =
            |labels: &[(&[u8], &[u8])]| findings_of_raw(labels, limits).first_error.unwrap();
        assert_eq!(
            error(&[(b"__name__", b"m\xff")]),
            "received a series with invalid metric name: 'm (non-ascii characters removed)' \
             (err-mimir-metric-name-invalid)"
        );
        assert_eq!(
            error(&[(b"__name__", b"m"), (b"a\xff", b"\xff")]),
            "received a series with an invalid label: 'a\u{fffd}' series: \
             'm{a\u{fffd}=\"\\xff\"}' (err-mimir-label-invalid)"
        );
        assert_eq!(
            error(&[(b"a", b"\xff")]),
            "received series has no metric name (err-mimir-missing-metric-name)"
        );
    }
}

#[test]
fn a_series_without_labels_is_dropped_and_nobody_is_told() {
    let mut batch = batch(&[&[], &[("__name__", "m")]]);
    let findings = validate(&mut batch, &limits(|_| {}), NOW_MS);
    assert_eq!((batch.series.len(), findings.first_error), (1, None));
    assert!(findings.discarded_samples.is_empty());
}

#[test]
fn texts_show_two_hundred_characters_of_what_they_name() {
    let name = "é".repeat(201);
    let error = error_of(&[("__name__", "m"), (&name, "1")], &limits(|_| {}));
    assert!(error.contains(&format!("label: '{}' series", "é".repeat(200))), "{error}");
}

#[test]
fn utf8_names_where_they_are_allowed() {
    let utf8 = limits(|l| l.name_validation_scheme = config::NameScheme::Utf8);
    let mut batch = batch(&[&[("__name__", "a.b"), ("é", "1")]]);
    assert_eq!(validate(&mut batch, &utf8, NOW_MS).first_error, None);
}

#[test]
fn samples_outside_the_grace_periods_go_and_the_rest_stays() {
    let limits = limits(|l| l.past_grace_period = config::PromDuration::from_secs(60));
    let mut batch = batch(&[&[("__name__", "m"), ("a", "b")]]);
    let minute = 60_000;
    batch.samples = [-2 * minute, -1, 0, 10 * minute, 10 * minute + 1]
        .map(|offset| BatchSample { timestamp_ms: NOW_MS + offset, value: 1.0 })
        .to_vec();
    batch.series[0].samples = BatchRange { start: 0, end: 5 };
    let findings = validate(&mut batch, &limits, NOW_MS);
    let times: Vec<i64> =
        batch.samples_of(&batch.series[0]).iter().map(|s| s.timestamp_ms - NOW_MS).collect();
    assert_eq!(times, [-1, 0, 10 * minute]);
    let want = [(Reason("too_far_in_past"), 1), (Reason("too_far_in_future"), 1)];
    assert_eq!(findings.discarded_samples, want);
    assert_eq!(
        findings.first_error.unwrap(),
        format!(
            "received a sample whose timestamp is too far in the past, timestamp: {} series: 'm' \
             (err-mimir-too-far-in-past). To adjust the related per-tenant limit, configure \
             -validation.past-grace-period, or contact your service administrator.",
            NOW_MS - 2 * minute
        )
    );
}

#[test]
fn of_samples_at_one_time_the_first_stays_and_nobody_is_told() {
    let limits = limits(|_| {});
    let mut batch = batch(&[&[("__name__", "m")]]);
    let sample = |(offset, value)| BatchSample { timestamp_ms: NOW_MS + offset, value };
    batch.samples = [(3, 1.0), (1, 2.0), (3, 3.0), (2, 4.0), (1, 5.0)].map(sample).to_vec();
    batch.series[0].samples = BatchRange { start: 0, end: 5 };
    let one = histogram(|_| {}).histograms.remove(0);
    batch.histograms = vec![one.clone(), one];
    batch.series[0].histograms = BatchRange { start: 0, end: 2 };
    let findings = validate(&mut batch, &limits, NOW_MS);
    let left: Vec<(i64, f64)> = batch
        .samples_of(&batch.series[0])
        .iter()
        .map(|s| (s.timestamp_ms - NOW_MS, s.value))
        .collect();
    assert_eq!(left, [(3, 1.0), (1, 2.0), (2, 4.0)]);
    assert_eq!(batch.histograms_of(&batch.series[0]).len(), 1);
    assert_eq!(findings.discarded_samples, [(Reason("sample_duplicate_timestamp"), 3)]);
    assert_eq!(findings.first_error, None);
}

fn histogram(change: impl FnOnce(&mut Histogram)) -> WriteBatch<'static> {
    let mut histogram = Histogram {
        schema: 3,
        count: 4,
        sum: 1.0,
        positive_spans: vec![Span { offset: 0, length: 4 }],
        positive_buckets: vec![1, 0, 0, 0],
        ..Histogram::default()
    };
    change(&mut histogram);
    let mut batch = WriteBatch::default();
    let value = HistogramValue::Int(Box::new(histogram));
    let sample = BatchHistogram { timestamp_ms: NOW_MS, value };
    batch.push_histogram(&[Label { name: "__name__", value: "h" }], sample);
    batch
}

#[test]
fn histograms_must_make_sense() {
    let limits = limits(|_| {});
    let mut good = histogram(|_| {});
    assert_eq!(validate(&mut good, &limits, NOW_MS).first_error, None);
    for (mut bad, id) in [
        (histogram(|h| h.count = 5), "native-histogram-count-mismatch"),
        (
            histogram(|h| h.schema = 60),
            "invalid schema: 60 (err-mimir-invalid-native-histogram-schema",
        ),
        (
            histogram(|h| h.schema = 9),
            "invalid schema: 9 (err-mimir-invalid-native-histogram-schema",
        ),
        (histogram(|h| h.positive_buckets[1] = -2), "native-histogram-negative-bucket-count"),
        (histogram(|h| h.positive_spans.clear()), "native-histogram-spans-buckets-mismatch"),
    ] {
        let error = validate(&mut bad, &limits, NOW_MS).first_error.unwrap();
        assert!(error.contains(id), "{error}");
        assert!(bad.series.is_empty());
    }
}

#[test]
fn histograms_with_too_many_buckets_are_reduced_or_refused() {
    let reducing = limits(|l| l.max_native_histogram_buckets = 2);
    let mut batch = histogram(|_| {});
    assert_eq!(validate(&mut batch, &reducing, NOW_MS).first_error, None);
    let HistogramValue::Int(reduced) = &batch.histograms[0].value else { panic!("an integer one") };
    assert!(reduced.schema < 3 && reduced.positive_buckets.len() <= 2);
    let strict = limits(|l| {
        l.max_native_histogram_buckets = 2;
        l.reduce_native_histogram_over_max_buckets = false;
    });
    let mut batch = histogram(|_| {});
    let error = validate(&mut batch, &strict, NOW_MS).first_error.unwrap();
    assert!(error.contains("buckets: 4, limit: 2 (err-mimir-max-native-histogram-buckets)"));
}

#[test]
fn metadata_is_cut_or_refused() {
    let limits = limits(|l| l.max_metadata_length = 4);
    let metadata =
        |family, help, unit| MetricMetadata { family, metric_type: MetricType::Gauge, help, unit };
    let mut batch = WriteBatch::default();
    batch.metadata.push(metadata("good", "hé lo", "s"));
    batch.metadata.push(metadata("", "h", "s"));
    batch.metadata.push(metadata("abcde", "h", "s"));
    batch.metadata.push(metadata("a", "h", "sssss"));
    let findings = validate(&mut batch, &limits, NOW_MS);
    assert_eq!(batch.metadata, [metadata("good", "hé ", "s")]);
    let want = [
        (Reason("missing_metric_name"), 1),
        (Reason("metric_name_too_long"), 1),
        (Reason("unit_too_long"), 1),
    ];
    assert_eq!(findings.discarded_metadata, want);
    assert_eq!(
        findings.first_error.unwrap(),
        "received a metric metadata with no metric name (err-mimir-metadata-missing-metric-name)"
    );
}
