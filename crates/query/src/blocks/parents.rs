//! What young blocks of compactors were made of, read from their `meta.json`: the bucket index does
//! not tell it. Asked only where such a block is missing from the answers of store-gateways.
//!
//! A store-gateway need not know a compacted block for as long as its next sync is away, and Mimir's
//! answers only from what it has synced. The blocks that went into it are marked for deletion when
//! it stands in the bucket, and are queried for
//! `-blocks-storage.bucket-store.ignore-deletion-marks-while-querying-delay` after that. Mimir takes
//! it from there that nothing is missing without a recently uploaded block. That is not so where
//! blocks were restored, copied or uploaded by hand, or where the delays are short. Here the block is
//! excused only when every block that it was made of was answered from in the same query, so that
//! each of its samples is in the answer.

use bucket::TenantBucket;
use futures::StreamExt as _;
use tsdb::meta::{BlockMeta, Parent};
use ulid::Ulid;

use super::tracker::Parents;

/// So many files are read at the same time.
const CONCURRENT_READS: usize = 8;

/// Reads the parents of `blocks` and adds them to `known`; those of a block that cannot be read are
/// none, so that it is not excused.
pub(super) async fn read(bucket: &TenantBucket, blocks: &[Ulid], known: &mut Parents) {
    let reads = blocks.iter().map(|&id| async move { (id, of_block(bucket, id).await) });
    let reads: Vec<_> = reads.collect();
    known.extend(futures::stream::iter(reads).buffered(CONCURRENT_READS).collect::<Vec<_>>().await);
}

async fn of_block(bucket: &TenantBucket, id: Ulid) -> Vec<Parent> {
    let json = match bucket.meta_json(id).await {
        Ok(json) => json.unwrap_or_default(),
        Err(error) => {
            let user = bucket.tenant();
            tracing::warn!(%user, block = %id, %error, "could not read what a block is made of");
            return Vec::new();
        }
    };
    BlockMeta::decode(&json).map(|meta| meta.compaction.parents).unwrap_or_default()
}
