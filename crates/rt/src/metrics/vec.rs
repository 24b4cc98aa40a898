//! Families of metrics by label values. The names are fixed when the family is made.
//!
//! [`MetricVec::with`] takes a lock and allocates: hot code keeps what it returned.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use prometheus_client::encoding::{
    EncodeLabel, EncodeLabelSet, EncodeMetric, LabelSetEncoder, MetricEncoder,
};
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::{Counter, CounterF64, Gauge, GaugeF64, Histogram, LabelNames};

/// Counters by labels.
pub type CounterVec = MetricVec<Counter>;
/// Counters of seconds and the like by labels.
pub type CounterF64Vec = MetricVec<CounterF64>;
/// Gauges of whole numbers by labels.
pub type GaugeVec = MetricVec<Gauge>;
/// Gauges by labels.
pub type GaugeF64Vec = MetricVec<GaugeF64>;
/// Histograms by labels.
pub type HistogramVec = MetricVec<Histogram>;

/// One metric for each combination of label values. Clones share it.
pub struct MetricVec<M> {
    names: LabelNames,
    family: Family<LabelSet, M, Constructor<M>>,
}

impl<M: Clone> MetricVec<M> {
    pub(super) fn new(names: LabelNames, new: impl Fn() -> M + Send + Sync + 'static) -> Self {
        Self { names, family: Family::new_with_constructor(Constructor(Arc::new(new))) }
    }

    /// The metric with these label values, in the order of the family's names.
    pub fn with(&self, values: &[&str]) -> M {
        self.family.get_or_create_owned(&self.label_set(values))
    }

    /// Forgets the metric with these label values.
    pub fn remove(&self, values: &[&str]) -> bool {
        self.family.remove(&self.label_set(values))
    }

    /// Forgets all metrics.
    pub fn clear(&self) {
        self.family.clear();
    }

    fn label_set(&self, values: &[&str]) -> LabelSet {
        assert_eq!(self.names.len(), values.len(), "one value for each of {:?}", self.names);
        let values = values.iter().map(|value| Box::from(*value)).collect();
        LabelSet { names: self.names, values }
    }
}

impl<M> Clone for MetricVec<M> {
    fn clone(&self) -> Self {
        Self { names: self.names, family: self.family.clone() }
    }
}

impl<M> fmt::Debug for MetricVec<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricVec").field("names", &self.names).finish_non_exhaustive()
    }
}

impl<M: EncodeMetric + TypedMetric> EncodeMetric for MetricVec<M> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.family.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.family.is_empty()
    }
}

/// The values of one metric. Compared without the names: they are the family's.
#[derive(Debug, Clone)]
struct LabelSet {
    names: LabelNames,
    values: Box<[Box<str>]>,
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Eq for LabelSet {}

impl Hash for LabelSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values.hash(state);
    }
}

impl EncodeLabelSet for LabelSet {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.names.iter().zip(&self.values) {
            (*name, value.as_ref()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

struct Constructor<M>(Arc<dyn Fn() -> M + Send + Sync>);

impl<M> Clone for Constructor<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> MetricConstructor<M> for Constructor<M> {
    fn new_metric(&self) -> M {
        (self.0)()
    }
}
