//! Looking at a tenant's part of a bucket without running a compactor: what stands there, what is
//! wrong with it, and the bucket index made anew. Called by the tool `urd bucket`; it writes
//! nothing but the bucket index, and that only when it is told to.

mod checksums;

use std::collections::BTreeMap;

use bucket::{BucketError, BucketIndex, TenantBucket};
use checksums::{FileError, Listed};
use futures::{StreamExt as _, TryStreamExt as _};
use model::TimestampMs;
use tsdb::compact::SHARD_LABEL;
use tsdb::meta::BlockMeta;
use ulid::Ulid;

use crate::catalog::{Catalog, CompleteBlock, Reading};

/// So many blocks are looked at at once.
const CONCURRENCY: usize = 16;
/// So many blocks are read from end to end at once.
const CONCURRENT_CHECKS: usize = 4;

/// A tenant's part of a bucket at one moment.
pub struct Inspection {
    bucket: TenantBucket,
    catalog: Catalog,
}

/// A block as a list shows it.
#[derive(Debug, Clone)]
pub struct InspectedBlock<'a> {
    /// Its description.
    pub meta: &'a BlockMeta,
    /// When its upload was complete, ms.
    pub uploaded_at_ms: TimestampMs,
    /// Whether it is to be deleted.
    pub is_marked_for_deletion: bool,
    /// Whether it is not to be compacted.
    pub is_marked_no_compact: bool,
}

impl Inspection {
    /// Lists the tenant's blocks and reads their descriptions and marks.
    pub async fn of(bucket: TenantBucket) -> Result<Self, BucketError> {
        let reading = Reading { concurrency: CONCURRENCY, deleted_before_s: i64::MAX };
        let catalog = Catalog::sync(&bucket, &Catalog::default(), reading).await?;
        Ok(Self { bucket, catalog })
    }

