//! A map that is bounded in bytes and in time and forgets what was not used for longest. Used by
//! `memory` alone, under its lock.

use std::collections::BTreeMap;

use bytes::Bytes;
use hashbrown::HashMap;

use super::CacheKey;

/// What an entry takes beside its key and value, bytes; an estimate.
pub(super) const ENTRY_BYTES: u64 = 160;

/// Values by key, the most recently used ones.
pub(super) struct Lru {
    max_bytes: u64,
    max_items: usize,
    bytes: u64,
    entries: HashMap<CacheKey, Entry>,
    /// Keys by the moment of their last use.
    order: BTreeMap<u64, CacheKey>,
    moment: u64,
}

struct Entry {
    value: Bytes,
    expires_ms: i64,
    used: u64,
}

impl Lru {
    /// An empty map for `max_bytes` with keys and entries, and for `max_items`.
    pub(super) fn new(max_bytes: u64, max_items: usize) -> Self {
        let (entries, order) = (HashMap::new(), BTreeMap::new());
        Self { max_bytes, max_items, bytes: 0, entries, order, moment: 0 }
    }

    /// What is held, bytes; never above the bound.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many values are held; never above the bound.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value, if it has not expired at `now_ms`; it counts as used now.
    pub(super) fn get(&mut self, key: &CacheKey, now_ms: i64) -> Option<Bytes> {
        let entry = self.entries.get_mut(key)?;
        if entry.expires_ms <= now_ms {
            self.remove(key);
            return None;
        }
        let shared_key = self.order.remove(&entry.used)?;
        self.moment += 1;
        entry.used = self.moment;
        self.order.insert(self.moment, shared_key);
        Some(entry.value.clone())
    }

    /// Keeps a value; what was not used for longest goes. Returns how many went, or `None` when
    /// the value is larger than everything that may be kept.
    pub(super) fn put(&mut self, key: &CacheKey, value: Bytes, expires_ms: i64) -> Option<usize> {
        self.remove(key);
        let bytes = entry_bytes(key, &value);
        if bytes > self.max_bytes {
            return None;
        }
        self.moment += 1;
        self.bytes += bytes;
        self.order.insert(self.moment, key.clone());
        self.entries.insert(key.clone(), Entry { value, expires_ms, used: self.moment });
        let mut gone = 0;
        while self.bytes > self.max_bytes || self.entries.len() > self.max_items {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            let oldest = oldest.clone();
            self.remove(&oldest);
            gone += 1;
        }
        Some(gone)
    }

    /// Forgets a value.
    pub(super) fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry_bytes(key, &entry.value);
        }
    }
}

fn entry_bytes(key: &CacheKey, value: &Bytes) -> u64 {
    (key.as_str().len() + value.len()) as u64 + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> CacheKey {
        CacheKey::new("k", name)
    }

    fn held(lru: &mut Lru, names: &[&str]) -> Vec<bool> {
        names.iter().map(|name| lru.get(&key(name), 0).is_some()).collect()
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let value = Bytes::from(vec![0; 97]);
        let mut lru = Lru::new(3 * (ENTRY_BYTES + 100), usize::MAX);
        for name in ["a", "b", "c"] {
            assert_eq!(lru.put(&key(name), value.clone(), 1), Some(0));
        }
        assert!(lru.get(&key("a"), 0).is_some());
        assert_eq!(lru.put(&key("d"), value, 1), Some(1));
        assert_eq!(held(&mut lru, &["a", "b", "c", "d"]), [true, false, true, true]);
        assert_eq!(lru.bytes(), 3 * (ENTRY_BYTES + 100));
        let too_large = Bytes::from(vec![0; 4 * (ENTRY_BYTES as usize + 100)]);
        assert_eq!(lru.put(&key("a"), too_large, 1), None);
        assert_eq!(held(&mut lru, &["a", "c", "d"]), [false, true, true]);
        assert_eq!(lru.bytes(), 2 * (ENTRY_BYTES + 100));
    }

    #[test]
    fn values_expire_and_are_bounded_in_number() {
        let mut lru = Lru::new(u64::MAX, 2);
        lru.put(&key("a"), Bytes::from_static(b"1"), 10);
        assert_eq!(lru.get(&key("a"), 9).as_deref(), Some(&b"1"[..]));
        assert_eq!(lru.get(&key("a"), 10), None);
        assert_eq!((lru.bytes(), lru.len()), (0, 0));
        for name in ["a", "b", "c"] {
            lru.put(&key(name), Bytes::new(), 10);
        }
        assert_eq!(held(&mut lru, &["a", "b", "c"]), [false, true, true]);
    }
}
