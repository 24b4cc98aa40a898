//! Removing from the head what stands in blocks.
//!
//! First shard by shard: chunks that end before the cut, and series that have nothing left.
//! Then, with all shards locked, what all series share: postings are renumbered, labels moved
//! together, unused strings dropped. The second part stops appends for the time of one walk over
//! the series (about 0.1 s for a million).
//!
//! Queries that began before must not lose what they have found: nothing is removed while one of
//! them holds a lease from before [`Head::retire_leases`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::TimestampMs;
use parking_lot::MutexGuard;

use super::Head;
use super::floats::newest_time;
use super::labels::LabelArena;
use super::read::{oldest_time, open_start};
use super::series::Cold;
use super::shards::Shard;
use super::symbols::{ShapeId, Symbol, Symbols};

impl Head {
    /// Refuses samples before `min_valid_ms` from now on and returns what the bound was. When it
    /// returns no append that used the old bound is under way.
    pub fn raise_min_valid_time(&self, min_valid_ms: TimestampMs) -> TimestampMs {
        let before = self.min_valid_time_ms.fetch_max(min_valid_ms, Ordering::AcqRel);
        for index in 0..self.shards.len() {
            drop(self.shards.lock(index));
        }
        before
    }

    /// Sets the bound back, when what it was raised for has failed.
    pub fn restore_min_valid_time(&self, before: TimestampMs) {
        self.min_valid_time_ms.store(before, Ordering::Release);
    }

    /// The bound below which samples are refused; [`TimestampMs::MIN`] where there is none.
    pub fn min_valid_time(&self) -> TimestampMs {
        self.min_valid_time_ms.load(Ordering::Acquire)
    }

    /// The time of the oldest sample at or after `from_ms`, or of the start of a chunk that
    /// reaches over it; `None` where there is none. Looks at every series.
    pub fn oldest_time_from(&self, from_ms: TimestampMs) -> Option<TimestampMs> {
        let oldest_of = |index| {
            let shard = self.shards.lock(index);
            shard.live_slots().filter_map(|slot| shard.oldest_from(slot, from_ms)).min()
        };
        (0..self.shards.len()).filter_map(oldest_of).min()
    }

    /// How many series have no sample at or after `from_ms`. Looks at every series.
    pub fn series_without_samples_from(&self, from_ms: TimestampMs) -> u64 {
        let idle_of = |index| {
            let shard = self.shards.lock(index);
            let is_idle = |slot: &u32| newest_time(&shard, *slot).is_none_or(|t| t < from_ms);
            shard.live_slots().filter(is_idle).count() as u64
        };
        (0..self.shards.len()).map(idle_of).sum()
    }

    /// Separates the queries of before from those of afterwards, which must not need anything
    /// that is going to be removed.
    pub fn retire_leases(&self) {
        let retired = std::mem::take(&mut *self.lease.lock());
        self.retired_leases.lock().push(Arc::downgrade(&retired));
    }

    /// Removes all chunks that end before `mint` and the series that have nothing else. Does
    /// nothing and returns false while queries from before [`Head::retire_leases`] are at work.
    pub fn truncate(&self, mint: TimestampMs) -> bool {
        if !self.are_leases_retired() {
            return false;
        }
        let mut removed = Vec::new();
        for index in 0..self.shards.len() {
            self.shards.lock(index).truncate(mint, &mut removed);
        }
        self.series_count.fetch_sub(removed.len() as u64, Ordering::AcqRel);
        self.removed_series.fetch_add(removed.len() as u64, Ordering::Relaxed);
        self.keep_refs(&removed);
        self.deleted.drop_before(mint);
        self.forget_metadata(&removed);
        self.compact_tables(!removed.is_empty());
        true
    }

    /// Whether no query from before [`Head::retire_leases`] is at work.
    pub(super) fn are_leases_retired(&self) -> bool {
        let mut retired = self.retired_leases.lock();
        retired.retain(|lease| lease.strong_count() > 0);
        retired.is_empty()
    }

