//! `GET /distributor/ha_tracker`: who is elected, as a page for people and as JSON for
//! `Accept: application/json`.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use model::html::{self, escape_html};
use serde::Serialize;

use super::HaTracker;

#[derive(Serialize)]
struct Page {
    elected: Vec<Elected>,
    now: String,
}

/// Durations are nanoseconds, as Go writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Elected {
    #[serde(rename = "userID")]
    user_id: String,
    cluster: String,
    replica: String,
    last_election_time: String,
    elected_last_seen_time: String,
    update_duration: i64,
    failover_duration: i64,
}

/// The route.
pub(super) fn routes(tracker: Arc<HaTracker>) -> Router {
    Router::new().route("/distributor/ha_tracker", get(show)).with_state(tracker)
}

async fn show(State(tracker): State<Arc<HaTracker>>, headers: HeaderMap) -> Response {
    let page = page(&tracker);
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("application/json")) {
        return Json(page).into_response();
    }
    Html(html(&page)).into_response()
}

fn page(tracker: &HaTracker) -> Page {
    let now_ms = tracker.now_ms();
    let line = |(user_id, cluster, desc): (String, String, super::ReplicaDesc)| {
        let (timeouts, _) = tracker.configured(&user_id);
        let left = |timeout_ms: i64| {
            let left_ms = desc.received_at.saturating_add(timeout_ms).saturating_sub(now_ms);
            left_ms.saturating_mul(1_000_000)
        };
        Elected {
            update_duration: left(timeouts.update_ms),
            failover_duration: left(timeouts.failover_ms),
            last_election_time: utc(desc.elected_at),
            elected_last_seen_time: utc(desc.received_at),
            replica: desc.replica,
            user_id,
            cluster,
        }
    };
    let elected = tracker.all().into_iter().map(line).collect();
    Page { elected, now: utc(now_ms) }
}

fn html(elected: &Page) -> String {
    let mut html = format!(
        "<p>Now: {}</p>\n<table><tr><th>Tenant</th>\
         <th>Cluster</th><th>Elected replica</th><th>Elected at</th><th>Last seen at</th>\
         <th>Update in</th><th>Failover in</th></tr>\n",
        elected.now
    );
    for line in &elected.elected {
        let seconds = |nanos: i64| nanos / 1_000_000_000;
        // A String takes everything.
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} s</td>\
             <td>{} s</td></tr>",
            escape_html(&line.user_id),
            escape_html(&line.cluster),
            escape_html(&line.replica),
            line.last_election_time,
            line.elected_last_seen_time,
            seconds(line.update_duration),
            seconds(line.failover_duration),
        );
    }
    html.push_str("</table>");
    html::page("HA tracker", &html)
}

/// A time in UTC as in RFC 3339.
fn utc(time_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(time_ms) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{time_ms} ms"), // Beyond the year 9999.
    }
}
