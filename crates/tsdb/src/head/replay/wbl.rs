//! Filling the head with what came out of order: its chunks of the head chunk files, then the
//! write-behind log. Called once, when all series are known.
//!
//! A sample may stand in the log although a chunk of the files has it: the log is shortened only
//! when blocks are written. A marker names a chunk that has the samples before it, so that they
//! are taken off the list again. Only what the chunk really has is taken off: a marker whose
//! chunk was lost, or one that was logged out of turn, loses nothing. At the end every list is
//! compared with all chunks of its series.

use std::collections::BTreeSet;
use std::path::Path;

use model::batch::HistogramValue;
use parking_lot::MutexGuard;

use super::super::ooo::{CompactedMarker, LateSample, LateSeries, LateValue};
use super::super::series::{ChunkPlace, FullChunk};
use super::super::shards::Shard;
use super::Replay;
use crate::error::{DecodeError, TsdbError};
use crate::fs::{SharedFs, exists};
use crate::head_chunks::{ChunkDiskRef, HeadChunk};
use crate::wal::record::{Record, SampleRecord};
use crate::wal::{
    CorruptionKind, WalError, WalReader, close_gaps, list_segments, remove_segments_before,
};

/// The most samples that a list holds during a replay: the most that any writer keeps in one.
const MAX_LIST: usize = 255;

/// Chunks of samples that came out of order with the references of their series, in the order in
/// which they were written.
#[derive(Debug, Default)]
pub(super) struct LateChunks {
    chunks: Vec<(u64, FullChunk)>,
    compacted: Option<CompactedMarker>,
}

impl LateChunks {
    /// None yet, for the database in `dir`.
    pub(super) fn new(fs: &SharedFs, dir: &Path) -> Result<Self, TsdbError> {
        Ok(Self { chunks: Vec::new(), compacted: CompactedMarker::read(fs, dir)? })
    }

    /// Notes a chunk of the files. All of them come in the order in which they were written.
    pub(super) fn push(&mut self, disk_ref: ChunkDiskRef, chunk: &HeadChunk<'_>) {
        if self.compacted.is_some_and(|marker| marker.is_of(disk_ref, chunk)) {
            self.chunks.clear();
            return;
        }
        let full = FullChunk {
            min_time_ms: chunk.mint,
            max_time_ms: chunk.maxt_incl,
            place: ChunkPlace::Mapped(disk_ref),
        };
        self.chunks.push((chunk.series_ref, full));
    }

    /// The number of chunks.
    pub(super) fn len(&self) -> u64 {
        self.chunks.len() as u64
    }
}

type Shards<'a> = Vec<MutexGuard<'a, Shard>>;

