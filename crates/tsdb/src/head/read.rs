//! Queries over the head.
//!
//! A select first finds the series (postings, then one look into each shard), puts them in label
//! order and then hands them out one by one; the samples of a series are copied when its turn
//! comes, under the lock of its shard. Series that are created meanwhile are not seen, samples
//! that are appended meanwhile may be.
//!
//! Callers that do not need label order get the series as they lie in memory (`any_order.rs`).
//!
//! While a [`ReadLease`] is alive the head removes nothing (`truncate.rs`), so that a series
//! that was found is still there when its turn comes.

use std::sync::Arc;

use model::{
    Labels, Matcher, Querier, QueryContext, Queryable, SampleReader, SelectHints, SeriesEntry,
    SeriesSet, Shard as QueryShard, StorageError, TimeRange,
};
use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::Head;
use super::any_order::AnyOrderSet;
use super::find::Row;
use super::floats::{first_time, newest_time};
use super::ooo::{LateView, has_late, late_reader, late_snapshot};
use super::samples::{HeadSamples, NewestSample, Snapshot, snapshot};
use super::series::Open;
use super::shards::Shard;
use super::xor2::{OpenXor2, open_xor2};
use crate::postings::{
    IndexPostings, SERIES_TO_SAMPLE, add_names, is_cheaper_by_series, narrow, query_shard,
};
use crate::tombstones::Interval;

/// Keeps the head from removing what a query has found.
pub(super) type ReadLease = Arc<()>;

/// A querier over the head.
pub struct HeadQuerier {
    head: Arc<Head>,
    range: TimeRange,
    context: Arc<QueryContext>,
    lease: ReadLease,
    part: Part,
}

/// What a querier sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Samples that came in order.
    InOrder,
    /// Samples that came out of order.
    OutOfOrder(LateView),
}

impl HeadQuerier {
    /// A view of what the head has in `range` of samples that came in order.
    pub fn new(head: Arc<Head>, range: TimeRange, context: Arc<QueryContext>) -> Self {
        let lease = head.lease();
        Self { head, range, context, lease, part: Part::InOrder }
    }

    /// A view of what the head has in `range` of samples that came out of order; to be merged
    /// with the one of [`HeadQuerier::new`], after it.
    pub fn out_of_order(head: Arc<Head>, range: TimeRange, context: Arc<QueryContext>) -> Self {
        let part = Part::OutOfOrder(head.late_view());
        Self { part, ..Self::new(head, range, context) }
    }

    /// The series that satisfy all matchers and may have samples in the range, in label order.
    fn find(&self, matchers: &[Matcher]) -> Result<Vec<Row>, StorageError> {
        let mut numbers = self.head.matching(matchers)?;
        self.context.check()?;
        self.head.sort_by_labels(&mut numbers);
        Ok(self.head.rows(&numbers, |shard, slot| self.may_have_samples(shard, slot)))
    }

    /// Visits the slots of series that satisfy all matchers and may have samples in the range,
    /// in no order. The head must not be renumbered meanwhile: the caller holds `Head::selects`.
    pub(super) fn visit(
        &self,
        matchers: &[Matcher],
        mut visit: impl FnMut(&Shard, u32),
    ) -> Result<(), StorageError> {
        let numbers = self.head.matching(matchers)?;
        self.head.visit_series(&numbers, |shard, part| {
            let slots = part.iter().map(|at| at.slot() as u32);
            slots.filter(|&slot| self.may_have_samples(shard, slot)).for_each(|s| visit(shard, s));
        });
        Ok(())
    }

    fn may_have_samples(&self, shard: &Shard, slot: u32) -> bool {
        may_have_samples(shard, slot, (self.range, self.part))
    }

    /// Whether the head has anything in the range. Names and values are not asked for more: as in
    /// a block, they are those of all series.
    fn overlaps_head(&self) -> bool {
        let times = match self.part {
            Part::InOrder => self.head.time_bounds(),
            Part::OutOfOrder(_) => self.head.out_of_order_bounds(),
        };
        times.is_some_and(|(min, max)| self.range.overlaps(min, max))
    }
}

/// The strings of symbols, sorted, at most `limit` (0 = all).
fn strings<'s>(texts: impl Iterator<Item = &'s str>, limit: usize) -> Vec<String> {
    let mut texts: Vec<&str> = texts.collect();
    texts.sort_unstable();
    if limit > 0 {
        texts.truncate(limit);
    }
    texts.into_iter().map(str::to_owned).collect()
}

