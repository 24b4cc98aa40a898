//! `info`: labels of info metrics (`target_info` unless asked for otherwise) joined to series by
//! `instance` and `job`.

mod join;

use hashbrown::HashSet;
use model::{Labels, METRIC_NAME_LABEL, MatchOp, Matcher, SampleBuffer, TimeRange};

use super::CallContext;
use super::args::{Arg, Args};
use crate::ast::RangeExtension;
use crate::engine::QueryError;
use crate::engine::batch::{RowMut, SeriesBatch};
use crate::engine::context::EvalContext;
use crate::engine::naming::settle_names;
use crate::engine::narrowing::quote_regex;
use crate::engine::operand::Operand;
use crate::engine::plan::{Purpose, SelectPlan};
use crate::engine::select::SeriesKernel;
use crate::engine::selector::{Newest, NewestCursor, collect_with};
use crate::engine::stream::VectorStream;
use crate::engine::windows::References;

/// The labels that say which info series belongs to a series.
const IDENTIFYING_LABELS: [&str; 2] = ["instance", "job"];

pub(super) fn call(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let matchers = match args.take(1) {
        Some(Arg::Matchers(matchers)) => Some(matchers),
        _ => None,
    };
    let conditions = Conditions::new(matchers);
    let mut base = args.vector(0)?.collect(call.cx)?;
    settle_names(&mut base, call.cx);
    let is_info: Vec<bool> =
        base.heads.iter().map(|head| conditions.is_info_series(&head.labels)).collect();
    let info = select_info(call, args, &conditions, &base, &is_info)?;
    let joined = join::join(call, &conditions, &base, &is_info, &info)?;
    Ok(Operand::Vector(VectorStream::of(joined)))
}

/// What the second argument asks for.
struct Conditions {
    /// On the name of the info metrics.
    names: Vec<Matcher>,
    /// On their data labels; only those labels are joined, all of them if there are none.
    data: Vec<Matcher>,
}

impl Conditions {
    fn new(matchers: Option<Vec<Matcher>>) -> Self {
        let is_name = |m: &Matcher| m.name() == METRIC_NAME_LABEL;
        let (mut names, data): (Vec<_>, Vec<_>) =
            matchers.unwrap_or_default().into_iter().partition(is_name);
        let is_positive = |m: &Matcher| matches!(m.op(), MatchOp::Equal | MatchOp::Regex);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME_LABEL, "target_info"));
        } else if !names.iter().any(is_positive) {
            names.extend(Matcher::new(MatchOp::Regex, METRIC_NAME_LABEL, ".+_info"));
        }
        Self { names, data }
    }

    /// Whether a series of the first argument is itself one to take labels from.
    fn is_info_series(&self, labels: &Labels) -> bool {
        let name = labels.metric_name().unwrap_or_default();
        self.names.iter().all(|m| m.matches(name))
    }

    /// Whether a label of an info series is asked for.
    fn asks_for(&self, name: &str) -> bool {
        self.data.is_empty() || self.data.iter().any(|m| m.name() == name)
    }

    /// Whether a series without an info series stays.
    fn accepts_nothing(&self) -> bool {
        self.data.iter().all(Matcher::matches_empty)
    }
}

/// The info series that may belong to series of `base`; values are the times of their samples.
fn select_info(
    call: &CallContext<'_>,
    args: &Args,
    conditions: &Conditions,
    base: &SeriesBatch,
    is_info: &[bool],
) -> Result<SeriesBatch, QueryError> {
    let none = || SeriesBatch::with_capacity(0, call.grid.count);
    let Some(references) = args.info_references.filter(|_| call.grid.count > 0) else {
        return Ok(none());
    };
    let mut matchers = identifying_matchers(base, is_info);
    if matchers.is_empty() {
        return Ok(none());
    }
    matchers.extend(conditions.data.iter().cloned());
    matchers.extend(conditions.names.iter().cloned());
    let lookback_ms = call.cx.options.lookback_delta_ms;
    let start_ms = references.min_ms().saturating_sub(lookback_ms).saturating_add(1);
    let plan = SelectPlan {
        matchers,
        references,
        extension: RangeExtension::None,
        time_range: TimeRange::new(start_ms, references.max_ms()),
        range_ms: 0,
        purpose: Purpose { function: "info", step_ms: call.grid.step_ms, ..Purpose::default() },
        only_histogram_stats: false,
        counts_for: args.counts_for,
        pos: call.site.pos,
        pair: None,
        narrowed_by: Vec::new(),
        without_labels: false,
    };
    collect_with(&plan, Box::new(InfoKernel { references, lookback_ms }), call.cx)
}

/// Conditions on the identifying labels: one of the values that `base` has.
fn identifying_matchers(base: &SeriesBatch, is_info: &[bool]) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    for name in IDENTIFYING_LABELS {
        let rows = base.heads.iter().zip(is_info).filter(|(_, is_info)| !**is_info);
        let values: HashSet<&str> =
            rows.map(|(head, _)| head.labels.value(name)).filter(|v| !v.is_empty()).collect();
        if values.is_empty() {
            continue;
        }
        let mut values: Vec<String> = values.into_iter().map(quote_regex).collect();
        values.sort_unstable();
        matchers.extend(Matcher::new(MatchOp::Regex, name, values.join("|")));
    }
    matchers
}

/// The time of the newest sample, in milliseconds, as a value.
struct InfoKernel {
    references: References,
    lookback_ms: i64,
}

impl SeriesKernel for InfoKernel {
    #[expect(clippy::cast_precision_loss, reason = "times in ms fit a float exactly")]
    fn evaluate(
        &self,
        labels: &Labels,
        samples: &mut SampleBuffer,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let mut cursor = NewestCursor::default();
        for (step, out) in row.floats.iter_mut().enumerate() {
            match cursor.newest(samples, self.references.time(step), self.lookback_ms) {
                Newest::None => {}
                Newest::Float(index) => *out = samples.float_times[index] as f64,
                Newest::Histogram(_) => {
                    return Err(QueryError::execution(format!(
                        "this should be an info metric, with float samples: {labels}"
                    )));
                }
            }
        }
        cx.count_samples(samples.len() as u64);
        Ok(())
    }

    fn drops_name(&self) -> bool {
        false
    }
}
