//! Shuffle sharding: the instances that a tenant uses. The choice depends on the tenant's name
//! and the tokens alone, so that every process makes the same one, and a change of one instance
//! changes at most one member.

use std::sync::Arc;

use md5::{Digest, Md5};

use super::Ring;
use super::topology::{Shard, ShardKey};
use crate::desc::InstanceDesc;
use crate::go_rand::GoRand;
use crate::tokens::search_token;

impl Ring {
    /// The instances that take a tenant's data: `size` of them, spread over the zones. 0 means
    /// everybody who takes new data.
    #[must_use]
    pub fn shuffle_shard(self: &Arc<Self>, tenant: &str, size: u64) -> Arc<Ring> {
        self.shard(tenant, size, Window { lookback_s: 0, start_s: 0 })
    }

    /// The instances that may hold what a tenant wrote in the last `lookback_s` seconds.
    #[must_use]
    pub fn shuffle_shard_with_lookback(
        self: &Arc<Self>,
        tenant: &str,
        size: u64,
        lookback_s: i64,
        now_s: i64,
    ) -> Arc<Ring> {
        let start_s = if lookback_s > 0 { now_s.saturating_sub(lookback_s) } else { 0 };
        self.shard(tenant, size, Window { lookback_s, start_s })
    }

    /// The instances that take a tenant's data, where `id` is one of them.
    #[must_use]
    pub fn shard_of_member(
        self: &Arc<Self>,
        id: &str,
        tenant: &str,
        size: u64,
    ) -> Option<Arc<Ring>> {
        let shard = self.shuffle_shard(tenant, size);
        shard.instance_by_id(id).is_some().then_some(shard)
    }

    fn shard(self: &Arc<Self>, tenant: &str, size: u64, window: Window) -> Arc<Ring> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if self.is_whole(size, window) {
            return Arc::clone(self);
        }
        // Without a size the tenant does not matter.
        let tenant = if size == 0 { "" } else { tenant }.to_owned();
        let key = ShardKey { tenant, size, lookback_s: window.lookback_s };
        if let Some(shard) = self.topology.cached(&key, window.start_s) {
            return Arc::new(self.with_topology(&shard.members, shard.topology));
        }
        let members = match size {
            0 => self.members(|instance| window.includes(instance)),
            size => self.choose(&key.tenant, size, window),
        };
        let topology = Arc::new(self.topology.part(&members, &self.instances));
        let ring = self.with_topology(&members, Arc::clone(&topology));
        let window_starts_s = (window.start_s, ring.holds_until(window));
        let shard = Shard { members: members.into(), topology, window_starts_s };
        self.topology.cache(key, shard);
        Arc::new(ring)
    }

    /// Whether everybody belongs to the shard at first sight.
    fn is_whole(&self, size: usize, window: Window) -> bool {
        if size == 0 {
            let all_changed =
                window.lookback_s > 0 && window.start_s <= self.topology.oldest_read_only_updated_s;
            return self.topology.read_only_count == 0 || all_changed;
        }
        let oldest = self.topology.oldest_registered_s;
        window.lookback_s > 0 && oldest > 0 && window.start_s <= oldest
    }

    fn members(&self, is_member: impl Fn(&InstanceDesc) -> bool) -> Vec<u32> {
        let members = (0u32..).zip(&self.instances).filter(|(_, instance)| is_member(instance));
        members.map(|(index, _)| index).collect()
    }

    fn choose(&self, tenant: &str, size: usize, window: Window) -> Vec<u32> {
        let mut is_member = vec![false; self.instances.len()];
        if self.rules.zone_awareness {
            let wanted = size.div_ceil(self.topology.zones.len().max(1));
            for (index, zone) in (0u32..).zip(&self.topology.zones) {
                if zone.instance_count <= wanted {
                    for (member, zone_of) in self.topology.zone_of.iter().enumerate() {
                        is_member[member] |=
                            *zone_of == index && window.includes(&self.instances[member]);
                    }
                    continue;
                }
                let tokens = Tokens { tokens: &zone.tokens, owners: &zone.owners };
                self.draw(tokens, seed(tenant, &zone.name), (wanted, window), &mut is_member);
            }
        } else {
            let tokens = Tokens { tokens: &self.topology.tokens, owners: &self.topology.owners };
            self.draw(tokens, seed(tenant, ""), (size, window), &mut is_member);
        }
        let members = (0u32..).zip(is_member).filter(|(_, is_member)| *is_member);
        members.map(|(index, _)| index).collect()
    }

    /// Draws `wanted` instances: a random place each, and from there the first one that is not
    /// chosen yet. Who came or changed inside of the window is taken along and does not count.
    fn draw(
        &self,
        tokens: Tokens<'_>,
        seed: i64,
        (wanted, window): (usize, Window),
        is_member: &mut [bool],
    ) {
        let mut random = GoRand::new(seed);
        for _ in 0..wanted {
            let start = search_token(tokens.tokens, random.next_u32());
            let (before, after) = tokens.owners.split_at(start);
            let is_found = after.iter().chain(before).any(|&owner| {
                let (owner, instance) = (owner as usize, &self.instances[owner as usize]);
                if is_member[owner] || !window.includes(instance) {
                    return false;
                }
                is_member[owner] = true;
                !window.has_changed_in(instance)
            });
            if !is_found {
                return;
            }
        }
    }

    /// The last start of a window for which this shard is the same.
    fn holds_until(&self, window: Window) -> i64 {
        let changes = self.instances.iter().flat_map(|instance| {
            [instance.registered_timestamp, instance.read_only_updated_timestamp]
        });
        changes.filter(|changed| window.start_s <= *changed).min().unwrap_or(i64::MAX)
    }
}

/// The time that a shard looks back on.
#[derive(Clone, Copy)]
struct Window {
    /// 0 when it does not look back.
    lookback_s: i64,
    start_s: i64,
}

impl Window {
    /// Whether an instance may have data of this window.
    fn includes(self, instance: &InstanceDesc) -> bool {
        if !instance.read_only {
            return true;
        }
        let updated = instance.read_only_updated_timestamp;
        let was_before = updated > 0 && updated < self.start_s;
        self.lookback_s > 0 && !was_before
    }

    /// Whether another one may have had its share at the start of the window.
    fn has_changed_in(self, instance: &InstanceDesc) -> bool {
        self.lookback_s > 0
            && (self.start_s <= instance.registered_timestamp
                || instance.read_only
                || self.start_s <= instance.read_only_updated_timestamp)
    }
}

#[derive(Clone, Copy)]
struct Tokens<'a> {
    tokens: &'a [u32],
    owners: &'a [u32],
}

/// The first 8 bytes of an MD5 of the tenant and, where there is one, the zone.
fn seed(tenant: &str, zone: &str) -> i64 {
    let mut hash = Md5::new();
    hash.update(tenant.as_bytes());
    if !zone.is_empty() {
        hash.update([0]);
        hash.update(zone.as_bytes());
    }
    let digest: [u8; 16] = hash.finalize().into();
    let (first, _) = digest.split_at(8);
    first.iter().fold(0, |seed, byte| seed << 8 | i64::from(*byte))
}
