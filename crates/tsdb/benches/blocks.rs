//! Rates of what is done with blocks: finding series, reading their samples, compaction. Over a
//! block of 20,000 series (200 pods of 100 series) with 120 samples each.
//!
//! Run: `cargo bench -p tsdb --bench blocks`.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{
    Labels, MatchOp, Matcher, QueryContext, Queryable as _, SampleBuffer, SelectHints, TimeRange,
};
use tsdb::block::{Block, BlockChunk, BlockWriter};
use tsdb::chunk::{ChunkEncoding, xor};
use tsdb::compact::{Compaction, Progress};
use tsdb::fs::OsFs;
use tsdb::index::SymbolSet;
use tsdb::meta::BlockMeta;
use ulid::Ulid;

const SERIES: u64 = 20_000;
const SAMPLES: i64 = 120;
const START_MS: i64 = 1_699_977_600_000;
const INTERVAL_MS: i64 = 60_000;
const BLOCK_MS: i64 = SAMPLES * INTERVAL_MS;

fn labels(series: u64) -> Labels {
    let (pod, kind) = (series / 100, series % 100);
    Labels::from_pairs([
        ("__name__", format!("metric_{:02}", kind / 10).as_str()),
        ("instance", format!("10.0.{}.{}:8080", pod >> 8, pod & 255).as_str()),
        ("le", format!("{}", kind % 10).as_str()),
        ("namespace", format!("team-{:02}", pod % 20).as_str()),
        ("pod", format!("app-{:03}-{pod:010x}", pod % 120).as_str()),
    ])
}

/// Writes a block whose samples begin `offset_ms` after the grid.
fn write_block(dir: &Path, id: u128, offset_ms: i64) -> Block {
    let mut all: Vec<(Labels, u64)> = (0..SERIES).map(|i| (labels(i), i)).collect();
    all.sort_unstable();
    let symbols = all.iter().flat_map(|(l, _)| l.iter().flat_map(|l| [l.name, l.value]));
    let symbols = SymbolSet::collect(symbols.chain([""])).expect("few symbols");
    let meta = BlockMeta::new(Ulid(id), START_MS, START_MS + BLOCK_MS);
    let mut writer = BlockWriter::create(OsFs::shared(), dir, meta, symbols).expect("a new block");
    for (labels, series) in &all {
        let times = (0..SAMPLES).map(|i| START_MS + offset_ms + i * INTERVAL_MS);
        let samples = times.map(|t| (t, (t / 1000) as f64 * (1 + series % 7) as f64));
        let data = xor::encode(samples).expect("120 samples");
        let min_time_ms = START_MS + offset_ms;
        let max_time_ms = min_time_ms + (SAMPLES - 1) * INTERVAL_MS;
        let encoding = ChunkEncoding::Xor;
        let chunk = BlockChunk { min_time_ms, max_time_ms, encoding, data: &data };
        writer.add_series(labels, &[chunk]).expect("series in order");
    }
    let meta = writer.finish().expect("a whole block").expect("it has series");
    Block::open(&OsFs, &dir.join(meta.ulid.to_string())).expect("our own block")
}

fn bench_select(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let block = write_block(dir.path(), 1, 0);
    let range = TimeRange::new(START_MS, START_MS + BLOCK_MS);
    let querier = block.querier(range, &Arc::new(QueryContext::unlimited())).expect("a querier");
    let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).expect("a pattern");
    let metric = || matcher(MatchOp::Equal, "__name__", "metric_03");
    let cases = [
        ("one_metric", 2_000, vec![metric()]),
        ("one_pod", 100, vec![matcher(MatchOp::Equal, "pod", "app-007-0000000007")]),
        ("regex_set", 200, vec![metric(), matcher(MatchOp::Regex, "namespace", "team-01|team-02")]),
        ("regex_prefix", 200, vec![metric(), matcher(MatchOp::Regex, "pod", "app-0[01].*")]),
        ("all", SERIES, vec![matcher(MatchOp::Regex, "__name__", ".+")]),
    ];
    let mut group = c.benchmark_group("block_select");
    for (name, series, matchers) in &cases {
        group.throughput(Throughput::Elements(*series));
        group.bench_function(*name, |b| {
            b.iter(|| {
                let set = querier.select(matchers, &SelectHints::default());
                let mut set = set.expect("an index without damage");
                let mut count = 0;
                while let Some(entry) = set.next_series().expect("an index without damage") {
                    count += usize::from(!black_box(entry.labels).is_empty());
                }
                count
            });
        });
    }
    group.throughput(Throughput::Elements(2_000 * SAMPLES as u64));
    group.bench_function("one_metric_samples", |b| {
        let matchers = [metric()];
        let mut out = SampleBuffer::default();
        b.iter(|| {
            let set = querier.select(&matchers, &SelectHints::default());
            let mut set = set.expect("an index without damage");
            while let Some(mut entry) = set.next_series().expect("an index without damage") {
                out.clear();
                entry.samples.read_all(&mut out).expect("chunks without damage");
                black_box(&out);
            }
        });
    });
    group.finish();
}

fn bench_compaction(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let equal = [write_block(dir.path(), 1, 0), write_block(dir.path(), 2, 0)];
    let overlapping = [equal[0].clone(), write_block(dir.path(), 3, 7_000)];
    let mut group = c.benchmark_group("compaction");
    group.sample_size(10);
    group.throughput(Throughput::Elements(2 * SERIES * SAMPLES as u64));
    for (name, blocks) in [("replicas_alike", &equal), ("all_overlapping", &overlapping)] {
        group.bench_function(name, |b| {
            let fs = OsFs::shared();
            b.iter_with_large_drop(|| {
                let out = tempfile::tempdir().expect("a directory");
                let ids = [Ulid(9)];
                let compaction = Compaction::new(&fs, out.path(), &ids);
                compaction.run(blocks, &Progress::default()).expect("blocks without damage");
                out
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench_select, bench_compaction);
criterion_main!(benches);
