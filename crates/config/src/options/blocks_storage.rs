//! Options of the bucket, of the TSDBs on local disk and of reading blocks back.

use super::caches::{ChunksCacheConfig, IndexCacheConfig, MetadataCacheConfig};
use super::object_storage::{AzureConfig, GcsConfig, S3Config};
use crate::table::config;
use crate::value::{DurationList, GoDuration};

config! {
    /// Blocks in the bucket and on local disk.
    pub struct BlocksStorageConfig {
    } sections {
        /// The bucket.
        bucket: BucketConfig => "", "blocks-storage.";
        /// Reading blocks from the bucket.
        bucket_store: BucketStoreConfig => "bucket_store", "blocks-storage.bucket-store.";
        /// The ingesters' TSDBs.
        tsdb: TsdbConfig => "tsdb", "blocks-storage.tsdb.";
    }
}

config! {
    /// Where the bucket is.
    pub struct BucketConfig {
        /// Kind of object storage.
        backend: BackendName = "filesystem", "backend", Basic;
        /// Prefix of every object; digits and English letters only.
        storage_prefix: String = "", "storage-prefix", Basic;
    } sections {
        /// A directory as bucket.
        filesystem: FilesystemConfig => "filesystem", "blocks-storage.filesystem.";
        /// Amazon S3 and what speaks its protocol.
        s3: S3Config => "s3", ".s3.";
        /// Google Cloud Storage.
        gcs: GcsConfig => "gcs", ".gcs.";
        /// Azure Blob Storage.
        azure: AzureConfig => "azure", ".azure.";
    }
}

config! {
    /// A directory as bucket.
    pub struct FilesystemConfig {
        /// The directory.
        dir: String = "blocks", "dir", Basic;
    }
}

config! {
    /// Kinds of object storage.
    pub enum BackendName {
        /// A directory.
        Filesystem = "filesystem",
        /// Amazon S3 and what speaks its protocol.
        S3 = "s3",
        /// Google Cloud Storage.
        Gcs = "gcs",
        /// Azure Blob Storage.
        Azure = "azure",
        /// OpenStack Swift.
        Swift = "swift",
    }
}

config! {
    /// Values that several sections start from.
    pub struct CommonConfig {
    } sections {
        /// The bucket of every component that names none of its own.
        storage: CommonBucketConfig => "storage", "common.storage.";
    }
}

config! {
    /// The bucket of every component that names none of its own.
    pub struct CommonBucketConfig {
        /// Kind of object storage.
        backend: BackendName = "filesystem", "backend", Basic;
    } sections {
        /// A directory as bucket.
        filesystem: CommonFilesystemConfig => "filesystem", "common.storage.filesystem.";
        /// Amazon S3 and what speaks its protocol.
        s3: S3Config => "s3", ".s3.";
        /// Google Cloud Storage.
        gcs: GcsConfig => "gcs", ".gcs.";
        /// Azure Blob Storage.
        azure: AzureConfig => "azure", ".azure.";
    }
}

config! {
    /// A directory as bucket.
    pub struct CommonFilesystemConfig {
        /// The directory.
        dir: String = "", "dir", Basic;
    }
}

