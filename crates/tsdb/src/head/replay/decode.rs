//! Decoding a batch of records: into series by shard, then into samples by shard.
//!
//! Pure work over bytes, done by several threads at a time, each with a run of records.

use std::ops::Range;
use std::sync::Arc;

use model::batch::{HistogramValue, SeriesHasher, push_canonical};
use model::{Label, TimestampMs};

use super::super::shards::{Location, Shards};
use super::exemplars::{self, ExemplarItem};
use super::metadata::{self, MetadataItem};
use super::refs::{self, RefTable};
use crate::error::DecodeError;
use crate::tombstones::Interval;
use crate::wal::record::{Record, SeriesIter};
use crate::wal::{Corruption, CorruptionKind, SegmentInfo};

/// Records of the log, one behind the other.
#[derive(Debug, Default)]
pub(super) struct RecordBatch {
    bytes: Vec<u8>,
    records: Vec<RecordPlace>,
    segments: Vec<SegmentInfo>,
}

#[derive(Debug, Clone, Copy)]
struct RecordPlace {
    end: usize,
    /// Index of its segment.
    segment: usize,
    /// Where it begins in the segment.
    offset: u64,
}

impl RecordBatch {
    /// Adds a record that begins at `offset` of `segment`.
    pub(super) fn push(&mut self, record: &[u8], segment: &SegmentInfo, offset: u64) {
        if self.segments.last().is_none_or(|last| last.path != segment.path) {
            self.segments.push(segment.clone());
        }
        self.bytes.extend_from_slice(record);
        let segment = self.segments.len() - 1;
        self.records.push(RecordPlace { end: self.bytes.len(), segment, offset });
    }

    /// The bytes of all records.
    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no record.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Forgets the records and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.segments.clear();
    }

    /// The damage to report when record `index` cannot be decoded.
    pub(super) fn corruption(&self, index: usize) -> Corruption {
        let place = self.records[index];
        let segment = &self.segments[place.segment];
        Corruption {
            path: segment.path.clone(),
            segment: segment.number,
            offset: place.offset,
            kind: CorruptionKind::Record,
        }
    }

    /// Runs of records with about the same number of bytes.
    pub(super) fn split(&self, run_bytes: usize) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let (mut first, mut run_start) = (0, 0);
        for (i, record) in self.records.iter().enumerate() {
            if record.end - run_start >= run_bytes || i + 1 == self.records.len() {
                runs.push(first..i + 1);
                (first, run_start) = (i + 1, record.end);
            }
        }
        runs
    }

    /// A record.
    pub(super) fn record(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.records[index - 1].end };
        &self.bytes[start..self.records[index].end]
    }
}

/// The series of a run of records, in order of their shards.
#[derive(Debug, Default)]
pub(super) struct SeriesRun<'a> {
    items: Vec<SeriesItem>,
    labels: Vec<Label<'a>>,
    /// The first record that could not be decoded.
    pub(super) bad_record: Option<usize>,
}

/// A series of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesItem {
    pub(super) series_ref: u64,
    pub(super) hash: u64,
    pub(super) shard: u32,
    /// Index of its record in the batch.
    pub(super) record: u32,
    first_label: u32,
    label_count: u32,
}

impl<'a> SeriesRun<'a> {
    /// Decodes the series records of `run`.
    pub(super) fn decode(
        batch: &'a RecordBatch,
        run: Range<usize>,
        (shards, hasher): (&Shards, SeriesHasher),
    ) -> Self {
        let mut this = Self::default();
        for index in run {
            let decoded = match Record::decode(batch.record(index)) {
                Ok(Record::Series(series)) => this.decode_record((index, series), (shards, hasher)),
                Ok(_) => Ok(()),
                Err(e) => Err(e),
            };
            if decoded.is_err() && this.bad_record.is_none() {
                this.bad_record = Some(index);
            }
        }
        this.items.sort_by_key(|item| item.shard);
        this
    }

