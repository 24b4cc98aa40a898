//! Writing blocks against failing disks, and what is left behind.

use std::path::Path;
use std::sync::Arc;

use model::{Labels, QueryContext, SampleBuffer};

use super::*;
use crate::chunk::{ChunkEncoding, xor};
use crate::fs::{Crash, FaultFs};
use crate::index::{SeriesRow, SymbolSet};
use crate::postings::IndexPostings as _;

const PARENT: &str = "/tenant";

fn labels(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("i", format!("{i:03}").as_str())])
}

fn write(fs: &SharedFs, ulid: Ulid, series: usize) -> Result<Option<BlockMeta>, TsdbError> {
    let all: Vec<Labels> = (0..series).map(labels).collect();
    let symbols = all.iter().flat_map(|l| l.iter().flat_map(|l| [l.name, l.value]));
    let meta = BlockMeta::new(ulid, 0, 1000);
    let mut writer =
        BlockWriter::create(fs.clone(), Path::new(PARENT), meta, SymbolSet::collect(symbols)?)?;
    let data = xor::encode([(1, 1.0), (5, 2.0)]).expect("two samples");
    let encoding = ChunkEncoding::Xor;
    let chunk = BlockChunk { min_time_ms: 1, max_time_ms: 5, encoding, data: &data };
    for labels in &all {
        writer.add_series(labels, &[chunk])?;
    }
    writer.finish()
}

#[test]
fn a_block_without_samples_is_not_kept() {
    let fs: SharedFs = Arc::new(FaultFs::new());
    assert_eq!(write(&fs, Ulid(7), 0).unwrap(), None);
    assert_eq!(fs.read_dir(Path::new(PARENT)).unwrap(), []);
}

#[test]
fn stats_are_counted() {
    let fs: SharedFs = Arc::new(FaultFs::new());
    let meta = write(&fs, Ulid(7), 3).unwrap().unwrap();
    assert_eq!((meta.stats.num_series, meta.stats.num_chunks, meta.stats.num_samples), (3, 3, 6));
    let block = Block::open(&*fs, &Path::new(PARENT).join(Ulid(7).to_string())).unwrap();
    assert_eq!(block.meta(), &meta);
}

#[test]
fn a_failed_write_leaves_no_block_and_its_rest_is_removed() {
    for room in (0..2000).step_by(50) {
        let fault = Arc::new(FaultFs::new());
        fault.set_free_bytes(Some(room));
        let fs: SharedFs = fault.clone();
        if write(&fs, Ulid(7), 5).is_ok() {
            continue;
        }
        fault.set_free_bytes(None);
        assert_eq!(list_blocks(&*fs, Path::new(PARENT)).unwrap(), []);
        assert!(remove_leftovers(&*fs, Path::new(PARENT)).unwrap().len() <= 1);
        assert_eq!(fs.read_dir(Path::new(PARENT)).unwrap(), []);
    }
}

#[test]
fn a_finished_block_survives_a_crash() {
    let fault = Arc::new(FaultFs::new());
    let fs: SharedFs = fault.clone();
    fs.create_dir_all(Path::new(PARENT)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    write(&fs, Ulid(7), 5).unwrap();
    fault.crash(Crash::LoseUnsynced);
    let block = Block::open(&*fs, &Path::new(PARENT).join(Ulid(7).to_string())).unwrap();
    assert_eq!(block.meta().stats.num_series, 5);
}

#[test]
fn deleting_removes_the_block_and_other_directories_stay() {
    let fs: SharedFs = Arc::new(FaultFs::new());
    write(&fs, Ulid(7), 1).unwrap();
    write(&fs, Ulid(8), 1).unwrap();
    let parent = Path::new(PARENT);
    fs.create_dir_all(&parent.join("wal.tmp")).unwrap();
    delete_block(&*fs, parent, Ulid(7)).unwrap();
    assert_eq!(list_blocks(&*fs, parent).unwrap(), [Ulid(8)]);
    assert_eq!(remove_leftovers(&*fs, parent).unwrap(), [] as [String; 0]);
}

#[test]
fn a_gap_in_the_chunk_files_is_damage() {
    let fs: SharedFs = Arc::new(FaultFs::new());
    write(&fs, Ulid(7), 1).unwrap();
    let dir = Path::new(PARENT).join(Ulid(7).to_string());
    let chunks = dir.join(CHUNKS_DIR);
    fs.rename(&chunks.join("000001"), &chunks.join("000002")).unwrap();
    assert!(Block::open(&*fs, &dir).is_err_and(|e| e.is_corrupt()));
}

#[test]
fn samples_come_in_order_of_time_whatever_the_order_of_the_chunks_is() {
    let fs: SharedFs = Arc::new(FaultFs::new());
    let meta = BlockMeta::new(Ulid(7), 0, 1000);
    let all: Vec<Labels> = (0..3).map(labels).collect();
    let symbols = all.iter().flat_map(|l| l.iter().flat_map(|l| [l.name, l.value]));
    let symbols = SymbolSet::collect(symbols).unwrap();
    let mut writer = BlockWriter::create(fs.clone(), Path::new(PARENT), meta, symbols).unwrap();
    // A block's writer takes no chunks that overlap in one series: here they are of several.
    let times: [&[i64]; 3] = [&[10, 20, 30], &[15, 25], &[1, 2, 12]];
    for (labels, times) in all.iter().zip(times) {
        let data = xor::encode(times.iter().map(|&t| (t, t as f64))).unwrap();
        let (min_time_ms, max_time_ms) = (times[0], times[times.len() - 1]);
        let encoding = ChunkEncoding::Xor;
        let chunk = BlockChunk { min_time_ms, max_time_ms, encoding, data: &data };
        writer.add_series(labels, &[chunk]).unwrap();
    }
    writer.finish().unwrap();
    let block = Block::open(&*fs, &Path::new(PARENT).join(Ulid(7).to_string())).unwrap();
    let mut chunks = Vec::new();
    for series in block.index().all_postings().unwrap().into_vec() {
        let mut row = SeriesRow::default();
        block.index().series(series, &mut row).unwrap();
        chunks.extend(row.chunks);
    }
    let context = Arc::new(QueryContext::unlimited());
    let mut read = querier::samples(&block, &context, chunks.clone(), &[]);
    let mut samples = SampleBuffer::default();
    read.read_all(&mut samples).unwrap();
    assert_eq!(samples.float_times, [1, 2, 10, 12, 15, 20, 25, 30]);
    assert!(samples.float_times.iter().zip(&samples.float_values).all(|(t, v)| *t as f64 == *v));
    let deleted = [crate::tombstones::Interval { min_ms: 11, max_ms: 20 }];
    let mut read = querier::samples(&block, &context, chunks, &deleted);
    samples.clear();
    read.read_all(&mut samples).unwrap();
    assert_eq!(samples.float_times, [1, 2, 10, 25, 30]);
}
