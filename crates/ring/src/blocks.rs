//! How many store-gateways own a block. Pure; asked by the store-gateways, which keep what they
//! own, and by the queriers, which ask the owners: both must come to the same answer.

use std::sync::Arc;

use config::{DynamicReplicationConfig, GoDuration, Limits};
use model::TimestampMs;

use crate::Ring;

/// How many store-gateways keep blocks of a tenant; 0 is all of them.
pub fn store_gateway_shard_size(ring: &Arc<Ring>, limits: &Limits) -> u64 {
    match limits.store_gateway_tenant_shard_size_per_zone {
        0 => limits.store_gateway_tenant_shard_size,
        per_zone => per_zone.saturating_mul(ring.zones().len().max(1) as u64),
    }
}

/// How many store-gateways own a block: recent ones, which most queries need, may have more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockReplication {
    recent: Option<Recent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recent {
    /// A block is recent while its newest sample is not older than this.
    age_ms: i64,
    factor: usize,
}

impl BlockReplication {
    /// What queriers go by, where the ring's factor is `ring_factor`.
    pub fn of_queries(config: &DynamicReplicationConfig, ring_factor: usize) -> Self {
        let recent = Recent {
            age_ms: config.max_time_threshold.millis(),
            factor: ring_factor.saturating_mul(config.multiple),
        };
        Self { recent: config.enabled.then_some(recent) }
    }

    /// What store-gateways go by: they keep a block for three times `sync_interval` longer than
    /// queriers ask for it, whose clocks and views may be behind.
    pub fn of_syncs(
        config: &DynamicReplicationConfig,
        ring_factor: usize,
        sync_interval: GoDuration,
    ) -> Self {
        let mut this = Self::of_queries(config, ring_factor);
        if let Some(recent) = &mut this.recent {
            recent.age_ms = recent.age_ms.saturating_add(sync_interval.millis().saturating_mul(3));
        }
        this
    }

    /// How many own a block whose newest sample is of `max_time_ms`; 0 is as many as the ring says.
    pub fn factor(&self, max_time_ms: TimestampMs, now_ms: TimestampMs) -> usize {
        let recent = self.recent.filter(|it| now_ms.saturating_sub(max_time_ms) <= it.age_ms);
        recent.map_or(0, |recent| recent.factor)
    }

    /// The largest number of owners; 0 is as many as the ring says.
    pub fn max_factor(&self) -> usize {
        self.recent.map_or(0, |recent| recent.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn config(enabled: bool) -> DynamicReplicationConfig {
        DynamicReplicationConfig { enabled, ..DynamicReplicationConfig::default() }
    }

    #[test]
    fn recent_blocks_have_more_owners_and_are_kept_longer_than_they_are_asked_for() {
        let now_ms = 1_000 * HOUR_MS;
        let queries = BlockReplication::of_queries(&config(true), 3);
        let minutes_15 = GoDuration::from_millis(HOUR_MS / 4);
        let syncs = BlockReplication::of_syncs(&config(true), 3, minutes_15);
        // The defaults: 25 h, five times as many.
        assert_eq!(queries.factor(now_ms - 25 * HOUR_MS, now_ms), 15);
        assert_eq!(queries.factor(now_ms - 25 * HOUR_MS - 1, now_ms), 0);
        assert_eq!(syncs.factor(now_ms - 25 * HOUR_MS - HOUR_MS / 2, now_ms), 15);
        assert_eq!(syncs.factor(now_ms - 26 * HOUR_MS, now_ms), 0);
        assert_eq!(queries.factor(now_ms + HOUR_MS, now_ms), 15, "a clock behind");
        assert_eq!((queries.max_factor(), syncs.max_factor()), (15, 15));
    }

    #[test]
    fn without_it_the_ring_decides() {
        let off = BlockReplication::of_queries(&config(false), 3);
        assert_eq!((off, off.factor(0, 0), off.max_factor()), (BlockReplication::default(), 0, 0));
    }
}
