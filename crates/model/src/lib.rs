//! The words that every part of Urd shares: labels, matchers, samples, native histograms,
//! tenants, time, and the traits where storage and query meet.
//!
//! No IO and no async. Time, randomness and parallelism are handed in through the traits of
//! [`env`](mod@env); nothing here takes them from the system.

pub mod batch;
pub mod bytes;
pub mod context;
pub mod env;
pub mod exemplar;
pub mod fnv;
pub mod histogram;
pub mod html;
pub mod labels;
pub mod matcher;
pub mod quote;
pub mod regex;
pub mod sample;
pub mod storage;
pub mod tenant;

pub use batch::WriteBatch;
pub use context::{CancelOnDrop, Interrupted, LimitError, LimitKind, QueryContext, QueryLimits};
pub use env::{Clock, Executor, Random};
pub use exemplar::{Exemplar, SeriesExemplars};
pub use histogram::{CounterResetHint, FloatHistogram, Histogram, Span};
pub use labels::{Label, Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use sample::{SampleBuffer, is_stale, stale_nan};
pub use storage::{
    EncodedChunk, Querier, Queryable, SampleReader, SelectHints, SeriesEntry, SeriesSet, Shard,
    StorageError, TimeRange,
};
pub use tenant::{InvalidTenantId, TenantId};

/// Milliseconds since the Unix epoch; may be negative.
pub type TimestampMs = i64;

/// The label that holds a metric's name.
pub const METRIC_NAME_LABEL: &str = "__name__";
