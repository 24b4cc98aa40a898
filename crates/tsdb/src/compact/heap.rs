//! A binary heap of small numbers whose keys the caller holds and compares.
//!
//! Not the standard library's, because the order in which equal keys come out is part of
//! Prometheus' rules (which of two samples with the same time counts): elements move exactly as in
//! Go's `container/heap`.

/// See the module. `less` must be the same order in every call.
#[derive(Debug, Default)]
pub(super) struct Heap {
    items: Vec<usize>,
}

impl Heap {
    /// The smallest item.
    #[inline]
    pub(super) fn first(&self) -> Option<usize> {
        self.items.first().copied()
    }

    /// Forgets all items.
    pub(super) fn clear(&mut self) {
        self.items.clear();
    }

    #[inline]
    pub(super) fn push(&mut self, item: usize, less: &impl Fn(usize, usize) -> bool) {
        self.items.push(item);
        let mut at = self.items.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !less(self.items[at], self.items[parent]) {
                break;
            }
            self.items.swap(at, parent);
            at = parent;
        }
    }

    #[inline]
    pub(super) fn pop(&mut self, less: &impl Fn(usize, usize) -> bool) -> Option<usize> {
        let last = self.items.len().checked_sub(1)?;
        self.items.swap(0, last);
        let mut at = 0;
        while 2 * at + 1 < last {
            let mut child = 2 * at + 1;
            if child + 1 < last && less(self.items[child + 1], self.items[child]) {
                child += 1;
            }
            if !less(self.items[child], self.items[at]) {
                break;
            }
            self.items.swap(at, child);
            at = child;
        }
        self.items.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_keys_come_out_as_from_container_heap() {
        // The order that a Go program printed for these keys.
        let keys = [1, 0, 1, 0, 1, 0, 0];
        let less = |a: usize, b: usize| keys[a] < keys[b];
        let mut heap = Heap::default();
        (0..keys.len()).for_each(|item| heap.push(item, &less));
        let out: Vec<usize> = std::iter::from_fn(|| heap.pop(&less)).collect();
        assert_eq!(out, [1, 6, 3, 5, 0, 4, 2]);
    }

    proptest! {
        #[test]
        fn items_come_out_sorted(keys in prop::collection::vec(0u32..20, 0..40)) {
            let less = |a: usize, b: usize| keys[a] < keys[b];
            let mut heap = Heap::default();
            (0..keys.len()).for_each(|item| heap.push(item, &less));
            let out: Vec<u32> = std::iter::from_fn(|| heap.pop(&less)).map(|i| keys[i]).collect();
            let mut want = keys.clone();
            want.sort_unstable();
            prop_assert_eq!(out, want);
        }
    }
}
