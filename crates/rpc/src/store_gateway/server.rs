//! Serves a store-gateway, on the threads of queries. A request names its blocks by matchers on
//! the label `__block_id`; the answer names those that were looked at. The tenant's limits are
//! counted by request, whatever whoever asks counts itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use model::storage::TextSet;
use model::{
    CancelOnDrop, MatchOp, QueryContext, QueryLimits, SelectHints, StorageError, TenantId,
    TimeRange,
};
use prost::Message as _;
use rt::ComputePool;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Status};
use ulid::Ulid;
use wire::client::{BlocksAnswer, BlocksRequest, StoreGatewayClient};

use super::BLOCK_ID_LABEL;
use super::refusal::{blocks_status, numbered};
use crate::convert::{ChunkWire, labels_out, matchers_in};
use crate::messages::common::Any;
use crate::messages::store_gateway::{
    AggrChunk, Block, Chunk, LabelNamesRequest, LabelValuesRequest, RequestHints, ResponseHints,
    SeriesRequest, SeriesResponse, SeriesResult, StreamingChunks, StreamingChunksBatch,
    StreamingChunksEstimate, StreamingSeries, StreamingSeriesBatch, TextsResponse,
};
use crate::service::{HttpAnswer, Messages, ServerLimits, busy, streaming, unary, unknown_method};
use crate::status::tenant_of;
use crate::stream::{Piece, SeriesStream};

/// The limits of a tenant's requests.
pub type LimitsOf = Arc<dyn Fn(&TenantId) -> QueryLimits + Send + Sync>;

/// What is served, and with what.
pub struct StoreGatewayServerParts {
    /// The store-gateway.
    pub gateway: Arc<dyn StoreGatewayClient>,
    /// What one request may use.
    pub limits_of: LimitsOf,
    /// Threads of served queries: no job of theirs may ask another process.
    pub queries: ComputePool,
    /// Bounds of messages.
    pub limits: ServerLimits,
}

/// The service `gatewaypb.StoreGateway`.
#[derive(Clone)]
pub struct StoreGatewayServer {
    parts: Arc<StoreGatewayServerParts>,
}

impl StoreGatewayServer {
    /// Serves a store-gateway.
    pub fn new(parts: StoreGatewayServerParts) -> Self {
        Self { parts: Arc::new(parts) }
    }
}

impl NamedService for StoreGatewayServer {
    const NAME: &'static str = "gatewaypb.StoreGateway";
}

impl tower::Service<http::Request<Body>> for StoreGatewayServer {
    type Response = HttpAnswer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<HttpAnswer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let parts = Arc::clone(&self.parts);
        Box::pin(async move { Ok(numbered(answer(parts, request).await)) })
    }
}

async fn answer(parts: Arc<StoreGatewayServerParts>, request: http::Request<Body>) -> HttpAnswer {
    let limits = parts.limits;
    let (server, path) = ((parts, limits), request.uri().path().to_owned());
    match path.strip_prefix("/gatewaypb.StoreGateway/").unwrap_or_default() {
        "Series" => streaming(server, request, series).await,
        "LabelNames" => unary(server, request, label_names).await,
        "LabelValues" => unary(server, request, label_values).await,
        _ => unknown_method(),
    }
}

impl StoreGatewayServerParts {
    /// What a request of the tenant counts on.
    fn context(&self, tenant: &TenantId) -> Arc<QueryContext> {
        Arc::new(QueryContext::with_limits((self.limits_of)(tenant)))
    }

    /// Runs `job` on a thread of queries, in the tenant's turn.
    async fn run<T, F>(&self, tenant: &TenantId, job: F) -> Result<T, Status>
    where
        F: FnOnce() -> Result<T, StorageError> + Send + 'static,
        T: Send + 'static,
    {
        let done = self.queries.run_for(tenant.as_str(), job).await;
        done.map_err(|error| busy(&error))?.map_err(|error| blocks_status(&error))
    }
}

