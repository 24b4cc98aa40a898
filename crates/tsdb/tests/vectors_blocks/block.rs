//! A block, and a tombstones file, that Prometheus wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{
    Labels, MatchOp, Matcher, Querier, QueryContext, Queryable, SampleBuffer, SelectHints,
    SeriesSet, Shard, TimeRange,
};
use proptest::prelude::*;
use serde_json::Value;
use tsdb::block::{
    Block, BlockChunk, BlockWriter, CHUNKS_DIR, INDEX_FILE, META_FILE, TOMBSTONES_FILE,
    list_blocks, write_tombstones,
};
use tsdb::fs::{FaultFs, FileSystem, OsFs, SharedFs};
use tsdb::index::{LabelMemo, SeriesRow, SymbolSet};
use tsdb::meta::BlockMeta;
use tsdb::postings::IndexPostings;
use tsdb::tombstones::{Interval, Tombstones};

const ALL_TIME: TimeRange = TimeRange { start_ms_incl: i64::MIN, end_ms_incl: i64::MAX };

fn block_dir() -> Option<PathBuf> {
    super::vector_path("block/01M7ZPQCKZY96HW8E6K6G4X4M9")
}

fn querier(block: &Block, range: TimeRange) -> Box<dyn Querier> {
    block.querier(range, &Arc::new(QueryContext::unlimited())).unwrap()
}

fn read_all(mut set: Box<dyn SeriesSet>) -> Vec<(Labels, SampleBuffer)> {
    let mut all = Vec::new();
    while let Some(mut series) = set.next_series().unwrap() {
        let mut samples = SampleBuffer::default();
        series.samples.read_all(&mut samples).unwrap();
        all.push((series.labels, samples));
    }
    all
}

fn select(block: &Block, range: TimeRange, matchers: &[Matcher]) -> Vec<(Labels, SampleBuffer)> {
    read_all(querier(block, range).select(matchers, &SelectHints::default()).unwrap())
}

fn labels_of(value: &Value) -> Labels {
    let pairs = value.as_object().unwrap().iter();
    Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap())))
}

