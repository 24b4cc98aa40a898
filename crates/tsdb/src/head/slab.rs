//! Memory for open chunks in size classes: pages of equal slots instead of one allocation each.
//!
//! A slot is named by its class and a 32-bit address (page and index in it). Pages are shared by
//! all classes: series grow through the classes together, so a page of small slots is soon empty
//! and serves a larger class then. Used by `shards.rs` under the shard's lock.

/// The size of a page, bytes. Small, so that a tenant with few series holds little.
const PAGE_BYTES: usize = 1024;

/// Slot sizes in bytes: what divides a page with little rest. The largest holds any XOR chunk
/// that the head lets grow.
pub(super) const CLASS_BYTES: [usize; 14] =
    [24, 32, 42, 51, 64, 85, 102, 128, 146, 170, 204, 256, 341, 512];
/// The class of whole pages.
const WHOLE_PAGE: u8 = CLASS_BYTES.len() as u8;
/// Bits of an address that are the index in the page.
const INDEX_BITS: u32 = 6;

/// A slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotRef {
    /// Index in [`CLASS_BYTES`], or [`WHOLE_PAGE`].
    pub(super) class: u8,
    /// Page number and index in the page.
    pub(super) address: u32,
}

/// All open chunks of a shard.
#[derive(Debug, Default)]
pub(super) struct ChunkSlab {
    pages: Vec<Page>,
    /// Pages without a used slot.
    empty: Vec<u32>,
    /// For each class the pages that have used and free slots.
    partial: [Vec<u32>; CLASS_BYTES.len() + 1],
    /// How many pages have memory.
    held_pages: usize,
}

#[derive(Debug)]
struct Page {
    bytes: Option<Box<[u8; PAGE_BYTES]>>,
    /// One bit a slot: set = free.
    free: u64,
    class: u8,
}

impl ChunkSlab {
    /// The smallest class whose slots hold `bytes`; `None` above the size of a page.
    pub(super) fn class_for(bytes: usize) -> Option<u8> {
        match CLASS_BYTES.iter().position(|&size| bytes <= size) {
            Some(class) => Some(class as u8),
            None if bytes <= PAGE_BYTES => Some(WHOLE_PAGE),
            None => None,
        }
    }

    /// A slot of a class. Its content is arbitrary.
    pub(super) fn allocate(&mut self, class: u8) -> SlotRef {
        let list = &self.partial[usize::from(class)];
        let number = match list.last() {
            Some(&number) => number,
            None => self.take_page(class),
        };
        let page = &mut self.pages[number as usize];
        let index = page.free.trailing_zeros();
        page.free &= !(1 << index);
        if page.free == 0 {
            self.partial[usize::from(class)].pop();
        }
        SlotRef { class, address: number << INDEX_BITS | index }
    }

    /// Makes an empty page one of a class.
    fn take_page(&mut self, class: u8) -> u32 {
        let number = self.empty.pop().unwrap_or_else(|| {
            super::labels::grow_gently(&mut self.pages, 1);
            self.pages.push(Page { bytes: None, free: 0, class });
            (self.pages.len() - 1) as u32
        });
        let page = &mut self.pages[number as usize];
        page.class = class;
        page.free = all_free(class);
        if page.bytes.is_none() {
            page.bytes = Some(Box::new([0; PAGE_BYTES]));
            self.held_pages += 1;
        }
        self.partial[usize::from(class)].push(number);
        number
    }

    /// Gives a slot back.
    pub(super) fn release(&mut self, slot: SlotRef) {
        let number = slot.address >> INDEX_BITS;
        let page = &mut self.pages[number as usize];
        debug_assert_eq!(page.class, slot.class);
        let was_full = page.free == 0;
        page.free |= 1 << (slot.address & ((1 << INDEX_BITS) - 1));
        let list = &mut self.partial[usize::from(slot.class)];
        if page.free == all_free(slot.class) {
            if !was_full && let Some(position) = list.iter().rposition(|&n| n == number) {
                list.swap_remove(position);
            }
            self.empty.push(number);
        } else if was_full {
            list.push(number);
        }
    }

    /// Reads what leads to the page of a slot; the value means nothing.
    #[inline]
    pub(super) fn touch_page(&self, slot: SlotRef) -> u32 {
        let page = self.pages.get((slot.address >> INDEX_BITS) as usize);
        page.map_or(0, |page| u32::from(page.class))
    }

    /// The bytes of a slot.
    #[inline]
    pub(super) fn get(&self, slot: SlotRef) -> &[u8] {
        let (page, start, end) = locate(slot);
        self.pages[page].bytes.as_deref().map_or(&[], |bytes| &bytes[start..end])
    }

