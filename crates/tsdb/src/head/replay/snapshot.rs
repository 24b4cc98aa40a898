//! Loading a snapshot into an empty head.
//!
//! A snapshot that is not current, not whole or damaged is put out of the way, the report says
//! so, and the log is replayed from its beginning: it has everything.

use std::ops::Range;
use std::sync::atomic::Ordering;

use model::batch::SeriesHasher;
use parking_lot::Mutex;

use super::super::chunks::ChunkSink;
use super::super::floats::{FloatSample, newest_time, push_float, resume_float};
use super::super::histograms::push_histogram;
use super::super::series::FullChunk;
use super::super::shards::{Location, Shard, Shards};
use super::super::snapshot::record::{SnapshotChunk, SnapshotRecord};
use super::super::snapshot::{SnapshotDir, has_its_files, list, next_ref, set_aside};
use super::apply::{FoundSeries, RUN_BYTES, collect};
use super::decode::{RecordBatch, SampleValue, SeriesItem, SeriesRun};
use super::late::SamplesByTime;
use super::progress::ReplayStage;
use super::source::Source;
use super::{Replay, exemplars, late, refs};
use crate::chunk::ChunkEncoding;
use crate::error::{DecodeError, TsdbError};
use crate::tombstones::Tombstones;
use crate::wal::record::ExemplarIter;
use crate::wal::{Corruption, last_checkpoint, list_segments};

/// Why a snapshot is not used.
enum Unusable {
    /// A checkpoint has covered what it holds: that is usual.
    Outdated,
    /// The operator should know.
    Because(String),
}

impl From<TsdbError> for Unusable {
    fn from(error: TsdbError) -> Self {
        Self::Because(error.to_string())
    }
}

