//! A bucket with blocks, and a store-gateway over it, for the tests of this crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bucket::cache::SharedCache;
use bucket::{
    Bucket, BucketIndex, BucketMetrics, IndexLoader, IndexLoaderOptions, TenantBucket, upload_block,
};
use bytes::Bytes;
use config::{AllowedTenants, BucketStoreConfig};
use model::env::ManualClock;
use model::storage::TextSet;
use model::{
    Labels, Matcher, Querier, QueryContext, QueryLimits, SampleBuffer, SelectHints, SeriesSet,
    StorageError, TenantId, TimeRange,
};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use rt::{BlockingHandle, ComputeOptions, ComputePool, Metrics};
use tsdb::block::{BlockChunk, BlockWriter};
use tsdb::chunk::{ChunkEncoding, xor};
use tsdb::fs::OsFs;
use tsdb::index::SymbolSet;
use tsdb::meta::BlockMeta;
use ulid::Ulid;
use wire::client::{BlocksAnswer, BlocksRequest, StoreGatewayClient};

use crate::{BlockSharding, Dependencies, StoreGateway, StoreOptions};

pub(crate) const ALL_TIME: TimeRange = TimeRange { start_ms_incl: i64::MIN, end_ms_incl: i64::MAX };
/// Where the clock of a new world stands: far behind the samples of all tests.
pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

/// Floats of series, by their labels.
pub(crate) type Data = BTreeMap<Labels, BTreeMap<i64, f64>>;

/// A block to be written.
pub(crate) struct BlockSpec {
    pub(crate) meta: BlockMeta,
    pub(crate) data: Data,
    pub(crate) samples_per_chunk: usize,
    pub(crate) segment_bytes: u64,
}

impl BlockSpec {
    /// A block with this id, over the times of the data.
    pub(crate) fn new(id: u128, data: Data) -> Self {
        let times = || data.values().flat_map(|samples| samples.keys().copied());
        let (min, max) = (times().min().unwrap(), times().max().unwrap());
        let meta = BlockMeta::new(Ulid(id), min, max + 1);
        Self { meta, data, samples_per_chunk: 120, segment_bytes: 512 << 20 }
    }
}

/// Labels from `name="value"` pairs.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

/// A series with the value of the time at each of the times.
pub(crate) fn series(
    pairs: &[(&str, &str)],
    times: impl IntoIterator<Item = i64>,
) -> (Labels, BTreeMap<i64, f64>) {
    (labels(pairs), times.into_iter().map(|t| (t, t as f64)).collect())
}

/// What a world is made with.
#[derive(Default)]
struct Setup {
    options: StoreOptions,
    config: BucketStoreConfig,
    /// Called within the world's runtime.
    index_cache: Option<Box<dyn FnOnce() -> SharedCache>>,
    /// Without it all blocks are the world's own.
    sharding: Option<Arc<dyn BlockSharding>>,
    allowed: AllowedTenants,
}

