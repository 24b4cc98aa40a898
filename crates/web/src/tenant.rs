//! Whose request it is: the tenant header checked by Mimir's rules, and put into the request's
//! extensions as [`TenantId`]. Set around the routes whose [`crate::Access`] is `Tenant`.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use model::{InvalidTenantId, TenantId};

use crate::reply::text_error;

/// The header that names the tenant.
pub const TENANT_HEADER: &str = "x-scope-orgid";

/// How requests find their tenant.
#[derive(Debug, Clone)]
pub enum TenantPolicy {
    /// Every request names its tenant in [`TENANT_HEADER`].
    Header,
    /// All requests belong to this tenant, whatever they say.
    Always(TenantId),
}

impl TenantPolicy {
    /// The tenant of a request with these headers.
    pub fn tenant(&self, headers: &HeaderMap) -> Result<TenantId, InvalidTenantId> {
        match self {
            Self::Always(tenant) => Ok(tenant.clone()),
            Self::Header => {
                let value = headers.get(TENANT_HEADER).map(|value| value.as_bytes());
                TenantId::new(&String::from_utf8_lossy(value.unwrap_or_default()))
            }
        }
    }
}

/// Middleware: refuses requests without a valid tenant.
pub(crate) async fn require_tenant(
    State(policy): State<TenantPolicy>,
    mut request: Request,
    next: Next,
) -> Response {
    match policy.tenant(request.headers()) {
        Ok(tenant) => {
            tracing::Span::current().record("user", tenant.as_str());
            request.extensions_mut().insert(tenant);
            next.run(request).await
        }
        Err(InvalidTenantId::Empty) => {
            text_error(StatusCode::UNAUTHORIZED, &InvalidTenantId::Empty.to_string())
        }
        Err(error) => text_error(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}
