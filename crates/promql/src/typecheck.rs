//! Checks the types of a parsed query and settles what depends on them.
//!
//! Called by [`crate::parser::parse_expr`] once the syntax is right. Besides checking it drops the
//! vector matching of operations that are not between vectors, makes set operations many-to-many,
//! and marks the second argument of `info()`. Children are checked before their parents, so the
//! first error is the one that Prometheus reports.

use hashbrown::HashSet;

use crate::ast::{
    AggregateExpr, BinaryExpr, Call, Cardinality, Expr, FillValues, SubqueryExpr, UnaryExpr,
    ValueType, VectorSelector,
};
use crate::parser::ParseError;
use crate::position::PositionRange;
use crate::strings::quote;

type Checked = Result<(), ParseError>;

/// Checks `expr`, which was parsed from `source`.
pub(crate) fn check(expr: &mut Expr, source: &[u8]) -> Checked {
    Checker { source }.check(expr).map(drop)
}

struct Checker<'a> {
    source: &'a [u8],
}

impl Checker<'_> {
    /// Checks everything below `expr` and gives its type.
    fn check(&self, expr: &mut Expr) -> Result<ValueType, ParseError> {
        match expr {
            Expr::VectorSelector(node) => self.check_selector(node)?,
            Expr::MatrixSelector(node) => self.check_selector(&node.selector)?,
            Expr::Subquery(node) => self.check_subquery(node)?,
            Expr::Call(node) => self.check_call(node)?,
            Expr::Aggregate(node) => self.check_aggregate(node)?,
            Expr::Binary(node) => self.check_binary_chain(node)?,
            // Not left to `value_type`, which would walk down again for each of many signs.
            Expr::Unary(node) => return self.check_unary(node),
            Expr::Paren(node) => return self.check(&mut node.expr),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
        }
        Ok(expr.value_type())
    }

    fn fail(&self, pos: PositionRange, message: impl Into<String>) -> Checked {
        Err(ParseError::new(self.source, pos, message))
    }

    fn check_selector(&self, selector: &VectorSelector) -> Checked {
        if let Some((_, others)) = selector.matchers.split_last()
            && !selector.name.is_empty()
        {
            let is_name = |name: &str| name == model::METRIC_NAME_LABEL;
            let second = others.iter().find(|other| is_name(other.matcher.name()));
            return second.map_or(Ok(()), |second| {
                let (name, other) = (quote(&selector.name), quote(second.matcher.value()));
                let message = format!("metric name must not be set twice: {name} or {other}");
                self.fail(selector.pos, message)
            });
        }
        let matches_empty = selector.matchers.iter().all(|label| label.matcher.matches_empty());
        if matches_empty && !selector.is_info_argument {
            let message = "vector selector must contain at least one non-empty matcher";
            return self.fail(selector.pos, message);
        }
        Ok(())
    }

    fn check_subquery(&self, subquery: &mut SubqueryExpr) -> Checked {
        let got = self.check(&mut subquery.expr)?;
        if got == ValueType::Vector {
            return Ok(());
        }
        let message =
            format!("subquery is only allowed on instant vector, got {} instead", got.name());
        self.fail(subquery.pos, message)
    }

    fn check_unary(&self, unary: &mut UnaryExpr) -> Result<ValueType, ParseError> {
        let got = self.check(&mut unary.expr)?;
        if is_operand_type(got) {
            return Ok(got);
        }
        let name = quote(got.documented_name().as_bytes());
        let message = format!(
            "unary expression only allowed on expressions of type scalar or instant vector, \
             got {name}"
        );
        self.fail(unary.pos, message).map(|()| got)
    }

    fn check_aggregate(&self, aggregate: &mut AggregateExpr) -> Checked {
        self.expect_type(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
        let Some(param) = &mut aggregate.param else { return Ok(()) };
        let is_scalar = aggregate.op.has_scalar_param();
        let want = if is_scalar { ValueType::Scalar } else { ValueType::String };
        self.expect_type(param, want, "aggregation parameter")
    }

    fn expect_type(&self, expr: &mut Expr, want: ValueType, place: &str) -> Checked {
        let got = self.check(expr)?;
        self.require_type(expr.position(), got, want, place)
    }

    fn require_type(
        &self,
        pos: PositionRange,
        got: ValueType,
        want: ValueType,
        place: &str,
    ) -> Checked {
        if got == want {
            return Ok(());
        }
        let (want, got) = (want.documented_name(), got.documented_name());
        self.fail(pos, format!("expected type {want} in {place}, got {got}"))
    }

    fn check_call(&self, call: &mut Call) -> Checked {
        self.check_argument_count(call)?;
        let place = format!("call to function {}", quote(call.func.name.as_bytes()));
        if call.func.name == "info" {
            self.check_info_selector(call, &place)?;
        }
        let func = call.func;
        for (index, arg) in call.args.iter_mut().enumerate() {
            let Some(want) = func.arg_type(index) else { break };
            self.expect_type(arg, want, &place)?;
        }
        Ok(())
    }

    fn check_argument_count(&self, call: &Call) -> Checked {
        let (got, want) = (call.args.len(), call.func.arg_types.len());
        let name = quote(call.func.name.as_bytes());
        let fail = |bound: &str, want: usize| {
            let message =
                format!("expected {bound}{want} argument(s) in call to {name}, got {got}");
            self.fail(call.pos, message)
        };
        let Ok(variadic) = usize::try_from(call.func.variadic) else {
            return if got + 1 < want { fail("at least ", want - 1) } else { Ok(()) };
        };
        if variadic == 0 {
            return if got == want { Ok(()) } else { fail("", want) };
        }
        let (least, most) = (want - 1, want - 1 + variadic);
        if got < least {
            fail("at least ", least)
        } else if got > most {
            fail("at most ", most)
        } else {
            Ok(())
        }
    }

    /// The second argument of `info()` must be label matchers alone, which may match everything.
    fn check_info_selector(&self, call: &mut Call, place: &str) -> Checked {
        let call_pos = call.pos;
        let Some(arg) = call.args.get_mut(1) else { return Ok(()) };
        self.require_type(call_pos, arg.value_type(), ValueType::Vector, place)?;
        let pos = arg.position();
        match arg {
            Expr::VectorSelector(selector) if selector.name.is_empty() => {
                selector.is_info_argument = true;
                Ok(())
            }
            Expr::VectorSelector(_) => {
                self.fail(pos, "expected label selectors only, got vector selector instead")
            }
            _ => self.fail(pos, "expected label selectors only"),
        }
    }

    /// Checks a chain of operations from the innermost on, without recursion along its left side:
    /// the chain is taken apart and put together again. After an error it is left in pieces.
    fn check_binary_chain(&self, outermost: &mut BinaryExpr) -> Checked {
        let mut unlinked = Vec::new();
        let mut lhs = std::mem::take(&mut outermost.lhs);
        while let Expr::Binary(mut node) = lhs {
            lhs = std::mem::take(&mut node.lhs);
            unlinked.push(node);
        }
        let mut left = self.check(&mut lhs)?;
        while let Some(mut node) = unlinked.pop() {
            node.lhs = lhs;
            self.check_operation(&mut node, left)?;
            left = node.value_type();
            lhs = Expr::Binary(node);
        }
        outermost.lhs = lhs;
        self.check_operation(outermost, left)
    }

    /// Checks an operation whose left operand has been checked and is of type `left`.
    fn check_operation(&self, node: &mut BinaryExpr, left: ValueType) -> Checked {
        let right = self.check(&mut node.rhs)?;
        self.check_bool_modifier(node, left, right)?;
        self.check_matching_labels(node)?;
        for (operand, value_type) in [(&node.lhs, left), (&node.rhs, right)] {
            if !is_operand_type(value_type) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.fail(operand.position(), message);
            }
        }
        if left == ValueType::Vector && right == ValueType::Vector {
            self.settle_set_operation(node)
        } else {
            self.settle_scalar_operation(node)
        }
    }

    fn check_bool_modifier(&self, node: &BinaryExpr, left: ValueType, right: ValueType) -> Checked {
        let is_comparison = node.op.is_comparison();
        if node.return_bool && !is_comparison {
            let message = "bool modifier can only be used on comparison operators";
            return self.fail(self.operator_position(node), message);
        }
        let are_scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if is_comparison && !node.return_bool && are_scalars {
            let message = "comparisons between scalars must use BOOL modifier";
            return self.fail(self.operator_position(node), message);
        }
        Ok(())
    }

    fn check_matching_labels(&self, node: &BinaryExpr) -> Checked {
        let Some(matching) = node.matching.as_ref().filter(|matching| matching.on) else {
            return Ok(());
        };
        let included: HashSet<&String> = matching.include.iter().collect();
        match matching.labels.iter().find(|label| included.contains(label)) {
            None => Ok(()),
            Some(label) => {
                let label = quote(label.as_bytes());
                let message =
                    format!("label {label} must not occur in ON and GROUP clause at once");
                self.fail(self.operator_position(node), message)
            }
        }
    }

    /// The last checks of an operation between vectors.
    fn settle_set_operation(&self, node: &mut BinaryExpr) -> Checked {
        let Some(matching) = node.matching.as_mut().filter(|_| node.op.is_set()) else {
            return Ok(());
        };
        if matching.card != Cardinality::OneToOne {
            let op = quote(node.op.symbol().as_bytes());
            return self.fail(node.pos, format!("no grouping allowed for {op} operation"));
        }
        if matching.fill != FillValues::default() {
            return self.fail(node.pos, "filling in missing series not allowed for set operators");
        }
        matching.card = Cardinality::ManyToMany;
        Ok(())
    }

    /// The last checks of an operation with a scalar.
    fn settle_scalar_operation(&self, node: &mut BinaryExpr) -> Checked {
        let matching = node.matching.take().unwrap_or_default();
        if !matching.labels.is_empty() {
            return self.fail(node.pos, "vector matching only allowed between instant vectors");
        }
        if matching.fill != FillValues::default() {
            let message = "filling in missing series only allowed between instant vectors";
            return self.fail(node.pos, message);
        }
        if node.op.is_set() {
            let op = quote(node.op.symbol().as_bytes());
            let message = format!("set operator {op} not allowed in binary scalar expression");
            return self.fail(node.pos, message);
        }
        Ok(())
    }

    /// The range between the operands without the blanks around it.
    fn operator_position(&self, node: &BinaryExpr) -> PositionRange {
        let (mut start, mut end) = (node.lhs.position().end, node.rhs.position().start);
        let is_blank = |at: u32| {
            let byte = self.source.get(at as usize);
            byte.is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        };
        while start < end && is_blank(start) {
            start += 1;
        }
        while start < end && is_blank(end - 1) {
            end -= 1;
        }
        PositionRange::new(start, end)
    }
}