impl Replay<'_> {
    /// Loads the newest snapshot, if there is a usable one.
    pub(super) fn read_snapshot(&mut self) -> Result<Option<SnapshotDir>, TsdbError> {
        let Some(dir) = self.sources.snapshot_dir else { return Ok(None) };
        let Some(snapshot) = list(self.fs, dir)?.pop() else { return Ok(None) };
        self.sources.progress.enter(ReplayStage::Snapshot);
        let loaded = self.check(&snapshot).and_then(|()| self.load(&snapshot));
        let Err(unusable) = loaded else {
            self.report.snapshot_series = self.head.series_count();
            if let Some(next) = next_ref(self.fs, &snapshot.path) {
                self.refs.note(next.saturating_sub(1));
            }
            return Ok(Some(snapshot));
        };
        if let Unusable::Because(reason) = unusable {
            let (path, aside) = (snapshot.path.display(), set_aside(self.fs, &snapshot)?);
            let aside = aside.display();
            self.report.corrupt_snapshots += 1;
            self.report
                .damage
                .push(format!("snapshot {path} was not used: {reason}; kept as {aside}"));
            self.forget_everything()?;
            self.read_files()?;
        }
        Ok(None)
    }

    /// Whether the log goes on where the snapshot ends, and its head chunk files are there.
    fn check(&self, snapshot: &SnapshotDir) -> Result<(), Unusable> {
        let (fs, wal_dir) = (self.fs, self.sources.wal_dir);
        let checkpoint = last_checkpoint(fs, wal_dir).map_err(TsdbError::from)?;
        if checkpoint.is_some_and(|checkpoint| checkpoint.number >= snapshot.segment) {
            return Err(Unusable::Outdated);
        }
        let segments = list_segments(fs, wal_dir).map_err(TsdbError::from)?;
        let own = segments.iter().find(|segment| segment.number == snapshot.segment);
        if own.is_none_or(|segment| segment.length < snapshot.offset) {
            return Err(Unusable::Because("the log ends before it".to_owned()));
        }
        if self.report.corrupt_head_chunks > 0
            || !has_its_files(fs, &snapshot.path, self.head.files.as_deref())?
        {
            return Err(Unusable::Because("its head chunk files are not all there".to_owned()));
        }
        Ok(())
    }

    fn load(&mut self, snapshot: &SnapshotDir) -> Result<(), Unusable> {
        let segments = list_segments(self.fs, &snapshot.path).map_err(TsdbError::from)?;
        let mut source = Source::new(self.fs, segments, 0, self.sources.progress);
        let damage = self.apply_all(&mut source, Self::apply_snapshot)?;
        if let Some(damage) = damage {
            return Err(Unusable::Because(damage.to_string()));
        }
        if !self.snapshot_has_ended {
            return Err(Unusable::Because("its end is missing".to_owned()));
        }
        Ok(())
    }

    /// Applies records of a snapshot. Returns where the first one is that makes no sense.
    fn apply_snapshot(&mut self, batch: &RecordBatch) -> Option<Corruption> {
        let runs = batch.split(RUN_BYTES);
        let context = (&self.head.shards, self.head.hasher);
        let decoded = collect(self.executor, runs.len(), &|i| {
            SnapshotRun::decode(batch, runs[i].clone(), context)
        });
        let bad = Mutex::new(decoded.iter().filter_map(|run| run.bad_record).min());
        let found = collect(self.executor, self.head.shards.len(), &|i| {
            self.apply_shard(i, &decoded, &bad)
        });
        if let Some(record) = self.note_refs(found) {
            *bad.lock() = Some(record);
        }
        for (series_ref, intervals) in decoded.iter().flat_map(|run| run.deleted.iter()) {
            let deleted = &self.head.deleted;
            intervals.iter().for_each(|&interval| deleted.add(series_ref, interval));
        }
        for &(record, body) in decoded.iter().flat_map(|run| &run.exemplars) {
            if self.apply_exemplars(body).is_err() {
                *bad.lock() = Some(record);
            }
        }
        self.snapshot_has_ended |= decoded.iter().any(|run| run.has_end);
        bad.into_inner().map(|index| batch.corruption(index))
    }

    fn apply_exemplars(&self, body: &[u8]) -> Result<(), DecodeError> {
        let mut items = Vec::new();
        exemplars::decode(ExemplarIter::new(body)?, &self.refs, &mut items)?;
        self.restore_exemplars(&items);
        Ok(())
    }

    fn apply_shard(
        &self,
        index: usize,
        runs: &[SnapshotRun<'_>],
        bad: &Mutex<Option<usize>>,
    ) -> Vec<FoundSeries> {
        let mut found = Vec::new();
        let mut shard = self.head.shards.lock(index);
        for run in runs {
            for item in run.of_shard(index) {
                let Some(slot) = self.find_or_create(&mut shard, &run.series, &item.series) else {
                    *bad.lock() = Some(item.series.record as usize);
                    return found;
                };
                found.push(FoundSeries::new(&item.series, Location::new(index, slot)));
                let put =
                    item.chunk.map_or(Ok(()), |chunk| self.put_chunk(&mut shard, slot, chunk));
                if put.is_err() {
                    *bad.lock() = Some(item.series.record as usize);
                    return found;
                }
            }
        }
        found
    }

    /// Makes a chunk the open one of a series.
    fn put_chunk(
        &self,
        shard: &mut Shard,
        slot: u32,
        chunk: SnapshotChunk<'_>,
    ) -> Result<(), DecodeError> {
        if chunk.max_time_ms < self.head.min_valid_time_ms.load(Ordering::Acquire) {
            return Ok(());
        }
        match newest_time(shard, slot) {
            // It was completed after the snapshot and stands in the files.
            Some(newest) if newest >= chunk.max_time_ms => return Ok(()),
            Some(newest) if newest >= chunk.min_time_ms => {
                return Err(DecodeError::Invalid("chunks of one series overlap"));
            }
            Some(_) | None => {}
        }
        let sink = self.head.chunk_sink();
        let times = (chunk.min_time_ms, chunk.max_time_ms);
        let encoding = ChunkEncoding::from_number(chunk.encoding)?;
        // A chunk of another encoding than new ones have is not gone on with.
        let is_wanted = encoding.has_start_times()
            == match encoding.is_float() {
                true => sink.encodings.xor2,
                false => sink.encodings.histogram_start_times,
            };
        let is_resumed = match encoding {
            ChunkEncoding::Xor if is_wanted => {
                resume_float(shard, slot, (chunk.data, times), &sink)?
            }
            _ if is_wanted => {
                push_all(shard, slot, (encoding, chunk.data), &sink)?;
                true
            }
            _ => false,
        };
        if !is_resumed {
            let series_ref = shard.series[slot as usize].series_ref();
            let place = sink.store(series_ref, times, encoding, chunk.data);
            let full = FullChunk { min_time_ms: times.0, max_time_ms: times.1, place };
            shard.cold_or_new(slot).push_full(full);
        }
        self.note_times(times.0, times.1);
        Ok(())
    }
}

