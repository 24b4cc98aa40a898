//! `cardinality/label_names`, `label_values`, `active_series` and
//! `active_native_histogram_metrics`: how many values labels have and how many series. Answered
//! by ingesters alone; errors are plain text, as Mimir's are.

mod decode;
mod rank;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use config::Limits;
use model::{Matcher, StorageError, TenantId};
use wire::client::{CardinalityQuery, CountMethod, IngesterQuery};

use super::json_response;
use super::params::Params;
use crate::QueryService;
use crate::error::ApiError;
use crate::json::{push_labels, push_string};
use crate::size::SizeBound;
use decode::{ActiveSeriesRequest, LabelNamesRequest, LabelValuesRequest};
use rank::{HighestCounts, Ranked};

/// An answer that is an error: a status and a line of text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlainError(StatusCode, String);

impl PlainError {
    fn bad_request(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }
}

impl From<ApiError> for PlainError {
    fn from(error: ApiError) -> Self {
        Self(error.status(), error.message)
    }
}

impl From<StorageError> for PlainError {
    fn from(error: StorageError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for PlainError {
    fn into_response(self) -> Response {
        let mut response = (self.0, format!("{}\n", self.1)).into_response();
        let no_sniff = HeaderValue::from_static("nosniff");
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, no_sniff);
        response
    }
}

pub(super) type PlainResult = Result<Response, PlainError>;

/// What a question is asked with.
struct Question {
    ingester: Arc<dyn IngesterQuery>,
    tenant: TenantId,
    limits: Arc<Limits>,
}

impl Question {
    fn query<'q>(&'q self, matchers: &'q [Matcher], counted: CountMethod) -> CardinalityQuery<'q> {
        CardinalityQuery { tenant: &self.tenant, matchers, counted }
    }
}

/// Reads a request, `decode`s it and runs `job` on a compute thread.
async fn answer<R: Send + 'static>(
    (service, tenant): (Arc<QueryService>, TenantId),
    request: Request<Body>,
    decode: impl FnOnce(&Params, &Limits) -> Result<R, String>,
    job: impl FnOnce(&Question, &R) -> Result<Vec<u8>, PlainError> + Send + 'static,
) -> PlainResult {
    let limits = service.limits(&tenant);
    if !limits.cardinality_analysis_enabled {
        let message = format!("cardinality analysis is disabled for the tenant: {tenant}");
        return Err(PlainError::bad_request(message));
    }
    let params = Params::read(request, service.frontend.max_body_size).await?;
    let decoded = decode(&params, &limits).map_err(PlainError::bad_request)?;
    let timeout = service.querier.timeout.std();
    let ingester = Arc::clone(service.ingester());
    let user = tenant.clone();
    let question = Question { ingester, tenant, limits: Arc::clone(&limits) };
    // The pool's own errors are the API's; the job's are plain.
    let run = service.run(&user, (timeout, &limits), move |_| Ok(job(&question, &decoded)));
    run.await?.map(json_response)
}

