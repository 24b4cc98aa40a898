//! The strings of a tenant's head, each once, named by 32-bit numbers; and the shapes of label
//! sets: the names alone, which many series share.
//!
//! A series holds a shape and one number a value (`labels.rs`). Numbers stay valid until the
//! garbage collection of the head (`truncate.rs`) finds them unused.

use hashbrown::HashTable;
use model::Label;
use model::bytes::same_bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The number of a string.
pub(super) type Symbol = u32;
/// The number of a list of label names.
pub(super) type ShapeId = u32;

/// The size of a block of strings, bytes.
const BLOCK_BYTES: usize = 64 * 1024;
/// The size of the first block, so that a tenant with few series holds little.
const FIRST_BLOCK_BYTES: usize = 2048;

/// Strings and shapes.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    seed: u64,
    /// Whole strings lie in one block each; a block never grows beyond its first allocation.
    blocks: Vec<String>,
    places: Vec<Place>,
    table: HashTable<Symbol>,
    /// Numbers that are free again.
    free: Vec<Symbol>,
    shapes: Vec<Box<[Symbol]>>,
    shape_table: HashTable<ShapeId>,
    /// Shapes that are free again.
    free_shapes: Vec<ShapeId>,
    /// How often numbers were given up.
    generation: u32,
}

/// Where a string lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    block: u32,
    start: u32,
    len: u32,
}

impl Place {
    #[inline]
    fn text(self, blocks: &[String]) -> &str {
        let start = self.start as usize;
        &blocks[self.block as usize][start..start + self.len as usize]
    }

    fn hash(self, blocks: &[String], seed: u64) -> u64 {
        xxh3_64_with_seed(self.text(blocks).as_bytes(), seed)
    }
}

/// The place of a number that is free.
const FREE: Place = Place { block: u32::MAX, start: 0, len: 0 };

impl Symbols {
    /// An empty table. `seed` keeps clients from aiming for collisions.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The string of a number.
    #[inline]
    pub(super) fn get(&self, symbol: Symbol) -> &str {
        self.places[symbol as usize].text(&self.blocks)
    }

    /// The number of a string, if it has one.
    pub(super) fn find(&self, text: &str) -> Option<Symbol> {
        let hash = self.hash(text);
        self.table.find(hash, |&symbol| self.get(symbol) == text).copied()
    }

    /// The number of a string, which gets one now if it has none.
    pub(super) fn intern(&mut self, text: &str) -> Symbol {
        let hash = self.hash(text);
        if let Some(&symbol) = self.table.find(hash, |&symbol| self.get(symbol) == text) {
            return symbol;
        }
        let place = self.store(text);
        let symbol = match self.free.pop() {
            Some(symbol) => {
                self.places[symbol as usize] = place;
                symbol
            }
            None => {
                self.places.push(place);
                (self.places.len() - 1) as Symbol
            }
        };
        let (seed, places, blocks) = (self.seed, &self.places, &self.blocks);
        let rehash = |&other: &Symbol| places[other as usize].hash(blocks, seed);
        self.table.insert_unique(hash, symbol, rehash);
        symbol
    }

    /// The names of a shape, ascending.
    #[inline]
    pub(super) fn shape(&self, shape: ShapeId) -> &[Symbol] {
        &self.shapes[shape as usize]
    }

    /// The shape with these names, if there is one.
    pub(super) fn find_shape(&self, names: &[Symbol]) -> Option<ShapeId> {
        let same = |&shape: &ShapeId| &*self.shapes[shape as usize] == names;
        self.shape_table.find(hash_shape(names), same).copied()
    }

    /// The shape with these names, which are ascending as strings.
    pub(super) fn intern_shape(&mut self, names: &[Symbol]) -> ShapeId {
        let hash = hash_shape(names);
        let shapes = &self.shapes;
        let same = |&shape: &ShapeId| &*shapes[shape as usize] == names;
        if let Some(&shape) = self.shape_table.find(hash, same) {
            return shape;
        }
        let shape = match self.free_shapes.pop() {
            Some(shape) => {
                self.shapes[shape as usize] = Box::from(names);
                shape
            }
            None => {
                self.shapes.push(Box::from(names));
                (self.shapes.len() - 1) as ShapeId
            }
        };
        let shapes = &self.shapes;
        let rehash = |&shape: &ShapeId| hash_shape(&shapes[shape as usize]);
        self.shape_table.insert_unique(hash, shape, rehash);
        shape
    }

    /// Whether the label set of a shape with these values is `labels`.
    #[inline]
    pub(super) fn matches(&self, shape: ShapeId, values: &[Symbol], labels: &[Label<'_>]) -> bool {
        let names = self.shape(shape);
        names.len() == labels.len()
            && values.len() == labels.len()
            && labels.iter().zip(values).all(|(label, &value)| self.is(value, label.value))
            && labels.iter().zip(names).all(|(label, &name)| self.is(name, label.name))
    }

    /// Whether the string of a number is `text`.
    #[inline]
    pub(super) fn is(&self, symbol: Symbol, text: &str) -> bool {
        let place = self.places[symbol as usize];
        if place.len as usize != text.len() {
            return false;
        }
        let start = place.start as usize;
        let block = self.blocks[place.block as usize].as_bytes();
        let Some(stored) = block.get(start..start + text.len()) else { return false };
        same_bytes(stored, text.as_bytes())
    }

    /// The number of strings.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// One more than the highest number that was given out.
    pub(super) fn number_bound(&self) -> usize {
        self.places.len()
    }

    /// One more than the highest shape that was given out.
    pub(super) fn shape_bound(&self) -> usize {
        self.shapes.len()
    }

    /// The numbers of all strings, in no particular order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.table.iter().copied()
    }

