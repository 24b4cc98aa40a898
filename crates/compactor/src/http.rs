//! The compactor's routes.
//!
//! | route | tenant | does |
//! |---|---|---|
//! | POST `/compactor/delete_tenant` | yes | marks all of the tenant's data for deletion |
//! | GET `/compactor/delete_tenant_status` | yes | whether its blocks are gone |
//! | POST `/api/v1/upload/block/{id}/start\|files\|finish`, GET `.../check` | yes | block upload |
//! | GET `/compactor/tenants` | no | the tenants of the bucket |
//! | GET `/compactor/tenant/{tenant}/planned_jobs` | no | what would be compacted now |

mod upload;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bucket::{BucketError, TenantDeletionMark};
use model::TenantId;
use model::html::escape_html;
use serde::Serialize;

use crate::Compactor;
use crate::catalog::Catalog;
use crate::jobs::PlannedJob;

type Shared = State<Arc<Compactor>>;

/// The routes that name a tenant in the header.
pub fn tenant_routes(compactor: Arc<Compactor>) -> Router {
    Router::new()
        .route("/compactor/delete_tenant", post(delete_tenant))
        .route("/compactor/delete_tenant_status", get(delete_tenant_status))
        .merge(upload::routes())
        .with_state(compactor)
}

/// The pages.
pub fn pages(compactor: Arc<Compactor>) -> Router {
    Router::new()
        .route("/compactor/tenants", get(tenants))
        .route("/compactor/tenant/{tenant}/planned_jobs", get(planned_jobs))
        .with_state(compactor)
}

#[derive(Serialize)]
struct DeletionStatus {
    tenant_id: String,
    blocks_deleted: bool,
}

#[derive(Serialize)]
struct TenantsPage {
    tenants: Vec<String>,
}

#[derive(Serialize)]
struct JobsPage {
    tenant: String,
    jobs: Vec<JobLine>,
}

#[derive(Serialize)]
struct JobLine {
    key: String,
    stage: &'static str,
    min_time: i64,
    max_time: i64,
    blocks: Vec<String>,
}

/// Asking again changes nothing: the first time counts.
async fn delete_tenant(
    State(compactor): Shared,
    Extension(tenant): Extension<TenantId>,
) -> Response {
    let bucket = compactor.tenant_bucket(&tenant);
    let now_s = compactor.clock.now_ms().div_euclid(1000);
    let marked = async {
        if bucket.tenant_deletion_mark().await?.is_none() {
            let mark = TenantDeletionMark { deletion_time: now_s, finished_time: 0 };
            bucket.put_tenant_deletion_mark(mark).await?;
            tracing::info!(user = %tenant, "marked a tenant for deletion");
        }
        Ok(())
    };
    match marked.await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => failed(&error),
    }
}

async fn delete_tenant_status(
    State(compactor): Shared,
    Extension(tenant): Extension<TenantId>,
) -> Response {
    match compactor.tenant_bucket(&tenant).block_ids().await {
        Ok(ids) => axum::Json(DeletionStatus {
            tenant_id: tenant.to_string(),
            blocks_deleted: ids.is_empty(),
        })
        .into_response(),
        Err(error) => failed(&error),
    }
}

async fn tenants(State(compactor): Shared, headers: HeaderMap) -> Response {
    let tenants = match compactor.tenants().await {
        Ok(tenants) => tenants.iter().map(ToString::to_string).collect::<Vec<_>>(),
        Err(error) => return failed(&error),
    };
    if wants_json(&headers) {
        return axum::Json(TenantsPage { tenants }).into_response();
    }
    let line = |name: &String| {
        let name = escape_html(name);
        format!("<tr><td><a href=\"tenant/{name}/planned_jobs\">{name}</a></td></tr>\n")
    };
    let rows: String = tenants.iter().map(line).collect();
    html("Compactor tenants", &format!("<table><tr><th>Tenant</th></tr>\n{rows}</table>"))
}

async fn planned_jobs(
    State(compactor): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Ok(tenant) = TenantId::new(&id) else {
        return (StatusCode::BAD_REQUEST, "invalid tenant ID\n").into_response();
    };
    let previous = compactor.known(&tenant).unwrap_or_default();
    let bucket = compactor.tenant_bucket(&tenant);
    let concurrency = compactor.config.meta_sync_concurrency;
    let catalog = match Catalog::sync(&bucket, &previous, concurrency).await {
        Ok(catalog) => catalog,
        Err(error) => return failed(&error),
    };
    let jobs = compactor.due_jobs(&tenant, &catalog).iter().map(job_line).collect();
    let page = JobsPage { tenant: tenant.to_string(), jobs };
    if wants_json(&headers) {
        return axum::Json(page).into_response();
    }
    let row = |job: &JobLine| {
        let cells = [
            escape_html(&job.key),
            job.stage.to_owned(),
            job.min_time.to_string(),
            job.max_time.to_string(),
            job.blocks.join(" "),
        ];
        format!("<tr><td>{}</td></tr>\n", cells.join("</td><td>"))
    };
    let rows: String = page.jobs.iter().map(row).collect();
    let heads =
        "<tr><th>Job</th><th>Stage</th><th>Start, ms</th><th>End, ms</th><th>Blocks</th></tr>";
    html("Planned compaction jobs", &format!("<table>{heads}\n{rows}</table>"))
}

fn job_line(job: &PlannedJob) -> JobLine {
    let (min_time, max_time) = job.times();
    JobLine {
        key: job.key.clone(),
        stage: job.stage.name(),
        min_time,
        max_time,
        blocks: job.blocks.iter().map(|meta| meta.ulid.to_string()).collect(),
    }
}

fn failed(error: &BucketError) -> Response {
    tracing::error!(%error, "compactor request failed");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}

fn html(title: &str, body: &str) -> Response {
    let head = format!("<!doctype html><meta charset=\"utf-8\"><title>{title}</title>");
    Html(format!("{head}<h1>{title}</h1>\n{body}\n")).into_response()
}
