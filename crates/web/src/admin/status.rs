//! `/api/v1/status/*` as Prometheus has them, at the root and below the Prometheus prefix.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::{Admin, Shared};
use crate::reply::typed;

/// The routes below `prefix`.
pub(super) fn routes(prefix: &str) -> Router<Arc<Admin>> {
    Router::new()
        .route(&format!("{prefix}/api/v1/status/buildinfo"), get(build_info))
        .route(&format!("{prefix}/api/v1/status/config"), get(config))
        .route(&format!("{prefix}/api/v1/status/flags"), get(flags))
}

/// Grafana takes a server with `features` for Mimir and asks it accordingly.
async fn build_info(State(admin): Shared) -> Response {
    success(json!({
        "application": "Urd",
        "version": admin.build.version,
        "revision": admin.build.revision,
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": admin.build.compiler,
        "features": {
            "ruler_config_api": "false",
            "alertmanager_config_api": "false",
            "query_sharding": "false",
            "federated_rules": "false",
        },
    }))
}

/// Empty, as in Mimir: the configuration is not the tenants' business.
async fn config() -> Response {
    success(json!({ "yaml": "" }))
}

async fn flags() -> Response {
    success(json!({}))
}

fn success(data: Value) -> Response {
    typed("application/json", json!({ "status": "success", "data": data }).to_string())
}
