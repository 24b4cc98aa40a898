//! Filling the head after a start: head chunk files first, then the write-ahead log.
//!
//! The log is read in batches of some megabytes. While one batch is read and checked, the one
//! before is decoded and applied by all threads of the executor: records are independent while
//! they are decoded (`replay/decode.rs`), shards while they are applied (`replay/apply.rs`).
//! Nothing is held for longer than a batch, so that memory stays at what the head itself needs.
//!
//! The samples of one series may stand in the log in another order than they were appended in,
//! where two requests raced: late ones are sorted in (`replay/late.rs`). Everything in the log
//! was accepted once, so nothing is judged again.

mod apply;
mod decode;
mod late;
mod refs;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use model::{Executor, TimestampMs};
use parking_lot::Mutex;

use super::Head;
use super::series::{ChunkPlace, FullChunk};
use crate::error::{DecodeError, TsdbError};
use crate::fs::SharedFs;
use crate::wal::{
    Corruption, SegmentInfo, SegmentReader, WalError, list_segments, repair, replay_segments,
};

use decode::{RecordBatch, SampleItem};
use refs::RefTable;

/// How many bytes of records are decoded and applied at a time.
const BATCH_BYTES: usize = 4 << 20;

/// What a replay did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ReplayReport {
    /// Series in the head afterwards.
    pub series: u64,
    /// Samples that were applied.
    pub samples: u64,
    /// Samples that were left out: before the valid time, or in a chunk of the files already.
    pub skipped_samples: u64,
    /// Samples that stood behind a newer one of their series and were sorted in.
    pub late_samples: u64,
    /// Samples of series that the log does not name.
    pub unknown_series_samples: u64,
    /// Chunks that were found in the head chunk files.
    pub chunks: u64,
    /// Damage that was met and cut off, for the operator.
    pub damage: Vec<String>,
}

/// Counters that threads add to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    samples: std::sync::atomic::AtomicU64,
    skipped: std::sync::atomic::AtomicU64,
    late: std::sync::atomic::AtomicU64,
    unknown: std::sync::atomic::AtomicU64,
}

/// Chunks of the files by the reference of their series.
type MappedChunks = HashMap<u64, Vec<FullChunk>>;

/// A replay on its way.
struct Replay<'a> {
    head: &'a Head,
    executor: &'a dyn Executor,
    mapped: Mutex<MappedChunks>,
    refs: RefTable,
    /// References whose series has another one.
    second_refs: Mutex<Vec<u64>>,
    /// The newest segment of the log.
    last_segment: u64,
    /// Memory of samples by shard, for the next batch.
    spare_buffers: Mutex<Vec<Vec<Vec<SampleItem>>>>,
    counts: Counts,
    report: ReplayReport,
}

impl Head {
    /// Fills an empty head from its head chunk files and from the log in `wal_dir`, and repairs
    /// what is damaged there. Older samples than the head's valid time are left out. To be
    /// called before the log is opened for writing.
    pub fn replay(
        &self,
        fs: &SharedFs,
        wal_dir: &Path,
        executor: &dyn Executor,
    ) -> Result<ReplayReport, TsdbError> {
        let mut replay = Replay {
            head: self,
            executor,
            mapped: Mutex::default(),
            refs: RefTable::default(),
            second_refs: Mutex::default(),
            last_segment: list_segments(fs, wal_dir)?.last().map_or(0, |s| s.number),
            spare_buffers: Mutex::default(),
            counts: Counts::default(),
            report: ReplayReport::default(),
        };
        replay.read_files()?;
        replay.read_log(fs, wal_dir)?;
        replay.finish();
        Ok(replay.report)
    }
}

