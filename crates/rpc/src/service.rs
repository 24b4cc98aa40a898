//! What the servers of all services share: methods as plain async functions, bounds on messages,
//! compression, and bytes that are not decoded here.

use std::future::Future;
use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::{StorageError, TenantId};
use prost::Message;
use rt::{ComputeError, ComputePool};
use tonic::body::Body;
use tonic::codec::{
    BufferSettings, Codec, CompressionEncoding, DecodeBuf, Decoder, EnabledCompressionEncodings,
    EncodeBuf, Encoder,
};
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::status::storage_status;

/// Bounds of a server.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// The largest message that is taken, bytes.
    pub max_recv_message_bytes: usize,
    /// The largest message that is sent, bytes.
    pub max_send_message_bytes: usize,
}

/// The answer to any call.
pub(crate) type HttpAnswer = http::Response<Body>;
/// A stream of messages.
pub(crate) type Messages<T> = BoxStream<'static, Result<T, Status>>;

fn grpc<C: Codec>(codec: C, limits: ServerLimits) -> Grpc<C> {
    let mut accepted = EnabledCompressionEncodings::default();
    accepted.enable(CompressionEncoding::Gzip);
    Grpc::new(codec)
        .apply_compression_config(accepted, EnabledCompressionEncodings::default())
        .apply_max_message_size_config(
            Some(limits.max_recv_message_bytes),
            Some(limits.max_send_message_bytes),
        )
}

/// Answers a call of a method that takes and gives one message.
pub(crate) async fn unary<S, A, B, F>(
    (server, limits): (Arc<S>, ServerLimits),
    request: http::Request<Body>,
    method: fn(Arc<S>, Request<A>) -> F,
) -> HttpAnswer
where
    S: Send + Sync + 'static,
    A: Message + Default + Send + 'static,
    B: Message + Default + Send + 'static,
    F: Future<Output = Result<B, Status>> + Send + 'static,
{
    let codec = ProstCodec::<B, A>::default();
    grpc(codec, limits).unary(Method { server, method }, request).await
}

/// The same for a method that takes the bytes of its message.
pub(crate) async fn unary_bytes<S, B, F>(
    (server, limits): (Arc<S>, ServerLimits),
    request: http::Request<Body>,
    method: fn(Arc<S>, Request<Bytes>) -> F,
) -> HttpAnswer
where
    S: Send + Sync + 'static,
    B: Message + Default + Send + 'static,
    F: Future<Output = Result<B, Status>> + Send + 'static,
{
    let codec = BytesIn(ProstCodec::<B, B>::default());
    grpc(codec, limits).unary(Method { server, method }, request).await
}

/// Answers a call of a method that takes one message and gives a stream.
pub(crate) async fn streaming<S, A, B, F>(
    (server, limits): (Arc<S>, ServerLimits),
    request: http::Request<Body>,
    method: fn(Arc<S>, Request<A>) -> F,
) -> HttpAnswer
where
    S: Send + Sync + 'static,
    A: Message + Default + Send + 'static,
    B: Message + Default + Send + 'static,
    F: Future<Output = Result<Messages<B>, Status>> + Send + 'static,
{
    let codec = ProstCodec::<B, A>::default();
    grpc(codec, limits).server_streaming(Method { server, method }, request).await
}

/// Runs `job` on a thread of `pool`, in the tenant's turn.
pub(crate) async fn run<T, F>(pool: &ComputePool, tenant: &TenantId, job: F) -> Result<T, Status>
where
    F: FnOnce() -> Result<T, StorageError> + Send + 'static,
    T: Send + 'static,
{
    let done = pool.run_for(tenant.as_str(), job).await;
    done.map_err(|error| busy(&error))?.map_err(|error| storage_status(&error))
}

/// No thread could be had.
pub(crate) fn busy(error: &ComputeError) -> Status {
    match error {
        ComputeError::QueueFull { .. } | ComputeError::Stopped(_) => {
            Status::unavailable(error.to_string())
        }
        ComputeError::Panicked(_) => Status::internal(error.to_string()),
    }
}

/// The answer to a call of a method that does not exist.
pub(crate) fn unknown_method() -> HttpAnswer {
    Status::unimplemented("unknown method").into_http()
}

/// A method of a server.
struct Method<S, M> {
    server: Arc<S>,
    method: M,
}

impl<S, A, B, F> UnaryService<A> for Method<S, fn(Arc<S>, Request<A>) -> F>
where
    B: Message,
    F: Future<Output = Result<B, Status>> + Send + 'static,
{
    type Response = B;
    type Future = BoxFuture<'static, Result<Response<B>, Status>>;

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let answer = (self.method)(Arc::clone(&self.server), request);
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

impl<S, A, B, F> ServerStreamingService<A> for Method<S, fn(Arc<S>, Request<A>) -> F>
where
    B: Message + 'static,
    F: Future<Output = Result<Messages<B>, Status>> + Send + 'static,
{
    type Response = B;
    type ResponseStream = Messages<B>;
    type Future = BoxFuture<'static, Result<Response<Messages<B>>, Status>>;

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let answer = (self.method)(Arc::clone(&self.server), request);
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

/// Takes messages as bytes, and gives what `C` gives.
struct BytesIn<C>(C);

impl<C: Codec> Codec for BytesIn<C> {
    type Encode = C::Encode;
    type Decode = Bytes;
    type Encoder = C::Encoder;
    type Decoder = BytesDecoder;

    fn encoder(&mut self) -> C::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> BytesDecoder {
        BytesDecoder
    }
}

/// Gives messages as bytes, and takes what `C` takes.
pub(crate) struct BytesOut<C>(pub(crate) C);

impl<C: Codec> Codec for BytesOut<C> {
    type Encode = Bytes;
    type Decode = C::Decode;
    type Encoder = BytesEncoder;
    type Decoder = C::Decoder;

    fn encoder(&mut self) -> BytesEncoder {
        BytesEncoder
    }

    fn decoder(&mut self) -> C::Decoder {
        self.0.decoder()
    }
}

pub(crate) struct BytesDecoder;

impl Decoder for BytesDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

pub(crate) struct BytesEncoder;

impl Encoder for BytesEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}
