//! Whom an operation reaches, and how many of them may fail.

use std::sync::Arc;

use super::{Replicas, Ring, Strategy};
use crate::desc::InstanceDesc;
use crate::operation::Operation;
use crate::tokens::search_token;

/// Why a ring cannot say whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// No instance has tokens.
    #[error("empty ring")]
    Empty,
    /// There is no such instance.
    #[error("instance not found in the ring")]
    InstanceNotFound,
    /// A read could miss data.
    #[error("too many unhealthy instances in the ring")]
    TooManyUnhealthy,
    /// Fewer healthy replicas of a key than a majority.
    #[error("at least {required} live replicas required{}, could only find {found}{}", zones(*zone_awareness), listed(unhealthy))]
    TooFewReplicas {
        /// The majority.
        required: usize,
        /// Healthy ones.
        found: usize,
        /// Whether they must be in different zones.
        zone_awareness: bool,
        /// The addresses of the others.
        unhealthy: Vec<String>,
    },
    /// Not one healthy replica, where one would do.
    #[error("at least 1 healthy replica required, could only find 0{}", listed(.0))]
    NoReplica(Vec<String>),
    /// The ranges of an instance exist only where every zone has a copy.
    #[error("can't use ring configuration for computing token ranges")]
    NoTokenRanges,
}

fn zones(zone_awareness: bool) -> &'static str {
    if zone_awareness { " across different availability zones" } else { "" }
}

fn listed(unhealthy: &[String]) -> String {
    if unhealthy.is_empty() {
        return String::new();
    }
    format!(" - unhealthy instances: {}", unhealthy.join(","))
}

/// Instances that together answer, and how many of them need not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReplicationSet {
    /// The instances; healthy ones alone.
    pub instances: Vec<Arc<InstanceDesc>>,
    /// How many may fail; counts where zones do not.
    pub max_errors: usize,
    /// In how many zones any number may fail.
    pub max_unavailable_zones: usize,
    /// Whether failures are counted by zone.
    pub zone_awareness: bool,
}

/// A key that more instances own than the ring's factor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicatedKey {
    /// The key.
    pub key: u32,
    /// How many own it; at least the ring's factor.
    pub factor: usize,
}

impl Ring {
    /// The healthy instances of `key` into `replicas` (emptied before), and how many of them may
    /// fail.
    pub fn find(
        &self,
        key: u32,
        op: Operation,
        now_s: i64,
        replicas: &mut Replicas,
    ) -> Result<usize, RingError> {
        let key = ReplicatedKey { key, factor: self.rules.replication_factor };
        self.find_replicated(key, op, now_s, replicas)
    }

    /// The same with more replicas than the ring's factor; with fewer the ring's factor holds.
    pub fn find_replicated(
        &self,
        key: ReplicatedKey,
        op: Operation,
        now_s: i64,
        replicas: &mut Replicas,
    ) -> Result<usize, RingError> {
        replicas.clear();
        if self.topology.tokens.is_empty() {
            return Err(RingError::Empty);
        }
        let factor = key.factor.max(self.rules.replication_factor);
        self.walk(key.key, op, factor, replicas);
        self.keep_healthy(op, now_s, factor, replicas)
    }

    /// The healthy instances of `key`.
    pub fn get(&self, key: u32, op: Operation, now_s: i64) -> Result<ReplicationSet, RingError> {
        self.get_replicated(ReplicatedKey { key, factor: 0 }, op, now_s)
    }

    /// The same with more replicas than the ring's factor; with fewer the ring's factor holds.
    pub fn get_replicated(
        &self,
        key: ReplicatedKey,
        op: Operation,
        now_s: i64,
    ) -> Result<ReplicationSet, RingError> {
        let mut replicas = Replicas::new();
        let max_errors = self.find_replicated(key, op, now_s, &mut replicas)?;
        let instances = replicas.iter().map(|index| Arc::clone(self.instance(*index))).collect();
        Ok(ReplicationSet { instances, max_errors, ..ReplicationSet::default() })
    }

