//! Marks: small JSON objects that say that a block is to be deleted or not to be compacted, or
//! that a tenant is to be deleted.
//!
//! A block's mark stands in the block and, as a copy, below the tenant's `markers/`, where one
//! listing finds all of them. The block's own is written first, the copy is removed last: who
//! finds the copy can rely on the mark. The formats are Mimir's.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use model::TimestampMs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use ulid::Ulid;

use crate::{BucketError, TenantBucket};

/// The version of all marks.
const VERSION: u32 = 1;
/// So many marks of one tenant are fetched at the same time.
const CONCURRENT_MARKS: usize = 16;
/// Where the tenant's own mark stands, below the tenant.
const TENANT_MARK: &str = "markers/tenant-deletion-mark.json";

/// A kind of mark.
pub trait MarkKind: Serialize + DeserializeOwned + Clone + Send {
    /// The name of the object in a block's directory.
    const FILE: &'static str;

    /// The block, and the version of the format.
    fn id_and_version(&self) -> (&str, u32);
}

/// A block is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionMark {
    /// The block.
    pub id: String,
    /// 1.
    pub version: u32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, seconds since the epoch.
    pub deletion_time: i64,
}

impl DeletionMark {
    /// A mark set at `now_ms`.
    pub fn new(id: Ulid, now_ms: TimestampMs, details: &str) -> Self {
        let (id, details) = (id.to_string(), details.to_owned());
        Self { id, version: VERSION, details, deletion_time: now_ms.div_euclid(1000) }
    }
}

impl MarkKind for DeletionMark {
    const FILE: &'static str = "deletion-mark.json";

    fn id_and_version(&self) -> (&str, u32) {
        (&self.id, self.version)
    }
}

/// Why a block is not to be compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoCompactReason {
    /// A person said so.
    Manual,
    /// The index of what it would become would be too large.
    IndexSizeExceeding,
    /// It has chunks that are out of order.
    BlockIndexOutOfOrderChunk,
    /// Its compaction fails.
    Critical,
    /// The table of postings offsets of what it would become would be too large.
    PostingsOffsetTableTooLarge,
    /// A reason that is not known here.
    #[serde(other)]
    Other,
}

impl NoCompactReason {
    /// The reason as marks and metrics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::IndexSizeExceeding => "index-size-exceeding",
            Self::BlockIndexOutOfOrderChunk => "block-index-out-of-order-chunk",
            Self::Critical => "critical",
            Self::PostingsOffsetTableTooLarge => "postings-offset-table-too-large",
            Self::Other => "other",
        }
    }
}

/// A block is not to be compacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoCompactMark {
    /// The block.
    pub id: String,
    /// 1.
    pub version: u32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, seconds since the epoch.
    pub no_compact_time: i64,
    /// Why.
    pub reason: NoCompactReason,
}

impl NoCompactMark {
    /// A mark set at `now_ms`.
    pub fn new(id: Ulid, now_ms: TimestampMs, (reason, details): (NoCompactReason, &str)) -> Self {
        let (id, details) = (id.to_string(), details.to_owned());
        Self { id, version: VERSION, details, no_compact_time: now_ms.div_euclid(1000), reason }
    }
}

impl MarkKind for NoCompactMark {
    const FILE: &'static str = "no-compact-mark.json";

    fn id_and_version(&self) -> (&str, u32) {
        (&self.id, self.version)
    }
}

/// All of a tenant's data is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantDeletionMark {
    /// When that was asked for, seconds since the epoch.
    pub deletion_time: i64,
    /// When the last block was deleted, seconds since the epoch; 0 = not yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub finished_time: i64,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// Marks of one kind by block.
pub type BlockMarks<M> = HashMap<Ulid, M>;

impl TenantBucket {
    /// The marks below `markers/`. Those in `known` are not fetched again: marks do not change.
    /// A mark that cannot be understood is logged and is none.
    pub async fn marks<M: MarkKind>(
        &self,
        known: &BlockMarks<M>,
    ) -> Result<BlockMarks<M>, BucketError> {
        let dir = format!("{}/markers", self.tenant());
        let objects = self.bucket().list(&dir).await?;
        let ids = objects.iter().filter_map(|object| {
            let id = object.key.strip_suffix(M::FILE)?.strip_suffix('-')?;
            Ulid::from_string(id).ok().map(|id| (id, format!("{dir}/{}", object.key)))
        });
        let fetches: Vec<_> = ids
            .map(|(id, key)| async move {
                if let Some(mark) = known.get(&id) {
                    return Ok(Some((id, mark.clone())));
                }
                Ok(self.fetch_mark(id, &key).await?.map(|mark| (id, mark)))
            })
            .collect();
        let marks = futures::stream::iter(fetches).buffer_unordered(CONCURRENT_MARKS);
        marks.try_filter_map(|mark| std::future::ready(Ok(mark))).try_collect().await
    }

    /// The mark in the block itself.
    pub async fn block_mark<M: MarkKind>(&self, id: Ulid) -> Result<Option<M>, BucketError> {
        self.fetch_mark(id, &self.block(id).file(M::FILE)).await
    }

    /// Sets a mark: in the block, then its copy.
    pub async fn put_mark<M: MarkKind>(&self, id: Ulid, mark: &M) -> Result<(), BucketError> {
        let json = Bytes::from(serde_json::to_vec(mark).expect("a mark has only plain fields"));
        self.bucket().put(&self.block(id).file(M::FILE), json.clone()).await?;
        self.bucket().put(&self.mark_copy::<M>(id), json).await
    }

