//! One job from the sources in the bucket to the new blocks in the bucket and the marks of the
//! sources.
//!
//! The order is what keeps samples: the sources are marked when all new blocks are complete in the
//! bucket. A crash before leaves whole new blocks, which the next round takes for what they are,
//! or partial ones, which the cleaner removes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bucket::{BucketError, META_FILE, TenantBucket, UploadedFile, upload_block};
use bytes::Bytes;
use rt::CancellationToken;
use rt::files::Files;
use tsdb::block::Block;
use tsdb::compact::plan::split_merge::Stage;
use tsdb::compact::{Compaction, MetaRules, Progress, needed_disk_bytes};
use tsdb::meta::{BlockMeta, ThanosFile};
use ulid::Ulid;

use super::{JobError, PlannedJob, download, no_compact};
use crate::Compactor;
use crate::catalog::Catalog;

/// What the compactor writes as the source of its blocks.
const SOURCE: &str = "compactor";

impl Compactor {
    /// Runs a job.
    pub(super) async fn run_job(
        &self,
        bucket: &TenantBucket,
        job: PlannedJob,
        stop: &CancellationToken,
    ) -> Result<(), JobError> {
        self.metrics.jobs.started.inc();
        let user = bucket.tenant();
        let (start, key) = (self.clock.monotonic(), job.key.clone());
        tracing::info!(%user, job = key, blocks = job.blocks.len(), "compaction job begins");
        let dir = self.job_dir(user.as_str(), &job);
        let result = self.run_in(bucket, &job, &dir, stop).await;
        // What could not be removed is removed before the job is tried again.
        let _ = remove_dir(bucket.bucket().files(), &dir).await;
        match &result {
            Ok(new) => {
                let took = self.clock.monotonic().saturating_sub(start).as_secs_f64();
                self.metrics.jobs.completed.inc();
                self.metrics.jobs.seconds.observe(took);
                self.observe_delays(new);
                tracing::info!(%user, job = key, new = new.len(), took, "compaction job is done");
            }
            Err(JobError::Stopping) => {}
            Err(error) => {
                self.metrics.jobs.failed(matches!(error, JobError::DiskFull { .. }));
                if self.mark_unhealthy(bucket, &job, error).await? {
                    return Ok(());
                }
            }
        }
        result.map(drop)
    }

    /// How far the new blocks are behind the time of the clock.
    fn observe_delays(&self, new: &[BlockMeta]) {
        for meta in new {
            let delta_ms = self.clock.now_ms().saturating_sub(meta.max_time_ms);
            self.metrics.jobs.max_time_delta.observe(delta_ms as f64 / 1000.0);
        }
    }

    /// Where a job works; its own as long as it runs.
    fn job_dir(&self, tenant: &str, job: &PlannedJob) -> PathBuf {
        let hash = model::fnv::Fnv1::default().write(job.key.as_bytes()).finish();
        Path::new(&self.config.data_dir).join("compact").join(tenant).join(format!("{hash:08x}"))
    }

    async fn run_in(
        &self,
        bucket: &TenantBucket,
        job: &PlannedJob,
        dir: &Path,
        stop: &CancellationToken,
    ) -> Result<Vec<BlockMeta>, JobError> {
        let files = bucket.bucket().files();
        remove_dir(files, dir).await?;
        let disk = |operation| {
            let path = dir.to_owned();
            move |source| JobError::Disk { operation, path, source }
        };
        files.create_dir_all(dir).await.map_err(disk("create"))?;
        let ids = job.blocks.iter().map(|meta| meta.ulid);
        let remote = download::list(bucket, ids, self.config.block_sync_concurrency).await?;
        let size_bytes: u64 = remote.iter().map(|block| block.size_bytes).sum();
        // The sources and, nearly as large, what becomes of them.
        check_free(files, dir, size_bytes.saturating_mul(2))?;
        let fetched = download::fetch(bucket, &remote, dir, self.config.block_sync_concurrency);
        let dirs = stop.run_until_cancelled(fetched).await.ok_or(JobError::Stopping)??;
        let new = self.compact(job, dirs, dir, stop).await?;
        let limits = self.overrides.limits(bucket.tenant());
        let concurrency = limits.compactor_max_per_block_upload_concurrency;
        let concurrency = usize::try_from(concurrency).unwrap_or(usize::MAX);
        for meta in &new {
            let new_dir = dir.join("out").join(meta.ulid.to_string());
            let uploaded = upload(bucket, (meta, &new_dir), concurrency);
            stop.run_until_cancelled(uploaded).await.ok_or(JobError::Stopping)??;
        }
        // A few small writes: not cut off by the end of the process.
        let mut catalog =
            self.known(bucket.tenant()).map(|c| Catalog::clone(&c)).unwrap_or_default();
        for meta in &job.blocks {
            let reason = ("source of compacted block", "compaction");
            self.mark(bucket, &mut catalog, meta.ulid, reason).await?;
        }
        self.remember(bucket.tenant(), catalog);
        Ok(new)
    }

