//! A finite set of values: what alternations of literals match.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use memchr::arch::all::is_equal;

use super::literals::common_prefix;

/// Up to here one look at each value is as fast as a hash table.
const MAX_SEARCHED: usize = 8;

/// The characters that mean something in a pattern, but for `|`.
const META: &[u8] = br"\.+*?()[]{}^$";

/// A set of values.
#[derive(Debug)]
pub(super) struct StringSet {
    /// Sorted, without duplicates.
    values: Vec<String>,
    /// Positions in `values`; empty for few values.
    table: HashTable<u32>,
    hasher: FixedState,
}

impl StringSet {
    /// The set of some values, in any order.
    pub(super) fn new(mut values: Vec<String>) -> Self {
        values.sort_unstable();
        values.dedup();
        let hasher = FixedState::default();
        let mut table = HashTable::new();
        if values.len() > MAX_SEARCHED {
            let hash = |position: &u32| hasher.hash_one(values[*position as usize].as_bytes());
            table.reserve(values.len(), hash);
            for position in (0_u32..).take(values.len()) {
                table.insert_unique(hash(&position), position, hash);
            }
        }
        Self { values, table, hasher }
    }

    /// The set of a pattern that is nothing but plain texts with `|` between them. Texts that
    /// are not UTF-8 are no values.
    pub(super) fn of_plain_alternatives(pattern: &[u8]) -> Option<Self> {
        if pattern.iter().any(|byte| META.contains(byte)) {
            return None;
        }
        let texts = pattern.split(|byte| *byte == b'|');
        let values = texts.filter_map(|text| std::str::from_utf8(text).ok());
        Some(Self::new(values.map(str::to_owned).collect()))
    }

    /// Whether a value is in the set.
    #[inline]
    pub(super) fn contains(&self, value: &str) -> bool {
        let value = value.as_bytes();
        if self.table.is_empty() {
            return self.values.iter().any(|own| is_equal(own.as_bytes(), value));
        }
        let hash = self.hasher.hash_one(value);
        let same = |position: &u32| is_equal(self.values[*position as usize].as_bytes(), value);
        self.table.find(hash, same).is_some()
    }

    /// The values, sorted.
    pub(super) fn values(&self) -> &[String] {
        &self.values
    }

    /// What all values begin with.
    pub(super) fn common_prefix(&self) -> &str {
        match (self.values.first(), self.values.last()) {
            // Sorted: the first and the last differ earliest.
            (Some(first), Some(last)) => common_prefix(first, last),
            _ => "",
        }
    }
}