    /// Removes a mark: its copy last.
    pub async fn delete_mark<M: MarkKind>(&self, id: Ulid) -> Result<(), BucketError> {
        self.bucket().delete(&self.block(id).file(M::FILE)).await?;
        self.delete_mark_copy::<M>(id).await
    }

    /// Removes the copy of a mark below `markers/`.
    pub async fn delete_mark_copy<M: MarkKind>(&self, id: Ulid) -> Result<(), BucketError> {
        self.bucket().delete(&self.mark_copy::<M>(id)).await
    }

    /// The tenant's own mark.
    pub async fn tenant_deletion_mark(&self) -> Result<Option<TenantDeletionMark>, BucketError> {
        let key = format!("{}/{TENANT_MARK}", self.tenant());
        match self.bucket().get(&key).await {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|error| BucketError::Malformed { key, reason: error.to_string() }),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the tenant's own mark.
    pub async fn put_tenant_deletion_mark(
        &self,
        mark: TenantDeletionMark,
    ) -> Result<(), BucketError> {
        let json = serde_json::to_vec(&mark).expect("a mark has only plain fields");
        self.bucket().put(&format!("{}/{TENANT_MARK}", self.tenant()), json.into()).await
    }

    fn mark_copy<M: MarkKind>(&self, id: Ulid) -> String {
        format!("{}/markers/{id}-{}", self.tenant(), M::FILE)
    }

    async fn fetch_mark<M: MarkKind>(&self, id: Ulid, key: &str) -> Result<Option<M>, BucketError> {
        let json = match self.bucket().get(key).await {
            Ok(json) => json,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice::<M>(&json) {
            Ok(mark) if mark.id_and_version() == (id.to_string().as_str(), VERSION) => {
                Ok(Some(mark))
            }
            Ok(mark) => {
                let (of, version) = mark.id_and_version();
                tracing::warn!(key, of, version, "mark is of another block or version, ignored");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(key, %error, "mark is malformed, ignored");
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tenant_bucket;
    use serde_json::json;

    #[test]
    fn marks_have_mimirs_format() {
        let id = Ulid(7);
        let mark = DeletionMark::new(id, 1_700_000_000_999, "");
        let want = json!({"id": "00000000000000000000000007", "version": 1, "deletion_time": 1_700_000_000});
        assert_eq!(serde_json::to_value(&mark).unwrap(), want);
        let reason = (NoCompactReason::BlockIndexOutOfOrderChunk, "why");
        let mark = NoCompactMark::new(id, 5000, reason);
        let want = json!({
            "id": "00000000000000000000000007", "version": 1, "details": "why",
            "no_compact_time": 5, "reason": "block-index-out-of-order-chunk",
        });
        assert_eq!(serde_json::to_value(&mark).unwrap(), want);
        let unknown = json!({"id": "x", "version": 1, "no_compact_time": 5, "reason": "new"});
        let mark: NoCompactMark = serde_json::from_value(unknown).unwrap();
        assert_eq!(mark.reason, NoCompactReason::Other);
        for reason in [
            NoCompactReason::Manual,
            NoCompactReason::IndexSizeExceeding,
            NoCompactReason::BlockIndexOutOfOrderChunk,
            NoCompactReason::Critical,
            NoCompactReason::PostingsOffsetTableTooLarge,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[tokio::test]
    async fn marks_stand_in_both_places_and_go_from_both() {
        let bucket = tenant_bucket();
        let (id, other) = (Ulid(7), Ulid(8));
        let mark = DeletionMark::new(id, 1_700_000_000_000, "compacted");
        bucket.put_mark(id, &mark).await.unwrap();
        let copies = bucket.marks::<DeletionMark>(&BlockMarks::new()).await.unwrap();
        assert_eq!(copies, [(id, mark.clone())].into());
        assert_eq!(bucket.block_mark::<DeletionMark>(id).await.unwrap(), Some(mark));
        assert_eq!(bucket.block_mark::<DeletionMark>(other).await.unwrap(), None);
        assert!(bucket.marks::<NoCompactMark>(&BlockMarks::new()).await.unwrap().is_empty());
        bucket.delete_mark::<DeletionMark>(id).await.unwrap();
        assert!(bucket.marks::<DeletionMark>(&BlockMarks::new()).await.unwrap().is_empty());
        assert_eq!(bucket.block_mark::<DeletionMark>(id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_mark_is_left_out() {
        let bucket = tenant_bucket();
        let id = Ulid(7);
        let put = |key: String, json: &str| {
            let (bucket, json) = (bucket.clone(), Bytes::from(json.to_owned()));
            async move { bucket.bucket().put(&key, json).await.unwrap() }
        };
        put(format!("t/markers/{id}-deletion-mark.json"), "{").await;
        let of_other = r#"{"id":"x","version":1,"deletion_time":1}"#;
        put(format!("t/markers/{}-deletion-mark.json", Ulid(8)), of_other).await;
        put("t/markers/tenant-deletion-mark.json".to_owned(), r#"{"deletion_time":5}"#).await;
        assert!(bucket.marks::<DeletionMark>(&BlockMarks::new()).await.unwrap().is_empty());
        let mark = bucket.tenant_deletion_mark().await.unwrap().unwrap();
        assert_eq!(mark, TenantDeletionMark { deletion_time: 5, finished_time: 0 });
    }
}
