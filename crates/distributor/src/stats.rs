//! What the ingesters hold of tenants.
//!
//! | route | shows |
//! |---|---|
//! | GET `/distributor/all_user_stats` | each tenant, as a page for people and as JSON for `Accept: application/json`; replicas count each |
//! | GET `/api/v1/user_stats` | the tenant of the request, as JSON; replicas count once |

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use model::TenantId;
use model::html::{escape_html, page};
use rt::BlockingHandle;
use serde::Serialize;
use wire::client::{IngesterQuery, UserStats};

/// What the page is made from.
#[derive(Clone)]
pub struct StatsParts {
    /// The ingesters.
    pub ingesters: Arc<dyn IngesterQuery>,
    /// Waits for them.
    pub blocking: BlockingHandle,
    /// How many ingesters have each series.
    pub replication_factor: usize,
}

#[derive(Serialize)]
struct TenantLine {
    #[serde(rename = "userID")]
    user_id: String,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    ingestion_rate: f64,
    num_series: u64,
    #[serde(rename = "APIIngestionRate")]
    api_ingestion_rate: f64,
    #[serde(rename = "RuleIngestionRate")]
    rule_ingestion_rate: f64,
}

impl Counts {
    fn of(stats: &UserStats) -> Self {
        Self {
            ingestion_rate: stats.ingestion_rate,
            num_series: stats.num_series,
            api_ingestion_rate: stats.api_ingestion_rate,
            rule_ingestion_rate: stats.rule_ingestion_rate,
        }
    }
}

/// The route.
pub fn routes(parts: StatsParts) -> Router {
    Router::new().route("/distributor/all_user_stats", get(show)).with_state(parts)
}

/// The route of a tenant. Requests must carry a [`TenantId`] as an extension.
pub fn tenant_routes(parts: StatsParts) -> Router {
    Router::new().route("/api/v1/user_stats", get(show_own)).with_state(parts)
}

async fn show_own(
    State(parts): State<StatsParts>,
    Extension(tenant): Extension<TenantId>,
) -> Response {
    let ingesters = Arc::clone(&parts.ingesters);
    match parts.blocking.spawn(move || ingesters.user_stats(&tenant)).await {
        Ok(Ok(stats)) => Json(Counts::of(&stats)).into_response(),
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(&error.to_string()),
    }
}

async fn show(State(parts): State<StatsParts>, headers: HeaderMap) -> Response {
    let ingesters = Arc::clone(&parts.ingesters);
    let stats = match parts.blocking.spawn(move || ingesters.all_user_stats()).await {
        Ok(Ok(stats)) => lines(stats),
        Ok(Err(error)) => return failed(&error.to_string()),
        Err(error) => return failed(&error.to_string()),
    };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("json")) {
        return Json(stats).into_response();
    }
    Html(html(&stats, parts.replication_factor)).into_response()
}

fn failed(message: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{message}\n")).into_response()
}

/// The tenants with the most series first.
fn lines(stats: Vec<(TenantId, UserStats)>) -> Vec<TenantLine> {
    let line = |(tenant, stats): (TenantId, UserStats)| TenantLine {
        user_id: tenant.as_str().to_owned(),
        counts: Counts::of(&stats),
    };
    let mut lines: Vec<TenantLine> = stats.into_iter().map(line).collect();
    lines.sort_by(|a, b| {
        let by_series = b.counts.num_series.cmp(&a.counts.num_series);
        by_series.then_with(|| a.user_id.cmp(&b.user_id))
    });
    lines
}

fn html(stats: &[TenantLine], replication_factor: usize) -> String {
    let mut html = format!(
        "<p>Every replica counts; the replication factor is {replication_factor}.</p>\n<table><tr><th>Tenant</th>\
         <th>Series</th><th>Samples/s</th><th>of the API</th><th>of rules</th></tr>\n"
    );
    for line in stats {
        // A String takes everything.
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{:.2}</td><td>{:.2}</td><td>{:.2}</td></tr>",
            escape_html(&line.user_id),
            line.counts.num_series,
            line.counts.ingestion_rate,
            line.counts.api_ingestion_rate,
            line.counts.rule_ingestion_rate
        );
    }
    html.push_str("</table>");
    page("Tenants of the ingesters", &html)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use model::{Queryable, StorageError};
    use tower::ServiceExt;
    use wire::client::{MetadataFilter, OwnedMetadata};

    use super::*;

    struct Two;

    impl IngesterQuery for Two {
        fn queryable(&self, _: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
            Ok(None)
        }

        fn metadata(
            &self,
            _: &TenantId,
            _: &MetadataFilter,
        ) -> Result<Vec<OwnedMetadata>, StorageError> {
            Ok(Vec::new())
        }

        fn user_stats(&self, tenant: &TenantId) -> Result<UserStats, StorageError> {
            let num_series = tenant.as_str().len() as u64;
            Ok(UserStats { ingestion_rate: 1.5, num_series, ..UserStats::default() })
        }

        fn all_user_stats(&self) -> Result<Vec<(TenantId, UserStats)>, StorageError> {
            let stats = |num_series| UserStats { num_series, ..UserStats::default() };
            let tenant = |id| TenantId::new(id).unwrap();
            Ok(vec![(tenant("a"), stats(1)), (tenant("b'"), stats(2))])
        }
    }

    #[tokio::test]
    async fn tenants_with_most_series_come_first() {
        let (ingesters, blocking) = (Arc::new(Two), BlockingHandle::current());
        let router = routes(StatsParts { ingesters, blocking, replication_factor: 3 });
        let get = |accept: &'static str| {
            let request = Request::get("/distributor/all_user_stats").header("accept", accept);
            let sent = router.clone().oneshot(request.body(Body::empty()).unwrap());
            async move {
                let body = sent.await.unwrap().into_body().collect().await.unwrap();
                String::from_utf8(body.to_bytes().to_vec()).unwrap()
            }
        };
        assert_eq!(
            get("application/json").await,
            "[{\"userID\":\"b'\",\"ingestionRate\":0.0,\"numSeries\":2,\
             \"APIIngestionRate\":0.0,\"RuleIngestionRate\":0.0},{\"userID\":\"a\",\
             \"ingestionRate\":0.0,\"numSeries\":1,\"APIIngestionRate\":0.0,\
             \"RuleIngestionRate\":0.0}]"
        );
        assert!(get("text/html").await.contains("<td>b&#39;</td><td>2</td>"));
    }
    #[tokio::test]
    async fn a_tenant_sees_its_own_counts() {
        let (ingesters, blocking) = (Arc::new(Two), BlockingHandle::current());
        let router = tenant_routes(StatsParts { ingesters, blocking, replication_factor: 3 });
        let request = Request::get("/api/v1/user_stats")
            .extension(TenantId::new("team").unwrap())
            .body(Body::empty())
            .unwrap();
        let answer = router.oneshot(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            "{\"ingestionRate\":1.5,\"numSeries\":4,\"APIIngestionRate\":0.0,\
             \"RuleIngestionRate\":0.0}"
        );
    }
}
