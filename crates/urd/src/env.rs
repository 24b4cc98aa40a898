//! What modules are built from, and what they have built: the hands that they shake.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::rings::Rings;
use crate::storage;
use anyhow::Context;
use config::{Config, Overrides};
use model::batch::SeriesHasher;
use model::{Clock, Executor, Random};
use rt::{BlockingHandle, ComputeOptions, ComputePool, Metrics, Service, ServiceManager};
use web::{IndexLink, Routes};
use wire::client::{BlockStore, IngesterPush, IngesterQuery, StoreGatewayClient};

/// So many pushes may wait for a thread at least; more where the instance limits allow more under
/// way, which is what bounds them.
const WRITE_QUEUE: usize = 1024;
/// The same where the instance limits are switched off.
const UNLIMITED_WRITE_QUEUE: usize = 30_000;
/// How many reads of other processes may wait for a thread.
const SERVED_QUERY_QUEUE: usize = 4096;
/// How many pieces of background work may wait for a thread.
const BACKGROUND_QUEUE: usize = 512;

/// The node's world, handed to every module.
pub struct Env {
    /// The configuration.
    pub config: Arc<Config>,
    /// The limits of the tenants.
    pub overrides: Arc<Overrides>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Parallel pieces of CPU work.
    pub executor: Arc<dyn Executor>,
    /// The registry.
    pub metrics: Metrics,
    /// Threads for CPU work and for work that blocks.
    pub pools: Pools,
    /// Async work waited for on those threads.
    pub blocking: BlockingHandle,
    /// Where this node listens for HTTP.
    pub http_address: SocketAddr,
    /// Where this node listens for gRPC.
    pub grpc_address: SocketAddr,
}

/// Threads, apart from each other so that no kind of work can take those of another. What other
/// processes ask for has threads of its own, whose jobs never ask other processes: those who wait
/// for each other would wait for ever.
#[derive(Clone)]
pub struct Pools {
    /// Pushes of clients. A node that is alone waits for the write-ahead log here.
    pub writes: ComputePool,
    /// Queries of clients. Those that wait for ingesters and store-gateways keep their thread.
    pub queries: ComputePool,
    /// Pushes that distributors send to the ingester: they wait for the write-ahead log.
    pub served_writes: ComputePool,
    /// What queriers ask the ingester and the store-gateway for: that waits for the bucket.
    pub served_queries: ComputePool,
    /// Replay, compaction, shipping, syncs, reloads, profiles.
    pub background: ComputePool,
}

impl Pools {
    /// Starts the threads for a machine with `cores` CPUs. More of them than CPUs, because they
    /// also wait for disks; of queries as many as may be under way, because most of them wait.
    pub(crate) fn new(cores: usize, config: &Config) -> std::io::Result<Self> {
        let write_threads = (2 * cores).max(4);
        let query_threads = config.querier.max_concurrent.max(2);
        let queries_at_work = (2 * cores).clamp(2, query_threads);
        let query_queue = config.query_scheduler.max_outstanding_requests_per_tenant.max(1);
        let pool = |name, threads, queue_capacity| {
            ComputePool::new(ComputeOptions { name, threads, queue_capacity })
        };
        let queries = |name, queue_capacity| {
            let options = ComputeOptions { name, threads: query_threads, queue_capacity };
            ComputePool::of_waiting(options, queries_at_work)
        };
        let pushes = config.distributor.instance_limits.max_inflight_push_requests;
        let served_pushes = config.ingester.instance_limits.max_inflight_push_requests;
        Ok(Self {
            writes: pool("write", write_threads, write_queue(pushes))?,
            queries: queries("query", query_queue)?,
            served_writes: pool("served_write", write_threads, write_queue(served_pushes))?,
            served_queries: queries("served_query", SERVED_QUERY_QUEUE)?,
            background: pool("background", cores + 2, BACKGROUND_QUEUE)?,
        })
    }

    pub(crate) fn register(&self, metrics: &Metrics) {
        self.all().iter().for_each(|pool| pool.register(metrics));
    }

    /// Finishes what is queued. Blocks.
    pub(crate) fn stop(&self) {
        self.all().iter().for_each(|pool| pool.stop());
    }

    fn all(&self) -> [&ComputePool; 5] {
        let Self { writes, queries, served_writes, served_queries, background } = self;
        [writes, queries, served_writes, served_queries, background]
    }
}

/// How many pushes may wait for a thread where so many may be under way (0 = any number).
fn write_queue(max_inflight: u64) -> usize {
    match usize::try_from(max_inflight).unwrap_or(usize::MAX) {
        0 => UNLIMITED_WRITE_QUEUE,
        limit => limit.max(WRITE_QUEUE),
    }
}

impl Env {
    /// Whether this process runs a component.
    pub fn runs(&self, component: &str) -> bool {
        self.config.runs(component)
    }

    /// Bounds of the messages that gRPC services take and send.
    pub fn grpc_limits(&self) -> rpc::ServerLimits {
        rpc::ServerLimits {
            max_recv_message_bytes: self.config.server.grpc_server_max_recv_msg_size,
            max_send_message_bytes: self.config.server.grpc_server_max_send_msg_size,
        }
    }

