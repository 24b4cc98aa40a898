//! The ring itself: exemplars by series, and the order in which they came in. No locks here.

use std::cmp::Ordering;
use std::collections::VecDeque;

use hashbrown::HashMap;
use model::{Exemplar, Labels, Matcher, SeriesExemplars, TimeRange, TimestampMs};

/// What became of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    Stored,
    /// It is there already.
    Duplicate,
    /// Its series has a newer one.
    OutOfOrder,
}

/// Exemplars, at most `capacity` of them.
#[derive(Debug, Default)]
pub(super) struct Ring {
    capacity: usize,
    series: HashMap<Labels, SeriesRing>,
    /// The series of each exemplar and the number it was given, the oldest first.
    order: VecDeque<(Labels, u64)>,
    next_number: u64,
}

/// The exemplars of one series in order of time, each with its number; never empty.
#[derive(Debug)]
struct SeriesRing {
    series_ref: u64,
    stored: VecDeque<(u64, Exemplar)>,
}

impl Ring {
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn series_count(&self) -> usize {
        self.series.len()
    }

    /// The time of the one that came in first.
    pub(super) fn oldest_ms(&self) -> Option<TimestampMs> {
        let (labels, number) = self.order.front()?;
        let stored = &self.series.get(labels)?.stored;
        stored.iter().find(|(n, _)| n == number).map(|(_, exemplar)| exemplar.timestamp_ms)
    }

    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.order.len() > capacity {
            self.remove_first();
        }
        self.order.shrink_to(capacity);
    }

    /// Adds an exemplar, not older than `window_ms` before the newest of its series.
    pub(super) fn add(
        &mut self,
        (series_ref, labels): (u64, &Labels),
        exemplar: Exemplar,
        window_ms: i64,
    ) -> Added {
        if let Some(series) = self.series.get_mut(labels) {
            series.series_ref = series_ref;
            match series.judge(&exemplar, window_ms) {
                Added::Stored => {}
                other => return other,
            }
        }
        if self.order.len() >= self.capacity {
            self.remove_first();
        }
        let number = self.next_number;
        self.next_number += 1;
        let series = self
            .series
            .entry_ref(labels)
            .or_insert_with(|| SeriesRing { series_ref, stored: VecDeque::with_capacity(1) });
        let is_before = |(_, other): &(u64, Exemplar)| other.timestamp_ms <= exemplar.timestamp_ms;
        let at = series.stored.partition_point(is_before);
        series.stored.insert(at, (number, exemplar));
        self.order.push_back((labels.clone(), number));
        Added::Stored
    }

    fn remove_first(&mut self) {
        let Some((labels, number)) = self.order.pop_front() else { return };
        let Some(series) = self.series.get_mut(&labels) else { return };
        series.stored.retain(|(n, _)| *n != number);
        if series.stored.is_empty() {
            self.series.remove(&labels);
        }
    }

    pub(super) fn select(
        &self,
        range: TimeRange,
        selectors: &[Vec<Matcher>],
    ) -> Vec<SeriesExemplars> {
        let mut found = Vec::new();
        for (labels, series) in &self.series {
            let is_selected = selectors
                .iter()
                .any(|all| all.iter().all(|matcher| matcher.matches(labels.value(matcher.name()))));
            if !is_selected {
                continue;
            }
            let is_inside = |e: &&Exemplar| range.overlaps(e.timestamp_ms, e.timestamp_ms);
            let exemplars = series.stored.iter().map(|(_, exemplar)| exemplar).filter(is_inside);
            let exemplars: Vec<Exemplar> = exemplars.cloned().collect();
            if !exemplars.is_empty() {
                found.push(SeriesExemplars { labels: labels.clone(), exemplars });
            }
        }
        found.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        found
    }

    pub(super) fn each(&self, visit: &mut dyn FnMut(u64, &Labels, &Exemplar)) {
        for (labels, number) in &self.order {
            let Some(series) = self.series.get(labels) else { continue };
            if let Some((_, exemplar)) = series.stored.iter().find(|(n, _)| n == number) {
                visit(series.series_ref, labels, exemplar);
            }
        }
    }
}

