//! Opening all TSDBs at the start: several at a time, with its progress in the log, on
//! `/services` and in the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::StreamExt as _;
use model::TenantId;
use parking_lot::Mutex;
use rt::Metrics;
use tsdb::head::ReplayProgress;

use crate::Ingester;
use crate::ingester::IngesterError;
use crate::tenant::Tenant;

/// How often a start that takes long says how far it is.
const REPORT_PERIOD: Duration = Duration::from_secs(5);
/// How many TSDBs are named by a report.
const NAMED_TENANTS: usize = 3;
/// A TSDB waits for the disk most of the time when it is small, so that some more are opened at
/// a time than there are processors.
const OPENED_PER_PROCESSOR: usize = 2;

/// How far the start is.
#[derive(Default)]
pub(crate) struct Opening {
    found: AtomicU64,
    opened: AtomicU64,
    /// Those that are being opened.
    current: Mutex<Vec<Arc<CurrentTenant>>>,
}

struct CurrentTenant {
    id: TenantId,
    progress: ReplayProgress,
}

impl CurrentTenant {
    fn describe(&self) -> String {
        let (read, total) = self.progress.bytes();
        let (segment, segments) = self.progress.segments();
        let (stage, id) = (self.progress.stage().as_str(), &self.id);
        let mb = |bytes: u64| bytes >> 20;
        format!(
            "{id}: {stage}, {segment} of {segments} segments, {} of {} MiB",
            mb(read),
            mb(total)
        )
    }
}

impl Opening {
    /// In words; `None` before the TSDBs were counted.
    pub(crate) fn describe(&self) -> Option<String> {
        let found = self.found.load(Relaxed);
        if found == 0 {
            return None;
        }
        let mut text = format!("opened {} of {found} TSDBs", self.opened.load(Relaxed));
        for tenant in self.current.lock().iter().take(NAMED_TENANTS) {
            text.push_str("; ");
            text.push_str(&tenant.describe());
        }
        Some(text)
    }

    /// Bytes of snapshots and logs that were read, of the TSDBs that are being opened, and
    /// bytes there are.
    fn bytes(&self) -> (u64, u64) {
        let current = self.current.lock();
        current
            .iter()
            .map(|tenant| tenant.progress.bytes())
            .fold((0, 0), |sum, bytes| (sum.0 + bytes.0, sum.1 + bytes.1))
    }

    fn begin(&self, id: &TenantId) -> Arc<CurrentTenant> {
        let tenant = CurrentTenant { id: id.clone(), progress: ReplayProgress::default() };
        let tenant = Arc::new(tenant);
        self.current.lock().push(Arc::clone(&tenant));
        tenant
    }

    fn end(&self, tenant: &Arc<CurrentTenant>) {
        self.current.lock().retain(|other| !Arc::ptr_eq(other, tenant));
        self.opened.fetch_add(1, Relaxed);
    }

    /// Registers what tells how far the start is.
    pub(crate) fn register(self: &Arc<Self>, metrics: &Metrics) {
        let figure = |name: &str, help: &str, read: fn(&Self) -> u64| {
            let opening = Arc::clone(self);
            metrics.gauge_fn(name, help, move || read(&opening) as f64);
        };
        figure("cortex_ingester_tsdbs_found", "TSDBs that were found at the start.", |opening| {
            opening.found.load(Relaxed)
        });
        figure("cortex_ingester_tsdbs_opened", "TSDBs that were opened at the start.", |opening| {
            opening.opened.load(Relaxed)
        });
        figure(
            "cortex_ingester_tsdb_replay_bytes",
            "Bytes of snapshots and logs of the TSDBs that are being opened.",
            |opening| opening.bytes().1,
        );
        figure(
            "cortex_ingester_tsdb_replay_read_bytes",
            "Bytes of snapshots and logs that were read, of the TSDBs that are being opened.",
            |opening| opening.bytes().0,
        );
    }
}

impl Ingester {
    /// Opens the TSDBs that were found.
    pub(crate) async fn open_all(
        self: &Arc<Self>,
        found: Vec<TenantId>,
    ) -> Result<(), IngesterError> {
        let start = self.clock.monotonic();
        self.opening.found.store(found.len() as u64, Relaxed);
        let jobs = found.into_iter().map(|id| self.blocking(move |i| i.open_found(&id)));
        let mut opened = futures::stream::iter(jobs).buffer_unordered(self.replay_concurrency());
        let mut ticks = rt::time::interval(REPORT_PERIOD);
        loop {
            let next = std::pin::pin!(opened.next());
            let tick = std::pin::pin!(ticks.tick());
            match futures::future::select(next, tick).await {
                futures::future::Either::Left((Some(tenant), _)) => {
                    self.tenants.insert(Arc::new(tenant??));
                }
                futures::future::Either::Left((None, _)) => break,
                futures::future::Either::Right(_) => self.report_opening("opening TSDBs"),
            }
        }
        let took = self.clock.monotonic().saturating_sub(start);
        self.metrics.open_seconds.inc_by(took.as_secs_f64());
        self.report_opening("opened all TSDBs");
        Ok(())
    }

    fn report_opening(&self, message: &'static str) {
        if let Some(progress) = self.opening.describe() {
            tracing::info!(progress, "{message}");
        }
    }

    fn open_found(&self, id: &TenantId) -> Result<Tenant, IngesterError> {
        let current = self.opening.begin(id);
        let opened = self.opener.open(id, &current.progress);
        self.opening.end(&current);
        opened.map_err(|source| IngesterError::Tsdb {
            operation: "open the TSDB",
            tenant: id.clone(),
            source,
        })
    }

    fn replay_concurrency(&self) -> usize {
        match self.tsdb_config.wal_replay_concurrency {
            0 => self.opener.env.executor.parallelism().max(1) * OPENED_PER_PROCESSOR,
            configured => configured,
        }
    }
}
