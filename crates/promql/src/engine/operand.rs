//! Values between the nodes of a plan.

use std::sync::Arc;

use super::QueryError;
use super::account::Reservation;
use super::context::EvalContext;
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
#[derive(Debug, Clone)]
pub(crate) enum ScalarColumn {
    /// The same at every step.
    Constant(f64),
    /// One for each step.
    Steps(Arc<HeldNumbers>),
}

/// Numbers whose room is taken as long as they live: a subquery may have millions of steps, and
/// an expression many scalars.
#[derive(Debug)]
pub(crate) struct HeldNumbers {
    numbers: Vec<f64>,
    #[expect(dead_code, reason = "held for its drop")]
    room: Reservation,
}

impl ScalarColumn {
    /// One number for each step.
    pub(crate) fn steps(
        numbers: impl ExactSizeIterator<Item = f64>,
        cx: &EvalContext<'_>,
    ) -> Result<Self, QueryError> {
        let bytes = numbers.len().saturating_mul(size_of::<f64>());
        let room = cx.account.reserve(numbers.len() as u64, bytes as u64)?;
        let mut all = Vec::with_capacity(numbers.len());
        let mut pace = cx.pace();
        for number in numbers {
            pace.tick(1)?;
            all.push(number);
        }
        let numbers = all;
        Ok(Self::Steps(Arc::new(HeldNumbers { numbers, room })))
    }

    /// The number at a step.
    #[inline]
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Steps(held) => held.numbers[step],
        }
    }

    /// The numbers of `steps` steps.
    pub(crate) fn into_steps(self, steps: usize) -> Vec<f64> {
        match self {
            Self::Constant(value) => vec![value; steps],
            Self::Steps(held) => match Arc::try_unwrap(held) {
                Ok(held) => held.numbers,
                Err(shared) => shared.numbers.clone(),
            },
        }
    }

    /// The numbers of `steps` steps, without repetition if it is the same.
    pub(crate) fn distinct(&self, steps: usize) -> &[f64] {
        match self {
            Self::Constant(value) if steps > 0 => std::slice::from_ref(value),
            Self::Constant(_) => &[],
            Self::Steps(held) => &held.numbers,
        }
    }

    /// `function` of each number.
    pub(crate) fn map(
        self,
        function: impl Fn(f64) -> f64,
        cx: &EvalContext<'_>,
    ) -> Result<Self, QueryError> {
        match self {
            Self::Constant(value) => Ok(Self::Constant(function(value))),
            Self::Steps(held) => Self::steps(held.numbers.iter().map(|v| function(*v)), cx),
        }
    }

    /// `function` of the numbers of both, step by step.
    pub(crate) fn zip(
        self,
        other: Self,
        function: impl Fn(f64, f64) -> f64,
        cx: &EvalContext<'_>,
    ) -> Result<Self, QueryError> {
        match (self, other) {
            (Self::Constant(a), b) => b.map(|b| function(a, b), cx),
            (a, Self::Constant(b)) => a.map(|a| function(a, b), cx),
            (Self::Steps(a), Self::Steps(b)) => {
                let pairs = a.numbers.iter().zip(&b.numbers);
                Self::steps(pairs.map(|(a, b)| function(*a, *b)), cx)
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