impl SeriesRing {
    fn judge(&self, new: &Exemplar, window_ms: i64) -> Added {
        let Some((_, newest)) = self.stored.back() else { return Added::Stored };
        if is_same(newest, new) {
            return Added::Duplicate;
        }
        match new.timestamp_ms.cmp(&newest.timestamp_ms) {
            Ordering::Greater => Added::Stored,
            Ordering::Equal => {
                let by_value = new.value.total_cmp(&newest.value);
                let by_labels = || new.labels.stable_hash().cmp(&newest.labels.stable_hash());
                match by_value.then_with(by_labels) {
                    Ordering::Less => Added::OutOfOrder,
                    Ordering::Equal | Ordering::Greater => Added::Stored,
                }
            }
            Ordering::Less => {
                let bound = newest.timestamp_ms.saturating_sub(window_ms);
                let is_known = |(_, e): &(u64, Exemplar)| e.timestamp_ms == new.timestamp_ms;
                if new.timestamp_ms <= bound {
                    Added::OutOfOrder
                } else if self.stored.iter().any(is_known) {
                    Added::Duplicate
                } else {
                    Added::Stored
                }
            }
        }
    }
}

fn is_same(a: &Exemplar, b: &Exemplar) -> bool {
    a.timestamp_ms == b.timestamp_ms
        && a.value.to_bits() == b.value.to_bits()
        && a.labels == b.labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)])
    }

    fn exemplar(t: i64, value: f64, trace: &str) -> Exemplar {
        Exemplar { labels: Labels::from_pairs([("trace", trace)]), value, timestamp_ms: t }
    }

    fn ring(capacity: usize) -> Ring {
        Ring { capacity, ..Ring::default() }
    }

    fn times(ring: &Ring, name: &str) -> Vec<i64> {
        let all = ring.select(TimeRange::new(0, 1000), &[vec![Matcher::equal("__name__", name)]]);
        all.iter().flat_map(|s| s.exemplars.iter().map(|e| e.timestamp_ms)).collect()
    }

    #[test]
    fn the_one_that_came_in_first_gives_its_place() {
        let mut ring = ring(3);
        for (t, name) in [(10, "a"), (11, "b"), (12, "a"), (13, "a")] {
            assert_eq!(ring.add((1, &labels(name)), exemplar(t, 1.0, "x"), 0), Added::Stored);
        }
        assert_eq!((times(&ring, "a"), times(&ring, "b")), (vec![12, 13], vec![11]));
        assert_eq!(ring.oldest_ms(), Some(11));
        ring.add((1, &labels("a")), exemplar(14, 1.0, "x"), 0);
        assert_eq!((ring.series_count(), ring.len()), (1, 3), "a series without any is gone");
        ring.set_capacity(1);
        assert_eq!(times(&ring, "a"), [14]);
    }

    #[test]
    fn duplicates_and_late_ones() {
        let mut ring = ring(10);
        let a = labels("a");
        for (new, window_ms, want) in [
            (exemplar(10, 2.0, "x"), 0, Added::Stored),
            (exemplar(10, 2.0, "x"), 0, Added::Duplicate),
            (exemplar(10, 1.0, "x"), 0, Added::OutOfOrder),
            (exemplar(10, 3.0, "x"), 0, Added::Stored),
            (exemplar(9, 3.0, "x"), 0, Added::OutOfOrder),
            (exemplar(5, 3.0, "x"), 5, Added::OutOfOrder),
            (exemplar(6, 3.0, "x"), 5, Added::Stored),
            (exemplar(6, 4.0, "y"), 5, Added::Duplicate),
            (exemplar(8, 4.0, "y"), 5, Added::Stored),
        ] {
            assert_eq!(ring.add((1, &a), new.clone(), window_ms), want, "{new:?}");
        }
        assert_eq!(times(&ring, "a"), [6, 8, 10, 10]);
    }

    #[test]
    fn any_selector_selects_and_series_are_in_order() {
        let mut ring = ring(10);
        for name in ["c", "a", "b"] {
            ring.add((1, &labels(name)), exemplar(10, 1.0, "x"), 0);
        }
        let selectors = ["c", "a"].map(|name| vec![Matcher::equal("__name__", name)]);
        let found = ring.select(TimeRange::new(0, 10), &selectors);
        assert_eq!(found.iter().map(|s| s.labels.value("__name__")).collect::<String>(), "ac");
        assert!(ring.select(TimeRange::new(11, 20), &selectors).is_empty());
    }
}
