//! What a query may ask for at most, whatever its data: regular expressions cost memory and time
//! before the first series is looked at.

use super::{CallPlan, Plan, PlanArg, PlanOp};
use crate::engine::{EngineOptions, QueryError};

/// Fails where a plan has too many or too large regular expressions.
pub(crate) fn check(plan: &Plan, options: &EngineOptions) -> Result<(), QueryError> {
    let (mut count, mut bytes) = (0_usize, 0_usize);
    for node in &plan.nodes {
        let matchers = node.selects().into_iter().flat_map(|select| &select.matchers);
        let patterns = matchers.filter(|m| m.regex().is_some()).map(|m| m.value().len());
        for len in patterns.chain(replaced_pattern(&node.op)) {
            count += 1;
            bytes = bytes.saturating_add(len);
        }
    }
    let (max_count, max_bytes) = (options.max_regexes, options.max_regex_bytes);
    if max_count != 0 && count > max_count {
        return Err(QueryError::BadData(format!(
            "the query has too many regular expressions: {count} (limit: {max_count})"
        )));
    }
    if max_bytes != 0 && bytes > max_bytes {
        return Err(QueryError::BadData(format!(
            "the regular expressions of the query are too large: {bytes} bytes (limit: \
             {max_bytes} bytes)"
        )));
    }
    Ok(())
}

/// The length of the pattern of `label_replace`.
fn replaced_pattern(op: &PlanOp) -> Option<usize> {
    match op {
        PlanOp::Call(call) => match &**call {
            CallPlan { name: "label_replace", args, .. } => match args.get(4) {
                Some(PlanArg::Text(pattern)) => Some(pattern.len()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::Passes;
    use crate::engine::tests::planned;

    fn error(query: &str, max_regexes: usize, max_regex_bytes: usize) -> Option<String> {
        let options = EngineOptions { max_regexes, max_regex_bytes, ..EngineOptions::default() };
        check(&planned(query, Passes::NONE), &options).err().map(|error| error.to_string())
    }

    #[test]
    fn regular_expressions_are_counted_wherever_they_stand() {
        let query = "rate(x{a=~\"1.\",b!~\"2.\",c=\"3\"}[5m]) + label_replace(x, \"y\", \"\", \"z\", \"z.*\")";
        assert_eq!(error(query, 3, 7), None);
        assert_eq!(error(query, 0, 0), None);
        assert_eq!(
            error(query, 2, 0).unwrap(),
            "the query has too many regular expressions: 3 (limit: 2)"
        );
        assert_eq!(
            error(query, 0, 6).unwrap(),
            "the regular expressions of the query are too large: 7 bytes (limit: 6 bytes)"
        );
    }
}
