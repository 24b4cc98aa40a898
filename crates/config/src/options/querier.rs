//! Options of the querier and the query-frontend.

use super::StoreGatewayClientConfig;
use crate::table::config;
use crate::value::{CommaList, GoDuration};

config! {
    /// The query engine.
    pub struct QuerierConfig {
        /// Samples older than this are looked for in the bucket; 0 always looks there.
        query_store_after: GoDuration = "12h", "query-store-after", Advanced;
        /// Queries at once in this process.
        max_concurrent: usize = "20", "max-concurrent", Basic;
        /// Queries of one remote-read request that run at once; 0 or less is no limit.
        max_concurrent_remote_read_queries: i64 = "2", "max-concurrent-remote-read-queries", Advanced;
        /// Ask only as many ingesters as must answer, and others when one of them fails or is slow.
        minimize_ingester_requests: bool = "true", "minimize-ingester-requests", Advanced;
        /// After how long others are asked; 0 waits for a failure.
        minimize_ingester_requests_hedging_delay: GoDuration = "3s", "minimize-ingester-requests-hedging-delay", Advanced;
        /// Ask only the ingesters of the tenant's shard.
        shuffle_sharding_ingesters_enabled: bool = "true", "shuffle-sharding-ingesters-enabled", Advanced;
        /// Zones whose store-gateways are asked before those of others, separated by commas.
        prefer_availability_zones: CommaList = "", "prefer-availability-zones", Experimental;
        /// Time within which a query must be answered.
        timeout: GoDuration = "2m", "timeout", Basic;
        /// Samples that one query may hold in memory at once.
        max_samples: u64 = "50000000", "max-samples", Basic;
        /// Step of a subquery that names none.
        default_evaluation_interval: GoDuration = "1m", "default-evaluation-interval", Advanced;
        /// How far back an instant selector looks for a sample.
        lookback_delta: GoDuration = "5m", "lookback-delta", Advanced;
    } sections {
        /// How store-gateways are called.
        store_gateway_client: StoreGatewayClientConfig => "store_gateway_client", "querier.store-gateway-client.";
    }
}

config! {
    /// The query entry.
    pub struct FrontendConfig {
        /// Queries that take longer are logged; 0 logs none, negative all.
        log_queries_longer_than: GoDuration = "0", "log-queries-longer-than", Basic;
        /// Headers of a request that are logged with its query, separated by commas.
        log_query_request_headers: CommaList = "", "log-query-request-headers", Advanced;
        /// Largest body of a query request, in bytes.
        max_body_size: u64 = "10485760", "max-body-size", Advanced;
        /// Count what each query reads, and log it with the query.
        query_stats_enabled: bool = "true", "query-stats-enabled", Advanced;
    }
}

config! {
    /// The waiting line of queries.
    pub struct QuerySchedulerConfig {
        /// Queries of one tenant that may wait at once; more are refused with 429.
        max_outstanding_requests_per_tenant: usize = "100", "max-outstanding-requests-per-tenant", Basic;
    }
}

config! {
    /// Noting what is under way, so that a crash can be explained.
    pub struct ActivityTrackerConfig {
        /// The file in which queries under way are noted; empty notes none.
        filepath: String = "./metrics-activity.log", "filepath", Basic;
        /// Activities that can be noted at once.
        max_entries: u32 = "1024", "max-entries", Advanced;
    }
}
