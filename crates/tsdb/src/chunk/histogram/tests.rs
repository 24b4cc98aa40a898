//! Histogram chunks: round trips through every decision of the appender, and damaged bytes. The
//! bytes themselves are compared with Prometheus' in `tests/vectors_blocks`.

use model::{FloatHistogram, Histogram, Span};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Buckets as a sparse map, which is how the tests think of a histogram.
#[derive(Debug, Clone)]
struct Sparse {
    positive: Vec<(i32, u32)>,
    negative: Vec<(i32, u32)>,
    zero_count: u32,
    sum: f64,
    hint: CounterResetHint,
    custom: bool,
}

fn side(buckets: &[(i32, u32)]) -> (Vec<Span>, Vec<u32>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut end = 0;
    for &(index, _) in buckets {
        match spans.last_mut() {
            Some(span) if index == end => span.length += 1,
            _ => spans.push(Span { offset: index - end, length: 1 }),
        }
        end = index + 1;
    }
    (spans, buckets.iter().map(|b| b.1).collect())
}

fn float(sparse: &Sparse) -> FloatHistogram {
    if model::is_stale(sparse.sum) {
        return FloatHistogram { sum: sparse.sum, ..FloatHistogram::default() };
    }
    let (positive_spans, positive) = side(&sparse.positive);
    let (negative_spans, negative) = side(&sparse.negative);
    let floats = |counts: Vec<u32>| counts.into_iter().map(f64::from).collect::<Vec<_>>();
    let all = |counts: &[u32]| counts.iter().map(|&c| u64::from(c)).sum::<u64>();
    let count = all(&positive) + all(&negative) + u64::from(sparse.zero_count);
    FloatHistogram {
        counter_reset_hint: sparse.hint,
        schema: if sparse.custom { model::histogram::CUSTOM_BUCKETS_SCHEMA } else { 3 },
        zero_threshold: 0.001,
        zero_count: f64::from(sparse.zero_count),
        count: count as f64,
        sum: sparse.sum,
        positive_spans,
        negative_spans,
        positive_buckets: floats(positive),
        negative_buckets: floats(negative),
        custom_values: if sparse.custom { [0.5, 1.0 / 3.0, -7.0].into() } else { [].into() },
    }
}

fn integer(sparse: &Sparse) -> Histogram {
    let float = float(sparse);
    let deltas = |counts: &[f64]| {
        let mut previous = 0.0;
        let delta = |&count: &f64| (count - std::mem::replace(&mut previous, count)) as i64;
        counts.iter().map(delta).collect()
    };
    Histogram {
        counter_reset_hint: float.counter_reset_hint,
        schema: float.schema,
        zero_threshold: float.zero_threshold,
        zero_count: float.zero_count as u64,
        count: float.count as u64,
        sum: float.sum,
        positive_buckets: deltas(&float.positive_buckets),
        negative_buckets: deltas(&float.negative_buckets),
        positive_spans: float.positive_spans,
        negative_spans: float.negative_spans,
        custom_values: float.custom_values,
    }
}

fn buckets() -> impl Strategy<Value = Vec<(i32, u32)>> {
    proptest::collection::btree_map(-5i32..12, 0u32..30, 0..8)
        .prop_map(|buckets| buckets.into_iter().collect())
}

fn sparse() -> impl Strategy<Value = Sparse> {
    let sum = prop_oneof![8 => (0u32..1000).prop_map(f64::from), 1 => Just(model::stale_nan())];
    let hint = prop_oneof![
        6 => Just(CounterResetHint::Unknown),
        2 => Just(CounterResetHint::Gauge),
        1 => Just(CounterResetHint::CounterReset),
    ];
    (buckets(), buckets(), 0u32..9, sum, hint, prop::bool::weighted(0.1)).prop_map(
        |(positive, negative, zero_count, sum, hint, custom)| Sparse {
            positive,
            negative,
            zero_count,
            sum,
            hint,
            custom,
        },
    )
}

