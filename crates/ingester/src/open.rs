//! Opening TSDBs: the options and the outside world that each of them is handed, the directories
//! found at the start, the lock against a second process, and deleting a directory for good.
//!
//! ```text
//! <tsdb.dir>/~lock               held while the process runs
//! <tsdb.dir>/~deleted-<tenant>   the directory of a closed TSDB on its way out
//! <tsdb.dir>/<tenant>/           a TSDB; `~` cannot stand in a tenant's id
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::{IngesterConfig, Overrides, TsdbConfig, WalFsync};
use model::{Clock, TenantId};
use tsdb::db::{Db, DbEnv, DbOptions};
use tsdb::error::TsdbError;
use tsdb::fs::{FileLock, SharedFs, read_dir_if_exists};
use tsdb::head::ReplayProgress;
use tsdb::wal::{Compression, FsyncPolicy, WalOptions};

use crate::metrics::IngesterMetrics;
use crate::tenant::{Tenant, TenantParts};

const LOCK_FILE: &str = "~lock";
/// An opening that took so long is told.
const LONG_OPENING: Duration = Duration::from_secs(1);
const DELETED_PREFIX: &str = "~deleted-";
/// More parts of a head than this only cost memory.
const MAX_HEAD_SHARDS: usize = 64;

/// Opens the TSDB of any tenant.
#[derive(Clone)]
pub(crate) struct Opener {
    pub(crate) dir: PathBuf,
    pub(crate) options: DbOptions,
    pub(crate) env: DbEnv,
    pub(crate) metrics: Arc<IngesterMetrics>,
    /// After what time without a sample a series is not active any more.
    pub(crate) active_timeout: Duration,
    pub(crate) overrides: Arc<Overrides>,
}

impl Opener {
    /// Opens or creates the TSDB of `id`, with all that its directory holds.
    pub(crate) fn open(
        &self,
        id: &TenantId,
        progress: &ReplayProgress,
    ) -> Result<Tenant, TsdbError> {
        let max_exemplars = self.overrides.limits(id).max_global_exemplars_per_user;
        let options = DbOptions { max_exemplars, ..self.options.clone() };
        let dir = self.tenant_dir(id);
        let db = Db::open_with_progress(&dir, options, self.env.clone(), progress)?;
        db.set_active_timeout(self.active_timeout);
        self.report(id, &db);
        Ok(Tenant::new(TenantParts {
            id: id.clone(),
            db,
            fs: self.fs().clone(),
            counters: self.metrics.tenant(id),
            opened_ms: self.env.clock.now_ms(),
        }))
    }

    /// What was read, and what was damaged on disk, is told to the operator; what could be read
    /// is served.
    fn report(&self, id: &TenantId, db: &Db) {
        let report = db.replay_report();
        self.metrics.opened(id, report);
        for damage in &report.damage {
            tracing::error!(user = %id, damage, "met damage when a TSDB was opened");
        }
        for (block, reason) in db.broken_blocks() {
            tracing::error!(user = %id, %block, reason, "a local block cannot be read");
        }
        if report.unknown_series_samples > 0 {
            let samples = report.unknown_series_samples;
            tracing::warn!(user = %id, samples, "samples in a log belong to no series");
        }
        if db.opening_took() >= LONG_OPENING {
            let took_seconds = db.opening_took().as_secs_f64();
            let (series, samples) = (report.series, report.samples);
            let of_snapshot = report.snapshot_series;
            tracing::info!(user = %id, took_seconds, series, of_snapshot, samples, "opened a TSDB");
        }
    }

    pub(crate) fn fs(&self) -> &SharedFs {
        &self.env.fs
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.env.clock
    }

    fn tenant_dir(&self, id: &TenantId) -> PathBuf {
        self.dir.join(id.as_str())
    }

    /// Makes the directory where it is missing, and locks it. `None`: another process has it.
    pub(crate) fn lock(&self) -> io::Result<Option<Box<dyn FileLock>>> {
        self.fs().create_dir_all(&self.dir)?;
        self.fs().try_lock(&self.dir.join(LOCK_FILE))
    }

