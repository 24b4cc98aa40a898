//! A store-gateway in another process, as the querier of this one sees it. All functions are
//! called from compute threads and block.

use std::sync::Arc;

use model::storage::{TextSet, Texts, sorted_texts};
use model::{Matcher, QueryContext, SelectHints, SeriesSet, StorageError};
use prost::Message as _;
use rt::BlockingHandle;
use ulid::Ulid;
use wire::client::{BlocksAnswer, BlocksRequest, StoreGatewayClient};

use super::BLOCK_ID_LABEL;
use crate::client::{ClientOptions, Connection, Pulled};
use crate::convert::{ChunkWire, labels_in, matchers_out};
use crate::messages::common::{Any, LabelMatcher};
use crate::messages::store_gateway::{
    LabelNamesRequest, LabelValuesRequest, RequestHints, ResponseHints, SeriesRequest,
    SeriesResponse, SeriesResult, StreamingChunks, TextsResponse,
};
use crate::pool::Connected;
use crate::received::{Message, RemoteSeries, RemoteSeriesSet, SeriesSource};
use crate::status::storage_error;

/// Series whose labels or chunks are asked for at a time.
const BATCH_SIZE: u64 = 256;
/// Number of the matcher type `=~`.
const REGEX: i32 = 2;

/// One store-gateway of another process.
#[derive(Clone)]
pub struct RemoteStoreGateway {
    connection: Connection,
}

impl RemoteStoreGateway {
    /// The store-gateway at `address`, `HOST:PORT`. Must be called inside of the runtime; connects
    /// at the first call.
    pub fn new(
        address: &str,
        options: &ClientOptions,
        blocking: BlockingHandle,
    ) -> Result<Self, tonic::transport::Error> {
        Ok(Self { connection: Connection::new(address, options, blocking)? })
    }
}

impl Connected for RemoteStoreGateway {
    fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl StoreGatewayClient for RemoteStoreGateway {
    fn select(
        &self,
        request: BlocksRequest<'_>,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<BlocksAnswer<Box<dyn SeriesSet>>, StorageError> {
        let message = SeriesRequest {
            min_time: request.range.start_ms_incl,
            max_time: request.range.end_ms_incl,
            matchers: matchers_out(matchers),
            skip_chunks: hints.labels_only,
            hints: Some(hints_for("SeriesRequestHints", request.blocks)),
            streaming_chunks_batch_size: BATCH_SIZE,
        };
        let target = (request.tenant, "/gatewaypb.StoreGateway/Series");
        let pulled = self.connection.open(target, message, request.context)?;
        let mut stream = GatewayStream { pulled, queried: Vec::new() };
        let first = stream.until_labels()?;
        let queried = std::mem::take(&mut stream.queried);
        let stream = WithFirst { first: Some(first), rest: stream };
        let context = Arc::clone(request.context);
        let set = RemoteSeriesSet::new(stream, context, !hints.labels_only)?;
        Ok(BlocksAnswer { value: Box::new(set), queried, failed: Vec::new() })
    }

    fn label_names(
        &self,
        request: BlocksRequest<'_>,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        let message = LabelNamesRequest {
            start: request.range.start_ms_incl,
            end: request.range.end_ms_incl,
            hints: Some(hints_for("LabelNamesRequestHints", request.blocks)),
            matchers: matchers_out(matchers),
            limit: i64::try_from(limit).unwrap_or(0),
        };
        self.texts(request, ("/gatewaypb.StoreGateway/LabelNames", limit), message)
    }

    fn label_values(
        &self,
        request: BlocksRequest<'_>,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        let message = LabelValuesRequest {
            label: name.to_owned(),
            start: request.range.start_ms_incl,
            end: request.range.end_ms_incl,
            hints: Some(hints_for("LabelValuesRequestHints", request.blocks)),
            matchers: matchers_out(matchers),
            limit: i64::try_from(limit).unwrap_or(0),
        };
        self.texts(request, ("/gatewaypb.StoreGateway/LabelValues", limit), message)
    }
}

