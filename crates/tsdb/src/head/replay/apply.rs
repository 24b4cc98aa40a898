//! Applying a decoded batch: series and samples shard by shard, several shards at a time.

use std::sync::atomic::Ordering;

use model::{Executor, TimestampMs};
use parking_lot::Mutex;

use super::super::floats::{FloatSample, newest_time, push_float};
use super::super::histograms::push_histogram;
use super::super::series::{ChunkPlace, FullChunk, Open};
use super::super::shards::{Location, Shard};
use super::decode::{RecordBatch, SampleItem, SampleRun, SampleValue, SeriesItem, SeriesRun};
use super::late::LateItem;
use super::{Replay, late};
use crate::wal::Corruption;

/// How many bytes of records one thread decodes at a time.
pub(super) const RUN_BYTES: usize = 64 << 10;
/// How many samples are looked at ahead.
const AHEAD: usize = 32;

impl Replay<'_> {
    /// Applies all records of a batch. Returns where the first one is that cannot be decoded.
    pub(super) fn apply(&mut self, batch: &RecordBatch) -> Option<Corruption> {
        let runs = batch.split(RUN_BYTES);
        let shards = &self.head.shards;
        let series = collect(self.executor, runs.len(), &|i| {
            SeriesRun::decode(batch, runs[i].clone(), (shards, self.head.hasher))
        });
        let mut contradiction = None;
        if series.iter().any(|run| !run.is_empty()) {
            let found = collect(self.executor, shards.len(), &|i| self.apply_series(i, &series));
            contradiction = self.note_refs(found);
        }
        let min_valid = self.head.min_valid_time_ms.load(Ordering::Acquire);
        let samples = collect(self.executor, runs.len(), &|i| {
            let buffers = self.take_buffers();
            SampleRun::decode(batch, runs[i].clone(), &self.refs, (buffers, min_valid))
        });
        self.executor.for_each(shards.len(), &|i| self.apply_samples(i, &samples));
        let bad = series.iter().filter_map(|run| run.bad_record).chain(contradiction);
        let bad = bad.chain(samples.iter().filter_map(|run| run.bad_record)).min();
        self.finish_runs(samples);
        bad.map(|index| batch.corruption(index))
    }

    /// Notes the series of references. Returns the first record that gives the reference of another
    /// series: nothing tells under which one the samples behind it belong.
    pub(super) fn note_refs(&mut self, found: Vec<Vec<FoundSeries>>) -> Option<usize> {
        let mut found: Vec<FoundSeries> = found.into_iter().flatten().collect();
        found.sort_by_key(|series| series.record);
        let mut contradictions =
            found.iter().filter(|found| !self.refs.insert(found.series_ref, found.location));
        contradictions.next().map(|found| found.record as usize)
    }

    /// An empty vector for each shard, with memory of an earlier batch if there is some.
    fn take_buffers(&self) -> Vec<Vec<SampleItem>> {
        let spare = self.spare_buffers.lock().pop();
        spare.unwrap_or_else(|| (0..self.head.shards.len()).map(|_| Vec::new()).collect())
    }

    fn finish_runs(&mut self, runs: Vec<SampleRun>) {
        for mut run in runs {
            self.counts.skipped.fetch_add(run.skipped, Ordering::Relaxed);
            self.counts.unknown.fetch_add(run.unknown, Ordering::Relaxed);
            for (location, interval) in run.deleted {
                let shard = self.head.shards.lock(location.shard());
                let series_ref = shard.series[location.slot() as usize].series_ref();
                self.head.deleted.add(series_ref, interval);
            }
            self.restore_exemplars(&run.exemplars);
            self.restore_metadata(std::mem::take(&mut run.metadata));
            run.by_shard.iter_mut().for_each(Vec::clear);
            self.spare_buffers.get_mut().push(run.by_shard);
        }
    }

    /// Finds or creates the series of one shard.
    fn apply_series(&self, index: usize, runs: &[SeriesRun<'_>]) -> Vec<FoundSeries> {
        let mut found = Vec::new();
        let mut shard = self.head.shards.lock(index);
        for run in runs {
            for item in run.of_shard(index) {
                let slot = self.find_or_create(&mut shard, run, item);
                found.extend(slot.map(|slot| FoundSeries::new(item, Location::new(index, slot))));
            }
        }
        found
    }

    pub(super) fn find_or_create(
        &self,
        shard: &mut Shard,
        run: &SeriesRun<'_>,
        item: &SeriesItem,
    ) -> Option<u32> {
        let labels = run.labels_of(item);
        let known = shard.find(item.hash, labels, &self.head.symbols.read());
        let slot = match known {
            Some(slot) => {
                let first_ref = shard.series[slot as usize].series_ref();
                if first_ref == item.series_ref {
                    // A checkpoint repeats what its segments say.
                    return Some(slot);
                }
                self.second_refs.lock().push((first_ref, item.series_ref));
                slot
            }
            None => {
                self.head.series_count.fetch_add(1, Ordering::AcqRel);
                self.head.create_in(shard, (item.hash, labels), Some(item.series_ref))?
            }
        };
        self.attach_files(shard, slot, item.series_ref);
        Some(slot)
    }

    /// Gives a series its chunks of the head chunk files.
    fn attach_files(&self, shard: &mut Shard, slot: u32, series_ref: u64) {
        let Some(files) = &self.head.files else { return };
        let first = self.mapped.partition_point(|chunk| chunk.0 < series_ref);
        for &(_, disk_ref) in self.mapped[first..].iter().take_while(|c| c.0 == series_ref) {
            let Ok((min, max)) = files.read(disk_ref, |chunk| (chunk.mint, chunk.maxt_incl)) else {
                // It was whole when it was found; the log has its samples.
                continue;
            };
            // Those of a second reference may be earlier ones. Of chunks that overlap the one that
            // was written last has the samples of the others: it was made of them and of what a
            // replay met late.
            let comes_last = newest_time(shard, slot).is_none_or(|newest| min > newest);
            let is_open = shard.series[slot as usize].open != Open::Nothing;
            let place = ChunkPlace::Mapped(disk_ref);
            let chunk = FullChunk { min_time_ms: min, max_time_ms: max, place };
            if comes_last {
                shard.cold_or_new(slot).push_full(chunk);
            } else {
                let is_older = |other: &FullChunk| matches!(other.place, ChunkPlace::Mapped(r) if r < disk_ref);
                if is_open || !shard.cold_or_new(slot).insert_full(chunk, is_older) {
                    continue;
                }
            }
            self.note_times(min, max);
            shard.set_in_files(slot, max);
        }
    }

    fn apply_samples(&self, index: usize, runs: &[SampleRun]) {
        let mut shard = self.head.shards.lock(index);
        let mut applied = Applied::default();
        for run in runs {
            for items in run.by_shard[index].chunks(AHEAD) {
                look_ahead(&shard, items);
                for item in items {
                    self.apply_sample(&mut shard, (item, run.start_of(item)), &mut applied);
                }
            }
        }
        self.note_times(applied.times.0, applied.times.1);
        late::insert(&mut shard, &applied.late, &self.head.chunk_sink());
        self.counts.samples.fetch_add(applied.count, Ordering::Relaxed);
        self.counts.skipped.fetch_add(applied.skipped, Ordering::Relaxed);
        self.counts.late.fetch_add(applied.late.len() as u64, Ordering::Relaxed);
    }

    #[inline]
    fn apply_sample(
        &self,
        shard: &mut Shard,
        (item, start_t): (&SampleItem, TimestampMs),
        applied: &mut Applied,
    ) {
        let (slot, t) = (item.slot, item.t);
        if shard.is_in_files(slot, t) {
            applied.skipped += 1;
            return;
        }
        if newest_time(shard, slot).is_some_and(|newest| t <= newest) {
            applied.late.push(LateItem { item: item.clone(), start_t });
            // It may be older than everything that was applied so far.
            applied.times.0 = applied.times.0.min(t);
            return;
        }
        let sink = self.head.chunk_sink();
        match &item.value {
            SampleValue::Float(value) => {
                push_float(shard, slot, FloatSample { t, start_t, value: *value }, &sink);
            }
            SampleValue::Histogram(value) => {
                if push_histogram(shard, slot, (t, start_t, value), &sink).is_err() {
                    applied.skipped += 1;
                    return;
                }
            }
        }
        applied.count += 1;
        applied.times = (applied.times.0.min(t), applied.times.1.max(t));
    }

    pub(super) fn note_times(&self, min: TimestampMs, max: TimestampMs) {
        self.head.min_time_ms.fetch_min(min, Ordering::AcqRel);
        self.head.max_time_ms.fetch_max(max, Ordering::AcqRel);
    }
}

