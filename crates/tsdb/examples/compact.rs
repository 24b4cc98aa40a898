//! Writes blocks of a made-up fleet and compacts blocks, for measuring and for trying out.
//!
//! ```text
//! compact make DIR SERIES SAMPLES FIRST_BLOCK BLOCKS [REPLICA]
//!     writes BLOCKS blocks of 2 h from number FIRST_BLOCK on, SAMPLES samples a series and block;
//!     with REPLICA (1, 2, ...) each series misses one sample in fifty, others in each replica
//! compact run OUT SHARDS BLOCK...
//!     compacts blocks into SHARDS ones in the directory OUT
//! compact check BLOCK
//!     prints what a block holds, and its size
//! ```

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for the command line")]

use std::collections::BTreeMap;
use std::path::Path;

use model::{Labels, SampleBuffer};
use tsdb::block::{Block, BlockChunk, BlockWriter};
use tsdb::chunk::encoder::{ChunkEncoder, FinishedChunk};
use tsdb::chunk::{ChunkEncoding, decode};
use tsdb::compact::{Compaction, Progress};
use tsdb::fs::OsFs;
use tsdb::index::{LabelMemo, SeriesRow, SymbolSet};
use tsdb::meta::BlockMeta;
use tsdb::postings::IndexPostings;
use ulid::Ulid;

const BLOCK_MS: i64 = 7_200_000;
const FIRST_BLOCK_START_MS: i64 = 1_699_977_600_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["make", dir, series, samples, first, blocks] => {
            make(dir, numbers([series, samples, first, blocks, "0"]));
        }
        ["make", dir, series, samples, first, blocks, replica] => {
            make(dir, numbers([series, samples, first, blocks, replica]));
        }
        ["run", out, shards, ref blocks @ ..] => run(out, shards.parse().unwrap(), blocks),
        ["check", block] => check(block),
        _ => println!("see the top of the source"),
    }
}

fn numbers(texts: [&str; 5]) -> [u64; 5] {
    texts.map(|text| text.parse().unwrap())
}

/// Spreads the bits of a number.
fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn labels(series: u64) -> Labels {
    let (pod, kind) = (series / 100, series % 100);
    let app = format!("app-{:03}", pod % 120);
    let (name, extra, value) = match kind {
        0..48 => {
            ("http_request_duration_seconds_bucket".to_owned(), "le", format!("{}", kind % 12))
        }
        48..60 => ("http_requests_total".to_owned(), "code", format!("{}", 200 + kind % 12)),
        60..70 => ("container_cpu_usage_seconds_total".to_owned(), "cpu", format!("cpu{kind}")),
        _ => (format!("app_internal_metric_{kind}"), "kind", "gauge".to_owned()),
    };
    let pairs = [
        ("__name__", name),
        (extra, value),
        ("route", format!("/api/v1/route{}", kind / 12)),
        ("cluster", format!("prod-{}", pod % 4)),
        ("namespace", format!("team-{:02}", pod % 20)),
        ("pod", format!("{app}-{:010x}-{:05x}", mix(pod) & 0xff_ffff_ffff, pod)),
        ("app", app),
        ("instance", format!("10.{}.{}.{}:8080", pod >> 16 & 255, pod >> 8 & 255, pod & 255)),
        ("job", "kubernetes-pods".to_owned()),
    ];
    Labels::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
}

/// Counters with whole steps, floats, gauges; one series in ten stands still.
fn value(series: u64, scrape: u64) -> f64 {
    match series % 100 {
        _ if mix(series).is_multiple_of(10) => (mix(series) % 100) as f64,
        kind @ 0..48 => (scrape * (1 + mix(series) % 7) * (kind % 12 + 1) + scrape / 3) as f64,
        48..60 => (scrape * (1 + mix(series) % 50)) as f64,
        60..70 => {
            scrape as f64 * 0.015 * (mix(series) % 1000) as f64
                + (mix(series ^ scrape << 20) % 100) as f64 / 1000.0
        }
        70..75 => (200_000_000 + mix(series ^ scrape << 20) % 1000 * 4096) as f64,
        _ => (mix(series ^ scrape << 20) % 100_000) as f64 / 100.0,
    }
}

