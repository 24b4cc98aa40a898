//! What is known of a tenant's metrics besides their samples: type, help and unit. In memory only,
//! as in Mimir: senders repeat it, and it is forgotten some time after they stop.

use std::collections::BTreeMap;

use config::Limits;
use model::TimestampMs;
use model::batch::{MetricMetadata, MetricType};
use parking_lot::Mutex;
use wire::client::{MetadataFilter, OwnedMetadata};

use crate::errors;
use crate::ring::Shares;

/// Metadata of one tenant. Bounded by the tenant's limits and by how long it is kept.
#[derive(Debug, Default)]
pub(crate) struct MetadataStore {
    families: Mutex<Families>,
}

#[derive(Debug, Default)]
struct Families {
    by_name: BTreeMap<Box<str>, BTreeMap<Entry, TimestampMs>>,
    entries: usize,
}

/// One description of a metric family; the map's value is when it was last sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    metric_type: u8,
    help: Box<str>,
    unit: Box<str>,
}

/// How many there may be here (0 = any number), each beside the global limit that it is a part of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetadataBounds {
    per_user: (u64, u64),
    per_metric: (u64, u64),
}

impl MetadataBounds {
    pub(crate) fn new(limits: &Limits, shares: Shares) -> Self {
        let bound = |global: u64| (shares.local(global), global);
        Self {
            per_user: bound(limits.max_global_metadata_per_user),
            per_metric: bound(limits.max_global_metadata_per_metric),
        }
    }
}

/// What became of the metadata of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MetadataOutcome {
    pub(crate) accepted: u64,
    pub(crate) created: u64,
    pub(crate) refused_per_user: u64,
    pub(crate) refused_per_metric: u64,
    pub(crate) first_error: Option<String>,
}

