//! Tombstones: ranges of time that are deleted from a block's series without writing the block
//! again.
//!
//! ```text
//! magic be32 0130ba30 | version 1 | { series uvarint | min varint | max varint }* | CRC be32
//! ```
//!
//! The checksum covers the entries only. Intervals are closed at both ends.

use std::collections::BTreeMap;

use model::{SampleBuffer, TimeRange, TimestampMs};

use crate::chunk::check_order;
use crate::encoding::{Decoder, check_crc, crc32c, put_be32, put_uvarint, put_varint};
use crate::error::DecodeError;

/// The first four bytes of a tombstones file.
pub const TOMBSTONES_MAGIC: u32 = 0x0130_ba30;
/// The version that is written and read.
pub const TOMBSTONES_VERSION: u8 = 1;
const HEADER_LEN: usize = 5;

/// A range of time, both ends inclusive, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// First deleted moment.
    pub min_ms: TimestampMs,
    /// Last deleted moment.
    pub max_ms: TimestampMs,
}

impl Interval {
    /// Whether `t` is deleted.
    pub fn contains(&self, t: TimestampMs) -> bool {
        self.min_ms <= t && t <= self.max_ms
    }
}

/// The samples of `all` that are not deleted, appended to `out`. Fails where they are not later
/// than those that are there.
pub(crate) fn push_what_is_left(
    all: SampleBuffer,
    deleted: &[Interval],
    out: &mut SampleBuffer,
) -> Result<(), DecodeError> {
    let float_order = out.float_times.last().zip(all.float_times.first());
    let histogram_order = out.histogram_times.last().zip(all.histogram_times.first());
    for (&last, &first) in float_order.into_iter().chain(histogram_order) {
        check_order(Some(last), first)?;
    }
    let is_deleted = |t: i64| deleted.iter().any(|i| i.contains(t));
    let start_at = |starts: &[i64], i: usize| starts.get(i).copied().unwrap_or(0);
    for (i, (&t, &value)) in all.float_times.iter().zip(&all.float_values).enumerate() {
        if !is_deleted(t) {
            out.push_float_with_start(t, value, start_at(&all.float_start_times, i));
        }
    }
    for (i, (&t, h)) in all.histogram_times.iter().zip(all.histograms).enumerate() {
        if !is_deleted(t) {
            out.push_histogram_with_start(t, h, start_at(&all.histogram_start_times, i));
        }
    }
    Ok(())
}

/// The parts of a range that are not deleted. `deleted` is ascending.
pub(crate) fn left_of(range: TimeRange, deleted: &[Interval]) -> Vec<TimeRange> {
    let mut left = Vec::new();
    let mut start = Some(range.start_ms_incl);
    for interval in deleted {
        let Some(from) = start.filter(|from| *from <= range.end_ms_incl) else { break };
        let end = range.end_ms_incl.min(interval.min_ms.saturating_sub(1));
        if from <= end && from < interval.min_ms {
            left.push(TimeRange::new(from, end));
        }
        start = interval.max_ms.checked_add(1).map(|after| from.max(after));
    }
    if let Some(from) = start.filter(|from| *from <= range.end_ms_incl) {
        left.push(TimeRange::new(from, range.end_ms_incl));
    }
    left
}

/// The deleted ranges of series, by the series' number in the index. Intervals of a series are
/// ascending and neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones {
    series: BTreeMap<u64, Vec<Interval>>,
}

impl Tombstones {
    /// Deletes a range of a series. An interval that ends before it starts is ignored.
    pub fn add(&mut self, series: u64, interval: Interval) {
        if interval.min_ms > interval.max_ms {
            return;
        }
        let intervals = self.series.entry(series).or_default();
        // The first that could touch the new one, and the first behind it that does not.
        let start = intervals.partition_point(|i| i.max_ms.saturating_add(1) < interval.min_ms);
        let end = intervals.partition_point(|i| i.min_ms <= interval.max_ms.saturating_add(1));
        let touched = &intervals[start..end.max(start)];
        let joined = touched.iter().fold(interval, |joined, i| Interval {
            min_ms: joined.min_ms.min(i.min_ms),
            max_ms: joined.max_ms.max(i.max_ms),
        });
        intervals.splice(start..end.max(start), [joined]);
    }

    /// The deleted ranges of a series.
    pub fn get(&self, series: u64) -> &[Interval] {
        self.series.get(&series).map_or(&[], Vec::as_slice)
    }

