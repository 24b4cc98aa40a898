//! `read`: Prometheus' remote read, answered with samples in one message or with chunks in a
//! stream of frames, whichever the client names first.
//!
//! The stream is pulled: each piece is made on a compute thread when the client has taken the one
//! before, so that a slow client holds no thread. The first piece is made before the status is
//! sent; an error behind it breaks the connection, because the protocol has no other way to tell.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use config::Limits;
use http_body_util::{BodyExt as _, Limited};
use model::batch::{BatchHistogram, BatchSample};
use model::{
    CancelOnDrop, EncodedChunk, Labels, Matcher, QueryContext, Queryable as _, SelectHints,
    SeriesSet, StorageError, TenantId, TimeRange,
};
use parking_lot::Mutex;
use tsdb::error::DecodeError;
use tsdb::merge::{TypedValue, chunks_of, decode_typed, disjoint_chunks};
use wire::remote_read::{
    FrameBuilder, ReadQuery, ReadRequest, ResponseType, STREAMED_CONTENT_TYPE, compress_response,
    decode_request, end_result, put_series,
};

use crate::QueryService;
use crate::error::{ApiError, ErrorType};
use crate::limits;
use crate::source::TenantQueryable;

/// Matchers and times: a request has no reason to be larger, before and after decompression.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// What Prometheus takes as one frame, bytes.
const MAX_FRAME_BYTES: usize = 1 << 20;
/// A piece of the stream is handed out when it has grown beyond this.
const PIECE_BYTES: usize = 256 << 10;

