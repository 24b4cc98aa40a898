//! Samples on their way into a log: as records with start timestamps (types 11 to 13) where the
//! options ask for them, otherwise as those without (types 2 and 7 to 10).
//!
//! Used for the write-ahead log (`log.rs`) and for the log of late samples (`ooo/log.rs`).

use model::TimestampMs;
use model::batch::HistogramValue;

use super::floats::FloatSample;
use crate::wal::record::{
    FloatHistogramsEncoder, FloatHistogramsV2Encoder, HistogramsEncoder, HistogramsV2Encoder,
    SamplesEncoder, SamplesV2Encoder,
};

/// Records of samples of all kinds.
#[derive(Debug, Default)]
pub(super) struct SampleRecords {
    with_start_times: bool,
    samples: SamplesEncoder,
    histograms: HistogramsEncoder,
    float_histograms: FloatHistogramsEncoder,
    samples_v2: SamplesV2Encoder,
    histograms_v2: HistogramsV2Encoder,
    float_histograms_v2: FloatHistogramsV2Encoder,
}

impl SampleRecords {
    /// Chooses whether records have start timestamps. There must be no sample.
    pub(super) fn set_start_times(&mut self, with_start_times: bool) {
        debug_assert!(self.all().iter().all(|record| record.is_empty()), "one layout a request");
        self.with_start_times = with_start_times;
    }

    /// Adds a float.
    #[inline]
    pub(super) fn push_float(&mut self, series_ref: u64, sample: FloatSample) {
        if self.with_start_times {
            self.samples_v2.push(series_ref, (sample.t, sample.start_t), sample.value);
        } else {
            self.samples.push(series_ref, sample.t, sample.value);
        }
    }

    /// Adds a histogram with its time and its start timestamp.
    pub(super) fn push_histogram(
        &mut self,
        series_ref: u64,
        (t, start_t): (TimestampMs, TimestampMs),
        value: &HistogramValue,
    ) {
        match (value, self.with_start_times) {
            (HistogramValue::Int(h), false) => self.histograms.push(series_ref, t, h),
            (HistogramValue::Int(h), true) => self.histograms_v2.push(series_ref, (t, start_t), h),
            (HistogramValue::Float(h), false) => self.float_histograms.push(series_ref, t, h),
            (HistogramValue::Float(h), true) => {
                self.float_histograms_v2.push(series_ref, (t, start_t), h);
            }
        }
    }

    /// The records in the order in which they are logged; most of them are empty.
    pub(super) fn all(&self) -> [&[u8]; 8] {
        let [ints, custom_ints] = self.histograms.records();
        let [floats, custom_floats] = self.float_histograms.records();
        [
            self.samples.record(),
            self.samples_v2.record(),
            ints,
            custom_ints,
            self.histograms_v2.record(),
            floats,
            custom_floats,
            self.float_histograms_v2.record(),
        ]
    }

    /// Bytes of floats that are held.
    pub(super) fn float_bytes(&self) -> usize {
        self.samples.record().len() + self.samples_v2.record().len()
    }

    /// Forgets what was pushed and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.histograms.clear();
        self.float_histograms.clear();
        self.samples_v2.clear();
        self.histograms_v2.clear();
        self.float_histograms_v2.clear();
    }
}