    /// Collects the owners of a key, walking up the ring. In a zone-aware ring each zone gives
    /// its share; who is in a state that `op` extends on is taken, but does not count.
    fn walk(&self, key: u32, op: Operation, factor: usize, replicas: &mut Replicas) {
        let topology = &*self.topology;
        let mut wanted = factor;
        let target = (factor / self.rules.replication_factor).max(1);
        let by_zone = self.rules.zone_awareness;
        let mut zones = ZoneCounts::new(if by_zone { topology.zones.len() } else { 0 });
        let count = topology.tokens.len();
        let mut at = search_token(&topology.tokens, key);
        for _ in 0..count {
            let is_complete = wanted.min(self.instances.len()) <= replicas.len();
            if is_complete || (by_zone && zones.are_done(self, target)) {
                return;
            }
            let owner = topology.owners[at];
            at = if at + 1 == count { 0 } else { at + 1 };
            if replicas.contains(&owner) {
                continue;
            }
            let zone = topology.zone_of[owner as usize] as usize;
            let counts_zone = by_zone && !topology.zones[zone].name.is_empty();
            if counts_zone {
                if target <= zones.0[zone].found {
                    continue;
                }
                zones.0[zone].examined += 1;
            }
            replicas.push(owner);
            if op.extends_on(self.instances[owner as usize].state) {
                wanted += 1;
            } else if counts_zone {
                zones.0[zone].found += 1;
            }
        }
    }

    /// Takes out who is not healthy; says how many of the rest may fail.
    fn keep_healthy(
        &self,
        op: Operation,
        now_s: i64,
        factor: usize,
        replicas: &mut Replicas,
    ) -> Result<usize, RingError> {
        let required = match self.rules.strategy {
            Strategy::Quorum => factor.max(replicas.len()) / 2 + 1,
            Strategy::IgnoreUnhealthy => 1,
        };
        let mut unhealthy: SmallIndexes = SmallIndexes::new();
        replicas.retain(|index| {
            let is_healthy = self.is_healthy(*index, op, now_s);
            if !is_healthy {
                unhealthy.push(*index);
            }
            is_healthy
        });
        if required <= replicas.len() {
            return Ok(replicas.len() - required);
        }
        let unhealthy = unhealthy.iter().map(|index| self.instance(*index).addr.clone()).collect();
        Err(match self.rules.strategy {
            Strategy::IgnoreUnhealthy => RingError::NoReplica(unhealthy),
            Strategy::Quorum => RingError::TooFewReplicas {
                required,
                found: replicas.len(),
                zone_awareness: self.rules.zone_awareness,
                unhealthy,
            },
        })
    }

    fn is_healthy(&self, index: u32, op: Operation, now_s: i64) -> bool {
        self.instance(index).is_healthy(op, self.rules.heartbeat_timeout_s, now_s)
    }

    /// Every healthy instance, with and without tokens.
    pub fn all_healthy(&self, op: Operation, now_s: i64) -> Result<ReplicationSet, RingError> {
        if self.instances.is_empty() {
            return Err(RingError::Empty);
        }
        let instances = self.healthy(op, now_s).map(|(_, instance)| Arc::clone(instance)).collect();
        Ok(ReplicationSet { instances, ..ReplicationSet::default() })
    }

    fn healthy(
        &self,
        op: Operation,
        now_s: i64,
    ) -> impl Iterator<Item = (u32, &Arc<InstanceDesc>)> {
        (0u32..).zip(&self.instances).filter(move |(index, _)| self.is_healthy(*index, op, now_s))
    }

    /// Everybody who may hold data that a read of the whole ring must see.
    pub fn replication_set_for_operation(
        &self,
        op: Operation,
        now_s: i64,
    ) -> Result<ReplicationSet, RingError> {
        if self.topology.tokens.is_empty() {
            return Err(RingError::Empty);
        }
        if self.rules.zone_awareness {
            return self.set_by_zones(op, now_s);
        }
        let factor = self.rules.replication_factor;
        let required = self.instances.len().max(factor) - factor / 2;
        let set = self.all_healthy(op, now_s)?;
        let spare = set.instances.len().checked_sub(required);
        let max_errors = spare.ok_or(RingError::TooManyUnhealthy)?;
        Ok(ReplicationSet { max_errors, ..set })
    }