impl MetadataStore {
    /// Takes in `metadata` as sent at `now_ms`, as far as the limits allow.
    pub(crate) fn add(
        &self,
        metadata: &[MetricMetadata<'_>],
        bounds: &MetadataBounds,
        now_ms: TimestampMs,
    ) -> MetadataOutcome {
        let mut outcome = MetadataOutcome::default();
        let mut families = self.families.lock();
        for one in metadata.iter().filter(|one| !one.family.is_empty()) {
            families.add(one, bounds, now_ms, &mut outcome);
        }
        outcome
    }

    /// Forgets what was last sent before `before_ms`. Returns how many descriptions that were.
    pub(crate) fn purge(&self, before_ms: TimestampMs) -> usize {
        let mut families = self.families.lock();
        let had = families.entries;
        families.by_name.retain(|_, entries| {
            entries.retain(|_, last_sent_ms| before_ms <= *last_sent_ms);
            !entries.is_empty()
        });
        families.entries = families.by_name.values().map(BTreeMap::len).sum();
        had - families.entries
    }

    /// The number of descriptions.
    pub(crate) fn len(&self) -> usize {
        self.families.lock().entries
    }

    /// What `filter` asks for, in order of metric name.
    pub(crate) fn list(&self, filter: &MetadataFilter) -> Vec<OwnedMetadata> {
        let families = self.families.lock();
        let mut listed = Vec::new();
        let wanted = |name: &str| filter.metric.as_deref().is_none_or(|metric| metric == name);
        let named = families.by_name.iter().filter(|(name, _)| wanted(name));
        for (name, entries) in named.take(or_all(filter.limit)) {
            for entry in entries.keys().take(or_all(filter.limit_per_metric)) {
                listed.push(entry.owned(name));
            }
        }
        listed
    }
}

/// Limits of 0 ask for everything.
fn or_all(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

impl Families {
    fn add(
        &mut self,
        one: &MetricMetadata<'_>,
        bounds: &MetadataBounds,
        now_ms: TimestampMs,
        outcome: &mut MetadataOutcome,
    ) {
        let entry = Entry::new(one);
        let known = self.by_name.get_mut(one.family);
        if let Some(last_sent_ms) = known.and_then(|entries| entries.get_mut(&entry)) {
            *last_sent_ms = (*last_sent_ms).max(now_ms);
            outcome.accepted += 1;
            return;
        }
        if let Err(error) = self.check(one.family, bounds, outcome) {
            outcome.first_error.get_or_insert(error);
            return;
        }
        self.by_name.entry(Box::from(one.family)).or_default().insert(entry, now_ms);
        self.entries += 1;
        outcome.accepted += 1;
        outcome.created += 1;
    }

    /// Whether another description of `family` fits.
    fn check(
        &self,
        family: &str,
        bounds: &MetadataBounds,
        outcome: &mut MetadataOutcome,
    ) -> Result<(), String> {
        let ((per_user, global_per_user), (per_metric, global_per_metric)) =
            (bounds.per_user, bounds.per_metric);
        match self.by_name.get(family) {
            None if per_user > 0 && per_user <= self.by_name.len() as u64 => {
                outcome.refused_per_user += 1;
                Err(errors::metadata_per_user(global_per_user))
            }
            Some(entries) if per_metric > 0 && per_metric <= entries.len() as u64 => {
                outcome.refused_per_metric += 1;
                Err(errors::metadata_per_metric(global_per_metric, family))
            }
            _ => Ok(()),
        }
    }
}

impl Entry {
    fn new(one: &MetricMetadata<'_>) -> Self {
        Self {
            metric_type: one.metric_type as u8,
            help: Box::from(one.help),
            unit: Box::from(one.unit),
        }
    }

    fn owned(&self, family: &str) -> OwnedMetadata {
        OwnedMetadata {
            family: family.to_owned(),
            metric_type: MetricType::from_number(u64::from(self.metric_type)),
            help: self.help.to_string(),
            unit: self.unit.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter<'a>(family: &'a str, help: &'a str) -> MetricMetadata<'a> {
        MetricMetadata { family, metric_type: MetricType::Counter, help, unit: "s" }
    }

    fn limits(per_user: u64, per_metric: u64) -> MetadataBounds {
        let limits = Limits {
            max_global_metadata_per_user: per_user,
            max_global_metadata_per_metric: per_metric,
            ..config::Config::default().limits
        };
        MetadataBounds::new(&limits, Shares::ALONE)
    }

    fn names(store: &MetadataStore, filter: &MetadataFilter) -> Vec<(String, String)> {
        store.list(filter).into_iter().map(|one| (one.family, one.help)).collect()
    }

    #[test]
    fn metadata_comes_back_in_order_and_within_the_filter() {
        let store = MetadataStore::default();
        let sent = [counter("b", "2"), counter("a", "1"), counter("b", "1"), counter("", "x")];
        let outcome = store.add(&sent, &limits(0, 0), 0);
        assert_eq!((outcome.accepted, outcome.created, store.len()), (3, 3, 3));
        assert_eq!(store.add(&sent[..1], &limits(0, 0), 0).created, 0);
        let pairs = |filter: MetadataFilter| {
            let listed = names(&store, &filter);
            listed.iter().map(|(f, h)| format!("{f}{h}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(pairs(MetadataFilter::default()), "a1 b1 b2");
        assert_eq!(pairs(MetadataFilter { limit: 1, ..Default::default() }), "a1");
        assert_eq!(pairs(MetadataFilter { limit_per_metric: 1, ..Default::default() }), "a1 b1");
        let metric = Some("b".to_owned());
        assert_eq!(pairs(MetadataFilter { metric, ..Default::default() }), "b1 b2");
        let one = &store.list(&MetadataFilter::default())[0];
        assert_eq!((one.metric_type, one.unit.as_str()), (MetricType::Counter, "s"));
    }

    #[test]
    fn limits_keep_new_descriptions_out_and_known_ones_in() {
        let store = MetadataStore::default();
        let limits = limits(1, 1);
        let sent = [counter("a", "1"), counter("a", "2"), counter("b", "1"), counter("a", "1")];
        let outcome = store.add(&sent, &limits, 0);
        assert_eq!((outcome.accepted, outcome.created), (2, 1));
        assert_eq!((outcome.refused_per_user, outcome.refused_per_metric), (1, 1));
        assert_eq!(
            outcome.first_error.unwrap(),
            "per-metric metadata limit of 1 exceeded (err-mimir-max-metadata-per-metric). To \
             adjust the related per-tenant limit, configure \
             -ingester.max-global-metadata-per-metric, or contact your service administrator. This \
             is for metric a"
        );
        let outcome = store.add(&[counter("b", "1")], &limits, 0);
        assert!(outcome.first_error.unwrap().contains("(err-mimir-max-metadata-per-user)"));
    }

    #[test]
    fn what_is_no_longer_sent_is_forgotten() {
        let store = MetadataStore::default();
        store.add(&[counter("a", "1"), counter("b", "1")], &limits(0, 0), 1000);
        store.add(&[counter("b", "1")], &limits(0, 0), 2000);
        assert_eq!(store.purge(1000), 0);
        assert_eq!(store.purge(1001), 1);
        assert_eq!(names(&store, &MetadataFilter::default()), [("b".to_owned(), "1".to_owned())]);
        assert_eq!((store.purge(i64::MAX), store.len()), (1, 0));
    }
}
