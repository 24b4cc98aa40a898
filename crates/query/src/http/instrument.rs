//! How long requests to the querier take, under the name that Mimir's dashboards of reads ask for.
//! In Mimir it is the querier's handler behind the query-frontend; here it is the request that the
//! server sees, from its handler to the end of its answer. Wrapped around all routes.

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
use rt::metrics::HistogramVec;
use rt::metrics::http::{method_label, route_label};

/// The client went away before the answer was complete.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Where requests are observed.
#[derive(Clone)]
pub(super) struct RequestTimes {
    pub(super) seconds: HistogramVec,
    pub(super) clock: Arc<dyn Clock>,
}

/// Middleware.
pub(super) async fn observe(
    State(times): State<RequestTimes>,
    request: Request,
    next: Next,
) -> Response {
    let mut timer = Timer {
        started: times.clock.monotonic(),
        times,
        method: method_label(request.method()),
        route: route_label(request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)),
        status: CLIENT_CLOSED_REQUEST,
        is_complete: false,
    };
    let response = next.run(request).await;
    timer.status = response.status().as_u16();
    timer.is_complete = response.body().is_end_stream();
    response.map(|body| Body::new(Timed { body, timer }))
}

/// Observes the request when it is dropped.
struct Timer {
    times: RequestTimes,
    started: Duration,
    method: &'static str,
    route: String,
    status: u16,
    is_complete: bool,
}

impl Drop for Timer {
    fn drop(&mut self) {
        let status = if self.is_complete { self.status } else { CLIENT_CLOSED_REQUEST };
        let took = self.times.clock.monotonic().saturating_sub(self.started);
        let labels = [self.method, &self.route, &status.to_string(), "false"];
        self.times.seconds.with(&labels).observe(took.as_secs_f64());
    }
}

/// An answer's body; holds the timer until its end.
struct Timed {
    body: Body,
    timer: Timer,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        self.timer.is_complete |= frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use futures::FutureExt as _;
    use http_body_util::BodyExt as _;
    use model::env::ManualClock;
    use tower::ServiceExt as _;

    use super::*;
    use crate::metrics::QueryMetrics;

    /// Asks a path of a router that takes two seconds for everything.
    fn ask(path: &str, reads_answer: bool) -> String {
        let metrics = rt::Metrics::new();
        let own = QueryMetrics::new(&metrics, &config::Config::default().querier);
        let clock = Arc::new(ManualClock::new(0));
        let times = RequestTimes { seconds: own.request_seconds, clock: clock.clone() };
        let slow = move || async move {
            clock.advance(2_000);
            (StatusCode::OK, "answer")
        };
        let routes = Router::new()
            .route("/api/v1/query", get(slow))
            .route("/api/v1/broken", get(|| async { StatusCode::UNPROCESSABLE_ENTITY }))
            .layer(axum::middleware::from_fn_with_state(times, observe));
        let router: Router = Router::new().nest("/prometheus", routes);
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = router.oneshot(request).now_or_never().unwrap().unwrap();
        if reads_answer {
            answer.into_body().collect().now_or_never().unwrap().unwrap();
        } else {
            drop(answer);
        }
        let samples = metrics.gather().unwrap().samples;
        let name = "cortex_querier_request_duration_seconds_sum";
        let mut found = samples.iter().filter(|sample| sample.name == name);
        let found = found.next().unwrap();
        let labels: Vec<String> =
            found.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{} {}", labels.join(" "), found.value)
    }

    #[test]
    fn requests_are_observed_as_the_dashboards_ask_for_them() {
        let query = "method=GET route=prometheus_api_v1_query";
        let path = "/prometheus/api/v1/query";
        assert_eq!(ask(path, true), format!("{query} status_code=200 ws=false 2"));
        assert_eq!(ask(path, false), format!("{query} status_code=499 ws=false 2"));
        assert_eq!(
            ask("/prometheus/api/v1/broken", true),
            "method=GET route=prometheus_api_v1_broken status_code=422 ws=false 0"
        );
    }
}
