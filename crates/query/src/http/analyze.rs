//! `analyze`: a query's plan with what each operator did. The query runs, its result is counted
//! and thrown away.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use model::TenantId;
use model::context::QueryUsage;
use promql::value::Value;
use promql::{Analysis, Engine, Operator, QueryKind};

use super::params::Params;
use super::query::{range_kind, request_of};
use super::{ApiResult, json_response, success};
use crate::error::ApiError;
use crate::json::push_string;
use crate::run::QueryRequest;
use crate::{QueryService, features, limits};

pub(super) async fn analyze(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> ApiResult {
    let params = Params::read(request, service.frontend.max_body_size).await?;
    let kind = if params.get("start").is_some() || params.get("step").is_some() {
        range_kind(&params, service.limits(&tenant).align_queries_with_step)?
    } else {
        QueryKind::Instant { time_ms: params.time_or("time", service.now_ms())? }
    };
    let request = request_of(&params, kind)?;
    let limits = service.limits(&tenant);
    limits::check_expression_size(&request.query, &limits)?;
    let this = Arc::clone(&service);
    let timeout = service.timeout(request.timeout);
    let user = tenant.clone();
    let body = service
        .run(&user, (timeout, &Arc::clone(&limits)), move |context| {
            let query = request.query.clone();
            let analysis = run(&this, tenant, &request, &context)?;
            Ok(success(|out| push_analysis(out, &query, &analysis, &context.usage())))
        })
        .await?;
    Ok(json_response(body))
}

fn run(
    service: &QueryService,
    tenant: TenantId,
    request: &QueryRequest,
    context: &Arc<model::QueryContext>,
) -> Result<Analysis, ApiError> {
    let limits = service.limits(&tenant);
    let expr = features::parse(&request.query, &limits, context)?;
    let kind = service.clamp(request.kind, &limits)?;
    let queryable = service.tenant_queryable(tenant, &limits);
    let engine = Engine::new(service.engine_options(request, &limits));
    Ok(promql::analyze(&engine, (&expr, kind), &queryable, context, service.clock())?)
}

fn push_analysis(out: &mut Vec<u8>, query: &str, analysis: &Analysis, usage: &QueryUsage) {
    out.extend_from_slice(br#"{"query":"#);
    push_string(out, query);
    let value = &analysis.result.value;
    out.extend_from_slice(br#","resultType":"#);
    push_string(out, value.type_name());
    push_numbers(
        out,
        &[
            ("resultSeries", series_of(value)),
            ("totalSamples", analysis.result.stats.total_samples),
            ("peakSamples", analysis.result.stats.peak_samples),
            ("peakMemoryBytes", usage.peak_memory_bytes),
            ("fetchedSeries", usage.series),
            ("fetchedChunks", usage.chunks),
            ("fetchedChunkBytes", usage.chunk_bytes),
        ],
    );
    out.extend_from_slice(br#","operators":["#);
    for (i, operator) in analysis.explanation.operators.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_operator(out, operator);
    }
    out.extend_from_slice(br#"],"plan":"#);
    push_string(out, &analysis.explanation.to_string());
    out.push(b'}');
}

fn push_operator(out: &mut Vec<u8>, operator: &Operator) {
    out.extend_from_slice(br#"{"name":"#);
    push_string(out, &operator.name);
    out.extend_from_slice(br#","detail":"#);
    push_string(out, &operator.detail);
    push_numbers(
        out,
        &[
            ("id", operator.id as u64),
            ("depth", operator.depth as u64),
            ("steps", operator.steps as u64),
            ("start", operator.pos.start.into()),
            ("end", operator.pos.end.into()),
        ],
    );
    if let Some(same_as) = operator.same_as {
        push_numbers(out, &[("sameAs", same_as as u64)]);
    }
    if let Some(did) = operator.measured.filter(|did| did.was_run) {
        push_numbers(
            out,
            &[
                ("series", did.series),
                ("samples", did.samples),
                ("samplesRead", did.samples_read),
                ("peakMemoryBytes", did.peak_memory_bytes),
            ],
        );
        let ms = format!(",\"timeMs\":{:.3}", did.time.as_secs_f64() * 1000.0);
        out.extend_from_slice(ms.as_bytes());
    }
    out.push(b'}');
}

fn push_numbers(out: &mut Vec<u8>, numbers: &[(&str, u64)]) {
    for (name, number) in numbers {
        out.extend_from_slice(format!(",\"{name}\":{number}").as_bytes());
    }
}

fn series_of(value: &Value) -> u64 {
    let series = match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar(_) | Value::String { .. } => 1,
    };
    series as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use model::env::ManualClock;
    use model::{Labels, QueryContext};
    use promql::EngineOptions;
    use promql::memstore::MemoryStorage;

    #[test]
    fn operators_come_with_what_they_did() {
        let mut storage = MemoryStorage::new();
        for pod in ["a", "b"] {
            let labels = Labels::from_pairs([("__name__", "up"), ("pod", pod)]);
            storage.append_float(&labels, (1000, 0), 1.0).unwrap();
        }
        let query = "sum(up) + 1";
        let expr =
            promql::parser::parse_expr(query, &promql::parser::ParserOptions::all()).unwrap();
        let context = Arc::new(QueryContext::unlimited());
        let kind = QueryKind::Instant { time_ms: 2000 };
        let engine = Engine::new(EngineOptions::default());
        let clock = Arc::new(ManualClock::new(0));
        let mut analysis =
            promql::analyze(&engine, (&expr, kind), &storage, &context, clock).unwrap();
        for operator in &mut analysis.explanation.operators {
            if let Some(did) = &mut operator.measured {
                did.time = Duration::from_micros(1500);
            }
        }
        let mut out = Vec::new();
        push_analysis(&mut out, query, &analysis, &context.usage());
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["resultType"], "vector");
        assert_eq!(json["resultSeries"], 1);
        assert_eq!(json["totalSamples"], 2);
        let names: Vec<&str> = json["operators"]
            .as_array()
            .unwrap()
            .iter()
            .map(|operator| operator["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["+", "sum", "select", "number"]);
        let select = &json["operators"][2];
        assert_eq!((&select["series"], &select["samplesRead"]), (&2.into(), &2.into()));
        assert_eq!(select["timeMs"], 1.5);
        assert_eq!(select["depth"], 2);
        assert!(json["plan"].as_str().unwrap().contains("{__name__=\"up\"}"), "{}", json["plan"]);
    }
}
