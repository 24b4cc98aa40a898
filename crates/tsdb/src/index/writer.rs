//! Writing an index file in one pass: symbols, series in label order, then postings.
//!
//! Called by the block writer. Broken rules of the format (order, unknown symbols, sizes) are
//! errors, so that no index is written that a reader would refuse. Memory: the symbols, eight
//! bytes for each label pair, and the postings, which can go to a temporary file instead.

mod postings;
mod symbols;

use model::Labels;

pub use postings::PostingsSpill;
pub use symbols::{SymbolMarks, SymbolSet, Symbols};

use super::series::encode_body;
use super::{ChunkMeta, INDEX_HEADER_LEN, INDEX_MAGIC, INDEX_VERSION, SERIES_ALIGNMENT, Toc};
use crate::encoding::{Crc32c, crc32c, put_be32, put_uvarint, put_uvarint_bytes, uvarint_len};
use crate::error::TsdbError;
use postings::Postings;

/// So many bytes are gathered before they go to the sink.
const BUFFER_LEN: usize = 64 << 10;

/// Where an index file is written to.
pub trait IndexSink {
    /// Appends all of `data`.
    fn append(&mut self, data: &[u8]) -> Result<(), TsdbError>;
}

impl IndexSink for Vec<u8> {
    fn append(&mut self, data: &[u8]) -> Result<(), TsdbError> {
        self.extend_from_slice(data);
        Ok(())
    }
}

/// Writes an index file. Nothing is valid before [`IndexWriter::finish`].
pub struct IndexWriter<S> {
    sink: S,
    position: u64,
    symbols: Symbols,
    toc: Toc,
    /// Labels of the series before, as [`IndexWriter::add_numbered`] takes them.
    last_labels: Option<Vec<u64>>,
    last_reference: u64,
    /// For labels whose symbols are looked up.
    numbers: Vec<u64>,
    body: Vec<u8>,
    buffer: Vec<u8>,
    postings: Postings,
}

/// The lists that were written.
#[derive(Default)]
struct Written {
    /// Position of the first list.
    start: u64,
    /// Length of the list of all series.
    all: u32,
    /// Names ascending, with the number of their lists.
    names: Vec<(u32, u32)>,
    /// Values and lengths of all lists but the first, in their order.
    lists: Vec<(u32, u32)>,
}

impl<S: IndexSink> IndexWriter<S> {
    /// Begins an index with these symbols: those of all labels that will come, or more.
    pub fn new(sink: S, symbols: impl Into<Symbols>) -> Result<Self, TsdbError> {
        Self::with_spill(sink, symbols, None)
    }

    /// As [`IndexWriter::new`], with a place for postings that are too many for memory.
    pub fn with_spill(
        sink: S,
        symbols: impl Into<Symbols>,
        spill: Option<PostingsSpill>,
    ) -> Result<Self, TsdbError> {
        let mut writer = Self {
            sink,
            position: 0,
            symbols: Symbols::default(),
            toc: Toc::default(),
            last_labels: None,
            last_reference: 0,
            numbers: Vec::new(),
            body: Vec::new(),
            buffer: Vec::with_capacity(BUFFER_LEN),
            postings: Postings::new(spill),
        };
        put_be32(&mut writer.buffer, INDEX_MAGIC);
        writer.buffer.push(INDEX_VERSION);
        debug_assert_eq!(writer.buffer.len(), INDEX_HEADER_LEN);
        writer.flush()?;
        writer.toc.symbols = writer.position;
        let symbols = symbols.into();
        writer.put_symbols(&symbols)?;
        writer.symbols = symbols;
        writer.toc.series = writer.position;
        Ok(writer)
    }

