//! Selectors and subqueries: which moments they look at and which samples they need.

use hashbrown::HashSet;
use model::{Labels, LabelsBuilder, METRIC_NAME_LABEL, MatchOp, TimeRange, TimestampMs};

use super::{HistogramNeed, Lowering, MatrixShape, Scope};
use crate::ast::{
    AtModifier, DurationSpec, Expr, MatrixSelector, RangeExtension, SubqueryExpr, VectorSelector,
};
use crate::engine::QueryError;
use crate::engine::grid::Grid;
use crate::engine::plan::{MatrixPlan, MatrixPlanSource, Purpose, SelectPlan};
use crate::engine::windows::{References, Windows};

impl Lowering<'_> {
    pub(super) fn vector_selector(
        &mut self,
        selector: &VectorSelector,
        scope: Scope<'_>,
    ) -> Result<SelectPlan, QueryError> {
        let mut plan = self.select(selector, scope, 0)?;
        plan.pos = selector.pos;
        Ok(plan)
    }

    pub(super) fn matrix_selector(
        &mut self,
        matrix: &MatrixSelector,
        scope: Scope<'_>,
    ) -> Result<MatrixPlan, QueryError> {
        let range_ms = self.positive_ms(&matrix.range)?;
        let mut select = self.select(&matrix.selector, scope, range_ms)?;
        select.pos = matrix.pos;
        let windows = Windows { references: select.references, range_ms };
        let counts_for = scope.counts_for;
        let source = MatrixPlanSource::Select(select);
        Ok(MatrixPlan { windows, source, counts_for, pos: matrix.pos })
    }

    fn select(
        &mut self,
        selector: &VectorSelector,
        scope: Scope<'_>,
        range_ms: i64,
    ) -> Result<SelectPlan, QueryError> {
        let references = self.references(selector.at, selector.offset.as_ref(), scope.grid)?;
        let time_range = self.needed_range(&references, range_ms, selector.extension);
        if scope.grid.count > 0 {
            self.widen_to(time_range);
        }
        Ok(SelectPlan {
            matchers: selector.matchers(),
            references,
            extension: selector.extension,
            time_range,
            range_ms,
            purpose: purpose(scope),
            only_histogram_stats: scope.histograms.only_stats(),
            counts_for: scope.counts_for,
            pos: selector.pos,
            pair: None,
            narrowed_by: Vec::new(),
            without_labels: false,
        })
    }

    pub(super) fn references(
        &self,
        at: Option<AtModifier>,
        offset: Option<&DurationSpec>,
        grid: Grid,
    ) -> Result<References, QueryError> {
        let offset_ms = match offset {
            Some(offset) => offset
                .resolve_signed_ms(self.query.duration_context)
                .map_err(|e| QueryError::BadData(e.to_string()))?,
            None => 0,
        };
        Ok(References { grid, at_ms: at.map(|at| self.at_ms(at)), offset_ms })
    }

    fn at_ms(&self, at: AtModifier) -> TimestampMs {
        match at {
            AtModifier::Timestamp(ms) => ms,
            AtModifier::Start => self.query.start_ms,
            AtModifier::End => self.query.end_ms,
        }
    }

    fn positive_ms(&self, duration: &DurationSpec) -> Result<i64, QueryError> {
        duration
            .resolve_positive_ms(self.query.duration_context)
            .map_err(|e| QueryError::BadData(e.to_string()))
    }

    fn needed_range(
        &self,
        references: &References,
        range_ms: i64,
        extension: RangeExtension,
    ) -> TimeRange {
        let lookback_ms = self.options.lookback_delta_ms;
        let (mut before, mut after) = (range_ms, 0);
        if range_ms == 0 || extension != RangeExtension::None {
            before = before.saturating_add(lookback_ms);
        }
        if extension == RangeExtension::Smoothed {
            after = lookback_ms;
        }
        let start = references.min_ms().saturating_sub(before).saturating_add(1);
        TimeRange::new(start, references.max_ms().saturating_add(after))
    }

    pub(super) fn widen_to(&mut self, range: TimeRange) {
        let all = self.time_range.get_or_insert(range);
        all.start_ms_incl = all.start_ms_incl.min(range.start_ms_incl);
        all.end_ms_incl = all.end_ms_incl.max(range.end_ms_incl);
    }

    /// A subquery without its expression, and what surrounds that expression.
    pub(super) fn subquery<'a>(
        &self,
        subquery: &'a SubqueryExpr,
        scope: Scope<'a>,
    ) -> Result<(MatrixShape, Scope<'a>), QueryError> {
        let range_ms = self.positive_ms(&subquery.range)?;
        let step_ms = match &subquery.step {
            Some(step) => self.positive_ms(step)?.max(1),
            None => self.options.default_subquery_step_ms.max(1),
        };
        let references = self.references(subquery.at, subquery.offset.as_ref(), scope.grid)?;
        let grid = if scope.grid.count == 0 {
            Grid { count: 0, ..Grid::instant(0) }
        } else {
            let before = references.min_ms().saturating_sub(range_ms);
            let first = before.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
            Grid::range(first, references.max_ms(), step_ms)
        };
        let windows = Windows { references, range_ms };
        // Whether there was a reset between samples of a subquery, only their buckets tell.
        let histograms = HistogramNeed { buckets: true, ..scope.histograms };
        let inner = Scope { grid, step_ms, aggregate: None, histograms, ..scope };
        let counts_for = scope.counts_for;
        Ok((MatrixShape { windows, grid, counts_for, pos: subquery.pos }, inner))
    }

    /// The moments of the first selector in `expr`, on the grid of `info`'s call: its own `@` or
    /// that of the nearest subquery around it that has one, and the offsets up to there.
    pub(super) fn info_references(
        &mut self,
        expr: &Expr,
        grid: Grid,
    ) -> Result<Option<References>, QueryError> {
        let Some((selector, around)) = first_selector(expr) else { return Ok(None) };
        let mut references = self.references(selector.at, selector.offset.as_ref(), grid)?;
        for subquery in around.into_iter().rev() {
            if references.at_ms.is_some() {
                break;
            }
            let outer = self.references(subquery.at, subquery.offset.as_ref(), grid)?;
            references.offset_ms = references.offset_ms.saturating_add(outer.offset_ms);
            references.at_ms = outer.at_ms;
        }
        let time_range = self.needed_range(&references, 0, RangeExtension::None);
        self.widen_to(time_range);
        Ok(Some(references))
    }
}

