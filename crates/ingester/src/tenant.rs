//! One tenant's TSDB with what the ingester keeps beside it: the gate that pushes pass, the blocks
//! that are shipped, rates and counters. Synchronous; called from compute threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::{TenantId, TimestampMs, WriteBatch};
use parking_lot::{Mutex, RwLock};
use tsdb::db::{BlockInfo, CompactionMode, Db};
use tsdb::error::TsdbError;
use tsdb::fs::SharedFs;
use tsdb::head::{AppendLimits, AppendOutcome, SnapshotStats};
use ulid::Ulid;
use wire::client::PushError;

use crate::active::ActiveFigures;
use crate::deletion_mark::DeletionMark;
use crate::errors;
use crate::metrics::TenantCounters;
use crate::plan::{self, Retention, Shipped, TenantActivity};
use crate::rate::EwmaRate;
use crate::shipper::state;

/// Whether pushes pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// The TSDB is idle and about to be deleted; a later push opens a new one.
    ClosingIdle,
    /// The head is being cut up to this time: samples of that part would overlap with the blocks,
    /// or keep the cut from ending.
    Compaction {
        until_ms_incl: TimestampMs,
    },
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
    deletion_mark: DeletionMark,
    /// When the head was last cut early, ms; 0 = never.
    last_early_compaction_ms: AtomicI64,
    last_push_ms: AtomicI64,
    ingestion: EwmaRate,
    counters: TenantCounters,
    active: Mutex<ActiveFigures>,
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
            deletion_mark: DeletionMark::default(),
            last_early_compaction_ms: AtomicI64::new(0),
            last_push_ms: AtomicI64::new(parts.opened_ms),
            ingestion: EwmaRate::default(),
            counters: parts.counters,
            active: Mutex::default(),
        };
        *tenant.shipped.lock() = state::load(&*tenant.fs, &tenant.shipper_file());
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

    /// The active series at the last count.
    pub(crate) fn active(&self) -> ActiveFigures {
        self.active.lock().clone()
    }

    /// Takes over a new count of active series.
    pub(crate) fn set_active(&self, figures: ActiveFigures) {
        *self.active.lock() = figures;
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
            Gate::Compaction { until_ms_incl } => passes_compaction(batch, until_ms_incl)?,
            Gate::ShuttingDown => return Err(errors::unavailable("Stopping")),
        }
        self.last_push_ms.fetch_max(now_ms, Ordering::Relaxed);
        let result = self.db.append(batch, limits);
        result.map_err(|error| errors::storage(&self.id, "write samples", &error))
    }

    /// Refuses all further pushes. When it returns, none that passed before is under way.
    pub(crate) fn shut_gate(&self) {
        *self.gate.write() = Gate::ShuttingDown;
    }

    /// Refuses pushes if `is_idle` still, while none is under way. False if the gate stays.
    pub(crate) fn try_close_gate(&self, is_idle: impl FnOnce() -> bool) -> bool {
        let mut gate = self.gate.write();
        let closes = *gate == Gate::Open && is_idle();
        if closes {
            *gate = Gate::ClosingIdle;
        }
        closes
    }

    /// Whether the tenant is marked for deletion in the bucket.
    pub(crate) fn deletion_mark(&self) -> &DeletionMark {
        &self.deletion_mark
    }

    /// When the head was last cut early, ms; `None` = never.
    pub(crate) fn last_early_compaction_ms(&self) -> Option<TimestampMs> {
        let last_ms = self.last_early_compaction_ms.load(Ordering::Relaxed);
        (last_ms != 0).then_some(last_ms)
    }

    /// Notes that the head was cut early.
    pub(crate) fn set_last_early_compaction(&self, now_ms: TimestampMs) {
        self.last_early_compaction_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When something was last pushed, or when the TSDB was opened, ms.
    pub(crate) fn last_push_ms(&self) -> TimestampMs {
        self.last_push_ms.load(Ordering::Relaxed)
    }

    /// Cuts blocks from the head; none once the TSDB is closed. When more than the oldest range is
    /// cut, pushes to that part are refused meanwhile, to be sent again.
    pub(crate) fn compact(&self, mode: CompactionMode) -> Result<Vec<Ulid>, TsdbError> {
        let is_closed = self.maintenance.lock();
        if *is_closed {
            return Ok(Vec::new());
        }
        let newest_ms = self.db.head().time_bounds().map_or(TimestampMs::MIN, |(_, max)| max);
        let until_ms_incl = match mode {
            CompactionMode::Regular => return self.db.compact_head(mode),
            CompactionMode::Idle(_) => newest_ms,
            CompactionMode::Early(until_ms_incl) => until_ms_incl,
            CompactionMode::Forced => TimestampMs::MAX,
        };
        let compaction = Gate::Compaction { until_ms_incl };
        self.change_gate(Gate::Open, compaction);
        let result = self.compact_whole(mode);
        self.change_gate(compaction, Gate::Open);
        result
    }

    /// A query can keep the TSDB from emptying the head at once; then it goes on block by block.
    fn compact_whole(&self, mode: CompactionMode) -> Result<Vec<Ulid>, TsdbError> {
        let mut written = Vec::new();
        loop {
            let more = self.db.compact_head(mode)?;
            if more.is_empty() {
                return Ok(written);
            }
            written.extend(more);
        }
    }

    fn change_gate(&self, from: Gate, to: Gate) {
        let mut gate = self.gate.write();
        if *gate == from {
            *gate = to;
        }
    }

    /// Brings the write-ahead log to the device, unless the TSDB is closed: then it is there.
    pub(crate) fn sync_wal(&self) -> Result<(), TsdbError> {
        let Some(is_closed) = self.maintenance.try_lock() else { return self.db.sync_wal() };
        if *is_closed { Ok(()) } else { self.db.sync_wal() }
    }

    /// Writes a snapshot of the head, unless the TSDB is closed. The gate must be closed already.
    pub(crate) fn write_snapshot(&self) -> Result<Option<SnapshotStats>, TsdbError> {
        let is_closed = self.maintenance.lock();
        if *is_closed { Ok(None) } else { self.db.write_snapshot() }
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
        self.db.delete_old_blocks(&is_due)
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
        // What cannot be read cannot be shipped either, and is not thrown away.
        let has_broken_blocks = !self.db.broken_blocks().is_empty();
        TenantActivity {
            last_push_ms: self.last_push_ms(),
            head_series: self.db.head().series_count(),
            has_unshipped_blocks: has_broken_blocks || self.oldest_unshipped_ms().is_some(),
            is_marked_for_deletion: self.deletion_mark.is_found(),
        }
    }

    /// When the oldest block was made that is still to be uploaded, ms.
    pub(crate) fn oldest_unshipped_ms(&self) -> Option<TimestampMs> {
        plan::oldest_unshipped_ms(&self.db.blocks(), &self.shipped.lock())
    }

    /// Bytes of the local blocks.
    pub(crate) fn blocks_bytes(&self) -> u64 {
        self.db.blocks().iter().map(|block| block.size_bytes).sum()
    }

    fn shipper_file(&self) -> PathBuf {
        self.db.dir().join(state::FILE_NAME)
    }
}

/// Whether a push passes while the head is cut up to a time.
fn passes_compaction(batch: &WriteBatch<'_>, until_ms_incl: TimestampMs) -> Result<(), PushError> {
    if until_ms_incl == TimestampMs::MAX {
        return Err(errors::forced_compaction());
    }
    let floats = batch.samples.iter().map(|sample| sample.timestamp_ms);
    let histograms = batch.series.iter().flat_map(|series| batch.histograms_of(series));
    let oldest_ms = floats.chain(histograms.map(|histogram| histogram.timestamp_ms)).min();
    match oldest_ms {
        Some(oldest_ms) if oldest_ms <= until_ms_incl => {
            Err(errors::early_compaction(oldest_ms, until_ms_incl))
        }
        _ => Ok(()),
    }
}
