//! An ingester in another process, as the distributor and the querier of this one see it. All
//! functions are called from compute threads and block.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::batch::MetricType;
use model::storage::sorted_texts;
use model::{
    Exemplar, Matcher, Querier, QueryContext, Queryable, SelectHints, SeriesExemplars, SeriesSet,
    StorageError, TenantId, TimeRange, WriteBatch,
};
use rt::BlockingHandle;
use tonic_prost::ProstCodec;
use wire::client::{
    ActiveSeries, CardinalityQuery, CountMethod, CountVisitor, IngesterPush, IngesterQuery,
    MetadataFilter, OwnedMetadata, PushError, SeriesVisitor, UserStats, ValueVisitor,
};

use crate::client::{ClientOptions, Connection, Pulled};
use crate::convert::{ChunkWire, labels_in, matchers_out};
use crate::messages::ingester::{
    ALL_SERIES, ActiveSeriesRequest, ActiveSeriesResponse, ExemplarQueryRequest,
    ExemplarQueryResponse, HISTOGRAM_SERIES, LabelMatchers, LabelNamesAndValuesRequest,
    LabelNamesAndValuesResponse, LabelNamesRequest, LabelNamesResponse,
    LabelValuesCardinalityRequest, LabelValuesCardinalityResponse, LabelValuesRequest,
    LabelValuesResponse, MetricsForLabelMatchersRequest, MetricsForLabelMatchersResponse,
    MetricsMetadataRequest, MetricsMetadataResponse, QueryRequest, QueryStreamResponse,
    UserStatsRequest, UserStatsResponse, UsersStatsResponse, WriteResponse,
};
use crate::pool::Connected;
use crate::received::{Message, RemoteSeries, RemoteSeriesSet, SeriesSource, labels_only};
use crate::service::BytesOut;
use crate::status::{push_error, storage_error};

/// Series of chunks that are asked for at a time.
const CHUNKS_BATCH_SIZE: u64 = 256;

/// One ingester of another process.
#[derive(Clone)]
pub struct IngesterClient {
    connection: Connection,
    push_timeout: Duration,
}

impl IngesterClient {
    /// The ingester at `address`, `HOST:PORT`. Pushes are given up after `push_timeout`. Must be
    /// called inside of the runtime; connects at the first call.
    pub fn new(
        address: &str,
        (options, push_timeout): (&ClientOptions, Duration),
        blocking: BlockingHandle,
    ) -> Result<Self, tonic::transport::Error> {
        Ok(Self { connection: Connection::new(address, options, blocking)?, push_timeout })
    }

    /// Sends an encoded `WriteRequest`. Needs no thread that may block.
    pub async fn push_message(&self, tenant: &TenantId, message: Bytes) -> Result<(), PushError> {
        let codec = BytesOut(ProstCodec::<WriteResponse, WriteResponse>::default());
        let target = (tenant, "/cortex.Ingester/Push");
        let done = self.connection.call(target, (message, codec), self.push_timeout).await;
        done.map(|_| ()).map_err(|status| push_error(&status))
    }
}

fn stats_in(answer: &UserStatsResponse) -> UserStats {
    UserStats {
        ingestion_rate: answer.ingestion_rate,
        num_series: answer.num_series,
        api_ingestion_rate: answer.api_ingestion_rate,
        rule_ingestion_rate: answer.rule_ingestion_rate,
        max_time_ms: None,
    }
}

impl Connected for IngesterClient {
    fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl IngesterPush for IngesterClient {
    fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
        let (series, metadata) = (batch.series.iter().copied(), batch.metadata.iter().copied());
        let mut message = Vec::new();
        wire::remote_write::encode(batch, series, metadata, &mut message);
        self.connection.blocking().block_on(self.push_message(tenant, message.into()))
    }
}

impl IngesterQuery for IngesterClient {
    fn queryable(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        let (connection, tenant) = (self.connection.clone(), tenant.clone());
        Ok(Some(Arc::new(RemoteTenant { connection, tenant })))
    }

