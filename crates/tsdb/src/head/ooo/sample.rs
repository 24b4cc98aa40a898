//! One late sample, and runs of them as chunks.
//!
//! Used by the insertion (a full list becomes a chunk), by queries (a list is read as chunks), by
//! the compaction (overlapping chunks are merged) and by the replay.

use std::sync::Arc;

use model::batch::HistogramValue;
use model::{EncodedChunk, SampleBuffer, TimestampMs};

use crate::chunk::histogram::{
    AppendOutcome, CounterResetHeader, Floats, HistogramAppender, HistogramKind, HistogramReader,
    Integers,
};
use crate::chunk::xor::{self, MAX_APPEND_BYTES, XorState};
use crate::chunk::xor2::Xor2Appender;
use crate::chunk::{self, ChunkEncoding, NewEncodings};
use crate::error::DecodeError;

/// A late sample.
#[derive(Debug, Clone)]
pub(in crate::head) struct LateSample {
    /// Time, ms.
    pub(in crate::head) t: TimestampMs,
    /// Start timestamp, ms; 0 = unknown.
    pub(in crate::head) start_t: TimestampMs,
    /// Value.
    pub(in crate::head) value: LateValue,
}

/// Its value.
#[derive(Debug, Clone)]
pub(in crate::head) enum LateValue {
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(HistogramValue),
}

const _: () = assert!(size_of::<LateSample>() == 32, "a series may have many");

/// Encodes samples, ascending in time, as chunks: a new one where the kind changes, where a
/// histogram does not fit, and after so many floats.
pub(super) fn encode_late<'a>(
    samples: impl IntoIterator<Item = &'a LateSample>,
    max_floats: u16,
    encodings: NewEncodings,
) -> Result<Vec<EncodedChunk>, DecodeError> {
    let mut encoder = Encoder { max_floats, encodings, open: Open::Nothing, chunks: Vec::new() };
    for sample in samples {
        let times = (sample.t, sample.start_t);
        match &sample.value {
            LateValue::Float(value) if encodings.xor2 => encoder.push_xor2(times, *value)?,
            LateValue::Float(value) => encoder.push_float(sample.t, *value)?,
            LateValue::Histogram(HistogramValue::Int(value)) => {
                encoder.push_histogram::<Integers>(times, value)?;
            }
            LateValue::Histogram(HistogramValue::Float(value)) => {
                encoder.push_histogram::<Floats>(times, value)?;
            }
        }
    }
    encoder.close();
    Ok(encoder.chunks)
}

/// Appends all samples of a chunk to `out`.
pub(in crate::head) fn decode_late(
    encoding: ChunkEncoding,
    data: &[u8],
    out: &mut Vec<LateSample>,
) -> Result<(), DecodeError> {
    match encoding {
        ChunkEncoding::Xor | ChunkEncoding::Xor2 => {
            let mut buffer = SampleBuffer::default();
            chunk::decode(encoding, data, &mut buffer)?;
            let floats = buffer.float_times.iter().zip(&buffer.float_values);
            let mut starts = buffer.float_start_times.iter();
            out.extend(floats.map(|(&t, &v)| {
                let start_t = starts.next().copied().unwrap_or(0);
                LateSample { t, start_t, value: LateValue::Float(v) }
            }));
            Ok(())
        }
        ChunkEncoding::Histogram | ChunkEncoding::HistogramSt => {
            let has_start_times = encoding == ChunkEncoding::HistogramSt;
            let value = |h| HistogramValue::Int(Box::new(h));
            decode_histograms::<Integers>(data, has_start_times, out, value)
        }
        ChunkEncoding::FloatHistogram | ChunkEncoding::FloatHistogramSt => {
            let has_start_times = encoding == ChunkEncoding::FloatHistogramSt;
            let value = |h| HistogramValue::Float(Box::new(h));
            decode_histograms::<Floats>(data, has_start_times, out, value)
        }
    }
}

fn decode_histograms<K: HistogramKind>(
    data: &[u8],
    has_start_times: bool,
    out: &mut Vec<LateSample>,
    value: impl Fn(K::Histogram) -> HistogramValue,
) -> Result<(), DecodeError> {
    let mut reader = HistogramReader::<K>::new(data, has_start_times)?;
    while let Some((t, start_t)) = reader.advance()? {
        let value = LateValue::Histogram(value(reader.histogram()));
        out.push(LateSample { t, start_t, value });
    }
    Ok(())
}

/// The chunk that is being written to, with the time of its first sample.
enum Open {
    Nothing,
    Float(TimestampMs, XorState, Vec<u8>),
    Xor2(TimestampMs, Box<Xor2Appender>),
    Int(TimestampMs, Box<HistogramAppender<Integers>>),
    FloatHistogram(TimestampMs, Box<HistogramAppender<Floats>>),
}

