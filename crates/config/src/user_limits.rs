//! A tenant's limits as the JSON of `/api/v1/user_limits`. Called by `web`.

use serde_json::{Value, json};

use crate::Limits;

/// The keys and units that Mimir answers with.
pub fn user_limits(limits: &Limits) -> Value {
    json!({
        "compactor_blocks_retention_period_seconds":
            limits.compactor_blocks_retention_period.millis() / 1_000,
        "ingestion_rate": finite(limits.ingestion_rate),
        "ingestion_burst_size": limits.ingestion_burst_size,
        "ingestion_burst_factor": finite(limits.ingestion_burst_factor),
        "max_global_series_per_user": limits.max_global_series_per_user,
        "max_global_series_per_metric": limits.max_global_series_per_metric,
        "max_global_exemplars_per_user": limits.max_global_exemplars_per_user,
        "max_fetched_chunks_per_query": limits.max_fetched_chunks_per_query,
        "max_fetched_series_per_query": limits.max_fetched_series_per_query,
        "max_fetched_chunk_bytes_per_query": limits.max_fetched_chunk_bytes_per_query,
        "ruler_max_rules_per_rule_group": limits.ruler_max_rules_per_rule_group,
        "ruler_max_rule_groups_per_tenant": limits.ruler_max_rule_groups_per_tenant,
    })
}

/// JSON has no infinity: Go's greatest number stands for no limit, as in its rate limiter.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_no_limit() {
        let limits = Limits { ingestion_rate: f64::INFINITY, ..Limits::default() };
        let json = user_limits(&limits);
        assert_eq!(json["ingestion_rate"], json!(f64::MAX));
        assert_eq!(json["ingestion_burst_size"], json!(200_000));
        assert_eq!(json["max_global_series_per_user"], json!(150_000));
        assert_eq!(json["ruler_max_rule_groups_per_tenant"], json!(70));
        assert_eq!(json["compactor_blocks_retention_period_seconds"], json!(0));
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(12));
    }
}
