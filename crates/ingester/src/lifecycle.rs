//! Start, background loops and end of the ingester, as a service of `rt`.
//!
//! Start: lock the directory, replay every tenant found in it. End: no new pushes, those under way
//! finish, flush where asked for, logs synced and closed. What the loops do stands in
//! `compaction.rs`, `shipper.rs` and `idle.rs`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use config::WalFsync;
use futures::FutureExt as _;
use model::TenantId;
use parking_lot::Mutex;
use rt::service::BoxError;
use rt::{BoxFuture, CancellationToken, Service};

use crate::ingester::{IngesterError, Phase};
use crate::tenant::Tenant;
use crate::{Ingester, plan, prepare};

/// How often metadata that nobody sends any more and idle TSDBs are looked for.
const HOUSEKEEPING_PERIOD: Duration = Duration::from_secs(5 * 60);

/// What the end of the process was asked to do.
#[derive(Default)]
pub(crate) struct ShutdownRequests {
    /// Flush at the end, whatever the configuration says.
    pub(crate) flush: AtomicBool,
    /// Answers `/ingester/unregister-on-shutdown`; `None` = as configured.
    pub(crate) unregister: Mutex<Option<bool>>,
    /// One end at a time; the second one finds nothing left to do.
    ending: tokio::sync::Mutex<()>,
}

/// The ingester as a service: replays, runs its loops, flushes and closes.
pub struct IngesterService(Arc<Ingester>);

impl IngesterService {
    /// The service of `ingester`; there must be only one.
    pub fn new(ingester: Arc<Ingester>) -> Self {
        Self(ingester)
    }
}

impl Service for IngesterService {
    fn name(&self) -> &'static str {
        "ingester"
    }

    fn starting(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        async { self.0.start().await.map_err(BoxError::from) }.boxed()
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            self.0.run_loops(&stop).await;
            Ok(())
        }
        .boxed()
    }

    fn stopping(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        async { self.0.stop().await.map_err(BoxError::from) }.boxed()
    }

    fn not_ready(&self) -> Option<String> {
        match self.0.phase() {
            Phase::Running => None,
            other => {
                let why = IngesterError::Unavailable(other.as_str());
                Some(format!("ingester not ready for pushes: {why}"))
            }
        }
    }

    fn progress(&self) -> Option<String> {
        (self.0.phase() == Phase::Starting).then(|| self.0.opening.describe()).flatten()
    }
}

