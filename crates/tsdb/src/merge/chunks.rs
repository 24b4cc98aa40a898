//! Chunks for those who cannot merge samples themselves (remote read): in order of time, without
//! overlaps, in the three encodings that every reader knows.
//!
//! Chunks that touch nobody are handed through as they are. Where chunks overlap they are decoded
//! and written anew; of samples with the same time the one of the chunk that begins first counts.

use model::batch::HistogramValue;
use model::{EncodedChunk, SampleBuffer, TimestampMs};

use crate::chunk::histogram::{
    AppendOutcome, Floats, HistogramAppender, HistogramKind, HistogramReader, Integers,
};
use crate::chunk::{ChunkEncoding, decode, xor};
use crate::error::DecodeError;

/// Samples of a chunk of floats.
const SAMPLES_PER_CHUNK: usize = 120;

/// A sample with the type that it is stored in.
#[derive(Debug, Clone, PartialEq)]
pub enum TypedValue {
    /// A float.
    Float(f64),
    /// A histogram with integer or float counts.
    Histogram(HistogramValue),
}

/// A sample with its time, ms.
pub type TypedSample = (TimestampMs, TypedValue);

/// The same samples in chunks that are in order of time, do not overlap and have encodings from
/// 1 to 3.
pub fn disjoint_chunks(mut chunks: Vec<EncodedChunk>) -> Result<Vec<EncodedChunk>, DecodeError> {
    chunks.sort_by_key(|chunk| (chunk.min_time_ms, chunk.max_time_ms));
    chunks.dedup_by(|a, b| {
        (a.min_time_ms, a.max_time_ms, a.encoding) == (b.min_time_ms, b.max_time_ms, b.encoding)
            && a.data == b.data
    });
    let mut out = Vec::with_capacity(chunks.len());
    let mut rest = chunks.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut until = first.max_time_ms;
        let mut cluster = vec![first];
        while let Some(next) = rest.next_if(|next| next.min_time_ms <= until) {
            until = until.max(next.max_time_ms);
            cluster.push(next);
        }
        let only_known = cluster.iter().all(|chunk| chunk.encoding <= MAX_PLAIN_ENCODING);
        if cluster.len() == 1 && only_known {
            out.append(&mut cluster);
        } else {
            out.append(&mut rewrite(&cluster)?);
        }
    }
    Ok(out)
}

const MAX_PLAIN_ENCODING: u8 = ChunkEncoding::FloatHistogram as u8;

fn rewrite(cluster: &[EncodedChunk]) -> Result<Vec<EncodedChunk>, DecodeError> {
    let mut samples = Vec::new();
    for chunk in cluster {
        decode_typed(chunk, &mut samples)?;
    }
    samples.sort_by_key(|sample| sample.0);
    samples.dedup_by_key(|sample| sample.0);
    encode_typed(&samples)
}

/// Appends the samples of a chunk with their types.
pub fn decode_typed(chunk: &EncodedChunk, out: &mut Vec<TypedSample>) -> Result<(), DecodeError> {
    let encoding = ChunkEncoding::from_number(chunk.encoding)?;
    let with_starts = encoding > ChunkEncoding::Xor2;
    match encoding {
        ChunkEncoding::Xor | ChunkEncoding::Xor2 => {
            let mut samples = SampleBuffer::default();
            decode(encoding, &chunk.data, &mut samples)?;
            let floats = samples.float_times.into_iter().zip(samples.float_values);
            out.extend(floats.map(|(t, value)| (t, TypedValue::Float(value))));
        }
        ChunkEncoding::Histogram | ChunkEncoding::HistogramSt => {
            let mut reader = HistogramReader::<Integers>::new(&chunk.data, with_starts)?;
            while let Some((t, _)) = reader.advance()? {
                let value = HistogramValue::Int(Box::new(reader.histogram()));
                out.push((t, TypedValue::Histogram(value)));
            }
        }
        ChunkEncoding::FloatHistogram | ChunkEncoding::FloatHistogramSt => {
            let mut reader = HistogramReader::<Floats>::new(&chunk.data, with_starts)?;
            while let Some((t, _)) = reader.advance()? {
                let value = HistogramValue::Float(Box::new(reader.histogram()));
                out.push((t, TypedValue::Histogram(value)));
            }
        }
    }
    Ok(())
}

/// Chunks of `samples`, which ascend in time.
pub fn encode_typed(samples: &[TypedSample]) -> Result<Vec<EncodedChunk>, DecodeError> {
    let mut writer = Writer::default();
    for (t, value) in samples {
        match value {
            TypedValue::Float(value) => writer.push_float(*t, *value)?,
            TypedValue::Histogram(HistogramValue::Int(value)) => {
                writer.finish_all_but(Kind::Integers)?;
                push_histogram(&mut writer.integers, (*t, value), &mut writer.out)?;
            }
            TypedValue::Histogram(HistogramValue::Float(value)) => {
                writer.finish_all_but(Kind::FloatHistograms)?;
                push_histogram(&mut writer.float_histograms, (*t, value), &mut writer.out)?;
            }
        }
    }
    writer.finish_all_but(Kind::None)?;
    Ok(writer.out)
}

/// Chunks that are being written; at most one of them is open.
#[derive(Default)]
struct Writer {
    floats: Vec<(TimestampMs, f64)>,
    integers: Option<OpenChunk<Integers>>,
    float_histograms: Option<OpenChunk<Floats>>,
    out: Vec<EncodedChunk>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Floats,
    Integers,
    FloatHistograms,
}

