//! The client's side: requests are packed, and answers unpacked, message by message as they come,
//! since Mimir's servers answer in the encoding of the request. Without snappy or s2 everything
//! passes through as it is.
//!
//! Wrapped around the channel of every connection.

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use futures::TryFutureExt as _;
use futures::future::{BoxFuture, Either, MapOk};
use http::HeaderValue;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Either as EitherBody, Full};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use super::{Compression, ENCODING, HEAD_BYTES, Head, broken, is_packed, pack, unpack};

/// Names the encodings that may be answered in.
const ACCEPTED: &str = "grpc-accept-encoding";
/// The last two are tonic's.
const ALL_ENCODINGS: HeaderValue = HeaderValue::from_static("snappy,s2,gzip,identity");

/// A service that is called with packed messages.
#[derive(Debug, Clone)]
pub(crate) struct Pack<S> {
    inner: S,
    /// `None` where nothing is packed here.
    encoding: Option<HeaderValue>,
    max_bytes: usize,
}

impl<S> Pack<S> {
    /// Calls `inner`, and takes messages of at most `max_bytes` from it.
    pub(crate) fn new(inner: S, compression: Compression, max_bytes: usize) -> Self {
        let encoding = match compression {
            Compression::None | Compression::Gzip => None,
            Compression::Snappy => Some(HeaderValue::from_static("snappy")),
            Compression::S2 => Some(HeaderValue::from_static("s2")),
        };
        Self { inner, encoding, max_bytes }
    }
}

/// An answer as it came, or unpacked.
type Answer = http::Response<EitherBody<Body, Unpacking>>;
type ToPlain = fn(http::Response<Body>) -> Answer;

impl<S> Service<http::Request<Body>> for Pack<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = S::Error;
    type Future = Either<MapOk<S::Future, ToPlain>, BoxFuture<'static, Result<Answer, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Some(encoding) = self.encoding.clone() else {
            return Either::Left(self.inner.call(request).map_ok(plain));
        };
        // The clone takes the next call: this one is ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let max_bytes = self.max_bytes;
        Either::Right(Box::pin(async move {
            match packed(request, encoding).await {
                Ok(request) => Ok(unpacked(inner.call(request).await?, max_bytes)),
                Err(status) => Ok(plain(status.into_http())),
            }
        }))
    }
}

fn plain(answer: http::Response<Body>) -> Answer {
    answer.map(EitherBody::Left)
}

/// A request, which is one message, packed.
async fn packed(
    request: http::Request<Body>,
    encoding: HeaderValue,
) -> Result<http::Request<Body>, Status> {
    let (mut parts, body) = request.into_parts();
    let message = body.collect().await?.to_bytes();
    let data = message.get(HEAD_BYTES..).ok_or_else(|| broken("it has no head"))?;
    // Nothing cannot become less, and grpc-go sends it as it is.
    let message = if data.is_empty() { message } else { pack(data)? };
    parts.headers.insert(ENCODING, encoding);
    parts.headers.insert(ACCEPTED, ALL_ENCODINGS);
    Ok(http::Request::from_parts(parts, Body::new(Full::new(message))))
}

fn unpacked(mut answer: http::Response<Body>, max_bytes: usize) -> Answer {
    if !is_packed(answer.headers()) {
        return plain(answer);
    }
    answer.headers_mut().remove(ENCODING);
    answer.map(|body| EitherBody::Right(Unpacking::new(body, max_bytes)))
}

/// The body of an answer, unpacked while it is read. Every piece of data is a message.
pub(crate) struct Unpacking {
    body: Body,
    /// What is not unpacked yet: at most a message and a piece of the body.
    received: BytesMut,
    max_bytes: usize,
    /// Behind an error nothing more comes.
    has_failed: bool,
}

impl Unpacking {
    fn new(body: Body, max_bytes: usize) -> Self {
        Self { body, received: BytesMut::new(), max_bytes, has_failed: false }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, Status>>> {
        loop {
            if let Some(message) = next_message(&mut self.received, self.max_bytes)? {
                return Poll::Ready(Some(Ok(Frame::data(message))));
            }
            let Some(piece) = ready!(Pin::new(&mut self.body).poll_frame(context)?) else {
                return Poll::Ready(self.check_end().err().map(Err));
            };
            match piece.into_data() {
                Ok(data) => self.received.extend_from_slice(&data),
                Err(trailers) => {
                    // An error that the server tells says more than a torn message.
                    if !is_error(&trailers) {
                        self.check_end()?;
                    }
                    self.received.clear();
                    return Poll::Ready(Some(Ok(trailers)));
                }
            }
        }
    }

    /// A message must not be torn: tonic would take it for none.
    fn check_end(&self) -> Result<(), Status> {
        if self.received.is_empty() {
            Ok(())
        } else {
            Err(broken("the answer broke off within it"))
        }
    }
}

type Piece = Frame<Bytes>;

impl http_body::Body for Unpacking {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Piece, Status>>> {
        let unpacking = self.get_mut();
        if unpacking.has_failed {
            return Poll::Ready(None);
        }
        let next = ready!(unpacking.poll_next(context));
        unpacking.has_failed = matches!(next, Some(Err(_)));
        Poll::Ready(next)
    }
}

fn is_error(trailers: &Piece) -> bool {
    let status = trailers.trailers_ref().and_then(Status::from_header_map);
    status.is_some_and(|status| status.code() != Code::Ok)
}

/// Takes the first message of what was received, unpacked, with its head; `None` while it is not
/// complete.
fn next_message(received: &mut BytesMut, max_bytes: usize) -> Result<Option<Bytes>, Status> {
    let Some(Head { is_packed, length }) = Head::read(received)? else { return Ok(None) };
    if max_bytes < length {
        return Err(Status::resource_exhausted(format!(
            "grpc: received message larger than max ({length} vs. {max_bytes})"
        )));
    }
    let end = HEAD_BYTES + length;
    let Some(message) = received.get(..end) else { return Ok(None) };
    if !is_packed {
        return Ok(Some(received.split_to(end).freeze()));
    }
    let message = unpack(&message[HEAD_BYTES..], max_bytes)?;
    received.advance(end);
    Ok(Some(message))
}
