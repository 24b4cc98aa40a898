//! Late samples on their way into blocks.
//!
//! 1. [`Head::begin_late_compaction`]: the log begins a new segment, every list becomes chunks,
//!    and all chunks are set apart. What comes later is left to the next compaction.
//! 2. [`Head::write_late_block`] writes what is set apart, range by range.
//! 3. The caller shows the blocks to queries, with [`Head::note_late_compacted`].
//! 4. [`Head::shorten_late_log`] deletes the segments before the one that was begun, and
//!    [`Head::drop_compacted_late`] what was set apart, when no older query needs it.
//!
//! A compaction that fails leaves everything to the next one. A crash in between leaves at worst
//! samples in memory that stand in a block too.

use std::path::Path;
use std::sync::atomic::Ordering;

use model::{EncodedChunk, Labels, TimeRange, TimestampMs};
use ulid::Ulid;

use super::super::Head;
use super::super::find::Row;
use super::super::samples::with_chunk;
use super::super::series::{ChunkPlace, FullChunk};
use super::super::shards::Shard;
use super::LateSeries;
use super::marker::CompactedMarker;
use super::sample::{LateSample, decode_late, encode_late};
use crate::block::{BlockChunk, BlockWriter};
use crate::chunk::{ChunkEncoding, NewEncodings};
use crate::error::TsdbError;
use crate::fs::SharedFs;
use crate::head_chunks::ChunkDiskRef;
use crate::index::SymbolSet;
use crate::meta::{BlockMeta, HINT_OUT_OF_ORDER};

/// How many floats a chunk of a block has at most.
const BLOCK_CHUNK_FLOATS: u16 = 120;

/// What a compaction of late samples has set apart.
pub struct LateCompaction {
    /// The segments of the log before this one are not needed when it has succeeded.
    first_needed_segment: Option<u64>,
}

/// What block to write of late samples.
pub struct LateBlockCut<'a> {
    /// The disk.
    pub fs: &'a SharedFs,
    /// Where the block's directory will be.
    pub parent: &'a Path,
    /// The block's id.
    pub ulid: Ulid,
    /// First moment, ms.
    pub min_time_ms: TimestampMs,
    /// One after the last moment, ms.
    pub max_time_ms: TimestampMs,
}

impl Head {
    /// Sets all late samples apart. One compaction at a time; the caller sees to it.
    pub fn begin_late_compaction(&self) -> Result<LateCompaction, TsdbError> {
        let first_needed_segment = {
            let commits = self.late.log.lock();
            match self.late.log.open(&commits)? {
                Some(wbl) => Some(wbl.cut_segment()?),
                None => None,
            }
        };
        let sink = self.chunk_sink();
        for index in 0..self.shards.len() {
            let mut shard = self.shards.lock(index);
            for slot in 0..shard.series.len() as u32 {
                let series_ref = shard.series[slot as usize].series_ref();
                let Some(late) = shard.late_mut(slot, series_ref) else { continue };
                late.close_list(series_ref, &sink)
                    .map_err(|e| TsdbError::corrupt("late samples of the head", e))?;
                late.samples.shrink_to_fit();
                let mut full = std::mem::take(&mut late.full);
                late.compacting.append(&mut full);
            }
        }
        Ok(LateCompaction { first_needed_segment })
    }

    /// Writes the samples of a range that are set apart as a block; `None` where there are none.
    pub fn write_late_block(&self, cut: &LateBlockCut<'_>) -> Result<Option<BlockMeta>, TsdbError> {
        let range = TimeRange::new(cut.min_time_ms, cut.max_time_ms - 1);
        let rows = self.late_rows(range);
        if rows.is_empty() {
            return Ok(None);
        }
        let symbols = SymbolSet::collect(self.symbols.read().iter())?;
        let mut meta = BlockMeta::new(cut.ulid, cut.min_time_ms, cut.max_time_ms);
        meta.compaction.hints.push(HINT_OUT_OF_ORDER.to_owned());
        let mut writer = BlockWriter::create(cut.fs.clone(), cut.parent, meta, symbols)?;
        match self.write_late_series((range, &rows), &mut writer) {
            Ok(()) => writer.finish(),
            Err(e) => {
                // What cannot be removed now is removed at the next start.
                let _ = writer.abort();
                Err(e)
            }
        }
    }

