//! Binary operators and how the series of their sides are matched.
//!
//! The left operands form chains of any length, so cloning, comparing, dropping and debug-printing
//! loop along them here instead of recursing.

use std::fmt;

use super::{Expr, ValueType};
use crate::position::PositionRange;

/// A binary operator with its operands.
pub struct BinaryExpr {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand; may be a long chain, see [`BinaryExpr::left_chain`].
    pub lhs: Expr,
    /// Right operand.
    pub rhs: Expr,
    /// How series are matched; `Some` exactly if both sides are instant vectors.
    pub matching: Option<VectorMatching>,
    /// `bool`: a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Byte range in the query.
    pub pos: PositionRange,
    is_scalar: bool,
}

impl BinaryExpr {
    /// An operation; the position spans both operands.
    #[must_use]
    pub fn new(op: BinaryOp, lhs: Expr, rhs: Expr) -> Self {
        Self {
            op,
            is_scalar: lhs.value_type() == ValueType::Scalar
                && rhs.value_type() == ValueType::Scalar,
            pos: lhs.position().to(rhs.position()),
            lhs,
            rhs,
            matching: None,
            return_bool: false,
        }
    }

    /// Scalar if both operands are, else an instant vector. Fixed when the node is made, so that
    /// asking costs the same in a chain of any length.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        if self.is_scalar { ValueType::Scalar } else { ValueType::Vector }
    }

    /// This node and then every binary node down the left side, outermost first. The innermost
    /// one's `lhs` is not a binary node.
    pub fn left_chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |node| match &node.lhs {
            Expr::Binary(next) => Some(&**next),
            _ => None,
        })
    }

    fn shallow_eq(&self, other: &Self) -> bool {
        self.op == other.op
            && self.matching == other.matching
            && self.return_bool == other.return_bool
            && self.pos == other.pos
            && self.rhs == other.rhs
    }

    fn clone_with_lhs(&self, lhs: Expr) -> Self {
        Self {
            op: self.op,
            lhs,
            rhs: self.rhs.clone(),
            matching: self.matching.clone(),
            return_bool: self.return_bool,
            pos: self.pos,
            is_scalar: self.is_scalar,
        }
    }

    fn chain_innermost_first(&self) -> Vec<&Self> {
        let mut chain: Vec<_> = self.left_chain().collect();
        chain.reverse();
        chain
    }
}

impl Clone for BinaryExpr {
    fn clone(&self) -> Self {
        let chain = self.chain_innermost_first();
        let mut cloned = chain[0].clone_with_lhs(chain[0].lhs.clone());
        for node in &chain[1..] {
            cloned = node.clone_with_lhs(Expr::Binary(Box::new(cloned)));
        }
        cloned
    }
}

impl PartialEq for BinaryExpr {
    fn eq(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.chain_innermost_first(), other.chain_innermost_first());
        mine.len() == theirs.len()
            && mine[0].lhs == theirs[0].lhs
            && mine.iter().zip(&theirs).all(|(a, b)| a.shallow_eq(b))
    }
}

impl Drop for BinaryExpr {
    fn drop(&mut self) {
        let mut lhs = std::mem::take(&mut self.lhs);
        while let Expr::Binary(mut node) = lhs {
            lhs = std::mem::take(&mut node.lhs);
        }
    }
}

impl fmt::Debug for BinaryExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = self.chain_innermost_first();
        let mut tuple = f.debug_tuple("BinaryChain");
        tuple.field(&chain[0].lhs);
        for node in chain {
            tuple.field(&(node.op, node.return_bool, &node.matching, node.pos, &node.rhs));
        }
        tuple.finish()
    }
}

/// The binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`.
    Add,
    /// `-`.
    Sub,
    /// `*`.
    Mul,
    /// `/`.
    Div,
    /// `%`.
    Mod,
    /// `^`.
    Pow,
    /// `atan2`.
    Atan2,
    /// `==`.
    Eql,
    /// `!=`.
    Neq,
    /// `<`.
    Lss,
    /// `<=`.
    Lte,
    /// `>`.
    Gtr,
    /// `>=`.
    Gte,
    /// `</`: the part of a histogram below a number.
    TrimUpper,
    /// `>/`: the part of a histogram above a number.
    TrimLower,
    /// `and`.
    And,
    /// `or`.
    Or,
    /// `unless`.
    Unless,
}

impl BinaryOp {
    /// The operator as printed.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Eql => "==",
            Self::Neq => "!=",
            Self::Lss => "<",
            Self::Lte => "<=",
            Self::Gtr => ">",
            Self::Gte => ">=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// `== != < <= > >=`; the trim operators are none.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Eql | Self::Neq | Self::Lss | Self::Lte | Self::Gtr | Self::Gte)
    }

    /// `and or unless`.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// `</ >/`.
    #[must_use]
    pub fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }

    /// How tightly it binds; all but `^` are left associative.
    #[must_use]
    pub fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
            _ => 3,
        }
    }
}

/// How many series of each side make one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// One of each side.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

impl Cardinality {
    /// The name in the syntax tree's JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneToOne => "one-to-one",
            Self::ManyToOne => "many-to-one",
            Self::OneToMany => "one-to-many",
            Self::ManyToMany => "many-to-many",
        }
    }
}

/// Values for series that have no partner on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FillValues {
    /// Stands in for a missing left series.
    pub lhs: Option<f64>,
    /// Stands in for a missing right series.
    pub rhs: Option<f64>,
}

/// How the series of two instant vectors are matched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorMatching {
    /// Which side may have several series for one of the other.
    pub card: Cardinality,
    /// Labels of `on` or `ignoring`, in the order written.
    pub labels: Vec<String>,
    /// `on` instead of `ignoring`.
    pub on: bool,
    /// Labels of `group_left` or `group_right`, in the order written.
    pub include: Vec<String>,
    /// `fill`, `fill_left` and `fill_right`.
    pub fill: FillValues,
}