/// A series of a record and its place in the head.
pub(super) struct FoundSeries {
    series_ref: u64,
    location: Location,
    record: u32,
}

impl FoundSeries {
    pub(super) fn new(item: &SeriesItem, location: Location) -> Self {
        Self { series_ref: item.series_ref, location, record: item.record }
    }
}

/// What became of the samples of one shard.
struct Applied {
    count: u64,
    skipped: u64,
    late: Vec<LateItem>,
    times: (TimestampMs, TimestampMs),
}

impl Default for Applied {
    fn default() -> Self {
        let times = (TimestampMs::MAX, TimestampMs::MIN);
        Self { count: 0, skipped: 0, late: Vec::new(), times }
    }
}

/// Brings the hot parts and the ends of the chunks into the cache, many at a time.
#[inline]
fn look_ahead(shard: &Shard, items: &[SampleItem]) {
    let mut touched = [0u32; AHEAD];
    for (touched, item) in touched.iter_mut().zip(items) {
        *touched = shard.series[item.slot as usize].labels;
    }
    for (touched, item) in touched.iter_mut().zip(items) {
        *touched ^= shard.slab.touch_page(shard.series[item.slot as usize].chunk_slot());
    }
    for (touched, item) in touched.iter_mut().zip(items) {
        *touched ^= u32::from(shard.chunk_end_byte(&shard.series[item.slot as usize]));
    }
    std::hint::black_box(&touched);
}

/// Runs `job` for every number below `count` and returns the results in order.
pub(super) fn collect<T: Send>(
    executor: &dyn Executor,
    count: usize,
    job: &(dyn Fn(usize) -> T + Sync),
) -> Vec<T> {
    let slots: Vec<Mutex<Option<T>>> = (0..count).map(|_| Mutex::new(None)).collect();
    executor.for_each(count, &|i| *slots[i].lock() = Some(job(i)));
    let result = |slot: Mutex<Option<T>>| slot.into_inner();
    slots.into_iter().map(|slot| result(slot).expect("the executor calls every job")).collect()
}
