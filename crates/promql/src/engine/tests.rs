//! What the engine's unit tests share: plans of queries.

use model::QueryContext;

use super::plan::{Passes, Plan, optimize};
use super::{EngineOptions, QueryKind, lower};
use crate::parser::{ParserOptions, parse_expr};

/// The plan of a range query over an hour.
pub(crate) fn planned(query: &str, passes: Passes) -> Plan {
    let expr = parse_expr(query, &ParserOptions::all()).unwrap();
    let kind = QueryKind::Range { start_ms: 0, end_ms: 3_600_000, step_ms: 60_000 };
    let options = EngineOptions { passes, ..EngineOptions::default() };
    let context = QueryContext::unlimited();
    let mut plan = lower::lower(&expr, kind, (&options, &context)).unwrap();
    optimize(&mut plan, passes, &context).unwrap();
    plan
}
