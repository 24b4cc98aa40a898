//! Reducing the resolution: buckets of a finer schema join into those of a coarser one.

use super::convert::{absolute, deltas};
use super::layout::{Cell, Layout, cells};
use super::types::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, Span};
use super::validate::{Fault, check_spans};

/// Why a resolution cannot be reduced.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReduceError {
    /// Custom bounds have no resolution.
    #[error("cannot reduce resolution when there are custom buckets")]
    CustomBuckets,
    /// The target is not an exponential schema.
    #[error("cannot reduce resolution to custom buckets schema")]
    CustomTarget,
    /// The target is not coarser.
    #[error("cannot reduce resolution from schema {from} to {to}")]
    NotCoarser {
        /// The histogram's schema.
        from: i32,
        /// The schema asked for.
        to: i32,
    },
    /// The histogram is damaged.
    #[error(transparent)]
    Damaged(#[from] Fault),
}

/// The index that `index` has in a schema that is `steps` coarser.
pub(super) fn coarser_index(index: i64, steps: u32) -> i64 {
    ((index - 1) >> steps.min(63)) + 1
}

/// The buckets of one side in a schema that is `steps` coarser.
pub(super) fn reduced<T: Cell>(spans: &[Span], buckets: &[T], steps: u32) -> Layout<T> {
    let mut out = Layout::with_capacity(buckets.len());
    for (index, value) in cells(spans, buckets) {
        out.push(coarser_index(index, steps), value);
    }
    out
}

pub(super) fn reduce_side<T: Cell>(spans: &mut Vec<Span>, buckets: &mut Vec<T>, steps: u32) {
    if steps == 0 || buckets.is_empty() {
        return;
    }
    let out = reduced(spans, buckets, steps);
    *spans = out.spans;
    *buckets = out.buckets;
}

fn steps(from: i32, to: i32) -> Result<u32, ReduceError> {
    if from == CUSTOM_BUCKETS_SCHEMA {
        return Err(ReduceError::CustomBuckets);
    }
    if to == CUSTOM_BUCKETS_SCHEMA {
        return Err(ReduceError::CustomTarget);
    }
    if to >= from {
        return Err(ReduceError::NotCoarser { from, to });
    }
    Ok(from.abs_diff(to))
}

impl FloatHistogram {
    /// Merges buckets to those of the coarser `target_schema`. Nothing is changed on an error.
    pub fn reduce_resolution(&mut self, target_schema: i32) -> Result<(), ReduceError> {
        let steps = steps(self.schema, target_schema)?;
        check_spans(&self.positive_spans, self.positive_buckets.len())?;
        check_spans(&self.negative_spans, self.negative_buckets.len())?;
        self.reduce_unchecked(target_schema, steps);
        Ok(())
    }

    fn reduce_unchecked(&mut self, target_schema: i32, steps: u32) {
        reduce_side(&mut self.positive_spans, &mut self.positive_buckets, steps);
        reduce_side(&mut self.negative_spans, &mut self.negative_buckets, steps);
        self.schema = target_schema;
    }

    /// A copy in `target_schema`, which is the histogram's own or, for exponential buckets, a
    /// coarser one; the copy in any other keeps the histogram's schema. A copy in a coarser
    /// schema has no counter reset hint.
    pub fn copy_to_schema(&self, target_schema: i32) -> Self {
        let mut copy = self.clone();
        if let Ok(steps) = steps(self.schema, target_schema) {
            copy.reduce_unchecked(target_schema, steps);
            copy.counter_reset_hint = super::CounterResetHint::Unknown;
        }
        copy
    }
}

impl Histogram {
    /// As [`FloatHistogram::reduce_resolution`].
    pub fn reduce_resolution(&mut self, target_schema: i32) -> Result<(), ReduceError> {
        let steps = steps(self.schema, target_schema)?;
        check_spans(&self.positive_spans, self.positive_buckets.len())?;
        check_spans(&self.negative_spans, self.negative_buckets.len())?;
        reduce_deltas(&mut self.positive_spans, &mut self.positive_buckets, steps);
        reduce_deltas(&mut self.negative_spans, &mut self.negative_buckets, steps);
        self.schema = target_schema;
        Ok(())
    }
}

fn reduce_deltas(spans: &mut Vec<Span>, buckets: &mut Vec<i64>, steps: u32) {
    let mut counts = absolute(buckets);
    reduce_side(spans, &mut counts, steps);
    *buckets = deltas(&counts);
}
