//! The ingester itself: what it is made of and what it shares between its aspects. Pushes are in
//! `push.rs`, queries in `query.rs`, start, loops and end in `lifecycle.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bucket::Bucket;
use config::{IngesterConfig, Overrides, TsdbConfig};
use hashbrown::HashMap;
use model::batch::SeriesHasher;
use model::{Clock, Executor, Random, TenantId};
use parking_lot::{Mutex, RwLock};
use rt::{CancellationToken, ComputeError, ComputePool, Metrics, TaskGroup};
use tsdb::db::DbEnv;
use tsdb::error::TsdbError;
use tsdb::fs::{FileLock, SharedFs};

use crate::error_samples::ErrorSampler;
use crate::inflight::Inflight;
use crate::lifecycle::ShutdownRequests;
use crate::metadata::MetadataStore;
use crate::metrics::{IngesterMetrics, Sources, WalTotals, register_collector, register_instance};
use crate::open::{self, Opener};
use crate::opening::Opening;
use crate::plan;
use crate::rate::EwmaRate;
use crate::ring::Membership;
use crate::tenants::Tenants;

/// What an ingester is made of.
pub struct Dependencies {
    /// Options.
    pub config: IngesterConfig,
    /// Options of the TSDBs.
    pub tsdb_config: TsdbConfig,
    /// Limits of the tenants.
    pub overrides: Arc<Overrides>,
    /// Where blocks go.
    pub bucket: Bucket,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The seed of the series hashes, block ids, jitter.
    pub random: Arc<dyn Random>,
    /// Parallel work of replay and compaction.
    pub executor: Arc<dyn Executor>,
    /// Background work that blocks: replay, cutting heads, small files. Apart from the pools of
    /// pushes and queries; a few threads and a queue of a few hundred.
    pub pool: ComputePool,
    /// The local disk; blocks are read for upload by their real paths.
    pub fs: SharedFs,
    /// Where metrics are registered.
    pub metrics: Metrics,
}

/// Why the ingester could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum IngesterError {
    /// The directory of the TSDBs cannot be used.
    #[error("{operation} the TSDB directory {}: {source}", dir.display())]
    Directory {
        /// What was attempted.
        operation: &'static str,
        /// The directory.
        dir: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another process works in the directory of the TSDBs.
    #[error("the TSDB directory {} is used by another process", .0.display())]
    Locked(PathBuf),
    /// The TSDB of a tenant failed.
    #[error("{operation} of tenant {tenant}: {source}")]
    Tsdb {
        /// What was attempted.
        operation: &'static str,
        /// Whose TSDB.
        tenant: TenantId,
        /// Why it failed.
        source: TsdbError,
    },
    /// The pool of the background work did not take a job or lost it.
    #[error("background work: {0}")]
    Pool(#[from] ComputeError),
    /// Some tenants' heads could not be cut or their blocks not uploaded; the log says which.
    #[error("{failed_tenants} tenants could not be flushed")]
    Flush {
        /// How many.
        failed_tenants: usize,
    },
    /// The ingester does not run.
    #[error("ingester is unavailable (current state: {0})")]
    Unavailable(&'static str),
}

/// Where the ingester stands. It moves downwards only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Starting = 0,
    Running = 1,
    Stopping = 2,
    Terminated = 3,
}

impl Phase {
    /// As Mimir names the states of a service.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Terminated => "Terminated",
        }
    }
}

/// Recent samples of all tenants.
pub struct Ingester {
    pub(crate) config: IngesterConfig,
    pub(crate) tsdb_config: TsdbConfig,
    pub(crate) overrides: Arc<Overrides>,
    pub(crate) bucket: Bucket,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pool: ComputePool,
    pub(crate) opener: Opener,
    pub(crate) opening: Arc<Opening>,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) metadata: RwLock<HashMap<TenantId, Arc<MetadataStore>>>,
    pub(crate) inflight: Arc<Inflight>,
    pub(crate) ingestion: Arc<EwmaRate>,
    pub(crate) errors: ErrorSampler,
    pub(crate) metrics: Arc<IngesterMetrics>,
    pub(crate) retired: Arc<Mutex<WalTotals>>,
    /// After how long without a push a head is cut whole.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) lock: Mutex<Option<Box<dyn FileLock>>>,
    pub(crate) shutdown: ShutdownRequests,
    pub(crate) membership: Membership,
    /// Flushes that no answer waits for.
    pub(crate) tasks: TaskGroup,
    phase: AtomicU8,
    hasher: SeriesHasher,
}

impl Ingester {
    /// An ingester that has opened nothing yet; [`crate::IngesterService`] starts it.
    pub fn new(deps: Dependencies) -> Arc<Self> {
        let hasher = SeriesHasher::new(deps.random.next_u64());
        let metrics = Arc::new(IngesterMetrics::new(&deps.metrics));
        let idle_timeout = plan::jittered_idle_timeout(
            deps.tsdb_config.head_compaction_idle_timeout,
            &*deps.random,
        );
        let opener = Opener {
            dir: open::tsdb_dir(&deps.tsdb_config),
            options: open::db_options(&deps.tsdb_config, &deps.config),
            env: DbEnv {
                clock: Arc::clone(&deps.clock),
                random: deps.random,
                executor: deps.executor,
                fs: deps.fs,
                hasher,
            },
            metrics: Arc::clone(&metrics),
            active_timeout: deps.config.active_series_metrics_idle_timeout.std(),
            overrides: Arc::clone(&deps.overrides),
        };
        let ingester = Self {
            shutdown: ShutdownRequests::default(),
            membership: Membership::default(),
            tasks: TaskGroup::new(&CancellationToken::new()),
            errors: ErrorSampler::new(deps.config.error_sample_rate),
            config: deps.config,
            tsdb_config: deps.tsdb_config,
            overrides: deps.overrides,
            bucket: deps.bucket,
            clock: deps.clock,
            pool: deps.pool,
            opener,
            opening: Arc::default(),
            tenants: Arc::default(),
            metadata: RwLock::default(),
            inflight: Arc::default(),
            ingestion: Arc::default(),
            metrics,
            retired: Arc::default(),
            idle_timeout,
            lock: Mutex::default(),
            phase: AtomicU8::new(Phase::Starting as u8),
            hasher,
        };
        ingester.register(&deps.metrics);
        Arc::new(ingester)
    }

    /// The hasher of all TSDBs: batches whose hashes were made by it need not be hashed again.
    pub fn hasher(&self) -> SeriesHasher {
        self.hasher
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            2 => Phase::Stopping,
            _ => Phase::Terminated,
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// Runs what blocks on the background pool.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, ComputeError> {
        let ingester = Arc::clone(self);
        self.pool.run(move || job(&ingester)).await
    }

    pub(crate) fn is_shipping(&self) -> bool {
        self.tsdb_config.ship_interval.is_positive()
    }

    fn register(&self, metrics: &Metrics) {
        self.opening.register(metrics);
        let (overrides, own) = (Arc::clone(&self.overrides), self.config.instance_limits.clone());
        let limits = move || overrides.ingester_limits().unwrap_or_else(|| own.clone());
        register_instance(metrics, &self.inflight, limits);
        register_collector(
            metrics,
            Sources {
                tenants: Arc::downgrade(&self.tenants),
                overrides: Arc::clone(&self.overrides),
                ingestion: Arc::clone(&self.ingestion),
                retired: Arc::clone(&self.retired),
            },
        );
    }
}