/// The blocks that a request names: ids of a matcher `=` or `=~` with `|` between them.
fn blocks_of(hints: Option<&Any>) -> Result<Vec<Ulid>, Status> {
    let hints = hints.map(|any| RequestHints::decode(&any.value[..])).transpose();
    let hints = hints.map_err(|error| Status::invalid_argument(format!("hints: {error}")))?;
    let matchers = matchers_in(&hints.unwrap_or_default().block_matchers)?;
    let mut blocks = Vec::new();
    for matcher in &matchers {
        let is_list = matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex);
        if matcher.name() != BLOCK_ID_LABEL || !is_list {
            return Err(Status::unimplemented("blocks can be named by their ids alone"));
        }
        let text = String::from_utf8_lossy(matcher.value());
        for id in text.split('|') {
            let id = id.parse().map_err(|_| Status::invalid_argument("not a block id"))?;
            blocks.push(id);
        }
    }
    if blocks.is_empty() {
        return Err(Status::invalid_argument("the request names no blocks"));
    }
    Ok(blocks)
}

/// The hints of an answer from these blocks; `kind` is the message's name.
fn hints_of(kind: &str, blocks: &[Ulid]) -> Any {
    let queried_blocks = blocks.iter().map(|id| Block { id: id.to_string() }).collect();
    let value = ResponseHints { queried_blocks }.encode_to_vec().into();
    Any { type_url: format!("type.googleapis.com/hintspb.{kind}"), value }
}

async fn series(
    parts: Arc<StoreGatewayServerParts>,
    request: Request<SeriesRequest>,
) -> Result<Messages<SeriesResponse>, Status> {
    let tenant = tenant_of(request.metadata())?;
    let request = request.into_inner();
    let (matchers, blocks) = (matchers_in(&request.matchers)?, blocks_of(request.hints.as_ref())?);
    let range = TimeRange::new(request.min_time, request.max_time);
    let context = parts.context(&tenant);
    let cancel = CancelOnDrop(Arc::clone(&context));
    let begin = {
        let (parts, tenant) = (Arc::clone(&parts), tenant.clone());
        move || {
            let hints = SelectHints {
                start_ms_incl: range.start_ms_incl,
                end_ms_incl: range.end_ms_incl,
                labels_only: request.skip_chunks,
                ..SelectHints::default()
            };
            let asked =
                BlocksRequest { tenant: &tenant, blocks: &blocks, range, context: &context };
            let BlocksAnswer { value, queried, .. } =
                parts.gateway.select(asked, &matchers, &hints)?;
            let (batch, with_chunks) = (request.streaming_chunks_batch_size, !request.skip_chunks);
            Ok((queried, SeriesStream::new(value, (range, batch), with_chunks, context)))
        }
    };
    let (queried, stream) = parts.run(&tenant, begin).await?;
    let hints = SeriesResult::Hints(hints_of("SeriesResponseHints", &queried));
    let first = SeriesResponse { result: Some(hints) };
    let rest = futures::stream::try_unfold((stream, 0), move |(stream, count)| {
        let (parts, tenant, _whole_life) = (Arc::clone(&parts), tenant.clone(), &cancel);
        async move {
            let mut stream = stream;
            let job = move || stream.next_piece().map(|piece| (piece, stream));
            let (piece, stream) = parts.run(&tenant, job).await?;
            let Some(piece) = piece else { return Ok(None) };
            let (messages, count) = messages_of(piece, count);
            Ok::<_, Status>(Some((
                futures::stream::iter(messages.into_iter().map(Ok)),
                (stream, count),
            )))
        }
    });
    let rest = futures::TryStreamExt::try_flatten(rest);
    Ok(Box::pin(futures::stream::iter([Ok(first)]).chain(rest)))
}

