//! Components over a database in memory, and a server of both services.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use model::batch::SeriesHasher;
use model::env::{Inline, ManualClock, SeededRandom};
use model::storage::TextSet;
use model::{
    Labels, Matcher, Querier, QueryLimits, Queryable, SelectHints, SeriesSet, StorageError,
    TenantId, WriteBatch,
};
use parking_lot::Mutex;
use rpc::ingester::{IngesterServer, IngesterServerParts};
use rpc::store_gateway::{StoreGatewayServer, StoreGatewayServerParts};
use rpc::{ClientOptions, Compression, ServerLimits};
use rt::{ComputeOptions, ComputePool};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tsdb::db::{Db, DbEnv, DbOptions};
use tsdb::head::AppendLimits;
use ulid::Ulid;
use wire::client::{
    ActiveSeries, AdmittedPush, BlocksAnswer, BlocksRequest, CardinalityQuery, CountMethod,
    IngesterPush, IngesterQuery, MetadataFilter, OwnedMetadata, PushError, PushErrorCause,
    SeriesVisitor, ServedPush, StoreGatewayClient, UserStats,
};

pub(crate) const OPTIONS: ClientOptions = ClientOptions {
    connect_timeout: Duration::from_secs(5),
    max_recv_message_bytes: 16 << 20,
    max_send_message_bytes: 16 << 20,
    compression: Compression::None,
    windows: (1 << 20, 4 << 20),
    tls: None,
    times: None,
};
pub(crate) const LIMITS: ServerLimits =
    ServerLimits { max_recv_message_bytes: 16 << 20, max_send_message_bytes: 16 << 20 };

/// More than go into one message.
pub(crate) const ACTIVE_SERIES: u32 = 15_000;

pub(crate) fn hasher() -> SeriesHasher {
    SeriesHasher::new(77)
}

/// An ingester with one database for all tenants.
pub(crate) struct FakeIngester {
    pub(crate) db: Arc<Db>,
    pub(crate) tenants: Mutex<BTreeSet<String>>,
    /// Whether it takes no push at the moment.
    pub(crate) is_full: AtomicBool,
    /// The bytes of all messages of pushes.
    pub(crate) read_bytes: AtomicU64,
}

impl FakeIngester {
    pub(crate) fn new() -> Self {
        let env = DbEnv {
            clock: Arc::new(ManualClock::new(0)),
            random: Arc::new(SeededRandom::new(1)),
            executor: Arc::new(Inline),
            fs: Arc::new(tsdb::fs::FaultFs::new()),
            hasher: hasher(),
        };
        let db = Db::open(Path::new("/tenant"), DbOptions::default(), env).unwrap();
        Self::over(Arc::new(db))
    }

    /// The same over a database that there is.
    pub(crate) fn over(db: Arc<Db>) -> Self {
        Self {
            db,
            tenants: Mutex::default(),
            is_full: AtomicBool::default(),
            read_bytes: AtomicU64::default(),
        }
    }
}

impl IngesterPush for FakeIngester {
    fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
        self.tenants.lock().insert(tenant.as_str().to_owned());
        let names = batch.series.iter().filter_map(|series| batch.labels_of(series).first());
        if names.into_iter().any(|name| name.value == "refused") {
            return Err(PushError::soft(PushErrorCause::TenantLimit, "no more series"));
        }
        self.db.append(batch, &AppendLimits::default()).unwrap();
        Ok(())
    }
}

impl ServedPush for FakeIngester {
    fn admit(self: Arc<Self>) -> Result<Arc<dyn AdmittedPush>, PushError> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(PushError::hard(PushErrorCause::InstanceLimit, "too many pushes"));
        }
        Ok(Arc::new(FakeAdmitted(self)))
    }
}

struct FakeAdmitted(Arc<FakeIngester>);

impl AdmittedPush for FakeAdmitted {
    fn has_read(&self, bytes: u64) -> Result<(), PushError> {
        self.0.read_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
        self.0.push(tenant, batch)
    }
}

impl IngesterQuery for FakeIngester {
    fn queryable(&self, _: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        Ok(Some(Arc::clone(&self.db) as _))
    }

    fn metadata(
        &self,
        _: &TenantId,
        _: &MetadataFilter,
    ) -> Result<Vec<OwnedMetadata>, StorageError> {
        Ok(Vec::new())
    }

