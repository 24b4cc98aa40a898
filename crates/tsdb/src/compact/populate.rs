//! The chunks of one series of the new block: gathered from the inputs, put in order, those that
//! overlap merged.

use model::TimestampMs;
use smallvec::SmallVec;

use super::heap::Heap;
use super::input::Input;
use super::overlap::Overlap;
use crate::block::{Block, ChunkRecord, RawRecord, RecordPlace, StoredChunk, encode_chunk_record};
use crate::chunk::clip::clip;
use crate::chunk::encoder::FinishedChunk;
use crate::chunk::sample_count;
use crate::error::{DecodeError, TsdbError};
use crate::index::ChunkMeta;
use crate::tombstones::Interval;

/// Works on one series after the other; buffers are kept.
pub(super) struct Populate<'a> {
    /// The range of all blocks; nothing outside is kept.
    range: Interval,
    pieces: Vec<Piece<'a>>,
    /// Where the pieces of each input end.
    ends: Vec<usize>,
    /// Ascending in time and without overlap.
    chunks: Vec<StoredChunk<'a>>,
    /// Records that were made here.
    buffer: Vec<u8>,
    overlap: Overlap,
    deleted: Vec<Interval>,
}

/// A chunk of a source.
#[derive(Clone)]
pub(super) struct Piece<'a> {
    pub(super) min_time_ms: TimestampMs,
    pub(super) max_time_ms: TimestampMs,
    pub(super) source: PieceSource<'a>,
}

/// Where the bytes of a piece are.
#[derive(Clone)]
pub(super) enum PieceSource<'a> {
    /// In a block; its checksum is not checked yet.
    Block(&'a Block, u64, RawRecord<'a>),
    /// Made here: what is left of a chunk after deletions.
    Made(StoredChunk<'a>),
}

impl<'a> Populate<'a> {
    pub(super) fn new(blocks: &[&Block]) -> Self {
        let metas = || blocks.iter().map(|block| block.meta());
        let range = Interval {
            min_ms: metas().map(|meta| meta.min_time_ms).min().unwrap_or(TimestampMs::MIN),
            max_ms: metas().map(|meta| meta.max_time_ms).max().unwrap_or(TimestampMs::MAX) - 1,
        };
        Self {
            range,
            pieces: Vec::new(),
            ends: Vec::new(),
            chunks: Vec::new(),
            buffer: Vec::new(),
            overlap: Overlap::default(),
            deleted: Vec::new(),
        }
    }

    /// See [`Populate::chunks`].
    pub(super) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Adds the chunks of an input's series. The chunks of the series before are gone.
    pub(super) fn add(&mut self, input: &Input<'a>) -> Result<(), TsdbError> {
        if self.ends.is_empty() {
            self.buffer.clear();
        }
        let deleted = input.deleted();
        for &chunk in input.chunks() {
            let block = input.block();
            let inside =
                self.range.contains(chunk.min_time_ms) && self.range.contains(chunk.max_time_ms);
            if inside && deleted.is_empty() {
                let record = block.raw_chunk(chunk.reference)?;
                self.pieces.push(Piece {
                    min_time_ms: chunk.min_time_ms,
                    max_time_ms: chunk.max_time_ms,
                    source: PieceSource::Block(block, chunk.reference, record),
                });
            } else {
                self.add_clipped(block, chunk, deleted)?;
            }
        }
        self.ends.push(self.pieces.len());
        Ok(())
    }

    /// Adds what is left of a chunk after deletions.
    fn add_clipped(
        &mut self,
        block: &'a Block,
        chunk: ChunkMeta,
        deleted: &[Interval],
    ) -> Result<(), TsdbError> {
        let Interval { min_ms, max_ms } = self.range;
        let before = Interval { min_ms: TimestampMs::MIN, max_ms: min_ms.saturating_sub(1) };
        let after = Interval { min_ms: max_ms.saturating_add(1), max_ms: TimestampMs::MAX };
        let touches =
            |i: &&Interval| i.min_ms <= chunk.max_time_ms && chunk.min_time_ms <= i.max_ms;
        self.deleted.clear();
        self.deleted.extend(deleted.iter().chain([&before, &after]).filter(touches));
        if self
            .deleted
            .iter()
            .any(|i| i.contains(chunk.min_time_ms) && i.contains(chunk.max_time_ms))
        {
            return Ok(());
        }
        let record = block.raw_chunk(chunk.reference)?;
        let (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
        if self.deleted.is_empty() {
            let source = PieceSource::Block(block, chunk.reference, record);
            self.pieces.push(Piece { min_time_ms, max_time_ms, source });
            return Ok(());
        }
        let Self { deleted, buffer, pieces, .. } = self;
        let keep = |t: TimestampMs| !deleted.iter().any(|i| i.contains(t));
        let mut sink = |chunk: FinishedChunk<'_>| {
            let stored = store(chunk, buffer);
            pieces.push(Piece {
                min_time_ms: stored.min_time_ms,
                max_time_ms: stored.max_time_ms,
                source: PieceSource::Made(stored),
            });
        };
        record
            .check()
            .and_then(|()| clip((record.encoding()?, record.data()), &keep, &mut sink))
            .map_err(|e| block.corrupt_chunk(chunk.reference, e))
    }

    /// The chunks of the series whose inputs were added, none where nothing is left. Records that
    /// were made for them are in [`Populate::buffer`].
    pub(super) fn chunks(&self) -> &[StoredChunk<'a>] {
        &self.chunks
    }

