//! Calls to etcd: a connection to each endpoint, the next one when one fails, and a token where a
//! user is configured.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message;
use rt::tls::{ClientTls, Connector};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::EtcdOptions;
use super::messages::{
    AuthenticateRequest, AuthenticateResponse, WatchCreateRequest, WatchRequest, WatchResponse,
};
use crate::kv::MAX_VALUE_BYTES;

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Connections to all endpoints.
pub(super) struct Connections {
    channels: Vec<Channel>,
    /// The one that answered last.
    current: AtomicUsize,
    user: Option<(String, String)>,
    token: Mutex<Option<AsciiMetadataValue>>,
}

impl Connections {
    /// Reads the files of TLS; connects when there is something to send.
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, String> {
        if options.endpoints.is_empty() {
            return Err("no etcd endpoints are configured".to_owned());
        }
        let tls = options.tls.as_ref().map(ClientTls::new).transpose();
        let connector = Connector::new(tls.map_err(|error| error.to_string())?);
        let mut channels = Vec::new();
        for endpoint in &options.endpoints {
            channels.push(channel(endpoint, options, &connector)?);
        }
        let user = (!options.username.is_empty())
            .then(|| (options.username.clone(), options.password.clone()));
        Ok(Self { channels, current: AtomicUsize::new(0), user, token: Mutex::new(None) })
    }

    /// Calls a method; tries every endpoint once.
    pub(super) async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + Clone + Sync + 'static,
        A: Message + Default + 'static,
    {
        let mut last = Status::unavailable("no endpoint answered");
        for attempt in 0..=self.channels.len() {
            let at = self.current.load(Ordering::Relaxed) % self.channels.len();
            match self.call_one(at, path, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(status) if self.is_worth_another(&status, attempt, at) => last = status,
                Err(status) => return Err(status),
            }
        }
        Err(last)
    }

    /// Whether the next endpoint, or the same one with a new token, may answer.
    fn is_worth_another(&self, status: &Status, attempt: usize, at: usize) -> bool {
        let is_stale = status.code() == Code::Unauthenticated
            || status.message().contains("invalid auth token");
        if is_stale && self.user.is_some() && attempt == 0 {
            *self.token.lock() = None;
            return true;
        }
        let is_down =
            matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled);
        if is_down {
            self.current.store(at + 1, Ordering::Relaxed);
        }
        is_down
    }

    async fn call_one<Q, A>(&self, at: usize, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut request = Request::new(request);
        self.authorize(at, &mut request).await?;
        let call = unary(self.channels[at].clone(), path, request);
        let answer = rt::time::timeout(CALL_TIMEOUT, call).await;
        answer.map_err(|_| Status::deadline_exceeded("etcd did not answer in time"))?
    }

    async fn authorize<Q>(&self, at: usize, request: &mut Request<Q>) -> Result<(), Status> {
        let Some((name, password)) = self.user.clone() else { return Ok(()) };
        let known = self.token.lock().clone();
        let token = match known {
            Some(token) => token,
            None => {
                let ask = Request::new(AuthenticateRequest { name, password });
                let path = "/etcdserverpb.Auth/Authenticate";
                let answer: AuthenticateResponse =
                    unary(self.channels[at].clone(), path, ask).await?;
                let token = AsciiMetadataValue::try_from(answer.token);
                let token = token.map_err(|_| Status::internal("the token is no text"))?;
                self.token.lock().insert(token).clone()
            }
        };
        request.metadata_mut().insert("token", token);
        Ok(())
    }

    /// Opens a watch, on the endpoint that answered last.
    pub(super) async fn watch(
        &self,
        create: WatchCreateRequest,
    ) -> Result<Streaming<WatchResponse>, Status> {
        let at = self.current.load(Ordering::Relaxed) % self.channels.len();
        let first = WatchRequest { create: Some(create) };
        // The stream of requests stays open as long as the watch.
        let requests = futures::StreamExt::chain(
            futures::stream::iter([first]),
            futures::stream::pending::<WatchRequest>(),
        );
        let mut request = Request::new(requests);
        self.authorize(at, &mut request).await?;
        let mut grpc = grpc(self.channels[at].clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        Ok(grpc.streaming(request, path, codec).await?.into_inner())
    }
}

fn grpc(channel: Channel) -> Grpc<Channel> {
    Grpc::new(channel)
        .max_decoding_message_size(MAX_VALUE_BYTES)
        .max_encoding_message_size(MAX_VALUE_BYTES)
}

async fn unary<Q, A>(channel: Channel, path: &'static str, request: Request<Q>) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut grpc = grpc(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Q, A>::default();
    Ok(grpc.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
}

fn channel(
    endpoint: &str,
    options: &EtcdOptions,
    connector: &Connector,
) -> Result<Channel, String> {
    let address = endpoint.split_once("://").map_or(endpoint, |(_, address)| address);
    // The connector speaks TLS, whatever the scheme.
    let builder = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("etcd endpoint {endpoint}: {error}"))?
        .connect_timeout(options.dial_timeout)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(2 * options.dial_timeout)
        .keep_alive_while_idle(true);
    Ok(builder.connect_with_connector_lazy(connector.clone()))
}