/// Samples that often continue the one before as a counter.
fn samples() -> impl Strategy<Value = Vec<Sparse>> {
    vec((sparse(), prop::bool::weighted(0.7)), 1..25).prop_map(|drawn| {
        let mut samples: Vec<Sparse> = Vec::new();
        for (mut sample, continues) in drawn {
            if let (true, Some(last)) = (continues, samples.last()) {
                sample.positive = grown(&last.positive, &sample.positive);
                sample.negative = grown(&last.negative, &sample.negative);
                sample.zero_count += last.zero_count;
                (sample.hint, sample.custom) = (last.hint, last.custom);
            }
            samples.push(sample);
        }
        samples
    })
}

/// `last` plus `more`; buckets that are empty in both are left out.
fn grown(last: &[(i32, u32)], more: &[(i32, u32)]) -> Vec<(i32, u32)> {
    let mut sum: std::collections::BTreeMap<i32, u32> = last.iter().copied().collect();
    more.iter().for_each(|&(index, count)| *sum.entry(index).or_default() += count);
    sum.into_iter().filter(|&(_, count)| count > 0).collect()
}

/// The buckets that are not empty, by side and number.
fn content(h: &FloatHistogram) -> Vec<(bool, i64, u64)> {
    let side = |sign: bool, spans: &[Span], buckets: &[f64]| {
        spans::indexes(spans)
            .zip(buckets.to_vec())
            .filter(|&(_, count)| count != 0.0)
            .map(move |(index, count)| (sign, index, count.to_bits()))
            .collect::<Vec<_>>()
    };
    let mut all = side(true, &h.positive_spans, &h.positive_buckets);
    all.append(&mut side(false, &h.negative_spans, &h.negative_buckets));
    all
}

/// Appends all samples, in as many chunks as it takes, and checks what is read back.
fn round_trip<K: HistogramKind>(
    samples: &[Sparse],
    with_starts: bool,
    make: impl Fn(&Sparse) -> K::Histogram,
) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let mut open: Option<HistogramAppender<K>> = None;
    for (i, sample) in (0i64..).zip(samples) {
        let (t, start, histogram) = (i * 15_000, i / 3 * 1000, make(sample));
        if let Some(chunk) = &mut open {
            match chunk.append(t, &histogram, start).unwrap() {
                AppendOutcome::Appended | AppendOutcome::Recoded => continue,
                AppendOutcome::Cut(header) => {
                    chunks.push(chunk.bytes().to_vec());
                    open = Some(HistogramAppender::new(header, with_starts));
                }
            }
        }
        let header = HistogramAppender::<K>::header_after(None, &histogram).unwrap();
        let chunk = open.get_or_insert_with(|| HistogramAppender::new(header, with_starts));
        assert_eq!(chunk.append(t, &histogram, start), Ok(AppendOutcome::Appended));
    }
    chunks.extend(open.map(|chunk| chunk.bytes().to_vec()));
    check::<K>(&chunks, samples, with_starts);
    chunks
}

fn check<K: HistogramKind>(chunks: &[Vec<u8>], samples: &[Sparse], with_starts: bool) {
    let mut out = SampleBuffer::default();
    for chunk in chunks {
        decode::<K>(chunk, with_starts, &mut out).unwrap();
    }
    assert_eq!(out.histograms.len(), samples.len());
    for (i, (read, sample)) in out.histograms.iter().zip(samples).enumerate() {
        let want = float(sample);
        assert_eq!(out.histogram_times[i], i as i64 * 15_000);
        let start = out.histogram_start_times.get(i).copied().unwrap_or(0);
        assert_eq!(start, if with_starts { i as i64 / 3 * 1000 } else { 0 });
        assert_eq!(content(read), content(&want));
        assert_eq!(read.sum.to_bits(), want.sum.to_bits());
        assert_eq!((read.count, read.zero_count), (want.count, want.zero_count));
        assert_eq!((read.schema, &read.custom_values), (want.schema, &want.custom_values));
        let is_gauge = read.counter_reset_hint == CounterResetHint::Gauge;
        assert_eq!(is_gauge, want.counter_reset_hint == CounterResetHint::Gauge);
    }
    // Within a chunk nothing may look like a reset that the hint denies.
    for (before, after) in out.histograms.iter().zip(out.histograms.iter().skip(1)) {
        if after.counter_reset_hint == CounterResetHint::NotCounterReset && !before.is_stale() {
            assert!(after.is_stale() || after.count >= before.count);
        }
    }
}

