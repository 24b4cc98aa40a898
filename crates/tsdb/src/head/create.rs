//! Creating series: labels into the arena, strings into the symbols, numbers into the postings.

use std::sync::atomic::Ordering;

use model::Label;
use model::batch::BatchSeries;

use super::Head;
use super::append::Request;
use super::outcome::RejectionKind;
use super::series::{MAX_SERIES_REF, NONE, Series};
use super::shards::{Location, Shard};
use super::symbols::{Symbol, Symbols};

/// A series that has a place in its shard but no number in the postings yet.
struct Created {
    slot: u32,
    labels: u32,
}

impl Head {
    /// Creates the series of `part` whose slot is [`NONE`], unless a rule or a limit forbids it.
    /// Their slots stay [`NONE`] and their samples are counted as refused then.
    #[cold]
    pub(super) fn create_missing(
        &self,
        request: &mut Request<'_, '_>,
        (index, shard): (usize, &mut Shard),
        (part, hash_of): (&[u32], &dyn Fn(u32) -> u64),
        slots: &mut [u32],
    ) {
        let mut created = Vec::new();
        {
            let mut symbols = self.symbols.write();
            for (slot, &i) in slots.iter_mut().zip(part).filter(|(slot, _)| **slot == NONE) {
                let series = request.batch.series[i as usize];
                let labels = request.batch.labels_of(&series);
                let hash = hash_of(i);
                // The batch may name a new series twice.
                *slot = shard.find(hash, labels, &symbols).unwrap_or(NONE);
                if *slot == NONE && self.may_create(request, i, &series) {
                    match self.create_in(shard, &mut symbols, (hash, labels), None) {
                        Some(new) => {
                            *slot = new;
                            let labels = shard.series[new as usize].labels;
                            created.push(Created { slot: new, labels });
                            request.outcome.created_series += 1;
                        }
                        None => request.reject_series(i, RejectionKind::SeriesLimit),
                    }
                }
            }
        }
        self.number(index, shard, &created);
    }

    /// Whether a series may be created; refuses its samples if not. A series that may has been
    /// counted.
    fn may_create(&self, request: &mut Request<'_, '_>, i: u32, series: &BatchSeries) -> bool {
        if !request.has_valid_sample(series) {
            request.reject_series(i, RejectionKind::InvalidHistogram);
            return false;
        }
        let limit = request.limits.max_series;
        let below = |count: u64| (limit == 0 || count < limit).then_some(count + 1);
        let counted =
            self.series_count.fetch_update(Ordering::AcqRel, Ordering::Acquire, below).is_ok();
        if !counted {
            request.reject_series(i, RejectionKind::SeriesLimit);
        }
        counted
    }

    /// Puts a new series, counted already, into a shard; it has no number in the postings yet.
    /// `None`, and not counted any more, when the shard has no room. `series_ref` is given in a
    /// replay.
    pub(super) fn create_in(
        &self,
        shard: &mut Shard,
        symbols: &mut Symbols,
        (hash, labels): (u64, &[Label<'_>]),
        series_ref: Option<u64>,
    ) -> Option<u32> {
        let series_ref =
            series_ref.unwrap_or_else(|| self.next_series_ref.fetch_add(1, Ordering::Relaxed));
        let created = (series_ref <= MAX_SERIES_REF)
            .then(|| intern(shard, symbols, labels))
            .flatten()
            .and_then(|start| shard.insert(hash, Series::new(series_ref, start, NONE)));
        match created {
            Some(slot) => {
                self.created_series.fetch_add(1, Ordering::Relaxed);
                shard.series[slot as usize].logged = !self.log.is_on();
                Some(slot)
            }
            None => {
                self.series_count.fetch_sub(1, Ordering::AcqRel);
                None
            }
        }
    }

    /// Gives new series their numbers and adds them to the postings.
    fn number(&self, index: usize, shard: &mut Shard, created: &[Created]) {
        if created.is_empty() {
            return;
        }
        let symbols = self.symbols.read();
        let mut postings = self.postings.write();
        for new in created {
            let pairs = shard.labels.pairs(new.labels, &symbols);
            let number = postings.add(Location::new(index, new.slot), pairs);
            shard.series[new.slot as usize].number = number;
        }
    }
}

/// Stores a label set; `None` when the arena is full.
fn intern(shard: &mut Shard, symbols: &mut Symbols, labels: &[Label<'_>]) -> Option<u32> {
    let mut names = smallvec::SmallVec::<[Symbol; 32]>::new();
    let mut values = smallvec::SmallVec::<[Symbol; 32]>::new();
    for label in labels {
        names.push(symbols.intern(label.name));
        values.push(symbols.intern(label.value));
    }
    let shape = symbols.intern_shape(&names);
    shard.labels.push(shape, &values)
}
