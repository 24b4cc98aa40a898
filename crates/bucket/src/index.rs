//! The bucket index: one object that lists a tenant's complete blocks and deletion marks, so that
//! readers need not iterate over the bucket. The format is version 2 of Mimir's.
//!
//! ```json
//! {"version":2,"updated_at":<s>,
//!  "blocks":[{"block_id":"<ULID>","min_time":<ms>,"max_time":<ms>,"segments_format":"1b6d",
//!    "segments_num":3,"uploaded_at":<s>,"compactor_shard_id":"1_of_4","source":"compactor",
//!    "compaction_level":3,"out_of_order":true,"labels":{}}],
//!  "block_deletion_marks":[{"block_id":"<ULID>","deletion_time":<s>}]}
//! ```

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::conditional::{Conditional, Expected, ObjectVersion};
use crate::{BucketError, TenantBucket};

/// The object, below the tenant.
pub const BUCKET_INDEX_FILE: &str = "bucket-index.json.gz";

const VERSION: u32 = 2;
/// An index that is larger when it is unpacked is refused, bytes.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;

/// The blocks of a tenant at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BucketIndex {
    /// 2.
    pub version: u32,
    /// When it was written, seconds since the epoch.
    pub updated_at: i64,
    /// Complete blocks, also those that are marked for deletion.
    #[serde(default, deserialize_with = "null_is_default")]
    pub blocks: Vec<IndexedBlock>,
    /// Marks for deletion.
    #[serde(default, deserialize_with = "null_is_default")]
    pub block_deletion_marks: Vec<BlockDeletionMark>,
}

/// A complete block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedBlock {
    /// The block.
    #[serde(rename = "block_id", with = "ulid_text")]
    pub id: Ulid,
    /// Start of its range, ms, inclusive.
    #[serde(rename = "min_time")]
    pub min_time_ms: i64,
    /// End of its range, ms, exclusive.
    #[serde(rename = "max_time")]
    pub max_time_ms: i64,
    /// How its chunk files are called.
    #[serde(default, skip_serializing_if = "SegmentsFormat::is_unknown")]
    pub segments_format: SegmentsFormat,
    /// How many chunk files it has, where the format is known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub segments_num: u32,
    /// When its `meta.json` was written, seconds since the epoch.
    pub uploaded_at: i64,
    /// Which shard it is, for example `1_of_4`; empty = not split.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub compactor_shard_id: String,
    /// Which component made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// How often it was compacted; 1 = not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compaction_level: u32,
    /// Whether all of its samples came out of order.
    #[serde(default, skip_serializing_if = "is_false")]
    pub out_of_order: bool,
    /// External labels.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub labels: BTreeMap<String, String>,
}

/// How the chunk files of a block are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SegmentsFormat {
    /// Not known.
    #[default]
    #[serde(rename = "")]
    Unknown,
    /// `000001` and so on without a gap.
    #[serde(rename = "1b6d")]
    OneBasedSixDigits,
}

impl SegmentsFormat {
    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// Format and number of the chunk files with these names (without directory).
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> (Self, u32) {
        let mut count = 0;
        for name in names {
            count += 1;
            if name != format!("{count:06}") {
                return (Self::Unknown, 0);
            }
        }
        if count == 0 { (Self::Unknown, 0) } else { (Self::OneBasedSixDigits, count) }
    }
}

/// A block is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDeletionMark {
    /// The block.
    #[serde(rename = "block_id", with = "ulid_text")]
    pub id: Ulid,
    /// Since when, seconds since the epoch.
    pub deletion_time: i64,
}

impl BucketIndex {
    /// An index without a block.
    pub fn empty(updated_at: i64) -> Self {
        Self { version: VERSION, updated_at, ..Self::default() }
    }

