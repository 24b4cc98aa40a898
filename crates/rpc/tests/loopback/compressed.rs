//! Clients that send snappy or s2: to a server of this project, which answers plainly, and to one
//! that answers in the encoding of the request as grpc-go does.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::Write as _;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use parking_lot::Mutex;
use rpc::{ClientOptions, Compression, UnpackLayer};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Server;
use tower::{Layer, Service};

use super::support::{LIMITS, incoming, services};
use super::*;

/// The paths that were called, with the encoding and the flag of the message.
type Calls = Arc<Mutex<BTreeSet<(String, String, u8)>>>;

/// Answers in the encoding of the request where `packs` says so.
#[derive(Clone)]
struct AsGrpcGo<S> {
    inner: S,
    packs: bool,
    calls: Calls,
}

impl<S> Service<http::Request<Body>> for AsGrpcGo<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut served = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let message = body.collect().await.unwrap().to_bytes();
            let encoding = parts.headers["grpc-encoding"].clone();
            let path = parts.uri.path().to_owned();
            let name = encoding.to_str().unwrap().to_owned();
            served.calls.lock().insert((path, name, message[0]));
            let request = http::Request::from_parts(parts, Body::new(Full::new(message)));
            let mut answer = served.inner.call(request).await?;
            if !served.packs {
                return Ok(answer);
            }
            answer.headers_mut().insert("grpc-encoding", encoding);
            let (parts, body) = answer.into_parts();
            Ok(http::Response::from_parts(parts, packed(body).await))
        })
    }
}

/// All messages of an answer, packed, and its trailers, in pieces that tear them.
async fn packed(body: Body) -> Body {
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    let plain = collected.to_bytes();
    let (mut rest, mut sent) = (&plain[..], Vec::new());
    while let Some((&[_, a, b, c, d], behind)) = rest.split_first_chunk() {
        let (message, behind) = behind.split_at(u32::from_be_bytes([a, b, c, d]) as usize);
        let mut writer = snap::write::FrameEncoder::new(Vec::new());
        writer.write_all(message).unwrap();
        let data = writer.into_inner().unwrap();
        sent.push(1);
        sent.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        sent.extend_from_slice(&data);
        rest = behind;
    }
    let pieces = sent.chunks(1013).map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
    let frames = pieces.chain(trailers.map(Frame::trailers)).map(Ok::<_, Status>);
    Body::new(StreamBody::new(futures::stream::iter(frames.collect::<Vec<_>>())))
}

/// A server of both services over one database; returns its address.
async fn serve_compressed(gateway: &Arc<FakeGateway>, packs: bool) -> (String, Calls) {
    let (incoming, address) = incoming().await;
    let ingester = FakeIngester::over(Arc::clone(&gateway.ingester.db));
    let routes = services(Some(Arc::new(ingester)), Some(Arc::clone(gateway)));
    let calls = Calls::default();
    let seen = Arc::clone(&calls);
    let server = Server::builder()
        .layer(tower::layer::layer_fn(move |inner| AsGrpcGo {
            inner: UnpackLayer { max_message_bytes: LIMITS.max_recv_message_bytes }.layer(inner),
            packs,
            calls: Arc::clone(&seen),
        }))
        .add_routes(routes);
    tokio::spawn(server.serve_with_incoming(incoming));
    (address, calls)
}

fn check_ingester(client: &IngesterClient, gateway: &FakeGateway) -> Contents {
    let tenant = tenant("team-a");
    fill(&|batch| client.push(&tenant, batch).unwrap(), 150);
    let any = [Matcher::equal("__name__", "up")];
    let context = Arc::new(QueryContext::unlimited());
    let want = select(&*gateway.ingester.db, &any, &context).unwrap();
    assert_eq!((want.len(), want.values().map(Vec::len).sum::<usize>()), (150, 150 * 250));
    let remote = client.queryable(&tenant).unwrap().unwrap();
    assert_eq!(select(&*remote, &any, &context).unwrap(), want);
    assert_eq!(client.user_stats(&tenant).unwrap().num_series, 150);
    let mut refused = WriteBatch::new(hasher());
    let labels = [Label { name: "__name__", value: "refused" }];
    refused.push_float(&labels, BatchSample { timestamp_ms: 1, value: 1.0 });
    let error = client.push(&tenant, &refused).unwrap_err();
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::TenantLimit, true));
    want
}

fn select_of_gateway(
    client: &RemoteStoreGateway,
    gateway: &FakeGateway,
) -> Result<Contents, StorageError> {
    let context = Arc::new(QueryContext::unlimited());
    let (tenant, blocks) = (tenant("team-a"), [gateway.block]);
    let range = TimeRange::new(0, 4_000_000);
    let request = BlocksRequest { tenant: &tenant, blocks: &blocks, range, context: &context };
    let hints = SelectHints { end_ms_incl: 4_000_000, ..SelectHints::default() };
    read(client.select(request, &[Matcher::equal("__name__", "up")], &hints)?.value)
}

async fn check(compression: Compression, name: &str, packs: bool) {
    let gateway = Arc::new(FakeGateway::new());
    let (address, calls) = serve_compressed(&gateway, packs).await;
    let options = ClientOptions { compression, ..OPTIONS };
    let small = ClientOptions { max_recv_message_bytes: 2000, ..options.clone() };
    let blocking_calls = BlockingHandle::current();
    let timed = (&options, Duration::from_secs(10));
    let ingester = IngesterClient::new(&address, timed, blocking_calls.clone()).unwrap();
    let connect =
        |options| RemoteStoreGateway::new(&address, options, blocking_calls.clone()).unwrap();
    let (blocks, small) = (connect(&options), connect(&small));
    blocking(move || {
        let want = check_ingester(&ingester, &gateway);
        assert_eq!(select_of_gateway(&blocks, &gateway).unwrap(), want);
        let error = select_of_gateway(&small, &gateway).unwrap_err().to_string();
        if packs {
            assert!(error.contains("larger than max"), "{error}");
        }
    })
    .await;
    let paths = ["Push", "QueryStream", "UserStats"].map(|it| format!("/cortex.Ingester/{it}"));
    let series = "/gatewaypb.StoreGateway/Series".to_owned();
    // The request for the number of series is empty: there is nothing to pack.
    let flag = |path: &str| u8::from(!path.ends_with("UserStats"));
    let want = paths.into_iter().chain([series]);
    let want = want.map(|path| (path.clone(), name.to_owned(), flag(&path)));
    assert_eq!(*calls.lock(), want.collect::<BTreeSet<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_snappy_or_s2_are_taken_and_answered_plainly() {
    check(Compression::Snappy, "snappy", false).await;
    check(Compression::S2, "s2", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_in_the_encoding_of_the_request_are_unpacked() {
    check(Compression::Snappy, "snappy", true).await;
    check(Compression::S2, "s2", true).await;
}
