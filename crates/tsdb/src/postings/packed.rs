//! A list of ascending numbers that is only ever appended to, in about one byte a number or less.
//!
//! The head's postings are made of these. The newest numbers of a list stand as differences of
//! seven bits a byte; every 128 of them are sealed into a block:
//!
//! ```text
//! a block spans last - first:   127           1016            more
//! its bytes:                    none (a run)  one bit each    differences
//! ```
//!
//! A directory with the first and last number of each block lets a search pass over blocks
//! without looking into them. Never holds foreign bytes.

/// Numbers of a block.
pub(super) const BLOCK_LEN: usize = 128;
/// Up to this distance of first and last a bit a number takes less room than differences.
const MAX_BITMAP_SPAN: u32 = (BLOCK_LEN as u32 - 1) * 8;

/// The numbers of one block, decoded.
type Buffer = [u32; BLOCK_LEN];

/// An ascending list of numbers, each once.
#[derive(Debug, Clone, Default)]
pub struct PackedList {
    /// The first number of the tail.
    first: u32,
    last: u32,
    len: u32,
    /// Differences of the numbers of the tail.
    tail: Vec<u8>,
    sealed: Option<Box<Sealed>>,
}

/// The complete blocks.
#[derive(Debug, Clone, Default)]
struct Sealed {
    blocks: Vec<Block>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    first: u32,
    last: u32,
    /// Where its bytes start.
    start: u32,
}

impl Sealed {
    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.blocks.capacity() * size_of::<Block>() + self.bytes.capacity()
    }
}

impl PackedList {
    /// Adds a number above all others. Returns by how many bytes [`Self::memory_bytes`] has
    /// changed.
    pub fn push(&mut self, number: u32) -> isize {
        debug_assert!(self.len == 0 || number > self.last, "numbers must ascend");
        let capacity = self.tail.capacity() as isize;
        if (self.len as usize).is_multiple_of(BLOCK_LEN) {
            self.first = number;
        } else {
            put_difference(&mut self.tail, number - self.last);
        }
        self.last = number;
        self.len += 1;
        if (self.len as usize).is_multiple_of(BLOCK_LEN) {
            return self.seal() - capacity;
        }
        self.tail.capacity() as isize - capacity
    }

    /// The number of numbers.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no number.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The highest number.
    pub fn last(&self) -> Option<u32> {
        (self.len > 0).then_some(self.last)
    }

    /// The number at `place`. Decodes its block.
    pub fn get(&self, place: usize) -> Option<u32> {
        if place >= self.len() {
            return None;
        }
        let mut buffer = [0; BLOCK_LEN];
        self.decode(place / BLOCK_LEN, &mut buffer);
        Some(buffer[place % BLOCK_LEN])
    }

    /// Calls `visit` with runs of numbers, ascending.
    pub fn for_each_run(&self, mut visit: impl FnMut(&[u32])) {
        let mut buffer = [0; BLOCK_LEN];
        for block in 0..self.block_count() {
            let count = self.decode(block, &mut buffer);
            visit(&buffer[..count]);
        }
    }

