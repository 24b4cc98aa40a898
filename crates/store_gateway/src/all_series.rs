//! The list of all series of a block, read a few numbers at a time: it can be as long as the block
//! has series, and a query may end after the first.

use std::ops::Range;

use model::StorageError;
use tsdb::encoding::{Crc32c, Decoder};
use tsdb::error::DecodeError;

use crate::index::BlockIndex;

/// A place in the list.
pub(crate) struct AllSeries {
    /// Where in the index the next number is.
    at: u64,
    left: u64,
    /// Of everything before `at`; compared at the end.
    checksum: Crc32c,
}

impl AllSeries {
    /// The length of the list and its count.
    pub(crate) const HEAD_BYTES: u64 = 8;

    /// The list of a block without series.
    pub(crate) fn none() -> Self {
        Self { at: 0, left: 0, checksum: Crc32c::default() }
    }

    /// The list at `offset`, which starts with `head` and must end before `end`.
    pub(crate) fn new(offset: u64, head: &[u8], end: u64) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(head);
        let (length, count) = (u64::from(decoder.be32()?), u64::from(decoder.be32()?));
        if length != 4 + 4 * count {
            return Err(DecodeError::Invalid("postings list has another length than it says"));
        }
        if offset + 4 + length + 4 > end {
            return Err(DecodeError::Truncated);
        }
        let mut checksum = Crc32c::default();
        checksum.update(head.get(4..8).ok_or(DecodeError::Truncated)?);
        Ok(Self { at: offset + Self::HEAD_BYTES, left: count, checksum })
    }

    /// How many numbers are left.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// The next numbers, at most `count`; none at the end.
    pub(crate) fn next(
        &mut self,
        index: &BlockIndex,
        count: usize,
    ) -> Result<Vec<u32>, StorageError> {
        let count = self.left.min(count as u64);
        if count == 0 {
            return Ok(Vec::new());
        }
        self.left -= count;
        let end = self.at + 4 * count;
        // The checksum follows the last number.
        let range: Range<u64> = self.at..if self.left == 0 { end + 4 } else { end };
        let (pieces, _held) = index.read(std::slice::from_ref(&range))?;
        let bytes = pieces.iter().next().unwrap_or_default();
        let (bytes, checksum) = bytes.split_at((4 * count as usize).min(bytes.len()));
        self.checksum.update(bytes);
        self.at = end;
        if self.left == 0 {
            let expected = Decoder::new(checksum).be32().map_err(|e| index.corrupt(e))?;
            let actual = self.checksum.value();
            if expected != actual {
                return Err(index.corrupt(DecodeError::Checksum { expected, actual }));
            }
        }
        let (numbers, _) = bytes.as_chunks();
        Ok(numbers.iter().map(|number| u32::from_be_bytes(*number)).collect())
    }
}
