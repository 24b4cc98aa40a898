//! What an append was asked to keep to and what became of its samples.
//!
//! Made by `append.rs`; the ingester turns the counts into metrics and the first rejections into
//! Mimir's messages. Memory is bounded: one example a kind, however many samples were refused.

use model::{Exemplar, Labels, TimestampMs};

/// Limits of the tenant for one append.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppendLimits {
    /// The most series in the head; 0 = no limit. Samples of series that exist are stored even
    /// when it is reached.
    pub max_series: u64,
    /// The most series with the same metric name, likewise. Requests that create series at the
    /// same time can exceed it by one each.
    pub max_series_per_metric: u64,
    /// How far behind the head's newest sample a late one may be, ms. Late samples are refused
    /// as out of order where it is 0.
    pub out_of_order_window_ms: i64,
    /// The most exemplars of the tenant in memory; 0 = exemplars are passed over.
    pub max_exemplars: u64,
}

/// Why a sample was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RejectionKind {
    /// Not newer than the newest sample of its series.
    OutOfOrder = 0,
    /// Before the time from which on the head takes samples.
    OutOfBounds = 1,
    /// Older than the out-of-order window.
    TooOld = 2,
    /// The series has another value at this very time.
    DuplicateTimestamp = 3,
    /// A new series would exceed [`AppendLimits::max_series`].
    SeriesLimit = 4,
    /// A histogram whose spans and buckets contradict each other.
    InvalidHistogram = 5,
    /// A new series would exceed [`AppendLimits::max_series_per_metric`].
    MetricSeriesLimit = 6,
}

impl RejectionKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::OutOfOrder,
        Self::OutOfBounds,
        Self::TooOld,
        Self::DuplicateTimestamp,
        Self::SeriesLimit,
        Self::InvalidHistogram,
        Self::MetricSeriesLimit,
    ];
}

/// The first refused sample of its kind, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub kind: RejectionKind,
    /// The sample's time, ms.
    pub timestamp_ms: TimestampMs,
    /// Index of its series in the batch.
    pub series_index: usize,
    /// Its series' labels.
    pub labels: Labels,
    /// Of a [`RejectionKind::DuplicateTimestamp`] whose sample is a float.
    pub duplicate: Option<DuplicateFloat>,
}

/// A float that was refused because of another sample of its time. Floats as their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuplicateFloat {
    /// The float that is stored; `None` for a histogram.
    pub existing_bits: Option<u64>,
    /// The float that was refused.
    pub new_bits: u64,
}

/// Why an exemplar was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExemplarRejectionKind {
    /// Its series has a newer one.
    OutOfOrder,
    /// Its labels have too many characters.
    LabelsTooLong,
    /// Its series does not exist.
    SeriesMissing,
}

/// The first refused exemplar that is to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarRejection {
    /// Why.
    pub kind: ExemplarRejectionKind,
    /// Index of its series in the batch.
    pub series_index: usize,
    /// Its series' labels.
    pub labels: Labels,
    /// The exemplar.
    pub exemplar: Exemplar,
}

/// What became of the exemplars of one batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExemplarOutcome {
    /// Those that are stored (duplicates included).
    pub accepted: u64,
    /// Those that are not.
    pub failed: u64,
    /// The first that was refused. Some that are out of order among others that are not do not
    /// count: they repeat what is known.
    pub first: Option<ExemplarRejection>,
}

/// What became of the samples of one batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AppendOutcome {
    /// Float samples that are stored (duplicates with equal bits included).
    pub accepted_floats: u64,
    /// Histogram samples that are stored, likewise.
    pub accepted_histograms: u64,
    /// Series that were created.
    pub created_series: u64,
    /// What became of the exemplars.
    pub exemplars: ExemplarOutcome,
    pub(super) rejected: [u64; RejectionKind::ALL.len()],
    pub(super) first: [Option<Rejection>; RejectionKind::ALL.len()],
}

impl AppendOutcome {
    /// How many samples were refused for one reason. Those that only contradict others of the
    /// request count too, and none of them is the [`first`](Self::first).
    pub fn rejected(&self, kind: RejectionKind) -> u64 {
        self.rejected[kind as usize]
    }

    /// How many samples are stored.
    #[inline]
    pub(super) fn accepted(&self) -> u64 {
        self.accepted_floats + self.accepted_histograms
    }

    /// How many samples were refused.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.iter().sum()
    }

    /// The first sample that was refused for one reason.
    pub fn first(&self, kind: RejectionKind) -> Option<&Rejection> {
        self.first[kind as usize].as_ref()
    }

    /// The first refused sample of the request.
    pub fn first_rejection(&self) -> Option<&Rejection> {
        self.first.iter().flatten().min_by_key(|rejection| rejection.series_index)
    }
}
