//! Rule files: groups of rules in YAML, checked as Prometheus checks them. Everything that is
//! wrong is told at once, each with its line.

pub(crate) mod fields;

use std::collections::HashSet;
use std::fmt;

use model::Labels;
use promql::ast::Expr;
use promql::parser::{ParserOptions, parse_expr};

use crate::template;
use fields::Fields;

/// A rule file.
#[derive(Debug, Clone, Default)]
pub struct RuleFile {
    /// Its groups, in order.
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated one after the other.
#[derive(Debug, Clone)]
pub struct RuleGroup {
    /// Its name, unique in the file.
    pub name: String,
    /// Between two evaluations, ms; `None` takes the default.
    pub interval_ms: Option<i64>,
    /// How far in the past the rules are evaluated, ms.
    pub query_offset_ms: Option<i64>,
    /// The most series or alerts that a rule may produce; 0 = no limit.
    pub limit: u64,
    /// Tenants whose data the rules read.
    pub source_tenants: Vec<String>,
    /// Evaluations fall onto multiples of the interval.
    pub align_evaluation_time_on_interval: bool,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// Its line in the file, from 1.
    pub line: usize,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Recording or alerting.
    pub kind: RuleKind,
    /// The expression as it was written.
    pub expr_text: String,
    /// The expression.
    pub expr: Expr,
    /// Labels of its results, those of the group included; of alerts they are templates.
    pub labels: Labels,
    /// Its line in the file, from 1.
    pub line: usize,
}

/// What a rule makes of its result.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleKind {
    /// Series of this name.
    Recording {
        /// The name.
        record: String,
    },
    /// Alerts.
    Alerting {
        /// The alerts' name.
        alert: String,
        /// How long an alert is pending before it fires, ms.
        for_ms: i64,
        /// How long an alert goes on firing without a result, ms.
        keep_firing_for_ms: i64,
        /// Templates of its annotations.
        annotations: Labels,
    },
}

impl Rule {
    /// The name of the series or of the alerts.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            RuleKind::Recording { record } => record,
            RuleKind::Alerting { alert, .. } => alert,
        }
    }
}

/// How strictly a file is read.
#[derive(Debug, Clone, Copy)]
pub struct ParseOptions {
    /// What the language of the expressions allows.
    pub parser: ParserOptions,
    /// Metric and label names may be any UTF-8.
    pub utf8_names: bool,
    /// Keys that nobody knows are passed over.
    pub ignore_unknown_fields: bool,
}

impl Default for ParseOptions {
    /// As a Prometheus 3 server.
    fn default() -> Self {
        Self { parser: ParserOptions::default(), utf8_names: true, ignore_unknown_fields: false }
    }
}

/// Something that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

/// Two rules that make the same series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The name of both.
    pub name: String,
    /// The labels of both.
    pub labels: Labels,
}

/// Reads a rule file.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub fn parse(text: &str, options: &ParseOptions) -> Result<RuleFile, Vec<FileProblem>> {
    let root = config::parse_yaml(text)
        .map_err(|error| vec![FileProblem { line: error.line, message: error.message }])?;
    let Some(root) = root else { return Ok(RuleFile::default()) };
    let mut reader = Reader { options, problems: Vec::new() };
    let file = reader.file(&root);
    if reader.problems.is_empty() { Ok(file) } else { Err(reader.problems) }
}

/// Rules of all groups that have name and labels in common with an earlier one.
#[must_use]
pub fn duplicates(file: &RuleFile) -> Vec<Duplicate> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for rule in file.groups.iter().flat_map(|group| &group.rules) {
        let key = (rule.name().to_owned(), rule.labels.clone());
        if !seen.insert(key) {
            found.push(Duplicate { name: rule.name().to_owned(), labels: rule.labels.clone() });
        }
    }
    found
}

struct Reader<'a> {
    options: &'a ParseOptions,
    problems: Vec<FileProblem>,
}

