//! One tenant's TSDB with what the ingester keeps beside it: the gate that pushes pass, the blocks
//! that are shipped, rates and counters. Synchronous; called from compute threads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::{TenantId, TimestampMs, WriteBatch};
use parking_lot::{Mutex, RwLock};
use tsdb::db::{BlockInfo, CompactionMode, Db};
use tsdb::error::TsdbError;
use tsdb::fs::{SharedFs, read_dir_if_exists};
use tsdb::head::{AppendLimits, AppendOutcome};
use ulid::Ulid;
use wire::client::PushError;

use crate::errors;
use crate::metrics::TenantCounters;
use crate::plan::{self, Retention, Shipped, TenantActivity};
use crate::rate::EwmaRate;
use crate::shipper::state;

/// Whether pushes pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// The TSDB is idle and about to be deleted; a later push opens a new one.
    ClosingIdle,
    /// The process takes no more writes.
    ShuttingDown,
}

type IsClosed = bool;

/// One tenant.
pub(crate) struct Tenant {
    id: TenantId,
    db: Arc<Db>,
    fs: SharedFs,
    /// Read by every push while it appends: who holds it for writing knows that none is under way.
    gate: RwLock<Gate>,
    /// Held by whoever cuts the head, deletes blocks or closes the TSDB.
    maintenance: Mutex<IsClosed>,
    /// Held by whoever uploads blocks, over awaits.
    pub(crate) shipping: tokio::sync::Mutex<()>,
    shipped: Mutex<Shipped>,
    block_bytes: Mutex<BTreeMap<Ulid, u64>>,
    last_push_ms: AtomicI64,
    ingestion: EwmaRate,
    counters: TenantCounters,
}

/// What a tenant is made of.
pub(crate) struct TenantParts {
    pub(crate) id: TenantId,
    pub(crate) db: Db,
    pub(crate) fs: SharedFs,
    pub(crate) counters: TenantCounters,
    /// Counts as the time of the last push.
    pub(crate) opened_ms: TimestampMs,
}

impl Tenant {
    /// Takes over an open TSDB.
    pub(crate) fn new(parts: TenantParts) -> Self {
        let tenant = Self {
            id: parts.id,
            db: Arc::new(parts.db),
            fs: parts.fs,
            gate: RwLock::new(Gate::Open),
            maintenance: Mutex::default(),
            shipping: tokio::sync::Mutex::default(),
            shipped: Mutex::default(),
            block_bytes: Mutex::default(),
            last_push_ms: AtomicI64::new(parts.opened_ms),
            ingestion: EwmaRate::default(),
            counters: parts.counters,
        };
        *tenant.shipped.lock() = state::load(&*tenant.fs, &tenant.shipper_file());
        tenant.refresh_block_bytes();
        tenant
    }

    /// The tenant's id.
    pub(crate) fn id(&self) -> &TenantId {
        &self.id
    }

    /// The TSDB.
    pub(crate) fn db(&self) -> &Arc<Db> {
        &self.db
    }

    /// The tenant's metrics.
    pub(crate) fn counters(&self) -> &TenantCounters {
        &self.counters
    }

    /// Samples a second.
    pub(crate) fn ingestion(&self) -> &EwmaRate {
        &self.ingestion
    }

    /// Appends `batch` unless the gate is closed.
    pub(crate) fn append(
        &self,
        batch: &WriteBatch<'_>,
        limits: &AppendLimits,
        now_ms: TimestampMs,
    ) -> Result<AppendOutcome, PushError> {
        let gate = self.gate.read();
        match *gate {
            Gate::Open => {}
            Gate::ClosingIdle => return Err(errors::tsdb_closing()),
            Gate::ShuttingDown => return Err(errors::unavailable("Stopping")),
        }
        self.last_push_ms.fetch_max(now_ms, Ordering::Relaxed);
        let result = self.db.append(batch, limits);
        result.map_err(|error| errors::storage(&self.id, "write samples", &error))
    }

    /// Closes or opens the gate. When it returns, no push that passed before is under way.
    pub(crate) fn set_gate(&self, gate: Gate) {
        *self.gate.write() = gate;
    }

    /// When something was last pushed, or when the TSDB was opened, ms.
    pub(crate) fn last_push_ms(&self) -> TimestampMs {
        self.last_push_ms.load(Ordering::Relaxed)
    }

