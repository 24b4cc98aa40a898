//! Which expressions have the same value at every step: those whose selectors all have `@`, and
//! whose functions do not look at the step's time.

use hashbrown::HashSet;

use crate::ast::{Call, Expr, Visit};

/// The expressions of a tree that do not depend on the step.
pub(crate) struct Invariants(HashSet<*const Expr, foldhash::fast::FixedState>);

impl Invariants {
    /// Looks at all expressions of `root`.
    pub(crate) fn of(root: &Expr) -> Self {
        let mut parents_first = Vec::new();
        root.visit(&mut |expr| {
            parents_first.push(expr);
            Visit::Children
        });
        let mut found = Self(HashSet::default());
        for expr in parents_first.into_iter().rev() {
            if found.is_invariant(expr) {
                found.0.insert(std::ptr::from_ref(expr));
            }
        }
        found
    }

    /// Whether `expr`, a part of the tree, is the same at every step.
    pub(crate) fn contains(&self, expr: &Expr) -> bool {
        self.0.contains(&std::ptr::from_ref(expr))
    }

    /// The children of `expr` have been looked at.
    fn is_invariant(&self, expr: &Expr) -> bool {
        match expr {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => true,
            Expr::VectorSelector(selector) => selector.at.is_some(),
            Expr::MatrixSelector(matrix) => matrix.selector.at.is_some(),
            Expr::Subquery(subquery) => subquery.at.is_some(),
            Expr::Paren(paren) => self.contains(&paren.expr),
            Expr::Unary(unary) => self.contains(&unary.expr),
            Expr::Aggregate(aggregate) => self.contains(&aggregate.expr),
            Expr::Binary(binary) => self.contains(&binary.lhs) && self.contains(&binary.rhs),
            Expr::Call(call) => self.is_invariant_call(call),
        }
    }

    fn is_invariant_call(&self, call: &Call) -> bool {
        let args_are = call.args.iter().all(|arg| self.contains(arg));
        match call.func.name {
            "start" | "end" | "range" | "step" => true,
            "days_in_month" | "day_of_month" | "day_of_week" | "day_of_year" | "hour"
            | "minute" | "month" | "year" | "predict_linear" | "time" => false,
            "timestamp" => {
                args_are && matches!(call.args[0].unwrap_parens(), Expr::VectorSelector(_))
            }
            _ => args_are,
        }
    }
}
