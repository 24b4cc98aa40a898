//! `/ingester/tsdb_metrics`: the figures of one tenant's TSDB under Prometheus' own names, as text.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::TenantId;

use crate::Ingester;
use crate::tenant::Tenant;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

pub(super) async fn tsdb_metrics(
    State(ingester): State<Arc<Ingester>>,
    Extension(id): Extension<TenantId>,
) -> Response {
    match ingester.tenants.get(&id) {
        Some(tenant) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text(&tenant)).into_response(),
        None => (StatusCode::NOT_FOUND, "user registry not found\n").into_response(),
    }
}

fn text(tenant: &Tenant) -> String {
    let stats = tenant.db().stats();
    // What Prometheus shows for an empty head.
    let min_time_ms = stats.min_time_ms.unwrap_or(i64::MAX);
    let max_time_ms = stats.max_time_ms.unwrap_or(i64::MIN);
    let mut out = String::new();
    let mut push = |name: &str, kind: &str, help: &str, value: f64| {
        let name = format!("prometheus_tsdb_{name}");
        // A string takes every write.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    push("blocks_loaded", "gauge", "Blocks on the local disk", stats.blocks as f64);
    push("head_max_time", "gauge", "Time of the newest sample, ms", max_time_ms as f64);
    push("head_min_time", "gauge", "Time of the oldest sample, ms", min_time_ms as f64);
    push("head_series", "gauge", "Series in memory", stats.series as f64);
    push("head_series_created_total", "counter", "Series created", stats.created_series as f64);
    push("head_series_removed_total", "counter", "Series removed", stats.removed_series as f64);
    let blocks_bytes = tenant.blocks_bytes() as f64;
    push("storage_blocks_bytes", "gauge", "Bytes of the local blocks", blocks_bytes);
    push("wal_storage_size_bytes", "gauge", "Bytes of the log", stats.wal_bytes as f64);
    if let Some(wal) = tenant.db().wal().map(|wal| wal.stats()) {
        for (name, help, value) in [
            (
                "wal_completed_pages_total",
                "Pages of the log that were filled",
                &wal.completed_pages,
            ),
            ("wal_truncations_failed_total", "Truncations that failed", &wal.failed_truncations),
            ("wal_truncations_total", "Truncations of the log", &wal.truncations),
            ("wal_writes_failed_total", "Writes to the log that failed", &wal.failed_writes),
        ] {
            push(name, "counter", help, value.load(Relaxed) as f64);
        }
    }
    out
}
