//! How records lie in the pages of a segment.
//!
//! ```text
//! page, 32 KiB:     fragment fragment ... zeros (fewer than 7 bytes, or the rest of the segment)
//! fragment:         type|flags (1)  length be16 (2)  CRC-32C of data be32 (4)  data
//! ```
//! Used by the writers of the log and of checkpoints, and by the reader. Pure.

use crate::encoding::crc32c;

/// Size of a page, bytes. A fragment never crosses a page border.
pub const PAGE_BYTES: usize = 32 * 1024;
/// Size of the header of a fragment, bytes.
pub const RECORD_HEADER_BYTES: usize = 7;

/// The bits of the type byte that hold the type.
pub(super) const TYPE_MASK: u8 = 0b0000_0111;
/// The flag of snappy.
pub(super) const FLAG_SNAPPY: u8 = 0b0000_1000;
/// The flag of Zstandard.
pub(super) const FLAG_ZSTD: u8 = 0b0001_0000;

/// Type 0: the rest of the page is zero.
pub(super) const TYPE_PAGE_END: u8 = 0;
/// A whole record.
pub(super) const TYPE_FULL: u8 = 1;
/// The start of a record.
pub(super) const TYPE_FIRST: u8 = 2;
/// A part that is neither start nor end.
pub(super) const TYPE_MIDDLE: u8 = 3;
/// The end of a record.
pub(super) const TYPE_LAST: u8 = 4;

/// A record as it goes into the pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'a> {
    /// The compression flag, 0 for none.
    pub(super) flags: u8,
    /// The bytes, compressed where the flag says so.
    pub(super) data: &'a [u8],
}

/// Whether a record of `length` bytes that starts at `offset` ends within a segment of
/// `segment_bytes`.
pub(super) fn fits(offset: u64, length: usize, segment_bytes: u64) -> bool {
    if offset >= segment_bytes {
        return false;
    }
    let page = PAGE_BYTES as u64;
    let header = RECORD_HEADER_BYTES as u64;
    let in_page = page - offset % page;
    let later_pages = segment_bytes / page - offset / page - 1;
    (in_page + later_pages * (page - header)).saturating_sub(header) >= length as u64
}

/// Appends a record to `out`, whose first byte lies at `out_offset` of the segment. Fills the
/// page up with zeros when no further header fits.
pub(super) fn frame(out: &mut Vec<u8>, out_offset: u64, payload: Payload<'_>) {
    let mut rest = payload.data;
    let mut is_first = true;
    loop {
        let left = left_in_page(out_offset + out.len() as u64);
        assert!(left >= RECORD_HEADER_BYTES, "a full page must have been filled up");
        let (part, after) = rest.split_at(rest.len().min(left - RECORD_HEADER_BYTES));
        let fragment_type = match (is_first, after.is_empty()) {
            (true, true) => TYPE_FULL,
            (true, false) => TYPE_FIRST,
            (false, false) => TYPE_MIDDLE,
            (false, true) => TYPE_LAST,
        };
        put_fragment(out, fragment_type | payload.flags, part);
        let left = left_in_page(out_offset + out.len() as u64);
        if left < RECORD_HEADER_BYTES {
            out.resize(out.len() + left, 0);
        }
        rest = after;
        is_first = false;
        if rest.is_empty() {
            return;
        }
    }
}

/// The number of zeros that fill the page up in which `offset` lies; 0 at a border.
pub(super) fn padding(offset: u64) -> usize {
    left_in_page(offset) % PAGE_BYTES
}

fn left_in_page(offset: u64) -> usize {
    PAGE_BYTES - (offset % PAGE_BYTES as u64) as usize
}

fn put_fragment(out: &mut Vec<u8>, type_byte: u8, part: &[u8]) {
    let mut header = [0; RECORD_HEADER_BYTES];
    header[0] = type_byte;
    // A part is shorter than a page, so its length fits 16 bits.
    header[1..3].copy_from_slice(&(part.len() as u16).to_be_bytes());
    header[3..].copy_from_slice(&crc32c(part).to_be_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(part);
}
