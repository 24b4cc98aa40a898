//! Samples in columns, and the NaN bit patterns that carry meaning.

use std::sync::Arc;

use crate::{FloatHistogram, TimestampMs};

/// The bits of the NaN that marks a series as stale.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
/// The bits of an ordinary NaN.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// The stale marker as a value.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the stale marker (other NaNs are not).
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// Decoded samples of one series: floats in two parallel columns, histograms in two others,
/// each ascending in time. No timestamp stands in both. Owned and reused by the caller.
///
/// Stale markers are included: a float whose bits are [`STALE_NAN_BITS`], or a histogram whose
/// sum has those bits.
#[derive(Debug, Default, Clone)]
pub struct SampleBuffer {
    /// Times of the float samples, ms.
    pub float_times: Vec<TimestampMs>,
    /// Values of the float samples.
    pub float_values: Vec<f64>,
    /// Times of the histogram samples, ms.
    pub histogram_times: Vec<TimestampMs>,
    /// The histogram samples.
    pub histograms: Vec<Arc<FloatHistogram>>,
    /// Start timestamps of the float samples, parallel to `float_times`; empty when the
    /// storage keeps none. 0 = unknown.
    pub float_start_times: Vec<TimestampMs>,
    /// Start timestamps of the histogram samples, likewise.
    pub histogram_start_times: Vec<TimestampMs>,
}

impl SampleBuffer {
    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.float_times.clear();
        self.float_values.clear();
        self.histogram_times.clear();
        self.histograms.clear();
        self.float_start_times.clear();
        self.histogram_start_times.clear();
    }

    /// The number of samples of both kinds.
    pub fn len(&self) -> usize {
        self.float_times.len() + self.histogram_times.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a float sample. It must be later than all that are there.
    pub fn push_float(&mut self, t: TimestampMs, value: f64) {
        debug_assert!(self.float_times.last().is_none_or(|&last| last < t));
        if !self.float_start_times.is_empty() {
            self.float_start_times.push(0);
        }
        self.float_times.push(t);
        self.float_values.push(value);
    }

    /// Appends a float sample with a start timestamp (0 = unknown).
    pub fn push_float_with_start(&mut self, t: TimestampMs, value: f64, start: TimestampMs) {
        if start != 0 {
            self.float_start_times.resize(self.float_times.len(), 0);
            self.float_start_times.push(start);
            self.float_times.push(t);
            self.float_values.push(value);
        } else {
            self.push_float(t, value);
        }
    }

    /// Appends float samples of another buffer, which must be later than all that are there.
    pub fn extend_floats(&mut self, other: &Self, range: std::ops::Range<usize>) {
        debug_assert!(self.float_times.last() < other.float_times[range.clone()].first());
        let starts = other.float_start_times.get(range.clone());
        if starts.is_some_and(|starts| starts.iter().any(|&start| start != 0)) {
            self.float_start_times.resize(self.float_times.len(), 0);
        }
        if !self.float_start_times.is_empty() || self.float_times.is_empty() {
            self.float_start_times.extend_from_slice(starts.unwrap_or_default());
        }
        self.float_times.extend_from_slice(&other.float_times[range.clone()]);
        self.float_values.extend_from_slice(&other.float_values[range]);
        if !self.float_start_times.is_empty() {
            self.float_start_times.resize(self.float_times.len(), 0);
        }
    }

    /// Appends a histogram sample. It must be later than all that are there.
    pub fn push_histogram(&mut self, t: TimestampMs, histogram: Arc<FloatHistogram>) {
        debug_assert!(self.histogram_times.last().is_none_or(|&last| last < t));
        if !self.histogram_start_times.is_empty() {
            self.histogram_start_times.push(0);
        }
        self.histogram_times.push(t);
        self.histograms.push(histogram);
    }

    /// Appends a histogram sample with a start timestamp (0 = unknown).
    pub fn push_histogram_with_start(
        &mut self,
        t: TimestampMs,
        histogram: Arc<FloatHistogram>,
        start: TimestampMs,
    ) {
        if start != 0 {
            self.histogram_start_times.resize(self.histogram_times.len(), 0);
            self.histogram_start_times.push(start);
            self.histogram_times.push(t);
            self.histograms.push(histogram);
        } else {
            self.push_histogram(t, histogram);
        }
    }

    /// The time of the last sample of either kind.
    pub fn last_time(&self) -> Option<TimestampMs> {
        self.float_times.last().copied().max(self.histogram_times.last().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copying runs is the same as pushing sample by sample, whichever run has start timestamps.
    #[test]
    fn runs_of_floats_are_copied_with_their_start_timestamps() {
        for starts in 0..8_i64 {
            let (mut copied, mut pushed) = (SampleBuffer::default(), SampleBuffer::default());
            for run in 0..3_i64 {
                let start = if starts & (1 << run) == 0 { 0 } else { 1 };
                let mut other = SampleBuffer::default();
                for i in 0..3 {
                    other.push_float_with_start(run * 10 + i, i as f64, start * (i & 1));
                }
                copied.extend_floats(&other, 1..3);
                for i in 1..3 {
                    pushed.push_float_with_start(run * 10 + i, i as f64, start * (i & 1));
                }
            }
            assert_eq!(copied.float_times, pushed.float_times);
            assert_eq!(copied.float_values, pushed.float_values);
            assert_eq!(copied.float_start_times, pushed.float_start_times, "{starts:03b}");
        }
    }
}
