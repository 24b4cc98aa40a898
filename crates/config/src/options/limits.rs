//! Limits of a tenant: the defaults that flags and the `limits` block set, and the shape of a
//! tenant's overrides. Numbers are counts unless their documentation names a unit.
//!
//! Limits that no component obeys yet are marked `Later`: they are read and shown, and the start
//! reports those that were set.

use crate::table::config;
use crate::value::{ByteSize, NumberMap, PromDuration, StringList, TrackerMap};

config! {
    /// What a tenant may do.
    pub struct Limits {
        /// Requests a second of a tenant; 0 is no limit.
        request_rate: f64 = "0", "distributor.request-rate-limit", Basic;
        /// Requests that a tenant may send at once above the rate; 0 is no limit.
        request_burst_size: u64 = "0", "distributor.request-burst-size", Basic;
        /// Samples, exemplars and metadata a second of a tenant; an infinite value is no limit.
        ingestion_rate: f64 = "10000", "distributor.ingestion-rate-limit", Basic;
        /// Samples that a tenant may send at once above the rate.
        ingestion_burst_size: u64 = "200000", "distributor.ingestion-burst-size", Basic;
        /// Burst as a multiple of the ingestion rate, in place of the burst size; 0 or at least 1.
        ingestion_burst_factor: f64 = "0", "distributor.ingestion-burst-factor", Experimental;
        /// Deduplicate the samples of Prometheus pairs.
        accept_ha_samples: bool = "false", "distributor.ha-tracker.enable-for-all-users", Basic;
        /// Label that names the Prometheus pair.
        ha_cluster_label: String = "cluster", "distributor.ha-tracker.cluster", Basic;
        /// Label that names the Prometheus of a pair; it is removed.
        ha_replica_label: String = "__replica__", "distributor.ha-tracker.replica", Basic;
        /// Prometheus pairs that a tenant may have; 0 is no limit.
        ha_max_clusters: u64 = "100", "distributor.ha-tracker.max-clusters", Basic;
        /// How often the time of the elected Prometheus is brought up to date.
        ha_tracker_update_timeout: PromDuration = "15s", "distributor.ha-tracker.update-timeout", Advanced;
        /// Greatest random part of that time.
        ha_tracker_update_timeout_jitter_max: PromDuration = "5s", "distributor.ha-tracker.update-timeout-jitter-max", Advanced;
        /// Without a sample of the elected Prometheus for this long, the other one is elected.
        ha_tracker_failover_timeout: PromDuration = "30s", "distributor.ha-tracker.failover-timeout", Advanced;
        /// The same by the time of samples; 0 switches it off.
        ha_tracker_sample_failover_timeout: PromDuration = "0", "distributor.ha-tracker.failover-sample-timeout", Advanced;
        /// Labels that are removed from every series.
        drop_labels: StringList = "", "distributor.drop-label", Advanced, Later;
        /// Longest label name, in bytes.
        max_label_name_length: u64 = "1024", "validation.max-length-label-name", Basic;
        /// Longest label value and metric name, in bytes.
        max_label_value_length: u64 = "2048", "validation.max-length-label-value", Basic;
        /// What is done with a longer label value: error, truncate or drop.
        label_value_length_over_limit_strategy: LabelValueStrategy = "error", "validation.label-value-length-over-limit-strategy", Experimental, Later;
        /// Labels of a series.
        max_label_names_per_series: u64 = "30", "validation.max-label-names-per-series", Basic;
        /// Labels of a series whose name ends with _info.
        max_label_names_per_info_series: u64 = "80", "validation.max-label-names-per-info-series", Basic;
        /// Longest metric name, unit and help text of metadata, in bytes.
        max_metadata_length: u64 = "1024", "validation.max-metadata-length", Basic;
        /// Buckets of a native histogram sample; 0 is no limit.
        max_native_histogram_buckets: u64 = "0", "validation.max-native-histogram-buckets", Basic;
        /// Exemplars of a series in one request; 0 is no limit.
        max_exemplars_per_series_per_request: u64 = "0", "distributor.max-exemplars-per-series-per-request", Experimental;
        /// Lower the resolution of native histograms with too many buckets instead of rejecting them.
        reduce_native_histogram_over_max_buckets: bool = "true", "validation.reduce-native-histogram-over-max-buckets", Basic;
        /// How far in the future a sample may lie.
        creation_grace_period: PromDuration = "10m", "validation.create-grace-period", Advanced;
        /// How far in the past a sample may lie, beyond the out-of-order window; 0 is no limit.
        past_grace_period: PromDuration = "0", "validation.past-grace-period", Advanced;
        /// Reject metadata without a metric name.
        enforce_metadata_metric_name: bool = "true", "validation.enforce-metadata-metric-name", Advanced;
        /// Ingesters that a tenant is spread over; 0 is all.
        ingestion_tenant_shard_size: u64 = "0", "distributor.ingestion-tenant-shard-size", Basic;
        /// Series of a tenant in memory, over the whole cluster; 0 is no limit.
        max_global_series_per_user: u64 = "150000", "ingester.max-global-series-per-user", Basic;
        /// Series of one metric name in memory, over the whole cluster; 0 is no limit.
        max_global_series_per_metric: u64 = "0", "ingester.max-global-series-per-metric", Basic;
        /// Metrics of a tenant with metadata; 0 is no limit.
        max_global_metadata_per_user: u64 = "0", "ingester.max-global-metadata-per-user", Basic;
        /// Pieces of metadata of one metric; 0 is no limit.
        max_global_metadata_per_metric: u64 = "0", "ingester.max-global-metadata-per-metric", Basic;
        /// Exemplars of a tenant in memory; 0 stores none.
        max_global_exemplars_per_user: u64 = "0", "ingester.max-global-exemplars-per-user", Experimental;
        /// Drop out-of-order exemplars without an error.
        ignore_ooo_exemplars: bool = "false", "ingester.ignore-ooo-exemplars", Experimental;
        /// Series owned by an ingester from which its head is cut early; 0 switches it off.
        early_head_compaction_owned_series_threshold: u64 = "0", "ingester.early-head-compaction-owned-series-threshold", Experimental;
        /// Reduction that an early cut must promise, in percent.
        early_head_compaction_min_estimated_series_reduction_percentage: u64 = "15", "ingester.early-head-compaction-min-estimated-series-reduction-percentage", Experimental;
        /// Store native histograms; off, they are dropped.
        native_histograms_ingestion_enabled: bool = "true", "ingester.native-histograms-ingestion-enabled", Experimental;
        /// Active series counted apart: name of the counter to series selector.
        active_series_custom_trackers: TrackerMap = "", "ingester.active-series-custom-trackers", Advanced;
        /// More such counters, beside those of the defaults.
        active_series_additional_custom_trackers: TrackerMap = "", "", Advanced;
        /// How many more of them; 0 is no limit.
        max_active_series_additional_custom_trackers: u64 = "0", "validation.max-active-series-additional-custom-trackers", Experimental;
        /// How much older than the newest sample an out-of-order sample may be; 0 takes none.
        out_of_order_time_window: PromDuration = "0", "ingester.out-of-order-time-window", Basic;
        /// Give blocks of out-of-order samples an external label.
        out_of_order_blocks_external_label_enabled: bool = "false", "ingester.out-of-order-blocks-external-label-enabled", Advanced;
        /// Label by which metrics about the tenant are split.
        separate_metrics_group_label: String = "", "validation.separate-metrics-group-label", Experimental, Later;
        /// Chunks that a query may read; 0 is no limit.
        max_fetched_chunks_per_query: u64 = "2000000", "querier.max-fetched-chunks-per-query", Basic;
        /// Chunks that a query may be estimated to read, as a multiple of the limit of chunks; 0 is no limit.
        max_estimated_fetched_chunks_per_query_multiplier: f64 = "0", "querier.max-estimated-fetched-chunks-per-query-multiplier", Advanced;
        /// Series that a query may read; 0 is no limit.
        max_fetched_series_per_query: u64 = "0", "querier.max-fetched-series-per-query", Basic;
        /// Bytes of chunks that a query may read; 0 is no limit.
        max_fetched_chunk_bytes_per_query: u64 = "0", "querier.max-fetched-chunk-bytes-per-query", Basic;
        /// Memory that a query may need by estimate, in bytes; 0 is no limit.
        max_estimated_memory_consumption_per_query: u64 = "0", "querier.max-estimated-memory-consumption-per-query", Experimental;
        /// How far back queries may reach; older parts are cut off; 0 is no limit.
        max_query_lookback: PromDuration = "0", "querier.max-query-lookback", Basic;
        /// Time range of a query after it was split; 0 is no limit.
        max_partial_query_length: PromDuration = "0", "querier.max-partial-query-length", Basic;
        /// Parts of one query that run at once.
        max_query_parallelism: u64 = "14", "querier.max-query-parallelism", Basic, Later;
        /// Time range of queries for labels and series; longer ones are shortened; 0 is no limit.
        max_labels_query_length: PromDuration = "0", "store.max-labels-query-length", Basic;
        /// Greatest limit parameter of a query for series; 0 is no limit.
        max_series_query_limit: u64 = "0", "querier.max-series-query-limit", Basic;
        /// Greatest limit parameter of a query for label names; 0 is no limit.
        max_label_names_limit: u64 = "0", "querier.max-label-names-limit", Basic;
        /// Greatest limit parameter of a query for label values; 0 is no limit.
        max_label_values_limit: u64 = "0", "querier.max-label-values-limit", Basic;
        /// Results younger than this are not cached.
        max_cache_freshness: PromDuration = "10m", "query-frontend.max-cache-freshness", Advanced, Later;
        /// Queriers that serve a tenant; 0 is all.
        max_queriers_per_tenant: u64 = "0", "query-frontend.max-queriers-per-tenant", Basic, Later;
        /// Shards of a sharded query; 0 switches sharding off.
        query_sharding_total_shards: u64 = "16", "query-frontend.query-sharding-total-shards", Basic, Later;
        /// Partial queries of one sharded query.
        query_sharding_max_sharded_queries: u64 = "128", "query-frontend.query-sharding-max-sharded-queries", Basic, Later;
        /// Queries with a longer regular expression are not sharded, in bytes; 0 is no limit.
        query_sharding_max_regexp_size_bytes: u64 = "4096", "query-frontend.query-sharding-max-regexp-size-bytes", Basic, Later;
        /// Queries for older samples do not ask the ingesters; 0 always asks them.
        query_ingesters_within: PromDuration = "13h", "querier.query-ingesters-within", Advanced;
        /// Remove the metric name at the end of a query instead of at each function.
        enable_delayed_name_removal: bool = "false", "querier.enable-delayed-name-removal", Experimental;
        /// Time range of a query; 0 is no limit.
        max_total_query_length: PromDuration = "0", "query-frontend.max-total-query-length", Basic;
        /// How long results are cached.
        results_cache_ttl: PromDuration = "1w", "query-frontend.results-cache-ttl", Basic, Later;
        /// How long results inside the out-of-order window are cached.
        results_cache_ttl_for_out_of_order_time_window: PromDuration = "10m", "query-frontend.results-cache-ttl-for-out-of-order-time-window", Basic, Later;
        /// How long cardinality results are cached; 0 switches it off.
        results_cache_ttl_for_cardinality_query: PromDuration = "0", "query-frontend.results-cache-ttl-for-cardinality-query", Basic, Later;
        /// How long label results are cached; 0 switches it off.
        results_cache_ttl_for_labels_query: PromDuration = "0", "query-frontend.results-cache-ttl-for-labels-query", Basic, Later;
        /// How long errors are cached.
        results_cache_ttl_for_errors: PromDuration = "5m", "query-frontend.results-cache-ttl-for-errors", Basic, Later;
        /// Cache requests that are not aligned with their step.
        cache_unaligned_requests: bool = "false", "query-frontend.cache-unaligned-requests", Advanced, Later;
        /// Length of a query expression, in bytes; 0 is no limit.
        max_query_expression_size_bytes: u64 = "0", "query-frontend.max-query-expression-size-bytes", Basic;
        /// Move start and end of range queries to multiples of the step.
        align_queries_with_step: bool = "false", "query-frontend.align-queries-with-step", Basic;
        /// Experimental functions that are allowed, separated by commas; all allows every one.
        enabled_promql_experimental_functions: String = "", "query-frontend.enabled-promql-experimental-functions", Basic;
        /// Extended range selectors that are allowed, separated by commas; all allows every one.
        enabled_promql_extended_range_selectors: String = "", "query-frontend.enabled-promql-extended-range-selectors", Basic;
        /// Widen subqueries whose range is their step by 1 ms, so that they have two points as in Prometheus 2.
        prom2_range_compat: bool = "false", "query-frontend.prom2-range-compat", Experimental;
        /// Run subqueries of instant queries as range queries.
        subquery_spin_off_enabled: bool = "false", "query-frontend.subquery-spin-off-enabled", Experimental, Later;
        /// Simplify the selectors of label queries.
        labels_query_optimizer_enabled: bool = "true", "query-frontend.labels-query-optimizer-enabled", Advanced, Later;
        /// Serve the cardinality endpoints.
        cardinality_analysis_enabled: bool = "false", "querier.cardinality-analysis-enabled", Basic;
        /// Size of a cardinality result, in bytes.
        label_names_and_values_results_max_size_bytes: u64 = "419430400", "querier.label-names-and-values-results-max-size-bytes", Basic;
        /// Label names in one cardinality request.
        label_values_max_cardinality_label_names_per_request: u64 = "100", "querier.label-values-max-cardinality-label-names-per-request", Basic;
        /// Greatest limit parameter of the cardinality endpoints.
        cardinality_analysis_max_results: u64 = "500", "querier.cardinality-api-max-series-limit", Experimental;
        /// Size of a result of the active-series endpoint, in bytes.
        active_series_results_max_size_bytes: u64 = "419430400", "querier.active-series-results-max-size-bytes", Advanced;
        /// Series of the cost attribution.
        max_cost_attribution_cardinality: u64 = "2000", "validation.max-cost-attribution-cardinality", Experimental, Later;
        /// How long cost attribution pauses after it had too many series.
        cost_attribution_cooldown: PromDuration = "0", "validation.cost-attribution-cooldown", Experimental, Later;
        /// How far rules are evaluated behind the present.
        ruler_evaluation_delay_duration: PromDuration = "1m", "ruler.evaluation-delay-duration", Basic, Later;
        /// Delay of a read that still counts as consistent for rules.
        ruler_evaluation_consistency_max_delay: PromDuration = "0", "ruler.evaluation-consistency-max-delay", Experimental, Later;
        /// Rulers that a tenant is spread over; 0 is all.
        ruler_tenant_shard_size: u64 = "0", "ruler.tenant-shard-size", Basic, Later;
        /// Rules of a group; 0 is no limit.
        ruler_max_rules_per_rule_group: u64 = "20", "ruler.max-rules-per-rule-group", Basic, Later;
        /// Rule groups of a tenant; 0 is no limit.
        ruler_max_rule_groups_per_tenant: u64 = "70", "ruler.max-rule-groups-per-tenant", Basic, Later;
        /// Evaluate recording rules.
        ruler_recording_rules_evaluation_enabled: bool = "true", "ruler.recording-rules-evaluation-enabled", Basic, Later;
        /// Evaluate alerting rules.
        ruler_alerting_rules_evaluation_enabled: bool = "true", "ruler.alerting-rules-evaluation-enabled", Basic, Later;
        /// Load rules at once when they change.
        ruler_sync_rules_on_changes_enabled: bool = "true", "ruler.sync-rules-on-changes-enabled", Advanced, Later;
        /// Rules of a group, by namespace.
        ruler_max_rules_per_rule_group_by_namespace: NumberMap = "", "ruler.max-rules-per-rule-group-by-namespace", Experimental, Later;
        /// Rule groups of a tenant, by namespace.
        ruler_max_rule_groups_per_tenant_by_namespace: NumberMap = "", "ruler.max-rule-groups-per-tenant-by-namespace", Experimental, Later;
        /// Namespaces that the API may not change, separated by commas.
        ruler_protected_namespaces: String = "", "ruler.protected-namespaces", Experimental, Later;
        /// Independent rules of a tenant that are evaluated at once.
        ruler_max_independent_rule_evaluation_concurrency_per_tenant: u64 = "4", "ruler.max-independent-rule-evaluation-concurrency-per-tenant", Experimental, Later;
        /// Shortest interval of a rule group; 0 is no limit.
        ruler_min_rule_evaluation_interval: PromDuration = "0", "ruler.min-rule-evaluation-interval", Experimental, Later;
        /// Results of one rule evaluation; 0 is no limit.
        ruler_max_rule_evaluation_results: u64 = "0", "ruler.max-rule-evaluation-results", Experimental, Later;
        /// Store-gateways that a tenant is spread over; 0 is all.
        store_gateway_tenant_shard_size: u64 = "0", "store-gateway.tenant-shard-size", Basic;
        /// The same for each zone.
        store_gateway_tenant_shard_size_per_zone: u64 = "0", "store-gateway.tenant-shard-size-per-zone", Experimental;
        /// Blocks whose samples are all older are deleted and not queried; 0 keeps them for ever.
        compactor_blocks_retention_period: PromDuration = "0", "compactor.blocks-retention-period", Basic;
        /// Shards that blocks are split into; 0 splits none.
        compactor_split_and_merge_shards: u64 = "0", "compactor.split-and-merge-shards", Basic;
        /// Groups that blocks are split in.
        compactor_split_groups: u64 = "1", "compactor.split-groups", Basic;
        /// Compactors that a tenant is spread over; 0 is all.
        compactor_tenant_shard_size: u64 = "0", "compactor.compactor-tenant-shard-size", Basic;
        /// Blocks without meta.json are deleted after this; 0, and what is less than 4h, switches it off.
        compactor_partial_block_deletion_delay: PromDuration = "1d", "compactor.partial-block-deletion-delay", Basic;
        /// Take blocks over the API.
        compactor_block_upload_enabled: bool = "false", "compactor.block-upload-enabled", Basic;
        /// Check blocks taken over the API.
        compactor_block_upload_validation_enabled: bool = "true", "compactor.block-upload-validation-enabled", Basic;
        /// Check the chunks of blocks taken over the API.
        compactor_block_upload_verify_chunks: bool = "true", "compactor.block-upload-verify-chunks", Basic;
        /// Size of a block taken over the API, in bytes; 0 is no limit.
        compactor_block_upload_max_block_size_bytes: u64 = "0", "compactor.block-upload-max-block-size-bytes", Advanced;
        /// Blocks uploaded earlier are not compacted; 0 compacts all, and so does block upload.
        compactor_max_lookback: PromDuration = "0", "compactor.max-lookback", Experimental;
        /// Files of a block that are uploaded at once.
        compactor_max_per_block_upload_concurrency: u64 = "8", "compactor.max-per-block-upload-concurrency", Advanced;
        /// Networks that receivers may not reach, separated by commas.
        alertmanager_receivers_firewall_block_cidr_networks: String = "", "alertmanager.receivers-firewall-block-cidr-networks", Basic, Later;
        /// Receivers may not reach private addresses.
        alertmanager_receivers_firewall_block_private_addresses: bool = "false", "alertmanager.receivers-firewall-block-private-addresses", Basic, Later;
        /// Notifications a second by integration; 0 is no limit, negative sends none.
        alertmanager_notification_rate_limit: f64 = "0", "alertmanager.notification-rate-limit", Basic, Later;
        /// The same by integration.
        alertmanager_notification_rate_limit_per_integration: NumberMap = "", "alertmanager.notification-rate-limit-per-integration", Basic, Later;
        /// Size of a Grafana Alertmanager configuration; 0 is no limit.
        alertmanager_max_grafana_config_size_bytes: ByteSize = "0", "alertmanager.max-grafana-config-size-bytes", Basic, Later;
        /// Size of an Alertmanager configuration, in bytes; 0 is no limit.
        alertmanager_max_config_size_bytes: u64 = "0", "alertmanager.max-config-size-bytes", Basic, Later;
        /// Size of a Grafana Alertmanager state; 0 is no limit.
        alertmanager_max_grafana_state_size_bytes: ByteSize = "0", "alertmanager.max-grafana-state-size-bytes", Basic, Later;
        /// Silences of a tenant, expired ones included; 0 is no limit.
        alertmanager_max_silences_count: u64 = "0", "alertmanager.max-silences-count", Basic, Later;
        /// Size of a silence, in bytes; 0 is no limit.
        alertmanager_max_silence_size_bytes: u64 = "0", "alertmanager.max-silence-size-bytes", Basic, Later;
        /// Templates of a configuration; 0 is no limit.
        alertmanager_max_templates_count: u64 = "0", "alertmanager.max-templates-count", Basic, Later;
        /// Size of a template, in bytes; 0 is no limit.
        alertmanager_max_template_size_bytes: u64 = "0", "alertmanager.max-template-size-bytes", Basic, Later;
        /// Aggregation groups of a tenant; 0 is no limit.
        alertmanager_max_dispatcher_aggregation_groups: u64 = "0", "alertmanager.max-dispatcher-aggregation-groups", Basic, Later;
        /// Alerts of a tenant; 0 is no limit.
        alertmanager_max_alerts_count: u64 = "0", "alertmanager.max-alerts-count", Basic, Later;
        /// Size of all alerts of a tenant, in bytes; 0 is no limit.
        alertmanager_max_alerts_size_bytes: u64 = "0", "alertmanager.max-alerts-size-bytes", Basic, Later;
        /// Address that is called before each notification.
        alertmanager_notify_hook_url: String = "", "alertmanager.notify-hook-url", Basic, Later;
        /// Receivers to which the hook applies, separated by commas; empty is all.
        alertmanager_notify_hook_receivers: String = "", "alertmanager.notify-hook-receivers", Basic, Later;
        /// Time that the hook may take.
        alertmanager_notify_hook_timeout: PromDuration = "30s", "alertmanager.notify-hook-timeout", Basic, Later;
        /// Add unit and type to the names of OTLP metrics.
        otel_metric_suffixes_enabled: bool = "false", "distributor.otel-metric-suffixes-enabled", Advanced, Later;
        /// Store a zero at the start time of OTLP counters.
        otel_created_timestamp_zero_ingestion_enabled: bool = "false", "distributor.otel-created-timestamp-zero-ingestion-enabled", Experimental, Later;
        /// OTLP resource attributes that become labels, separated by commas.
        promote_otel_resource_attributes: String = "", "distributor.otel-promote-resource-attributes", Experimental, Later;
        /// Keep the identifying OTLP resource attributes in target_info.
        otel_keep_identifying_resource_attributes: bool = "false", "distributor.otel-keep-identifying-resource-attributes", Experimental, Later;
        /// Store OTLP histograms as native histograms with custom buckets.
        otel_convert_histograms_to_nhcb: bool = "false", "distributor.otel-convert-histograms-to-nhcb", Experimental, Later;
        /// Turn the scope of OTLP metrics into labels.
        otel_promote_scope_metadata: bool = "false", "distributor.otel-promote-scope-metadata", Experimental, Later;
        /// Store OTLP delta metrics as they are.
        otel_native_delta_ingestion: bool = "false", "distributor.otel-native-delta-ingestion", Experimental, Later;
        /// How names of OTLP metrics are translated.
        otel_translation_strategy: String = "", "distributor.otel-translation-strategy", Experimental, Later;
        /// Put key_ before OTLP label names that begin with an underscore.
        otel_label_name_underscore_sanitization: bool = "true", "distributor.otel-label-name-underscore-sanitization", Advanced, Later;
        /// Keep several underscores in a row in OTLP label names.
        otel_label_name_preserve_multiple_underscores: bool = "true", "distributor.otel-label-name-preserve-underscores", Advanced, Later;
        /// Consistency of reads that ask for none: eventual or strong.
        ingest_storage_read_consistency: ReadConsistency = "eventual", "ingest-storage.read-consistency", Experimental, Later;
        /// Partitions that a tenant is spread over; 0 is all.
        ingestion_partitions_tenant_shard_size: u64 = "0", "ingest-storage.ingestion-partition-tenant-shard-size", Experimental, Later;
        /// Which metric and label names are valid: legacy or utf8.
        name_validation_scheme: NameScheme = "legacy", "validation.name-validation-scheme", Experimental;
    }
}

config! {
    /// What happens to a label value that is longer than the limit.
    pub enum LabelValueStrategy {
        /// The series is rejected.
        Error = "error",
        /// The end of the value is replaced by a hash of the whole.
        Truncate = "truncate",
        /// The value is replaced by its hash.
        Drop = "drop",
    }
}

config! {
    /// Which metric and label names are valid.
    pub enum NameScheme {
        /// Letters, digits and underscores (colons in metric names).
        Legacy = "legacy",
        /// Any UTF-8.
        Utf8 = "utf8",
    }
}

config! {
    /// What a read sees.
    pub enum ReadConsistency {
        /// What the ingesters have at that moment.
        Eventual = "eventual",
        /// Everything that was acknowledged before.
        Strong = "strong",
    }
}
