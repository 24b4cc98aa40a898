//! Requests that are compressed with snappy or s2. Every request of these services is one message:
//! it is unpacked before the services see it. Answers are sent as they are, which every client
//! takes.
//!
//! Wrapped around all services by the gRPC server.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::{BoxFuture, Either};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::{ENCODING, HEAD_BYTES, Head, broken, is_packed, too_large, unpack};

/// Unpacks compressed requests.
#[derive(Debug, Clone, Copy)]
pub struct UnpackLayer {
    /// The largest message that is taken, packed or not, bytes.
    pub max_message_bytes: usize,
}

impl<S> Layer<S> for UnpackLayer {
    type Service = Unpack<S>;

    fn layer(&self, inner: S) -> Unpack<S> {
        Unpack { inner, max_bytes: self.max_message_bytes }
    }
}

/// A service whose requests are unpacked.
#[derive(Debug, Clone)]
pub struct Unpack<S> {
    inner: S,
    max_bytes: usize,
}

impl<S> Service<http::Request<Body>> for Unpack<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Self::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if !is_packed(request.headers()) {
            return Either::Left(self.inner.call(request));
        }
        // The clone takes the next call: this one is ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let max_bytes = self.max_bytes;
        Either::Right(Box::pin(async move {
            match unpacked(request, max_bytes).await {
                Ok(request) => inner.call(request).await,
                Err(status) => Ok(status.into_http()),
            }
        }))
    }
}

async fn unpacked(
    request: http::Request<Body>,
    max_bytes: usize,
) -> Result<http::Request<Body>, Status> {
    let (mut parts, body) = request.into_parts();
    let limited = Limited::new(body, max_bytes.saturating_add(HEAD_BYTES));
    let packed = match limited.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(too_large(max_bytes)),
        Err(error) => return Err(Status::internal(format!("the request broke off: {error}"))),
    };
    let message = unpack_one(packed, max_bytes)?;
    parts.headers.remove(ENCODING);
    Ok(http::Request::from_parts(parts, Body::new(Full::new(message))))
}

/// The one message of a request, unpacked, with its head.
fn unpack_one(packed: Bytes, max_bytes: usize) -> Result<Bytes, Status> {
    let head = Head::read(&packed)?.ok_or_else(|| broken("it has no head"))?;
    let data = &packed[HEAD_BYTES..];
    if head.length != data.len() {
        return Err(broken("its length is not that of the request"));
    }
    if head.is_packed { unpack(data, max_bytes) } else { Ok(packed) }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::FutureExt as _;
    use http::HeaderMap;

    use super::super::pack;
    use super::*;

    fn packed(message: &[u8]) -> Vec<u8> {
        pack(message).unwrap().into()
    }

    /// Sends back what it gets, and how it says that it is compressed.
    fn echo() -> Unpack<
        impl Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static,
    > {
        let echo = tower::service_fn(|request: http::Request<Body>| async {
            let is_marked = request.headers().contains_key(ENCODING);
            let mut answer = http::Response::new(request.into_body());
            answer.headers_mut().insert("marked", i32::from(is_marked).into());
            Ok::<_, Infallible>(answer)
        });
        UnpackLayer { max_message_bytes: 100_000 }.layer(echo)
    }

    fn ask(encoding: &str, body: Vec<u8>) -> (HeaderMap, Bytes) {
        let body = Body::new(Full::new(Bytes::from(body)));
        let request = http::Request::builder().header(ENCODING, encoding).body(body).unwrap();
        let answer = echo().call(request).now_or_never().unwrap().unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().now_or_never().unwrap().unwrap();
        (parts.headers, body.to_bytes())
    }

    #[test]
    fn services_see_the_message_as_if_it_had_not_been_compressed() {
        let message: Vec<u8> = (0..90_000_u32).map(|i| (i / 50) as u8).collect();
        for encoding in ["snappy", "s2"] {
            let (headers, body) = ask(encoding, packed(&message));
            assert_eq!(headers["marked"], "0");
            assert_eq!(body[..HEAD_BYTES], [0, 0, 1, 0x5f, 0x90]);
            assert_eq!(body[HEAD_BYTES..], message);
        }
        let (headers, body) = ask("gzip", vec![7; 9]);
        assert_eq!((&headers["marked"], &body[..]), (&"1".parse().unwrap(), &[7; 9][..]));
    }

    #[test]
    fn what_is_too_large_or_broken_is_an_error_of_grpc() {
        let status = |body: Vec<u8>| ask("snappy", body).0["grpc-status"].clone();
        assert_eq!(status(packed(&[5; 200_000])), "8", "resource exhausted");
        assert_eq!(status(vec![1; 200_000]), "8");
        let mut torn = packed(b"message");
        torn.pop();
        assert_eq!(status(torn), "13");
        assert_eq!(status(vec![1, 0]), "13");
    }
}
