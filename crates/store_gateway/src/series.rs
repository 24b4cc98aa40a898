//! The series of one block that a selection wants: entries are read so many at a time, their
//! chunks so many bytes at a time.

use std::collections::VecDeque;

use model::{
    Labels, Matcher, QueryContext, SampleReader, SelectHints, SeriesEntry, SeriesSet, Shard,
    StorageError, TimeRange,
};
use tsdb::index::{ChunkMeta, SeriesRow};
use tsdb::merge::{are_in_order, read_in_order};

use crate::all_series::AllSeries;
use crate::chunks::{StoredChunk, WantedChunk, fetch_chunks};
use crate::hashes::PageMemo;
use crate::index::{BlockIndex, LabelMemo, Matched};
use crate::request::Reservation;
use crate::samples::ChunkSamples;
use crate::store::Store;

/// The least that each block fetches ahead, however many there are, bytes.
const MIN_BATCH_BYTES: u64 = 128 << 10;
/// The most that each block fetches ahead, bytes.
const MAX_BATCH_BYTES: u64 = 4 << 20;
/// What the entry of a series may well take in memory, bytes, before any has been read: that of one
/// with 48 chunks, which are a day of samples every 15 s.
const ROW_BYTES: u64 = 2048;
/// The fewest series entries that are read together.
const MIN_ROWS: usize = 64;
/// Series entries that are read together where chunks are only counted.
const COUNTED_ROWS: usize = 20_000;
/// The guess for a chunk when nothing shows where the next one begins: a full XOR chunk is
/// seldom larger.
const CHUNK_GUESS_BYTES: u64 = 4 << 10;

/// What is wanted of the series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection {
    range: TimeRange,
    limit: usize,
    shard: Option<Shard>,
    labels_only: bool,
    newest_only: bool,
    /// Chunks that are fetched ahead, bytes.
    batch_bytes: u64,
    /// What series entries that are read together may take.
    rows_bytes: u64,
    /// The most series entries that are read together.
    most_rows: usize,
}

impl Selection {
    /// Of so many blocks at the same time: they share what may be fetched ahead.
    pub(crate) fn new(
        range: TimeRange,
        hints: &SelectHints,
        (store, block_count): (&Store, usize),
    ) -> Self {
        let share_bytes = store.options.select_chunk_bytes / block_count.max(1) as u64;
        Self {
            range,
            limit: if hints.limit == 0 { usize::MAX } else { hints.limit },
            shard: hints.shard.filter(|shard| shard.count > 0),
            labels_only: hints.labels_only,
            newest_only: hints.newest_only && hints.end_ms_incl == range.end_ms_incl,
            batch_bytes: share_bytes.clamp(MIN_BATCH_BYTES, MAX_BATCH_BYTES),
            rows_bytes: 2 * share_bytes,
            most_rows: store.config.streaming_series_batch_size.max(1),
        }
    }

    /// How many series are wanted at most.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How many series entries are read together when one takes so much memory.
    fn batch_rows(&self, row_bytes: u64) -> usize {
        let rows = usize::try_from(self.rows_bytes / row_bytes.max(1)).unwrap_or(usize::MAX);
        rows.max(MIN_ROWS).min(self.most_rows)
    }

    /// How many chunks of a series are wanted.
    fn count_wanted(&self, row: &SeriesRow) -> u64 {
        let overlaps = |c: &&ChunkMeta| self.range.overlaps(c.min_time_ms, c.max_time_ms);
        let count = row.chunks.iter().filter(overlaps).count() as u64;
        let in_order = are_in_order(&row.chunks, ChunkMeta::times);
        if self.newest_only && in_order { count.min(1) } else { count }
    }

    /// Whether a series is in the shard. Its labels are looked at where its hash is not known.
    fn has(
        &self,
        index: &BlockIndex,
        (series, row): (u32, &SeriesRow),
        memo: &mut Memo,
    ) -> Result<bool, StorageError> {
        let Some(shard) = self.shard else { return Ok(true) };
        let series = (index.block().object, series);
        let Memo { labels, hashes } = memo;
        let hash = || Ok::<_, StorageError>(index.labels(row, labels)?.stable_hash());
        let hash = index.request().store.hashes.get_or(hashes, series, hash)?;
        Ok(hash % shard.count == shard.index)
    }
}

/// Series of one block, in label order.
pub(crate) struct BlockSeriesSet {
    index: BlockIndex,
    selection: Selection,
    numbers: Numbers,
    /// What a row has taken on the average, bytes.
    row_bytes: u64,
    /// Memory of the rows.
    rows_held: Option<Reservation>,
    memo: Memo,
    /// Series whose chunks have not been fetched.
    rows: VecDeque<Row>,
    ready: VecDeque<SeriesEntry>,
    /// How many more rows are wanted.
    left: usize,
}

/// What the series before have left behind.
#[derive(Default)]
struct Memo {
    labels: LabelMemo,
    hashes: PageMemo,
}

