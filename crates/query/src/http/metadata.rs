//! `metadata`: type, help and unit of the tenant's metrics.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use model::TenantId;
use wire::client::{MetadataFilter, OwnedMetadata};

use super::params::Params;
use super::{ApiResult, json_response, success};
use crate::QueryService;
use crate::error::ApiError;
use crate::json::push_string;

pub(super) async fn metadata(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> ApiResult {
    let params = Params::read(request, service.frontend.max_body_size).await?;
    let Some(filter) = filter(&params)? else {
        return Ok(json_response(success(|out| push_families(out, &[]))));
    };
    let ingester = Arc::clone(service.ingester());
    let limits = service.limits(&tenant);
    let user = tenant.clone();
    let job = move |_| Ok(ingester.metadata(&tenant, &filter)?);
    let found = service.run(&user, (service.querier.timeout.std(), &limits), job).await?;
    Ok(json_response(success(|out| push_families(out, &found))))
}

/// What is asked for; `None` where it is nothing.
fn filter(params: &Params) -> Result<Option<MetadataFilter>, ApiError> {
    let (limit, limit_per_metric) = (bound(params, "limit")?, bound(params, "limit_per_metric")?);
    // No metric is no metric, as in Mimir, though no entry of a metric is all of them.
    if limit == 0 {
        return Ok(None);
    }
    Ok(Some(MetadataFilter {
        metric: params.get("metric").filter(|name| !name.is_empty()).map(str::to_owned),
        limit: usize::try_from(limit).unwrap_or(0),
        limit_per_metric: usize::try_from(limit_per_metric).unwrap_or(0),
    }))
}

/// A bound that may be negative, which is none, in Mimir's words.
fn bound(params: &Params, name: &str) -> Result<i32, ApiError> {
    let Some(text) = params.get(name).filter(|text| !text.is_empty()) else { return Ok(-1) };
    text.parse().map_err(|_| ApiError::bad_data(format!("{name} must be a number")))
}

/// Writes `{"name":[{...},...],...}`; entries of one name stand next to each other.
fn push_families(out: &mut Vec<u8>, found: &[OwnedMetadata]) {
    out.push(b'{');
    for (i, entries) in found.chunk_by(|a, b| a.family == b.family).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_string(out, &entries[0].family);
        out.extend_from_slice(b":[");
        for (i, entry) in entries.iter().enumerate() {
            out.extend_from_slice(if i > 0 { br#",{"type":"# } else { br#"{"type":"# });
            push_string(out, entry.metric_type.as_str());
            out.extend_from_slice(br#","help":"#);
            push_string(out, &entry.help);
            out.extend_from_slice(br#","unit":"#);
            push_string(out, &entry.unit);
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use model::batch::MetricType;

    use super::*;

    #[test]
    fn no_metric_is_asked_for_with_a_limit_of_zero() {
        let limits = |query: &str| {
            let request = Request::builder().uri(format!("/?{query}")).body(Body::empty()).unwrap();
            let params = Params::read(request, 0).now_or_never().unwrap().unwrap();
            let filter = filter(&params).map_err(|error| error.message);
            filter.map(|filter| filter.map(|it| (it.limit, it.limit_per_metric)))
        };
        assert_eq!(limits("limit=0"), Ok(None));
        assert_eq!(limits("limit=0&metric=up"), Ok(None));
        assert_eq!(limits(""), Ok(Some((0, 0))));
        assert_eq!(limits("limit=-3&limit_per_metric=0"), Ok(Some((0, 0))));
        assert_eq!(limits("limit=3&limit_per_metric=2"), Ok(Some((3, 2))));
        assert_eq!(limits("limit=x"), Err("limit must be a number".to_owned()));
    }

    #[test]
    fn entries_of_a_metric_stand_in_one_list() {
        let entry = |family: &str, help: &str| OwnedMetadata {
            family: family.to_owned(),
            metric_type: MetricType::Counter,
            help: help.to_owned(),
            unit: String::new(),
        };
        let mut out = Vec::new();
        push_families(&mut out, &[entry("a", "1"), entry("a", "2"), entry("b", "3")]);
        let got: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let want = |help: &str| serde_json::json!({"type": "counter", "help": help, "unit": ""});
        assert_eq!(got, serde_json::json!({"a": [want("1"), want("2")], "b": [want("3")]}));
    }
}
