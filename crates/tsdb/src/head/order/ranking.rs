//! Ranking all series of the head by their labels.
//!
//! Strings are compared once, to rank the strings themselves. A label set is then a row of
//! ranks (name, value, name, value ...), and the series are sorted by one column after the
//! other, each group of equal ones apart, until the groups are small enough to compare whole
//! rows. A million series take some tenths of a second and 8 bytes a series meanwhile.
//!
//! Called by `order.rs`, which keeps the outcome; takes each shard's lock for short runs only.

use std::ops::Range;

use super::super::Head;
use super::super::shards::Location;
use super::super::symbols::{Symbol, Symbols};

/// Groups of at most this many series are sorted by comparing whole rows.
const SMALL_GROUP: usize = 4096;
/// How many series are looked at under one lock of a shard, at most.
const RUN: usize = 1024;

/// The rank of each string among all strings, from 1; 0 stands for the end of a label set.
struct Ranks(Vec<u32>);

impl Ranks {
    fn of(symbols: &Symbols) -> Self {
        let mut sorted: Vec<(u64, Symbol)> =
            symbols.numbers().map(|symbol| (prefix(symbols.get(symbol)), symbol)).collect();
        sorted.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| symbols.get(a.1).cmp(symbols.get(b.1)))
        });
        let mut ranks = vec![0; symbols.number_bound()];
        for (rank, &(_, symbol)) in sorted.iter().enumerate() {
            ranks[symbol as usize] = rank as u32 + 1;
        }
        Self(ranks)
    }

    fn get(&self, symbol: Symbol) -> u32 {
        self.0[symbol as usize]
    }

    /// What stands in `column` of the label set with these names and values.
    fn cell(&self, names: &[Symbol], values: &[Symbol], column: usize) -> u32 {
        let cells = if column.is_multiple_of(2) { names } else { values };
        cells.get(column / 2).map_or(0, |&symbol| self.get(symbol))
    }
}

/// The first eight bytes, so that comparing numbers compares them; shorter strings come first.
fn prefix(text: &str) -> u64 {
    let mut bytes = [0; 8];
    let length = text.len().min(8);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u64::from_be_bytes(bytes)
}

/// A part of the numbers that is equal in all columns before `column`.
struct Group {
    range: Range<usize>,
    column: usize,
}

impl Head {
    /// All numbers below `total` in label order.
    pub(super) fn rank_all(&self, total: u32) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..total).collect();
        let ranks = Ranks::of(&self.symbols.read());
        let mut keyed = Vec::new();
        let mut groups = vec![Group { range: 0..numbers.len(), column: 0 }];
        while let Some(group) = groups.pop() {
            let part = &mut numbers[group.range.clone()];
            if part.len() <= SMALL_GROUP {
                self.sort_small(part, &ranks);
            } else {
                self.sort_by_column(part, (&ranks, group.column), &mut keyed);
                split(&keyed, &group, &mut groups);
            }
        }
        numbers
    }

    /// Sorts numbers by one column; equal ones stay in the order of their numbers, which is
    /// that of their places in memory. `keyed` becomes what stands in the column (the higher
    /// half) and the numbers.
    fn sort_by_column(
        &self,
        numbers: &mut [u32],
        (ranks, column): (&Ranks, usize),
        keyed: &mut Vec<u64>,
    ) {
        keyed.clear();
        keyed.reserve_exact(numbers.len());
        self.visit_labels(numbers, |number, names, values| {
            let cell = ranks.cell(names, values, column);
            keyed.push(u64::from(cell) << 32 | u64::from(number));
        });
        if !keyed.is_sorted() {
            keyed.sort_unstable();
            numbers.iter_mut().zip(keyed).for_each(|(number, key)| *number = *key as u32);
        }
    }

    fn sort_small(&self, numbers: &mut [u32], ranks: &Ranks) {
        if numbers.len() < 2 {
            return;
        }
        let mut cells: Vec<u32> = Vec::new();
        let mut rows: Vec<(u32, u32)> = Vec::with_capacity(numbers.len());
        self.visit_labels(numbers, |number, names, values| {
            rows.push((cells.len() as u32, number));
            for (&name, &value) in names.iter().zip(values) {
                cells.extend([ranks.get(name), ranks.get(value)]);
            }
            // The end comes before all that goes on, and no comparison reads beyond it.
            cells.push(0);
        });
        rows.sort_unstable_by(|a, b| cells[a.0 as usize..].cmp(&cells[b.0 as usize..]));
        numbers.iter_mut().zip(rows).for_each(|(number, row)| *number = row.1);
    }

    /// Hands the names and values of series to `visit`, in the given order.
    fn visit_labels(&self, numbers: &[u32], mut visit: impl FnMut(u32, &[Symbol], &[Symbol])) {
        for part in numbers.chunks(RUN) {
            let located: Vec<(Location, u32)> = {
                let postings = self.postings.read();
                part.iter().map(|&number| (postings.location(number), number)).collect()
            };
            for run in located.chunk_by(|a, b| a.0.shard() == b.0.shard()) {
                let shard = self.shards.lock(run[0].0.shard());
                let symbols = self.symbols.read();
                for &(location, number) in run {
                    let start = shard.series[location.slot() as usize].labels;
                    let names = symbols.shape(shard.labels.shape(start));
                    visit(number, names, shard.labels.values(start, names.len()));
                }
            }
        }
    }
}

/// Adds the groups into which the sorted column divides `group`. One whose label sets have all
/// ended holds a single series.
fn split(keyed: &[u64], group: &Group, groups: &mut Vec<Group>) {
    let mut start = group.range.start;
    for equal in keyed.chunk_by(|a, b| a >> 32 == b >> 32) {
        let range = start..start + equal.len();
        start = range.end;
        if equal.len() > 1 && equal[0] >> 32 > 0 {
            groups.push(Group { range, column: group.column + 1 });
        }
    }
}
