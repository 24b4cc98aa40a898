//! The engine: evaluates a parsed query over any storage, series by series over all steps.
//!
//! Called by the query layer, the ruler and the test scripts on a compute thread. Takes neither
//! time nor threads from the system: cancellation and deadline come with the query's context,
//! threads with the executor.

pub(crate) mod account;
pub(crate) mod batch;
pub(crate) mod context;
mod error;
mod explain;
pub(crate) mod grid;
mod growth;
mod histogram_stats;
mod invariance;
mod lower;
pub(crate) mod matrix;
pub(crate) mod naming;
pub(crate) mod narrowing;
mod negate;
pub(crate) mod operand;
pub(crate) mod pace;
pub(crate) mod plan;
mod profile;
mod recorder;
mod result;
pub(crate) mod run;
pub(crate) mod sample_counts;
pub(crate) mod select;
pub(crate) mod selector;
mod shared;
pub(crate) mod stream;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod windows;

use std::sync::Arc;

use model::{Clock, Executor, QueryContext, Queryable, TimestampMs};

pub use error::{ErrorKind, QueryError};
pub use explain::{Analysis, Explanation, Operator, analyze, explain};
pub use plan::Passes;
pub use profile::Measured;

use context::EvalContext;
use grid::Grid;
use profile::Profile;
use sample_counts::SampleCounts;

use crate::annotations::Annotations;
use crate::ast::Expr;
use crate::value::Value;

/// How an [`Engine`] behaves. Clone one and change it for a query that differs (for example in
/// its look-back).
#[derive(Clone)]
pub struct EngineOptions {
    /// How far an instant selector looks back for a sample, ms.
    pub lookback_delta_ms: i64,
    /// The most samples that one query may hold at a time; 0 = no bound.
    pub max_samples: u64,
    /// The step of a subquery that has none, ms.
    pub default_subquery_step_ms: i64,
    /// Remove metric names at the end of a query only.
    pub enable_delayed_name_removal: bool,
    /// Counter functions use the start timestamps of samples.
    pub enable_start_timestamps: bool,
    /// Treat `__type__` and `__unit__` as a part of the metric's name.
    pub enable_type_and_unit_labels: bool,
    /// Count the samples of each step as Prometheus does: see [`QueryStats::samples_per_step`].
    /// Every part of the query then reads for itself what it needs.
    pub count_samples_per_step: bool,
    /// The most regular expressions of a query; 0 = no bound.
    pub max_regexes: usize,
    /// The most bytes of all of them together; 0 = no bound.
    pub max_regex_bytes: usize,
    /// The passes over the plan.
    pub passes: Passes,
    /// Where work on independent series runs.
    pub executor: Arc<dyn Executor>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_delta_ms: 5 * 60 * 1000,
            max_samples: 50_000_000,
            default_subquery_step_ms: 60 * 1000,
            enable_delayed_name_removal: false,
            enable_start_timestamps: false,
            enable_type_and_unit_labels: false,
            count_samples_per_step: false,
            max_regexes: 1_000,
            max_regex_bytes: 1 << 20,
            passes: Passes::ALL,
            executor: Arc::new(model::env::Inline),
        }
    }
}

/// When a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// At one moment.
    Instant {
        /// When, ms.
        time_ms: TimestampMs,
    },
    /// At every step from start to end.
    Range {
        /// The first step, ms.
        start_ms: TimestampMs,
        /// The last moment, ms; a step only if it falls onto one. Not before the start.
        end_ms: TimestampMs,
        /// Between two steps, ms; greater than 0.
        step_ms: i64,
    },
}

/// What a query gives.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// Warnings and infos.
    pub annotations: Annotations,
    /// What was done for it.
    pub stats: QueryStats,
}

/// What was done for a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples that functions and selectors looked at: the sum over all steps where those are
    /// counted, else each sample once.
    pub total_samples: u64,
    /// Each step (ms) with the samples that were looked at for it, where
    /// [`EngineOptions::count_samples_per_step`] asks for them.
    pub samples_per_step: Vec<(TimestampMs, u64)>,
    /// The most samples that were held at one time.
    pub peak_samples: u64,
}

/// The PromQL engine. Cheap to make; keeps nothing between queries.
#[derive(Clone)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// An engine with these options.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Evaluates `expr` over `queryable`. Limits, deadline and cancellation come with `context`.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn query(
        &self,
        expr: &Expr,
        kind: QueryKind,
        queryable: &dyn Queryable,
        context: &Arc<QueryContext>,
    ) -> Result<QueryResult, QueryError> {
        self.run(expr, kind, (queryable, context), None).map(|(result, _)| result)
    }

    /// As [`Engine::query`]; with a clock, what each node of the plan did is measured.
    fn run(
        &self,
        expr: &Expr,
        kind: QueryKind,
        (queryable, context): (&dyn Queryable, &Arc<QueryContext>),
        clock: Option<Arc<dyn Clock>>,
    ) -> Result<(QueryResult, Vec<Measured>), QueryError> {
        lower::check_result_type(expr, kind)?;
        let mut plan = lower::lower(expr, kind, (&self.options, context))?;
        plan::bounds::check(&plan, &self.options)?;
        plan::optimize(&mut plan, self.passes(), context)?;
        let querier = match plan.time_range {
            Some(range) => Some(queryable.querier(range, context)?),
            None => None,
        };
        let nodes = plan.nodes.len();
        let mut cx = EvalContext::new(&self.options, context, querier, &plan);
        if self.options.count_samples_per_step {
            cx.sample_counts = Some(SampleCounts::new(Grid::of(kind)));
        }
        cx.profile = clock.map(|clock| Profile::new(nodes, clock));
        let value = result::finish(run::run(plan, &cx)?, kind, &cx)?;
        let (annotations, stats, measured) = cx.finish();
        Ok((QueryResult { value, annotations, stats }, measured))
    }

    /// The passes to run: what parts of a query read together could not be counted for each.
    fn passes(&self) -> Passes {
        let is_allowed = !self.options.count_samples_per_step;
        let passes = self.options.passes;
        Passes {
            share_expressions: passes.share_expressions && is_allowed,
            share_selectors: passes.share_selectors && is_allowed,
            narrow_joins: passes.narrow_joins && is_allowed,
            ..passes
        }
    }
}
