//! Rates of the chunk codecs, in samples a second, over a fleet of series in the shape of a
//! Kubernetes cluster: counters of histogram buckets, other counters, gauges, some that stand
//! still. Once with timestamps exactly on the grid and once with timestamps that wander by 3 ms.
//!
//! Run: `cargo bench -p tsdb --bench chunks`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Histogram, SampleBuffer, Span};
use tsdb::chunk::encoder::{ChunkEncoder, FinishedChunk};
use tsdb::chunk::xor::{MAX_APPEND_BYTES, XorState};
use tsdb::chunk::{ChunkEncoding, decode, xor};

const SERIES: u64 = 2_000;
const SAMPLES: u64 = 120;
const INTERVAL_MS: i64 = 15_000;

fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn value(series: u64, scrape: u64) -> f64 {
    let noise = mix(series ^ (scrape << 20));
    match series % 100 {
        _ if mix(series).is_multiple_of(10) => (mix(series) % 100) as f64,
        kind @ 0..48 => {
            let le = kind % 12 + 1;
            (scrape * (1 + mix(series) % 7) * le + scrape / 3 * le) as f64
        }
        48..60 => (scrape * (1 + mix(series) % 50)) as f64,
        60..70 => {
            let rate = (mix(series) % 1000) as f64 / 1000.0;
            scrape as f64 * 15.0 * rate + (noise % 100) as f64 / 1000.0
        }
        70..75 => (200_000_000 + noise % 1000 * 4096) as f64,
        kind if kind.is_multiple_of(2) => (noise % 100_000) as f64 / 100.0,
        _ => (scrape * (mix(series) % 13)) as f64,
    }
}

/// The samples of the fleet; chunks start at scrape 1,000, when counters have grown.
fn fleet(jitter_ms: i64) -> Vec<Vec<(i64, f64)>> {
    let jitter = |series: u64, scrape: u64| {
        let width = (2 * jitter_ms + 1).unsigned_abs();
        (mix(series / 100 * 1_000_003 + scrape) % width) as i64 - jitter_ms
    };
    let sample = |series: u64, scrape: u64| {
        let t = 1_700_000_000_000 + scrape as i64 * INTERVAL_MS + jitter(series, scrape);
        (t, value(series, scrape))
    };
    let series = |i: u64| (1_000..1_000 + SAMPLES).map(|scrape| sample(i, scrape)).collect();
    (0..SERIES).map(series).collect()
}

fn bench_xor(c: &mut Criterion) {
    for (name, jitter_ms) in [("grid", 0), ("jitter_3ms", 3)] {
        let fleet = fleet(jitter_ms);
        let chunks: Vec<Vec<u8>> =
            fleet.iter().map(|s| xor::encode(s.iter().copied()).expect("120 samples")).collect();
        let mut group = c.benchmark_group(format!("xor_{name}"));
        group.throughput(Throughput::Elements(SERIES * SAMPLES));
        group.bench_function("decode", |b| {
            let mut out = SampleBuffer::default();
            b.iter(|| {
                for chunk in &chunks {
                    out.clear();
                    decode(ChunkEncoding::Xor, chunk, &mut out).expect("our own chunk");
                    black_box(&out);
                }
            });
        });
        group.bench_function("encode", |b| {
            let mut memory = vec![0u8; SAMPLES as usize * MAX_APPEND_BYTES];
            b.iter(|| {
                for samples in &fleet {
                    let mut state = XorState::new();
                    for &(t, v) in samples {
                        state.append(&mut memory, t, v).expect("there is room");
                    }
                    state.write_count(&mut memory);
                    black_box(&memory);
                }
            });
        });
        group.finish();
    }
}

/// The other encodings, through the encoder that compaction uses. Histograms have 40 buckets.
fn bench_others(c: &mut Criterion) {
    let mut group = c.benchmark_group("encodings");
    group.throughput(Throughput::Elements(SERIES / 10 * SAMPLES));
    for (name, kind, with_start_times) in [
        ("xor2", Kind::Float, true),
        ("histogram", Kind::IntHistogram, false),
        ("histogram_st", Kind::IntHistogram, true),
        ("float_histogram", Kind::FloatHistogram, false),
        ("float_histogram_st", Kind::FloatHistogram, true),
    ] {
        let series: Vec<u64> = (0..SERIES / 10).collect();
        let mut chunks = Vec::new();
        for &i in &series {
            encode(kind, (i, with_start_times), &mut |chunk| {
                chunks.push((chunk.encoding, chunk.data.to_vec()));
            });
        }
        group.bench_function(format!("{name}/encode"), |b| {
            b.iter(|| {
                for &i in &series {
                    encode(kind, (i, with_start_times), &mut |chunk| _ = black_box(chunk.data));
                }
            });
        });
        group.bench_function(format!("{name}/decode"), |b| {
            let mut out = SampleBuffer::default();
            b.iter(|| {
                for (encoding, data) in &chunks {
                    out.clear();
                    decode(*encoding, data, &mut out).expect("our own chunk");
                    black_box(&out);
                }
            });
        });
    }
    group.finish();
}

#[derive(Clone, Copy)]
enum Kind {
    Float,
    IntHistogram,
    FloatHistogram,
}

/// One chunk of 120 samples. Making the histograms is a small part of the time.
fn encode(
    kind: Kind,
    (series, with_start_times): (u64, bool),
    sink: &mut dyn FnMut(FinishedChunk<'_>),
) {
    let mut encoder = ChunkEncoder::new(SAMPLES as u16, with_start_times);
    let start = 1_700_000_000_000;
    let mut histogram = histogram();
    for i in 0..SAMPLES {
        let t = start + (i as i64 + 1) * INTERVAL_MS;
        let pushed = match kind {
            Kind::Float => encoder.push_floats(&[t], &[value(series, 1_000 + i)], &[start], sink),
            Kind::IntHistogram => {
                histogram.count += 1;
                histogram.positive_buckets[(mix(series ^ i) % 40) as usize] += 1;
                encoder.push_int_histogram(t, &histogram, start, sink)
            }
            Kind::FloatHistogram => {
                histogram.count += 1;
                histogram.positive_buckets[(mix(series ^ i) % 40) as usize] += 1;
                encoder.push_float_histogram(t, &histogram.to_float(), start, sink)
            }
        };
        pushed.expect("120 samples");
    }
    encoder.finish(sink);
}

fn histogram() -> Histogram {
    Histogram {
        schema: 3,
        count: 40,
        sum: 100.0,
        positive_spans: vec![Span { offset: -10, length: 40 }],
        positive_buckets: vec![0; 40],
        ..Histogram::default()
    }
}

criterion_group!(benches, bench_xor, bench_others);
criterion_main!(benches);