    fn metadata(
        &self,
        tenant: &TenantId,
        filter: &MetadataFilter,
    ) -> Result<Vec<OwnedMetadata>, StorageError> {
        // On the wire a limit of 0 asks for nothing, and a negative one for everything.
        let limit = |n: usize| i32::try_from(n).ok().filter(|n| *n > 0).unwrap_or(-1);
        let request = MetricsMetadataRequest {
            limit: limit(filter.limit),
            limit_per_metric: limit(filter.limit_per_metric),
            metric: filter.metric.clone().unwrap_or_default(),
        };
        let target = (tenant, "/cortex.Ingester/MetricsMetadata");
        let answer: MetricsMetadataResponse =
            self.connection.ask(target, request, &QueryContext::unlimited())?;
        let owned = answer.metadata.into_iter().map(|metadata| OwnedMetadata {
            family: metadata.metric_family_name,
            metric_type: MetricType::from_number(u64::try_from(metadata.r#type).unwrap_or(0)),
            help: metadata.help,
            unit: metadata.unit,
        });
        Ok(owned.collect())
    }

    fn exemplars(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selectors: &[Vec<Matcher>],
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        let set = |matchers: &Vec<Matcher>| LabelMatchers { matchers: matchers_out(matchers) };
        let request = ExemplarQueryRequest {
            start_timestamp_ms: range.start_ms_incl,
            end_timestamp_ms: range.end_ms_incl,
            matchers: selectors.iter().map(set).collect(),
        };
        let target = (tenant, "/cortex.Ingester/QueryExemplars");
        let answer: ExemplarQueryResponse =
            self.connection.ask(target, request, &QueryContext::unlimited())?;
        answer.timeseries.iter().map(exemplars_in).collect()
    }

    fn user_stats(&self, tenant: &TenantId) -> Result<UserStats, StorageError> {
        let target = (tenant, "/cortex.Ingester/UserStats");
        let answer: UserStatsResponse = self.connection.ask(
            target,
            UserStatsRequest { count_method: 0 },
            &QueryContext::unlimited(),
        )?;
        Ok(stats_in(&answer))
    }

    fn all_user_stats(&self) -> Result<Vec<(TenantId, UserStats)>, StorageError> {
        // A Mimir wants a tenant, whichever it is.
        let anybody =
            TenantId::new("1").map_err(|error| StorageError::Internal(error.to_string()))?;
        let answer: UsersStatsResponse = self.connection.ask(
            (&anybody, "/cortex.Ingester/AllUserStats"),
            UserStatsRequest { count_method: 0 },
            &QueryContext::unlimited(),
        )?;
        let stats = answer.stats.into_iter().map(|one| {
            let tenant = TenantId::new(&one.user_id)
                .map_err(|error| StorageError::Internal(error.to_string()))?;
            Ok((tenant, stats_in(&one.data.unwrap_or_default())))
        });
        stats.collect()
    }

    fn label_names_and_values(
        &self,
        query: CardinalityQuery<'_>,
        visit: ValueVisitor<'_>,
    ) -> Result<(), StorageError> {
        let request = LabelNamesAndValuesRequest {
            matchers: matchers_out(query.matchers),
            count_method: method(query.counted),
        };
        let path = "/cortex.Ingester/LabelNamesAndValues";
        let mut stream: Pulled<LabelNamesAndValuesResponse> = self.stream(query, path, request)?;
        while let Some(message) = stream.next()? {
            for item in message.items {
                item.values.iter().try_for_each(|value| visit(&item.label_name, value))?;
            }
        }
        Ok(())
    }

    fn label_values_cardinality(
        &self,
        query: CardinalityQuery<'_>,
        name: &str,
        visit: CountVisitor<'_>,
    ) -> Result<(), StorageError> {
        let request = LabelValuesCardinalityRequest {
            label_names: vec![name.to_owned()],
            matchers: matchers_out(query.matchers),
            count_method: method(query.counted),
        };
        let path = "/cortex.Ingester/LabelValuesCardinality";
        let mut stream: Pulled<LabelValuesCardinalityResponse> =
            self.stream(query, path, request)?;
        while let Some(message) = stream.next()? {
            for item in &message.items {
                item.label_value_series.iter().try_for_each(|(value, n)| visit(value, *n))?;
            }
        }
        Ok(())
    }

    fn series_count(&self, query: CardinalityQuery<'_>) -> Result<u64, StorageError> {
        let target = (query.tenant, "/cortex.Ingester/UserStats");
        let request = UserStatsRequest { count_method: method(query.counted) };
        let answer: UserStatsResponse =
            self.connection.ask(target, request, &QueryContext::unlimited())?;
        Ok(answer.num_series)
    }

    fn active_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.active(query, ALL_SERIES, visit)
    }

    fn active_histogram_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.active(query, HISTOGRAM_SERIES, visit)
    }
}

impl IngesterClient {
    fn active(
        &self,
        query: CardinalityQuery<'_>,
        kind: i32,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        let request = ActiveSeriesRequest { matchers: matchers_out(query.matchers), r#type: kind };
        let path = "/cortex.Ingester/ActiveSeries";
        let mut stream: Pulled<ActiveSeriesResponse> = self.stream(query, path, request)?;
        while let Some(message) = stream.next()? {
            let (metrics, counts) = (&message.metric, &message.bucket_count);
            if kind == HISTOGRAM_SERIES && counts.len() != metrics.len() {
                let text = "an ingester answered with series without their buckets";
                return Err(StorageError::Internal(text.to_owned()));
            }
            for (i, metric) in metrics.iter().enumerate() {
                let labels = labels_in(&metric.labels).map_err(|status| storage_error(&status))?;
                let count = counts.get(i).map(|&count| u32::try_from(count).unwrap_or(u32::MAX));
                visit(ActiveSeries { labels, bucket_count: count })?;
            }
        }
        Ok(())
    }

    fn stream<A, B>(
        &self,
        query: CardinalityQuery<'_>,
        path: &'static str,
        request: A,
    ) -> Result<Pulled<B>, StorageError>
    where
        A: prost::Message + Send + Sync + 'static,
        B: prost::Message + Default + Send + Sync + 'static,
    {
        let context = Arc::new(QueryContext::unlimited());
        self.connection.open((query.tenant, path), request, &context)
    }
}

fn method(counted: CountMethod) -> i32 {
    match counted {
        CountMethod::InMemory => 0,
        CountMethod::Active => 1,
    }
}

fn exemplars_in(
    series: &crate::messages::common::TimeSeries,
) -> Result<SeriesExemplars, StorageError> {
    let labels = |pairs| labels_in(pairs).map_err(|status| storage_error(&status));
    let exemplars = series.exemplars.iter().map(|exemplar| {
        Ok(Exemplar {
            labels: labels(&exemplar.labels)?,
            value: exemplar.value,
            timestamp_ms: exemplar.timestamp_ms,
        })
    });
    Ok(SeriesExemplars {
        labels: labels(&series.labels)?,
        exemplars: exemplars.collect::<Result<_, StorageError>>()?,
    })
}

/// The recent data of a tenant in another process.
struct RemoteTenant {
    connection: Connection,
    tenant: TenantId,
}

impl Queryable for RemoteTenant {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(RemoteQuerier {
            connection: self.connection.clone(),
            tenant: self.tenant.clone(),
            range,
            context: Arc::clone(context),
        }))
    }
}

