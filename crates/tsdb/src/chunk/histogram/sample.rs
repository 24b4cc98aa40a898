//! A histogram sample in the form that the codec works with.

use std::borrow::Cow;
use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Span};

use super::kind::HistogramKind;
use super::layout::Layout;
use super::spans::{Side, bucket_count, widen};
use crate::error::DecodeError;

/// One sample of either kind; counts as bits, buckets absolute.
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    pub(super) hint: CounterResetHint,
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) sum: f64,
    pub(super) count: u64,
    pub(super) zero_count: u64,
    pub(super) positive_spans: Cow<'a, [Span]>,
    pub(super) negative_spans: Cow<'a, [Span]>,
    pub(super) positive: Vec<u64>,
    pub(super) negative: Vec<u64>,
    pub(super) custom_values: Arc<[f64]>,
}

impl<'a> Sample<'a> {
    pub(super) fn is_stale(&self) -> bool {
        model::is_stale(self.sum)
    }

    /// What a stale marker is stored and read as: nothing but its sum.
    pub(super) fn stale(sum: f64) -> Self {
        Self {
            hint: CounterResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            sum,
            count: 0,
            zero_count: 0,
            positive_spans: Cow::Borrowed(&[]),
            negative_spans: Cow::Borrowed(&[]),
            positive: Vec::new(),
            negative: Vec::new(),
            custom_values: Arc::default(),
        }
    }

    /// Fails unless there are as many buckets as the spans say.
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        let fits = bucket_count(&self.positive_spans) == Some(self.positive.len())
            && bucket_count(&self.negative_spans) == Some(self.negative.len());
        if fits {
            Ok(())
        } else {
            Err(DecodeError::Invalid("histogram spans and buckets do not match"))
        }
    }

    pub(super) fn positive_side(&self) -> Side<'_> {
        Side { spans: &self.positive_spans, buckets: &self.positive }
    }

    pub(super) fn negative_side(&self) -> Side<'_> {
        Side { spans: &self.negative_spans, buckets: &self.negative }
    }

    pub(super) fn layout(&self) -> Layout {
        Layout {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive_spans: self.positive_spans.to_vec(),
            negative_spans: self.negative_spans.to_vec(),
            custom_values: self.custom_values.clone(),
        }
    }

    /// Lays the buckets out by spans that have all buckets of the sample.
    pub(super) fn widen(&mut self, positive: Cow<'a, [Span]>, negative: Cow<'a, [Span]>) {
        self.positive = widen(self.positive_side(), &positive);
        self.negative = widen(self.negative_side(), &negative);
        self.positive_spans = positive;
        self.negative_spans = negative;
    }

    pub(super) fn into_float<K: HistogramKind>(self) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: K::count_to_float(self.zero_count),
            count: K::count_to_float(self.count),
            sum: self.sum,
            positive_spans: self.positive_spans.into_owned(),
            negative_spans: self.negative_spans.into_owned(),
            positive_buckets: self.positive.into_iter().map(K::to_float).collect(),
            negative_buckets: self.negative.into_iter().map(K::to_float).collect(),
            custom_values: self.custom_values,
        }
    }
}
