//! Removing a block from the bucket so that a crash at any point leaves something that the next
//! round removes: `meta.json` first, so that no reader takes it for whole; its marks last.

use bucket::{BucketError, DeletionMark, META_FILE, MarkKind as _, NoCompactMark, TenantBucket};
use ulid::Ulid;

/// Removes a block and its marks.
pub(super) async fn block(bucket: &TenantBucket, id: Ulid) -> Result<(), BucketError> {
    let paths = bucket.block(id);
    bucket.bucket().delete(&paths.meta()).await?;
    for object in bucket.bucket().list(&paths.file("")).await? {
        if object.key != META_FILE && object.key != DeletionMark::FILE {
            bucket.bucket().delete(&paths.file(&object.key)).await?;
        }
    }
    bucket.delete_mark_copy::<NoCompactMark>(id).await?;
    bucket.delete_mark::<DeletionMark>(id).await
}
