//! Appending a request: all its series and samples at once, from many threads at the same time.
//!
//! 1. The series are put in order of their shards; each shard is locked once.
//! 2. `locate.rs` finds the series that exist, `create.rs` makes those that do not.
//! 3. Each sample is judged by `rules.rs`, appended to its open chunk and encoded for the WAL.
//! 4. What was encoded goes to the WAL with one call (`log.rs`), without any lock of the head.
//! 5. Samples that came out of order are inserted and go to a log of their own (`ooo.rs`).
//!
//! Acknowledged means: [`Head::append`] has returned `Ok`, and then the WAL has the samples.
//! Why that holds although memory is changed first:
//! - A sample is visible to queries a moment before the WAL has it. If the WAL then fails, the
//!   request fails; the records are kept and written before anything else is taken (`log.rs`).
//! - A duplicate of a sample is logged again, because the first one may still be on its way.
//! - A series' labels are logged by every request that uses it until one of them has seen its
//!   write succeed ([`Series::is_logged`](super::series::Series)), so that no samples stand in the
//!   WAL without labels when two requests race for a new series.
//! - Two requests may reach the WAL in the other order than memory; the replay sorts
//!   (`replay.rs`).

use std::sync::atomic::Ordering;

use model::WriteBatch;
use model::batch::{BatchSample, BatchSeries, HistogramValue};
use model::sample::STALE_NAN_BITS;

use super::activity::Tick;
use super::chunks::ChunkSink;
use super::conflicts::TimesBefore;
use super::exemplars::WithExemplars;
use super::floats::{FloatSample, newest_for_float, newest_time, push_float};
use super::histograms;
use super::locate::{KnownLabels, Wanted, locate};
use super::log::LogRecords;
use super::ooo::{LateSample, LateSamples, LateValue};
use super::outcome::{AppendLimits, AppendOutcome, DuplicateFloat, Rejection, RejectionKind};
use super::rules::{Bounds, NO_MAX_TIME, Newest, Verdict, judge};
use super::series::{NONE, Open};
use super::shards::{Location, Shard};
use super::xor2::{OpenXor2, open_xor2};
use super::zeros::append_zero;
use super::{Head, labels_of_batch};
use crate::error::TsdbError;

/// Buffers of one append, kept by the caller for the next one. They carry nothing over.
#[derive(Debug, Default)]
pub struct AppendScratch {
    /// Hashes of the batch's series by the head's hasher; empty where the batch has them.
    hashes: Vec<u64>,
    /// The batch's series in order of their shards.
    order: Vec<Wanted>,
    /// Where each shard's part of `order` ends.
    shard_ends: Vec<u32>,
    /// The slots of one shard's part of `order`.
    pub(super) slots: Vec<u32>,
    /// What `locate` reads ahead.
    pub(super) ahead: Vec<u32>,
    known: KnownLabels,
    before: TimesBefore,
    /// Series whose labels this request logs.
    pub(super) unlogged: Vec<(Location, u64)>,
    /// Series of the batch with exemplars.
    pub(super) with_exemplars: Vec<WithExemplars>,
    pub(super) records: LogRecords,
    /// Samples that came out of order, to be inserted when the others are logged.
    late: LateSamples,
}

impl AppendScratch {
    /// Bytes that are held.
    pub fn memory_bytes(&self) -> usize {
        self.hashes.capacity() * 8
            + self.order.capacity() * size_of::<Wanted>()
            + (self.slots.capacity() + self.ahead.capacity()) * 4
            + self.unlogged.capacity() * 16
            + self.records.memory_bytes()
            + self.late.memory_bytes()
            + self.known.memory_bytes()
            + self.before.memory_bytes()
    }
}

