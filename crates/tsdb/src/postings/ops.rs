//! Set operations on postings lists.
//!
//! Lists are arrays, so a short list finds its numbers in a long one by galloping: from the place
//! of the last hit in doubling steps, then by bisection. Lists of similar length are merged.

use super::PostingsList;

/// From this ratio of lengths on galloping wins over merging.
const GALLOP_RATIO: usize = 8;

/// Something like a slice of ascending numbers.
trait Sorted: Copy {
    fn len(self) -> usize;
    fn at(self, index: usize) -> u32;
}

impl Sorted for &[u32] {
    #[inline]
    fn len(self) -> usize {
        <[u32]>::len(self)
    }

    #[inline]
    fn at(self, index: usize) -> u32 {
        self[index]
    }
}

impl Sorted for &[[u8; 4]] {
    #[inline]
    fn len(self) -> usize {
        <[[u8; 4]]>::len(self)
    }

    #[inline]
    fn at(self, index: usize) -> u32 {
        u32::from_be_bytes(self[index])
    }
}

/// The first index from `from` on whose number is not below `number`.
#[inline]
fn gallop(list: impl Sorted, from: usize, number: u32) -> usize {
    let len = list.len();
    let mut low = from;
    let mut step = 1;
    while low + step < len && list.at(low + step) < number {
        low += step;
        step *= 2;
    }
    let mut high = (low + step).min(len);
    while low < high {
        let middle = low.midpoint(high);
        if list.at(middle) < number {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The first index from `from` on whose number is not below `number`, expected to be near.
#[inline]
fn walk(list: impl Sorted, from: usize, number: u32) -> usize {
    let mut index = from;
    while index < list.len() && list.at(index) < number {
        index += 1;
    }
    index
}

/// Keeps the numbers of `base` whose being in `list` is `wanted`.
fn retain(base: &mut Vec<u32>, list: impl Sorted, wanted: bool) {
    let far = list.len() / GALLOP_RATIO > base.len();
    let mut index = 0;
    base.retain(|&number| {
        index = if far { gallop(list, index, number) } else { walk(list, index, number) };
        (index < list.len() && list.at(index) == number) == wanted
    });
}

/// Keeps the numbers of `base` that are in `list`.
pub fn intersect(base: &mut Vec<u32>, list: &PostingsList<'_>) {
    if list.len() < base.len() / GALLOP_RATIO {
        let mut short = list.clone().into_vec();
        retain(&mut short, &base[..], true);
        *base = short;
        return;
    }
    match list {
        PostingsList::Numbers(numbers) => retain(base, &numbers[..], true),
        PostingsList::BigEndian(numbers) => retain(base, *numbers, true),
    }
}

/// Drops the numbers of `base` that are in `list`.
pub fn subtract(base: &mut Vec<u32>, list: &PostingsList<'_>) {
    match list {
        PostingsList::Numbers(numbers) => retain(base, &numbers[..], false),
        PostingsList::BigEndian(numbers) => retain(base, *numbers, false),
    }
}

/// Keeps the numbers of `base` that are in any of `lists`.
pub(super) fn intersect_any(base: &mut Vec<u32>, lists: Vec<PostingsList<'_>>) {
    let total: usize = lists.iter().map(PostingsList::len).sum();
    if lists.len() == 1 {
        intersect(base, &lists[0]);
        return;
    }
    if total / GALLOP_RATIO <= base.len() {
        intersect(base, &union(lists));
        return;
    }
    let mut kept = Vec::new();
    for list in &lists {
        let mut hits = base.clone();
        intersect(&mut hits, list);
        kept.append(&mut hits);
    }
    kept.sort_unstable();
    kept.dedup();
    *base = kept;
}

/// Whether a number of `base` is in `list`.
pub fn intersects(base: &[u32], list: &PostingsList<'_>) -> bool {
    match list {
        PostingsList::Numbers(numbers) => have_common(base, &numbers[..]),
        PostingsList::BigEndian(numbers) => have_common(base, *numbers),
    }
}

fn have_common(a: impl Sorted, b: impl Sorted) -> bool {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (a.at(i), b.at(j));
        if x == y {
            return true;
        }
        if x < y {
            i = gallop(a, i, y);
        } else {
            j = gallop(b, j, x);
        }
    }
    false
}

/// The numbers that are in any of `lists`.
pub fn union(mut lists: Vec<PostingsList<'_>>) -> PostingsList<'_> {
    lists.retain(|list| !list.is_empty());
    if lists.len() < 2 {
        return lists.pop().unwrap_or_else(PostingsList::empty);
    }
    let total: usize = lists.iter().map(PostingsList::len).sum();
    let highest = lists.iter().filter_map(PostingsList::last).max().unwrap_or(0) as usize;
    let numbers = if highest / 32 < total {
        union_by_bits(&lists, highest)
    } else {
        union_by_sorting(&lists, total)
    };
    PostingsList::Numbers(numbers.into())
}

/// One bit for each number up to `highest`: for lists that are dense together. Takes at most
/// about the memory of the result.
fn union_by_bits(lists: &[PostingsList<'_>], highest: usize) -> Vec<u32> {
    let mut bits = vec![0u64; highest / 64 + 1];
    // A damaged list may hold a number above its last one: it is left out.
    let mut set = |number: u32| {
        if let Some(word) = bits.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    };
    for list in lists {
        match list {
            PostingsList::Numbers(numbers) => numbers.iter().for_each(|&n| set(n)),
            PostingsList::BigEndian(numbers) => {
                numbers.iter().for_each(|b| set(u32::from_be_bytes(*b)));
            }
        }
    }
    let mut numbers = Vec::with_capacity(bits.iter().map(|w| w.count_ones() as usize).sum());
    for (i, &word) in bits.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            numbers.push((i * 64) as u32 + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    numbers
}

fn union_by_sorting(lists: &[PostingsList<'_>], total: usize) -> Vec<u32> {
    let mut numbers = Vec::with_capacity(total);
    for list in lists {
        match list {
            PostingsList::Numbers(list) => numbers.extend_from_slice(list),
            PostingsList::BigEndian(list) => {
                numbers.extend(list.iter().map(|b| u32::from_be_bytes(*b)));
            }
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    type Set = BTreeSet<u32>;

    /// Sets of very different sizes and densities.
    fn set() -> impl Strategy<Value = Set> {
        prop_oneof![
            btree_set(0u32..64, 0..20),
            btree_set(0u32..10_000, 0..500),
            btree_set(any::<u32>(), 0..40),
            (0u32..500, 1usize..2_000).prop_map(|(from, n)| (from..).take(n).collect()),
        ]
    }

    /// Runs `check` with the list in both forms.
    fn in_both_forms(set: &Set, mut check: impl FnMut(PostingsList<'_>)) {
        let numbers: Vec<u32> = set.iter().copied().collect();
        let bytes: Vec<u8> = set.iter().flat_map(|n| n.to_be_bytes()).collect();
        check(PostingsList::numbers(&numbers));
        check(PostingsList::big_endian(&bytes).unwrap());
    }

    proptest! {
        #[test]
        fn operations_equal_those_of_sets(a in set(), b in set()) {
            in_both_forms(&b, |list| {
                let mut base: Vec<u32> = a.iter().copied().collect();
                assert_eq!(intersects(&base, &list), a.intersection(&b).next().is_some());
                intersect(&mut base, &list);
                assert!(base.iter().eq(a.intersection(&b)));
                let mut base: Vec<u32> = a.iter().copied().collect();
                subtract(&mut base, &list);
                assert!(base.iter().eq(a.difference(&b)));
                assert!(list.clone().into_vec().iter().eq(&b));
                assert_eq!((list.len(), list.last()), (b.len(), b.last().copied()));
            });
        }

        #[test]
        fn unions_equal_those_of_sets(sets in vec(set(), 0..6)) {
            let owned: Vec<Vec<u8>> =
                sets.iter().map(|s| s.iter().flat_map(|n| n.to_be_bytes()).collect()).collect();
            let lists = owned.iter().map(|b| PostingsList::big_endian(b).unwrap()).collect();
            let want: Set = sets.iter().flatten().copied().collect();
            prop_assert!(union(lists).into_vec().iter().eq(&want));
        }

        #[test]
        fn unsorted_lists_do_not_panic(a in vec(any::<u32>(), 0..50), b in vec(0u32..100, 0..50)) {
            let list = PostingsList::numbers(&b);
            intersects(&a, &list);
            let mut base = a.clone();
            intersect(&mut base, &list);
            let mut base = a.clone();
            subtract(&mut base, &list);
            union(vec![PostingsList::numbers(&a), list]);
        }
    }

    #[test]
    fn a_list_of_odd_length_is_refused() {
        assert!(PostingsList::big_endian(&[0, 0, 0, 1, 0]).is_err());
    }
}
