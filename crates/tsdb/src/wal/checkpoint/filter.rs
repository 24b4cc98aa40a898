//! What stays of each record in a checkpoint. Pure: records in, records out.
//!
//! A record of which everything stays is copied as it is. One of which a part stays is written anew,
//! with start timestamps if it has them.

use std::collections::BTreeMap;

use model::TimestampMs;

use super::CheckpointStats;
use crate::error::DecodeError;
use crate::wal::record::{
    ExemplarIter, ExemplarsEncoder, FloatHistogramIter, FloatHistogramsEncoder,
    FloatHistogramsV2Encoder, HistogramIter, HistogramsEncoder, HistogramsV2Encoder,
    MetadataEncoder, MetadataIter, MetricType, Record, RecordType, SampleIter, SamplesEncoder,
    SamplesV2Encoder, SeriesEncoder, SeriesIter, TombstoneIter, TombstonesEncoder,
};

/// A metadata record is begun anew when it has so many bytes.
const METADATA_RECORD_BYTES: usize = 1 << 20;

/// Type, unit and help of a series.
type Metadata = (MetricType, String, String);

/// Decides what stays.
pub(super) struct Filter<'a> {
    mint: TimestampMs,
    keep: &'a mut dyn FnMut(u64) -> bool,
    kept: Vec<Vec<u8>>,
    metadata: BTreeMap<u64, Metadata>,
    stats: CheckpointStats,
}

/// How many items of a record stay, and how many do not.
#[derive(Debug, Default, Clone, Copy)]
struct Split {
    kept: u64,
    dropped: u64,
}

impl Split {
    fn count(&mut self, is_kept: bool) {
        *(if is_kept { &mut self.kept } else { &mut self.dropped }) += 1;
    }

    /// Counts the items of a record.
    fn of<T>(
        items: impl Iterator<Item = Result<T, DecodeError>>,
        mut is_kept: impl FnMut(&T) -> bool,
    ) -> Result<Self, DecodeError> {
        let mut split = Self::default();
        for item in items {
            split.count(is_kept(&item?));
        }
        Ok(split)
    }

    fn add_to(self, kept: &mut u64, dropped: &mut u64) {
        *kept += self.kept;
        *dropped += self.dropped;
    }
}

impl<'a> Filter<'a> {
    /// Keeps series for which `keep` is true and what is not before `mint`.
    pub(super) fn new(mint: TimestampMs, keep: &'a mut dyn FnMut(u64) -> bool) -> Self {
        let stats = CheckpointStats::default();
        Self { mint, keep, kept: Vec::new(), metadata: BTreeMap::new(), stats }
    }

    /// Takes in a record. After an error nothing of it was kept.
    pub(super) fn record(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        match Record::decode(record)? {
            Record::Series(items) => self.series(record, items),
            Record::Samples(items) => self.samples(record, items),
            Record::Histograms(items) => self.histograms(record, items),
            Record::FloatHistograms(items) => self.float_histograms(record, items),
            Record::Tombstones(items) => self.tombstones(record, items),
            Record::Exemplars(items) => self.exemplars(record, items),
            Record::Metadata(items) => self.note_metadata(items),
            // Markers belong to another log, unknown records to nobody.
            Record::MmapMarkers(_) | Record::Unknown(_) => Ok(()),
        }
    }

    /// Adds the latest metadata of each series.
    pub(super) fn finish(&mut self) {
        let mut encoder = MetadataEncoder::default();
        for (series_ref, (metric_type, unit, help)) in std::mem::take(&mut self.metadata) {
            encoder.push(series_ref, metric_type, &unit, &help);
            self.stats.metadata += 1;
            if encoder.record().len() >= METADATA_RECORD_BYTES {
                self.push(encoder.record());
                encoder.clear();
            }
        }
        self.push(encoder.record());
    }

    /// The records that were kept since the last call.
    pub(super) fn take_kept(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.kept.drain(..)
    }

    /// What was kept and left out so far.
    pub(super) fn stats(&self) -> CheckpointStats {
        self.stats
    }

    fn push(&mut self, record: &[u8]) {
        if !record.is_empty() {
            self.kept.push(record.to_vec());
        }
    }

    /// Keeps a record as it is, if that is what the split asks for; false when it must be
    /// rewritten.
    fn is_settled(&mut self, record: &[u8], split: Split) -> bool {
        if split.kept > 0 && split.dropped == 0 {
            self.push(record);
            return true;
        }
        split.kept == 0
    }

    fn series(&mut self, record: &[u8], mut items: SeriesIter<'_>) -> Result<(), DecodeError> {
        let (mut split, mut encoder) = (Split::default(), SeriesEncoder::default());
        while let Some(series) = items.next_item() {
            let series = series?;
            let is_kept = (self.keep)(series.series_ref);
            split.count(is_kept);
            if is_kept {
                encoder.push(series.series_ref, series.labels.iter().copied());
            }
        }
        split.add_to(&mut self.stats.series, &mut self.stats.dropped_series);
        if !self.is_settled(record, split) {
            self.push(encoder.record());
        }
        Ok(())
    }

