//! Deletion marks: small JSON objects that say since when a block is to be deleted. They stand in
//! the block and, as a copy, below the tenant's `markers/`.

use bucket::{BucketError, TenantBucket};
use futures::{StreamExt as _, TryStreamExt as _};
use model::TimestampMs;
use serde::Deserialize;
use ulid::Ulid;

use crate::listing::Marks;

/// The mark in a block's directory.
const BLOCK_MARK_FILE: &str = "deletion-mark.json";
/// The end of the name of its copy; the block's id stands before it.
const TENANT_MARK_SUFFIX: &str = "-deletion-mark.json";
/// So many marks of one tenant are fetched at the same time.
const CONCURRENT_MARKS: usize = 16;

#[derive(Deserialize)]
struct DeletionMark {
    version: u32,
    /// Seconds since the epoch.
    deletion_time: i64,
}

/// The marks below `markers/`. Those in `known` are not fetched again: marks do not change.
pub(crate) async fn tenant_marks(
    bucket: &TenantBucket,
    known: &Marks,
) -> Result<Marks, BucketError> {
    let dir = format!("{}/markers", bucket.tenant());
    let objects = bucket.bucket().list(&dir).await?;
    let ids = objects.iter().filter_map(|object| {
        let id = object.key.strip_suffix(TENANT_MARK_SUFFIX)?;
        Ulid::from_string(id).ok().map(|id| (id, format!("{dir}/{}", object.key)))
    });
    let fetches = ids.map(|(id, key)| async move {
        match known.get(&id) {
            Some(&marked_at) => Ok(Some((id, marked_at))),
            None => Ok(fetch(bucket, &key).await?.map(|marked_at| (id, marked_at))),
        }
    });
    let fetches: Vec<_> = fetches.collect();
    let marks = futures::stream::iter(fetches).buffer_unordered(CONCURRENT_MARKS);
    marks.try_filter_map(|mark| std::future::ready(Ok(mark))).try_collect().await
}

/// The mark in the block itself.
pub(crate) async fn block_mark(
    bucket: &TenantBucket,
    id: Ulid,
) -> Result<Option<TimestampMs>, BucketError> {
    fetch(bucket, &bucket.block(id).file(BLOCK_MARK_FILE)).await
}

/// When the mark was set. A mark that cannot be understood is none: the block stays in use.
async fn fetch(bucket: &TenantBucket, key: &str) -> Result<Option<TimestampMs>, BucketError> {
    let json = match bucket.bucket().get(key).await {
        Ok(json) => json,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice::<DeletionMark>(&json) {
        Ok(mark) if mark.version == 1 => Ok(Some(mark.deletion_time.saturating_mul(1000))),
        Ok(mark) => {
            tracing::warn!(key, version = mark.version, "deletion mark has an unknown version");
            Ok(None)
        }
        Err(error) => {
            tracing::warn!(key, %error, "deletion mark is malformed");
            Ok(None)
        }
    }
}
