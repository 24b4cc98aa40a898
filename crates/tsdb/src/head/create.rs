//! Creating series: labels into the arena, strings into the symbols, numbers into the postings.

use std::sync::atomic::Ordering;

use model::batch::BatchSeries;
use model::{Label, METRIC_NAME_LABEL};
use parking_lot::RwLock;
use smallvec::SmallVec;

use super::Head;
use super::append::Request;
use super::locate::Wanted;
use super::outcome::RejectionKind;
use super::series::{MAX_SERIES_REF, NONE, Series};
use super::shards::{Location, Shard};
use super::symbols::{ShapeId, Symbol, Symbols};

/// A label set as numbers.
struct Interned {
    shape: ShapeId,
    values: SmallVec<[Symbol; 32]>,
}

impl Head {
    /// Creates the series of `part` whose slot is [`NONE`], unless a rule or a limit forbids it.
    /// Their slots stay [`NONE`] and their samples are counted as refused then.
    #[cold]
    pub(super) fn create_missing(
        &self,
        request: &mut Request<'_, '_>,
        (index, shard): (usize, &mut Shard),
        part: &[Wanted],
        slots: &mut [u32],
    ) {
        let mut created = Vec::new();
        for (slot, wanted) in slots.iter_mut().zip(part).filter(|(slot, _)| **slot == NONE) {
            let (i, hash) = (wanted.index, wanted.hash);
            let series = request.batch.series[i as usize];
            let labels = request.batch.labels_of(&series);
            // The batch may name a new series twice.
            *slot = shard.find(hash, labels, &self.symbols.read()).unwrap_or(NONE);
            if *slot != NONE || !self.may_create(request, i, &series) {
                continue;
            }
            match self.create_in(shard, (hash, labels), None) {
                Some(new) => {
                    *slot = new;
                    created.push(new);
                    request.outcome.created_series += 1;
                    if request.limits.max_series_per_metric > 0 {
                        // The next one of this metric must be counted after this one.
                        self.number(index, shard, created.drain(..));
                    }
                }
                None => request.reject_series(i, RejectionKind::SeriesLimit),
            }
        }
        self.number(index, shard, created.into_iter());
    }

    /// Whether a series may be created; refuses its samples if not. A series that may has been
    /// counted.
    fn may_create(&self, request: &mut Request<'_, '_>, i: u32, series: &BatchSeries) -> bool {
        if !request.has_valid_sample(series) {
            request.reject_series(i, RejectionKind::InvalidHistogram);
            return false;
        }
        if self.metric_is_full(request, series) {
            request.reject_series(i, RejectionKind::MetricSeriesLimit);
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

    /// Whether the metric of a new series has as many series as it may have.
    fn metric_is_full(&self, request: &Request<'_, '_>, series: &BatchSeries) -> bool {
        let limit = request.limits.max_series_per_metric;
        if limit == 0 {
            return false;
        }
        let labels = request.batch.labels_of(series);
        let Some(name) = labels.iter().find(|label| label.name == METRIC_NAME_LABEL) else {
            return false;
        };
        let is_named = |metric: &String| metric.as_str().cmp(name.value);
        if self.options.unlimited_metrics.binary_search_by(is_named).is_ok() {
            return false;
        }
        let symbols = self.symbols.read();
        let (Some(label), Some(metric)) = (symbols.find(name.name), symbols.find(name.value))
        else {
            return false;
        };
        let postings = self.postings.read();
        postings.list(label, metric).map_or(0, |list| list.len()) as u64 >= limit
    }

    /// Puts a new series, counted already, into a shard; it has no number in the postings yet.
    /// `None`, and not counted any more, when the shard has no room. `series_ref` is given in a
    /// replay, for a series that the WAL has.
    pub(super) fn create_in(
        &self,
        shard: &mut Shard,
        (hash, labels): (u64, &[Label<'_>]),
        series_ref: Option<u64>,
    ) -> Option<u32> {
        let is_logged = series_ref.is_some() || !self.log.is_on();
        let series_ref =
            series_ref.unwrap_or_else(|| self.next_series_ref.fetch_add(1, Ordering::Relaxed));
        let interned = intern(&self.symbols, labels);
        let created = (series_ref <= MAX_SERIES_REF)
            .then(|| shard.labels.push(interned.shape, &interned.values))
            .flatten()
            .and_then(|start| shard.insert(hash, Series::new(series_ref, start, is_logged)));
        match created {
            Some(_) => self.created_series.fetch_add(1, Ordering::Relaxed),
            None => self.series_count.fetch_sub(1, Ordering::AcqRel),
        };
        created
    }

    /// Gives the series in new slots their numbers and adds them to the postings.
    pub(super) fn number(
        &self,
        index: usize,
        shard: &mut Shard,
        slots: impl ExactSizeIterator<Item = u32>,
    ) {
        if slots.len() == 0 {
            return;
        }
        let symbols = self.symbols.read();
        let mut postings = self.postings.write();
        for slot in slots {
            let pairs = shard.labels.pairs(shard.series[slot as usize].labels, &symbols);
            let number = postings.add(Location::new(index, slot), pairs);
            shard.series[slot as usize].number = number;
        }
    }
}

/// The numbers of a label set. Nearly always all of its strings are known, so that many threads
/// can look them up at the same time.
fn intern(symbols: &RwLock<Symbols>, labels: &[Label<'_>]) -> Interned {
    let known = find_all(&symbols.read(), labels);
    known.unwrap_or_else(|| {
        let mut symbols = symbols.write();
        let names: SmallVec<[Symbol; 32]> =
            labels.iter().map(|label| symbols.intern(label.name)).collect();
        let values = labels.iter().map(|label| symbols.intern(label.value)).collect();
        Interned { shape: symbols.intern_shape(&names), values }
    })
}

fn find_all(symbols: &Symbols, labels: &[Label<'_>]) -> Option<Interned> {
    let mut names = SmallVec::<[Symbol; 32]>::new();
    let mut values = SmallVec::new();
    for label in labels {
        names.push(symbols.find(label.name)?);
        values.push(symbols.find(label.value)?);
    }
    Some(Interned { shape: symbols.find_shape(&names)?, values })
}
