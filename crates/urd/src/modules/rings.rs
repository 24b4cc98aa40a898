//! The rings: first the stores and readers, which components may use; in the end this process'
//! instances, and the pages.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use config::Overrides;
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use model::Clock;
use model::html::escape_html;
use ring::kv::MultiStore;
use ring::memberlist::{MemberlistKv, NodeState};
use ring::status::{RingStatus, forget};
use rt::Service;
use rt::service::TimerService;
use serde::Deserialize;
use web::{Routes, page, text_error, typed, wants_json};

use crate::env::{Env, Parts};
use crate::rings::{JoinedRing, Rings};

const JSON: &str = "application/json";

/// Stores and readers.
pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let rings = Rings::build(env)?;
    let mut after = vec!["server"];
    if let Some(memberlist) = &rings.memberlist {
        parts.service(Arc::clone(memberlist) as Arc<dyn Service>, &["server"])?;
        after.push(memberlist.name());
    }
    if !rings.multi.is_empty() && env.overrides.has_files() {
        switch_stores(&env.overrides, &rings.multi);
        parts.service(keep_switching_stores(env, &rings), &[])?;
    }
    for ring in rings.all() {
        parts.service(Arc::clone(&ring.reader) as Arc<dyn Service>, &after)?;
    }
    parts.rings = Some(rings);
    Ok(())
}

/// Uses the stores of `multi` as the runtime configuration says; a value that it does not name
/// stays as it is.
fn switch_stores(overrides: &Overrides, stores: &[Arc<MultiStore>]) {
    let switches = overrides.multi_kv();
    for store in stores {
        if let Some(mirror_enabled) = switches.mirror_enabled {
            store.set_mirroring(mirror_enabled);
        }
        if let Some(primary) = &switches.primary
            && !store.set_primary(primary)
        {
            tracing::warn!(primary, "multi_kv_config names a store that multi does not have");
        }
    }
}

fn keep_switching_stores(env: &Env, rings: &Rings) -> Arc<dyn Service> {
    let (overrides, stores) = (Arc::clone(&env.overrides), rings.multi.clone());
    let period = env.config.runtime_config.period.std();
    Arc::new(TimerService::new("multi-kv", period, move || {
        switch_stores(&overrides, &stores);
        std::future::ready(Ok(()))
    }))
}

/// This process' instances, and the pages.
pub(super) fn join(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let rings = parts.need_rings()?;
    for ring in rings.all() {
        if let Some(lifecycler) = &ring.lifecycler {
            let lifecycler = Arc::clone(lifecycler) as Arc<dyn Service>;
            parts.service(lifecycler, &[ring.reader.name()])?;
        }
        let (path, text) = match ring.component {
            "ingester" => ("/ingester/ring", "Ring of the ingesters"),
            "distributor" => ("/distributor/ring", "Ring of the distributors"),
            "store-gateway" => ("/store-gateway/ring", "Ring of the store-gateways"),
            _ => ("/compactor/ring", "Ring of the compactors"),
        };
        parts.routes(Routes::open(ring_page(path, text, ring.clone(), Arc::clone(&env.clock))));
        parts.link("Rings", path, text);
    }
    parts.routes(Routes::open(memberlist_page(rings.memberlist)));
    parts.link("Rings", "/memberlist", "Members of the gossip");
    Ok(())
}

struct RingPage {
    title: &'static str,
    ring: JoinedRing,
    clock: Arc<dyn Clock>,
}

fn ring_page(path: &str, title: &'static str, ring: JoinedRing, clock: Arc<dyn Clock>) -> Router {
    let state = Arc::new(RingPage { title, ring, clock });
    Router::new().route(path, get(show_ring).post(forget_instance)).with_state(state)
}

#[derive(Deserialize)]
struct RingQuery {
    #[serde(default)]
    tokens: String,
}

