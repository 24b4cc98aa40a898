//! Questions of queriers to store-gateways.

use std::sync::Arc;

use model::storage::{EmptySeriesSet, TextSet, Texts};
use model::{Matcher, QueryContext, SelectHints, SeriesSet, StorageError};
use rt::BlockingHandle;
use store_gateway::StoreGateway;
use tokio::sync::oneshot;
use wire::client::{BlocksAnswer, BlocksRequest, GatewayClients, StoreGatewayClient};

use super::{Arriving, Links, drained, no_answer, node_of, wait_for};
use crate::bugs::Bug;

/// The ways of a querier to the store-gateways.
pub(crate) struct GatewayLinks {
    pub(crate) links: Arc<Links>,
    pub(crate) from: String,
    pub(crate) blocking: BlockingHandle,
}

impl GatewayClients for GatewayLinks {
    fn gateway(&self, address: &str) -> Result<Arc<dyn StoreGatewayClient>, StorageError> {
        Ok(Arc::new(RemoteGateway {
            links: Arc::clone(&self.links),
            from: self.from.clone(),
            to: node_of(address).to_owned(),
            blocking: self.blocking.clone(),
        }))
    }
}

struct RemoteGateway {
    links: Arc<Links>,
    from: String,
    to: String,
    blocking: BlockingHandle,
}

impl RemoteGateway {
    /// Has `job` done by the store-gateway, on a thread of its own. Blocks.
    fn call<T, F>(
        &self,
        request: BlocksRequest<'_>,
        job: F,
    ) -> Result<BlocksAnswer<T>, StorageError>
    where
        F: FnOnce(&StoreGateway, BlocksRequest<'_>) -> Result<BlocksAnswer<T>, StorageError>
            + Send
            + 'static,
        T: Send + Default + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let (links, from, to) = (Arc::clone(&self.links), self.from.clone(), self.to.clone());
        let (tenant, blocks, range) =
            (self.links.arriving(request.tenant), request.blocks.to_vec(), request.range);
        self.links.tasks.spawn("blocks", async move {
            let lost = |_| no_answer(&to);
            let done = async {
                links.network.carry(&from, &to).await.map_err(lost)?;
                let served = links.gateways.lock().get(&to).cloned();
                let served = served.ok_or_else(|| no_answer(&to))?;
                let work = served.blocking.spawn(move || {
                    let context = &Arc::new(QueryContext::unlimited());
                    let (tenant, blocks) = (&tenant, &*blocks);
                    job(&served.gateway, BlocksRequest { tenant, blocks, range, context })
                });
                let done = work.await.map_err(|_| no_answer(&to))?;
                links.network.carry(&to, &from).await.map_err(lost)?;
                done
            };
            // The querier may have given up.
            let _ = sender.send(done.await);
        });
        let answer = wait_for(&self.blocking, &self.to, receiver);
        if self.links.world.bug == Some(Bug::NoConsistencyCheck) {
            return self.unchecked(answer, request);
        }
        answer
    }

    /// The planted bug: whatever was answered, all blocks count as looked at.
    fn unchecked<T: Default>(
        &self,
        answer: Result<BlocksAnswer<T>, StorageError>,
        request: BlocksRequest<'_>,
    ) -> Result<BlocksAnswer<T>, StorageError> {
        let value = match answer {
            Ok(answer) => answer.value,
            Err(StorageError::Unavailable(_)) => T::default(),
            Err(error) => return Err(error),
        };
        Ok(BlocksAnswer { value, queried: request.blocks.to_vec(), failed: Vec::new() })
    }

    fn texts(
        &self,
        request: BlocksRequest<'_>,
        job: impl FnOnce(
            &StoreGateway,
            BlocksRequest<'_>,
        ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError>
        + Send
        + 'static,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        let answer = self.call(request, move |gateway, request| {
            let mut answer = job(gateway, request)?;
            let mut texts = Vec::new();
            while let Some(text) = answer.value.next_text()? {
                texts.push(text.to_owned());
            }
            Ok(BlocksAnswer { value: texts, queried: answer.queried, failed: answer.failed })
        })?;
        let value: Box<dyn TextSet> = Box::new(Texts::new(answer.value));
        Ok(BlocksAnswer { value, queried: answer.queried, failed: answer.failed })
    }
}

impl StoreGatewayClient for RemoteGateway {
    fn select(
        &self,
        request: BlocksRequest<'_>,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<BlocksAnswer<Box<dyn SeriesSet>>, StorageError> {
        let (matchers, hints) = (matchers.to_vec(), hints.clone());
        let answer = self.call(request, move |gateway, request| {
            let answer = gateway.select(request, &matchers, &hints)?;
            let value = Some(drained(answer.value)?);
            Ok(BlocksAnswer { value, queried: answer.queried, failed: answer.failed })
        })?;
        let value: Box<dyn SeriesSet> = match answer.value {
            Some(sent) => Box::new(Arriving::new(&self.links.world, sent)),
            None => Box::new(EmptySeriesSet),
        };
        Ok(BlocksAnswer { value, queried: answer.queried, failed: answer.failed })
    }

    fn label_names(
        &self,
        request: BlocksRequest<'_>,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        let matchers = matchers.to_vec();
        self.texts(request, move |gateway, request| gateway.label_names(request, &matchers, limit))
    }

    fn label_values(
        &self,
        request: BlocksRequest<'_>,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        let (name, matchers) = (name.to_owned(), matchers.to_vec());
        self.texts(request, move |gateway, request| {
            gateway.label_values(request, &name, &matchers, limit)
        })
    }
}