/// The time of the first sample of a series; later than all for a series without samples.
pub(super) fn oldest_time(shard: &Shard, slot: u32) -> i64 {
    if let Some(full) = shard.cold(slot).and_then(|cold| cold.full.first()) {
        return full.min_time_ms;
    }
    open_start(shard, slot)
}

/// The time of the first sample of the open chunk; later than all where there is none.
pub(super) fn open_start(shard: &Shard, slot: u32) -> i64 {
    let series = &shard.series[slot as usize];
    match series.open {
        Open::Nothing => i64::MAX,
        Open::Float => first_time(shard.slab.get(series.chunk_slot())),
        Open::Histogram => super::histograms::first_open_time(shard, slot).unwrap_or(i64::MAX),
        Open::Xor2 => open_xor2(shard, slot).map_or(i64::MAX, OpenXor2::first_time),
    }
}

impl Querier for HeadQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let (matchers, shard) = query_shard(matchers, hints)?;
        let _select = self.head.selects.read();
        let source = SeriesSource {
            head: self.head.clone(),
            range: self.range,
            context: self.context.clone(),
            lease: self.lease.clone(),
            labels_only: hints.labels_only,
            part: self.part,
            newest_only: hints.newest_only && hints.end_ms_incl == self.range.end_ms_incl,
        };
        let has_limits = hints.limit > 0 || self.context.limits_series();
        if hints.without_labels && shard.is_none() && !has_limits {
            return Ok(Box::new(AnyOrderSet::new(source, &matchers)?));
        }
        let mut rows = self.find(&matchers)?;
        if hints.limit > 0 && shard.is_none() {
            rows.truncate(hints.limit);
        }
        let left = if hints.limit > 0 { hints.limit } else { usize::MAX };
        Ok(Box::new(HeadSeriesSet { source, shard, left, rows, next: 0 }))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        if !self.overlaps_head() {
            return Ok(Vec::new());
        }
        let _select = self.head.selects.read();
        let narrowed = narrow(name, matchers);
        if narrowed.others.is_empty() {
            return Ok(narrowed.values(&self.head.index(), None, limit)?);
        }
        let numbers = self.head.matching(&narrowed.others)?;
        self.context.check()?;
        {
            let index = self.head.index();
            if !is_cheaper_by_series(&index, name, numbers.len()) {
                return Ok(narrowed.values(&index, Some(&numbers), limit)?);
            }
        }
        let values = self.head.values_of(name, &numbers);
        let symbols = self.head.symbols.read();
        let values = values.iter().map(|&value| symbols.get(value));
        Ok(strings(values.filter(|value| narrowed.accepts(value)), limit))
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        if !self.overlaps_head() {
            return Ok(Vec::new());
        }
        let _select = self.head.selects.read();
        let mut names = self.head.index().label_names()?;
        if !matchers.is_empty() {
            let numbers = self.head.matching(matchers)?;
            self.context.check()?;
            let (sample, rest) = numbers.split_at(numbers.len().min(SERIES_TO_SAMPLE));
            let seen = self.head.names_of(sample);
            let index = self.head.index();
            let seen = seen.iter().map(|&name| index.symbols.get(name).to_owned());
            let mut seen = seen.collect();
            add_names(&index, rest, &names, &mut seen)?;
            names.retain(|name| seen.contains(name));
        }
        if limit > 0 {
            names.truncate(limit);
        }
        Ok(names)
    }
}

/// What a select reads of each series.
pub(super) struct SeriesSource {
    pub(super) head: Arc<Head>,
    range: TimeRange,
    pub(super) context: Arc<QueryContext>,
    lease: ReadLease,
    part: Part,
    labels_only: bool,
    newest_only: bool,
}

/// What is read of one series while its shard is locked.
pub(super) struct ReadSeries {
    snapshot: Snapshot,
    deleted: Vec<Interval>,
}

impl SeriesSource {
    /// The samples of a series; `None` when it has none in the range.
    pub(super) fn read(&self, shard: &Shard, slot: u32) -> Option<ReadSeries> {
        let deleted = self.head.deleted.of(shard.series[slot as usize].series_ref());
        if !deleted.is_empty() && self.is_all_deleted(shard, slot, &deleted) {
            return None;
        }
        let snapshot = if self.labels_only {
            Snapshot::Chunks(SmallVec::new())
        } else if let Part::OutOfOrder(view) = self.part {
            Snapshot::Chunks(late_snapshot((shard, slot), self.range, view)?)
        } else {
            let newest_only = self.newest_only && deleted.is_empty();
            snapshot(shard, slot, self.range, newest_only)?
        };
        Some(ReadSeries { snapshot, deleted })
    }

