//! How long calls of other processes take, as their callers see it: one histogram for each kind of
//! process. Used by the connections; the wiring registers the histograms.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use rt::Metrics;
use rt::metrics::{HistogramVec, LabelNames};
use tonic::Code;

/// Where the times of calls go.
#[derive(Clone)]
pub struct CallTimes {
    seconds: HistogramVec,
    kind: Kind,
    clock: Arc<dyn Clock>,
}

/// Whose calls they are; their labels differ in Mimir.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Statuses by the names of their codes.
    Ingesters,
    /// Statuses by classes; the caller is a label.
    Gateways,
}

impl fmt::Debug for CallTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallTimes").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Four times as much each.
const INGESTER_BUCKETS: &[f64] = &[0.001, 0.004, 0.016, 0.064, 0.256, 1.024, 4.096, 16.384];
const GATEWAY_BUCKETS: &[f64] = &[0.008, 0.032, 0.128, 0.512, 2.048, 8.192, 32.768];

impl CallTimes {
    /// Those of ingesters.
    pub fn of_ingesters(metrics: &Metrics, clock: Arc<dyn Clock>) -> Self {
        let name = "cortex_ingester_client_request_duration_seconds";
        let help = "Time spent doing Ingester requests.";
        let labels: LabelNames = &["operation", "status_code"];
        let seconds = metrics.histogram_vec(name, help, labels, INGESTER_BUCKETS);
        Self { seconds, kind: Kind::Ingesters, clock }
    }

    /// Those of store-gateways, called by a querier.
    pub fn of_gateways(metrics: &Metrics, clock: Arc<dyn Clock>) -> Self {
        let name = "cortex_storegateway_client_request_duration_seconds";
        let help = "Time spent executing requests to the store-gateway.";
        let labels: LabelNames = &["client", "operation", "status_code"];
        let seconds = metrics.histogram_vec(name, help, labels, GATEWAY_BUCKETS);
        Self { seconds, kind: Kind::Gateways, clock }
    }

    /// A call of the method `path` begins.
    pub(super) fn begin(&self, path: &'static str) -> TimedCall {
        TimedCall { times: self.clone(), path, started: self.clock.monotonic(), code: None }
    }

    fn observe(&self, path: &str, code: Code, seconds: f64) {
        let histogram = match self.kind {
            Kind::Ingesters => self.seconds.with(&[path, code_name(code)]),
            Kind::Gateways => self.seconds.with(&["querier", path, code_class(code)]),
        };
        histogram.observe(seconds);
    }
}

/// A call that is under way. One that is dropped before its end was cancelled.
pub(super) struct TimedCall {
    times: CallTimes,
    path: &'static str,
    started: Duration,
    code: Option<Code>,
}

impl TimedCall {
    pub(super) fn ended(mut self, code: Code) {
        self.code = Some(code);
    }
}

impl Drop for TimedCall {
    fn drop(&mut self) {
        let seconds = self.times.clock.monotonic().saturating_sub(self.started).as_secs_f64();
        self.times.observe(self.path, self.code.unwrap_or(Code::Cancelled), seconds);
    }
}

fn code_class(code: Code) -> &'static str {
    match code {
        Code::Ok => "2xx",
        Code::Cancelled => "cancel",
        _ => "error",
    }
}

/// The name of a code, as Go's gRPC has them.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