/// The series of the block that are still to be looked at.
enum Numbers {
    All(Box<AllSeries>),
    These(
        std::vec::IntoIter<u32>,
        #[expect(dead_code, reason = "held until it is dropped")] Reservation,
    ),
}

impl Numbers {
    fn next(&mut self, index: &BlockIndex, count: usize) -> Result<Vec<u32>, StorageError> {
        match self {
            Self::All(all) => all.next(index, count),
            Self::These(numbers, _) => Ok(numbers.by_ref().take(count).collect()),
        }
    }

    /// How many are left.
    fn left(&self) -> u64 {
        match self {
            Self::All(all) => all.left(),
            Self::These(numbers, _) => numbers.len() as u64,
        }
    }
}

/// A series and the chunks of it that are wanted.
struct Row {
    labels: Labels,
    chunks: Vec<RowChunk>,
}

#[derive(Clone, Copy)]
struct RowChunk {
    meta: ChunkMeta,
    guess_bytes: u64,
}

impl Row {
    fn memory_bytes(&self) -> u64 {
        let chunks = size_of_val(&*self.chunks);
        (self.labels.packed().len() + chunks + size_of::<Self>()) as u64
    }

    fn guess_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.guess_bytes).sum()
    }
}

impl BlockSeriesSet {
    /// Finds the series; nothing of them has been read yet.
    pub(crate) fn new(
        index: BlockIndex,
        matchers: &[Matcher],
        selection: Selection,
    ) -> Result<Self, StorageError> {
        let (store, start) = (&index.request().store, index.request().store.clock.monotonic());
        let numbers = match index.matching(matchers)? {
            Matched::All => Numbers::All(Box::new(index.all_series()?)),
            Matched::Some(series, held) => Numbers::These(series.into_iter(), held),
        };
        store.metrics.expand_postings.observe(store.seconds_since(start));
        Ok(Self {
            index,
            selection,
            numbers,
            row_bytes: ROW_BYTES,
            rows_held: None,
            memo: Memo::default(),
            rows: VecDeque::new(),
            ready: VecDeque::new(),
            left: selection.limit,
        })
    }

    /// How many series chunks may be fetched of; not all of them need have chunks in range. 0 where
    /// the selection may end before the last series.
    pub(crate) fn candidates(&self) -> u64 {
        let has_end = self.selection.labels_only || self.selection.limit < usize::MAX;
        if has_end { 0 } else { self.numbers.left() }
    }

    /// The accounts of the request.
    pub(crate) fn context(&self) -> &QueryContext {
        &self.index.request().context
    }

    /// Calls `add` with the number of chunks that are wanted of the next series, again and again.
    /// Reads the index alone; nothing of it is kept. To be called before the first series is taken.
    pub(crate) fn count_chunks(
        &self,
        mut add: impl FnMut(u64) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let (index, selection) = (&self.index, &self.selection);
        let mut memo = Memo::default();
        let mut count_rows = |numbers: &[u32]| {
            self.context().check()?;
            let (mut count, mut series) = (0, numbers.iter().copied());
            index.for_each_row(numbers, |row| {
                let row = (series.next().unwrap_or_default(), row);
                let wanted = selection.count_wanted(row.1);
                if wanted > 0 && selection.has(index, row, &mut memo)? {
                    count += wanted;
                }
                Ok(())
            })?;
            add(count)
        };
        match &self.numbers {
            Numbers::All(_) => {
                let mut all = index.all_series()?;
                loop {
                    let numbers = all.next(index, COUNTED_ROWS)?;
                    if numbers.is_empty() {
                        return Ok(());
                    }
                    count_rows(&numbers)?;
                }
            }
            Numbers::These(numbers, _) => {
                numbers.as_slice().chunks(COUNTED_ROWS).try_for_each(count_rows)
            }
        }
    }

    /// Reads the next entries; false when there are none.
    fn read_rows(&mut self) -> Result<bool, StorageError> {
        // All of them have been handed on.
        self.rows_held = None;
        let batch = self.selection.batch_rows(self.row_bytes).min(self.left);
        let numbers = self.numbers.next(&self.index, batch)?;
        let Self { index, selection, memo, rows, .. } = self;
        index.request().context.check()?;
        let mut held = index.request().reserve(0)?;
        let mut series = numbers.iter().copied();
        index.for_each_row(&numbers, |row| {
            let series = series.next().unwrap_or_default();
            end_before(rows, row);
            let chunks = wanted_chunks(row, selection);
            if !chunks.is_empty() && selection.has(index, (series, row), memo)? {
                let row = Row { labels: index.labels(row, &mut memo.labels)?, chunks };
                held.grow(row.memory_bytes())?;
                rows.push_back(row);
            }
            Ok(())
        })?;
        if !self.rows.is_empty() {
            self.row_bytes = held.bytes() / self.rows.len() as u64;
        }
        self.rows_held = Some(held);
        self.left -= self.rows.len();
        Ok(!numbers.is_empty())
    }

