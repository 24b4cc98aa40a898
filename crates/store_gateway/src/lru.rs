//! A map that is bounded in bytes and forgets what was not used for longest. Used by `cache`
//! and `hashes`, under their locks.

use std::collections::BTreeMap;
use std::hash::Hash;

use hashbrown::HashMap;

/// The most that an entry takes beside its value, bytes; an estimate.
const ENTRY_BYTES: u64 = 128;

/// Values by key, the most recently used ones.
pub(crate) struct Lru<K, V> {
    capacity_bytes: u64,
    bytes: u64,
    entries: HashMap<K, Entry<V>>,
    /// Keys by the moment of their last use.
    order: BTreeMap<u64, K>,
    moment: u64,
}

struct Entry<V> {
    value: V,
    bytes: u64,
    used: u64,
}

impl<K: Copy + Eq + Hash, V: Clone> Lru<K, V> {
    /// An empty map for values of `capacity_bytes` in total.
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        let (entries, order) = (HashMap::new(), BTreeMap::new());
        Self { capacity_bytes, bytes: 0, entries, order, moment: 0 }
    }

    /// What is held, bytes; never above the capacity.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The value of `key`, which counts as used now.
    pub(crate) fn get(&mut self, key: K) -> Option<V> {
        let entry = self.entries.get_mut(&key)?;
        self.order.remove(&entry.used);
        self.moment += 1;
        entry.used = self.moment;
        self.order.insert(entry.used, key);
        Some(entry.value.clone())
    }

    /// Keeps a value of this size; what was not used for longest goes. Returns the values that
    /// went, this one among them where it is larger than everything that may be kept.
    pub(crate) fn put(&mut self, key: K, value: V, value_bytes: u64) -> Vec<V> {
        self.remove(key);
        self.moment += 1;
        let bytes = value_bytes.saturating_add(ENTRY_BYTES);
        if bytes > self.capacity_bytes {
            return vec![value];
        }
        self.order.insert(self.moment, key);
        self.entries.insert(key, Entry { value, bytes, used: self.moment });
        self.bytes += bytes;
        self.shrink()
    }

    fn shrink(&mut self) -> Vec<V> {
        let mut gone = Vec::new();
        while self.bytes > self.capacity_bytes {
            let Some((_, &oldest)) = self.order.first_key_value() else { break };
            gone.extend(self.remove(oldest));
        }
        gone
    }

    fn remove(&mut self, key: K) -> Option<V> {
        Some(self.take(key)?.value)
    }

    fn take(&mut self, key: K) -> Option<Entry<V>> {
        let entry = self.entries.remove(&key)?;
        self.order.remove(&entry.used);
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

/// Two of them: what is new has a quarter of the room and moves to the rest when it is used again.
/// One reader who walks through everything once does not push out what others use.
pub(crate) struct SegmentedLru<K, V> {
    new: Lru<K, V>,
    used_again: Lru<K, V>,
}

impl<K: Copy + Eq + Hash, V: Clone> SegmentedLru<K, V> {
    /// An empty map for values of `capacity_bytes` in total.
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        let for_new = capacity_bytes / 4;
        Self { new: Lru::new(for_new), used_again: Lru::new(capacity_bytes - for_new) }
    }

    /// What is held, bytes; never above the capacity.
    pub(crate) fn bytes(&self) -> u64 {
        self.new.bytes() + self.used_again.bytes()
    }

    /// How many values are held.
    pub(crate) fn len(&self) -> usize {
        self.new.entries.len() + self.used_again.entries.len()
    }

    /// The value of `key`, which counts as used now.
    pub(crate) fn get(&mut self, key: K) -> Option<V> {
        if let Some(value) = self.used_again.get(key) {
            return Some(value);
        }
        let entry = self.new.take(key)?;
        let bytes = entry.bytes - ENTRY_BYTES;
        self.used_again.put(key, entry.value.clone(), bytes);
        Some(entry.value)
    }

    /// Keeps a value of this size. Returns how many went for it, this one among them where it is
    /// too large.
    pub(crate) fn put(&mut self, key: K, value: V, value_bytes: u64) -> usize {
        if self.used_again.entries.contains_key(&key) {
            return self.used_again.put(key, value, value_bytes).len();
        }
        self.new.put(key, value, value_bytes).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut lru = Lru::new(3 * (ENTRY_BYTES + 100));
        for key in 1..=3 {
            assert!(lru.put(key, key * 10, 100).is_empty());
        }
        assert_eq!(lru.get(1), Some(10));
        assert_eq!(lru.put(4, 40, 100), [20]);
        assert_eq!([1, 2, 3, 4].map(|key| lru.get(key)), [Some(10), None, Some(30), Some(40)]);
        assert_eq!(lru.put(5, 50, 300), [10, 30]);
        assert_eq!(lru.bytes(), 2 * ENTRY_BYTES + 400);
    }

    #[test]
    fn what_is_too_large_or_replaced_is_not_counted() {
        let mut lru = Lru::new(1000);
        assert_eq!(lru.put(1, 'a', 1000), ['a']);
        assert_eq!((lru.get(1), lru.bytes()), (None, 0));
        assert!(lru.put(1, 'b', 500).is_empty());
        assert!(lru.put(1, 'c', 600).is_empty());
        assert_eq!((lru.get(1), lru.bytes()), (Some('c'), 600 + ENTRY_BYTES));
    }
    #[test]
    fn walking_through_everything_leaves_what_is_used_again() {
        let mut lru = SegmentedLru::new(16 * (ENTRY_BYTES + 100));
        for key in 0..4 {
            lru.put(key, key, 100);
        }
        assert_eq!([0, 1].map(|key| lru.get(key)), [Some(0), Some(1)]);
        assert_eq!((100..1000).map(|key| lru.put(key, key, 100)).sum::<usize>(), 898);
        assert_eq!([0, 1, 2, 999].map(|key| lru.get(key)), [Some(0), Some(1), None, Some(999)]);
        // What is used again has the rest of the room, and no more.
        for key in 0..100 {
            lru.put(key, key, 100);
            assert_eq!(lru.get(key), Some(key));
        }
        assert_eq!((lru.len(), lru.bytes()), (15, 15 * (ENTRY_BYTES + 100)));
    }
}
