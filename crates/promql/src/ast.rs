//! The syntax tree of PromQL: what the parser makes and the engine, printer and JSON writer read.
//!
//! Every node knows its byte range in the query text. String values are byte vectors, because a
//! PromQL string may hold any byte. Trees are at most [`crate::parser::MAX_DEPTH`] levels deep,
//! except for one direction: the left operand of a binary operator may form a chain of any length
//! (`a + b + c + …`), so code that walks a tree must loop along `lhs` (see
//! [`BinaryExpr::left_chain`]) and may recurse elsewhere. Nothing here evaluates anything.

mod aggregate;
mod binary;
mod duration_expr;
mod selector;
mod visit;

pub use aggregate::{AggregateExpr, AggregateOp};
pub use binary::{BinaryExpr, BinaryOp, Cardinality, FillValues, VectorMatching};
pub(crate) use duration_expr::MAX_DURATION_SECONDS;
pub use duration_expr::{
    DurationContext, DurationError, DurationExpr, DurationOp, DurationOpExpr, DurationSpec,
};
pub use model::{MatchOp, Matcher};
pub use selector::{
    AtModifier, LabelMatcher, MatrixSelector, RangeExtension, SubqueryExpr, VectorSelector,
};
pub use visit::{Children, Visit};

use crate::functions_table::FunctionSignature;
use crate::position::PositionRange;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `1.5`, or a duration as a number of seconds: `5m`.
    NumberLiteral(NumberLiteral),
    /// `"text"`.
    StringLiteral(Box<StringLiteral>),
    /// `metric{label="value"}`.
    VectorSelector(Box<VectorSelector>),
    /// `metric[5m]`.
    MatrixSelector(Box<MatrixSelector>),
    /// `expr[1h:5m]`.
    Subquery(Box<SubqueryExpr>),
    /// `rate(…)`.
    Call(Box<Call>),
    /// `sum by (a) (…)`.
    Aggregate(Box<AggregateExpr>),
    /// `a + b`.
    Binary(Box<BinaryExpr>),
    /// `-a`.
    Unary(Box<UnaryExpr>),
    /// `(a)`.
    Paren(Box<ParenExpr>),
}

impl Expr {
    /// The type that the expression evaluates to.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self.unwrap_signs_and_parens() {
            Self::NumberLiteral(_) => ValueType::Scalar,
            Self::StringLiteral(_) => ValueType::String,
            Self::MatrixSelector(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Call(call) => call.func.return_type,
            Self::Binary(binary) => binary.value_type(),
            _ => ValueType::Vector,
        }
    }

    /// The byte range in the query text, with everything that belongs to the node.
    #[must_use]
    pub fn position(&self) -> PositionRange {
        match self {
            Self::NumberLiteral(node) => node.pos,
            Self::StringLiteral(node) => node.pos,
            Self::VectorSelector(node) => node.pos,
            Self::MatrixSelector(node) => node.pos,
            Self::Subquery(node) => node.pos,
            Self::Call(node) => node.pos,
            Self::Aggregate(node) => node.pos,
            Self::Binary(node) => node.pos,
            Self::Unary(node) => node.pos,
            Self::Paren(node) => node.pos,
        }
    }

    /// The expression below all enclosing parentheses.
    #[must_use]
    pub fn unwrap_parens(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }

    fn unwrap_signs_and_parens(&self) -> &Self {
        let mut expr = self;
        loop {
            expr = match expr {
                Self::Paren(paren) => &paren.expr,
                Self::Unary(unary) => &unary.expr,
                _ => return expr,
            };
        }
    }
}

impl Default for Expr {
    /// A zero; it takes the place of an expression that is moved out of a node.
    fn default() -> Self {
        Self::NumberLiteral(NumberLiteral {
            value: 0.0,
            is_duration: false,
            pos: PositionRange::default(),
        })
    }
}

/// The type of a PromQL value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number.
    Scalar,
    /// One text.
    String,
    /// One sample a series.
    Vector,
    /// A range of samples a series.
    Matrix,
}

impl ValueType {
    /// The name in JSON and in messages that speak of the value: `vector`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }

    /// The name in the documentation and in type errors: `instant vector`.
    #[must_use]
    pub fn documented_name(self) -> &'static str {
        match self {
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::Scalar | Self::String => self.name(),
        }
    }
}

/// A number in the query text.
#[derive(Debug, Clone, Copy)]
pub struct NumberLiteral {
    /// The value; seconds if it was written as a duration.
    pub value: f64,
    /// Written as a duration (`5m`); printed as one again.
    pub is_duration: bool,
    /// Byte range in the query, with a sign in front of it.
    pub pos: PositionRange,
}

impl PartialEq for NumberLiteral {
    /// Equal if they print alike: NaN equals NaN.
    fn eq(&self, other: &Self) -> bool {
        let same_value = self.value == other.value || (self.value.is_nan() && other.value.is_nan());
        same_value && self.is_duration == other.is_duration && self.pos == other.pos
    }
}

/// A text in the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringLiteral {
    /// The unquoted bytes; not always UTF-8.
    pub value: Vec<u8>,
    /// Byte range in the query, with the quotes.
    pub pos: PositionRange,
}

/// A function call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The function.
    pub func: &'static FunctionSignature,
    /// The arguments as written; optional ones are left out.
    pub args: Vec<Expr>,
    /// Byte range in the query.
    pub pos: PositionRange,
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.func.name == other.func.name && self.args == other.args && self.pos == other.pos
    }
}

/// The sign of a [`UnaryExpr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `+`.
    Plus,
    /// `-`.
    Minus,
}

impl UnaryOp {
    /// The sign as written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}

/// A signed expression. A sign in front of a number is part of the [`NumberLiteral`] instead.
#[derive(Debug, Clone, PartialEq)]
pub struct UnaryExpr {
    /// The sign.
    pub op: UnaryOp,
    /// What is signed.
    pub expr: Expr,
    /// Byte range in the query.
    pub pos: PositionRange,
}

/// An expression in parentheses.
#[derive(Debug, Clone, PartialEq)]
pub struct ParenExpr {
    /// What stands in the parentheses.
    pub expr: Expr,
    /// Byte range in the query, with the parentheses.
    pub pos: PositionRange,
}
