//! PromQL's functions: from a call in the plan to the implementation, one family a file.
//!
//! Range functions (`rate`, `sum_over_time`, …) stand under `range/`; they work on all windows of
//! a series at once.

mod absent;
mod args;
mod bucket_groups;
mod date;
pub(crate) mod extended;
mod histogram_quantile;
mod histogram_stats;
mod info;
mod label_functions;
mod math;
mod natural_order;
mod range;
mod scalars;
mod sort;
mod timestamp;

use args::Args;

use crate::engine::QueryError;
use crate::engine::context::{EvalContext, Site};
use crate::engine::grid::Grid;
use crate::engine::operand::Operand;
use crate::engine::plan::CallPlan;
use crate::engine::run::Slots;

/// A call whose operands are at hand.
pub(crate) struct CallContext<'a> {
    /// The function.
    pub(crate) name: &'static str,
    /// The steps.
    pub(crate) grid: Grid,
    /// The call in the query.
    pub(crate) site: Site,
    /// The query.
    pub(crate) cx: &'a EvalContext<'a>,
}

/// The value of a call.
pub(crate) fn call(
    plan: CallPlan,
    grid: Grid,
    site: Site,
    slots: &mut Slots,
    cx: &EvalContext<'_>,
) -> Result<Operand, QueryError> {
    let call = CallContext { name: plan.name, grid, site, cx };
    let mut args = Args::new(plan, slots, cx)?;
    match call.name {
        "time" | "pi" | "scalar" | "max_of" | "min_of" | "vector" => {
            scalars::call(&call, &mut args)
        }
        "label_replace" => label_functions::label_replace(&call, &mut args),
        "label_join" => label_functions::label_join(&call, &mut args),
        "absent" => absent::absent(&call, &mut args),
        "absent_over_time" => absent::absent_over_time(&call, &mut args),
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
            sort::call(&call, &mut args)
        }
        "timestamp" | "start_timestamp" => timestamp::call(&call, &mut args),
        "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
            histogram_quantile::call(&call, &mut args)
        }
        "histogram_avg" | "histogram_count" | "histogram_sum" | "histogram_stddev"
        | "histogram_stdvar" => histogram_stats::call(&call, &mut args),
        "info" => info::call(&call, &mut args),
        "clamp" | "clamp_max" | "clamp_min" | "round" => {
            math::call_with_parameters(&call, &mut args)
        }
        "days_in_month" | "day_of_month" | "day_of_week" | "day_of_year" | "hour" | "minute"
        | "month" | "year" => date::call(&call, &mut args),
        _ if args.has_matrix() => range::call(&call, &mut args),
        _ => math::call(&call, &mut args),
    }
}

/// The value of a function of numbers that is the same whenever it is evaluated.
pub(crate) fn scalar_value(name: &str, args: &[f64]) -> Option<f64> {
    match (name, args) {
        ("pi", []) => Some(std::f64::consts::PI),
        ("max_of", [a, b]) => Some(math::go_max(*a, *b)),
        ("min_of", [a, b]) => Some(math::go_min(*a, *b)),
        _ => None,
    }
}
