//! From the syntax tree to a plan: times resolved, step-invariant parts on a grid of one step,
//! operands before operations.
//!
//! Works with stacks of its own instead of recursion, because left operands may form chains of
//! any length.

mod selectors;

use model::{QueryContext, TimeRange, TimestampMs};

use super::grid::Grid;
use super::invariance::Invariants;
use super::plan::{
    AggregateParam, AggregatePlan, BinaryPlan, CallPlan, Marks, MatrixPlan, MatrixPlanSource,
    NodeId, Plan, PlanArg, PlanNode, PlanOp,
};
use super::sample_counts::CountsFor;
use super::windows::Windows;
use super::{EngineOptions, QueryError, QueryKind};
use crate::ast::{
    AggregateExpr, BinaryExpr, Call, DurationContext, Expr, SubqueryExpr, UnaryOp, ValueType,
};
use crate::position::PositionRange;

/// The plan of `expr`.
pub(crate) fn lower(
    expr: &Expr,
    kind: QueryKind,
    (options, context): (&EngineOptions, &QueryContext),
) -> Result<Plan, QueryError> {
    /// Fewer parts than take a millisecond.
    const WORK_BETWEEN_QUESTIONS: usize = 512;
    let query = QueryTimes::of(kind);
    let mut lowering = Lowering {
        options,
        invariants: Invariants::of(expr),
        nodes: Vec::new(),
        values: Vec::new(),
        work: Vec::new(),
        time_range: None,
        query,
    };
    let scope = Scope {
        grid: query.grid,
        function: "",
        aggregate: None,
        step_ms: query.duration_context.step_ms,
        histograms: HistogramNeed::default(),
        counts_for: CountsFor::SameStep,
    };
    lowering.work.push(Work::Visit(expr, scope));
    let mut done = 0_usize;
    while let Some(work) = lowering.work.pop() {
        done += 1;
        if done.is_multiple_of(WORK_BETWEEN_QUESTIONS) {
            context.check()?;
        }
        match work {
            Work::Visit(expr, scope) => lowering.visit(expr, scope)?,
            Work::Finish(finish) => lowering.finish(finish)?,
        }
    }
    Ok(Plan { nodes: lowering.nodes, time_range: lowering.time_range, pairs: 0 })
}

/// The times of the query as a whole.
#[derive(Debug, Clone, Copy)]
struct QueryTimes {
    start_ms: TimestampMs,
    end_ms: TimestampMs,
    grid: Grid,
    duration_context: DurationContext,
}

impl QueryTimes {
    fn of(kind: QueryKind) -> Self {
        match kind {
            QueryKind::Instant { time_ms } => Self {
                start_ms: time_ms,
                end_ms: time_ms,
                grid: Grid::of(kind),
                duration_context: DurationContext::default(),
            },
            QueryKind::Range { start_ms, end_ms, step_ms } => Self {
                start_ms,
                end_ms,
                grid: Grid::of(kind),
                duration_context: DurationContext {
                    step_ms,
                    range_ms: end_ms.saturating_sub(start_ms),
                },
            },
        }
    }
}

/// What surrounds an expression.
#[derive(Clone, Copy)]
struct Scope<'a> {
    grid: Grid,
    /// The function or aggregation above.
    function: &'static str,
    /// The aggregation right above.
    aggregate: Option<&'a AggregateExpr>,
    step_ms: i64,
    /// What is needed of native histograms.
    histograms: HistogramNeed,
    /// The steps of the query that samples are counted for.
    counts_for: CountsFor,
}

/// What the expressions around a selector need of its native histograms.
#[derive(Debug, Clone, Copy, Default)]
struct HistogramNeed {
    /// A function that takes count and sum alone stands somewhere around.
    stats: bool,
    /// Something that needs buckets stands somewhere around.
    buckets: bool,
}

impl HistogramNeed {
    fn only_stats(self) -> bool {
        self.stats && !self.buckets
    }

    fn within_call(mut self, name: &str) -> Self {
        self.stats |= matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg");
        self.buckets |=
            matches!(name, "histogram_quantile" | "histogram_quantiles" | "histogram_fraction");
        self
    }
}

enum Work<'a> {
    Visit(&'a Expr, Scope<'a>),
    Finish(Finish<'a>),
}

