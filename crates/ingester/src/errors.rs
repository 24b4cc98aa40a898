//! The texts of the write path's errors, with Mimir's ids, and their classes. Called by `push.rs`
//! and the limits; nothing here decides whether there is an error.

use std::borrow::Cow;

use model::{Labels, METRIC_NAME_LABEL, TenantId, TimestampMs};
use tsdb::error::TsdbError;
use tsdb::head::{ExemplarRejection, ExemplarRejectionKind, Rejection, RejectionKind};
use wire::client::{PushError, PushErrorCause};

/// The limits that an append ran with, for the texts that name them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LimitValues {
    /// `-ingester.max-global-series-per-user`.
    pub(crate) max_series_per_user: u64,
    /// `-ingester.max-global-series-per-metric`.
    pub(crate) max_series_per_metric: u64,
    /// `-ingester.out-of-order-time-window`.
    pub(crate) out_of_order_window: config::PromDuration,
    /// `-ingester.ignore-ooo-exemplars`.
    pub(crate) ignore_out_of_order_exemplars: bool,
}

/// The first refused sample of a request, as its sender reads it.
pub(crate) fn rejection(rejection: &Rejection, limits: &LimitValues) -> PushError {
    match rejection.kind {
        RejectionKind::OutOfOrder => sample(
            rejection,
            "sample-out-of-order",
            "the sample has been rejected because another sample with a more recent timestamp has \
             already been ingested and out-of-order samples are not allowed",
        ),
        RejectionKind::OutOfBounds => sample(
            rejection,
            "sample-timestamp-too-old",
            "the sample has been rejected because its timestamp is too old",
        ),
        RejectionKind::TooOld => sample(
            rejection,
            "sample-timestamp-too-old",
            &format!(
                "the sample has been rejected because another sample with a more recent timestamp \
                 has already been ingested and this sample is beyond the out-of-order time window \
                 of {}",
                limits.out_of_order_window
            ),
        ),
        RejectionKind::DuplicateTimestamp => {
            sample(rejection, "sample-duplicate-timestamp", &duplicate(rejection))
        }
        RejectionKind::InvalidHistogram => sample(
            rejection,
            "native-histogram-spans-buckets-mismatch",
            "the sample has been rejected because the spans and the buckets of its native \
             histogram contradict each other",
        ),
        RejectionKind::SeriesLimit => series_per_user(limits.max_series_per_user),
        RejectionKind::MetricSeriesLimit => {
            series_per_metric(limits.max_series_per_metric, &rejection.labels)
        }
    }
}

/// What is said about a sample whose time is taken: the values of floats, as Prometheus tells them.
fn duplicate(rejection: &Rejection) -> String {
    let Some(duplicate) = rejection.duplicate else {
        return "duplicate sample for timestamp".to_owned();
    };
    let number = |bits| go_number(f64::from_bits(bits));
    let existing = duplicate.existing_bits.map_or_else(|| "is a histogram".to_owned(), number);
    format!(
        "duplicate sample for timestamp {}; overrides not allowed: existing {existing}, new value {}",
        rejection.timestamp_ms,
        number(duplicate.new_bits)
    )
}

/// A float with as many digits as it needs, with an exponent below -4 and from 6 on: `%g` of C
/// and Go.
fn go_number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// The first refused exemplar of a request, as its sender reads it.
pub(crate) fn exemplar_rejection(rejection: &ExemplarRejection) -> PushError {
    let time = utc(rejection.exemplar.timestamp_ms);
    let (own, of_series) = (series(&rejection.exemplar.labels), series(&rejection.labels));
    let stored = |reason: &str| {
        format!("err: {reason}. timestamp={time}, series={of_series}, exemplar={own}")
    };
    let message = match rejection.kind {
        ExemplarRejectionKind::OutOfOrder => stored("out of order exemplar"),
        ExemplarRejectionKind::LabelsTooLong => {
            stored("label length for exemplar exceeds maximum of 128 UTF-8 characters")
        }
        ExemplarRejectionKind::SeriesMissing => format!(
            "the exemplar has been rejected because the related series has not been ingested yet \
             (err-mimir-exemplar-series-missing). The affected exemplar is {own} with timestamp \
             {time} for series {of_series}"
        ),
    };
    PushError::soft(PushErrorCause::BadData, message)
}

/// The value of the label `reason` of `cortex_discarded_samples_total`.
pub(crate) fn discard_reason(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::OutOfOrder => "sample-out-of-order",
        RejectionKind::OutOfBounds => "sample-timestamp-too-old",
        RejectionKind::TooOld => "sample-too-old",
        RejectionKind::DuplicateTimestamp => "new-value-for-timestamp",
        RejectionKind::SeriesLimit => "per_user_series_limit",
        RejectionKind::MetricSeriesLimit => "per_metric_series_limit",
        RejectionKind::InvalidHistogram => "invalid-native-histogram",
    }
}

