//! How many series, values and names the TSDB of a tenant has in memory, for the cardinality API.
//! The methods behind `wire::client::IngesterQuery`; answered from the head alone, as in Mimir.

use std::sync::Arc;

use model::{StorageError, TenantId};
use tsdb::db::Db;
use tsdb::error::TsdbError;
use tsdb::head::CountedSeries;
use wire::client::{
    ActiveSeries, CardinalityQuery, CountMethod, CountVisitor, SeriesVisitor, ValueVisitor,
};

use crate::Ingester;

/// An error of the one who looks on has to pass the TSDB, which knows only its own.
#[derive(Default)]
struct Looker(Option<StorageError>);

impl Looker {
    fn pass(&mut self, seen: Result<(), StorageError>) -> Result<(), TsdbError> {
        seen.map_err(|error| {
            let message = error.to_string();
            self.0 = Some(error);
            TsdbError::Invalid(message)
        })
    }

    fn outcome(self, result: Result<(), TsdbError>) -> Result<(), StorageError> {
        result.map_err(|error| self.0.unwrap_or_else(|| error.into()))
    }
}

fn counted(db: &Db, method: CountMethod) -> CountedSeries {
    match method {
        CountMethod::InMemory => CountedSeries::InMemory,
        CountMethod::Active => db.active_now(),
    }
}

impl Ingester {
    fn db_of(&self, tenant: &TenantId) -> Result<Option<Arc<Db>>, StorageError> {
        Ok(self.readable(tenant)?.map(|tenant| Arc::clone(tenant.db())))
    }

    pub(crate) fn visit_label_names_and_values(
        &self,
        query: CardinalityQuery<'_>,
        visit: ValueVisitor<'_>,
    ) -> Result<(), StorageError> {
        let Some(db) = self.db_of(query.tenant)? else { return Ok(()) };
        let mut looker = Looker::default();
        let counted = counted(&db, query.counted);
        let mut see = |name: &str, value: &str| looker.pass(visit(name, value));
        let result = db.head().visit_label_values(query.matchers, counted, &mut see);
        looker.outcome(result)
    }

    pub(crate) fn visit_label_values_cardinality(
        &self,
        query: CardinalityQuery<'_>,
        name: &str,
        visit: CountVisitor<'_>,
    ) -> Result<(), StorageError> {
        let Some(db) = self.db_of(query.tenant)? else { return Ok(()) };
        let mut looker = Looker::default();
        let counted = counted(&db, query.counted);
        let mut see = |value: &str, count: u64| looker.pass(visit(value, count));
        let result = db.head().visit_series_counts((name, query.matchers), counted, &mut see);
        looker.outcome(result)
    }

    pub(crate) fn count_series(&self, query: CardinalityQuery<'_>) -> Result<u64, StorageError> {
        let Some(db) = self.db_of(query.tenant)? else { return Ok(0) };
        Ok(db.head().counted_series_count(counted(&db, query.counted)))
    }

    pub(crate) fn visit_active_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        if !self.config.active_series_metrics_enabled {
            let reason = "active series tracker is not initialized".to_owned();
            return Err(StorageError::Internal(reason));
        }
        let Some(db) = self.db_of(query.tenant)? else { return Ok(()) };
        let mut looker = Looker::default();
        let mut see =
            |labels, bucket_count| looker.pass(visit(ActiveSeries { labels, bucket_count }));
        let result = db.visit_active_series(query.matchers, &mut see);
        looker.outcome(result)
    }
}
