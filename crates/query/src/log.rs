//! One log line a query: what was asked, how long it took, how it ended.

use std::time::Duration;

use config::FrontendConfig;
use model::TenantId;
use promql::QueryKind;

use crate::error::ApiError;
use crate::run::QueryRequest;

/// Longer queries are cut in the log.
const MAX_QUERY_BYTES: usize = 4096;

/// What is logged when the query has ended.
pub(crate) struct QueryLog {
    tenant: TenantId,
    query: String,
    kind: QueryKind,
    headers: String,
}

impl QueryLog {
    pub(crate) fn new(tenant: &TenantId, request: &QueryRequest) -> Self {
        let mut end = request.query.len().min(MAX_QUERY_BYTES);
        while !request.query.is_char_boundary(end) {
            end -= 1;
        }
        let query = request.query[..end].to_owned();
        let headers = request.logged_headers.clone();
        Self { tenant: tenant.clone(), query, kind: request.kind, headers }
    }

    /// Logs the query as the options want it: all with their statistics, or those that were slow.
    pub(crate) fn write(&self, config: &FrontendConfig, took: Duration, error: Option<&ApiError>) {
        let threshold = config.log_queries_longer_than;
        let is_slow = !threshold.is_zero() && (!threshold.is_positive() || took > threshold.std());
        if !is_slow && !config.query_stats_enabled {
            return;
        }
        let message = if is_slow { "slow query detected" } else { "query stats" };
        let (start_ms, end_ms, step_ms) = match self.kind {
            QueryKind::Instant { time_ms } => (time_ms, time_ms, 0),
            QueryKind::Range { start_ms, end_ms, step_ms } => (start_ms, end_ms, step_ms),
        };
        tracing::info!(
            component = "query-frontend",
            user = %self.tenant,
            response_time = ?took,
            param_query = %self.query,
            param_start_ms = start_ms,
            param_end_ms = end_ms,
            param_step_ms = step_ms,
            headers = (!self.headers.is_empty()).then_some(self.headers.as_str()),
            status = if error.is_some() { "failed" } else { "success" },
            err = error.map(|error| error.message.as_str()),
            "{message}"
        );
    }
}