/// One request on its way through the shards.
pub(super) struct Request<'a, 'b> {
    pub(super) batch: &'a WriteBatch<'b>,
    pub(super) limits: &'a AppendLimits,
    pub(super) bounds: Bounds,
    pub(super) sink: ChunkSink<'a>,
    /// Whether start timestamps are kept.
    keeps_start_times: bool,
    pub(super) outcome: AppendOutcome,
    /// When the request came.
    now: Tick,
    /// Times of the oldest and the newest appended sample.
    times: (i64, i64),
}

impl Head {
    /// Appends all samples of `batch` that the rules allow and returns what became of them.
    /// After an error nothing is acknowledged and the request can be sent again.
    pub fn append(
        &self,
        batch: &WriteBatch<'_>,
        limits: &AppendLimits,
        scratch: &mut AppendScratch,
    ) -> Result<AppendOutcome, TsdbError> {
        self.log.recover(self)?;
        self.sort_by_shard(batch, scratch);
        scratch.known.clear();
        scratch.records.samples.set_start_times(self.options.start_times);
        let mut request = Request {
            batch,
            limits,
            bounds: self.bounds(batch, limits),
            sink: self.chunk_sink(),
            keeps_start_times: self.options.start_times,
            outcome: AppendOutcome::default(),
            now: self.activity.now(),
            times: (i64::MAX, i64::MIN),
        };
        self.set_max_exemplars(limits.max_exemplars);
        self.append_shards(&mut request, scratch);
        if request.times.0 <= request.times.1 {
            self.min_time_ms.fetch_min(request.times.0, Ordering::AcqRel);
            self.max_time_ms.fetch_max(request.times.1, Ordering::AcqRel);
        }
        if !scratch.with_exemplars.is_empty() {
            request.outcome.exemplars = self.append_exemplars(batch, limits, scratch);
        }
        let logged = self.log.commit(self, scratch);
        if !scratch.late.is_empty() {
            match &logged {
                Ok(()) => self.commit_late(&mut scratch.late)?,
                Err(_) => self.forget_late(&mut scratch.late),
            }
        }
        logged?;
        Ok(request.outcome)
    }

    fn bounds(&self, batch: &WriteBatch<'_>, limits: &AppendLimits) -> Bounds {
        let mut head_max = self.max_time_ms.load(Ordering::Acquire);
        if head_max == NO_MAX_TIME {
            head_max = first_time(batch).unwrap_or(NO_MAX_TIME);
        }
        let min_valid = self.min_valid_time_ms.load(Ordering::Acquire);
        Bounds::new(min_valid, head_max, self.options.block_range_ms, limits)
    }

    /// Counting sort: stable, so that a series that occurs twice keeps its order.
    fn sort_by_shard(&self, batch: &WriteBatch<'_>, scratch: &mut AppendScratch) {
        scratch.hashes.clear();
        if batch.hasher != self.hasher {
            let hash = |series: &BatchSeries| self.hasher.hash(batch.labels_of(series));
            scratch.hashes.extend(batch.series.iter().map(hash));
        }
        let ends = &mut scratch.shard_ends;
        ends.clear();
        ends.resize(self.shards.len() + 1, 0);
        let hashes = hashes(&scratch.hashes, batch);
        hashes.for_each(|hash| ends[self.shards.index_of(hash) + 1] += 1);
        for shard in 1..ends.len() {
            ends[shard] += ends[shard - 1];
        }
        scratch.order.clear();
        scratch.order.resize(batch.series.len(), Wanted::default());
        for (i, hash) in self::hashes(&scratch.hashes, batch).enumerate() {
            let end = &mut ends[self.shards.index_of(hash)];
            scratch.order[*end as usize] = Wanted { hash, index: i as u32 };
            *end += 1;
        }
        ends.pop();
    }

