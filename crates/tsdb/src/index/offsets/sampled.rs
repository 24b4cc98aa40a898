//! Remembering a postings offset table: the places of its sampled entries go out and come back, so
//! that the table need not be scanned again. Also walking through the values of a name without
//! holding on to anything, and counting series from the places of lists. Called by the
//! store-gateway.

use super::{Entry, Name, PostingsOffset, PostingsOffsets, decoder_at, entry, text};
use crate::encoding::Decoder;
use crate::error::DecodeError;
use crate::index::SAMPLING;

/// What a postings list takes beside its numbers: length, count and checksum.
const LIST_OVERHEAD_BYTES: u64 = 12;

/// A label name and where in the section some of its entries are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampledName {
    /// The name; "" for the list of all series.
    pub name: String,
    /// The places of the entries 0, 32, 64, ... and of the last one.
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
            let further = (name.value_count as usize - 1) % SAMPLING;
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

    /// The table over what was remembered of it; `names` ascend.
    pub fn from_sampled(section: &[u8], names: Vec<SampledName>) -> Result<Self, DecodeError> {
        let mut table = Self { names: Vec::new(), samples: Vec::new(), all: None };
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
            let value_count = count_values(section, &places, last)?;
            places.truncate((value_count as usize).div_ceil(SAMPLING));
            let start = table.samples.len() as u32;
            table.samples.extend(places);
            let samples = start..table.samples.len() as u32;
            table.names.push(Name { name, samples, value_count });
        }
        table.samples.shrink_to_fit();
        Ok(table)
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
        let left = name.value_count - (sample * SAMPLING) as u32;
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

/// The number of values: all places but the last are 32 entries apart.
fn count_values(section: &[u8], places: &[u32], last: u32) -> Result<u32, DecodeError> {
    let Some(before) = places.len().checked_sub(2) else { return Ok(1) };
    let mut decoder = decoder_at(section, places[before])?;
    for further in 1..=SAMPLING {
        entry(&mut decoder)?;
        if section.len() - decoder.len() == last as usize {
            return u32::try_from(before * SAMPLING + further + 1).map_err(|_| INVALID);
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
            let again = PostingsOffsets::from_sampled(&section, places).unwrap();
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
    fn places_that_make_no_sense_are_refused() {
        let (section, _) = section(&[("a", 40), ("b", 40)]);
        let good = PostingsOffsets::new(&section).unwrap().sampled(&section).unwrap();
        let check = |change: &dyn Fn(&mut Vec<SampledName>)| {
            let mut names = good.clone();
            change(&mut names);
            assert!(PostingsOffsets::from_sampled(&section, names).is_err());
        };
        check(&|names| names.swap(0, 1));
        check(&|names| names[0].places.clear());
        check(&|names| names[0].places[1] += 1);
        check(&|names| names[1].name = "c".to_owned());
        check(&|names| names[1].places[2] = u32::MAX);
    }
}
