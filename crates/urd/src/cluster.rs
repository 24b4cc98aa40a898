//! How the components of this process and those of others come together: who is asked stands in
//! the rings, and the ways there are gRPC.
//!
//! A node that cannot have company by its configuration (rings in memory, or gossip that joins
//! nobody and that nobody has joined) calls its own components directly. Its ingester takes single
//! copies only while that is what was asked for, see [`Alone::of_ingesters`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use config::{Config, KvBackend};
use model::{Matcher, Queryable, SeriesExemplars, StorageError, TenantId, TimeRange, WriteBatch};
use ring::RingView;
use rpc::ingester::IngesterPool;
use rpc::{CallTimes, ClientOptions};
use wire::client::{
    BegunPush, CardinalityQuery, CountVisitor, IngesterPush, IngesterQuery, MetadataFilter,
    OwnedMetadata, PushError, PushHeld, SeriesVisitor, UserStats, ValueVisitor,
};

use crate::env::Env;
use crate::rings::JoinedRing;

mod connections;
mod gateways;
mod sharding;

pub(crate) use connections::tend_connections;
pub(crate) use gateways::Gateways;
pub(crate) use sharding::{block_sharding, job_sharding};

/// How this process sees a ring.
pub(crate) fn view(ring: &JoinedRing) -> RingView {
    let reader = Arc::clone(&ring.reader);
    Arc::new(move || reader.ring())
}

/// Whether a ring in such a store can have members that this process does not start.
fn may_have_company(config: &Config, store: KvBackend) -> bool {
    match store {
        KvBackend::Inmemory => false,
        KvBackend::Memberlist => !config.memberlist.join_members.0.is_empty(),
        _ => true,
    }
}

/// The connections to the ingesters.
pub(crate) fn ingester_pool(env: &Env) -> anyhow::Result<Arc<IngesterPool>> {
    let times = CallTimes::of_ingesters(&env.metrics, Arc::clone(&env.clock));
    let options =
        crate::tls::of_client("ingesters", &env.config.ingester_client.grpc_client_config)?;
    let options = ClientOptions { times: Some(times), ..options };
    let timeout = env.config.distributor.remote_timeout.std();
    Ok(Arc::new(IngesterPool::new(options, timeout, env.blocking.clone())))
}

/// Where the samples of this process go and come from: its own ingester while it is alone, else
/// the ring's.
pub(crate) struct Ingesters<L, R> {
    alone: Alone,
    local: Option<L>,
    ring: R,
}

/// Tells whether this process is alone in a ring.
#[derive(Clone)]
pub(crate) struct Alone {
    view: RingView,
    may_have_company: bool,
    /// Where it matters, whether others have ever been seen.
    had_company: Option<Arc<AtomicBool>>,
}

impl Alone {
    /// Alone in `ring`, which lies in `store`.
    pub(crate) fn new(config: &Config, store: KvBackend, ring: &JoinedRing) -> Self {
        let may_have_company = may_have_company(config, store);
        Self { view: view(ring), may_have_company, had_company: None }
    }

    /// The same in the ring of ingesters, where being alone means that samples have one copy. With
    /// the replication factor 1 that is what was asked for. With another one it is so only where
    /// the factor is a mere default (`-urd.single-copy-while-alone`), and until the first other
    /// ingester is seen: from then on copies are missing when it goes.
    pub(crate) fn of_ingesters(config: &Config, ring: &JoinedRing) -> Self {
        let own = &config.ingester.ring;
        let alone = Self::new(config, own.kvstore.store, ring);
        if own.replication_factor == 1 {
            return alone;
        }
        let may_have_company = alone.may_have_company || !config.urd.single_copy_while_alone;
        Self { may_have_company, had_company: Some(Arc::default()), ..alone }
    }

    fn is_alone(&self) -> bool {
        if self.may_have_company {
            return false;
        }
        let has_company = (self.view)().instances().len() > 1;
        match &self.had_company {
            None => !has_company,
            Some(had) => !(had.fetch_or(has_company, Ordering::Relaxed) || has_company),
        }
    }
}

impl<L, R> Ingesters<L, R> {
    /// `local` while it is alone, else `ring`.
    pub(crate) fn new(alone: Alone, local: Option<L>, ring: R) -> Self {
        Self { alone, local, ring }
    }

    /// The local ingester, where it is to be used.
    fn own(&self) -> Option<&L> {
        self.local.as_ref().filter(|_| self.alone.is_alone())
    }
}

impl<R: IngesterPush> IngesterPush for Ingesters<Arc<dyn IngesterPush>, R> {
    fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
        match self.own() {
            Some(own) => own.push(tenant, batch),
            None => self.ring.push(tenant, batch),
        }
    }

    fn begin(&self, tenant: &TenantId, batch: &WriteBatch<'_>, held: PushHeld) -> BegunPush {
        match self.own() {
            Some(own) => own.begin(tenant, batch, held),
            None => self.ring.begin(tenant, batch, held),
        }
    }
}

impl<R: IngesterQuery> Ingesters<Arc<dyn IngesterQuery>, R> {
    fn chosen(&self) -> &dyn IngesterQuery {
        match self.own() {
            Some(own) => &**own,
            None => &self.ring,
        }
    }
}

impl<R: IngesterQuery> IngesterQuery for Ingesters<Arc<dyn IngesterQuery>, R> {
    fn queryable(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        self.chosen().queryable(tenant)
    }

    fn metadata(
        &self,
        tenant: &TenantId,
        filter: &MetadataFilter,
    ) -> Result<Vec<OwnedMetadata>, StorageError> {
        self.chosen().metadata(tenant, filter)
    }

    fn exemplars(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selectors: &[Vec<Matcher>],
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        self.chosen().exemplars(tenant, range, selectors)
    }

    fn user_stats(&self, tenant: &TenantId) -> Result<UserStats, StorageError> {
        self.chosen().user_stats(tenant)
    }

    fn all_user_stats(&self) -> Result<Vec<(TenantId, UserStats)>, StorageError> {
        self.chosen().all_user_stats()
    }

    fn label_names_and_values(
        &self,
        query: CardinalityQuery<'_>,
        visit: ValueVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.chosen().label_names_and_values(query, visit)
    }

    fn label_values_cardinality(
        &self,
        query: CardinalityQuery<'_>,
        name: &str,
        visit: CountVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.chosen().label_values_cardinality(query, name, visit)
    }

    fn series_count(&self, query: CardinalityQuery<'_>) -> Result<u64, StorageError> {
        self.chosen().series_count(query)
    }

    fn active_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.chosen().active_series(query, visit)
    }
}
