//! The JSON of a syntax tree, as the HTTP API's `parse_query` gives it.
//!
//! Field names and values are Prometheus'; fields are sorted by name. The tree has no positions in
//! this form. Bytes of strings that are not UTF-8 become U+FFFD.

use thiserror::Error;

use crate::ast::{
    AggregateExpr, AtModifier, BinaryExpr, Call, DurationExpr, DurationOpExpr, DurationSpec, Expr,
    LabelMatcher, MatrixSelector, NumberLiteral, RangeExtension, SubqueryExpr, UnaryExpr,
    VectorMatching, VectorSelector,
};
use crate::strings::format_float;

/// JSON has no infinite numbers, so a tree with `fill(Inf)` has no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error("json: unsupported value: {}", format_float(*.0))]
pub struct UnsupportedValue(pub f64);

/// The JSON text of `expr`.
///
/// # Errors
/// If the value of a `fill` modifier is infinite or NaN.
pub fn to_json(expr: &Expr) -> Result<String, UnsupportedValue> {
    let mut out = Writer::default();
    out.expr(expr);
    out.unsupported.map_or(Ok(out.text), |value| Err(UnsupportedValue(value)))
}

#[derive(Default)]
struct Writer {
    text: String,
    unsupported: Option<f64>,
}

impl Writer {
    fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn string(&mut self, value: &[u8]) {
        self.text.push('"');
        for c in String::from_utf8_lossy(value).chars() {
            match c {
                '"' => self.raw("\\\""),
                '\\' => self.raw("\\\\"),
                '\n' => self.raw("\\n"),
                '\r' => self.raw("\\r"),
                '\t' => self.raw("\\t"),
                c if c < ' ' => self.raw(&format!("\\u{:04x}", u32::from(c))),
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.raw("[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]");
    }

    fn labels(&mut self, labels: &[String]) {
        self.list(labels, |out, label| out.string(label.as_bytes()));
    }

    fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::NumberLiteral(number) => self.number(number),
            Expr::StringLiteral(text) => {
                self.raw("{\"type\":\"stringLiteral\",\"val\":");
                self.string(&text.value);
                self.raw("}");
            }
            Expr::VectorSelector(selector) => self.vector_selector(selector),
            Expr::MatrixSelector(matrix) => self.matrix_selector(matrix),
            Expr::Subquery(subquery) => self.subquery(subquery),
            Expr::Call(call) => self.call(call),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Unary(unary) => self.unary(unary),
            Expr::Paren(paren) => {
                self.raw("{\"expr\":");
                self.expr(&paren.expr);
                self.raw(",\"type\":\"parenExpr\"}");
            }
        }
    }

    fn number(&mut self, number: &NumberLiteral) {
        let value = format_float(number.value);
        self.raw(&format!("{{\"type\":\"numberLiteral\",\"val\":\"{value}\"}}"));
    }

    fn unary(&mut self, unary: &UnaryExpr) {
        self.raw("{\"expr\":");
        self.expr(&unary.expr);
        self.raw(&format!(",\"op\":\"{}\",\"type\":\"unaryExpr\"}}", unary.op.symbol()));
    }

    fn aggregate(&mut self, aggregate: &AggregateExpr) {
        self.raw("{\"expr\":");
        self.expr(&aggregate.expr);
        self.raw(",\"grouping\":");
        self.labels(&aggregate.grouping);
        self.raw(&format!(",\"op\":\"{}\",\"param\":", aggregate.op.name()));
        match &aggregate.param {
            Some(param) => self.expr(param),
            None => self.raw("null"),
        }
        self.raw(",\"type\":\"aggregation\",\"without\":");
        self.bool(aggregate.without);
        self.raw("}");
    }

    fn call(&mut self, call: &Call) {
        self.raw("{\"args\":");
        self.list(&call.args, Self::expr);
        self.raw(",\"func\":{\"argTypes\":");
        self.list(call.func.arg_types, |out, arg| out.string(arg.name().as_bytes()));
        self.raw(&format!(
            ",\"name\":\"{}\",\"returnType\":\"{}\",\"variadic\":{}}},\"type\":\"call\"}}",
            call.func.name,
            call.func.return_type.name(),
            call.func.variadic
        ));
    }

    /// Writes the openings of a chain from the outermost on, then its rest from the innermost on.
    fn binary(&mut self, outermost: &BinaryExpr) {
        let chain: Vec<_> = outermost.left_chain().collect();
        for node in &chain {
            self.raw("{\"bool\":");
            self.bool(node.return_bool);
            self.raw(",\"lhs\":");
        }
        if let Some(innermost) = chain.last() {
            self.expr(&innermost.lhs);
        }
        for node in chain.iter().rev() {
            self.raw(",\"matching\":");
            match &node.matching {
                Some(matching) => self.matching(matching),
                None => self.raw("null"),
            }
            self.raw(&format!(",\"op\":\"{}\",\"rhs\":", node.op.symbol()));
            self.expr(&node.rhs);
            self.raw(",\"type\":\"binaryExpr\"}");
        }
    }

