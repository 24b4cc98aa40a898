//! Query text from a syntax tree: the canonical form of [`std::fmt::Display`].
//!
//! The form is Prometheus': it parses to an equal tree, and the HTTP API, logs and test scripts
//! show it. Labels of a selector are sorted, so that equal selectors print alike. For text over
//! several lines see [`crate::prettier`].

use std::fmt::{self, Display, Formatter, Write as _};

use model::labels::is_legacy_label_name;

use crate::ast::{
    AggregateExpr, AtModifier, BinaryExpr, Call, Cardinality, DurationExpr, DurationOp,
    DurationOpExpr, DurationSpec, Expr, LabelMatcher, MatchOp, MatrixSelector, NumberLiteral,
    RangeExtension, StringLiteral, SubqueryExpr, UnaryExpr, VectorMatching, VectorSelector,
};
use crate::duration::format_duration;
use crate::strings::{format_float, format_float_general, quote};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NumberLiteral(node) => node.fmt(f),
            Self::StringLiteral(node) => node.fmt(f),
            Self::VectorSelector(node) => node.fmt(f),
            Self::MatrixSelector(node) => node.fmt(f),
            Self::Subquery(node) => node.fmt(f),
            Self::Call(node) => node.fmt(f),
            Self::Aggregate(node) => node.fmt(f),
            Self::Binary(node) => node.fmt(f),
            Self::Unary(node) => node.fmt(f),
            Self::Paren(node) => write!(f, "({})", node.expr),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_duration {
            #[expect(clippy::cast_possible_truncation, reason = "saturates")]
            let nanos = (self.value * 1e9) as i64;
            let nanos_per_ms = 1_000_000;
            let sign = if self.value < 0.0 && nanos > -nanos_per_ms { "-" } else { "" };
            return write!(f, "{sign}{}", format_duration(nanos / nanos_per_ms));
        }
        f.write_str(&format_float(self.value))
    }
}

impl Display for StringLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&quote(&self.value))
    }
}

impl Display for UnaryExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.op.symbol(), self.expr)
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.func.name)?;
        for (index, arg) in self.args.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{arg}")?;
        }
        f.write_char(')')
    }
}

impl Display for AggregateExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", AggregateHead(self))?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

/// The operator of an aggregation with its clause: `sum by (job) `.
pub(crate) struct AggregateHead<'a>(pub(crate) &'a AggregateExpr);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.name())?;
        if self.0.without {
            write!(f, " without ({}) ", LabelList(&self.0.grouping))
        } else if self.0.grouping.is_empty() {
            Ok(())
        } else {
            write!(f, " by ({}) ", LabelList(&self.0.grouping))
        }
    }
}

struct LabelList<'a>(&'a [String]);

impl Display for LabelList<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, label) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            if is_legacy_label_name(label) {
                f.write_str(label)?;
            } else {
                f.write_str(&quote(label.as_bytes()))?;
            }
        }
        Ok(())
    }
}

impl Display for BinaryExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let chain: Vec<_> = self.left_chain().collect();
        if let Some(innermost) = chain.last() {
            innermost.lhs.fmt(f)?;
        }
        for node in chain.iter().rev() {
            write!(f, " {} {}", OperatorHead(node), node.rhs)?;
        }
        Ok(())
    }
}

/// A binary operator with its modifiers: `== bool on (job)`.
pub(crate) struct OperatorHead<'a>(pub(crate) &'a BinaryExpr);

impl Display for OperatorHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.symbol())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        match &self.0.matching {
            Some(matching) => matching.fmt(f),
            None => Ok(()),
        }
    }
}

impl Display for VectorMatching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let group = match self.card {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if !self.labels.is_empty() || self.on || group.is_some() {
            let word = if self.on { "on" } else { "ignoring" };
            write!(f, " {word} ({})", LabelList(&self.labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} ({})", LabelList(&self.include))?;
        }
        match (self.fill.lhs, self.fill.rhs) {
            (Some(left), Some(right)) if left == right => {
                write!(f, " fill ({})", format_float_general(left))
            }
            (left, right) => {
                for (side, value) in [("left", left), ("right", right)] {
                    if let Some(value) = value {
                        write!(f, " fill_{side} ({})", format_float_general(value))?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", SelectorHead(self), OptionalAt(self.at))?;
        write!(f, "{}{}", self.extension, OptionalOffset(self.offset.as_ref()))
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let selector = &self.selector;
        write!(f, "{}[{}]{}", SelectorHead(selector), self.range, selector.extension)?;
        write!(f, "{}{}", OptionalAt(selector.at), OptionalOffset(selector.offset.as_ref()))
    }
}

impl Display for SubqueryExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.expr, SubqueryTail(self))
    }
}

/// What stands behind the expression of a subquery: `[5m:1m] offset 1h`.
pub(crate) struct SubqueryTail<'a>(pub(crate) &'a SubqueryExpr);