impl Ingester {
    /// Locks the directory and opens every TSDB in it. Pushes and queries are refused before.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), IngesterError> {
        let dir = self.opener.dir.clone();
        let failed = |operation| {
            let dir = dir.clone();
            move |source| IngesterError::Directory { operation, dir, source }
        };
        let lock = self.blocking(|i| i.opener.lock()).await?.map_err(failed("lock"))?;
        let lock = lock.ok_or_else(|| IngesterError::Locked(dir.clone()))?;
        let is_prepared = self.blocking(|i| prepare::is_marked(&i.opener)).await?;
        if is_prepared.map_err(failed("read"))? {
            self.prepare_shutdown(true);
        }
        let found = self.blocking(|i| i.opener.found_tenants()).await?;
        self.open_all(found.map_err(failed("list"))?).await?;
        *self.lock.lock() = Some(lock);
        self.set_phase(Phase::Running);
        Ok(())
    }

    /// Everything that happens again and again, until `stop`. What has begun is finished, except
    /// for uploads: they are taken up again by the next process.
    async fn run_loops(self: &Arc<Self>, stop: &CancellationToken) {
        let tsdb = &self.tsdb_config;
        let first = plan::first_interval(tsdb.head_compaction_interval, &*self.opener.env.random);
        let cut = async {
            // Not all processes that were started together cut at the same moments.
            if stop.run_until_cancelled(rt::time::sleep(first)).await.is_some() {
                self.cut_heads().await;
                every(stop, tsdb.head_compaction_interval, || self.cut_heads()).await;
            }
        };
        let ship = every(stop, tsdb.ship_interval, || async {
            let _ = stop.run_until_cancelled(self.ship_blocks()).await;
        });
        let fsync_interval = match tsdb.wal_fsync {
            WalFsync::Interval => tsdb.wal_fsync_interval,
            WalFsync::Never | WalFsync::Always => config::GoDuration::ZERO,
        };
        let sync = every(stop, fsync_interval, || self.sync_wals());
        let rates = every(stop, self.config.rate_update_period, || async { self.tick_rates() });
        let limits = every(stop, self.config.tsdb_config_update_period, || async {
            self.apply_limits();
        });
        let period = config::GoDuration::from_secs(HOUSEKEEPING_PERIOD.as_secs() as i64);
        let housekeeping = every(stop, period, || self.keep_house());
        let period = self.active_update_period().unwrap_or(config::GoDuration::ZERO);
        let active = every(stop, period, || self.update_active_series());
        futures::join!(cut, ship, sync, rates, limits, housekeeping, active);
        stop.cancelled().await;
    }

    async fn keep_house(self: &Arc<Self>) {
        self.purge_metadata();
        self.close_idle_tenants().await;
    }

    /// Brings the logs of all tenants to the device.
    pub(crate) async fn sync_wals(self: &Arc<Self>) {
        let synced = self.blocking(|i| {
            for tenant in i.tenants.all() {
                if let Err(error) = tenant.sync_wal() {
                    tracing::error!(user = %tenant.id(), %error, "could not sync a write-ahead log");
                }
            }
        });
        if let Err(error) = synced.await {
            tracing::error!(%error, "could not sync the write-ahead logs");
        }
    }

    /// Takes the samples of the last period into the rates.
    pub(crate) fn tick_rates(&self) {
        let period = self.config.rate_update_period.std();
        self.ingestion.tick(period);
        self.tenants.all().iter().for_each(|tenant| tenant.ingestion().tick(period));
    }

    /// Tells the open TSDBs limits that may have changed. A push tells its own; this is for tenants
    /// that nothing is pushed for: exemplars beyond the limit give their memory back.
    pub(crate) fn apply_limits(&self) {
        for tenant in self.tenants.all() {
            let limits = self.overrides.limits(tenant.id());
            tenant.db().head().set_max_exemplars(self.local_exemplars(&limits));
        }
    }

    /// Forgets the metadata of a tenant that is gone.
    pub(crate) fn forget_metadata(&self, id: &TenantId) {
        if let Some(store) = self.metadata.write().remove(id) {
            self.metrics.metadata_removed(id, store.len());
        }
    }

    /// Forgets metadata that were not sent for a while, and tenants without any.
    pub(crate) fn purge_metadata(&self) {
        let retain_ms = self.config.metadata_retain_period.millis();
        let before_ms = self.clock.now_ms().saturating_sub(retain_ms);
        let stores: Vec<_> =
            self.metadata.read().iter().map(|(id, s)| (id.clone(), Arc::clone(s))).collect();
        for (id, store) in stores {
            self.metrics.metadata_removed(&id, store.purge(before_ms));
        }
        // A store that a push has just taken in hand is not lost: it has another owner.
        self.metadata.write().retain(|_, store| store.len() > 0 || Arc::strong_count(store) > 1);
    }

    /// Ends: refuses pushes, waits for those under way, flushes if asked, closes everything.
    pub(crate) async fn stop(self: &Arc<Self>) -> Result<(), IngesterError> {
        let _ending = self.shutdown.ending.lock().await;
        if self.phase() == Phase::Terminated {
            return Ok(());
        }
        self.set_phase(Phase::Stopping);
        self.blocking(Self::refuse_pushes).await?;
        let flushed = match self.flushes_at_the_end() {
            true => self.flush_at_the_end().await,
            false => Ok(()),
        };
        // Before the tenants are forgotten: without them every answer would be empty, and another
        // replica has it.
        self.set_phase(Phase::Terminated);
        let closed = self.blocking(Self::close_all).await?;
        *self.lock.lock() = None;
        flushed.and(closed)
    }

    /// The next end flushes everything and unregisters, or does so as configured.
    pub(crate) fn prepare_shutdown(&self, is_prepared: bool) {
        self.shutdown.flush.store(is_prepared, Ordering::Relaxed);
        self.metrics.shutdown_prepared.set(i64::from(is_prepared));
        self.set_unregister(is_prepared.then_some(true));
    }

    /// Whether the instance is taken out of the ring at the end; `None` is as configured.
    pub(crate) fn set_unregister(&self, unregister: Option<bool>) {
        *self.shutdown.unregister.lock() = unregister;
        if let Some(lifecycler) = self.membership.lifecycler() {
            lifecycler.set_unregister_on_shutdown(self.unregisters());
        }
    }

    pub(crate) fn unregisters(&self) -> bool {
        let configured = self.config.ring.unregister_on_shutdown;
        self.shutdown.unregister.lock().unwrap_or(configured)
    }

    /// While the instance is `LEAVING`: what is to be flushed must be in the bucket before nobody
    /// looks here any more. Queries are answered all the time.
    pub(crate) async fn before_leaving(self: &Arc<Self>) {
        if self.phase() != Phase::Running || !self.flushes_at_the_end() {
            return;
        }
        tracing::info!("flushing all TSDBs before leaving the ring");
        let refused = self.blocking(Self::refuse_pushes).await.map_err(IngesterError::from);
        let flushed = match refused {
            Ok(()) => self.flush_tenants(self.tenants.all()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = flushed {
            tracing::error!(%error, "leaving the ring with samples that are not in the bucket");
        }
    }

    /// Leaves the ring and ends, whoever asked for it: everything is flushed.
    pub(crate) async fn shut_down(self: &Arc<Self>) -> Result<(), IngesterError> {
        self.shutdown.flush.store(true, Ordering::Relaxed);
        self.set_unregister(Some(true));
        if let Some(lifecycler) = self.membership.lifecycler() {
            lifecycler.leave_for_good().await;
        }
        self.stop().await
    }

    fn refuse_pushes(&self) {
        self.tenants.close();
        self.tenants.all().iter().for_each(|tenant| tenant.shut_gate());
    }

    fn flushes_at_the_end(&self) -> bool {
        self.tsdb_config.flush_blocks_on_shutdown || self.shutdown.flush.load(Ordering::Relaxed)
    }

    async fn flush_at_the_end(self: &Arc<Self>) -> Result<(), IngesterError> {
        tracing::info!("flushing all TSDBs before the end");
        self.flush_tenants(self.tenants.all()).await?;
        // The request is fulfilled: the next process starts without it.
        let removed = self.blocking(|i| prepare::unmark(&i.opener)).await?;
        if let Err(error) = removed {
            tracing::warn!(%error, "could not remove the mark of a prepared shutdown");
        }
        Ok(())
    }

    /// Closes all TSDBs; the first error is returned when all have been tried.
    fn close_all(&self) -> Result<(), IngesterError> {
        let mut result = Ok(());
        let all = self.tenants.all();
        self.tenants.clear();
        if self.tsdb_config.memory_snapshot_on_shutdown {
            let executor = &self.opener.env.executor;
            executor.for_each(all.len(), &|i| write_snapshot(&all[i]));
        }
        for tenant in all {
            let closed = tenant.close();
            self.retired.lock().add(&tenant);
            if let Err(source) = closed {
                tracing::error!(user = %tenant.id(), error = %source, "could not close a TSDB");
                let (operation, tenant) = ("close the TSDB", tenant.id().clone());
                result = result.and(Err(IngesterError::Tsdb { operation, tenant, source }));
            }
        }
        result
    }
}

/// Makes the next start quick. Without a snapshot it takes longer, that is all.
fn write_snapshot(tenant: &Tenant) {
    match tenant.write_snapshot() {
        Ok(Some(stats)) => {
            let (dir, series, bytes) = (stats.dir.display(), stats.series, stats.bytes);
            tracing::info!(user = %tenant.id(), %dir, series, bytes, "wrote a snapshot of the head");
        }
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(user = %tenant.id(), %error, "could not write a snapshot of the head");
        }
    }
}

/// Calls `work` every `period` until `stop`; a period of zero or less switches it off.
async fn every<W, F>(stop: &CancellationToken, period: config::GoDuration, work: W)
where
    W: Fn() -> F,
    F: Future<Output = ()>,
{
    if !period.is_positive() {
        return;
    }
    let mut ticks = rt::time::interval(period.std());
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        work().await;
    }
}