    /// Fetches the chunks of the next rows.
    fn fill_ready(&mut self) -> Result<(), StorageError> {
        if self.selection.labels_only {
            let entry = |row: Row| SeriesEntry { labels: row.labels, samples: Box::new(NoSamples) };
            let entries = self.rows.drain(..).map(entry);
            self.ready.extend(entries);
            return Ok(());
        }
        let rows = self.next_rows();
        let wanted: Vec<WantedChunk> = rows.iter().flat_map(|row| &row.chunks).map(want).collect();
        let (request, block) = (self.index.request(), self.index.block());
        request.context.add_chunks(wanted.len() as u64, 0)?;
        let held = request.reserve(rows.iter().map(Row::guess_bytes).sum())?;
        let start = request.store.clock.monotonic();
        let mut fetched = fetch_chunks(request, block, &wanted)?.into_iter();
        let seconds = request.store.seconds_since(start);
        request.store.metrics.fetch_series_and_chunks.observe(seconds);
        if !self.rows.is_empty() || self.numbers.left() > 0 {
            request.store.metrics.batch_load.observe(seconds);
            request.store.metrics.batch_wait.observe(seconds);
        }
        // Each series has its own part from here on.
        drop(held);
        for row in rows {
            let metas = row.chunks.into_iter().map(|chunk| chunk.meta);
            let chunks: Vec<(ChunkMeta, StoredChunk)> = metas.zip(fetched.by_ref()).collect();
            let samples = read_in_order(
                chunks,
                |chunk| chunk.0.times(),
                |chunks| {
                    let samples = ChunkSamples::new(request, block, chunks)?;
                    Ok::<_, StorageError>(Box::new(samples) as Box<dyn SampleReader>)
                },
            )?;
            self.ready.push_back(SeriesEntry { labels: row.labels, samples });
        }
        Ok(())
    }

    /// The rows that are fetched together: one at least.
    fn next_rows(&mut self) -> Vec<Row> {
        let (mut count, mut bytes) = (0, 0);
        for row in &self.rows {
            bytes += row.guess_bytes();
            if count > 0 && bytes > self.selection.batch_bytes {
                break;
            }
            count += 1;
        }
        self.rows.drain(..count).collect()
    }
}

impl SeriesSet for BlockSeriesSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            if !self.rows.is_empty() {
                self.fill_ready()?;
            } else if !self.read_rows()? {
                return Ok(None);
            }
        }
    }
}

fn want(chunk: &RowChunk) -> WantedChunk {
    WantedChunk { reference: chunk.meta.reference, guess_bytes: chunk.guess_bytes }
}

/// The chunks of a series that may hold what is wanted. Empty: nothing of the series is.
fn wanted_chunks(row: &SeriesRow, selection: &Selection) -> Vec<RowChunk> {
    let nexts = row.chunks.iter().skip(1).map(Some).chain([None]);
    let with_guess = row.chunks.iter().zip(nexts).map(|(&meta, next)| RowChunk {
        meta,
        guess_bytes: next.map_or(CHUNK_GUESS_BYTES, |next| guess(&meta, next)),
    });
    let overlaps = |c: &RowChunk| selection.range.overlaps(c.meta.min_time_ms, c.meta.max_time_ms);
    let mut chunks: Vec<RowChunk> = with_guess.filter(overlaps).collect();
    // The last chunk begins inside the range, so the newest sample of the range is in it.
    let in_order = are_in_order(&chunks, |chunk| chunk.meta.times());
    if selection.newest_only && chunks.len() > 1 && in_order {
        chunks.drain(..chunks.len() - 1);
    }
    chunks
}

/// The length of a chunk that `next` follows in the index: exact where it does so in the file.
fn guess(chunk: &ChunkMeta, next: &ChunkMeta) -> u64 {
    let is_same_file = chunk.reference >> 32 == next.reference >> 32;
    match next.reference.checked_sub(chunk.reference) {
        Some(distance) if is_same_file && distance > 0 => distance.min(CHUNK_GUESS_BYTES),
        _ => CHUNK_GUESS_BYTES,
    }
}

/// Shortens the guess for the last chunk before `row`: chunks lie in the order of their series.
fn end_before(rows: &mut VecDeque<Row>, row: &SeriesRow) {
    let last = rows.back_mut().and_then(|row| row.chunks.last_mut());
    if let (Some(last), Some(next)) = (last, row.chunks.first()) {
        last.guess_bytes = last.guess_bytes.min(guess(&last.meta, next));
    }
}

/// The reader of a series of which only the labels are wanted.
struct NoSamples;

impl SampleReader for NoSamples {
    fn read_batch(&mut self, _: &mut model::SampleBuffer) -> Result<bool, StorageError> {
        Ok(false)
    }
}
