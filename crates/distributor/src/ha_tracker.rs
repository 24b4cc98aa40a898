//! Of several senders that send the same (a "cluster" of "replicas") the samples of one are
//! taken: all distributors agree on it over a key-value store.
//!
//! Contract with Mimir: keys `ha-tracker/<tenant>/<cluster>` with the same values, options
//! `-distributor.ha-tracker.*`, limits `ha_*`, metrics `cortex_ha_tracker_*`, the page
//! `/distributor/ha_tracker`. A request is judged by its first series. `clusters.rs` decides,
//! purely; this service carries it out. A push waits for the store only when its cluster is new:
//! then it leaves its compute thread, waits, and begins anew.

mod clusters;
mod desc;
mod labels;
mod metrics;
mod page;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use config::{Limits, Overrides};
use futures::FutureExt;
use model::{Clock, Random, TenantId, WriteBatch};
use parking_lot::Mutex;
use ring::kv::{Client, KvError};
use rt::{BoxError, BoxFuture, CancellationToken, Metrics, Service};
use wire::client::{PushError, PushErrorCause};

use clusters::{Clusters, Proposal, Sighting, Timeouts, Verdict, elect};
use metrics::HaMetrics;

pub use desc::{ReplicaCodec, ReplicaDesc};

/// How often old entries are looked for, and by how much of that this varies.
const CLEANUP_PERIOD: Duration = Duration::from_mins(30);
const CLEANUP_JITTER: f64 = 0.2;
/// An entry is marked for deletion after so long without a request, and deleted so long after.
const DELETION_TIMEOUT_MS: i64 = 30 * 60 * 1000;
/// How long a push may wait for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a tracker is made of.
pub struct HaTrackerParts {
    /// Where the choice is kept.
    pub client: Client<ReplicaDesc>,
    /// Limits of the tenants.
    pub overrides: Arc<Overrides>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub random: Arc<dyn Random>,
    /// The registry.
    pub metrics: Metrics,
    /// Whether each elected replica has a metric.
    pub shows_elected: bool,
}

/// The tracker. Its service must run after that of the store.
pub struct HaTracker {
    parts: HaTrackerParts,
    clusters: Mutex<Clusters>,
    metrics: HaMetrics,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Dedup {
    /// It is of the elected replica: its replica label has been removed.
    Stripped,
    /// It does not say of which cluster and replica it is.
    NotHa,
    /// Its cluster is not known: it is judged again after the election.
    Unknown(Election),
}

/// A proposal of a replica for a cluster of a tenant.
#[derive(Debug)]
pub(crate) struct Election {
    tenant: TenantId,
    cluster: String,
    proposal: Proposal,
}

impl HaTracker {
    /// A tracker that knows nothing yet.
    pub fn new(parts: HaTrackerParts) -> Self {
        let metrics = HaMetrics::new(&parts.metrics, parts.shows_elected);
        Self { parts, clusters: Mutex::default(), metrics }
    }

    /// The page.
    pub fn routes(self: &Arc<Self>) -> Router {
        page::routes(Arc::clone(self))
    }

    /// Judges a request by its first series. `Some` where its cluster is not known.
    fn judge(
        &self,
        tenant: &TenantId,
        seen: Sighting<'_>,
        limits: &Limits,
    ) -> Result<Option<Election>, PushError> {
        match self.clusters.lock().see(tenant.as_str(), seen) {
            Verdict::Elected => Ok(None),
            Verdict::Other { elected } => Err(replicas_did_not_match(seen.replica, &elected)),
            Verdict::Unknown { clusters } => {
                let most = limits.ha_max_clusters;
                if most > 0 && most <= clusters as u64 {
                    return Err(too_many_clusters(most));
                }
                let (tenant, cluster) = (tenant.clone(), seen.cluster.to_owned());
                Ok(Some(Election { tenant, cluster, proposal: seen.proposal() }))
            }
        }
    }

    /// Elects a replica of a cluster that is not known, or learns who is elected.
    pub(crate) async fn elect(&self, election: &Election) -> Result<(), PushError> {
        let Election { tenant, cluster, proposal } = election;
        let failed = |error: &dyn std::fmt::Display| {
            let message = format!("failed to store the elected replica: {error}");
            PushError::hard(PushErrorCause::Unknown, message)
        };
        let proposed = self.propose((tenant.as_str(), cluster), proposal);
        let proposed = rt::time::timeout(STORE_TIMEOUT, proposed).await;
        proposed.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }

