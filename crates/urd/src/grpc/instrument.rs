//! The metrics of calls: one layer around all services of the gRPC port.
//!
//! A call is observed when its answer has been sent to the end, or when the caller has gone. Routes
//! are labels: calls of methods that do not exist are not observed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use futures::future::{BoxFuture, Either};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use web::{CallMetrics, RequestMetrics};

/// The methods that there are besides those of the components.
const HEALTH: &[&str] = &["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];

/// Observes calls.
#[derive(Clone)]
pub(super) struct ObserveLayer(pub(super) RequestMetrics);

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, metrics: self.0.clone() }
    }
}

/// A service whose calls are observed.
#[derive(Clone)]
pub(super) struct Observe<S> {
    inner: S,
    metrics: RequestMetrics,
}

impl<S> Service<http::Request<Body>> for Observe<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Self::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Some(route) = route(request.uri().path()) else {
            return Either::Left(self.inner.call(request));
        };
        let call = Arc::new(Mutex::new(self.metrics.call(route)));
        let received = Observed::new(Arc::clone(&call), Direction::Received);
        let answer = self.inner.call(request.map(|body| received.of(body)));
        Either::Right(Box::pin(async move {
            let answer = answer.await?;
            // An answer without a body has its status here.
            ended(&call, answer.headers());
            Ok(answer.map(|body| Observed::new(call, Direction::Sent).of(body)))
        }))
    }
}

fn route(path: &str) -> Option<&'static str> {
    let mut all = rpc::METHODS.iter().chain(HEALTH);
    all.find(|method| **method == path).copied()
}

fn ended(call: &Mutex<CallMetrics>, headers: &http::HeaderMap) {
    if let Some(status) = Status::from_header_map(headers) {
        call.lock().ended(rpc::code_name(status.code()));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Received,
    Sent,
}

/// What is observed of a body. The call is under way as long as one of its bodies.
struct Observed {
    call: Arc<Mutex<CallMetrics>>,
    direction: Direction,
    messages: Messages,
}

impl Observed {
    fn new(call: Arc<Mutex<CallMetrics>>, direction: Direction) -> Self {
        Self { call, direction, messages: Messages::default() }
    }

    fn of(self, body: Body) -> Body {
        Body::new(ObservedBody { body, observed: self })
    }

    fn saw(&mut self, frame: &Frame<Bytes>) {
        let (call, direction) = (&self.call, self.direction);
        if let Some(data) = frame.data_ref() {
            self.messages.pass(data.clone(), |bytes| match direction {
                Direction::Received => call.lock().received(bytes),
                Direction::Sent => call.lock().sent(bytes),
            });
        }
        if let Some(trailers) = frame.trailers_ref().filter(|_| direction == Direction::Sent) {
            ended(call, trailers);
        }
    }
}

struct ObservedBody {
    body: Body,
    observed: Observed,
}

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.observed.saw(frame);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Finds the messages in the bytes of a body: each has a head of a byte (whether it is compressed)
/// and its length in four.
#[derive(Debug, Default)]
struct Messages {
    head: [u8; 5],
    /// Bytes of the head that are there.
    head_len: usize,
    /// Bytes of the message that are missing.
    left: u64,
}

impl Messages {
    /// Tells the size of each message that begins in `data`, with its head.
    fn pass(&mut self, mut data: Bytes, mut begins: impl FnMut(u64)) {
        while data.has_remaining() {
            if self.left > 0 {
                let skipped =
                    data.remaining().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                data.advance(skipped);
                self.left -= skipped as u64;
                continue;
            }
            self.head[self.head_len] = data.get_u8();
            self.head_len += 1;
            if self.head_len == self.head.len() {
                let [_, length @ ..] = self.head;
                self.left = u64::from(u32::from_be_bytes(length));
                self.head_len = 0;
                begins(self.left + self.head.len() as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let body = [&[0, 0, 0, 0, 3][..], b"abc", &[1, 0, 0, 1, 0], &[7; 256], &[0; 5]].concat();
        for size in [1, 2, 5, 7, 300] {
            let (mut messages, mut found) = (Messages::default(), Vec::new());
            for piece in body.chunks(size) {
                messages.pass(Bytes::copy_from_slice(piece), |bytes| found.push(bytes));
            }
            assert_eq!(found, [8, 261, 5], "{size}");
        }
    }

    #[test]
    fn methods_that_do_not_exist_are_no_routes() {
        assert_eq!(route("/cortex.Ingester/Push"), Some("/cortex.Ingester/Push"));
        assert_eq!(route("/grpc.health.v1.Health/Check"), Some("/grpc.health.v1.Health/Check"));
        assert_eq!(route("/cortex.Ingester/Pusch"), None);
    }
}
