//! The shapes of native histograms. No arithmetic here.

use std::sync::Arc;

/// The schema of histograms with custom bucket bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// The coarsest exponential schema.
pub const MIN_EXPONENTIAL_SCHEMA: i32 = -4;
/// The finest exponential schema; 9 to 52 are reserved and reduced to it.
pub const MAX_EXPONENTIAL_SCHEMA: i32 = 8;

/// What a sample says about a counter reset before it. Numbers are those of the wire and the
/// WAL: persisted, keep stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum CounterResetHint {
    /// Nothing known: compare the histograms.
    #[default]
    Unknown = 0,
    /// There was a reset before this sample.
    CounterReset = 1,
    /// There was no reset since the previous sample.
    NotCounterReset = 2,
    /// A gauge: resets have no meaning.
    Gauge = 3,
}

impl CounterResetHint {
    /// The hint of a wire number; unknown numbers are `None`.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Unknown,
            1 => Self::CounterReset,
            2 => Self::NotCounterReset,
            3 => Self::Gauge,
            _ => return None,
        })
    }
}

/// A run of consecutive buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// For the first span of a side the index of its first bucket, for others the gap after the
    /// previous span.
    pub offset: i32,
    /// The number of buckets.
    pub length: u32,
}

/// A native histogram with integer counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Counter reset hint.
    pub counter_reset_hint: CounterResetHint,
    /// Bucket resolution, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// Sum of the observations; the stale NaN marks a stale sample.
    pub sum: f64,
    /// Spans of the positive buckets.
    pub positive_spans: Vec<Span>,
    /// Spans of the negative buckets.
    pub negative_spans: Vec<Span>,
    /// Positive buckets; each is the difference to the one before, the first absolute.
    pub positive_buckets: Vec<i64>,
    /// Negative buckets, likewise.
    pub negative_buckets: Vec<i64>,
    /// Upper bounds of custom buckets without +Inf; empty for exponential schemas.
    pub custom_values: Arc<[f64]>,
}

/// A native histogram with float counts: the form of queries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FloatHistogram {
    /// Counter reset hint.
    pub counter_reset_hint: CounterResetHint,
    /// Bucket resolution, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of the observations; the stale NaN marks a stale sample.
    pub sum: f64,
    /// Spans of the positive buckets.
    pub positive_spans: Vec<Span>,
    /// Spans of the negative buckets.
    pub negative_spans: Vec<Span>,
    /// Positive buckets, absolute counts.
    pub positive_buckets: Vec<f64>,
    /// Negative buckets, absolute counts.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets without +Inf; empty for exponential schemas.
    pub custom_values: Arc<[f64]>,
}

impl Histogram {
    /// Whether this is a stale marker.
    pub fn is_stale(&self) -> bool {
        crate::is_stale(self.sum)
    }
}

impl FloatHistogram {
    /// Whether this is a stale marker.
    pub fn is_stale(&self) -> bool {
        crate::is_stale(self.sum)
    }

    /// Whether the buckets have custom bounds.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }
}
