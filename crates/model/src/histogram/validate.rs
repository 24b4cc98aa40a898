//! Whether a histogram that came from outside makes sense.

use super::types::{FloatHistogram, Histogram, Span};
use super::{
    CUSTOM_BUCKETS_SCHEMA, MAX_EXPONENTIAL_SCHEMA, MIN_EXPONENTIAL_SCHEMA, is_exponential_schema,
};

/// The part of a histogram in which a fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The positive buckets.
    Positive,
    /// The negative buckets.
    Negative,
    /// The buckets with custom bounds.
    Custom,
}

/// A histogram that makes no sense; prints Prometheus' message.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidHistogram {
    /// Where the fault lies; `None` if it is not about one side's buckets.
    pub side: Option<Side>,
    /// What is wrong.
    pub fault: Fault,
}

impl std::fmt::Display for InvalidHistogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.side {
            None => "",
            Some(Side::Positive) => "positive side: ",
            Some(Side::Negative) => "negative side: ",
            Some(Side::Custom) => "custom buckets: ",
        })?;
        self.fault.fmt(f)
    }
}

impl std::error::Error for InvalidHistogram {}

/// What is wrong with a histogram.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The count differs from that of the buckets although no observation is NaN.
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: \
         histogram's observation count should equal the number of observations found in the \
         buckets (in absence of NaN)"
    )]
    CountMismatch {
        /// Observations in all buckets.
        in_buckets: u64,
        /// The histogram's count.
        count: u64,
    },
    /// The buckets hold more observations than the count says.
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: \
         histogram's observation count should be at least the number of observations found in \
         the buckets"
    )]
    CountNotBigEnough {
        /// Observations in all buckets.
        in_buckets: u64,
        /// The histogram's count.
        count: u64,
    },
    /// The count is negative.
    #[error("observation count is  {0}: histogram's observation count is negative")]
    NegativeCount(f64),
    /// The zero count is negative.
    #[error(
        "zero bucket has observation count of {0}: \
         histogram has a bucket whose observation count is negative"
    )]
    NegativeZeroCount(f64),
    /// A bucket is negative.
    #[error(
        "bucket number {number} has observation count of {count}: \
         histogram has a bucket whose observation count is negative"
    )]
    NegativeBucketCount {
        /// Which bucket of its side, from 1.
        number: usize,
        /// Its count.
        count: f64,
    },
    /// A gap between spans is negative.
    #[error(
        "span number {number} with offset {offset}: \
         histogram has a span whose offset is negative"
    )]
    SpanNegativeOffset {
        /// Which span of its side, from 1.
        number: usize,
        /// Its offset.
        offset: i32,
    },
    /// The spans are for another number of buckets.
    #[error(
        "spans need {needed} buckets, have {have} buckets: \
         histogram spans specify different number of buckets than provided"
    )]
    SpansBucketsMismatch {
        /// Buckets according to the spans.
        needed: u64,
        /// Buckets.
        have: usize,
    },
    /// There are buckets beyond the last custom bound.
    #[error(
        "only {bounds} custom bounds defined which is insufficient to cover total span length \
         of {span_length}: histogram custom bounds are too few"
    )]
    CustomBucketsMismatch {
        /// Bounds.
        bounds: usize,
        /// Buckets and gaps that they must cover.
        span_length: u64,
    },
    /// Custom bounds do not rise.
    #[error(
        "previous bound is {previous:.6} and current is {current:.6}: \
         histogram custom bounds must be in strictly increasing order"
    )]
    CustomBucketsInvalid {
        /// A bound.
        previous: f64,
        /// The one after it, which is not greater.
        current: f64,
    },
    /// +Inf is among the custom bounds.
    #[error(
        "last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
    )]
    CustomBucketsInfinite,
    /// NaN is among the custom bounds.
    #[error("histogram custom bounds must not be NaN")]
    CustomBucketsNan,
    /// Custom buckets beside a zero count.
    #[error("custom buckets: must have zero count of 0")]
    CustomBucketsZeroCount,
    /// Custom buckets beside a zero threshold.
    #[error("custom buckets: must have zero threshold of 0")]
    CustomBucketsZeroThreshold,
    /// Custom buckets beside negative spans.
    #[error("custom buckets: must not have negative spans")]
    CustomBucketsNegativeSpans,
    /// Custom buckets beside negative buckets.
    #[error("custom buckets: must not have negative buckets")]
    CustomBucketsNegativeBuckets,
    /// Custom bounds with an exponential schema.
    #[error("histogram with exponential schema must not have custom bounds")]
    ExponentialSchemaCustomBounds,
    /// A schema that does not exist, or must be reduced first.
    #[error(
        "histogram has an invalid schema, which must be between {min} and {max} for exponential \
         buckets, or {custom} for custom buckets, got schema {0}",
        min = MIN_EXPONENTIAL_SCHEMA, max = MAX_EXPONENTIAL_SCHEMA, custom = CUSTOM_BUCKETS_SCHEMA
    )]
    InvalidSchema(i32),
}

