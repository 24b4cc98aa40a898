//! Series entries.
//!
//! ```text
//! body length uvarint | body | CRC be32 (of the body)
//! body:   label count uvarint | { name uvarint | value uvarint }*   numbers of symbols
//!         chunk count uvarint | chunks
//! chunks: first  min time varint | max - min uvarint | reference uvarint
//!         others min - previous max uvarint | max - min uvarint | reference delta varint
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

/// A decoded series entry; reused from one series to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesRow {
    /// Symbol numbers of names and values.
    pub labels: Vec<(u32, u32)>,
    /// The chunks in order of time.
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
        // Writers that do not look at the order write a negative distance as a huge one.
        Some(p) => p
            .max_time_ms
            .checked_add_unsigned(decoder.uvarint()?)
            .ok_or(DecodeError::ChunksOutOfOrder)?,
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
            Some(p) => put_uvarint(out, chunk.min_time_ms.abs_diff(p.max_time_ms)),
        }
        put_uvarint(out, chunk.max_time_ms.abs_diff(chunk.min_time_ms));
        match previous {
            None => put_uvarint(out, chunk.reference),
            Some(p) => put_varint(out, chunk.reference.wrapping_sub(p.reference).cast_signed()),
        }
        previous = Some(chunk);
    }
}
