//! The database of one tenant: the head, the blocks on the local disk, and what moves data from
//! the one to the other.
//!
//! Synchronous: the ingester calls it from its compute threads. A directory must be open in one
//! `Db` only; the lock file against a second process is the ingester's matter.
//!
//! ```text
//! <dir>/wal/            write-ahead log and checkpoints
//! <dir>/chunks_head/    complete chunks of the head
//! <dir>/<ULID>/         blocks
//! ```

mod options;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::{Querier, QueryContext, Queryable, StorageError, TimeRange, WriteBatch};
use ulid::Ulid;

pub use options::{BlockInfo, CompactionMode, DbEnv, DbOptions, DbStats};

use crate::error::TsdbError;
use crate::head::{
    AppendLimits, AppendOutcome, AppendScratch, Head, HeadOptions, HeadQuerier, ReplayReport,
};
use crate::head_chunks::{DEFAULT_FILE_BYTES, HeadChunks};
use crate::wal::{Wal, WalOptions, remove_leftovers};

/// The scratch of a thread is given back above this size, bytes.
const MAX_SCRATCH_BYTES: usize = 1 << 20;

thread_local! {
    static SCRATCH: RefCell<AppendScratch> = RefCell::default();
}

/// The database of one tenant. Shared by reference between all threads.
pub struct Db {
    dir: PathBuf,
    options: DbOptions,
    env: DbEnv,
    head: Arc<Head>,
    replay: ReplayReport,
    last_append_ms: AtomicI64,
}

impl Db {
    /// Opens the database in `dir`, which is created if need be: reads the blocks and replays
    /// the write-ahead log.
    pub fn open(dir: &Path, options: DbOptions, env: DbEnv) -> Result<Self, TsdbError> {
        let head_options = HeadOptions {
            block_range_ms: options.block_range_ms,
            shards: options.shards,
            hasher: env.hasher,
        };
        let files = HeadChunks::open(env.fs.clone(), &dir.join("chunks_head"), DEFAULT_FILE_BYTES)?;
        let head = Arc::new(Head::new(head_options, Some(Arc::new(files))));
        let replay = match options.wal {
            Some(wal) => replay_and_attach(&head, &dir.join("wal"), wal, &env)?,
            None => ReplayReport::default(),
        };
        let last_append_ms = AtomicI64::new(0);
        Ok(Self { dir: dir.to_owned(), options, env, head, replay, last_append_ms })
    }

    /// What the replay at the opening did.
    pub fn replay_report(&self) -> &ReplayReport {
        &self.replay
    }

    /// Appends all samples of `batch` that the rules allow and returns what became of them.
    /// `Ok` means that the write-ahead log has them. After an error nothing is acknowledged and
    /// the request can be sent again.
    pub fn append(
        &self,
        batch: &WriteBatch<'_>,
        limits: &AppendLimits,
    ) -> Result<AppendOutcome, TsdbError> {
        self.last_append_ms.store(self.env.clock.now_ms(), Ordering::Relaxed);
        SCRATCH.with_borrow_mut(|scratch| {
            let outcome = self.head.append(batch, limits, scratch);
            if scratch.memory_bytes() > MAX_SCRATCH_BYTES {
                *scratch = AppendScratch::default();
            }
            outcome
        })
    }

    /// Writes blocks from the head and truncates it. Returns the new blocks, oldest first; they
    /// are part of every query from then on.
    pub fn compact_head(&self, mode: CompactionMode) -> Result<Vec<Ulid>, TsdbError> {
        let _ = (mode, self.options.block_range_ms);
        Err(TsdbError::Invalid("compaction of the head is not built yet".to_owned()))
    }

    /// The blocks on the local disk, oldest first.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        Vec::new()
    }

    /// Looks at the directory again: takes in blocks that appeared, forgets those that are gone.
    pub fn reload_blocks(&self) -> Result<(), TsdbError> {
        Ok(())
    }

    /// Deletes the blocks that are past the retention and that `may_delete` (for example because
    /// they are shipped). Returns their ids.
    pub fn delete_old_blocks(
        &self,
        may_delete: &dyn Fn(&BlockInfo) -> bool,
    ) -> Result<Vec<Ulid>, TsdbError> {
        let _ = may_delete;
        Ok(Vec::new())
    }

    /// Figures for metrics and pages.
    pub fn stats(&self) -> DbStats {
        DbStats {
            series: self.head.series_count(),
            last_append_ms: self.last_append_ms.load(Ordering::Relaxed),
            memory_bytes: self.head.memory_bytes() as u64,
            ..DbStats::default()
        }
    }

    /// The write-ahead log, for its counters; `None` without one.
    pub fn wal(&self) -> Option<&Wal> {
        self.head.wal()
    }

    /// Brings the write-ahead log to the device; for the timer of
    /// [`FsyncPolicy::Interval`](crate::wal::FsyncPolicy::Interval).
    pub fn sync_wal(&self) -> Result<(), TsdbError> {
        self.head.wal().map_or(Ok(()), |wal| wal.sync().map_err(TsdbError::from))
    }

    /// Syncs and closes the write-ahead log. Appends fail afterwards.
    pub fn close(&self) -> Result<(), TsdbError> {
        self.head.wal().map_or(Ok(()), |wal| wal.close().map_err(TsdbError::from))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The head, for statistics.
    pub fn head(&self) -> &Head {
        &self.head
    }
}

/// Replays the log, then opens it for writing.
fn replay_and_attach(
    head: &Head,
    dir: &Path,
    options: WalOptions,
    env: &DbEnv,
) -> Result<ReplayReport, TsdbError> {
    remove_leftovers(&env.fs, dir)?;
    let report = head.replay(&env.fs, dir, &*env.executor)?;
    head.attach_wal(Wal::open(env.fs.clone(), dir, options)?);
    Ok(report)
}

impl Queryable for Db {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(HeadQuerier::new(self.head.clone(), range, context.clone())))
    }
}
