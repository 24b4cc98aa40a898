//! Walking a syntax tree: an expression's direct children, and depth-first visits that do not
//! recurse.

use super::Expr;

/// What a visit does after a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// Go on with the node's children.
    Children,
    /// Leave the children out.
    Skip,
}

/// The direct children of an expression, in the order in which they are written.
#[derive(Debug)]
pub struct Children<'a>(ChildrenInner<'a>);

#[derive(Debug)]
enum ChildrenInner<'a> {
    Pair([Option<&'a Expr>; 2], usize),
    Args(std::slice::Iter<'a, Expr>),
}

impl<'a> Iterator for Children<'a> {
    type Item = &'a Expr;

    fn next(&mut self) -> Option<&'a Expr> {
        match &mut self.0 {
            ChildrenInner::Args(args) => args.next(),
            ChildrenInner::Pair(pair, at) => {
                let child = pair.get(*at).copied().flatten();
                *at += 1;
                child
            }
        }
    }
}

impl Expr {
    /// The direct children in written order. Selectors have none: the vector selector within a
    /// [`super::MatrixSelector`] is part of it.
    #[must_use]
    pub fn children(&self) -> Children<'_> {
        let pair = |first, second| Children(ChildrenInner::Pair([first, second], 0));
        match self {
            Self::Call(call) => Children(ChildrenInner::Args(call.args.iter())),
            Self::Binary(node) => pair(Some(&node.lhs), Some(&node.rhs)),
            Self::Aggregate(node) => match &node.param {
                Some(param) => pair(Some(param), Some(&node.expr)),
                None => pair(Some(&node.expr), None),
            },
            Self::Subquery(node) => pair(Some(&node.expr), None),
            Self::Unary(node) => pair(Some(&node.expr), None),
            Self::Paren(node) => pair(Some(&node.expr), None),
            Self::NumberLiteral(_)
            | Self::StringLiteral(_)
            | Self::VectorSelector(_)
            | Self::MatrixSelector(_) => pair(None, None),
        }
    }

    /// The direct children in written order, to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Call(call) => call.args.iter_mut().collect(),
            Self::Binary(node) => {
                let node = &mut **node;
                vec![&mut node.lhs, &mut node.rhs]
            }
            Self::Aggregate(node) => {
                let node = &mut **node;
                node.param.iter_mut().chain([&mut node.expr]).collect()
            }
            Self::Subquery(node) => vec![&mut node.expr],
            Self::Unary(node) => vec![&mut node.expr],
            Self::Paren(node) => vec![&mut node.expr],
            Self::NumberLiteral(_)
            | Self::StringLiteral(_)
            | Self::VectorSelector(_)
            | Self::MatrixSelector(_) => Vec::new(),
        }
    }

    /// Calls `visitor` for this node and everything below it, parents first, in written order.
    pub fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&'a Self) -> Visit) {
        let mut pending = vec![self];
        while let Some(expr) = pending.pop() {
            if visitor(expr) == Visit::Children {
                let first_child = pending.len();
                pending.extend(expr.children());
                pending[first_child..].reverse();
            }
        }
    }

    /// As [`Expr::visit`], but the visitor may change the nodes.
    pub fn visit_mut(&mut self, visitor: &mut dyn FnMut(&mut Self) -> Visit) {
        let mut pending = vec![self];
        while let Some(expr) = pending.pop() {
            if visitor(expr) == Visit::Children {
                pending.extend(expr.children_mut().into_iter().rev());
            }
        }
    }
}