    /// Rebuilds what the series share and takes over the oldest time.
    fn compact_tables(&self, has_removed: bool) {
        let _selects = self.selects.write();
        let mut shards: Vec<_> = (0..self.shards.len()).map(|i| self.shards.lock(i)).collect();
        if has_removed {
            let mut symbols = self.symbols.write();
            let mut postings = self.postings.write();
            let is_live = |location: super::shards::Location| {
                shards[location.shard()].series[location.slot() as usize].is_live()
            };
            let numbers = postings.retain(is_live);
            self.order.renumber(&numbers);
            for shard in &mut shards {
                shard.renumber(&numbers);
            }
            compact_labels(&mut shards, &mut symbols);
        }
        let oldest =
            shards.iter().flat_map(|shard| shard.live_slots().map(|slot| oldest_time(shard, slot)));
        let oldest = oldest.min().unwrap_or(TimestampMs::MAX);
        self.min_time_ms.store(oldest, Ordering::Release);
    }
}

/// Moves the labels of all shards together and drops the strings that nobody uses.
fn compact_labels(shards: &mut [MutexGuard<'_, Shard>], symbols: &mut Symbols) {
    let mut used = Used {
        symbols: vec![false; symbols.number_bound()],
        shapes: vec![false; symbols.shape_bound()],
    };
    for shard in shards {
        shard.compact_labels(symbols, &mut used);
    }
    symbols.retain(&used.symbols, &used.shapes);
}

/// What series use.
struct Used {
    symbols: Vec<bool>,
    shapes: Vec<bool>,
}

impl Used {
    fn mark(&mut self, shape: ShapeId, values: &[Symbol], symbols: &Symbols) {
        if !std::mem::replace(&mut self.shapes[shape as usize], true) {
            symbols.shape(shape).iter().for_each(|&name| self.symbols[name as usize] = true);
        }
        values.iter().for_each(|&value| self.symbols[value as usize] = true);
    }
}

impl Shard {
    /// Removes chunks that end before `mint`, and series that have nothing else; samples that came
    /// out of order stay. Their slots are free
    /// only after [`Shard::free_vacated`]. Adds the references of removed series to `removed`.
    pub(super) fn truncate(&mut self, mint: TimestampMs, removed: &mut Vec<u64>) {
        let before = removed.len();
        for slot in 0..self.series.len() as u32 {
            if !self.series[slot as usize].is_live() {
                continue;
            }
            match newest_time(self, slot) {
                Some(newest) if newest >= mint => self.drop_chunks_before(slot, mint),
                Some(_) | None if self.cold(slot).is_some_and(Cold::has_late) => {
                    self.drop_open(slot);
                    self.drop_chunks_before(slot, TimestampMs::MAX);
                }
                Some(_) | None => {
                    removed.push(self.series[slot as usize].series_ref());
                    self.vacate(slot);
                }
            }
        }
        if removed.len() > before {
            let series = &self.series;
            self.index.retain(|slot| series[slot as usize].is_live());
        }
        self.slab.shrink();
    }

    /// When the oldest chunk of a series that ends at or after `from` starts; not before `from`.
    fn oldest_from(&self, slot: u32, from: TimestampMs) -> Option<TimestampMs> {
        if newest_time(self, slot)? < from {
            return None;
        }
        let full = self.cold(slot).map_or(&[][..], |cold| &cold.full);
        let next = full.iter().find(|chunk| chunk.max_time_ms >= from);
        let start = next.map_or_else(|| open_start(self, slot), |chunk| chunk.min_time_ms);
        Some(start.max(from))
    }

    fn drop_chunks_before(&mut self, slot: u32, mint: TimestampMs) {
        let Some(cold) = self.cold_mut(slot) else { return };
        let kept = cold.full.partition_point(|chunk| chunk.max_time_ms < mint);
        if kept > 0 {
            cold.full.drain(..kept);
            cold.full.shrink_to(cold.full.len() + 1);
        }
        if cold.is_empty() {
            self.drop_cold(slot);
        }
    }

    /// Takes over the new numbers of the postings, by old number.
    fn renumber(&mut self, numbers: &[u32]) {
        for series in self.series.iter_mut().filter(|series| series.is_live()) {
            series.number = numbers[series.number as usize];
        }
        self.free_vacated();
    }

    fn compact_labels(&mut self, symbols: &Symbols, used: &mut Used) {
        let mut arena = LabelArena::default();
        for slot in 0..self.series.len() {
            if !self.series[slot].is_live() {
                continue;
            }
            let start = self.series[slot].labels;
            let shape = self.labels.shape(start);
            let values = self.labels.values(start, symbols.shape(shape).len());
            used.mark(shape, values, symbols);
            let moved = arena.push(shape, values);
            self.series[slot].labels = moved.expect("it is no longer than the arena before");
        }
        self.labels = arena;
    }
}
