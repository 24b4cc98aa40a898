//! Which blocks a query needs: those of the bucket index that can hold samples of its range, less
//! those that were marked for deletion long enough ago that others hold their samples.

use std::sync::Arc;

use bucket::{BucketIndex, IndexLoader, IndexedBlock, TenantBucket};
use config::{BucketStoreConfig, GoDuration};
use jiff::Timestamp;
use model::{Clock, Shard, StorageError, TenantId, TimeRange, TimestampMs};
use ulid::Ulid;

/// A block that a query needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundBlock {
    pub(super) id: Ulid,
    /// Time after its newest sample.
    pub(super) max_time_ms: TimestampMs,
    /// An ingester has written it so recently that store-gateways need not know it yet.
    pub(super) is_best_effort: bool,
    /// Somebody else has, just as recently: it may be missing where what it was made of is not.
    pub(super) is_young_compaction: bool,
    /// Which shard it is, from 0, of how many.
    shard: Option<(u64, u64)>,
}

/// Finds blocks.
pub(super) struct Finder {
    indexes: Arc<IndexLoader>,
    clock: Arc<dyn Clock>,
    max_stale: GoDuration,
    ignore_marked_after_ms: i64,
    grace_ms: i64,
}

impl Finder {
    pub(super) fn new(
        config: &BucketStoreConfig,
        indexes: Arc<IndexLoader>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            indexes,
            clock,
            max_stale: config.bucket_index.max_stale_period,
            ignore_marked_after_ms: config.ignore_deletion_mark_while_querying_delay.millis(),
            grace_ms: config.sync_interval.millis().saturating_mul(3),
        }
    }

    /// The tenant's part of the bucket.
    pub(super) fn bucket(&self, tenant: &TenantId) -> TenantBucket {
        TenantBucket::new(self.indexes.bucket().clone(), tenant.clone())
    }

    /// The blocks for samples of `range`.
    pub(super) async fn find(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<FoundBlock>, StorageError> {
        let index = self.indexes.get(tenant).await;
        let index = index.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let now_ms = self.clock.now_ms();
        if now_ms - index.updated_at.saturating_mul(1000) > self.max_stale.millis() {
            return Err(too_old(&index, self.max_stale));
        }
        Ok(self.in_range(&index, range, now_ms))
    }

    fn in_range(
        &self,
        index: &BucketIndex,
        range: TimeRange,
        now_ms: TimestampMs,
    ) -> Vec<FoundBlock> {
        let mut gone: Vec<Ulid> = Vec::new();
        for mark in &index.block_deletion_marks {
            if now_ms - mark.deletion_time.saturating_mul(1000) > self.ignore_marked_after_ms {
                gone.push(mark.id);
            }
        }
        gone.sort_unstable();
        let overlaps = |block: &&IndexedBlock| {
            range.overlaps(block.min_time_ms, block.max_time_ms.saturating_sub(1))
        };
        let blocks = index.blocks.iter().filter(overlaps);
        let blocks = blocks.filter(|block| gone.binary_search(&block.id).is_err());
        let found = blocks.map(|block| {
            let age_ms = now_ms.saturating_sub(block.uploaded_at.saturating_mul(1000));
            let (is_young, is_received) = (age_ms < self.grace_ms, block.source == "receive");
            FoundBlock {
                id: block.id,
                max_time_ms: block.max_time_ms,
                is_best_effort: is_young && is_received,
                is_young_compaction: is_young && !is_received,
                shard: parse_shard(&block.compactor_shard_id),
            }
        });
        found.collect()
    }
}

impl FoundBlock {
    /// Whether series of the shard can be in the block. Both numbers of shards count the same
    /// hash: where one divides the other, a shard of the one lies within one shard of the other.
    pub(super) fn can_hold(&self, shard: Option<Shard>) -> bool {
        let (Some(shard), Some((index, count))) = (shard, self.shard) else { return true };
        if shard.count == 0 {
            return true;
        }
        if shard.count % count == 0 {
            shard.index % count == index
        } else if count % shard.count == 0 {
            index % shard.count == shard.index
        } else {
            true
        }
    }
}

/// `1_of_4` is the shard 0 of 4.
fn parse_shard(text: &str) -> Option<(u64, u64)> {
    let (index, count) = text.split_once("_of_")?;
    let (index, count): (u64, u64) = (index.parse().ok()?, count.parse().ok()?);
    (1..=count).contains(&index).then(|| (index - 1, count))
}

fn too_old(index: &BucketIndex, max_stale: GoDuration) -> StorageError {
    let at = Timestamp::from_second(index.updated_at).unwrap_or(Timestamp::UNIX_EPOCH);
    StorageError::Internal(format!(
        "the bucket index is too old. It was last updated at {at}, which exceeds the maximum \
         allowed staleness period of {max_stale} (err-mimir-bucket-index-too-old)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> FoundBlock {
        FoundBlock {
            id: Ulid(1),
            max_time_ms: 0,
            is_best_effort: false,
            is_young_compaction: false,
            shard: parse_shard(text),
        }
    }

    #[test]
    fn shards_of_blocks_and_queries_meet_where_one_number_divides_the_other() {
        // A hash h is in shard h % count of both; what can meet is known from all hashes.
        for (blocks, queries) in [(4, 4), (2, 8), (8, 2), (1, 3), (4, 6), (3, 2)] {
            for b in 0..blocks {
                for q in 0..queries {
                    let block = block(&format!("{}_of_{blocks}", b + 1));
                    let shard = Some(Shard { index: q, count: queries });
                    let meets = (0..blocks * queries).any(|h| h % blocks == b && h % queries == q);
                    let divides = blocks % queries == 0 || queries % blocks == 0;
                    assert_eq!(
                        block.can_hold(shard),
                        meets || !divides,
                        "{b} {blocks} {q} {queries}"
                    );
                }
            }
        }
        assert!(block("").can_hold(Some(Shard { index: 1, count: 2 })));
        assert!(block("1_of_2").can_hold(None));
        assert_eq!(
            [parse_shard("0_of_2"), parse_shard("3_of_2"), parse_shard("x_of_2")],
            [None; 3]
        );
    }
}
