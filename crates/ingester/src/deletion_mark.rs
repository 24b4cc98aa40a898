//! The mark in the bucket of a tenant that is being deleted, `markers/tenant-deletion-mark.json`:
//! nothing of such a tenant is uploaded any more, and its TSDB is closed and deleted.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bucket::TenantBucket;
use model::TimestampMs;

/// Where the mark is, below the tenant.
const KEY: &str = "markers/tenant-deletion-mark.json";
/// How often it is looked for; also when the bucket could not be asked.
const CHECK_INTERVAL_MS: i64 = 60 * 60 * 1000;

/// What is known of a tenant's mark.
#[derive(Debug)]
pub(crate) struct DeletionMark {
    is_found: AtomicBool,
    last_check_ms: AtomicI64,
}

impl Default for DeletionMark {
    fn default() -> Self {
        Self { is_found: AtomicBool::new(false), last_check_ms: AtomicI64::new(TimestampMs::MIN) }
    }
}

impl DeletionMark {
    /// Whether the mark was found.
    pub(crate) fn is_found(&self) -> bool {
        self.is_found.load(Ordering::Relaxed)
    }

    /// Looks for the mark where that is due. Whether it was found, now or before.
    pub(crate) async fn check(&self, bucket: &TenantBucket, now_ms: TimestampMs) -> bool {
        let last_ms = self.last_check_ms.load(Ordering::Relaxed);
        if self.is_found() || now_ms.saturating_sub(last_ms) <= CHECK_INTERVAL_MS {
            return self.is_found();
        }
        self.last_check_ms.store(now_ms, Ordering::Relaxed);
        let user = bucket.tenant();
        match bucket.bucket().info(&format!("{user}/{KEY}")).await {
            Ok(_) => {
                tracing::info!(%user, "found a deletion mark: no more blocks are uploaded");
                self.is_found.store(true, Ordering::Relaxed);
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => tracing::warn!(%user, %error, "could not look for a deletion mark"),
        }
        self.is_found()
    }
}