    fn write_late_series(
        &self,
        (range, rows): (TimeRange, &[Row]),
        writer: &mut BlockWriter,
    ) -> Result<(), TsdbError> {
        for row in rows {
            let Some((labels, chunks)) = self.compacting_chunks(row, range) else { continue };
            let chunks = self.merge_chunks(&chunks, range)?;
            let chunks = chunks.iter().map(block_chunk).collect::<Result<Vec<_>, _>>()?;
            writer.add_series(&labels, &chunks)?;
        }
        Ok(())
    }

    /// The oldest time at or after `from_ms` at which something is set apart.
    pub fn oldest_compacting_from(&self, from_ms: TimestampMs) -> Option<TimestampMs> {
        let oldest_of = |index| {
            let shard = self.shards.lock(index);
            let late = shard.live_slots().filter_map(|slot| shard.late(slot));
            let chunks = late.flat_map(|late| &late.compacting);
            let chunks = chunks.filter(|chunk| chunk.max_time_ms >= from_ms);
            chunks.map(|chunk| chunk.min_time_ms.max(from_ms)).min()
        };
        (0..self.shards.len()).filter_map(oldest_of).min()
    }

    /// The series that have something set apart in `range`, in label order.
    fn late_rows(&self, range: TimeRange) -> Vec<Row> {
        let _select = self.selects.read();
        let has_some = |shard: &Shard, slot| {
            let is_in = |c: &FullChunk| range.overlaps(c.min_time_ms, c.max_time_ms);
            shard.late(slot).is_some_and(|late| late.compacting.iter().any(is_in))
        };
        let mut numbers = Vec::new();
        for index in 0..self.shards.len() {
            let shard = self.shards.lock(index);
            let slots = shard.live_slots().filter(|&slot| has_some(&shard, slot));
            numbers.extend(slots.map(|slot| shard.series[slot as usize].number));
        }
        self.sort_by_labels(&mut numbers);
        self.rows(&numbers, has_some)
    }

    fn compacting_chunks(&self, row: &Row, range: TimeRange) -> Option<(Labels, Vec<FullChunk>)> {
        let slot = row.location.slot();
        let shard = self.shards.lock(row.location.shard());
        let series = row.series(&shard)?;
        let is_in = |c: &&FullChunk| range.overlaps(c.min_time_ms, c.max_time_ms);
        let chunks = shard.late(slot)?.compacting.iter().filter(is_in).cloned().collect();
        let symbols = self.symbols.read();
        let pairs = shard.labels.pairs(series.labels, &symbols);
        let pairs = pairs.map(|(name, value)| (symbols.get(name), symbols.get(value)));
        Some((Labels::from_sorted(pairs), chunks))
    }

    /// The samples of chunks in a range, each time once: the one that was stored first.
    fn merge_chunks(
        &self,
        chunks: &[FullChunk],
        range: TimeRange,
    ) -> Result<Vec<EncodedChunk>, TsdbError> {
        let mut samples = Vec::new();
        for chunk in chunks {
            self.decode_chunk(chunk, &mut samples)?;
        }
        samples.retain(|s| range.start_ms_incl <= s.t && s.t <= range.end_ms_incl);
        samples.sort_by_key(|sample| sample.t);
        samples.dedup_by_key(|sample| sample.t);
        // What was stored with other options keeps its start timestamps.
        let has_starts = samples.iter().any(|sample| sample.start_t != 0);
        let options = self.options.encodings;
        let encodings = NewEncodings {
            xor2: options.xor2 || has_starts,
            histogram_start_times: options.histogram_start_times || has_starts,
        };
        encode_late(&samples, BLOCK_CHUNK_FLOATS, encodings)
            .map_err(|e| TsdbError::corrupt("late samples of the head", e))
    }

    /// Appends the samples of a chunk of late samples to `out`.
    pub(in crate::head) fn decode_chunk(
        &self,
        chunk: &FullChunk,
        out: &mut Vec<LateSample>,
    ) -> Result<(), TsdbError> {
        with_chunk(self.files.as_deref(), &chunk.place, |encoding, data| {
            decode_late(encoding, data, out)
        })?
        .map_err(|e| TsdbError::corrupt("chunk of late samples", e))
    }

