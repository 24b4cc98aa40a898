//! The tools of the command line: what they print and how they end.

use std::path::Path;
use std::process::Command;

/// Exit code, standard output and standard error.
fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_urd")).current_dir(dir).args(args).output();
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const SCRIPT: &str = "load 1m\n  up 1 2 3\n\neval instant at 2m up\n  up 3\n";

#[test]
fn queries_are_formatted_and_parsed() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, _) = run(dir.path(), &["promql", "format", "sum(up)   by (job)"]);
    assert_eq!((code, out.as_str()), (Some(0), "sum by (job) (up)\n"));
    let (code, out, _) = run(dir.path(), &["promql", "parse", "up"]);
    assert!(code == Some(0) && out.contains("\"type\":\"vectorSelector\""), "{out}");
    let (code, out, _) = run(dir.path(), &["promql", "explain", "sum(rate(x[5m]))"]);
    assert!(code == Some(0) && out.contains("rate") && out.contains("sum"), "{out}");
    let (code, _, err) = run(dir.path(), &["promql", "format", "sum("]);
    assert!(code == Some(1) && err.contains("parse error"), "{err}");
}

#[test]
fn scripts_are_run() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.test"), SCRIPT).unwrap();
    let (code, out, _) = run(dir.path(), &["promql", "test", "a.test"]);
    assert_eq!((code, out.as_str()), (Some(0), "a.test: 1 of 1 evals pass\n"));
    std::fs::write(dir.path().join("b.test"), SCRIPT.replace("up 3\n", "up 4\n")).unwrap();
    let (code, out, err) = run(dir.path(), &["promql", "test", "*.test"]);
    assert!(code == Some(1) && err.starts_with("b.test:4: up: "), "{out}{err}");
    let (code, _, err) = run(dir.path(), &["promql", "test", "missing.test"]);
    assert!(code == Some(1) && err.contains("missing.test"), "{err}");
}

#[test]
fn rules_are_checked_and_tested() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "groups:\n- name: g\n  rules:\n  - record: r\n    expr: up * 2\n";
    std::fs::write(dir.path().join("rules.yml"), rules).unwrap();
    let (code, out, _) = run(dir.path(), &["rules", "check", "rules.yml"]);
    assert_eq!((code, out.as_str()), (Some(0), "Checking rules.yml\n  SUCCESS: 1 rules found\n"));
    std::fs::write(dir.path().join("bad.yml"), rules.replace("up * 2", "up *")).unwrap();
    let (code, _, err) = run(dir.path(), &["rules", "check", "bad.yml"]);
    assert!(code == Some(1) && err.contains("bad.yml:5: group \"g\", rule 1, \"r\": "), "{err}");
    let test = "rule_files: [r*.yml]\ntests:\n- interval: 1m\n  input_series:\n  - {series: up, \
                values: 1 2}\n  promql_expr_test:\n  - expr: r\n    eval_time: 1m\n    exp_samples: \
                [{labels: r, value: 4}]\n";
    std::fs::write(dir.path().join("test.yml"), test).unwrap();
    let (code, out, err) = run(dir.path(), &["rules", "test", "test.yml"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, "Unit Testing:  test.yml\n  SUCCESS\n\n");
    std::fs::write(dir.path().join("test.yml"), test.replace("value: 4", "value: 5")).unwrap();
    let (code, _, err) = run(dir.path(), &["rules", "test", "test.yml"]);
    assert!(code == Some(1) && err.contains("exp: {__name__=\"r\"} 5E+00"), "{err}");
}

#[test]
fn mistakes_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["rules"][..], &["promql", "nonsense", "x"], &["rules", "check", "--what", "x"]] {
        let (code, _, err) = run(dir.path(), args);
        assert!(code == Some(1) && err.contains("usage:"), "{args:?}: {err}");
    }
}
