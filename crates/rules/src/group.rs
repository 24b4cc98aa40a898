//! Evaluating a group: rule after rule, each seeing what those before it have stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, LabelsBuilder, METRIC_NAME_LABEL, QueryContext, Queryable, TimestampMs};
use promql::ast::Expr;
use promql::parser::{ParserOptions, parse_expr};
use promql::value::{SampleValue, Value, VectorSample};
use promql::{Engine, QueryKind};

use crate::alert::{self, Alert, Alerts, Timing};
use crate::file::{Rule, RuleGroup, RuleKind};
use crate::template::{self, TemplateContext};

const ALERT_NAME_LABEL: &str = "alertname";

/// Where rules read from and write to.
pub trait RuleStorage {
    /// What the expressions are evaluated over.
    fn queryable(&self) -> &dyn Queryable;

    /// Stores a sample. Several of one series come in order of time.
    ///
    /// # Errors
    /// If the sample is refused; the rule goes on with the others.
    fn append(
        &mut self,
        labels: &Labels,
        time_ms: TimestampMs,
        value: &SampleValue,
    ) -> Result<(), String>;
}

/// What evaluations share.
pub struct EvalContext<'a> {
    /// Evaluates the expressions.
    pub engine: &'a Engine,
    /// What the language allows in queries of templates.
    pub parser: ParserOptions,
    /// Limits and deadline.
    pub query: &'a Arc<QueryContext>,
    /// Labels that stand in alerts' templates.
    pub external_labels: &'a Labels,
    /// The address that links lead to.
    pub external_url: &'a str,
}

/// A rule could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuleError {
    /// The rule's position in its group, from 0.
    pub rule: usize,
    /// What went wrong.
    pub message: String,
}

/// A group with what is known from earlier evaluations.
pub struct GroupState {
    group: RuleGroup,
    rules: Vec<RuleState>,
}

#[derive(Default)]
struct RuleState {
    alerts: Alerts,
    /// The series of the last evaluation, to be marked stale when they are gone.
    series: Vec<Labels>,
}

impl GroupState {
    /// A group that was never evaluated.
    #[must_use]
    pub fn new(group: RuleGroup) -> Self {
        let rules = group.rules.iter().map(|_| RuleState::default()).collect();
        Self { group, rules }
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &RuleGroup {
        &self.group
    }

    /// The alerts of rule number `rule`, in label order, resolved ones included.
    pub fn alerts(&self, rule: usize) -> impl Iterator<Item = &Alert> {
        self.rules.get(rule).into_iter().flat_map(|state| state.alerts.all())
    }

    /// Evaluates all rules at `time_ms`. One that fails does not keep the others from it.
    pub fn evaluate(
        &mut self,
        time_ms: TimestampMs,
        storage: &mut dyn RuleStorage,
        cx: &EvalContext<'_>,
    ) -> Vec<RuleError> {
        let query_ms = time_ms.saturating_sub(self.group.query_offset_ms.unwrap_or(0));
        let mut errors = Vec::new();
        for (i, state) in self.rules.iter_mut().enumerate() {
            let at = Times { time_ms, query_ms };
            let rule = &self.group.rules[i];
            let samples = match state.samples((rule, self.group.limit), at, &*storage, cx) {
                Ok(samples) => samples,
                Err(message) => {
                    errors.push(RuleError { rule: i, message });
                    continue;
                }
            };
            state.store(samples, query_ms, storage);
        }
        errors
    }
}

/// When an evaluation takes place, and of when its samples are, ms.
#[derive(Debug, Clone, Copy)]
struct Times {
    time_ms: TimestampMs,
    query_ms: TimestampMs,
}

type Samples = BTreeMap<Labels, SampleValue>;

impl RuleState {
    fn samples(
        &mut self,
        (rule, limit): (&Rule, u64),
        at: Times,
        storage: &dyn RuleStorage,
        cx: &EvalContext<'_>,
    ) -> Result<Samples, String> {
        let vector = query(&rule.expr, at.query_ms, storage, cx)?;
        match &rule.kind {
            RuleKind::Recording { record } => recorded(rule, record, limit, vector),
            RuleKind::Alerting { for_ms, keep_firing_for_ms, .. } => {
                let timing = Timing { for_ms: *for_ms, keep_firing_for_ms: *keep_firing_for_ms };
                let results = alert_results(rule, vector, at, (storage, cx))?;
                let active = self.alerts.update(results, timing, at.time_ms);
                if limit > 0 && active.len() as u64 > limit {
                    self.alerts.clear();
                    return Err(format!("exceeded limit of {limit} with {} alerts", active.len()));
                }
                Ok(alert_samples(rule, &active))
            }
        }
    }

