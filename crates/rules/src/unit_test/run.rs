//! Running the tests over one set of series: rules are evaluated at every step, alerts looked at
//! on the way, queries asked in the end.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{FloatHistogram, Labels, QueryContext};
use promql::parser::{parse_expr, parse_metric};
use promql::series_desc::{SequenceValue, parse_series_desc};
use promql::value::{SampleValue, Value};
use promql::{Engine, EngineOptions, QueryKind};

use super::TestOptions;
use super::file::{AlertTest, ExpectedSample, ExprTest, TestFile, TestGroup};
use super::report::{alerts_text, float_text, indented, samples_text};
use super::storage::TestStorage;
use crate::alert::AlertState;
use crate::duration::{go_text, prometheus_text};
use crate::file::{RuleFile, RuleKind};
use crate::group::{EvalContext, GroupState, RuleStorage as _};

/// What did not pass.
pub(super) fn run(
    group: &TestGroup,
    file: &TestFile,
    rule_files: &[RuleFile],
    options: &TestOptions,
) -> Vec<String> {
    let storage = match TestStorage::new(group) {
        Ok(storage) => storage,
        Err(error) => return vec![format!("    {error}")],
    };
    let engine = Engine::new(EngineOptions {
        default_subquery_step_ms: file.evaluation_interval_ms,
        ..EngineOptions::default()
    });
    let groups = ordered(rule_files, &file.group_eval_order);
    let context = Arc::new(QueryContext::unlimited());
    let mut run =
        Run { group, file, options, engine, context, storage, groups, failures: Vec::new() };
    if run.evaluate_rules() {
        group.expr_tests.iter().for_each(|test| run.check_expr(test));
    }
    run.failures
}

/// The groups in the order that the test wants; others first, as promtool has it.
fn ordered(rule_files: &[RuleFile], order: &[String]) -> Vec<GroupState> {
    let groups = rule_files.iter().flat_map(|file| &file.groups).cloned();
    let mut groups: Vec<GroupState> = groups.map(GroupState::new).collect();
    groups.sort_by_key(|state| {
        order.iter().position(|name| *name == state.group().name).unwrap_or(0)
    });
    groups
}

struct Run<'a> {
    group: &'a TestGroup,
    file: &'a TestFile,
    options: &'a TestOptions,
    engine: Engine,
    context: Arc<QueryContext>,
    storage: TestStorage,
    groups: Vec<GroupState>,
    failures: Vec<String>,
}

/// A sample of a result: its labels, what it is compared by, and how it is shown.
type ShownSample = (Labels, Comparable, String);

#[derive(Debug, Clone, PartialEq)]
enum Comparable {
    Float(f64),
    Histogram(Box<FloatHistogram>),
}

