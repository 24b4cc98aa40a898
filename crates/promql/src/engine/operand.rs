//! Values between the nodes of a plan.

use super::QueryError;
use super::stream::VectorStream;
use crate::value::MatrixSeries;

/// The value of a node.
pub(crate) enum Operand {
    /// A number at every step.
    Scalar(ScalarColumn),
    /// A text.
    Text(Vec<u8>),
    /// An instant vector at every step.
    Vector(VectorStream),
    /// Samples of a range; only as the value of a query.
    Matrix(Vec<MatrixSeries>),
}

/// A number at every step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ScalarColumn {
    /// The same at every step.
    Constant(f64),
    /// One for each step.
    Steps(Vec<f64>),
}

impl ScalarColumn {
    /// The number at a step.
    #[inline]
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Steps(values) => values[step],
        }
    }

    /// The numbers of `steps` steps.
    pub(crate) fn into_steps(self, steps: usize) -> Vec<f64> {
        match self {
            Self::Constant(value) => vec![value; steps],
            Self::Steps(values) => values,
        }
    }

    /// The numbers of `steps` steps, without repetition if it is the same.
    pub(crate) fn distinct(&self, steps: usize) -> &[f64] {
        match self {
            Self::Constant(value) if steps > 0 => std::slice::from_ref(value),
            Self::Constant(_) => &[],
            Self::Steps(values) => values,
        }
    }

    /// `function` of the numbers of both, step by step.
    pub(crate) fn zip(self, other: Self, function: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Constant(a), Self::Constant(b)) => Self::Constant(function(a, b)),
            (Self::Constant(a), Self::Steps(b)) => {
                Self::Steps(b.into_iter().map(|b| function(a, b)).collect())
            }
            (Self::Steps(a), Self::Constant(b)) => {
                Self::Steps(a.into_iter().map(|a| function(a, b)).collect())
            }
            (Self::Steps(a), Self::Steps(b)) => {
                Self::Steps(a.into_iter().zip(b).map(|(a, b)| function(a, b)).collect())
            }
        }
    }
}

impl Operand {
    /// The value as an instant vector.
    pub(crate) fn into_vector(self) -> Result<VectorStream, QueryError> {
        match self {
            Self::Vector(stream) => Ok(stream),
            _ => Err(unexpected("an instant vector")),
        }
    }

    /// The value as a scalar.
    pub(crate) fn into_scalar(self) -> Result<ScalarColumn, QueryError> {
        match self {
            Self::Scalar(column) => Ok(column),
            _ => Err(unexpected("a scalar")),
        }
    }
}

/// The parser checks types; a value of another one is a fault of ours.
pub(crate) fn unexpected(expected: &str) -> QueryError {
    QueryError::Internal(format!("an operand is not {expected}"))
}
