//! Compaction of small blocks, and select over one: three blocks side by side, three replicas that
//! each miss other samples, and both split into shards. Large blocks: `examples/compact.rs`.
//!
//! Run: `cargo bench -p tsdb --bench compaction`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed bench")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, Matcher, QueryContext, Queryable, SampleBuffer, SelectHints, TimeRange};
use tsdb::block::{Block, BlockChunk, BlockWriter};
use tsdb::chunk::ChunkEncoding;
use tsdb::chunk::encoder::{ChunkEncoder, FinishedChunk};
use tsdb::compact::{Compaction, Progress};
use tsdb::fs::{FaultFs, SharedFs};
use tsdb::index::SymbolSet;
use tsdb::meta::BlockMeta;
use ulid::Ulid;

const SERIES: u64 = 2_000;
const SAMPLES: i64 = 240;
const BLOCK_MS: i64 = 7_200_000;

fn labels(series: u64) -> Labels {
    let (name, pod) = (format!("metric_{:02}", series % 40), format!("app-{:05}", series / 40));
    Labels::from_pairs([
        ("__name__", name.as_str()),
        ("cluster", "prod"),
        ("job", "pods"),
        ("namespace", "team-1"),
        ("pod", pod.as_str()),
    ])
}

/// A block in memory; a `replica` above 0 misses some samples.
fn make_block(fs: &SharedFs, number: i64, replica: u64) -> Block {
    let mut all: Vec<(Labels, u64)> = (0..SERIES).map(|series| (labels(series), series)).collect();
    all.sort_unstable();
    let symbols = all.iter().flat_map(|(l, _)| l.iter().flat_map(|l| [l.name, l.value]));
    let symbols = SymbolSet::collect(symbols).unwrap();
    let start = number * BLOCK_MS;
    let ulid = Ulid::from_parts(number as u64 + 1, u128::from(replica));
    let meta = BlockMeta::new(ulid, start, start + BLOCK_MS);
    let parent = Path::new("/blocks");
    let mut writer = BlockWriter::create(fs.clone(), parent, meta, symbols).unwrap();
    for (labels, series) in &all {
        let mut chunks: Vec<(i64, i64, Vec<u8>)> = Vec::new();
        let mut sink =
            |c: FinishedChunk<'_>| chunks.push((c.min_time_ms, c.max_time_ms, c.data.to_vec()));
        let mut encoder = ChunkEncoder::new(120, false);
        for i in (0..SAMPLES).filter(|&i| replica == 0 || (i as u64 + series) % 50 != replica) {
            let t = start + i * BLOCK_MS / SAMPLES;
            let value = (i * (*series as i64 % 50)) as f64;
            encoder.push_floats(&[t], &[value], &[], &mut sink).unwrap();
        }
        encoder.finish(&mut sink);
        let chunk = |(min, max, data): &(i64, i64, Vec<u8>)| (*min, *max, data.clone());
        let owned: Vec<_> = chunks.iter().map(chunk).collect();
        let chunks: Vec<BlockChunk<'_>> = owned
            .iter()
            .map(|(min, max, data)| BlockChunk {
                min_time_ms: *min,
                max_time_ms: *max,
                encoding: ChunkEncoding::Xor,
                data,
            })
            .collect();
        writer.add_series(labels, &chunks).unwrap();
    }
    writer.finish().unwrap();
    Block::open(&**fs, &parent.join(ulid.to_string())).unwrap()
}

fn compaction(c: &mut Criterion) {
    let fs: SharedFs = Arc::new(FaultFs::new());
    let apart: Vec<Block> = (0..3).map(|number| make_block(&fs, number, 0)).collect();
    let replicas: Vec<Block> = (1..4).map(|replica| make_block(&fs, 10, replica)).collect();
    let mut group = c.benchmark_group("compact");
    group.sample_size(10);
    group.throughput(Throughput::Elements(3 * SERIES * SAMPLES as u64));
    for (name, blocks, shards) in [
        ("three blocks side by side", &apart, 1),
        ("three blocks into four shards", &apart, 4),
        ("three replicas with gaps", &replicas, 1),
    ] {
        let ulids: Vec<Ulid> = (0..shards).map(|i| Ulid::from_parts(99, i)).collect();
        group.bench_function(name, |b| {
            b.iter(|| {
                let compaction = Compaction::new(&fs, Path::new("/results"), &ulids);
                let metas = compaction.run(black_box(blocks), &Progress::default()).unwrap();
                fs.remove_dir_all(Path::new("/results")).unwrap();
                metas
            });
        });
    }
    group.finish();
    select(c, &apart[0]);
}

fn select(c: &mut Criterion, block: &Block) {
    let mut group = c.benchmark_group("select");
    for (name, matcher, series) in [
        ("one metric, samples decoded", Matcher::equal("__name__", "metric_07"), SERIES / 40),
        ("all series, samples decoded", Matcher::equal("job", "pods"), SERIES),
    ] {
        group.throughput(Throughput::Elements(series));
        group.bench_function(name, |b| {
            b.iter(|| {
                let context = Arc::new(QueryContext::unlimited());
                let querier = block.querier(TimeRange::new(0, BLOCK_MS), &context).unwrap();
                let hints = SelectHints::default();
                let mut set = querier.select(std::slice::from_ref(&matcher), &hints).unwrap();
                let mut samples = SampleBuffer::default();
                while let Some(mut entry) = set.next_series().unwrap() {
                    samples.clear();
                    entry.samples.read_all(&mut samples).unwrap();
                    black_box(&samples);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, compaction);
criterion_main!(benches);
