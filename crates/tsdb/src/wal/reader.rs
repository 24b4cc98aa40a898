//! Reading records back: checksums, fragments, decompression.
//!
//! [`SegmentReader`] reads one segment, so that several can be read at the same time;
//! [`WalReader`] reads a list of them one after the other. Used by the replay, the checkpoint
//! and the repair. Damage ends the reading with a [`Corruption`] that tells where: everything
//! handed out before is intact. Nothing is ever changed on disk here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::page::{
    FLAG_SNAPPY, FLAG_ZSTD, PAGE_BYTES, RECORD_HEADER_BYTES, TYPE_FIRST, TYPE_FULL, TYPE_LAST,
    TYPE_MASK, TYPE_MIDDLE, TYPE_PAGE_END,
};
use super::{MAX_RECORD_BYTES, SegmentInfo, WalError, last_checkpoint, list_segments};
use crate::encoding::check_crc;
use crate::error::{DecodeError, TsdbError};
use crate::fs::{FileHandle, SharedFs};

/// How much of a segment is read at once, bytes; a multiple of the page, so that no fragment
/// crosses a border.
const BLOCK_BYTES: usize = 32 * PAGE_BYTES;

/// What is wrong with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorruptionKind {
    /// The file ends inside a record.
    TornRecord,
    /// A fragment's length reaches beyond its page.
    FragmentTooLong,
    /// A fragment's checksum is wrong.
    Checksum,
    /// A fragment has an unknown type or unknown flags.
    UnknownType,
    /// Fragments do not follow each other as they must.
    Sequence,
    /// There is something after the end of a page's data.
    PageEnd,
    /// A record cannot be decompressed or is too large.
    Compression,
    /// The content of a record cannot be decoded; found by the caller.
    Record,
}

impl fmt::Display for CorruptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TornRecord => "the file ends inside a record",
            Self::FragmentTooLong => "a fragment reaches beyond its page",
            Self::Checksum => "checksum mismatch",
            Self::UnknownType => "unknown type of fragment",
            Self::Sequence => "fragments out of sequence",
            Self::PageEnd => "data after the end of a page",
            Self::Compression => "a record cannot be decompressed",
            Self::Record => "a record cannot be decoded",
        })
    }
}

/// Where a segment is damaged, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("corrupt segment {} at offset {offset}: {kind}", path.display())]
pub struct Corruption {
    /// The segment's file.
    pub path: PathBuf,
    /// The segment's number.
    pub segment: u64,
    /// Where the first record begins that is not intact; all before it are.
    pub offset: u64,
    /// What is wrong.
    pub kind: CorruptionKind,
}

impl From<Corruption> for TsdbError {
    fn from(corruption: Corruption) -> Self {
        Self::corrupt(&corruption, DecodeError::Invalid("write-ahead log needs a repair"))
    }
}

/// Reads the records of one segment.
pub struct SegmentReader {
    info: SegmentInfo,
    file: Arc<dyn FileHandle>,
    /// The pages from `block_start` on.
    block: Vec<u8>,
    block_start: u64,
    /// Where in `block` the next fragment begins.
    position: usize,
    /// Where the last record that was handed out, or is being read, begins.
    record_start: u64,
    assembled: Vec<u8>,
    decompressed: Vec<u8>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    record: Place,
    is_done: bool,
}

/// A fragment: its place in the block.
struct Fragment {
    fragment_type: u8,
    flags: u8,
    start: usize,
    end: usize,
}

/// Where the bytes of a record are.
#[derive(Clone, Copy)]
enum Place {
    Block(usize, usize),
    Assembled,
    Decompressed,
}

impl SegmentReader {
    /// Opens a segment.
    pub fn open(fs: &SharedFs, info: SegmentInfo) -> Result<Self, WalError> {
        let file = fs.open_read(&info.path).map_err(|e| WalError::io("open", &info.path, e))?;
        Ok(Self {
            info,
            file,
            block: Vec::new(),
            block_start: 0,
            position: 0,
            record_start: 0,
            assembled: Vec::new(),
            decompressed: Vec::new(),
            zstd: None,
            record: Place::Block(0, 0),
            is_done: false,
        })
    }

