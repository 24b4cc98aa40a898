//! The part of an index that every query needs: symbols and the postings offset table. A file on
//! local disk holds them, in Mimir's format; in memory stands where every 32nd entry is (see
//! `-blocks-storage.bucket-store.posting-offsets-in-mem-sampling`), the rest
//! is looked up in the mapped file.
//!
//! ```text
//! <sync dir>/<tenant>/<block>/index-header          fetch.rs writes it
//! <sync dir>/<tenant>/<block>/sparse-index-header   sparse.rs: what is in memory
//!
//! index-header: magic be32 | version 1 | index version | end of the last postings list be64
//!               | symbol table | postings offset table     as they are in the index
//!               | symbols at be64 | offsets at be64 | CRC be32 (of these two)
//! ```

mod fetch;
mod sparse;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;

use tsdb::encoding::{Decoder, check_crc, crc32c};
use tsdb::error::DecodeError;
use tsdb::fs::{FileMap, FileSystem, write_atomically};
use tsdb::index::{PostingsOffsets, SERIES_ALIGNMENT, SymbolTable, checked_section};

pub(crate) use fetch::{HeaderSource, fetch_header};

/// The name of the file.
pub(crate) const HEADER_FILE: &str = "index-header";
/// The name of the file beside it.
pub(crate) const SPARSE_FILE: &str = "sparse-index-header";

const MAGIC: u32 = 0xbaaa_d792;
const VERSION: u8 = 1;
/// Magic, both versions, and the end of the last postings list.
const START_LEN: usize = 4 + 1 + 1 + 8;
/// Two places and their checksum.
const TOC_LEN: usize = 8 + 8 + 4;

/// Symbols and the postings offset table of one index.
pub(crate) struct IndexHeader {
    file: FileMap,
    /// Where in the index the last postings list has ended.
    lists_end: u64,
    symbols_at: Range<usize>,
    symbols: SymbolTable,
    offsets_at: Range<usize>,
    offsets: PostingsOffsets,
}

/// Where in the file its parts are.
struct Sections {
    lists_end: u64,
    symbols_at: Range<usize>,
    offsets_at: Range<usize>,
}

/// Why a header cannot be loaded from local disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The file is damaged.
    #[error("{0}")]
    Decode(#[from] DecodeError),
}

/// How a header is loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadOptions {
    /// Check the checksums, also where nothing has to be scanned.
    pub(crate) verify: bool,
    /// How many entries of the postings offset table apart the places in memory are.
    pub(crate) sampling: usize,
}

impl IndexHeader {
    /// Loads the header from a block's directory. With the file beside it nothing is scanned;
    /// where that is missing or damaged it is written.
    pub(crate) fn load(
        fs: &dyn FileSystem,
        dir: &Path,
        options: LoadOptions,
    ) -> Result<Self, LoadError> {
        let LoadOptions { verify, sampling } = options;
        let file = fs.map(&dir.join(HEADER_FILE))?;
        let sections = Sections::find(&file)?;
        if verify {
            sections.verify(&file)?;
        }
        let (symbols, offsets) =
            (&file[sections.symbols_at.clone()], &file[sections.offsets_at.clone()]);
        let sparse_file = dir.join(SPARSE_FILE);
        let remembered = fs.read(&sparse_file).ok();
        let remembered =
            remembered.and_then(|bytes| sparse::decode(&bytes, (symbols, offsets), sampling).ok());
        let (symbols, offsets) = match remembered {
            Some(tables) => tables,
            None => {
                sections.verify(&file)?;
                let tables = (
                    SymbolTable::new(symbols)?,
                    PostingsOffsets::with_sampling(offsets, sampling)?,
                );
                let bytes = sparse::encode((&tables.0, &tables.1), offsets, sections.lists_end)?;
                // Without it the next load takes longer; nothing else depends on it.
                if let Err(error) = write_atomically(fs, &sparse_file, &bytes) {
                    tracing::warn!(%error, dir = %dir.display(), "could not write a sparse header");
                }
                tables
            }
        };
        let Sections { lists_end, symbols_at, offsets_at } = sections;
        Ok(Self { file, lists_end, symbols_at, symbols, offsets_at, offsets })
    }

