//! The inverted index of the head: from label pairs to the numbers of the series that have them.
//!
//! Series are numbered in order of their creation, so every list is ascending by appending at
//! its end. Numbers are not reused until the garbage collection builds new postings
//! (`truncate.rs`). Locked as a whole; filled by `create.rs`, read by `read.rs`.

use hashbrown::HashTable;

use super::labels::grow_gently;
use super::shards::Location;
use super::symbols::Symbol;
use crate::postings::PackedList;

/// The inverted index.
#[derive(Debug, Default)]
pub(super) struct Postings {
    locations: Vec<Location>,
    names: HashTable<Name>,
    /// How many lists there are, and the bytes of what they hold.
    list_count: usize,
    list_bytes: usize,
}

/// All values of one label name.
#[derive(Debug)]
struct Name {
    name: Symbol,
    values: HashTable<Value>,
    /// How many series have it.
    series_count: u32,
}

/// The series with one value of a label.
#[derive(Debug)]
struct Value {
    value: Symbol,
    numbers: PackedList,
}

/// The new number of a series that is gone.
const REMOVED: u32 = u32::MAX;

impl Name {
    /// Takes over new numbers. Whether any series is left.
    fn renumber(&mut self, numbers: &[u32]) -> bool {
        self.series_count = 0;
        self.values.retain(|value| {
            value.renumber(numbers);
            self.series_count += value.numbers.len() as u32;
            !value.numbers.is_empty()
        });
        self.values.shrink_to(self.values.len() * 2, |v| spread(v.value));
        self.series_count > 0
    }
}

impl Value {
    fn renumber(&mut self, numbers: &[u32]) {
        let mut kept = PackedList::default();
        self.numbers.for_each_run(|run| {
            let new = run.iter().map(|&number| numbers[number as usize]);
            for number in new.filter(|&number| number != REMOVED) {
                kept.push(number);
            }
        });
        self.numbers = kept;
    }
}

impl Postings {
    /// Makes room for so many series.
    pub(super) fn reserve(&mut self, count: usize) {
        self.locations.reserve_exact(count.saturating_sub(self.locations.len()));
    }

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
            let list = self.count_and_list(name, value);
            let is_new = list.is_empty();
            let bytes = list.push(number);
            self.list_count += usize::from(is_new);
            self.list_bytes = self.list_bytes.wrapping_add_signed(bytes);
        }
        number
    }

    fn count_and_list(&mut self, name: Symbol, value: Symbol) -> &mut PackedList {
        let entry = self.names.entry(spread(name), |n| n.name == name, |n| spread(n.name));
        let new = || Name { name, values: HashTable::new(), series_count: 0 };
        let name = entry.or_insert_with(new).into_mut();
        name.series_count += 1;
        let values = &mut name.values;
        let entry = values.entry(spread(value), |v| v.value == value, |v| spread(v.value));
        let value =
            entry.or_insert_with(|| Value { value, numbers: PackedList::default() }).into_mut();
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

    /// The numbers of the series with this label; `None` where there is none.
    pub(super) fn list(&self, name: Symbol, value: Symbol) -> Option<&PackedList> {
        let found = self.name(name)?.values.find(spread(value), |v| v.value == value);
        found.map(|v| &v.numbers)
    }

    /// The values of a label name with their lists, in no order.
    pub(super) fn values(&self, name: Symbol) -> impl Iterator<Item = (Symbol, &PackedList)> {
        let values = self.name(name).map(|name| &name.values);
        values.into_iter().flatten().map(|v| (v.value, &v.numbers))
    }

    /// How many values a label name has, and how many series have it.
    pub(super) fn counts(&self, name: Symbol) -> (usize, usize) {
        self.name(name).map_or((0, 0), |name| (name.values.len(), name.series_count as usize))
    }

    /// All label names, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.names.iter().map(|name| name.name)
    }

    fn name(&self, name: Symbol) -> Option<&Name> {
        self.names.find(spread(name), |n| n.name == name)
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
        self.names.retain(|name| name.renumber(&numbers));
        let lists = || self.names.iter().flat_map(|name| &name.values);
        self.list_count = lists().count();
        self.list_bytes = lists().map(|value| value.numbers.memory_bytes()).sum();
        numbers
    }

    /// About how many bytes are held.
    pub(super) fn memory_bytes(&self) -> usize {
        // Tables are half to fully used.
        self.locations.capacity() * size_of::<Location>()
            + self.list_count * (size_of::<Value>() + 1) * 4 / 3
            + self.list_bytes
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
        assert_eq!(postings.list(0, 12).unwrap().to_vec(), want);
        assert!(postings.list(0, 20).is_none() && postings.list(7, 10).is_none());
        assert_eq!((postings.counts(0), postings.counts(1)), ((3, 1000), (2, 1000)));
        let mut values: Vec<u32> = postings.values(1).map(|(value, _)| value).collect();
        values.sort_unstable();
        assert_eq!(values, [20, 21]);
    }

    #[test]
    fn removed_series_leave_their_lists_and_the_others_are_numbered_anew() {
        let mut postings = Postings::default();
        for i in 0..1000u32 {
            let even = (i % 2 == 0).then_some((1, 7));
            postings.add(Location::new(0, i), [(0, i / 500), (2, 9)].into_iter().chain(even));
        }
        let numbers = postings.retain(|location| location.slot() % 2 == 1 && location.slot() < 900);
        assert_eq!((postings.len(), numbers[1], numbers[899]), (450, 0, 449));
        assert_eq!(postings.counts(1), (0, 0));
        assert_eq!(postings.counts(0), (2, 450));
        assert_eq!(postings.list(0, 1).unwrap().to_vec(), (250..450).collect::<Vec<u32>>());
        assert_eq!(postings.list(2, 9).unwrap().len(), 450);
        assert_eq!(postings.location(449), Location::new(0, 899));
    }
}