    /// Opens a segment at `offset`, where a record begins or the file ends.
    pub fn open_at(fs: &SharedFs, info: SegmentInfo, offset: u64) -> Result<Self, WalError> {
        let mut reader = Self::open(fs, info)?;
        let page = PAGE_BYTES as u64;
        reader.block_start = offset / page * page;
        if offset < reader.info.length && reader.read_block()? {
            reader.position = (offset % page) as usize;
        } else {
            reader.is_done = true;
        }
        Ok(reader)
    }

    /// The next record, which the next call overwrites; `None` at the end of the segment and
    /// after an error. Records without bytes are left out.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>, WalError> {
        Ok(if self.advance()? { Some(self.record()) } else { None })
    }

    /// Goes to the next record; false at the end of the segment and after an error.
    pub fn advance(&mut self) -> Result<bool, WalError> {
        if self.is_done {
            return Ok(false);
        }
        let found = self.find_record().and_then(|found| {
            let Some((flags, place)) = found else { return Ok(false) };
            self.decompress(flags, place)?;
            Ok(true)
        });
        self.is_done = !matches!(found, Ok(true));
        found
    }

    /// The record that [`SegmentReader::advance`] went to.
    pub fn record(&self) -> &[u8] {
        match self.record {
            Place::Block(start, end) => &self.block[start..end],
            Place::Assembled => &self.assembled,
            Place::Decompressed => &self.decompressed,
        }
    }

    /// The segment.
    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// Where the record begins that was handed out last.
    pub fn record_offset(&self) -> u64 {
        self.record_start
    }

    /// The damage to report when the content of the last record makes no sense.
    pub fn corruption(&self, kind: CorruptionKind) -> Corruption {
        let (path, segment) = (self.info.path.clone(), self.info.number);
        Corruption { path, segment, offset: self.record_start, kind }
    }

    fn find_record(&mut self) -> Result<Option<(u8, Place)>, WalError> {
        let Some(first) = self.next_record_start()? else { return Ok(None) };
        match first.fragment_type {
            TYPE_FULL => Ok(Some((first.flags, Place::Block(first.start, first.end)))),
            TYPE_FIRST => self.assemble(&first).map(Some),
            _ => Err(self.corrupt(CorruptionKind::Sequence)),
        }
    }

    /// The fragment that the next record begins with. A whole record without bytes says nothing,
    /// and is what is left of a header of which only the first byte reached the device.
    fn next_record_start(&mut self) -> Result<Option<Fragment>, WalError> {
        loop {
            let first = self.next_fragment(false)?;
            if !first.as_ref().is_some_and(|f| f.fragment_type == TYPE_FULL && f.start == f.end) {
                return Ok(first);
            }
        }
    }

    /// Gathers the fragments of a record that spans pages.
    fn assemble(&mut self, first: &Fragment) -> Result<(u8, Place), WalError> {
        self.assembled.clear();
        self.assembled.extend_from_slice(&self.block[first.start..first.end]);
        loop {
            let Some(next) = self.next_fragment(true)? else {
                return Err(self.corrupt(CorruptionKind::TornRecord));
            };
            let follows = matches!(next.fragment_type, TYPE_MIDDLE | TYPE_LAST);
            if !follows || next.flags != first.flags {
                return Err(self.corrupt(CorruptionKind::Sequence));
            }
            if self.assembled.len() + (next.end - next.start) > MAX_RECORD_BYTES {
                return Err(self.corrupt(CorruptionKind::Compression));
            }
            self.assembled.extend_from_slice(&self.block[next.start..next.end]);
            if next.fragment_type == TYPE_LAST {
                return Ok((first.flags, Place::Assembled));
            }
        }
    }

    /// The next fragment; `None` at the end of the file.
    fn next_fragment(&mut self, in_record: bool) -> Result<Option<Fragment>, WalError> {
        loop {
            if self.position >= self.block.len() && !self.read_block()? {
                return Ok(None);
            }
            let page_end = self.page_end();
            if !in_record {
                self.record_start = self.block_start + self.position as u64;
            }
            let left = page_end - self.position;
            let type_byte = self.block[self.position];
            if left >= RECORD_HEADER_BYTES && type_byte & TYPE_MASK != TYPE_PAGE_END {
                return self.read_fragment(page_end).map(Some);
            }
            // A record that goes on uses every page up, so that zeros within it are a hole.
            if in_record && left >= RECORD_HEADER_BYTES {
                return Err(self.corrupt_or_torn(CorruptionKind::Sequence));
            }
            if self.block[self.position..page_end].iter().any(|&b| b != 0) {
                return Err(self.corrupt_or_torn(CorruptionKind::PageEnd));
            }
            self.position = page_end;
        }
    }

    fn read_fragment(&mut self, page_end: usize) -> Result<Fragment, WalError> {
        let at = self.position;
        let type_byte = self.block[at];
        let length = usize::from(u16::from_be_bytes([self.block[at + 1], self.block[at + 2]]));
        let (start, end) = (at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length);
        if end > page_end {
            return Err(self.corrupt_or_torn(CorruptionKind::FragmentTooLong));
        }
        if self.block_start + start as u64 > self.info.length {
            return Err(self.corrupt(CorruptionKind::TornRecord));
        }
        let stored = [at + 3, at + 4, at + 5, at + 6].map(|i| self.block[i]);
        if check_crc(u32::from_be_bytes(stored), &self.block[start..end]).is_err() {
            return Err(self.corrupt_or_torn(CorruptionKind::Checksum));
        }
        let (fragment_type, flags) = (type_byte & TYPE_MASK, type_byte & !TYPE_MASK);
        let is_known = fragment_type <= TYPE_LAST && matches!(flags, 0 | FLAG_SNAPPY | FLAG_ZSTD);
        if !is_known {
            return Err(self.corrupt(CorruptionKind::UnknownType));
        }
        self.position = end;
        Ok(Fragment { fragment_type, flags, start, end })
    }

    /// The end of the page in which `position` lies, or of the file.
    fn page_end(&self) -> usize {
        ((self.position / PAGE_BYTES + 1) * PAGE_BYTES).min(self.block.len())
    }

    /// Reads the next pages; false at the end of the file. A page that is cut short is taken as
    /// if zeros followed.
    fn read_block(&mut self) -> Result<bool, WalError> {
        self.block_start += self.block.len() as u64;
        self.position = 0;
        let wanted = BLOCK_BYTES as u64;
        let wanted = self.info.length.next_multiple_of(PAGE_BYTES as u64).min(wanted) as usize;
        self.block.resize(wanted, 0);
        let read = self.file.read_at(&mut self.block, self.block_start);
        let length = read.map_err(|e| WalError::io("read", &self.info.path, e))?;
        self.block.truncate(length);
        self.block.resize(length.next_multiple_of(PAGE_BYTES), 0);
        Ok(length > 0)
    }

    /// Damage on the last page of a file whose length is no multiple of the page is a write that
    /// was cut short.
    fn corrupt_or_torn(&self, kind: CorruptionKind) -> WalError {
        let page_start = (self.block_start + self.position as u64) / PAGE_BYTES as u64;
        let is_cut_short = !self.info.length.is_multiple_of(PAGE_BYTES as u64)
            && page_start == self.info.length / PAGE_BYTES as u64;
        self.corrupt(if is_cut_short { CorruptionKind::TornRecord } else { kind })
    }

    fn corrupt(&self, kind: CorruptionKind) -> WalError {
        WalError::Corrupt(self.corruption(kind))
    }

    fn decompress(&mut self, flags: u8, place: Place) -> Result<(), WalError> {
        self.record = place;
        if flags == 0 {
            return Ok(());
        }
        let mut out = std::mem::take(&mut self.decompressed);
        let done = if flags == FLAG_SNAPPY {
            decompress_snappy(self.record(), &mut out)
        } else {
            let mut decoder = self.zstd.take();
            let done = decompress_zstd(&mut decoder, self.record(), &mut out);
            self.zstd = decoder;
            done
        };
        self.decompressed = out;
        self.record = Place::Decompressed;
        done.ok_or_else(|| self.corrupt(CorruptionKind::Compression))
    }
}

