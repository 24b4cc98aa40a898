//! What the naive evaluator computes with: everything at one moment, nothing shared.

use std::sync::Arc;

use model::{FloatHistogram, Labels};
use promql::ast::RangeExtension;

/// A value at one moment.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Value {
    pub(crate) fn float(&self) -> Option<f64> {
        if let Self::Float(value) = self { Some(*value) } else { None }
    }

    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Self::Float(value) => model::is_stale(*value),
            Self::Histogram(histogram) => histogram.is_stale(),
        }
    }
}

/// A series at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) labels: Labels,
    /// The name goes at the end of the query.
    pub(crate) drop_name: bool,
    pub(crate) value: Value,
}

/// A series over a window.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    pub(crate) drop_name: bool,
    /// Ascending in time, without stale markers.
    pub(crate) samples: Vec<(i64, Value)>,
}

/// Series over a window, of which the start is not inside.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    pub(crate) rows: Vec<Row>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Where it is not `None`, there are samples around the window as well.
    pub(crate) extension: RangeExtension,
}

/// The value of an expression at one moment.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Scalar(f64),
    Text(Vec<u8>),
    Vector(Vec<Point>),
    Matrix(Matrix),
}

impl Operand {
    pub(crate) fn scalar(self) -> f64 {
        if let Self::Scalar(value) = self { value } else { panic!("not a scalar: {self:?}") }
    }

    pub(crate) fn text(self) -> String {
        let Self::Text(text) = self else { panic!("not a string: {self:?}") };
        String::from_utf8(text).expect("the generator makes UTF-8")
    }

    pub(crate) fn vector(self) -> Vec<Point> {
        if let Self::Vector(points) = self { points } else { panic!("not a vector: {self:?}") }
    }

    pub(crate) fn matrix(self) -> Matrix {
        if let Self::Matrix(matrix) = self { matrix } else { panic!("not a matrix: {self:?}") }
    }
}

/// All that is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Data {
    /// In label order; samples ascend in time.
    pub(crate) series: Vec<(Labels, Vec<(i64, Value)>)>,
}

/// Labels without the metric's name.
pub(crate) fn nameless(labels: &Labels) -> Labels {
    labels.retain(|name| !matches!(name, "__name__" | "__type__" | "__unit__"))
}