    /// Whether nothing that a series has in the range is left.
    #[cold]
    fn is_all_deleted(&self, shard: &Shard, slot: u32, deleted: &[Interval]) -> bool {
        let start = self.range.start_ms_incl.max(oldest_time(shard, slot));
        let end = newest_time(shard, slot).map_or(start, |t| self.range.end_ms_incl.min(t));
        deleted.iter().any(|interval| interval.contains(start) && interval.contains(end))
    }

    /// What the caller of the select gets.
    pub(super) fn entry(
        &self,
        labels: Labels,
        read: ReadSeries,
    ) -> Result<SeriesEntry, StorageError> {
        let ReadSeries { snapshot, deleted } = read;
        self.context.add_series(&labels)?;
        let (chunks, bytes) = snapshot.size();
        self.context.add_chunks(chunks, bytes)?;
        let samples: Box<dyn SampleReader> = match snapshot {
            Snapshot::Newest(t, value) => Box::new(NewestSample(Some((t, value)))),
            Snapshot::Chunks(chunks) if self.part != Part::InOrder => {
                late_reader(chunks, self.head.files().cloned(), self.lease.clone())
            }
            Snapshot::Chunks(chunks) => {
                let files = self.head.files().cloned();
                let samples = HeadSamples::new(chunks, files, self.lease.clone());
                Box::new(samples.without(deleted))
            }
        };
        Ok(SeriesEntry { labels, samples })
    }

    /// Whether a series that is there may have samples in the range.
    pub(super) fn may_have_samples(&self, shard: &Shard, slot: u32) -> bool {
        may_have_samples(shard, slot, (self.range, self.part))
    }
}

fn may_have_samples(shard: &Shard, slot: u32, (range, part): (TimeRange, Part)) -> bool {
    if !shard.series[slot as usize].is_live() {
        return false;
    }
    if let Part::OutOfOrder(view) = part {
        return has_late((shard, slot), range, view);
    }
    let Some(newest) = newest_time(shard, slot) else { return false };
    newest >= range.start_ms_incl && oldest_time(shard, slot) <= range.end_ms_incl
}

/// The series of one select in label order.
struct HeadSeriesSet {
    source: SeriesSource,
    shard: Option<QueryShard>,
    /// How many more series are needed.
    left: usize,
    rows: Vec<Row>,
    next: usize,
}

impl HeadSeriesSet {
    /// The labels and samples of a series; `None` when it has no samples in the range.
    fn read(&self, row: &Row) -> Option<(Labels, ReadSeries)> {
        let head = &self.source.head;
        let shard = head.shards.lock(row.location.shard());
        row.series(&shard)?;
        let read = self.source.read(&shard, row.location.slot())?;
        Some((head.labels_in(shard, row), read))
    }
}

impl SeriesSet for HeadSeriesSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        while self.left > 0 && self.next < self.rows.len() {
            if self.next.is_multiple_of(64) {
                self.source.context.check()?;
            }
            let row = self.rows[self.next];
            self.next += 1;
            let Some((labels, read)) = self.read(&row) else { continue };
            let outside = |s: QueryShard| labels.stable_hash() % s.count.max(1) != s.index;
            if self.shard.is_some_and(outside) {
                continue;
            }
            self.left -= 1;
            return self.source.entry(labels, read).map(Some);
        }
        Ok(None)
    }
}

impl Head {
    /// The labels of a series; `None` when it is not there any more.
    pub(super) fn labels_of(&self, row: &Row) -> Option<Labels> {
        let shard = self.shards.lock(row.location.shard());
        row.series(&shard)?;
        Some(self.labels_in(shard, row))
    }

    /// The labels of a series that is there. Gives the shard back as soon as it can: appends do
    /// not wait for the strings.
    fn labels_in(&self, shard: MutexGuard<'_, Shard>, row: &Row) -> Labels {
        let symbols = self.symbols.read();
        let series = &shard.series[row.location.slot() as usize];
        let words: SmallVec<[u32; 32]> = shard.labels.entry(series.labels, &symbols).into();
        drop(shard);
        let names = symbols.shape(words[0]).iter().zip(&words[1..]);
        let pairs = names.map(|(&name, &value)| (symbols.get(name), symbols.get(value)));
        Labels::from_sorted(pairs)
    }
}

/// The head alone; [`crate::db::Db`] merges it with the blocks.
pub struct HeadQueryable(pub Arc<Head>);

impl Queryable for HeadQueryable {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(HeadQuerier::new(self.0.clone(), range, context.clone())))
    }
}