    fn matching(&mut self, matching: &VectorMatching) {
        self.raw(&format!("{{\"card\":\"{}\",\"fillValues\":{{\"lhs\":", matching.card.name()));
        self.fill_value(matching.fill.lhs);
        self.raw(",\"rhs\":");
        self.fill_value(matching.fill.rhs);
        self.raw("},\"include\":");
        self.labels(&matching.include);
        self.raw(",\"labels\":");
        self.labels(&matching.labels);
        self.raw(",\"on\":");
        self.bool(matching.on);
        self.raw("}");
    }

    fn fill_value(&mut self, value: Option<f64>) {
        match value {
            None => self.raw("null"),
            Some(value) if value.is_finite() => self.raw(&format_float(value)),
            Some(value) => self.unsupported = self.unsupported.or(Some(value)),
        }
    }

    fn vector_selector(&mut self, selector: &VectorSelector) {
        self.selector(selector, "", "vectorSelector");
    }

    fn matrix_selector(&mut self, matrix: &MatrixSelector) {
        let mut range = Self::default();
        range.duration("range", Some(&matrix.range));
        self.selector(&matrix.selector, &range.text, "matrixSelector");
    }

    /// `range` are the fields of a matrix selector's range.
    fn selector(&mut self, selector: &VectorSelector, range: &str, kind: &str) {
        self.raw("{\"anchored\":");
        self.bool(selector.extension == RangeExtension::Anchored);
        self.raw(",\"matchers\":");
        self.list(&selector.matchers, Self::matcher);
        self.raw(",\"name\":");
        self.string(&selector.name);
        self.raw(",");
        self.duration("offset", selector.offset.as_ref());
        self.raw(range);
        self.raw("\"smoothed\":");
        self.bool(selector.extension == RangeExtension::Smoothed);
        self.raw(",");
        self.start_or_end(selector.at);
        self.timestamp(selector.at);
        self.raw(&format!("\"type\":\"{kind}\"}}"));
    }

    fn matcher(&mut self, label: &LabelMatcher) {
        self.raw("{\"name\":");
        self.string(label.matcher.name().as_bytes());
        self.raw(&format!(",\"type\":\"{}\",\"value\":", label.matcher.op().as_str()));
        self.string(label.matcher.value());
        self.raw("}");
    }

    fn subquery(&mut self, subquery: &SubqueryExpr) {
        self.raw("{\"expr\":");
        self.expr(&subquery.expr);
        self.raw(",");
        self.duration("offset", subquery.offset.as_ref());
        self.duration("range", Some(&subquery.range));
        self.start_or_end(subquery.at);
        self.duration("step", subquery.step.as_ref());
        self.timestamp(subquery.at);
        self.raw("\"type\":\"subquery\"}");
    }

    /// Both fields of a duration and a comma: the constant and the expression, one of them empty.
    fn duration(&mut self, name: &str, duration: Option<&DurationSpec>) {
        let ms = match duration {
            Some(DurationSpec::Fixed(ms)) => *ms,
            _ => 0,
        };
        self.raw(&format!("\"{name}\":{ms},\"{name}Expr\":"));
        match duration {
            Some(DurationSpec::Expr(expr)) => self.duration_op(expr),
            _ => self.raw("null"),
        }
        self.raw(",");
    }

    fn duration_op(&mut self, expr: &DurationOpExpr) {
        self.raw("{\"lhs\":");
        self.duration_operand(expr.lhs.as_ref());
        self.raw(&format!(",\"op\":\"{}\",\"rhs\":", expr.op.symbol()));
        self.duration_operand(expr.rhs.as_ref());
        self.raw(",\"type\":\"durationExpr\",\"wrapped\":");
        self.bool(expr.wrapped);
        self.raw("}");
    }

    fn duration_operand(&mut self, operand: Option<&DurationExpr>) {
        match operand {
            None => self.raw("null"),
            Some(DurationExpr::Op(expr)) => self.duration_op(expr),
            Some(DurationExpr::Number(number)) => {
                self.raw("{\"duration\":");
                self.bool(number.is_duration);
                let value = format_float(number.value);
                self.raw(&format!(",\"type\":\"numberLiteral\",\"val\":\"{value}\"}}"));
            }
        }
    }

    fn start_or_end(&mut self, at: Option<AtModifier>) {
        let value = match at {
            Some(AtModifier::Start) => "\"start\"",
            Some(AtModifier::End) => "\"end\"",
            _ => "null",
        };
        self.raw(&format!("\"startOrEnd\":{value},"));
    }

    fn timestamp(&mut self, at: Option<AtModifier>) {
        match at {
            Some(AtModifier::Timestamp(ms)) => self.raw(&format!("\"timestamp\":{ms},")),
            _ => self.raw("\"timestamp\":null,"),
        }
    }
}