/// Appends the samples of a chunk.
fn push_all(
    shard: &mut Shard,
    slot: u32,
    (encoding, data): (ChunkEncoding, &[u8]),
    sink: &ChunkSink<'_>,
) -> Result<(), DecodeError> {
    let mut samples = SamplesByTime::new();
    late::decode_into(encoding, data, &mut samples)
        .map_err(|_| DecodeError::Invalid("open chunk"))?;
    for (t, (start_t, value)) in samples {
        match value {
            SampleValue::Float(value) => {
                push_float(shard, slot, FloatSample { t, start_t, value }, sink);
            }
            SampleValue::Histogram(value) => {
                push_histogram(shard, slot, (t, start_t, &value), sink)?;
            }
        }
    }
    Ok(())
}

/// The series of a run of records, in order of their shards.
#[derive(Default)]
struct SnapshotRun<'a> {
    series: SeriesRun<'a>,
    items: Vec<SnapshotItem<'a>>,
    /// Bodies of records of exemplars.
    exemplars: Vec<(usize, &'a [u8])>,
    /// The first record that could not be decoded.
    bad_record: Option<usize>,
    /// Deleted ranges by reference.
    deleted: Tombstones,
    /// Whether what stands behind the last series was among them.
    has_end: bool,
}

struct SnapshotItem<'a> {
    series: SeriesItem,
    chunk: Option<SnapshotChunk<'a>>,
}

impl<'a> SnapshotRun<'a> {
    fn decode(batch: &'a RecordBatch, run: Range<usize>, context: (&Shards, SeriesHasher)) -> Self {
        let mut this = Self::default();
        let mut canonical = Vec::with_capacity(512);
        for record in run {
            match SnapshotRecord::decode(batch.record(record)) {
                Ok(SnapshotRecord::Series { series_ref, labels, chunk })
                    if refs::is_possible(series_ref) =>
                {
                    let series = (series_ref, labels.as_slice());
                    let series = this.series.add(record, series, context, &mut canonical);
                    this.items.push(SnapshotItem { series, chunk });
                }
                Ok(SnapshotRecord::Tombstones(deleted)) => {
                    this.has_end = true;
                    this.deleted = deleted;
                }
                Ok(SnapshotRecord::Exemplars(body)) => this.exemplars.push((record, body)),
                Ok(SnapshotRecord::Series { .. }) | Err(_) => {
                    this.bad_record.get_or_insert(record);
                }
            }
        }
        this.items.sort_by_key(|item| item.series.shard);
        this
    }

    fn of_shard(&self, shard: usize) -> &[SnapshotItem<'a>] {
        let shard = shard as u32;
        let start = self.items.partition_point(|item| item.series.shard < shard);
        let end = self.items.partition_point(|item| item.series.shard <= shard);
        &self.items[start..end]
    }
}
