//! Writing an index file in one pass: symbols, series in label order, then postings.
//!
//! Called by the block writer. Broken rules of the format (order, unknown symbols, sizes) are
//! errors, so that no index is written that a reader would refuse. Memory: the symbols, and the
//! postings as differences, which is about a byte for each label of each series.

mod symbols;

use hashbrown::HashTable;
use model::Labels;

pub use symbols::SymbolSet;

use super::series::encode_body;
use super::{
    ChunkMeta, INDEX_HEADER_LEN, INDEX_MAGIC, INDEX_VERSION, SERIES_ALIGNMENT, SeriesRow, Toc,
};
use crate::encoding::{
    Crc32c, Decoder, crc32c, put_be32, put_uvarint, put_uvarint_bytes, uvarint_len,
};
use crate::error::TsdbError;

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
    symbols: SymbolSet,
    toc: Toc,
    last_labels: Option<Labels>,
    last_reference: u64,
    row: SeriesRow,
    buffer: Vec<u8>,
    postings: Postings,
}

/// All postings so far.
#[derive(Default)]
struct Postings {
    all: List,
    pairs: Vec<Pair>,
    /// Numbers of `pairs` by their symbols.
    table: HashTable<u32>,
}

/// The postings of one label pair.
struct Pair {
    symbols: (u32, u32),
    list: List,
}

/// An ascending list as differences.
#[derive(Default)]
struct List {
    differences: Vec<u8>,
    last: u32,
    count: u32,
}

impl List {
    fn push(&mut self, series: u32) {
        put_uvarint(&mut self.differences, u64::from(series - self.last));
        self.last = series;
        self.count += 1;
    }

    /// `length be32 | count be32 | numbers | CRC`, appended to `out`.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), TsdbError> {
        let too_long = || TsdbError::TooLarge("a postings list has too many series".to_owned());
        let length =
            self.count.checked_mul(4).and_then(|n| n.checked_add(4)).ok_or_else(too_long)?;
        put_be32(out, length);
        let start = out.len();
        put_be32(out, self.count);
        let mut decoder = Decoder::new(&self.differences);
        let mut series = 0;
        while !decoder.is_empty() {
            series += decoder.uvarint32().expect("written by push");
            put_be32(out, series);
        }
        let crc = crc32c(&out[start..]);
        put_be32(out, crc);
        Ok(())
    }
}

