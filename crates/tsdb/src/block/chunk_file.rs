//! The chunk files of a block.
//!
//! ```text
//! file:   magic be32 85bd40dd | version 1 | 3 zero bytes | records
//! record: data length uvarint | encoding | data | CRC be32 (of encoding and data)
//! ```
//!
//! A reference is the number of the file, from 0, in the high 32 bits and the offset of the
//! record in the low ones. No IO here.

use crate::chunk::ChunkEncoding;
use crate::encoding::{Decoder, MAX_VARINT_LEN32, check_crc, crc32c, put_be32, put_uvarint};
use crate::error::DecodeError;

/// The first four bytes of a chunk file.
pub const CHUNK_FILE_MAGIC: u32 = 0x85bd_40dd;
const CHUNK_FILE_VERSION: u8 = 1;
/// Bytes before the first record.
pub const CHUNK_FILE_HEADER_LEN: usize = 8;
/// The most bytes of a record beside its data.
pub(super) const MAX_RECORD_OVERHEAD: usize = MAX_VARINT_LEN32 + 1 + 4;

/// The header of a chunk file.
pub(super) fn chunk_file_header() -> [u8; CHUNK_FILE_HEADER_LEN] {
    let [a, b, c, d] = CHUNK_FILE_MAGIC.to_be_bytes();
    [a, b, c, d, CHUNK_FILE_VERSION, 0, 0, 0]
}

/// Checks magic and version.
pub fn check_chunk_file_header(file: &[u8]) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(file);
    if decoder.be32()? != CHUNK_FILE_MAGIC {
        return Err(DecodeError::Invalid("this is no chunk file"));
    }
    if decoder.byte()? != CHUNK_FILE_VERSION {
        return Err(DecodeError::Invalid("unsupported version of the chunk file"));
    }
    decoder.skip(3)
}

/// A chunk as it lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRecord<'a> {
    /// How the data is encoded.
    pub encoding: ChunkEncoding,
    /// The chunk.
    pub data: &'a [u8],
}

/// The length of the record that begins with `bytes`, which need not hold all of it: for readers
/// that fetch ranges.
pub fn chunk_record_len(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let data = decoder.uvarint32()? as usize;
    Ok(bytes.len() - decoder.len() + 1 + data + 4)
}

/// Decodes the record that `bytes` begin with and checks its checksum.
pub fn decode_chunk_record(bytes: &[u8]) -> Result<ChunkRecord<'_>, DecodeError> {
    let raw = RawRecord::find(bytes)?;
    raw.check()?;
    Ok(ChunkRecord { encoding: raw.encoding()?, data: raw.data() })
}

/// A record as it lies in a file, with its length and its checksum, for copying it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawRecord<'a> {
    bytes: &'a [u8],
    /// Where the encoding stands; the data comes next.
    encoding_at: u8,
}

impl<'a> RawRecord<'a> {
    /// The record that `bytes` begin with. Its checksum is not checked.
    #[inline]
    pub(crate) fn find(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let length = decoder.uvarint32()? as usize;
        let encoding_at = bytes.len() - decoder.len();
        decoder.skip(length + 5)?;
        // A length of 32 bits takes ten bytes at most.
        Ok(Self { bytes: &bytes[..encoding_at + length + 5], encoding_at: encoding_at as u8 })
    }

    /// Fails unless the checksum is right.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        let (checked, crc) = self.bytes[usize::from(self.encoding_at)..]
            .split_last_chunk()
            .ok_or(DecodeError::Truncated)?;
        check_crc(u32::from_be_bytes(*crc), checked)
    }

    /// All of it.
    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How the data is encoded.
    #[inline]
    pub(crate) fn encoding(&self) -> Result<ChunkEncoding, DecodeError> {
        ChunkEncoding::from_number(self.bytes[usize::from(self.encoding_at)])
    }

    /// The chunk.
    #[inline]
    pub(crate) fn data(&self) -> &'a [u8] {
        &self.bytes[usize::from(self.encoding_at) + 1..self.bytes.len() - 4]
    }
}

/// Appends a record to `out`.
pub(crate) fn encode_chunk_record(out: &mut Vec<u8>, record: ChunkRecord<'_>) {
    put_uvarint(out, record.data.len() as u64);
    let start = out.len();
    out.push(record.encoding.number());
    out.extend_from_slice(record.data);
    let crc = crc32c(&out[start..]);
    put_be32(out, crc);
}
