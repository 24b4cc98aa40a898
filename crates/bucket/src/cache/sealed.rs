//! What stands in a cache that others can write to: a checksum over key and content, then the
//! content, so that a cache that answers with something else is found out and its answer is a
//! miss. Used by this crate's cached buckets and by the store-gateway's index cache.
//!
//! ```text
//! +----------------+-----------------+
//! | xxHash64 (8 B) | content         |   the hash is over the key, a zero byte and the content
//! +----------------+-----------------+
//! ```

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use xxhash_rust::xxh64::Xxh64;

use super::{CacheKey, SharedCache};

const HASH_BYTES: usize = 8;

/// Keeps `content`, unless the time is zero.
pub fn put(cache: &SharedCache, key: &CacheKey, content: &[u8], ttl: Duration) {
    if ttl.is_zero() {
        return;
    }
    let mut value = BytesMut::with_capacity(HASH_BYTES + content.len());
    value.put_u64_le(hash(key, content));
    value.put_slice(content);
    cache.set(key, value.freeze(), ttl);
}

/// The content, if it is there and right.
pub async fn get(cache: &SharedCache, key: &CacheKey) -> Option<Bytes> {
    let value = cache.get(key).await?;
    open(key, &value)
}

/// The content of a cached value, if it is right.
pub fn open(key: &CacheKey, value: &Bytes) -> Option<Bytes> {
    let (stored, content) = value.split_first_chunk::<HASH_BYTES>()?;
    let is_right = u64::from_le_bytes(*stored) == hash(key, content);
    is_right.then(|| value.slice(HASH_BYTES..))
}

fn hash(key: &CacheKey, content: &[u8]) -> u64 {
    let mut hash = Xxh64::new(0);
    hash.update(key.as_str().as_bytes());
    hash.update(&[0]);
    hash.update(content);
    hash.digest()
}
