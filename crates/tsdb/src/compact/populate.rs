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
            self.add_groups(&mut pieces)?;
        }
        pieces.clear();
        self.pieces = pieces;
        self.ends.clear();
        Ok(())
    }

    /// Takes the pieces in order of their times, those that overlap together.
    fn add_groups(&mut self, pieces: &mut [Piece<'a>]) -> Result<(), TsdbError> {
        let ends = std::mem::take(&mut self.ends);
        let mut order = PieceOrder::new(pieces, &ends);
        let mut group: SmallVec<[&Piece<'a>; 8]> = SmallVec::new();
        while let Some(first) = order.pop() {
            group.clear();
            group.push(first);
            let mut end = first.max_time_ms;
            while let Some(piece) = order.pop_until(end) {
                // Only the chunk before is compared with: this is Prometheus' rule.
                if !group.last().is_some_and(|last| last.is_same(piece, &self.buffer)) {
                    group.push(piece);
                }
                end = end.max(piece.max_time_ms);
            }
            let before = self.chunks.len();
            self.add_group(&group)?;
            order.pass_made(self.chunks.len() - before);
        }
        self.ends = ends;
        Ok(())
    }

    /// Adds chunks that overlap each other.
    fn add_group(&mut self, group: &[&Piece<'a>]) -> Result<(), TsdbError> {
        if let [single] = group {
            self.chunks.push(single.stored()?);
            return Ok(());
        }
        let Self { overlap, chunks, buffer, .. } = self;
        // What was made before is read from the buffer that the new chunks go to.
        overlap.load(group, buffer)?;
        overlap.merge(&mut |chunk| chunks.push(store(chunk, buffer)))
    }
}

/// Lets pieces out in order of their times; those with the same times as Prometheus' heap of
/// chunk iterators does, one for each input.
struct PieceOrder<'p, 'a> {
    pieces: &'p [Piece<'a>],
    /// What is left of each input.
    cursors: SmallVec<[(usize, usize); 8]>,
    heap: Heap,
}

/// The iterator over chunks that were made of a group, which Prometheus puts into the same heap.
const MADE: usize = usize::MAX;

fn times(piece: &Piece<'_>) -> (TimestampMs, TimestampMs) {
    (piece.min_time_ms, piece.max_time_ms)
}

impl<'p, 'a> PieceOrder<'p, 'a> {
    fn new(pieces: &'p mut [Piece<'a>], ends: &[usize]) -> Self {
        let starts = std::iter::once(&0).chain(ends);
        let cursors: SmallVec<[(usize, usize); 8]> =
            starts.zip(ends).map(|(&start, &end)| (start, end)).collect();
        for &(start, end) in &cursors {
            // They are, except in a block that breaks the rules.
            pieces[start..end].sort_by_key(times);
        }
        let mut order = Self { pieces, cursors, heap: Heap::default() };
        (0..ends.len()).for_each(|i| order.push(i));
        order
    }

    /// Puts an input into the heap, if something is left of it.
    fn push(&mut self, item: usize) {
        if item == MADE || self.cursors[item].0 < self.cursors[item].1 {
            self.heap.push(item, &less(self.pieces, &self.cursors));
        }
    }

    fn pop(&mut self) -> Option<&'p Piece<'a>> {
        let input = self.heap.pop(&less(self.pieces, &self.cursors))?;
        let piece = &self.pieces[self.cursors[input].0];
        self.cursors[input].0 += 1;
        self.push(input);
        Some(piece)
    }

    /// The next piece, if it begins at `end_incl` or before.
    fn pop_until(&mut self, end_incl: TimestampMs) -> Option<&'p Piece<'a>> {
        let input = self.heap.first()?;
        let piece = &self.pieces[self.cursors[input].0];
        if piece.min_time_ms <= end_incl { self.pop() } else { None }
    }

    /// Does to the heap what Prometheus does while it lets `count` new chunks out: all but the
    /// first go through it, which changes the places of the others.
    fn pass_made(&mut self, count: usize) {
        for _ in 1..count {
            self.push(MADE);
            self.heap.pop(&less(self.pieces, &self.cursors));
        }
    }
}

/// New chunks are before all others.
fn less<'x>(
    pieces: &'x [Piece<'_>],
    cursors: &'x [(usize, usize)],
) -> impl Fn(usize, usize) -> bool + 'x {
    let key = |item: usize| (item != MADE).then(|| times(&pieces[cursors[item].0]));
    move |a, b| key(a) < key(b)
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
