//! Pushes from distributors to ingesters.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use model::{TenantId, WriteBatch};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wire::client::{IngesterPush, IngesterPushes, PushError, PushErrorCause};
use xxhash_rust::xxh64::xxh64;

use super::{Links, node_of};
use crate::bugs::Bug;
use crate::setup;

/// The ways of a distributor to the ingesters.
pub(crate) struct PushLinks {
    links: Arc<Links>,
    from: String,
    /// Messages of which one failure was passed over: the planted bug.
    passed_over: Arc<Mutex<BTreeSet<u64>>>,
}

impl PushLinks {
    /// The ways from the node `from`.
    pub(crate) fn new(links: &Arc<Links>, from: &str) -> Self {
        let passed_over = Arc::default();
        Self { links: Arc::clone(links), from: from.to_owned(), passed_over }
    }
}

impl IngesterPushes for PushLinks {
    fn push_message(
        &self,
        address: &str,
        tenant: &TenantId,
        message: Bytes,
    ) -> BoxFuture<'static, Result<(), PushError>> {
        let (links, passed_over) = (Arc::clone(&self.links), Arc::clone(&self.passed_over));
        let (from, to, tenant) = (self.from.clone(), node_of(address).to_owned(), tenant.clone());
        async move {
            let (sender, receiver) = oneshot::channel();
            let hash = xxh64(&message, 0);
            let request = {
                let links = Arc::clone(&links);
                async move {
                    let done = links.deliver((&from, &to), &tenant, &message).await;
                    links.world.log(format_args!("push {tenant} {from} {to} {}", shown(&done)));
                    // The distributor may have given up.
                    let _ = sender.send(done);
                }
            };
            links.tasks.spawn("push", request);
            let done = receiver.await.unwrap_or_else(|_| Err(unreachable("the process ended")));
            if links.world.bug == Some(Bug::QuorumOffByOne)
                && done.is_err()
                && passed_over.lock().insert(hash)
            {
                return Ok(());
            }
            done
        }
        .boxed()
    }
}

impl Links {
    async fn deliver(
        &self,
        (from, to): (&str, &str),
        tenant: &TenantId,
        message: &Bytes,
    ) -> Result<(), PushError> {
        let lost = |_| unreachable("no answer");
        self.network.carry(from, to).await.map_err(lost)?;
        let done = self.take(to, &self.arriving(tenant), message);
        self.network.carry(to, from).await.map_err(lost)?;
        done
    }

    /// The ingester's part.
    fn take(&self, node: &str, tenant: &TenantId, message: &Bytes) -> Result<(), PushError> {
        let ingester = self.ingester(node).ok_or_else(|| unreachable("connection refused"))?;
        let mut batch = WriteBatch { hasher: ingester.hasher(), ..WriteBatch::default() };
        let decoded = wire::remote_write::decode(message, &mut batch);
        decoded.map_err(|e| PushError::hard(PushErrorCause::BadData, e.to_string()))?;
        ingester.push(tenant, &batch)?;
        let (mut truth, now_ms) = (self.truth.lock(), self.world.now_ms());
        for series in &batch.series {
            let labels = batch.labels_of(series).iter().map(|label| (label.name, label.value));
            let Some(key) = setup::series_key(labels) else { continue };
            let floats = batch.samples_of(series).iter().map(|sample| sample.timestamp_ms);
            let histograms = batch.histograms_of(series).iter().map(|sample| sample.timestamp_ms);
            for at_ms in floats.chain(histograms) {
                truth.promised(key, at_ms, (node, now_ms));
            }
        }
        Ok(())
    }
}

fn unreachable(why: &'static str) -> PushError {
    PushError::hard(PushErrorCause::ServiceUnavailable, why)
}

fn shown(done: &Result<(), PushError>) -> &str {
    match done {
        Ok(()) => "ok",
        Err(error) => &error.message,
    }
}
