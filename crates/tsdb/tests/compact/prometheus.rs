//! Blocks whose compaction by Prometheus' own compactor is known to the byte: four blocks that
//! overlap, with conflicting floats and histograms of both kinds, stale markers, counter resets,
//! changes of type and layout, and tombstones.

use std::path::Path;
use std::sync::Arc;

use model::env::SeededRandom;
use model::{CounterResetHint, Histogram, Labels, Random, Span};
use tsdb::block::{Block, BlockChunk, BlockWriter, write_tombstones};
use tsdb::chunk::encoder::{ChunkEncoder, FinishedChunk};
use tsdb::compact::{Compaction, Progress};
use tsdb::encoding::crc32c;
use tsdb::fs::{FaultFs, SharedFs};
use tsdb::index::SymbolSet;
use tsdb::meta::BlockMeta;
use tsdb::postings::IndexPostings;
use tsdb::tombstones::{Interval, Tombstones};
use ulid::Ulid;

fn one_in(random: &SeededRandom, count: u64) -> bool {
    random.next_u64().is_multiple_of(count)
}

fn histogram(random: &SeededRandom, t: i64, is_gauge: bool) -> Histogram {
    if one_in(random, 40) {
        return Histogram { sum: model::stale_nan(), ..Histogram::default() };
    }
    let buckets = 1 + random.next_u64() % 4;
    let counts: Vec<i64> =
        (0..buckets).map(|_| (t / 50 % 60) + (random.next_u64() % 3).cast_signed()).collect();
    let delta = |i: usize| counts[i] - i.checked_sub(1).map_or(0, |before| counts[before]);
    let hint = if is_gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown };
    Histogram {
        count: 1 + counts.iter().sum::<i64>().cast_unsigned(),
        zero_count: 1,
        zero_threshold: 0.001,
        schema: i32::from(one_in(random, 60)),
        sum: t as f64,
        counter_reset_hint: hint,
        positive_spans: vec![Span { offset: i32::from(one_in(random, 2)), length: buckets as u32 }],
        positive_buckets: (0..counts.len()).map(delta).collect(),
        ..Histogram::default()
    }
}

type OwnChunk = (i64, i64, tsdb::chunk::ChunkEncoding, Vec<u8>);

fn chunks(random: &SeededRandom, series: u64, block: u64) -> Vec<OwnChunk> {
    let mut chunks = Vec::new();
    let mut sink = |c: FinishedChunk<'_>| {
        chunks.push((c.min_time_ms, c.max_time_ms, c.encoding, c.data.to_vec()));
    };
    let mut encoder = ChunkEncoder::new(1 + (random.next_u64() % 150) as u16, false);
    let mut t = 3_000 + (random.next_u64() % 20).cast_signed() * 100;
    for _ in 0..200 {
        t += match random.next_u64() % 50 {
            0 => 7_000,
            1..5 => 200,
            _ => 100,
        };
        let conflict = if one_in(random, 20) { block } else { 0 };
        let kind = match series % 5 {
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            _ => (t.cast_unsigned() / 5_000 + conflict) % 3,
        };
        match kind {
            0 => {
                let value = (series * t.cast_unsigned() + conflict) as f64;
                encoder.push_floats(&[t], &[value], &[], &mut sink)
            }
            1 => {
                let histogram = histogram(random, t, series % 10 == 2);
                encoder.push_int_histogram(t, &histogram, 0, &mut sink)
            }
            _ => {
                let histogram = histogram(random, t, false).to_float();
                encoder.push_float_histogram(t, &histogram, 0, &mut sink)
            }
        }
        .unwrap();
    }
    encoder.finish(&mut sink);
    chunks
}

fn sources(fs: &SharedFs, dir: &Path, seed: u64) -> Vec<Block> {
    let random = SeededRandom::new(seed);
    (0..4).map(|block| source(fs, dir, (&random, block, seed))).collect()
}

fn source(fs: &SharedFs, dir: &Path, (random, block, seed): (&SeededRandom, u64, u64)) -> Block {
    let ulid = Ulid::from_parts(1_000 + block, u128::from(seed));
    let meta = BlockMeta::new(ulid, block.cast_signed() * 1_000, 7_200_000);
    let labels = |series: u64| {
        let name = if series.is_multiple_of(2) { "a" } else { "b" };
        Labels::from_pairs([("__name__", name), ("i", series.to_string().as_str())])
    };
    let all = (0..30).filter(|_| !one_in(random, 4));
    let mut all: Vec<(Labels, u64)> = all.map(|series| (labels(series), series)).collect();
    all.sort_unstable();
    let symbols = all.iter().flat_map(|(l, _)| l.iter().flat_map(|l| [l.name, l.value]));
    let symbols = SymbolSet::collect(symbols).unwrap();
    let mut writer = BlockWriter::create(fs.clone(), dir, meta, symbols).unwrap();
    for (labels, series) in &all {
        let chunks = chunks(random, *series, block);
        let chunk =
            |(min, max, encoding, data): &'_ OwnChunk| (*min, *max, *encoding, data.clone());
        let owned: Vec<OwnChunk> = chunks.iter().map(chunk).collect();
        let chunks: Vec<BlockChunk<'_>> = owned
            .iter()
            .map(|(min, max, encoding, data)| BlockChunk {
                min_time_ms: *min,
                max_time_ms: *max,
                encoding: *encoding,
                data,
            })
            .collect();
        writer.add_series(labels, &chunks).unwrap();
    }
    writer.finish().unwrap();
    let dir = dir.join(ulid.to_string());
    let block = Block::open(&**fs, &dir).unwrap();
    let mut tombstones = Tombstones::default();
    for series in block.index().all_postings().unwrap().into_vec() {
        if one_in(random, 8) {
            let min_ms = (random.next_u64() % 30_000).cast_signed();
            let max_ms = min_ms + (random.next_u64() % 20_000).cast_signed();
            tombstones.add(u64::from(series), Interval { min_ms, max_ms });
        }
    }
    write_tombstones(fs, &dir, &tombstones).unwrap();
    Block::open(&**fs, &dir).unwrap()
}

/// Lengths and checksums of index and chunk file.
fn compacted(seed: u64) -> [(usize, u32); 2] {
    let fs: SharedFs = Arc::new(FaultFs::new());
    let blocks = sources(&fs, Path::new("/sources"), seed);
    let ulids = [Ulid::from_parts(1, 1)];
    let out = Path::new("/results");
    Compaction::new(&fs, out, &ulids).run(&blocks, &Progress::default()).unwrap();
    ["index", "chunks/000001"].map(|name| {
        let bytes = fs.read(&out.join(ulids[0].to_string()).join(name)).unwrap();
        (bytes.len(), crc32c(&bytes))
    })
}

#[test]
fn the_bytes_are_those_of_prometheus() {
    assert_eq!(compacted(1), [(15_363, 0x0539_c1af), (239_844, 0x4aa1_8642)]);
    assert_eq!(compacted(2), [(14_075, 0xcb09_2783), (212_965, 0x98c8_c6ee)]);
    assert_eq!(compacted(3), [(15_467, 0x1455_05dd), (242_648, 0xd91a_2e4a)]);
}
