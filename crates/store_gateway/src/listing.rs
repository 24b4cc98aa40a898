//! Which blocks a tenant has, and which of them a query needs. Pure decisions over what `sync`
//! has read.

use std::sync::Arc;

use config::BucketStoreConfig;
use hashbrown::{HashMap, HashSet};
use model::{TimeRange, TimestampMs};
use tsdb::meta::BlockMeta;
use ulid::Ulid;

use crate::block::Block;

/// A block is left out so long after it was marked for deletion: everybody must have seen the
/// blocks that replace it by then, and it is deleted only much later. Mimir's delay.
const IGNORE_MARKED_AFTER_MS: i64 = 60 * 60 * 1000;
/// The label of the blocks that a compaction has split.
const SHARD_LABEL: &str = "__compactor_shard_id__";

/// When blocks were marked for deletion.
pub(crate) type Marks = HashMap<Ulid, TimestampMs>;
/// Blocks by their id.
pub(crate) type Blocks = HashMap<Ulid, Arc<Block>>;

/// What an iteration over a tenant's part of the bucket has found.
#[derive(Default)]
pub(crate) struct Found {
    /// Every block whose `meta.json` could be read.
    pub(crate) blocks: Blocks,
    /// Marks that stand below `markers/`.
    pub(crate) tenant_marks: Marks,
    /// Marks that stand in the blocks themselves.
    pub(crate) block_marks: Marks,
    /// Blocks without `meta.json`.
    pub(crate) partial: usize,
    /// Blocks whose `meta.json` makes no sense.
    pub(crate) malformed: usize,
}

/// How many blocks there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) loaded: usize,
    pub(crate) marked: usize,
    pub(crate) duplicate: usize,
    pub(crate) partial: usize,
    pub(crate) malformed: usize,
}

/// A tenant's blocks at one moment.
#[derive(Default)]
pub(crate) struct BlockList {
    pub(crate) synced_at_ms: TimestampMs,
    pub(crate) found: Found,
    pub(crate) counts: Counts,
    /// The blocks that queries are answered from, in the order in which their samples count.
    pub(crate) needed: Vec<Arc<Block>>,
}

impl BlockList {
    /// Decides which of the blocks are needed.
    pub(crate) fn new(found: Found, now_ms: TimestampMs) -> Self {
        let is_old = |mark: &TimestampMs| now_ms.saturating_sub(*mark) > IGNORE_MARKED_AFTER_MS;
        let is_marked = |id: &Ulid| {
            found.tenant_marks.get(id).is_some_and(is_old)
                || found.block_marks.get(id).is_some_and(is_old)
        };
        let (marked, kept): (Vec<_>, Vec<_>) =
            found.blocks.values().cloned().partition(|block| is_marked(&block.id()));
        let metas: Vec<&BlockMeta> = kept.iter().map(|block| &block.meta).collect();
        let replaced = replaced(&metas);
        let mut needed = kept.clone();
        needed.retain(|block| !replaced.contains(&block.id()));
        needed.sort_by_key(|block| (block.meta.min_time_ms, block.id()));
        let counts = Counts {
            loaded: needed.len(),
            marked: marked.len(),
            duplicate: replaced.len(),
            partial: found.partial,
            malformed: found.malformed,
        };
        Self { synced_at_ms: now_ms, found, counts, needed }
    }

    /// How many of the needed blocks `other` does not need.
    pub(crate) fn count_missing_from(&self, other: &Self) -> u64 {
        let there: HashSet<Ulid> = other.needed.iter().map(|block| block.id()).collect();
        self.needed.iter().filter(|block| !there.contains(&block.id())).count() as u64
    }

    /// The blocks that can hold samples of `range`.
    pub(crate) fn blocks_for(
        &self,
        range: TimeRange,
        now_ms: TimestampMs,
        config: &BucketStoreConfig,
    ) -> Vec<Arc<Block>> {
        let within_ms = config.ignore_blocks_within.millis();
        let is_young = |block: &Block| {
            within_ms > 0 && block.meta.min_time_ms > now_ms.saturating_sub(within_ms)
        };
        let blocks = self.needed.iter().filter(|block| block.overlaps(range) && !is_young(block));
        blocks.cloned().collect()
    }
}