/// Snappy's longest copy makes 64 bytes of 2, so that a length beyond this is a lie.
const SNAPPY_MAX_RATIO: usize = 32;

fn decompress_snappy(record: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let length = snap::raw::decompress_len(record).ok()?;
    if length > MAX_RECORD_BYTES || length / SNAPPY_MAX_RATIO > record.len() {
        return None;
    }
    out.resize(length, 0);
    let written = snap::raw::Decoder::new().decompress(record, out).ok()?;
    (written == length).then_some(())
}

fn decompress_zstd(
    decoder: &mut Option<zstd::bulk::Decompressor<'static>>,
    record: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    // A writer tells the length in front; one that does not gets some room to begin with.
    let told = zstd::bulk::Decompressor::upper_bound(record);
    let mut capacity = told.unwrap_or_else(|| record.len().saturating_mul(8)).max(1024);
    if decoder.is_none() {
        *decoder = zstd::bulk::Decompressor::new().ok();
    }
    let decoder = decoder.as_mut()?;
    loop {
        if capacity > MAX_RECORD_BYTES {
            return None;
        }
        out.clear();
        out.reserve(capacity);
        match decoder.decompress_to_buffer(record, out) {
            Ok(_) => return Some(()),
            Err(_) if told.is_some() => return None,
            Err(_) => capacity = capacity.saturating_mul(4),
        }
    }
}

