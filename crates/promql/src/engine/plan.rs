//! The plan of a query: its operations in the order in which they are carried out.
//!
//! Made by `lower.rs` from the syntax tree, changed by the passes under `plan/`, carried out by
//! `run.rs`. Operands stand before the operations that take them, so that no depth of nesting
//! needs a deep stack. Passes never move a node: its number is the order of its annotations.

pub(crate) mod bounds;
mod fold_constants;
mod key;
mod narrow_joins;
mod passes;
mod reduce_matchers;
mod share_expressions;
mod share_selectors;
mod tree;
mod without_labels;

use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};

pub use passes::Passes;
pub(crate) use passes::optimize;

use super::context::Site;
use super::grid::Grid;
use super::sample_counts::CountsFor;
use super::windows::{References, Windows};
use crate::ast::{AggregateOp, BinaryOp, RangeExtension, VectorMatching};
use crate::position::PositionRange;

/// The number of a node in its plan.
pub(crate) type NodeId = usize;

/// A query, ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Operands before those that take them; the last one is the query's value.
    pub(crate) nodes: Vec<PlanNode>,
    /// The time that the selectors look at; `None` if there is none.
    pub(crate) time_range: Option<TimeRange>,
    /// How many pairs of selectors read storage together.
    pub(crate) pairs: usize,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct PlanNode {
    /// What is done.
    pub(crate) op: PlanOp,
    /// The steps that it is done for.
    pub(crate) grid: Grid,
    /// Its expression in the query.
    pub(crate) pos: PositionRange,
    /// What passes found out about it.
    pub(crate) marks: Marks,
}

/// What passes found out about a node.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Others have the same value: it is kept for them, if it is not too large.
    pub(crate) is_shared: bool,
    /// An earlier node has the same value.
    pub(crate) alias: Option<Alias>,
    /// Belongs to the expression of an alias of this node; not needed if that one's value is kept.
    pub(crate) covered_by: Option<NodeId>,
    /// Its series narrow selectors that come later; the labels whose values are handed on.
    pub(crate) narrowing_labels: Option<Arc<[String]>>,
}

/// An earlier node with the same value.
#[derive(Debug)]
pub(crate) struct Alias {
    /// That node.
    pub(crate) of: NodeId,
    /// Its places and those of its operands, each with the corresponding place here.
    pub(crate) sites: Vec<(Site, Site)>,
}

/// What a node does.
#[derive(Debug)]
pub(crate) enum PlanOp {
    /// A number.
    Number(f64),
    /// A text.
    Text(Vec<u8>),
    /// Series of storage at every step.
    Select(Box<SelectPlan>),
    /// Samples of a range, as the value of an instant query.
    Matrix(Box<MatrixPlan>),
    /// The value of one step for all steps.
    Repeat(NodeId),
    /// The negative of every value.
    Negate(NodeId),
    /// A function.
    Call(Box<CallPlan>),
    /// An aggregation.
    Aggregate(Box<AggregatePlan>),
    /// A binary operator.
    Binary(Box<BinaryPlan>),
}

/// A selector.
#[derive(Debug, Clone)]
pub(crate) struct SelectPlan {
    /// The conditions on its series.
    pub(crate) matchers: Vec<Matcher>,
    /// The moments that it looks at.
    pub(crate) references: References,
    /// `anchored` or `smoothed`.
    pub(crate) extension: RangeExtension,
    /// The samples that it needs.
    pub(crate) time_range: TimeRange,
    /// The width of its windows; 0 for an instant selector.
    pub(crate) range_ms: i64,
    /// What the result is for, as a hint to storage.
    pub(crate) purpose: Purpose,
    /// Of native histograms only count and sum are needed.
    pub(crate) only_histogram_stats: bool,
    /// The steps of the query that its samples are counted for.
    pub(crate) counts_for: CountsFor,
    /// In the query.
    pub(crate) pos: PositionRange,
    /// Reads storage together with another selector.
    pub(crate) pair: Option<Box<SelectPair>>,
    /// Nodes whose series narrow it, each with the label whose values they have.
    pub(crate) narrowed_by: Vec<(NodeId, String)>,
    /// Neither the labels of its series nor their order matter.
    pub(crate) without_labels: bool,
}