    /// Cuts blocks from the head; none once the TSDB is closed.
    pub(crate) fn compact(&self, mode: CompactionMode) -> Result<Vec<Ulid>, TsdbError> {
        let is_closed = self.maintenance.lock();
        if *is_closed {
            return Ok(Vec::new());
        }
        let result = self.db.compact_head(mode);
        self.refresh_block_bytes();
        result
    }

    /// Brings the write-ahead log to the device, unless the TSDB is closed: then it is there.
    pub(crate) fn sync_wal(&self) -> Result<(), TsdbError> {
        let Some(is_closed) = self.maintenance.try_lock() else { return self.db.sync_wal() };
        if *is_closed { Ok(()) } else { self.db.sync_wal() }
    }

    /// Closes the TSDB when what is being done to it has ended. The gate must be closed already.
    pub(crate) fn close(&self) -> Result<(), TsdbError> {
        let mut is_closed = self.maintenance.lock();
        if !*is_closed {
            self.db.close()?;
            *is_closed = true;
        }
        Ok(())
    }

    /// Deletes the local blocks that are past the retention.
    pub(crate) fn delete_old_blocks(
        &self,
        retention: Retention,
        now_ms: TimestampMs,
    ) -> Result<Vec<Ulid>, TsdbError> {
        let shipped = self.shipped();
        let is_due =
            |block: &BlockInfo| plan::is_past_retention(block, &shipped, retention, now_ms);
        if !self.db.blocks().iter().any(is_due) {
            return Ok(Vec::new());
        }
        let is_closed = self.maintenance.lock();
        if *is_closed {
            return Ok(Vec::new());
        }
        let result = self.db.delete_old_blocks(&is_due);
        self.refresh_block_bytes();
        result
    }

    /// The blocks that are in the bucket, as far as they are still on the local disk.
    pub(crate) fn shipped(&self) -> Shipped {
        self.shipped.lock().clone()
    }

    /// Remembers what is in the bucket, on disk as well. Blocks that are gone are forgotten.
    pub(crate) fn set_shipped(&self, shipped: &Shipped) -> Result<(), TsdbError> {
        let shipped = plan::still_local(shipped, &self.db.blocks());
        if *self.shipped.lock() == shipped {
            return Ok(());
        }
        // The file first: what is only believed to be shipped must not be deleted.
        state::store(&*self.fs, &self.shipper_file(), &shipped)?;
        *self.shipped.lock() = shipped;
        Ok(())
    }

    /// What decides whether the TSDB can be closed.
    pub(crate) fn activity(&self) -> TenantActivity {
        let unshipped = plan::oldest_unshipped_ms(&self.db.blocks(), &self.shipped());
        TenantActivity {
            last_push_ms: self.last_push_ms(),
            head_series: self.db.head().series_count(),
            has_unshipped_blocks: unshipped.is_some(),
        }
    }

    /// When the oldest block was made that is still to be uploaded, ms.
    pub(crate) fn oldest_unshipped_ms(&self) -> Option<TimestampMs> {
        plan::oldest_unshipped_ms(&self.db.blocks(), &self.shipped.lock())
    }

    /// Bytes of the local blocks.
    pub(crate) fn blocks_bytes(&self) -> u64 {
        self.block_bytes.lock().values().sum()
    }

    fn shipper_file(&self) -> PathBuf {
        self.db.dir().join(state::FILE_NAME)
    }

    fn refresh_block_bytes(&self) {
        let blocks = self.db.blocks();
        let mut known = self.block_bytes.lock();
        known.retain(|id, _| blocks.iter().any(|block| block.ulid == *id));
        for block in blocks {
            known.entry(block.ulid).or_insert_with(|| block_bytes(&self.fs, &block));
        }
    }
}

/// Bytes of the files of a block. One that cannot be read counts as nothing: this is for a metric.
fn block_bytes(fs: &SharedFs, block: &BlockInfo) -> u64 {
    let bytes_in = |dir: PathBuf| {
        let entries = read_dir_if_exists(&**fs, &dir).unwrap_or_default();
        entries.iter().map(|entry| entry.metadata.length).sum::<u64>()
    };
    bytes_in(block.dir.clone()) + bytes_in(block.dir.join("chunks"))
}
