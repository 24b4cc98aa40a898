//! Tests over a bucket in memory: what is compacted, deleted and indexed, and that a crash between
//! any two changes of the bucket loses nothing and leaves nothing.

mod cleaning;
mod compaction;
mod crashes;
mod index;
mod inspection;
mod no_compact;
mod routes;
mod uploads;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bucket::testing::FaultyStore;
use bucket::{Bucket, BucketMetrics, BucketOptions, TenantBucket, upload_block};
use bytes::Bytes;
use config::{CompactorConfig, Config, Limits, Overrides};
use model::env::{ManualClock, SeededRandom};
use model::{Clock as _, Labels, SampleBuffer, TenantId};
use rt::{CancellationToken, ComputeOptions, ComputePool, Metrics};
use tsdb::block::{Block, BlockChunk, BlockWriter};
use tsdb::chunk::{ChunkEncoding, decode, xor};
use tsdb::fs::OsFs;
use tsdb::index::{LabelMemo, SeriesRow, SymbolSet};
use tsdb::meta::BlockMeta;
use tsdb::postings::IndexPostings as _;
use ulid::Ulid;

use crate::catalog::{Catalog, Reading};
use crate::{AllJobs, Compactor, Dependencies, JobSharding};

const HOUR_MS: i64 = 60 * 60 * 1000;
/// Where the clock stands: long after the blocks' times and the times of uploads.
const NOW_MS: i64 = 2_000_000 * HOUR_MS;
/// A day that has blocks.
const DAY_MS: i64 = 1_000_008 * HOUR_MS;

/// Samples by series and time.
type Data = BTreeMap<String, BTreeMap<i64, f64>>;

/// A bucket in memory and compactors over it.
struct World {
    store: Arc<FaultyStore>,
    /// The bucket is this directory and not the store.
    directory: Option<std::path::PathBuf>,
    clock: Arc<ManualClock>,
    metrics: Metrics,
    local: tempfile::TempDir,
    limits: Limits,
    config: CompactorConfig,
    sharding: Arc<dyn JobSharding>,
}

impl World {
    fn new() -> Self {
        // Every block is synced to the device; where there is one in memory that is fast.
        let local = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let config = Config::default();
        let data_dir = local.path().join("work").to_string_lossy().into_owned();
        let compactor = CompactorConfig { data_dir, compaction_retries: 1, ..config.compactor };
        Self {
            store: Arc::default(),
            directory: None,
            clock: Arc::new(ManualClock::new(NOW_MS)),
            metrics: Metrics::new(),
            local,
            limits: config.limits,
            config: compactor,
            sharding: Arc::new(AllJobs),
        }
    }

    fn bucket(&self) -> Bucket {
        let metrics = BucketMetrics::new(&self.metrics, "compactor");
        if let Some(dir) = self.directory.clone() {
            let options = BucketOptions::Filesystem { dir, storage_prefix: String::new() };
            return Bucket::open(&options, self.clock.clone(), metrics).unwrap();
        }
        Bucket::over(self.store.clone(), "", self.clock.clone(), metrics)
    }

    fn tenant(&self) -> TenantBucket {
        TenantBucket::new(self.bucket(), TenantId::new("team").unwrap())
    }

