//! Native histograms: the integer form that is written and stored, and the float form that
//! queries compute with. Arithmetic stands in the files beneath, one kind of it a file.
//!
//! Nothing here trusts its input: histograms come from writers and from disk, so every function
//! ends and never panics on one whose spans and buckets disagree, though what it then returns
//! has no meaning. [`Histogram::validate`] and [`FloatHistogram::validate`] tell them apart.

mod aggregate;
mod arith;
mod bounds;
mod bucket;
pub mod classic;
mod compact;
mod convert;
mod custom;
mod equality;
mod fraction;
mod kahan;
mod layout;
mod quantile;
mod reset;
mod resolution;
mod statistics;
mod text;
mod trim;
mod types;
mod validate;
mod zero;

pub use aggregate::{AggregationNotes, HistogramMean, HistogramSum};
pub use arith::{AddOutcome, IncompatibleSchemas};
pub use bucket::Bucket;
pub use kahan::{Kahan, KahanHistogram};
pub use quantile::NanObservations;
pub use resolution::ReduceError;
pub use types::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, MAX_EXPONENTIAL_SCHEMA,
    MIN_EXPONENTIAL_SCHEMA, Span,
};
pub use validate::{Fault, InvalidHistogram, Side};

/// The finest schema that is accepted and then reduced to [`MAX_EXPONENTIAL_SCHEMA`].
pub const MAX_RESERVED_SCHEMA: i32 = 52;
/// The coarsest exponential schema number that is known; those below
/// [`MIN_EXPONENTIAL_SCHEMA`] are refused.
pub const MIN_RESERVED_SCHEMA: i32 = -9;

/// Whether `schema` is an exponential one that can be computed with.
pub fn is_exponential_schema(schema: i32) -> bool {
    (MIN_EXPONENTIAL_SCHEMA..=MAX_EXPONENTIAL_SCHEMA).contains(&schema)
}

/// Whether `schema` is finer than what is computed with and must be reduced to
/// [`MAX_EXPONENTIAL_SCHEMA`] before use.
pub fn needs_reduction(schema: i32) -> bool {
    (MAX_EXPONENTIAL_SCHEMA + 1..=MAX_RESERVED_SCHEMA).contains(&schema)
}

#[cfg(test)]
mod tests;
