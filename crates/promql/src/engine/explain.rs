//! What the engine is going to do for a query, and what it did: the plan as a tree of operators,
//! printed or handed on with measurements.

use std::fmt;
use std::sync::Arc;

use model::{Clock, Matcher, QueryContext, Queryable, TimeRange};

use super::plan::{
    AggregateParam, AggregatePlan, CallPlan, MatrixPlan, MatrixPlanSource, NodeId, Plan, PlanArg,
    PlanNode, PlanOp, SelectPlan,
};
use super::{Engine, Measured, QueryError, QueryKind, QueryResult, lower, plan};
use crate::ast::{BinaryOp, Expr, RangeExtension, VectorMatching};
use crate::position::PositionRange;

/// A plan as a tree, in the order in which it reads: each operator before its operands. Flat,
/// because expressions may be nested deeply.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The operators.
    pub operators: Vec<Operator>,
    /// The time that all selectors together look at; `None` if there is no selector.
    pub time_range: Option<TimeRange>,
}

/// One operator of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// Its number; operators are carried out in the order of their numbers.
    pub id: usize,
    /// How many operators are around it.
    pub depth: usize,
    /// What it is: `sum`, `rate`, `select`, …
    pub name: String,
    /// How it does it: matchers, ranges, labels.
    pub detail: String,
    /// For how many steps.
    pub steps: usize,
    /// The operator with the same value that this one stands for; it has no operands here.
    pub same_as: Option<usize>,
    /// Where its expression stands in the query.
    pub pos: PositionRange,
    /// What it did, after the query ran.
    pub measured: Option<Measured>,
}

/// A query's result with its measured plan.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// The plan with what each operator did.
    pub explanation: Explanation,
    /// The result.
    pub result: QueryResult,
}

/// The plan of `expr` for `engine`, without running it.
///
/// # Errors
/// Where the query makes no sense as it is asked.
pub fn explain(engine: &Engine, expr: &Expr, kind: QueryKind) -> Result<Explanation, QueryError> {
    lower::check_result_type(expr, kind)?;
    let unlimited = QueryContext::unlimited();
    let mut plan = lower::lower(expr, kind, (engine.options(), &unlimited))?;
    plan::optimize(&mut plan, engine.options().passes, &unlimited)?;
    Ok(Explanation::of(&plan))
}

/// Runs a query and measures what each operator of its plan does.
///
/// # Errors
/// See [`QueryError`].
pub fn analyze(
    engine: &Engine,
    (expr, kind): (&Expr, QueryKind),
    queryable: &dyn Queryable,
    context: &Arc<QueryContext>,
    clock: Arc<dyn Clock>,
) -> Result<Analysis, QueryError> {
    let mut explanation = explain(engine, expr, kind)?;
    let (result, measured) = engine.run(expr, kind, (queryable, context), Some(clock))?;
    for operator in &mut explanation.operators {
        operator.measured = measured.get(operator.id).copied();
    }
    Ok(Analysis { explanation, result })
}

impl Explanation {
    fn of(plan: &Plan) -> Self {
        let mut operators = Vec::new();
        let mut pending: Vec<(NodeId, usize)> =
            plan.root().map(|root| (root, 0)).into_iter().collect();
        while let Some((id, depth)) = pending.pop() {
            let node = &plan.nodes[id];
            let same_as = node.marks.alias.as_ref().map(|alias| alias.of);
            let (name, detail) = describe(node);
            operators.push(Operator {
                id,
                depth,
                name,
                detail,
                steps: node.grid.count,
                same_as,
                pos: node.pos,
                measured: None,
            });
            if same_as.is_none() {
                let operands = node.operands().into_iter().rev();
                pending.extend(operands.map(|operand| (operand, depth + 1)));
            }
        }
        Self { operators, time_range: plan.time_range }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Deeper operators stand no further to the right.
        const MAX_INDENT: usize = 40;
        for operator in &self.operators {
            for _ in 0..operator.depth.min(MAX_INDENT) {
                f.write_str("  ")?;
            }
            writeln!(f, "{operator}")?;
        }
        if let Some(TimeRange { start_ms_incl, end_ms_incl }) = self.time_range {
            writeln!(f, "samples of [{start_ms_incl}, {end_ms_incl}] ms")?;
        }
        Ok(())
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.id, self.name)?;
        if !self.detail.is_empty() {
            write!(f, " {}", self.detail)?;
        }
        write!(f, " ({} step{})", self.steps, if self.steps == 1 { "" } else { "s" })?;
        if let Some(same_as) = self.same_as {
            write!(f, " = #{same_as}")?;
        }
        let Some(did) = self.measured.filter(|did| did.was_run) else { return Ok(()) };
        write!(
            f,
            " | {} series, {} samples, {} read, {:.3} ms",
            did.series,
            did.samples,
            did.samples_read,
            did.time.as_secs_f64() * 1000.0
        )
    }
}

