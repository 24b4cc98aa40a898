//! Set operations on postings lists.
//!
//! A short list finds its numbers in a long one by galloping: from the place of the last hit in
//! doubling steps, then by bisection; packed lists gallop over blocks. Lists of similar length are
//! merged.

use super::{PackedCursor, PostingsList};

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

/// A search for ascending numbers.
trait Seek {
    /// The lowest number of the list that is not below `number`.
    fn seek(&mut self, number: u32) -> Option<u32>;
}

/// Searches by galloping.
struct Galloping<S>(S, usize);

impl<S: Sorted> Seek for Galloping<S> {
    #[inline]
    fn seek(&mut self, number: u32) -> Option<u32> {
        self.1 = gallop(self.0, self.1, number);
        (self.1 < self.0.len()).then(|| self.0.at(self.1))
    }
}

/// Searches by walking.
struct Walking<S>(S, usize);

impl<S: Sorted> Seek for Walking<S> {
    #[inline]
    fn seek(&mut self, number: u32) -> Option<u32> {
        self.1 = walk(self.0, self.1, number);
        (self.1 < self.0.len()).then(|| self.0.at(self.1))
    }
}

impl Seek for PackedCursor<'_> {
    #[inline]
    fn seek(&mut self, number: u32) -> Option<u32> {
        PackedCursor::seek(self, number)
    }
}

/// Keeps the numbers of `base` whose being in the list is `wanted`.
fn retain_by(base: &mut Vec<u32>, mut list: impl Seek, wanted: bool) {
    base.retain(|&number| (list.seek(number) == Some(number)) == wanted);
}

fn retain_sorted(base: &mut Vec<u32>, list: impl Sorted, wanted: bool) {
    if list.len() / GALLOP_RATIO > base.len() {
        retain_by(base, Galloping(list, 0), wanted);
    } else {
        retain_by(base, Walking(list, 0), wanted);
    }
}

/// Keeps the numbers of `base` whose being in `list` is `wanted`.
fn retain(base: &mut Vec<u32>, list: &PostingsList<'_>, wanted: bool) {
    match list {
        PostingsList::Numbers(numbers) => retain_sorted(base, &numbers[..], wanted),
        PostingsList::BigEndian(numbers) => retain_sorted(base, *numbers, wanted),
        PostingsList::Packed(list) => retain_by(base, list.cursor(), wanted),
        PostingsList::Below(end) => base.retain(|number| (number < end) == wanted),
    }
}

/// Keeps the numbers of `base` that are in `list`.
pub fn intersect(base: &mut Vec<u32>, list: &PostingsList<'_>) {
    if list.len() < base.len() / GALLOP_RATIO {
        let mut short = list.clone().into_vec();
        retain_sorted(&mut short, &base[..], true);
        *base = short;
        return;
    }
    retain(base, list, true);
}

/// Drops the numbers of `base` that are in `list`.
pub fn subtract(base: &mut Vec<u32>, list: &PostingsList<'_>) {
    retain(base, list, false);
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

/// Drops the numbers of `base` that are in any of `lists`.
pub(super) fn subtract_any(base: &mut Vec<u32>, lists: Vec<PostingsList<'_>>) {
    /// So many passes over `base` cost about as much as joining the lists.
    const MANY: usize = 4;
    if lists.len() > MANY {
        subtract(base, &union(lists));
    } else {
        lists.iter().for_each(|list| subtract(base, list));
    }
}

/// Whether a number of `base` is in `list`.
pub fn intersects(base: &[u32], list: &PostingsList<'_>) -> bool {
    visit_common(base, list, |_| false)
}

/// How many numbers of `base` are in `list`.
pub fn count_common(base: &[u32], list: &PostingsList<'_>) -> usize {
    let mut count = 0;
    visit_common(base, list, |_| {
        count += 1;
        true
    });
    count
}

/// Calls `visit` with the common numbers until it returns false. Whether it did.
fn visit_common(base: &[u32], list: &PostingsList<'_>, visit: impl FnMut(u32) -> bool) -> bool {
    match list {
        PostingsList::Numbers(numbers) => leapfrog(base, Galloping(&numbers[..], 0), visit),
        PostingsList::BigEndian(numbers) => leapfrog(base, Galloping(*numbers, 0), visit),
        PostingsList::Packed(list) => leapfrog(base, list.cursor(), visit),
        PostingsList::Below(end) => {
            let common = &base[..base.partition_point(|number| number < end)];
            !common.iter().copied().all(visit)
        }
    }
}

/// Each side jumps to the other's next number.
fn leapfrog(base: &[u32], mut list: impl Seek, mut visit: impl FnMut(u32) -> bool) -> bool {
    let mut index = 0;
    while index < base.len() {
        let number = base[index];
        match list.seek(number) {
            None => return false,
            Some(next) if next == number => {
                if !visit(number) {
                    return true;
                }
                index += 1;
            }
            // A damaged list may go back: the walk must not.
            Some(next) => index = gallop(base, index + 1, next),
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
    for list in lists {
        // A damaged list may hold a number above its last one: it is left out.
        list.for_each(|number| {
            if let Some(word) = bits.get_mut(number as usize / 64) {
                *word |= 1 << (number % 64);
            }
        });
    }
    numbers_of_bits(&bits)
}

/// The numbers of the bits that are set.
pub(crate) fn numbers_of_bits(bits: &[u64]) -> Vec<u32> {
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
    lists.iter().for_each(|list| list.for_each(|number| numbers.push(number)));
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
            (0u32..2_000).prop_map(|end| (0..end).collect()),
        ]
    }

    /// Runs `check` with the list in all forms.
    fn in_all_forms(set: &Set, mut check: impl FnMut(PostingsList<'_>)) {
        let numbers: Vec<u32> = set.iter().copied().collect();
        let bytes: Vec<u8> = set.iter().flat_map(|n| n.to_be_bytes()).collect();
        check(PostingsList::numbers(&numbers));
        check(PostingsList::big_endian(&bytes).unwrap());
        check(PostingsList::Packed(&numbers.iter().copied().collect()));
        if set.iter().copied().eq(0..set.len() as u32) {
            check(PostingsList::Below(set.len() as u32));
        }
    }

    proptest! {
        #[test]
        fn operations_equal_those_of_sets(a in set(), b in set()) {
            in_all_forms(&b, |list| {
                let mut base: Vec<u32> = a.iter().copied().collect();
                assert_eq!(intersects(&base, &list), a.intersection(&b).next().is_some());
                assert_eq!(count_common(&base, &list), a.intersection(&b).count());
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
