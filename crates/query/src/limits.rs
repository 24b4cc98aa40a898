//! The read limits of a tenant: what a request may ask for, and what a query may use.

use std::time::Duration;

use config::Limits;
use model::{QueryLimits, TimestampMs};

use crate::error::{ApiError, ErrorType};

/// Bounds on what one query uses.
pub(crate) fn query_limits(limits: &Limits, timeout: Duration) -> QueryLimits {
    QueryLimits {
        max_series: limits.max_fetched_series_per_query,
        max_chunks: limits.max_fetched_chunks_per_query,
        max_chunk_bytes: limits.max_fetched_chunk_bytes_per_query,
        max_memory_bytes: limits.max_estimated_memory_consumption_per_query,
        timeout: Some(timeout),
    }
}

/// Refuses an expression that is too long.
pub(crate) fn check_expression_size(query: &str, limits: &Limits) -> Result<(), ApiError> {
    let limit = limits.max_query_expression_size_bytes;
    if limit == 0 || query.len() as u64 <= limit {
        return Ok(());
    }
    Err(ApiError::bad_data(format!(
        "the raw query size in bytes exceeds the limit (query size: {}, limit: {limit}) \
         (err-mimir-max-query-expression-size-bytes). To adjust the related per-tenant limit, \
         configure -query-frontend.max-query-expression-size-bytes, or contact your service \
         administrator.",
        query.len()
    )))
}

/// Refuses a query over too long a time.
pub(crate) fn check_length(
    start_ms: TimestampMs,
    end_ms: TimestampMs,
    limits: &Limits,
) -> Result<(), ApiError> {
    let limit = limits.max_total_query_length;
    let length_ms = end_ms.saturating_sub(start_ms);
    if !limit.is_positive() || length_ms <= limit.millis() {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorType::BadData,
        format!(
            "the total query time range exceeds the limit (query length: {}, limit: {}) \
             (err-mimir-max-total-query-length). To adjust the related per-tenant limit, configure \
             -query-frontend.max-total-query-length, or contact your service administrator.",
            config::GoDuration::from_millis(length_ms),
            config::GoDuration::from_millis(limit.millis()),
        ),
    ))
}

/// The earliest start that a query may have: `max_query_lookback` before now.
pub(crate) fn earliest_start(now_ms: TimestampMs, limits: &Limits) -> Option<TimestampMs> {
    let lookback = limits.max_query_lookback;
    lookback.is_positive().then(|| now_ms.saturating_sub(lookback.millis()))
}

/// The range of a label or series query: clamped to the lookback, and shortened to
/// `max_labels_query_length` from its end.
pub(crate) fn labels_range(
    (start_ms, end_ms): (TimestampMs, TimestampMs),
    now_ms: TimestampMs,
    limits: &Limits,
) -> (TimestampMs, TimestampMs) {
    let mut start_ms = earliest_start(now_ms, limits).map_or(start_ms, |e| start_ms.max(e));
    let max_length = limits.max_labels_query_length;
    if max_length.is_positive() {
        let end_ms = end_ms.min(now_ms);
        start_ms = start_ms.max(end_ms.saturating_sub(max_length.millis()));
    }
    (start_ms, end_ms)
}

/// A limit that the client asked for under one of the tenant; 0 is none.
pub(crate) fn result_limit(asked: usize, allowed: u64) -> usize {
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    match (asked, allowed) {
        (asked, 0) => asked,
        (0, allowed) => allowed,
        (asked, allowed) => asked.min(allowed),
    }
}