fn purpose(scope: Scope<'_>) -> Purpose {
    let aggregate = scope.aggregate;
    Purpose {
        function: scope.function,
        grouping: aggregate.map(|a| a.grouping.clone()).unwrap_or_default(),
        grouping_is_by: aggregate.is_some_and(|a| !a.without),
        step_ms: scope.step_ms,
    }
}

/// The first selector within `expr` and the subqueries around it, the outermost first.
fn first_selector(expr: &Expr) -> Option<(&VectorSelector, Vec<&SubqueryExpr>)> {
    let mut pending = vec![(expr, Vec::new())];
    while let Some((expr, mut around)) = pending.pop() {
        match expr {
            Expr::VectorSelector(selector) => return Some((selector, around)),
            Expr::MatrixSelector(matrix) => return Some((&matrix.selector, around)),
            Expr::Subquery(subquery) => around.push(&**subquery),
            _ => {}
        }
        let first_child = pending.len();
        pending.extend(expr.children().map(|child| (child, around.clone())));
        pending[first_child..].reverse();
    }
    None
}

/// The labels that a selector demands by equality, each once: those of the result of `absent`.
pub(super) fn demanded_labels(expr: &Expr) -> Labels {
    let matchers = match expr {
        Expr::VectorSelector(selector) => &selector.matchers,
        Expr::MatrixSelector(matrix) => &matrix.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::default();
    let mut seen = HashSet::new();
    for matcher in matchers.iter().map(|label| &label.matcher) {
        if matcher.name() == METRIC_NAME_LABEL {
            continue;
        }
        match std::str::from_utf8(matcher.value()) {
            Ok(value) if matcher.op() == MatchOp::Equal && !seen.contains(matcher.name()) => {
                builder.set(matcher.name(), value);
                seen.insert(matcher.name());
            }
            _ => drop(builder.remove(matcher.name())),
        }
    }
    builder.build()
}