    fn user_stats(&self, _: &TenantId) -> Result<UserStats, StorageError> {
        Ok(UserStats { num_series: self.db.head().series_count(), ..UserStats::default() })
    }

    /// [`ACTIVE_SERIES`], of which every third is one of native histograms.
    fn active_series(
        &self,
        _: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        (0..ACTIVE_SERIES).try_for_each(|i| {
            let name = format!("{i:0100}");
            let labels = Labels::from_pairs([("__name__", name.as_str())]);
            visit(ActiveSeries { labels, bucket_count: (i % 3 == 0).then_some(i) })
        })
    }

    fn series_count(&self, query: CardinalityQuery<'_>) -> Result<u64, StorageError> {
        assert_eq!(query.counted, CountMethod::Active);
        Ok(3)
    }

    fn all_user_stats(&self) -> Result<Vec<(TenantId, UserStats)>, StorageError> {
        let stats = |num_series| UserStats { num_series, ..UserStats::default() };
        let tenant = |name| TenantId::new(name).unwrap();
        Ok(vec![(tenant("a"), stats(0)), (tenant("b"), stats(7))])
    }
}

/// A store-gateway with one block, whose contents are those of an ingester.
pub(crate) struct FakeGateway {
    pub(crate) ingester: FakeIngester,
    pub(crate) block: Ulid,
}

impl FakeGateway {
    pub(crate) fn new() -> Self {
        Self { ingester: FakeIngester::new(), block: Ulid::from_bytes([7; 16]) }
    }

    fn answer<T>(
        &self,
        request: BlocksRequest<'_>,
        ask: impl FnOnce(&dyn Querier) -> Result<T, StorageError>,
    ) -> Result<BlocksAnswer<T>, StorageError> {
        let querier = self.ingester.db.querier(request.range, request.context)?;
        let queried = request.blocks.iter().copied().filter(|id| *id == self.block).collect();
        Ok(BlocksAnswer { value: ask(&*querier)?, queried, failed: Vec::new() })
    }
}

impl StoreGatewayClient for FakeGateway {
    fn select(
        &self,
        request: BlocksRequest<'_>,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<BlocksAnswer<Box<dyn SeriesSet>>, StorageError> {
        self.answer(request, |querier| querier.select(matchers, hints))
    }

    fn label_names(
        &self,
        request: BlocksRequest<'_>,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        self.answer(request, |querier| querier.label_name_set(matchers, limit))
    }

    fn label_values(
        &self,
        request: BlocksRequest<'_>,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        self.answer(request, |querier| querier.label_value_set(name, matchers, limit))
    }
}

fn pool(name: &'static str) -> ComputePool {
    ComputePool::new(ComputeOptions { name, threads: 2, queue_capacity: 100 }).unwrap()
}

/// Services for what there is.
pub(crate) fn services(
    ingester: Option<Arc<FakeIngester>>,
    gateway: Option<Arc<FakeGateway>>,
) -> Routes {
    let ingester = ingester.map(|ingester| {
        IngesterServer::new(IngesterServerParts {
            push: Arc::clone(&ingester) as _,
            query: ingester,
            hasher: hasher(),
            writes: pool("writes"),
            queries: pool("queries"),
            limits: LIMITS,
        })
    });
    let gateway = gateway.map(|gateway| {
        let (queries, limits) = (pool("queries"), LIMITS);
        // The name of a tenant says how many series it may fetch.
        let limits_of = Arc::new(|tenant: &TenantId| QueryLimits {
            max_series: tenant.as_str().parse().unwrap_or(0),
            ..QueryLimits::default()
        });
        StoreGatewayServer::new(StoreGatewayServerParts { gateway, limits_of, queries, limits })
    });
    let mut routes = Routes::builder();
    if let Some(service) = ingester {
        routes.add_service(service);
    }
    if let Some(service) = gateway {
        routes.add_service(service);
    }
    routes.routes()
}

/// Serves what there is until the test ends; returns the address.
pub(crate) async fn serve(
    ingester: Option<Arc<FakeIngester>>,
    gateway: Option<Arc<FakeGateway>>,
) -> String {
    let (incoming, address) = incoming().await;
    let server = Server::builder().add_routes(services(ingester, gateway));
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

/// A port that is listened on, and its address.
pub(crate) async fn incoming() -> (TcpIncoming, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (TcpIncoming::from(listener), address)
}
