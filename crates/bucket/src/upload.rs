//! Uploading a block: chunks and index first, `meta.json` last, so that a block that can be seen is
//! whole. Doing it again after a crash is safe: every object is written as a whole.

use std::path::Path;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use ulid::Ulid;

use crate::{Bucket, BucketError, META_FILE, TenantBucket};

/// A file of a block, as the `thanos` section of `meta.json` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedFile {
    /// Relative to the block's directory.
    pub relative_path: String,
    /// Its size.
    pub size_bytes: u64,
}

/// Uploads the block in `dir`. `meta_json` is what stands as `meta.json` in the bucket (it differs
/// from the local one by its `thanos` section); it is asked for when all other files are there,
/// of which `concurrency` are uploaded at the same time.
pub async fn upload_block(
    bucket: &TenantBucket,
    (id, dir): (Ulid, &Path),
    concurrency: usize,
    meta_json: impl FnOnce(&[UploadedFile]) -> Result<Bytes, BucketError>,
) -> Result<(), BucketError> {
    let paths = bucket.block(id);
    let put = |relative_path: String| {
        let (file, key) = (dir.join(&relative_path), paths.file(&relative_path));
        async move {
            let size_bytes = bucket.bucket().put_file(&key, &file).await?;
            Ok::<_, BucketError>(UploadedFile { relative_path, size_bytes })
        }
    };
    let puts: Vec<_> = block_files(bucket.bucket(), dir).await?.into_iter().map(put).collect();
    let puts = futures::stream::iter(puts).buffered(concurrency.max(1));
    let files: Vec<UploadedFile> = puts.try_collect().await?;
    bucket.bucket().put(&paths.meta(), meta_json(&files)?).await
}

/// The files that a block in a bucket consists of besides `meta.json`: chunk segments in order,
/// then the index. Tombstones stay local, as in Mimir.
async fn block_files(bucket: &Bucket, dir: &Path) -> Result<Vec<String>, BucketError> {
    let chunks = dir.join("chunks");
    let names = bucket.files().names(&chunks).await;
    let names = names.map_err(|source| BucketError::LocalFile { path: chunks, source })?;
    let mut files: Vec<String> = names.iter().map(|name| format!("chunks/{name}")).collect();
    files.push("index".to_owned());
    debug_assert!(!files.iter().any(|file| file == META_FILE));
    Ok(files)
}

#[cfg(test)]
mod tests;