    /// Opens the bucket for a component, whose name is a label of the bucket's metrics. It reads
    /// what stands in the bucket now.
    pub fn bucket(&self, component: &'static str) -> anyhow::Result<bucket::Bucket> {
        let options = storage::bucket_options(&self.config.blocks_storage.bucket)?;
        let metrics = bucket::BucketMetrics::new(&self.metrics, component);
        bucket::Bucket::open(&options, Arc::clone(&self.clock), metrics)
            .with_context(|| format!("open the bucket of the {component}"))
    }

    /// The same behind the caches of `-blocks-storage.bucket-store`, for components that read
    /// blocks.
    pub fn cached_bucket(&self, component: &'static str) -> anyhow::Result<bucket::Bucket> {
        let bucket = self.bucket(component)?;
        let (clock, metrics) = (&self.clock, &self.metrics);
        let maker = storage::CacheMaker { clock, metrics, component };
        let caches = maker.bucket_caches(&self.config.blocks_storage.bucket_store)?;
        Ok(match caches {
            Some(caches) => bucket.with_caches(caches),
            None => bucket,
        })
    }

    /// Where a component keeps parts of blocks' indexes; `None` for its own memory.
    pub fn index_cache(
        &self,
        component: &'static str,
    ) -> anyhow::Result<Option<bucket::cache::SharedCache>> {
        let (clock, metrics) = (&self.clock, &self.metrics);
        let maker = storage::CacheMaker { clock, metrics, component };
        maker.index_cache(&self.config.blocks_storage.bucket_store.index_cache)
    }
}

/// What the modules have built so far. A module takes what it needs from here and adds what it
/// has made.
pub struct Parts {
    /// All services, in the order of their start.
    pub(crate) services: ServiceManager,
    /// Groups of routes.
    pub(crate) routes: Vec<Routes>,
    /// gRPC services.
    pub(crate) grpc: tonic::service::Routes,
    /// Lines of the index page.
    pub(crate) links: Vec<IndexLink>,
    /// Hashes series as the ingester does; from the ingester.
    pub hasher: SeriesHasher,
    /// The rings that this node is in.
    pub rings: Option<Rings>,
    /// Takes samples; from the ingester.
    pub ingester_push: Option<Arc<dyn IngesterPush>>,
    /// Answers over recent samples; from the ingester.
    pub ingester_query: Option<Arc<dyn IngesterQuery>>,
    /// Reads the bucket indexes for everybody who needs them.
    pub bucket_indexes: Option<Arc<bucket::IndexLoader>>,
    /// The store-gateway of this process.
    pub own_gateway: Option<Arc<dyn StoreGatewayClient>>,
    /// Answers over the bucket's blocks; from the querier.
    pub block_store: Option<Arc<dyn BlockStore>>,
}

impl Parts {
    pub(crate) fn new(services: ServiceManager) -> Self {
        Self {
            services,
            routes: Vec::new(),
            grpc: tonic::service::Routes::default(),
            links: Vec::new(),
            hasher: SeriesHasher::default(),
            rings: None,
            ingester_push: None,
            ingester_query: None,
            bucket_indexes: None,
            own_gateway: None,
            block_store: None,
        }
    }

    /// Adds a service that starts after those named in `after`, and stops before them.
    pub fn service(
        &mut self,
        service: Arc<dyn Service>,
        after: &[&'static str],
    ) -> anyhow::Result<()> {
        Ok(self.services.add(service, after)?)
    }

    /// Adds routes.
    pub fn routes(&mut self, routes: Routes) {
        self.routes.push(routes);
    }

    /// Adds a line to the index page.
    pub fn link(&mut self, section: &'static str, path: &str, text: &'static str) {
        self.links.push(IndexLink { section, path: path.to_owned(), text });
    }

    /// The rings that this node is in.
    pub fn need_rings(&self) -> anyhow::Result<Rings> {
        self.rings.clone().context("no module made the rings")
    }

    /// Who takes samples.
    pub fn need_ingester_push(&self) -> anyhow::Result<Arc<dyn IngesterPush>> {
        self.ingester_push.clone().context("no module takes samples")
    }

    /// Who answers over recent samples.
    pub fn need_ingester_query(&self) -> anyhow::Result<Arc<dyn IngesterQuery>> {
        self.ingester_query.clone().context("no module answers over recent samples")
    }

    /// What reads the bucket indexes.
    pub fn need_bucket_indexes(&mut self, env: &Env) -> anyhow::Result<Arc<bucket::IndexLoader>> {
        if let Some(indexes) = &self.bucket_indexes {
            return Ok(Arc::clone(indexes));
        }
        let config = &env.config.blocks_storage.bucket_store;
        let options = bucket::IndexLoaderOptions {
            sync_interval_ms: config.sync_interval.millis(),
            error_interval_ms: config.bucket_index.update_on_error_interval.millis(),
            idle_timeout_ms: config.bucket_index.idle_timeout.millis(),
            meta_concurrency: config.meta_sync_concurrency,
        };
        let bucket = env.cached_bucket("store-gateway")?;
        let clock = Arc::clone(&env.clock);
        let indexes = Arc::new(bucket::IndexLoader::new(bucket, options, clock, &env.metrics));
        Ok(Arc::clone(self.bucket_indexes.insert(indexes)))
    }

    /// Who answers over the bucket's blocks.
    pub fn need_block_store(&self) -> anyhow::Result<Arc<dyn BlockStore>> {
        self.block_store.clone().context("no module answers over the bucket's blocks")
    }
}
