//! Options of the ingester.

use super::IngesterRingConfig;
use crate::table::config;
use crate::value::GoDuration;

config! {
    /// Recent data.
    pub struct IngesterConfig {
        /// How long metric metadata stays in memory after it was last sent.
        metadata_retain_period: GoDuration = "10m", "metadata-retain-period", Advanced;
        /// How often the ingestion rates of the process are computed anew.
        rate_update_period: GoDuration = "15s", "rate-update-period", Advanced;
        /// Count and expose active series.
        active_series_metrics_enabled: bool = "true", "active-series-metrics-enabled", Advanced;
        /// How often the counts of active series are brought up to date.
        active_series_metrics_update_period: GoDuration = "1m", "active-series-metrics-update-period", Advanced;
        /// A series without a sample for this long is no longer active.
        active_series_metrics_idle_timeout: GoDuration = "20m", "active-series-metrics-idle-timeout", Advanced;
        /// How often changed limits are applied to open TSDBs that nothing is written to; a write brings its own.
        tsdb_config_update_period: GoDuration = "15s", "tsdb-config-update-period", Experimental;
        /// Metric names, separated by commas, to which the per-metric series limit does not apply.
        ignore_series_limit_for_metric_names: String = "", "ignore-series-limit-for-metric-names", Advanced;
        /// Only series that the ring gives to an ingester count for the series limit; without a ring these are all.
        use_ingester_owned_series_for_limits: bool = "false", "use-ingester-owned-series-for-limits", Experimental;
        /// Log only one in this many errors of the same kind; 0 logs all.
        error_sample_rate: u64 = "10", "error-sample-rate", Advanced;
    } sections {
        /// The ingesters' ring.
        ring: IngesterRingConfig => "ring", "ingester.ring.";
        /// Bounds of this process, over all tenants.
        instance_limits: IngesterInstanceLimits => "instance_limits", "ingester.instance-limits.";
    }
}

config! {
    /// Bounds of one ingester process; 0 is no bound.
    pub struct IngesterInstanceLimits {
        /// Samples a second over all tenants, as a moving average.
        max_ingestion_rate: f64 = "0", "max-ingestion-rate", Advanced;
        /// Tenants with an open TSDB.
        max_tenants: u64 = "0", "max-tenants", Advanced;
        /// Series in memory.
        max_series: u64 = "0", "max-series", Advanced;
        /// Push requests at once.
        max_inflight_push_requests: u64 = "30000", "max-inflight-push-requests", Advanced;
        /// Bytes of push requests at once.
        max_inflight_push_requests_bytes: u64 = "0", "max-inflight-push-requests-bytes", Advanced;
    }
}
