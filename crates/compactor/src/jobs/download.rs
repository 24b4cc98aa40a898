//! The blocks of a job on the local disk, and the room that they need there.

use std::path::{Path, PathBuf};

use bucket::{BucketError, DeletionMark, META_FILE, MarkKind as _, NoCompactMark, TenantBucket};
use futures::{StreamExt as _, TryStreamExt as _};
use ulid::Ulid;

use super::JobError;

/// Files of a block that a compaction does not need.
const NOT_NEEDED: [&str; 3] = [DeletionMark::FILE, NoCompactMark::FILE, "sparse-index-header"];

/// A block as it stands in the bucket.
pub(super) struct RemoteBlock {
    pub(super) id: Ulid,
    files: Vec<String>,
    pub(super) size_bytes: u64,
}

/// Lists the files of the blocks.
pub(super) async fn list(
    bucket: &TenantBucket,
    ids: impl Iterator<Item = Ulid>,
    concurrency: usize,
) -> Result<Vec<RemoteBlock>, JobError> {
    let lists = ids.map(|id| async move {
        let objects = bucket.bucket().list(&bucket.block(id).file("")).await?;
        let size_bytes = objects.iter().map(|object| object.size_bytes).sum();
        let mut files: Vec<String> = objects.into_iter().map(|object| object.key).collect();
        files.retain(|file| !NOT_NEEDED.contains(&file.as_str()));
        if !files.iter().any(|file| file == META_FILE) {
            let key = bucket.block(id).meta();
            return Err(BucketError::NotFound { operation: "list", key });
        }
        Ok(RemoteBlock { id, files, size_bytes })
    });
    let lists: Vec<_> = lists.collect();
    Ok(futures::stream::iter(lists).buffered(concurrency.max(1)).try_collect().await?)
}

/// Copies the blocks into `dir`, each into a directory of its id.
pub(super) async fn fetch(
    bucket: &TenantBucket,
    blocks: &[RemoteBlock],
    dir: &Path,
    concurrency: usize,
) -> Result<Vec<PathBuf>, JobError> {
    let files: Vec<(Ulid, &str)> = blocks
        .iter()
        .flat_map(|block| block.files.iter().map(|file| (block.id, file.as_str())))
        .collect();
    let copies = files.into_iter().map(|(id, file)| async move {
        let path = dir.join(id.to_string()).join(file);
        bucket.bucket().get_file(&bucket.block(id).file(file), &path).await
    });
    let copies: Vec<_> = copies.collect();
    futures::stream::iter(copies)
        .buffer_unordered(concurrency.max(1))
        .try_collect::<Vec<u64>>()
        .await?;
    Ok(blocks.iter().map(|block| dir.join(block.id.to_string())).collect())
}
