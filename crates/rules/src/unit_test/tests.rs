//! Tests: the example of promtool's documentation, and what does not pass.

use super::*;

const RULES: &str = "
groups:
- name: example
  rules:
  - alert: InstanceDown
    expr: up == 0
    for: 5m
    labels:
      severity: page
    annotations:
      summary: \"Instance {{ $labels.instance }} down\"
      description: \"{{ $labels.instance }} of job {{ $labels.job }} has been down for more than 5 minutes.\"
  - record: job:up:avg
    expr: avg without (instance) (up)
";

const TEST: &str = "
rule_files: [alerts.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - series: 'up{job=\"prometheus\", instance=\"localhost:9090\"}'
    values: '0 0 0 0 0 0 0 0 0 0 0 0 0 0 0'
  - series: 'up{job=\"node_exporter\", instance=\"localhost:9100\"}'
    values: '1+0x6 0 0 0 0 0 0 0 0'
  alert_rule_test:
  - eval_time: 10m
    alertname: InstanceDown
    exp_alerts:
    - exp_labels:
        severity: page
        instance: localhost:9090
        job: prometheus
      exp_annotations:
        summary: \"Instance localhost:9090 down\"
        description: \"localhost:9090 of job prometheus has been down for more than 5 minutes.\"
  promql_expr_test:
  - expr: job:up:avg > 0.5
    eval_time: 4m
    exp_samples:
    - labels: 'job:up:avg{job=\"node_exporter\"}'
      value: 1
";

fn run(test: &str) -> Result<(), Vec<String>> {
    let read = |path: &Path| match path.to_str() {
        Some("dir/test.yml") => Ok(test.to_owned()),
        Some("dir/alerts.yml") => Ok(RULES.to_owned()),
        other => Err(format!("{other:?}: no such file")),
    };
    let files = Files { read: &read, glob: &|path| vec![path.to_owned()] };
    run_file(Path::new("dir/test.yml"), &files, &TestOptions::default())
}

#[test]
fn the_documented_example_passes() {
    assert_eq!(run(TEST), Ok(()));
}

#[test]
fn differences_are_shown_as_promtool_shows_them() {
    let failures = run(&TEST.replace("severity: page", "severity: mail")).unwrap_err();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].starts_with(
        "    alertname: InstanceDown, time: 10m, \n        exp:[\n            0:\n              \
         Labels:{alertname=\"InstanceDown\", instance=\"localhost:9090\""
    ), "{}", failures[0]);
    let failures = run(&TEST.replace("value: 1", "value: 1.5")).unwrap_err();
    assert_eq!(
        failures,
        ["    expr: \"job:up:avg > 0.5\", time: 4m,\n        exp: {__name__=\"job:up:avg\", \
          job=\"node_exporter\"} 1.5E+00\n        got: {__name__=\"job:up:avg\", \
          job=\"node_exporter\"} 1E+00"]
    );
}

#[test]
fn mistakes_in_the_file_are_told() {
    for (from, to, want) in [
        ("alerts.yml", "missing.yml", "no such file"),
        ("interval: 1m", "interval: often", "field interval"),
        ("tests:", "testz:", "line 4: field \"testz\" not found in a test file"),
        ("alertname: InstanceDown", "x: y", "field \"x\" not found in a alert test"),
        ("values: '0 0", "values: 'a b", "parse error"),
        ("expr: job:up:avg > 0.5", "expr: 'sum('", "parse error"),
    ] {
        let failures = run(&TEST.replace(from, to)).unwrap_err().join("\n");
        assert!(failures.contains(want), "{to}: {failures}");
    }
    let order = TEST.replace("tests:", "group_eval_order: [a, b, a]\ntests:");
    assert_eq!(run(&order), Err(vec!["group name repeated in evaluation order: a".to_owned()]));
}