    /// Compacts the local copies on a thread of the pool.
    async fn compact(
        &self,
        job: &PlannedJob,
        dirs: Vec<PathBuf>,
        dir: &Path,
        stop: &CancellationToken,
    ) -> Result<Vec<BlockMeta>, JobError> {
        let (fs, bucket, parent) = (self.fs.clone(), self.bucket.clone(), dir.join("out"));
        let rules =
            MetaRules::Mimir { source: SOURCE.to_owned(), is_split: job.stage == Stage::Split };
        let ids: Vec<Ulid> = (0..job.output_shards).map(|_| self.new_id()).collect();
        let progress = Arc::new(Progress::default());
        let of_work = Arc::clone(&progress);
        let work = self.pool.run(move || {
            let blocks: Result<Vec<Block>, _> =
                dirs.iter().map(|dir| Block::open(&*fs, dir)).collect();
            let blocks = blocks?;
            blocks.iter().try_for_each(no_compact::check)?;
            fs.create_dir_all(&parent).map_err(|source| JobError::Disk {
                operation: "create",
                path: parent.clone(),
                source,
            })?;
            check_free(bucket.files(), &parent, needed_disk_bytes(&blocks))?;
            let compaction = Compaction { rules: &rules, ..Compaction::new(&fs, &parent, &ids) };
            let metas = compaction.run(&blocks, &of_work)?;
            Ok(metas.into_iter().flatten().collect::<Vec<_>>())
        });
        let mut work = Box::pin(work);
        if let Some(result) = stop.run_until_cancelled(&mut work).await {
            return result?;
        }
        progress.cancel();
        // The thread must not write any more when the directory is removed.
        let _ = work.await;
        Err(JobError::Stopping)
    }

    fn new_id(&self) -> Ulid {
        let random = u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64());
        Ulid::from_parts(self.clock.now_ms().unsigned_abs(), random)
    }
}

/// Uploads a new block with the list of its files in `meta.json`.
async fn upload(
    bucket: &TenantBucket,
    (meta, dir): (&BlockMeta, &Path),
    concurrency: usize,
) -> Result<(), BucketError> {
    let meta_json = |files: &[UploadedFile]| Ok(Bytes::from(with_files(meta, files).encode()));
    upload_block(bucket, (meta.ulid, dir), concurrency, meta_json).await
}

fn with_files(meta: &BlockMeta, files: &[UploadedFile]) -> BlockMeta {
    let mut meta = meta.clone();
    let thanos = meta.thanos.get_or_insert_default();
    let segments = files.iter().filter_map(|file| file.relative_path.strip_prefix("chunks/"));
    thanos.segment_files = segments.map(str::to_owned).collect();
    let listed = files.iter().map(|file| (file.relative_path.as_str(), file.size_bytes));
    let listed = listed.chain([(META_FILE, 0)]);
    thanos.files = listed
        .map(|(path, size_bytes)| ThanosFile { rel_path: path.to_owned(), size_bytes })
        .collect();
    meta
}

fn check_free(files: &dyn Files, dir: &Path, needed: u64) -> Result<(), JobError> {
    let free = files.free_bytes(dir).map_err(|source| JobError::Disk {
        operation: "look for free space in",
        path: dir.to_owned(),
        source,
    })?;
    if free < needed { Err(JobError::DiskFull { needed, free }) } else { Ok(()) }
}

async fn remove_dir(files: &dyn Files, dir: &Path) -> Result<(), JobError> {
    match files.remove_dir_all(dir).await {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(JobError::Disk { operation: "remove", path: dir.to_owned(), source })
        }
        _ => Ok(()),
    }
}