    /// The tenants that have a directory with something in it. Removes what a deletion left.
    pub(crate) fn found_tenants(&self) -> io::Result<Vec<TenantId>> {
        let mut found = Vec::new();
        for entry in read_dir_if_exists(&**self.fs(), &self.dir)? {
            let path = self.dir.join(&entry.name);
            if !entry.metadata.is_dir {
                continue;
            }
            if entry.name.starts_with(DELETED_PREFIX) {
                self.fs().remove_dir_all(&path)?;
                continue;
            }
            if self.fs().read_dir(&path)?.is_empty() {
                continue;
            }
            match TenantId::new(&entry.name) {
                Ok(id) => found.push(id),
                Err(error) => tracing::warn!(
                    dir = %path.display(), %error,
                    "ignored a directory that cannot belong to a tenant"
                ),
            }
        }
        Ok(found)
    }

    /// Deletes the directory of a closed TSDB. After a crash it is there whole or not at all.
    pub(crate) fn delete(&self, id: &TenantId) -> io::Result<()> {
        let doomed = self.dir.join(format!("{DELETED_PREFIX}{id}"));
        self.fs().rename(&self.tenant_dir(id), &doomed)?;
        self.fs().sync_dir(&self.dir)?;
        self.fs().remove_dir_all(&doomed)
    }
}

/// The options of every TSDB of this process.
pub(crate) fn db_options(config: &TsdbConfig, ingester: &IngesterConfig) -> DbOptions {
    let defaults = DbOptions::default();
    let block_range = config.block_ranges_period.0.first();
    DbOptions {
        block_range_ms: block_range.map_or(defaults.block_range_ms, |range| range.millis()),
        // Which blocks may go is decided by `plan::is_past_retention` alone.
        retention_ms: 1,
        timely_compaction: config.timely_head_compaction_enabled,
        shards: config.stripe_size.clamp(1, MAX_HEAD_SHARDS),
        out_of_order_capacity: config.out_of_order_capacity_max,
        bigger_out_of_order_blocks: config.bigger_out_of_order_blocks_for_old_samples,
        wal: Some(wal_options(config)),
        load_snapshots: config.memory_snapshot_on_shutdown,
        // By tenant, when one is opened.
        max_exemplars: 0,
        unlimited_metrics: metric_names(&ingester.ignore_series_limit_for_metric_names),
        chunk_end_time_variance: config.head_chunks_end_time_variance.clamp(0.0, 1.0),
        xor2_encoding: config.xor2_encoding,
        histograms_st_encoding: config.histograms_st_encoding,
        st_storage: config.st_storage,
    }
}

/// The names of a list with commas, ascending.
fn metric_names(list: &str) -> Arc<[String]> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names.into()
}

fn wal_options(config: &TsdbConfig) -> WalOptions {
    let interval_ms = config.wal_fsync_interval.millis().max(1).unsigned_abs();
    WalOptions {
        segment_bytes: config.wal_segment_size_bytes as u64,
        compression: match config.wal_compression_enabled {
            true => Compression::Snappy,
            false => Compression::None,
        },
        fsync: match config.wal_fsync {
            WalFsync::Never => FsyncPolicy::Never,
            WalFsync::Interval => FsyncPolicy::Interval(interval_ms),
            WalFsync::Always => FsyncPolicy::Always,
        },
    }
}

/// The directory of the TSDBs.
pub(crate) fn tsdb_dir(config: &TsdbConfig) -> PathBuf {
    Path::new(&config.dir).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_those_of_a_tsdb() {
        let mut config = config::Config::default().blocks_storage.tsdb;
        let options = db_options(&config, &IngesterConfig::default());
        assert_eq!((options.block_range_ms, options.shards), (7_200_000, 64));
        assert_eq!(options.wal, Some(WalOptions::default()));
        config.wal_compression_enabled = true;
        config.wal_fsync = WalFsync::Always;
        config.stripe_size = 1;
        let options = db_options(&config, &IngesterConfig::default());
        let wal = options.wal.unwrap();
        assert_eq!(options.shards, 1);
        assert_eq!((wal.compression, wal.fsync), (Compression::Snappy, FsyncPolicy::Always));
    }
}
