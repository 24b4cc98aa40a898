//! The highest of many counts, in memory for no more than are wanted.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A text with its count. The higher count comes first, of equal ones the lower text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranked {
    pub(super) count: u64,
    pub(super) text: String,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        compare((self.count, &self.text), (other.count, &other.text))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn compare(a: (u64, &str), b: (u64, &str)) -> Ordering {
    b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1))
}

/// The first few of many ranked texts.
pub(super) struct HighestCounts {
    /// The last one is on top.
    heap: BinaryHeap<Ranked>,
    limit: usize,
}

impl HighestCounts {
    /// Keeps `limit` texts.
    pub(super) fn new(limit: usize) -> Self {
        Self { heap: BinaryHeap::new(), limit }
    }

    /// Takes a text in, if it is among the first.
    pub(super) fn add(&mut self, text: &str, count: u64) {
        if self.heap.len() >= self.limit {
            let is_before =
                |last: &Ranked| compare((count, text), (last.count, &last.text)) == Ordering::Less;
            if !self.heap.peek().is_some_and(is_before) {
                return;
            }
            self.heap.pop();
        }
        self.heap.push(Ranked { count, text: text.to_owned() });
    }

    /// The texts in their order.
    pub(super) fn sorted(self) -> Vec<Ranked> {
        self.heap.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_few_are_those_of_sorting_all(
            counts in prop::collection::vec((0u64..10, "[a-c]{1,3}"), 0..50),
            limit in 0usize..20,
        ) {
            let mut highest = HighestCounts::new(limit);
            counts.iter().for_each(|(count, text)| highest.add(text, *count));
            let ranked = counts.iter().map(|(count, text)| Ranked { count: *count, text: text.clone() });
            let mut all: Vec<Ranked> = ranked.collect();
            all.sort_by(|a, b| b.count.cmp(&a.count).then(a.text.cmp(&b.text)));
            all.truncate(limit);
            prop_assert_eq!(highest.sorted(), all);
        }
    }
}
