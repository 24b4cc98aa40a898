//! The order in which both services send series: the labels of all of them in batches, and then
//! their chunks in batches. The receiver merges by labels before it takes any chunk.

use std::collections::VecDeque;
use std::sync::Arc;

use model::{EncodedChunk, Labels, QueryContext, SampleReader, SeriesSet, StorageError, TimeRange};

/// Series of one message of labels, as in Mimir.
pub(crate) const SERIES_PER_MESSAGE: usize = 128;
/// Series of one message of chunks where the caller names no number.
const CHUNK_SERIES_PER_MESSAGE: usize = 256;
/// A message of chunks is sent when it has grown beyond this.
const CHUNK_BYTES_PER_MESSAGE: usize = 1 << 20;
/// What a series takes while it waits for its chunks to be asked for, bytes, about.
const WAITING_SERIES_BYTES: u64 = 256;

/// What is sent next.
pub(crate) enum Piece {
    /// Labels of series with the numbers of their chunks; `true` behind the last ones.
    Labels(Vec<(Labels, usize)>, bool),
    /// Chunks of series, by their index.
    Chunks(Vec<(u64, Vec<EncodedChunk>)>),
}

/// A selection on its way.
pub(crate) struct SeriesStream {
    /// `None` when all labels are sent.
    set: Option<Box<dyn SeriesSet>>,
    waiting: VecDeque<Box<dyn SampleReader>>,
    next_index: u64,
    range: TimeRange,
    with_chunks: bool,
    chunk_series_per_message: usize,
    context: Arc<QueryContext>,
}

impl SeriesStream {
    /// Sends `set`, whose chunks outside of `range` are left aside. `batch` is how many series of
    /// chunks the caller takes at a time; 0 = as many as usual.
    pub(crate) fn new(
        set: Box<dyn SeriesSet>,
        (range, batch): (TimeRange, u64),
        with_chunks: bool,
        context: Arc<QueryContext>,
    ) -> Self {
        let batch = usize::try_from(batch).unwrap_or(CHUNK_SERIES_PER_MESSAGE);
        Self {
            set: Some(set),
            waiting: VecDeque::new(),
            next_index: 0,
            range,
            with_chunks,
            chunk_series_per_message: match batch {
                0 => CHUNK_SERIES_PER_MESSAGE,
                n => n.min(CHUNK_SERIES_PER_MESSAGE),
            },
            context,
        }
    }

    /// The next piece; `None` at the end. To be called on a compute thread.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece>, StorageError> {
        self.context.check()?;
        match self.set.take() {
            Some(set) => self.next_labels(set).map(Some),
            None => self.next_chunks(),
        }
    }

    fn next_labels(&mut self, mut set: Box<dyn SeriesSet>) -> Result<Piece, StorageError> {
        let mut labels = Vec::with_capacity(SERIES_PER_MESSAGE);
        while labels.len() < SERIES_PER_MESSAGE {
            let Some(series) = set.next_series()? else {
                return Ok(Piece::Labels(labels, true));
            };
            labels.push((series.labels, series.samples.chunk_count()));
            if self.with_chunks {
                self.context.reserve_memory(WAITING_SERIES_BYTES)?;
                self.waiting.push_back(series.samples);
            }
        }
        self.set = Some(set);
        Ok(Piece::Labels(labels, false))
    }

    fn next_chunks(&mut self) -> Result<Option<Piece>, StorageError> {
        let (mut out, mut bytes) = (Vec::new(), 0);
        while out.len() < self.chunk_series_per_message && bytes < CHUNK_BYTES_PER_MESSAGE {
            let Some(mut samples) = self.waiting.pop_front() else { break };
            self.context.release_memory(WAITING_SERIES_BYTES);
            let mut chunks = tsdb::merge::chunks_of(&mut *samples)?;
            chunks.retain(|c| self.range.overlaps(c.min_time_ms, c.max_time_ms));
            bytes += chunks.iter().map(|c| c.data.len()).sum::<usize>();
            out.push((self.next_index, chunks));
            self.next_index += 1;
        }
        Ok((!out.is_empty()).then_some(Piece::Chunks(out)))
    }
}

impl Drop for SeriesStream {
    fn drop(&mut self) {
        self.context.release_memory(WAITING_SERIES_BYTES * self.waiting.len() as u64);
        self.context.cancel();
    }
}
