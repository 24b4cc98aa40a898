//! Counters by tenant and one more label, such as the reason why something was discarded. They
//! remember which values a tenant has, so that a tenant that is gone can be forgotten.

use hashbrown::{HashMap, HashSet};
use model::TenantId;
use parking_lot::Mutex;
use rt::Metrics;
use rt::metrics::{CounterVec, LabelNames};

/// In which order the family has its labels.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    /// The tag, the tenant.
    TagUser,
    /// The tag, the tenant, and the group, which is empty.
    TagUserGroup,
    /// The tenant, the tag.
    UserTag,
}

/// Counters of one family.
pub(super) struct TaggedCounter {
    family: CounterVec,
    order: Order,
    used: Mutex<HashMap<TenantId, HashSet<Box<str>>>>,
}

impl TaggedCounter {
    pub(super) fn new(metrics: &Metrics, (name, help): (&str, &str), order: Order) -> Self {
        let labels: LabelNames = match order {
            Order::TagUser => &["reason", "user"],
            Order::TagUserGroup => &["reason", "user", "group"],
            Order::UserTag => &["user", "cluster"],
        };
        let family = metrics.counter_vec(name, help, labels);
        Self { family, order, used: Mutex::default() }
    }

    pub(super) fn add(&self, tenant: &TenantId, tag: &str, count: u64) {
        let mut used = self.used.lock();
        match used.get_mut(tenant) {
            Some(tags) if tags.contains(tag) => {}
            Some(tags) => drop(tags.insert(tag.into())),
            None => drop(used.insert(tenant.clone(), HashSet::from_iter([tag.into()]))),
        }
        // Under the lock, so that whoever forgets the tenant does not miss it.
        self.with_labels(tenant, tag, |labels| self.family.with(labels).inc_by(count));
    }

    /// Forgets the counters of a tenant.
    pub(super) fn forget(&self, tenant: &TenantId) {
        let mut used = self.used.lock();
        for tag in used.remove(tenant).unwrap_or_default() {
            self.with_labels(tenant, &tag, |labels| self.family.remove(labels));
        }
    }

    fn with_labels<T>(&self, user: &TenantId, tag: &str, then: impl FnOnce(&[&str]) -> T) -> T {
        let user = user.as_str();
        match self.order {
            Order::TagUser => then(&[tag, user]),
            Order::TagUserGroup => then(&[tag, user, ""]),
            Order::UserTag => then(&[user, tag]),
        }
    }
}