    /// A compactor as after a start of the process.
    fn compactor(&self) -> Arc<Compactor> {
        let options = ComputeOptions { name: "test", threads: 1, queue_capacity: 16 };
        Compactor::new(Dependencies {
            config: self.config.clone(),
            overrides: Arc::new(Overrides::fixed(self.limits.clone())),
            bucket: self.bucket(),
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(self.store.changes())),
            pool: ComputePool::new(options).unwrap(),
            fs: OsFs::shared(),
            metrics: self.metrics.clone(),
            sharding: Arc::clone(&self.sharding),
        })
    }

    async fn compact(&self) {
        self.compactor().compact_all(&CancellationToken::new()).await;
    }

    async fn clean(&self) {
        self.compactor().clean_all().await;
    }

    /// Writes a block and uploads it.
    async fn add_block(&self, id: u128, range: (i64, i64), data: &Data) {
        let dir = write_block(&self.local.path().join("sources"), (id, range), data);
        let meta = Bytes::from(std::fs::read(dir.join("meta.json")).unwrap());
        upload_block(&self.tenant(), (Ulid(id), &dir), 1, |_| Ok(meta)).await.unwrap();
    }

    /// The metas of all complete blocks that are not marked, in order of their times.
    async fn visible(&self) -> Vec<BlockMeta> {
        let reading = Reading { concurrency: 4, deleted_before_s: i64::MAX };
        let catalog = Catalog::sync(&self.tenant(), &Default::default(), reading).await.unwrap();
        let marks = &catalog.deletion_marks;
        let blocks = catalog.blocks.values().filter(|b| !marks.contains_key(&b.meta.ulid));
        let mut metas: Vec<BlockMeta> = blocks.map(|block| block.meta.clone()).collect();
        metas.sort_by_key(|meta| (meta.min_time_ms, meta.ulid));
        metas
    }

    /// The samples of these blocks. No sample may stand in two of them unless `twice_is_fine`.
    async fn data_of(&self, metas: &[BlockMeta], twice_is_fine: bool) -> Data {
        let mut data = Data::new();
        for meta in metas {
            let dir = self.local.path().join("read").join(meta.ulid.to_string());
            for file in ["meta.json", "index", "chunks/000001"] {
                let key = self.tenant().block(meta.ulid).file(file);
                self.bucket().get_file(&key, &dir.join(file)).await.unwrap();
            }
            for (series, samples) in read_block(&dir) {
                for (t, value) in samples {
                    let old = data.entry(series.clone()).or_default().insert(t, value);
                    assert!(twice_is_fine || old.is_none(), "{series} at {t} stands twice");
                }
            }
        }
        data
    }

    /// Every key below the tenant.
    async fn keys(&self) -> Vec<String> {
        let objects = self.bucket().list("team").await.unwrap();
        objects.into_iter().map(|object| object.key).collect()
    }
}

/// A series for each number with a sample every ten minutes of the range.
fn data(series: std::ops::Range<u32>, (min, max): (i64, i64)) -> Data {
    let times = || (min..max).step_by(600_000);
    let samples = |i: u32| times().map(|t| (t, f64::from(i) + (t / 1000) as f64)).collect();
    series.map(|i| (format!("m_{i:03}"), samples(i))).collect()
}

fn union<'a>(all: impl IntoIterator<Item = &'a Data>) -> Data {
    let mut sum = Data::new();
    for (series, samples) in all.into_iter().flatten() {
        sum.entry(series.clone()).or_default().extend(samples);
    }
    sum
}

fn write_block(
    parent: &Path,
    (id, (min, max)): (u128, (i64, i64)),
    data: &Data,
) -> std::path::PathBuf {
    std::fs::create_dir_all(parent).unwrap();
    let labels = |name: &String| Labels::from_pairs([("__name__", name.as_str())]);
    let strings = data.keys().flat_map(|name| ["__name__", name.as_str()]);
    let symbols = SymbolSet::collect(strings).unwrap();
    let meta = BlockMeta::new(Ulid(id), min, max);
    let mut writer = BlockWriter::create(OsFs::shared(), parent, meta, symbols).unwrap();
    for (name, samples) in data {
        let chunk = xor::encode(samples.iter().map(|(&t, &v)| (t, v))).unwrap();
        let chunk = BlockChunk {
            min_time_ms: *samples.first_key_value().unwrap().0,
            max_time_ms: *samples.last_key_value().unwrap().0,
            encoding: ChunkEncoding::Xor,
            data: &chunk,
        };
        writer.add_series(&labels(name), &[chunk]).unwrap();
    }
    writer.finish().unwrap().unwrap();
    parent.join(Ulid(id).to_string())
}

fn read_block(dir: &Path) -> Data {
    let block = Block::open(&OsFs, dir).unwrap();
    let (mut row, mut memo) = (SeriesRow::default(), LabelMemo::default());
    let mut data = Data::new();
    for series in block.index().all_postings().unwrap().into_vec() {
        block.index().series(series, &mut row).unwrap();
        let labels = block.index().labels(&row, &mut memo).unwrap();
        let mut samples = SampleBuffer::default();
        for chunk in &row.chunks {
            let record = block.chunk(chunk.reference).unwrap();
            decode(record.encoding, record.data, &mut samples).unwrap();
        }
        let samples = samples.float_times.into_iter().zip(samples.float_values).collect();
        data.insert(labels.get("__name__").unwrap().to_owned(), samples);
    }
    data
}
