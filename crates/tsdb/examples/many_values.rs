//! Writes one block in which one label has a value of its own for each series, for measuring
//! readers of blocks.
//!
//! ```text
//! many_values DIR SERIES START_MS NUMBER
//!     writes the block whose ULID is NUMBER into DIR: SERIES series of ten metrics over the two
//!     hours from START_MS, ten samples each
//! ```

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for the command line")]

use std::path::Path;

use model::Labels;
use tsdb::block::{BlockChunk, BlockWriter};
use tsdb::chunk::{ChunkEncoding, xor};
use tsdb::fs::OsFs;
use tsdb::index::SymbolSet;
use tsdb::meta::BlockMeta;
use ulid::Ulid;

const BLOCK_MS: i64 = 7_200_000;
const STEP_MS: i64 = BLOCK_MS / 10;
const METRICS: u64 = 10;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [dir, series, start_ms, number] = args[..] else {
        println!("see the top of the source");
        return;
    };
    let (series, start_ms) = (series.parse().unwrap(), start_ms.parse().unwrap());
    let id = Ulid(number.parse().unwrap());
    write(Path::new(dir), (series, start_ms), id);
    println!("{id}");
}

fn write(dir: &Path, (series, start_ms): (u64, i64), id: Ulid) {
    let meta = BlockMeta::new(id, start_ms, start_ms + BLOCK_MS);
    let pods: Vec<String> = (0..series).map(pod).collect();
    let metrics: Vec<String> = (0..METRICS).map(metric).collect();
    let fixed = ["__name__", "cluster", "job", "pod", "eu-1", "api"];
    let symbols = fixed.into_iter().chain(metrics.iter().chain(&pods).map(String::as_str));
    let symbols = SymbolSet::collect(symbols).unwrap();
    drop(pods);
    let segment_bytes = 512 << 20;
    let block = (meta, symbols);
    let mut writer =
        BlockWriter::with_segment_bytes(OsFs::shared(), dir, block, segment_bytes).unwrap();
    for number in 0..series {
        let name = metric(number * METRICS / series);
        let pod = pod(number);
        let pairs = [("__name__", &*name), ("cluster", "eu-1"), ("job", "api"), ("pod", &*pod)];
        let sample = |step: i64| (start_ms + step * STEP_MS, (number as i64 + step) as f64);
        let data = xor::encode((0..10).map(sample)).unwrap();
        let chunk = BlockChunk {
            min_time_ms: start_ms,
            max_time_ms: start_ms + 9 * STEP_MS,
            encoding: ChunkEncoding::Xor,
            data: &data,
        };
        writer.add_series(&Labels::from_pairs(pairs), &[chunk]).unwrap();
    }
    writer.finish().unwrap();
}

fn metric(number: u64) -> String {
    format!("requests_{number:02}_total")
}

fn pod(number: u64) -> String {
    format!("pod-{number:07}")
}
