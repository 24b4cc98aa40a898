//! What is different in an index of version 1, which old versions of Prometheus wrote.
//!
//! ```text
//! series number      the offset of its entry in the file, not divided by 16
//! symbol in a series the offset of the symbol's length in the file, not its place
//! postings offsets   in any order
//! ```
//!
//! Called by the reader of whole files alone; readers of ranges refuse the version. Nothing here
//! is written to a file.

use crate::encoding::{Decoder, put_be32, put_uvarint, put_uvarint_bytes};
use crate::error::DecodeError;

/// The version's number in the header.
pub(super) const VERSION: u8 = 1;

/// The content of a postings offset table with its entries in order, as version 2 has them.
pub(super) fn sorted_offsets(section: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(section);
    let count = decoder.be32()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        if decoder.uvarint()? != 2 {
            return Err(DecodeError::Invalid("postings offset table entry has no two keys"));
        }
        let (name, value) = (decoder.uvarint_bytes()?, decoder.uvarint_bytes()?);
        entries.push((name, value, decoder.uvarint()?));
    }
    entries.sort_unstable();
    let mut sorted = Vec::with_capacity(section.len());
    put_be32(&mut sorted, count);
    for (name, value, offset) in entries {
        put_uvarint(&mut sorted, 2);
        put_uvarint_bytes(&mut sorted, name);
        put_uvarint_bytes(&mut sorted, value);
        put_uvarint(&mut sorted, offset);
    }
    Ok(sorted)
}

/// The offsets of all symbols in the file; `start` is that of the section's content.
pub(super) fn symbol_offsets(section: &[u8], start: usize) -> Result<Vec<u32>, DecodeError> {
    let mut decoder = Decoder::new(section);
    let count = decoder.be32()?;
    let mut offsets = Vec::new();
    for _ in 0..count {
        let offset = start + section.len() - decoder.len();
        offsets
            .push(u32::try_from(offset).map_err(|_| DecodeError::Invalid("symbols above 4 GiB"))?);
        decoder.uvarint_bytes()?;
    }
    Ok(offsets)
}

/// The symbol at an offset of the file; `start` is that of the section's content.
pub(super) fn symbol(section: &[u8], start: usize, offset: u32) -> Result<&str, DecodeError> {
    let unknown = DecodeError::Invalid("unknown symbol");
    // The count comes before the first symbol.
    let place = (offset as usize).checked_sub(start).filter(|&place| place >= 4).ok_or(unknown)?;
    Decoder::new(section.get(place..).ok_or(unknown)?).uvarint_str()
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;
    use crate::encoding::crc32c;
    use crate::postings::{
        IndexPostings, SeriesLabels as _, label_values_for_matchers, postings_for_matchers,
    };
    use model::{Labels, MatchOp, Matcher};

    fn put_section(file: &mut Vec<u8>, content: &[u8]) -> u64 {
        let at = file.len() as u64;
        put_be32(file, content.len() as u32);
        file.extend_from_slice(content);
        put_be32(file, crc32c(content));
        at
    }

    /// An index of version 1 with the series `{a="x"}` and `{a="y", b="x"}`.
    fn file() -> Vec<u8> {
        let mut file = vec![0xba, 0xaa, 0xd7, 0x00, VERSION];
        let mut toc = Toc::default();
        let symbols = ["a", "b", "x", "y"];
        let mut content = Vec::new();
        put_be32(&mut content, symbols.len() as u32);
        let mut offsets = std::collections::BTreeMap::new();
        for symbol in symbols {
            offsets.insert(symbol, (5 + 4 + content.len()) as u64);
            put_uvarint_bytes(&mut content, symbol.as_bytes());
        }
        toc.symbols = put_section(&mut file, &content);
        toc.series = file.len() as u64;
        let mut numbers = Vec::new();
        for labels in [&[("a", "x")][..], &[("a", "y"), ("b", "x")]] {
            let mut body = Vec::new();
            put_uvarint(&mut body, labels.len() as u64);
            for (name, value) in labels {
                put_uvarint(&mut body, offsets[name]);
                put_uvarint(&mut body, offsets[value]);
            }
            put_uvarint(&mut body, 0);
            numbers.push(file.len() as u32);
            put_uvarint_bytes(&mut file, &body);
            put_be32(&mut file, crc32c(&body));
        }
        toc.postings = file.len() as u64;
        let mut list = |series: &[u32]| {
            let mut content = Vec::new();
            put_be32(&mut content, series.len() as u32);
            series.iter().for_each(|&series| put_be32(&mut content, series));
            put_section(&mut file, &content)
        };
        // In no order.
        let entries = [
            ("b", "x", list(&numbers[1..])),
            ("a", "y", list(&numbers[1..])),
            ("", "", list(&numbers)),
            ("a", "x", list(&numbers[..1])),
        ];
        let mut table = Vec::new();
        put_be32(&mut table, entries.len() as u32);
        for (name, value, offset) in entries {
            put_uvarint(&mut table, 2);
            put_uvarint_bytes(&mut table, name.as_bytes());
            put_uvarint_bytes(&mut table, value.as_bytes());
            put_uvarint(&mut table, offset);
        }
        toc.postings_offsets = put_section(&mut file, &table);
        toc.encode(&mut file);
        file
    }

    #[test]
    fn an_old_index_answers_like_a_new_one() {
        let file = file();
        let index = IndexReader::open(&file[..], "test").unwrap();
        let mut row = SeriesRow::default();
        let mut memo = LabelMemo::default();
        let mut all = Vec::new();
        for series in index.all_postings().unwrap().into_vec() {
            index.series(series, &mut row).unwrap();
            all.push((index.labels(&row, &mut memo).unwrap(), series));
        }
        let labels =
            |pairs: &[(&'static str, &'static str)]| Labels::from_pairs(pairs.iter().copied());
        assert_eq!(all[0].0, labels(&[("a", "x")]));
        assert_eq!(all[1].0, labels(&[("a", "y"), ("b", "x")]));
        let found = |op, name: &str, value: &str| {
            let matcher = Matcher::new(op, name, value).unwrap();
            postings_for_matchers(&index, &[matcher]).unwrap()
        };
        assert_eq!(found(MatchOp::Equal, "b", "x"), [all[1].1]);
        assert_eq!(found(MatchOp::NotEqual, "b", "x"), [all[0].1]);
        assert_eq!(found(MatchOp::Regex, "a", "x|y"), [all[0].1, all[1].1]);
        assert_eq!(label_values_for_matchers(&index, "a", &[], 0).unwrap(), ["x", "y"]);
        assert_eq!(index.label_names().unwrap(), ["a", "b"]);
        let mut value = None;
        index.series_label(all[1].1, "b", &mut |v| value = Some(v.to_owned())).unwrap();
        assert_eq!(value.as_deref(), Some("x"));
        assert!(check_index_header(&file).is_err(), "readers of ranges do not know it");
    }

    #[test]
    fn damaged_references_are_errors() {
        let file = file();
        let index = IndexReader::open(&file[..], "test").unwrap();
        for reference in [0, 5, 8, u32::MAX] {
            assert!(index.symbol(reference).is_err());
        }
        for series in 0..file.len() as u32 {
            let _ = index.series(series, &mut SeriesRow::default());
        }
    }
}
