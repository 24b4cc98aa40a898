//! From the ranges of bytes that are wanted to few requests: ranges with small gaps between them
//! are fetched as one. Pure; used by `pages` and `chunks`.

use std::ops::Range;

/// A request that is this long takes in no further range.
pub(crate) const FULL_READ_BYTES: u64 = 4 << 20;

/// The requests for `wanted`, which ascend by their starts. Every wanted range lies within one of
/// them; they come in the same order and each has at least one. Two ranges with at most
/// `max_gap_bytes` between them are fetched together: reading the gap costs less than another
/// request.
pub(crate) fn merge(
    wanted: impl IntoIterator<Item = Range<u64>>,
    max_gap_bytes: u64,
) -> Vec<Range<u64>> {
    let mut reads: Vec<Range<u64>> = Vec::new();
    for range in wanted {
        match reads.last_mut() {
            Some(read) if takes_in(read, &range, max_gap_bytes) => {
                read.end = read.end.max(range.end)
            }
            _ => reads.push(range),
        }
    }
    reads
}

fn takes_in(read: &Range<u64>, range: &Range<u64>, max_gap_bytes: u64) -> bool {
    debug_assert!(read.start <= range.start, "wanted ranges ascend");
    range.end <= read.end
        || (range.start.saturating_sub(read.end) <= max_gap_bytes
            && read.end - read.start < FULL_READ_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_GAP_BYTES: u64 = 512 << 10;

    /// Pairs of start and end.
    fn check(wanted: &[(u64, u64)], reads: &[(u64, u64)]) {
        let merged = merge(wanted.iter().map(|&(start, end)| start..end), MAX_GAP_BYTES);
        let merged: Vec<(u64, u64)> = merged.iter().map(|read| (read.start, read.end)).collect();
        assert_eq!(merged, reads);
    }

    #[test]
    fn small_gaps_are_read_large_ones_are_not() {
        let far = 100 + MAX_GAP_BYTES;
        check(&[(0, 100), (far, far + 1)], &[(0, far + 1)]);
        check(&[(0, 100), (far + 1, far + 2)], &[(0, 100), (far + 1, far + 2)]);
        check(&[(0, 100), (10, 20), (50, 150)], &[(0, 150)]);
        check(&[], &[]);
    }

    #[test]
    fn a_read_does_not_grow_without_bound() {
        let mib = 1 << 20;
        let wanted: Vec<_> = (0..10u64).map(|i| (i * mib, (i + 1) * mib)).collect();
        check(&wanted, &[(0, 4 * mib), (4 * mib, 8 * mib), (8 * mib, 10 * mib)]);
        let whole = (0, 9 * mib);
        check(&[whole, (8 * mib, 9 * mib), (9 * mib, 10 * mib)], &[whole, (9 * mib, 10 * mib)]);
    }
}
