//! Series entries.
//!
//! ```text
//! body length uvarint | body | CRC be32 (of the body)
//! body:   label count uvarint | { name uvarint | value uvarint }*   numbers of symbols
//!         chunk count uvarint | chunks
//! chunks: first  min time varint | max - min uvarint | reference uvarint
//!         others min - previous max uvarint (modulo 2^64: it may be negative) | max - min uvarint | reference delta varint
//! ```

use model::TimestampMs;

use crate::encoding::{Decoder, check_crc, put_uvarint, put_varint};
use crate::error::DecodeError;

/// A chunk of a series: its times, both inclusive, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of the first sample, ms.
    pub min_time_ms: TimestampMs,
    /// Time of the last sample, ms.
    pub max_time_ms: TimestampMs,
    /// Number of the chunk file (from 0) in the high half, offset in it in the low half.
    pub reference: u64,
}

impl ChunkMeta {
    /// The times of the first and the last sample, ms.
    pub fn times(&self) -> (TimestampMs, TimestampMs) {
        (self.min_time_ms, self.max_time_ms)
    }
}

/// A decoded series entry; reused from one series to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesRow {
    /// Symbol numbers of names and values.
    pub labels: Vec<(u32, u32)>,
    /// The chunks; in order of time but in blocks that break the rules.
    pub chunks: Vec<ChunkMeta>,
}

/// The length of the entry that begins with `bytes`, which need not hold all of it: for readers
/// that fetch ranges.
pub fn series_entry_len(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let body = decoder.uvarint32()? as usize;
    Ok(bytes.len() - decoder.len() + body + 4)
}

/// Decodes the entry that `bytes` begin with.
pub fn decode_series(bytes: &[u8], row: &mut SeriesRow) -> Result<(), DecodeError> {
    row.labels.clear();
    row.chunks.clear();
    let mut decoder = Decoder::new(bytes);
    let body = decoder.uvarint_bytes()?;
    check_crc(decoder.be32()?, body)?;
    let mut decoder = Decoder::new(body);
    for _ in 0..decoder.uvarint()? {
        row.labels.push((decoder.uvarint32()?, decoder.uvarint32()?));
    }
    let count = decoder.uvarint()?;
    // A chunk takes three bytes at least.
    if count > decoder.len() as u64 / 3 {
        return Err(DecodeError::Truncated);
    }
    row.chunks.reserve(count as usize);
    for _ in 0..count {
        let chunk = next_chunk(&mut decoder, row.chunks.last())?;
        row.chunks.push(chunk);
    }
    Ok(())
}

fn next_chunk(
    decoder: &mut Decoder<'_>,
    previous: Option<&ChunkMeta>,
) -> Result<ChunkMeta, DecodeError> {
    let invalid = DecodeError::Invalid("chunk times or references are out of range");
    let min_time_ms = match previous {
        None => decoder.varint()?,
        // A chunk that begins before the one before has ended stands at a negative distance, which
        // writers put down as a huge one.
        Some(p) => p.max_time_ms.wrapping_add_unsigned(decoder.uvarint()?),
    };
    let max_time_ms = min_time_ms.checked_add_unsigned(decoder.uvarint()?).ok_or(invalid)?;
    let reference = match previous {
        None => decoder.uvarint()?,
        Some(p) => p.reference.checked_add_signed(decoder.varint()?).ok_or(invalid)?,
    };
    Ok(ChunkMeta { min_time_ms, max_time_ms, reference })
}

/// Appends the body of an entry.
pub(super) fn encode_body(
    out: &mut Vec<u8>,
    labels: impl ExactSizeIterator<Item = (u32, u32)>,
    chunks: &[ChunkMeta],
) {
    put_uvarint(out, labels.len() as u64);
    for (name, value) in labels {
        put_uvarint(out, u64::from(name));
        put_uvarint(out, u64::from(value));
    }
    put_uvarint(out, chunks.len() as u64);
    let mut previous: Option<&ChunkMeta> = None;
    for chunk in chunks {
        match previous {
            None => put_varint(out, chunk.min_time_ms),
            Some(p) => {
                let distance = chunk.min_time_ms.wrapping_sub(p.max_time_ms);
                put_uvarint(out, distance.cast_unsigned());
            }
        }
        put_uvarint(out, chunk.max_time_ms.abs_diff(chunk.min_time_ms));
        match previous {
            None => put_uvarint(out, chunk.reference),
            Some(p) => put_varint(out, chunk.reference.wrapping_sub(p.reference).cast_signed()),
        }
        previous = Some(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::crc32c;

    #[test]
    fn chunks_that_overlap_or_are_out_of_order_are_read_as_they_were_written() {
        let chunk =
            |min_time_ms, max_time_ms, reference| ChunkMeta { min_time_ms, max_time_ms, reference };
        let chunks =
            [chunk(100, 200, 8), chunk(150, 180, 90), chunk(-50, 10, 40), chunk(11, 11, 8)];
        let mut body = Vec::new();
        encode_body(&mut body, [(1, 2)].into_iter(), &chunks);
        let mut entry = Vec::new();
        put_uvarint(&mut entry, body.len() as u64);
        entry.extend_from_slice(&body);
        entry.extend_from_slice(&crc32c(&body).to_be_bytes());
        let mut row = SeriesRow::default();
        decode_series(&entry, &mut row).unwrap();
        assert_eq!(row.chunks, chunks);
    }
}
