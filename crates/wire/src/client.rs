//! The traits through which components call each other, and the errors that cross them.
//!
//! `distributor` calls [`IngesterPush`]; `query` calls [`IngesterQuery`] and, through the
//! [`BlockStore`] that it has itself, [`StoreGatewayClient`]; `ingester` and `store_gateway`
//! implement them; `urd` wires them together.

mod cardinality;
mod error;
mod store_gateway;

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
