//! Chunks that overlap, merged sample by sample and encoded again.
//!
//! The samples come in the order of Prometheus' chain of iterators: it stays with one chunk as
//! long as that has the smallest time, and of several samples with one time takes the first that
//! its heap lets out. A histogram that does not follow its predecessor in its own chunk loses its
//! counter reset hint.

use std::ops::Range;

use model::{CounterResetHint, FloatHistogram, Histogram, SampleBuffer, TimestampMs};

use super::heap::Heap;
use super::populate::{Piece, PieceSource};
use crate::chunk::encoder::{COMPACTED_CHUNK_SAMPLES, ChunkEncoder, FinishedChunk};
use crate::chunk::histogram::{Floats, HistogramReader, Integers};
use crate::chunk::{ChunkEncoding, decode};
use crate::error::{DecodeError, TsdbError};

/// Merges one group of chunks after the other; buffers are kept.
pub(super) struct Overlap {
    /// The chunks of the group are the first `count` of them.
    decoded: Vec<Decoded>,
    count: usize,
    heap: Heap,
    encoder: ChunkEncoder,
}

/// The samples of one chunk, of one kind.
#[derive(Default)]
struct Decoded {
    /// Of floats all; of histograms the times alone.
    samples: SampleBuffer,
    ints: Vec<Histogram>,
    floats: Vec<FloatHistogram>,
    /// The sample that comes next.
    next: usize,
}

/// Samples of one chunk that follow each other in the result.
struct Run {
    chunk: usize,
    samples: Range<usize>,
    /// Whether the sample before the first one is the one before it in the chunk.
    follows: bool,
}

impl Default for Overlap {
    fn default() -> Self {
        Self {
            decoded: Vec::new(),
            count: 0,
            heap: Heap::default(),
            encoder: ChunkEncoder::new(COMPACTED_CHUNK_SAMPLES, false),
        }
    }
}

impl Overlap {
    /// Decodes a group of chunks in order of their times. `buffer` holds those that were made.
    pub(super) fn load(&mut self, group: &[&Piece<'_>], buffer: &[u8]) -> Result<(), TsdbError> {
        self.count = group.len();
        if self.decoded.len() < self.count {
            self.decoded.resize_with(self.count, Decoded::default);
        }
        // In Prometheus the first chunk is the last of the chain.
        let chain = group.iter().cycle().skip(1);
        for (piece, decoded) in chain.zip(&mut self.decoded[..group.len()]) {
            match &piece.source {
                PieceSource::Block(block, reference, record) => record
                    .check()
                    .and_then(|()| decoded.load(record.encoding()?, record.data()))
                    .map_err(|e| block.corrupt_chunk(*reference, e))?,
                PieceSource::Made(stored) => {
                    let record = crate::block::decode_chunk_record(stored.record(buffer));
                    record
                        .and_then(|record| decoded.load(record.encoding, record.data))
                        .map_err(|e| TsdbError::corrupt("chunk made by a compaction", e))?;
                }
            }
        }
        Ok(())
    }

    /// Hands the merged samples to `sink` as chunks.
    pub(super) fn merge(
        &mut self,
        sink: &mut dyn FnMut(FinishedChunk<'_>),
    ) -> Result<(), TsdbError> {
        let has_start_times = self.decoded[..self.count].iter().any(Decoded::has_start_times);
        self.encoder.set_start_times(has_start_times);
        let mut chain = Chain::new(&mut self.decoded[..self.count], &mut self.heap);
        while let Some(run) = chain.next_run() {
            let chunk = &chain.chunks[run.chunk];
            chunk
                .encode(&run, &mut self.encoder, sink)
                .map_err(|e| TsdbError::corrupt("merged samples", e))?;
        }
        self.encoder.finish(sink);
        Ok(())
    }
}

impl Decoded {
    fn load(&mut self, encoding: ChunkEncoding, data: &[u8]) -> Result<(), DecodeError> {
        self.samples.clear();
        self.ints.clear();
        self.floats.clear();
        self.next = 0;
        let has_start_times = encoding.has_start_times();
        match encoding {
            ChunkEncoding::Xor | ChunkEncoding::Xor2 => decode(encoding, data, &mut self.samples),
            ChunkEncoding::Histogram | ChunkEncoding::HistogramSt => {
                let mut reader = HistogramReader::<Integers>::new(data, has_start_times)?;
                while let Some((t, start)) = reader.advance()? {
                    let mut histogram = reader.histogram();
                    reduce(histogram.schema, |schema| histogram.reduce_resolution(schema).is_ok())?;
                    self.ints.push(histogram);
                    self.push_time(t, start);
                }
                Ok(())
            }
            ChunkEncoding::FloatHistogram | ChunkEncoding::FloatHistogramSt => {
                let mut reader = HistogramReader::<Floats>::new(data, has_start_times)?;
                while let Some((t, start)) = reader.advance()? {
                    self.floats.push(reader.float_histogram()?);
                    self.push_time(t, start);
                }
                Ok(())
            }
        }
    }

    fn push_time(&mut self, t: TimestampMs, start: TimestampMs) {
        self.samples.float_times.push(t);
        self.samples.float_start_times.push(start);
    }

    fn has_start_times(&self) -> bool {
        self.samples.float_start_times.iter().any(|&start| start != 0)
    }

    fn times(&self) -> &[TimestampMs] {
        &self.samples.float_times
    }

    #[inline]
    fn next_time(&self) -> Option<TimestampMs> {
        self.times().get(self.next).copied()
    }

    fn encode(
        &self,
        run: &Run,
        encoder: &mut ChunkEncoder,
        sink: &mut dyn FnMut(FinishedChunk<'_>),
    ) -> Result<(), DecodeError> {
        let times = &self.times()[run.samples.clone()];
        let starts = self.samples.float_start_times.get(run.samples.clone()).unwrap_or_default();
        if let Some(values) = self.samples.float_values.get(run.samples.clone()) {
            return encoder.push_floats(times, values, starts, sink);
        }
        for (i, &t) in times.iter().enumerate() {
            let is_first = i == 0 && !run.follows;
            let start = starts.get(i).copied().unwrap_or(0);
            let sample = run.samples.start + i;
            if let Some(histogram) = self.ints.get(sample) {
                if is_first && histogram.counter_reset_hint != CounterResetHint::Gauge {
                    let mut histogram = histogram.clone();
                    histogram.counter_reset_hint = CounterResetHint::Unknown;
                    encoder.push_int_histogram(t, &histogram, start, sink)?;
                } else {
                    encoder.push_int_histogram(t, histogram, start, sink)?;
                }
            } else if let Some(histogram) = self.floats.get(sample) {
                if is_first && histogram.counter_reset_hint != CounterResetHint::Gauge {
                    let mut histogram = histogram.clone();
                    histogram.counter_reset_hint = CounterResetHint::Unknown;
                    encoder.push_float_histogram(t, &histogram, start, sink)?;
                } else {
                    encoder.push_float_histogram(t, histogram, start, sink)?;
                }
            }
        }
        Ok(())
    }
}

/// Schemas above 8 are reduced to 8 when samples are read.
fn reduce(schema: i32, reduce_to: impl FnOnce(i32) -> bool) -> Result<(), DecodeError> {
    let finest = model::histogram::MAX_EXPONENTIAL_SCHEMA;
    if schema > finest && !reduce_to(finest) {
        return Err(DecodeError::Invalid("histogram cannot be reduced"));
    }
    Ok(())
}

/// The order of samples. `current` is the chunk that the chain stays with; the others that have
/// samples stand in the heap, by the time of their next sample.
struct Chain<'a> {
    chunks: &'a mut [Decoded],
    heap: &'a mut Heap,
    current: Option<usize>,
    last: Option<TimestampMs>,
    /// Whether the current chunk was left since the last run.
    changed: bool,
}

fn less<'a>(chunks: &'a [Decoded]) -> impl Fn(usize, usize) -> bool + 'a {
    |a, b| chunks[a].next_time() < chunks[b].next_time()
}

