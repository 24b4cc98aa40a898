//! One HTTP/1.1 connection: hyper on the socket, the router behind it, limits around both.
//!
//! When the client goes away hyper drops the future of the handler, and with it all that the
//! request was about to do.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{Request, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt;

use super::ServerOptions;
use super::io::{Phase, TimedStream};
use crate::reply::text_error;

/// The most headers of one request.
const MAX_HEADERS: usize = 200;

/// The connection, to be awaited to its end.
pub(super) fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    options: ServerOptions,
) -> impl GracefulConnection<Error = hyper::Error> + Send {
    let phase = Arc::new(Phase::default());
    let io = TokioIo::new(TimedStream::new(stream, Arc::clone(&phase), options));
    let service = service_fn(move |request: Request<Incoming>| {
        let serving = Phase::serve(&phase, !request.body().is_end_stream());
        let router = router.clone();
        async move {
            let response = answer(router, request, options).await;
            Ok::<_, Infallible>(response.map(|body| Body::new(Guarded { body, serving })))
        }
    });
    http1::Builder::new()
        .max_buf_size(options.max_header_bytes)
        .max_headers(MAX_HEADERS)
        .timer(TokioTimer::new())
        .header_read_timeout(backstop(options))
        .serve_connection(io, service)
}

/// hyper reads from a connection between two requests only when it has a limit of its own for
/// headers; the socket's limits (`io.rs`) end before this one.
fn backstop(options: ServerOptions) -> Duration {
    options.idle_timeout.max(options.read_header_timeout) + Duration::from_secs(1)
}

async fn answer(router: Router, request: Request<Incoming>, options: ServerOptions) -> Response {
    let timer = Box::pin(rt::time::sleep(options.read_timeout));
    let request = request.map(|body| Body::new(TimedBody { body, timer: Some(timer) }));
    match rt::time::timeout(options.write_timeout, router.oneshot(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => text_error(StatusCode::SERVICE_UNAVAILABLE, &timeout_message(options)),
    }
}

fn timeout_message(options: ServerOptions) -> String {
    let seconds = options.write_timeout.as_secs_f64();
    format!("the request was not answered within {seconds} s (-server.http-write-timeout)")
}

/// A request's body that must have been read before its timer ends.
struct TimedBody {
    body: Incoming,
    timer: Option<Timer>,
}

type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The client was too slow.
#[derive(Debug, thiserror::Error)]
#[error("the request's body did not arrive in time (-server.http-read-timeout)")]
struct BodyTooSlow;

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)));
        }
        let is_late = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if !is_late {
            return Poll::Pending;
        }
        self.timer = None;
        Poll::Ready(Some(Err(axum::Error::new(BodyTooSlow))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body; the connection is busy until it is dropped.
struct Guarded {
    body: Body,
    #[expect(dead_code, reason = "held for its drop")]
    serving: super::io::Serving,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