/// A rule as it is written.
struct WrittenRule {
    line: usize,
    record: Option<(String, usize)>,
    alert: Option<(String, usize)>,
    expr: (String, usize),
    for_ms: i64,
    keep_firing_for_ms: i64,
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
}

impl Reader<'_> {
    fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.problems.push(FileProblem { line, message: message.into() });
    }

    fn fields<'n>(&mut self, node: &'n config::Node, what: &'static str) -> Fields<'n> {
        Fields::new(node, what, &mut self.problems)
    }

    fn finish(&mut self, fields: Fields<'_>) {
        if self.options.ignore_unknown_fields {
            return;
        }
        fields.refuse_rest(&mut self.problems);
    }

    fn file(&mut self, root: &config::Node) -> RuleFile {
        let mut fields = self.fields(root, "rule file");
        let nodes = fields.list("groups", &mut self.problems);
        self.finish(fields);
        let groups: Vec<RuleGroup> = nodes.iter().map(|node| self.group(node)).collect();
        let mut names = HashSet::new();
        for group in &groups {
            if group.name.is_empty() {
                self.problem(group.line, "Groupname must not be empty");
            }
            if !names.insert(group.name.as_str()) {
                let message = format!("groupname: \"{}\" is repeated in the same file", group.name);
                self.problem(group.line, message);
            }
        }
        self.problems.sort_by_key(|problem| problem.line);
        RuleFile { groups }
    }

    fn group(&mut self, node: &config::Node) -> RuleGroup {
        let mut fields = self.fields(node, "rule group");
        let problems = &mut self.problems;
        let name = fields.text("name", problems).unwrap_or_default().0;
        let interval_ms = fields.duration_ms("interval", problems);
        let old_offset_ms = fields.duration_ms("evaluation_delay", problems);
        let query_offset_ms = fields.duration_ms("query_offset", problems).or(old_offset_ms);
        let limit = fields.count("limit", problems);
        let labels = fields.texts("labels", problems);
        let source_tenants = fields.text_list("source_tenants", problems);
        let align_evaluation_time_on_interval =
            fields.flag("align_evaluation_time_on_interval", problems);
        let nodes = fields.list("rules", problems);
        self.finish(fields);
        self.check_labels(node.line, &labels, None);
        let mut rules = Vec::with_capacity(nodes.len());
        for (i, node) in nodes.iter().enumerate() {
            let written = self.written_rule(node);
            rules.extend(self.rule(written, (&name, i + 1), &labels));
        }
        RuleGroup {
            name,
            interval_ms: interval_ms.filter(|&ms| ms > 0),
            query_offset_ms,
            limit,
            source_tenants,
            align_evaluation_time_on_interval,
            rules,
            line: node.line,
        }
    }

    fn written_rule(&mut self, node: &config::Node) -> WrittenRule {
        let mut fields = self.fields(node, "rule");
        let problems = &mut self.problems;
        let given = |text: Option<(String, usize)>| text.filter(|(text, _)| !text.is_empty());
        let written = WrittenRule {
            line: node.line,
            record: given(fields.text("record", problems)),
            alert: given(fields.text("alert", problems)),
            expr: fields.text("expr", problems).unwrap_or((String::new(), node.line)),
            for_ms: fields.duration_ms("for", problems).unwrap_or(0),
            keep_firing_for_ms: fields.duration_ms("keep_firing_for", problems).unwrap_or(0),
            labels: fields.texts("labels", problems),
            annotations: fields.texts("annotations", problems),
        };
        self.finish(fields);
        written
    }

    /// Checks a rule; none where something is wrong.
    fn rule(
        &mut self,
        written: WrittenRule,
        (group, number): (&str, usize),
        group_labels: &[(String, String)],
    ) -> Option<Rule> {
        let before = self.problems.len();
        let name = written.record.as_ref().or(written.alert.as_ref());
        let name = name.map_or("", |(name, _)| name);
        let context = format!("group {group:?}, rule {number}, {name:?}");
        match (&written.record, &written.alert) {
            (Some((_, line)), Some(_)) => {
                let message = "only one of 'record' and 'alert' must be set";
                self.problem(*line, format!("{context}: {message}"));
            }
            (None, None) => {
                let message = "one of 'record' or 'alert' must be set";
                self.problem(written.line, format!("{context}: {message}"));
            }
            _ => {}
        }
        let expr = self.expr(&written.expr, &context);
        if let Some((record, line)) = &written.record {
            for message in recording_problems(&written, record, self.options.utf8_names) {
                self.problem(*line, format!("{context}: {message}"));
            }
        }
        self.check_labels(written.line, &written.labels, Some(&context));
        self.check_annotations(&written, &context);
        if self.problems.len() > before {
            return None;
        }
        let pairs = group_labels.iter().chain(&written.labels);
        Some(Rule {
            labels: Labels::from_pairs(pairs.map(|(k, v)| (k.as_str(), v.as_str()))),
            expr_text: written.expr.0.clone(),
            expr: expr?,
            line: written.line,
            kind: kind(written),
        })
    }

    fn expr(&mut self, (text, line): &(String, usize), context: &str) -> Option<Expr> {
        if text.is_empty() {
            self.problem(*line, format!("{context}: field 'expr' must be set in rule"));
            return None;
        }
        let parsed = parse_expr(text, &self.options.parser);
        parsed
            .map_err(|error| {
                let message = format!("{context}: could not parse expression: {error}");
                self.problem(*line, message);
            })
            .ok()
    }

    fn check_labels(&mut self, line: usize, labels: &[(String, String)], context: Option<&str>) {
        for (name, _) in labels {
            if !is_label_name(name, self.options.utf8_names) || name == model::METRIC_NAME_LABEL {
                let context = context.map_or_else(String::new, |context| format!("{context}: "));
                self.problem(line, format!("{context}invalid label name: {name}"));
            }
        }
    }

    fn check_annotations(&mut self, written: &WrittenRule, context: &str) {
        for (name, _) in &written.annotations {
            if !is_label_name(name, self.options.utf8_names) {
                self.problem(written.line, format!("{context}: invalid annotation name: {name}"));
            }
        }
        if written.alert.is_none() {
            return;
        }
        for (what, templates) in [("label", &written.labels), ("annotation", &written.annotations)]
        {
            for (name, text) in templates {
                if let Err(error) = template::check_alert(text) {
                    self.problem(written.line, format!("{context}: {what} {name:?}: {error}"));
                }
            }
        }
    }
}