    fn samples(&mut self, record: &[u8], items: SampleIter<'_>) -> Result<(), DecodeError> {
        let mint = self.mint;
        let split = Split::of(items.clone(), |s| s.t >= mint)?;
        split.add_to(&mut self.stats.samples, &mut self.stats.dropped_samples);
        if !self.is_settled(record, split) {
            let mut encoder = SamplesEncoder::default();
            let mut with_starts = SamplesV2Encoder::default();
            for s in items.flatten().filter(|s| s.t >= mint) {
                if has_start_times(record) {
                    with_starts.push(s.series_ref, (s.t, s.start_t), s.value);
                } else {
                    encoder.push(s.series_ref, s.t, s.value);
                }
            }
            self.push(encoder.record());
            self.push(with_starts.record());
        }
        Ok(())
    }

    fn histograms(&mut self, record: &[u8], items: HistogramIter<'_>) -> Result<(), DecodeError> {
        let mint = self.mint;
        let split = Split::of(items.clone(), |h| h.t >= mint)?;
        split.add_to(&mut self.stats.histograms, &mut self.stats.dropped_histograms);
        if !self.is_settled(record, split) {
            let mut encoder = HistogramsEncoder::default();
            let mut with_starts = HistogramsV2Encoder::default();
            for h in items.flatten().filter(|h| h.t >= mint) {
                if has_start_times(record) {
                    with_starts.push(h.series_ref, (h.t, h.start_t), &h.histogram);
                } else {
                    encoder.push(h.series_ref, h.t, &h.histogram);
                }
            }
            self.push(with_starts.record());
            encoder.records().into_iter().for_each(|record| self.push(record));
        }
        Ok(())
    }

    fn float_histograms(
        &mut self,
        record: &[u8],
        items: FloatHistogramIter<'_>,
    ) -> Result<(), DecodeError> {
        let mint = self.mint;
        let split = Split::of(items.clone(), |h| h.t >= mint)?;
        split.add_to(&mut self.stats.histograms, &mut self.stats.dropped_histograms);
        if !self.is_settled(record, split) {
            let mut encoder = FloatHistogramsEncoder::default();
            let mut with_starts = FloatHistogramsV2Encoder::default();
            for h in items.flatten().filter(|h| h.t >= mint) {
                if has_start_times(record) {
                    with_starts.push(h.series_ref, (h.t, h.start_t), &h.histogram);
                } else {
                    encoder.push(h.series_ref, h.t, &h.histogram);
                }
            }
            self.push(with_starts.record());
            encoder.records().into_iter().for_each(|record| self.push(record));
        }
        Ok(())
    }

    fn tombstones(&mut self, record: &[u8], items: TombstoneIter<'_>) -> Result<(), DecodeError> {
        let mint = self.mint;
        let split = Split::of(items.clone(), |t| t.maxt_incl >= mint)?;
        split.add_to(&mut self.stats.tombstones, &mut self.stats.dropped_tombstones);
        if !self.is_settled(record, split) {
            let mut encoder = TombstonesEncoder::default();
            for t in items.flatten().filter(|t| t.maxt_incl >= mint) {
                encoder.push(t.series_ref, t.mint, t.maxt_incl);
            }
            self.push(encoder.record());
        }
        Ok(())
    }

    fn exemplars(&mut self, record: &[u8], mut items: ExemplarIter<'_>) -> Result<(), DecodeError> {
        let (mut split, mut encoder) = (Split::default(), ExemplarsEncoder::default());
        while let Some(exemplar) = items.next_item() {
            let e = exemplar?;
            split.count(e.t >= self.mint);
            if e.t >= self.mint {
                encoder.push(e.series_ref, (e.t, e.value), e.labels.iter().copied());
            }
        }
        split.add_to(&mut self.stats.exemplars, &mut self.stats.dropped_exemplars);
        if !self.is_settled(record, split) {
            self.push(encoder.record());
        }
        Ok(())
    }

    fn note_metadata(&mut self, items: MetadataIter<'_>) -> Result<(), DecodeError> {
        for item in items {
            let m = item?;
            if (self.keep)(m.series_ref) {
                let metadata = (m.metric_type, m.unit.to_owned(), m.help.to_owned());
                self.metadata.insert(m.series_ref, metadata);
            }
        }
        Ok(())
    }
}

fn has_start_times(record: &[u8]) -> bool {
    let record_type = record.first().copied().and_then(RecordType::from_number);
    matches!(
        record_type,
        Some(RecordType::SamplesV2 | RecordType::HistogramsV2 | RecordType::FloatHistogramsV2)
    )
}