    /// Takes the shards that nobody holds first.
    fn append_shards(&self, request: &mut Request<'_, '_>, scratch: &mut AppendScratch) {
        let mut busy = [0u64; super::shards::MAX_SHARDS / 64];
        for index in 0..self.shards.len() {
            if part_of(&scratch.shard_ends, index).is_empty() {
                continue;
            }
            match self.shards.try_lock(index) {
                Some(mut shard) => self.append_shard(request, scratch, (index, &mut shard)),
                None => busy[index / 64] |= 1 << (index % 64),
            }
        }
        for index in (0..self.shards.len()).filter(|i| busy[i / 64] >> (i % 64) & 1 == 1) {
            let mut shard = self.shards.lock(index);
            self.append_shard(request, scratch, (index, &mut shard));
        }
    }

    fn append_shard(
        &self,
        request: &mut Request<'_, '_>,
        scratch: &mut AppendScratch,
        (index, shard): (usize, &mut Shard),
    ) {
        // A compaction raises the bound and then locks each shard once: whoever locks later
        // sees it here.
        let min_valid = self.min_valid_time_ms.load(Ordering::Acquire);
        request.bounds.min_valid_ms = request.bounds.min_valid_ms.max(min_valid);
        let order = std::mem::take(&mut scratch.order);
        let part = &order[part_of(&scratch.shard_ends, index)];
        let missing = {
            let symbols = self.symbols.read();
            let buffers = (&mut scratch.slots, &mut scratch.ahead, &mut scratch.known);
            locate(shard, &symbols, (request.batch, part), buffers)
        };
        if missing {
            self.create_missing(request, (index, shard), part, &mut scratch.slots);
        }
        scratch.before.clear();
        for (position, wanted) in part.iter().enumerate() {
            let slot = scratch.slots[position];
            let before = request.outcome.accepted();
            let series = &request.batch.series[wanted.index as usize];
            if slot == NONE {
                scratch.before.push(None);
                if !series.exemplars.is_empty() {
                    scratch.with_exemplars.push((wanted.index, 0));
                }
            } else {
                scratch.before.push(newest_time(shard, slot));
                append_series(request, scratch, (index, shard, slot), (wanted.index, series));
                if request.outcome.accepted() > before {
                    shard.series[slot as usize].activity = request.now;
                }
            }
        }
        scratch.order = order;
    }
}

/// Appends the samples of one series.
#[inline]
fn append_series(
    request: &mut Request<'_, '_>,
    scratch: &mut AppendScratch,
    (index, shard, slot): (usize, &mut Shard, u32),
    (i, batch_series): (u32, &BatchSeries),
) {
    let series = &shard.series[slot as usize];
    let series_ref = series.series_ref();
    if !series.is_logged() {
        scratch.unlogged.push((Location::new(index, slot), series_ref));
        scratch.records.push_series(series_ref, request.batch.labels_of(batch_series));
    }
    if batch_series.created_timestamp_ms > 0 {
        append_zero(request, scratch, (shard, slot), batch_series);
    }
    let batch = request.batch;
    for position in batch_series.samples.range() {
        let BatchSample { timestamp_ms: t, value } = batch.samples[position];
        let bits = value.to_bits();
        let start_t = request.start_time_of_sample(batch_series, position);
        if bits == STALE_NAN_BITS && shard.series[slot as usize].open == Open::Histogram {
            append_stale_histogram(request, scratch, (index, shard, slot), (i, t, start_t));
            continue;
        }
        let sample = FloatSample { t, start_t, value };
        let newest = newest_for_float(shard, slot, t, bits);
        match judge(newest, t, &request.bounds) {
            Verdict::Append => push_float(shard, slot, sample, &request.sink),
            Verdict::Duplicate => {}
            Verdict::OutOfOrder => {
                let sample = LateSample { t, start_t, value: LateValue::Float(value) };
                scratch.late.push(shard, Location::new(index, slot), sample);
                request.outcome.accepted_floats += 1;
                continue;
            }
            Verdict::Reject(kind) => {
                let is_told = refuse(request, scratch, slot, (kind, i, t));
                if is_told && kind == RejectionKind::DuplicateTimestamp {
                    request.note_duplicate(i, t, (shard, slot, bits));
                }
                continue;
            }
        }
        request.accept(t);
        request.outcome.accepted_floats += 1;
        scratch.records.samples.push_float(series_ref, sample);
    }
    if !batch_series.exemplars.is_empty() {
        scratch.with_exemplars.push((i, series_ref));
    }
    if !batch_series.histograms.is_empty() {
        append_histograms(request, scratch, (index, shard, slot), (i, batch_series));
    }
}