    /// Makes the chunks of the series whose inputs were added.
    pub(super) fn finish(&mut self) -> Result<(), TsdbError> {
        self.chunks.clear();
        let mut pieces = std::mem::take(&mut self.pieces);
        let is_apart = |pair: &[Piece<'_>]| pair[0].max_time_ms < pair[1].min_time_ms;
        if pieces.windows(2).all(is_apart) {
            for piece in &pieces {
                self.chunks.push(piece.stored()?);
            }
        } else {
            put_in_order(&mut pieces, &self.ends);
            self.add_groups(&pieces)?;
        }
        pieces.clear();
        self.pieces = pieces;
        self.ends.clear();
        Ok(())
    }

    fn add_groups(&mut self, pieces: &[Piece<'a>]) -> Result<(), TsdbError> {
        let mut rest = pieces;
        while let Some(first) = rest.first() {
            let mut end = first.max_time_ms;
            let mut count = 1;
            while let Some(next) = rest.get(count).filter(|next| next.min_time_ms <= end) {
                end = end.max(next.max_time_ms);
                count += 1;
            }
            let (group, others) = rest.split_at(count);
            self.add_group(group)?;
            rest = others;
        }
        Ok(())
    }

    /// Adds chunks that overlap each other.
    #[inline]
    fn add_group(&mut self, group: &[Piece<'a>]) -> Result<(), TsdbError> {
        let mut distinct: SmallVec<[&Piece<'a>; 8]> = SmallVec::new();
        for piece in group {
            if !distinct.last().is_some_and(|last| last.is_same(piece, &self.buffer)) {
                distinct.push(piece);
            }
        }
        if let [single] = distinct[..] {
            self.chunks.push(single.stored()?);
            return Ok(());
        }
        let Self { overlap, chunks, buffer, .. } = self;
        // What was made before is read from the buffer that the new chunks go to.
        overlap.load(&distinct, buffer)?;
        overlap.merge(&mut |chunk| chunks.push(store(chunk, buffer)))
    }
}

/// Puts pieces in order of their times; those with the same times as Prometheus' heap of chunk
/// iterators, one for each input, lets them out.
fn put_in_order(pieces: &mut Vec<Piece<'_>>, ends: &[usize]) {
    let times = |piece: &Piece<'_>| (piece.min_time_ms, piece.max_time_ms);
    let starts = std::iter::once(&0).chain(ends);
    let mut cursors: SmallVec<[(usize, usize); 8]> =
        starts.zip(ends).map(|(&start, &end)| (start, end)).collect();
    let mut heap = Heap::default();
    let mut order = Vec::with_capacity(pieces.len());
    for i in 0..cursors.len() {
        if cursors[i].0 < cursors[i].1 {
            heap.push(i, &|a, b| times(&pieces[cursors[a].0]) < times(&pieces[cursors[b].0]));
        }
    }
    while let Some(i) =
        heap.pop(&|a, b| times(&pieces[cursors[a].0]) < times(&pieces[cursors[b].0]))
    {
        order.push(pieces[cursors[i].0].clone());
        cursors[i].0 += 1;
        if cursors[i].0 < cursors[i].1 {
            heap.push(i, &|a, b| times(&pieces[cursors[a].0]) < times(&pieces[cursors[b].0]));
        }
    }
    // Only chunks that overlap within one block are out of order now.
    order.sort_by_key(times);
    *pieces = order;
}

impl<'a> Piece<'a> {
    /// As it is; its checksum is checked.
    #[inline]
    fn stored(&self) -> Result<StoredChunk<'a>, TsdbError> {
        match &self.source {
            PieceSource::Made(stored) => Ok(stored.clone()),
            PieceSource::Block(block, reference, record) => {
                self.checked(record).map_err(|error| block.corrupt_chunk(*reference, error))
            }
        }
    }

    #[inline]
    fn checked(&self, record: &RawRecord<'a>) -> Result<StoredChunk<'a>, DecodeError> {
        record.check()?;
        let encoding = record.encoding()?;
        Ok(StoredChunk {
            min_time_ms: self.min_time_ms,
            max_time_ms: self.max_time_ms,
            encoding,
            sample_count: sample_count(encoding, record.data())? as u16,
            place: RecordPlace::Mapped(record.bytes()),
        })
    }

    fn record<'b>(&'b self, buffer: &'b [u8]) -> &'b [u8] {
        match &self.source {
            PieceSource::Made(stored) => stored.record(buffer),
            PieceSource::Block(_, _, record) => record.bytes(),
        }
    }

    /// Whether both are the same chunk to the byte.
    fn is_same(&self, other: &Self, buffer: &[u8]) -> bool {
        (self.min_time_ms, self.max_time_ms) == (other.min_time_ms, other.max_time_ms)
            && self.record(buffer) == other.record(buffer)
    }
}

/// Appends the record of a chunk to `buffer`.
fn store<'a>(chunk: FinishedChunk<'_>, buffer: &mut Vec<u8>) -> StoredChunk<'a> {
    let start = buffer.len();
    encode_chunk_record(buffer, ChunkRecord { encoding: chunk.encoding, data: chunk.data });
    StoredChunk {
        min_time_ms: chunk.min_time_ms,
        max_time_ms: chunk.max_time_ms,
        encoding: chunk.encoding,
        sample_count: chunk.sample_count,
        place: RecordPlace::Buffer(start..buffer.len()),
    }
}
