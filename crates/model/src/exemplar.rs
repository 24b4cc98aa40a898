//! Exemplars: single observations of a series with labels of their own, mostly a trace's id.

use crate::{Labels, TimestampMs};

/// The most characters that names and values of an exemplar's labels may have together.
pub const MAX_EXEMPLAR_LABEL_CHARS: usize = 128;

/// An exemplar.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its own labels.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When, ms.
    pub timestamp_ms: TimestampMs,
}

/// The exemplars of one series, in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// The series' labels.
    pub labels: Labels,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
}
