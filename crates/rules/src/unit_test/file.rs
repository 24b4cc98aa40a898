//! The file of a unit test.

use config::Node;
use model::{Labels, TimestampMs};

use crate::file::FileProblem;
use crate::file::fields::Fields;

/// A test file.
#[derive(Debug, Default)]
pub(super) struct TestFile {
    pub(super) rule_files: Vec<String>,
    pub(super) evaluation_interval_ms: i64,
    pub(super) group_eval_order: Vec<String>,
    /// Floats may differ by their last bit.
    pub(super) fuzzy_compare: bool,
    pub(super) tests: Vec<TestGroup>,
}

/// Tests over the same series.
#[derive(Debug)]
pub(super) struct TestGroup {
    pub(super) name: String,
    /// Between two values of the series.
    pub(super) interval_ms: i64,
    /// The time of the first value.
    pub(super) start_ms: TimestampMs,
    pub(super) input_series: Vec<(String, String)>,
    pub(super) alert_tests: Vec<AlertTest>,
    pub(super) expr_tests: Vec<ExprTest>,
    pub(super) external_labels: Labels,
    pub(super) external_url: String,
}

/// The alerts of one name at one time.
#[derive(Debug)]
pub(super) struct AlertTest {
    pub(super) eval_time_ms: i64,
    pub(super) alertname: String,
    /// Labels and annotations.
    pub(super) expected: Vec<(Labels, Labels)>,
}

/// The result of a query at one time.
#[derive(Debug)]
pub(super) struct ExprTest {
    pub(super) expr: String,
    pub(super) eval_time_ms: i64,
    pub(super) expected: Vec<ExpectedSample>,
}

/// A sample that must be in a result.
#[derive(Debug)]
pub(super) struct ExpectedSample {
    pub(super) labels: String,
    pub(super) value: f64,
    pub(super) histogram: String,
}

const DEFAULT_INTERVAL_MS: i64 = 60_000;

/// Reads a test file.
pub(super) fn parse(text: &str, ignore_unknown_fields: bool) -> Result<TestFile, Vec<String>> {
    let root = config::parse_yaml(text).map_err(|error| vec![error.to_string()])?;
    let Some(root) = root else { return Ok(TestFile::default()) };
    let mut reader = Reader { problems: Vec::new(), ignore_unknown_fields };
    let file = reader.file(&root);
    if reader.problems.is_empty() {
        return Ok(file);
    }
    let shown = |problem: &FileProblem| format!("line {}: {}", problem.line, problem.message);
    Err(reader.problems.iter().map(shown).collect())
}

struct Reader {
    problems: Vec<FileProblem>,
    ignore_unknown_fields: bool,
}

impl Reader {
    fn fields<'n>(&mut self, node: &'n Node, what: &'static str) -> Fields<'n> {
        Fields::new(node, what, &mut self.problems)
    }

    fn finish(&mut self, fields: Fields<'_>) {
        if !self.ignore_unknown_fields {
            fields.refuse_rest(&mut self.problems);
        }
    }

    fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.problems.push(FileProblem { line, message: message.into() });
    }

    fn file(&mut self, root: &Node) -> TestFile {
        let mut fields = self.fields(root, "test file");
        let problems = &mut self.problems;
        let interval_ms = fields.duration_ms("evaluation_interval", problems).unwrap_or(0);
        let interval_ms = if interval_ms > 0 { interval_ms } else { DEFAULT_INTERVAL_MS };
        let rule_files = fields.text_list("rule_files", problems);
        let group_eval_order = fields.text_list("group_eval_order", problems);
        let fuzzy_compare = fields.flag("fuzzy_compare", problems);
        let nodes = fields.list("tests", problems);
        self.finish(fields);
        let tests = nodes.iter().map(|node| self.group(node, interval_ms)).collect();
        let evaluation_interval_ms = interval_ms;
        TestFile { rule_files, evaluation_interval_ms, group_eval_order, fuzzy_compare, tests }
    }

    fn group(&mut self, node: &Node, default_interval_ms: i64) -> TestGroup {
        let mut fields = self.fields(node, "test group");
        let problems = &mut self.problems;
        let interval_ms = fields.duration_ms("interval", problems).unwrap_or(0);
        let name = fields.text("name", problems).unwrap_or_default().0;
        let external_url = fields.text("external_url", problems).unwrap_or_default().0;
        let external = fields.texts("external_labels", problems);
        let start = fields.text("start_timestamp", problems);
        let series = fields.list("input_series", problems);
        let alerts = fields.list("alert_rule_test", problems);
        let exprs = fields.list("promql_expr_test", problems);
        self.finish(fields);
        let start_ms = start.map_or(0, |(text, line)| self.start(&text, line));
        TestGroup {
            name,
            interval_ms: if interval_ms > 0 { interval_ms } else { default_interval_ms },
            start_ms,
            input_series: series.iter().map(|node| self.series(node)).collect(),
            alert_tests: alerts.iter().map(|node| self.alert_test(node)).collect(),
            expr_tests: exprs.iter().map(|node| self.expr_test(node)).collect(),
            external_labels: labels(&external),
            external_url,
        }
    }

    /// Seconds since the epoch, or RFC 3339.
    fn start(&mut self, text: &str, line: usize) -> TimestampMs {
        if let Ok(seconds) = text.parse::<f64>()
            && seconds.abs() < 1e12
        {
            return (seconds * 1000.0) as i64;
        }
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => time.as_millisecond(),
            Err(_) => {
                self.problem(line, format!("field start_timestamp: {text:?} is no time"));
                0
            }
        }
    }

    fn series(&mut self, node: &Node) -> (String, String) {
        let mut fields = self.fields(node, "series");
        let series = fields.text("series", &mut self.problems).unwrap_or_default().0;
        let values = fields.text("values", &mut self.problems).unwrap_or_default().0;
        self.finish(fields);
        (series, values)
    }

    fn alert_test(&mut self, node: &Node) -> AlertTest {
        let mut fields = self.fields(node, "alert test");
        let eval_time_ms = fields.duration_ms("eval_time", &mut self.problems).unwrap_or(0);
        let alertname = fields.text("alertname", &mut self.problems).unwrap_or_default().0;
        let nodes = fields.list("exp_alerts", &mut self.problems);
        self.finish(fields);
        let mut expected = Vec::with_capacity(nodes.len());
        for node in nodes {
            let mut fields = self.fields(node, "expected alert");
            let mut own = fields.texts("exp_labels", &mut self.problems);
            let annotations = fields.texts("exp_annotations", &mut self.problems);
            self.finish(fields);
            own.push(("alertname".to_owned(), alertname.clone()));
            expected.push((labels(&own), labels(&annotations)));
        }
        AlertTest { eval_time_ms, alertname, expected }
    }

    fn expr_test(&mut self, node: &Node) -> ExprTest {
        let mut fields = self.fields(node, "expression test");
        let expr = fields.text("expr", &mut self.problems).unwrap_or_default().0;
        let eval_time_ms = fields.duration_ms("eval_time", &mut self.problems).unwrap_or(0);
        let nodes = fields.list("exp_samples", &mut self.problems);
        self.finish(fields);
        let expected = nodes.iter().map(|node| self.sample(node)).collect();
        ExprTest { expr, eval_time_ms, expected }
    }

    fn sample(&mut self, node: &Node) -> ExpectedSample {
        let mut fields = self.fields(node, "sample");
        let labels = fields.text("labels", &mut self.problems).unwrap_or_default().0;
        let histogram = fields.text("histogram", &mut self.problems).unwrap_or_default().0;
        let value = fields.text("value", &mut self.problems);
        self.finish(fields);
        let value = match value {
            None => 0.0,
            Some((text, line)) => number(&text).unwrap_or_else(|| {
                self.problem(line, format!("field value: {text:?} is no number"));
                0.0
            }),
        };
        ExpectedSample { labels, value, histogram }
    }
}

/// A number as YAML writes it.
fn number(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        ".nan" => Some(f64::NAN),
        ".inf" | "+.inf" => Some(f64::INFINITY),
        "-.inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

fn labels(pairs: &[(String, String)]) -> Labels {
    Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}
