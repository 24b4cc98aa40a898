//! The table of contents: the last 52 bytes of an index file.
//!
//! ```text
//! symbols be64 | series be64 | label indices be64 | label offset table be64
//! postings be64 | postings offset table be64 | CRC be32
//! ```

use crate::encoding::{Decoder, check_crc, crc32c, put_be32, put_be64};
use crate::error::DecodeError;

/// Where the sections of an index file start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Toc {
    /// Symbol table.
    pub symbols: u64,
    /// Series, before the padding of the first one.
    pub series: u64,
    /// Postings lists, before the padding of the first one.
    pub postings: u64,
    /// Postings offset table.
    pub postings_offsets: u64,
}

impl Toc {
    /// Its length in the file.
    pub const LEN: usize = 6 * 8 + 4;

    /// Decodes the last [`Toc::LEN`] bytes of a file.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let content = decoder.bytes(Self::LEN - 4)?;
        check_crc(decoder.be32()?, content)?;
        let mut decoder = Decoder::new(content);
        let (symbols, series) = (decoder.be64()?, decoder.be64()?);
        // Label indices and their table: no reader uses them.
        decoder.skip(2 * 8)?;
        let (postings, postings_offsets) = (decoder.be64()?, decoder.be64()?);
        Ok(Self { symbols, series, postings, postings_offsets })
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        put_be64(out, self.symbols);
        put_be64(out, self.series);
        // The sections that are no longer written have the places of those that follow.
        put_be64(out, self.postings);
        put_be64(out, self.postings_offsets);
        put_be64(out, self.postings);
        put_be64(out, self.postings_offsets);
        let crc = crc32c(&out[start..]);
        put_be32(out, crc);
    }
}
