//! What is true: every sample that was written, by whom it was promised to be kept, and whether
//! its writer was told that it is stored. Answers are compared with it.
//!
//! The read guarantee, as the cluster gives it: an acknowledged sample is in every answer that
//! covers its time, unless disks were lost (or unsynced parts of them), so that less than two
//! zones still have it, or the asked querier does not know yet an ingester that has it. A sample
//! whose write was not acknowledged may be there or not. Nothing else may be there.

use std::collections::{BTreeMap, BTreeSet};

use model::TimestampMs;

/// Where a series is: the numbers of its tenant and of itself.
pub(crate) type SeriesKey = (usize, usize);

/// What is known of all samples.
#[derive(Default)]
pub(crate) struct Truth {
    series: BTreeMap<SeriesKey, BTreeMap<TimestampMs, Sample>>,
}

/// A sample that was written.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) value: f64,
    is_acked: bool,
    promises: Vec<Promise>,
}

/// An ingester has answered that it keeps the sample.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Promise {
    node: String,
    at_ms: TimestampMs,
    /// What it was kept on is gone.
    is_void: bool,
}

impl Truth {
    /// Somebody is about to write a sample.
    pub(crate) fn attempted(&mut self, key: SeriesKey, at_ms: TimestampMs, value: f64) {
        let samples = self.series.entry(key).or_default();
        let new = Sample { value, is_acked: false, promises: Vec::new() };
        samples.entry(at_ms).or_insert(new);
    }

    /// Its writer was told that it is stored.
    pub(crate) fn acked(&mut self, key: SeriesKey, at_ms: TimestampMs) {
        if let Some(sample) = self.sample(key, at_ms) {
            sample.is_acked = true;
        }
    }

    /// An ingester has it.
    pub(crate) fn promised(&mut self, key: SeriesKey, at_ms: TimestampMs, by: (&str, TimestampMs)) {
        let (node, at) = (by.0.to_owned(), by.1);
        if let Some(sample) = self.sample(key, at_ms) {
            sample.promises.push(Promise { node, at_ms: at, is_void: false });
        }
    }

    fn sample(&mut self, key: SeriesKey, at_ms: TimestampMs) -> Option<&mut Sample> {
        self.series.get_mut(&key)?.get_mut(&at_ms)
    }

    /// What `node` promised since `since_ms` is gone.
    pub(crate) fn lost(&mut self, node: &str, since_ms: TimestampMs) {
        for sample in self.series.values_mut().flat_map(BTreeMap::values_mut) {
            for promise in &mut sample.promises {
                promise.is_void |= promise.node == node && since_ms <= promise.at_ms;
            }
        }
    }

    /// The tenant's acknowledged samples of `[start, end]`.
    pub(crate) fn acked_in(
        &self,
        tenant: usize,
        (start_ms, end_ms): (TimestampMs, TimestampMs),
    ) -> BTreeSet<(SeriesKey, TimestampMs)> {
        let mut found = BTreeSet::new();
        for (key, samples) in self.of_tenant(tenant) {
            let acked = samples.range(start_ms..=end_ms).filter(|(_, sample)| sample.is_acked);
            found.extend(acked.map(|(at_ms, _)| (*key, *at_ms)));
        }
        found
    }

    /// The tenant's samples, by series.
    pub(crate) fn of_tenant(
        &self,
        tenant: usize,
    ) -> impl Iterator<Item = (&SeriesKey, &BTreeMap<TimestampMs, Sample>)> {
        self.series.range((tenant, 0)..(tenant + 1, 0))
    }

    /// The sample that was written there.
    pub(crate) fn written(&self, key: SeriesKey, at_ms: TimestampMs) -> Option<&Sample> {
        self.series.get(&key)?.get(&at_ms)
    }

    /// How many samples were acknowledged.
    pub(crate) fn acked_count(&self) -> u64 {
        let all = self.series.values().flat_map(BTreeMap::values);
        all.filter(|sample| sample.is_acked).count() as u64
    }
}

impl Sample {
    /// Whether an answer must have it, of a querier that knows the ingesters `knows`.
    pub(crate) fn is_required(&self, knows: &dyn Fn(&str) -> bool) -> bool {
        let is_good = |promise: &&Promise| !promise.is_void && knows(&promise.node);
        let good: Vec<&Promise> = self.promises.iter().filter(is_good).collect();
        let zones: BTreeSet<&str> = good.iter().map(|promise| zone_of(&promise.node)).collect();
        self.is_acked && (good.len() == self.promises.len() || zones.len() >= 2)
    }

    /// Who promised it, for reports.
    pub(crate) fn describe(&self) -> String {
        let name = |promise: &Promise| {
            let void = if promise.is_void { " (lost)" } else { "" };
            format!("{}{void}", promise.node)
        };
        self.promises.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

/// The zone in a node's name, such as `ingester-a-1`.
pub(crate) fn zone_of(node: &str) -> &str {
    node.split('-').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_zones_still_have_must_be_there() {
        let mut truth = Truth::default();
        let key = (0, 1);
        truth.attempted(key, 10, 1.5);
        for node in ["ingester-a-1", "ingester-b-1"] {
            truth.promised(key, 10, (node, 100));
        }
        let all = |_: &str| true;
        assert!(!truth.written(key, 10).unwrap().is_required(&all), "not acknowledged");
        truth.acked(key, 10);
        assert!(truth.written(key, 10).unwrap().is_required(&all));
        truth.lost("ingester-a-1", 101);
        assert!(truth.written(key, 10).unwrap().is_required(&all), "it was synced before");
        truth.lost("ingester-a-1", 100);
        assert!(!truth.written(key, 10).unwrap().is_required(&all));
        truth.promised(key, 10, ("ingester-c-1", 120));
        assert!(truth.written(key, 10).unwrap().is_required(&all));
        let not_c = |node: &str| node != "ingester-c-1";
        assert!(!truth.written(key, 10).unwrap().is_required(&not_c));
    }
}
