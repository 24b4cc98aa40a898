//! The part of a chunk that lies in a range of time.

use model::{EncodedChunk, SampleBuffer, TimeRange, TimestampMs};

use crate::chunk::histogram::{
    AppendOutcome, Floats, HistogramAppender, HistogramKind, HistogramReader, Integers,
};
use crate::chunk::{ChunkEncoding, decode, xor};
use crate::error::{DecodeError, TsdbError};

/// Appends what `chunk` has in `range` to `out`: the chunk itself where it lies inside, otherwise
/// new chunks (histograms may need several).
pub(in crate::head) fn clip(
    chunk: EncodedChunk,
    range: TimeRange,
    out: &mut Vec<EncodedChunk>,
) -> Result<(), TsdbError> {
    let is_inside =
        range.start_ms_incl <= chunk.min_time_ms && chunk.max_time_ms <= range.end_ms_incl;
    if is_inside {
        out.push(chunk);
        return Ok(());
    }
    encode_part(&chunk, range, out).map_err(|e| TsdbError::corrupt("chunk of the head", e))
}

fn encode_part(
    chunk: &EncodedChunk,
    range: TimeRange,
    out: &mut Vec<EncodedChunk>,
) -> Result<(), DecodeError> {
    let encoding = ChunkEncoding::from_number(chunk.encoding)?;
    match encoding {
        ChunkEncoding::Xor | ChunkEncoding::Xor2 => encode_floats(chunk, encoding, range, out),
        ChunkEncoding::Histogram | ChunkEncoding::HistogramSt => {
            encode_histograms::<Integers>(chunk, (encoding, ChunkEncoding::Histogram), range, out)
        }
        ChunkEncoding::FloatHistogram | ChunkEncoding::FloatHistogramSt => {
            let encodings = (encoding, ChunkEncoding::FloatHistogram);
            encode_histograms::<Floats>(chunk, encodings, range, out)
        }
    }
}

fn is_in(range: TimeRange, t: TimestampMs) -> bool {
    range.start_ms_incl <= t && t <= range.end_ms_incl
}

fn encode_floats(
    chunk: &EncodedChunk,
    encoding: ChunkEncoding,
    range: TimeRange,
    out: &mut Vec<EncodedChunk>,
) -> Result<(), DecodeError> {
    let mut samples = SampleBuffer::default();
    decode(encoding, &chunk.data, &mut samples)?;
    let floats = samples.float_times.iter().copied().zip(samples.float_values);
    let kept: Vec<(TimestampMs, f64)> = floats.filter(|(t, _)| is_in(range, *t)).collect();
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else { return Ok(()) };
    let times = (first.0, last.0);
    let data = xor::encode(kept)?;
    out.push(encoded(times, ChunkEncoding::Xor, &data));
    Ok(())
}

fn encode_histograms<K: HistogramKind>(
    chunk: &EncodedChunk,
    (from, to): (ChunkEncoding, ChunkEncoding),
    range: TimeRange,
    out: &mut Vec<EncodedChunk>,
) -> Result<(), DecodeError> {
    let mut reader = HistogramReader::<K>::new(&chunk.data, from != to)?;
    let mut open: Option<(TimestampMs, HistogramAppender<K>)> = None;
    while let Some((t, _)) = reader.advance()? {
        if !is_in(range, t) {
            continue;
        }
        let histogram = reader.histogram();
        let header = match &mut open {
            None => HistogramAppender::<K>::header_after(None, &histogram)?,
            Some((_, appender)) => match appender.append(t, &histogram, 0)? {
                AppendOutcome::Appended | AppendOutcome::Recoded => continue,
                AppendOutcome::Cut(header) => header,
            },
        };
        let mut appender = HistogramAppender::<K>::new(header, false);
        appender.append(t, &histogram, 0)?;
        finish(open.replace((t, appender)), to, out);
    }
    finish(open, to, out);
    Ok(())
}

fn finish<K: HistogramKind>(
    open: Option<(TimestampMs, HistogramAppender<K>)>,
    encoding: ChunkEncoding,
    out: &mut Vec<EncodedChunk>,
) {
    if let Some((first, appender)) = open {
        out.push(encoded((first, appender.last_time()), encoding, appender.bytes()));
    }
}

fn encoded(
    (min_time_ms, max_time_ms): (TimestampMs, TimestampMs),
    encoding: ChunkEncoding,
    data: &[u8],
) -> EncodedChunk {
    EncodedChunk { min_time_ms, max_time_ms, encoding: encoding.number(), data: data.into() }
}
