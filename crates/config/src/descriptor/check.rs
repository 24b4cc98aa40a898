//! Compares Urd's table with Mimir's descriptor: what has the same name must be the same option.

use std::collections::HashMap;

use super::{Field, fields, read};
use crate::table::{Found, Mark, Place, Section};
use crate::value::Value;
use crate::{Config, Kind};

/// What the comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Options that both have and that agree.
    pub same: usize,
    /// Disagreements, one line each; empty is what the project wants.
    pub differences: Vec<String>,
    /// Deliberate disagreements that were met, with their reasons.
    pub deliberate: Vec<String>,
    /// Mimir's options that Urd does not declare yet.
    pub missing: Vec<String>,
}

const WINDOWS: &str = "an empty text stands for Urd's own window, of which Mimir's is a fraction";

/// Deliberate disagreements: the YAML path and why. An entry that is met by nothing is reported as
/// a difference, so that the list cannot rot.
const DELIBERATE: &[(&str, &str)] = &[
    (
        "limits.name_validation_scheme",
        "the descriptor calls it an int without a default; it is a word, and legacy by default",
    ),
    ("ingester_client.grpc_client_config.initial_connection_window_size", WINDOWS),
    ("ingester_client.grpc_client_config.initial_stream_window_size", WINDOWS),
    ("querier.store_gateway_client.initial_connection_window_size", WINDOWS),
    ("querier.store_gateway_client.initial_stream_window_size", WINDOWS),
    ("compactor.block_ranges", "the descriptor leaves the default of a list of durations out"),
];

/// Compares every option of the table that is not Urd's own with the text of Mimir's descriptor.
pub fn check(json: &str) -> Report {
    let mut report = Report::default();
    let entries = match read(json) {
        Ok(entries) => entries,
        Err(error) => {
            report.differences.push(format!("the descriptor cannot be read: {error}"));
            return report;
        }
    };
    let mut theirs: HashMap<&str, &Field> =
        fields(&entries).into_iter().map(|field| (field.path.as_str(), field)).collect();
    Config::default().walk(&Place::default(), &mut |found, value| {
        let field = theirs.remove(found.path.as_str());
        compare(&mut report, &found, value, field);
    });
    for (path, _) in DELIBERATE {
        if !report.deliberate.iter().any(|line| line.starts_with(&format!("{path}: "))) {
            report.differences.push(format!("{path}: listed as deliberate, but it agrees"));
        }
    }
    report.missing = theirs.into_keys().map(str::to_owned).collect();
    report.missing.sort();
    report
}

fn compare(report: &mut Report, found: &Found, value: &dyn Value, field: Option<&Field>) {
    let problem = match (found.row.mark, field) {
        (Mark::Urd | Mark::Hidden, None) => return,
        (Mark::Urd, Some(_)) => Some("marked as Urd's own, but Mimir has it".to_owned()),
        (Mark::Hidden, Some(_)) => Some("marked as hidden, but Mimir publishes it".to_owned()),
        (Mark::None | Mark::Later, None) => Some("Mimir has no such path".to_owned()),
        (Mark::None | Mark::Later, Some(field)) => difference(found, value, field),
    };
    let Some(problem) = problem else {
        report.same += 1;
        return;
    };
    match DELIBERATE.iter().find(|(path, _)| *path == found.path) {
        Some((path, reason)) => report.deliberate.push(format!("{path}: {problem} ({reason})")),
        None => report.differences.push(format!("{}: {problem}", found.path)),
    }
}

fn difference(found: &Found, value: &dyn Value, field: &Field) -> Option<String> {
    if found.flag != field.flag {
        return Some(format!("the flag is {:?} here and {:?} there", found.flag, field.flag));
    }
    let kind = value.kind();
    let same_kind = match kind {
        Kind::TextMap | Kind::NumberMap => field.kind.starts_with("map of "),
        _ => kind.name() == field.kind,
    };
    if !same_kind {
        return Some(format!("the type is {:?} here and {:?} there", kind.name(), field.kind));
    }
    if !same_default(value, &field.default) {
        return Some(format!("the default is {:?} here, {:?} there", value.show(), field.default));
    }
    if found.row.category.name() != field.category {
        return Some(format!(
            "the category is {} here and {} there",
            found.row.category.name(),
            field.category
        ));
    }
    None
}

fn same_default(value: &dyn Value, theirs: &str) -> bool {
    let ours = value.show();
    match value.kind() {
        Kind::PromDuration => {
            let nanos = crate::GoDuration::parse(theirs).map(crate::GoDuration::nanos);
            nanos == crate::PromDuration::parse(&ours).map(crate::PromDuration::nanos)
        }
        // The descriptor writes no default for sizes and maps that are empty.
        Kind::Bytes | Kind::Float | Kind::Int if theirs.is_empty() => ours == "0",
        Kind::Float => ours.parse::<f64>().ok() == theirs.parse::<f64>().ok(),
        Kind::TextMap | Kind::NumberMap => theirs.is_empty() && ours == "{}",
        _ => ours == theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_published_descriptor() {
        let Some(json) = crate::descriptor::reference_descriptor() else { return };
        let report = check(&json);
        assert_eq!(report.differences, Vec::<String>::new());
        assert!(150 < report.same, "only {} options compared", report.same);
        assert_eq!(report.same + report.deliberate.len() + report.missing.len(), 1_759);
    }

    #[test]
    fn disagreements_are_found() {
        let leaf = |name: &str, flag: &str, kind: &str, default: &str| {
            format!(
                r#"{{"kind":"field","name":"{name}","fieldFlag":"{flag}","fieldType":"{kind}","fieldDefaultValue":{default}}}"#
            )
        };
        let json = format!(
            r#"{{"blockEntries":[{},{},{}]}}"#,
            leaf("target", "targets", "string", "\"all\""),
            leaf("multitenancy_enabled", "auth.multitenancy-enabled", "int", "true"),
            leaf("shutdown_delay", "shutdown-delay", "duration", "5000000000"),
        );
        let differences = check(&json).differences.join("\n");
        for expected in [
            r#"target: the flag is "target" here and "targets" there"#,
            r#"multitenancy_enabled: the type is "boolean" here and "int" there"#,
            r#"shutdown_delay: the default is "0s" here, "5s" there"#,
            "no_auth_tenant: Mimir has no such path",
        ] {
            assert!(differences.contains(expected), "{expected} is not in\n{differences}");
        }
    }
}
