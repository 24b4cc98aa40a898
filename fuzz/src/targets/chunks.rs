//! Chunks of every encoding: decoded, written again, decoded again.

use model::{FloatHistogram, SampleBuffer};
use tsdb::chunk::histogram::{
    AppendOutcome, CounterResetHeader, Floats, HistogramAppender, HistogramKind, HistogramReader,
    Integers,
};
use tsdb::chunk::xor2::Xor2Appender;
use tsdb::chunk::{ChunkEncoding, decode, sample_count, time_bounds};

fn decoded(encoding: ChunkEncoding, data: &[u8]) -> Option<SampleBuffer> {
    let mut samples = SampleBuffer::default();
    let bounds = time_bounds(encoding, data);
    let result = decode(encoding, data, &mut samples);
    assert_eq!(bounds.is_ok(), result.is_ok());
    if result.is_err() {
        assert!(samples.is_empty(), "an error leaves samples behind");
        return None;
    }
    assert_eq!(sample_count(encoding, data).ok(), Some(samples.len()));
    let times = if encoding.is_float() { &samples.float_times } else { &samples.histogram_times };
    assert!(times.is_sorted_by(|a, b| a < b), "times do not ascend");
    // The same chunk once more is out of order.
    if !times.is_empty() {
        let before = samples.len();
        assert!(decode(encoding, data, &mut samples).is_err());
        assert_eq!(samples.len(), before);
    }
    Some(samples)
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

pub(super) fn xor(data: &[u8]) {
    let Some(samples) = decoded(ChunkEncoding::Xor, data) else { return };
    let pairs = samples.float_times.iter().copied().zip(samples.float_values.iter().copied());
    let again = tsdb::chunk::xor::encode(pairs).expect("what was decoded fits a chunk");
    let again = decoded(ChunkEncoding::Xor, &again).expect("what was written can be read");
    assert_eq!(again.float_times, samples.float_times);
    assert_eq!(bits(&again.float_values), bits(&samples.float_values));
}

pub(super) fn xor2(data: &[u8]) {
    let Some(samples) = decoded(ChunkEncoding::Xor2, data) else { return };
    let mut appender = Xor2Appender::default();
    for (i, (&t, &v)) in samples.float_times.iter().zip(&samples.float_values).enumerate() {
        let start = samples.float_start_times.get(i).copied().unwrap_or(0);
        assert!(appender.append(t, v, start), "what was decoded fits a chunk");
    }
    let again = decoded(ChunkEncoding::Xor2, appender.bytes()).expect("it can be read");
    assert_eq!(again.float_times, samples.float_times);
    assert_eq!(again.float_start_times, samples.float_start_times);
    assert_eq!(bits(&again.float_values), bits(&samples.float_values));
}

pub(super) fn histogram(data: &[u8]) {
    histograms::<Integers>(data, ChunkEncoding::Histogram, false);
}

pub(super) fn histogram_st(data: &[u8]) {
    histograms::<Integers>(data, ChunkEncoding::HistogramSt, true);
}

pub(super) fn float_histogram(data: &[u8]) {
    histograms::<Floats>(data, ChunkEncoding::FloatHistogram, false);
}

pub(super) fn float_histogram_st(data: &[u8]) {
    histograms::<Floats>(data, ChunkEncoding::FloatHistogramSt, true);
}

fn histograms<K: HistogramKind>(data: &[u8], encoding: ChunkEncoding, with_start_times: bool) {
    let Some(samples) = decoded(encoding, data) else { return };
    let mut reader =
        HistogramReader::<K>::new(data, with_start_times).expect("the chunk was decoded");
    let mut chunks = Vec::new();
    let mut appender = HistogramAppender::<K>::new(reader.header(), with_start_times);
    while let Some((t, start)) = reader.advance().expect("the chunk was decoded") {
        let histogram = reader.histogram();
        match appender.append(t, &histogram, start) {
            Err(_) => return,
            Ok(AppendOutcome::Cut(header)) => {
                chunks.push(std::mem::replace(&mut appender, fresh(header, with_start_times)));
                let outcome = appender.append(t, &histogram, start);
                assert!(matches!(outcome, Ok(AppendOutcome::Appended)), "a first sample fits");
            }
            Ok(_) => {}
        }
    }
    chunks.push(appender);
    let mut again = SampleBuffer::default();
    for chunk in &chunks {
        decode(encoding, chunk.bytes(), &mut again).expect("what was written can be read");
    }
    assert_eq!(again.histogram_times, samples.histogram_times);
    assert_eq!(again.histogram_start_times, samples.histogram_start_times);
    for (a, b) in again.histograms.iter().zip(&samples.histograms) {
        assert_eq!(significant(a), significant(b));
    }
}

fn fresh<K: HistogramKind>(header: CounterResetHeader, starts: bool) -> HistogramAppender<K> {
    HistogramAppender::new(header, starts)
}

/// What must survive being written: everything but empty buckets and the counter reset hint.
fn significant(h: &FloatHistogram) -> ([u64; 3], [Vec<(i32, u64)>; 2]) {
    let side = |spans: &[model::Span], buckets: &[f64]| {
        let mut index = 0_i32;
        let mut left = buckets.iter();
        let mut found = Vec::new();
        for span in spans {
            index = index.wrapping_add(span.offset);
            for count in left.by_ref().take(span.length as usize) {
                if *count != 0.0 {
                    found.push((index, count.to_bits()));
                }
                index = index.wrapping_add(1);
            }
        }
        found
    };
    let sides = [
        side(&h.positive_spans, &h.positive_buckets),
        side(&h.negative_spans, &h.negative_buckets),
    ];
    ([h.count.to_bits(), h.zero_count.to_bits(), h.sum.to_bits()], sides)
}