impl Run<'_> {
    /// Evaluates all rules at all steps; false where that failed.
    fn evaluate_rules(&mut self) -> bool {
        for test in &self.group.alert_tests {
            if test.alertname.is_empty() {
                self.failures.push(self.without_name(test));
                return false;
            }
        }
        let interval_ms = self.file.evaluation_interval_ms;
        let times: BTreeSet<i64> = self.group.alert_tests.iter().map(|t| t.eval_time_ms).collect();
        let mut times = times.into_iter().peekable();
        let of_exprs = self.group.expr_tests.iter().map(|test| test.eval_time_ms);
        let of_alerts = self.group.alert_tests.iter().map(|test| test.eval_time_ms);
        let last_ms = of_exprs.chain(of_alerts).max().unwrap_or(0);
        let mut offset_ms = 0;
        while offset_ms <= last_ms {
            if let Err(error) = self.storage.load_until(self.group.start_ms + offset_ms) {
                self.failures.push(format!("    {error}"));
            }
            if !self.evaluate_groups(offset_ms) {
                return false;
            }
            while let Some(time_ms) = times.next_if(|&time| time < offset_ms + interval_ms) {
                self.check_alerts(time_ms);
            }
            offset_ms += interval_ms;
        }
        true
    }

    fn without_name(&self, test: &AlertTest) -> String {
        let group = match self.group.name.as_str() {
            "" => String::new(),
            name => format!(" (in TestGroup {name})"),
        };
        format!(
            "an item under alert_rule_test misses required attribute alertname at eval_time {}{group}",
            prometheus_text(test.eval_time_ms)
        )
    }

    fn evaluate_groups(&mut self, offset_ms: i64) -> bool {
        let cx = EvalContext {
            engine: &self.engine,
            parser: self.options.parser,
            query: &self.context,
            external_labels: &self.group.external_labels,
            external_url: &self.group.external_url,
        };
        let before = self.failures.len();
        for state in &mut self.groups {
            let errors = state.evaluate(self.group.start_ms + offset_ms, &mut self.storage, &cx);
            for error in errors {
                self.failures.push(format!(
                    "    rule: {}, time: {}, err: {error}",
                    state.group().rules[error.rule].name(),
                    go_text(offset_ms.saturating_mul(1_000_000)),
                ));
            }
        }
        self.failures.len() == before
    }

    fn check_alerts(&mut self, time_ms: i64) {
        let group = self.group;
        for test in group.alert_tests.iter().filter(|test| test.eval_time_ms == time_ms) {
            let mut got = self.firing(&test.alertname);
            let mut want = test.expected.clone();
            got.sort();
            want.sort();
            if got == want {
                continue;
            }
            let name = match group.name.as_str() {
                "" => String::new(),
                name => format!("    name: {name},\n"),
            };
            let shown =
                |alerts: &[(Labels, Labels)]| indented(&alerts_text(alerts), "            ");
            self.failures.push(format!(
                "{name}    alertname: {}, time: {}, \n        exp:{}, \n        got:{}",
                test.alertname,
                prometheus_text(time_ms),
                shown(&want),
                shown(&got),
            ));
        }
    }

    /// Labels and annotations of the firing alerts of this name, in all groups.
    fn firing(&self, name: &str) -> Vec<(Labels, Labels)> {
        let mut firing = Vec::new();
        for state in &self.groups {
            for (i, rule) in state.group().rules.iter().enumerate() {
                if !matches!(&rule.kind, RuleKind::Alerting { alert, .. } if alert == name) {
                    continue;
                }
                let alerts = state.alerts(i).filter(|alert| alert.state == AlertState::Firing);
                firing.extend(alerts.map(|a| (a.labels.clone(), a.annotations.clone())));
            }
        }
        firing
    }

    fn check_expr(&mut self, test: &ExprTest) {
        let context = format!(
            "    expr: {}, time: {},",
            model::quote::quote(test.expr.as_bytes()),
            prometheus_text(test.eval_time_ms)
        );
        let result = self.ask(test).and_then(|got| Ok((got, expected(&test.expected)?)));
        match result {
            Err(error) => self.failures.push(format!("{context} err: {error}")),
            Ok((got, want)) if !self.are_same(&want, &got) => {
                let shown = |samples: &[ShownSample]| {
                    let pairs: Vec<_> =
                        samples.iter().map(|s| (s.0.clone(), s.2.clone())).collect();
                    samples_text(&pairs)
                };
                self.failures.push(format!(
                    "{context}\n        exp: {}\n        got: {}",
                    shown(&want),
                    shown(&got)
                ));
            }
            Ok(_) => {}
        }
    }

    /// The result of a query, in label order.
    fn ask(&self, test: &ExprTest) -> Result<Vec<ShownSample>, String> {
        let expr = parse_expr(&test.expr, &self.options.parser).map_err(|e| e.to_string())?;
        let time_ms = self.group.start_ms + test.eval_time_ms;
        let kind = QueryKind::Instant { time_ms };
        let result = self.engine.query(&expr, kind, self.storage.queryable(), &self.context);
        let mut samples = match result.map_err(|error| error.to_string())?.value {
            Value::Vector(samples) => {
                samples.into_iter().map(|sample| shown(sample.labels, &sample.value)).collect()
            }
            Value::Scalar(point) => vec![shown(Labels::empty(), &SampleValue::Float(point.value))],
            Value::String { .. } | Value::Matrix(_) => {
                return Err("rule result is not a vector or scalar".to_owned());
            }
        };
        samples.sort_by(|a: &ShownSample, b| a.0.cmp(&b.0));
        Ok(samples)
    }

    fn are_same(&self, want: &[ShownSample], got: &[ShownSample]) -> bool {
        want.len() == got.len()
            && want.iter().zip(got).all(|(a, b)| {
                a.0 == b.0
                    && match (&a.1, &b.1) {
                        (Comparable::Float(a), Comparable::Float(b)) => self.is_same_float(*a, *b),
                        (a, b) => a == b,
                    }
            })
    }

    fn is_same_float(&self, a: f64, b: f64) -> bool {
        let is_close = self.file.fuzzy_compare && (a.next_up() == b || a.next_down() == b);
        a == b || is_close || (a.is_nan() && b.is_nan())
    }
}

fn shown(labels: Labels, value: &SampleValue) -> ShownSample {
    match value {
        SampleValue::Float(value) => (labels, Comparable::Float(*value), float_text(*value)),
        SampleValue::Histogram(histogram) => {
            let mut compacted = FloatHistogram::clone(histogram);
            compacted.compact(0);
            compacted.counter_reset_hint = model::CounterResetHint::Unknown;
            let text = compacted.to_string();
            (labels, Comparable::Histogram(Box::new(compacted)), text)
        }
    }
}

fn expected(samples: &[ExpectedSample]) -> Result<Vec<ShownSample>, String> {
    let mut all = Vec::with_capacity(samples.len());
    for sample in samples {
        let labels = parse_metric(&sample.labels)
            .map_err(|error| format!("labels {:?}: {error}", sample.labels))?;
        let value = match sample.histogram.as_str() {
            "" => SampleValue::Float(sample.value),
            text => histogram(text)?,
        };
        all.push(shown(labels, &value));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn histogram(text: &str) -> Result<SampleValue, String> {
    let described = parse_series_desc(format!("x {text}"))
        .map_err(|error| format!("histogram {text:?}: {error}"))?;
    match described.values.as_slice() {
        [SequenceValue::Histogram { histogram, .. }] => {
            Ok(SampleValue::Histogram(Arc::clone(histogram)))
        }
        _ => Err(format!("histogram {text:?}: expected one histogram")),
    }
}
