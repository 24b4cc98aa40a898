//! Prometheus' own test scripts: how many evals of each file pass, against the counts that were
//! reached before (which may only go up), and that switches which are off change nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use promql::EngineOptions;
use promql::parser::ParserOptions;
use promql::testlang::{FileCount, RunOptions, conformance_report};

const SCRIPTS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/promqltest");
const COUNTS: &str = include_str!("conformance-counts.tsv");

#[expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
fn scripts() -> Option<&'static Path> {
    let path = Path::new(SCRIPTS);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: the PromQL test scripts are not at {SCRIPTS}");
    None
}

#[test]
fn no_file_passes_less_than_before() {
    let Some(scripts) = scripts() else { return };
    let counts = conformance_report(scripts, &RunOptions::default()).unwrap();
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
            known.insert(file, passed.parse().expect("the second column is a number"));
        }
    }
    known
}

/// Runs the chunks of a round last first, so that results cannot depend on their order.
struct Backwards;

impl model::Executor for Backwards {
    fn parallelism(&self) -> usize {
        4
    }

    fn for_each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..count).rev().for_each(job);
    }
}

#[test]
fn spreading_the_work_changes_nothing() {
    let Some(scripts) = scripts() else { return };
    let options = RunOptions::default().with_executor(Arc::new(Backwards));
    for count in conformance_report(scripts, &options).unwrap() {
        assert_eq!(count.passed, count.total, "{:#?}", count.failures);
    }
}

/// Which evals a server with default switches passes, as measured on Prometheus.
#[test]
fn a_default_server_fails_only_what_needs_a_switch() {
    let Some(scripts) = scripts() else { return };
    let needs = std::fs::read_to_string(scripts.join("evals.tsv")).unwrap();
    let mut needs_a_switch = BTreeSet::new();
    for line in needs.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let is_default = columns[3]
            .split(',')
            .all(|need| matches!(need, "-" | "duration-expr" | "!type-and-unit-labels"));
        if !is_default {
            needs_a_switch.insert((columns[0].to_owned(), columns[1].to_owned()));
        }
    }
    let engine = EngineOptions { max_samples: 10_000, ..EngineOptions::default() };
    let options = RunOptions { engine, parser: ParserOptions::default() };
    let mut failed = BTreeSet::new();
    for count in conformance_report(scripts, &options).unwrap() {
        for failure in count.failures {
            let mut parts = failure.split(':');
            let place = (parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned());
            assert!(needs_a_switch.contains(&place), "{failure}");
            failed.insert(place);
        }
    }
    // This one expects an error, and gets one also from the parser that has no such function.
    failed.insert(("info.test".to_owned(), "202".to_owned()));
    let unexpected: Vec<_> = needs_a_switch.difference(&failed).collect();
    assert!(unexpected.is_empty(), "passes without its switch: {unexpected:?}");
}
