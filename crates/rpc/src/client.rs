//! What the clients of all services share: a connection, calls that a compute thread waits for,
//! and streams that it pulls.

mod times;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use http::uri::PathAndQuery;
use model::{QueryContext, StorageError, TenantId};
use prost::Message;
use rt::BlockingHandle;
use rt::tls::{ClientTls, Connector};
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::compression::Compression;
use crate::compression::client::Pack;
use crate::messages::common::{HealthCheckRequest, HealthCheckResponse};
use crate::status::{for_tenant, storage_error};

use times::TimedCall;
pub use times::{CallTimes, code_name};

/// How often a query that waits for another process looks whether it must stop.
const CHECK_PERIOD: Duration = Duration::from_millis(50);

/// How often a connection is tried, and how long the answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How connections are made.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// The largest message that is taken, bytes.
    pub max_recv_message_bytes: usize,
    /// The largest message that is sent, bytes.
    pub max_send_message_bytes: usize,
    /// How messages are sent.
    pub compression: Compression,
    /// Bytes of a stream, and of a connection, that may be under way.
    pub windows: (u32, u32),
    /// TLS, where it is spoken.
    pub tls: Option<ClientTls>,
    /// Where the times of calls go.
    pub times: Option<CallTimes>,
}

/// A connection to one process, made at the first call and again after it was lost.
#[derive(Clone)]
pub(crate) struct Connection {
    channel: Pack<Channel>,
    options: ClientOptions,
    blocking: BlockingHandle,
}

impl Connection {
    /// To `address`, `HOST:PORT`. Must be called inside of the runtime.
    pub(crate) fn new(
        address: &str,
        options: &ClientOptions,
        blocking: BlockingHandle,
    ) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(options.connect_timeout)
            // So that calls to a machine that has vanished end.
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(Some(options.windows.0))
            .initial_connection_window_size(Some(options.windows.1));
        let channel = endpoint.connect_with_connector_lazy(Connector::new(options.tls.clone()));
        let channel = Pack::new(channel, options.compression, options.max_recv_message_bytes);
        Ok(Self { channel, options: options.clone(), blocking })
    }

    /// A call begins whose time is wanted.
    fn timed(&self, path: &'static str) -> Option<TimedCall> {
        self.options.times.as_ref().map(|times| times.begin(path))
    }

    async fn grpc(&self) -> Result<Grpc<Pack<Channel>>, Status> {
        let mut grpc = Grpc::new(self.channel.clone())
            .max_decoding_message_size(self.options.max_recv_message_bytes)
            .max_encoding_message_size(self.options.max_send_message_bytes)
            .accept_compressed(CompressionEncoding::Gzip);
        if self.options.compression == Compression::Gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }

    /// What waits on compute threads.
    pub(crate) fn blocking(&self) -> &BlockingHandle {
        &self.blocking
    }

    /// Calls `path` with one message, for at most `timeout`.
    pub(crate) async fn call<C>(
        &self,
        (tenant, path): (&TenantId, &'static str),
        (message, codec): (C::Encode, C),
        timeout: Duration,
    ) -> Result<C::Decode, Status>
    where
        C: Codec,
        C::Encode: Send + Sync + 'static,
        C::Decode: Send + Sync + 'static,
    {
        let mut request = for_tenant(tenant, message)?;
        request.set_timeout(timeout);
        let timed = self.timed(path);
        let call = async {
            let path = PathAndQuery::from_static(path);
            self.grpc().await?.unary(request, path, codec).await
        };
        let answer = rt::time::timeout(timeout, call).await;
        let timed_out = |_| Err(Status::deadline_exceeded("the call timed out"));
        let answer = answer.unwrap_or_else(timed_out);
        ended(timed, &answer);
        answer.map(tonic::Response::into_inner)
    }

    /// Whether the process says that it serves.
    pub(crate) async fn check_health(&self, timeout: Duration) -> Result<(), Status> {
        let call = async {
            let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
            let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
            let request = tonic::Request::new(HealthCheckRequest::default());
            self.grpc().await?.unary(request, path, codec).await
        };
        let answer = rt::time::timeout(timeout, call).await;
        let answer = answer.map_err(|_| Status::deadline_exceeded("the health check timed out"))?;
        match answer?.into_inner().status {
            HealthCheckResponse::SERVING => Ok(()),
            status => Err(Status::unavailable(format!("health is {status}, not serving"))),
        }
    }

    /// The same with protobuf messages both ways, for a query: until the query must stop.
    pub(crate) fn ask<A, B>(
        &self,
        (tenant, path): (&TenantId, &'static str),
        message: A,
        context: &QueryContext,
    ) -> Result<B, StorageError>
    where
        A: Message + Send + Sync + 'static,
        B: Message + Default + Send + Sync + 'static,
    {
        let request = for_tenant(tenant, message).map_err(|status| storage_error(&status))?;
        let call = async {
            let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::<A, B>::default());
            self.grpc().await?.unary(request, path, codec).await
        };
        let timed = self.timed(path);
        let answer = self.blocking.block_on(unless_stopped(context, call))?;
        ended(timed, &answer);
        answer.map(tonic::Response::into_inner).map_err(|status| storage_error(&status))
    }

    /// Opens a stream of messages.
    pub(crate) fn open<A, B>(
        &self,
        (tenant, path): (&TenantId, &'static str),
        message: A,
        context: &Arc<QueryContext>,
    ) -> Result<Pulled<B>, StorageError>
    where
        A: Message + Send + Sync + 'static,
        B: Message + Default + Send + Sync + 'static,
    {
        let request = for_tenant(tenant, message).map_err(|status| storage_error(&status))?;
        let call = async {
            let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::<A, B>::default());
            self.grpc().await?.server_streaming(request, path, codec).await
        };
        let timed = self.timed(path);
        let answer = self.blocking.block_on(unless_stopped(context, call))?;
        let stream = match answer {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                ended::<()>(timed, &Err(status.clone()));
                return Err(storage_error(&status));
            }
        };
        let (context, blocking) = (Arc::clone(context), self.blocking.clone());
        Ok(Pulled { stream, context, blocking, timed })
    }
}

