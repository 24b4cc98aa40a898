//! The compactor's routes.
//!
//! | route | tenant | does |
//! |---|---|---|
//! | POST `/compactor/delete_tenant` | yes | marks all of the tenant's data for deletion |
//! | GET `/compactor/delete_tenant_status` | yes | whether its blocks are gone |
//! | POST `/api/v1/upload/block/{id}/start\|files\|finish`, GET `.../check` | yes | block upload |
//! | GET `/compactor/tenants` | no | the tenants of the bucket and whether their blocks are kept up with |
//! | GET `/compactor/tenant/{tenant}/planned_jobs` | no | what would be compacted now, and what never |

mod pages;
mod upload;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bucket::{BucketError, TenantDeletionMark};
use model::TenantId;
use serde::Serialize;

use crate::Compactor;

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
        .route("/compactor/tenants", get(pages::tenants))
        .route("/compactor/tenant/{tenant}/planned_jobs", get(pages::planned_jobs))
        .with_state(compactor)
}

#[derive(Serialize)]
struct DeletionStatus {
    tenant_id: String,
    blocks_deleted: bool,
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

fn failed(error: &BucketError) -> Response {
    tracing::error!(%error, "compactor request failed");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}
