//! A tenant's bucket over memory, for the tests of this crate.

use std::sync::Arc;

use model::TenantId;
use model::env::ManualClock;
use object_store::memory::InMemory;
use rt::Metrics;

use crate::{Bucket, BucketMetrics, TenantBucket};

/// The bucket of the tenant `t`.
pub(crate) fn tenant_bucket() -> TenantBucket {
    let metrics = BucketMetrics::new(&Metrics::new(), "test");
    let clock = Arc::new(ManualClock::new(5_000));
    let bucket = Bucket::over(Arc::new(InMemory::new()), "", clock, metrics);
    TenantBucket::new(bucket, TenantId::new("t").unwrap())
}
