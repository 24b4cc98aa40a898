//! Caches before a bucket: lists, small objects and parts of chunk files are looked for there
//! first. Which objects, and for how long, follows from their keys, see `caching/kinds.rs`;
//! everything else goes to the bucket.
//!
//! What a cache does not have, or has wrong, is read from the bucket; what the bucket answers is
//! never changed by a cache that fails. Writes through the same bucket make its caches forget. The
//! times to live bound how long somebody else's change stays unseen.

mod kinds;
mod subranges;
mod values;

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use rt::Metrics;
use rt::metrics::CounterVec;

use crate::cache::{CacheKey, SharedCache};
use crate::{Bucket, BucketError, ObjectInfo};
use kinds::Kind;

/// Times to live of the metadata cache; zero switches a kind off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataTtls {
    /// The list of tenants.
    pub tenants_list: Duration,
    /// A tenant's list of blocks.
    pub tenant_blocks_list: Duration,
    /// That a meta file or mark is there.
    pub metafile_exists: Duration,
    /// That it is not there.
    pub metafile_doesnt_exist: Duration,
    /// What it holds.
    pub metafile_content: Duration,
    /// Larger ones are not kept, bytes.
    pub metafile_max_bytes: usize,
    /// Its size.
    pub metafile_attributes: Duration,
    /// The size of a block's index.
    pub block_index_attributes: Duration,
    /// A bucket index.
    pub bucket_index_content: Duration,
    /// Larger ones are not kept, bytes.
    pub bucket_index_max_bytes: usize,
}

/// How the chunks cache is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunksCaching {
    /// How long parts of chunk files are kept; zero switches the cache off.
    pub subrange_ttl: Duration,
    /// How long sizes of chunk files are kept.
    pub attributes_ttl: Duration,
    /// Requests that one read may be split into; 0 is any number.
    pub max_get_range_requests: usize,
}

/// The caches of one bucket.
pub struct BucketCaches {
    metadata: Option<(SharedCache, MetadataTtls)>,
    chunks: Option<Chunks>,
    metrics: CachingMetrics,
}

struct Chunks {
    cache: SharedCache,
    attributes: SharedCache,
    options: ChunksCaching,
}

#[derive(Clone)]
struct CachingMetrics {
    requests: CounterVec,
    hits: CounterVec,
}

impl BucketCaches {
    /// No caches yet.
    pub fn new(metrics: &Metrics) -> Self {
        let labels: &[&str] = &["operation", "config"];
        let metrics = CachingMetrics {
            requests: metrics.counter_vec(
                "thanos_store_bucket_cache_operation_requests_total",
                "Reads of the bucket that a cache was asked about.",
                labels,
            ),
            hits: metrics.counter_vec(
                "thanos_store_bucket_cache_operation_hits_total",
                "Reads of the bucket that a cache answered.",
                labels,
            ),
        };
        Self { metadata: None, chunks: None, metrics }
    }

    /// Lists and small objects are kept in `cache`.
    pub fn with_metadata(self, cache: SharedCache, ttls: MetadataTtls) -> Self {
        Self { metadata: Some((cache, ttls)), ..self }
    }

    /// Parts of chunk files are kept in `cache`, their sizes in `attributes`.
    pub fn with_chunks(
        self,
        cache: SharedCache,
        attributes: SharedCache,
        options: ChunksCaching,
    ) -> Self {
        Self { chunks: Some(Chunks { cache, attributes, options }), ..self }
    }

    pub(crate) async fn get(&self, bucket: &Bucket, key: &str) -> Result<Bytes, BucketError> {
        let Some((cache, kept)) = self.content_of(key) else { return bucket.read(key).await };
        let full = bucket.full_key(key);
        let (content, exists) = (CacheKey::new("get", &full), CacheKey::new("exists", &full));
        let found = cache.get_multi(&[content.clone(), exists.clone()]).await;
        let open =
            |i: usize, key| found.get(i)?.as_ref().and_then(|value| values::open(key, value));
        let is_missing = !kept.missing.is_zero() && open(1, &exists).as_deref() == Some(ABSENT);
        let held = if kept.content.is_zero() { None } else { open(0, &content) };
        self.metrics.asked("get", kept.config, held.is_some() || is_missing);
        if let Some(held) = held {
            return Ok(held);
        }
        if is_missing {
            return Err(BucketError::NotFound { operation: "get", key: key.to_owned() });
        }
        let result = bucket.read(key).await;
        match &result {
            Ok(data) => {
                if data.len() <= kept.max_bytes {
                    values::put(cache, &content, data, kept.content);
                }
                values::put(cache, &exists, PRESENT, kept.existing);
            }
            Err(error) if error.is_not_found() => {
                values::put(cache, &exists, ABSENT, kept.missing);
            }
            Err(_) => {}
        }
        result
    }

    pub(crate) async fn exists(&self, bucket: &Bucket, key: &str) -> Result<bool, BucketError> {
        let Some((cache, ttls)) = &self.metadata else { return bucket.read_exists(key).await };
        if Kind::of(key) != Kind::Metafile {
            return bucket.read_exists(key).await;
        }
        let cached = CacheKey::new("exists", &bucket.full_key(key));
        let held = values::get(cache, &cached).await;
        let answer = match held.as_deref() {
            Some(PRESENT) if !ttls.metafile_exists.is_zero() => Some(true),
            Some(ABSENT) if !ttls.metafile_doesnt_exist.is_zero() => Some(false),
            _ => None,
        };
        self.metrics.asked("exists", "metafile", answer.is_some());
        if let Some(answer) = answer {
            return Ok(answer);
        }
        let exists = bucket.read_exists(key).await?;
        match exists {
            true => values::put(cache, &cached, PRESENT, ttls.metafile_exists),
            false => values::put(cache, &cached, ABSENT, ttls.metafile_doesnt_exist),
        }
        Ok(exists)
    }