fn sample(rejection: &Rejection, id: &str, message: &str) -> PushError {
    PushError::soft(
        PushErrorCause::BadData,
        format!(
            "{message} (err-mimir-{id}). The affected sample has timestamp {} and is from series \
             {}",
            utc(rejection.timestamp_ms),
            series(&rejection.labels)
        ),
    )
}

fn series_per_user(limit: u64) -> PushError {
    let message = format!("per-user series limit of {limit} exceeded");
    let text = tenant_limit("max-series-per-user", "ingester.max-global-series-per-user", &message);
    PushError::soft(PushErrorCause::TenantLimit, text)
}

fn series_per_metric(limit: u64, labels: &Labels) -> PushError {
    let message = format!("per-metric series limit of {limit} exceeded");
    let text =
        tenant_limit("max-series-per-metric", "ingester.max-global-series-per-metric", &message);
    let text = format!("{text} This is for series {}", series(labels));
    PushError::soft(PushErrorCause::TenantLimit, text)
}

/// Too many metrics of a tenant have metadata.
pub(crate) fn metadata_per_user(limit: u64) -> String {
    let message = format!("per-user metric metadata limit of {limit} exceeded");
    tenant_limit("max-metadata-per-user", "ingester.max-global-metadata-per-user", &message)
}

/// One metric has too many different metadata.
pub(crate) fn metadata_per_metric(limit: u64, metric: &str) -> String {
    let message = format!("per-metric metadata limit of {limit} exceeded");
    let text = tenant_limit(
        "max-metadata-per-metric",
        "ingester.max-global-metadata-per-metric",
        &message,
    );
    format!("{text} This is for metric {metric}")
}

fn tenant_limit(id: &str, flag: &str, message: &str) -> String {
    format!(
        "{message} (err-mimir-{id}). To adjust the related per-tenant limit, configure -{flag}, or \
         contact your service administrator."
    )
}

/// A limit of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceLimit {
    IngestionRate,
    Tenants,
    Series,
    InflightRequests,
    InflightBytes,
}

impl InstanceLimit {
    /// The value of the label `reason` of `cortex_ingester_instance_rejected_requests_total`.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::IngestionRate => "ingester_max_ingestion_rate",
            Self::Tenants => "ingester_max_tenants",
            Self::Series => "ingester_max_series",
            Self::InflightRequests => "ingester_max_inflight_push_requests",
            Self::InflightBytes => "ingester_max_inflight_push_requests_bytes",
        }
    }

    pub(crate) fn error(self) -> PushError {
        let (what, name) = match self {
            Self::IngestionRate => ("samples ingestion rate limit", "max-ingestion-rate"),
            Self::Tenants => ("allowed number of tenants", "max-tenants"),
            Self::Series => ("allowed number of in-memory series", "max-series"),
            Self::InflightRequests => {
                ("allowed number of inflight push requests", "max-inflight-push-requests")
            }
            Self::InflightBytes => (
                "allowed total size in bytes of inflight push requests",
                "max-inflight-push-requests-bytes",
            ),
        };
        PushError::hard(
            PushErrorCause::InstanceLimit,
            format!(
                "the write request has been rejected because the ingester exceeded the {what} \
                 (err-mimir-ingester-{name}). To adjust the related limit, configure \
                 -ingester.instance-limits.{name}, or contact your service administrator."
            ),
        )
    }
}

/// Series that a distributor would have taken out.
pub(crate) fn undecodable() -> PushError {
    let message = "received a series whose labels are not valid UTF-8";
    PushError::soft(PushErrorCause::BadData, message)
}

/// The process does not take writes now.
pub(crate) fn unavailable(state: &str) -> PushError {
    let message = format!("ingester is unavailable (current state: {state})");
    PushError::hard(PushErrorCause::ServiceUnavailable, message)
}

/// The tenant's TSDB is about to be closed because it is idle; the next try opens a new one.
pub(crate) fn tsdb_closing() -> PushError {
    PushError::hard(PushErrorCause::TsdbUnavailable, "the TSDB of the tenant is closing")
}

/// The whole head of the tenant is being cut; the next try may succeed.
pub(crate) fn forced_compaction() -> PushError {
    let message = "the TSDB head of the tenant is being compacted as a whole";
    PushError::hard(PushErrorCause::TsdbUnavailable, message)
}

/// The older part of the head is being cut, and the request has samples of it; the next try may
/// succeed, or be told that the samples are too old.
pub(crate) fn early_compaction(oldest_ms: TimestampMs, until_ms_incl: TimestampMs) -> PushError {
    let message = format!(
        "the TSDB head of the tenant is being compacted up to {} and the write request has samples \
         from {} on",
        utc(until_ms_incl),
        utc(oldest_ms)
    );
    PushError::hard(PushErrorCause::TsdbUnavailable, message)
}