    /// Puts a proposal into the store if that agrees, and learns what stands there then.
    async fn propose(
        &self,
        (tenant, cluster): (&str, &str),
        proposal: &Proposal,
    ) -> Result<(), KvError> {
        let at = (self.timeouts(tenant), self.now_ms());
        let key = format!("{tenant}/{cluster}");
        let mut stands = None;
        let change = |current: Option<ReplicaDesc>| {
            let new = elect(current.as_ref(), proposal, at);
            stands = new.clone().or(current);
            Ok(new)
        };
        let changed = self.parts.client.cas(&key, change).await;
        self.metrics.cas_calls.with(&[tenant, cluster]).inc();
        changed?;
        if let Some(desc) = stands {
            self.learn((tenant, cluster), desc);
        }
        Ok(())
    }

    fn learn(&self, (tenant, cluster): (&str, &str), desc: ReplicaDesc) {
        let learned = self.clusters.lock().learn(tenant, cluster, desc.clone());
        self.metrics.learned((tenant, cluster), &desc, &learned);
        if let clusters::Learned::Elected { former } = learned {
            let elected = &desc.replica;
            tracing::info!(user = tenant, cluster, former, elected, "another replica is elected");
        }
    }

    /// Takes over what stands behind a key of the store. Keys of others are left alone.
    fn took_in(&self, key: &str, desc: Option<ReplicaDesc>) {
        let Some((tenant, cluster)) = key.split_once('/') else { return };
        match desc.filter(|desc| !desc.is_deleted()) {
            Some(desc) => {
                let age_ms = self.now_ms().saturating_sub(desc.received_at);
                self.metrics.propagation.observe(age_ms as f64 / 1000.0);
                self.learn((tenant, cluster), desc);
            }
            None => {
                let forgotten = self.clusters.lock().forget(tenant, cluster);
                if let Some(replica) = forgotten {
                    self.metrics.forgotten((tenant, cluster), &replica);
                }
            }
        }
    }

    /// Brings the store up to date where this distributor knows better.
    async fn update_store(&self) {
        let due = self.clusters.lock().due(self.now_ms(), |tenant| self.timeouts(tenant));
        for (tenant, cluster, proposal) in due {
            if let Err(error) = self.propose((&tenant, &cluster), &proposal).await {
                tracing::error!(user = tenant, cluster, %error, "could not update the HA tracker");
            }
        }
    }

    /// Marks entries that nothing was received for, and deletes those that were marked long ago.
    async fn clean_up(&self) {
        self.metrics.cleanups.inc();
        let before_ms = self.now_ms().saturating_sub(DELETION_TIMEOUT_MS);
        let keys = match self.parts.client.list("").await {
            Ok(keys) => keys,
            Err(error) => return tracing::warn!(%error, "could not list the HA tracker's keys"),
        };
        for key in keys {
            let cleaned = self.clean_up_key(&key, before_ms).await;
            if let Err(error) = cleaned {
                self.metrics.cleanup_failed.inc();
                tracing::error!(key, %error, "could not clean up an entry of the HA tracker");
            }
        }
    }

    async fn clean_up_key(&self, key: &str, before_ms: i64) -> Result<(), KvError> {
        let client = &self.parts.client;
        let Some(desc) = client.get(key).await? else { return Ok(()) };
        if desc.is_deleted() {
            if desc.deleted_at <= before_ms {
                client.delete(key).await?;
                self.metrics.deleted.inc();
            }
            return Ok(());
        }
        if before_ms <= desc.received_at {
            return Ok(());
        }
        let mut is_marked = false;
        let mark = |desc: Option<ReplicaDesc>| {
            let is_old = |d: &ReplicaDesc| !d.is_deleted() && d.received_at < before_ms;
            let marked = desc.filter(is_old);
            is_marked = marked.is_some();
            Ok(marked.map(|desc| ReplicaDesc { deleted_at: self.now_ms(), ..desc }))
        };
        client.cas(key, mark).await?;
        if is_marked {
            self.metrics.marked.inc();
        }
        Ok(())
    }

    /// Learns everything that stands in the store.
    async fn read_store(&self) -> Result<(), KvError> {
        for key in self.parts.client.list("").await? {
            match self.parts.client.get(&key).await {
                Ok(desc) => self.took_in(&key, desc),
                Err(error) => tracing::warn!(key, %error, "could not read an elected replica"),
            }
        }
        Ok(())
    }

    /// Updates and cleans up again and again.
    async fn keep_up(&self) {
        let update = self.parts.overrides.defaults().ha_tracker_update_timeout.std();
        let mut updates = rt::time::interval(update);
        let spread = 2.0 * (self.parts.random.below(1 << 20) as f64 / f64::from(1 << 20)) - 1.0;
        let cleanup = CLEANUP_PERIOD.mul_f64(1.0 + CLEANUP_JITTER * spread);
        let mut cleanups = rt::time::interval(cleanup);
        loop {
            tokio::select! {
                () = updates.tick() => self.update_store().await,
                () = cleanups.tick() => self.clean_up().await,
            }
        }
    }

