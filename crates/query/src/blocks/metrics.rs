//! The metrics of asking store-gateways, under Mimir's names.

use rt::Metrics;
use rt::metrics::{Counter, Histogram};

const INSTANCES: &[f64] = &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
const REFETCHES: &[f64] = &[0.0, 1.0, 2.0];

/// Counters of all queries.
pub(super) struct BlocksMetrics {
    pub(super) found: Counter,
    pub(super) queried: Counter,
    pub(super) checks: Counter,
    pub(super) failed_checks: Counter,
    pub(super) gateways_hit: Histogram,
    pub(super) refetches: Histogram,
}

impl BlocksMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            found: metrics.counter(
                "cortex_querier_blocks_found_total",
                "Blocks that were found for queries in the bucket index.",
            ),
            queried: metrics.counter(
                "cortex_querier_blocks_queried_total",
                "Blocks that store-gateways were asked for.",
            ),
            checks: metrics.counter(
                "cortex_querier_blocks_consistency_checks_total",
                "Checks whether all blocks of a query were answered from.",
            ),
            failed_checks: metrics.counter(
                "cortex_querier_blocks_consistency_checks_failed_total",
                "Checks that failed after all attempts.",
            ),
            gateways_hit: metrics.histogram(
                "cortex_querier_storegateway_instances_hit_per_query",
                "Store-gateways that were asked for one query.",
                INSTANCES,
            ),
            refetches: metrics.histogram(
                "cortex_querier_storegateway_refetches_per_query",
                "How often blocks of one query had to be asked for again.",
                REFETCHES,
            ),
        }
    }
}
