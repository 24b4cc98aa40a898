//! Messages of the service `cortex.Ingester`.

use std::collections::HashMap;

use bytes::Bytes;

use super::common::{LabelMatcher, LabelPair, Metric, MetricMetadata, TimeSeries};

/// The answer to a push.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct WriteResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueryRequest {
    #[prost(int64, tag = "1")]
    pub(crate) start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    pub(crate) end_timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) matchers: Vec<LabelMatcher>,
    /// Series whose chunks go into one message.
    #[prost(uint64, tag = "100")]
    pub(crate) streaming_chunks_batch_size: u64,
}

/// Labels of series, the last ones marked, and behind them the series' chunks.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueryStreamResponse {
    #[prost(message, repeated, tag = "3")]
    pub(crate) streaming_series: Vec<QueryStreamSeries>,
    #[prost(bool, tag = "4")]
    pub(crate) is_end_of_series_stream: bool,
    #[prost(message, repeated, tag = "5")]
    pub(crate) streaming_series_chunks: Vec<QueryStreamSeriesChunks>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueryStreamSeries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<LabelPair>,
    #[prost(int64, tag = "2")]
    pub(crate) chunk_count: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueryStreamSeriesChunks {
    /// Index into all series of the answer.
    #[prost(uint64, tag = "1")]
    pub(crate) series_index: u64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) chunks: Vec<Chunk>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Chunk {
    #[prost(int64, tag = "1")]
    pub(crate) start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    pub(crate) end_timestamp_ms: i64,
    /// 4 XOR, 5 histogram, 6 float histogram.
    #[prost(int32, tag = "3")]
    pub(crate) encoding: i32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) data: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelMatchers {
    #[prost(message, repeated, tag = "1")]
    pub(crate) matchers: Vec<LabelMatcher>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExemplarQueryRequest {
    #[prost(int64, tag = "1")]
    pub(crate) start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    pub(crate) end_timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) matchers: Vec<LabelMatchers>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExemplarQueryResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelValuesRequest {
    #[prost(string, tag = "1")]
    pub(crate) label_name: String,
    #[prost(int64, tag = "2")]
    pub(crate) start_timestamp_ms: i64,
    #[prost(int64, tag = "3")]
    pub(crate) end_timestamp_ms: i64,
    #[prost(message, optional, tag = "4")]
    pub(crate) matchers: Option<LabelMatchers>,
    #[prost(int64, tag = "5")]
    pub(crate) limit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelValuesResponse {
    #[prost(string, repeated, tag = "1")]
    pub(crate) label_values: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelNamesRequest {
    #[prost(int64, tag = "1")]
    pub(crate) start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    pub(crate) end_timestamp_ms: i64,
    #[prost(message, optional, tag = "3")]
    pub(crate) matchers: Option<LabelMatchers>,
    #[prost(int64, tag = "4")]
    pub(crate) limit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelNamesResponse {
    #[prost(string, repeated, tag = "1")]
    pub(crate) label_names: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct UserStatsRequest {
    #[prost(int32, tag = "1")]
    pub(crate) count_method: i32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct UserStatsResponse {
    #[prost(double, tag = "1")]
    pub(crate) ingestion_rate: f64,
    #[prost(uint64, tag = "2")]
    pub(crate) num_series: u64,
    #[prost(double, tag = "3")]
    pub(crate) api_ingestion_rate: f64,
    #[prost(double, tag = "4")]
    pub(crate) rule_ingestion_rate: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UserIdStatsResponse {
    #[prost(string, tag = "1")]
    pub(crate) user_id: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) data: Option<UserStatsResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UsersStatsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) stats: Vec<UserIdStatsResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MetricsForLabelMatchersRequest {
    #[prost(int64, tag = "1")]
    pub(crate) start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    pub(crate) end_timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) matchers_set: Vec<LabelMatchers>,
    #[prost(int64, tag = "4")]
    pub(crate) limit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MetricsForLabelMatchersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) metric: Vec<Metric>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MetricsMetadataRequest {
    #[prost(sint32, tag = "1")]
    pub(crate) limit: i32,
    #[prost(sint32, tag = "2")]
    pub(crate) limit_per_metric: i32,
    #[prost(string, tag = "3")]
    pub(crate) metric: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MetricsMetadataResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) metadata: Vec<MetricMetadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelNamesAndValuesRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) matchers: Vec<LabelMatcher>,
    #[prost(int32, tag = "2")]
    pub(crate) count_method: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelNamesAndValuesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) items: Vec<LabelValues>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelValues {
    #[prost(string, tag = "1")]
    pub(crate) label_name: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) values: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelValuesCardinalityRequest {
    #[prost(string, repeated, tag = "1")]
    pub(crate) label_names: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) matchers: Vec<LabelMatcher>,
    #[prost(int32, tag = "3")]
    pub(crate) count_method: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelValuesCardinalityResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) items: Vec<LabelValueSeriesCount>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelValueSeriesCount {
    #[prost(string, tag = "1")]
    pub(crate) label_name: String,
    #[prost(map = "string, uint64", tag = "2")]
    pub(crate) label_value_series: HashMap<String, u64>,
}

/// Asks for all active series.
pub(crate) const ALL_SERIES: i32 = 0;
/// Asks for those of native histograms, with their numbers of buckets.
pub(crate) const HISTOGRAM_SERIES: i32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ActiveSeriesRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) matchers: Vec<LabelMatcher>,
    /// [`ALL_SERIES`] or [`HISTOGRAM_SERIES`].
    #[prost(int32, tag = "2")]
    pub(crate) r#type: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ActiveSeriesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) metric: Vec<Metric>,
    #[prost(uint64, repeated, tag = "2")]
    pub(crate) bucket_count: Vec<u64>,
}
