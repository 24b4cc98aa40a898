//! Samples to chunks: for whoever has decoded samples and must store them.
//!
//! Called by compaction (overlapping and clipped chunks), by the head where a chunk reaches over
//! the end of a block, and by queries that must answer with chunks. The head's own appends do not
//! come here. Where chunks end is Prometheus' rule of compaction: so many samples, another type,
//! or a histogram that does not fit the layout.

use model::{FloatHistogram, Histogram, TimestampMs};

use super::ChunkEncoding;
use super::histogram::{AppendOutcome, Floats, HistogramAppender, HistogramKind, Integers};
use super::xor::{MAX_APPEND_BYTES, NoRoom, XorState};
use super::xor2::Xor2Appender;
use crate::error::DecodeError;

/// The most samples of a chunk that compaction encodes anew.
pub const COMPACTED_CHUNK_SAMPLES: u16 = 120;

/// A complete chunk.
#[derive(Debug, Clone, Copy)]
pub struct FinishedChunk<'a> {
    /// Time of the first sample, ms.
    pub min_time_ms: TimestampMs,
    /// Time of the last sample, ms.
    pub max_time_ms: TimestampMs,
    /// How the data is encoded.
    pub encoding: ChunkEncoding,
    /// The number of samples.
    pub sample_count: u16,
    /// The chunk.
    pub data: &'a [u8],
}

/// Encodes the samples of one series, which must come in order of time.
pub struct ChunkEncoder {
    max_samples: u16,
    with_start_times: bool,
    first_time_ms: TimestampMs,
    open: Open,
    /// Bytes of the open XOR chunk.
    memory: Vec<u8>,
}

enum Open {
    Nothing,
    Xor(XorState),
    Xor2(Xor2Appender),
    Int(Box<HistogramAppender<Integers>>),
    Float(Box<HistogramAppender<Floats>>),
}

/// Takes complete chunks.
type Sink<'a> = dyn FnMut(FinishedChunk<'_>) + 'a;

impl ChunkEncoder {
    /// An encoder of chunks with at most `max_samples` samples; `with_start_times` chooses the
    /// encodings that have start timestamps.
    pub fn new(max_samples: u16, with_start_times: bool) -> Self {
        Self {
            max_samples,
            with_start_times,
            first_time_ms: 0,
            open: Open::Nothing,
            memory: Vec::new(),
        }
    }

    /// Chooses anew whether chunks have start timestamps. There must be no open chunk.
    pub fn set_start_times(&mut self, with_start_times: bool) {
        debug_assert!(matches!(self.open, Open::Nothing), "an open chunk keeps its encoding");
        self.with_start_times = with_start_times;
    }

