//! Blocks made of plain maps, and blocks read back into them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{FloatHistogram, Histogram, Labels, SampleBuffer, Span};
use tsdb::block::{Block, BlockChunk, BlockWriter};
use tsdb::chunk::decode;
use tsdb::chunk::encoder::{ChunkEncoder, FinishedChunk};
use tsdb::compact::{Compaction, Progress};
use tsdb::fs::{FaultFs, SharedFs};
use tsdb::index::{LabelMemo, SeriesRow, SymbolSet};
use tsdb::meta::BlockMeta;
use tsdb::postings::IndexPostings;
use ulid::Ulid;

/// Where the sources lie.
pub(crate) const SOURCES: &str = "/sources";
/// Where the new blocks go.
pub(crate) const RESULTS: &str = "/results";

/// What kind of sample a block holds; its value follows from series and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Float,
    Int,
    FloatHistogram,
}

/// The samples of a block: series, then time.
pub(crate) type Data = BTreeMap<u32, BTreeMap<i64, Kind>>;
/// What a block holds: labels, then time, then the sample as text.
pub(crate) type Content = BTreeMap<String, BTreeMap<i64, String>>;

pub(crate) fn labels(series: u32) -> Labels {
    let name = format!("metric_{}", series % 3);
    let instance = format!("host-{series}");
    Labels::from_pairs([("__name__", name.as_str()), ("instance", instance.as_str()), ("job", "a")])
}

/// Grows with the time, falls now and then.
pub(crate) fn histogram(series: u32, t: i64) -> Histogram {
    let count = 10 + (t % 50) as u64;
    let wide = t % 7 > 3;
    Histogram {
        count: count + 2 + u64::from(wide),
        sum: t as f64 + f64::from(series),
        zero_threshold: 0.001,
        zero_count: 1,
        positive_spans: vec![Span { offset: 0, length: 1 + u32::from(wide) }],
        positive_buckets: if wide {
            vec![count as i64, 1 - count as i64]
        } else {
            vec![count as i64]
        },
        negative_spans: vec![Span { offset: 3, length: 1 }],
        negative_buckets: vec![1],
        ..Histogram::default()
    }
}

pub(crate) fn float(series: u32, t: i64) -> f64 {
    f64::from(series) * 1000.5 + t as f64
}

fn float_histogram(series: u32, t: i64) -> FloatHistogram {
    let h = histogram(series, t);
    let mut sum = 0;
    let positive = h.positive_buckets.iter().map(|delta| {
        sum += delta;
        sum as f64
    });
    FloatHistogram {
        count: h.count as f64,
        sum: h.sum,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count as f64,
        positive_buckets: positive.collect(),
        positive_spans: h.positive_spans,
        negative_spans: h.negative_spans,
        negative_buckets: vec![1.0],
        ..FloatHistogram::default()
    }
}

/// How a sample is compared: histograms without empty buckets and without hint.
pub(crate) fn expected(series: u32, t: i64, kind: Kind) -> String {
    match kind {
        Kind::Float => format!("{:?}", float(series, t)),
        Kind::Int | Kind::FloatHistogram => histogram_text(&float_histogram(series, t)),
    }
}

fn histogram_text(histogram: &FloatHistogram) -> String {
    let mut histogram = histogram.clone();
    histogram.compact(0);
    let FloatHistogram { count, sum, zero_count, positive_buckets, negative_buckets, .. } =
        histogram;
    format!("{count} {sum} {zero_count} {positive_buckets:?} {negative_buckets:?}")
}

/// A chunk that owns its bytes.
type OwnChunk = (i64, i64, tsdb::chunk::ChunkEncoding, Vec<u8>);

fn encode(series: u32, samples: &BTreeMap<i64, Kind>, max_samples: u16) -> Vec<OwnChunk> {
    let mut chunks = Vec::new();
    let mut encoder = ChunkEncoder::new(max_samples, false);
    let mut sink = |c: FinishedChunk<'_>| {
        chunks.push((c.min_time_ms, c.max_time_ms, c.encoding, c.data.to_vec()));
    };
    for (&t, kind) in samples {
        match kind {
            Kind::Float => encoder.push_floats(&[t], &[float(series, t)], &[], &mut sink),
            Kind::Int => encoder.push_int_histogram(t, &histogram(series, t), 0, &mut sink),
            Kind::FloatHistogram => {
                encoder.push_float_histogram(t, &float_histogram(series, t), 0, &mut sink)
            }
        }
        .unwrap();
    }
    encoder.finish(&mut sink);
    chunks
}

/// Writes a block with chunks of at most `max_samples`.
pub(crate) fn write_block(fs: &SharedFs, data: &Data, (id, max_samples): (u64, u16)) -> Block {
    let times = || data.values().flat_map(|samples| samples.keys().copied());
    let range = (times().min().unwrap_or(0), times().max().unwrap_or(0) + 1);
    let meta = BlockMeta::new(Ulid::from_parts(1000 + id, 7), range.0, range.1);
    write_block_as(fs, data, (meta, max_samples))
}