    /// All series with their deleted ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[Interval])> {
        self.series.iter().map(|(&series, intervals)| (series, intervals.as_slice()))
    }

    /// Forgets the intervals that end before `mint`.
    pub fn drop_before(&mut self, mint: TimestampMs) {
        self.series.retain(|_, intervals| {
            intervals.retain(|interval| mint <= interval.max_ms);
            !intervals.is_empty()
        });
    }

    /// The number of intervals.
    pub fn len(&self) -> usize {
        self.series.values().map(Vec::len).sum()
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Reads the content of a tombstones file.
    pub fn decode(file: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(file);
        if decoder.be32()? != TOMBSTONES_MAGIC {
            return Err(DecodeError::Invalid("this is no tombstones file"));
        }
        if decoder.byte()? != TOMBSTONES_VERSION {
            return Err(DecodeError::Invalid("unsupported version of the tombstones file"));
        }
        let entries = decoder.len().checked_sub(4).ok_or(DecodeError::Truncated)?;
        let entries = decoder.bytes(entries)?;
        check_crc(decoder.be32()?, entries)?;
        let mut tombstones = Self::default();
        let mut decoder = Decoder::new(entries);
        while !decoder.is_empty() {
            let series = decoder.uvarint()?;
            let interval = Interval { min_ms: decoder.varint()?, max_ms: decoder.varint()? };
            tombstones.add(series, interval);
        }
        Ok(tombstones)
    }

    /// The content of a tombstones file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN + 4 + self.len() * 16);
        put_be32(&mut out, TOMBSTONES_MAGIC);
        out.push(TOMBSTONES_VERSION);
        for (series, intervals) in self.iter() {
            for interval in intervals {
                put_uvarint(&mut out, series);
                put_varint(&mut out, interval.min_ms);
                put_varint(&mut out, interval.max_ms);
            }
        }
        let crc = crc32c(&out[HEADER_LEN..]);
        put_be32(&mut out, crc);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_tombstones_are_nine_bytes() {
        assert_eq!(Tombstones::default().encode(), [1, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
        assert!(Tombstones::decode(&[1, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]).unwrap().is_empty());
        assert!(Tombstones::decode(&[1, 0x30, 0xba, 0x30, 1, 0, 0, 0]).is_err());
    }

    #[test]
    fn intervals_at_the_ends_of_time_do_not_overflow() {
        let mut tombstones = Tombstones::default();
        tombstones.add(1, Interval { min_ms: 5, max_ms: i64::MAX });
        tombstones.add(1, Interval { min_ms: i64::MIN, max_ms: 4 });
        assert_eq!(tombstones.get(1), [Interval { min_ms: i64::MIN, max_ms: i64::MAX }]);
        assert_eq!(left_of(TimeRange::new(i64::MIN, i64::MAX), tombstones.get(1)), []);
        assert_eq!(left_of(TimeRange::new(3, 7), &[]), [TimeRange::new(3, 7)]);
        let mut kept = tombstones.clone();
        kept.drop_before(i64::MAX);
        assert_eq!(kept, tombstones);
    }

    proptest! {
        #[test]
        fn intervals_delete_what_was_asked(
            adds in prop::collection::vec((0u64..3, -20i64..60, -2i64..9), 0..30),
            flip in any::<prop::sample::Index>(),
        ) {
            let mut tombstones = Tombstones::default();
            let mut deleted = BTreeSet::new();
            for (series, min_ms, len) in adds {
                tombstones.add(series, Interval { min_ms, max_ms: min_ms + len });
                deleted.extend((min_ms..=min_ms + len).map(|t| (series, t)));
            }
            for series in 0..3 {
                for t in -25..75 {
                    let hit = tombstones.get(series).iter().any(|i| i.contains(t));
                    prop_assert_eq!(hit, deleted.contains(&(series, t)));
                }
                let range = TimeRange::new(-25, 74);
                let left = left_of(range, tombstones.get(series));
                for t in -25..75 {
                    let is_left = left.iter().any(|r| (r.start_ms_incl..=r.end_ms_incl).contains(&t));
                    prop_assert_eq!(is_left, !deleted.contains(&(series, t)));
                }
                let apart = |w: &[Interval]| w[0].max_ms + 1 < w[1].min_ms;
                prop_assert!(tombstones.get(series).windows(2).all(apart));
            }
            let mut bytes = tombstones.encode();
            prop_assert_eq!(Tombstones::decode(&bytes), Ok(tombstones));
            let at = flip.index(bytes.len());
            bytes[at] ^= 0x40;
            prop_assert!(Tombstones::decode(&bytes).is_err());
        }
    }
}