    fn decode_record(
        &mut self,
        (record, mut series): (usize, SeriesIter<'a>),
        (shards, hasher): (&Shards, SeriesHasher),
    ) -> Result<(), DecodeError> {
        let mut canonical = Vec::with_capacity(512);
        while let Some(item) = series.next_item() {
            let item = item?;
            // Its samples count as those of an unknown series.
            if !refs::is_possible(item.series_ref) {
                continue;
            }
            let series = (item.series_ref, item.labels);
            self.add(record, series, (shards, hasher), &mut canonical);
        }
        Ok(())
    }

    /// Adds a series of a record; [`SeriesRun::of_shard`] wants them in order of their shards.
    pub(super) fn add(
        &mut self,
        record: usize,
        (series_ref, labels): (u64, &[(&'a str, &'a str)]),
        (shards, hasher): (&Shards, SeriesHasher),
        canonical: &mut Vec<u8>,
    ) -> SeriesItem {
        let first_label = self.labels.len();
        let pairs = labels.iter().filter(|(_, value)| !value.is_empty());
        self.labels.extend(pairs.map(|&(name, value)| Label { name, value }));
        if !self.labels[first_label..].is_sorted_by(|a, b| a.name < b.name) {
            sort_unique(&mut self.labels, first_label);
        }
        let labels = &self.labels[first_label..];
        canonical.clear();
        labels.iter().for_each(|label| push_canonical(canonical, label));
        let hash = hasher.hash_canonical(canonical);
        let item = SeriesItem {
            series_ref,
            hash,
            shard: shards.index_of(hash) as u32,
            record: record as u32,
            first_label: first_label as u32,
            label_count: labels.len() as u32,
        };
        self.items.push(item);
        item
    }

    /// Whether there is no series.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The series of one shard, in order of the log.
    pub(super) fn of_shard(&self, shard: usize) -> &[SeriesItem] {
        let shard = shard as u32;
        let start = self.items.partition_point(|item| item.shard < shard);
        let end = self.items.partition_point(|item| item.shard <= shard);
        &self.items[start..end]
    }

    /// The labels of a series.
    pub(super) fn labels_of(&self, item: &SeriesItem) -> &[Label<'a>] {
        let start = item.first_label as usize;
        &self.labels[start..start + item.label_count as usize]
    }
}

/// A sample for one slot of a shard.
#[derive(Debug, Clone)]
pub(super) struct SampleItem {
    pub(super) slot: u32,
    /// Where its start timestamp stands in [`SampleRun::starts`], counted from 1; 0 = unknown. In
    /// this way it takes no more memory than without.
    start: u32,
    pub(super) t: TimestampMs,
    pub(super) value: SampleValue,
}

const _: () = assert!(size_of::<SampleItem>() == 32, "a batch has many");

/// Its value.
#[derive(Debug, Clone)]
pub(super) enum SampleValue {
    Float(f64),
    Histogram(Arc<HistogramValue>),
}

/// The samples of a run of records by shard, in order of the log.
#[derive(Debug, Default)]
pub(super) struct SampleRun {
    pub(super) by_shard: Vec<Vec<SampleItem>>,
    /// Start timestamps of samples that have one.
    starts: Vec<TimestampMs>,
    /// Samples before the valid time.
    pub(super) skipped: u64,
    /// Samples of unknown series.
    pub(super) unknown: u64,
    /// Deleted ranges of series.
    pub(super) deleted: Vec<(Location, Interval)>,
    /// Exemplars of series that are known.
    pub(super) exemplars: Vec<ExemplarItem>,
    /// Metadata of series that are known.
    pub(super) metadata: Vec<MetadataItem>,
    /// The first record that could not be decoded.
    pub(super) bad_record: Option<usize>,
}

impl SampleRun {
    /// Decodes the sample records of `run`. `by_shard` has an empty vector for each shard.
    pub(super) fn decode(
        batch: &RecordBatch,
        run: Range<usize>,
        refs: &RefTable,
        (by_shard, min_valid_ms): (Vec<Vec<SampleItem>>, TimestampMs),
    ) -> Self {
        let mut this = Self { by_shard, ..Self::default() };
        for index in run {
            let decoded = this.decode_record(batch.record(index), refs, min_valid_ms);
            if decoded.is_err() && this.bad_record.is_none() {
                this.bad_record = Some(index);
            }
        }
        this
    }

