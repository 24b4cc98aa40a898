//! Serves an ingester. Every call runs on a compute thread: pushes on those of writes, all others
//! on those of queries in their tenant's turn. These threads must be there for served calls alone:
//! whoever waits for another process on one of them may wait for ever.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use model::batch::SeriesHasher;
use model::{StorageError, TenantId, WriteBatch};
use parking_lot::Mutex;
use rt::{ComputeError, ComputePool};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Status};
use wire::client::{AdmittedPush, IngesterQuery, PushError, PushErrorCause, ServedPush};

use super::{cardinality, queries};
use crate::messages::ingester::WriteResponse;
use crate::service::{
    self, HttpAnswer, ServerLimits, busy, streaming, unary, unary_bytes, unknown_method,
};
use crate::status::{push_status, tenant_of};

/// Batches of finished pushes are kept for the next ones, at most this many.
const MAX_SPARE_BATCHES: usize = 16;
/// The batch of a larger message is not kept.
const MAX_SPARE_MESSAGE_BYTES: usize = 4 << 20;

/// What is served, and with what.
pub struct IngesterServerParts {
    /// Takes samples.
    pub push: Arc<dyn ServedPush>,
    /// Answers queries.
    pub query: Arc<dyn IngesterQuery>,
    /// Hashes series as the ingester does.
    pub hasher: SeriesHasher,
    /// Threads of served pushes.
    pub writes: ComputePool,
    /// Threads of served queries.
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
        "Push" => match admitted(&server.0, request) {
            Ok(request) => unary_bytes(server, request, push).await,
            Err(error) => push_status(&error).into_http(),
        },
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

/// A push goes with its request.
#[derive(Clone)]
struct Admitted(Arc<dyn AdmittedPush>);

/// Counts a push before its message is read.
fn admitted(
    shared: &Shared,
    mut request: http::Request<Body>,
) -> Result<http::Request<Body>, PushError> {
    let admitted = Arc::clone(&shared.parts.push).admit()?;
    request.extensions_mut().insert(Admitted(admitted));
    Ok(request)
}

async fn push(shared: Arc<Shared>, mut request: Request<Bytes>) -> Result<WriteResponse, Status> {
    let tenant = tenant_of(request.metadata())?;
    let admitted = request.extensions_mut().remove::<Admitted>();
    let Admitted(admitted) = admitted.ok_or_else(|| Status::internal("no place for the push"))?;
    let message = request.into_inner();
    admitted.has_read(message.len() as u64).map_err(|error| push_status(&error))?;
    let pool = shared.parts.writes.clone();
    let done = pool.run_for("", move || shared.push_message((&tenant, &*admitted), &message)).await;
    done.map_err(|error| no_thread(&error))?.map(|()| WriteResponse {})
}

/// So many pushes wait that there is no place for another one: a limit of this process.
fn no_thread(error: &ComputeError) -> Status {
    match error {
        ComputeError::QueueFull { .. } => {
            push_status(&PushError::hard(PushErrorCause::InstanceLimit, error.to_string()))
        }
        ComputeError::Stopped(_) | ComputeError::Panicked(_) => busy(error),
    }
}

impl Shared {
    fn push_message(
        &self,
        (tenant, admitted): (&TenantId, &dyn AdmittedPush),
        message: &[u8],
    ) -> Result<(), Status> {
        let mut batch: WriteBatch<'_> = self.spare.lock().pop().unwrap_or_default().recycle();
        batch.hasher = self.parts.hasher;
        let pushed = match wire::remote_write::decode(message, &mut batch) {
            Ok(()) => admitted.push(tenant, &batch).map_err(|error| push_status(&error)),
            Err(error) => Err(Status::internal(error.to_string())),
        };
        let mut spare = self.spare.lock();
        if spare.len() < MAX_SPARE_BATCHES && message.len() <= MAX_SPARE_MESSAGE_BYTES {
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