    /// All numbers.
    pub fn to_vec(&self) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(self.len());
        self.for_each_run(|run| numbers.extend_from_slice(run));
        numbers
    }

    /// Bytes that are held beside the value itself.
    pub fn memory_bytes(&self) -> usize {
        self.tail.capacity() + self.sealed.as_deref().map_or(0, Sealed::memory_bytes)
    }

    /// Makes a block of the tail. Returns by how many bytes the blocks have grown.
    #[cold]
    fn seal(&mut self) -> isize {
        let before = self.sealed.as_deref().map_or(0, Sealed::memory_bytes);
        let sealed = self.sealed.get_or_insert_default();
        let start = sealed.bytes.len() as u32;
        let block = Block { first: self.first, last: self.last, start };
        let span = self.last - self.first;
        grow_gently(&mut sealed.blocks, 1);
        sealed.blocks.push(block);
        // The next tail begins small again: most lists end in theirs.
        let tail = std::mem::take(&mut self.tail);
        if span > MAX_BITMAP_SPAN {
            grow_gently(&mut sealed.bytes, tail.len());
            sealed.bytes.extend_from_slice(&tail);
        } else if span as usize >= BLOCK_LEN {
            let mut numbers = [0; BLOCK_LEN];
            decode_differences(self.first, &tail, &mut numbers);
            put_bitmap(&mut sealed.bytes, &numbers);
        }
        sealed.memory_bytes() as isize - before as isize
    }

    fn sealed_blocks(&self) -> &[Block] {
        self.sealed.as_deref().map_or(&[], |sealed| &sealed.blocks)
    }

    /// Sealed blocks and the tail.
    fn block_count(&self) -> usize {
        (self.len as usize).div_ceil(BLOCK_LEN)
    }

    /// The highest number of a block.
    fn last_of(&self, block: usize) -> u32 {
        self.sealed_blocks().get(block).map_or(self.last, |block| block.last)
    }

    /// Decodes a block; returns how many numbers it has.
    fn decode(&self, block: usize, out: &mut Buffer) -> usize {
        let Some(sealed) = self.sealed.as_deref().filter(|sealed| block < sealed.blocks.len())
        else {
            return decode_differences(self.first, &self.tail, out);
        };
        let Block { first, last, start } = sealed.blocks[block];
        let end = sealed.blocks.get(block + 1).map_or(sealed.bytes.len(), |b| b.start as usize);
        let bytes = &sealed.bytes[start as usize..end];
        if bytes.is_empty() {
            out.iter_mut().zip(first..).for_each(|(number, value)| *number = value);
            BLOCK_LEN
        } else if last - first <= MAX_BITMAP_SPAN {
            decode_bitmap(first, bytes, out)
        } else {
            decode_differences(first, bytes, out)
        }
    }

    /// A search from the beginning on.
    pub fn cursor(&self) -> PackedCursor<'_> {
        PackedCursor { list: self, next_block: 0, buffer: [0; BLOCK_LEN], len: 0, at: 0 }
    }
}

impl FromIterator<u32> for PackedList {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut list = Self::default();
        for number in numbers {
            list.push(number);
        }
        list
    }
}

/// A search for ascending numbers in a list.
pub struct PackedCursor<'a> {
    list: &'a PackedList,
    next_block: usize,
    /// The block before `next_block`, of which `at..len` was not passed yet.
    buffer: Buffer,
    len: usize,
    at: usize,
}

impl PackedCursor<'_> {
    /// The lowest number that is not below `number`. Calls must ascend.
    #[inline]
    pub fn seek(&mut self, number: u32) -> Option<u32> {
        if self.len == 0 || self.buffer[self.len - 1] < number {
            self.load(number)?;
        }
        while self.buffer[self.at] < number {
            self.at += 1;
        }
        Some(self.buffer[self.at])
    }

    /// Decodes the first block that reaches `number`.
    fn load(&mut self, number: u32) -> Option<()> {
        let count = self.list.block_count();
        let mut step = 1;
        let mut low = self.next_block;
        while low + step < count && self.list.last_of(low + step) < number {
            low += step;
            step *= 2;
        }
        let mut high = (low + step).min(count);
        while low < high {
            let middle = low.midpoint(high);
            if self.list.last_of(middle) < number {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.next_block = low;
        if low >= count {
            self.len = 0;
            return None;
        }
        self.len = self.list.decode(low, &mut self.buffer);
        self.next_block = low + 1;
        // Skip in halves what the walk would pass one by one.
        self.at = self.buffer[..self.len].partition_point(|&other| other < number);
        Some(())
    }
}

fn put_difference(bytes: &mut Vec<u8>, mut difference: u32) {
    while difference >= 0x80 {
        bytes.push(difference as u8 | 0x80);
        difference >>= 7;
    }
    bytes.push(difference as u8);
}

/// Decodes `first` and what follows by differences; returns how many numbers there are.
fn decode_differences(first: u32, bytes: &[u8], out: &mut Buffer) -> usize {
    let (mut number, mut count) = (first, 1);
    out[0] = first;
    let (mut difference, mut shift) = (0, 0);
    for &byte in bytes {
        difference |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 != 0 {
            shift += 7;
            continue;
        }
        number += difference;
        out[count] = number;
        count += 1;
        (difference, shift) = (0, 0);
    }
    count
}

/// One bit for each number behind the first.
fn put_bitmap(bytes: &mut Vec<u8>, numbers: &Buffer) {
    let first = numbers[0];
    let span = numbers[BLOCK_LEN - 1] - first;
    let start = bytes.len();
    let len = (span as usize).div_ceil(8);
    grow_gently(bytes, len);
    bytes.resize(start + len, 0);
    for &number in &numbers[1..] {
        let bit = (number - first - 1) as usize;
        bytes[start + bit / 8] |= 1 << (bit % 8);
    }
}

fn decode_bitmap(first: u32, bytes: &[u8], out: &mut Buffer) -> usize {
    out[0] = first;
    let mut count = 1;
    for (index, part) in bytes.chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        let mut word = u64::from_le_bytes(word);
        let base = first + 1 + index as u32 * 64;
        while word != 0 {
            out[count] = base + word.trailing_zeros();
            count += 1;
            word &= word - 1;
        }
    }
    count
}