/// A float stale marker in a series of histograms becomes a stale histogram: senders do not know
/// the type of a series that has ended.
#[cold]
fn append_stale_histogram(
    request: &mut Request<'_, '_>,
    scratch: &mut AppendScratch,
    (index, shard, slot): (usize, &mut Shard, u32),
    (i, t, start_t): (u32, i64, i64),
) {
    let value = histograms::stale_like_open(shard, slot);
    if append_histogram(request, scratch, (index, shard, slot), (i, (t, start_t), &value)) {
        request.outcome.accepted_floats += 1;
    }
}

#[cold]
fn append_histograms(
    request: &mut Request<'_, '_>,
    scratch: &mut AppendScratch,
    (index, shard, slot): (usize, &mut Shard, u32),
    (i, batch_series): (u32, &BatchSeries),
) {
    let batch = request.batch;
    for position in batch_series.histograms.range() {
        let sample = &batch.histograms[position];
        let start_t = request.start_time_of_histogram(batch_series, position);
        let value = (i, (sample.timestamp_ms, start_t), &sample.value);
        if append_histogram(request, scratch, (index, shard, slot), value) {
            request.outcome.accepted_histograms += 1;
        }
    }
}

/// Appends one histogram. Whether it was accepted.
fn append_histogram(
    request: &mut Request<'_, '_>,
    scratch: &mut AppendScratch,
    (index, shard, slot): (usize, &mut Shard, u32),
    (i, (t, start_t), value): (u32, (i64, i64), &HistogramValue),
) -> bool {
    if !histograms::is_valid(value) {
        request.reject(RejectionKind::InvalidHistogram, i, t);
        return false;
    }
    let newest = histograms::newest_for_histogram(shard, slot, t, value);
    let rejected = match judge(newest, t, &request.bounds) {
        Verdict::Append => {
            histograms::push_histogram(shard, slot, (t, start_t, value), &request.sink)
                .is_err()
                .then_some(RejectionKind::InvalidHistogram)
        }
        Verdict::Duplicate => None,
        Verdict::OutOfOrder => {
            let value = LateValue::Histogram(value.clone());
            let sample = LateSample { t, start_t, value };
            scratch.late.push(shard, Location::new(index, slot), sample);
            return true;
        }
        Verdict::Reject(kind) => {
            refuse(request, scratch, slot, (kind, i, t));
            return false;
        }
    };
    if let Some(kind) = rejected {
        request.reject(kind, i, t);
        return false;
    }
    request.accept(t);
    let series_ref = shard.series[slot as usize].series_ref();
    scratch.records.samples.push_histogram(series_ref, (t, start_t), value);
    true
}

/// Refuses a sample that the rules forbid. Whether the sender is told: not where only the same
/// request forbids it.
#[cold]
fn refuse(
    request: &mut Request<'_, '_>,
    scratch: &mut AppendScratch,
    slot: u32,
    (kind, i, t): (RejectionKind, u32, i64),
) -> bool {
    let before = scratch.before.newest(slot, &scratch.slots);
    let is_told = matches!(judge(before, t, &request.bounds), Verdict::Reject(_));
    if is_told {
        request.reject(kind, i, t);
    } else {
        request.outcome.rejected[kind as usize] += 1;
    }
    is_told
}

impl Request<'_, '_> {
    #[inline]
    pub(super) fn accept(&mut self, t: i64) {
        self.times = (self.times.0.min(t), self.times.1.max(t));
    }

    /// The start timestamp to keep of float sample `index` of the batch; 0 = none.
    #[inline]
    fn start_time_of_sample(&self, series: &BatchSeries, index: usize) -> i64 {
        if self.keeps_start_times { self.batch.start_time_of_sample(series, index) } else { 0 }
    }

