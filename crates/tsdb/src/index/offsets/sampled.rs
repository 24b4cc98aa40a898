//! Remembering a postings offset table: the places of its sampled entries go out and come back, so
//! that the table need not be scanned again. Also walking through the values of a name without
//! holding on to anything, and counting series from the places of lists. Called by the
//! store-gateway.

use std::ops::Range;

use super::{Entry, Name, PostingsOffset, PostingsOffsets, decoder_at, entry, text};
use crate::encoding::Decoder;
use crate::error::DecodeError;

/// What a postings list takes beside its numbers: length, count and checksum.
const LIST_OVERHEAD_BYTES: u64 = 12;

/// A label name and where in the section some of its entries are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampledName {
    /// The name; "" for the list of all series.
    pub name: String,
    /// The places of the entries 0, 32, 64, ... (or as far apart as the table's sampling says) and
    /// of the last one.
    pub places: Vec<u32>,
}

/// A place among the values of a name.
#[derive(Debug, Clone)]
pub struct ValueCursor {
    at: usize,
    left: u32,
}

impl ValueCursor {
    /// The next value and where its list is; `None` at the end. `section` is that of the table.
    pub fn next<'a>(
        &mut self,
        section: &'a [u8],
    ) -> Result<Option<(&'a str, PostingsOffset)>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut decoder = Decoder::new(section.get(self.at..).ok_or(DecodeError::Truncated)?);
        let entry = entry(&mut decoder)?;
        self.at = section.len() - decoder.len();
        self.left -= 1;
        Ok(Some((text(entry.value)?, entry.offset)))
    }
}

impl PostingsOffsets {
    /// The value of the entry at a place, and where its list is.
    pub fn entry_at(section: &[u8], place: u32) -> Result<(&str, PostingsOffset), DecodeError> {
        let entry = entry(&mut decoder_at(section, place)?)?;
        Ok((text(entry.value)?, entry.offset))
    }

    /// Everything to be remembered, by name.
    pub fn sampled(&self, section: &[u8]) -> Result<Vec<SampledName>, DecodeError> {
        let mut names = Vec::with_capacity(self.names.len() + 1);
        if self.all.is_some() {
            // "" is below every other name.
            names.push(SampledName { name: String::new(), places: vec![4] });
        }
        for name in &self.names {
            let mut places =
                self.samples[name.samples.start as usize..name.samples.end as usize].to_vec();
            let last = places.last().copied().unwrap_or_default();
            let further = (name.value_count as usize - 1) % self.sampling;
            if further > 0 {
                let mut decoder = decoder_at(section, last)?;
                for _ in 0..further {
                    entry(&mut decoder)?;
                }
                let place = u32::try_from(section.len() - decoder.len());
                places.push(place.map_err(|_| DecodeError::Truncated)?);
            }
            names.push(SampledName { name: name.name.clone(), places });
        }
        Ok(names)
    }

    /// The table over what was remembered of it, whose places are `sampling` entries apart;
    /// `names` ascend.
    pub fn from_sampled(
        section: &[u8],
        names: Vec<SampledName>,
        sampling: usize,
    ) -> Result<Self, DecodeError> {
        let mut table = Self::empty(sampling);
        for SampledName { name, mut places } in names {
            let (Some(&first), Some(&last)) = (places.first(), places.last()) else {
                return Err(INVALID);
            };
            let head: Entry<'_> = entry(&mut decoder_at(section, first)?)?;
            if head.name != name.as_bytes() || !places.is_sorted_by(|a, b| a < b) {
                return Err(INVALID);
            }
            if name.is_empty() {
                table.all = Some(head.offset);
                continue;
            }
            if table.names.last().is_some_and(|before| before.name >= name) {
                return Err(INVALID);
            }
            let value_count = count_values(section, (&places, last), table.sampling)?;
            places.truncate((value_count as usize).div_ceil(table.sampling));
            let start = table.samples.len() as u32;
            table.samples.extend(places);
            let samples = start..table.samples.len() as u32;
            table.names.push(Name { name, samples, value_count });
        }
        table.samples.shrink_to_fit();
        Ok(table)
    }

    /// The same table with only every `factor`th of its places, to take less memory.
    pub fn thinned(mut self, factor: usize) -> Self {
        let factor = factor.max(1);
        let mut samples = Vec::new();
        for name in &mut self.names {
            let start = samples.len() as u32;
            let all = &self.samples[name.samples.start as usize..name.samples.end as usize];
            samples.extend(all.iter().step_by(factor));
            name.samples = start..samples.len() as u32;
        }
        Self { samples, sampling: self.sampling.saturating_mul(factor), ..self }
    }

