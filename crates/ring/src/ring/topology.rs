//! The index of a ring's tokens, and the shards that were chosen from it. Made anew when
//! instances come, go or change their tokens; not for heartbeats.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::desc::InstanceDesc;
use crate::tokens::token_distance;

/// Shards that are kept; with more of them all are forgotten.
const MAX_CACHED_SHARDS: usize = 100_000;

/// Sorted tokens and whose they are.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    pub(crate) tokens: Vec<u32>,
    /// The index of each token's instance.
    pub(crate) owners: Vec<u32>,
    pub(crate) zones: Vec<Zone>,
    /// The index of each instance's zone.
    pub(crate) zone_of: Vec<u32>,
    /// The oldest time at which an instance registered; 0 where one of them is unset.
    pub(crate) oldest_registered_s: i64,
    /// How many instances take no new data.
    pub(crate) read_only_count: usize,
    /// The oldest time at which one of those changed.
    pub(crate) oldest_read_only_updated_s: i64,
    shards: Mutex<HashMap<ShardKey, Shard>>,
}

/// The tokens of one zone.
#[derive(Debug, Default)]
pub(crate) struct Zone {
    pub(crate) name: String,
    /// All its instances, with and without tokens.
    pub(crate) instance_count: usize,
    pub(crate) tokens: Vec<u32>,
    pub(crate) owners: Vec<u32>,
}

/// What a shard was chosen for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ShardKey {
    pub(crate) tenant: String,
    pub(crate) size: usize,
    pub(crate) lookback_s: i64,
}

/// A part of the ring.
#[derive(Debug, Clone)]
pub(crate) struct Shard {
    /// Indexes of instances, ascending.
    pub(crate) members: Arc<[u32]>,
    pub(crate) topology: Arc<Topology>,
    /// The starts of the look-back window for which it holds, both inclusive.
    pub(crate) window_starts_s: (i64, i64),
}

impl Topology {
    pub(crate) fn new(instances: &[Arc<InstanceDesc>]) -> Self {
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        for (index, instance) in (0u32..).zip(instances) {
            pairs.extend(instance.tokens.iter().map(|token| (*token, index)));
        }
        pairs.sort_unstable();
        Self::of_sorted(&pairs, instances)
    }

    /// `pairs` are tokens with the indexes of their instances, in order.
    fn of_sorted(pairs: &[(u32, u32)], instances: &[Arc<InstanceDesc>]) -> Self {
        let mut names: Vec<&str> = instances.iter().map(|i| i.zone.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let zone_index = |zone: &str| names.partition_point(|name| *name < zone);
        let zone_of: Vec<u32> = instances.iter().map(|i| zone_index(&i.zone) as u32).collect();
        let mut zones: Vec<Zone> =
            names.iter().map(|name| Zone { name: (*name).to_owned(), ..Zone::default() }).collect();
        for zone in &zone_of {
            zones[*zone as usize].instance_count += 1;
        }
        for (token, owner) in pairs {
            let zone = &mut zones[zone_of[*owner as usize] as usize];
            zone.tokens.push(*token);
            zone.owners.push(*owner);
        }
        let registered = instances.iter().map(|instance| instance.registered_timestamp);
        let read_only = || instances.iter().filter(|instance| instance.read_only);
        let updated = read_only().map(|instance| instance.read_only_updated_timestamp);
        Self {
            tokens: pairs.iter().map(|(token, _)| *token).collect(),
            owners: pairs.iter().map(|(_, owner)| *owner).collect(),
            zones,
            zone_of,
            oldest_registered_s: registered.min().unwrap_or(0).max(0),
            read_only_count: read_only().count(),
            oldest_read_only_updated_s: updated.min().unwrap_or(0),
            shards: Mutex::default(),
        }
    }

    /// The index of a part of the instances, given in ascending order.
    pub(crate) fn part(&self, members: &[u32], instances: &[Arc<InstanceDesc>]) -> Topology {
        let mut new_index = vec![u32::MAX; instances.len()];
        for (new, old) in (0u32..).zip(members) {
            new_index[*old as usize] = new;
        }
        let pairs = self.tokens.iter().zip(&self.owners);
        let pairs = pairs.map(|(token, owner)| (*token, new_index[*owner as usize]));
        let pairs: Vec<(u32, u32)> = pairs.filter(|(_, owner)| *owner != u32::MAX).collect();
        let members = members.iter().map(|old| Arc::clone(&instances[*old as usize]));
        Self::of_sorted(&pairs, &members.collect::<Vec<_>>())
    }

    /// How many keys each of so many instances owns in its zone.
    pub(crate) fn owned_keys(&self, instances: usize) -> Vec<u64> {
        let mut owned = vec![0; instances];
        for zone in &self.zones {
            let mut previous = zone.tokens.last().copied().unwrap_or_default();
            for (token, owner) in zone.tokens.iter().zip(&zone.owners) {
                owned[*owner as usize] += token_distance(previous, *token);
                previous = *token;
            }
        }
        owned
    }

    /// The shard that was chosen before, if it holds for this start of the window.
    pub(crate) fn cached(&self, key: &ShardKey, window_start_s: i64) -> Option<Shard> {
        let shards = self.shards.lock();
        let shard = shards.get(key)?;
        let (first, last) = shard.window_starts_s;
        (first <= window_start_s && window_start_s <= last).then(|| shard.clone())
    }

    pub(crate) fn cache(&self, key: ShardKey, shard: Shard) {
        let mut shards = self.shards.lock();
        if MAX_CACHED_SHARDS <= shards.len() {
            shards.clear();
        }
        shards.insert(key, shard);
    }
}
