//! The database of one tenant: the head, the blocks on the local disk, and what moves data from
//! the one to the other.
//!
//! Synchronous: the ingester calls it from its compute threads. A directory must be open in one
//! `Db` only; the lock file against a second process is the ingester's matter.
//!
//! ```text
//! <dir>/wal/            write-ahead log and checkpoints
//! <dir>/wbl/            log of what came out of order
//! <dir>/chunks_head/    complete chunks of the head
//! <dir>/chunk_snapshot.*/   what an orderly end left for the next start
//! <dir>/<ULID>/         blocks
//! ```

mod blocks;
mod cardinality;
mod compact;
mod compact_blocks;
mod delete;
mod ooo;
mod options;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use model::{Querier, QueryContext, Queryable, StorageError, TimeRange, TimestampMs, WriteBatch};
use parking_lot::{Mutex, RwLock};
use ulid::Ulid;

pub use options::{BlockInfo, CompactionMode, DbEnv, DbOptions, DbStats, MaintenanceStats};

use crate::block::{Block, delete_block, remove_leftovers as remove_unfinished_blocks};
use crate::error::TsdbError;
use crate::fs::{SharedFs, read_dir_if_exists};
use crate::head::{
    AppendLimits, AppendOutcome, AppendScratch, Head, HeadOptions, HeadQuerier, ReplayProgress,
    ReplayReport, ReplaySources, ReplayStage, SeriesMetadata, SnapshotStats,
    remove_covered_segments,
};
use crate::head_chunks::{DEFAULT_FILE_BYTES, HeadChunks};
use crate::merge::MergeQuerier;
use crate::wal::{Wal, remove_leftovers};
use blocks::BlockList;

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
    opening_took: Duration,
    view: RwLock<View>,
    /// Held by the one that compacts.
    compaction: Mutex<()>,
    /// Up to where the head was truncated, ms.
    truncated_until_ms: Mutex<TimestampMs>,
    /// Whether late samples are to be compacted, because the head was.
    is_late_due: AtomicBool,
    maintenance: MaintenanceStats,
    /// Wall-clock time of the last append, ms.
    last_append_ms: AtomicI64,
    /// Its time on the monotonic clock.
    last_append: Mutex<Duration>,
}

/// Where queries find what; changed as a whole.
struct View {
    blocks: Arc<BlockList>,
    /// The head answers from here on; before it there are blocks, ms.
    head_from_ms: TimestampMs,
}

impl Db {
    /// Opens the database in `dir`, which is created if need be: reads the blocks and replays
    /// the write-ahead log. A block that cannot be read fails the queries that need it, not the
    /// opening.
    pub fn open(dir: &Path, options: DbOptions, env: DbEnv) -> Result<Self, TsdbError> {
        Self::open_with_progress(dir, options, env, &ReplayProgress::default())
    }

    /// As [`Db::open`], for callers that want to know how far it is.
    pub fn open_with_progress(
        dir: &Path,
        options: DbOptions,
        env: DbEnv,
        progress: &ReplayProgress,
    ) -> Result<Self, TsdbError> {
        let start = env.clock.monotonic();
        env.fs.create_dir_all(dir).map_err(|e| TsdbError::io("create directory", dir, e))?;
        remove_unfinished_blocks(&*env.fs, dir)?;
        let blocks = BlockList::load(&env.fs, dir, &BlockList::default())?;
        let head_options = HeadOptions {
            block_range_ms: options.block_range_ms,
            shards: options.shards,
            hasher: env.hasher,
            out_of_order_capacity: options.out_of_order_capacity,
            encodings: options.encodings()?,
            start_times: options.st_storage,
            chunk_end_time_variance: options.chunk_end_time_variance,
            unlimited_metrics: options.unlimited_metrics.clone(),
        };
        let chunks_dir = dir.join("chunks_head");
        remove_files_after_gap(&env.fs, &chunks_dir)?;
        let files = HeadChunks::open(env.fs.clone(), &chunks_dir, DEFAULT_FILE_BYTES)?;
        let head = Arc::new(Head::new(head_options, Some(Arc::new(files))));
        let head_from_ms = blocks.min_valid_time();
        head.raise_min_valid_time(head_from_ms);
        head.set_max_exemplars(options.max_exemplars);
        let replay = replay_and_attach(&head, dir, &options, (&env, progress))?;
        progress.enter(ReplayStage::Done);
        let last_append = env.clock.monotonic();
        Ok(Self {
            dir: dir.to_owned(),
            options,
            head,
            replay,
            opening_took: last_append.saturating_sub(start),
            env,
            view: RwLock::new(View { blocks: Arc::new(blocks), head_from_ms }),
            compaction: Mutex::default(),
            truncated_until_ms: Mutex::new(head_from_ms),
            is_late_due: AtomicBool::new(false),
            maintenance: MaintenanceStats::default(),
            last_append_ms: AtomicI64::new(0),
            last_append: Mutex::new(last_append),
        })
    }

