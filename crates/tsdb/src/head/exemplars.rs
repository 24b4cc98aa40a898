//! The exemplars of a tenant: a ring that holds so many of them, over all series; a new one takes
//! the place of the one that came in first.
//!
//! `append.rs` hands over the exemplars of a request behind its samples; the replay fills the ring
//! again. Memory is bounded by the ring's size, because the labels of an exemplar are short.
//!
//! Of one series, exemplars are kept in order of time. One that repeats the newest is passed over,
//! an older one is refused unless the out-of-order window reaches so far back. At one time there may
//! be several, ascending in value, as native histograms have them.

mod ring;

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use model::batch::BatchSeries;
use model::exemplar::MAX_EXEMPLAR_LABEL_CHARS;
use model::{Exemplar, Labels, Matcher, SeriesExemplars, TimeRange, WriteBatch};
use parking_lot::RwLock;

use super::append::AppendScratch;
use super::outcome::{AppendLimits, ExemplarOutcome, ExemplarRejection, ExemplarRejectionKind};
use super::{Head, labels_of_batch};
use ring::{Added, Ring};

/// A series of a request that has exemplars: its index in the batch and its reference; 0 when the
/// series does not exist.
pub(super) type WithExemplars = (u32, u64);

/// The exemplars of a head.
#[derive(Debug, Default)]
pub(super) struct Exemplars {
    ring: RwLock<Ring>,
    /// How many the ring may hold.
    capacity: AtomicUsize,
    appended: AtomicU64,
    out_of_order: AtomicU64,
    /// The time of the one that came in first, ms.
    oldest_ms: AtomicI64,
}

/// Figures for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExemplarStats {
    /// Exemplars that were stored since the start.
    pub appended: u64,
    /// Exemplars that were refused because they were out of order.
    pub out_of_order: u64,
    /// How many the ring may hold.
    pub capacity: u64,
    /// Exemplars in the ring.
    pub stored: u64,
    /// Series that have some of them.
    pub series: u64,
    /// The time of the exemplar that came in first of those in the ring, ms; 0 without any.
    pub oldest_ms: i64,
}

impl Head {
    /// The exemplars of series that satisfy all matchers of one of `selectors`, inside of `range`:
    /// by series in label order.
    pub fn select_exemplars(
        &self,
        range: TimeRange,
        selectors: &[Vec<Matcher>],
    ) -> Vec<SeriesExemplars> {
        self.exemplars.ring.read().select(range, selectors)
    }

    /// Figures for metrics.
    pub fn exemplar_stats(&self) -> ExemplarStats {
        let this = &self.exemplars;
        let ring = this.ring.read();
        ExemplarStats {
            appended: this.appended.load(Ordering::Relaxed),
            out_of_order: this.out_of_order.load(Ordering::Relaxed),
            capacity: this.capacity.load(Ordering::Relaxed) as u64,
            stored: ring.len() as u64,
            series: ring.series_count() as u64,
            oldest_ms: this.oldest_ms.load(Ordering::Relaxed),
        }
    }

    /// Holds at most `max` exemplars from now on; those that came in first go.
    pub fn set_max_exemplars(&self, max: u64) {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        // It hardly ever changes, and every append says it.
        if self.exemplars.capacity.load(Ordering::Relaxed) != max {
            self.exemplars.ring.write().set_capacity(max);
            self.exemplars.capacity.store(max, Ordering::Relaxed);
        }
    }

    /// Shows all exemplars in the order in which they came in, with the reference and the labels
    /// of their series; for a snapshot.
    pub fn each_exemplar(&self, visit: &mut dyn FnMut(u64, &Labels, &Exemplar)) {
        self.exemplars.ring.read().each(visit);
    }

    /// Puts an exemplar back that was stored before a restart.
    pub fn restore_exemplar(&self, series_ref: u64, labels: &Labels, exemplar: Exemplar) {
        let mut ring = self.exemplars.ring.write();
        if ring.capacity() > 0 {
            ring.add((series_ref, labels), exemplar, i64::MAX);
            self.exemplars.note_oldest(&ring);
        }
    }