fn make(dir: &str, [series, samples, first, blocks, replica]: [u64; 5]) {
    let mut all: Vec<(Labels, u64)> = (0..series).map(|i| (labels(i), i)).collect();
    all.sort_unstable();
    for block in first..first + blocks {
        make_block(dir, &all, (block, samples, replica));
    }
}

fn make_block(dir: &str, all: &[(Labels, u64)], (block, samples, replica): (u64, u64, u64)) {
    let start = FIRST_BLOCK_START_MS + block as i64 * BLOCK_MS;
    let symbols = all.iter().flat_map(|(l, _)| l.iter().flat_map(|l| [l.name, l.value]));
    let symbols = SymbolSet::collect(symbols.chain([""])).unwrap();
    let ulid = Ulid::from_parts((start + BLOCK_MS) as u64, u128::from(block << 8 | replica));
    let meta = BlockMeta::new(ulid, start, start + BLOCK_MS);
    let mut writer = BlockWriter::create(OsFs::shared(), Path::new(dir), meta, symbols).unwrap();
    let mut chunks: Vec<(i64, i64, Vec<u8>)> = Vec::new();
    for (labels, series) in all {
        let mut sink =
            |c: FinishedChunk<'_>| chunks.push((c.min_time_ms, c.max_time_ms, c.data.to_vec()));
        let mut encoder = ChunkEncoder::new(120, false);
        for i in 0..samples {
            let scrape = block * samples + i;
            let missed =
                replica > 0 && mix(mix(*series ^ replica << 40) ^ scrape).is_multiple_of(50);
            let t = start + i as i64 * BLOCK_MS / samples as i64;
            if !missed {
                encoder.push_floats(&[t], &[value(*series, scrape)], &[], &mut sink).unwrap();
            }
        }
        encoder.finish(&mut sink);
        let encoding = ChunkEncoding::Xor;
        let stored: Vec<BlockChunk<'_>> = chunks
            .iter()
            .map(|(min, max, data)| BlockChunk {
                min_time_ms: *min,
                max_time_ms: *max,
                encoding,
                data,
            })
            .collect();
        writer.add_series(labels, &stored).unwrap();
        chunks.clear();
    }
    let meta = writer.finish().unwrap().unwrap();
    println!("{dir}/{}", meta.ulid);
}

fn run(out: &str, shards: u64, blocks: &[&str]) {
    let fs = OsFs::shared();
    let open = |dir: &&str| Block::open(&*fs, Path::new(dir)).unwrap();
    let blocks: Vec<Block> = blocks.iter().map(open).collect();
    let ulids: Vec<Ulid> = (0..shards).map(|i| Ulid::from_parts(1, u128::from(i))).collect();
    let compaction = Compaction::new(&fs, Path::new(out), &ulids);
    let metas = compaction.run(&blocks, &Progress::default()).unwrap();
    for meta in metas.iter().flatten() {
        println!("{out}/{} {:?}", meta.ulid, meta.stats);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("Rss")).for_each(|line| println!("{line}"));
}

fn check(dir: &str) {
    let block = Block::open(&OsFs, Path::new(dir)).unwrap();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let (mut row, mut memo) = (SeriesRow::default(), LabelMemo::default());
    let mut samples = SampleBuffer::default();
    let mut hash = 0u64;
    for series in block.index().all_postings().unwrap().into_vec() {
        block.index().series(series, &mut row).unwrap();
        let labels = block.index().labels(&row, &mut memo).unwrap();
        samples.clear();
        for chunk in &row.chunks {
            let record = block.chunk(chunk.reference).unwrap();
            decode(record.encoding, record.data, &mut samples).unwrap();
            *counts.entry(format!("chunks {:?}", record.encoding)).or_default() += 1;
        }
        *counts.entry("series".to_owned()).or_default() += 1;
        *counts.entry("samples".to_owned()).or_default() += samples.len() as u64;
        for (t, v) in samples.float_times.iter().zip(&samples.float_values) {
            hash = mix(hash ^ *t as u64 ^ v.to_bits().rotate_left(17) ^ labels.stable_hash());
        }
    }
    println!("{counts:?} hash {hash:016x} bytes {}", block.size_bytes());
}