    /// What the replay at the opening did.
    pub fn replay_report(&self) -> &ReplayReport {
        &self.replay
    }

    /// How long the opening took.
    pub fn opening_took(&self) -> Duration {
        self.opening_took
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
        let now = self.env.clock.monotonic();
        *self.last_append.lock() = now;
        self.head.set_activity_time(now);
        SCRATCH.with_borrow_mut(|scratch| {
            let outcome = self.head.append(batch, limits, scratch);
            if scratch.memory_bytes() > MAX_SCRATCH_BYTES {
                *scratch = AppendScratch::default();
            }
            outcome
        })
    }

    /// Stores type, unit and help of series that exist; how many were new. See
    /// [`Head::append_metadata`].
    pub fn append_metadata(&self, items: &[SeriesMetadata<'_>]) -> Result<usize, TsdbError> {
        self.head.append_metadata(items)
    }

    /// The blocks on the local disk, oldest first.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        self.view.read().blocks.infos()
    }

    /// The open blocks on the local disk with data in `range`, oldest first. Fails where one of
    /// them cannot be read.
    pub fn open_blocks(&self, range: TimeRange) -> Result<Vec<Block>, TsdbError> {
        let blocks = self.view.read().blocks.clone();
        Ok(blocks.overlapping(range)?.into_iter().cloned().collect())
    }

    /// Blocks that cannot be read, and why.
    pub fn broken_blocks(&self) -> Vec<(Ulid, String)> {
        self.view.read().blocks.broken()
    }

    /// Looks at the directory again: takes in blocks that appeared, forgets those that are gone.
    pub fn reload_blocks(&self) -> Result<(), TsdbError> {
        let _one_at_a_time = self.compaction.lock();
        let before = self.view.read().blocks.clone();
        let blocks = BlockList::load(&self.env.fs, &self.dir, &before)?;
        self.view.write().blocks = Arc::new(blocks);
        Ok(())
    }

    /// Deletes the blocks that are past the retention and that `may_delete` (for example because
    /// they are shipped). Returns their ids. Queries that have begun go on reading them.
    pub fn delete_old_blocks(
        &self,
        may_delete: &dyn Fn(&BlockInfo) -> bool,
    ) -> Result<Vec<Ulid>, TsdbError> {
        let _one_at_a_time = self.compaction.lock();
        let infos = self.blocks();
        let newest = infos.iter().map(|info| info.max_time_ms).max().unwrap_or(0);
        let is_old =
            |info: &BlockInfo| newest.saturating_sub(info.max_time_ms) >= self.options.retention_ms;
        let doomed = infos.iter().filter(|info| is_old(info) && may_delete(info));
        let doomed: Vec<Ulid> = doomed.map(|info| info.ulid).collect();
        {
            let mut view = self.view.write();
            view.blocks = Arc::new(view.blocks.without(&doomed));
        }
        for &ulid in &doomed {
            delete_block(&*self.env.fs, &self.dir, ulid)?;
        }
        Ok(doomed)
    }

    /// Figures for metrics and pages.
    pub fn stats(&self) -> DbStats {
        let (created_series, removed_series) = self.head.series_turnover();
        let bounds = self.head.time_bounds();
        let min_valid = self.head.min_valid_time();
        let blocks = self.view.read().blocks.clone();
        DbStats {
            series: self.head.series_count(),
            created_series,
            removed_series,
            min_time_ms: bounds.map(|(min, _)| min),
            max_time_ms: bounds.map(|(_, max)| max),
            min_valid_time_ms: (min_valid != TimestampMs::MIN).then_some(min_valid),
            wbl_bytes: self
                .head
                .wbl()
                .map_or(0, |wbl| wbl.stats().disk_bytes.load(Ordering::Relaxed)),
            out_of_order_samples: self.head.out_of_order_appended().0
                + self.head.out_of_order_appended().1,
            wal_bytes: self.wal().map_or(0, |wal| wal.stats().disk_bytes.load(Ordering::Relaxed)),
            head_chunk_bytes: self.head.files().map_or(0, |files| files.byte_len()),
            blocks: blocks.len() as u64,
            broken_blocks: blocks.broken().len() as u64,
            last_append_ms: self.last_append_ms.load(Ordering::Relaxed),
            symbols: self.head.symbol_count() as u64,
            memory_bytes: self.head.memory_bytes() as u64,
        }
    }

    /// Counters of truncations.
    pub fn maintenance(&self) -> &MaintenanceStats {
        &self.maintenance
    }

