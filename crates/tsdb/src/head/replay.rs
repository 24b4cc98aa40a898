//! Filling the head after a start: head chunk files first, then a snapshot if there is one, then
//! the write-ahead log, then the log of what came out of order (`replay/wbl.rs`).
//!
//! The log is read in batches of a megabyte (`replay/source.rs`). While one batch is read and
//! checked, the one before is decoded and applied by all threads of the executor: records are
//! independent while they are decoded (`replay/decode.rs`), shards while they are applied
//! (`replay/apply.rs`). Nothing is held for longer than a batch but the table of references and
//! 16 bytes a chunk of the files, so that memory stays at what the head itself needs.
//!
//! The samples of one series may stand in the log in another order than they were appended in,
//! where two requests raced: late ones are sorted in (`replay/late.rs`). Everything in the log
//! was accepted once, so nothing is judged again.

mod apply;
mod decode;
mod exemplars;
mod late;
mod metadata;
mod progress;
mod refs;
mod snapshot;
mod source;
mod wbl;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::atomic::Ordering;

use model::{Executor, TimestampMs};
use parking_lot::Mutex;

use super::Head;
use super::shards::Shard;
use super::snapshot::SnapshotDir;
use crate::error::TsdbError;
use crate::fs::SharedFs;
use crate::head_chunks::ChunkDiskRef;
use crate::wal::{
    Corruption, CorruptionKind, SegmentInfo, list_segments, repair, repair_gap, replay_segments,
};

pub use progress::{ReplayProgress, ReplayStage};

use decode::{RecordBatch, SampleItem};
use refs::RefTable;
use source::Source;
use wbl::LateChunks;

/// Where a replay reads from.
#[derive(Clone, Copy)]
pub struct ReplaySources<'a> {
    /// The directory of the write-ahead log.
    pub wal_dir: &'a Path,
    /// The directory with snapshots; `None` = they are not looked at.
    pub snapshot_dir: Option<&'a Path>,
    /// Told how far the replay is.
    pub progress: &'a ReplayProgress,
}

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
    /// Series of the snapshot that made a part of the log superfluous.
    pub snapshot_series: u64,
    /// Damage that was met and cut off, for the operator.
    pub damage: Vec<String>,
    /// How much of it was in head chunk files.
    pub corrupt_head_chunks: u64,
    /// How much of it is a snapshot that was not used.
    pub corrupt_snapshots: u64,
}

/// Counters that threads add to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    samples: std::sync::atomic::AtomicU64,
    skipped: std::sync::atomic::AtomicU64,
    late: std::sync::atomic::AtomicU64,
    unknown: std::sync::atomic::AtomicU64,
}

/// A chunk of the head chunk files and the reference of its series.
type MappedChunk = (u64, ChunkDiskRef);

/// A replay on its way.
struct Replay<'a> {
    head: &'a Head,
    fs: &'a SharedFs,
    sources: ReplaySources<'a>,
    executor: &'a dyn Executor,
    /// The chunks of the files, ascending by series and age.
    mapped: Vec<MappedChunk>,
    /// Those of samples that came out of order.
    late_chunks: LateChunks,
    refs: RefTable,
    /// References whose series has another one: that one, then the reference.
    second_refs: Mutex<Vec<(u64, u64)>>,
    /// Whether a snapshot was read to its end.
    snapshot_has_ended: bool,
    /// The newest segment of the log.
    last_segment: u64,
    /// Memory of samples by shard, for the next batch.
    spare_buffers: Mutex<Vec<Vec<Vec<SampleItem>>>>,
    counts: Counts,
    report: ReplayReport,
}

/// How a batch of records is applied; returns where the first one is that cannot be decoded.
type Apply<'r> = fn(&mut Replay<'r>, &RecordBatch) -> Option<Corruption>;