fn hash((name, value): (u32, u32)) -> u64 {
    let key = u64::from(name) << 32 | u64::from(value);
    // Spreads consecutive numbers over all bits (Fibonacci hashing).
    key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

impl Postings {
    fn add(&mut self, symbols: (u32, u32), series: u32) {
        let Self { pairs, table, .. } = self;
        let same = |&i: &u32| pairs[i as usize].symbols == symbols;
        let number = match table.find(hash(symbols), same) {
            Some(&number) => number,
            None => {
                let number = pairs.len() as u32;
                pairs.push(Pair { symbols, list: List::default() });
                table.insert_unique(hash(symbols), number, |&i| hash(pairs[i as usize].symbols));
                number
            }
        };
        pairs[number as usize].list.push(series);
    }
}

impl<S: IndexSink> IndexWriter<S> {
    /// Begins an index with these symbols: those of all labels that will come, or more.
    pub fn new(sink: S, symbols: SymbolSet) -> Result<Self, TsdbError> {
        let mut writer = Self {
            sink,
            position: 0,
            symbols: SymbolSet::default(),
            toc: Toc::default(),
            last_labels: None,
            last_reference: 0,
            row: SeriesRow::default(),
            buffer: Vec::with_capacity(BUFFER_LEN),
            postings: Postings::default(),
        };
        put_be32(&mut writer.buffer, INDEX_MAGIC);
        writer.buffer.push(INDEX_VERSION);
        debug_assert_eq!(writer.buffer.len(), INDEX_HEADER_LEN);
        writer.flush()?;
        writer.toc.symbols = writer.position;
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

    fn put_symbols(&mut self, symbols: &SymbolSet) -> Result<(), TsdbError> {
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
        if self.last_labels.as_ref().is_some_and(|last| last >= labels) {
            return Err(TsdbError::Invalid(format!("series {labels} is not in label order")));
        }
        self.check_chunks(labels, chunks)?;
        self.row.labels.clear();
        for label in labels {
            let number = |symbol| {
                self.symbols.find(symbol).ok_or_else(|| {
                    TsdbError::Invalid(format!("symbol {symbol:?} was not announced to the index"))
                })
            };
            self.row.labels.push((number(label.name)?, number(label.value)?));
        }
        self.row.chunks.clear();
        self.row.chunks.extend_from_slice(chunks);
        self.flush_if_full()?;
        self.pad(SERIES_ALIGNMENT);
        let series = u32::try_from(self.next_position() / SERIES_ALIGNMENT)
            .map_err(|_| TsdbError::TooLarge("the series take more than 64 GiB".to_owned()))?;
        self.put_row();
        self.postings.all.push(series);
        for &pair in &self.row.labels {
            self.postings.add(pair, series);
        }
        self.last_labels = Some(labels.clone());
        self.last_reference = chunks.last().map_or(self.last_reference, |c| c.reference);
        Ok(series)
    }

    fn put_row(&mut self) {
        let mut body = Vec::with_capacity(256);
        encode_body(&mut body, &self.row);
        put_uvarint_bytes(&mut self.buffer, &body);
        put_be32(&mut self.buffer, crc32c(&body));
    }

    fn check_chunks(&self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), TsdbError> {
        let mut reference = self.last_reference;
        let mut end = None;
        for chunk in chunks {
            let ordered = chunk.reference >= reference
                && chunk.max_time_ms >= chunk.min_time_ms
                && end.is_none_or(|end| chunk.min_time_ms > end);
            if !ordered {
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
        let mut postings = std::mem::take(&mut self.postings);
        postings.pairs.sort_unstable_by_key(|pair| pair.symbols);
        self.toc.postings = self.position;
        self.pad(4);
        let mut offsets = Vec::with_capacity(postings.pairs.len() + 1);
        let lists = postings.pairs.iter().map(|pair| &pair.list);
        for list in std::iter::once(&postings.all).chain(lists) {
            self.pad(4);
            offsets.push(self.next_position());
            list.encode(&mut self.buffer)?;
            self.flush_if_full()?;
        }
        self.flush()?;
        self.toc.postings_offsets = self.position;
        self.put_offsets(&postings, &offsets)?;
        self.toc.encode(&mut self.buffer);
        self.flush()?;
        Ok(self.sink)
    }

    fn put_offsets(&mut self, postings: &Postings, offsets: &[u64]) -> Result<(), TsdbError> {
        // The table is made twice, first for its length.
        let length: usize = offset_entries(&self.symbols, postings, offsets)
            .map(|(name, value, offset)| {
                let text = |text: &str| uvarint_len(text.len() as u64) + text.len();
                1 + text(name) + text(value) + uvarint_len(offset)
            })
            .sum();
        self.put_section_length(length + 4, "postings offsets")?;
        let mut crc = Crc32c::default();
        let count = u32::try_from(offsets.len())
            .map_err(|_| TsdbError::TooLarge("an index has too many label pairs".to_owned()))?;
        put_be32(&mut self.buffer, count);
        let symbols = std::mem::take(&mut self.symbols);
        for (name, value, offset) in offset_entries(&symbols, postings, offsets) {
            put_uvarint(&mut self.buffer, 2);
            put_uvarint_bytes(&mut self.buffer, name.as_bytes());
            put_uvarint_bytes(&mut self.buffer, value.as_bytes());
            put_uvarint(&mut self.buffer, offset);
            self.put_checked_if_full(&mut crc)?;
        }
        self.put_section_end(crc)
    }
}

/// The entries of the postings offset table in order.
fn offset_entries<'a>(
    symbols: &'a SymbolSet,
    postings: &'a Postings,
    offsets: &'a [u64],
) -> impl Iterator<Item = (&'a str, &'a str, u64)> {
    let pairs = postings
        .pairs
        .iter()
        .map(|Pair { symbols: (name, value), .. }| (symbols.get(*name), symbols.get(*value)));
    let pairs = std::iter::once(("", "")).chain(pairs);
    pairs.zip(offsets).map(|((name, value), &offset)| (name, value, offset))
}
