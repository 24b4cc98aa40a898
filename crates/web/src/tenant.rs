//! Whose request it is: the tenant header checked by Mimir's rules, and put into the request's
//! extensions as [`TenantId`]. Set around the routes whose [`crate::Access`] is `Tenant`.

use std::collections::BTreeSet;

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
        Err(error) => refusal(&error),
    }
}

/// The answer to a request without a valid tenant: who it is from is not known. Several tenants
/// at once are valid where queries may span them, which is not here.
fn refusal(error: &InvalidTenantId) -> Response {
    if let InvalidTenantId::UnsupportedCharacter { id, character: '|' } = error {
        let tenants: BTreeSet<&str> = id.split('|').collect();
        if tenants.len() > 1 && tenants.iter().all(|id| TenantId::new(id).is_ok()) {
            let actual = tenants.len();
            let text =
                format!("too many tenant IDs present in the request. max: 1 actual: {actual}");
            return text_error(StatusCode::UNPROCESSABLE_ENTITY, &text);
        }
    }
    text_error(StatusCode::UNAUTHORIZED, &error.to_string())
}
