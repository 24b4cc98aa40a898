//! `/config`, `/runtime_config` and `/api/v1/user_limits`.

use ::config::DumpMode;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use model::TenantId;
use serde::Deserialize;

use super::Shared;
use crate::reply::{text_error, typed};

const YAML: &str = "text/plain; charset=utf-8";

#[derive(Deserialize)]
pub(super) struct Parameters {
    #[serde(default)]
    mode: String,
}

impl Parameters {
    fn mode(&self) -> Result<DumpMode, Box<Response>> {
        DumpMode::parse(&self.mode).ok_or_else(|| {
            let message = format!("unknown mode \"{}\": diff and defaults are known", self.mode);
            Box::new(text_error(StatusCode::BAD_REQUEST, &message))
        })
    }
}

pub(super) async fn config(State(admin): Shared, Query(parameters): Query<Parameters>) -> Response {
    match parameters.mode() {
        Ok(mode) => typed(YAML, ::config::dump(&admin.config, mode)),
        Err(response) => *response,
    }
}

pub(super) async fn runtime_config(
    State(admin): Shared,
    Query(parameters): Query<Parameters>,
) -> Response {
    let mode = match parameters.mode() {
        Ok(DumpMode::Defaults) => {
            let message = "mode defaults does not apply here: overrides have none";
            return text_error(StatusCode::BAD_REQUEST, message);
        }
        Ok(mode) => mode,
        Err(response) => return *response,
    };
    let yaml = admin.overrides.dump(mode);
    typed(YAML, yaml.unwrap_or_else(|| "runtime config file doesn't exist".to_owned()))
}

pub(super) async fn user_limits(
    State(admin): Shared,
    Extension(tenant): Extension<TenantId>,
) -> Response {
    let limits = admin.overrides.limits(&tenant);
    typed("application/json", ::config::user_limits(&limits).to_string())
}
