//! Reading series from storage: the selector's samples are decoded, a kernel makes the row over
//! all steps, and the samples are let go before the next series.
//!
//! Series are worked on in chunks, spread over the executor; a round of chunks is in memory at a
//! time, and rows come out in the order of storage.

mod pair;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use model::{Labels, SampleBuffer, SeriesEntry, SeriesSet};

pub(crate) use pair::{LeadingSeries, LeftSamples};

use super::QueryError;
use super::batch::{ABSENT, RowMut, SeriesBatch, SeriesHead, label_bytes};
use super::context::EvalContext;
use super::histogram_stats::keep_stats;
use super::plan::SelectPlan;
use super::selector::select_series;
use super::stream::{SeriesMap, SeriesSource, Sink, apply_maps};

/// Makes the row of one series from its samples.
pub(crate) trait SeriesKernel: Send + Sync {
    /// Fills `row` from `samples` (all that were read, stale markers included). `samples` may be
    /// changed; it is emptied afterwards.
    fn evaluate(
        &self,
        labels: &Labels,
        samples: &mut SampleBuffer,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError>;

    /// Whether the series loses its metric name.
    fn drops_name(&self) -> bool;

    /// Whether it looks at the times of samples, not at their values.
    fn looks_at_times_only(&self) -> bool {
        false
    }
}

/// Series of storage, each made into a row by a kernel.
pub(crate) struct SelectSource {
    series: SeriesState,
    kernel: Box<dyn SeriesKernel>,
    steps: usize,
    only_histogram_stats: bool,
    ready: VecDeque<SeriesBatch>,
}

enum SeriesState {
    /// To be selected when the first of them is asked for.
    Planned(Box<SelectPlan>),
    Selected(Box<dyn SeriesSet>),
    End,
}

impl SelectSource {
    /// The series of `series`, with rows of `steps` cells.
    pub(crate) fn new(
        series: Box<dyn SeriesSet>,
        kernel: Box<dyn SeriesKernel>,
        steps: usize,
    ) -> Self {
        Self::of(SeriesState::Selected(series), kernel, steps)
    }

    /// The series of `plan`, selected only when they are asked for.
    pub(crate) fn later(plan: SelectPlan, kernel: Box<dyn SeriesKernel>, steps: usize) -> Self {
        Self::of(SeriesState::Planned(Box::new(plan)), kernel, steps)
    }

    fn of(series: SeriesState, kernel: Box<dyn SeriesKernel>, steps: usize) -> Self {
        let ready = VecDeque::new();
        Self { series, kernel, steps, only_histogram_stats: false, ready }
    }

    /// Says whether of native histograms only count and sum are needed.
    pub(crate) fn with_histogram_stats(mut self, only_stats: bool) -> Self {
        self.only_histogram_stats = only_stats;
        self
    }
}

/// How many series are worked on at a time.
#[derive(Debug, Clone, Copy)]
struct RoundSize {
    /// Series of one chunk: rows of a chunk should fit a core's cache.
    chunk_len: usize,
    /// Chunks of one round: more than there are threads, so that a slow one does not hold up the
    /// round, but not more than fit the memory of a modest query.
    chunks: usize,
}

impl RoundSize {
    fn new(steps: usize, cx: &EvalContext<'_>) -> Self {
        // Small, because at the end of a round all threads wait for the last chunk.
        const CELLS_OF_CHUNK: usize = 4 * 1024;
        const MAX_CHUNK_LEN: usize = 64;
        const CHUNKS_PER_THREAD: usize = 16;
        const MIN_CHUNKS_PER_THREAD: usize = 4;
        const CELLS_PER_THREAD: usize = CELLS_OF_CHUNK * CHUNKS_PER_THREAD;
        const CELLS: usize = 4 * 1024 * 1024;
        let chunk_len = (CELLS_OF_CHUNK / steps.max(1)).clamp(1, MAX_CHUNK_LEN);
        let threads = cx.executor().parallelism();
        if threads <= 1 {
            return Self { chunk_len, chunks: 1 };
        }
        let cells_of_chunk = chunk_len.saturating_mul(steps).max(1);
        let per_thread =
            (CELLS_PER_THREAD / cells_of_chunk).clamp(MIN_CHUNKS_PER_THREAD, CHUNKS_PER_THREAD);
        let chunks = (threads * per_thread).min(CELLS / cells_of_chunk).max(1);
        Self { chunk_len, chunks }
    }

