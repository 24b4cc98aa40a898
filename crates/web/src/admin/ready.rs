//! `/ready` and `/services`: whether the process can be used, in Mimir's words, and what it consists
//! of.

use std::fmt::Write;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use rt::service::State as ServiceState;

use super::Shared;
use model::html::escape_html;

use crate::reply::{page, text_error, typed, wants_json};

pub(super) async fn ready(State(admin): Shared) -> Response {
    let unavailable = |message: &str| text_error(StatusCode::SERVICE_UNAVAILABLE, message);
    if admin.stopping.is_set() {
        return unavailable("Application is stopping");
    }
    let not_running = admin.services.not_running();
    if !not_running.is_empty() {
        let states = not_running.join("\n");
        return unavailable(&format!("Some services are not Running:\n{states}"));
    }
    match admin.services.unusable().first() {
        None => typed("text/plain; charset=utf-8", "ready"),
        Some((name, why)) => unavailable(&format!("{} not ready: {why}", component(name))),
    }
}

/// The component that a service belongs to, as a sentence begins with it.
fn component(service: &str) -> String {
    let name = service.split('-').next().unwrap_or_default();
    let (first, rest) = name.split_at(name.len().min(1));
    format!("{}{rest}", first.to_ascii_uppercase())
}

pub(super) async fn services(State(admin): Shared, headers: HeaderMap) -> Response {
    let states = admin.services.states().into_iter().zip(admin.services.progress());
    if wants_json(&headers) {
        let services: Vec<_> = states.map(|(state, progress)| as_json(state, progress)).collect();
        let body = serde_json::json!({ "services": services }).to_string();
        return typed("application/json", body);
    }
    let mut rows = String::from("<table>\n<tr><th>Service</th><th>Status</th></tr>\n");
    for ((name, state), progress) in states {
        let progress = progress.map(|text| format!(": {}", escape_html(&text))).unwrap_or_default();
        let _ = writeln!(rows, "<tr><td>{name}</td><td>{state}{progress}</td></tr>"); // Never fails.
    }
    rows.push_str("</table>");
    page("Services", &rows)
}

fn as_json((name, state): (&str, ServiceState), progress: Option<String>) -> serde_json::Value {
    let mut service = serde_json::json!({"name": name, "status": state.as_str()});
    if let Some(progress) = progress {
        service["progress"] = progress.into();
    }
    service
}
