//! The list of a tenant's blocks where nobody has written a bucket index: by iterating over the
//! tenant's part of the bucket. Of blocks that were seen before nothing is read again.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt as _, TryStreamExt as _};
use model::TimestampMs;
use serde::Deserialize;
use ulid::Ulid;

use crate::{
    BlockDeletionMark, BlockMarks, BucketError, BucketIndex, DeletionMark, IndexedBlock,
    SegmentsFormat, TenantBucket,
};

/// The external label that tells a block's shard.
const SHARD_LABEL: &str = "__compactor_shard_id__";
/// The external label and the hint of blocks of samples that came out of order.
const OUT_OF_ORDER_LABEL: &str = "__out_of_order__";
const OUT_OF_ORDER_HINT: &str = "from-out-of-order";

/// What a scan has found; the next one begins with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    blocks: BTreeMap<Ulid, IndexedBlock>,
    marks: BlockMarks<DeletionMark>,
    /// Marks that have no copy below `markers/`.
    block_marks: HashMap<Ulid, DeletionMark>,
}

/// The part of `meta.json` that the list needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    ulid: String,
    min_time: i64,
    max_time: i64,
    #[serde(default)]
    compaction: Compaction,
    #[serde(default)]
    thanos: Option<Thanos>,
}

#[derive(Deserialize, Default)]
struct Compaction {
    #[serde(default)]
    level: u32,
    #[serde(default)]
    hints: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
struct Thanos {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    segment_files: Option<Vec<String>>,
    #[serde(default)]
    files: Option<Vec<ThanosFile>>,
}

#[derive(Deserialize)]
struct ThanosFile {
    #[serde(default)]
    rel_path: String,
}

impl Scan {
    /// Lists the tenant's blocks. Any error but a missing object fails it as a whole: a list with
    /// gaps would give wrong answers.
    pub(super) async fn run(
        bucket: &TenantBucket,
        previous: &Self,
        concurrency: usize,
    ) -> Result<Self, BucketError> {
        let ids = bucket.block_ids().await?;
        let marks = bucket.marks(&previous.marks).await?;
        let mut scan = Self { marks, ..Self::default() };
        let mut unseen = Vec::new();
        for id in ids {
            // Of a block that is being deleted `meta.json` may be gone.
            let is_marked = scan.marks.contains_key(&id);
            match previous.blocks.get(&id).filter(|_| !is_marked) {
                Some(block) => _ = scan.blocks.insert(id, block.clone()),
                None => unseen.push(id),
            }
            let mark = previous.block_marks.get(&id);
            scan.block_marks.extend(mark.map(|mark| (id, mark.clone())));
        }
        let looks: Vec<_> = unseen.into_iter().map(|id| look(bucket, id)).collect();
        let looks = futures::stream::iter(looks).buffer_unordered(concurrency.max(1));
        for (block, mark) in looks.try_collect::<Vec<_>>().await?.into_iter().flatten() {
            scan.block_marks.extend(mark.map(|mark| (block.id, mark)));
            scan.blocks.insert(block.id, block);
        }
        if scan.blocks.is_empty() {
            bucket.bucket().check_reachable().await?;
        }
        Ok(scan)
    }

    /// The same as a bucket index.
    pub(super) fn index(&self, now_ms: TimestampMs) -> BucketIndex {
        let with_copy = self.marks.iter();
        let without = self.block_marks.iter().filter(|(id, _)| !self.marks.contains_key(*id));
        let mark = |(&id, mark): (&Ulid, &DeletionMark)| BlockDeletionMark {
            id,
            deletion_time: mark.deletion_time,
        };
        let mut marks: Vec<BlockDeletionMark> = with_copy.chain(without).map(mark).collect();
        marks.sort_by_key(|mark| mark.id);
        BucketIndex {
            blocks: self.blocks.values().cloned().collect(),
            block_deletion_marks: marks,
            ..BucketIndex::empty(now_ms.div_euclid(1000))
        }
    }
}

type Look = (IndexedBlock, Option<DeletionMark>);

/// A block that was not seen before; `None` when it is not complete or makes no sense.
async fn look(bucket: &TenantBucket, id: Ulid) -> Result<Option<Look>, BucketError> {
    let Some(json) = bucket.meta_json(id).await? else { return Ok(None) };
    let uploaded_at_ms = match bucket.bucket().info(&bucket.block(id).meta()).await {
        Ok(info) => info.last_modified_ms,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    match indexed(id, &json, uploaded_at_ms) {
        Ok(block) => Ok(Some((block, bucket.block_mark::<DeletionMark>(id).await?))),
        Err(error) => {
            let user = bucket.tenant();
            tracing::error!(%user, block = %id, error, "meta.json is malformed, block is ignored");
            Ok(None)
        }
    }
}

fn indexed(id: Ulid, json: &[u8], uploaded_at_ms: TimestampMs) -> Result<IndexedBlock, String> {
    let meta: Meta = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if meta.ulid != id.to_string() {
        return Err(format!("it is that of block {}", meta.ulid));
    }
    if meta.max_time < meta.min_time {
        return Err("maxTime is below minTime".to_owned());
    }
    let thanos = meta.thanos.unwrap_or_default();
    let (segments_format, segments_num) = segments(&thanos);
    let labels = thanos.labels.unwrap_or_default();
    let hints = meta.compaction.hints.unwrap_or_default();
    Ok(IndexedBlock {
        id,
        min_time_ms: meta.min_time,
        max_time_ms: meta.max_time,
        segments_format,
        segments_num,
        uploaded_at: uploaded_at_ms.div_euclid(1000),
        compactor_shard_id: labels.get(SHARD_LABEL).cloned().unwrap_or_default(),
        source: thanos.source,
        compaction_level: meta.compaction.level,
        out_of_order: labels.contains_key(OUT_OF_ORDER_LABEL)
            || hints.iter().any(|hint| hint == OUT_OF_ORDER_HINT),
        labels,
    })
}

/// The chunk files that the section lists in one way or the other.
fn segments(thanos: &Thanos) -> (SegmentsFormat, u32) {
    let named = thanos.segment_files.as_deref().unwrap_or_default();
    if !named.is_empty() {
        return SegmentsFormat::of(named.iter().map(String::as_str));
    }
    let files = thanos.files.as_deref().unwrap_or_default();
    SegmentsFormat::of(files.iter().filter_map(|file| file.rel_path.strip_prefix("chunks/")))
}
