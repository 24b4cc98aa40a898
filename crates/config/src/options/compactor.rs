//! Options of the compactor.

use super::CompactorRingConfig;
use crate::table::config;
use crate::value::{CommaList, DurationList, GoDuration};

config! {
    /// Merging and deleting blocks of the bucket.
    pub struct CompactorConfig {
        /// Time ranges of compacted blocks, each a multiple of the one before.
        block_ranges: DurationList = "2h0m0s,12h0m0s,24h0m0s", "block-ranges", Advanced;
        /// Files of a job's blocks that are downloaded at once.
        block_sync_concurrency: usize = "8", "block-sync-concurrency", Advanced;
        /// Blocks of a tenant whose meta.json is read at once.
        meta_sync_concurrency: usize = "20", "meta-sync-concurrency", Advanced;
        /// Directory for the blocks of running jobs; nothing in it needs to survive a restart.
        data_dir: String = "./data-compactor/", "data-dir", Basic;
        /// How often compaction begins a round over all tenants.
        compaction_interval: GoDuration = "1h", "compaction-interval", Advanced;
        /// How often a tenant whose compaction fails is tried in one round.
        compaction_retries: u32 = "3", "compaction-retries", Advanced;
        /// Jobs of a tenant that run at once.
        compaction_concurrency: usize = "1", "compaction-concurrency", Advanced;
        /// How long blocks of ingesters wait for their replicas before they are compacted; 0 is not at all.
        first_level_compaction_wait_period: GoDuration = "25m", "first-level-compaction-wait-period", Basic;
        /// Blocks of ingesters that end within the wait period wait as well.
        first_level_compaction_skip_future_max_time: bool = "false", "first-level-compaction-skip-future-max-time", Experimental;
        /// How often retention and deletions are carried out and the bucket index is written.
        cleanup_interval: GoDuration = "15m", "cleanup-interval", Advanced;
        /// Tenants that are cleaned at once.
        cleanup_concurrency: usize = "20", "cleanup-concurrency", Advanced;
        /// Time between the mark of a block and its deletion; readers must have noticed by then.
        deletion_delay: GoDuration = "12h", "deletion-delay", Advanced;
        /// Time between the deletion of a tenant's last block and that of its markers.
        tenant_cleanup_delay: GoDuration = "6h", "tenant-cleanup-delay", Advanced;
        /// A tenant is compacted for this long in one round, up to the end of the running jobs; 0 is no limit.
        max_compaction_time: GoDuration = "1h", "max-compaction-time", Advanced;
        /// Tenants that are compacted and cleaned, separated by commas; empty is all.
        enabled_tenants: CommaList = "", "enabled-tenants", Advanced;
        /// Tenants that are neither compacted nor cleaned, separated by commas.
        disabled_tenants: CommaList = "", "disabled-tenants", Advanced;
        /// Uploaded blocks that are validated at once; 0 is no limit.
        max_block_upload_validation_concurrency: u64 = "1", "max-block-upload-validation-concurrency", Advanced;
        /// Which jobs come first.
        compaction_jobs_order: CompactionJobsOrder = "smallest-range-oldest-blocks-first", "compaction-jobs-order", Advanced;
    } sections {
        /// The compactors' ring.
        sharding_ring: CompactorRingConfig => "sharding_ring", "compactor.ring.";
    }
}

config! {
    /// Orders of compaction jobs.
    pub enum CompactionJobsOrder {
        /// Splits first, then merges of the shortest range; the oldest blocks of each first.
        SmallestRangeOldestBlocksFirst = "smallest-range-oldest-blocks-first",
        /// What ends last first.
        NewestBlocksFirst = "newest-blocks-first",
    }
}