/// A call has ended; one that is dropped instead was cancelled.
fn ended<T>(timed: Option<TimedCall>, answer: &Result<T, Status>) {
    if let Some(timed) = timed {
        timed.ended(answer.as_ref().err().map_or(Code::Ok, Status::code));
    }
}

/// A stream of messages that a compute thread pulls.
pub(crate) struct Pulled<B> {
    stream: Streaming<B>,
    context: Arc<QueryContext>,
    blocking: BlockingHandle,
    timed: Option<TimedCall>,
}

impl<B> Pulled<B> {
    /// The next message; `None` at the end. Stops when the query must.
    pub(crate) fn next(&mut self) -> Result<Option<B>, StorageError> {
        let next = self.blocking.block_on(unless_stopped(&self.context, self.stream.message()))?;
        if !matches!(next, Ok(Some(_))) {
            ended(self.timed.take(), &next);
        }
        next.map_err(|status| storage_error(&status))
    }
}

impl<B> Drop for Pulled<B> {
    fn drop(&mut self) {
        // Who needs no more of it, and need not stop, had what was wanted.
        if self.context.check().is_ok() {
            ended(self.timed.take(), &Ok(()));
        }
    }
}

/// Waits for `work` until the query must stop.
async fn unless_stopped<T>(
    context: &QueryContext,
    work: impl Future<Output = T>,
) -> Result<T, StorageError> {
    let mut work = std::pin::pin!(work);
    loop {
        context.check()?;
        match select(work, std::pin::pin!(rt::time::sleep(CHECK_PERIOD))).await {
            Either::Left((done, _)) => return Ok(done),
            Either::Right(((), rest)) => work = rest,
        }
    }
}