    fn flush(&mut self) -> Result<(), TsdbError> {
        self.sink.append(&self.buffer)?;
        self.position += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<(), TsdbError> {
        if self.buffer.len() < BUFFER_LEN { Ok(()) } else { self.flush() }
    }

    /// The position in the file of the next byte of the buffer.
    fn next_position(&self) -> u64 {
        self.position + self.buffer.len() as u64
    }

    fn pad(&mut self, alignment: u64) {
        let end = self.next_position().next_multiple_of(alignment);
        self.buffer.resize((end - self.position) as usize, 0);
    }

    fn put_symbols(&mut self, symbols: &Symbols) -> Result<(), TsdbError> {
        let length = symbols.iter().map(|s| uvarint_len(s.len() as u64) + s.len()).sum::<usize>();
        self.put_section_length(length + 4, "symbols")?;
        let mut crc = Crc32c::default();
        put_be32(&mut self.buffer, symbols.len());
        for symbol in symbols.iter() {
            put_uvarint_bytes(&mut self.buffer, symbol.as_bytes());
            self.put_checked_if_full(&mut crc)?;
        }
        self.put_section_end(crc)
    }

    /// The length of a section that follows; the buffer is empty afterwards.
    fn put_section_length(&mut self, length: usize, what: &str) -> Result<(), TsdbError> {
        let length = u32::try_from(length)
            .map_err(|_| TsdbError::TooLarge(format!("{what} of an index take more than 4 GiB")))?;
        put_be32(&mut self.buffer, length);
        self.flush()
    }

    fn put_checked_if_full(&mut self, crc: &mut Crc32c) -> Result<(), TsdbError> {
        if self.buffer.len() >= BUFFER_LEN {
            crc.update(&self.buffer);
            self.flush()?;
        }
        Ok(())
    }

    fn put_section_end(&mut self, mut crc: Crc32c) -> Result<(), TsdbError> {
        crc.update(&self.buffer);
        put_be32(&mut self.buffer, crc.value());
        self.flush()
    }

    /// Appends a series, greater than all before, with its chunks in order of time, and returns
    /// its number.
    pub fn add_series(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<u32, TsdbError> {
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.clear();
        for label in labels {
            let number = |symbol| {
                self.symbols.set().find(symbol).map(u64::from).ok_or_else(|| {
                    TsdbError::Invalid(format!("symbol {symbol:?} was not announced to the index"))
                })
            };
            numbers.push(number(label.name)? << 32 | number(label.value)?);
        }
        let added = self.add_numbered(&numbers, chunks);
        self.numbers = numbers;
        added
    }

    /// As [`IndexWriter::add_series`], with each label as `name << 32 | value`, the numbers of
    /// symbols in their set.
    pub fn add_numbered(&mut self, labels: &[u64], chunks: &[ChunkMeta]) -> Result<u32, TsdbError> {
        if self.last_labels.as_ref().is_some_and(|last| &last[..] >= labels) {
            let labels = self.labels(labels);
            return Err(TsdbError::Invalid(format!("series {labels} is not in label order")));
        }
        self.check_chunks(labels, chunks)?;
        self.flush_if_full()?;
        self.pad(SERIES_ALIGNMENT);
        let series = u32::try_from(self.next_position() / SERIES_ALIGNMENT)
            .map_err(|_| TsdbError::TooLarge("the series take more than 64 GiB".to_owned()))?;
        self.put_row(labels, chunks);
        self.postings.add(labels, series)?;
        let last = self.last_labels.get_or_insert_default();
        last.clear();
        last.extend_from_slice(labels);
        self.last_reference = chunks.last().map_or(self.last_reference, |c| c.reference);
        Ok(series)
    }

    fn put_row(&mut self, labels: &[u64], chunks: &[ChunkMeta]) {
        let stored = |number: u64| self.symbols.stored((number & 0xffff_ffff) as u32);
        let labels = labels.iter().map(|&label| (stored(label >> 32), stored(label)));
        self.body.clear();
        encode_body(&mut self.body, labels, chunks);
        put_uvarint_bytes(&mut self.buffer, &self.body);
        put_be32(&mut self.buffer, crc32c(&self.body));
    }

    /// For messages.
    fn labels(&self, labels: &[u64]) -> Labels {
        let set = self.symbols.set();
        let text = |number: u64| set.get((number & 0xffff_ffff) as u32);
        Labels::from_pairs(labels.iter().map(|&label| (text(label >> 32), text(label))))
    }

    fn check_chunks(&self, labels: &[u64], chunks: &[ChunkMeta]) -> Result<(), TsdbError> {
        let mut reference = self.last_reference;
        let mut end = None;
        for chunk in chunks {
            let ordered = chunk.reference >= reference
                && chunk.max_time_ms >= chunk.min_time_ms
                && end.is_none_or(|end| chunk.min_time_ms > end);
            if !ordered {
                let labels = self.labels(labels);
                return Err(TsdbError::Invalid(format!(
                    "chunks of series {labels} are not in order"
                )));
            }
            reference = chunk.reference;
            end = Some(chunk.max_time_ms);
        }
        Ok(())
    }

    /// Writes the postings and the table of contents and returns the sink.
    pub fn finish(mut self) -> Result<S, TsdbError> {
        self.flush()?;
        self.toc.postings = self.position;
        self.pad(4);
        let mut written = Written { start: self.next_position(), ..Written::default() };
        let postings = std::mem::take(&mut self.postings);
        postings.for_each(&mut |pair, series| {
            let length = self.put_list(series)?;
            match pair {
                None => written.all = length,
                Some(pair) => written.add(pair, length),
            }
            Ok(())
        })?;
        if written.all == 0 {
            written.all = self.put_list(&[])?;
        }
        self.flush()?;
        self.toc.postings_offsets = self.position;
        self.put_offsets(&written)?;
        self.toc.encode(&mut self.buffer);
        self.flush()?;
        Ok(self.sink)
    }

    /// `length be32 | count be32 | numbers | CRC`. Returns the length of all of it.
    fn put_list(&mut self, series: &[u32]) -> Result<u32, TsdbError> {
        let too_long = || TsdbError::TooLarge("a postings list has too many series".to_owned());
        let count = u32::try_from(series.len()).map_err(|_| too_long())?;
        let length = count.checked_mul(4).and_then(|n| n.checked_add(12)).ok_or_else(too_long)?;
        put_be32(&mut self.buffer, length - 8);
        let start = self.buffer.len();
        put_be32(&mut self.buffer, count);
        self.buffer.extend(series.iter().flat_map(|series| series.to_be_bytes()));
        let crc = crc32c(&self.buffer[start..]);
        put_be32(&mut self.buffer, crc);
        self.flush_if_full()?;
        Ok(length)
    }

    fn put_offsets(&mut self, written: &Written) -> Result<(), TsdbError> {
        let symbols = std::mem::take(&mut self.symbols);
        let set = symbols.set();
        // The table is made twice, first for its length.
        let length: usize = offset_entries(set, written)
            .map(|(name, value, offset)| {
                let text = |text: &str| uvarint_len(text.len() as u64) + text.len();
                1 + text(name) + text(value) + uvarint_len(offset)
            })
            .sum();
        if u32::try_from(length + 4).is_err() {
            return Err(TsdbError::PostingsOffsetsTooLarge);
        }
        self.put_section_length(length + 4, "postings offsets")?;
        let mut crc = Crc32c::default();
        let count = u32::try_from(written.lists.len() + 1)
            .map_err(|_| TsdbError::TooLarge("an index has too many label pairs".to_owned()))?;
        put_be32(&mut self.buffer, count);
        for (name, value, offset) in offset_entries(set, written) {
            put_uvarint(&mut self.buffer, 2);
            put_uvarint_bytes(&mut self.buffer, name.as_bytes());
            put_uvarint_bytes(&mut self.buffer, value.as_bytes());
            put_uvarint(&mut self.buffer, offset);
            self.put_checked_if_full(&mut crc)?;
        }
        self.put_section_end(crc)
    }
}

impl Written {
    fn add(&mut self, (name, value): (u32, u32), length: u32) {
        match self.names.last_mut() {
            Some(last) if last.0 == name => last.1 += 1,
            _ => self.names.push((name, 1)),
        }
        self.lists.push((value, length));
    }
}

/// The entries of the postings offset table in order. A list takes a multiple of four bytes, so
/// that lists follow each other without padding.
fn offset_entries<'a>(
    symbols: &'a SymbolSet,
    written: &'a Written,
) -> impl Iterator<Item = (&'a str, &'a str, u64)> {
    let names = written.names.iter();
    let names = names.flat_map(|&(name, count)| std::iter::repeat_n(name, count as usize));
    let mut offset = written.start + u64::from(written.all);
    let pairs = names.zip(&written.lists).map(move |(name, &(value, length))| {
        let at = offset;
        offset += u64::from(length);
        (symbols.get(name), symbols.get(value), at)
    });
    std::iter::once(("", "", written.start)).chain(pairs)
}