impl Replay<'_> {
    /// Applies the chunks of the files and the log, and repairs what is damaged there.
    pub(super) fn read_wbl(&mut self) -> Result<(), TsdbError> {
        let (fs, dir) = (self.fs, self.sources.wal_dir.with_file_name("wbl"));
        let chunks = std::mem::take(&mut self.late_chunks);
        let head = self.head;
        let mut shards: Shards<'_> = (0..head.shards.len()).map(|i| head.shards.lock(i)).collect();
        for (series_ref, chunk) in chunks.chunks {
            if let Some(late) = self.late_of(&mut shards, series_ref) {
                late.push_full(chunk);
            }
        }
        if let Some(marker) = chunks.compacted {
            remove_compacted(fs, &dir, marker)?;
        }
        close_gaps(fs, &dir)?;
        let mut reader = WalReader::new(fs.clone(), list_segments(fs, &dir)?);
        loop {
            let applied = match reader.next_record() {
                Ok(Some(record)) => self.apply_late(&mut shards, record),
                Ok(None) => break,
                Err(WalError::Corrupt(corruption)) => {
                    self.repair(&corruption)?;
                    break;
                }
                Err(other) => return Err(other.into()),
            };
            if applied.is_err() {
                if let Some(corruption) = reader.corruption(CorruptionKind::Record) {
                    self.repair(&corruption)?;
                }
                break;
            }
        }
        shards.iter_mut().for_each(|shard| self.finish_late(shard));
        Ok(())
    }

    /// What the series of a reference has; `None` for a reference that the log does not name.
    fn late_of<'s>(
        &self,
        shards: &'s mut Shards<'_>,
        series_ref: u64,
    ) -> Option<&'s mut LateSeries> {
        let location = self.refs.get(series_ref)?;
        Some(shards[location.shard()].cold_or_new(location.slot()).late_or_new())
    }

    /// Applies a record. One that cannot be decoded as a whole is not applied in part: the repair
    /// cuts all of it off, and the next start must find the same.
    fn apply_late(&mut self, shards: &mut Shards<'_>, record: &[u8]) -> Result<(), DecodeError> {
        match Record::decode(record)? {
            Record::Samples(samples) => {
                for sample in whole(samples)? {
                    let SampleRecord { t, start_t, value, .. } = sample;
                    let late = LateSample { t, start_t, value: LateValue::Float(value) };
                    self.insert_late(shards, sample.series_ref, late);
                }
            }
            Record::Histograms(samples) => {
                for sample in whole(samples)? {
                    let (t, start_t) = (sample.t, sample.start_t);
                    let value = HistogramValue::Int(Box::new(sample.histogram));
                    let late = LateSample { t, start_t, value: LateValue::Histogram(value) };
                    self.insert_late(shards, sample.series_ref, late);
                }
            }
            Record::FloatHistograms(samples) => {
                for sample in whole(samples)? {
                    let (t, start_t) = (sample.t, sample.start_t);
                    let value = HistogramValue::Float(Box::new(sample.histogram));
                    let late = LateSample { t, start_t, value: LateValue::Histogram(value) };
                    self.insert_late(shards, sample.series_ref, late);
                }
            }
            Record::MmapMarkers(markers) => {
                for marker in whole(markers)? {
                    let disk_ref = ChunkDiskRef::from_number(marker.chunk_ref);
                    self.apply_marker(shards, marker.series_ref, disk_ref);
                }
            }
            Record::Series(_)
            | Record::Tombstones(_)
            | Record::Exemplars(_)
            | Record::Metadata(_)
            | Record::Unknown(_) => {}
        }
        Ok(())
    }

    fn insert_late(&mut self, shards: &mut Shards<'_>, series_ref: u64, sample: LateSample) {
        let Some(late) = self.late_of(shards, series_ref) else {
            *self.counts.unknown.get_mut() += 1;
            return;
        };
        if late.sample_count() >= MAX_LIST {
            self.shorten(series_ref, late);
        }
        if late.insert(sample) {
            *self.counts.samples.get_mut() += 1;
        }
    }

    /// Takes the samples of a chunk off the list.
    fn apply_marker(&self, shards: &mut Shards<'_>, series_ref: u64, disk_ref: ChunkDiskRef) {
        let Some(late) = self.late_of(shards, series_ref) else { return };
        let is_marked = |c: &&FullChunk| matches!(c.place, ChunkPlace::Mapped(r) if r == disk_ref);
        let marked = late.chunks().find(is_marked).cloned();
        if let Some(chunk) = marked {
            self.take_off(late, &[chunk]);
        }
    }

    /// Takes off the list what chunks have. A chunk that cannot be read has nothing.
    fn take_off(&self, late: &mut LateSeries, chunks: &[FullChunk]) {
        let mut times = BTreeSet::new();
        for chunk in chunks {
            let mut samples = Vec::new();
            if self.head.decode_chunk(chunk, &mut samples).is_ok() {
                times.extend(samples.iter().map(|sample| sample.t));
            }
        }
        late.retain_samples(|t| !times.contains(&t));
    }

    /// Takes everything off the list that stands in chunks, and makes chunks of the rest.
    fn shorten(&self, series_ref: u64, late: &mut LateSeries) {
        self.take_off_all(late);
        if late.sample_count() >= self.head.late.capacity {
            // What cannot be encoded stays in the list.
            let _ = late.close_list(series_ref, &self.head.chunk_sink());
        }
    }

    fn take_off_all(&self, late: &mut LateSeries) {
        let Some((first, last)) = late.list_bounds() else { return };
        let overlaps = |c: &&FullChunk| c.min_time_ms <= last && first <= c.max_time_ms;
        let chunks: Vec<FullChunk> = late.chunks().filter(overlaps).cloned().collect();
        self.take_off(late, &chunks);
    }

    fn finish_late(&self, shard: &mut Shard) {
        for slot in 0..shard.series.len() as u32 {
            let series_ref = shard.series[slot as usize].series_ref();
            let Some(late) = shard.late_mut(slot, series_ref) else { continue };
            self.take_off_all(late);
            if late.sample_count() > self.head.late.capacity {
                let _ = late.close_list(series_ref, &self.head.chunk_sink());
            }
            match late.time_bounds() {
                Some((min, max)) => self.head.late.note_times(min, max),
                None => shard.drop_late(slot),
            }
        }
    }
}

/// Everything that a record holds, or why it cannot be decoded.
fn whole<T>(items: impl Iterator<Item = Result<T, DecodeError>>) -> Result<Vec<T>, DecodeError> {
    items.collect()
}

/// Deletes the segments of which everything stands in blocks. They were deleted when it came
/// there; the death of the machine may bring some of them back.
fn remove_compacted(
    fs: &SharedFs,
    dir: &Path,
    mut marker: CompactedMarker,
) -> Result<(), TsdbError> {
    let Some(first) = marker.first_segment() else { return Ok(()) };
    if !remove_segments_before(fs, dir, first)?.is_empty() {
        // Later segments get later numbers.
        return Ok(());
    }
    if exists(&**fs, dir).map_err(|e| TsdbError::io("look for", dir, e))? {
        fs.sync_dir(dir).map_err(|e| TsdbError::io("sync directory", dir, e))?;
    }
    marker.forget_segments(fs, crate::fs::parent_dir(dir))
}