    /// As long as this is the same, shapes that were found mean the same names.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// All strings, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.table.iter().map(|&symbol| self.get(symbol))
    }

    /// Drops the strings and shapes that are not used and moves the others together. The names
    /// of used shapes must be used.
    pub(super) fn retain(&mut self, used_symbols: &[bool], used_shapes: &[bool]) {
        self.generation = self.generation.wrapping_add(1);
        let shapes = &mut self.shapes;
        let free_shapes = &mut self.free_shapes;
        self.shape_table.retain(|&mut shape| {
            let is_used = used_shapes[shape as usize];
            if !is_used {
                shapes[shape as usize] = Box::default();
                free_shapes.push(shape);
            }
            is_used
        });
        let old_blocks = std::mem::take(&mut self.blocks);
        for (symbol, &is_used) in used_symbols.iter().enumerate() {
            let place = self.places[symbol];
            if place.block == FREE.block {
                continue;
            }
            if is_used {
                self.places[symbol] = self.store(place.text(&old_blocks));
            } else {
                self.places[symbol] = FREE;
                self.free.push(symbol as Symbol);
            }
        }
        let (seed, places, blocks) = (self.seed, &self.places, &self.blocks);
        self.table.retain(|&mut symbol| places[symbol as usize].block != FREE.block);
        self.table.shrink_to_fit(|&symbol| places[symbol as usize].hash(blocks, seed));
    }

    /// Bytes that are held.
    pub(super) fn memory_bytes(&self) -> usize {
        let shape_bytes = |names: &[Symbol]| size_of::<Box<[Symbol]>>() + size_of_val(names);
        self.blocks.iter().map(|block| block.capacity() + size_of::<String>()).sum::<usize>()
            + self.places.capacity() * size_of::<Place>()
            + self.table.capacity() * 5
            + self.shapes.iter().map(|names| shape_bytes(names)).sum::<usize>()
    }

    fn hash(&self, text: &str) -> u64 {
        xxh3_64_with_seed(text.as_bytes(), self.seed)
    }

    fn store(&mut self, text: &str) -> Place {
        let fits = |block: &String| block.capacity() - block.len() >= text.len();
        if !self.blocks.last().is_some_and(fits) {
            let usual = if self.blocks.is_empty() { FIRST_BLOCK_BYTES } else { BLOCK_BYTES };
            self.blocks.push(String::with_capacity(usual.max(text.len())));
        }
        let block = self.blocks.len() - 1;
        let last = &mut self.blocks[block];
        let start = last.len();
        last.push_str(text);
        Place { block: block as u32, start: start as u32, len: text.len() as u32 }
    }
}

fn hash_shape(names: &[Symbol]) -> u64 {
    let mut bytes = Vec::with_capacity(size_of_val(names));
    names.iter().for_each(|name| bytes.extend_from_slice(&name.to_le_bytes()));
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_one_number_and_keep_it() {
        let mut symbols = Symbols::new(3);
        let texts: Vec<String> = (0..20_000).map(|i| "x".repeat(i % 50) + &i.to_string()).collect();
        let numbers: Vec<Symbol> = texts.iter().map(|text| symbols.intern(text)).collect();
        let long = "y".repeat(BLOCK_BYTES * 2);
        let long_number = symbols.intern(&long);
        for (text, &number) in texts.iter().zip(&numbers) {
            assert_eq!(symbols.get(number), text);
            assert_eq!(symbols.intern(text), number);
            assert_eq!(symbols.find(text), Some(number));
        }
        assert_eq!(symbols.get(long_number), long);
        assert_eq!(symbols.find("no such text"), None);
        assert_eq!(symbols.len(), 20_001);
    }

    #[test]
    fn unused_strings_go_and_their_numbers_come_back() {
        let mut symbols = Symbols::new(3);
        let numbers: Vec<Symbol> = (0..1000).map(|i| symbols.intern(&i.to_string())).collect();
        let before = symbols.memory_bytes();
        let used: Vec<bool> = (0..1000).map(|symbol| symbol % 10 == 0).collect();
        symbols.retain(&used, &[]);
        for (i, &number) in numbers.iter().enumerate() {
            let found = symbols.find(&i.to_string());
            assert_eq!(found, (number % 10 == 0).then_some(number), "{i}");
        }
        for i in 1000..1900 {
            assert!(symbols.intern(&i.to_string()) < 1000);
        }
        assert!(symbols.memory_bytes() <= before + 8192);
    }

    #[test]
    fn label_sets_match_by_names_and_values() {
        let mut symbols = Symbols::new(0);
        let names = [symbols.intern("a"), symbols.intern("b")];
        let values = [symbols.intern("1"), symbols.intern("2")];
        let shape = symbols.intern_shape(&names);
        assert_eq!(symbols.intern_shape(&names), shape);
        let labels = [Label { name: "a", value: "1" }, Label { name: "b", value: "2" }];
        assert!(symbols.matches(shape, &values, &labels));
        assert!(!symbols.matches(shape, &values, &labels[..1]));
        let other = [Label { name: "a", value: "1" }, Label { name: "c", value: "2" }];
        assert!(!symbols.matches(shape, &values, &other));
        let other = [Label { name: "a", value: "1" }, Label { name: "b", value: "3" }];
        assert!(!symbols.matches(shape, &values, &other));
    }
}