/// The samples could not be written. Nothing of the request counts as stored.
pub(crate) fn storage(tenant: &TenantId, operation: &str, error: &TsdbError) -> PushError {
    PushError::hard(
        PushErrorCause::Unknown,
        Cow::Owned(format!("{operation} of tenant {tenant}: {error}")),
    )
}

/// A time in UTC as in RFC 3339, with as many digits of a second as are needed.
pub(crate) fn utc(time_ms: TimestampMs) -> String {
    match jiff::Timestamp::from_millisecond(time_ms) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{time_ms} ms"), // Beyond the year 9999.
    }
}

/// `name{label="value", ...}`.
fn series(labels: &Labels) -> String {
    let name = labels.value(METRIC_NAME_LABEL);
    let rest = labels.without_metric_name();
    if rest.is_empty() && !name.is_empty() { name.to_owned() } else { format!("{name}{rest}") }
}

#[cfg(test)]
mod tests {
    use tsdb::head::DuplicateFloat;

    use super::*;

    fn refused(kind: RejectionKind) -> PushError {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a\"b")]);
        let (timestamp_ms, duplicate) = (1_577_836_800_120, None);
        let rejected = Rejection { kind, timestamp_ms, series_index: 0, labels, duplicate };
        let limits = LimitValues {
            max_series_per_user: 150_000,
            max_series_per_metric: 20_000,
            out_of_order_window: config::PromDuration::from_secs(90),
            ignore_out_of_order_exemplars: false,
        };
        rejection(&rejected, &limits)
    }

    /// Texts of log lines that users published in Mimir's issues.
    #[test]
    fn samples_are_named_with_their_time_and_series() {
        let affected = "The affected sample has timestamp 2020-01-01T00:00:00.12Z and is from \
                        series up{job=\"a\\\"b\"}";
        for (kind, want) in [
            (
                RejectionKind::OutOfOrder,
                "the sample has been rejected because another sample with a more recent timestamp \
                 has already been ingested and out-of-order samples are not allowed \
                 (err-mimir-sample-out-of-order)",
            ),
            (
                RejectionKind::OutOfBounds,
                "the sample has been rejected because its timestamp is too old \
                 (err-mimir-sample-timestamp-too-old)",
            ),
            (
                RejectionKind::TooOld,
                "the sample has been rejected because another sample with a more recent timestamp \
                 has already been ingested and this sample is beyond the out-of-order time window \
                 of 1m30s (err-mimir-sample-timestamp-too-old)",
            ),
            (
                RejectionKind::DuplicateTimestamp,
                "duplicate sample for timestamp (err-mimir-sample-duplicate-timestamp)",
            ),
        ] {
            let error = refused(kind);
            assert_eq!(error.message, format!("{want}. {affected}"));
            assert_eq!((error.cause, error.is_soft), (PushErrorCause::BadData, true));
        }
    }

    #[test]
    fn duplicate_floats_are_told_with_their_values() {
        let told = |existing: Option<f64>, new: f64| {
            duplicate(&Rejection {
                kind: RejectionKind::DuplicateTimestamp,
                timestamp_ms: 1000,
                series_index: 0,
                labels: Labels::empty(),
                duplicate: Some(DuplicateFloat {
                    existing_bits: existing.map(f64::to_bits),
                    new_bits: new.to_bits(),
                }),
            })
        };
        let prefix = "duplicate sample for timestamp 1000; overrides not allowed: existing";
        assert_eq!(told(Some(1.5), -0.25), format!("{prefix} 1.5, new value -0.25"));
        assert_eq!(told(None, 2.0), format!("{prefix} is a histogram, new value 2"));
        for (value, want) in [
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (1e300, "1e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(go_number(value), want);
        }
    }

    #[test]
    fn the_series_limit_names_its_flag() {
        let error = refused(RejectionKind::SeriesLimit);
        assert_eq!(
            error.message,
            "per-user series limit of 150000 exceeded (err-mimir-max-series-per-user). To adjust \
             the related per-tenant limit, configure -ingester.max-global-series-per-user, or \
             contact your service administrator."
        );
        assert_eq!(error.cause, PushErrorCause::TenantLimit);
    }

    #[test]
    fn times_and_series_without_parts() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(TimestampMs::MAX), "9223372036854775807 ms");
        assert_eq!(series(&Labels::from_pairs([("__name__", "up")])), "up");
        assert_eq!(series(&Labels::from_pairs([("a", "b")])), "{a=\"b\"}");
        assert_eq!(series(&Labels::empty()), "{}");
    }

    #[test]
    fn instance_limits_name_id_and_flag() {
        assert_eq!(
            InstanceLimit::Tenants.error().message,
            "the write request has been rejected because the ingester exceeded the allowed number \
             of tenants (err-mimir-ingester-max-tenants). To adjust the related limit, configure \
             -ingester.instance-limits.max-tenants, or contact your service administrator."
        );
    }
}