impl<'a> Chain<'a> {
    fn new(chunks: &'a mut [Decoded], heap: &'a mut Heap) -> Self {
        heap.clear();
        for i in 1..chunks.len() {
            if chunks[i].next_time().is_some() {
                heap.push(i, &less(chunks));
            }
        }
        let current = (!chunks.is_empty()).then_some(0);
        Self { chunks, heap, current, last: None, changed: true }
    }

    /// The samples that come next, as many as one chunk has in a row.
    fn next_run(&mut self) -> Option<Run> {
        loop {
            let current = self.current?;
            self.skip_known(current);
            let until = self.heap.first().and_then(|i| self.chunks[i].next_time());
            match self.chunks[current].next_time() {
                None => {
                    let Some(next) = self.heap.pop(&less(self.chunks)) else {
                        self.current = None;
                        return None;
                    };
                    self.current = Some(next);
                }
                Some(t) if until.is_none_or(|until| t < until) => {
                    return Some(self.run(current, until));
                }
                Some(_) => {
                    self.heap.push(current, &less(self.chunks));
                    self.current = self.heap.pop(&less(self.chunks));
                }
            }
            // The chunk from the heap stands at a sample already, which counts if its time is new.
            self.changed = true;
            let current = self.current?;
            if self.chunks[current].next_time() != self.last {
                return Some(self.single(current));
            }
        }
    }

    /// Leaves out a sample whose time was there already.
    fn skip_known(&mut self, chunk: usize) {
        let decoded = &mut self.chunks[chunk];
        while decoded.next_time().is_some() && decoded.next_time() == self.last {
            decoded.next += 1;
        }
    }

    /// The samples of a chunk before `until`.
    fn run(&mut self, chunk: usize, until: Option<TimestampMs>) -> Run {
        let decoded = &mut self.chunks[chunk];
        let start = decoded.next;
        let rest = &decoded.times()[start..];
        let count =
            until.map_or(rest.len(), |until| rest.iter().take_while(|&&t| t < until).count());
        decoded.next += count;
        self.finish_run(chunk, start)
    }

    /// The next sample of a chunk.
    fn single(&mut self, chunk: usize) -> Run {
        let start = self.chunks[chunk].next;
        self.chunks[chunk].next += 1;
        self.finish_run(chunk, start)
    }

    fn finish_run(&mut self, chunk: usize, start: usize) -> Run {
        let decoded = &self.chunks[chunk];
        self.last = decoded.next.checked_sub(1).map(|last| decoded.times()[last]);
        let follows = !std::mem::take(&mut self.changed);
        Run { chunk, samples: start..decoded.next, follows }
    }
}
