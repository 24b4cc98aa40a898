//! Serves an ingester. Every call runs on a compute thread: pushes on those of writes, all others
//! on those of queries in their tenant's turn.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use model::batch::SeriesHasher;
use model::{StorageError, TenantId, WriteBatch};
use parking_lot::Mutex;
use rt::ComputePool;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Status};
use wire::client::{IngesterPush, IngesterQuery};

use super::{cardinality, queries};
use crate::messages::ingester::WriteResponse;
use crate::service::{
    self, HttpAnswer, ServerLimits, busy, streaming, unary, unary_bytes, unknown_method,
};
use crate::status::{push_status, tenant_of};

/// Batches of finished pushes are kept for the next ones, at most this many.
const MAX_SPARE_BATCHES: usize = 16;

/// What is served, and with what.
pub struct IngesterServerParts {
    /// Takes samples.
    pub push: Arc<dyn IngesterPush>,
    /// Answers queries.
    pub query: Arc<dyn IngesterQuery>,
    /// Hashes series as the ingester does.
    pub hasher: SeriesHasher,
    /// Threads of pushes.
    pub writes: ComputePool,
    /// Threads of queries.
    pub queries: ComputePool,
    /// Bounds of messages.
    pub limits: ServerLimits,
}

/// The service `cortex.Ingester`.
#[derive(Clone)]
pub struct IngesterServer {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) parts: IngesterServerParts,
    spare: Mutex<Vec<WriteBatch<'static>>>,
}

impl IngesterServer {
    /// Serves an ingester.
    pub fn new(parts: IngesterServerParts) -> Self {
        Self { shared: Arc::new(Shared { parts, spare: Mutex::default() }) }
    }
}

impl NamedService for IngesterServer {
    const NAME: &'static str = "cortex.Ingester";
}

impl tower::Service<http::Request<Body>> for IngesterServer {
    type Response = HttpAnswer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<HttpAnswer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(answer(shared, request).await) })
    }
}

async fn answer(shared: Arc<Shared>, request: http::Request<Body>) -> HttpAnswer {
    let limits = shared.parts.limits;
    let (server, path) = ((shared, limits), request.uri().path().to_owned());
    match path.strip_prefix("/cortex.Ingester/").unwrap_or_default() {
        "Push" => unary_bytes(server, request, push).await,
        "QueryStream" => streaming(server, request, queries::query_stream).await,
        "QueryExemplars" => unary(server, request, queries::query_exemplars).await,
        "LabelValues" => unary(server, request, queries::label_values).await,
        "LabelNames" => unary(server, request, queries::label_names).await,
        "UserStats" => unary(server, request, queries::user_stats).await,
        "AllUserStats" => unary(server, request, queries::all_user_stats).await,
        "MetricsForLabelMatchers" => unary(server, request, queries::metrics_for_matchers).await,
        "MetricsMetadata" => unary(server, request, queries::metrics_metadata).await,
        "LabelNamesAndValues" => {
            streaming(server, request, cardinality::label_names_and_values).await
        }
        "LabelValuesCardinality" => {
            streaming(server, request, cardinality::label_values_cardinality).await
        }
        "ActiveSeries" => streaming(server, request, cardinality::active_series).await,
        _ => unknown_method(),
    }
}

async fn push(shared: Arc<Shared>, request: Request<Bytes>) -> Result<WriteResponse, Status> {
    let tenant = tenant_of(request.metadata())?;
    let message = request.into_inner();
    let pool = shared.parts.writes.clone();
    let done = pool.run_for("", move || shared.push_message(&tenant, &message)).await;
    done.map_err(|error| busy(&error))?.map(|()| WriteResponse {})
}

impl Shared {
    fn push_message(&self, tenant: &TenantId, message: &[u8]) -> Result<(), Status> {
        let mut batch: WriteBatch<'_> = self.spare.lock().pop().unwrap_or_default().recycle();
        batch.hasher = self.parts.hasher;
        let pushed = match wire::remote_write::decode(message, &mut batch) {
            Ok(()) => self.parts.push.push(tenant, &batch).map_err(|error| push_status(&error)),
            Err(error) => Err(Status::internal(error.to_string())),
        };
        let mut spare = self.spare.lock();
        if spare.len() < MAX_SPARE_BATCHES {
            spare.push(batch.recycle());
        }
        pushed
    }

    /// Runs `job` on a thread of queries, in the tenant's turn.
    pub(super) async fn run<T, F>(&self, tenant: &TenantId, job: F) -> Result<T, Status>
    where
        F: FnOnce() -> Result<T, StorageError> + Send + 'static,
        T: Send + 'static,
    {
        service::run(&self.parts.queries, tenant, job).await
    }
}
