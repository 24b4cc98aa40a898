//! What stands in a cache: a checksum over key and content, then the content, so that a cache that
//! answers with something else is found out and its answer is a miss.
//!
//! ```text
//! +----------------+-----------------+
//! | xxHash64 (8 B) | content         |   the hash is over the key, a zero byte and the content
//! +----------------+-----------------+
//! ```

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use xxhash_rust::xxh64::Xxh64;

use crate::ObjectInfo;
use crate::cache::{CacheKey, SharedCache};

const HASH_BYTES: usize = 8;
/// Names of a list are kept one a line; no key holds a line's end.
const SEPARATOR: char = '\n';

/// Keeps `content`, unless the time is zero.
pub(super) fn put(cache: &SharedCache, key: &CacheKey, content: &[u8], ttl: Duration) {
    if ttl.is_zero() {
        return;
    }
    let mut value = BytesMut::with_capacity(HASH_BYTES + content.len());
    value.put_u64_le(hash(key, content));
    value.put_slice(content);
    cache.set(key, value.freeze(), ttl);
}

/// The content, if it is there and right.
pub(super) async fn get(cache: &SharedCache, key: &CacheKey) -> Option<Bytes> {
    let value = cache.get(key).await?;
    open(key, &value)
}

/// The content of a cached value, if it is right.
pub(super) fn open(key: &CacheKey, value: &Bytes) -> Option<Bytes> {
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

pub(super) fn encode_info(info: &ObjectInfo) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    bytes.put_u64_le(info.size_bytes);
    bytes.put_i64_le(info.last_modified_ms);
    bytes
}

pub(super) fn decode_info(key: &str, bytes: &[u8]) -> Option<ObjectInfo> {
    let (size, time) = bytes.split_first_chunk::<8>()?;
    let last_modified_ms = i64::from_le_bytes(time.try_into().ok()?);
    Some(ObjectInfo {
        key: key.to_owned(),
        size_bytes: u64::from_le_bytes(*size),
        last_modified_ms,
    })
}

pub(super) fn encode_names(names: &[String]) -> Vec<u8> {
    names.join(SEPARATOR.encode_utf8(&mut [0; 4])).into_bytes()
}

pub(super) fn decode_names(bytes: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.split(SEPARATOR).map(str::to_owned).collect())
}
