//! Deleting samples of the head: ranges of time that queries and blocks leave out from then on.
//!
//! The samples stay where they are until their range is cut into a block, which no longer has
//! them. The ranges stand in the log as tombstones and come back by the replay; those that end
//! before the head does are dropped with what they delete (`truncate.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Matcher, QueryContext, TimeRange, TimestampMs};
use parking_lot::RwLock;

use super::Head;
use super::floats::newest_time;
use super::read::{HeadQuerier, oldest_time};
use crate::error::TsdbError;
use crate::tombstones::{Interval, Tombstones};
use crate::wal::LogScratch;
use crate::wal::record::TombstonesEncoder;

/// The deleted ranges of the series of a head, by reference.
#[derive(Debug, Default)]
pub(super) struct DeletedRanges {
    /// So that queries of a head from which nothing was ever deleted take no lock.
    has_any: AtomicBool,
    by_ref: RwLock<Tombstones>,
}

impl DeletedRanges {
    /// What is deleted of a series.
    #[inline]
    pub(super) fn of(&self, series_ref: u64) -> Vec<Interval> {
        if !self.has_any() {
            return Vec::new();
        }
        self.by_ref.read().get(series_ref).to_vec()
    }

    /// Whether anything is deleted of any series.
    #[inline]
    pub(super) fn has_any(&self) -> bool {
        self.has_any.load(Ordering::Acquire)
    }

    /// All ranges.
    pub(super) fn all(&self) -> Tombstones {
        self.by_ref.read().clone()
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        *self.by_ref.write() = Tombstones::default();
        self.has_any.store(false, Ordering::Release);
    }

    /// Deletes a range of a series.
    pub(super) fn add(&self, series_ref: u64, interval: Interval) {
        self.by_ref.write().add(series_ref, interval);
        self.has_any.store(true, Ordering::Release);
    }

    /// Forgets the ranges that end before `mint`.
    pub(super) fn drop_before(&self, mint: TimestampMs) {
        if self.has_any() {
            let mut by_ref = self.by_ref.write();
            by_ref.drop_before(mint);
            self.has_any.store(!by_ref.is_empty(), Ordering::Release);
        }
    }
}

impl Head {
    /// Deletes the samples in `range` of the series that satisfy all matchers. Samples that are
    /// appended later are not deleted, wherever they lie. `Ok` means that the log has it; after an
    /// error nothing is deleted. Returns how many series had something there.
    pub fn delete(
        self: &Arc<Self>,
        range: TimeRange,
        matchers: &[Matcher],
    ) -> Result<u64, TsdbError> {
        let deleted = self.find_deleted(range, matchers)?;
        if deleted.is_empty() {
            return Ok(0);
        }
        if let Some(wal) = self.log.wal() {
            self.log.recover(self)?;
            let mut record = TombstonesEncoder::default();
            for (series_ref, interval) in &deleted {
                record.push(*series_ref, interval.min_ms, interval.max_ms);
            }
            wal.log(&mut LogScratch::default(), &[record.record()])?;
        }
        for &(series_ref, interval) in &deleted {
            self.deleted.add(series_ref, interval);
        }
        Ok(deleted.len() as u64)
    }

    /// The parts of `range` that the matching series have samples in.
    fn find_deleted(
        self: &Arc<Self>,
        range: TimeRange,
        matchers: &[Matcher],
    ) -> Result<Vec<(u64, Interval)>, TsdbError> {
        let context = Arc::new(QueryContext::unlimited());
        let querier = HeadQuerier::new(Arc::clone(self), range, context);
        let _select = self.selects.read();
        let mut deleted = Vec::new();
        let visited = querier.visit(matchers, |shard, slot| {
            let (oldest, newest) = (oldest_time(shard, slot), newest_time(shard, slot));
            let interval = Interval {
                min_ms: range.start_ms_incl.max(oldest),
                max_ms: range.end_ms_incl.min(newest.unwrap_or(TimestampMs::MIN)),
            };
            if interval.min_ms <= interval.max_ms {
                deleted.push((shard.series[slot as usize].series_ref(), interval));
            }
        });
        visited.map_err(|e| TsdbError::Invalid(format!("find series to delete: {e}")))?;
        Ok(deleted)
    }
}
