//! Queries of the service `cortex.Ingester`.

use std::sync::Arc;

use model::{
    CancelOnDrop, EncodedChunk, Labels, Matcher, Querier, QueryContext, SelectHints,
    SeriesExemplars, StorageError, TenantId, TimeRange,
};
use tonic::{Request, Status};
use wire::client::{CardinalityQuery, CountMethod, MetadataFilter, UserStats};

use super::server::Shared;
use crate::convert::{ChunkWire, labels_out, matchers_in};
use crate::messages::common::{Exemplar, Metric, MetricMetadata, TimeSeries};
use crate::messages::ingester::{
    Chunk, ExemplarQueryRequest, ExemplarQueryResponse, LabelMatchers, LabelNamesRequest,
    LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, MetricsForLabelMatchersRequest,
    MetricsForLabelMatchersResponse, MetricsMetadataRequest, MetricsMetadataResponse, QueryRequest,
    QueryStreamResponse, QueryStreamSeries, QueryStreamSeriesChunks, UserIdStatsResponse,
    UserStatsRequest, UserStatsResponse, UsersStatsResponse,
};
use crate::service::{Messages, busy};
use crate::status::{storage_status, tenant_of};
use crate::stream::{Piece, SeriesStream};

pub(super) async fn query_stream(
    shared: Arc<Shared>,
    request: Request<QueryRequest>,
) -> Result<Messages<QueryStreamResponse>, Status> {
    let tenant = tenant_of(request.metadata())?;
    let request = request.into_inner();
    let matchers = matchers_in(&request.matchers)?;
    let range = TimeRange::new(request.start_timestamp_ms, request.end_timestamp_ms);
    let context = Arc::new(QueryContext::unlimited());
    let cancel = CancelOnDrop(Arc::clone(&context));
    let batch = request.streaming_chunks_batch_size;
    let begin = {
        let (shared, tenant) = (Arc::clone(&shared), tenant.clone());
        move || {
            let hints = hints(range, false, 0);
            let set = match querier(&shared, &tenant, (range, &context))? {
                Some(querier) => querier.select(&matchers, &hints)?,
                None => Box::new(model::storage::EmptySeriesSet),
            };
            Ok(SeriesStream::new(set, (range, batch), true, context))
        }
    };
    let stream = shared.run(&tenant, begin).await?;
    let pieces = futures::stream::try_unfold(stream, move |stream| {
        let (shared, tenant, _whole_life) = (Arc::clone(&shared), tenant.clone(), &cancel);
        async move {
            let mut stream = stream;
            let job = move || stream.next_piece().map(|piece| (piece, stream));
            let (piece, stream) = shared.run(&tenant, job).await?;
            Ok(piece.map(|piece| (message_of(piece), stream)))
        }
    });
    Ok(Box::pin(pieces))
}

fn message_of(piece: Piece) -> QueryStreamResponse {
    match piece {
        Piece::Labels(series, is_end_of_series_stream) => QueryStreamResponse {
            streaming_series: series
                .iter()
                .map(|(labels, chunks)| QueryStreamSeries {
                    labels: labels_out(labels),
                    chunk_count: i64::try_from(*chunks).unwrap_or(i64::MAX),
                })
                .collect(),
            is_end_of_series_stream,
            streaming_series_chunks: Vec::new(),
        },
        Piece::Chunks(series) => QueryStreamResponse {
            streaming_series: Vec::new(),
            is_end_of_series_stream: false,
            streaming_series_chunks: series
                .into_iter()
                .map(|(series_index, chunks)| QueryStreamSeriesChunks {
                    series_index,
                    chunks: chunks.into_iter().map(chunk_out).collect(),
                })
                .collect(),
        },
    }
}

fn chunk_out(chunk: EncodedChunk) -> Chunk {
    Chunk {
        start_timestamp_ms: chunk.min_time_ms,
        end_timestamp_ms: chunk.max_time_ms,
        encoding: ChunkWire::Ingester.encoding_out(chunk.encoding),
        data: bytes::Bytes::from_owner(chunk.data),
    }
}

fn hints(range: TimeRange, labels_only: bool, limit: usize) -> SelectHints {
    SelectHints {
        start_ms_incl: range.start_ms_incl,
        end_ms_incl: range.end_ms_incl,
        labels_only,
        limit,
        ..SelectHints::default()
    }
}

/// A view of the tenant's recent data; `None` where there is none.
fn querier(
    shared: &Shared,
    tenant: &TenantId,
    (range, context): (TimeRange, &Arc<QueryContext>),
) -> Result<Option<Box<dyn Querier>>, StorageError> {
    let Some(data) = shared.parts.query.queryable(tenant)? else { return Ok(None) };
    data.querier(range, context).map(Some)
}

