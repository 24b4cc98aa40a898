//! The traits through which components call each other, and the errors that cross them.
//!
//! `distributor` calls [`IngesterPush`]; `query` calls [`IngesterQuery`] and, through the
//! [`BlockStore`] that it has itself, [`StoreGatewayClient`]; `ingester` and `store_gateway`
//! implement them; `urd` wires them together.

mod cardinality;
mod error;
mod store_gateway;

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use model::batch::MetricType;
use model::{
    Matcher, Queryable, SeriesExemplars, StorageError, TenantId, TimeRange, TimestampMs, WriteBatch,
};

pub use cardinality::{
    ActiveSeries, CardinalityQuery, CountMethod, CountVisitor, SeriesVisitor, ValueVisitor,
};
pub use error::{PushError, PushErrorCause};
pub use store_gateway::{
    BlocksAnswer, BlocksRequest, GatewayClients, GatewayShare, SingleGateway, StoreGatewayClient,
    StoreGateways, TriedGateways, WantedBlock,
};

/// Takes samples.
pub trait IngesterPush: Send + Sync {
    /// Stores the batch. When it returns `Ok` everything is in the write-ahead log. On a
    /// [`PushErrorCause`] that is soft, what was valid is stored all the same, and the error is
    /// the first one. Called from a compute thread; may block for the write-ahead log.
    fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError>;

    /// The same, without waiting on the compute thread for other processes: that is left to what
    /// is returned. `held` is dropped when nothing of the push is under way any more, which may be
    /// later than its end.
    fn begin(&self, tenant: &TenantId, batch: &WriteBatch<'_>, held: PushHeld) -> BegunPush {
        let _until_stored = held;
        BegunPush::Ended(self.push(tenant, batch))
    }
}

/// Takes samples that other processes send: it knows of a push before that has a thread.
pub trait ServedPush: Send + Sync {
    /// Counts a push as under way before its message is read, unless there are too many.
    fn admit(self: Arc<Self>) -> Result<Arc<dyn AdmittedPush>, PushError>;
}

/// A push that counts as under way until this is dropped.
pub trait AdmittedPush: Send + Sync {
    /// The message has been read: its bytes count too, unless there are too many.
    fn has_read(&self, bytes: u64) -> Result<(), PushError>;

    /// As [`IngesterPush::push`].
    fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError>;
}

/// What is kept as long as anything of a push is under way: a place among those that are bounded.
pub type PushHeld = Arc<dyn Any + Send + Sync>;