/// The blocks of which another one holds all data.
fn replaced(metas: &[&BlockMeta]) -> HashSet<Ulid> {
    let larger: Vec<&BlockMeta> =
        metas.iter().copied().filter(|meta| meta.compaction.level > 1).collect();
    let is_replaced = |meta: &&&BlockMeta| larger.iter().any(|larger| holds_all_of(larger, meta));
    metas.iter().filter(is_replaced).map(|meta| meta.ulid).collect()
}

/// Whether all data of `smaller` is in `larger`: it was compacted from the same blocks and more.
/// Of split blocks only those of the same shard can replace each other; a split block never
/// replaces a whole one, because its sisters may not be there.
fn holds_all_of(larger: &BlockMeta, smaller: &BlockMeta) -> bool {
    let (sources, parts) = (&larger.compaction.sources, &smaller.compaction.sources);
    larger.min_time_ms <= smaller.min_time_ms
        && smaller.max_time_ms <= larger.max_time_ms
        && !parts.is_empty()
        && parts.len() < sources.len()
        && shard(larger).is_none_or(|of_larger| shard(smaller) == Some(of_larger))
        && parts.iter().all(|source| sources.contains(source))
}

fn shard(meta: &BlockMeta) -> Option<&str> {
    let labels = &meta.thanos.as_ref()?.labels;
    labels.get(SHARD_LABEL).map(String::as_str).filter(|shard| !shard.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb::meta::ThanosMeta;

    /// A block with this id over `[0, id * 10)`, compacted from these sources.
    fn meta(id: u128, sources: &[u128], shard: &str) -> BlockMeta {
        let mut meta = BlockMeta::new(Ulid(id), 0, 10 * id as i64);
        meta.compaction.level = if sources.len() > 1 { 2 } else { 1 };
        meta.compaction.sources = sources.iter().map(|&id| Ulid(id)).collect();
        if !shard.is_empty() {
            let labels = [(SHARD_LABEL.to_owned(), shard.to_owned())].into();
            meta.thanos = Some(ThanosMeta { labels, ..ThanosMeta::default() });
        }
        meta
    }

    fn replaced_of(metas: &[BlockMeta]) -> Vec<u128> {
        let replaced = replaced(&metas.iter().collect::<Vec<_>>());
        let mut ids: Vec<u128> = replaced.into_iter().map(|id| id.0).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn compacted_blocks_replace_their_sources() {
        let blocks = [
            meta(1, &[1], ""),
            meta(2, &[2], ""),
            meta(3, &[3], ""),
            meta(4, &[1, 2], ""),
            meta(5, &[1, 2, 3, 9], ""),
        ];
        assert_eq!(replaced_of(&blocks), [1, 2, 3, 4]);
        assert_eq!(replaced_of(&blocks[..4]), [1, 2]);
        assert_eq!(replaced_of(&blocks[..3]), [0u128; 0]);
    }

    #[test]
    fn only_certain_copies_are_left_out() {
        let nothing = [0u128; 0];
        // Same sources: shards of one split.
        assert_eq!(replaced_of(&[meta(1, &[1, 2], "1_of_2"), meta(2, &[1, 2], "2_of_2")]), nothing);
        // A shard of more replaces the same shard of less, no other and no whole block.
        let larger = meta(9, &[1, 2, 3], "1_of_2");
        let smaller =
            [meta(4, &[1, 2], "1_of_2"), meta(5, &[1, 2], "2_of_2"), meta(6, &[1], ""), larger];
        assert_eq!(replaced_of(&smaller), [4]);
        // Without sources, or reaching over the ends of the larger one.
        assert_eq!(replaced_of(&[meta(1, &[], ""), meta(9, &[1, 2], "")]), nothing);
        assert_eq!(replaced_of(&[meta(10, &[1], ""), meta(9, &[1, 2], "")]), nothing);
    }
}
