//! Prometheus' own test scripts: how many evals of each file pass, against the counts that were
//! reached before. The counts may only go up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use promql::testlang::{FileCount, RunOptions, conformance_report};

const SCRIPTS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/promqltest");
const COUNTS: &str = include_str!("conformance-counts.tsv");

#[test]
fn no_file_passes_less_than_before() {
    if !Path::new(SCRIPTS).is_dir() {
        eprintln!("SKIPPED: the PromQL test scripts are not at {SCRIPTS}");
        return;
    }
    let counts = conformance_report(Path::new(SCRIPTS), &RunOptions::default()).unwrap();
    let known = known_counts();
    let mut table = String::new();
    let mut wrong = Vec::new();
    for FileCount { file, passed, total, failures } in &counts {
        let _ = writeln!(table, "{file}\t{passed}\t{total}");
        let before = known.get(file.as_str()).copied().unwrap_or(0);
        if *passed != before {
            wrong.push(format!("{file}: {passed} of {total} pass, were {before}"));
        }
        if *passed < before {
            wrong.extend(failures.iter().take(20).cloned());
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nwhere more pass, write this to tests/conformance-counts.tsv:\n{table}",
        wrong.join("\n")
    );
}

fn known_counts() -> BTreeMap<&'static str, usize> {
    let mut known = BTreeMap::new();
    for line in COUNTS.lines() {
        let mut columns = line.split('\t');
        if let (Some(file), Some(passed)) = (columns.next(), columns.next()) {
            known.insert(file, passed.parse().unwrap());
        }
    }
    known
}
