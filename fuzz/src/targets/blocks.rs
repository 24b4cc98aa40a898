//! The files of a block: index, chunks, tombstones, meta.json.

use std::path::Path;
use std::sync::Arc;

use model::{Matcher, QueryContext, Queryable as _, SampleBuffer, SelectHints, TimeRange};
use tsdb::block::{
    Block, CHUNK_FILE_HEADER_LEN, check_chunk_file_header, chunk_record_len, decode_chunk_record,
};
use tsdb::fs::{FaultFs, FileSystem};
use tsdb::index::{
    IndexReader, LabelMemo, PostingsOffsets, SeriesRow, SymbolTable, Toc, decode_postings,
    decode_series, series_entry_len,
};
use tsdb::meta::BlockMeta;
use tsdb::postings::{IndexPostings as _, SeriesLabels as _};
use tsdb::tombstones::Tombstones;

/// So many series of an index are looked at.
const MAX_SERIES: usize = 2_000;
/// Where the directory of a block stands.
const DIR: &str = "/blocks/01M7ZPQCKZY96HW8E6K6G4X4M9";

pub(super) fn index(data: &[u8]) {
    let Ok(reader) = IndexReader::open(data, "index") else { return };
    for symbol in reader.symbols().take(MAX_SERIES) {
        let Ok(symbol) = symbol else { break };
        let _ = reader.symbol_number(symbol);
    }
    let names: Vec<String> = reader.names().take(50).map(str::to_owned).collect();
    for name in &names {
        let _ = reader.postings_where(name, "", &mut |_| true);
        let _ = reader.postings_where(name, "a", &mut |_| true);
        let _ = reader.postings(name, "a");
    }
    let Ok(all) = reader.all_postings() else { return };
    let (mut row, mut memo) = (SeriesRow::default(), LabelMemo::default());
    for series in all.into_vec().into_iter().take(MAX_SERIES) {
        if reader.series(series, &mut row).is_ok() {
            let _ = reader.labels(&row, &mut memo);
            let _ = reader.series_labels(series, &mut |_, _| {});
        }
    }
    select_from(data);
}

/// A query over a block with this index and without chunks.
fn select_from(index: &[u8]) {
    let fs = FaultFs::new();
    let dir = Path::new(DIR);
    let meta =
        br#"{"ulid":"01M7ZPQCKZY96HW8E6K6G4X4M9","minTime":0,"maxTime":9000000,"version":1}"#;
    let chunks = [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0];
    put(&fs, &dir.join("meta.json"), meta);
    put(&fs, &dir.join("index"), index);
    put(&fs, &dir.join("chunks/000001"), &chunks);
    let Ok(block) = Block::open(&fs, dir) else { return };
    let context = Arc::new(QueryContext::unlimited());
    let Ok(querier) = block.querier(TimeRange::new(0, i64::MAX), &context) else { return };
    let Ok(any) = Matcher::new(model::MatchOp::Regex, "__name__", ".+") else { return };
    let _ = querier.label_names(std::slice::from_ref(&any), 10);
    let _ = querier.label_values("__name__", std::slice::from_ref(&any), 10);
    let Ok(mut set) = querier.select(&[any], &SelectHints::default()) else { return };
    for _ in 0..MAX_SERIES {
        let Ok(Some(mut entry)) = set.next_series() else { return };
        let _ = entry.samples.read_all(&mut SampleBuffer::default());
    }
}

/// Writes a file with the directories above it.
pub(super) fn put(fs: &dyn FileSystem, path: &Path, data: &[u8]) {
    fs.create_dir_all(tsdb::fs::parent_dir(path)).expect("a file system in memory");
    let file = fs.create(path).expect("a file system in memory");
    file.write_all_at(data, 0).expect("a file system in memory");
}

/// One section without its frame; the first byte says which.
pub(super) fn index_sections(data: &[u8]) {
    let Some((&which, section)) = data.split_first() else { return };
    match which % 5 {
        0 => symbols(section),
        1 => offsets(section),
        2 => {
            let _ = series_entry_len(section);
            let _ = decode_series(section, &mut SeriesRow::default());
        }
        3 => {
            let list = decode_postings(section);
            let _ = list.map(|list| (list.len(), list.last(), list.into_vec()));
        }
        _ => {
            let _ = Toc::decode(section);
        }
    }
}

fn symbols(section: &[u8]) {
    let Ok(table) = SymbolTable::new(section) else { return };
    for (number, symbol) in table.iter(section).enumerate() {
        let Ok(symbol) = symbol else { continue };
        assert_eq!(table.get(section, number as u32).ok(), Some(symbol));
        let _ = table.find(section, symbol);
    }
    let _ = table.get(section, table.len());
    let _ = table.find(section, "m");
}

fn offsets(section: &[u8]) {
    let Ok(table) = PostingsOffsets::new(section) else { return };
    let names: Vec<String> = table.names().map(str::to_owned).collect();
    for name in &names {
        let mut values = 0;
        let visited = table.for_each(section, (name, ""), &mut |_, _| values += 1);
        assert!(visited.is_err() || values <= table.value_count(name));
        let _ = table.find(section, name, "m");
    }
}

pub(super) fn chunk_file(data: &[u8]) {
    if check_chunk_file_header(data).is_err() {
        return;
    }
    let mut offset = CHUNK_FILE_HEADER_LEN;
    while let Some(rest) = data.get(offset..).filter(|rest| !rest.is_empty()) {
        let (Ok(length), Ok(record)) = (chunk_record_len(rest), decode_chunk_record(rest)) else {
            return;
        };
        assert!(length <= rest.len() && length > record.data.len());
        let _ = tsdb::chunk::decode(record.encoding, record.data, &mut SampleBuffer::default());
        offset += length;
    }
}

pub(super) fn tombstones(data: &[u8]) {
    let Ok(tombstones) = Tombstones::decode(data) else { return };
    assert_eq!(Tombstones::decode(&tombstones.encode()), Ok(tombstones));
}

pub(super) fn meta(data: &[u8]) {
    let Ok(meta) = BlockMeta::decode(data) else { return };
    let again = BlockMeta::decode(&meta.encode()).expect("what was written can be read");
    assert_eq!(again.encode(), meta.encode());
}

/// A mark of a block or a tenant.
pub(super) fn marks(data: &[u8]) {
    mark::<bucket::DeletionMark>(data);
    mark::<bucket::NoCompactMark>(data);
    mark::<bucket::TenantDeletionMark>(data);
}

fn mark<M: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
    data: &[u8],
) {
    let Ok(mark) = serde_json::from_slice::<M>(data) else { return };
    let json = serde_json::to_vec(&mark).expect("a mark has only plain fields");
    assert_eq!(serde_json::from_slice::<M>(&json).ok(), Some(mark));
}

pub(super) fn bucket_index(data: &[u8]) {
    let Ok(index) = bucket::BucketIndex::decode(data) else { return };
    let again = bucket::BucketIndex::decode(&index.encode()).expect("what was written can be read");
    assert_eq!(again.blocks.len(), index.blocks.len());
}