    /// Reads the content of the object. A version that is not known is an error: the index must
    /// be made anew.
    pub fn decode(gzipped: &[u8]) -> Result<Self, String> {
        let mut json = Vec::new();
        let mut reader = GzDecoder::new(gzipped).take(MAX_UNPACKED_BYTES + 1);
        reader
            .read_to_end(&mut json)
            .map_err(|error| format!("bucket index is corrupted: {error}"))?;
        if json.len() as u64 > MAX_UNPACKED_BYTES {
            return Err("bucket index is too large".to_owned());
        }
        let index: Self = serde_json::from_slice(&json)
            .map_err(|error| format!("bucket index is corrupted: {error}"))?;
        if index.version != VERSION {
            return Err(format!("bucket index has unsupported version {}", index.version));
        }
        Ok(index)
    }

    /// The content of the object.
    pub fn encode(&self) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let json = serde_json::to_vec(self).expect("an index has only plain fields");
        gzip.write_all(&json).expect("writing to memory cannot fail");
        gzip.finish().expect("writing to memory cannot fail")
    }
}

impl TenantBucket {
    /// The tenant's bucket index; `None` where there is none.
    pub async fn bucket_index(&self) -> Result<Option<BucketIndex>, BucketError> {
        let key = self.bucket_index_key();
        let bytes = match self.bucket().get(&key).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let malformed = |reason| BucketError::Malformed { key, reason };
        BucketIndex::decode(&bytes).map(Some).map_err(malformed)
    }

