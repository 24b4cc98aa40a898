//! A ring as it stands at one moment: who owns a key, whom an operation has to reach, and how
//! many of them may fail. Immutable; readers get a new one whenever it changes.
//!
//! Called by distributors for every series ([`Ring::find`] allocates nothing), by queries, and by
//! the owners of blocks and jobs. Pure: the time is an argument.

mod replication;
mod shuffle;
mod topology;

use std::sync::Arc;

use smallvec::SmallVec;

pub use replication::{ReplicatedKey, ReplicationSet, RingError};
pub(crate) use topology::Topology;

use crate::desc::{Desc, InstanceDesc, InstanceState};
use crate::hash;
use crate::operation::Operation;

/// The indexes of a key's instances; more than a few are rare.
pub type Replicas = SmallVec<[u32; 8]>;

/// What the members of a key's set must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// A majority of them answers.
    #[default]
    Quorum,
    /// One healthy member is enough.
    IgnoreUnhealthy,
}

/// How a ring is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingRules {
    /// Instances that own a key; at least 1.
    pub replication_factor: usize,
    /// One instance a zone owns a key.
    pub zone_awareness: bool,
    /// A heartbeat that is older than this many seconds makes an instance unhealthy.
    pub heartbeat_timeout_s: i64,
    /// Zones whose instances are left out.
    pub excluded_zones: Vec<String>,
    /// What the set of a key must be.
    pub strategy: Strategy,
}

impl Default for RingRules {
    fn default() -> Self {
        Self {
            replication_factor: 3,
            zone_awareness: false,
            heartbeat_timeout_s: 60,
            excluded_zones: Vec::new(),
            strategy: Strategy::Quorum,
        }
    }
}

/// A ring at one moment, or the part of it that belongs to a tenant.
#[derive(Debug, Clone)]
pub struct Ring {
    rules: Arc<RingRules>,
    topology: Arc<Topology>,
    /// By name; the topology's numbers are indexes here.
    instances: Vec<Arc<InstanceDesc>>,
}

/// The ring as somebody sees it at each moment; a reader behind it keeps it up to date.
pub type RingView = Arc<dyn Fn() -> Arc<Ring> + Send + Sync>;

impl Ring {
    /// The ring of `desc`.
    pub fn new(desc: Desc, rules: RingRules) -> Self {
        Self::build(desc, Arc::new(rules), None)
    }

    /// The ring of a newer `desc`: as long as only states and heartbeats changed, the index of
    /// the tokens and the shards that have been chosen are kept.
    #[must_use]
    pub fn updated(&self, desc: Desc) -> Self {
        Self::build(desc, Arc::clone(&self.rules), Some(self))
    }

    fn build(desc: Desc, rules: Arc<RingRules>, previous: Option<&Ring>) -> Self {
        let mut instances = Vec::with_capacity(desc.ingesters.len());
        for (id, mut instance) in desc.ingesters {
            if rules.excluded_zones.contains(&instance.zone) {
                continue;
            }
            instance.id = id;
            if !instance.tokens.is_sorted() {
                instance.tokens.sort_unstable();
            }
            instances.push(Arc::new(instance));
        }
        let kept = previous.filter(|previous| has_same_topology(&previous.instances, &instances));
        let topology = kept.map_or_else(
            || Arc::new(Topology::new(&instances)),
            |previous| Arc::clone(&previous.topology),
        );
        Self { rules, topology, instances }
    }

    /// How it is read.
    pub fn rules(&self) -> &RingRules {
        &self.rules
    }

    /// All instances, by name.
    pub fn instances(&self) -> &[Arc<InstanceDesc>] {
        &self.instances
    }

    /// The instance with this index, which came from [`Self::find`] of the same ring.
    pub fn instance(&self, index: u32) -> &Arc<InstanceDesc> {
        &self.instances[index as usize]
    }

    /// The instance with this name.
    pub fn instance_by_id(&self, id: &str) -> Option<&Arc<InstanceDesc>> {
        let index = self.instances.binary_search_by(|instance| instance.id.as_str().cmp(id));
        Some(&self.instances[index.ok()?])
    }

    /// The zones of all instances, sorted; an instance without a zone is in the zone "".
    pub fn zones(&self) -> impl ExactSizeIterator<Item = &str> {
        self.topology.zones.iter().map(|zone| zone.name.as_str())
    }

    /// The number of all tokens.
    pub fn token_count(&self) -> usize {
        self.topology.tokens.len()
    }

    /// The instances of a zone.
    pub fn instances_in_zone(&self, zone: &str) -> impl Iterator<Item = &Arc<InstanceDesc>> {
        self.instances.iter().filter(move |instance| instance.zone == zone)
    }

    /// The number of instances that have tokens and take new data.
    pub fn writable_count(&self) -> usize {
        self.instances.iter().filter(|instance| is_writable(instance)).count()
    }

    /// The same in one zone.
    pub fn writable_count_in_zone(&self, zone: &str) -> usize {
        self.instances_in_zone(zone).filter(|instance| is_writable(instance)).count()
    }

    /// The ring of the instances whose state `op` accepts.
    #[must_use]
    pub fn with_states(&self, op: Operation) -> Ring {
        let members = (0u32..).zip(&self.instances);
        let members = members.filter(|(_, instance)| op.accepts(instance.state));
        self.part(&members.map(|(index, _)| index).collect::<Vec<u32>>())
    }

    /// The ring of some instances, by their indexes in ascending order.
    fn part(&self, members: &[u32]) -> Ring {
        self.with_topology(members, Arc::new(self.topology.part(members, &self.instances)))
    }

    fn with_topology(&self, members: &[u32], topology: Arc<Topology>) -> Ring {
        let instance = |index: &u32| Arc::clone(&self.instances[*index as usize]);
        Ring {
            rules: Arc::clone(&self.rules),
            topology,
            instances: members.iter().map(instance).collect(),
        }
    }

    /// How many keys each instance owns in its zone, by index.
    pub fn owned_keys(&self) -> Vec<u64> {
        self.topology.owned_keys(self.instances.len())
    }

    /// Whether what is called `name` belongs to the instance `id`: to one instance for all who see
    /// this ring at `now_s`.
    pub fn is_owner(&self, id: &str, name: &str, now_s: i64) -> bool {
        const OWNER: Operation = Operation::new(&[InstanceState::Active], &[]);
        let owners = self.get(hash::name_token(name), OWNER, now_s);
        owners.is_ok_and(|owners| owners.instances.first().is_some_and(|owner| owner.id == id))
    }

    /// The ring as it is kept in a store.
    pub fn to_desc(&self) -> Desc {
        let named = |instance: &Arc<InstanceDesc>| (instance.id.clone(), (**instance).clone());
        Desc { ingesters: self.instances.iter().map(named).collect() }
    }
}

fn is_writable(instance: &InstanceDesc) -> bool {
    !instance.tokens.is_empty() && !instance.read_only
}

/// Whether two rings differ in states, heartbeats and versions alone.
fn has_same_topology(old: &[Arc<InstanceDesc>], new: &[Arc<InstanceDesc>]) -> bool {
    let same = |(old, new): (&Arc<InstanceDesc>, &Arc<InstanceDesc>)| {
        old.id == new.id
            && old.addr == new.addr
            && old.zone == new.zone
            && old.registered_timestamp == new.registered_timestamp
            && old.read_only == new.read_only
            && old.read_only_updated_timestamp == new.read_only_updated_timestamp
            && old.tokens == new.tokens
    };
    old.len() == new.len() && old.iter().zip(new).all(same)
}

#[cfg(test)]
mod tests;
