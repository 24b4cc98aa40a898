//! Checks of native histograms: schema, counts and spans that fit together, and the number of
//! buckets, which is brought below the limit by lower resolution where that is allowed.

use model::batch::{BatchHistogram, BatchSeries, HistogramValue};
use model::histogram::{
    CUSTOM_BUCKETS_SCHEMA, Fault, InvalidHistogram, MIN_EXPONENTIAL_SCHEMA, is_exponential_schema,
};
use model::{Label, WriteBatch};

use super::message::{cut, limit_rejection, rejection, series_text};
use super::samples::{check_time, keep_first_of_time};
use super::{Cx, Findings, Reason, Rejection};

/// Keeps the valid histogram samples of a series, in order, and shortens its range.
pub(super) fn retain_valid(
    batch: &mut WriteBatch<'_>,
    series: &mut BatchSeries,
    cx: &Cx<'_>,
    findings: &mut Findings,
) {
    let labels = &batch.labels[series.labels.range()];
    let samples = &mut batch.histograms[series.histograms.range()];
    let mut kept = 0;
    for i in 0..samples.len() {
        if !cx.limits.histograms_enabled {
            break; // Dropped without an error, as the option says.
        }
        match check(&mut samples[i], labels, cx) {
            Ok(()) => {
                samples.swap(kept, i);
                kept += 1;
            }
            Err(error) => findings.discard_samples(error, 1),
        }
    }
    let samples = &mut samples[..kept];
    if !samples.is_sorted_by(|a, b| a.timestamp_ms < b.timestamp_ms) {
        kept = keep_first_of_time(samples, |sample| sample.timestamp_ms, findings) as usize;
    }
    series.histograms.end = series.histograms.start + kept as u32;
}

fn check(sample: &mut BatchHistogram, labels: &[Label<'_>], cx: &Cx<'_>) -> Result<(), Rejection> {
    check_time(sample.timestamp_ms, labels, cx)?;
    let timestamp_ms = sample.timestamp_ms;
    let at = (timestamp_ms, labels);
    let schema = shape(&sample.value).schema;
    if schema != CUSTOM_BUCKETS_SCHEMA && !is_exponential_schema(schema) {
        return Err(invalid_schema(schema));
    }
    let validated = match &sample.value {
        HistogramValue::Int(histogram) => histogram.validate(),
        HistogramValue::Float(histogram) => histogram.validate(),
    };
    validated.map_err(|error| invalid_histogram(&error, at))?;
    limit_buckets(&mut sample.value, at, cx)
}

/// Lowers the resolution until the buckets are few enough.
fn limit_buckets(
    value: &mut HistogramValue,
    at: (i64, &[Label<'_>]),
    cx: &Cx<'_>,
) -> Result<(), Rejection> {
    let limit = cx.limits.max_histogram_buckets;
    while limit > 0 && shape(value).buckets > limit {
        let Shape { schema, buckets } = shape(value);
        let is_reducible = cx.limits.reduce_histograms
            && schema != CUSTOM_BUCKETS_SCHEMA
            && schema > MIN_EXPONENTIAL_SCHEMA;
        if !is_reducible || reduce(value, schema - 1).is_err() {
            return Err(too_many_buckets((buckets, limit), cx.limits.reduce_histograms, at));
        }
    }
    Ok(())
}

struct Shape {
    schema: i32,
    buckets: usize,
}

fn shape(value: &HistogramValue) -> Shape {
    match value {
        HistogramValue::Int(h) => {
            Shape { schema: h.schema, buckets: h.positive_buckets.len() + h.negative_buckets.len() }
        }
        HistogramValue::Float(h) => {
            Shape { schema: h.schema, buckets: h.positive_buckets.len() + h.negative_buckets.len() }
        }
    }
}

fn reduce(value: &mut HistogramValue, schema: i32) -> Result<(), model::histogram::ReduceError> {
    match value {
        HistogramValue::Int(histogram) => histogram.reduce_resolution(schema),
        HistogramValue::Float(histogram) => histogram.reduce_resolution(schema),
    }
}

fn invalid_schema(schema: i32) -> Rejection {
    let message = format!("received a native histogram sample with an invalid schema: {schema}");
    rejection("invalid_native_histogram_schema", "invalid-native-histogram-schema", &message)
}

fn too_many_buckets(
    (buckets, limit): (usize, usize),
    may_reduce: bool,
    (timestamp_ms, labels): (i64, &[Label<'_>]),
) -> Rejection {
    let shown = series_text(labels);
    let shown = cut(&shown);
    if may_reduce {
        let message = format!(
            "received a native histogram sample with too many buckets and cannot reduce, \
             timestamp: {timestamp_ms} series: {shown}, buckets: {buckets}, limit: {limit}"
        );
        let reason = "not_reducible_native_histogram";
        return rejection(reason, "not-reducible-native-histogram", &message);
    }
    let message = format!(
        "received a native histogram sample with too many buckets, timestamp: {timestamp_ms} \
         series: {shown}, buckets: {buckets}, limit: {limit}"
    );
    let flag = ("max-native-histogram-buckets", "validation.max-native-histogram-buckets");
    limit_rejection("max_native_histogram_buckets", flag, &message)
}

fn invalid_histogram(error: &InvalidHistogram, at: (i64, &[Label<'_>])) -> Rejection {
    invalid_with(&error.to_string(), fault_id(&error.fault), at)
}

fn invalid_with(
    error: &str,
    id: &'static str,
    (timestamp_ms, labels): (i64, &[Label<'_>]),
) -> Rejection {
    Rejection {
        reason: Reason("invalid-native-histogram"),
        message: format!(
            "received a native histogram sample that is not valid: {error}, timestamp: \
             {timestamp_ms} series: '{}' (err-mimir-{id})",
            cut(&series_text(labels))
        ),
    }
}

/// Mimir's id of a fault; those that it has none for go by the nearest.
fn fault_id(fault: &Fault) -> &'static str {
    match fault {
        Fault::CountMismatch { .. } => "native-histogram-count-mismatch",
        Fault::CountNotBigEnough { .. } => "native-histogram-count-not-big-enough",
        Fault::NegativeCount(_)
        | Fault::NegativeZeroCount(_)
        | Fault::NegativeBucketCount { .. } => "native-histogram-negative-bucket-count",
        Fault::SpanNegativeOffset { .. } => "native-histogram-span-negative-offset",
        Fault::SpansBucketsMismatch { .. } => "native-histogram-spans-buckets-mismatch",
        Fault::CustomBucketsMismatch { .. } => "native-histogram-custom-buckets-mismatch",
        Fault::CustomBucketsInfinite => "native-histogram-custom-buckets-infinite",
        Fault::CustomBucketsInvalid { .. }
        | Fault::CustomBucketsNan
        | Fault::CustomBucketsZeroCount
        | Fault::CustomBucketsZeroThreshold
        | Fault::CustomBucketsNegativeSpans
        | Fault::CustomBucketsNegativeBuckets
        | Fault::ExponentialSchemaCustomBounds => "native-histogram-custom-buckets-invalid",
        Fault::InvalidSchema(_) => "invalid-native-histogram-schema",
    }
}