pub(super) async fn label_names(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> PlainResult {
    answer((service, tenant), request, LabelNamesRequest::decode, count_names).await
}

pub(super) async fn label_values(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> PlainResult {
    answer((service, tenant), request, LabelValuesRequest::decode, count_values).await
}

pub(super) async fn active_series(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> PlainResult {
    answer((service, tenant), request, ActiveSeriesRequest::decode, list_active).await
}

pub(super) async fn active_native_histogram_metrics(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> PlainResult {
    answer((service, tenant), request, ActiveSeriesRequest::decode, count_buckets).await
}

fn count_names(question: &Question, request: &LabelNamesRequest) -> Result<Vec<u8>, PlainError> {
    let mut names: Vec<Ranked> = Vec::new();
    let mut bound = SizeBound::of_label_values(&question.limits);
    let mut see = |name: &str, value: &str| {
        if names.last().is_none_or(|last| last.text != name) {
            bound.add(name.len())?;
            names.push(Ranked { count: 0, text: name.to_owned() });
        }
        if let Some(last) = names.last_mut() {
            last.count += 1;
        }
        bound.add(value.len())
    };
    let query = question.query(&request.matchers, request.counted);
    question.ingester.label_names_and_values(query, &mut see)?;
    names.sort();
    let total: u64 = names.iter().map(|name| name.count).sum();
    let mut out = format!(
        r#"{{"label_values_count_total":{total},"label_names_count":{},"cardinality":"#,
        names.len()
    )
    .into_bytes();
    let fields = (r#"{"label_name":"#, r#","label_values_count":"#);
    push_ranked(&mut out, &names[..names.len().min(request.limit)], fields);
    out.push(b'}');
    Ok(out)
}

/// One label of an answer.
struct LabelCounts<'r> {
    name: &'r str,
    value_count: u64,
    series_count: u64,
    highest: Vec<Ranked>,
}

fn count_values(question: &Question, request: &LabelValuesRequest) -> Result<Vec<u8>, PlainError> {
    let limit = question.limits.label_values_max_cardinality_label_names_per_request;
    let actual = request.names.len();
    if actual as u64 > limit {
        return Err(PlainError::bad_request(format!(
            "label values cardinality request label names limit (limit: {limit} actual: {actual}) \
             exceeded"
        )));
    }
    let query = question.query(&request.matchers, request.counted);
    let mut labels = Vec::new();
    for name in request.names.iter().collect::<BTreeSet<_>>() {
        let (mut value_count, mut series_count) = (0, 0);
        let mut highest = HighestCounts::new(request.limit);
        question.ingester.label_values_cardinality(query, name, &mut |value, count| {
            value_count += 1;
            series_count += count;
            highest.add(value, count);
            Ok(())
        })?;
        if value_count > 0 {
            let highest = highest.sorted();
            labels.push(LabelCounts { name, value_count, series_count, highest });
        }
    }
    labels.sort_by(|a, b| b.series_count.cmp(&a.series_count).then_with(|| a.name.cmp(b.name)));
    let total = question.ingester.series_count(query)?;
    Ok(write_label_counts(total, &labels))
}

fn write_label_counts(total: u64, labels: &[LabelCounts<'_>]) -> Vec<u8> {
    let mut out = format!(r#"{{"series_count_total":{total},"labels":["#).into_bytes();
    for (i, label) in labels.iter().enumerate() {
        out.extend_from_slice(if i > 0 { br#",{"label_name":"# } else { br#"{"label_name":"# });
        push_string(&mut out, label.name);
        let counts = format!(
            r#","label_values_count":{},"series_count":{},"cardinality":"#,
            label.value_count, label.series_count
        );
        out.extend_from_slice(counts.as_bytes());
        let fields = (r#"{"label_value":"#, r#","series_count":"#);
        push_ranked(&mut out, &label.highest, fields);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

/// Writes a list of objects; `fields` is what stands before the text and before the count.
fn push_ranked(out: &mut Vec<u8>, ranked: &[Ranked], fields: (&str, &str)) {
    out.push(b'[');
    for (i, item) in ranked.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(fields.0.as_bytes());
        push_string(out, &item.text);
        out.extend_from_slice(fields.1.as_bytes());
        out.extend_from_slice(format!("{}}}", item.count).as_bytes());
    }
    out.push(b']');
}

/// The error of a list of series.
fn series_error(error: StorageError) -> PlainError {
    let message = "response too large: try increasing the requested shard count";
    match error {
        StorageError::Refused(_) => PlainError(StatusCode::PAYLOAD_TOO_LARGE, message.to_owned()),
        error => error.into(),
    }
}

fn list_active(question: &Question, request: &ActiveSeriesRequest) -> Result<Vec<u8>, PlainError> {
    let mut bound = SizeBound::of_active_series(&question.limits);
    let mut out = br#"{"data":["#.to_vec();
    let mut is_first = true;
    let query = question.query(&request.matchers, CountMethod::Active);
    let result = question.ingester.active_series(query, &mut |series| {
        bound.add(series.labels.packed().len())?;
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        push_labels(&mut out, &series.labels);
        Ok(())
    });
    result.map_err(series_error)?;
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// The buckets of one metric's native histograms.
#[derive(Debug, Default)]
struct MetricBuckets {
    series: u64,
    buckets: u64,
    min: u64,
    max: u64,
}

impl MetricBuckets {
    fn add(&mut self, buckets: u64) {
        self.min = if self.series == 0 { buckets } else { self.min.min(buckets) };
        self.max = self.max.max(buckets);
        self.series += 1;
        self.buckets += buckets;
    }
}

fn count_buckets(
    question: &Question,
    request: &ActiveSeriesRequest,
) -> Result<Vec<u8>, PlainError> {
    let mut bound = SizeBound::of_active_series(&question.limits);
    let mut metrics = BTreeMap::<String, MetricBuckets>::new();
    let query = question.query(&request.matchers, CountMethod::Active);
    let result = question.ingester.active_histogram_series(query, &mut |series| {
        let Some(buckets) = series.bucket_count else { return Ok(()) };
        bound.add(series.labels.packed().len())?;
        let name = series.labels.metric_name().unwrap_or_default();
        metrics.entry(name.to_owned()).or_default().add(u64::from(buckets));
        Ok(())
    });
    result.map_err(series_error)?;
    let mut out = br#"{"data":["#.to_vec();
    for (i, (name, metric)) in metrics.iter().enumerate() {
        out.extend_from_slice(if i > 0 { br#",{"metric":"# } else { br#"{"metric":"# });
        push_string(&mut out, name);
        let MetricBuckets { series, buckets, min, max } = metric;
        let average = *buckets as f64 / *series as f64;
        let counts = format!(
            r#","series_count":{series},"bucket_count":{buckets},"avg_bucket_count":{average},"min_bucket_count":{min},"max_bucket_count":{max}}}"#
        );
        out.extend_from_slice(counts.as_bytes());
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

#[cfg(test)]
mod tests;