/// An open chunk of histograms and the time of its first sample.
struct OpenChunk<K: HistogramKind> {
    first_ms: TimestampMs,
    appender: HistogramAppender<K>,
}

impl Writer {
    fn push_float(&mut self, t: TimestampMs, value: f64) -> Result<(), DecodeError> {
        let is_full = self.floats.len() >= SAMPLES_PER_CHUNK;
        self.finish_all_but(if is_full { Kind::None } else { Kind::Floats })?;
        self.floats.push((t, value));
        Ok(())
    }

    fn finish_all_but(&mut self, kind: Kind) -> Result<(), DecodeError> {
        if kind != Kind::Floats
            && let (Some(first), Some(last)) = (self.floats.first(), self.floats.last())
        {
            let times = (first.0, last.0);
            let data = xor::encode(self.floats.drain(..))?;
            self.out.push(encoded(times, ChunkEncoding::Xor, &data));
        }
        if kind != Kind::Integers {
            finish(self.integers.take(), &mut self.out);
        }
        if kind != Kind::FloatHistograms {
            finish(self.float_histograms.take(), &mut self.out);
        }
        Ok(())
    }
}

fn push_histogram<K: HistogramKind>(
    open: &mut Option<OpenChunk<K>>,
    (t, value): (TimestampMs, &K::Histogram),
    out: &mut Vec<EncodedChunk>,
) -> Result<(), DecodeError> {
    let header = match open {
        None => HistogramAppender::<K>::header_after(None, value)?,
        Some(chunk) => match chunk.appender.append(t, value, 0)? {
            AppendOutcome::Appended | AppendOutcome::Recoded => return Ok(()),
            AppendOutcome::Cut(header) => header,
        },
    };
    let mut appender = HistogramAppender::<K>::new(header, false);
    appender.append(t, value, 0)?;
    finish(open.replace(OpenChunk { first_ms: t, appender }), out);
    Ok(())
}

fn finish<K: HistogramKind>(open: Option<OpenChunk<K>>, out: &mut Vec<EncodedChunk>) {
    let encoding =
        if K::IS_INTEGER { ChunkEncoding::Histogram } else { ChunkEncoding::FloatHistogram };
    if let Some(OpenChunk { first_ms, appender }) = open {
        out.push(encoded((first_ms, appender.last_time()), encoding, appender.bytes()));
    }
}

fn encoded(
    (min_time_ms, max_time_ms): (TimestampMs, TimestampMs),
    encoding: ChunkEncoding,
    data: &[u8],
) -> EncodedChunk {
    EncodedChunk { min_time_ms, max_time_ms, encoding: encoding.number(), data: data.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Histogram;

    fn float_chunk(times: impl IntoIterator<Item = i64>, value: f64) -> EncodedChunk {
        let samples: Vec<_> = times.into_iter().map(|t| (t, TypedValue::Float(value))).collect();
        encode_typed(&samples).unwrap().remove(0)
    }

    fn histogram(count: u64) -> Histogram {
        Histogram {
            schema: 1,
            count,
            zero_count: count,
            zero_threshold: 0.001,
            sum: count as f64,
            ..Default::default()
        }
    }

    fn samples(chunks: &[EncodedChunk]) -> Vec<TypedSample> {
        let mut out = Vec::new();
        chunks.iter().for_each(|chunk| decode_typed(chunk, &mut out).unwrap());
        out
    }

    #[test]
    fn chunks_that_touch_nobody_are_handed_through() {
        let chunks = vec![float_chunk(20..30, 1.0), float_chunk(0..10, 2.0)];
        let out = disjoint_chunks(chunks.clone()).unwrap();
        assert_eq!(out[0].data, chunks[1].data);
        assert_eq!(out[1].data, chunks[0].data);
    }

    #[test]
    fn the_same_chunk_from_two_places_is_one() {
        let chunk = float_chunk(0..10, 1.0);
        assert_eq!(disjoint_chunks(vec![chunk.clone(), chunk]).unwrap().len(), 1);
    }

    #[test]
    fn overlapping_chunks_are_merged_and_each_time_stands_once() {
        let odd = float_chunk((1..400).step_by(2), 1.0);
        let all = float_chunk(0..100, 2.0);
        let late = float_chunk(500..510, 3.0);
        let out = disjoint_chunks(vec![odd, all, late]).unwrap();
        assert!(out.windows(2).all(|pair| pair[0].max_time_ms < pair[1].min_time_ms));
        let times: Vec<i64> = samples(&out).iter().map(|sample| sample.0).collect();
        let want = (0..100).chain((101..240).step_by(2)).chain(500..510);
        assert_eq!(times, want.collect::<Vec<_>>());
        assert_eq!(samples(&out)[1].1, TypedValue::Float(2.0), "the chunk that begins first");
    }

    #[test]
    fn types_change_inside_of_a_series() {
        let int =
            |t: i64| (t, TypedValue::Histogram(HistogramValue::Int(histogram(t as u64).into())));
        let mixed = vec![
            (1, TypedValue::Float(1.0)),
            int(2),
            int(3),
            (4, TypedValue::Float(model::stale_nan())),
        ];
        let chunks = encode_typed(&mixed).unwrap();
        let kinds: Vec<u8> = chunks.iter().map(|chunk| chunk.encoding).collect();
        assert_eq!(kinds, [1, 2, 1]);
        let read = samples(&chunks);
        assert_eq!(read[..2], mixed[..2]);
        let TypedValue::Histogram(HistogramValue::Int(third)) = &read[2].1 else { panic!() };
        assert_eq!(third.count, 3);
    }
}