/// Whether operators take values of this type.
fn is_operand_type(value_type: ValueType) -> bool {
    matches!(value_type, ValueType::Scalar | ValueType::Vector)
}

#[cfg(test)]
mod tests {
    use crate::ast::{Cardinality, Expr};
    use crate::parser::{ParserOptions, parse_expr};

    /// Messages and positions as Prometheus documents them in its parser's tests.
    #[test]
    fn ill_typed_queries_are_refused_where_they_are_wrong() {
        for (query, want) in [
            (
                "foo + 1 == bool (2 and foo)",
                "1:18: set operator \"and\" not allowed in binary scalar expression",
            ),
            ("1 +\n 2 ==  3", "2:4: comparisons between scalars must use BOOL modifier"),
            (
                "a * on(b, c) group_left(c) d",
                "1:3: label \"c\" must not occur in ON and GROUP clause at once",
            ),
            ("a or on(b) group_left c", "1:1: no grouping allowed for \"or\" operation"),
            ("a and fill(1) b", "1:1: filling in missing series not allowed for set operators"),
            (
                "1 + fill(1) b",
                "1:1: filling in missing series only allowed between instant vectors",
            ),
            (
                "sum(-(-x[5m]))",
                "1:7: unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"",
            ),
            (
                "x + (\"a\") + y",
                "1:5: binary expression must contain only scalar and instant vector types",
            ),
            (
                "label_join(x, 1)",
                "1:1: expected at least 3 argument(s) in call to \"label_join\", got 2",
            ),
            (
                "clamp(x, 1, y)",
                "1:13: expected type scalar in call to function \"clamp\", got instant vector",
            ),
            (
                "{a=~\".*\", b!=\"c\"}",
                "1:1: vector selector must contain at least one non-empty matcher",
            ),
        ] {
            let error = parse_expr(query, &ParserOptions::all()).unwrap_err();
            assert_eq!(format!("{}: {}", error.location(), error.message()), want, "{query}");
        }
    }

    #[test]
    fn matching_is_settled_by_types() {
        let matching = |query: &str| {
            let expr = parse_expr(query, &ParserOptions::all()).unwrap();
            let Expr::Binary(binary) = expr else { panic!("no operation: {query}") };
            binary.matching.clone().map(|matching| matching.card)
        };
        assert_eq!(matching("a + 1"), None);
        assert_eq!(matching("a + b"), Some(Cardinality::OneToOne));
        assert_eq!(matching("a and b"), Some(Cardinality::ManyToMany));
        assert_eq!(matching("a * on (x) group_right b"), Some(Cardinality::OneToMany));
    }
}