async fn show_ring(
    State(shown): State<Arc<RingPage>>,
    Query(query): Query<RingQuery>,
    headers: HeaderMap,
) -> Response {
    let ring = &shown.ring;
    let desc = match ring.client.get(ring.key).await {
        Ok(desc) => desc.unwrap_or_default(),
        Err(error) => return text_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let status = RingStatus::new(desc, ring.heartbeat_timeout_s, shown.clock.now_ms());
    if wants_json(&headers) {
        return typed(JSON, status.json());
    }
    page(shown.title, &status.html(query.tokens == "true"))
}

#[derive(Deserialize)]
struct ForgetForm {
    #[serde(default)]
    forget: String,
}

/// Whom to forget stands in the form, or in the address where there is no form.
async fn forget_instance(
    State(shown): State<Arc<RingPage>>,
    Query(query): Query<ForgetForm>,
    form: Result<Form<ForgetForm>, FormRejection>,
) -> Response {
    let form = form.map(|Form(form)| form.forget).ok().filter(|forget| !forget.is_empty());
    let id = form.unwrap_or(query.forget);
    match forget(&shown.ring.client, shown.ring.key, &id).await {
        // The browser comes back to the page by itself.
        Ok(()) => (StatusCode::FOUND, [(LOCATION, "#")]).into_response(),
        Err(error) => {
            let message = format!("error forgetting instance '{id}': {error}");
            text_error(StatusCode::INTERNAL_SERVER_ERROR, &message)
        }
    }
}

fn memberlist_page(memberlist: Option<Arc<MemberlistKv>>) -> Router {
    Router::new().route("/memberlist", get(show_memberlist)).with_state(memberlist)
}

#[derive(Deserialize)]
struct MemberlistQuery {
    #[serde(default, rename = "viewKey")]
    view_key: String,
}

async fn show_memberlist(
    State(memberlist): State<Option<Arc<MemberlistKv>>>,
    Query(query): Query<MemberlistQuery>,
    headers: HeaderMap,
) -> Response {
    let Some(memberlist) = memberlist else {
        return page("Memberlist", "<p>This instance doesn't use memberlist.</p>");
    };
    if !query.view_key.is_empty() {
        let Some(text) = memberlist.describe(&query.view_key) else {
            return text_error(StatusCode::NOT_FOUND, "value not found");
        };
        return typed("text/plain; charset=utf-8", text);
    }
    let status = memberlist.status();
    if wants_json(&headers) {
        let members = status.members.iter().map(|member| {
            serde_json::json!({
                "Name": member.name,
                "Addr": member.address.map(|a| a.ip().to_string()),
                "Port": member.address.map(|a| a.port()),
                "State": member.state as u8,
            })
        });
        let members: Vec<serde_json::Value> = members.collect();
        let sizes: serde_json::Map<String, serde_json::Value> =
            status.values.iter().map(|value| (value.key.clone(), value.size.into())).collect();
        let total: usize = status.values.iter().map(|value| value.size).sum();
        let json = serde_json::json!({
            "SortedMembers": members, "StoreSizes": sizes, "TotalStoreSize": total
        });
        return typed(JSON, json.to_string());
    }
    page("Memberlist", &memberlist_html(&status))
}

fn memberlist_html(status: &ring::memberlist::StatusPage) -> String {
    let mut html = format!(
        "<p>Address: {}. Health score: {} (lower is better, 0 is healthy)</p>\n<h2>Values</h2>\n\
         <table><tr><th>Key</th><th>Codec</th><th>Version</th><th>Deleted</th><th>Tombstones</th>\
         <th>Bytes</th></tr>\n",
        status.address, status.health_score
    );
    for value in &status.values {
        let key = escape_html(&value.key);
        // A String takes everything.
        let _ = writeln!(
            html,
            "<tr><td><a href=\"?viewKey={key}\">{key}</a></td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td></tr>",
            value.codec, value.version, value.deleted, value.tombstones, value.size
        );
    }
    html.push_str("</table>\n<h2>Members</h2>\n<table><tr><th>Name</th><th>Address</th>");
    html.push_str("<th>State</th></tr>\n");
    for member in &status.members {
        let state = match member.state {
            NodeState::Alive => "alive",
            NodeState::Suspect => "suspect",
            NodeState::Dead => "dead",
            NodeState::Left => "left",
        };
        let address = member.address.map(|address| address.to_string()).unwrap_or_default();
        let name = escape_html(&member.name);
        let _ = writeln!(html, "<tr><td>{name}</td><td>{address}</td><td>{state}</td></tr>");
    }
    html.push_str("</table>\n");
    html
}
