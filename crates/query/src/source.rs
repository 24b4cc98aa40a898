//! Which storage a query asks: ingesters for what is recent, the blocks of the bucket for what is
//! old, both where they overlap, by Mimir's rules.

mod bounds;

use std::sync::Arc;

use model::{
    Clock, Querier, QueryContext, Queryable, StorageError, TenantId, TimeRange, TimestampMs,
};
use tsdb::merge::MergeQuerier;
use wire::client::{BlockStore, IngesterQuery};

use bounds::BoundedQuerier;
pub(crate) use bounds::TimeBounds;

/// Where samples are and how old they are there.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) ingester: Arc<dyn IngesterQuery>,
    pub(crate) blocks: Arc<dyn BlockStore>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Samples older than this are looked for in the blocks; 0 = always, ms.
    pub(crate) query_store_after_ms: i64,
}

/// One tenant's data in all places.
pub(crate) struct TenantQueryable {
    pub(crate) sources: Sources,
    pub(crate) tenant: TenantId,
    /// Samples older than this are not asked of the ingesters; 0 = always asked, ms.
    pub(crate) query_ingesters_within_ms: i64,
    /// What the tenant may see of it.
    pub(crate) bounds: TimeBounds,
}

/// The ranges that each place is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Routes {
    ingesters: Option<TimeRange>,
    blocks: Option<TimeRange>,
}

impl TenantQueryable {
    fn routes(&self, range: TimeRange, now_ms: TimestampMs) -> Routes {
        let within_ms = self.query_ingesters_within_ms;
        let asks_ingesters = within_ms == 0 || range.end_ms_incl > now_ms - within_ms;
        let after_ms = self.sources.query_store_after_ms;
        let blocks = if after_ms == 0 {
            Some(range)
        } else {
            let newest_ms = now_ms - after_ms;
            (range.start_ms_incl < newest_ms)
                .then(|| TimeRange::new(range.start_ms_incl, range.end_ms_incl.min(newest_ms)))
        };
        Routes { ingesters: asks_ingesters.then_some(range), blocks }
    }
}

impl Queryable for TenantQueryable {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        let mut range = range;
        if let Some(earliest_ms) = self.bounds.earliest_ms {
            if range.end_ms_incl < earliest_ms {
                return Ok(Box::new(MergeQuerier::new(Vec::new())));
            }
            range.start_ms_incl = range.start_ms_incl.max(earliest_ms);
        }
        let routes = self.routes(range, self.sources.clock.now_ms());
        let mut queriers = Vec::new();
        if let Some(range) = routes.ingesters
            && let Some(recent) = self.sources.ingester.queryable(&self.tenant)?
        {
            queriers.push(recent.querier(range, context)?);
        }
        if let Some(range) = routes.blocks
            && let Some(blocks) = self.sources.blocks.queryable(&self.tenant)?
        {
            queriers.push(blocks.querier(range, context)?);
        }
        let merged = Box::new(MergeQuerier::new(queriers));
        if self.bounds == TimeBounds::default() {
            return Ok(merged);
        }
        Ok(Box::new(BoundedQuerier { inner: merged, bounds: self.bounds }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::env::ManualClock;
    use wire::client::{MetadataFilter, OwnedMetadata, UserStats};

    struct Nothing;

    impl IngesterQuery for Nothing {
        fn queryable(&self, _: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
            Ok(None)
        }

        fn metadata(
            &self,
            _: &TenantId,
            _: &MetadataFilter,
        ) -> Result<Vec<OwnedMetadata>, StorageError> {
            Ok(Vec::new())
        }

        fn user_stats(&self, _: &TenantId) -> Result<UserStats, StorageError> {
            Ok(UserStats::default())
        }
    }

    impl BlockStore for Nothing {
        fn queryable(&self, _: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
            Ok(None)
        }
    }

    fn routes(range: (i64, i64), within_ms: i64, after_ms: i64) -> Routes {
        let queryable = TenantQueryable {
            sources: Sources {
                ingester: Arc::new(Nothing),
                blocks: Arc::new(Nothing),
                clock: Arc::new(ManualClock::new(0)),
                query_store_after_ms: after_ms,
            },
            tenant: TenantId::new("t").unwrap(),
            query_ingesters_within_ms: within_ms,
            bounds: TimeBounds::default(),
        };
        queryable.routes(TimeRange::new(range.0, range.1), 100)
    }

    /// At 100 with "ingesters within 13" and "store after 12".
    #[test]
    fn recent_old_and_overlapping_ranges() {
        let range = |a, b| Some(TimeRange::new(a, b));
        let cases = [
            ((90, 100), range(90, 100), None),
            ((80, 100), range(80, 100), range(80, 88)),
            ((10, 50), None, range(10, 50)),
            ((87, 88), range(87, 88), range(87, 88)),
            ((10, 87), None, range(10, 87)),
        ];
        for (asked, ingesters, blocks) in cases {
            assert_eq!(routes(asked, 13, 12), Routes { ingesters, blocks }, "{asked:?}");
        }
        let all = Routes { ingesters: range(0, 1), blocks: range(0, 1) };
        assert_eq!(routes((0, 1), 0, 0), all);
    }
}