config! {
    /// Reading blocks from the bucket.
    pub struct BucketStoreConfig {
        /// Directory for what is kept of the bucket's blocks on local disk.
        sync_dir: String = "./tsdb-sync/", "sync-dir", Basic;
        /// How often the list of blocks is brought up to date.
        sync_interval: GoDuration = "15m", "sync-interval", Advanced;
        /// Requests that read blocks at once, of all tenants together.
        max_concurrent: usize = "200", "max-concurrent", Advanced;
        /// How long a request waits for its turn among them; 0 waits as long as the query may run.
        max_concurrent_queue_timeout: GoDuration = "5s", "max-concurrent-queue-timeout", Advanced;
        /// Tenants whose lists of blocks are brought up to date at once.
        tenant_sync_concurrency: usize = "1", "tenant-sync-concurrency", Advanced;
        /// Blocks of one tenant whose index-headers are fetched at once.
        block_sync_concurrency: usize = "4", "block-sync-concurrency", Advanced;
        /// Descriptions of blocks of one tenant that are fetched at once.
        meta_sync_concurrency: usize = "20", "meta-sync-concurrency", Advanced;
        /// Blocks that were marked for deletion this long ago are given up.
        ignore_deletion_mark_delay: GoDuration = "1h", "ignore-deletion-marks-delay", Advanced;
        /// Blocks that were marked for deletion this long ago are not queried any more; less than -blocks-storage.bucket-store.ignore-deletion-marks-delay.
        ignore_deletion_mark_while_querying_delay: GoDuration = "50m", "ignore-deletion-marks-while-querying-delay", Experimental;
        /// Blocks whose samples are all younger than this are left to the ingesters; 0 ignores none.
        ignore_blocks_within: GoDuration = "10h", "ignore-blocks-within", Advanced;
        /// Parts of an object with at most this many bytes between them are fetched in one request.
        partitioner_max_gap_bytes: u64 = "524288", "partitioner-max-gap-bytes", Advanced;
        /// The most memory for hashes of series, by which queries over a part of the series skip the others, in bytes.
        series_hash_cache_max_size_bytes: u64 = "1073741824", "series-hash-cache-max-size-bytes", Advanced;
        /// Of the postings offsets of an index-header one in so many stands in memory.
        postings_offsets_in_mem_sampling: usize = "32", "posting-offsets-in-mem-sampling", Advanced;
        /// Series that are read from a block at a time; at least 1.
        streaming_series_batch_size: usize = "5000", "batch-series-size", Advanced;
        /// How much rather series are fetched and looked at than lists of series, where a matcher can be obeyed by either; more than 0.
        series_fetch_preference: f64 = "0.75", "series-fetch-preference", Advanced;
        /// A part of an object that has not come after this time is asked for a second time, of one in ten at most; 0 asks once.
        hedged_requests_after: GoDuration = "0s", "hedged-requests-after", Advanced, Urd;
        /// Memory that one request may take for what it reads from blocks, in bytes; 0 is no limit.
        max_request_memory_bytes: u64 = "268435456", "max-request-memory-bytes", Advanced, Urd;
        /// Memory that all requests together may take for what they read from blocks, in bytes; 0 is no limit.
        max_inflight_memory_bytes: u64 = "536870912", "max-inflight-memory-bytes", Advanced, Urd;
    } sections {
        /// The lists of blocks that compactors write.
        bucket_index: BucketIndexConfig => "bucket_index", "blocks-storage.bucket-store.bucket-index.";
        /// The parts of indexes that are kept on local disk.
        index_header: IndexHeaderConfig => "index_header", "blocks-storage.bucket-store.index-header.";
        /// The cache of parts of blocks' indexes.
        index_cache: IndexCacheConfig => "index_cache", ".index-cache.";
        /// The cache of chunks.
        chunks_cache: ChunksCacheConfig => "chunks_cache", ".chunks-cache.";
        /// The cache of lists and small objects.
        metadata_cache: MetadataCacheConfig => "metadata_cache", ".metadata-cache.";
    }
}

config! {
    /// The lists of blocks that compactors write.
    pub struct BucketIndexConfig {
        /// How long it is remembered that a bucket index could not be read.
        update_on_error_interval: GoDuration = "1m", "update-on-error-interval", Advanced;
        /// A bucket index that no query needed for this long is forgotten.
        idle_timeout: GoDuration = "1h", "idle-timeout", Advanced;
        /// Queries fail when the bucket index was written longer ago than this.
        max_stale_period: GoDuration = "1h", "max-stale-period", Advanced;
    }
}

config! {
    /// The parts of indexes that are kept on local disk.
    pub struct IndexHeaderConfig {
        /// Load an index-header when a query needs it, not before.
        lazy_loading_enabled: bool = "true", "lazy-loading-enabled", Advanced;
        /// An index-header that no query needed for this long is unloaded; 0 keeps it loaded.
        lazy_loading_idle_timeout: GoDuration = "1h", "lazy-loading-idle-timeout", Advanced;
        /// Index-headers that are loaded at once, of all tenants together; 0 is no limit.
        lazy_loading_concurrency: usize = "4", "lazy-loading-concurrency", Advanced;
        /// How long loading an index-header waits for its turn; 0 waits as long as the query may run.
        lazy_loading_concurrency_queue_timeout: GoDuration = "5s", "lazy-loading-concurrency-queue-timeout", Advanced;
        /// Check the checksums of an index-header whenever it is loaded.
        verify_on_load: bool = "false", "verify-on-load", Advanced;
    }
}

