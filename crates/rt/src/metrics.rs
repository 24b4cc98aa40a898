//! The metrics registry: made by the binary and handed in, never global, so that several nodes
//! fit into one process. Over `prometheus-client`; names are those of Mimir's dashboards.
//!
//! A component keeps its metrics in one struct that it fills from a [`Metrics`]. Asking twice for
//! the same name gives the same metric, so that components can share a family.

mod callback;
mod exposition;
mod gather;
pub mod http;
mod vec;

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::registry::{Metric, Registry};

pub use exposition::TextFormat;
pub use gather::{Gathered, GatheredFamily, GatheredSample, ParseError, parse_exposition};
pub use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
pub use vec::{CounterF64Vec, CounterVec, GaugeF64Vec, GaugeVec, HistogramVec, MetricVec};

/// Counts whole things.
pub type Counter = prometheus_client::metrics::counter::Counter<u64>;
/// Counts seconds and the like.
pub type CounterF64 = prometheus_client::metrics::counter::Counter<f64, AtomicU64>;
/// A whole number that goes up and down.
pub type Gauge = prometheus_client::metrics::gauge::Gauge<i64>;
/// A number that goes up and down.
pub type GaugeF64 = prometheus_client::metrics::gauge::Gauge<f64, AtomicU64>;

/// The buckets of `cortex_request_duration_seconds` and other times of requests, seconds.
pub const REQUEST_SECONDS_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0];

/// The names and values of a metric's labels: names are fixed by the family.
pub type LabelNames = &'static [&'static str];

/// A registry. Clones share it.
#[derive(Clone, Default)]
pub struct Metrics {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    registry: Registry,
    by_name: HashMap<String, Box<dyn Any + Send>>,
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter. `name` as in the dashboards, with `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(counter_name(name), help, Counter::default)
    }

    /// A counter of seconds and the like. `name` as in the dashboards, with `_total`.
    pub fn counter_f64(&self, name: &str, help: &str) -> CounterF64 {
        self.register(counter_name(name), help, CounterF64::default)
    }

    /// Counters by labels. `name` as in the dashboards, with `_total`.
    pub fn counter_vec(&self, name: &str, help: &str, labels: LabelNames) -> CounterVec {
        self.register(counter_name(name), help, || MetricVec::new(labels, Counter::default))
    }

    /// Counters of seconds and the like by labels. `name` as in the dashboards, with `_total`.
    pub fn counter_f64_vec(&self, name: &str, help: &str, labels: LabelNames) -> CounterF64Vec {
        self.register(counter_name(name), help, || MetricVec::new(labels, CounterF64::default))
    }

    /// A gauge of whole numbers.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default)
    }

    /// A gauge.
    pub fn gauge_f64(&self, name: &str, help: &str) -> GaugeF64 {
        self.register(name, help, GaugeF64::default)
    }

    /// Gauges of whole numbers by labels.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: LabelNames) -> GaugeVec {
        self.register(name, help, || MetricVec::new(labels, Gauge::default))
    }

    /// Gauges by labels.
    pub fn gauge_f64_vec(&self, name: &str, help: &str, labels: LabelNames) -> GaugeF64Vec {
        self.register(name, help, || MetricVec::new(labels, GaugeF64::default))
    }

    /// A histogram with these upper bounds of buckets (ascending, without +Inf).
    pub fn histogram(&self, name: &str, help: &str, buckets: &'static [f64]) -> Histogram {
        self.register(name, help, || Histogram::new(buckets.iter().copied()))
    }

    /// Histograms by labels with these upper bounds of buckets (ascending, without +Inf).
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: LabelNames,
        buckets: &'static [f64],
    ) -> HistogramVec {
        let new = move || Histogram::new(buckets.iter().copied());
        self.register(name, help, || MetricVec::new(labels, new))
    }

    /// A gauge whose value is asked for at every scrape. `value` must be fast and must not use
    /// this registry. Asking for the same name again keeps the first function.
    pub fn gauge_fn(
        &self,
        name: &str,
        help: &str,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register(name, help, || callback::GaugeFn(Arc::new(value)));
    }

    /// Gauges that `label` tells apart, by its values; as [`Self::gauge_fn`].
    pub fn gauges_fn(
        &self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl Fn() -> Vec<(&'static str, f64)> + Send + Sync + 'static,
    ) {
        self.register(name, help, || callback::GaugesFn(label, Arc::new(values)));
    }

    /// A counter whose value is asked for at every scrape; as [`Self::gauge_fn`].
    pub fn counter_fn(
        &self,
        name: &str,
        help: &str,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register(counter_name(name), help, || callback::CounterFn(Arc::new(value)));
    }

    /// Metrics that are made at every scrape.
    pub fn collector(&self, collector: Box<dyn Collector>) {
        self.inner.lock().registry.register_collector(collector);
    }

    /// The exposition of all metrics.
    pub fn encode(&self, format: TextFormat) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail; a collector that gives up leaves its part out.
        if prometheus_client::encoding::text::encode(&mut text, &self.inner.lock().registry)
            .is_err()
        {
            tracing::warn!("a collector of metrics failed");
            text.push_str("# EOF\n");
        }
        format.convert_open_metrics(text)
    }

    /// All samples as a scrape would see them.
    pub fn gather(&self) -> Result<Gathered, ParseError> {
        parse_exposition(&self.encode(TextFormat::OpenMetrics))
    }

    /// The metric of this name, made and registered where there is none. The same name with
    /// another type is a fault of the program.
    fn register<M>(&self, name: &str, help: &str, new: impl FnOnce() -> M) -> M
    where
        M: Metric + Clone,
    {
        let mut inner = self.inner.lock();
        if let Some(existing) = inner.by_name.get(name) {
            let existing = existing.downcast_ref::<M>();
            return existing.expect("a metric name is used with one type").clone();
        }
        let metric = new();
        inner.by_name.insert(name.to_owned(), Box::new(metric.clone()));
        inner.registry.register(name, help.trim_end_matches('.'), metric.clone());
        metric
    }
}

/// The encoder appends `_total` itself.
fn counter_name(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

#[cfg(test)]
mod tests;