    fn decode_record(
        &mut self,
        record: &[u8],
        refs: &RefTable,
        min_valid_ms: TimestampMs,
    ) -> Result<(), DecodeError> {
        match Record::decode(record)? {
            Record::Samples(samples) => {
                for sample in samples {
                    let sample = sample?;
                    if let Some(location) =
                        self.place(sample.series_ref, sample.t, refs, min_valid_ms)
                    {
                        let value = SampleValue::Float(sample.value);
                        self.push(location, (sample.t, sample.start_t), value);
                    }
                }
            }
            Record::Histograms(samples) => {
                for sample in samples {
                    let sample = sample?;
                    if let Some(location) =
                        self.place(sample.series_ref, sample.t, refs, min_valid_ms)
                    {
                        let times = (sample.t, sample.start_t);
                        let value = HistogramValue::Int(Box::new(sample.histogram));
                        self.push(location, times, SampleValue::Histogram(Arc::new(value)));
                    }
                }
            }
            Record::FloatHistograms(samples) => {
                for sample in samples {
                    let sample = sample?;
                    if let Some(location) =
                        self.place(sample.series_ref, sample.t, refs, min_valid_ms)
                    {
                        let times = (sample.t, sample.start_t);
                        let value = HistogramValue::Float(Box::new(sample.histogram));
                        self.push(location, times, SampleValue::Histogram(Arc::new(value)));
                    }
                }
            }
            Record::Tombstones(items) => {
                for item in items {
                    let item = item?;
                    let interval = Interval { min_ms: item.mint, max_ms: item.maxt_incl };
                    let location = refs.get(item.series_ref);
                    self.deleted.extend(location.map(|location| (location, interval)));
                }
            }
            Record::Exemplars(items) => exemplars::decode(items, refs, &mut self.exemplars)?,
            Record::Metadata(items) => metadata::decode(items, refs, &mut self.metadata)?,
            Record::Series(_) | Record::MmapMarkers(_) | Record::Unknown(_) => {}
        }
        Ok(())
    }

    /// Where a sample goes; counts it when it goes nowhere.
    #[inline]
    fn place(
        &mut self,
        series_ref: u64,
        t: TimestampMs,
        refs: &RefTable,
        min_valid_ms: TimestampMs,
    ) -> Option<Location> {
        if t < min_valid_ms {
            self.skipped += 1;
            return None;
        }
        let location = refs.get(series_ref);
        self.unknown += u64::from(location.is_none());
        location
    }

    #[inline]
    fn push(
        &mut self,
        location: Location,
        (t, start_t): (TimestampMs, TimestampMs),
        value: SampleValue,
    ) {
        let slot = location.slot();
        let start = if start_t == 0 { 0 } else { self.add_start(start_t) };
        self.by_shard[location.shard()].push(SampleItem { slot, start, t, value });
    }

    #[cold]
    fn add_start(&mut self, start_t: TimestampMs) -> u32 {
        self.starts.push(start_t);
        u32::try_from(self.starts.len()).expect("a run has far fewer samples")
    }

    /// The start timestamp of one of its samples; 0 = unknown.
    #[inline]
    pub(super) fn start_of(&self, item: &SampleItem) -> TimestampMs {
        if item.start == 0 { 0 } else { self.starts[item.start as usize - 1] }
    }
}

/// Sorts the labels from `start` on; of a repeated name the last one counts, as everywhere.
fn sort_unique(labels: &mut Vec<Label<'_>>, start: usize) {
    labels[start..].sort_by_key(|label| label.name);
    let mut kept = start;
    for i in start..labels.len() {
        if labels.get(i + 1).is_none_or(|next| next.name != labels[i].name) {
            labels[kept] = labels[i];
            kept += 1;
        }
    }
    labels.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writers never write such a series; a log that holds one must not make a set of labels that
    /// is none.
    #[test]
    fn labels_of_the_log_become_a_set() {
        let label = |(name, value)| Label { name, value };
        let of = |pairs: &[(&'static str, &'static str)]| -> Vec<Label<'static>> {
            pairs.iter().copied().map(label).collect()
        };
        let mut labels = of(&[("z", "another's"), ("b", "1"), ("a", "2"), ("b", "3"), ("b", "4")]);
        sort_unique(&mut labels, 1);
        assert_eq!(labels, of(&[("z", "another's"), ("a", "2"), ("b", "4")]));
        sort_unique(&mut labels, 3);
        assert_eq!(labels.len(), 3, "a series without labels");
    }
}
