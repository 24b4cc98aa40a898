//! What stands in a tenant's part of the bucket: complete blocks, partial ones, and marks. Brought
//! up to date by one listing and the `meta.json` of blocks that were not seen before.

use std::collections::BTreeMap;

use bucket::{
    BlockDeletionMark, BlockMarks, BucketError, BucketIndex, DeletionMark, IndexedBlock,
    NoCompactMark, SegmentsFormat, TenantBucket,
};
use futures::{StreamExt as _, TryStreamExt as _};
use model::TimestampMs;
use tsdb::compact::SHARD_LABEL;
use tsdb::meta::{BlockMeta, ThanosMeta};
use ulid::Ulid;

/// The blocks and marks of a tenant at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    /// Complete blocks, also those that are marked.
    pub(crate) blocks: BTreeMap<Ulid, CompleteBlock>,
    /// Blocks without `meta.json`.
    pub(crate) partial: Vec<Ulid>,
    /// Blocks whose `meta.json` makes no sense; they are left alone.
    pub(crate) malformed: Vec<Ulid>,
    /// What is to be deleted.
    pub(crate) deletion_marks: BlockMarks<DeletionMark>,
    /// What is not to be compacted.
    pub(crate) no_compact_marks: BlockMarks<NoCompactMark>,
}

/// A block with `meta.json`.
#[derive(Debug, Clone)]
pub(crate) struct CompleteBlock {
    pub(crate) meta: BlockMeta,
    /// When `meta.json` was written, ms.
    pub(crate) uploaded_at_ms: TimestampMs,
}

/// What one look at a block has shown.
enum Look {
    Complete(Box<CompleteBlock>),
    Partial(Ulid),
    Malformed(Ulid),
}

/// What of the bucket is read, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// So many `meta.json` at the same time.
    pub(crate) concurrency: usize,
    /// A block that was marked before this moment may be on its way out of the bucket, seconds.
    pub(crate) deleted_before_s: i64,
}

impl Catalog {
    /// Lists the tenant's blocks; what `previous` knows is not read again. Any error but a
    /// missing object fails it as a whole.
    pub(crate) async fn sync(
        bucket: &TenantBucket,
        previous: &Self,
        reading: Reading,
    ) -> Result<Self, BucketError> {
        // Marks first: of a block that is deleted meanwhile the mark goes last, so that it would
        // be in the list of blocks, unmarked and known, after it is gone.
        let deletion_marks = bucket.marks(&previous.deletion_marks).await?;
        let no_compact_marks = bucket.marks(&previous.no_compact_marks).await?;
        let ids = bucket.block_ids().await?;
        let mut catalog = Self { deletion_marks, no_compact_marks, ..Self::default() };
        let mut unseen = Vec::new();
        for id in ids {
            // Of a block that is being deleted `meta.json` may be gone.
            let mark = catalog.deletion_marks.get(&id);
            let may_be_gone = mark.is_some_and(|m| m.deletion_time < reading.deleted_before_s);
            match previous.blocks.get(&id).filter(|_| !may_be_gone) {
                Some(block) => _ = catalog.blocks.insert(id, block.clone()),
                None => unseen.push(id),
            }
        }
        let looks: Vec<_> = unseen.into_iter().map(|id| look(bucket, id)).collect();
        let looks = futures::stream::iter(looks).buffer_unordered(reading.concurrency.max(1));
        for look in looks.try_collect::<Vec<Look>>().await? {
            match look {
                Look::Complete(block) => _ = catalog.blocks.insert(block.meta.ulid, *block),
                Look::Partial(id) => catalog.partial.push(id),
                Look::Malformed(id) => catalog.malformed.push(id),
            }
        }
        Ok(catalog)
    }

    /// The bucket index of what stands here.
    pub(crate) fn bucket_index(&self, now_ms: TimestampMs) -> BucketIndex {
        let marks = self
            .deletion_marks
            .iter()
            .map(|(&id, mark)| BlockDeletionMark { id, deletion_time: mark.deletion_time });
        let mut marks: Vec<BlockDeletionMark> = marks.collect();
        marks.sort_by_key(|mark| mark.id);
        BucketIndex {
            blocks: self.blocks.values().map(indexed).collect(),
            block_deletion_marks: marks,
            ..BucketIndex::empty(now_ms.div_euclid(1000))
        }
    }
}

async fn look(bucket: &TenantBucket, id: Ulid) -> Result<Look, BucketError> {
    let Some(json) = bucket.meta_json(id).await? else { return Ok(Look::Partial(id)) };
    let uploaded_at_ms = match bucket.bucket().info(&bucket.block(id).meta()).await {
        Ok(info) => info.last_modified_ms,
        Err(error) if error.is_not_found() => return Ok(Look::Partial(id)),
        Err(error) => return Err(error),
    };
    match BlockMeta::decode(&json) {
        Ok(meta) if meta.ulid == id && meta.min_time_ms <= meta.max_time_ms => {
            Ok(Look::Complete(Box::new(CompleteBlock { meta, uploaded_at_ms })))
        }
        Ok(_) => Ok(malformed(bucket, id, "it is of another block or its times make no sense")),
        Err(error) => Ok(malformed(bucket, id, &error.to_string())),
    }
}

fn malformed(bucket: &TenantBucket, id: Ulid, error: &str) -> Look {
    let user = bucket.tenant();
    tracing::error!(%user, block = %id, error, "meta.json is malformed, block is left alone");
    Look::Malformed(id)
}

fn indexed(block: &CompleteBlock) -> IndexedBlock {
    let meta = &block.meta;
    let thanos = meta.thanos.clone().unwrap_or_default();
    let (segments_format, segments_num) = segments(&thanos);
    IndexedBlock {
        id: meta.ulid,
        min_time_ms: meta.min_time_ms,
        max_time_ms: meta.max_time_ms,
        segments_format,
        segments_num,
        uploaded_at: block.uploaded_at_ms.div_euclid(1000),
        compactor_shard_id: thanos.labels.get(SHARD_LABEL).cloned().unwrap_or_default(),
        source: thanos.source,
        compaction_level: meta.compaction.level,
        out_of_order: meta.is_out_of_order(),
        labels: thanos.labels,
    }
}

/// The chunk files that the section lists in one way or the other.
fn segments(thanos: &ThanosMeta) -> (SegmentsFormat, u32) {
    if !thanos.segment_files.is_empty() {
        return SegmentsFormat::of(thanos.segment_files.iter().map(String::as_str));
    }
    SegmentsFormat::of(thanos.files.iter().filter_map(|file| file.rel_path.strip_prefix("chunks/")))
}
