//! Metrics and the log span of every request, under the names and labels of Mimir's dashboards.
//!
//! A request is observed when its answer has been sent to the end, or when the client has gone:
//! then with the status 499.

mod calls;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use model::Clock;
use rt::Metrics;
use rt::metrics::http::{method_label, route_label};
use rt::metrics::{Gauge, GaugeVec, HistogramVec, REQUEST_SECONDS_BUCKETS};
use tracing::Instrument;

pub use calls::CallMetrics;

/// The client went away before the answer was complete.
const CLIENT_CLOSED_REQUEST: u16 = 499;

const MIB: f64 = 1024.0 * 1024.0;

/// Upper bounds of the sizes of messages, bytes.
const MESSAGE_BYTES_BUCKETS: &[f64] =
    &[MIB, 2.5 * MIB, 5.0 * MIB, 10.0 * MIB, 25.0 * MIB, 50.0 * MIB, 100.0 * MIB, 250.0 * MIB];

/// Metrics of all requests.
#[derive(Clone)]
pub struct RequestMetrics {
    clock: Arc<dyn Clock>,
    duration_seconds: HistogramVec,
    inflight: GaugeVec,
    request_bytes: HistogramVec,
    response_bytes: HistogramVec,
    logs_at_info: bool,
}

impl RequestMetrics {
    /// Registers the metrics. `logs_at_info`: log every request at the level info, not debug.
    pub fn new(metrics: &Metrics, clock: Arc<dyn Clock>, logs_at_info: bool) -> Self {
        let route = &["method", "route"];
        Self {
            clock,
            logs_at_info,
            duration_seconds: metrics.histogram_vec(
                "cortex_request_duration_seconds",
                "Time (in seconds) spent serving HTTP requests",
                &["method", "route", "status_code", "ws"],
                REQUEST_SECONDS_BUCKETS,
            ),
            inflight: metrics.gauge_vec(
                "cortex_inflight_requests",
                "Current number of inflight requests",
                route,
            ),
            request_bytes: metrics.histogram_vec(
                "cortex_request_message_bytes",
                "Size (in bytes) of messages received in the request",
                route,
                MESSAGE_BYTES_BUCKETS,
            ),
            response_bytes: metrics.histogram_vec(
                "cortex_response_message_bytes",
                "Size (in bytes) of messages sent in response",
                route,
                MESSAGE_BYTES_BUCKETS,
            ),
        }
    }

    fn begin(&self, request: &Request) -> Observation {
        let method = method_label(request.method());
        let route = route_label(request.extensions().get::<MatchedPath>().map(MatchedPath::as_str));
        let inflight = self.inflight.with(&[method, &route]);
        inflight.inc();
        Observation {
            metrics: self.clone(),
            path: request.uri().path().to_owned(),
            method,
            route,
            inflight,
            started: self.clock.monotonic(),
            status: CLIENT_CLOSED_REQUEST,
            response_bytes: 0,
            is_complete: false,
        }
    }
}

/// Middleware, outside of everything but the panics.
pub(crate) async fn observe(
    State(metrics): State<RequestMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let mut observation = metrics.begin(&request);
    let (request_bytes, labels) = (
        metrics.request_bytes.with(&[observation.method, &observation.route]),
        tracing::info_span!("request", user = tracing::field::Empty),
    );
    let request = request.map(|body| {
        Body::new(Counted {
            body,
            bytes: 0,
            done: move |bytes| request_bytes.observe(bytes as f64),
        })
    });
    let response = next.run(request).instrument(labels).await;
    observation.status = response.status().as_u16();
    observation.is_complete = response.body().is_end_stream();
    response.map(|body| Body::new(Observed { body, observation }))
}

/// What is known of one request; written down when it is dropped.
struct Observation {
    metrics: RequestMetrics,
    path: String,
    method: &'static str,
    route: String,
    inflight: Gauge,
    started: Duration,
    status: u16,
    response_bytes: u64,
    is_complete: bool,
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.inflight.dec();
        let status = if self.is_complete { self.status } else { CLIENT_CLOSED_REQUEST };
        let seconds = self.metrics.clock.monotonic().saturating_sub(self.started).as_secs_f64();
        let labels = [self.method, &self.route, &status.to_string(), "false"];
        self.metrics.duration_seconds.with(&labels).observe(seconds);
        let bytes = self.metrics.response_bytes.with(&[self.method, &self.route]);
        bytes.observe(self.response_bytes as f64);
        let (method, path) = (self.method, &self.path);
        if status >= 500 {
            tracing::warn!(method, path, status, seconds, "request failed");
        } else if self.metrics.logs_at_info {
            tracing::info!(method, path, status, seconds, "request");
        } else {
            tracing::debug!(method, path, status, seconds, "request");
        }
    }
}

/// The response's body; holds the observation until its end.
struct Observed {
    body: Body,
    observation: Observation,
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.observation.response_bytes += data_len(frame.as_ref());
        self.observation.is_complete |= frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The request's body; tells its size when it is dropped.
struct Counted<F: Fn(u64) + Unpin> {
    body: Body,
    bytes: u64,
    done: F,
}

impl<F: Fn(u64) + Unpin> HttpBody for Counted<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.bytes += data_len(frame.as_ref());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<F: Fn(u64) + Unpin> Drop for Counted<F> {
    fn drop(&mut self) {
        (self.done)(self.bytes);
    }
}

fn data_len(frame: Option<&Result<Frame<Bytes>, axum::Error>>) -> u64 {
    match frame {
        Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
        _ => 0,
    }
}
