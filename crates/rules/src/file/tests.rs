//! Tests: files and what is wrong with them.

use super::*;

const GOOD: &str = "
groups:
- name: a
  interval: 1m
  query_offset: 30s
  limit: 5
  labels: {team: x, own: group}
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
    labels: {own: rule}
  - alert: Down
    expr: up == 0
    for: 5m
    keep_firing_for: 10m
    labels: {severity: '{{ $labels.x }}'}
    annotations:
      summary: \"{{ $labels.instance }} is down\"
- name: b
  rules: []
";

#[test]
fn groups_and_rules_are_read() {
    let file = parse(GOOD, &ParseOptions::default()).unwrap();
    let [a, b] = file.groups.as_slice() else { panic!("{file:?}") };
    assert_eq!((a.interval_ms, a.query_offset_ms, a.limit), (Some(60_000), Some(30_000), 5));
    assert_eq!((b.name.as_str(), b.rules.len(), b.line), ("b", 0, 19));
    assert_eq!(a.rules[0].labels, Labels::from_pairs([("own", "rule"), ("team", "x")]));
    assert_eq!((a.rules[0].name(), a.rules[0].line), ("job:up:sum", 9));
    let RuleKind::Alerting { alert, for_ms, keep_firing_for_ms, annotations } = &a.rules[1].kind
    else {
        panic!()
    };
    assert_eq!((alert.as_str(), *for_ms, *keep_firing_for_ms), ("Down", 300_000, 600_000));
    assert_eq!(annotations.value("summary"), "{{ $labels.instance }} is down");
}

#[test]
fn every_problem_is_told_with_its_line() {
    let text = "
groups:
- name: a
  rules:
  - record: x
    alert: y
    expr: up
  - expr: up
  - record: r
    expr: sum(
    for: 1m
  - alert: z
    expr: up
    nonsense: 1
    annotations: {summary: '{{ $x }}'}
  - record: 'a{b}'
    expr: up
    labels: {__name__: q}
- name: a
  interval: 5 minutes
";
    let problems = parse(text, &ParseOptions::default()).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for want in [
        "5: group \"a\", rule 1, \"x\": only one of 'record' and 'alert' must be set",
        "8: group \"a\", rule 2, \"\": one of 'record' or 'alert' must be set",
        "9: group \"a\", rule 3, \"r\": invalid field 'for' in recording rule",
        "14: field \"nonsense\" not found in a rule",
        "12: group \"a\", rule 4, \"z\": annotation \"summary\": line 1: undefined variable \"$x\"",
        "16: group \"a\", rule 5, \"a{b}\": braces present in the recording rule name; should it \
         be in expr?: a{b}",
        "16: group \"a\", rule 5, \"a{b}\": invalid label name: __name__",
        "19: groupname: \"a\" is repeated in the same file",
    ] {
        assert!(shown.iter().any(|problem| problem == want), "{want}\n{shown:#?}");
    }
    assert!(shown.iter().any(|p| p.starts_with("10: ") && p.contains("could not parse expr")));
    assert!(shown.iter().any(|p| p.starts_with("20: field interval: ")), "{shown:#?}");
}

#[test]
fn rules_of_the_same_series_are_found() {
    let text = "
groups:
- name: a
  rules:
  - {record: x, expr: up, labels: {a: '1'}}
  - {record: x, expr: down, labels: {a: '2'}}
  - {record: x, expr: other, labels: {a: '1'}}
";
    let file = parse(text, &ParseOptions::default()).unwrap();
    let found = duplicates(&file);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].labels.value("a"), "1");
}