/// A limit as it came: zero and less is none.
fn limit(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

fn optional_matchers(matchers: Option<&LabelMatchers>) -> Result<Vec<Matcher>, Status> {
    matchers_in(matchers.map(|m| &m.matchers[..]).unwrap_or_default())
}

pub(super) async fn label_names(
    shared: Arc<Shared>,
    request: Request<LabelNamesRequest>,
) -> Result<LabelNamesResponse, Status> {
    let ask = |request: &LabelNamesRequest| {
        let (matchers, limit) =
            (optional_matchers(request.matchers.as_ref())?, limit(request.limit));
        let range = TimeRange::new(request.start_timestamp_ms, request.end_timestamp_ms);
        Ok((range, move |querier: &dyn Querier| querier.label_names(&matchers, limit)))
    };
    let label_names = texts(&shared, request, ask).await?;
    Ok(LabelNamesResponse { label_names })
}

pub(super) async fn label_values(
    shared: Arc<Shared>,
    request: Request<LabelValuesRequest>,
) -> Result<LabelValuesResponse, Status> {
    let ask = |request: &LabelValuesRequest| {
        let (matchers, limit) =
            (optional_matchers(request.matchers.as_ref())?, limit(request.limit));
        let range = TimeRange::new(request.start_timestamp_ms, request.end_timestamp_ms);
        let name = request.label_name.clone();
        Ok((range, move |querier: &dyn Querier| querier.label_values(&name, &matchers, limit)))
    };
    let label_values = texts(&shared, request, ask).await?;
    Ok(LabelValuesResponse { label_values })
}

/// Carries out on a thread of queries what `ask` makes of a request.
async fn texts<A, J>(
    shared: &Arc<Shared>,
    request: Request<A>,
    ask: impl FnOnce(&A) -> Result<(TimeRange, J), Status>,
) -> Result<Vec<String>, Status>
where
    J: FnOnce(&dyn Querier) -> Result<Vec<String>, StorageError> + Send + 'static,
{
    let tenant = tenant_of(request.metadata())?;
    let (range, job) = ask(request.get_ref())?;
    let context = Arc::new(QueryContext::unlimited());
    let _cancel = CancelOnDrop(Arc::clone(&context));
    let job = {
        let (shared, tenant) = (Arc::clone(shared), tenant.clone());
        move || match querier(&shared, &tenant, (range, &context))? {
            Some(querier) => job(&*querier),
            None => Ok(Vec::new()),
        }
    };
    shared.run(&tenant, job).await
}

pub(super) async fn metrics_for_matchers(
    shared: Arc<Shared>,
    request: Request<MetricsForLabelMatchersRequest>,
) -> Result<MetricsForLabelMatchersResponse, Status> {
    let tenant = tenant_of(request.metadata())?;
    let request = request.into_inner();
    let sets = request.matchers_set.iter().map(|set| matchers_in(&set.matchers));
    let sets = sets.collect::<Result<Vec<_>, _>>()?;
    let range = TimeRange::new(request.start_timestamp_ms, request.end_timestamp_ms);
    let limit = limit(request.limit);
    let context = Arc::new(QueryContext::unlimited());
    let _cancel = CancelOnDrop(Arc::clone(&context));
    let job = {
        let (shared, tenant) = (Arc::clone(&shared), tenant.clone());
        move || match querier(&shared, &tenant, (range, &context))? {
            Some(querier) => series_of(&*querier, &sets, &hints(range, true, limit)),
            None => Ok(Vec::new()),
        }
    };
    let found = shared.run(&tenant, job).await?;
    let metric = found.iter().map(|labels| Metric { labels: labels_out(labels) }).collect();
    Ok(MetricsForLabelMatchersResponse { metric })
}

/// The series that any of the sets selects, each once.
fn series_of(
    querier: &dyn Querier,
    sets: &[Vec<Matcher>],
    hints: &SelectHints,
) -> Result<Vec<Labels>, StorageError> {
    let mut found = Vec::new();
    for matchers in sets {
        let mut set = querier.select(matchers, hints)?;
        let mut count = 0;
        while let Some(series) = set.next_series()? {
            found.push(series.labels);
            count += 1;
            if hints.limit > 0 && count == hints.limit {
                break;
            }
        }
    }
    if sets.len() > 1 {
        found.sort();
        found.dedup();
    }
    if hints.limit > 0 {
        found.truncate(hints.limit);
    }
    Ok(found)
}

pub(super) async fn query_exemplars(
    shared: Arc<Shared>,
    request: Request<ExemplarQueryRequest>,
) -> Result<ExemplarQueryResponse, Status> {
    let tenant = tenant_of(request.metadata())?;
    let request = request.into_inner();
    let selectors = request.matchers.iter().map(|set| matchers_in(&set.matchers));
    let selectors = selectors.collect::<Result<Vec<_>, _>>()?;
    let range = TimeRange::new(request.start_timestamp_ms, request.end_timestamp_ms);
    let job = {
        let (shared, tenant) = (Arc::clone(&shared), tenant.clone());
        move || shared.parts.query.exemplars(&tenant, range, &selectors)
    };
    let found = shared.run(&tenant, job).await?;
    Ok(ExemplarQueryResponse { timeseries: found.iter().map(exemplars_out).collect() })
}

fn exemplars_out(series: &SeriesExemplars) -> TimeSeries {
    let exemplar = |exemplar: &model::Exemplar| Exemplar {
        labels: labels_out(&exemplar.labels),
        value: exemplar.value,
        timestamp_ms: exemplar.timestamp_ms,
    };
    TimeSeries {
        labels: labels_out(&series.labels),
        exemplars: series.exemplars.iter().map(exemplar).collect(),
    }
}

pub(super) async fn user_stats(
    shared: Arc<Shared>,
    request: Request<UserStatsRequest>,
) -> Result<UserStatsResponse, Status> {
    let tenant = tenant_of(request.metadata())?;
    let counted = count_method(request.get_ref().count_method)?;
    let job = {
        let (shared, tenant) = (Arc::clone(&shared), tenant.clone());
        move || {
            let stats = shared.parts.query.user_stats(&tenant)?;
            with_count(&shared, (&tenant, counted), stats)
        }
    };
    Ok(stats_out(&shared.run(&tenant, job).await?))
}

/// Which series a request wants to be counted.
fn count_method(number: i32) -> Result<CountMethod, Status> {
    match number {
        0 => Ok(CountMethod::InMemory),
        1 => Ok(CountMethod::Active),
        other => Err(Status::internal(format!("unknown count method \"{other}\""))),
    }
}

/// The counts of a tenant with the series that were asked for.
fn with_count(
    shared: &Shared,
    (tenant, counted): (&TenantId, CountMethod),
    stats: UserStats,
) -> Result<UserStats, StorageError> {
    match counted {
        CountMethod::InMemory => Ok(stats),
        CountMethod::Active => {
            let query = CardinalityQuery { tenant, matchers: &[], counted };
            Ok(UserStats { num_series: shared.parts.query.series_count(query)?, ..stats })
        }
    }
}

/// The same of all tenants; whoever asks need not be one of them.
pub(super) async fn all_user_stats(
    shared: Arc<Shared>,
    request: Request<UserStatsRequest>,
) -> Result<UsersStatsResponse, Status> {
    let counted = count_method(request.get_ref().count_method)?;
    let pool = shared.parts.queries.clone();
    let job = move || {
        let count = |(tenant, stats)| {
            let stats = with_count(&shared, (&tenant, counted), stats)?;
            Ok::<_, StorageError>((tenant, stats))
        };
        shared.parts.query.all_user_stats()?.into_iter().map(count).collect::<Result<Vec<_>, _>>()
    };
    let all = pool.run_for("", job).await.map_err(|error| busy(&error))?;
    let all = all.map_err(|error| storage_status(&error))?;
    let stats = all.iter().map(|(tenant, stats)| UserIdStatsResponse {
        user_id: tenant.as_str().to_owned(),
        data: Some(stats_out(stats)),
    });
    Ok(UsersStatsResponse { stats: stats.collect() })
}

fn stats_out(stats: &UserStats) -> UserStatsResponse {
    UserStatsResponse {
        ingestion_rate: stats.ingestion_rate,
        num_series: stats.num_series,
        api_ingestion_rate: stats.api_ingestion_rate,
        rule_ingestion_rate: stats.rule_ingestion_rate,
    }
}

pub(super) async fn metrics_metadata(
    shared: Arc<Shared>,
    request: Request<MetricsMetadataRequest>,
) -> Result<MetricsMetadataResponse, Status> {
    let tenant = tenant_of(request.metadata())?;
    let request = request.into_inner();
    // On the wire a limit of 0 asks for nothing, and a negative one for everything.
    if request.limit == 0 {
        return Ok(MetricsMetadataResponse::default());
    }
    let filter = MetadataFilter {
        metric: Some(request.metric).filter(|name| !name.is_empty()),
        limit: limit(i64::from(request.limit)),
        limit_per_metric: limit(i64::from(request.limit_per_metric)),
    };
    let job = {
        let (shared, tenant) = (Arc::clone(&shared), tenant.clone());
        move || shared.parts.query.metadata(&tenant, &filter)
    };
    let found = shared.run(&tenant, job).await?;
    let metadata = found.into_iter().map(|metadata| MetricMetadata {
        r#type: metadata.metric_type as i32,
        metric_family_name: metadata.family,
        help: metadata.help,
        unit: metadata.unit,
    });
    Ok(MetricsMetadataResponse { metadata: metadata.collect() })
}
