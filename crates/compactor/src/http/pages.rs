//! The compactor's pages, for people and, as JSON, for programs.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use model::TenantId;
use model::html::escape_html;
use serde::Serialize;

use super::{Shared, failed};
use crate::Compactor;
use crate::catalog::Catalog;
use crate::jobs::PlannedJob;

#[derive(Serialize)]
struct TenantsPage {
    tenants: Vec<String>,
    /// Of the tenants that were looked at since the start.
    progress: Vec<ProgressLine>,
}

#[derive(Serialize)]
struct ProgressLine {
    tenant: String,
    blocks: usize,
    marked_for_deletion: usize,
    marked_for_no_compaction: usize,
    /// Jobs that can run now.
    due_jobs: usize,
    /// Their blocks.
    due_blocks: usize,
    /// How long the job that waits longest could have run; null when none waits.
    oldest_wait_seconds: Option<i64>,
}

#[derive(Serialize)]
struct JobsPage {
    tenant: String,
    jobs: Vec<JobLine>,
    no_compact: Vec<NoCompactLine>,
}

#[derive(Serialize)]
struct JobLine {
    key: String,
    stage: &'static str,
    min_time: i64,
    max_time: i64,
    blocks: Vec<String>,
}

#[derive(Serialize)]
struct NoCompactLine {
    block: String,
    reason: &'static str,
    details: String,
    /// Seconds since the epoch.
    no_compact_time: i64,
}

pub(super) async fn tenants(State(compactor): Shared, headers: HeaderMap) -> Response {
    let tenants = match compactor.tenants().await {
        Ok(tenants) => tenants,
        Err(error) => return failed(&error),
    };
    let progress: Vec<ProgressLine> =
        tenants.iter().filter_map(|tenant| progress_line(&compactor, tenant)).collect();
    let tenants: Vec<String> = tenants.iter().map(ToString::to_string).collect();
    if wants_json(&headers) {
        return axum::Json(TenantsPage { tenants, progress }).into_response();
    }
    let row = |name: &String| {
        let link = escape_html(name);
        let link = format!("<a href=\"tenant/{link}/planned_jobs\">{link}</a>");
        let mut cells = vec![link];
        if let Some(line) = progress.iter().find(|line| line.tenant == *name) {
            cells.extend(progress_cells(line));
        }
        cells
    };
    let heads = [
        "Tenant",
        "Blocks",
        "Marked for deletion",
        "Not to be compacted",
        "Jobs that can run now",
        "Their blocks",
        "Oldest of them waits for, s",
    ];
    html("Compactor tenants", &table(&heads, tenants.iter().map(row)))
}

fn progress_line(compactor: &Compactor, tenant: &TenantId) -> Option<ProgressLine> {
    let catalog = compactor.known(tenant)?;
    let backlog = compactor.backlog(tenant, &catalog);
    Some(ProgressLine {
        tenant: tenant.to_string(),
        blocks: catalog.blocks.len(),
        marked_for_deletion: catalog.deletion_marks.len(),
        marked_for_no_compaction: catalog.no_compact_marks.len(),
        due_jobs: backlog.split_jobs + backlog.merge_jobs,
        due_blocks: backlog.blocks,
        oldest_wait_seconds: backlog.oldest_wait_ms.map(|wait_ms| wait_ms / 1000),
    })
}

fn progress_cells(line: &ProgressLine) -> [String; 6] {
    [
        line.blocks.to_string(),
        line.marked_for_deletion.to_string(),
        line.marked_for_no_compaction.to_string(),
        line.due_jobs.to_string(),
        line.due_blocks.to_string(),
        line.oldest_wait_seconds.map_or_else(String::new, |wait| wait.to_string()),
    ]
}

pub(super) async fn planned_jobs(
    State(compactor): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Ok(tenant) = TenantId::new(&id) else {
        return (StatusCode::BAD_REQUEST, "invalid tenant ID\n").into_response();
    };
    let previous = compactor.known(&tenant).unwrap_or_default();
    let bucket = compactor.tenant_bucket(&tenant);
    let catalog = match Catalog::sync(&bucket, &previous, compactor.reading()).await {
        Ok(catalog) => catalog,
        Err(error) => return failed(&error),
    };
    let jobs = compactor.due_jobs(&tenant, &catalog).iter().map(job_line).collect();
    let page = JobsPage { tenant: tenant.to_string(), jobs, no_compact: no_compact(&catalog) };
    if wants_json(&headers) {
        return axum::Json(page).into_response();
    }
    let jobs = page.jobs.iter().map(|job| {
        let times = [job.min_time.to_string(), job.max_time.to_string()];
        let [min, max] = times;
        vec![escape_html(&job.key), job.stage.to_owned(), min, max, job.blocks.join(" ")]
    });
    let jobs = table(&["Job", "Stage", "Start, ms", "End, ms", "Blocks"], jobs);
    let marks = page.no_compact.iter().map(|line| {
        let time = line.no_compact_time.to_string();
        vec![line.block.clone(), line.reason.to_owned(), escape_html(&line.details), time]
    });
    let marks = table(&["Block", "Reason", "Details", "Since, s"], marks);
    let body = format!("{jobs}\n<h2>Blocks that are not compacted</h2>\n{marks}");
    html("Planned compaction jobs", &body)
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

fn no_compact(catalog: &Catalog) -> Vec<NoCompactLine> {
    let lines = catalog.no_compact_marks.iter().map(|(id, mark)| NoCompactLine {
        block: id.to_string(),
        reason: mark.reason.as_str(),
        details: mark.details.clone(),
        no_compact_time: mark.no_compact_time,
    });
    let mut lines: Vec<NoCompactLine> = lines.collect();
    lines.sort_by(|a, b| a.block.cmp(&b.block));
    lines
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}

/// The cells must be HTML already.
fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: String =
        rows.map(|cells| format!("<tr><td>{}</td></tr>\n", cells.join("</td><td>"))).collect();
    format!("<table><tr><th>{}</th></tr>\n{rows}</table>", heads.join("</th><th>"))
}

fn html(title: &str, body: &str) -> Response {
    Html(model::html::page(title, body)).into_response()
}
