//! What a query gives back: a scalar, a string, an instant vector or a matrix.
//!
//! Made by the engine, read by the HTTP API and the test-script runner. Holds results only; the
//! engine computes in the columns of `engine/batch.rs`.

use std::sync::Arc;

use model::{FloatHistogram, Labels, TimestampMs};

/// The value of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number at the evaluation time.
    Scalar(FloatPoint),
    /// One text at the evaluation time. PromQL's strings are bytes.
    String {
        /// The evaluation time.
        timestamp_ms: TimestampMs,
        /// The text; not always UTF-8.
        value: Vec<u8>,
    },
    /// One sample a series, all at the evaluation time, in the order of evaluation.
    Vector(Vec<VectorSample>),
    /// Points over time, series sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

impl Value {
    /// The name of the type in JSON: `scalar`, `string`, `vector`, `matrix`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar(_) => "scalar",
            Self::String { .. } => "string",
            Self::Vector(_) => "vector",
            Self::Matrix(_) => "matrix",
        }
    }
}

/// A float at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FloatPoint {
    /// When, ms.
    pub timestamp_ms: TimestampMs,
    /// The value.
    pub value: f64,
}

/// A histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramPoint {
    /// When, ms.
    pub timestamp_ms: TimestampMs,
    /// The histogram.
    pub histogram: Arc<FloatHistogram>,
}

/// A float or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// One sample of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// The labels of its series.
    pub labels: Labels,
    /// The evaluation time, ms.
    pub timestamp_ms: TimestampMs,
    /// Its value.
    pub value: SampleValue,
}

/// One series of a matrix. No time stands in both columns; each ascends in time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MatrixSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its float points.
    pub floats: Vec<FloatPoint>,
    /// Its histogram points.
    pub histograms: Vec<HistogramPoint>,
}