/// A runtime, a bucket, and a store-gateway that looks at it.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metrics: Metrics,
    pub(crate) bucket: Bucket,
    pub(crate) gateway: StoreGateway,
    pub(crate) sync_dir: Arc<tempfile::TempDir>,
    local: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(StoreOptions::default())
    }

    pub(crate) fn with(options: StoreOptions) -> Self {
        Self::over(Arc::new(InMemory::new()), options)
    }

    pub(crate) fn over(objects: Arc<dyn ObjectStore>, options: StoreOptions) -> Self {
        Self::set_up(objects, Setup { options, ..Setup::default() })
    }

    /// A world with these options.
    pub(crate) fn configured(change: impl FnOnce(&mut BucketStoreConfig)) -> Self {
        let mut config = BucketStoreConfig::default();
        change(&mut config);
        Self::set_up(Arc::new(InMemory::new()), Setup { config, ..Setup::default() })
    }

    fn set_up(objects: Arc<dyn ObjectStore>, setup: Setup) -> Self {
        let metrics = Metrics::new();
        let bucket_metrics = BucketMetrics::new(&metrics, "store-gateway");
        let bucket = Bucket::over(objects, "", Arc::new(ManualClock::new(0)), bucket_metrics);
        Self::build(bucket, setup, metrics, Arc::new(tempfile::tempdir().unwrap()))
    }

    /// Another store-gateway over the same bucket, which keeps parts of indexes in this cache.
    pub(crate) fn with_index_cache(&self, make: impl FnOnce() -> SharedCache + 'static) -> Self {
        let sync_dir = Arc::new(tempfile::tempdir().unwrap());
        let setup = Setup { index_cache: Some(Box::new(make)), ..Setup::default() };
        Self::build(self.bucket.clone(), setup, Metrics::new(), sync_dir)
    }

    /// A world whose metrics are without those of the bucket.
    pub(crate) fn over_bucket(bucket: Bucket, options: StoreOptions) -> Self {
        let sync_dir = Arc::new(tempfile::tempdir().unwrap());
        let setup = Setup { options, ..Setup::default() };
        Self::build(bucket, setup, Metrics::new(), sync_dir)
    }

    fn build(
        bucket: Bucket,
        setup: Setup,
        metrics: Metrics,
        sync_dir: Arc<tempfile::TempDir>,
    ) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let Setup { options, config, index_cache, sharding, allowed } = setup;
        let index_cache = runtime.block_on(async { index_cache.map(|make| make()) });
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let index_options = IndexLoaderOptions {
            sync_interval_ms: 0,
            error_interval_ms: 0,
            idle_timeout_ms: 0,
            meta_concurrency: 4,
        };
        let indexes = IndexLoader::new(bucket.clone(), index_options, clock.clone(), &metrics);
        let sync_path = sync_dir.path().to_str().unwrap().to_owned();
        let threads = ComputeOptions { name: "test", threads: 1, queue_capacity: 10 };
        let gateway = StoreGateway::new(Dependencies {
            config: BucketStoreConfig { sync_dir: sync_path, ..config },
            options,
            index_cache,
            allowed,
            sharding: sharding.unwrap_or_else(|| Arc::new(crate::AllBlocks)),
            indexes: Arc::new(indexes),
            fs: OsFs::shared(),
            pool: ComputePool::new(threads).unwrap(),
            clock: clock.clone(),
            blocking: runtime.block_on(async { BlockingHandle::current() }),
            metrics: metrics.clone(),
        });
        let local = tempfile::tempdir().unwrap();
        Self { clock, metrics, bucket, gateway, sync_dir, local, runtime }
    }

    /// Another store-gateway over the same bucket and the same local disk, after a restart.
    pub(crate) fn restarted(&self) -> Self {
        let dir = Arc::clone(&self.sync_dir);
        Self::build(self.bucket.clone(), Setup::default(), Metrics::new(), dir)
    }

    /// The same, which is one of several store-gateways.
    pub(crate) fn restarted_with(&self, sharding: Arc<dyn BlockSharding>) -> Self {
        let setup = Setup { sharding: Some(sharding), ..Setup::default() };
        Self::build(self.bucket.clone(), setup, Metrics::new(), Arc::clone(&self.sync_dir))
    }

    /// The same, which answers for these tenants.
    pub(crate) fn restarted_for(&self, allowed: AllowedTenants) -> Self {
        let setup = Setup { allowed, ..Setup::default() };
        Self::build(self.bucket.clone(), setup, Metrics::new(), Arc::clone(&self.sync_dir))
    }

    /// Another store-gateway over the same bucket.
    pub(crate) fn again(&self) -> Self {
        Self::over_bucket(self.bucket.clone(), StoreOptions::default())
    }

    pub(crate) fn tenant(&self) -> TenantId {
        TenantId::new("team").unwrap()
    }

    pub(crate) fn tenant_bucket(&self) -> TenantBucket {
        TenantBucket::new(self.bucket.clone(), self.tenant())
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Writes a block and uploads it.
    pub(crate) fn add_block(&self, spec: &BlockSpec) {
        let dir = self.write_block(spec);
        self.upload(&dir, spec.meta.ulid);
    }

    pub(crate) fn upload(&self, dir: &Path, id: Ulid) {
        let meta = Bytes::from(std::fs::read(dir.join("meta.json")).unwrap());
        self.run(upload_block(&self.tenant_bucket(), (id, dir), 1, |_| Ok(meta))).unwrap();
    }

    fn write_block(&self, spec: &BlockSpec) -> PathBuf {
        let symbols = spec.data.keys().flat_map(|labels| labels.iter());
        let symbols = SymbolSet::collect(symbols.flat_map(|l| [l.name, l.value])).unwrap();
        let block = (spec.meta.clone(), symbols);
        let segment_bytes = spec.segment_bytes;
        let parent = self.local.path();
        let mut writer =
            BlockWriter::with_segment_bytes(OsFs::shared(), parent, block, segment_bytes).unwrap();
        for (labels, samples) in &spec.data {
            let samples: Vec<(i64, f64)> = samples.iter().map(|(&t, &v)| (t, v)).collect();
            let runs: Vec<&[(i64, f64)]> = samples.chunks(spec.samples_per_chunk).collect();
            let encoded: Vec<Vec<u8>> =
                runs.iter().map(|run| xor::encode(run.iter().copied()).unwrap()).collect();
            let chunks: Vec<BlockChunk<'_>> = runs
                .iter()
                .zip(&encoded)
                .map(|(run, data)| BlockChunk {
                    min_time_ms: run[0].0,
                    max_time_ms: run[run.len() - 1].0,
                    encoding: ChunkEncoding::Xor,
                    data,
                })
                .collect();
            writer.add_series(labels, &chunks).unwrap();
        }
        writer.finish().unwrap();
        parent.join(spec.meta.ulid.to_string())
    }

    /// The key of a block's file.
    pub(crate) fn key(&self, id: u128, file: &str) -> String {
        self.tenant_bucket().block(Ulid(id)).file(file)
    }

    pub(crate) fn put(&self, key: &str, data: impl Into<Bytes>) {
        self.run(self.bucket.put(key, data.into())).unwrap();
    }

    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        self.run(self.bucket.get(key)).unwrap().to_vec()
    }

    pub(crate) fn delete(&self, key: &str) {
        self.run(self.bucket.delete(key)).unwrap();
    }

    /// Lists the blocks anew, at a time when everybody looks again.
    pub(crate) fn sync(&self) {
        self.clock.advance(15_000);
        self.gateway.sync();
    }

    /// The index of the tenant, by iterating over the bucket.
    pub(crate) fn index(&self) -> Result<Arc<BucketIndex>, StorageError> {
        let index = self.run(self.gateway.store.indexes.refreshed(&self.tenant()));
        index.map_err(|error| StorageError::Unavailable(error.to_string()))
    }

    /// Marks a block for deletion, by the copy below `markers/`.
    pub(crate) fn mark(&self, id: u128, at_ms: i64) {
        let key = format!("{}/markers/{}-deletion-mark.json", self.tenant(), Ulid(id));
        self.put(&key, mark_json(id, at_ms));
    }

    /// A querier; `None` where the gateway knows that there is nothing.
    pub(crate) fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Option<Box<dyn Querier>>, StorageError> {
        let index = self.index()?;
        let overlaps = |min: i64, max: i64| range.overlaps(min, max.saturating_sub(1));
        let blocks = index.blocks.iter().filter(|b| overlaps(b.min_time_ms, b.max_time_ms));
        let blocks: Vec<Ulid> = blocks.map(|block| block.id).collect();
        if blocks.is_empty() {
            return Ok(None);
        }
        let (gateway, tenant) = (self.gateway.clone(), self.tenant());
        Ok(Some(Box::new(AllBlocks { gateway, tenant, blocks, range, context: context.clone() })))
    }

    /// The names of the files that are kept of a block.
    pub(crate) fn local_files(&self, id: u128) -> Vec<String> {
        let dir = self.sync_dir.path().join(self.tenant().as_str()).join(Ulid(id).to_string());
        let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry).into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A selection from these blocks, whether or not they are in the bucket index.
    pub(crate) fn select_blocks(
        &self,
        ids: &[u128],
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let (gateway, tenant) = (self.gateway.clone(), self.tenant());
        let blocks = ids.iter().map(|&id| Ulid(id)).collect();
        let range = ALL_TIME;
        let all = AllBlocks { gateway, tenant, blocks, range, context: context.clone() };
        all.select(&[], &SelectHints::default())
    }

    /// All series that match, in their order.
    pub(crate) fn select(
        &self,
        range: TimeRange,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Vec<(Labels, SampleBuffer)>, StorageError> {
        let querier = self.querier(range, &self.context(QueryLimits::default()))?;
        let Some(querier) = querier else { return Ok(Vec::new()) };
        read_all(&mut *querier.select(matchers, hints)?)
    }

    /// Everything there is, as data.
    pub(crate) fn all(&self) -> Result<Data, StorageError> {
        self.select(ALL_TIME, &[], &SelectHints::default()).map(to_data)
    }

    pub(crate) fn context(&self, limits: QueryLimits) -> Arc<QueryContext> {
        Arc::new(QueryContext::new(limits, self.clock.clone()))
    }

    /// How often the bucket was asked for this so far.
    pub(crate) fn operations(&self, operation: &str) -> u64 {
        let name = "thanos_objstore_bucket_operations_total";
        self.metric(name, &[("operation", operation)]) as u64
    }

    /// The sum of the samples of this name that have these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |own: &[(String, String)], (name, value): &(&str, &str)| {
            own.iter().any(|(n, v)| n == name && v == value)
        };
        let samples = self.metrics.gather().unwrap().samples.into_iter();
        let of_name = samples.filter(|sample| sample.name == name);
        let matching = of_name.filter(|s| labels.iter().all(|label| has(&s.labels, label)));
        matching.map(|sample| sample.value).sum()
    }
}