    /// Where everything that is read from the index has ended.
    pub(crate) fn end(&self) -> u64 {
        self.lists_end
    }

    /// Where the entry of a series begins.
    pub(crate) fn series_start(&self, series: u32) -> Result<u64, DecodeError> {
        let start = u64::from(series) * SERIES_ALIGNMENT;
        let is_inside = (1..self.lists_end).contains(&start);
        is_inside.then_some(start).ok_or(DecodeError::Invalid("series number is out of range"))
    }

    /// The symbol with this number.
    pub(crate) fn symbol(&self, number: u32) -> Result<&str, DecodeError> {
        self.symbols.get(&self.file[self.symbols_at.clone()], number)
    }

    /// The number of a symbol.
    pub(crate) fn symbol_number(&self, symbol: &str) -> Result<Option<u32>, DecodeError> {
        self.symbols.find(&self.file[self.symbols_at.clone()], symbol)
    }

    /// The postings offset table and the bytes that its functions want.
    pub(crate) fn offsets(&self) -> (&PostingsOffsets, &[u8]) {
        (&self.offsets, &self.file[self.offsets_at.clone()])
    }

    /// The number of series that have the label, where the index tells.
    pub(crate) fn series_count(&self, name: &str) -> Result<Option<u64>, DecodeError> {
        let (offsets, section) = self.offsets();
        offsets.series_count(section, name, self.lists_end)
    }
}

impl Sections {
    /// Reads everything but the sections.
    fn find(file: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(file);
        if decoder.be32()? != MAGIC {
            return Err(DecodeError::Invalid("this is no index-header"));
        }
        let (version, index_version) = (decoder.byte()?, decoder.byte()?);
        if version != VERSION || !(2..=3).contains(&index_version) {
            return Err(DecodeError::Invalid("unsupported version of the index-header"));
        }
        let lists_end = decoder.be64()?;
        let toc_at = file.len().checked_sub(TOC_LEN).ok_or(DecodeError::Truncated)?;
        let mut toc = Decoder::new(&file[toc_at..]);
        let places = toc.bytes(16)?;
        check_crc(toc.be32()?, places)?;
        let mut places = Decoder::new(places);
        let (symbols, offsets) = (places.be64()?, places.be64()?);
        let (symbols_at, offsets_at) = (section(file, symbols)?, section(file, offsets)?);
        if symbols_at.end > offsets_at.start || offsets_at.end > toc_at {
            return Err(DecodeError::Invalid("parts of the index-header overlap"));
        }
        Ok(Self { lists_end, symbols_at, offsets_at })
    }

    /// Checks the checksums of the sections.
    fn verify(&self, file: &[u8]) -> Result<(), DecodeError> {
        checked_section(file, self.symbols_at.start as u64 - 4)?;
        checked_section(file, self.offsets_at.start as u64 - 4)?;
        Ok(())
    }
}

/// The content of the section at `start`; its checksum is not looked at.
fn section(file: &[u8], start: u64) -> Result<Range<usize>, DecodeError> {
    let start = usize::try_from(start).map_err(|_| DecodeError::Truncated)?;
    let mut decoder = Decoder::new(file.get(start..).ok_or(DecodeError::Truncated)?);
    let length = decoder.be32()? as usize;
    decoder.skip(length)?;
    decoder.skip(4)?;
    Ok(start + 4..start + 4 + length)
}

/// What stands before the sections.
fn encode_start(index_version: u8, lists_end: u64) -> Vec<u8> {
    let mut out = MAGIC.to_be_bytes().to_vec();
    out.extend([VERSION, index_version]);
    out.extend(lists_end.to_be_bytes());
    out
}

/// What stands after the sections.
fn encode_toc(symbols_at: u64, offsets_at: u64) -> Vec<u8> {
    let mut out = symbols_at.to_be_bytes().to_vec();
    out.extend(offsets_at.to_be_bytes());
    out.extend(crc32c(&out).to_be_bytes());
    out
}
