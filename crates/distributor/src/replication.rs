//! Pushes to the ingesters that own the series: every series goes to its replicas, and the push
//! is acknowledged when each has a quorum.
//!
//! Contract with Mimir: owners by the token of tenant and labels, in the tenant's shuffle shard;
//! one request for each ingester; client errors and server errors are counted apart; the answer
//! goes out at quorum and the rest of the requests ends in the background, within
//! `-distributor.remote-timeout`.

mod plan;
mod quorum;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::Overrides;
use model::{Clock, TenantId, WriteBatch};
use ring::{InstanceDesc, RingError, RingView};
use rt::{BlockingHandle, TaskGroup};
use tokio::sync::mpsc;
use wire::client::{BegunPush, IngesterPush, IngesterPushes, PushError, PushErrorCause, PushHeld};

use plan::Plan;
use quorum::{Quorum, Verdict};

/// What a [`ReplicatedPush`] is made of.
pub struct ReplicationParts {
    /// The ring of ingesters.
    pub ring: RingView,
    /// The ways to them.
    pub ingesters: Arc<dyn IngesterPushes>,
    /// Limits of the tenants: the size of a tenant's shard.
    pub overrides: Arc<Overrides>,
    /// Time, for heartbeats.
    pub clock: Arc<dyn Clock>,
    /// After how long a request to an ingester counts as failed.
    pub remote_timeout: Duration,
    /// Waits for requests where a push is one call.
    pub blocking: BlockingHandle,
    /// Owns requests that go on after their push was answered.
    pub tasks: Arc<TaskGroup>,
}

/// Takes samples by giving them to the ingesters of a ring.
pub struct ReplicatedPush {
    parts: Arc<ReplicationParts>,
}

impl ReplicatedPush {
    /// Pushes to the ingesters of a ring.
    pub fn new(parts: ReplicationParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    fn plan(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<Plan, RingError> {
        let ring = (self.parts.ring)();
        let size = self.parts.overrides.limits(tenant).ingestion_tenant_shard_size;
        let shard = ring.shuffle_shard(tenant.as_str(), size);
        Plan::new(&shard, (tenant, self.parts.clock.now_ms() / 1000), batch)
    }
}

/// A push that is divided and encoded.
struct Sending {
    parts: Arc<ReplicationParts>,
    tenant: TenantId,
    requests: Vec<Request>,
    quorum: Quorum,
    held: PushHeld,
}

impl Sending {
    /// Starts all requests, and waits until every series has its quorum or cannot get it.
    async fn send(self) -> Result<(), PushError> {
        let Self { parts, tenant, requests, mut quorum, held } = self;
        // Room for all answers, so that none waits to be taken.
        let (ended, mut results) = mpsc::channel(requests.len().max(1));
        for Request { instance, message, keys } in requests {
            let call = parts.ingesters.push_message(&instance.addr, &tenant, message);
            let (ended, timeout, held) = (ended.clone(), parts.remote_timeout, Arc::clone(&held));
            parts.tasks.spawn("push", async move {
                let _under_way = held;
                let done = rt::time::timeout(timeout, call).await;
                let done = match done {
                    Ok(done) => done.map_err(|error| named(&instance.id, error)),
                    Err(_) => Err(timed_out(&instance.id)),
                };
                // The push may have been answered before.
                let _ = ended.try_send((keys, done));
            });
        }
        drop((ended, held));
        while let Some((keys, done)) = results.recv().await {
            match quorum.ended(&keys, done) {
                Verdict::Open => {}
                Verdict::Reached => return Ok(()),
                Verdict::Failed(error) => return Err(error),
            }
        }
        // Requests that died without an answer.
        Err(PushError::hard(PushErrorCause::Unknown, "a push to an ingester was not finished"))
    }
}

/// What one ingester is sent.
struct Request {
    instance: Arc<InstanceDesc>,
    message: Bytes,
    keys: Vec<u32>,
}

impl IngesterPush for ReplicatedPush {
    fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
        let begun = self.begin(tenant, batch, Arc::new(()));
        self.parts.blocking.block_on(begun.ended())
    }

    fn begin(&self, tenant: &TenantId, batch: &WriteBatch<'_>, held: PushHeld) -> BegunPush {
        let Plan { shares, quorum } = match self.plan(tenant, batch) {
            Ok(plan) => plan,
            Err(error) => {
                let message = format!("{CONTEXT}: {error}");
                let error = PushError::hard(PushErrorCause::Unknown, message);
                return BegunPush::Ended(Err(error));
            }
        };
        let requests = plan::requests(batch, shares);
        let (parts, tenant) = (Arc::clone(&self.parts), tenant.clone());
        let sending = Sending { parts, tenant, requests, quorum, held };
        BegunPush::Waits(Box::pin(sending.send()))
    }
}

/// What every error of this step begins with.
const CONTEXT: &str = "send data to ingesters";

fn timed_out(id: &str) -> PushError {
    let message = format!(
        "{CONTEXT}: exceeded configured distributor remote timeout: failed pushing to ingester \
         {id}: context deadline exceeded"
    );
    PushError::hard(PushErrorCause::Unknown, message)
}

/// The error of an ingester as the sender reads it: it says whose it is.
fn named(id: &str, error: PushError) -> PushError {
    let message = format!("{CONTEXT}: failed pushing to ingester {id}: {}", error.message);
    PushError { message: message.into(), ..error }
}

#[cfg(test)]
mod tests;