    pub(crate) async fn info(&self, bucket: &Bucket, key: &str) -> Result<ObjectInfo, BucketError> {
        let Some((cache, config, ttl)) = self.attributes_of(key) else {
            return bucket.read_info(key).await;
        };
        let cached = CacheKey::new("attrs", &bucket.full_key(key));
        let held = values::get(cache, &cached).await;
        let info = held.and_then(|value| values::decode_info(key, &value));
        self.metrics.asked("attributes", config, info.is_some());
        if let Some(info) = info {
            return Ok(info);
        }
        let info = bucket.read_info(key).await?;
        values::put(cache, &cached, &values::encode_info(&info), ttl);
        Ok(info)
    }

    pub(crate) async fn list_dirs(
        &self,
        bucket: &Bucket,
        prefix: &str,
    ) -> Result<Vec<String>, BucketError> {
        let Some((cache, ttls)) = &self.metadata else { return bucket.read_dirs(prefix).await };
        let (config, ttl) = match prefix {
            "" => ("tenants-iter", ttls.tenants_list),
            tenant if !tenant.contains('/') => ("tenant-blocks-iter", ttls.tenant_blocks_list),
            _ => return bucket.read_dirs(prefix).await,
        };
        if ttl.is_zero() {
            return bucket.read_dirs(prefix).await;
        }
        let cached = CacheKey::new("iter", &bucket.full_key(prefix));
        let held = values::get(cache, &cached).await;
        let names = held.and_then(|value| values::decode_names(&value));
        self.metrics.asked("iter", config, names.is_some());
        if let Some(names) = names {
            return Ok(names);
        }
        let names = bucket.read_dirs(prefix).await?;
        // That there is nothing is not kept: the first thing there must be seen at once.
        if !names.is_empty() {
            values::put(cache, &cached, &values::encode_names(&names), ttl);
        }
        Ok(names)
    }

    pub(crate) async fn get_range(
        &self,
        bucket: &Bucket,
        key: &str,
        range: Range<u64>,
    ) -> Result<Bytes, BucketError> {
        match &self.chunks {
            Some(chunks) if Kind::of(key) == Kind::ChunkFile => {
                let read = subranges::Read { bucket, key, chunks, metrics: &self.metrics };
                read.range(range, self).await
            }
            _ => bucket.read_range(key, range).await,
        }
    }

    /// Forgets everything about an object that was written or deleted.
    pub(crate) async fn forget(&self, bucket: &Bucket, key: &str) {
        let full = bucket.full_key(key);
        if let Some((cache, _)) = self.content_of(key) {
            cache.delete(&CacheKey::new("get", &full)).await;
            cache.delete(&CacheKey::new("exists", &full)).await;
        }
        if let Some((cache, ..)) = self.attributes_of(key) {
            cache.delete(&CacheKey::new("attrs", &full)).await;
        }
    }

    /// Where the content of an object is kept, and for how long.
    fn content_of(&self, key: &str) -> Option<(&SharedCache, Kept)> {
        let (cache, ttls) = self.metadata.as_ref()?;
        let kept = match Kind::of(key) {
            Kind::Metafile => Kept {
                config: "metafile",
                content: ttls.metafile_content,
                existing: ttls.metafile_exists,
                missing: ttls.metafile_doesnt_exist,
                max_bytes: ttls.metafile_max_bytes,
            },
            Kind::BucketIndex if !ttls.bucket_index_content.is_zero() => Kept {
                config: "bucket-index",
                content: ttls.bucket_index_content,
                existing: Duration::ZERO,
                missing: Duration::ZERO,
                max_bytes: ttls.bucket_index_max_bytes,
            },
            _ => return None,
        };
        Some((cache, kept))
    }

    /// Where the size of an object is kept, and for how long.
    fn attributes_of(&self, key: &str) -> Option<(&SharedCache, &'static str, Duration)> {
        let found = match (Kind::of(key), &self.metadata, &self.chunks) {
            (Kind::ChunkFile, _, Some(chunks)) => {
                (&chunks.attributes, "chunks", chunks.options.attributes_ttl)
            }
            (Kind::Metafile, Some((cache, ttls)), _) => {
                (cache, "metafile", ttls.metafile_attributes)
            }
            (Kind::BlockIndex, Some((cache, ttls)), _) => {
                (cache, "block-index", ttls.block_index_attributes)
            }
            _ => return None,
        };
        (!found.2.is_zero()).then_some(found)
    }
}

const PRESENT: &[u8] = b"1";
const ABSENT: &[u8] = b"0";

/// How long what is known of an object's content is kept.
struct Kept {
    config: &'static str,
    content: Duration,
    existing: Duration,
    missing: Duration,
    max_bytes: usize,
}

impl CachingMetrics {
    fn asked(&self, operation: &str, config: &str, is_hit: bool) {
        let labels = &[operation, config];
        self.requests.with(labels).inc();
        if is_hit {
            self.hits.with(labels).inc();
        }
    }
}

#[cfg(test)]
mod tests;