/// Makes room by an eighth more instead of doubling: there are many lists.
fn grow_gently<T>(vector: &mut Vec<T>, additional: usize) {
    if vector.capacity() - vector.len() < additional {
        vector.reserve_exact(additional.max(vector.len() / 8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Ascending numbers whose distances change every so often, so that all kinds of blocks come.
    fn numbers() -> impl Strategy<Value = Vec<u32>> {
        let part = (prop::sample::select(vec![1u32, 2, 7, 9, 300, 70_000]), 0usize..400);
        vec(part, 0..6).prop_flat_map(|parts| {
            let distances: Vec<_> =
                parts.into_iter().flat_map(|(most, count)| vec![1..=most; count]).collect();
            distances.prop_map(|distances| {
                let mut number = 0;
                let ascending = distances.into_iter().map(|distance| {
                    number += distance;
                    number
                });
                ascending.collect()
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_list_gives_back_what_was_pushed(numbers in numbers()) {
            let list: PackedList = numbers.iter().copied().collect();
            prop_assert_eq!(list.to_vec(), &numbers[..]);
            prop_assert_eq!(list.len(), numbers.len());
            for place in [0, 127, 128, numbers.len() / 2, numbers.len()] {
                prop_assert_eq!(list.get(place), numbers.get(place).copied());
            }
            let mut counted = PackedList::default();
            let bytes: isize = numbers.iter().map(|&number| counted.push(number)).sum();
            prop_assert_eq!(bytes, counted.memory_bytes() as isize);
            prop_assert_eq!(list.last(), numbers.last().copied());
        }

        #[test]
        fn a_search_finds_the_next_number(numbers in numbers(), mut wanted in vec(0u32..100_000, 0..200)) {
            wanted.extend(numbers.iter().step_by(5));
            wanted.sort_unstable();
            let list: PackedList = numbers.iter().copied().collect();
            let mut cursor = list.cursor();
            for number in wanted {
                let next = numbers[numbers.partition_point(|&n| n < number)..].first().copied();
                prop_assert_eq!(cursor.seek(number), next);
            }
        }
    }

    #[test]
    fn dense_lists_take_less_than_a_byte_a_number() {
        let memory = |step: u32| {
            let list: PackedList = (0..100_000).map(|i| i * step).collect();
            list.memory_bytes() as f64 / 100_000.0
        };
        assert!(memory(1) < 0.2, "{}", memory(1));
        assert!(memory(3) < 0.6, "{}", memory(3));
        assert!(memory(100) < 1.3, "{}", memory(100));
        assert!(memory(10_000) < 2.5, "{}", memory(10_000));
    }

    #[test]
    fn a_single_number_needs_no_allocation() {
        let mut list = PackedList::default();
        list.push(7);
        assert_eq!((list.memory_bytes(), list.to_vec()), (0, vec![7]));
    }
}