impl Replay<'_> {
    /// Notes the chunks of the head chunk files.
    fn read_files(&mut self) -> Result<(), TsdbError> {
        let Some(files) = &self.head.files else { return Ok(()) };
        let min_valid = self.head.min_valid_time_ms.load(Ordering::Acquire);
        let mut mapped = MappedChunks::new();
        let outcome = files.replay(&mut |disk_ref, chunk| {
            if chunk.is_out_of_order || chunk.maxt_incl < min_valid {
                return Ok(());
            }
            let chunks = mapped.entry(chunk.series_ref).or_default();
            if chunks.last().is_some_and(|last| chunk.mint <= last.max_time_ms) {
                return Err(DecodeError::Invalid("chunks of one series overlap"));
            }
            if chunks.len() == chunks.capacity() {
                chunks.reserve_exact(2);
            }
            chunks.push(FullChunk {
                min_time_ms: chunk.mint,
                max_time_ms: chunk.maxt_incl,
                place: ChunkPlace::Mapped(disk_ref),
            });
            Ok(())
        })?;
        self.report.damage.extend(outcome.damage.map(|damage| damage.to_string()));
        if let Some(objection) = outcome.objection {
            self.report.damage.push(format!("head chunk files were discarded: {objection}"));
            mapped.clear();
        }
        self.report.chunks = mapped.values().map(|chunks| chunks.len() as u64).sum();
        *self.mapped.get_mut() = mapped;
        Ok(())
    }

    fn read_log(&mut self, fs: &SharedFs, wal_dir: &Path) -> Result<(), TsdbError> {
        let mut source = Source::new(fs, replay_segments(fs, wal_dir)?);
        let (mut current, mut next) = (RecordBatch::default(), RecordBatch::default());
        source.fill(&mut current)?;
        while !current.is_empty() || source.damage.is_some() {
            next.clear();
            let applied = self.apply_while_reading(&current, &mut source, &mut next);
            if let Some(corruption) = applied?.or_else(|| source.damage.take()) {
                let from_checkpoint = corruption.path.parent() != Some(wal_dir);
                self.repair(fs, &corruption)?;
                source.skip_to_log(wal_dir, from_checkpoint);
                next.clear();
                source.fill(&mut next)?;
            }
            std::mem::swap(&mut current, &mut next);
        }
        Ok(())
    }

    /// Applies `current` and reads `next` meanwhile. Returns the damage that `current` showed.
    fn apply_while_reading(
        &mut self,
        current: &RecordBatch,
        source: &mut Source<'_>,
        next: &mut RecordBatch,
    ) -> Result<Option<Corruption>, TsdbError> {
        let executor = self.executor;
        let applying = Mutex::new((self, None));
        let reading = Mutex::new((source, next, Ok(())));
        executor.for_each(2, &|job| {
            if job == 0 {
                let mut reading = reading.lock();
                let (source, next, result) = &mut *reading;
                *result = source.fill(next);
            } else {
                let mut applying = applying.lock();
                let (replay, damage) = &mut *applying;
                *damage = replay.apply(current);
            }
        });
        reading.into_inner().2?;
        Ok(applying.into_inner().1)
    }

    fn repair(&mut self, fs: &SharedFs, corruption: &Corruption) -> Result<(), TsdbError> {
        let outcome = repair(fs, corruption)?;
        let dropped = outcome.dropped_segments;
        let cut = outcome.cut_bytes;
        self.report.damage.push(format!("{corruption}: cut {cut} bytes and {dropped} segments"));
        Ok(())
    }

    /// Numbers all series and takes over times and references.
    fn finish(&mut self) {
        let mut without_samples = Vec::new();
        for index in 0..self.head.shards.len() {
            let mut shard = self.head.shards.lock(index);
            shard.truncate(TimestampMs::MIN, &mut without_samples);
            shard.free_vacated();
            let slots: Vec<u32> = shard.live_slots().collect();
            self.head.number(index, &mut shard, slots.into_iter());
            shard.finish_replay();
        }
        self.head.series_count.fetch_sub(without_samples.len() as u64, Ordering::AcqRel);
        // Records of both stand in the log, and nothing tells where.
        self.head.keep_refs_until(&without_samples, self.last_segment);
        self.head.keep_refs_until(&self.second_refs.lock(), self.last_segment);
        let next_ref = self.refs.max_ref() + 1;
        self.head.next_series_ref.fetch_max(next_ref, Ordering::AcqRel);
        self.report.series = self.head.series_count();
        self.report.samples = self.counts.samples.load(Ordering::Relaxed);
        self.report.skipped_samples = self.counts.skipped.load(Ordering::Relaxed);
        self.report.late_samples = self.counts.late.load(Ordering::Relaxed);
        self.report.unknown_series_samples = self.counts.unknown.load(Ordering::Relaxed);
    }
}

/// The records of all segments in batches.
struct Source<'a> {
    fs: &'a SharedFs,
    segments: std::vec::IntoIter<SegmentInfo>,
    current: Option<SegmentReader>,
    /// Damage after everything that was handed out.
    damage: Option<Corruption>,
}

impl<'a> Source<'a> {
    fn new(fs: &'a SharedFs, segments: Vec<SegmentInfo>) -> Self {
        Self { fs, segments: segments.into_iter(), current: None, damage: None }
    }

    /// Reads on until `batch` is full, the log ends, or damage is met.
    fn fill(&mut self, batch: &mut RecordBatch) -> Result<(), TsdbError> {
        while batch.byte_len() < BATCH_BYTES && self.damage.is_none() {
            let Some(reader) = &mut self.current else {
                let Some(next) = self.segments.next() else { return Ok(()) };
                self.current = Some(SegmentReader::open(self.fs, next)?);
                continue;
            };
            match reader.advance() {
                Ok(true) => {
                    batch.push(reader.record(), reader.info(), reader.record_offset());
                }
                Ok(false) => self.current = None,
                Err(WalError::Corrupt(corruption)) => self.damage = Some(corruption),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }

    /// Goes on after a repair: behind a damaged checkpoint with the log's own segments, otherwise
    /// not at all, since the segments behind the damage were set aside.
    fn skip_to_log(&mut self, wal_dir: &Path, from_checkpoint: bool) {
        self.current = None;
        self.damage = None;
        let rest = std::mem::take(&mut self.segments);
        let own = rest.filter(|s| from_checkpoint && s.path.parent() == Some(wal_dir));
        self.segments = own.collect::<Vec<_>>().into_iter();
    }
}