    /// The first round is short: nothing else is done while it is read.
    fn first(self) -> Self {
        Self { chunk_len: self.chunk_len.div_ceil(2), chunks: self.chunks.div_ceil(4) }
    }
}

/// The series of one round, in chunks.
type Round = Vec<Vec<SeriesEntry>>;

/// Takes the series of one round from storage; empty at the end.
fn next_round(
    series: &mut SeriesState,
    size: RoundSize,
    cx: &EvalContext<'_>,
) -> Result<Round, QueryError> {
    let mut chunks = Vec::with_capacity(size.chunks);
    while chunks.len() < size.chunks {
        let chunk = next_chunk(series, size.chunk_len, cx)?;
        if chunk.is_empty() {
            break;
        }
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn next_chunk(
    series: &mut SeriesState,
    len: usize,
    cx: &EvalContext<'_>,
) -> Result<Vec<SeriesEntry>, QueryError> {
    let mut chunk = Vec::new();
    cx.check()?;
    while chunk.len() < len {
        match series {
            SeriesState::Planned(plan) => {
                *series = SeriesState::Selected(select_series(plan, cx)?);
            }
            SeriesState::Selected(selected) => match selected.next_series()? {
                Some(entry) => chunk.push(entry),
                None => *series = SeriesState::End,
            },
            SeriesState::End => break,
        }
    }
    Ok(chunk)
}

impl SeriesSource for SelectSource {
    fn next_batch(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
    ) -> Result<Option<SeriesBatch>, QueryError> {
        if let Some(batch) = self.ready.pop_front() {
            return Ok(Some(batch));
        }
        let Self { series, kernel, steps, only_histogram_stats, .. } = self;
        let (kernel, steps, only_histogram_stats) = (&**kernel, *steps, *only_histogram_stats);
        let round = next_round(series, RoundSize::new(steps, cx), cx)?;
        let job = ChunkJob { kernel, steps, only_histogram_stats, maps, cx };
        let ready = run_round(round, &job, &mut || {})?;
        self.ready = ready;
        Ok(self.ready.pop_front())
    }

    /// While the chunks of a round are worked on, the series of the round before are handed on and
    /// those of the next one are taken from storage: what cannot be spread takes no time of its
    /// own. It is a fifth of the benchmark's 6 h queries.
    fn drive(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let Self { series, kernel, steps, only_histogram_stats, ready } = self;
        let (kernel, steps, only_histogram_stats) = (&**kernel, *steps, *only_histogram_stats);
        let job = ChunkJob { kernel, steps, only_histogram_stats, maps, cx };
        let size = RoundSize::new(steps, cx);
        let mut done = std::mem::take(ready);
        let mut round = next_round(series, size.first(), cx)?;
        while !round.is_empty() {
            let (mut handed_on, mut next) = (Ok(()), Ok(Vec::new()));
            let results = run_round(round, &job, &mut || {
                handed_on = done.drain(..).try_for_each(&mut *sink);
                if handed_on.is_ok() {
                    next = next_round(series, size, cx);
                }
            });
            // Of several errors the one that comes first in the order of series counts.
            handed_on?;
            done = results?;
            round = next?;
        }
        done.drain(..).try_for_each(sink)
    }
}

/// What is done with every chunk of a round.
struct ChunkJob<'a> {
    kernel: &'a dyn SeriesKernel,
    steps: usize,
    only_histogram_stats: bool,
    maps: &'a [Box<dyn SeriesMap>],
    cx: &'a EvalContext<'a>,
}

type Slot = Mutex<Option<Result<SeriesBatch, QueryError>>>;

/// Works on all chunks at once, and on what is done `beside` them. Of several errors the first
/// chunk's counts.
fn run_round(
    round: Round,
    job: &ChunkJob<'_>,
    beside: &mut (dyn FnMut() + Send),
) -> Result<VecDeque<SeriesBatch>, QueryError> {
    let _held = job.cx.account.reserve(0, round_bytes(&round))?;
    if round.len() <= 1 {
        beside();
        return round.into_iter().map(|chunk| job.run(chunk)).collect();
    }
    let chunks: Vec<Mutex<Vec<SeriesEntry>>> = round.into_iter().map(Mutex::new).collect();
    let slots: Vec<Slot> = chunks.iter().map(|_| Mutex::new(None)).collect();
    let failed = AtomicBool::new(false);
    let beside = Mutex::new(beside);
    job.cx.executor().for_each(chunks.len() + 1, &|number| {
        let Some(index) = number.checked_sub(1) else {
            return beside.lock().unwrap_or_else(PoisonError::into_inner)();
        };
        if failed.load(Ordering::Relaxed) {
            return;
        }
        let mut chunk = chunks[index].lock().unwrap_or_else(PoisonError::into_inner);
        let result = job.run(std::mem::take(&mut *chunk));
        failed.fetch_or(result.is_err(), Ordering::Relaxed);
        *slots[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    let results = slots.into_iter().map(|s| s.into_inner().unwrap_or_else(PoisonError::into_inner));
    results.flatten().collect()
}

impl ChunkJob<'_> {
    fn run(&self, chunk: Vec<SeriesEntry>) -> Result<SeriesBatch, QueryError> {
        let cells = chunk.len().saturating_mul(self.steps);
        let room = self.cx.account.reserve(0, (cells * size_of::<f64>()) as u64)?;
        let mut batch = SeriesBatch::with_capacity(chunk.len(), self.steps);
        let (mut samples, mut pace) = (SampleBuffer::default(), self.cx.pace());
        for entry in chunk {
            let sample_count = self.add_series(entry, &mut samples, &mut batch)?;
            pace.tick(sample_count + self.steps)?;
        }
        // A function that was stopped within a row says so only here.
        self.cx.check()?;
        drop(room);
        self.cx.hold(&mut batch)?;
        apply_maps(self.maps, &mut batch, self.cx)?;
        Ok(batch)
    }

    /// Adds the row of a series; gives the number of its samples.
    fn add_series(
        &self,
        mut entry: SeriesEntry,
        samples: &mut SampleBuffer,
        batch: &mut SeriesBatch,
    ) -> Result<usize, QueryError> {
        samples.clear();
        entry.samples.read_all(samples)?;
        drop(entry.samples);
        let sample_count = samples.len();
        if sample_count == 0 {
            return Ok(0);
        }
        if self.only_histogram_stats && !samples.histograms.is_empty() {
            keep_stats(samples);
        }
        let held = self.cx.account.reserve(samples.len() as u64, buffer_bytes(samples))?;
        let drop_name = self.kernel.drops_name();
        self.make_room_for_row(batch)?;
        let row = batch.push(SeriesHead { labels: entry.labels.clone(), drop_name });
        self.kernel.evaluate(&entry.labels, samples, batch.row_mut(row), self.cx)?;
        if !batch.has_values(row) {
            batch.pop();
        }
        drop(held);
        Ok(sample_count)
    }
}

impl ChunkJob<'_> {
    /// A long row is emptied in pieces: touching its memory takes time, and the query may have to
    /// stop in the meantime.
    fn make_room_for_row(&self, batch: &mut SeriesBatch) -> Result<(), QueryError> {
        const CELLS: usize = 1 << 18;
        let end = batch.floats.len() + self.steps;
        while end - batch.floats.len() > CELLS {
            let next = batch.floats.len() + CELLS;
            batch.floats.resize(next, ABSENT);
            self.cx.check()?;
        }
        Ok(())
    }
}

/// The bytes of series that are not read yet; what their chunks take is a guess.
fn round_bytes(round: &[Vec<SeriesEntry>]) -> u64 {
    const SERIES_BYTES: usize = 256;
    let series = round.iter().flatten();
    series.map(|entry| (label_bytes(&entry.labels) + SERIES_BYTES) as u64).sum()
}

fn buffer_bytes(samples: &SampleBuffer) -> u64 {
    let floats = samples.float_times.capacity() * 16 + samples.float_start_times.capacity() * 8;
    let histograms = samples.histogram_times.capacity() * 16;
    let contents: usize = samples.histograms.iter().map(|h| h.size_bytes()).sum();
    (floats + histograms + contents) as u64
}