config! {
    /// The ingesters' TSDBs.
    pub struct TsdbConfig {
        /// Directory of the TSDBs with their write-ahead logs; it must survive restarts.
        dir: String = "./tsdb/", "dir", Basic;
        /// Time range of the blocks that the head is cut into.
        block_ranges_period: DurationList = "2h", "block-ranges-period", Advanced, Hidden;
        /// How long a shipped block stays on local disk.
        retention_period: GoDuration = "13h", "retention-period", Basic;
        /// How often new blocks are uploaded; 0 uploads none.
        ship_interval: GoDuration = "1m", "ship-interval", Advanced;
        /// Tenants whose blocks are uploaded at once.
        ship_concurrency: usize = "10", "ship-concurrency", Advanced;
        /// How often it is checked whether a head is due to be cut; at most 15m. The first check comes at a random moment within it.
        head_compaction_interval: GoDuration = "1m", "head-compaction-interval", Advanced;
        /// Tenants whose heads are cut at once.
        head_compaction_concurrency: usize = "1", "head-compaction-concurrency", Advanced;
        /// A head without a sample for this long is cut whole; up to 25% is added so that not all are cut at once; 0 switches it off.
        head_compaction_idle_timeout: GoDuration = "1h", "head-compaction-idle-timeout", Advanced;
        /// By which part of their duration the ends of chunks differ from series to series, from 0 to 1, so that not all are written at the same moment. The last chunk of a block range ends with it.
        head_chunks_end_time_variance: f64 = "0", "head-chunks-end-time-variance", Experimental;
        /// Shards of the series of a head; a power of two.
        stripe_size: usize = "16384", "stripe-size", Advanced;
        /// Compress the records of the write-ahead log.
        wal_compression_enabled: bool = "false", "wal-compression-enabled", Advanced;
        /// Largest segment of the write-ahead log, in bytes.
        wal_segment_size_bytes: usize = "134217728", "wal-segment-size-bytes", Advanced;
        /// Threads that replay a write-ahead log; 0 is one for each CPU.
        wal_replay_concurrency: usize = "0", "wal-replay-concurrency", Advanced;
        /// Write what is in memory to the disk at shutdown, so that the next start need not replay the write-ahead logs; also load it at the start.
        memory_snapshot_on_shutdown: bool = "false", "memory-snapshot-on-shutdown", Experimental;
        /// Cut and upload everything at shutdown.
        flush_blocks_on_shutdown: bool = "false", "flush-blocks-on-shutdown", Advanced;
        /// A TSDB without a sample for this long, all shipped, is closed and removed; 0 or less switches it off.
        close_idle_tsdb_timeout: GoDuration = "13h", "close-idle-tsdb-timeout", Advanced;
        /// Close idle TSDBs also when no blocks are uploaded; what is in them is lost.
        close_idle_tsdb_when_shipping_disabled: bool = "false", "close-idle-tsdb-when-shipping-disabled", Advanced;
        /// Series in memory from which heads are cut early: what is older than -ingester.active-series-metrics-idle-timeout goes into blocks, and such samples are refused from then on; 0 switches it off.
        early_head_compaction_min_in_memory_series: u64 = "0", "early-head-compaction-min-in-memory-series", Experimental;
        /// Reduction of the series in memory that cutting heads early must promise, in percent.
        early_head_compaction_min_estimated_series_reduction_percentage: u64 = "15", "early-head-compaction-min-estimated-series-reduction-percentage", Experimental;
        /// Cut the oldest range of a head as soon as nothing can be appended to it any more, without waiting for the head to span 1.5 ranges.
        timely_head_compaction_enabled: bool = "false", "timely-head-compaction-enabled", Experimental;
        /// Blocks of out-of-order samples from before the current day cover a day each.
        bigger_out_of_order_blocks_for_old_samples: bool = "false", "bigger-out-of-order-blocks-for-old-samples", Experimental;
        /// Samples in a chunk of out-of-order samples; from 1 to 255.
        out_of_order_capacity_max: usize = "32", "out-of-order-capacity-max", Experimental;
        /// When the write-ahead log is synced to the disk: never, at an interval, or always before a write is acknowledged.
        wal_fsync: WalFsync = "interval", "wal-fsync", Advanced, Urd;
        /// Time between two syncs of the write-ahead log under -blocks-storage.tsdb.wal-fsync=interval.
        wal_fsync_interval: GoDuration = "1s", "wal-fsync-interval", Advanced, Urd;
        /// Write floats in XOR2 chunks, which only readers of 2026 and later know.
        xor2_encoding: bool = "false", "xor2-encoding", Experimental, Urd;
        /// Write native histograms in chunks with start timestamps, which only readers of 2026 and later know.
        histograms_st_encoding: bool = "false", "histograms-st-encoding", Experimental, Urd;
        /// Store the start timestamps of samples. Needs -blocks-storage.tsdb.xor2-encoding.
        st_storage: bool = "false", "st-storage", Experimental, Urd;
    }
}

config! {
    /// When the write-ahead log is synced to the disk. Whatever it is, an acknowledged sample
    /// survives the death of the process; this is about the death of the machine.
    pub enum WalFsync {
        /// Every `wal_fsync_interval`.
        Interval = "interval",
        /// Only when a segment is full, and at shutdown.
        Never = "never",
        /// Before a write is acknowledged.
        Always = "always",
    }
}