/// What a histogram type has to do with an open chunk.
trait Kind: HistogramKind {
    fn wrap(first: TimestampMs, appender: HistogramAppender<Self>) -> Open;
    fn unwrap(open: &mut Open) -> Option<&mut HistogramAppender<Self>>;
}

impl Kind for Integers {
    fn wrap(first: TimestampMs, appender: HistogramAppender<Self>) -> Open {
        Open::Int(first, Box::new(appender))
    }

    fn unwrap(open: &mut Open) -> Option<&mut HistogramAppender<Self>> {
        if let Open::Int(_, appender) = open { Some(appender) } else { None }
    }
}

impl Kind for Floats {
    fn wrap(first: TimestampMs, appender: HistogramAppender<Self>) -> Open {
        Open::FloatHistogram(first, Box::new(appender))
    }

    fn unwrap(open: &mut Open) -> Option<&mut HistogramAppender<Self>> {
        if let Open::FloatHistogram(_, appender) = open { Some(appender) } else { None }
    }
}

/// Time and start timestamp of a sample.
type Times = (TimestampMs, TimestampMs);

struct Encoder {
    max_floats: u16,
    encodings: NewEncodings,
    open: Open,
    chunks: Vec<EncodedChunk>,
}

impl Encoder {
    fn push_float(&mut self, t: TimestampMs, value: f64) -> Result<(), DecodeError> {
        let is_full =
            matches!(&self.open, Open::Float(_, state, _) if state.count() >= self.max_floats);
        if is_full || !matches!(self.open, Open::Float(..)) {
            self.close();
            self.open = Open::Float(t, XorState::new(), vec![0; 64]);
        }
        let Open::Float(_, state, memory) = &mut self.open else { return Ok(()) };
        if memory.len() < state.byte_len() + MAX_APPEND_BYTES {
            memory.resize(memory.len() * 2, 0);
        }
        let appended = state.append(memory, t, value);
        appended.map(|_| ()).map_err(|_| DecodeError::Invalid("too many samples for one chunk"))
    }

    fn push_xor2(&mut self, (t, start_t): Times, value: f64) -> Result<(), DecodeError> {
        let is_full =
            matches!(&self.open, Open::Xor2(_, chunk) if chunk.count() >= self.max_floats);
        if is_full || !matches!(self.open, Open::Xor2(..)) {
            self.close();
            self.open = Open::Xor2(t, Box::default());
        }
        let Open::Xor2(_, chunk) = &mut self.open else { return Ok(()) };
        match chunk.append(t, value, start_t) {
            true => Ok(()),
            false => Err(DecodeError::Invalid("too many samples for one chunk")),
        }
    }

    fn push_histogram<K: Kind>(
        &mut self,
        (t, start_t): Times,
        value: &K::Histogram,
    ) -> Result<(), DecodeError> {
        let header = match K::unwrap(&mut self.open) {
            None => HistogramAppender::<K>::header_after(None, value)?,
            Some(appender) => match appender.append(t, value, start_t)? {
                AppendOutcome::Appended | AppendOutcome::Recoded => return Ok(()),
                AppendOutcome::Cut(header) => header,
            },
        };
        self.open_histogram::<K>((t, start_t), value, header)
    }

    fn open_histogram<K: Kind>(
        &mut self,
        (t, start_t): Times,
        value: &K::Histogram,
        header: CounterResetHeader,
    ) -> Result<(), DecodeError> {
        let with_start_times = self.encodings.histogram_start_times;
        let mut appender = HistogramAppender::<K>::new(header, with_start_times);
        appender.append(t, value, start_t)?;
        self.close();
        self.open = K::wrap(t, appender);
        Ok(())
    }

    fn close(&mut self) {
        let (min_time_ms, max_time_ms, encoding, data) =
            match std::mem::replace(&mut self.open, Open::Nothing) {
                Open::Nothing => return,
                Open::Float(first, state, mut memory) => {
                    memory.truncate(state.byte_len());
                    state.write_count(&mut memory);
                    (first, state.last_time(), ChunkEncoding::Xor, Arc::from(memory))
                }
                Open::Xor2(first, chunk) => {
                    (first, chunk.last_time(), ChunkEncoding::Xor2, Arc::from(chunk.bytes()))
                }
                Open::Int(first, a) => (first, a.last_time(), a.encoding(), Arc::from(a.bytes())),
                Open::FloatHistogram(first, a) => {
                    (first, a.last_time(), a.encoding(), Arc::from(a.bytes()))
                }
            };
        let encoding = encoding.number();
        self.chunks.push(EncodedChunk { min_time_ms, max_time_ms, encoding, data });
    }
}

/// The most floats of a chunk that only the list's length bounds.
pub(super) const NO_FLOAT_LIMIT: u16 = xor::MAX_SAMPLES;
