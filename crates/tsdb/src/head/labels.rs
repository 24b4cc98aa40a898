//! The labels of all series of a shard in one array of numbers: for each series its shape, then
//! one symbol a value.
//!
//! Entries are only ever added; the garbage collection of the head builds a new arena.

use super::symbols::{ShapeId, Symbol, Symbols};

/// The array.
#[derive(Debug, Default)]
pub(super) struct LabelArena {
    words: Vec<u32>,
}

impl LabelArena {
    /// Adds a label set and returns where it starts; `None` when the arena is full (16 GiB).
    pub(super) fn push(&mut self, shape: ShapeId, values: &[Symbol]) -> Option<u32> {
        let start = u32::try_from(self.words.len()).ok()?;
        grow_gently(&mut self.words, values.len() + 1);
        self.words.push(shape);
        self.words.extend_from_slice(values);
        Some(start)
    }

    /// The shape of the label set that starts at `start`.
    #[inline]
    pub(super) fn shape(&self, start: u32) -> ShapeId {
        self.words[start as usize]
    }

    /// The first `count` values of the label set that starts at `start`.
    #[inline]
    pub(super) fn values(&self, start: u32, count: usize) -> &[Symbol] {
        let first = start as usize + 1;
        &self.words[first..first + count]
    }

    /// The label set that starts at `start`: its shape, then its values.
    #[inline]
    pub(super) fn entry(&self, start: u32, symbols: &Symbols) -> &[u32] {
        let count = symbols.shape(self.shape(start)).len();
        &self.words[start as usize..start as usize + 1 + count]
    }

    /// The label set that starts at `start`: names and values.
    pub(super) fn pairs<'a>(
        &'a self,
        start: u32,
        symbols: &'a Symbols,
    ) -> impl Iterator<Item = (Symbol, Symbol)> + 'a {
        let names = symbols.shape(self.shape(start));
        names.iter().copied().zip(self.values(start, names.len()).iter().copied())
    }

    /// Bytes that are held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u32>()
    }
}

/// Makes room for `additional` items, growing by an eighth instead of doubling: at a million
/// series the slack of doubling would be a hundred bytes a series.
pub(super) fn grow_gently<T>(vector: &mut Vec<T>, additional: usize) {
    if vector.capacity() - vector.len() < additional {
        vector.reserve_exact(additional.max(vector.len() / 8).max(8));
    }
}
