//! The file beside an index-header: where its sampled entries are, so that loading scans nothing.
//! Gzipped protobuf, as Mimir writes it; places count from the length of their section.
//!
//! ```text
//! Sparse               { Symbols symbols = 1; PostingOffsetTable postingsOffsetTable = 2; }
//! Symbols              { repeated int64 offsets = 1 [packed]; int64 symbolsCount = 2; }
//! PostingOffsetTable   { map<string, PostingValueOffsets> postings = 1; int64 sampling = 2; }
//! PostingValueOffsets  { repeated PostingOffset offsets = 1; int64 lastValOffset = 2; }
//! PostingOffset        { string value = 1; int64 tableOff = 2; }
//! ```

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tsdb::encoding::{Decoder, put_uvarint, put_uvarint_bytes};
use tsdb::error::DecodeError;
use tsdb::index::{PostingsOffsets, SampledName, SymbolTable};

/// The length of a section stands before its content.
const LENGTH_BYTES: u32 = 4;
/// What is larger when it is unpacked is not read, bytes.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;
const INVALID: DecodeError = DecodeError::Invalid("sparse index-header makes no sense");

/// The content of the file for these tables. `lists_end` is where the last postings list of the
/// index ends.
pub(super) fn encode(
    (symbols, offsets): (&SymbolTable, &PostingsOffsets),
    section: &[u8],
    lists_end: u64,
) -> Result<Vec<u8>, DecodeError> {
    let mut places = Vec::new();
    for &place in symbols.samples() {
        put_uvarint(&mut places, u64::from(place + LENGTH_BYTES));
    }
    let mut of_symbols = Vec::new();
    put_message(&mut of_symbols, 1, &places);
    put_number(&mut of_symbols, 2, u64::from(symbols.len()));
    let mut table = Vec::new();
    let names = offsets.sampled(section)?;
    for (at, name) in names.iter().enumerate() {
        let next = names.get(at + 1).and_then(|next| next.places.first());
        let end = match next {
            Some(&place) => PostingsOffsets::entry_at(section, place)?.1,
            None => lists_end,
        };
        put_name(&mut table, section, name, end)?;
    }
    put_number(&mut table, 2, offsets.sampling() as u64);
    let mut out = Vec::new();
    put_message(&mut out, 1, &of_symbols);
    put_message(&mut out, 2, &table);
    Ok(gzip(&out))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).expect("writing to memory cannot fail");
    gzip.finish().expect("writing to memory cannot fail")
}

fn put_name(
    table: &mut Vec<u8>,
    section: &[u8],
    name: &SampledName,
    end: u64,
) -> Result<(), DecodeError> {
    let mut values = Vec::new();
    let mut entry = Vec::new();
    for &place in &name.places {
        entry.clear();
        put_message(&mut entry, 1, PostingsOffsets::entry_at(section, place)?.0.as_bytes());
        put_number(&mut entry, 2, u64::from(place + LENGTH_BYTES));
        put_message(&mut values, 1, &entry);
    }
    // Where the checksum of the last list begins.
    put_number(&mut values, 2, end.saturating_sub(4));
    let mut pair = Vec::new();
    put_message(&mut pair, 1, name.name.as_bytes());
    put_message(&mut pair, 2, &values);
    put_message(table, 1, &pair);
    Ok(())
}

fn put_message(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_uvarint(out, field << 3 | 2);
    put_uvarint_bytes(out, bytes);
}

fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_uvarint(out, field << 3);
    put_uvarint(out, number);
}

/// The tables over the contents of their sections, if they can be had with this `sampling`.
pub(super) fn decode(
    gzipped: &[u8],
    (symbols, offsets): (&[u8], &[u8]),
    sampling: usize,
) -> Result<(SymbolTable, PostingsOffsets), DecodeError> {
    let mut bytes = Vec::new();
    let mut reader = GzDecoder::new(gzipped).take(MAX_UNPACKED_BYTES);
    reader.read_to_end(&mut bytes).map_err(|_| INVALID)?;
    let (mut symbol_table, mut names) = (None, None);
    for_each_field(&bytes, |field, value| {
        match (field, value) {
            (1, Value::Bytes(bytes)) => symbol_table = Some(decode_symbols(bytes, symbols)?),
            (2, Value::Bytes(bytes)) => names = Some(decode_names(bytes)?),
            _ => {}
        }
        Ok(())
    })?;
    let (names, stored) = names.ok_or(INVALID)?;
    if stored == 0 || !sampling.is_multiple_of(stored) {
        return Err(INVALID);
    }
    let table = PostingsOffsets::from_sampled(offsets, names, stored)?;
    Ok((symbol_table.ok_or(INVALID)?, table.thinned(sampling / stored)))
}

fn decode_symbols(bytes: &[u8], section: &[u8]) -> Result<SymbolTable, DecodeError> {
    let (mut places, mut count) = (Vec::new(), 0);
    for_each_field(bytes, |field, value| {
        match (field, value) {
            (1, Value::Bytes(packed)) => {
                let mut decoder = Decoder::new(packed);
                while !decoder.is_empty() {
                    places.push(place(decoder.uvarint()?)?);
                }
            }
            (1, Value::Number(number)) => places.push(place(number)?),
            (2, Value::Number(number)) => count = u32::try_from(number).map_err(|_| INVALID)?,
            _ => {}
        }
        Ok(())
    })?;
    places.shrink_to_fit();
    SymbolTable::from_samples(section, count, places)
}

/// The names with their places, and how far apart these are.
fn decode_names(bytes: &[u8]) -> Result<(Vec<SampledName>, usize), DecodeError> {
    let (mut names, mut sampling) = (Vec::new(), 0);
    for_each_field(bytes, |field, value| {
        match (field, value) {
            (1, Value::Bytes(pair)) => names.push(decode_name(pair)?),
            (2, Value::Number(number)) => sampling = number,
            _ => {}
        }
        Ok(())
    })?;
    names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok((names, usize::try_from(sampling).map_err(|_| INVALID)?))
}

fn decode_name(pair: &[u8]) -> Result<SampledName, DecodeError> {
    let mut found = SampledName { name: String::new(), places: Vec::new() };
    for_each_field(pair, |field, value| {
        match (field, value) {
            (1, Value::Bytes(name)) => {
                found.name = std::str::from_utf8(name).map_err(|_| INVALID)?.to_owned();
            }
            (2, Value::Bytes(values)) => for_each_field(values, |field, value| {
                if let (1, Value::Bytes(entry)) = (field, value) {
                    found.places.push(decode_place(entry)?);
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

fn decode_place(entry: &[u8]) -> Result<u32, DecodeError> {
    let mut found = 0;
    for_each_field(entry, |field, value| {
        if let (2, Value::Number(number)) = (field, value) {
            found = number;
        }
        Ok(())
    })?;
    place(found)
}

fn place(number: u64) -> Result<u32, DecodeError> {
    u32::try_from(number).ok().and_then(|place| place.checked_sub(LENGTH_BYTES)).ok_or(INVALID)
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Calls `visit` with the fields of a message.
fn for_each_field<'a>(
    message: &'a [u8],
    mut visit: impl FnMut(u64, Value<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(message);
    while !decoder.is_empty() {
        let key = decoder.uvarint()?;
        match key & 7 {
            0 => visit(key >> 3, Value::Number(decoder.uvarint()?))?,
            2 => visit(key >> 3, Value::Bytes(decoder.uvarint_bytes()?))?,
            1 => decoder.skip(8)?,
            5 => decoder.skip(4)?,
            _ => return Err(INVALID),
        }
    }
    Ok(())
}