#[test]
fn all_samples_are_those_that_were_written() {
    let Some(dir) = block_dir() else { return };
    let block = Block::open(&OsFs, &dir).unwrap();
    let all = select(&block, ALL_TIME, &[]);
    assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(all.len(), 71);
    let floats = all.iter().map(|(_, s)| s.float_times.len()).sum::<usize>();
    let histograms = all.iter().map(|(_, s)| s.histograms.len()).sum::<usize>();
    let stats = block.meta().stats;
    assert_eq!((floats as u64, histograms as u64), (stats.num_float_samples, 50));
    assert_eq!(stats.num_histogram_samples, 50);

    let expected = std::fs::read(dir.parent().unwrap().join("../block-expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    for series in expected.as_array().unwrap() {
        let labels = labels_of(&series["labels"]);
        let (_, samples) = all.iter().find(|(l, _)| *l == labels).unwrap();
        let base = series["value"].as_str().unwrap().strip_suffix(" + k").unwrap();
        let base: f64 = base.parse().unwrap();
        let (t0, step) = (series["t0"].as_i64().unwrap(), series["step"].as_i64().unwrap());
        let count = series["samples"].as_i64().unwrap();
        let times: Vec<i64> = (0..count).map(|k| t0 + k * step).collect();
        let values: Vec<f64> = (0..count).map(|k| base + k as f64).collect();
        assert_eq!((&samples.float_times, &samples.float_values), (&times, &values));
    }
    let (_, samples) = all.iter().find(|(_, s)| !s.histograms.is_empty()).unwrap();
    assert!(samples.histograms.windows(2).all(|pair| pair[0].count < pair[1].count));
}

#[test]
fn matchers_ranges_shards_and_limits_narrow_the_series() {
    let Some(dir) = block_dir() else { return };
    let block = Block::open(&OsFs, &dir).unwrap();
    let count = |matchers: &[Matcher]| select(&block, ALL_TIME, matchers).len();
    let matcher = |op, name, value: &str| Matcher::new(op, name, value).unwrap();
    // The histogram has a job and no instance.
    assert_eq!(count(&[Matcher::equal("job", "a")]), 36);
    assert_eq!(count(&[Matcher::equal("job", "a"), matcher(MatchOp::Regex, "inst", "i0.")]), 5);
    assert_eq!(count(&[matcher(MatchOp::NotEqual, "inst", "")]), 70);
    assert_eq!(count(&[Matcher::equal("inst", "")]), 1);
    assert_eq!(count(&[Matcher::equal("inst", "i70")]), 0);

    let querier = querier(&block, ALL_TIME);
    let regex = [matcher(MatchOp::Regex, "inst", "i6[0-3]")];
    let insts = querier.label_values("inst", &regex, 0).unwrap();
    assert_eq!(insts, ["i60", "i61", "i62", "i63"]);
    assert_eq!(querier.label_values("inst", &regex, 2).unwrap(), ["i60", "i61"]);
    assert_eq!(querier.label_names(&regex, 0).unwrap(), ["__name__", "inst", "job"]);
    assert_eq!(querier.label_values("job", &[], 0).unwrap(), ["a", "b"]);

    let mut sharded = Vec::new();
    for index in 0..3 {
        let shard = Some(Shard { index, count: 3 });
        let hints = SelectHints { shard, labels_only: true, ..SelectHints::default() };
        let part = read_all(querier.select(&[], &hints).unwrap());
        assert!(part.iter().all(|(l, s)| l.stable_hash() % 3 == index && s.is_empty()));
        sharded.extend(part.into_iter().map(|(labels, _)| labels));
    }
    sharded.sort();
    assert!(sharded.iter().eq(select(&block, ALL_TIME, &[]).iter().map(|(l, _)| l)));
    let hints = SelectHints { limit: 7, ..SelectHints::default() };
    assert_eq!(read_all(querier.select(&[], &hints).unwrap()).len(), 7);

    // Chunks hold 120 samples: of a moment in the second chunk only that one is read.
    let t = 1_699_999_200_000 + 150 * 15_000;
    let late = select(&block, TimeRange::new(t, t), &[Matcher::equal("inst", "i00")]);
    assert!(late[0].1.float_times.contains(&t) && late[0].1.float_times.len() < 150);
    assert_eq!(select(&block, TimeRange::new(0, 1), &[]).len(), 0);
    let hints = SelectHints { newest_only: true, ..SelectHints::default() };
    for (_, samples) in read_all(querier.select(&[Matcher::equal("job", "b")], &hints).unwrap()) {
        assert_eq!(samples.last_time(), Some(1_699_999_200_000 + 199 * 15_000));
        assert!(samples.len() <= 120);
    }
}

/// Writes all series of `block` to a new block.
fn copy_block(block: &Block, fs: &SharedFs, parent: &Path, segment_bytes: u64) -> PathBuf {
    let index = block.index();
    let symbols: Vec<&str> = index.symbols().collect::<Result<_, _>>().unwrap();
    let symbols = SymbolSet::from_sorted(symbols).unwrap();
    let parts = (block.meta().clone(), symbols);
    let mut writer =
        BlockWriter::with_segment_bytes(fs.clone(), parent, parts, segment_bytes).unwrap();
    let (mut row, mut memo) = (SeriesRow::default(), LabelMemo::default());
    for series in index.all_postings().unwrap().into_vec() {
        index.series(series, &mut row).unwrap();
        let chunks: Vec<BlockChunk<'_>> = row
            .chunks
            .iter()
            .map(|meta| {
                let record = block.chunk(meta.reference).unwrap();
                BlockChunk {
                    min_time_ms: meta.min_time_ms,
                    max_time_ms: meta.max_time_ms,
                    encoding: record.encoding,
                    data: record.data,
                }
            })
            .collect();
        writer.add_series(&index.labels(&row, &mut memo).unwrap(), &chunks).unwrap();
    }
    let meta = writer.finish().unwrap().unwrap();
    parent.join(meta.ulid.to_string())
}

#[test]
fn a_block_written_again_is_the_same_to_the_byte() {
    let Some(dir) = block_dir() else { return };
    let block = Block::open(&OsFs, &dir).unwrap();
    let fs: SharedFs = Arc::new(FaultFs::new());
    let parent = Path::new("/blocks");
    let copy = copy_block(&block, &fs, parent, 512 << 20);
    let chunks = format!("{CHUNKS_DIR}/000001");
    for file in [INDEX_FILE, &chunks, META_FILE, TOMBSTONES_FILE] {
        let (ours, theirs) =
            (fs.read(&copy.join(file)).unwrap(), std::fs::read(dir.join(file)).unwrap());
        assert_eq!(ours.len(), theirs.len(), "{file}");
        assert!(ours == theirs, "{file} differs");
    }
    assert_eq!(list_blocks(&*fs, parent).unwrap(), [block.ulid()]);
}

#[test]
fn small_chunk_files_hold_the_same_samples() {
    let Some(dir) = block_dir() else { return };
    let block = Block::open(&OsFs, &dir).unwrap();
    let fs: SharedFs = Arc::new(FaultFs::new());
    let copy_dir = copy_block(&block, &fs, Path::new("/blocks"), 1000);
    let files = fs.read_dir(&copy_dir.join(CHUNKS_DIR)).unwrap();
    assert!(files.len() > 10 && files.iter().all(|f| f.metadata.length <= 1000));
    let copy = Block::open(&*fs, &copy_dir).unwrap();
    let text = |block| format!("{:?}", select(block, ALL_TIME, &[]));
    assert_eq!(text(&copy), text(&block));
}

#[test]
fn deleted_ranges_are_not_returned() {
    let Some(dir) = block_dir() else { return };
    let block = Block::open(&OsFs, &dir).unwrap();
    let fs: SharedFs = Arc::new(FaultFs::new());
    let copy_dir = copy_block(&block, &fs, Path::new("/blocks"), 512 << 20);
    let find = |inst| {
        let index = block.index();
        index.postings("inst", inst).unwrap().into_vec()[0]
    };
    let t = |k: i64| 1_699_999_200_000 + k * 15_000;
    let mut tombstones = Tombstones::default();
    tombstones.add(u64::from(find("i00")), Interval { min_ms: t(10), max_ms: t(19) });
    tombstones.add(u64::from(find("i01")), Interval { min_ms: i64::MIN, max_ms: i64::MAX });
    write_tombstones(&fs, &copy_dir, &tombstones).unwrap();
    let copy = Block::open(&*fs, &copy_dir).unwrap();
    assert_eq!(copy.tombstones(), &tombstones);
    let read = |inst: &str| select(&copy, ALL_TIME, &[Matcher::equal("inst", inst)]);
    let times = &read("i00")[0].1.float_times;
    assert!(times.iter().copied().eq((0..10).chain(20..200).map(t)));
    assert_eq!(read("i01").len(), 0);
    assert_eq!(read("i02")[0].1.len(), 200);
    // Chunks that a deletion touches cannot be handed on as they are.
    let encoded = |inst: &str| {
        let matchers = [Matcher::equal("inst", inst)];
        let querier = querier(&copy, ALL_TIME);
        let mut set = querier.select(&matchers, &SelectHints::default()).unwrap();
        set.next_series().unwrap().unwrap().samples.encoded_chunks().unwrap()
    };
    assert!(encoded("i00").is_none());
    assert_eq!(encoded("i02").unwrap().len(), 2);
}

#[test]
fn the_tombstones_file_reads_and_writes() {
    let Some(path) = super::vector_path("tombstones-file/tombstones") else { return };
    let file = std::fs::read(path).unwrap();
    let tombstones = Tombstones::decode(&file).unwrap();
    assert_eq!(tombstones.get(16), [Interval { min_ms: 1, max_ms: 10 }]);
    assert_eq!(tombstones.len(), 1);
    assert_eq!(tombstones.encode(), file);
}

#[test]
fn meta_json_is_written_as_it_was_read() {
    let Some(dir) = block_dir() else { return };
    let json = std::fs::read(dir.join(META_FILE)).unwrap();
    assert_eq!(BlockMeta::decode(&json).unwrap().encode(), json);
}

/// Reads everything of a block that may be damaged.
fn read_damaged(fs: &FaultFs, dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let block = Block::open(fs, dir)?;
    let context = Arc::new(QueryContext::unlimited());
    let querier = block.querier(ALL_TIME, &context)?;
    for name in querier.label_names(&[Matcher::equal("job", "a")], 0)? {
        querier.label_values(&name, &[], 0)?;
    }
    let matchers = [Matcher::new(MatchOp::Regex, "inst", "i[0-5].")?];
    let mut set = querier.select(&matchers, &SelectHints::default())?;
    while let Some(mut series) = set.next_series()? {
        series.samples.read_all(&mut SampleBuffer::default())?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_blocks_are_errors_and_no_panics(
        file in 0usize..4,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let Some(dir) = block_dir() else { return Ok(()) };
        let fs = FaultFs::new();
        let copy = Path::new("/01M7ZPQCKZY96HW8E6K6G4X4M9");
        let files = [INDEX_FILE, "chunks/000001", META_FILE, TOMBSTONES_FILE];
        fs.create_dir_all(&copy.join(CHUNKS_DIR)).unwrap();
        for (i, name) in files.into_iter().enumerate() {
            let mut bytes = std::fs::read(dir.join(name)).unwrap();
            if i == file {
                for (at, flip) in &flips {
                    let at = at.index(bytes.len());
                    bytes[at] ^= flip;
                }
                bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
            }
            fs.create(&copy.join(name)).unwrap().write_all_at(&bytes, 0).unwrap();
        }
        let _ = read_damaged(&fs, copy);
    }
}
