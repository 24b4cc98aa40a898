//! The store-gateway's pages.
//!
//! | route | shows |
//! |---|---|
//! | GET `/store-gateway/tenants` | the tenants of the bucket |
//! | GET `/store-gateway/tenant/{tenant}/blocks` | the tenant's blocks: `show_deleted=on`, `show_sources=on`, `show_parents=on`, `split_count=N` |
//!
//! Both as HTML, or as JSON for `Accept: application/json`.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use bucket::{BlockMarks, BucketError, DeletionMark, NoCompactMark, TenantBucket};
use futures::{StreamExt as _, TryStreamExt as _};
use model::html::escape_html;
use model::{TenantId, TimestampMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tsdb::meta::BlockMeta;
use ulid::Ulid;

use crate::StoreGateway;

/// The pages.
pub fn pages(gateway: StoreGateway) -> Router {
    Router::new()
        .route("/store-gateway/tenants", get(tenants))
        .route("/store-gateway/tenant/{tenant}/blocks", get(blocks))
        .with_state(gateway)
}

#[derive(Serialize)]
struct TenantsPage {
    now: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<String>,
}

#[derive(Serialize)]
struct BlocksPage {
    now: String,
    tenant: String,
    metas: Vec<Value>,
}

/// What is to be shown.
#[derive(Deserialize, Default)]
struct Choice {
    #[serde(default)]
    show_deleted: String,
    #[serde(default)]
    show_sources: String,
    #[serde(default)]
    show_parents: String,
    #[serde(default)]
    split_count: String,
}

impl Choice {
    /// How many groups of blocks a split is made in; 0 = not asked for.
    fn splits(&self) -> u32 {
        self.split_count.parse().unwrap_or(0)
    }
}

/// The blocks of a tenant and their marks.
struct Listed {
    metas: Vec<BlockMeta>,
    deletion_marks: BlockMarks<DeletionMark>,
    no_compact_marks: BlockMarks<NoCompactMark>,
}

async fn tenants(State(gateway): State<StoreGateway>, headers: HeaderMap) -> Response {
    let tenants: Vec<String> = match gateway.bucket_tenants().await {
        Ok(tenants) => tenants.iter().map(ToString::to_string).collect(),
        Err(error) => return failed(&error),
    };
    let now = rfc3339(gateway.store.clock.now_ms());
    if wants_json(&headers) {
        return axum::Json(TenantsPage { now, tenants }).into_response();
    }
    let mut rows = String::new();
    for name in &tenants {
        let name = escape_html(name);
        _ = writeln!(rows, "<tr><td><a href=\"tenant/{name}/blocks\">{name}</a></td></tr>");
    }
    let table = format!("<table><tr><th>Tenant</th></tr>\n{rows}</table>");
    html("Store-gateway: bucket tenants", &now, &table)
}

async fn blocks(
    State(gateway): State<StoreGateway>,
    Path(id): Path<String>,
    Query(choice): Query<Choice>,
    headers: HeaderMap,
) -> Response {
    let Ok(tenant) = TenantId::new(&id) else {
        return (StatusCode::BAD_REQUEST, "invalid tenant ID\n").into_response();
    };
    let bucket = TenantBucket::new(gateway.store.bucket.clone(), tenant.clone());
    let concurrency = gateway.store.config.meta_sync_concurrency.max(1);
    let mut listed = match list(&bucket, concurrency).await {
        Ok(listed) => listed,
        Err(error) => return failed(&error),
    };
    if choice.show_deleted != "on" {
        let marks = &listed.deletion_marks;
        listed.metas.retain(|meta| !marks.contains_key(&meta.ulid));
    }
    let now = rfc3339(gateway.store.clock.now_ms());
    if wants_json(&headers) {
        let metas = listed.metas.iter().map(|meta| to_json(meta, &listed, &choice)).collect();
        let page = BlocksPage { now, tenant: tenant.to_string(), metas };
        return axum::Json(page).into_response();
    }
    let title = format!("Store-gateway: blocks of tenant {}", escape_html(&id));
    html(&title, &now, &format!("{}{}", form(&choice), table(&listed, &choice)))
}

/// Reads the descriptions of all complete blocks. One that makes no sense is left out.
async fn list(bucket: &TenantBucket, concurrency: usize) -> Result<Listed, BucketError> {
    let ids = bucket.block_ids().await?;
    let deletion_marks = bucket.marks(&BlockMarks::new()).await?;
    let no_compact_marks = bucket.marks(&BlockMarks::new()).await?;
    let reads: Vec<_> = ids.into_iter().map(|id| bucket.meta_json(id)).collect();
    let reads = futures::stream::iter(reads).buffer_unordered(concurrency);
    let jsons: Vec<_> = reads.try_collect().await?;
    let metas = jsons.into_iter().flatten().filter_map(|json| BlockMeta::decode(&json).ok());
    let mut metas: Vec<BlockMeta> = metas.collect();
    metas.sort_by_key(|meta| (meta.min_time_ms, meta.max_time_ms, meta.ulid));
    Ok(Listed { metas, deletion_marks, no_compact_marks })
}

/// The description with what the page adds to it.
fn to_json(meta: &BlockMeta, listed: &Listed, choice: &Choice) -> Value {
    let mut json: Value = serde_json::from_slice(&meta.encode()).unwrap_or_default();
    if let Value::Object(fields) = &mut json {
        if let Some(mark) = listed.deletion_marks.get(&meta.ulid) {
            fields.insert("deletedTime".to_owned(), mark.deletion_time.saturating_mul(1000).into());
        }
        if choice.splits() > 0 {
            fields.insert("splitId".to_owned(), split_id(meta.ulid, choice.splits()).into());
        }
    }
    json
}

/// Which group of a split the block belongs to: FNV-1 of its id, 32 bits.
fn split_id(id: Ulid, splits: u32) -> u32 {
    let step = |hash: u32, byte: &u8| hash.wrapping_mul(16_777_619) ^ u32::from(*byte);
    id.0.to_be_bytes().iter().fold(2_166_136_261, step) % splits.max(1)
}

fn form(choice: &Choice) -> String {
    let mut out = "<form>".to_owned();
    let boxes = [
        ("show_deleted", "Show deleted", &choice.show_deleted),
        ("show_sources", "Show sources", &choice.show_sources),
        ("show_parents", "Show parents", &choice.show_parents),
    ];
    for (name, text, value) in boxes {
        let checked = if value == "on" { " checked" } else { "" };
        _ = write!(out, "<label><input type=checkbox name={name}{checked}> {text}</label> ");
    }
    let splits = choice.splits();
    _ = write!(out, "<label>Split count <input name=split_count value={splits} size=4></label> ");
    out + "<input type=submit value=Apply></form>\n"
}

fn table(listed: &Listed, choice: &Choice) -> String {
    let mut heads = vec!["Block ID"];
    if choice.splits() > 0 {
        heads.push("Split ID");
    }
    heads.extend(["ULID time", "Min time", "Max time", "Duration"]);
    if choice.show_deleted == "on" {
        heads.push("Deletion time");
    }
    heads.extend(["Level", "Size", "Series", "Samples", "Chunks", "Labels", "Out of order"]);
    heads.push("No compact");
    if choice.show_sources == "on" {
        heads.push("Sources");
    }
    if choice.show_parents == "on" {
        heads.push("Parents");
    }
    let mut out = format!("<table border=1>\n<tr><th>{}</th></tr>\n", heads.join("</th><th>"));
    for meta in &listed.metas {
        _ = writeln!(out, "<tr><td>{}</td></tr>", cells(meta, listed, choice).join("</td><td>"));
    }
    out + "</table>"
}

/// What stands in the row of a block.
fn cells(meta: &BlockMeta, listed: &Listed, choice: &Choice) -> Vec<String> {
    let mut cells = vec![meta.ulid.to_string()];
    if choice.splits() > 0 {
        cells.push(split_id(meta.ulid, choice.splits()).to_string());
    }
    let made_at_ms = i64::try_from(meta.ulid.timestamp_ms()).unwrap_or(i64::MAX);
    cells.extend([made_at_ms, meta.min_time_ms, meta.max_time_ms].map(rfc3339));
    let duration_ms = meta.max_time_ms.saturating_sub(meta.min_time_ms);
    cells.push(config::GoDuration::from_millis(duration_ms).to_string());
    if choice.show_deleted == "on" {
        let mark = listed.deletion_marks.get(&meta.ulid);
        cells
            .push(mark.map_or_else(String::new, |m| rfc3339(m.deletion_time.saturating_mul(1000))));
    }
    let thanos = meta.thanos.clone().unwrap_or_default();
    let size_bytes: u64 = thanos.files.iter().map(|file| file.size_bytes).sum();
    let labels = thanos.labels.iter().map(|(name, value)| format!("{name}={value:?}"));
    let labels: Vec<String> = labels.collect();
    let stats = &meta.stats;
    cells.extend([
        meta.compaction.level.to_string(),
        format!("{:.1} MiB", size_bytes as f64 / f64::from(1 << 20)),
        stats.num_series.to_string(),
        stats.num_samples.to_string(),
        stats.num_chunks.to_string(),
        escape_html(&labels.join(", ")),
        if meta.is_out_of_order() { "Yes".to_owned() } else { String::new() },
    ]);
    let no_compact = listed.no_compact_marks.get(&meta.ulid);
    cells.push(no_compact.map_or_else(String::new, |mark| {
        let at = rfc3339(mark.no_compact_time.saturating_mul(1000));
        escape_html(&format!("{at} {:?} {}", mark.reason, mark.details))
    }));
    if choice.show_sources == "on" {
        let ids: Vec<String> = meta.compaction.sources.iter().map(Ulid::to_string).collect();
        cells.push(ids.join("<br>"));
    }
    if choice.show_parents == "on" {
        let parents = meta.compaction.parents.iter();
        cells.push(parents.map(|parent| parent.ulid.to_string()).collect::<Vec<_>>().join("<br>"));
    }
    cells
}

pub(crate) fn rfc3339(ms: TimestampMs) -> String {
    let time = jiff::Timestamp::from_second(ms.div_euclid(1000));
    time.map_or_else(|_| ms.to_string(), |time| time.to_string())
}

fn failed(error: &BucketError) -> Response {
    tracing::error!(%error, "store-gateway page failed");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}

fn html(title: &str, now: &str, body: &str) -> Response {
    let content = format!("<p>Current time: {now}</p>\n{body}");
    Html(model::html::page(title, &content)).into_response()
}