/// An operation whose operands are on the stack of values by the time it is finished.
enum Finish<'a> {
    Repeat(Grid, PositionRange),
    Negate(Grid, PositionRange),
    Call(&'a Call, (Grid, CountsFor), Vec<ArgShape>),
    Aggregate(&'a AggregateExpr, Grid),
    Binary(&'a BinaryExpr, Grid),
    Matrix(MatrixShape, Grid),
}

/// An argument of which only the node may be missing.
enum ArgShape {
    Node,
    Subquery(MatrixShape),
    Ready(PlanArg),
}

/// A subquery of which only the node is missing.
struct MatrixShape {
    windows: Windows,
    grid: Grid,
    counts_for: CountsFor,
    pos: PositionRange,
}

struct Lowering<'a> {
    options: &'a EngineOptions,
    invariants: Invariants,
    nodes: Vec<PlanNode>,
    values: Vec<NodeId>,
    work: Vec<Work<'a>>,
    time_range: Option<TimeRange>,
    query: QueryTimes,
}

impl<'a> Lowering<'a> {
    fn emit(&mut self, op: PlanOp, grid: Grid, pos: PositionRange) {
        self.values.push(self.nodes.len());
        self.nodes.push(PlanNode { op, grid, pos, marks: Marks::default() });
    }

    fn pop_value(&mut self) -> Result<NodeId, QueryError> {
        self.values.pop().ok_or_else(|| QueryError::Internal("operand is missing".to_owned()))
    }

    fn visit(&mut self, expr: &'a Expr, scope: Scope<'a>) -> Result<(), QueryError> {
        let once = self.options.passes.evaluate_once;
        if once && scope.grid.count > 1 && self.is_evaluated_once(expr) {
            let grid = scope.grid.first_only();
            let once =
                Scope { grid, counts_for: scope.counts_for.evaluated_once(scope.grid), ..scope };
            self.work.push(Work::Finish(Finish::Repeat(scope.grid, expr.position())));
            self.work.push(Work::Visit(expr, once));
            return Ok(());
        }
        match expr {
            Expr::NumberLiteral(number) => {
                self.emit(PlanOp::Number(number.value), scope.grid, number.pos);
            }
            Expr::StringLiteral(text) => {
                self.emit(PlanOp::Text(text.value.clone()), scope.grid, text.pos);
            }
            Expr::VectorSelector(selector) => {
                let plan = self.vector_selector(selector, scope)?;
                self.emit(PlanOp::Select(Box::new(plan)), scope.grid, selector.pos);
            }
            Expr::MatrixSelector(matrix) => {
                let plan = self.matrix_selector(matrix, scope)?;
                self.emit(PlanOp::Matrix(Box::new(plan)), scope.grid, matrix.pos);
            }
            Expr::Subquery(subquery) => self.visit_subquery(subquery, scope)?,
            Expr::Paren(paren) => self.work.push(Work::Visit(&paren.expr, scope)),
            Expr::Unary(unary) => {
                if unary.op == UnaryOp::Minus {
                    self.work.push(Work::Finish(Finish::Negate(scope.grid, unary.pos)));
                }
                self.work.push(Work::Visit(&unary.expr, Scope { aggregate: None, ..scope }));
            }
            Expr::Call(call) => self.visit_call(call, scope)?,
            Expr::Aggregate(aggregate) => self.visit_aggregate(aggregate, scope),
            Expr::Binary(binary) => self.visit_binary(binary, scope),
        }
        Ok(())
    }

    fn is_evaluated_once(&self, expr: &Expr) -> bool {
        let is_worth_it = !matches!(
            expr,
            Expr::NumberLiteral(_)
                | Expr::StringLiteral(_)
                | Expr::MatrixSelector(_)
                | Expr::Subquery(_)
        );
        is_worth_it && self.invariants.contains(expr)
    }

    fn visit_binary(&mut self, binary: &'a BinaryExpr, scope: Scope<'a>) {
        let mut operand_scope = Scope { function: "", aggregate: None, ..scope };
        operand_scope.histograms.buckets |= binary.op.is_trim();
        self.work.push(Work::Finish(Finish::Binary(binary, scope.grid)));
        self.work.push(Work::Visit(&binary.rhs, operand_scope));
        self.work.push(Work::Visit(&binary.lhs, operand_scope));
    }

    fn visit_aggregate(&mut self, aggregate: &'a AggregateExpr, scope: Scope<'a>) {
        let input_scope =
            Scope { function: aggregate.op.name(), aggregate: Some(aggregate), ..scope };
        self.work.push(Work::Finish(Finish::Aggregate(aggregate, scope.grid)));
        self.work.push(Work::Visit(aggregate.expr.unwrap_parens(), input_scope));
        if let (true, Some(param)) = (aggregate.op.has_scalar_param(), &aggregate.param) {
            self.work.push(Work::Visit(param.unwrap_parens(), scope));
        }
    }

    fn visit_call(&mut self, call: &'a Call, scope: Scope<'a>) -> Result<(), QueryError> {
        if let Some(value) = self.constant_call(call) {
            self.emit(PlanOp::Number(value), scope.grid, call.pos);
            return Ok(());
        }
        let histograms = scope.histograms.within_call(call.func.name);
        let arg_scope = Scope { function: call.func.name, aggregate: None, histograms, ..scope };
        let mut shapes = Vec::with_capacity(call.args.len());
        let mut visits = Vec::new();
        for (index, arg) in call.args.iter().enumerate() {
            let arg = arg.unwrap_parens();
            let (shape, visit) = self.arg_shape(call, index, arg, arg_scope)?;
            shapes.push(shape);
            visits.extend(visit);
        }
        let finish = Finish::Call(call, (scope.grid, scope.counts_for), shapes);
        self.work.push(Work::Finish(finish));
        self.work.extend(visits.into_iter().rev());
        Ok(())
    }

    /// The value of a function that is fixed for the whole query.
    fn constant_call(&self, call: &Call) -> Option<f64> {
        let ms = match call.func.name {
            "start" => self.query.start_ms,
            "end" => self.query.end_ms,
            "range" => self.query.duration_context.range_ms,
            "step" if self.query.start_ms == self.query.end_ms => 0,
            "step" => self.query.duration_context.step_ms,
            _ => return None,
        };
        #[expect(clippy::cast_precision_loss, reason = "PromQL's times are float seconds")]
        Some(ms as f64 / 1000.0)
    }

    fn arg_shape(
        &mut self,
        call: &Call,
        index: usize,
        arg: &'a Expr,
        scope: Scope<'a>,
    ) -> Result<(ArgShape, Option<Work<'a>>), QueryError> {
        let looks_at_samples = matches!(call.func.name, "timestamp" | "start_timestamp");
        Ok(match arg {
            Expr::StringLiteral(text) => (ArgShape::Ready(PlanArg::Text(text.value.clone())), None),
            Expr::MatrixSelector(matrix) => {
                let plan = self.matrix_selector(matrix, scope)?;
                (ArgShape::Ready(PlanArg::Matrix(plan)), None)
            }
            Expr::VectorSelector(selector) if looks_at_samples => {
                let plan = self.vector_selector(selector, scope)?;
                (ArgShape::Ready(PlanArg::Select(plan)), None)
            }
            Expr::VectorSelector(selector) if call.func.name == "info" && index == 1 => {
                (ArgShape::Ready(PlanArg::Matchers(selector.matchers())), None)
            }
            Expr::Subquery(subquery) => {
                let (shape, mut inner) = self.subquery(subquery, scope)?;
                // The windows of the function count, not what they are made of.
                inner.counts_for = CountsFor::Nothing;
                (ArgShape::Subquery(shape), Some(Work::Visit(&subquery.expr, inner)))
            }
            _ => (ArgShape::Node, Some(Work::Visit(arg, scope))),
        })
    }

    fn visit_subquery(
        &mut self,
        subquery: &'a SubqueryExpr,
        scope: Scope<'a>,
    ) -> Result<(), QueryError> {
        let (mut shape, mut inner) = self.subquery(subquery, scope)?;
        // As the value of an instant query: what it is made of counts, not its own points.
        shape.counts_for = CountsFor::Nothing;
        inner.counts_for = CountsFor::OnlyStep(1);
        self.work.push(Work::Finish(Finish::Matrix(shape, scope.grid)));
        self.work.push(Work::Visit(&subquery.expr, inner));
        Ok(())
    }

    fn finish(&mut self, finish: Finish<'a>) -> Result<(), QueryError> {
        match finish {
            Finish::Repeat(grid, pos) => {
                let input = self.pop_value()?;
                self.emit(PlanOp::Repeat(input), grid, pos);
            }
            Finish::Negate(grid, pos) => {
                let input = self.pop_value()?;
                self.emit(PlanOp::Negate(input), grid, pos);
            }
            Finish::Matrix(shape, grid) => {
                let plan = self.finish_matrix(shape)?;
                let pos = plan.pos;
                self.emit(PlanOp::Matrix(Box::new(plan)), grid, pos);
            }
            Finish::Call(call, (grid, counts_for), shapes) => {
                let mut plan = self.finish_call(call, grid, shapes)?;
                plan.counts_for = counts_for;
                self.emit(PlanOp::Call(Box::new(plan)), grid, call.pos);
            }
            Finish::Aggregate(aggregate, grid) => {
                let plan = self.finish_aggregate(aggregate)?;
                self.emit(PlanOp::Aggregate(Box::new(plan)), grid, aggregate.pos);
            }
            Finish::Binary(binary, grid) => {
                let rhs = self.pop_value()?;
                let lhs = self.pop_value()?;
                let plan = BinaryPlan {
                    op: binary.op,
                    lhs,
                    rhs,
                    matching: binary.matching.clone(),
                    return_bool: binary.return_bool,
                };
                self.emit(PlanOp::Binary(Box::new(plan)), grid, binary.pos);
            }
        }
        Ok(())
    }

    fn finish_matrix(&mut self, shape: MatrixShape) -> Result<MatrixPlan, QueryError> {
        let input = self.pop_value()?;
        let source = MatrixPlanSource::Subquery { input, grid: shape.grid };
        let MatrixShape { windows, counts_for, pos, .. } = shape;
        Ok(MatrixPlan { windows, source, counts_for, pos })
    }

    fn finish_call(
        &mut self,
        call: &Call,
        grid: Grid,
        shapes: Vec<ArgShape>,
    ) -> Result<CallPlan, QueryError> {
        let mut args = Vec::with_capacity(shapes.len());
        for shape in shapes.into_iter().rev() {
            args.push(match shape {
                ArgShape::Node => PlanArg::Node(self.pop_value()?),
                ArgShape::Subquery(shape) => PlanArg::Matrix(self.finish_matrix(shape)?),
                ArgShape::Ready(arg) => arg,
            });
        }
        args.reverse();
        let first = call.args.first().map(Expr::unwrap_parens);
        let info_references = match (call.func.name, first) {
            ("info", Some(first)) => self.info_references(first, grid)?,
            _ => None,
        };
        Ok(CallPlan {
            name: call.func.name,
            args,
            arg_positions: call.args.iter().map(|arg| arg.unwrap_parens().position()).collect(),
            absent_labels: first.map(selectors::demanded_labels).unwrap_or_default(),
            info_references,
            counts_for: CountsFor::Nothing,
        })
    }

    fn finish_aggregate(&mut self, aggregate: &AggregateExpr) -> Result<AggregatePlan, QueryError> {
        let input = self.pop_value()?;
        let param = aggregate.param.as_ref().map(Expr::unwrap_parens);
        let mut grouping = aggregate.grouping.clone();
        grouping.sort_unstable();
        Ok(AggregatePlan {
            op: aggregate.op,
            input,
            input_pos: aggregate.expr.unwrap_parens().position(),
            param: match param {
                Some(Expr::StringLiteral(text)) => AggregateParam::Label(text.value.clone()),
                Some(_) => AggregateParam::Node(self.pop_value()?),
                None => AggregateParam::None,
            },
            param_pos: param.map(Expr::position).unwrap_or_default(),
            grouping,
            without: aggregate.without,
        })
    }
}

/// The type of value that a query gives, checked against what its kind can give.
pub(crate) fn check_result_type(expr: &Expr, kind: QueryKind) -> Result<(), QueryError> {
    let value_type = expr.value_type();
    let is_range = matches!(kind, QueryKind::Range { .. });
    if is_range && !matches!(value_type, ValueType::Scalar | ValueType::Vector) {
        return Err(QueryError::BadData(format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            value_type.documented_name()
        )));
    }
    Ok(())
}