    /// The complete blocks, by their ids.
    pub fn blocks(&self) -> impl Iterator<Item = InspectedBlock<'_>> {
        self.catalog.blocks.iter().map(|(id, block)| InspectedBlock {
            meta: &block.meta,
            uploaded_at_ms: block.uploaded_at_ms,
            is_marked_for_deletion: self.catalog.deletion_marks.contains_key(id),
            is_marked_no_compact: self.catalog.no_compact_marks.contains_key(id),
        })
    }

    /// Looks at the tenant's blocks, makes the bucket index anew and writes it, unless a server
    /// has written one meanwhile.
    pub async fn rebuild_index(
        bucket: TenantBucket,
        now_ms: TimestampMs,
    ) -> Result<BucketIndex, BucketError> {
        let seen = bucket.bucket_index_version().await?;
        let inspection = Self::of(bucket).await?;
        let index = inspection.catalog.bucket_index(now_ms);
        inspection.bucket.put_bucket_index_if(&index, seen.as_ref()).await?;
        Ok(index)
    }

    /// Everything that is not as it should be, one line each.
    pub async fn problems(&self) -> Result<Vec<String>, BucketError> {
        let mut problems = self.index_problems().await?;
        for id in &self.catalog.partial {
            problems.push(format!("block {id}: it has no meta.json, its upload is not complete"));
        }
        for id in &self.catalog.malformed {
            problems.push(format!("block {id}: its meta.json is malformed"));
        }
        for (id, block) in &self.catalog.blocks {
            if !self.catalog.deletion_marks.contains_key(id) {
                problems.extend(self.file_problems(*id, block).await?);
            }
        }
        problems.extend(self.overlaps());
        Ok(problems)
    }

    /// Reads every block from end to end, some at a time, and tells which checksums are wrong and
    /// where an index lists something else than `meta.json` and the chunk files.
    pub async fn damage(&self) -> Result<Vec<String>, BucketError> {
        let is_marked = |id: &Ulid| self.catalog.deletion_marks.contains_key(id);
        let blocks = self.catalog.blocks.iter().filter(|(id, _)| !is_marked(id));
        let looks: Vec<_> = blocks.map(|(id, block)| self.damage_of(*id, &block.meta)).collect();
        let looks = futures::stream::iter(looks).buffered(CONCURRENT_CHECKS);
        let problems: Vec<Vec<String>> = looks.try_collect().await?;
        Ok(problems.into_iter().flatten().collect())
    }

    async fn damage_of(&self, id: Ulid, meta: &BlockMeta) -> Result<Vec<String>, BucketError> {
        let (bucket, paths) = (self.bucket.bucket(), self.bucket.block(id));
        let (mut problems, mut chunks) = (Vec::new(), Some(0));
        let mut listed = None;
        for object in bucket.list(&paths.file("")).await? {
            let (file, name) = ((paths.file(&object.key), object.size_bytes), object.key.as_str());
            let checked = if name.starts_with("chunks/") {
                let in_file = checksums::chunk_file(bucket, file).await;
                chunks = chunks.zip(in_file.as_ref().ok()).map(|(sum, n)| sum + n);
                in_file.map(drop)
            } else if name == "index" {
                checksums::index(bucket, file).await.map(|found| listed = Some(found))
            } else {
                Ok(())
            };
            match checked {
                Ok(()) => {}
                Err(FileError::Bucket(error)) => return Err(error),
                Err(error) => problems.push(format!("block {id}: {name}: damaged {error}")),
            }
        }
        let (Some(listed), Some(chunks)) = (listed, chunks) else { return Ok(problems) };
        let described = Listed { series: meta.stats.num_series, chunks: meta.stats.num_chunks };
        if listed != described || chunks < listed.chunks {
            problems.push(format!(
                "block {id}: {described:?} says meta.json, {listed:?} the index, and there are \
                 {chunks} chunks"
            ));
        }
        Ok(problems)
    }

    /// What the bucket index has missing or too much.
    async fn index_problems(&self) -> Result<Vec<String>, BucketError> {
        let index = match self.bucket.bucket_index().await {
            Ok(Some(index)) => index,
            Ok(None) => return Ok(vec!["bucket index: there is none".to_owned()]),
            Err(BucketError::Malformed { reason, .. }) => {
                return Ok(vec![format!("bucket index: {reason}")]);
            }
            Err(error) => return Err(error),
        };
        let fresh = self.catalog.bucket_index(index.updated_at.saturating_mul(1000));
        let mut problems = Vec::new();
        for block in &fresh.blocks {
            match index.blocks.iter().find(|indexed| indexed.id == block.id) {
                None => problems.push(format!("bucket index: block {} is missing", block.id)),
                Some(indexed) if indexed != block => {
                    problems.push(format!("bucket index: block {} is out of date", block.id));
                }
                Some(_) => {}
            }
        }
        for block in &index.blocks {
            if !self.catalog.blocks.contains_key(&block.id) {
                problems.push(format!("bucket index: block {} is not in the bucket", block.id));
            }
        }
        for mark in &fresh.block_deletion_marks {
            if !index.block_deletion_marks.iter().any(|indexed| indexed.id == mark.id) {
                problems.push(format!("bucket index: deletion mark of {} is missing", mark.id));
            }
        }
        Ok(problems)
    }

    /// Files of a block that are missing or have another size than its description says.
    async fn file_problems(
        &self,
        id: Ulid,
        block: &CompleteBlock,
    ) -> Result<Vec<String>, BucketError> {
        let dir = format!("{}/{id}", self.bucket.tenant());
        let listed = self.bucket.bucket().list(&dir).await?;
        let sizes: BTreeMap<&str, u64> =
            listed.iter().map(|object| (object.key.as_str(), object.size_bytes)).collect();
        let mut problems = Vec::new();
        let thanos = block.meta.thanos.clone().unwrap_or_default();
        for file in thanos.files.iter().filter(|file| file.rel_path != bucket::META_FILE) {
            let wanted = file.size_bytes;
            match sizes.get(file.rel_path.as_str()).copied() {
                None => problems.push(format!("block {id}: {} is missing", file.rel_path)),
                Some(size) if size != wanted => problems.push(format!(
                    "block {id}: {} has {size} bytes and not {wanted}",
                    file.rel_path
                )),
                Some(_) => {}
            }
        }
        if !sizes.contains_key("index") && thanos.files.is_empty() {
            problems.push(format!("block {id}: index is missing"));
        }
        Ok(problems)
    }

    /// Compacted blocks of one shard that cover the same time.
    fn overlaps(&self) -> Vec<String> {
        let mut by_shard: BTreeMap<String, Vec<&BlockMeta>> = BTreeMap::new();
        for (id, block) in &self.catalog.blocks {
            // Blocks of ingesters overlap as long as they are not compacted.
            let is_compacted = block.meta.compaction.level > 1;
            if is_compacted && !self.catalog.deletion_marks.contains_key(id) {
                let labels = block.meta.thanos.as_ref().map(|thanos| &thanos.labels);
                let shard = labels.and_then(|labels| labels.get(SHARD_LABEL)).cloned();
                by_shard.entry(shard.unwrap_or_default()).or_default().push(&block.meta);
            }
        }
        let mut problems = Vec::new();
        for blocks in by_shard.values_mut() {
            blocks.sort_by_key(|meta| (meta.min_time_ms, meta.max_time_ms));
            for pair in blocks.windows(2) {
                if pair[1].min_time_ms < pair[0].max_time_ms {
                    let (first, second) = (pair[0].ulid, pair[1].ulid);
                    problems.push(format!("blocks {first} and {second} overlap"));
                }
            }
        }
        problems
    }
}