    /// Where the list of a label pair lies with its length and checksum, as far as the places of
    /// the lists tell, which lie one after the other; `lists_end` is where the last one ends. What
    /// it says of the end is for plans, not for reading.
    pub fn find_extent(
        &self,
        section: &[u8],
        (name, value): (&str, &str),
        lists_end: PostingsOffset,
    ) -> Result<Option<Range<PostingsOffset>>, DecodeError> {
        let Ok(at) = self.names.binary_search_by(|n| n.name.as_str().cmp(name)) else {
            return Ok(None);
        };
        let (mut found, mut next) = (None, None);
        self.scan(section, &self.names[at], value, &mut |visited, offset| {
            if visited == value {
                found = Some(offset);
            } else if visited > value {
                next = Some(offset);
            }
            visited <= value
        })?;
        let Some(start) = found else { return Ok(None) };
        let end = match next {
            Some(end) => end,
            None if at + 1 < self.names.len() => self.first_list(section, at + 1)?,
            None => lists_end,
        };
        Ok(Some(start..end.max(start)))
    }

    /// The values of a name from the first on that is not below `from`, which may be preceded by
    /// a few that are.
    pub fn values_from(
        &self,
        section: &[u8],
        name: &str,
        from: &str,
    ) -> Result<Option<ValueCursor>, DecodeError> {
        let Some(name) = self.name(name) else { return Ok(None) };
        let samples = &self.samples[name.samples.start as usize..name.samples.end as usize];
        let sample = sample_before(section, samples, from)?;
        let left = name.value_count - (sample * self.sampling) as u32;
        Ok(Some(ValueCursor { at: samples[sample] as usize, left }))
    }

    /// The number of series that have the label, from the places of its lists, which lie one
    /// after the other; `lists_end` is where the last list of the index ends. `None` when they
    /// cannot lie so.
    pub fn series_count(
        &self,
        section: &[u8],
        name: &str,
        lists_end: PostingsOffset,
    ) -> Result<Option<u64>, DecodeError> {
        let Ok(at) = self.names.binary_search_by(|n| n.name.as_str().cmp(name)) else {
            return Ok(Some(0));
        };
        let start = self.first_list(section, at)?;
        let end = match at + 1 < self.names.len() {
            true => self.first_list(section, at + 1)?,
            false => lists_end,
        };
        let values = u64::from(self.names[at].value_count);
        let numbers = end
            .checked_sub(start)
            .and_then(|bytes| bytes.checked_sub(values * LIST_OVERHEAD_BYTES));
        Ok(numbers.filter(|bytes| bytes.is_multiple_of(4)).map(|bytes| bytes / 4))
    }

    /// The number of all series, in the same way.
    pub fn all_count(
        &self,
        section: &[u8],
        lists_end: PostingsOffset,
    ) -> Result<Option<u64>, DecodeError> {
        let Some(start) = self.all else { return Ok(None) };
        let end = if self.names.is_empty() { lists_end } else { self.first_list(section, 0)? };
        let bytes = end.checked_sub(start).and_then(|b| b.checked_sub(LIST_OVERHEAD_BYTES));
        Ok(bytes.filter(|bytes| bytes.is_multiple_of(4)).map(|bytes| bytes / 4))
    }

    fn first_list(&self, section: &[u8], name: usize) -> Result<PostingsOffset, DecodeError> {
        let place = self.samples[self.names[name].samples.start as usize];
        Ok(Self::entry_at(section, place)?.1)
    }
}

const INVALID: DecodeError = DecodeError::Invalid("places of postings offsets make no sense");

/// The number of values: all places but the last are `sampling` entries apart.
fn count_values(
    section: &[u8],
    (places, last): (&[u32], u32),
    sampling: usize,
) -> Result<u32, DecodeError> {
    let Some(before) = places.len().checked_sub(2) else { return Ok(1) };
    // A table of another sampling would not be noticed at its end alone.
    if before > 0 && entries_between(section, (places[0], places[1]), sampling)? != sampling {
        return Err(INVALID);
    }
    let further = entries_between(section, (places[before], last), sampling)?;
    u32::try_from(before * sampling + further + 1).map_err(|_| INVALID)
}

/// How many entries after the first place the second one is; at most `max`.
fn entries_between(
    section: &[u8],
    (from, to): (u32, u32),
    max: usize,
) -> Result<usize, DecodeError> {
    let mut decoder = decoder_at(section, from)?;
    for count in 1..=max {
        entry(&mut decoder)?;
        if section.len() - decoder.len() == to as usize {
            return Ok(count);
        }
    }
    Err(INVALID)
}

