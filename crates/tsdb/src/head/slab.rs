//! Memory for open chunks in size classes: pages of equal slots instead of one allocation each.
//!
//! A slot is named by its class and a 32-bit address (page and index in it). Pages are small, so
//! that a tenant with few series holds little; the first of a class are the smallest. Used by
//! `shards.rs` under the shard's lock.

/// Slot sizes in bytes. The largest holds any XOR chunk that the head lets grow.
pub(super) const CLASS_BYTES: [usize; 11] = [24, 32, 48, 64, 96, 128, 192, 256, 384, 640, 1040];

/// The usual size of a page, bytes.
const PAGE_BYTES: usize = 4096;
/// The size of the first pages of a class, bytes.
const FIRST_PAGE_BYTES: usize = 512;
/// How many pages of a class are small.
const FIRST_PAGES: usize = 4;

/// A slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotRef {
    /// Index in [`CLASS_BYTES`].
    pub(super) class: u8,
    /// Page number and index in the page.
    pub(super) address: u32,
}

/// All open chunks of a shard.
#[derive(Debug, Default)]
pub(super) struct ChunkSlab {
    classes: [Class; CLASS_BYTES.len()],
}

#[derive(Debug, Default)]
struct Class {
    pages: Vec<Box<[u8]>>,
    free: Vec<u32>,
}

impl ChunkSlab {
    /// The smallest class whose slots hold `bytes`; `None` above the largest.
    pub(super) fn class_for(bytes: usize) -> Option<u8> {
        CLASS_BYTES.iter().position(|&size| bytes <= size).map(|class| class as u8)
    }

    /// A slot of a class. Its content is arbitrary.
    pub(super) fn allocate(&mut self, class: u8) -> SlotRef {
        let size = CLASS_BYTES[usize::from(class)];
        let list = &mut self.classes[usize::from(class)];
        if list.free.is_empty() {
            list.add_page(size);
        }
        let address = list.free.pop().expect("a page with free slots was just added");
        SlotRef { class, address }
    }

    /// Gives a slot back.
    pub(super) fn release(&mut self, slot: SlotRef) {
        self.classes[usize::from(slot.class)].free.push(slot.address);
    }

    /// The bytes of a slot.
    #[inline]
    pub(super) fn get(&self, slot: SlotRef) -> &[u8] {
        let size = CLASS_BYTES[usize::from(slot.class)];
        let (page, start) = locate(slot.address, size);
        &self.classes[usize::from(slot.class)].pages[page][start..start + size]
    }

    /// The bytes of a slot.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: SlotRef) -> &mut [u8] {
        let size = CLASS_BYTES[usize::from(slot.class)];
        let (page, start) = locate(slot.address, size);
        &mut self.classes[usize::from(slot.class)].pages[page][start..start + size]
    }

    /// Moves the first `used` bytes of a slot to one that holds at least `bytes`. `None` above
    /// the largest class; the slot is as it was then.
    pub(super) fn enlarge(&mut self, slot: SlotRef, used: usize, bytes: usize) -> Option<SlotRef> {
        let larger = self.allocate(Self::class_for(bytes)?);
        let mut content = [0u8; CLASS_BYTES[CLASS_BYTES.len() - 1]];
        content[..used].copy_from_slice(&self.get(slot)[..used]);
        self.get_mut(larger)[..used].copy_from_slice(&content[..used]);
        self.release(slot);
        Some(larger)
    }

    /// Bytes that are held.
    pub(super) fn memory_bytes(&self) -> usize {
        let class_bytes = |class: &Class| {
            class.pages.iter().map(|page| page.len()).sum::<usize>()
                + class.pages.capacity() * size_of::<Box<[u8]>>()
                + class.free.capacity() * size_of::<u32>()
        };
        self.classes.iter().map(class_bytes).sum()
    }
}

impl Class {
    fn add_page(&mut self, size: usize) {
        let small = self.pages.len() < FIRST_PAGES;
        let bytes = if small { FIRST_PAGE_BYTES } else { PAGE_BYTES };
        let slots = (bytes / size).max(1);
        let page = (self.pages.len() as u32) << 8;
        self.pages.push(vec![0; slots * size].into_boxed_slice());
        self.free.extend((0..slots as u32).rev().map(|index| page | index));
    }
}

#[inline]
fn locate(address: u32, size: usize) -> (usize, usize) {
    ((address >> 8) as usize, (address & 0xff) as usize * size)
}

const _: () = assert!(PAGE_BYTES / CLASS_BYTES[0] <= 256, "an index in a page has 8 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_overlap_and_are_reused() {
        let mut slab = ChunkSlab::default();
        let slots: Vec<SlotRef> = (0..3000)
            .map(|i| {
                let class = (i % CLASS_BYTES.len()) as u8;
                let slot = slab.allocate(class);
                slab.get_mut(slot).fill((i % 251) as u8);
                slot
            })
            .collect();
        for (i, &slot) in slots.iter().enumerate() {
            assert_eq!(slab.get(slot).len(), CLASS_BYTES[i % CLASS_BYTES.len()]);
            assert!(slab.get(slot).iter().all(|&b| b == (i % 251) as u8), "slot {i}");
        }
        let held = slab.memory_bytes();
        slots.iter().for_each(|&slot| slab.release(slot));
        for i in 0..3000 {
            slab.allocate((i % CLASS_BYTES.len()) as u8);
        }
        assert!(slab.memory_bytes() <= held + 3000 * 8, "released slots are used again");
    }

    #[test]
    fn enlarging_keeps_the_content_up_to_the_largest_class() {
        let mut slab = ChunkSlab::default();
        let mut slot = slab.allocate(0);
        slab.get_mut(slot).copy_from_slice(&[7; 24]);
        for bytes in [25, 100, 500, 1040] {
            slot = slab.enlarge(slot, 24, bytes).unwrap();
            assert!(slab.get(slot).len() >= bytes);
            assert_eq!(slab.get(slot)[..24], [7; 24]);
        }
        assert_eq!(slab.enlarge(slot, 24, 1041), None);
    }
}