/// A push whose compute thread is free again.
#[must_use = "nothing is sent before this is awaited"]
pub enum BegunPush {
    /// It has ended.
    Ended(Result<(), PushError>),
    /// It is to be awaited within the runtime.
    Waits(BoxFuture<'static, Result<(), PushError>>),
}

impl BegunPush {
    /// Waits for its end.
    pub async fn ended(self) -> Result<(), PushError> {
        match self {
            Self::Ended(done) => done,
            Self::Waits(done) => done.await,
        }
    }
}

/// Sends samples to ingesters of a ring, by their addresses.
pub trait IngesterPushes: Send + Sync {
    /// Sends an encoded `WriteRequest`. An ingester that cannot be reached is an error of
    /// [`PushErrorCause::ServiceUnavailable`].
    fn push_message(
        &self,
        address: &str,
        tenant: &TenantId,
        message: Bytes,
    ) -> BoxFuture<'static, Result<(), PushError>>;
}

/// Answers queries over recent samples.
pub trait IngesterQuery: Send + Sync {
    /// The tenant's recent data (head and local blocks); `None` for a tenant without any.
    fn queryable(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError>;

    /// Metadata of the tenant's metrics, in order of metric name.
    fn metadata(
        &self,
        tenant: &TenantId,
        filter: &MetadataFilter,
    ) -> Result<Vec<OwnedMetadata>, StorageError>;

    /// The exemplars inside of `range` of series that satisfy all matchers of one of `selectors`,
    /// by series in label order. None where exemplars are not kept.
    fn exemplars(
        &self,
        _tenant: &TenantId,
        _range: TimeRange,
        _selectors: &[Vec<Matcher>],
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        Ok(Vec::new())
    }

    /// Counts of the tenant's recent data.
    fn user_stats(&self, tenant: &TenantId) -> Result<UserStats, StorageError>;

    /// Counts of the recent data of every tenant, by tenant. Those of several ingesters are added
    /// up: data with three replicas count three times.
    fn all_user_stats(&self) -> Result<Vec<(TenantId, UserStats)>, StorageError> {
        Err(StorageError::Unavailable("this ingester does not tell its tenants".to_owned()))
    }

    /// Visits each label name and value of the series, each pair once, grouped by name.
    fn label_names_and_values(
        &self,
        query: CardinalityQuery<'_>,
        visit: ValueVisitor<'_>,
    ) -> Result<(), StorageError> {
        let _ = (query, visit);
        Err(no_cardinality())
    }

    /// Visits each value of the label `name` with the number of its series.
    fn label_values_cardinality(
        &self,
        query: CardinalityQuery<'_>,
        name: &str,
        visit: CountVisitor<'_>,
    ) -> Result<(), StorageError> {
        let _ = (query, name, visit);
        Err(no_cardinality())
    }

    /// The number of the tenant's series, whatever the query's matchers are.
    fn series_count(&self, query: CardinalityQuery<'_>) -> Result<u64, StorageError> {
        let _ = query;
        Err(no_cardinality())
    }

    /// Visits the active series in label order, whatever the query's count method is.
    fn active_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        let _ = (query, visit);
        Err(no_cardinality())
    }

    /// The same of those that are series of native histograms, each with its number of buckets.
    fn active_histogram_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.active_series(query, &mut |series| match series.bucket_count {
            Some(_) => visit(series),
            None => Ok(()),
        })
    }
}

fn no_cardinality() -> StorageError {
    StorageError::Unavailable("this ingester does not answer cardinality queries".to_owned())
}

/// The ways to the ingesters of a ring, by their addresses.
pub trait IngesterReads: Send + Sync {
    /// The ingester at `address`.
    fn ingester(&self, address: &str) -> Result<Arc<dyn IngesterQuery>, StorageError>;
}

/// Answers queries over the blocks in the bucket.
pub trait BlockStore: Send + Sync {
    /// The tenant's blocks; `None` for a tenant without any.
    fn queryable(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError>;
}

/// Which metadata is asked for.
#[derive(Debug, Clone, Default)]
pub struct MetadataFilter {
    /// Only this metric.
    pub metric: Option<String>,
    /// At most this many metrics; 0 = all.
    pub limit: usize,
    /// At most this many entries a metric; 0 = all.
    pub limit_per_metric: usize,
}

/// Metadata of a metric family, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedMetadata {
    /// The metric family's name.
    pub family: String,
    /// Its type.
    pub metric_type: MetricType,
    /// Its help text.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

/// Counts of one tenant's recent data.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct UserStats {
    /// Samples and metadata a second.
    pub ingestion_rate: f64,
    /// Series in memory.
    pub num_series: u64,
    /// Samples a second from the API.
    pub api_ingestion_rate: f64,
    /// Samples a second from rules.
    pub rule_ingestion_rate: f64,
    /// Time of the newest sample, ms.
    pub max_time_ms: Option<TimestampMs>,
}

impl UserStats {
    /// Adds the counts of another ingester.
    pub fn add(&mut self, other: &Self) {
        self.ingestion_rate += other.ingestion_rate;
        self.num_series += other.num_series;
        self.api_ingestion_rate += other.api_ingestion_rate;
        self.rule_ingestion_rate += other.rule_ingestion_rate;
        self.max_time_ms = self.max_time_ms.max(other.max_time_ms);
    }
}
