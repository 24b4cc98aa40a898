//! The bytes of a head chunk file. Pure.
//!
//! ```text
//! file:    magic 0130bc91 be32 | version 1 | 3 zeros | records | zeros
//! record:  series ref be64 | mint be64 | maxt be64 | encoding, bit 7 = out of order (1)
//!          | uvarint data length | data | CRC-32C of all before be32
//! ```

use model::TimestampMs;

use crate::chunk::OUT_OF_ORDER_BIT;
use crate::encoding::{
    Decoder, MAX_VARINT_LEN32, check_crc, crc32c, put_be32, put_be64, put_uvarint_bytes,
};
use crate::error::DecodeError;

/// The size of a file's header, bytes.
pub(super) const FILE_HEADER_BYTES: u64 = 8;
/// The most bytes of a record before its data.
pub(super) const MAX_HEADER_BYTES: usize = FIXED_BYTES + MAX_VARINT_LEN32;

const MAGIC: u32 = 0x0130_bc91;
const VERSION: u8 = 1;
/// Series reference, times and encoding.
const FIXED_BYTES: usize = 25;
/// References and times, all zero after the end of the data.
const KEY_BYTES: usize = 24;
const CRC_BYTES: usize = 4;

/// A chunk with what a head chunk file tells about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadChunk<'a> {
    /// The series' reference.
    pub series_ref: u64,
    /// Time of the first sample, ms.
    pub mint: TimestampMs,
    /// Time of the last sample, ms.
    pub maxt_incl: TimestampMs,
    /// The number of the encoding, see [`crate::chunk::ChunkEncoding`].
    pub encoding: u8,
    /// Whether the samples came out of order.
    pub is_out_of_order: bool,
    /// The chunk's bytes.
    pub data: &'a [u8],
}

/// The header of a new file.
pub(super) fn file_header() -> [u8; FILE_HEADER_BYTES as usize] {
    let mut header = [0; FILE_HEADER_BYTES as usize];
    header[..4].copy_from_slice(&MAGIC.to_be_bytes());
    header[4] = VERSION;
    header
}

/// Whether the file was created and not written to before a crash.
pub(super) fn is_unfinished(file: &[u8]) -> bool {
    file.first_chunk::<4>().is_none_or(|magic| *magic == [0; 4])
}

/// Fails for a file that is none of these.
pub(super) fn check_file_header(file: &[u8]) -> Result<(), DecodeError> {
    let mut input = Decoder::new(file);
    if input.be32()? != MAGIC {
        return Err(DecodeError::Invalid("not a head chunk file"));
    }
    if input.byte()? != VERSION {
        return Err(DecodeError::Invalid("unknown version of head chunk file"));
    }
    input.skip(3)
}

/// Appends the record of a chunk.
pub(super) fn put(out: &mut Vec<u8>, chunk: &HeadChunk<'_>) {
    let start = out.len();
    put_be64(out, chunk.series_ref);
    put_be64(out, chunk.mint.cast_unsigned());
    put_be64(out, chunk.maxt_incl.cast_unsigned());
    out.push(chunk.encoding | if chunk.is_out_of_order { OUT_OF_ORDER_BIT } else { 0 });
    put_uvarint_bytes(out, chunk.data);
    let crc = crc32c(&out[start..]);
    put_be32(out, crc);
}

/// The length of the record that starts with `head`, bytes.
pub(super) fn record_length(head: &[u8]) -> Result<usize, DecodeError> {
    let mut input = Decoder::new(head);
    input.skip(FIXED_BYTES)?;
    let data_bytes = input.uvarint32()? as usize;
    let header_bytes = head.len() - input.len();
    data_bytes.checked_add(header_bytes + CRC_BYTES).ok_or(DecodeError::VarintOverflow)
}

/// Reads a record that fills `bytes`, and checks it.
pub(super) fn parse(bytes: &[u8]) -> Result<HeadChunk<'_>, DecodeError> {
    let (body, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(DecodeError::Truncated)?;
    check_crc(u32::from_be_bytes(*crc), body)?;
    let mut input = Decoder::new(body);
    let (series_ref, mint, maxt) = (input.be64()?, input.be64()?, input.be64()?);
    let encoding = input.byte()?;
    Ok(HeadChunk {
        series_ref,
        mint: mint.cast_signed(),
        maxt_incl: maxt.cast_signed(),
        encoding: encoding & !OUT_OF_ORDER_BIT,
        is_out_of_order: encoding & OUT_OF_ORDER_BIT != 0,
        data: input.uvarint_bytes()?,
    })
}

/// What stands at a place of a file.
pub(super) enum Step<'a> {
    /// A chunk, and the length of its record.
    Chunk { chunk: HeadChunk<'a>, length: usize },
    /// Nothing more.
    End,
}

/// Reads what stands at the start of `rest`.
pub(super) fn step(rest: &[u8]) -> Result<Step<'_>, DecodeError> {
    let key = &rest[..rest.len().min(KEY_BYTES)];
    if key.iter().all(|&b| b == 0) {
        let is_end = rest.iter().all(|&b| b == 0);
        return if is_end { Ok(Step::End) } else { Err(DecodeError::Invalid("a hole")) };
    }
    let length = record_length(&rest[..rest.len().min(MAX_HEADER_BYTES)])?;
    let bytes = rest.get(..length).ok_or(DecodeError::Truncated)?;
    Ok(Step::Chunk { chunk: parse(bytes)?, length })
}
