//! Rates of the write-ahead log: encoding and decoding of records, logging to a file on disk
//! (one caller and two), reading a log back, writing and reading head chunks.
//!
//! A request is 2,000 samples of consecutive series at one time, as one scrape of a fleet makes
//! them; the series have 9 labels.
//!
//! Run: `cargo bench -p tsdb --bench wal`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed bench")]

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tsdb::fs::OsFs;
use tsdb::head_chunks::{DEFAULT_FILE_BYTES, HeadChunk, HeadChunks};
use tsdb::wal::record::{Record, SamplesEncoder, SeriesEncoder};
use tsdb::wal::{Compression, FsyncPolicy, LogScratch, Wal, WalOptions, WalReader};

const SAMPLES: u64 = 2_000;
const INTERVAL_MS: i64 = 15_000;

fn sample_record(request: u64) -> Vec<u8> {
    let mut encoder = SamplesEncoder::default();
    fill(&mut encoder, request);
    encoder.record().to_vec()
}

fn fill(encoder: &mut SamplesEncoder, request: u64) {
    encoder.clear();
    let t = 1_700_000_000_000 + request.cast_signed() * INTERVAL_MS;
    for series_ref in 1..=SAMPLES {
        encoder.push(series_ref, t, (series_ref * request) as f64);
    }
}

fn labels(series: u64) -> Vec<(&'static str, String)> {
    vec![
        ("__name__", format!("container_network_receive_bytes_{}_total", series % 40)),
        ("cluster", "production-eu-west-1".to_owned()),
        ("container", format!("app-{}", series % 90)),
        ("instance", format!("10.{}.{}.7:9100", series % 200, series % 250)),
        ("job", "kubernetes-pods".to_owned()),
        ("namespace", format!("team-{}", series % 60)),
        ("node", format!("node-{}", series % 500)),
        ("pod", format!("app-{}-5d8f7c9b64-{series:05x}", series % 90)),
        ("region", "eu-west-1".to_owned()),
    ]
}

fn series_record(count: u64) -> Vec<u8> {
    let mut encoder = SeriesEncoder::default();
    for series in 0..count {
        let labels = labels(series);
        encoder.push(series, labels.iter().map(|(n, v)| (*n, v.as_str())));
    }
    encoder.record().to_vec()
}

fn count_items(record: &[u8]) -> u64 {
    match Record::decode(record).unwrap() {
        Record::Series(mut items) => {
            let mut count = 0;
            while let Some(series) = items.next_item() {
                count += series.unwrap().labels.len() as u64;
            }
            count
        }
        Record::Samples(items) => items.map(|s| s.unwrap().series_ref & 1).sum(),
        _ => 0,
    }
}

fn records(c: &mut Criterion) {
    let mut group = c.benchmark_group("wal_records");
    group.throughput(Throughput::Elements(SAMPLES));
    let mut encoder = SamplesEncoder::default();
    group.bench_function("encode_samples", |b| b.iter(|| fill(&mut encoder, black_box(7))));
    let samples = sample_record(7);
    group.bench_function("decode_samples", |b| b.iter(|| count_items(black_box(&samples))));
    let series = series_record(SAMPLES);
    group.bench_function("decode_series", |b| b.iter(|| count_items(black_box(&series))));
    group.finish();
}

fn open(dir: &Path, compression: Compression) -> Wal {
    let options = WalOptions { compression, fsync: FsyncPolicy::Never, ..WalOptions::default() };
    Wal::open(OsFs::shared(), dir, options).unwrap()
}

/// Deletes what was written now and then, so that the disk does not fill up.
fn tidy(wal: &Wal) {
    if wal.current_segment().is_multiple_of(4) {
        wal.truncate(wal.current_segment()).unwrap();
    }
}

fn log(c: &mut Criterion) {
    let mut group = c.benchmark_group("wal_log");
    group.throughput(Throughput::Elements(SAMPLES));
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let wal = open(dir.path(), compression);
        let (record, mut scratch) = (sample_record(7), LogScratch::default());
        group.bench_function(BenchmarkId::new("one_caller", format!("{compression:?}")), |b| {
            b.iter(|| {
                tidy(&wal);
                wal.log(&mut scratch, &[&record]).unwrap();
            });
        });
    }
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path(), Compression::Snappy);
    group.bench_function("two_callers/Snappy", |b| {
        b.iter_custom(|iterations| {
            let start = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
            std::thread::scope(|scope| {
                for caller in 0..2 {
                    let (wal, record) = (&wal, sample_record(caller + 7));
                    scope.spawn(move || {
                        let mut scratch = LogScratch::default();
                        for _ in 0..iterations / 2 {
                            wal.log(&mut scratch, &[&record]).unwrap();
                        }
                    });
                }
            });
            tidy(&wal);
            std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() - start
        });
    });
    group.finish();
}

fn replay(c: &mut Criterion) {
    let mut group = c.benchmark_group("wal_replay");
    const REQUESTS: u64 = 500;
    group.throughput(Throughput::Elements(REQUESTS * SAMPLES));
    group.sample_size(20);
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let wal = open(dir.path(), compression);
        for request in 0..REQUESTS {
            wal.log(&mut LogScratch::default(), &[&sample_record(request)]).unwrap();
        }
        group.bench_function(format!("samples/{compression:?}"), |b| {
            b.iter(|| {
                let mut reader = WalReader::replay(OsFs::shared(), dir.path()).unwrap();
                let mut count = 0;
                while let Some(record) = reader.next_record().unwrap() {
                    count += count_items(record);
                }
                count
            });
        });
    }
    group.finish();
}

fn head_chunks(c: &mut Criterion) {
    let mut group = c.benchmark_group("head_chunks");
    let dir = tempfile::tempdir().unwrap();
    let chunks = HeadChunks::open(OsFs::shared(), dir.path(), DEFAULT_FILE_BYTES).unwrap();
    let data = [7; 150];
    let chunk = |series_ref| HeadChunk {
        series_ref,
        mint: 0,
        maxt_incl: 1_800_000,
        encoding: 1,
        is_out_of_order: false,
        data: &data,
    };
    let refs: Vec<_> = (0..100_000).map(|n| chunks.write(chunk(n)).unwrap()).collect();
    group.bench_function("write", |b| b.iter(|| chunks.write(chunk(1)).unwrap()));
    let mut next = 0;
    group.bench_function("read", |b| {
        b.iter(|| {
            next = (next + 7919) % refs.len();
            chunks.read(refs[next], |c| c.data.len()).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, records, log, replay, head_chunks);
criterion_main!(benches);
