//! Label order of series.
//!
//! Comparing label sets is the dearest part of a select over many series, so the head remembers
//! the rank of each series once it has paid for finding it out: a select of known series sorts
//! numbers. Series that were created since are compared, until the comparisons have cost as much
//! as ranking them would.
//!
//! Everything here happens while `Head::selects` is held for reading, so that the numbers of
//! series stay what they are. Ranking from the beginning: `order/ranking.rs`.

mod ranking;

use std::cmp::Ordering as Compare;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::Head;
use super::symbols::Symbols;

/// The ranks of the series that were compared already.
#[derive(Debug, Default)]
pub(super) struct LabelOrder {
    ranked: RwLock<Ranked>,
    /// Rows without a rank that were sorted since the ranks were last extended.
    debt: AtomicUsize,
    /// Held by the one that extends the ranks.
    extending: Mutex<()>,
    /// How often series were given new numbers.
    pub(super) renumbered: AtomicU64,
}

#[derive(Debug, Default)]
struct Ranked {
    /// Numbers in label order.
    sorted: Vec<u32>,
    /// Rank by number.
    ranks: Vec<u32>,
}

/// Series with their labels as numbers: shape, then values.
struct Words {
    words: Vec<u32>,
    /// Where the words of each series start.
    starts: Vec<u32>,
}

/// Ranking all series anew costs about this much less a series than finding the place of one
/// among those that have ranks.
const MERGE_FACTOR: usize = 8;

impl Head {
    /// Puts numbers of series in label order.
    pub(super) fn sort_by_labels(&self, numbers: &mut Vec<u32>) {
        let known = self.order.ranked.read().ranks.len();
        let unranked = numbers.iter().filter(|&&number| number as usize >= known).count();
        if unranked > 0 {
            let debt = self.order.debt.fetch_add(unranked, Ordering::Relaxed) + unranked;
            let total = self.postings.read().len();
            if debt < total - known.min(total) || !self.extend_ranks() {
                return self.sort_with_unranked(numbers);
            }
        }
        self.order.ranked.read().sort(numbers);
    }

    /// Sorts the numbers that have a rank and inserts the others.
    fn sort_with_unranked(&self, numbers: &mut Vec<u32>) {
        let unranked: Vec<u32> = {
            let ranked = self.order.ranked.read();
            let known = ranked.ranks.len();
            let unranked = numbers.extract_if(.., |number| *number as usize >= known).collect();
            ranked.sort(numbers);
            unranked
        };
        *numbers = self.merge_new(numbers, &unranked);
    }

    /// Ranks all series that exist now. False when another thread is at it.
    fn extend_ranks(&self) -> bool {
        let Some(_extending) = self.order.extending.try_lock() else { return false };
        let known = self.order.ranked.read().sorted.len();
        let total = self.postings.read().len();
        let sorted = if (total - known) * MERGE_FACTOR > total {
            self.rank_all(total as u32)
        } else {
            let new: Vec<u32> = (known as u32..total as u32).collect();
            self.merge_new(&self.order.ranked.read().sorted, &new)
        };
        let mut ranks = vec![0; sorted.len()];
        for (rank, &number) in sorted.iter().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        *self.order.ranked.write() = Ranked { sorted, ranks };
        self.order.debt.store(0, Ordering::Relaxed);
        true
    }

    /// The numbers of `sorted`, which are in label order, and those of `new`, which are in none.
    fn merge_new(&self, sorted: &[u32], new: &[u32]) -> Vec<u32> {
        let words = self.words_of(new);
        let in_order = words.sorted(&self.symbols.read());
        let mut merged = Vec::with_capacity(sorted.len() + new.len());
        let mut rest = sorted;
        for index in in_order {
            let labels = words.of(index);
            let before =
                rest.partition_point(|&number| self.compare_to(number, labels) == Compare::Less);
            merged.extend_from_slice(&rest[..before]);
            merged.push(new[index]);
            rest = &rest[before..];
        }
        merged.extend_from_slice(rest);
        merged
    }

    /// Copies the labels of series, shard by shard.
    fn words_of(&self, numbers: &[u32]) -> Words {
        let mut words = Words { words: Vec::new(), starts: vec![0; numbers.len()] };
        self.visit_series(numbers, |shard, part| {
            let symbols = self.symbols.read();
            for at in part {
                words.starts[at.index] = words.words.len() as u32;
                let labels = shard.series[at.slot()].labels;
                words.words.extend_from_slice(shard.labels.entry(labels, &symbols));
            }
        });
        words
    }

    /// How the labels of a series compare with others.
    fn compare_to(&self, number: u32, others: &[u32]) -> Compare {
        let location = self.postings.read().location(number);
        let shard = self.shards.lock(location.shard());
        let symbols = self.symbols.read();
        let labels = shard.series[location.slot() as usize].labels;
        compare(shard.labels.entry(labels, &symbols), others, &symbols)
    }
}

impl Ranked {
    /// Sorts numbers that all have ranks.
    fn sort(&self, numbers: &mut [u32]) {
        // The rank stands in for the number meanwhile: looking it up again at each comparison
        // would cost more than all else.
        numbers.iter_mut().for_each(|number| *number = self.ranks[*number as usize]);
        numbers.sort_unstable();
        numbers.iter_mut().for_each(|number| *number = self.sorted[*number as usize]);
    }
}

impl LabelOrder {
    /// Takes over new numbers, by old number; `u32::MAX` = the series is gone.
    pub(super) fn renumber(&self, numbers: &[u32]) {
        self.renumbered.fetch_add(1, Ordering::AcqRel);
        let mut ranked = self.ranked.write();
        ranked.sorted.retain_mut(|number| {
            *number = numbers[*number as usize];
            *number != u32::MAX
        });
        let mut ranks = vec![0; ranked.sorted.len()];
        for (rank, &number) in ranked.sorted.iter().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        ranked.ranks = ranks;
    }

    /// Bytes that are held.
    pub(super) fn memory_bytes(&self) -> usize {
        let ranked = self.ranked.read();
        (ranked.sorted.capacity() + ranked.ranks.capacity()) * size_of::<u32>()
    }
}

impl Words {
    /// The indices of the series in label order.
    fn sorted(&self, symbols: &Symbols) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.starts.len()).collect();
        indices.sort_unstable_by(|&a, &b| compare(self.of(a), self.of(b), symbols));
        indices
    }

    /// The labels of one series, and what comes behind.
    fn of(&self, index: usize) -> &[u32] {
        &self.words[self.starts[index] as usize..]
    }
}

/// Label by label: equal numbers are equal strings, so that only the first difference is looked
/// up.
fn compare(a: &[u32], b: &[u32], symbols: &Symbols) -> Compare {
    let (names, other_names) = (symbols.shape(a[0]), symbols.shape(b[0]));
    let pairs = names.iter().zip(&a[1..]);
    let others = other_names.iter().zip(&b[1..]);
    for ((&name, &value), (&other_name, &other_value)) in pairs.zip(others) {
        if name != other_name {
            return symbols.get(name).cmp(symbols.get(other_name));
        }
        if value != other_value {
            return symbols.get(value).cmp(symbols.get(other_value));
        }
    }
    names.len().cmp(&other_names.len())
}

#[cfg(test)]
mod tests;