    /// The bytes of a slot.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: SlotRef) -> &mut [u8] {
        let (page, start, end) = locate(slot);
        self.pages[page].bytes.as_deref_mut().map_or(&mut [], |bytes| &mut bytes[start..end])
    }

    /// Moves the first `used` bytes of a slot to one that holds at least `bytes`. `None` above
    /// the largest class; the slot is as it was then.
    pub(super) fn enlarge(&mut self, slot: SlotRef, used: usize, bytes: usize) -> Option<SlotRef> {
        let larger = self.allocate(Self::class_for(bytes)?);
        let mut content = [0u8; PAGE_BYTES];
        content[..used].copy_from_slice(&self.get(slot)[..used]);
        self.get_mut(larger)[..used].copy_from_slice(&content[..used]);
        self.release(slot);
        Some(larger)
    }

    /// Gives the memory of empty pages back.
    pub(super) fn shrink(&mut self) {
        for &number in &self.empty {
            let bytes = self.pages[number as usize].bytes.take();
            self.held_pages -= usize::from(bytes.is_some());
        }
        for list in self.partial.iter_mut().chain([&mut self.empty]) {
            list.shrink_to(list.len() * 2);
        }
    }

    /// Bytes that are held.
    pub(super) fn memory_bytes(&self) -> usize {
        let lists = self.partial.iter().chain([&self.empty]);
        self.held_pages * PAGE_BYTES
            + self.pages.capacity() * size_of::<Page>()
            + lists.map(|list| list.capacity() * size_of::<u32>()).sum::<usize>()
    }
}

#[inline]
fn slot_bytes(class: u8) -> usize {
    CLASS_BYTES.get(usize::from(class)).copied().unwrap_or(PAGE_BYTES)
}

/// The bits of a page whose slots are all free.
fn all_free(class: u8) -> u64 {
    (1 << (PAGE_BYTES / slot_bytes(class))) - 1
}

#[inline]
fn locate(slot: SlotRef) -> (usize, usize, usize) {
    let size = slot_bytes(slot.class);
    let start = (slot.address & ((1 << INDEX_BITS) - 1)) as usize * size;
    ((slot.address >> INDEX_BITS) as usize, start, start + size)
}

const _: () = assert!(PAGE_BYTES / CLASS_BYTES[0] < 1 << INDEX_BITS, "an index fits its bits");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_keep_their_content(steps in prop::collection::vec((any::<u16>(), 0usize..1025, any::<bool>()), 1..400)) {
            let mut slab = ChunkSlab::default();
            let mut live: BTreeMap<u16, (SlotRef, u8, usize)> = BTreeMap::new();
            for (i, (key, bytes, release)) in steps.into_iter().enumerate() {
                let key = key % 60;
                let fill = i as u8;
                match live.remove(&key) {
                    Some((slot, _, _)) if release => slab.release(slot),
                    Some((slot, fill, used)) => {
                        let more = bytes.max(used);
                        let larger = slab.enlarge(slot, used, more).unwrap();
                        prop_assert!(slab.get(larger).len() >= more);
                        live.insert(key, (larger, fill, used));
                    }
                    None => {
                        let slot = slab.allocate(ChunkSlab::class_for(bytes).unwrap());
                        slab.get_mut(slot)[..bytes].fill(fill);
                        live.insert(key, (slot, fill, bytes));
                    }
                }
                for (slot, fill, used) in live.values() {
                    prop_assert!(slab.get(*slot)[..*used].iter().all(|b| b == fill));
                }
            }
            live.into_values().for_each(|(slot, _, _)| slab.release(slot));
            prop_assert_eq!(slab.empty.len(), slab.pages.len());
            slab.shrink();
            prop_assert!(slab.pages.iter().all(|page| page.bytes.is_none()));
        }
    }

    #[test]
    fn growing_together_reuses_the_pages_of_smaller_slots() {
        let mut slab = ChunkSlab::default();
        let mut slots: Vec<SlotRef> = (0..1000).map(|_| slab.allocate(0)).collect();
        for size in CLASS_BYTES {
            slots = slots.iter().map(|&slot| slab.enlarge(slot, 20, size).unwrap()).collect();
        }
        assert!(slab.memory_bytes() < 1000 * 512 * 11 / 10);
        assert_eq!(ChunkSlab::class_for(1024), Some(WHOLE_PAGE));
        assert_eq!(ChunkSlab::class_for(1025), None);
    }
}
