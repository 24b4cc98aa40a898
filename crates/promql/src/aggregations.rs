//! Aggregations over the series of an instant vector, step by step.
//!
//! Those that make one number of a group (`sum`, `max`, …) take the series as they come and keep
//! nothing of them; the others need all series at once.

mod count_values;
mod grouping;
pub(crate) mod quantile;
mod reduce;
mod select;
mod select_k;

use grouping::Grouping;

use crate::ast::AggregateOp;
use crate::engine::QueryError;
use crate::engine::context::{EvalContext, Site};
use crate::engine::grid::Grid;
use crate::engine::operand::{Operand, ScalarColumn, unexpected};
use crate::engine::plan::{AggregateParam, AggregatePlan};
use crate::engine::run::{Slots, take_vector};
use crate::engine::stream::VectorStream;

/// An aggregation whose operands are at hand.
struct Aggregation<'a> {
    op: AggregateOp,
    grouping: Grouping,
    grid: Grid,
    /// The aggregation in the query.
    site: Site,
    /// What is aggregated.
    input_site: Site,
    /// The parameter.
    param_site: Site,
    cx: &'a EvalContext<'a>,
}

/// The groups of an aggregation.
pub(crate) fn aggregate(
    plan: AggregatePlan,
    grid: Grid,
    site: Site,
    slots: &mut Slots,
    cx: &EvalContext<'_>,
) -> Result<VectorStream, QueryError> {
    let input = take_vector(slots, plan.input)?;
    let aggregation = Aggregation {
        op: plan.op,
        grouping: Grouping::new(plan.grouping, plan.without),
        grid,
        site,
        input_site: Site { pos: plan.input_pos, ..site },
        param_site: Site { pos: plan.param_pos, ..site },
        cx,
    };
    match plan.param {
        AggregateParam::None => reduce::reduce(&aggregation, input),
        AggregateParam::Label(label) => count_values::count_values(&aggregation, &label, input),
        AggregateParam::Node(param) => {
            let param = slots.take(param).and_then(Operand::into_scalar)?;
            with_scalar(&aggregation, &param, input)
        }
    }
}

fn with_scalar(
    aggregation: &Aggregation<'_>,
    param: &ScalarColumn,
    input: VectorStream,
) -> Result<VectorStream, QueryError> {
    match aggregation.op {
        AggregateOp::Quantile => quantile::quantiles(aggregation, param, input),
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk => {
            select_k::select_k(aggregation, param, input)
        }
        AggregateOp::LimitRatio => select::limit_ratio(aggregation, param, input),
        _ => Err(unexpected("an aggregation with a scalar")),
    }
}