/// The part of a selector in a pair of selectors that read storage once.
#[derive(Debug, Clone)]
pub(crate) struct SelectPair {
    /// The number of the pair.
    pub(crate) number: usize,
    /// Whether this one reads storage, for both; else it takes what the other one left for it.
    pub(crate) leads: bool,
    /// What storage is asked for.
    pub(crate) matchers: Vec<Matcher>,
    /// The conditions of this one among what was asked for.
    pub(crate) own: Vec<Matcher>,
    /// The conditions of the other one.
    pub(crate) others: Vec<Matcher>,
    /// The samples that one of them needs.
    pub(crate) time_range: TimeRange,
}

impl SelectPlan {
    /// Only the newest sample at one moment is looked at.
    pub(crate) fn needs_newest_only(&self) -> bool {
        self.references.grid.is_instant()
            && self.pair.is_none()
            && self.range_ms == 0
            && self.extension == RangeExtension::None
    }
}

/// What a selector's series are for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Purpose {
    /// The function or aggregation above.
    pub(crate) function: &'static str,
    /// Labels of the aggregation right above.
    pub(crate) grouping: Vec<String>,
    /// `by`.
    pub(crate) grouping_is_by: bool,
    /// The step, ms; 0 in an instant query.
    pub(crate) step_ms: i64,
}

/// Where a range function takes its samples from.
#[derive(Debug)]
pub(crate) struct MatrixPlan {
    /// The windows.
    pub(crate) windows: Windows,
    /// The samples.
    pub(crate) source: MatrixPlanSource,
    /// The steps of the query that the samples are counted for.
    pub(crate) counts_for: CountsFor,
    /// In the query.
    pub(crate) pos: PositionRange,
}

/// Samples of windows.
#[derive(Debug)]
pub(crate) enum MatrixPlanSource {
    /// Of storage.
    Select(SelectPlan),
    /// Of an expression that is evaluated at steps of its own.
    Subquery {
        /// The expression.
        input: NodeId,
        /// Its steps.
        grid: Grid,
    },
}

/// A function with its arguments.
#[derive(Debug)]
pub(crate) struct CallPlan {
    /// The function.
    pub(crate) name: &'static str,
    /// The arguments, without parentheses around them.
    pub(crate) args: Vec<PlanArg>,
    /// Where each stands.
    pub(crate) arg_positions: Vec<PositionRange>,
    /// What the first argument, a selector, demands: the labels of `absent`'s result.
    pub(crate) absent_labels: Labels,
    /// The moments of the first selector within the first argument, for `info`.
    pub(crate) info_references: Option<References>,
    /// The steps of the query that samples are counted for which the function itself reads.
    pub(crate) counts_for: CountsFor,
}

/// An argument.
#[derive(Debug)]
pub(crate) enum PlanArg {
    /// The value of a node.
    Node(NodeId),
    /// A text.
    Text(Vec<u8>),
    /// Samples of windows.
    Matrix(MatrixPlan),
    /// A selector whose samples are looked at by the function itself.
    Select(SelectPlan),
    /// The conditions of `info`'s second argument.
    Matchers(Vec<Matcher>),
}

/// An aggregation.
#[derive(Debug)]
pub(crate) struct AggregatePlan {
    /// Which.
    pub(crate) op: AggregateOp,
    /// Of what.
    pub(crate) input: NodeId,
    /// Where that stands.
    pub(crate) input_pos: PositionRange,
    /// The parameter.
    pub(crate) param: AggregateParam,
    /// Where the parameter stands.
    pub(crate) param_pos: PositionRange,
    /// Labels of the clause, sorted.
    pub(crate) grouping: Vec<String>,
    /// `without`.
    pub(crate) without: bool,
}

/// The parameter of an aggregation.
#[derive(Debug)]
pub(crate) enum AggregateParam {
    /// There is none.
    None,
    /// A scalar.
    Node(NodeId),
    /// The label of `count_values`.
    Label(Vec<u8>),
}

/// A binary operator.
#[derive(Debug)]
pub(crate) struct BinaryPlan {
    /// Which.
    pub(crate) op: BinaryOp,
    /// The left operand.
    pub(crate) lhs: NodeId,
    /// The right operand.
    pub(crate) rhs: NodeId,
    /// How series are matched, if both sides have some.
    pub(crate) matching: Option<VectorMatching>,
    /// `bool`.
    pub(crate) return_bool: bool,
}