/// Asks one store-gateway for blocks, and fails when one is missing from the answer.
struct AllBlocks {
    gateway: StoreGateway,
    tenant: TenantId,
    blocks: Vec<Ulid>,
    range: TimeRange,
    context: Arc<QueryContext>,
}

impl AllBlocks {
    fn request(&self) -> BlocksRequest<'_> {
        BlocksRequest {
            tenant: &self.tenant,
            blocks: &self.blocks,
            range: self.range,
            context: &self.context,
        }
    }

    fn checked<T>(&self, answer: BlocksAnswer<T>) -> Result<T, StorageError> {
        let missing = self.blocks.iter().filter(|id| !answer.queried.contains(id));
        let missing: Vec<String> = missing.map(|id| format!("block {id}")).collect();
        match missing.is_empty() {
            true => Ok(answer.value),
            false => Err(StorageError::Unavailable(missing.join(", "))),
        }
    }
}

impl Querier for AllBlocks {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        self.checked(self.gateway.select(self.request(), matchers, hints)?)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let answer = self.gateway.label_values(self.request(), name, matchers, limit)?;
        texts(self.checked(answer)?)
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        texts(self.checked(self.gateway.label_names(self.request(), matchers, limit)?)?)
    }
}

fn texts(mut set: Box<dyn TextSet>) -> Result<Vec<String>, StorageError> {
    let mut texts = Vec::new();
    while let Some(text) = set.next_text()? {
        texts.push(text.to_owned());
    }
    Ok(texts)
}

pub(crate) fn mark_json(id: u128, at_ms: i64) -> String {
    let (id, at) = (Ulid(id), at_ms / 1000);
    format!(r#"{{"id":"{id}","version":1,"details":"compacted","deletion_time":{at}}}"#)
}

pub(crate) fn read_all(
    set: &mut dyn SeriesSet,
) -> Result<Vec<(Labels, SampleBuffer)>, StorageError> {
    let mut all = Vec::new();
    while let Some(mut series) = set.next_series()? {
        let mut samples = SampleBuffer::default();
        series.samples.read_all(&mut samples)?;
        all.push((series.labels, samples));
    }
    Ok(all)
}

pub(crate) fn to_data(series: Vec<(Labels, SampleBuffer)>) -> Data {
    let floats = |s: SampleBuffer| s.float_times.into_iter().zip(s.float_values).collect();
    series.into_iter().map(|(labels, samples)| (labels, floats(samples))).collect()
}