struct RemoteQuerier {
    connection: Connection,
    tenant: TenantId,
    range: TimeRange,
    context: Arc<QueryContext>,
}

impl RemoteQuerier {
    fn series_labels(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let request = MetricsForLabelMatchersRequest {
            start_timestamp_ms: self.range.start_ms_incl,
            end_timestamp_ms: self.range.end_ms_incl,
            matchers_set: vec![LabelMatchers { matchers: matchers_out(matchers) }],
            limit: i64::try_from(limit).unwrap_or(0),
        };
        let target = (&self.tenant, "/cortex.Ingester/MetricsForLabelMatchers");
        let answer: MetricsForLabelMatchersResponse =
            self.connection.ask(target, request, &self.context)?;
        let labels = answer.metric.iter().map(|metric| labels_in(&metric.labels));
        let labels = labels.collect::<Result<Vec<_>, _>>().map_err(|s| storage_error(&s))?;
        Ok(labels_only(labels))
    }
}

impl Querier for RemoteQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        if hints.labels_only {
            return self.series_labels(matchers, hints.limit);
        }
        let request = QueryRequest {
            start_timestamp_ms: self.range.start_ms_incl,
            end_timestamp_ms: self.range.end_ms_incl,
            matchers: matchers_out(matchers),
            streaming_chunks_batch_size: CHUNKS_BATCH_SIZE,
        };
        let target = (&self.tenant, "/cortex.Ingester/QueryStream");
        let stream = self.connection.open(target, request, &self.context)?;
        let source = IngesterStream(stream);
        Ok(Box::new(RemoteSeriesSet::new(source, Arc::clone(&self.context), true)?))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let request = LabelValuesRequest {
            label_name: name.to_owned(),
            start_timestamp_ms: self.range.start_ms_incl,
            end_timestamp_ms: self.range.end_ms_incl,
            matchers: Some(LabelMatchers { matchers: matchers_out(matchers) }),
            limit: i64::try_from(limit).unwrap_or(0),
        };
        let target = (&self.tenant, "/cortex.Ingester/LabelValues");
        let answer: LabelValuesResponse = self.connection.ask(target, request, &self.context)?;
        Ok(sorted_texts(answer.label_values, limit))
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        let request = LabelNamesRequest {
            start_timestamp_ms: self.range.start_ms_incl,
            end_timestamp_ms: self.range.end_ms_incl,
            matchers: Some(LabelMatchers { matchers: matchers_out(matchers) }),
            limit: i64::try_from(limit).unwrap_or(0),
        };
        let target = (&self.tenant, "/cortex.Ingester/LabelNames");
        let answer: LabelNamesResponse = self.connection.ask(target, request, &self.context)?;
        Ok(sorted_texts(answer.label_names, limit))
    }
}

/// The messages of `QueryStream`.
struct IngesterStream(Pulled<QueryStreamResponse>);

impl SeriesSource for IngesterStream {
    fn next_message(&mut self) -> Result<Option<Message>, StorageError> {
        let Some(message) = self.0.next()? else { return Ok(None) };
        let failed = |status| storage_error(&status);
        let labels = message.streaming_series.iter().map(|series| labels_in(&series.labels));
        let labels = labels.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let mut chunks = Vec::with_capacity(message.streaming_series_chunks.len());
        for series in &message.streaming_series_chunks {
            let decoded = series.chunks.iter().map(|chunk| {
                let times = (chunk.start_timestamp_ms, chunk.end_timestamp_ms);
                ChunkWire::Ingester.chunk_in(times, (chunk.encoding, &chunk.data))
            });
            let decoded = decoded.collect::<Result<Vec<_>, _>>().map_err(failed)?;
            chunks.push(RemoteSeries { index: series.series_index, chunks: decoded });
        }
        Ok(Some(Message { labels, is_last_of_labels: message.is_end_of_series_stream, chunks }))
    }
}
