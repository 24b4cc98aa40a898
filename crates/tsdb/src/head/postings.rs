//! The inverted index of the head: from label pairs to the numbers of the series that have them.
//!
//! Series are numbered in order of their creation, so every list is ascending by appending at
//! its end. Numbers are not reused until the garbage collection builds new postings
//! (`truncate.rs`). Locked as a whole; filled by `create.rs`, read by `read.rs`.

use hashbrown::HashTable;

use super::labels::grow_gently;
use super::shards::Location;
use super::symbols::Symbol;

/// The inverted index.
#[derive(Debug, Default)]
pub(super) struct Postings {
    locations: Vec<Location>,
    names: HashTable<Name>,
    /// How many lists there are, and numbers in all of them.
    list_count: usize,
    number_count: usize,
}

/// All values of one label name.
#[derive(Debug)]
struct Name {
    name: Symbol,
    values: HashTable<Value>,
}

/// The series with one value of a label.
#[derive(Debug)]
struct Value {
    value: Symbol,
    numbers: Vec<u32>,
}

/// The new number of a series that is gone.
const REMOVED: u32 = u32::MAX;

impl Value {
    /// Takes over new numbers. Whether any series is left.
    fn renumber(&mut self, numbers: &[u32]) -> bool {
        self.numbers.retain_mut(|number| {
            *number = numbers[*number as usize];
            *number != REMOVED
        });
        self.numbers.shrink_to(self.numbers.len() + self.numbers.len() / 4);
        !self.numbers.is_empty()
    }
}

impl Postings {
    /// Adds a series and returns its number.
    pub(super) fn add(
        &mut self,
        location: Location,
        pairs: impl Iterator<Item = (Symbol, Symbol)>,
    ) -> u32 {
        let number = self.locations.len() as u32;
        grow_gently(&mut self.locations, 1);
        self.locations.push(location);
        for (name, value) in pairs {
            let numbers = self.list_mut(name, value);
            grow_gently(numbers, 1);
            numbers.push(number);
            let is_new = numbers.len() == 1;
            self.list_count += usize::from(is_new);
            self.number_count += 1;
        }
        number
    }

    fn list_mut(&mut self, name: Symbol, value: Symbol) -> &mut Vec<u32> {
        let entry = self.names.entry(spread(name), |n| n.name == name, |n| spread(n.name));
        let name = entry.or_insert_with(|| Name { name, values: HashTable::new() }).into_mut();
        let values = &mut name.values;
        let entry = values.entry(spread(value), |v| v.value == value, |v| spread(v.value));
        let value = entry.or_insert_with(|| Value { value, numbers: Vec::new() }).into_mut();
        &mut value.numbers
    }

    /// The number of series, which is one more than the highest number.
    pub(super) fn len(&self) -> usize {
        self.locations.len()
    }

    /// Where a series is.
    #[inline]
    pub(super) fn location(&self, number: u32) -> Location {
        self.locations[number as usize]
    }

    /// The numbers of the series with this label, ascending.
    pub(super) fn list(&self, name: Symbol, value: Symbol) -> &[u32] {
        let found = self.values_table(name);
        let found = found.and_then(|t| t.find(spread(value), |v| v.value == value));
        found.map_or(&[], |v| &v.numbers)
    }

    /// The values of a label name with their lists, in no order.
    pub(super) fn values(&self, name: Symbol) -> impl Iterator<Item = (Symbol, &[u32])> {
        self.values_table(name).into_iter().flatten().map(|v| (v.value, &*v.numbers))
    }

    /// All label names, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.names.iter().map(|name| name.name)
    }

    fn values_table(&self, name: Symbol) -> Option<&HashTable<Value>> {
        self.names.find(spread(name), |n| n.name == name).map(|n| &n.values)
    }

    /// Keeps the series whose locations satisfy `keep` and numbers them anew, in their order.
    /// Returns the new numbers by old number; those of removed series mean nothing.
    pub(super) fn retain(&mut self, keep: impl Fn(Location) -> bool) -> Vec<u32> {
        let mut numbers = vec![REMOVED; self.locations.len()];
        let mut next = 0;
        for (number, &location) in numbers.iter_mut().zip(&self.locations) {
            if keep(location) {
                *number = next;
                next += 1;
            }
        }
        let mut old_number = 0;
        self.locations.retain(|_| {
            old_number += 1;
            numbers[old_number - 1] != REMOVED
        });
        self.locations.shrink_to(self.locations.len() + self.locations.len() / 8);
        self.names.retain(|name| {
            name.values.retain(|value| value.renumber(&numbers));
            name.values.shrink_to(name.values.len() * 2, |v| spread(v.value));
            !name.values.is_empty()
        });
        let lists = || self.names.iter().flat_map(|name| &name.values);
        self.list_count = lists().count();
        self.number_count = lists().map(|value| value.numbers.len()).sum();
        numbers
    }

    /// About how many bytes are held.
    pub(super) fn memory_bytes(&self) -> usize {
        // Tables are half to fully used, lists nearly fully.
        self.locations.capacity() * size_of::<Location>()
            + self.list_count * (size_of::<Value>() + 1) * 4 / 3
            + self.number_count * size_of::<u32>() * 17 / 16
    }
}

/// Spreads consecutive numbers over the bits that the tables use.
fn spread(symbol: Symbol) -> u64 {
    u64::from(symbol).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_ascending_and_by_label() {
        let mut postings = Postings::default();
        for i in 0..1000u32 {
            let pairs = [(0, 10 + i % 3), (1, 20 + i % 2)];
            assert_eq!(postings.add(Location::new(0, i), pairs.into_iter()), i);
        }
        let want: Vec<u32> = (0..1000).filter(|i| i % 3 == 2).collect();
        assert_eq!(postings.list(0, 12), want);
        assert_eq!(postings.list(0, 20), &[] as &[u32]);
        assert_eq!(postings.list(7, 10), &[] as &[u32]);
        assert_eq!(postings.values(0).count(), 3);
        let mut values: Vec<u32> = postings.values(1).map(|(value, _)| value).collect();
        values.sort_unstable();
        assert_eq!(values, [20, 21]);
    }
}