    /// Stores the exemplars of a request whose samples are appended, and encodes them for the
    /// log.
    #[cold]
    pub(super) fn append_exemplars(
        &self,
        batch: &WriteBatch<'_>,
        limits: &AppendLimits,
        scratch: &mut AppendScratch,
    ) -> ExemplarOutcome {
        let mut outcome = ExemplarOutcome::default();
        // As the request has them, not as the shards were locked.
        scratch.with_exemplars.sort_unstable();
        if limits.max_exemplars > 0 {
            let mut ring = self.exemplars.ring.write();
            for &(index, series_ref) in &scratch.with_exemplars {
                let series = &batch.series[index as usize];
                let mut appending = Appending { batch, series, index, outcome: &mut outcome };
                if series_ref == 0 {
                    appending.reject_all();
                    continue;
                }
                let window_ms = limits.out_of_order_window_ms;
                let counts = appending.add_all(&mut ring, (series_ref, window_ms), |exemplar| {
                    let key = (exemplar.timestamp_ms, exemplar.value);
                    let pairs = exemplar.labels.iter().map(|label| (label.name, label.value));
                    scratch.records.exemplars.push(series_ref, key, pairs);
                });
                self.exemplars.appended.fetch_add(counts.0, Ordering::Relaxed);
                self.exemplars.out_of_order.fetch_add(counts.1, Ordering::Relaxed);
            }
            self.exemplars.note_oldest(&ring);
        }
        scratch.with_exemplars.clear();
        outcome
    }
}

impl Exemplars {
    fn note_oldest(&self, ring: &Ring) {
        self.oldest_ms.store(ring.oldest_ms().unwrap_or(0), Ordering::Relaxed);
    }
}

/// The exemplars of one series on their way.
struct Appending<'a, 'b> {
    batch: &'a WriteBatch<'b>,
    series: &'a BatchSeries,
    index: u32,
    outcome: &'a mut ExemplarOutcome,
}

impl Appending<'_, '_> {
    /// The series does not exist.
    fn reject_all(&mut self) {
        let first = self.batch.exemplars_of(self.series).first();
        let first = first.map(|exemplar| self.owned(exemplar));
        self.outcome.failed += self.series.exemplars.len() as u64;
        if let Some(exemplar) = first {
            self.reject(ExemplarRejectionKind::SeriesMissing, exemplar);
        }
    }

    /// Adds all; how many are new and how many were out of order.
    fn add_all(
        &mut self,
        ring: &mut Ring,
        (series_ref, window_ms): (u64, i64),
        mut log: impl FnMut(&Exemplar),
    ) -> (u64, u64) {
        let labels = labels_of_batch(self.batch, self.series);
        let all = self.batch.exemplars_of(self.series);
        let (mut stored, mut out_of_order) = (0, 0);
        for exemplar in all {
            let exemplar = self.owned(exemplar);
            let kind = match check_labels(&exemplar.labels) {
                Err(kind) => kind,
                Ok(()) => match ring.add((series_ref, &labels), exemplar.clone(), window_ms) {
                    added @ (Added::Stored | Added::Duplicate) => {
                        if added == Added::Stored {
                            stored += 1;
                            log(&exemplar);
                        }
                        self.outcome.accepted += 1;
                        continue;
                    }
                    Added::OutOfOrder => {
                        out_of_order += 1;
                        ExemplarRejectionKind::OutOfOrder
                    }
                },
            };
            self.outcome.failed += 1;
            // One that is late among others is part of an update of what is known already.
            let is_part = kind == ExemplarRejectionKind::OutOfOrder && out_of_order < all.len();
            if !is_part {
                self.reject(kind, exemplar);
            }
        }
        (stored, out_of_order as u64)
    }

    fn owned(&self, exemplar: &model::batch::BatchExemplar) -> Exemplar {
        let labels = &self.batch.exemplar_labels[exemplar.labels.range()];
        Exemplar {
            labels: Labels::from_pairs(labels.iter().map(|label| (label.name, label.value))),
            value: exemplar.value,
            timestamp_ms: exemplar.timestamp_ms,
        }
    }

    fn reject(&mut self, kind: ExemplarRejectionKind, exemplar: Exemplar) {
        let (batch, series) = (self.batch, self.series);
        self.outcome.first.get_or_insert_with(|| ExemplarRejection {
            kind,
            series_index: self.index as usize,
            labels: labels_of_batch(batch, series),
            exemplar,
        });
    }
}

fn check_labels(labels: &Labels) -> Result<(), ExemplarRejectionKind> {
    let chars = |label: model::Label<'_>| label.name.chars().count() + label.value.chars().count();
    if labels.iter().map(chars).sum::<usize>() > MAX_EXEMPLAR_LABEL_CHARS {
        return Err(ExemplarRejectionKind::LabelsTooLong);
    }
    Ok(())
}
