//! Every option of Urd, one file a component, each option declared exactly once. Components take
//! their own sub-struct by value. Holds no behaviour: checks stand in `validate.rs`.

mod blocks_storage;
mod caches;
mod compactor;
mod distributor;
mod grpc_client;
mod ingester;
mod limits;
mod object_storage;
mod querier;
mod ring;
mod server;
mod tls;

pub use blocks_storage::{
    BackendName, BlocksStorageConfig, BucketConfig, BucketStoreConfig, CommonBucketConfig,
    CommonConfig, CommonFilesystemConfig, FilesystemConfig, TsdbConfig, WalFsync,
};
pub use caches::{
    CacheBackend, ChunksCacheConfig, InMemoryCacheConfig, IndexCacheBackend, IndexCacheConfig,
    MemcachedConfig, MetadataCacheConfig,
};
pub use compactor::{CompactionJobsOrder, CompactorConfig};
pub use distributor::{
    DistributorConfig, DistributorInstanceLimits, HaTrackerConfig, HaTrackerKvConfig,
    IngesterPoolConfig, RetryAfterConfig,
};
pub use grpc_client::{
    GrpcBackoffConfig, GrpcClientConfig, IngesterClientConfig, StoreGatewayClientConfig,
};
pub use ingester::{IngesterConfig, IngesterInstanceLimits};
pub use limits::{LabelValueStrategy, Limits, NameScheme, ReadConsistency};
pub use object_storage::{
    AzureConfig, BucketLookup, GcsConfig, S3Config, S3TraceConfig, SignatureVersion, SseConfig,
    SseType, StorageHttpConfig,
};
pub use querier::{ActivityTrackerConfig, FrontendConfig, QuerierConfig, QuerySchedulerConfig};
pub use ring::{
    CompactorRingConfig, DistributorRingConfig, DynamicReplicationConfig, EtcdConfig,
    IngesterRingConfig, KvBackend, KvStoreConfig, MemberlistConfig, MultiKvConfig,
    StoreGatewayConfig, StoreGatewayRingConfig,
};
pub use server::{ApiConfig, LogFormat, LogLevel, ServerConfig};
pub use tls::{ServerTlsConfig, TlsFilesConfig};

use crate::table::config;
use crate::value::{CommaList, GoDuration};

config! {
    /// The whole configuration of a process.
    pub struct Config {
        /// Components to run in this process, separated by commas; 'all' is every one of them.
        target: CommaList = "all", "target", Basic;
        /// Require the tenant header in HTTP requests; off, every request belongs to -auth.no-auth-tenant.
        multitenancy_enabled: bool = "true", "auth.multitenancy-enabled", Basic;
        /// The tenant that all data belongs to when multitenancy is off.
        no_auth_tenant: String = "anonymous", "auth.no-auth-tenant", Advanced;
        /// Time between the termination signal and the shutdown, during which /ready already fails.
        shutdown_delay: GoDuration = "0", "shutdown-delay", Advanced;
    } sections {
        /// Prefixes and headers of the HTTP API.
        api: ApiConfig => "api", "";
        /// The HTTP and gRPC server and the log.
        server: ServerConfig => "server", "";
        /// The write entry.
        distributor: DistributorConfig => "distributor", "distributor.";
        /// Recent data.
        ingester: IngesterConfig => "ingester", "ingester.";
        /// Calling ingesters.
        ingester_client: IngesterClientConfig => "ingester_client", "ingester.client";
        /// The query engine.
        querier: QuerierConfig => "querier", "querier.";
        /// The query entry.
        frontend: FrontendConfig => "frontend", "query-frontend.";
        /// The waiting line of queries.
        query_scheduler: QuerySchedulerConfig => "query_scheduler", "query-scheduler.";
        /// Noting what is under way.
        activity_tracker: ActivityTrackerConfig => "activity_tracker", "activity-tracker.";
        /// Default limits of every tenant.
        limits: Limits => "limits", "";
        /// Blocks in the bucket and on local disk.
        blocks_storage: BlocksStorageConfig => "blocks_storage", "blocks-storage.";
        /// Queries over the blocks of the bucket.
        store_gateway: StoreGatewayConfig => "store_gateway", "store-gateway.";
        /// Gossip between the processes.
        memberlist: MemberlistConfig => "memberlist", "memberlist.";
        /// Merging and deleting blocks of the bucket.
        compactor: CompactorConfig => "compactor", "compactor.";
        /// Overrides of limits that are read again while running.
        runtime_config: RuntimeConfigOptions => "runtime_config", "runtime-config.";
        /// Values that several sections start from.
        common: CommonConfig => "common", "common.";
        /// What Mimir does not have.
        urd: UrdConfig => "urd", "urd.";
    }
}

config! {
    /// Where overrides of limits are read from.
    pub struct RuntimeConfigOptions {
        /// Files with overrides, separated by commas; they are merged, later ones win.
        file: CommaList = "", "file", Basic;
        /// How often the files are read again.
        period: GoDuration = "10s", "reload-period", Advanced;
    }
}

config! {
    /// Urd's own options that belong to no component of Mimir.
    pub struct UrdConfig {
        /// How often the process stores its own metrics for the tenant -auth.no-auth-tenant; 0 switches it off.
        self_scrape_interval: GoDuration = "0", "self-scrape-interval", Basic, Urd;
        /// Take writes with one copy while this process is the only ingester that it has ever seen, and its configuration names no way for others to join; setting -ingester.ring.replication-factor switches it off.
        single_copy_while_alone: bool = "true", "single-copy-while-alone", Advanced, Urd;
    }
}