impl Head {
    /// Fills an empty head from its head chunk files, a snapshot and the log, and repairs what
    /// is damaged there. Older samples than the head's valid time are left out. To be called
    /// before the log is opened for writing.
    pub fn replay(
        &self,
        fs: &SharedFs,
        sources: ReplaySources<'_>,
        executor: &dyn Executor,
    ) -> Result<ReplayReport, TsdbError> {
        let gap = repair_gap(fs, sources.wal_dir)?;
        let last_segment = list_segments(fs, sources.wal_dir)?.last().map_or(0, |s| s.number);
        let mut replay = Replay {
            head: self,
            fs,
            sources,
            executor,
            mapped: Vec::new(),
            late_chunks: LateChunks::default(),
            refs: RefTable::default(),
            second_refs: Mutex::default(),
            snapshot_has_ended: false,
            last_segment,
            spare_buffers: Mutex::default(),
            counts: Counts::default(),
            report: ReplayReport::default(),
        };
        replay.report.damage.extend(gap.map(|gap| gap.to_string()));
        if let Some(files) = &self.files {
            files.begin_provisional();
        }
        loop {
            replay.read_files()?;
            let snapshot = replay.read_snapshot()?;
            if replay.read_log(snapshot)? {
                break;
            }
            replay.forget_everything()?;
        }
        replay.read_wbl()?;
        if let Some(files) = &self.files {
            // Only a late sample makes a chunk that an earlier one must not outlive.
            files.confirm(*replay.counts.late.get_mut() > 0)?;
        }
        Ok(replay.finish())
    }
}

impl<'r> Replay<'r> {
    /// Notes the chunks of the head chunk files.
    fn read_files(&mut self) -> Result<(), TsdbError> {
        self.sources.progress.enter(ReplayStage::HeadChunks);
        let Some(files) = &self.head.files else { return Ok(()) };
        let min_valid = self.head.min_valid_time_ms.load(Ordering::Acquire);
        let dir = crate::fs::parent_dir(self.sources.wal_dir);
        let (mut mapped, mut late) = (Vec::new(), LateChunks::new(self.fs, dir)?);
        let outcome = files.replay(&mut |disk_ref, chunk| {
            self.refs.note(chunk.series_ref);
            if chunk.is_out_of_order {
                late.push(disk_ref, &chunk);
            } else if chunk.maxt_incl >= min_valid {
                super::labels::grow_gently(&mut mapped, 1);
                mapped.push((chunk.series_ref, disk_ref));
            }
            Ok(())
        })?;
        if let Some(damage) = outcome.damage {
            self.report.damage.push(damage.to_string());
            self.report.corrupt_head_chunks += 1;
        }
        mapped.sort_unstable();
        self.report.chunks = mapped.len() as u64 + late.len();
        self.mapped = mapped;
        self.late_chunks = late;
        Ok(())
    }

    /// Reads the log from where the snapshot ends. False after a repair of the kind that needs a
    /// new beginning: the batch in which a record makes no sense was applied in part.
    fn read_log(&mut self, snapshot: Option<SnapshotDir>) -> Result<bool, TsdbError> {
        self.sources.progress.enter(ReplayStage::Log);
        let (fs, wal_dir) = (self.fs, self.sources.wal_dir);
        let mut segments = replay_segments(fs, wal_dir)?;
        let is_own = |segment: &SegmentInfo| segment.path.parent() == Some(wal_dir);
        if let Some(snapshot) = &snapshot {
            segments.retain(|segment| is_own(segment) && segment.number >= snapshot.segment);
        }
        let first_offset = snapshot.map_or(0, |snapshot| snapshot.offset);
        let mut source = Source::new(fs, segments, first_offset, self.sources.progress);
        while let Some(corruption) = self.apply_all(&mut source, Self::apply)? {
            self.repair(&corruption)?;
            if corruption.kind == CorruptionKind::Record {
                return Ok(false);
            }
            // Behind a damaged checkpoint the log's own segments follow, otherwise nothing: the
            // segments behind the damage were set aside.
            let from_checkpoint = corruption.path.parent() != Some(wal_dir);
            source.go_on_with(|segment| from_checkpoint && is_own(segment));
        }
        Ok(true)
    }

    /// Applies all records up to the first damage, which is returned.
    fn apply_all(
        &mut self,
        source: &mut Source<'_>,
        apply: Apply<'r>,
    ) -> Result<Option<Corruption>, TsdbError> {
        let (mut current, mut next) = (RecordBatch::default(), RecordBatch::default());
        source.fill(&mut current)?;
        while !current.is_empty() {
            next.clear();
            let damage = self.apply_while_reading(&current, apply, (source, &mut next))?;
            if damage.is_some() {
                return Ok(damage);
            }
            std::mem::swap(&mut current, &mut next);
        }
        Ok(source.take_damage())
    }

