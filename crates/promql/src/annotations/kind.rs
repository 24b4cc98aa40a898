//! Every warning and info that a query can give, with its text.

use std::fmt;

use model::TimestampMs;
use model::quote::quote;

use super::Severity;
use crate::gofmt::{format_g, format_g2};

/// One warning or info, without its place in the query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Annotation {
    /// The parameter of `limit_ratio` is out of range and was capped.
    InvalidRatio {
        /// As given.
        ratio: f64,
        /// As used.
        capped: f64,
    },
    /// A quantile is out of `[0, 1]`.
    InvalidQuantile(f64),
    /// A bucket series has no usable `le`.
    BadBucketLabel {
        /// The metric's name; may be empty.
        metric: String,
        /// The label's value.
        value: String,
    },
    /// Floats and histograms in one range.
    MixedFloatsHistograms(String),
    /// Floats and histograms in one group.
    MixedFloatsHistogramsInAggregation,
    /// Classic buckets and native histograms for one set of labels.
    MixedClassicNativeHistograms(String),
    /// A gauge histogram where a counter is needed.
    NativeHistogramNotCounter(String),
    /// A counter histogram where a gauge is needed.
    NativeHistogramNotGauge(String),
    /// Exponential and custom buckets together.
    MixedExponentialCustomHistograms(String),
    /// Two histograms whose buckets do not fit a binary operator.
    IncompatibleBucketLayout(&'static str),
    /// `sort` in a range query.
    SortInRangeQuery,
    /// Histograms whose counter reset hints contradict each other.
    CounterResetCollision(HistogramOperation),
    /// A start time lies before the previous sample.
    StartTimeOverlap {
        /// The metric's name.
        metric: String,
        /// How often.
        count: u64,
    },
    /// A counter function over a metric whose name is not that of a counter.
    PossibleNonCounter(String),
    /// A counter function over a metric whose `__type__` is not that of a counter.
    PossibleNonCounterLabel {
        /// The metric's name.
        metric: String,
        /// Its `__type__`.
        type_label: String,
    },
    /// Classic buckets that were not monotonic.
    ForcedMonotonicity(ForcedMonotonicity),
    /// A binary operator that has no meaning for the types of its operands.
    IncompatibleTypes {
        /// `float` or `histogram`.
        lhs: &'static str,
        /// The operator.
        operator: &'static str,
        /// `float` or `histogram`.
        rhs: &'static str,
    },
    /// An aggregation that takes floats alone met a histogram.
    HistogramIgnoredInAggregation(&'static str),
    /// A function that takes floats alone met a range with both.
    HistogramIgnoredInMixedRange(String),
    /// `histogram_quantile` cannot tell because of NaN observations.
    QuantileNanResult(String),
    /// `histogram_quantile` is too high because of NaN observations.
    QuantileNanSkew(String),
    /// `histogram_fraction` left NaN observations aside.
    FractionNans(String),
    /// Custom bounds that differ were brought together.
    MismatchedCustomBuckets(HistogramOperation),
}

/// What was done with two histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistogramOperation {
    /// `+`
    Addition,
    /// `-`
    Subtraction,
    /// `sum`, `avg` and the like.
    Aggregation,
}

impl HistogramOperation {
    fn name(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// How classic buckets had to be changed.
#[derive(Debug, Clone, PartialEq)]
pub struct ForcedMonotonicity {
    /// The metric's name; may be empty.
    pub metric: String,
    /// The first and the last time that it happened, ms.
    pub times_ms: (TimestampMs, TimestampMs),
    /// The lowest and the highest bucket bound.
    pub buckets: (f64, f64),
    /// The greatest change of a bucket.
    pub max_diff: f64,
    /// How many samples.
    pub count: u64,
}

impl ForcedMonotonicity {
    fn merge(&mut self, other: &Self) {
        self.times_ms.0 = self.times_ms.0.min(other.times_ms.0);
        self.times_ms.1 = self.times_ms.1.max(other.times_ms.1);
        self.buckets.0 = self.buckets.0.min(other.buckets.0);
        self.buckets.1 = self.buckets.1.max(other.buckets.1);
        self.max_diff = self.max_diff.max(other.max_diff);
        self.count += other.count;
    }
}

impl Annotation {
    /// Whether it is a warning or an info.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::PossibleNonCounter(_)
            | Self::PossibleNonCounterLabel { .. }
            | Self::ForcedMonotonicity(_)
            | Self::IncompatibleTypes { .. }
            | Self::HistogramIgnoredInAggregation(_)
            | Self::HistogramIgnoredInMixedRange(_)
            | Self::QuantileNanResult(_)
            | Self::QuantileNanSkew(_)
            | Self::FractionNans(_)
            | Self::MismatchedCustomBuckets(_) => Severity::Info,
            _ => Severity::Warning,
        }
    }

    /// What several occurrences of one annotation have in common.
    pub(super) fn key(&self) -> String {
        match self {
            Self::ForcedMonotonicity(forced) => monotonicity_text(&forced.metric),
            Self::StartTimeOverlap { metric, .. } => start_time_text(metric),
            _ => self.to_string(),
        }
    }

