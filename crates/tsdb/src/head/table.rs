//! The hash table of a shard: from the hash of a label set to the slot of its series.
//!
//! Linear probing over 8-byte entries of hash and slot, ordered by hash: one cache miss finds the
//! candidate, and growing is one pass in order that recomputes nothing. There is no deletion:
//! the garbage collection of the head builds a new table. Used by `shards.rs` alone.

/// Entries by hash. Slots are below `u32::MAX`.
#[derive(Debug, Default)]
pub(super) struct HashIndex {
    entries: Vec<Entry>,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    slot: u32,
}

const EMPTY: Entry = Entry { hash: 0, slot: u32::MAX };

/// Where a look-up goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    position: usize,
}

impl HashIndex {
    /// A table with room for `count` series.
    pub(super) fn with_capacity(count: usize) -> Self {
        let capacity = if count == 0 { 0 } else { count * 4 / 3 + 4 };
        Self { entries: vec![EMPTY; capacity], len: 0 }
    }

    /// Reads the place where a look-up of this hash will start; the value means nothing.
    #[inline]
    pub(super) fn touch(&self, hash: u32) -> u32 {
        self.entries.get(self.home(hash)).map_or(0, |entry| entry.slot)
    }

    /// Where the series with this hash would stand.
    #[inline]
    pub(super) fn start(&self, hash: u32) -> Probe {
        Probe { position: self.home(hash) }
    }

    /// The next slot whose series has this hash; `None` when there is no further one.
    #[inline]
    pub(super) fn next(&self, hash: u32, probe: &mut Probe) -> Option<u32> {
        loop {
            let entry = self.entries.get(probe.position)?;
            if entry.slot == EMPTY.slot {
                return None;
            }
            probe.position += 1;
            if probe.position == self.entries.len() {
                probe.position = 0;
            }
            if entry.hash == hash {
                return Some(entry.slot);
            }
        }
    }

    /// Adds a series. The caller has made sure that it is not there.
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        debug_assert!(slot != EMPTY.slot);
        if (self.len + 1) * 4 > self.entries.len() * 3 {
            self.grow();
        }
        self.place(Entry { hash, slot });
        self.len += 1;
    }

    /// Keeps the series whose slots satisfy `keep`.
    pub(super) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        let kept = |entry: &Entry| entry.slot != EMPTY.slot && keep(entry.slot);
        let mut index = Self::with_capacity(self.entries.iter().filter(|e| kept(e)).count());
        for entry in self.entries.iter().filter(|e| kept(e)) {
            index.insert(entry.hash, entry.slot);
        }
        *self = index;
    }

    /// Bytes that are held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.entries.len() as u64) >> 32) as usize
    }

    /// By a factor between 1.5 and 2: memory follows the number of series closely.
    fn grow(&mut self) {
        let capacity = self.entries.len() * 3 / 2 + 8;
        let old = std::mem::replace(&mut self.entries, vec![EMPTY; capacity]);
        for entry in old {
            if entry.slot != EMPTY.slot {
                self.place(entry);
            }
        }
    }

    fn place(&mut self, entry: Entry) {
        let mut position = self.home(entry.hash);
        while self.entries[position].slot != EMPTY.slot {
            position += 1;
            if position == self.entries.len() {
                position = 0;
            }
        }
        self.entries[position] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slots(index: &HashIndex, hash: u32) -> Vec<u32> {
        let mut probe = index.start(hash);
        let mut found: Vec<u32> =
            std::iter::from_fn(|| index.next(hash, &mut probe)).take(1000).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        assert!(slots(&HashIndex::default(), 7).is_empty());
        assert!(slots(&HashIndex::with_capacity(3), u32::MAX).is_empty());
    }

    proptest! {
        #[test]
        fn finds_what_a_map_finds(hashes in prop::collection::vec(prop_oneof![0u32..20, any::<u32>(), Just(u32::MAX)], 0..300)) {
            let mut index = HashIndex::default();
            for (slot, &hash) in hashes.iter().enumerate() {
                index.insert(hash, slot as u32);
            }
            for &hash in hashes.iter().chain(&[5, u32::MAX]) {
                let want: Vec<u32> = (0..hashes.len()).filter(|&i| hashes[i] == hash).map(|i| i as u32).collect();
                prop_assert_eq!(slots(&index, hash), want);
            }
        }
    }
}