impl Display for SubqueryTail<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.range)?;
        // A step of less than a millisecond counts as none.
        if let Some(step) = self.0.step.as_ref().filter(|step| **step != DurationSpec::Fixed(0)) {
            write!(f, "{step}")?;
        }
        write!(f, "]{}{}", OptionalAt(self.0.at), OptionalOffset(self.0.offset.as_ref()))
    }
}

/// Name and matchers of a selector.
struct SelectorHead<'a>(&'a VectorSelector);

impl Display for SelectorHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let selector = self.0;
        f.write_str(&String::from_utf8_lossy(&selector.name))?;
        let shown = selector.matchers.iter().filter(|label| !repeats_name(selector, label));
        let mut shown: Vec<_> = shown.map(|label| label.matcher.to_string()).collect();
        if shown.is_empty() {
            // `{}`, which only `info()` takes, prints as nothing; so does Prometheus.
            return Ok(());
        }
        shown.sort_unstable();
        write!(f, "{{{}}}", shown.join(","))
    }
}

fn repeats_name(selector: &VectorSelector, label: &LabelMatcher) -> bool {
    let matcher = &label.matcher;
    matcher.name() == model::METRIC_NAME_LABEL
        && matcher.op() == MatchOp::Equal
        && matcher.value() == selector.name
        && !selector.name.is_empty()
}

impl Display for RangeExtension {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::Anchored => " anchored",
            Self::Smoothed => " smoothed",
        })
    }
}

struct OptionalAt(Option<AtModifier>);

impl Display for OptionalAt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(AtModifier::Start) => f.write_str(" @ start()"),
            Some(AtModifier::End) => f.write_str(" @ end()"),
            #[expect(clippy::cast_precision_loss, reason = "as Prometheus prints it")]
            Some(AtModifier::Timestamp(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
        }
    }
}

struct OptionalOffset<'a>(Option<&'a DurationSpec>);

impl Display for OptionalOffset<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            // Unparenthesised arithmetic ends at its first operator when it is read again, and
            // the rest becomes arithmetic on the vector (Prometheus prints it so all the same).
            Some(DurationSpec::Expr(expr)) if is_bare_arithmetic(expr) => {
                write!(f, " offset ({expr})")
            }
            Some(offset) => write!(f, " offset {offset}"),
        }
    }
}

/// Whether a binary operator stands in `expr` outside all parentheses.
fn is_bare_arithmetic(expr: &DurationOpExpr) -> bool {
    !expr.wrapped
        && match (&expr.lhs, &expr.rhs) {
            (Some(_), Some(_)) => !matches!(expr.op, DurationOp::MinOf | DurationOp::MaxOf),
            (None, Some(DurationExpr::Op(rhs))) => is_bare_arithmetic(rhs),
            _ => false,
        }
}

impl Display for DurationSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(ms) => f.write_str(&format_duration(*ms)),
            Self::Expr(expr) => expr.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Op(expr) => expr.fmt(f),
        }
    }
}

impl Display for DurationOpExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.wrapped { ("(", ")") } else { ("", "") };
        f.write_str(open)?;
        let symbol = self.op.symbol();
        match (&self.lhs, &self.rhs) {
            (Some(lhs), Some(rhs)) => match self.op {
                DurationOp::MinOf | DurationOp::MaxOf => write!(f, "{symbol}({lhs}, {rhs})"),
                _ => write!(f, "{lhs} {symbol} {rhs}"),
            },
            (None, Some(rhs)) if self.op == DurationOp::Add => rhs.fmt(f),
            (None, Some(rhs)) => write!(f, "{symbol}{rhs}"),
            _ => write!(f, "{symbol}()"),
        }?;
        f.write_str(close)
    }
}