    /// A zone with one unhealthy instance is left out as a whole.
    fn set_by_zones(&self, op: Operation, now_s: i64) -> Result<ReplicationSet, RingError> {
        let mut has_failed = vec![false; self.topology.zones.len()];
        for index in 0..self.instances.len() as u32 {
            if !self.is_healthy(index, op, now_s) {
                has_failed[self.topology.zone_of[index as usize] as usize] = true;
            }
        }
        let failed = has_failed.iter().filter(|failed| **failed).count();
        let replicated = self.topology.zones.len().min(self.rules.replication_factor);
        let spare = (replicated / 2).checked_sub(failed).ok_or(RingError::TooManyUnhealthy)?;
        let kept = self.healthy(op, now_s);
        let kept = kept.filter(|(i, _)| !has_failed[self.topology.zone_of[*i as usize] as usize]);
        Ok(ReplicationSet {
            instances: kept.map(|(_, instance)| Arc::clone(instance)).collect(),
            max_errors: 0,
            max_unavailable_zones: spare,
            zone_awareness: true,
        })
    }

    /// The ranges of keys that an instance owns, as pairs of inclusive bounds in ascending order.
    /// Known only where every zone has a copy of every key.
    pub fn token_ranges(&self, id: &str) -> Result<Vec<(u32, u32)>, RingError> {
        let index = self.instances.iter().position(|instance| instance.id == id);
        let index = index.ok_or(RingError::InstanceNotFound)?;
        let zone = &self.topology.zones[self.topology.zone_of[index] as usize];
        let has_copy_in_each = self.rules.zone_awareness
            && self.rules.replication_factor == self.topology.zones.len()
            && !zone.name.is_empty();
        if !has_copy_in_each || zone.tokens.is_empty() {
            return Err(RingError::NoTokenRanges);
        }
        let mut ranges = Vec::new();
        let mut previous = zone.tokens[zone.tokens.len() - 1];
        for (at, (token, owner)) in zone.tokens.iter().zip(&zone.owners).enumerate() {
            let start = std::mem::replace(&mut previous, *token);
            if *owner as usize != index {
                continue;
            }
            if at > 0 {
                push_range(&mut ranges, start, token - 1);
                continue;
            }
            // The first token's keys go over the end of the numbers.
            if let Some(end) = token.checked_sub(1) {
                push_range(&mut ranges, 0, end);
            }
            push_range(&mut ranges, start, u32::MAX);
        }
        ranges.sort_unstable();
        Ok(joined(&ranges))
    }
}

fn push_range(ranges: &mut Vec<(u32, u32)>, start: u32, end: u32) {
    ranges.push((start, end));
}

/// Ranges that touch become one.
fn joined(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for &(start, end) in ranges {
        match out.last_mut() {
            Some(last) if last.1.checked_add(1).is_none_or(|next| start <= next) => {
                last.1 = last.1.max(end);
            }
            _ => out.push((start, end)),
        }
    }
    out
}

type SmallIndexes = smallvec::SmallVec<[u32; 8]>;

#[derive(Clone, Copy, Default)]
struct ZoneCount {
    found: usize,
    examined: usize,
}

/// What the walk has met of each zone.
struct ZoneCounts(smallvec::SmallVec<[ZoneCount; 5]>);

impl ZoneCounts {
    fn new(zones: usize) -> Self {
        Self(smallvec::smallvec![ZoneCount::default(); zones])
    }

    /// Whether every zone has given its share, or has no more to give.
    fn are_done(&self, ring: &Ring, target: usize) -> bool {
        let is_done = |(count, zone): (&ZoneCount, &super::topology::Zone)| {
            target <= count.found || zone.instance_count <= count.examined
        };
        self.0.iter().zip(&ring.topology.zones).all(is_done)
    }
}
