//! A tenant's bucket over memory, for the tests of this crate.

use std::sync::Arc;

use model::TenantId;
use model::env::ManualClock;
use object_store::memory::InMemory;
use rt::Metrics;

use crate::{Bucket, BucketMetrics, IndexedBlock, TenantBucket};

/// The bucket of the tenant `t`.
pub(crate) fn tenant_bucket() -> TenantBucket {
    let metrics = BucketMetrics::new(&Metrics::new(), "test");
    let clock = Arc::new(ManualClock::new(5_000));
    let bucket = Bucket::over(Arc::new(InMemory::new()), "", clock, metrics);
    TenantBucket::new(bucket, TenantId::new("t").unwrap())
}

/// A block as a bucket index lists it, over `[10, 20)`.
pub(crate) fn indexed_block(id: u128) -> IndexedBlock {
    IndexedBlock {
        id: ulid::Ulid(id),
        min_time_ms: 10,
        max_time_ms: 20,
        segments_format: crate::SegmentsFormat::OneBasedSixDigits,
        segments_num: 1,
        uploaded_at: 1_700_000_000,
        compactor_shard_id: String::new(),
        source: "compactor".to_owned(),
        compaction_level: 3,
        out_of_order: false,
        labels: std::collections::BTreeMap::new(),
    }
}