impl RemoteStoreGateway {
    fn texts<A: prost::Message + Send + Sync + 'static>(
        &self,
        request: BlocksRequest<'_>,
        (path, limit): (&'static str, usize),
        message: A,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        let context: &QueryContext = request.context;
        let answer: TextsResponse =
            self.connection.ask((request.tenant, path), message, context)?;
        let queried = answer.hints.as_ref().map(blocks_in).transpose()?.unwrap_or_default();
        let value: Box<dyn TextSet> = Box::new(Texts::new(sorted_texts(answer.texts, limit)));
        Ok(BlocksAnswer { value, queried, failed: Vec::new() })
    }
}

/// The hints that name the blocks of a request; `kind` is the message's name.
fn hints_for(kind: &str, blocks: &[Ulid]) -> Any {
    let ids: Vec<String> = blocks.iter().map(Ulid::to_string).collect();
    let matcher =
        LabelMatcher { r#type: REGEX, name: BLOCK_ID_LABEL.to_owned(), value: ids.join("|") };
    let value = RequestHints { block_matchers: vec![matcher] }.encode_to_vec().into();
    Any { type_url: format!("type.googleapis.com/hintspb.{kind}"), value }
}

/// The blocks that an answer is from.
fn blocks_in(hints: &Any) -> Result<Vec<Ulid>, StorageError> {
    let bad = |text: String| StorageError::Internal(format!("hints of a store-gateway: {text}"));
    let hints = ResponseHints::decode(&hints.value[..]).map_err(|error| bad(error.to_string()))?;
    let id = |id: &str| id.parse().map_err(|_| bad(format!("{id:?} is no block id")));
    hints.queried_blocks.iter().map(|block| id(&block.id)).collect()
}

/// The messages of `Series`.
struct GatewayStream {
    pulled: Pulled<SeriesResponse>,
    queried: Vec<Ulid>,
}

impl GatewayStream {
    /// The first message with labels. Hints come before it.
    fn until_labels(&mut self) -> Result<Message, StorageError> {
        let none = || StorageError::Unavailable("the stream of series ended early".to_owned());
        loop {
            let message = self.next_message()?.ok_or_else(none)?;
            if !message.labels.is_empty() || message.is_last_of_labels {
                return Ok(message);
            }
        }
    }
}

impl SeriesSource for GatewayStream {
    fn next_message(&mut self) -> Result<Option<Message>, StorageError> {
        let Some(response) = self.pulled.next()? else { return Ok(None) };
        Ok(Some(match response.result {
            Some(SeriesResult::Hints(hints)) => {
                self.queried.extend(blocks_in(&hints)?);
                Message::default()
            }
            Some(SeriesResult::StreamingSeries(batch)) => {
                let labels = batch.series.iter().map(|series| labels_in(&series.labels));
                let labels = labels.collect::<Result<_, _>>().map_err(|s| storage_error(&s))?;
                let is_last_of_labels = batch.is_end_of_series_stream;
                Message { labels, is_last_of_labels, chunks: Vec::new() }
            }
            Some(SeriesResult::StreamingChunks(batch)) => {
                let chunks = batch.series.iter().map(series_in).collect::<Result<_, _>>();
                Message { chunks: chunks?, ..Message::default() }
            }
            _ => Message::default(),
        }))
    }
}

fn series_in(series: &StreamingChunks) -> Result<RemoteSeries, StorageError> {
    let chunk = |chunk: &crate::messages::store_gateway::AggrChunk| {
        let raw = chunk.raw.clone().unwrap_or_default();
        let times = (chunk.min_time, chunk.max_time);
        ChunkWire::StoreGateway.chunk_in(times, (raw.r#type, &raw.data))
    };
    let chunks = series.chunks.iter().map(chunk).collect::<Result<_, _>>();
    Ok(RemoteSeries { index: series.series_index, chunks: chunks.map_err(|s| storage_error(&s))? })
}

/// A stream whose first message was looked at.
struct WithFirst {
    first: Option<Message>,
    rest: GatewayStream,
}

impl SeriesSource for WithFirst {
    fn next_message(&mut self) -> Result<Option<Message>, StorageError> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.rest.next_message(),
        }
    }
}