    /// Appends floats; `starts` has their start timestamps or is empty.
    pub fn push_floats(
        &mut self,
        times: &[TimestampMs],
        values: &[f64],
        starts: &[TimestampMs],
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        for (i, (&t, &value)) in times.iter().zip(values).enumerate() {
            if self.with_start_times {
                self.push_xor2(t, value, starts.get(i).copied().unwrap_or(0), sink)?;
            } else {
                self.push_xor(t, value, sink)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn push_xor(
        &mut self,
        t: TimestampMs,
        value: f64,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        if !matches!(&self.open, Open::Xor(state) if state.count() < self.max_samples) {
            self.finish(sink);
            self.open = Open::Xor(XorState::new());
            self.first_time_ms = t;
        }
        let Open::Xor(state) = &mut self.open else { return Ok(()) };
        let enough = state.byte_len() + MAX_APPEND_BYTES;
        if self.memory.len() < enough {
            self.memory.resize(enough.max(2 * self.memory.len()).max(1024), 0);
        }
        match state.append(&mut self.memory, t, value) {
            Ok(_) => Ok(()),
            Err(NoRoom::Samples | NoRoom::Bytes(_)) => {
                Err(DecodeError::Invalid("too many samples for one chunk"))
            }
        }
    }

    fn push_xor2(
        &mut self,
        t: TimestampMs,
        value: f64,
        start: TimestampMs,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        if !matches!(&self.open, Open::Xor2(chunk) if chunk.count() < self.max_samples) {
            self.finish(sink);
            self.open = Open::Xor2(Xor2Appender::default());
            self.first_time_ms = t;
        }
        let Open::Xor2(chunk) = &mut self.open else { return Ok(()) };
        match chunk.append(t, value, start) {
            true => Ok(()),
            false => Err(DecodeError::Invalid("too many samples for one chunk")),
        }
    }

    /// Appends a histogram with integer counts; `start` is its start timestamp or 0.
    pub fn push_int_histogram(
        &mut self,
        t: TimestampMs,
        histogram: &Histogram,
        start: TimestampMs,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        self.push_histogram::<Integers>(t, histogram, start, sink)
    }

    /// Appends a histogram with float counts; `start` is its start timestamp or 0.
    pub fn push_float_histogram(
        &mut self,
        t: TimestampMs,
        histogram: &FloatHistogram,
        start: TimestampMs,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        self.push_histogram::<Floats>(t, histogram, start, sink)
    }

    fn push_histogram<K: Kind>(
        &mut self,
        t: TimestampMs,
        histogram: &K::Histogram,
        start: TimestampMs,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        let max_samples = self.max_samples;
        let header = match K::opened(&mut self.open).filter(|open| open.count() < max_samples) {
            None => HistogramAppender::<K>::header_after(None, histogram)?,
            Some(open) => match open.append(t, histogram, start)? {
                AppendOutcome::Appended | AppendOutcome::Recoded => return Ok(()),
                AppendOutcome::Cut(header) => header,
            },
        };
        self.finish(sink);
        let mut appender = HistogramAppender::<K>::new(header, self.with_start_times);
        appender.append(t, histogram, start)?;
        self.open = K::open(appender);
        self.first_time_ms = t;
        Ok(())
    }

    /// Completes the open chunk, if there is one.
    pub fn finish(&mut self, sink: &mut Sink<'_>) {
        let open = std::mem::replace(&mut self.open, Open::Nothing);
        let st = self.with_start_times;
        let (max_time_ms, encoding, sample_count, data) = match &open {
            Open::Nothing => return,
            Open::Xor(state) => {
                state.write_count(&mut self.memory);
                let data = &self.memory[..state.byte_len()];
                (state.last_time(), ChunkEncoding::Xor, state.count(), data)
            }
            Open::Xor2(c) => (c.last_time(), ChunkEncoding::Xor2, c.count(), c.bytes()),
            Open::Int(c) => (c.last_time(), Integers::encoding(st), c.count(), c.bytes()),
            Open::Float(c) => (c.last_time(), Floats::encoding(st), c.count(), c.bytes()),
        };
        let min_time_ms = self.first_time_ms;
        sink(FinishedChunk { min_time_ms, max_time_ms, encoding, sample_count, data });
    }
}

/// What an encoder has to know of a histogram type.
trait Kind: HistogramKind {
    fn open(appender: HistogramAppender<Self>) -> Open;
    fn opened(open: &mut Open) -> Option<&mut HistogramAppender<Self>>;
    fn encoding(with_start_times: bool) -> ChunkEncoding;
}

impl Kind for Integers {
    fn open(appender: HistogramAppender<Self>) -> Open {
        Open::Int(Box::new(appender))
    }

    fn opened(open: &mut Open) -> Option<&mut HistogramAppender<Self>> {
        if let Open::Int(appender) = open { Some(appender) } else { None }
    }

    fn encoding(with_start_times: bool) -> ChunkEncoding {
        if with_start_times { ChunkEncoding::HistogramSt } else { ChunkEncoding::Histogram }
    }
}

impl Kind for Floats {
    fn open(appender: HistogramAppender<Self>) -> Open {
        Open::Float(Box::new(appender))
    }

    fn opened(open: &mut Open) -> Option<&mut HistogramAppender<Self>> {
        if let Open::Float(appender) = open { Some(appender) } else { None }
    }

    fn encoding(with_start_times: bool) -> ChunkEncoding {
        if with_start_times {
            ChunkEncoding::FloatHistogramSt
        } else {
            ChunkEncoding::FloatHistogram
        }
    }
}