fn kind(written: WrittenRule) -> RuleKind {
    match (written.record, written.alert) {
        (Some((record, _)), _) => RuleKind::Recording { record },
        (None, alert) => RuleKind::Alerting {
            alert: alert.map(|(alert, _)| alert).unwrap_or_default(),
            for_ms: written.for_ms,
            keep_firing_for_ms: written.keep_firing_for_ms,
            annotations: Labels::from_pairs(
                written.annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())),
            ),
        },
    }
}

fn recording_problems(written: &WrittenRule, record: &str, utf8_names: bool) -> Vec<String> {
    let mut problems = Vec::new();
    for (field, is_set) in [
        ("annotations", !written.annotations.is_empty()),
        ("for", written.for_ms != 0),
        ("keep_firing_for", written.keep_firing_for_ms != 0),
    ] {
        if is_set {
            problems.push(format!("invalid field '{field}' in recording rule"));
        }
    }
    if !utf8_names && !model::labels::is_legacy_metric_name(record) {
        problems.push(format!("invalid recording rule name: {record}"));
    }
    if record.contains(['{', '}']) {
        problems.push(format!(
            "braces present in the recording rule name; should it be in expr?: {record}"
        ));
    }
    problems
}

fn is_label_name(name: &str, utf8_names: bool) -> bool {
    if utf8_names { !name.is_empty() } else { model::labels::is_legacy_label_name(name) }
}

#[cfg(test)]
mod tests;
