//! What the cardinality endpoints ask of ingesters.

use model::{Labels, Matcher, StorageError, TenantId};

/// Which series of an ingester count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CountMethod {
    /// All in memory.
    #[default]
    InMemory,
    /// Those that took a sample within the idle timeout.
    Active,
}

/// Sees label names with a value until it fails. It is called while the ingester's index is
/// locked for reading: it must be quick.
pub type ValueVisitor<'v> = &'v mut dyn FnMut(&str, &str) -> Result<(), StorageError>;
/// Sees values with the number of their series, likewise.
pub type CountVisitor<'v> = &'v mut dyn FnMut(&str, u64) -> Result<(), StorageError>;
/// Sees active series until it fails.
pub type SeriesVisitor<'v> = &'v mut dyn FnMut(ActiveSeries) -> Result<(), StorageError>;

/// A question about the recent series of a tenant.
#[derive(Debug, Clone, Copy)]
pub struct CardinalityQuery<'q> {
    /// The tenant.
    pub tenant: &'q TenantId,
    /// What the series have to satisfy; empty = nothing.
    pub matchers: &'q [Matcher],
    /// Which series count.
    pub counted: CountMethod,
}

/// An active series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveSeries {
    /// Its labels.
    pub labels: Labels,
    /// How many buckets it has, where it is a series of native histograms.
    pub bucket_count: Option<u32>,
}