    fn start_time_of_histogram(&self, series: &BatchSeries, index: usize) -> i64 {
        if self.keeps_start_times { self.batch.start_time_of_histogram(series, index) } else { 0 }
    }

    /// Counts a refused sample and keeps the first of its kind in the order of the request.
    #[cold]
    pub(super) fn reject(&mut self, kind: RejectionKind, i: u32, t: i64) {
        self.outcome.rejected[kind as usize] += 1;
        let series_index = i as usize;
        let first = &mut self.outcome.first[kind as usize];
        if first.as_ref().is_none_or(|known| series_index < known.series_index) {
            let labels = labels_of_batch(self.batch, &self.batch.series[series_index]);
            *first =
                Some(Rejection { kind, timestamp_ms: t, series_index, labels, duplicate: None });
        }
    }

    /// Notes with which sample the float collides that was refused last.
    #[cold]
    fn note_duplicate(&mut self, i: u32, t: i64, (shard, slot, new_bits): (&Shard, u32, u64)) {
        let series = &shard.series[slot as usize];
        let existing_bits = match series.open {
            Open::Float => Some(series.xor.last_value().to_bits()),
            Open::Xor2 => open_xor2(shard, slot).map(OpenXor2::last_bits),
            Open::Histogram => None,
            // Its value is in a chunk of the files.
            Open::Nothing => return,
        };
        let first = &mut self.outcome.first[RejectionKind::DuplicateTimestamp as usize];
        if let Some(first) = first
            && (first.series_index, first.timestamp_ms) == (i as usize, t)
            && first.duplicate.is_none()
        {
            first.duplicate = Some(DuplicateFloat { existing_bits, new_bits });
        }
    }

    /// Refuses all samples of a series that was not created. `kind` is for those that the rules
    /// would allow.
    #[cold]
    pub(super) fn reject_series(&mut self, i: u32, kind: RejectionKind) {
        let series = self.batch.series[i as usize];
        let floats = self.batch.samples_of(&series).iter().map(|s| s.timestamp_ms);
        let histograms = self.batch.histograms_of(&series).iter().map(|h| h.timestamp_ms);
        for t in floats.chain(histograms) {
            match judge(Newest::Nothing, t, &self.bounds) {
                Verdict::Reject(other) => self.reject(other, i, t),
                _ => self.reject(kind, i, t),
            }
        }
    }

    /// Whether a new series would get at least one sample.
    pub(super) fn has_valid_sample(&self, series: &BatchSeries) -> bool {
        let floats = self.batch.samples_of(series).iter().map(|s| s.timestamp_ms);
        let histograms = self.batch.histograms_of(series).iter();
        let histograms = histograms.filter(|h| histograms::is_valid(&h.value));
        floats
            .chain(histograms.map(|h| h.timestamp_ms))
            .any(|t| !matches!(judge(Newest::Nothing, t, &self.bounds), Verdict::Reject(_)))
    }
}

/// The time of the first sample of a batch.
fn first_time(batch: &WriteBatch<'_>) -> Option<i64> {
    batch.series.iter().find_map(|series| {
        let float = batch.samples_of(series).first().map(|s| s.timestamp_ms);
        float.or_else(|| batch.histograms_of(series).first().map(|h| h.timestamp_ms))
    })
}

/// The part of the sorted series that belongs to shard `index`.
fn part_of(ends: &[u32], index: usize) -> std::ops::Range<usize> {
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    start..ends[index] as usize
}

/// The hashes of all series of a batch: `own` where it is not empty.
fn hashes<'a>(own: &'a [u64], batch: &'a WriteBatch<'_>) -> impl Iterator<Item = u64> + 'a {
    let of_batch = if own.is_empty() { &batch.series[..] } else { &[] };
    own.iter().copied().chain(of_batch.iter().map(|series| series.hash))
}
