//! The border of caches: small values by key for a time, in this process or in memcached.
//!
//! Called by this crate's cached buckets and by components that keep parts of blocks. A cache may
//! lose everything, be slow or be gone at any moment: it answers "not here" and never an error,
//! so that no caller's answer can depend on it. What it does answer is exactly what was put under
//! that very key. Keys of tenants carry the tenant's id; see [`CacheKey`].

mod lru;
mod memcached;
mod memory;
mod metrics;
pub mod sealed;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use memcached::{MemcachedCache, MemcachedOptions};
pub use memory::{MemoryCache, MemoryCacheOptions};
pub use metrics::CacheMetrics;

/// The longest key that memcached takes, bytes.
pub const MAX_KEY_BYTES: usize = 250;
/// Bytes of the digest that keeps apart keys that cannot stand as they are.
const DIGEST_BYTES: usize = 20;

/// A cache. Implementations bound what they keep and what they have under way, and count hits
/// and misses themselves.
#[async_trait]
pub trait Cache: Send + Sync {
    /// Which cache it is, for example `chunks-cache`; the label `name` of its metrics.
    fn name(&self) -> &str;

    /// The values of `keys` in their order, each where it is here. Waits at most for the time-outs
    /// of the cache's options.
    async fn get_multi(&self, keys: &[CacheKey]) -> Vec<Option<Bytes>>;

    /// Keeps `value` for at most `ttl`, at some time soon or not at all. Never waits. With a `ttl`
    /// of zero nothing is kept.
    fn set(&self, key: &CacheKey, value: Bytes, ttl: Duration);

    /// Forgets the value. When the cache cannot be reached the value stays until its time is up.
    async fn delete(&self, key: &CacheKey);

    /// The value of one key.
    async fn get(&self, key: &CacheKey) -> Option<Bytes> {
        self.get_multi(std::slice::from_ref(key)).await.pop().flatten()
    }
}

/// A cache that can be shared.
pub type SharedCache = Arc<dyn Cache>;

/// A key that every cache takes: printable ASCII without spaces, at most [`MAX_KEY_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(Arc<str>);

impl CacheKey {
    /// The key `<kind>:<rest>`. `kind` tells what the value is, so that two kinds never meet;
    /// where `rest` cannot stand in a key its SHA-256 stands for it.
    pub fn new(kind: &'static str, rest: &str) -> Self {
        debug_assert!(kind.len() <= 64 && is_plain(kind) && !kind.contains(':'));
        let whole_bytes = kind.len() + 1 + rest.len();
        if whole_bytes <= MAX_KEY_BYTES && is_plain(rest) && !rest.starts_with('#') {
            return Self(format!("{kind}:{rest}").into());
        }
        let mut text = format!("{kind}:#");
        for byte in &Sha256::digest(rest.as_bytes())[..DIGEST_BYTES] {
            text.push_str(&format!("{byte:02x}"));
        }
        Self(text.into())
    }

    /// The key as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_cannot_stand_as_they_are_become_digests() {
        assert_eq!(CacheKey::new("get", "t/01/meta.json").as_str(), "get:t/01/meta.json");
        let long = "x".repeat(MAX_KEY_BYTES);
        let spaced = CacheKey::new("get", "a b");
        let keys = [
            spaced.clone(),
            CacheKey::new("get", &long),
            CacheKey::new("get", "a\r\n"),
            CacheKey::new("get", "ä"),
            // A rest that looks like a digest must not be taken for one.
            CacheKey::new("get", spaced.as_str().trim_start_matches("get:")),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(key.as_str().starts_with("get:#"), "{key:?}");
            assert!(key.as_str().len() <= MAX_KEY_BYTES && is_plain(key.as_str()), "{key:?}");
            assert!(keys[..i].iter().all(|other| other != key), "{key:?}");
        }
        assert_eq!(CacheKey::new("get", &long), CacheKey::new("get", &long));
        assert_ne!(CacheKey::new("get", "k"), CacheKey::new("exists", "k"));
    }
}