impl Fault {
    fn on(self, side: Side) -> InvalidHistogram {
        InvalidHistogram { side: Some(side), fault: self }
    }
}

impl From<Fault> for InvalidHistogram {
    fn from(fault: Fault) -> Self {
        Self { side: None, fault }
    }
}

/// Spans and number of buckets of both sides, and what else the schema decides about.
struct Shape<'a> {
    schema: i32,
    positive_spans: &'a [Span],
    positive_buckets: usize,
    negative_spans: &'a [Span],
    negative_buckets: usize,
    custom_values: &'a [f64],
    has_zero_count: bool,
    zero_threshold: f64,
}

impl Shape<'_> {
    fn check(&self) -> Result<(), InvalidHistogram> {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            return self.check_custom();
        }
        if !is_exponential_schema(self.schema) {
            return Err(Fault::InvalidSchema(self.schema).into());
        }
        check_spans(self.positive_spans, self.positive_buckets)
            .map_err(|fault| fault.on(Side::Positive))?;
        check_spans(self.negative_spans, self.negative_buckets)
            .map_err(|fault| fault.on(Side::Negative))?;
        if !self.custom_values.is_empty() {
            return Err(Fault::ExponentialSchemaCustomBounds.into());
        }
        Ok(())
    }

    fn check_custom(&self) -> Result<(), InvalidHistogram> {
        check_custom_bounds(self.custom_values)
            .and_then(|()| {
                check_custom_spans(self.custom_values, self.positive_spans, self.positive_buckets)
            })
            .map_err(|fault| fault.on(Side::Custom))?;
        let fault = if self.has_zero_count {
            Fault::CustomBucketsZeroCount
        } else if self.zero_threshold != 0.0 {
            Fault::CustomBucketsZeroThreshold
        } else if !self.negative_spans.is_empty() {
            Fault::CustomBucketsNegativeSpans
        } else if self.negative_buckets > 0 {
            Fault::CustomBucketsNegativeBuckets
        } else {
            return Ok(());
        };
        Err(fault.into())
    }
}

impl Histogram {
    /// Checks what a stored histogram must satisfy: a schema that exists, spans that fit the
    /// buckets, no negative counts, fields that the schema does not use empty, and a count that
    /// is that of the buckets (or more, if observations were NaN, which the sum tells).
    pub fn validate(&self) -> Result<(), InvalidHistogram> {
        let shape = Shape {
            schema: self.schema,
            positive_spans: &self.positive_spans,
            positive_buckets: self.positive_buckets.len(),
            negative_spans: &self.negative_spans,
            negative_buckets: self.negative_buckets.len(),
            custom_values: &self.custom_values,
            has_zero_count: self.zero_count != 0,
            zero_threshold: self.zero_threshold,
        };
        shape.check()?;
        let sides =
            [(Side::Negative, &self.negative_buckets), (Side::Positive, &self.positive_buckets)];
        let mut in_buckets = self.zero_count;
        for (side, deltas) in sides {
            let sum = sum_of_deltas(deltas).map_err(|fault| fault.on(side))?;
            in_buckets = in_buckets.saturating_add(sum);
        }
        self.check_count(in_buckets)
    }