    /// Takes in what another occurrence counted. Says whether the first one's place stays.
    pub(super) fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::ForcedMonotonicity(a), Self::ForcedMonotonicity(b)) => a.merge(b),
            (Self::StartTimeOverlap { count, .. }, Self::StartTimeOverlap { count: more, .. }) => {
                *count += more
            }
            _ => {}
        }
    }
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.severity() {
            Severity::Warning => self.fmt_warning(f),
            Severity::Info => self.fmt_info(f),
        }
    }
}

impl Annotation {
    fn fmt_warning(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRatio { ratio, capped } => write!(
                f,
                "ratio value should be between -1 and 1, got {}, capping to {}",
                format_g(*ratio),
                format_g(*capped)
            ),
            Self::InvalidQuantile(q) => {
                write!(f, "quantile value should be between 0 and 1, got {}", format_g(*q))
            }
            Self::BadBucketLabel { metric, value } => write!(
                f,
                "bucket label \"le\" is missing or has a malformed value of {}{}",
                quoted(value),
                for_metric(metric)
            ),
            Self::MixedFloatsHistograms(metric) => write!(
                f,
                "encountered a mix of histograms and floats for metric name {}",
                quoted(metric)
            ),
            Self::MixedFloatsHistogramsInAggregation => {
                f.write_str("encountered a mix of histograms and floats for aggregation")
            }
            Self::MixedClassicNativeHistograms(metric) => write!(
                f,
                "vector contains a mix of classic and native histograms{}",
                for_metric(metric)
            ),
            _ => self.fmt_histogram_warning(f),
        }
    }

    fn fmt_histogram_warning(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NativeHistogramNotCounter(metric) => {
                write!(f, "this native histogram metric is not a counter: {}", quoted(metric))
            }
            Self::NativeHistogramNotGauge(metric) => {
                write!(f, "this native histogram metric is not a gauge: {}", quoted(metric))
            }
            Self::MixedExponentialCustomHistograms(metric) => write!(
                f,
                "vector contains a mix of histograms with exponential and custom buckets schemas \
                 for metric name {}",
                quoted(metric)
            ),
            Self::IncompatibleBucketLayout(operator) => {
                write!(f, "incompatible bucket layout encountered for binary operator {operator}")
            }
            Self::SortInRangeQuery => f.write_str(
                "sort is ineffective for range queries since results are always ordered by labels",
            ),
            Self::CounterResetCollision(operation) => {
                write!(f, "conflicting counter resets during histogram {}", operation.name())
            }
            Self::StartTimeOverlap { metric, count } => {
                f.write_str(&start_time_text(metric))?;
                if *count > 1 { write!(f, " ({count} occurrences)") } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn fmt_info(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PossibleNonCounter(metric) => write!(
                f,
                "metric might not be a counter, name does not end in \
                 _total/_sum/_count/_bucket: {}",
                quoted(metric)
            ),
            Self::PossibleNonCounterLabel { metric, type_label } => write!(
                f,
                "metric might not be a counter, __type__ label is not set to \"counter\" or \
                 \"histogram\", got {}: {}",
                quoted(type_label),
                quoted(metric)
            ),
            Self::ForcedMonotonicity(forced) => write!(
                f,
                "{}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                monotonicity_text(&forced.metric),
                format_g(forced.buckets.0),
                format_g(forced.buckets.1),
                format_g2(forced.max_diff),
                forced.count,
                rfc3339(forced.times_ms.0),
                rfc3339(forced.times_ms.1)
            ),
            Self::IncompatibleTypes { lhs, operator, rhs } => write!(
                f,
                "incompatible sample types encountered for binary operator {}: {lhs} {operator} \
                 {rhs}",
                quoted(operator)
            ),
            _ => self.fmt_histogram_info(f),
        }
    }

    fn fmt_histogram_info(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HistogramIgnoredInAggregation(aggregation) => {
                write!(f, "ignored histogram in {aggregation} aggregation")
            }
            Self::HistogramIgnoredInMixedRange(metric) => write!(
                f,
                "ignored histograms in a range containing both floats and histograms for metric \
                 name {}",
                quoted(metric)
            ),
            Self::QuantileNanResult(metric) => write!(
                f,
                "input to histogram_quantile has NaN observations, result is NaN{}",
                for_metric(metric)
            ),
            Self::QuantileNanSkew(metric) => write!(
                f,
                "input to histogram_quantile has NaN observations, result is skewed higher{}",
                for_metric(metric)
            ),
            Self::FractionNans(metric) => write!(
                f,
                "input to histogram_fraction has NaN observations, which are excluded from all \
                 fractions{}",
                for_metric(metric)
            ),
            Self::MismatchedCustomBuckets(operation) => {
                write!(f, "mismatched custom buckets were reconciled during {}", operation.name())
            }
            _ => Ok(()),
        }
    }
}

fn quoted(text: &str) -> String {
    quote(text.as_bytes())
}

fn for_metric(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {}", quoted(metric)) }
}

fn start_time_text(metric: &str) -> String {
    format!(
        "sample has start time that overlaps with previous sample timestamp for metric {}",
        quoted(metric)
    )
}

fn monotonicity_text(metric: &str) -> String {
    format!(
        "input to histogram_quantile needed to be fixed for monotonicity (see \
         https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
        for_metric(metric)
    )
}

/// Whole seconds in UTC, as Go's `time.RFC3339`.
fn rfc3339(ms: TimestampMs) -> String {
    match jiff::Timestamp::from_second(ms.div_euclid(1000)) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{ms} ms"),
    }
}
