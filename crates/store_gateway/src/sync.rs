//! One iteration over a tenant's part of the bucket: which blocks there are, and the `meta.json`
//! of those that were not seen before. What is known about the others does not change.

use std::sync::Arc;

use bucket::{BucketError, TenantBucket};
use futures::{StreamExt as _, TryStreamExt as _};
use model::TimestampMs;
use tsdb::meta::BlockMeta;
use ulid::Ulid;

use crate::block::Block;
use crate::listing::Found;
use crate::marks::{block_mark, tenant_marks};
use crate::store::Store;

/// So many `meta.json` of one tenant are fetched at the same time.
const CONCURRENT_METAS: usize = 16;

/// What one look at a block has shown.
enum Look {
    /// Complete, and perhaps marked for deletion.
    Block(Box<BlockMeta>, Option<TimestampMs>),
    Partial,
    Malformed,
}

/// Lists the tenant's blocks. Any error but a missing object fails it as a whole: a list with
/// gaps would give wrong answers.
pub(crate) async fn find_blocks(
    store: &Store,
    bucket: &TenantBucket,
    previous: &Found,
) -> Result<Found, BucketError> {
    let ids = bucket.block_ids().await?;
    let tenant_marks = tenant_marks(bucket, &previous.tenant_marks).await?;
    let mut found = Found { tenant_marks, ..Found::default() };
    let mut unseen = Vec::new();
    for id in ids {
        match previous.blocks.get(&id).filter(|block| !block.is_gone()) {
            Some(block) => keep(&mut found, previous, block),
            None => unseen.push(id),
        }
    }
    let looks = unseen.into_iter().map(|id| look(bucket, id));
    let looks = futures::stream::iter(looks).buffer_unordered(CONCURRENT_METAS);
    for look in looks.try_collect::<Vec<Look>>().await? {
        match look {
            Look::Block(meta, mark) => {
                found.block_marks.extend(mark.map(|marked_at| (meta.ulid, marked_at)));
                let block = Block::new(bucket.clone(), *meta, store.next_object());
                found.blocks.insert(block.id(), Arc::new(block));
            }
            Look::Partial => found.partial += 1,
            Look::Malformed => found.malformed += 1,
        }
    }
    Ok(found)
}

fn keep(found: &mut Found, previous: &Found, block: &Arc<Block>) {
    let id = block.id();
    found.blocks.insert(id, Arc::clone(block));
    found.block_marks.extend(previous.block_marks.get(&id).map(|&marked_at| (id, marked_at)));
}

async fn look(bucket: &TenantBucket, id: Ulid) -> Result<Look, BucketError> {
    let Some(json) = bucket.meta_json(id).await? else { return Ok(Look::Partial) };
    match check(id, &json) {
        Ok(meta) => Ok(Look::Block(Box::new(meta), block_mark(bucket, id).await?)),
        Err(error) => {
            let user = bucket.tenant();
            tracing::error!(%user, block = %id, error, "meta.json is malformed, block is ignored");
            Ok(Look::Malformed)
        }
    }
}

fn check(id: Ulid, json: &[u8]) -> Result<BlockMeta, String> {
    let meta = BlockMeta::decode(json).map_err(|error| error.to_string())?;
    if meta.ulid != id {
        return Err(format!("it is that of block {}", meta.ulid));
    }
    if meta.max_time_ms < meta.min_time_ms {
        return Err("maxTime is below minTime".to_owned());
    }
    Ok(meta)
}