/// Reads the records of several segments, in order.
pub struct WalReader {
    fs: SharedFs,
    segments: std::vec::IntoIter<SegmentInfo>,
    current: Option<SegmentReader>,
}

impl WalReader {
    /// Reads `segments` in the given order.
    pub fn new(fs: SharedFs, segments: Vec<SegmentInfo>) -> Self {
        Self { fs, segments: segments.into_iter(), current: None }
    }

    /// Reads what a restart needs of the log in `dir`: the newest checkpoint, then the segments
    /// after it.
    pub fn replay(fs: SharedFs, dir: &Path) -> Result<Self, WalError> {
        let segments = replay_segments(&fs, dir)?;
        Ok(Self::new(fs, segments))
    }

    /// The next record, which the next call overwrites; `None` at the end of the last segment
    /// and after an error.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>, WalError> {
        while !self.current.as_mut().map_or(Ok(false), SegmentReader::advance)? {
            let Some(next) = self.segments.next() else { return Ok(None) };
            self.current = Some(SegmentReader::open(&self.fs, next)?);
        }
        Ok(self.current.as_ref().map(SegmentReader::record))
    }

    /// The damage to report when the content of the last record makes no sense.
    pub fn corruption(&self, kind: CorruptionKind) -> Option<Corruption> {
        self.current.as_ref().map(|reader| reader.corruption(kind))
    }

    /// The segment that is being read.
    pub fn segment(&self) -> Option<&SegmentInfo> {
        self.current.as_ref().map(SegmentReader::info)
    }
}

/// The segments that a restart reads: those of the newest checkpoint, then the log's own that
/// it does not cover. A gap between the two is an error.
pub fn replay_segments(fs: &SharedFs, dir: &Path) -> Result<Vec<SegmentInfo>, WalError> {
    let mut own = list_segments(fs, dir)?;
    let Some(checkpoint) = last_checkpoint(fs, dir)? else { return Ok(own) };
    own.retain(|s| s.number > checkpoint.number);
    if own.first().is_some_and(|first| first.number != checkpoint.number + 1) {
        let path = checkpoint.path.display();
        return Err(WalError::Invalid(format!("segments are missing after {path}")));
    }
    let mut segments = list_segments(fs, &checkpoint.path)?;
    segments.append(&mut own);
    Ok(segments)
}
