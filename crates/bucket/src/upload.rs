//! Uploading a block: chunks and index first, `meta.json` last, so that a block that can be seen is
//! whole. Doing it again after a crash is safe: every object is written as a whole.

use std::path::Path;

use bytes::Bytes;
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
/// from the local one by its `thanos` section); it is asked for when all other files are there.
pub async fn upload_block(
    bucket: &TenantBucket,
    id: Ulid,
    dir: &Path,
    meta_json: impl FnOnce(&[UploadedFile]) -> Result<Bytes, BucketError>,
) -> Result<(), BucketError> {
    let paths = bucket.block(id);
    let mut files = Vec::new();
    for relative_path in block_files(bucket.bucket(), dir).await? {
        let file = dir.join(&relative_path);
        let key = paths.file(&relative_path);
        let size_bytes = bucket.bucket().put_file(&key, &file).await?;
        files.push(UploadedFile { relative_path, size_bytes });
    }
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