proptest! {
    #[test]
    fn integer_histograms_round_trip(samples in samples(), with_starts: bool) {
        round_trip::<Integers>(&samples, with_starts, integer);
    }

    #[test]
    fn float_histograms_round_trip(samples in samples(), with_starts: bool) {
        round_trip::<Floats>(&samples, with_starts, float);
    }

    #[test]
    fn damaged_chunks_do_not_panic(
        samples in samples(),
        with_starts: bool,
        flips in vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut chunks = round_trip::<Integers>(&samples, with_starts, integer);
        chunks.extend(round_trip::<Floats>(&samples, with_starts, float));
        for mut chunk in chunks {
            for (at, flip) in &flips {
                let at = at.index(chunk.len());
                chunk[at] ^= flip;
            }
            for data in [&chunk[..], &chunk[..cut.index(chunk.len())]] {
                let _ = decode::<Integers>(data, with_starts, &mut SampleBuffer::default());
                let _ = decode::<Floats>(data, with_starts, &mut SampleBuffer::default());
            }
        }
    }

    #[test]
    fn random_bytes_do_not_panic(data in vec(any::<u8>(), 0..200), with_starts: bool) {
        let _ = decode::<Integers>(&data, with_starts, &mut SampleBuffer::default());
        let _ = decode::<Floats>(&data, with_starts, &mut SampleBuffer::default());
    }
}

#[test]
fn finer_schemas_are_reduced_when_read() {
    let histogram = Histogram {
        schema: 9,
        count: 3,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_buckets: vec![1, 1],
        ..Histogram::default()
    };
    let mut open = HistogramAppender::<Integers>::new(CounterResetHeader::Unknown, false);
    open.append(0, &histogram, 0).unwrap();
    let mut out = SampleBuffer::default();
    decode::<Integers>(open.bytes(), false, &mut out).unwrap();
    assert_eq!(
        (out.histograms[0].schema, &out.histograms[0].positive_buckets[..]),
        (8, &[3.0][..])
    );
    let mut reader = HistogramReader::<Integers>::new(open.bytes(), false).unwrap();
    reader.advance().unwrap();
    assert_eq!(reader.histogram(), histogram);
}

#[test]
fn buckets_that_do_not_match_their_spans_are_refused() {
    let histogram = Histogram { positive_buckets: vec![1], ..Histogram::default() };
    let mut open = HistogramAppender::<Integers>::new(CounterResetHeader::Unknown, false);
    assert!(open.append(0, &histogram, 0).is_err());
    assert_eq!(open.count(), 0);
}

#[test]
fn a_chunk_that_would_copy_very_many_spans_is_neither_written_nor_read() {
    let spans = vec![Span { offset: 0, length: 0 }; 8_000];
    let histogram = Histogram { positive_spans: spans, ..Histogram::default() };
    let mut open = HistogramAppender::<Integers>::new(CounterResetHeader::Unknown, false);
    let fits = |open: &mut HistogramAppender<Integers>, t: i64| {
        open.append(t, &histogram, 0) == Ok(AppendOutcome::Appended)
    };
    let count = (0..10_000).take_while(|&t| fits(&mut open, t)).count();
    assert!((1_000..2_000).contains(&count));
    let mut out = SampleBuffer::default();
    decode::<Integers>(open.bytes(), false, &mut out).unwrap();
    assert_eq!(out.len(), count);

    // More samples than the chunk has, which would all be like the last one.
    let mut forged = open.bytes().to_vec();
    forged[..2].copy_from_slice(&9_000u16.to_be_bytes());
    forged.resize(forged.len() + 9_000, 0);
    assert!(decode::<Integers>(&forged, false, &mut SampleBuffer::default()).is_err());
}
