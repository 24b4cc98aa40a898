//! The series of a select whose caller needs neither labels nor order
//! ([`model::SelectHints::without_labels`]): counting them, say.
//!
//! They come shard by shard as they lie in memory, some dozens under one lock. Where the matchers
//! select all series there is not even a list of them. Made by `read.rs`.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use model::{Labels, Matcher, SeriesEntry, SeriesSet, StorageError};

use super::Head;
use super::find::{Rest, Row};
use super::read::{ReadSeries, SeriesSource};
use super::shards::Shard;
use super::symbols::Symbols;
use crate::postings::selects_all;

/// How many series are looked at under one lock of a shard, at most.
const RUN: usize = 128;

/// The series of one select in no order.
pub(super) struct AnyOrderSet {
    source: SeriesSource,
    walk: Walk,
    ready: VecDeque<ReadSeries>,
    /// What series have for labels; another one for each run, so that threads that let go of it
    /// do not wait for each other.
    no_labels: Labels,
}

/// Which series are still to come.
enum Walk {
    /// Some, in the order of their places.
    Rows { rows: Vec<Row>, next: usize },
    /// All, from this shard and slot on.
    All { all: AllSeries, next: (usize, u32) },
}

/// All series at one moment.
struct AllSeries {
    /// What they satisfy.
    matchers: Vec<Matcher>,
    /// Their numbers are below this, unless series were renumbered since.
    numbers_below: u32,
    renumbered: u64,
}

impl AnyOrderSet {
    /// The series that satisfy `matchers`. The caller holds `Head::selects`.
    pub(super) fn new(source: SeriesSource, matchers: &[Matcher]) -> Result<Self, StorageError> {
        let walk = match source.head.all_series(matchers)? {
            Some(all) => Walk::All { all, next: (0, 0) },
            None => {
                let numbers = source.head.matching(matchers)?;
                let may_have_samples = |shard: &Shard, slot| source.may_have_samples(shard, slot);
                let mut rows = source.head.rows(&numbers, may_have_samples);
                rows.sort_unstable_by_key(|row| row.location);
                Walk::Rows { rows, next: 0 }
            }
        };
        Ok(Self { source, walk, ready: VecDeque::new(), no_labels: Labels::empty() })
    }

    /// Reads the next series. False at the end.
    fn read_run(&mut self) -> bool {
        match &mut self.walk {
            Walk::Rows { rows, next } => {
                let run = run_of(&rows[*next..]);
                *next += run.len();
                read_rows(&self.source, run, &mut self.ready)
            }
            Walk::All { all, next } => read_slots(&self.source, all, next, &mut self.ready),
        }
    }
}

/// The first rows that are in one shard, not too many.
fn run_of(rows: &[Row]) -> &[Row] {
    let rows = &rows[..rows.len().min(RUN)];
    rows.chunk_by(|a, b| a.location.shard() == b.location.shard()).next().unwrap_or_default()
}

fn read_rows(source: &SeriesSource, run: &[Row], ready: &mut VecDeque<ReadSeries>) -> bool {
    let Some(first) = run.first() else { return false };
    let shard = source.head.shards.lock(first.location.shard());
    let there = run.iter().filter(|row| row.series(&shard).is_some());
    ready.extend(there.filter_map(|row| source.read(&shard, row.location.slot())));
    true
}

fn read_slots(
    source: &SeriesSource,
    all: &AllSeries,
    (index, next): &mut (usize, u32),
    ready: &mut VecDeque<ReadSeries>,
) -> bool {
    if *index == source.head.shards.len() {
        return false;
    }
    let shard = source.head.shards.lock(*index);
    let symbols = source.head.symbols.read();
    let belongs = all.filter(&source.head, &symbols);
    let end = (*next + RUN as u32).min(shard.series.len() as u32);
    let slots = (*next..end).filter(|&slot| source.may_have_samples(&shard, slot));
    let slots = slots.filter(|&slot| belongs(&shard, slot));
    ready.extend(slots.filter_map(|slot| source.read(&shard, slot)));
    *next = end;
    if end as usize == shard.series.len() {
        (*index, *next) = (*index + 1, 0);
    }
    true
}

impl SeriesSet for AnyOrderSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        loop {
            if let Some(read) = self.ready.pop_front() {
                return self.source.entry(self.no_labels.clone(), read).map(Some);
            }
            self.source.context.check()?;
            self.no_labels = Labels::empty();
            if !self.read_run() {
                return Ok(None);
            }
        }
    }
}

impl Head {
    /// All series, if every one satisfies `matchers`.
    fn all_series(&self, matchers: &[Matcher]) -> Result<Option<AllSeries>, StorageError> {
        let index = self.index();
        let all = || AllSeries {
            matchers: matchers.to_vec(),
            numbers_below: index.postings.len() as u32,
            renumbered: self.order.renumbered.load(Ordering::Acquire),
        };
        Ok(selects_all(&index, matchers)?.then(all))
    }
}

impl AllSeries {
    /// Tells the series that were there from those that came later. Made and used under the lock
    /// of one shard.
    fn filter<'a>(
        &'a self,
        head: &Head,
        symbols: &'a Symbols,
    ) -> impl Fn(&Shard, u32) -> bool + 'a {
        // Nothing is renumbered while a shard is locked.
        let is_renumbered = head.order.renumbered.load(Ordering::Acquire) != self.renumbered;
        let matchers: Vec<&Matcher> = self.matchers.iter().filter(|_| is_renumbered).collect();
        let rest = Rest::new(symbols, &matchers);
        move |shard, slot| {
            if is_renumbered {
                return rest.accepts(shard, slot as usize, symbols);
            }
            shard.series[slot as usize].number < self.numbers_below
        }
    }
}

#[cfg(test)]
mod tests;
