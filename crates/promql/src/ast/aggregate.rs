//! Aggregations: `sum by (job) (x)`.

use super::Expr;
use crate::position::PositionRange;

/// An aggregation over an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateExpr {
    /// Which aggregation.
    pub op: AggregateOp,
    /// The vector that is aggregated.
    pub expr: Expr,
    /// The parameter of those aggregations that have one; see [`AggregateOp::has_param`].
    pub param: Option<Expr>,
    /// Labels of the `by` or `without` clause, in the order written.
    pub grouping: Vec<String>,
    /// `without` instead of `by`.
    pub without: bool,
    /// Byte range in the query.
    pub pos: PositionRange,
}

/// The aggregation operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    /// Mean.
    Avg,
    /// The k smallest samples.
    Bottomk,
    /// Number of samples.
    Count,
    /// Number of samples per value.
    CountValues,
    /// 1 for each group.
    Group,
    /// k series, whichever come first (experimental).
    Limitk,
    /// A share of the series, chosen by hash (experimental).
    LimitRatio,
    /// Largest.
    Max,
    /// Smallest.
    Min,
    /// φ-quantile over the samples.
    Quantile,
    /// Population standard deviation.
    Stddev,
    /// Population variance.
    Stdvar,
    /// Sum.
    Sum,
    /// The k largest samples.
    Topk,
}

impl AggregateOp {
    /// Every aggregation operator.
    pub const ALL: [Self; 14] = [
        Self::Avg,
        Self::Bottomk,
        Self::Count,
        Self::CountValues,
        Self::Group,
        Self::Limitk,
        Self::LimitRatio,
        Self::Max,
        Self::Min,
        Self::Quantile,
        Self::Stddev,
        Self::Stdvar,
        Self::Sum,
        Self::Topk,
    ];

    /// The keyword, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Bottomk => "bottomk",
            Self::Count => "count",
            Self::CountValues => "count_values",
            Self::Group => "group",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
            Self::Max => "max",
            Self::Min => "min",
            Self::Quantile => "quantile",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Sum => "sum",
            Self::Topk => "topk",
        }
    }

    /// Takes a parameter before the vector: `topk(3, x)`.
    #[must_use]
    pub fn has_param(self) -> bool {
        self.has_scalar_param() || self == Self::CountValues
    }

    /// The parameter is a scalar (that of `count_values` is a string).
    #[must_use]
    pub fn has_scalar_param(self) -> bool {
        matches!(
            self,
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio
        )
    }

    /// Only with [`crate::parser::ParserOptions::enable_experimental_functions`].
    #[must_use]
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }
}