    /// The write-ahead log, for its counters; `None` without one.
    pub fn wal(&self) -> Option<&Wal> {
        self.head.wal()
    }

    /// Brings the write-ahead log to the device; for the timer of
    /// [`FsyncPolicy::Interval`](crate::wal::FsyncPolicy::Interval).
    pub fn sync_wal(&self) -> Result<(), TsdbError> {
        self.logs().try_for_each(|log| log.sync().map_err(TsdbError::from))
    }

    /// Writes a snapshot of the head, so that the next opening need not replay the log from its
    /// beginning; for an orderly end, before [`Db::close`]. Nothing may be appended meanwhile or
    /// afterwards. `None` where there is nothing worth one.
    pub fn write_snapshot(&self) -> Result<Option<SnapshotStats>, TsdbError> {
        let _one_at_a_time = self.compaction.lock();
        self.head.write_snapshot(&self.env.fs, &self.dir)
    }

    /// Syncs and closes the write-ahead log. Nothing may be appended afterwards.
    pub fn close(&self) -> Result<(), TsdbError> {
        self.logs().try_for_each(|log| log.close().map_err(TsdbError::from))
    }

    fn logs(&self) -> impl Iterator<Item = &Wal> {
        self.head.wal().into_iter().chain(self.head.wbl())
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The head, for statistics.
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }
}

/// Replays the log, then opens it for writing.
fn replay_and_attach(
    head: &Head,
    dir: &Path,
    options: &DbOptions,
    (env, progress): (&DbEnv, &ReplayProgress),
) -> Result<ReplayReport, TsdbError> {
    let Some(wal_options) = options.wal else { return Ok(ReplayReport::default()) };
    let wal_dir = dir.join("wal");
    remove_leftovers(&env.fs, &wal_dir)?;
    remove_covered_segments(&env.fs, &wal_dir)?;
    let sources = ReplaySources {
        wal_dir: &wal_dir,
        snapshot_dir: options.load_snapshots.then_some(dir),
        progress,
    };
    let report = head.replay(&env.fs, sources, &*env.executor)?;
    head.attach_wal(Wal::open(env.fs.clone(), &wal_dir, wal_options)?);
    head.attach_wbl(env.fs.clone(), dir.join("wbl"), wal_options);
    Ok(report)
}

/// Deletes the head chunk files behind a gap in their numbers, which a crash of the machine may
/// leave. The log has all of their samples.
fn remove_files_after_gap(fs: &SharedFs, dir: &Path) -> Result<(), TsdbError> {
    let entries = read_dir_if_exists(&**fs, dir).map_err(|e| TsdbError::io("list", dir, e))?;
    let numbers = entries.iter().filter_map(|e| Some((e.name.parse::<u64>().ok()?, &e.name)));
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    let gap = numbers.windows(2).position(|pair| pair[0].0 + 1 != pair[1].0);
    let behind = gap.map_or(&[][..], |position| &numbers[position + 1..]);
    // From the highest down, so that an interruption leaves no further gap.
    for (_, name) in behind.iter().rev() {
        let path = dir.join(name);
        fs.remove_file(&path).map_err(|e| TsdbError::io("delete", &path, e))?;
    }
    Ok(())
}

impl Queryable for Db {
    /// Blocks and head, each for its part of the range.
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        // The lease on the head must be taken before its part can become smaller.
        let view = self.view.read();
        let blocks = view.blocks.overlapping(range)?;
        // Of samples with the same time the earlier source's counts: the one that was stored first.
        let is_late = |block: &&Block| block.meta().is_out_of_order();
        let (mut late, in_order): (Vec<&Block>, Vec<&Block>) =
            blocks.into_iter().partition(is_late);
        late.sort_by_key(|block| block.ulid());
        let mut sources: Vec<Box<dyn Querier>> = Vec::new();
        for block in in_order {
            sources.push(block.querier(range, context)?);
        }
        if range.end_ms_incl >= view.head_from_ms {
            let start = range.start_ms_incl.max(view.head_from_ms);
            let part = TimeRange::new(start, range.end_ms_incl);
            sources.push(Box::new(HeadQuerier::new(self.head.clone(), part, context.clone())));
        }
        for block in late {
            sources.push(block.querier(range, context)?);
        }
        if let Some((min, max)) = self.head.out_of_order_bounds()
            && range.overlaps(min, max)
        {
            let (head, context) = (self.head.clone(), context.clone());
            sources.push(Box::new(HeadQuerier::out_of_order(head, range, context)));
        }
        Ok(match sources.len() {
            1 => sources.remove(0),
            _ => Box::new(MergeQuerier::new(sources)),
        })
    }
}
