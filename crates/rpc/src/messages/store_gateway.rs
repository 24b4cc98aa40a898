//! Messages of the service `gatewaypb.StoreGateway`: packages `thanos` and `hintspb`.

use bytes::Bytes;

use super::common::{Any, LabelMatcher, LabelPair};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SeriesRequest {
    #[prost(int64, tag = "1")]
    pub(crate) min_time: i64,
    #[prost(int64, tag = "2")]
    pub(crate) max_time: i64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) matchers: Vec<LabelMatcher>,
    #[prost(bool, tag = "8")]
    pub(crate) skip_chunks: bool,
    #[prost(message, optional, tag = "9")]
    pub(crate) hints: Option<Any>,
    /// Series whose labels or chunks go into one message.
    #[prost(uint64, tag = "100")]
    pub(crate) streaming_chunks_batch_size: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SeriesResponse {
    #[prost(oneof = "SeriesResult", tags = "2, 3, 4, 5, 6, 7")]
    pub(crate) result: Option<SeriesResult>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum SeriesResult {
    #[prost(string, tag = "2")]
    Warning(String),
    #[prost(message, tag = "3")]
    Hints(Any),
    #[prost(message, tag = "4")]
    Stats(Stats),
    #[prost(message, tag = "5")]
    StreamingSeries(StreamingSeriesBatch),
    #[prost(message, tag = "6")]
    StreamingChunks(StreamingChunksBatch),
    #[prost(message, tag = "7")]
    StreamingChunksEstimate(StreamingChunksEstimate),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Stats {
    #[prost(uint64, tag = "1")]
    pub(crate) fetched_index_bytes: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StreamingSeriesBatch {
    #[prost(message, repeated, tag = "1")]
    pub(crate) series: Vec<StreamingSeries>,
    #[prost(bool, tag = "2")]
    pub(crate) is_end_of_series_stream: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StreamingSeries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<LabelPair>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StreamingChunksBatch {
    #[prost(message, repeated, tag = "1")]
    pub(crate) series: Vec<StreamingChunks>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StreamingChunks {
    #[prost(uint64, tag = "1")]
    pub(crate) series_index: u64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) chunks: Vec<AggrChunk>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct StreamingChunksEstimate {
    #[prost(uint64, tag = "1")]
    pub(crate) estimated_chunk_count: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AggrChunk {
    #[prost(int64, tag = "1")]
    pub(crate) min_time: i64,
    #[prost(int64, tag = "2")]
    pub(crate) max_time: i64,
    #[prost(message, optional, tag = "3")]
    pub(crate) raw: Option<Chunk>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Chunk {
    /// 0 XOR, 1 histogram, 2 float histogram.
    #[prost(int32, tag = "1")]
    pub(crate) r#type: i32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) data: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelNamesRequest {
    #[prost(int64, tag = "3")]
    pub(crate) start: i64,
    #[prost(int64, tag = "4")]
    pub(crate) end: i64,
    #[prost(message, optional, tag = "5")]
    pub(crate) hints: Option<Any>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) matchers: Vec<LabelMatcher>,
    #[prost(int64, tag = "7")]
    pub(crate) limit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LabelValuesRequest {
    #[prost(string, tag = "1")]
    pub(crate) label: String,
    #[prost(int64, tag = "4")]
    pub(crate) start: i64,
    #[prost(int64, tag = "5")]
    pub(crate) end: i64,
    #[prost(message, optional, tag = "6")]
    pub(crate) hints: Option<Any>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) matchers: Vec<LabelMatcher>,
    #[prost(int64, tag = "8")]
    pub(crate) limit: i64,
}

/// The answer to both questions about labels: `LabelNamesResponse` and `LabelValuesResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TextsResponse {
    #[prost(string, repeated, tag = "1")]
    pub(crate) texts: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) warnings: Vec<String>,
    #[prost(message, optional, tag = "3")]
    pub(crate) hints: Option<Any>,
}

/// The hints of all three requests: matchers on the labels of blocks.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RequestHints {
    #[prost(message, repeated, tag = "1")]
    pub(crate) block_matchers: Vec<LabelMatcher>,
}

/// The hints of all three answers: the blocks that were looked at.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResponseHints {
    #[prost(message, repeated, tag = "1")]
    pub(crate) queried_blocks: Vec<Block>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Block {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}
