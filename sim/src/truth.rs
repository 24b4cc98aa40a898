//! What is true: every sample that was written, by whom it was promised to be kept, and whether
//! its writer was told that it is stored. Answers are compared with it.
//!
//! The read guarantee, as the cluster gives it: an acknowledged sample is in every answer that
//! covers its time, unless disks were lost (or unsynced parts of them), so that less than two
//! zones still have it, or the asked querier does not know yet an ingester that has it. A sample
//! whose write was not acknowledged may be there or not. Nothing else may be there.

use std::collections::{BTreeMap, BTreeSet};

use model::TimestampMs;

use crate::setup::INGESTERS_ONLY_MS;

/// Where a series is: the numbers of its tenant and of itself.
pub(crate) type SeriesKey = (usize, usize);

/// What is known of all samples.
#[derive(Default)]
pub(crate) struct Truth {
    series: BTreeMap<SeriesKey, BTreeMap<TimestampMs, Sample>>,
    /// The ingesters that left for good, and when all of their samples could be found in the
    /// bucket.
    left: BTreeMap<u8, TimestampMs>,
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
    node: IngesterId,
    at_ms: TimestampMs,
    /// What it was kept on is gone.
    is_void: bool,
}

/// An ingester by its name, `ingester-<zone>-<number>`: a bit of a [`NodeSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IngesterId(u8);

/// Numbers of ingesters in a zone.
const PER_ZONE: u8 = 16;

impl IngesterId {
    fn of(name: &str) -> Option<Self> {
        let zone = zone_of(name).bytes().next()?.checked_sub(b'a')?;
        let number: u8 = name.rsplit('-').next()?.parse().ok()?;
        (zone < 4 && number < PER_ZONE).then_some(Self(zone * PER_ZONE + number))
    }

    fn zone(self) -> u8 {
        self.0 / PER_ZONE
    }

    fn name(self) -> String {
        let zone = char::from(b'a' + self.zone());
        format!("ingester-{zone}-{}", self.0 % PER_ZONE)
    }
}

/// Some of the ingesters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NodeSet(u64);

impl NodeSet {
    /// Those with these names.
    pub(crate) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut set = Self::default();
        names.into_iter().for_each(|name| set.insert(name));
        set
    }

    pub(crate) fn insert(&mut self, name: &str) {
        self.0 |= IngesterId::of(name).map_or(0, |id| 1 << id.0);
    }

    /// Those of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn has(self, id: IngesterId) -> bool {
        self.0 & (1 << id.0) != 0
    }
}

/// What one who asks can know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// The ingesters in the ring that it sees.
    pub(crate) knows: NodeSet,
    /// When it asks, ms.
    pub(crate) now_ms: TimestampMs,
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

    /// Its writer was told that it is not needed: another replica is elected. Nowhere may it be.
    pub(crate) fn refused(&mut self, key: SeriesKey, at_ms: TimestampMs) {
        if let Some(samples) = self.series.get_mut(&key) {
            samples.remove(&at_ms);
        }
    }

    /// An ingester has it.
    pub(crate) fn promised(&mut self, key: SeriesKey, at_ms: TimestampMs, by: (&str, TimestampMs)) {
        let Some(node) = IngesterId::of(by.0) else { return };
        if let Some(sample) = self.sample(key, at_ms) {
            sample.promises.push(Promise { node, at_ms: by.1, is_void: false });
        }
    }

    fn sample(&mut self, key: SeriesKey, at_ms: TimestampMs) -> Option<&mut Sample> {
        self.series.get_mut(&key)?.get_mut(&at_ms)
    }

    /// What `node` promised since `since_ms` is gone.
    pub(crate) fn lost(&mut self, node: &str, since_ms: TimestampMs) {
        let Some(node) = IngesterId::of(node) else { return };
        for sample in self.series.values_mut().flat_map(BTreeMap::values_mut) {
            for promise in &mut sample.promises {
                promise.is_void |= promise.node == node && since_ms <= promise.at_ms;
            }
        }
    }

    /// `node` has left for good; all that it had can be found in the bucket from then on.
    pub(crate) fn left(&mut self, node: &str, found_from_ms: TimestampMs) {
        self.left.extend(IngesterId::of(node).map(|node| (node.0, found_from_ms)));
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

impl Truth {
    /// Whether an answer must have the sample of `at_ms`.
    pub(crate) fn is_required(&self, sample: &Sample, at_ms: TimestampMs, view: &View) -> bool {
        // Blocks are not asked for younger samples.
        let is_old = at_ms < view.now_ms - INGESTERS_ONLY_MS;
        let is_found = |node: IngesterId| {
            is_old && self.left.get(&node.0).is_some_and(|from_ms| *from_ms <= view.now_ms)
        };
        let is_known = |node| view.knows.has(node) || is_found(node);
        let is_good = |promise: &Promise| !promise.is_void && is_known(promise.node);
        let (mut good, mut zones) = (0, 0_u8);
        for promise in sample.promises.iter().filter(|promise| is_good(promise)) {
            good += 1;
            zones |= 1 << promise.node.zone();
        }
        sample.is_acked && (good == sample.promises.len() || zones.count_ones() >= 2)
    }
}

impl Sample {
    /// Who promised it, for reports.
    pub(crate) fn describe(&self) -> String {
        let name = |promise: &Promise| {
            let void = if promise.is_void { " (lost)" } else { "" };
            format!("{}{void}", promise.node.name())
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
        let nodes = ["ingester-a-1", "ingester-b-1", "ingester-c-1"];
        let is_required = |truth: &Truth, knows: &[&str], now_ms| {
            let view = View { knows: NodeSet::of(knows.iter().copied()), now_ms };
            truth.is_required(truth.written(key, 10).unwrap(), 10, &view)
        };
        assert!(!is_required(&truth, &nodes, 0), "not acknowledged");
        truth.acked(key, 10);
        assert!(is_required(&truth, &nodes, 0));
        truth.lost("ingester-a-1", 101);
        assert!(is_required(&truth, &nodes, 0), "it was synced before");
        truth.lost("ingester-a-1", 100);
        assert!(!is_required(&truth, &nodes, 0));
        truth.promised(key, 10, ("ingester-c-1", 120));
        assert!(is_required(&truth, &nodes, 0));
        assert!(!is_required(&truth, &nodes[..2], 0));
        truth.left("ingester-c-1", 5);
        let old_ms = 11 + INGESTERS_ONLY_MS;
        assert!(!is_required(&truth, &nodes[..2], old_ms - 1));
        assert!(is_required(&truth, &nodes[..2], old_ms), "it is in the bucket");
    }
}
