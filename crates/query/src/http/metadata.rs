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
    let filter = MetadataFilter {
        metric: params.get("metric").filter(|name| !name.is_empty()).map(str::to_owned),
        limit: bound(&params, "limit")?,
        limit_per_metric: bound(&params, "limit_per_metric")?,
    };
    let ingester = Arc::clone(service.ingester());
    let limits = service.limits(&tenant);
    let user = tenant.clone();
    let job = move |_| Ok(ingester.metadata(&tenant, &filter)?);
    let found = service.run(&user, (service.querier.timeout.std(), &limits), job).await?;
    Ok(json_response(success(|out| push_families(out, &found))))
}

/// A bound that may be negative, which is none, in Mimir's words.
fn bound(params: &Params, name: &str) -> Result<usize, ApiError> {
    let Some(text) = params.get(name).filter(|text| !text.is_empty()) else { return Ok(0) };
    let number: i64 =
        text.parse().map_err(|_| ApiError::bad_data(format!("{name} must be a number")))?;
    Ok(usize::try_from(number).unwrap_or(0))
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
    use super::*;
    use model::batch::MetricType;

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