    /// The timeouts of a tenant, with new jitter.
    fn timeouts(&self, tenant: &str) -> Timeouts {
        let (timeouts, jitter_ms) = self.configured(tenant);
        let jitter_ms = match u64::try_from(2 * jitter_ms) {
            Ok(range @ 1..) => self.parts.random.below(range) as i64 - jitter_ms,
            _ => 0,
        };
        Timeouts { update_ms: timeouts.update_ms + jitter_ms, ..timeouts }
    }

    /// The timeouts of a tenant without jitter, and the greatest jitter, ms. What a tenant does
    /// not set is the default.
    fn configured(&self, tenant: &str) -> (Timeouts, i64) {
        let defaults = self.parts.overrides.defaults();
        let own = TenantId::new(tenant).map(|tenant| self.parts.overrides.limits(&tenant));
        let own = own.as_ref().unwrap_or(defaults);
        let or_default = |of: fn(&Limits) -> config::PromDuration| match of(own).millis() {
            ms if ms > 0 => ms,
            _ => of(defaults).millis(),
        };
        let timeouts = Timeouts {
            update_ms: or_default(|l| l.ha_tracker_update_timeout),
            failover_ms: or_default(|l| l.ha_tracker_failover_timeout),
            failover_sample_ms: own.ha_tracker_sample_failover_timeout.millis(),
        };
        (timeouts, or_default(|l| l.ha_tracker_update_timeout_jitter_max))
    }

    fn now_ms(&self) -> i64 {
        self.parts.clock.now_ms()
    }

    fn all(&self) -> Vec<(String, String, ReplicaDesc)> {
        self.clusters.lock().all()
    }
}

impl Service for HaTracker {
    fn name(&self) -> &'static str {
        "ha-tracker"
    }

    fn starting(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        async { Ok(self.read_store().await?) }.boxed()
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            let watch = self.parts.client.watch_prefix("", |key, desc| {
                self.took_in(key, desc);
                true
            });
            let life = async { futures::join!(watch, self.keep_up()) };
            stop.run_until_cancelled(life).await;
            Ok(())
        }
        .boxed()
    }
}

/// The cluster and the replica that a request comes from, by its first series.
pub(crate) struct Origin {
    pub(crate) cluster: String,
    replica: String,
}

impl Origin {
    /// `None` for a request that does not say both.
    pub(crate) fn of(batch: &WriteBatch<'_>, limits: &Limits) -> Option<Self> {
        let first = batch.labels_of(batch.series.first()?);
        let value = |name: &str| first.iter().rev().find(|l| l.name == name).map(|l| l.value);
        let cluster = value(&limits.ha_cluster_label).filter(|cluster| !cluster.is_empty())?;
        let replica = value(&limits.ha_replica_label).filter(|replica| !replica.is_empty())?;
        // It will not pass the checks: nobody is elected by such a name.
        if limits.max_label_value_length < replica.len() as u64 {
            return None;
        }
        Some(Self { cluster: cluster.to_owned(), replica: replica.to_owned() })
    }
}

/// Judges a request, and takes the replica label away from all series of one that passes. Without
/// a tracker all pass.
pub(crate) fn dedup(
    tracker: Option<&HaTracker>,
    (tenant, limits, now_ms): (&TenantId, &Limits, i64),
    batch: &mut WriteBatch<'_>,
    origin: Option<&Origin>,
) -> Result<Dedup, PushError> {
    let Some(Origin { cluster, replica }) = origin else { return Ok(Dedup::NotHa) };
    if let Some(tracker) = tracker {
        let by_samples = limits.ha_tracker_sample_failover_timeout.millis() > 0;
        let sample_ms = if by_samples { labels::earliest_ms(batch, now_ms) } else { now_ms };
        let seen = Sighting { cluster, replica, now_ms, sample_ms };
        if let Some(election) = tracker.judge(tenant, seen, limits)? {
            return Ok(Dedup::Unknown(election));
        }
    }
    labels::remove(batch, &limits.ha_replica_label);
    Ok(Dedup::Stripped)
}

fn replicas_did_not_match(replica: &str, elected: &str) -> PushError {
    let message =
        format!("replicas did not match, rejecting sample: replica={replica}, elected={elected}");
    PushError::hard(PushErrorCause::ReplicasDidNotMatch, message)
}

fn too_many_clusters(limit: u64) -> PushError {
    let message = format!(
        "the write request has been rejected because the maximum number of high-availability (HA) \
         clusters has been reached for this tenant (limit: {limit}) \
         (err-mimir-tenant-too-many-ha-clusters). To adjust the related per-tenant limit, \
         configure -distributor.ha-tracker.max-clusters, or contact your service administrator."
    );
    PushError::hard(PushErrorCause::TooManyClusters, message)
}

#[cfg(test)]
mod tests;