/// Name and detail of a node.
fn describe(node: &PlanNode) -> (String, String) {
    let mut detail: Vec<String> = Vec::new();
    let name = match &node.op {
        PlanOp::Number(value) => {
            detail.push(crate::gofmt::format_f(*value));
            "number"
        }
        PlanOp::Text(text) => {
            detail.push(model::quote::quote(text));
            "text"
        }
        PlanOp::Select(select) => {
            detail.push(select_detail(select));
            "select"
        }
        PlanOp::Matrix(matrix) => {
            detail.push(matrix_detail(matrix));
            "range"
        }
        PlanOp::Repeat(_) => "repeat",
        PlanOp::Negate(_) => "negate",
        PlanOp::Call(call) => {
            detail.extend(call_detail(call));
            call.name
        }
        PlanOp::Aggregate(aggregate) => {
            detail.extend(aggregate_detail(aggregate));
            aggregate.op.name()
        }
        PlanOp::Binary(binary) => {
            let matching = binary.matching.as_ref();
            detail.extend(binary.return_bool.then(|| "bool".to_owned()));
            detail.extend(matching.map(|matching| matching_detail(matching, binary.op)));
            binary.op.symbol()
        }
    };
    if let Some(labels) = &node.marks.narrowing_labels {
        detail.push(format!("narrows the right side by ({})", labels.join(", ")));
    }
    detail.extend(node.marks.is_shared.then(|| "shared".to_owned()));
    detail.retain(|part| !part.is_empty());
    (name.to_owned(), detail.join(" "))
}

fn select_detail(select: &SelectPlan) -> String {
    let matchers: Vec<String> = select.matchers.iter().map(Matcher::to_string).collect();
    let mut text = format!("{{{}}}", matchers.join(","));
    if select.range_ms != 0 {
        text.push_str(&format!("[{}ms]", select.range_ms));
    }
    match select.extension {
        RangeExtension::None => {}
        RangeExtension::Anchored => text.push_str(" anchored"),
        RangeExtension::Smoothed => text.push_str(" smoothed"),
    }
    if let Some(at_ms) = select.references.at_ms {
        text.push_str(&format!(" @ {at_ms}ms"));
    }
    if select.references.offset_ms != 0 {
        text.push_str(&format!(" offset {}ms", select.references.offset_ms));
    }
    let TimeRange { start_ms_incl, end_ms_incl } = select.time_range;
    text.push_str(&format!(" over [{start_ms_incl}, {end_ms_incl}]"));
    if select.only_histogram_stats {
        text.push_str(" without buckets");
    }
    for (node, label) in &select.narrowed_by {
        text.push_str(&format!(" narrowed by {label} of #{node}"));
    }
    match &select.pair {
        Some(pair) if pair.leads => text.push_str(&format!(" reads for pair {}", pair.number)),
        Some(pair) => text.push_str(&format!(" as left by pair {}", pair.number)),
        None => {}
    }
    text
}

fn matrix_detail(matrix: &MatrixPlan) -> String {
    match &matrix.source {
        MatrixPlanSource::Select(select) => select_detail(select),
        MatrixPlanSource::Subquery { input, grid } => format!(
            "[{}ms:{}ms] of #{input} ({} steps from {})",
            matrix.windows.range_ms, grid.step_ms, grid.count, grid.start_ms
        ),
    }
}

fn call_detail(call: &CallPlan) -> Vec<String> {
    let detail = |arg: &PlanArg| match arg {
        PlanArg::Node(_) => None,
        PlanArg::Text(text) => Some(model::quote::quote(text)),
        PlanArg::Matrix(matrix) => Some(matrix_detail(matrix)),
        PlanArg::Select(select) => Some(select_detail(select)),
        PlanArg::Matchers(matchers) => {
            let matchers: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
            Some(format!("{{{}}}", matchers.join(",")))
        }
    };
    call.args.iter().filter_map(detail).collect()
}

fn aggregate_detail(aggregate: &AggregatePlan) -> Option<String> {
    let label = match &aggregate.param {
        AggregateParam::Label(label) => format!("{} ", model::quote::quote(label)),
        AggregateParam::Node(_) | AggregateParam::None => String::new(),
    };
    let clause = match (aggregate.without, &aggregate.grouping[..]) {
        (false, []) => String::new(),
        (without, names) => {
            let word = if without { "without" } else { "by" };
            format!("{word} ({})", names.join(", "))
        }
    };
    Some(label + &clause)
}

fn matching_detail(matching: &VectorMatching, op: BinaryOp) -> String {
    let mut parts = Vec::new();
    if matching.on || !matching.labels.is_empty() {
        let word = if matching.on { "on" } else { "ignoring" };
        parts.push(format!("{word} ({})", matching.labels.join(", ")));
    }
    if !op.is_set() {
        parts.push(matching.card.name().to_owned());
    }
    if !matching.include.is_empty() {
        parts.push(format!("include ({})", matching.include.join(", ")));
    }
    for (side, fill) in [("left", matching.fill.lhs), ("right", matching.fill.rhs)] {
        parts.extend(fill.map(|value| format!("fill {side} {value}")));
    }
    parts.join(" ")
}