pub(super) async fn read(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> Response {
    match answer(&service, tenant, request).await {
        Ok(response) => response,
        Err(error) => text_error(&error),
    }
}

/// The protocol has no errors of its own: a status and a text.
fn text_error(error: &ApiError) -> Response {
    let status = match error.error_type {
        ErrorType::Execution => StatusCode::BAD_REQUEST,
        _ => error.status(),
    };
    (status, format!("{}\n", error.message)).into_response()
}

async fn answer(
    service: &Arc<QueryService>,
    tenant: TenantId,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let request = read_request(request).await?;
    let Some(response_type) = request.response_type() else {
        return Err(ApiError::bad_data(format!(
            "server does not support any of the requested response types: {:?}; supported: \
             [SAMPLES STREAMED_XOR_CHUNKS]",
            request.accepted_response_types
        )));
    };
    let limits = service.limits(&tenant);
    let selections = request
        .queries
        .iter()
        .map(|query| Selection::new(query, service, &limits))
        .collect::<Result<Vec<_>, _>>()?;
    let queryable = service.tenant_queryable(tenant.clone(), &limits);
    let context = service.context(&limits, service.timeout(None));
    let source = Source { queryable, tenant, context, service: Arc::clone(service) };
    match response_type {
        ResponseType::Samples => samples(source, selections).await,
        ResponseType::StreamedXorChunks => streamed(source, selections).await,
    }
}

async fn read_request(request: Request<Body>) -> Result<ReadRequest, ApiError> {
    let body = Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect().await;
    let body = body.map_err(|error| ApiError::bad_data(error.to_string()))?.to_bytes();
    let mut message = Vec::new();
    wire::remote_write::decompress(&body, MAX_REQUEST_BYTES, &mut message)
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    decode_request(&message).map_err(|error| ApiError::bad_data(error.to_string()))
}

/// One query of a request, checked.
struct Selection {
    range: TimeRange,
    matchers: Vec<Matcher>,
}

impl Selection {
    fn new(query: &ReadQuery, service: &QueryService, limits: &Limits) -> Result<Self, ApiError> {
        let (start, end) = (query.start_ms_incl, query.end_ms_incl);
        limits::check_length(start, end, limits)?;
        let hinted = |hint: i64, own: i64| if hint > 0 { hint } else { own };
        let mut start = start.max(hinted(query.hint_start_ms, start));
        let end = end.min(hinted(query.hint_end_ms, end));
        if let Some(earliest) = limits::earliest_start(service.now_ms(), limits) {
            start = start.max(earliest);
        }
        let matchers = query.matchers.iter().map(|matcher| {
            let op = matcher.op.ok_or_else(|| ApiError::bad_data("invalid matcher type"))?;
            Matcher::new(op, &matcher.name, &matcher.value)
                .map_err(|error| ApiError::bad_data(error.to_string()))
        });
        Ok(Self {
            range: TimeRange::new(start, end),
            matchers: matchers.collect::<Result<_, _>>()?,
        })
    }
}

/// What all selections of a request read from.
struct Source {
    queryable: TenantQueryable,
    tenant: TenantId,
    context: Arc<QueryContext>,
    service: Arc<QueryService>,
}

impl Source {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, StorageError> {
        let range = selection.range;
        if range.end_ms_incl < range.start_ms_incl {
            return Ok(Box::new(model::storage::EmptySeriesSet));
        }
        let hints = SelectHints {
            start_ms_incl: range.start_ms_incl,
            end_ms_incl: range.end_ms_incl,
            ..SelectHints::default()
        };
        self.queryable.querier(range, &self.context)?.select(&selection.matchers, &hints)
    }

    /// How many of `all` selections run at once.
    fn concurrency(&self, all: usize) -> usize {
        let asked = self.service.querier.max_concurrent_remote_read_queries;
        usize::try_from(asked).ok().filter(|n| *n > 0).unwrap_or(all).max(1)
    }

    /// The next series with its chunks.
    fn next_series(
        &self,
        set: &mut dyn SeriesSet,
    ) -> Result<Option<(Labels, Vec<EncodedChunk>)>, StorageError> {
        self.context.check()?;
        let Some(mut series) = set.next_series()? else { return Ok(None) };
        let chunks = disjoint_chunks(chunks_of(&mut *series.samples)?);
        let corrupted = |error: DecodeError| StorageError::Corrupted(error.to_string());
        Ok(Some((series.labels, chunks.map_err(corrupted)?)))
    }
}

/// Counts what the request has used when it has ended, however it has.
impl Drop for Source {
    fn drop(&mut self) {
        self.context.cancel();
        self.service.metrics().used(&self.tenant, &self.context.usage());
    }
}

async fn samples(source: Source, selections: Vec<Selection>) -> Result<Response, ApiError> {
    let service = Arc::clone(&source.service);
    let _cancel = CancelOnDrop(Arc::clone(&source.context));
    let _inflight = service.metrics().enter();
    let tenant = source.tenant.clone();
    let job = move || samples_body(&source, &selections);
    let body = service.pool().run_for(tenant.as_str(), job).await??;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    Ok((headers, body).into_response())
}

fn samples_body(source: &Source, selections: &[Selection]) -> Result<Vec<u8>, ApiError> {
    let mut response = Vec::new();
    let count = AtomicU64::new(0);
    for part in selections.chunks(source.concurrency(selections.len())) {
        let results: Vec<_> = part.iter().map(|_| Mutex::new(None)).collect();
        source.service.executor().for_each(part.len(), &|index| {
            *results[index].lock() = Some(result_of(source, &part[index], &count));
        });
        for result in results {
            let missing = || ApiError::new(ErrorType::Internal, "a query was not run");
            end_result(&mut response, &result.into_inner().ok_or_else(missing)??);
        }
    }
    compress_response(&response)
        .ok_or_else(|| ApiError::bad_data("the response is too large for one message"))
}

/// The series of one selection; `count` is that of the samples of all.
fn result_of(
    source: &Source,
    selection: &Selection,
    count: &AtomicU64,
) -> Result<Vec<u8>, ApiError> {
    let mut set = source.select(selection)?;
    let mut result = Vec::new();
    while let Some((labels, chunks)) = source.next_series(&mut *set)? {
        let before = result.len();
        let more = put_samples(&mut result, (&labels, &chunks), selection.range)? as u64;
        let sum = count.fetch_add(more, Ordering::Relaxed) + more;
        check_count(sum, source.service.querier.max_samples)?;
        // Twice: once in the result, once in the response.
        let grown = 2 * (result.len() - before) as u64;
        source.context.reserve_memory(grown).map_err(StorageError::from)?;
    }
    Ok(result)
}

fn check_count(count: u64, max: u64) -> Result<(), ApiError> {
    if max > 0 && count > max {
        return Err(ApiError::bad_data(format!("exceeded sample limit ({max})")));
    }
    Ok(())
}

/// Appends the samples of a series inside of `range`, and returns how many they are.
fn put_samples(
    out: &mut Vec<u8>,
    (labels, chunks): (&Labels, &[EncodedChunk]),
    range: TimeRange,
) -> Result<usize, ApiError> {
    let mut all = Vec::new();
    for chunk in chunks {
        decode_typed(chunk, &mut all)
            .map_err(|error| StorageError::Corrupted(error.to_string()))?;
    }
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    for (timestamp_ms, value) in all.into_iter().filter(|(t, _)| range.overlaps(*t, *t)) {
        match value {
            TypedValue::Float(value) => floats.push(BatchSample { timestamp_ms, value }),
            TypedValue::Histogram(value) => histograms.push(BatchHistogram { timestamp_ms, value }),
        }
    }
    put_series(out, labels, &floats, &histograms);
    Ok(floats.len() + histograms.len())
}

/// A streamed answer on its way.
struct ChunkStream {
    source: Source,
    waiting: VecDeque<(usize, Selection)>,
    current: Option<(FrameBuilder, Box<dyn SeriesSet>)>,
}

impl ChunkStream {
    /// The next piece; empty at the end.
    fn next_piece(&mut self) -> Result<Bytes, StorageError> {
        let mut out = Vec::new();
        while out.len() < PIECE_BYTES {
            let Some((frames, set)) = &mut self.current else {
                let Some((index, selection)) = self.waiting.pop_front() else { break };
                let set = self.source.select(&selection)?;
                self.current = Some((FrameBuilder::new(index, MAX_FRAME_BYTES), set));
                continue;
            };
            match self.source.next_series(&mut **set)? {
                Some((labels, chunks)) => frames.push_series(&mut out, &labels, &chunks),
                None => self.current = None,
            }
        }
        Ok(out.into())
    }
}

async fn streamed(source: Source, selections: Vec<Selection>) -> Result<Response, ApiError> {
    let service = Arc::clone(&source.service);
    let inflight = service.metrics().enter();
    let cancel = CancelOnDrop(Arc::clone(&source.context));
    let waiting = selections.into_iter().enumerate().collect();
    let stream = ChunkStream { source, waiting, current: None };
    let (stream, first) = pull(&service, stream).await?;
    let rest = futures::stream::unfold(Some(stream), move |stream| {
        let service = Arc::clone(&service);
        let _whole_life = (&inflight, &cancel);
        async move {
            match pull(&service, stream?).await {
                Ok((_, piece)) if piece.is_empty() => None,
                Ok((stream, piece)) => Some((Ok(piece), Some(stream))),
                Err(error) => {
                    tracing::warn!(%error, "remote read broke off");
                    Some((Err(error), None))
                }
            }
        }
    });
    let first = futures::stream::iter((!first.is_empty()).then_some(Ok(first)));
    let body = Body::from_stream(futures::StreamExt::chain(first, rest));
    let mut response = body.into_response();
    let content_type = HeaderValue::from_static(STREAMED_CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

/// Makes a piece on a compute thread.
async fn pull(
    service: &QueryService,
    mut stream: ChunkStream,
) -> Result<(ChunkStream, Bytes), ApiError> {
    let tenant = stream.source.tenant.clone();
    let job = move || stream.next_piece().map(|piece| (stream, piece));
    Ok(service.pool().run_for(tenant.as_str(), job).await??)
}
