//! Questions of queriers to ingesters.

use std::sync::Arc;

use ingester::Ingester;
use model::storage::EmptySeriesSet;
use model::{
    Matcher, Querier, QueryContext, Queryable, SelectHints, SeriesSet, StorageError, TenantId,
    TimeRange,
};
use rt::BlockingHandle;
use tokio::sync::oneshot;
use wire::client::{IngesterQuery, IngesterReads, MetadataFilter, OwnedMetadata, UserStats};

use super::{Arriving, Links, drained, no_answer, node_of, wait_for};

/// The ways of a querier to the ingesters.
pub(crate) struct ReadLinks {
    pub(crate) links: Arc<Links>,
    pub(crate) from: String,
    pub(crate) blocking: BlockingHandle,
}

impl IngesterReads for ReadLinks {
    fn ingester(&self, address: &str) -> Result<Arc<dyn IngesterQuery>, StorageError> {
        Ok(Arc::new(RemoteIngester {
            links: Arc::clone(&self.links),
            from: self.from.clone(),
            to: node_of(address).to_owned(),
            blocking: self.blocking.clone(),
        }))
    }
}

#[derive(Clone)]
struct RemoteIngester {
    links: Arc<Links>,
    from: String,
    to: String,
    blocking: BlockingHandle,
}

impl RemoteIngester {
    /// Has `job` done by the ingester. Blocks.
    fn call<T, F>(&self, job: F) -> Result<T, StorageError>
    where
        F: FnOnce(&Ingester) -> Result<T, StorageError> + Send + 'static,
        T: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let (links, from, to) = (Arc::clone(&self.links), self.from.clone(), self.to.clone());
        self.links.tasks.spawn("read", async move {
            let lost = |_| no_answer(&to);
            let done = async {
                links.network.carry(&from, &to).await.map_err(lost)?;
                let ingester = links.ingester(&to).ok_or_else(|| no_answer(&to))?;
                let done = job(&ingester);
                links.network.carry(&to, &from).await.map_err(lost)?;
                done
            };
            // The querier may have given up.
            let _ = sender.send(done.await);
        });
        wait_for(&self.blocking, &self.to, receiver)
    }
}

impl IngesterQuery for RemoteIngester {
    fn queryable(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        let tenant = self.links.arriving(tenant);
        Ok(Some(Arc::new(RemoteTenant { ingester: self.clone(), tenant })))
    }

    fn metadata(
        &self,
        tenant: &TenantId,
        filter: &MetadataFilter,
    ) -> Result<Vec<OwnedMetadata>, StorageError> {
        let (tenant, filter) = (self.links.arriving(tenant), filter.clone());
        self.call(move |ingester| ingester.metadata(&tenant, &filter))
    }

    fn user_stats(&self, tenant: &TenantId) -> Result<UserStats, StorageError> {
        let tenant = self.links.arriving(tenant);
        self.call(move |ingester| ingester.user_stats(&tenant))
    }
}

struct RemoteTenant {
    ingester: RemoteIngester,
    tenant: TenantId,
}

impl Queryable for RemoteTenant {
    fn querier(
        &self,
        range: TimeRange,
        _: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        let (ingester, tenant) = (self.ingester.clone(), self.tenant.clone());
        Ok(Box::new(RemoteQuerier { ingester, tenant, range }))
    }
}

struct RemoteQuerier {
    ingester: RemoteIngester,
    tenant: TenantId,
    range: TimeRange,
}

impl RemoteQuerier {
    /// Has `job` done by the ingester's querier; `None` where it has no data.
    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn Querier) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<Option<T>, StorageError> {
        let (tenant, range) = (self.tenant.clone(), self.range);
        self.ingester.call(move |ingester| {
            let Some(data) = ingester.queryable(&tenant)? else { return Ok(None) };
            let context = Arc::new(QueryContext::unlimited());
            job(&*data.querier(range, &context)?).map(Some)
        })
    }
}

impl Querier for RemoteQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let (matchers, hints) = (matchers.to_vec(), hints.clone());
        let sent = self.ask(move |querier| drained(querier.select(&matchers, &hints)?))?;
        Ok(match sent {
            Some(sent) => Box::new(Arriving::new(&self.ingester.links.world, sent)),
            None => Box::new(EmptySeriesSet),
        })
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let (name, matchers) = (name.to_owned(), matchers.to_vec());
        let found = self.ask(move |querier| querier.label_values(&name, &matchers, limit))?;
        Ok(found.unwrap_or_default())
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        let matchers = matchers.to_vec();
        let found = self.ask(move |querier| querier.label_names(&matchers, limit))?;
        Ok(found.unwrap_or_default())
    }
}
