//! Chunk vectors of all encodings: decoded to their samples, and encoded to their bytes.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Histogram, SampleBuffer, Span};
use serde_json::Value;
use tsdb::chunk::histogram::{
    AppendOutcome, CounterResetHeader, Floats, HistogramAppender, HistogramKind, Integers,
};
use tsdb::chunk::xor2::Xor2Appender;
use tsdb::chunk::{ChunkEncoding, decode, sample_count, time_bounds, xor};

struct Vector {
    name: String,
    encoding: ChunkEncoding,
    samples: Vec<Sample>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Sample {
    t: i64,
    start: i64,
    value: SampleValue,
}

#[derive(Debug, Clone)]
enum SampleValue {
    Float(u64),
    Int(Histogram),
    FloatHistogram(FloatHistogram),
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn hex_float(value: &Value) -> f64 {
    f64::from_bits(u64::from_str_radix(value.as_str().unwrap(), 16).unwrap())
}

fn list<T>(value: &Value, item: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().map(|items| items.iter().map(item).collect()).unwrap_or_default()
}

fn spans(value: &Value) -> Vec<Span> {
    list(value, |pair| Span {
        offset: pair[0].as_i64().unwrap() as i32,
        length: pair[1].as_u64().unwrap() as u32,
    })
}

fn histogram(h: &Value) -> SampleValue {
    let hint = CounterResetHint::from_number(h["hint"].as_u64().unwrap() as u8).unwrap();
    let int = |value: &Value| value.as_i64().unwrap();
    let float = |value: &Value| value.as_f64().unwrap();
    let custom_values: Arc<[f64]> = list(&h["custom_values"], float).into();
    let (positive_spans, negative_spans) = (spans(&h["pspans"]), spans(&h["nspans"]));
    let schema = int(&h["schema"]) as i32;
    let zero_threshold = hex_float(&h["zero_threshold_bits"]);
    let sum = hex_float(&h["sum_bits"]);
    if h["int"].as_bool().unwrap() {
        return SampleValue::Int(Histogram {
            counter_reset_hint: hint,
            schema,
            zero_threshold,
            zero_count: h["zero_count"].as_u64().unwrap(),
            count: h["count"].as_u64().unwrap(),
            sum,
            positive_spans,
            negative_spans,
            positive_buckets: list(&h["pdeltas"], int),
            negative_buckets: list(&h["ndeltas"], int),
            custom_values,
        });
    }
    SampleValue::FloatHistogram(FloatHistogram {
        counter_reset_hint: hint,
        schema,
        zero_threshold,
        zero_count: float(&h["zero_count"]),
        count: float(&h["count"]),
        sum,
        positive_spans,
        negative_spans,
        positive_buckets: list(&h["pcounts"], float),
        negative_buckets: list(&h["ncounts"], float),
        custom_values,
    })
}

fn sample(value: &Value) -> Sample {
    let sample_value = match value.get("h") {
        Some(h) => histogram(h),
        None => SampleValue::Float(hex_float(&value["bits"]).to_bits()),
    };
    let start = value["st"].as_i64().unwrap_or(0);
    Sample { t: value["t"].as_i64().unwrap(), start, value: sample_value }
}

fn vectors() -> Vec<Vector> {
    let Some(path) = super::vector_path("vectors.json") else { return Vec::new() };
    let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let all = all.as_array().unwrap();
    let chunks = all.iter().filter(|v| v["kind"] == "chunk");
    let vectors: Vec<Vector> = chunks
        .map(|v| Vector {
            name: format!("{} {}", v["name"].as_str().unwrap(), v["encoding"]),
            encoding: ChunkEncoding::from_number(v["encoding"].as_u64().unwrap() as u8).unwrap(),
            samples: list(&v["samples"], sample),
            bytes: hex(v["hex"].as_str().unwrap()),
        })
        .collect();
    assert_eq!(vectors.len(), 48);
    vectors
}

/// The samples as reading gives them: histograms with floats and with the hint that their place
/// in the chunk allows.
fn expected(samples: &[Sample]) -> Vec<Sample> {
    let as_read = |(i, sample): (usize, &Sample)| {
        let (mut h, hint) = match &sample.value {
            SampleValue::Float(_) => return sample.clone(),
            SampleValue::Int(h) => (h.to_float(), h.counter_reset_hint),
            SampleValue::FloatHistogram(h) => (h.clone(), h.counter_reset_hint),
        };
        h.counter_reset_hint = match hint {
            CounterResetHint::Gauge => CounterResetHint::Gauge,
            _ if i == 0 || h.is_stale() => CounterResetHint::Unknown,
            _ => CounterResetHint::NotCounterReset,
        };
        Sample { value: SampleValue::FloatHistogram(h), ..sample.clone() }
    };
    let mut samples: Vec<Sample> = samples.iter().enumerate().map(as_read).collect();
    give_all_the_last_layout(&mut samples);
    samples
}

/// In the vectors layouts only grow at their upper end: after recoding earlier samples have the
/// new buckets too, empty.
fn give_all_the_last_layout(samples: &mut [Sample]) {
    let Some(Sample { value: SampleValue::FloatHistogram(last), .. }) = samples.last().cloned()
    else {
        return;
    };
    for sample in samples {
        if let SampleValue::FloatHistogram(h) = &mut sample.value
            && !h.is_stale()
        {
            h.positive_spans = last.positive_spans.clone();
            h.positive_buckets.resize(last.positive_buckets.len(), 0.0);
        }
    }
}

fn decoded(vector: &Vector) -> Vec<Sample> {
    let mut out = SampleBuffer::default();
    decode(vector.encoding, &vector.bytes, &mut out).unwrap();
    let start_at = |starts: &[i64], i: usize| starts.get(i).copied().unwrap_or(0);
    let floats = out.float_times.iter().zip(&out.float_values).enumerate().map(|(i, (&t, v))| {
        let start = start_at(&out.float_start_times, i);
        Sample { t, start, value: SampleValue::Float(v.to_bits()) }
    });
    let histograms = out.histogram_times.iter().zip(&out.histograms).enumerate();
    let histograms = histograms.map(|(i, (&t, h))| {
        let start = start_at(&out.histogram_start_times, i);
        Sample { t, start, value: SampleValue::FloatHistogram((**h).clone()) }
    });
    floats.chain(histograms).collect()
}

#[test]
fn all_chunks_decode_to_their_samples() {
    for vector in vectors() {
        let read = decoded(&vector);
        assert_eq!(sample_count(vector.encoding, &vector.bytes), Ok(read.len()), "{}", vector.name);
        let bounds = read.first().map(|s| s.t).zip(read.last().map(|s| s.t));
        assert_eq!(time_bounds(vector.encoding, &vector.bytes), Ok(bounds), "{}", vector.name);
        if vector.name.contains("part_before_cut") {
            assert!(!read.is_empty());
            continue;
        }
        // Vectors of a cut list the samples of both chunks.
        let cut = vector.samples.len() - read.len();
        assert_eq!(cut > 0, vector.name.contains("_cut"), "{}", vector.name);
        let want = expected(&vector.samples[cut..]);
        // Stale markers are NaN: compared as printed, with the bits of the sum.
        for (read, want) in read.iter().zip(&want) {
            assert_eq!(format!("{read:?}"), format!("{want:?}"), "{}", vector.name);
            if let (SampleValue::FloatHistogram(a), SampleValue::FloatHistogram(b)) =
                (&read.value, &want.value)
            {
                assert_eq!(a.sum.to_bits(), b.sum.to_bits(), "{}", vector.name);
            }
        }
    }
}

/// Appends as the head does and returns all chunks and the samples that made chunks be recoded.
fn histogram_chunks<K: HistogramKind>(
    samples: &[(i64, i64, K::Histogram)],
    has_starts: bool,
) -> (Vec<Vec<u8>>, Vec<usize>) {
    let (mut closed, mut recoded) = (Vec::new(), Vec::new());
    let header = HistogramAppender::<K>::header_after(None, &samples[0].2).unwrap();
    let mut open = HistogramAppender::<K>::new(header, has_starts);
    for (i, (t, start, histogram)) in samples.iter().enumerate() {
        match open.append(*t, histogram, *start).unwrap() {
            AppendOutcome::Appended => {}
            AppendOutcome::Recoded => recoded.push(i),
            AppendOutcome::Cut(header) => {
                closed.push(open.bytes().to_vec());
                open = HistogramAppender::new(header, has_starts);
                let outcome = open.append(*t, histogram, *start).unwrap();
                assert_eq!(outcome, AppendOutcome::Appended);
            }
        }
    }
    closed.push(open.bytes().to_vec());
    (closed, recoded)
}

fn encoded(vector: &Vector) -> (Vec<Vec<u8>>, Vec<usize>) {
    let floats = vector.samples.iter().map(|s| match s.value {
        SampleValue::Float(bits) => (s.t, f64::from_bits(bits), s.start),
        _ => panic!("{}: not a float", vector.name),
    });
    let has_starts = vector.encoding.number() > 4;
    match vector.encoding {
        ChunkEncoding::Xor => {
            (vec![xor::encode(floats.map(|(t, v, _)| (t, v))).unwrap()], Vec::new())
        }
        ChunkEncoding::Xor2 => {
            let mut appender = Xor2Appender::default();
            floats.for_each(|(t, value, start)| assert!(appender.append(t, value, start)));
            (vec![appender.bytes().to_vec()], Vec::new())
        }
        ChunkEncoding::Histogram | ChunkEncoding::HistogramSt => {
            let samples = vector.samples.iter().map(|s| match &s.value {
                SampleValue::Int(h) => (s.t, s.start, h.clone()),
                _ => panic!("{}: not an integer histogram", vector.name),
            });
            histogram_chunks::<Integers>(&samples.collect::<Vec<_>>(), has_starts)
        }
        ChunkEncoding::FloatHistogram | ChunkEncoding::FloatHistogramSt => {
            let samples = vector.samples.iter().map(|s| match &s.value {
                SampleValue::FloatHistogram(h) => (s.t, s.start, h.clone()),
                _ => panic!("{}: not a float histogram", vector.name),
            });
            histogram_chunks::<Floats>(&samples.collect::<Vec<_>>(), has_starts)
        }
    }
}

#[test]
fn all_samples_encode_to_their_bytes() {
    let vectors = vectors();
    let mut cuts = 0;
    for vector in vectors.iter().filter(|v| !v.samples.is_empty()) {
        let (chunks, recoded) = encoded(vector);
        assert_eq!(chunks.last(), Some(&vector.bytes), "{}", vector.name);
        assert_eq!(recoded.contains(&2), vector.name.contains("recode"), "{}", vector.name);
        if let [closed, _] = &chunks[..] {
            let name = vector.name.replace("_cut", "_cut_part_before_cut");
            let part = vectors.iter().find(|v| v.name == name).expect("the part before the cut");
            assert_eq!(closed, &part.bytes, "{name}");
            cuts += 1;
        }
    }
    assert!(vectors.is_empty() || cuts == 4);
}

#[test]
fn headers_after_a_cut_for_time_come_from_the_comparison() {
    let small = Histogram { count: 1, sum: 1.0, ..Histogram::default() };
    let large = Histogram { count: 2, sum: 1.0, ..Histogram::default() };
    let mut open = HistogramAppender::<Integers>::new(CounterResetHeader::Unknown, false);
    open.append(1, &large, 0).unwrap();
    let after = |h: &Histogram| HistogramAppender::header_after(Some(&open), h).unwrap();
    assert_eq!(after(&large), CounterResetHeader::NotCounterReset);
    assert_eq!(after(&small), CounterResetHeader::CounterReset);
    let gauge = Histogram { counter_reset_hint: CounterResetHint::Gauge, ..small };
    assert_eq!(after(&gauge), CounterResetHeader::Gauge);
}