/// The messages of a piece. Behind the last labels stands an estimate of the number of
/// chunks, of which `count` belong to series that were sent before.
fn messages_of(piece: Piece, count: u64) -> (Vec<SeriesResponse>, u64) {
    let of = |result| SeriesResponse { result: Some(result) };
    match piece {
        Piece::Labels(series, is_end_of_series_stream) => {
            let count = count + series.iter().map(|(_, chunks)| *chunks as u64).sum::<u64>();
            let series = series.iter();
            let series = series.map(|(labels, _)| StreamingSeries { labels: labels_out(labels) });
            let batch = StreamingSeriesBatch { series: series.collect(), is_end_of_series_stream };
            let mut messages = vec![of(SeriesResult::StreamingSeries(batch))];
            if is_end_of_series_stream {
                let estimate = StreamingChunksEstimate { estimated_chunk_count: count };
                messages.push(of(SeriesResult::StreamingChunksEstimate(estimate)));
            }
            (messages, count)
        }
        Piece::Chunks(series) => {
            let series = series.into_iter().map(|(series_index, chunks)| StreamingChunks {
                series_index,
                chunks: chunks.into_iter().map(chunk_out).collect(),
            });
            let batch = StreamingChunksBatch { series: series.collect() };
            (vec![of(SeriesResult::StreamingChunks(batch))], count)
        }
    }
}

fn chunk_out(chunk: model::EncodedChunk) -> AggrChunk {
    let raw = Chunk {
        r#type: ChunkWire::StoreGateway.encoding_out(chunk.encoding),
        data: bytes::Bytes::from_owner(chunk.data),
    };
    AggrChunk { min_time: chunk.min_time_ms, max_time: chunk.max_time_ms, raw: Some(raw) }
}

async fn label_names(
    parts: Arc<StoreGatewayServerParts>,
    request: Request<LabelNamesRequest>,
) -> Result<TextsResponse, Status> {
    let asked = request.get_ref();
    let matchers = matchers_in(&asked.matchers)?;
    let limit = usize::try_from(asked.limit).unwrap_or(0);
    let of = TextsOf {
        tenant: tenant_of(request.metadata())?,
        blocks: blocks_of(asked.hints.as_ref())?,
        range: TimeRange::new(asked.start, asked.end),
        kind: "LabelNamesResponseHints",
    };
    texts(&parts, of, move |gateway, request| gateway.label_names(request, &matchers, limit)).await
}

async fn label_values(
    parts: Arc<StoreGatewayServerParts>,
    request: Request<LabelValuesRequest>,
) -> Result<TextsResponse, Status> {
    let asked = request.get_ref();
    let (name, matchers) = (asked.label.clone(), matchers_in(&asked.matchers)?);
    let limit = usize::try_from(asked.limit).unwrap_or(0);
    let of = TextsOf {
        tenant: tenant_of(request.metadata())?,
        blocks: blocks_of(asked.hints.as_ref())?,
        range: TimeRange::new(asked.start, asked.end),
        kind: "LabelValuesResponseHints",
    };
    let ask = move |gateway: &dyn StoreGatewayClient, request: BlocksRequest<'_>| {
        gateway.label_values(request, &name, &matchers, limit)
    };
    texts(&parts, of, ask).await
}

/// Whose texts are asked for, and from which blocks.
struct TextsOf {
    tenant: TenantId,
    blocks: Vec<Ulid>,
    range: TimeRange,
    kind: &'static str,
}

type TextsAnswer = BlocksAnswer<Box<dyn TextSet>>;

/// Collects what `ask` finds on a thread of queries: the answer is one message.
async fn texts<J>(
    parts: &Arc<StoreGatewayServerParts>,
    of: TextsOf,
    ask: J,
) -> Result<TextsResponse, Status>
where
    J: FnOnce(&dyn StoreGatewayClient, BlocksRequest<'_>) -> Result<TextsAnswer, StorageError>
        + Send
        + 'static,
{
    let context = parts.context(&of.tenant);
    let _cancel = CancelOnDrop(Arc::clone(&context));
    let (tenant, kind) = (of.tenant.clone(), of.kind);
    let job = {
        let parts = Arc::clone(parts);
        move || {
            let TextsOf { tenant, blocks, range, .. } = &of;
            let asked = BlocksRequest { tenant, blocks, range: *range, context: &context };
            let BlocksAnswer { mut value, queried, .. } = ask(&*parts.gateway, asked)?;
            let mut texts = Vec::new();
            while let Some(text) = value.next_text()? {
                context.check()?;
                texts.push(text.to_owned());
            }
            Ok((texts, queried))
        }
    };
    let (texts, queried) = parts.run(&tenant, job).await?;
    Ok(TextsResponse { texts, warnings: Vec::new(), hints: Some(hints_of(kind, &queried)) })
}
