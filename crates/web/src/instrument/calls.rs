//! Calls over gRPC under the names of the metrics of HTTP requests, as Mimir has them.
//!
//! Used by the gRPC server, which is not here; it names the routes, which are labels.

use std::time::Duration;

use rt::metrics::{Gauge, Histogram};

use super::RequestMetrics;

/// The label `method` of all calls.
const METHOD: &str = "gRPC";

/// A call that is under way until this is dropped.
pub struct CallMetrics {
    metrics: RequestMetrics,
    route: &'static str,
    inflight: Gauge,
    started: Duration,
    status: &'static str,
    request_bytes: Histogram,
    response_bytes: Histogram,
}

impl RequestMetrics {
    /// A call of the method `route`, `/package.Service/Method`, begins.
    pub fn call(&self, route: &'static str) -> CallMetrics {
        let labels = &[METHOD, route];
        let inflight = self.inflight.with(labels);
        inflight.inc();
        CallMetrics {
            metrics: self.clone(),
            route,
            inflight,
            started: self.clock.monotonic(),
            status: "Canceled",
            request_bytes: self.request_bytes.with(labels),
            response_bytes: self.response_bytes.with(labels),
        }
    }
}

impl CallMetrics {
    /// A message of so many bytes was received.
    pub fn received(&self, bytes: u64) {
        self.request_bytes.observe(bytes as f64);
    }

    /// A message of so many bytes was sent.
    pub fn sent(&self, bytes: u64) {
        self.response_bytes.observe(bytes as f64);
    }

    /// It has ended with a status. A call that is dropped before was cancelled.
    pub fn ended(&mut self, status: &'static str) {
        self.status = status;
    }
}

impl Drop for CallMetrics {
    fn drop(&mut self) {
        self.inflight.dec();
        let seconds = self.metrics.clock.monotonic().saturating_sub(self.started).as_secs_f64();
        let labels = [METHOD, self.route, self.status, "false"];
        self.metrics.duration_seconds.with(&labels).observe(seconds);
    }
}
