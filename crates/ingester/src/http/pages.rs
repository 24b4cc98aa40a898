//! What is in memory and on the local disk, as pages for people and as JSON for
//! `Accept: application/json`. The JSON of the tenants has Mimir's fields, and the number of series.

use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse};
use config::Limits;
use model::TimestampMs;
use model::html::escape_html;
use serde::Serialize;

use super::*;
use crate::errors::utc;
use crate::plan;
use crate::tenant::Tenant;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TenantsPage {
    now: String,
    tenants: Vec<TenantLine>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TenantLine {
    tenant: String,
    series: u64,
    blocks: usize,
    min_time: String,
    max_time: String,
    /// How far in the past samples are taken, nanoseconds.
    past_grace_period: i64,
    /// How far in the future samples are taken, nanoseconds.
    future_grace_period: i64,
    warning: String,
}

#[derive(Serialize)]
struct TsdbPage {
    now: String,
    tenant: String,
    series: u64,
    #[serde(rename = "minTime")]
    min_time: String,
    #[serde(rename = "maxTime")]
    max_time: String,
    #[serde(rename = "walBytes")]
    wal_bytes: u64,
    #[serde(rename = "memoryBytes")]
    memory_bytes: u64,
    blocks: Vec<BlockLine>,
}

#[derive(Serialize)]
struct BlockLine {
    ulid: String,
    #[serde(rename = "minTime")]
    min_time: String,
    #[serde(rename = "maxTime")]
    max_time: String,
    samples: u64,
    series: u64,
    bytes: u64,
    level: u32,
    /// When it was uploaded; empty as long as it is not.
    shipped: String,
}

/// `/ingester/tenants`.
pub(super) async fn tenants(State(ingester): Shared, headers: HeaderMap) -> Response {
    let now_ms = ingester.clock.now_ms();
    let mut tenants: Vec<TenantLine> = ingester
        .tenants
        .all()
        .iter()
        .map(|tenant| tenant_line(tenant, &ingester.overrides.limits(tenant.id()), now_ms))
        .collect();
    tenants.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    let page = TenantsPage { now: utc(now_ms), tenants };
    if wants_json(&headers) {
        return axum::Json(page).into_response();
    }
    let mut rows = String::new();
    for line in &page.tenants {
        let name = escape_html(&line.tenant);
        let link = format!("<a href=\"tsdb/{name}\">{name}</a>");
        let (series, blocks) = (line.series.to_string(), line.blocks.to_string());
        rows += &row(&[&link, &series, &blocks, &line.min_time, &line.max_time, &line.warning]);
    }
    let heads = ["Tenant", "Series", "Blocks", "Oldest sample", "Newest sample", "Warning"];
    html("Ingester tenants", &table(&heads, &rows))
}

fn tenant_line(tenant: &Tenant, limits: &Limits, now_ms: TimestampMs) -> TenantLine {
    let stats = tenant.db().stats();
    let past =
        limits.past_grace_period.nanos().saturating_add(limits.out_of_order_time_window.nanos());
    TenantLine {
        tenant: tenant.id().to_string(),
        series: stats.series,
        blocks: tenant.db().blocks().len(),
        min_time: time(stats.min_time_ms),
        max_time: time(stats.max_time_ms),
        past_grace_period: past,
        future_grace_period: limits.creation_grace_period.nanos(),
        warning: warning((stats.min_time_ms, stats.max_time_ms), limits, now_ms),
    }
}

/// What is odd about the times of a head that begins and ends at `times`.
fn warning(
    times: (Option<TimestampMs>, Option<TimestampMs>),
    limits: &Limits,
    now_ms: TimestampMs,
) -> String {
    let mut warnings = Vec::new();
    let ahead_ms = times.1.map_or(0, |max_ms| max_ms.saturating_sub(now_ms));
    if ahead_ms > limits.creation_grace_period.millis() {
        let ahead = config::GoDuration::from_millis(ahead_ms);
        warnings.push(format!("TSDB Head max timestamp too far in the future: {ahead}"));
    }
    let past_ms = limits.past_grace_period.millis();
    let age_ms = times.0.map_or(0, |min_ms| now_ms.saturating_sub(min_ms));
    if past_ms > 0 && age_ms > past_ms.saturating_add(limits.out_of_order_time_window.millis()) {
        warnings.push("TSDB Head min timestamp too far in the past".to_owned());
    }
    warnings.join(", ")
}

/// `/ingester/tsdb/{tenant}`.
pub(super) async fn tsdb(
    State(ingester): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let tenant = TenantId::new(&id).ok().and_then(|id| ingester.tenants.get(&id));
    let Some(tenant) = tenant else {
        return (StatusCode::NOT_FOUND, "TSDB not found for the tenant\n").into_response();
    };
    let page = tsdb_page(&tenant, utc(ingester.clock.now_ms()));
    if wants_json(&headers) {
        return axum::Json(page).into_response();
    }
    let summary = format!(
        "<p>{} series, {} to {}; log {} bytes, memory {} bytes</p>",
        page.series, page.min_time, page.max_time, page.wal_bytes, page.memory_bytes
    );
    let mut rows = String::new();
    for block in &page.blocks {
        let (samples, series) = (block.samples.to_string(), block.series.to_string());
        rows += &row(&[
            &block.ulid,
            &block.min_time,
            &block.max_time,
            &samples,
            &series,
            &block.shipped,
        ]);
    }
    let heads = ["Block", "From", "To", "Samples", "Series", "Uploaded"];
    html(&format!("TSDB of {}", page.tenant), &(summary + &table(&heads, &rows)))
}

fn tsdb_page(tenant: &Tenant, now: String) -> TsdbPage {
    let (stats, shipped) = (tenant.db().stats(), tenant.shipped());
    let block_line = |block: &tsdb::db::BlockInfo| BlockLine {
        ulid: block.ulid.to_string(),
        min_time: utc(block.min_time_ms),
        max_time: utc(block.max_time_ms),
        samples: block.sample_count,
        series: block.series_count,
        bytes: block.size_bytes,
        level: block.level,
        shipped: match shipped.get(&block.ulid) {
            Some(shipped_ms) => utc(*shipped_ms),
            None if plan::is_shippable(block) => String::new(),
            None => "never".to_owned(),
        },
    };
    TsdbPage {
        now,
        tenant: tenant.id().to_string(),
        series: stats.series,
        min_time: time(stats.min_time_ms),
        max_time: time(stats.max_time_ms),
        wal_bytes: stats.wal_bytes,
        memory_bytes: stats.memory_bytes,
        blocks: tenant.db().blocks().iter().map(block_line).collect(),
    }
}

fn time(ms: Option<i64>) -> String {
    ms.map(utc).unwrap_or_default()
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}

fn table(heads: &[&str], rows: &str) -> String {
    let heads: String = heads.iter().map(|head| format!("<th>{head}</th>")).collect();
    format!("<table><tr>{heads}</tr>{rows}</table>")
}

/// A row of cells that are HTML already: times, numbers, escaped names.
fn row(cells: &[&str]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr>{cells}</tr>")
}

fn html(title: &str, content: &str) -> Response {
    Html(model::html::page(title, content)).into_response()
}
