//! Cutting heads early: when there are too many series in memory, what is older than the idle
//! timeout of active series goes into blocks before its time, and the series that have nothing
//! newer are gone. Which tenants is decided in `plan/early.rs`.

use std::sync::Arc;

use model::TimestampMs;
use tsdb::db::CompactionMode;

use crate::Ingester;
use crate::plan::early::{ProcessPolicy, Reduction, TenantPolicy, tenants_to_cut};
use crate::tenant::Tenant;

impl Ingester {
    /// Cuts the heads of some tenants when the process has too many series.
    pub(crate) async fn cut_for_the_process(self: &Arc<Self>) {
        let policy = ProcessPolicy {
            min_series: self.tsdb_config.early_head_compaction_min_in_memory_series,
            min_reduction_percentage: self
                .tsdb_config
                .early_head_compaction_min_estimated_series_reduction_percentage,
        };
        let before_series = self.tenants.series();
        if policy.min_series == 0
            || before_series < policy.min_series
            || !self.config.active_series_metrics_enabled
        {
            return;
        }
        let until_ms = self.early_until_ms();
        let estimated = self.blocking(move |i| {
            let reductions = i.tenants.all().into_iter().map(|tenant| {
                let reduction = reduction(&tenant, until_ms);
                (tenant, reduction)
            });
            tenants_to_cut(before_series, policy, reductions.collect())
        });
        let Ok(tenants) = estimated.await else { return };
        let threshold = policy.min_series;
        if tenants.is_empty() {
            tracing::info!(before_series, threshold, "no head is worth being cut early");
            return;
        }
        let count = tenants.len();
        self.cut_early(tenants, until_ms).await;
        let after_series = self.tenants.series();
        tracing::info!(count, before_series, after_series, threshold, "cut heads early");
    }

    /// Cuts the heads of tenants that have more series than their own limit says.
    pub(crate) async fn cut_for_tenants(self: &Arc<Self>) {
        if !self.config.active_series_metrics_enabled
            || !self.config.use_ingester_owned_series_for_limits
        {
            return;
        }
        for tenant in self.tenants.all() {
            let until_ms = self.early_until_ms();
            let policy = self.early_policy(&tenant);
            let last_ms = tenant.last_early_compaction_ms();
            // All series are this process' own: there is no ring that would say otherwise.
            let series = tenant.db().head().series_count();
            if !policy.is_above(series, last_ms, self.clock.now_ms()) {
                continue;
            }
            let estimating = Arc::clone(&tenant);
            let estimated = self.blocking(move |_| reduction(&estimating, until_ms)).await;
            if estimated.is_ok_and(|estimated| policy.is_worth_it(estimated)) {
                tracing::info!(user = %tenant.id(), series, "cutting a head early");
                self.cut_early(vec![tenant], until_ms).await;
                self.metrics.compaction.early_of_tenant.inc();
            }
        }
    }

    fn early_policy(&self, tenant: &Tenant) -> TenantPolicy {
        let limits = self.overrides.limits(tenant.id());
        TenantPolicy {
            min_owned_series: limits.early_head_compaction_owned_series_threshold,
            min_reduction_percentage: limits
                .early_head_compaction_min_estimated_series_reduction_percentage,
            cooldown_ms: self.config.active_series_metrics_idle_timeout.millis(),
        }
    }

    /// What is older is cut early.
    fn early_until_ms(&self) -> TimestampMs {
        let idle_ms = self.config.active_series_metrics_idle_timeout.millis();
        self.clock.now_ms().saturating_sub(idle_ms)
    }

    async fn cut_early(self: &Arc<Self>, tenants: Vec<Arc<Tenant>>, until_ms: TimestampMs) {
        let cut = move |ingester: &Self, tenant: &Tenant| {
            let is_ok = ingester.cut_head(tenant, CompactionMode::Early(until_ms));
            tenant.set_last_early_compaction(ingester.clock.now_ms());
            is_ok
        };
        self.for_each_tenant(tenants, cut).await;
    }
}

/// What cutting the head up to a time would bring.
fn reduction(tenant: &Tenant, until_ms: TimestampMs) -> Reduction {
    let head = tenant.db().head();
    let removable = head.series_without_samples_from(until_ms.saturating_add(1));
    Reduction { series: head.series_count().max(removable), removable }
}