    /// Stores the samples, and stale markers for series that are gone.
    fn store(&mut self, samples: Samples, time_ms: TimestampMs, storage: &mut dyn RuleStorage) {
        let stale = SampleValue::Float(model::stale_nan());
        for labels in &self.series {
            if !samples.contains_key(labels) {
                // Best effort, as in Prometheus: the series ends by itself a little later.
                let _ = storage.append(labels, time_ms, &stale);
            }
        }
        self.series.clear();
        for (labels, value) in samples {
            // A duplicate or late sample is dropped; the rule has not failed.
            let _ = storage.append(&labels, time_ms, &value);
            self.series.push(labels);
        }
    }
}

fn query(
    expr: &Expr,
    time_ms: TimestampMs,
    storage: &dyn RuleStorage,
    cx: &EvalContext<'_>,
) -> Result<Vec<VectorSample>, String> {
    let kind = QueryKind::Instant { time_ms };
    let result = cx.engine.query(expr, kind, storage.queryable(), cx.query);
    match result.map_err(|error| error.to_string())?.value {
        Value::Vector(samples) => Ok(samples),
        Value::Scalar(point) => Ok(vec![VectorSample {
            labels: Labels::empty(),
            timestamp_ms: time_ms,
            value: SampleValue::Float(point.value),
        }]),
        Value::String { .. } | Value::Matrix(_) => {
            Err("rule result is not a vector or scalar".to_owned())
        }
    }
}

fn recorded(
    rule: &Rule,
    record: &str,
    limit: u64,
    vector: Vec<VectorSample>,
) -> Result<Samples, String> {
    let count = vector.len();
    let mut samples = Samples::new();
    for sample in vector {
        let mut labels = LabelsBuilder::new(&sample.labels);
        labels.set(METRIC_NAME_LABEL, record);
        set_all(&mut labels, &rule.labels);
        if samples.insert(labels.build(), sample.value).is_some() {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels"
                    .to_owned(),
            );
        }
    }
    if limit > 0 && count as u64 > limit {
        return Err(format!("exceeded limit of {limit} with {count} series"));
    }
    Ok(samples)
}

fn alert_results(
    rule: &Rule,
    vector: Vec<VectorSample>,
    at: Times,
    (storage, cx): (&dyn RuleStorage, &EvalContext<'_>),
) -> Result<BTreeMap<Labels, alert::Result>, String> {
    let RuleKind::Alerting { alert, annotations, .. } = &rule.kind else {
        return Ok(BTreeMap::new());
    };
    let ask = |text: &str| {
        let expr = parse_expr(text, &cx.parser).map_err(|error| error.to_string())?;
        query(&expr, at.query_ms, storage, cx)
    };
    let name = format!("__alert_{alert}");
    let template_cx = TemplateContext {
        name: &name,
        time_ms: at.time_ms,
        external_url: cx.external_url,
        query: &ask,
    };
    let mut results = BTreeMap::new();
    for sample in vector {
        let data = template::alert_data(
            &sample.labels,
            cx.external_labels,
            cx.external_url,
            &sample.value,
        );
        let expand = |text: &str| {
            template::expand_alert(text, &data, &template_cx)
                .unwrap_or_else(|error| format!("<error expanding template: {error}>"))
        };
        let mut labels = LabelsBuilder::new(&sample.labels);
        labels.remove(METRIC_NAME_LABEL);
        rule.labels.iter().for_each(|label| _ = labels.set(label.name, &expand(label.value)));
        labels.set(ALERT_NAME_LABEL, alert);
        let labels = labels.build();
        let mut filled = LabelsBuilder::default();
        annotations.iter().for_each(|label| _ = filled.set(label.name, &expand(label.value)));
        let annotations = filled.build();
        let result = alert::Result { labels: labels.clone(), annotations, value: number(&sample) };
        if results.insert(labels, result).is_some() {
            return Err("vector contains metrics with the same labelset after applying alert \
                        labels"
                .to_owned());
        }
    }
    Ok(results)
}

/// The value of a sample; 0 for a histogram, as Prometheus has it.
fn number(sample: &VectorSample) -> f64 {
    match sample.value {
        SampleValue::Float(value) => value,
        SampleValue::Histogram(_) => 0.0,
    }
}

/// `ALERTS` and `ALERTS_FOR_STATE`.
fn alert_samples(rule: &Rule, active: &[Alert]) -> Samples {
    let mut samples = Samples::new();
    for alert in active {
        let mut labels = LabelsBuilder::new(&rule.labels);
        set_all(&mut labels, &alert.labels);
        labels.set(METRIC_NAME_LABEL, "ALERTS_FOR_STATE");
        let since = alert.active_at_ms.div_euclid(1000) as f64;
        samples.insert(labels.build(), SampleValue::Float(since));
        labels.set(METRIC_NAME_LABEL, "ALERTS");
        labels.set("alertstate", alert.state.as_str());
        samples.insert(labels.build(), SampleValue::Float(1.0));
    }
    samples
}

fn set_all(builder: &mut LabelsBuilder, labels: &Labels) {
    labels.iter().for_each(|label| _ = builder.set(label.name, label.value));
}