pub(crate) fn write_block_as(
    fs: &SharedFs,
    data: &Data,
    (meta, max_samples): (BlockMeta, u16),
) -> Block {
    let mut rows: Vec<(Labels, u32)> =
        data.keys().map(|&series| (labels(series), series)).collect();
    rows.sort_unstable();
    let symbols = rows.iter().flat_map(|(l, _)| l.iter().flat_map(|l| [l.name, l.value]));
    let symbols = SymbolSet::collect(symbols.chain([""])).unwrap();
    let ulid = meta.ulid;
    let mut writer = BlockWriter::create(fs.clone(), Path::new(SOURCES), meta, symbols).unwrap();
    for (labels, series) in rows {
        let chunks = encode(series, &data[&series], max_samples);
        let chunks: Vec<BlockChunk<'_>> = chunks
            .iter()
            .map(|(min, max, encoding, data)| BlockChunk {
                min_time_ms: *min,
                max_time_ms: *max,
                encoding: *encoding,
                data,
            })
            .collect();
        writer.add_series(&labels, &chunks).unwrap();
    }
    writer.finish().unwrap().unwrap();
    Block::open(&**fs, &Path::new(SOURCES).join(ulid.to_string())).unwrap()
}

/// The content of a block; fails where a rule of the format is broken.
pub(crate) fn read_block(block: &Block) -> Content {
    let mut content = Content::new();
    let (mut row, mut memo) = (SeriesRow::default(), LabelMemo::default());
    let mut stats = tsdb::meta::BlockStats::default();
    for series in block.index().all_postings().unwrap().into_vec() {
        block.index().series(series, &mut row).unwrap();
        let labels = block.index().labels(&row, &mut memo).unwrap();
        for label in &labels {
            let list = block.index().postings(label.name, label.value).unwrap().into_vec();
            assert!(list.contains(&series), "postings have the series");
        }
        assert!(row.chunks.windows(2).all(|w| w[0].max_time_ms < w[1].min_time_ms));
        let mut samples = SampleBuffer::default();
        for chunk in &row.chunks {
            let record = block.chunk(chunk.reference).unwrap();
            let before = samples.len();
            decode(record.encoding, record.data, &mut samples).unwrap();
            assert!(samples.len() > before, "a chunk has samples");
        }
        stats.num_series += 1;
        stats.num_chunks += row.chunks.len() as u64;
        stats.num_float_samples += samples.float_times.len() as u64;
        stats.num_histogram_samples += samples.histogram_times.len() as u64;
        stats.num_samples += samples.len() as u64;
        let floats = samples.float_times.iter().zip(&samples.float_values);
        let floats = floats.map(|(&t, v)| (t, format!("{v:?}")));
        let histograms = samples.histogram_times.iter().zip(&samples.histograms);
        let histograms = histograms.map(|(&t, h)| (t, histogram_text(h)));
        content.insert(labels.to_string(), floats.chain(histograms).collect());
    }
    assert_eq!(block.meta().stats, stats);
    content
}

/// Disk, sources and results of a test.
pub(crate) struct World {
    pub(crate) disk: FaultFs,
    pub(crate) fs: SharedFs,
}

impl World {
    pub(crate) fn new() -> Self {
        let disk = FaultFs::new();
        let fs: SharedFs = Arc::new(disk.clone());
        fs.create_dir_all(Path::new(SOURCES)).unwrap();
        fs.create_dir_all(Path::new(RESULTS)).unwrap();
        Self { disk, fs }
    }

    /// Compacts into `shards` blocks with small buffers and opens those that came into being.
    pub(crate) fn compact(&self, blocks: &[Block], shards: u64) -> Vec<Option<Block>> {
        let ulids = ulids(shards);
        let compaction = Compaction {
            max_postings_entries: 7,
            ..Compaction::new(&self.fs, Path::new(RESULTS), &ulids)
        };
        let metas = compaction.run(blocks, &Progress::default()).unwrap();
        assert_eq!(metas.len(), ulids.len());
        let open = |(meta, ulid): (Option<BlockMeta>, &Ulid)| {
            let meta = meta?;
            assert_eq!(meta.ulid, *ulid);
            let block = Block::open(&*self.fs, &Path::new(RESULTS).join(ulid.to_string())).unwrap();
            assert_eq!(*block.meta(), meta);
            Some(block)
        };
        metas.into_iter().zip(&ulids).map(open).collect()
    }

    /// All files below a directory with their content.
    pub(crate) fn files(&self, dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in self.fs.read_dir(dir).unwrap() {
            let path = dir.join(&entry.name);
            if entry.metadata.is_dir {
                files.append(&mut self.files(&path));
            } else {
                files.insert(path.display().to_string(), self.fs.read(&path).unwrap());
            }
        }
        files
    }
}

pub(crate) fn ulids(shards: u64) -> Vec<Ulid> {
    (0..shards).map(|shard| Ulid::from_parts(9_000, u128::from(shard))).collect()
}