/// The last sample whose value is not above `from`; the first one where there is none.
pub(super) fn sample_before(
    section: &[u8],
    samples: &[u32],
    from: &str,
) -> Result<usize, DecodeError> {
    let (mut low, mut high) = (0, samples.len());
    while low < high {
        let middle = low.midpoint(high);
        if entry(&mut decoder_at(section, samples[middle])?)?.value <= from.as_bytes() {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{put_be32, put_uvarint};
    use crate::index::SAMPLING;

    /// A section with so many values for each name, each list with one number.
    fn section(names: &[(&str, u32)]) -> (Vec<u8>, u64) {
        let mut out = Vec::new();
        put_be32(&mut out, names.iter().map(|name| name.1).sum());
        let mut list = 100;
        for &(name, count) in names {
            for value in 0..count {
                let value = if name.is_empty() { String::new() } else { format!("{value:05}") };
                put_uvarint(&mut out, 2);
                for text in [name, &value] {
                    put_uvarint(&mut out, text.len() as u64);
                    out.extend_from_slice(text.as_bytes());
                }
                put_uvarint(&mut out, list);
                list += LIST_OVERHEAD_BYTES + 4;
            }
        }
        (out, list)
    }

    #[test]
    fn a_remembered_table_is_the_same() {
        for count in [1, 2, 31, 32, 33, 34, 64, 65, 1000] {
            let (section, end) = section(&[("", 1), ("a", count), ("b", 1), ("c", 40)]);
            let scanned = PostingsOffsets::new(&section).unwrap();
            let places = scanned.sampled(&section).unwrap();
            assert_eq!(places[1].places.len(), 1 + (count as usize - 1).div_ceil(SAMPLING));
            let again = PostingsOffsets::from_sampled(&section, places, SAMPLING).unwrap();
            assert_eq!(again.all(), Some(100));
            assert_eq!(again.all_count(&section, end).unwrap(), Some(1));
            assert_eq!(again.names().collect::<String>(), "abc");
            assert_eq!(again.samples, scanned.samples);
            for name in ["a", "b", "c"] {
                assert_eq!(again.value_count(name), scanned.value_count(name));
                let count = again.value_count(name) as u64;
                assert_eq!(again.series_count(&section, name, end).unwrap(), Some(count));
            }
            let mut values = again.values_from(&section, "a", "00030").unwrap().unwrap();
            let mut found = Vec::new();
            while let Some((value, _)) = values.next(&section).unwrap() {
                found.push(value.to_owned());
            }
            let all: Vec<String> = (0..count).map(|value| format!("{value:05}")).collect();
            assert_eq!(found, all);
        }
    }

    #[test]
    fn a_thinned_table_is_that_of_a_coarser_sampling() {
        for count in [1, 7, 8, 9, 64, 65, 1000] {
            let (section, end) = section(&[("", 1), ("a", count), ("b", 1), ("c", 40)]);
            let fine = PostingsOffsets::with_sampling(&section, 4).unwrap();
            let again = PostingsOffsets::from_sampled(&section, fine.sampled(&section).unwrap(), 4);
            for (factor, sampling) in [(1, 4), (2, 8), (16, 64)] {
                let coarse = PostingsOffsets::with_sampling(&section, sampling).unwrap();
                let thinned = again.clone().unwrap().thinned(factor);
                assert_eq!((&thinned.samples, thinned.sampling()), (&coarse.samples, sampling));
                assert_eq!(thinned.value_count("a"), count as usize);
                let value = format!("{:05}", count - 1);
                let found = thinned.find(&section, "a", &value).unwrap();
                assert_eq!(found, fine.find(&section, "a", &value).unwrap());
                assert_eq!(thinned.series_count(&section, "c", end).unwrap(), Some(40));
            }
        }
    }

    #[test]
    fn lists_extend_to_the_next_one() {
        let (section, end) = section(&[("", 1), ("a", 40), ("b", 1)]);
        let table = PostingsOffsets::new(&section).unwrap();
        let list_bytes = LIST_OVERHEAD_BYTES + 4;
        let extent = |pair| table.find_extent(&section, pair, end).unwrap();
        let nth = |n: u64| 100 + n * list_bytes..100 + (n + 1) * list_bytes;
        assert_eq!(extent(("a", "00000")), Some(nth(1)));
        assert_eq!(extent(("a", "00032")), Some(nth(33)));
        assert_eq!(extent(("a", "00039")), Some(nth(40)));
        assert_eq!(extent(("b", "00000")), Some(nth(41)));
        assert_eq!([("a", "x"), ("a", ""), ("c", "00000")].map(extent), [None, None, None]);
    }

    #[test]
    fn places_that_make_no_sense_are_refused() {
        let (section, _) = section(&[("a", 40), ("b", 40)]);
        let good = PostingsOffsets::new(&section).unwrap().sampled(&section).unwrap();
        let check = |change: &dyn Fn(&mut Vec<SampledName>)| {
            let mut names = good.clone();
            change(&mut names);
            assert!(PostingsOffsets::from_sampled(&section, names, SAMPLING).is_err());
        };
        check(&|names| names.swap(0, 1));
        check(&|names| names[0].places.clear());
        check(&|names| names[0].places[1] += 1);
        check(&|names| names[1].name = "c".to_owned());
        check(&|names| names[1].places[2] = u32::MAX);
    }
}
