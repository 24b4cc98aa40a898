//! From the references of the log to the series of the head.

use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;

use super::super::series::MAX_SERIES_REF;
use super::super::shards::Location;

/// References of one page.
const PAGE_BITS: u32 = 10;
const PAGE_LEN: usize = 1 << PAGE_BITS;

/// The highest reference that is taken for one. No head lives to give it out: a higher one is
/// damage that its checksum does not show, and must not leave new series without references.
const MAX_REF: u64 = 1 << 62;

/// The highest reference without a series that is taken for one.
const MAX_UNKNOWN_REF: u64 = MAX_SERIES_REF / 2;

/// Whether a head may have given out a reference. Zero is none: a file of head chunks could not
/// tell it from its end.
pub(super) fn is_possible(series_ref: u64) -> bool {
    (1..=MAX_REF).contains(&series_ref)
}

/// A place in four bytes; all ones where there is none.
#[derive(Debug, Clone, Copy)]
struct MaybeLocation(u32);

impl MaybeLocation {
    const NOTHING: Self = Self(u32::MAX);

    fn get(self) -> Option<Location> {
        (self.0 != u32::MAX).then(|| Location::from_bits(self.0))
    }
}

/// A table in pages: references are given out one after the other, so that nearly every page
/// is full. Several references may lead to one series.
#[derive(Debug, Default)]
pub(super) struct RefTable {
    pages: HashMap<u64, Box<[MaybeLocation; PAGE_LEN]>, foldhash::fast::FixedState>,
    max_ref: u64,
    /// The highest reference that was met without a series.
    max_unknown: AtomicU64,
}

impl RefTable {
    /// Notes the series of a reference. False where it leads to another one already: that stays.
    #[must_use]
    pub(super) fn insert(&mut self, series_ref: u64, location: Location) -> bool {
        let page = self.pages.entry(series_ref >> PAGE_BITS);
        let page = page.or_insert_with(|| Box::new([MaybeLocation::NOTHING; PAGE_LEN]));
        let place = &mut page[series_ref as usize % PAGE_LEN];
        if place.get().is_some_and(|known| known != location) {
            return false;
        }
        *place = MaybeLocation(location.bits());
        self.max_ref = self.max_ref.max(series_ref);
        true
    }

    /// The series of a reference.
    #[inline]
    pub(super) fn get(&self, series_ref: u64) -> Option<Location> {
        let page = self.pages.get(&(series_ref >> PAGE_BITS));
        let location = page.and_then(|page| page[series_ref as usize % PAGE_LEN].get());
        if location.is_none() {
            self.note(series_ref);
        }
        location
    }

    /// Notes a reference that something on the disk belongs to, with or without a series. Not one
    /// that is damage: it must not leave new series without references.
    pub(super) fn note(&self, series_ref: u64) {
        if series_ref <= MAX_UNKNOWN_REF {
            self.max_unknown.fetch_max(series_ref, Ordering::Relaxed);
        }
    }

    /// The highest reference so far; 0 while there is none. Also of those without a series, whose
    /// record was lost: what is left on the disk under one must not become another series'.
    pub(super) fn max_ref(&self) -> u64 {
        self.max_ref.max(self.max_unknown.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_near_and_far() {
        let mut table = RefTable::default();
        let refs = [1, 2, 1023, 1024, 5_000_000, 1 << 38];
        for (i, &series_ref) in refs.iter().enumerate() {
            assert_eq!(table.get(series_ref), None);
            assert!(table.insert(series_ref, Location::new(i % 3, i as u32)));
        }
        for (i, &series_ref) in refs.iter().enumerate() {
            assert_eq!(table.get(series_ref), Some(Location::new(i % 3, i as u32)));
        }
        assert_eq!(table.get(3), None);
        assert_eq!(table.get(u64::MAX), None, "nobody gave that out");
        assert!(table.insert(1024, Location::new(0, 3)), "a checkpoint repeats the log");
        assert!(!table.insert(1024, Location::new(0, 4)));
        assert_eq!(table.get(1024), Some(Location::new(0, 3)));
        assert_eq!(table.max_ref(), 1 << 38);
        assert_eq!(table.get((1 << 38) + 1), None);
        assert_eq!(table.max_ref(), (1 << 38) + 1, "what belongs to it may still be there");
        assert_eq!(table.get(1 << 40), None);
        assert_eq!(table.max_ref(), (1 << 38) + 1, "no series can have that one");
    }
}
