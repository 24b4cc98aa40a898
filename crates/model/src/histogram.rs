//! Native histograms: the integer form that is written and stored, and the float form that
//! queries compute with. Arithmetic stands in the files beneath.

mod types;

pub use types::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, MAX_EXPONENTIAL_SCHEMA,
    MIN_EXPONENTIAL_SCHEMA, Span,
};
