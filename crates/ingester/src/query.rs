//! Queries over recent data: the tenant's TSDB behind the traits of `model`, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{
    EncodedChunk, Matcher, Querier, QueryContext, Queryable, SampleBuffer, SampleReader,
    SelectHints, SeriesEntry, SeriesExemplars, SeriesSet, StorageError, TenantId, TimeRange,
};
use tsdb::db::Db;
use wire::client::{
    CardinalityQuery, CountVisitor, IngesterQuery, MetadataFilter, OwnedMetadata, SeriesVisitor,
    UserStats, ValueVisitor,
};

use crate::Ingester;
use crate::ingester::Phase;
use crate::metrics::QueryMetrics;
use crate::tenant::Tenant;

impl IngesterQuery for Ingester {
    fn queryable(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        let Some(tenant) = self.readable(tenant)? else { return Ok(None) };
        let metrics = self.metrics.queries.clone();
        Ok(Some(Arc::new(CountedDb { db: Arc::clone(tenant.db()), metrics })))
    }

    fn metadata(
        &self,
        tenant: &TenantId,
        filter: &MetadataFilter,
    ) -> Result<Vec<OwnedMetadata>, StorageError> {
        self.check_readable()?;
        let store = self.metadata.read().get(tenant).cloned();
        Ok(store.map(|store| store.list(filter)).unwrap_or_default())
    }

    fn exemplars(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selectors: &[Vec<Matcher>],
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        let Some(tenant) = self.readable(tenant)? else { return Ok(Vec::new()) };
        let found = tenant.db().head().select_exemplars(range, selectors);
        let count: usize = found.iter().map(|series| series.exemplars.len()).sum();
        self.metrics.queries.exemplars.observe(count as f64);
        Ok(found)
    }

    fn user_stats(&self, tenant: &TenantId) -> Result<UserStats, StorageError> {
        Ok(self.readable(tenant)?.map(|tenant| stats_of(&tenant)).unwrap_or_default())
    }

    fn all_user_stats(&self) -> Result<Vec<(TenantId, UserStats)>, StorageError> {
        let all = self.tenants.all();
        self.check_readable()?;
        Ok(all.iter().map(|tenant| (tenant.id().clone(), stats_of(tenant))).collect())
    }

    fn label_names_and_values(
        &self,
        query: CardinalityQuery<'_>,
        visit: ValueVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.visit_label_names_and_values(query, visit)
    }

    fn label_values_cardinality(
        &self,
        query: CardinalityQuery<'_>,
        name: &str,
        visit: CountVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.visit_label_values_cardinality(query, name, visit)
    }

    fn series_count(&self, query: CardinalityQuery<'_>) -> Result<u64, StorageError> {
        self.count_series(query)
    }

    fn active_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.visit_active_series(query, visit)
    }
}

fn stats_of(tenant: &Tenant) -> UserStats {
    let rate = tenant.ingestion().per_second();
    UserStats {
        ingestion_rate: rate,
        num_series: tenant.db().head().series_count(),
        api_ingestion_rate: rate,
        rule_ingestion_rate: 0.0,
        max_time_ms: tenant.db().stats().max_time_ms,
    }
}

impl Ingester {
    /// A tenant with samples here. When there is none that is an answer, unless the process is
    /// ending: then it may have forgotten the tenant.
    pub(crate) fn readable(&self, tenant: &TenantId) -> Result<Option<Arc<Tenant>>, StorageError> {
        let found = self.tenants.get(tenant);
        // After the look-up: tenants are forgotten later than this fails.
        self.check_readable()?;
        Ok(found)
    }

    pub(crate) fn check_readable(&self) -> Result<(), StorageError> {
        match self.phase() {
            // Queries that are under way when the process stops are answered to the end.
            Phase::Running | Phase::Stopping => Ok(()),
            other => Err(StorageError::Unavailable(format!(
                "ingester is unavailable (current state: {})",
                other.as_str()
            ))),
        }
    }
}

/// A TSDB whose answers are counted.
struct CountedDb {
    db: Arc<Db>,
    metrics: QueryMetrics,
}

impl Queryable for CountedDb {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        let querier = self.db.querier(range, context)?;
        Ok(Box::new(CountedQuerier { querier, metrics: self.metrics.clone() }))
    }
}

struct CountedQuerier {
    querier: Box<dyn Querier>,
    metrics: QueryMetrics,
}

impl Querier for CountedQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let set = self.querier.select(matchers, hints)?;
        let metrics = self.metrics.clone();
        let count = Arc::new(Count { metrics, series: 0.into(), samples: 0.into() });
        Ok(Box::new(CountedSet { set, count }))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        self.querier.label_values(name, matchers, limit)
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        self.querier.label_names(matchers, limit)
    }
}

/// What one selection returned; told to the metrics when its last series is dropped.
struct Count {
    metrics: QueryMetrics,
    series: AtomicU64,
    samples: AtomicU64,
}

impl Drop for Count {
    fn drop(&mut self) {
        self.metrics.series.observe(*self.series.get_mut() as f64);
        self.metrics.samples.observe(*self.samples.get_mut() as f64);
    }
}

struct CountedSet {
    set: Box<dyn SeriesSet>,
    count: Arc<Count>,
}

impl SeriesSet for CountedSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        let Some(entry) = self.set.next_series()? else { return Ok(None) };
        self.count.series.fetch_add(1, Ordering::Relaxed);
        let count = Arc::clone(&self.count);
        let samples = Box::new(CountedSamples { samples: entry.samples, count });
        Ok(Some(SeriesEntry { labels: entry.labels, samples }))
    }
}

struct CountedSamples {
    samples: Box<dyn SampleReader>,
    count: Arc<Count>,
}

impl CountedSamples {
    fn counted<T>(
        &mut self,
        out: &mut SampleBuffer,
        read: impl FnOnce(&mut dyn SampleReader, &mut SampleBuffer) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let had = out.len();
        let result = read(&mut *self.samples, out);
        let read_count = out.len().saturating_sub(had) as u64;
        self.count.samples.fetch_add(read_count, Ordering::Relaxed);
        result
    }
}

impl SampleReader for CountedSamples {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        self.counted(out, |samples, out| samples.read_batch(out))
    }

    fn read_all(&mut self, out: &mut SampleBuffer) -> Result<(), StorageError> {
        self.counted(out, |samples, out| samples.read_all(out))
    }

    fn chunk_count(&self) -> usize {
        self.samples.chunk_count()
    }

    fn encoded_chunks(&mut self) -> Result<Option<Vec<EncodedChunk>>, StorageError> {
        self.samples.encoded_chunks()
    }
}
