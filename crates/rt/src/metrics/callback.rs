//! Metrics whose value is asked for at every scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

type Value = Arc<dyn Fn() -> f64 + Send + Sync>;

#[derive(Clone)]
pub(super) struct GaugeFn(pub(super) Value);

type Values = Arc<dyn Fn() -> Vec<(&'static str, f64)> + Send + Sync>;

/// Gauges that one label tells apart.
#[derive(Clone)]
pub(super) struct GaugesFn(pub(super) &'static str, pub(super) Values);

impl EncodeMetric for GaugesFn {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (value, number) in (self.1)() {
            encoder.encode_family(&[(self.0, value)])?.encode_gauge(&number)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl fmt::Debug for GaugesFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GaugesFn")
    }
}

#[derive(Clone)]
pub(super) struct CounterFn(pub(super) Value);

impl EncodeMetric for GaugeFn {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&(self.0)())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl EncodeMetric for CounterFn {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_counter::<NoLabelSet, _, u64>(&(self.0)(), None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

impl fmt::Debug for GaugeFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GaugeFn")
    }
}

impl fmt::Debug for CounterFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CounterFn")
    }
}