    /// What is set apart stands in blocks now: queries that begin from now on leave it out. To be
    /// called while nobody looks at the list of blocks.
    pub fn note_late_compacted(&self) {
        self.late.has_compacted.store(true, Ordering::Release);
    }

    /// Makes sure that a restart does not bring back what stands in blocks now: deletes the
    /// segments of the log that have it, and tells in `dir`, the directory of the database, which
    /// chunks are done with.
    pub fn shorten_late_log(
        &self,
        compaction: &LateCompaction,
        (fs, dir): (&SharedFs, &Path),
    ) -> Result<(), TsdbError> {
        if let (Some(files), Some(newest)) = (self.files(), self.newest_compacting()) {
            let first = compaction.first_needed_segment;
            let marker = files.read(newest, |c| CompactedMarker::new((newest, &c), first))?;
            marker.write(fs, dir)?;
        }
        if let (Some(wbl), Some(first)) = (self.wbl(), compaction.first_needed_segment) {
            wbl.truncate(first)?;
            fs.sync_dir(wbl.dir()).map_err(|e| TsdbError::io("sync directory", wbl.dir(), e))?;
        }
        Ok(())
    }

    fn newest_compacting(&self) -> Option<ChunkDiskRef> {
        let newest_of = |index| {
            let shard = self.shards.lock(index);
            let late = shard.live_slots().filter_map(|slot| shard.late(slot));
            let places = late.flat_map(|late| &late.compacting).map(|chunk| &chunk.place);
            places.filter_map(mapped).max()
        };
        (0..self.shards.len()).filter_map(newest_of).max()
    }

    /// Whether late samples are in memory that stand in blocks.
    pub fn has_compacted_late(&self) -> bool {
        self.late.has_compacted.load(Ordering::Acquire)
    }

    /// Drops what is set apart and stands in blocks. Does nothing and returns false while queries
    /// from before [`Head::retire_leases`] are at work.
    pub fn drop_compacted_late(&self) -> bool {
        if !self.has_compacted_late() {
            return true;
        }
        if !self.are_leases_retired() {
            return false;
        }
        // Nothing is inserted meanwhile, so that the bounds are right at the end.
        let _commits = self.late.log.lock();
        let mut times = None;
        for index in 0..self.shards.len() {
            let mut shard = self.shards.lock(index);
            for slot in 0..shard.series.len() as u32 {
                let series_ref = shard.series[slot as usize].series_ref();
                let Some(late) = shard.late_mut(slot, series_ref) else { continue };
                late.compacting = Vec::new();
                times = union(times, late.time_bounds());
                if late.is_empty() {
                    shard.drop_late(slot);
                }
            }
        }
        let (min, max) = times.unwrap_or((TimestampMs::MAX, TimestampMs::MIN));
        self.late.min_time_ms.store(min, Ordering::Release);
        self.late.max_time_ms.store(max, Ordering::Release);
        self.late.has_compacted.store(false, Ordering::Release);
        true
    }

    /// The first head chunk file with late samples; [`u32::MAX`] where there is none.
    pub fn first_late_file(&self) -> u32 {
        let mut first = u32::MAX;
        for index in 0..self.shards.len() {
            let shard = self.shards.lock(index);
            for slot in shard.live_slots() {
                for chunk in shard.late(slot).into_iter().flat_map(LateSeries::chunks) {
                    first = first.min(mapped(&chunk.place).map_or(u32::MAX, ChunkDiskRef::file));
                }
            }
        }
        first
    }
}

/// Where a chunk is in the head chunk files.
fn mapped(place: &ChunkPlace) -> Option<ChunkDiskRef> {
    match place {
        ChunkPlace::Mapped(disk_ref) => Some(*disk_ref),
        ChunkPlace::Memory(_) => None,
    }
}

type Times = Option<(TimestampMs, TimestampMs)>;

fn union(a: Times, b: Times) -> Times {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

fn block_chunk(chunk: &EncodedChunk) -> Result<BlockChunk<'_>, TsdbError> {
    let encoding = ChunkEncoding::from_number(chunk.encoding)
        .map_err(|e| TsdbError::corrupt("chunk of late samples", e))?;
    Ok(BlockChunk {
        min_time_ms: chunk.min_time_ms,
        max_time_ms: chunk.max_time_ms,
        encoding,
        data: &chunk.data,
    })
}