    /// Applies `current` and reads `next` meanwhile. Returns the damage that `current` showed.
    fn apply_while_reading(
        &mut self,
        current: &RecordBatch,
        apply: Apply<'r>,
        (source, next): (&mut Source<'_>, &mut RecordBatch),
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
                *damage = apply(replay, current);
            }
        });
        reading.into_inner().2?;
        Ok(applying.into_inner().1)
    }

    fn repair(&mut self, corruption: &Corruption) -> Result<(), TsdbError> {
        let outcome = repair(self.fs, corruption)?;
        let dropped = outcome.dropped_segments;
        let cut = outcome.cut_bytes;
        let mut text = format!("{corruption}: cut {cut} bytes and {dropped} segments");
        for (i, path) in outcome.set_aside.iter().enumerate() {
            text.push_str(if i == 0 { ", kept as " } else { ", " });
            text.push_str(&path.display().to_string());
        }
        self.report.damage.push(text);
        Ok(())
    }

    /// Makes the head and the replay as they were at the beginning, except for the report: also
    /// chunks that were cut of a record of which the rest makes no sense must not stay.
    fn forget_everything(&mut self) -> Result<(), TsdbError> {
        self.head.clear();
        if let Some(files) = &self.head.files {
            files.discard_own()?;
        }
        self.mapped = Vec::new();
        self.refs = RefTable::default();
        self.second_refs = Mutex::default();
        self.counts = Counts::default();
        self.snapshot_has_ended = false;
        self.report.snapshot_series = 0;
        Ok(())
    }

    /// Numbers all series and takes over times and references.
    fn finish(mut self) -> ReplayReport {
        self.sources.progress.enter(ReplayStage::Index);
        // Before the index needs memory.
        self.mapped = Vec::new();
        self.spare_buffers = Mutex::default();
        let next_ref = self.refs.max_ref() + 1;
        self.refs = RefTable::default();
        let head = self.head;
        let mut without_samples = Vec::new();
        for index in 0..head.shards.len() {
            let mut shard = head.shards.lock(index);
            shard.finish_replay();
            shard.truncate(TimestampMs::MIN, &mut without_samples);
            shard.free_vacated();
        }
        head.series_count.fetch_sub(without_samples.len() as u64, Ordering::AcqRel);
        number_series(head);
        // Records of both stand in the log, and nothing tells where.
        head.keep_refs_until(&without_samples, self.last_segment);
        let second_refs = std::mem::take(self.second_refs.get_mut());
        let seconds: Vec<u64> = second_refs.iter().map(|refs| refs.1).collect();
        head.keep_refs_until(&seconds, u64::MAX);
        *head.second_refs.lock() = second_refs;
        head.next_series_ref.fetch_max(next_ref, Ordering::AcqRel);
        self.report.series = head.series_count();
        self.report.samples = self.counts.samples.load(Ordering::Relaxed);
        self.report.skipped_samples = self.counts.skipped.load(Ordering::Relaxed);
        self.report.late_samples = self.counts.late.load(Ordering::Relaxed);
        self.report.unknown_series_samples = self.counts.unknown.load(Ordering::Relaxed);
        self.report
    }
}

/// Numbers all series in the order of their creation, which is about that of the slots in each
/// shard. What was created together has labels in common: in the order of the shards the postings
/// take some bytes more a series.
fn number_series(head: &Head) {
    head.postings.write().reserve(head.series_count() as usize);
    let first_of = |index| Some((index, first_live(&head.shards.lock(index), 0)?));
    let firsts = (0..head.shards.len()).filter_map(first_of);
    let mut next: BinaryHeap<_> =
        firsts.map(|(index, (series_ref, slot))| Reverse((series_ref, index, slot))).collect();
    while let Some(Reverse((_, index, slot))) = next.pop() {
        let mut shard = head.shards.lock(index);
        head.number(index, &mut shard, std::iter::once(slot));
        let following = first_live(&shard, slot + 1);
        next.extend(following.map(|(series_ref, slot)| Reverse((series_ref, index, slot))));
    }
}

/// Reference and slot of the first series at or behind a slot.
fn first_live(shard: &Shard, from: u32) -> Option<(u64, u32)> {
    let mut slots = from..shard.series.len() as u32;
    let slot = slots.find(|&slot| shard.series[slot as usize].is_live())?;
    Some((shard.series[slot as usize].series_ref(), slot))
}