    /// Which version of the tenant's bucket index stands there; `None` where there is none. Caches
    /// are not asked.
    pub async fn bucket_index_version(&self) -> Result<Option<ObjectVersion>, BucketError> {
        match self.bucket().get_versioned(&self.bucket_index_key()).await {
            Ok(found) => Ok(Some(found.version)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the tenant's bucket index if it is still the one that was `seen` before `index`
    /// was made. Otherwise it fails with [`BucketError::Conflict`]: `index` is to be made anew,
    /// for what it does not know of stands in the other. On a storage that knows no condition the
    /// index is simply replaced.
    pub async fn put_bucket_index_if(
        &self,
        index: &BucketIndex,
        seen: Option<&ObjectVersion>,
    ) -> Result<(), BucketError> {
        let (key, data) = (self.bucket_index_key(), Bytes::from(index.encode()));
        let expected = seen.map_or(Expected::Absent, Expected::Version);
        match self.bucket().put_if(&key, data.clone(), expected).await {
            Ok(_) => Ok(()),
            // It was there, and now it is not.
            Err(error) if error.is_not_found() => {
                Err(BucketError::Conflict { operation: "upload", key })
            }
            Err(error) if error.is_not_implemented() => {
                tracing::warn!(%error, "the storage cannot write on a condition");
                self.bucket().put(&key, data).await
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces the tenant's bucket index, whatever stands there.
    pub async fn put_bucket_index(&self, index: &BucketIndex) -> Result<(), BucketError> {
        self.bucket().put(&self.bucket_index_key(), index.encode().into()).await
    }

    /// Removes the tenant's bucket index.
    pub async fn delete_bucket_index(&self) -> Result<(), BucketError> {
        self.bucket().delete(&self.bucket_index_key()).await
    }

    /// The tenant's bucket index and its entity tag, unless the tag is still `known`: then the
    /// index is left out. `None` where there is none.
    pub(crate) async fn bucket_index_if_changed(
        &self,
        known: Option<&str>,
    ) -> Result<Option<(Option<BucketIndex>, Option<String>)>, BucketError> {
        let key = self.bucket_index_key();
        match self.bucket().get_if_changed(&key, known).await {
            Ok(Conditional::Unchanged) => Ok(Some((None, None))),
            Ok(Conditional::Changed(bytes, tag)) => {
                let malformed = |reason| BucketError::Malformed { key, reason };
                let index = BucketIndex::decode(&bytes).map_err(malformed)?;
                Ok(Some((Some(index), tag)))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the tenant's bucket index stands.
    pub(crate) fn bucket_index_key(&self) -> String {
        format!("{}/{BUCKET_INDEX_FILE}", self.tenant())
    }
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(b: &bool) -> bool {
    !b
}

/// Go writes empty lists and maps as `null`.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

mod ulid_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use ulid::Ulid;

    pub(super) fn serialize<S: Serializer>(id: &Ulid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Ulid, D::Error> {
        let text = String::deserialize(d)?;
        Ulid::from_string(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tenant_bucket;
    use serde_json::json;

    fn block() -> IndexedBlock {
        IndexedBlock {
            id: Ulid(7),
            min_time_ms: 10,
            max_time_ms: 20,
            segments_format: SegmentsFormat::OneBasedSixDigits,
            segments_num: 3,
            uploaded_at: 1_700_000_000,
            compactor_shard_id: "1_of_4".to_owned(),
            source: "compactor".to_owned(),
            compaction_level: 3,
            out_of_order: true,
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn the_json_is_mimirs() {
        let mark = BlockDeletionMark { id: Ulid(8), deletion_time: 6 };
        let index = BucketIndex {
            blocks: vec![block()],
            block_deletion_marks: vec![mark],
            ..BucketIndex::empty(5)
        };
        let want = json!({
            "version": 2, "updated_at": 5,
            "blocks": [{
                "block_id": "00000000000000000000000007", "min_time": 10, "max_time": 20,
                "segments_format": "1b6d", "segments_num": 3, "uploaded_at": 1_700_000_000,
                "compactor_shard_id": "1_of_4", "source": "compactor", "compaction_level": 3,
                "out_of_order": true,
            }],
            "block_deletion_marks": [
                {"block_id": "00000000000000000000000008", "deletion_time": 6}
            ],
        });
        assert_eq!(serde_json::to_value(&index).unwrap(), want);
        assert_eq!(BucketIndex::decode(&index.encode()).unwrap(), index);
    }

    #[test]
    fn what_go_leaves_out_or_writes_as_null_is_read() {
        let json = json!({
            "version": 2, "updated_at": 5, "block_deletion_marks": null,
            "blocks": [{
                "block_id": "00000000000000000000000007", "min_time": 1, "max_time": 2,
                "uploaded_at": 3, "labels": null,
            }],
        });
        let index: BucketIndex = serde_json::from_value(json).unwrap();
        assert_eq!(index.blocks[0].segments_format, SegmentsFormat::Unknown);
        assert!(index.block_deletion_marks.is_empty());
    }

    #[test]
    fn other_versions_and_broken_objects_are_refused() {
        let old = BucketIndex { version: 1, ..BucketIndex::empty(5) };
        assert!(BucketIndex::decode(&old.encode()).unwrap_err().contains("version 1"));
        let good = BucketIndex::empty(5).encode();
        for length in 0..good.len() {
            assert!(BucketIndex::decode(&good[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn segment_names_have_a_format_when_none_is_missing() {
        let known = SegmentsFormat::OneBasedSixDigits;
        assert_eq!(SegmentsFormat::of(["000001", "000002"]), (known, 2));
        assert_eq!(SegmentsFormat::of(["000001", "000003"]), (SegmentsFormat::Unknown, 0));
        assert_eq!(SegmentsFormat::of([]), (SegmentsFormat::Unknown, 0));
    }

    #[tokio::test]
    async fn an_index_is_written_read_and_removed() {
        let bucket = tenant_bucket();
        assert_eq!(bucket.bucket_index().await.unwrap(), None);
        let index = BucketIndex { blocks: vec![block()], ..BucketIndex::empty(5) };
        bucket.put_bucket_index(&index).await.unwrap();
        assert_eq!(bucket.bucket_index().await.unwrap(), Some(index));
        bucket.delete_bucket_index().await.unwrap();
        assert_eq!(bucket.bucket_index().await.unwrap(), None);
    }
}
