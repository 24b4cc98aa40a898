//! Functions of a range vector: which implementation a name stands for, and what they share.

mod changes;
mod edges;
mod extremes;
mod instant_delta;
pub(super) mod present;
mod quantile;
mod rate;
mod rate_histogram;
mod regression;
mod smoothing;
mod start_time;
mod sums;
mod variance;
mod windows;

pub(super) use rate::RateNotes;

use crate::ast::RangeExtension;
use crate::engine::QueryError;
use crate::engine::context::Site;
use crate::engine::matrix::{RangeFunction, RangeVector};
use crate::engine::naming::{Duplicates, after_name_removal};
use crate::engine::operand::{Operand, unexpected};
use crate::functions::CallContext;
use crate::functions::args::Args;
use crate::functions::extended::{ExtendedRate, RateKind};

/// The result of a function of a range vector.
pub(super) fn call(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let (vector, matrix_at) = args.matrix()?;
    check_extension(vector.extension, call.name)?;
    let matrix_site = args.site(matrix_at, call.site);
    let sites = Sites { matrix: matrix_site, first_arg: args.site(0, call.site) };
    let keeps_name = matches!(call.name, "last_over_time" | "first_over_time");
    let function = function(call, args, &vector, sites)?;
    let stream = vector.apply(function, call.cx)?;
    if keeps_name {
        return Ok(Operand::Vector(stream));
    }
    after_name_removal(stream, Duplicates::Fail, call.cx).map(Operand::Vector)
}

/// Where annotations of a range function point.
#[derive(Debug, Clone, Copy)]
struct Sites {
    /// The range vector.
    matrix: Site,
    /// The first argument.
    first_arg: Site,
}

fn function(
    call: &CallContext<'_>,
    args: &mut Args,
    vector: &RangeVector,
    sites: Sites,
) -> Result<Box<dyn RangeFunction>, QueryError> {
    let site = sites.matrix;
    if let Some(kind) = rate_kind(call.name) {
        return Ok(rate_function(call, kind, vector, site));
    }
    let use_start_times = call.cx.options.enable_start_timestamps;
    let anchor = vector.extension == RangeExtension::Anchored;
    let lookback_ms = if anchor { call.cx.options.lookback_delta_ms } else { 0 };
    Ok(match call.name {
        "irate" | "idelta" => Box::new(instant_delta::InstantDelta {
            is_rate: call.name == "irate",
            use_start_times,
            site,
        }),
        "changes" => Box::new(changes::Changes { anchor, lookback_ms }),
        "resets" => Box::new(changes::Resets { anchor, lookback_ms, use_start_times }),
        "count_over_time" => Box::new(present::CountFunction),
        "present_over_time" => Box::new(present::PresentFunction),
        "first_over_time" => Box::new(edges::FirstFunction),
        "last_over_time" => Box::new(edges::LastFunction),
        "ts_of_first_over_time" => Box::new(edges::TimeOfEdge { first: true }),
        "ts_of_last_over_time" => Box::new(edges::TimeOfEdge { first: false }),
        "min_over_time" => Box::new(extremes::Extreme { greatest: false, site }),
        "max_over_time" => Box::new(extremes::Extreme { greatest: true, site }),
        "ts_of_min_over_time" => Box::new(extremes::TimeOfExtreme { greatest: false, site }),
        "ts_of_max_over_time" => Box::new(extremes::TimeOfExtreme { greatest: true, site }),
        "sum_over_time" => Box::new(sums::SumFunction { site }),
        "avg_over_time" => Box::new(sums::AverageFunction { site }),
        "stddev_over_time" => Box::new(variance::Variance { root: true, site }),
        "stdvar_over_time" => Box::new(variance::Variance { root: false, site }),
        "mad_over_time" => Box::new(quantile::MedianDeviation { site }),
        "quantile_over_time" => {
            let q = args.scalar(0)?;
            Box::new(quantile::QuantileFunction { q, site: sites.first_arg })
        }
        "deriv" => Box::new(regression::Deriv { site }),
        "predict_linear" => Box::new(regression::PredictLinear {
            duration_s: args.scalar(1)?,
            grid: call.grid,
            site,
        }),
        "double_exponential_smoothing" => {
            Box::new(smoothing::Smoothing::new(args.scalar(1)?, args.scalar(2)?, site))
        }
        _ => return Err(unexpected("a function of range vectors")),
    })
}

fn rate_kind(name: &str) -> Option<RateKind> {
    Some(match name {
        "rate" => RateKind { is_counter: true, is_rate: true },
        "increase" => RateKind { is_counter: true, is_rate: false },
        "delta" => RateKind { is_counter: false, is_rate: false },
        _ => return None,
    })
}

fn rate_function(
    call: &CallContext<'_>,
    kind: RateKind,
    vector: &RangeVector,
    site: Site,
) -> Box<dyn RangeFunction> {
    let options = call.cx.options;
    match vector.extension {
        RangeExtension::None => Box::new(rate::Rate {
            kind,
            site,
            use_start_times: options.enable_start_timestamps && kind.is_counter,
            check_type_label: options.enable_type_and_unit_labels,
        }),
        extension => Box::new(ExtendedRate {
            kind,
            site,
            smoothed: extension == RangeExtension::Smoothed,
            lookback_ms: options.lookback_delta_ms,
            check_type_label: options.enable_type_and_unit_labels,
        }),
    }
}

/// Only a few functions can do with samples outside of their window.
pub(super) fn check_extension(extension: RangeExtension, name: &str) -> Result<(), QueryError> {
    let (modifier, allowed): (_, &[&str]) = match extension {
        RangeExtension::None => return Ok(()),
        RangeExtension::Anchored => {
            ("anchored", &["changes", "delta", "increase", "rate", "resets"])
        }
        RangeExtension::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
    };
    if allowed.contains(&name) {
        return Ok(());
    }
    Err(QueryError::execution(format!(
        "{modifier} modifier can only be used with: {} - not with {name}",
        allowed.join(", ")
    )))
}