    fn check_count(&self, in_buckets: u64) -> Result<(), InvalidHistogram> {
        let count = self.count;
        if self.sum.is_nan() && in_buckets > count {
            return Err(Fault::CountNotBigEnough { in_buckets, count }.into());
        }
        if !self.sum.is_nan() && in_buckets != count {
            return Err(Fault::CountMismatch { in_buckets, count }.into());
        }
        Ok(())
    }
}

impl FloatHistogram {
    /// As [`Histogram::validate`], but the count is not compared with the buckets: rounding
    /// makes them differ.
    pub fn validate(&self) -> Result<(), InvalidHistogram> {
        let shape = Shape {
            schema: self.schema,
            positive_spans: &self.positive_spans,
            positive_buckets: self.positive_buckets.len(),
            negative_spans: &self.negative_spans,
            negative_buckets: self.negative_buckets.len(),
            custom_values: &self.custom_values,
            has_zero_count: self.zero_count != 0.0,
            zero_threshold: self.zero_threshold,
        };
        shape.check()?;
        check_counts(&self.negative_buckets).map_err(|fault| fault.on(Side::Negative))?;
        if self.zero_count < 0.0 {
            return Err(Fault::NegativeZeroCount(self.zero_count).into());
        }
        if self.count < 0.0 {
            return Err(Fault::NegativeCount(self.count).into());
        }
        check_counts(&self.positive_buckets).map_err(|fault| fault.on(Side::Positive))
    }
}

/// Checks that no gap is negative and that the spans have exactly `have` buckets.
pub(super) fn check_spans(spans: &[Span], have: usize) -> Result<(), Fault> {
    let negative = spans.iter().enumerate().skip(1).find(|(_, span)| span.offset < 0);
    if let Some((at, span)) = negative {
        return Err(Fault::SpanNegativeOffset { number: at + 1, offset: span.offset });
    }
    check_bucket_number(spans, have)
}

fn check_bucket_number(spans: &[Span], have: usize) -> Result<(), Fault> {
    let needed = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed != have as u64 {
        return Err(Fault::SpansBucketsMismatch { needed, have });
    }
    Ok(())
}

fn check_custom_bounds(bounds: &[f64]) -> Result<(), Fault> {
    if bounds.iter().any(|bound| bound.is_nan()) {
        return Err(Fault::CustomBucketsNan);
    }
    let falling = bounds.windows(2).find(|pair| pair[1] <= pair[0]);
    if let Some(&[previous, current]) = falling {
        return Err(Fault::CustomBucketsInvalid { previous, current });
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err(Fault::CustomBucketsInfinite);
    }
    Ok(())
}

fn check_custom_spans(bounds: &[f64], spans: &[Span], have: usize) -> Result<(), Fault> {
    if let Some((at, span)) = spans.iter().enumerate().find(|(_, span)| span.offset < 0) {
        return Err(Fault::SpanNegativeOffset { number: at + 1, offset: span.offset });
    }
    check_bucket_number(spans, have)?;
    let length = |span: &Span| u64::from(span.length) + u64::from(span.offset.unsigned_abs());
    let span_length = spans.iter().map(length).sum();
    if (bounds.len() as u64) + 1 < span_length {
        return Err(Fault::CustomBucketsMismatch { bounds: bounds.len(), span_length });
    }
    Ok(())
}

fn check_counts(counts: &[f64]) -> Result<(), Fault> {
    match counts.iter().position(|count| *count < 0.0) {
        Some(at) => Err(Fault::NegativeBucketCount { number: at + 1, count: counts[at] }),
        None => Ok(()),
    }
}

/// The sum of all counts. A count too great for an integer is as wrong as a negative one.
fn sum_of_deltas(deltas: &[i64]) -> Result<u64, Fault> {
    let (mut count, mut sum) = (0_i64, 0_u64);
    for (at, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        let positive = u64::try_from(count)
            .map_err(|_| Fault::NegativeBucketCount { number: at + 1, count: count as f64 })?;
        sum = sum.saturating_add(positive);
    }
    Ok(sum)
}
