//! Schemas of other versions: finer ones become the finest that is computed with, those that
//! nobody knows are left out. Used when records are decoded.

use model::histogram::{MAX_EXPONENTIAL_SCHEMA, is_exponential_schema, needs_reduction};
use model::{FloatHistogram, Histogram};

use super::histogram::is_custom;
use crate::error::DecodeError;

const DAMAGED: DecodeError = DecodeError::Invalid("spans and buckets of a histogram disagree");

/// What is to be done with a schema.
enum Fate {
    Keep,
    Reduce,
    LeaveOut,
}

fn fate(schema: i32) -> Fate {
    if is_exponential_schema(schema) || is_custom(schema) {
        Fate::Keep
    } else if needs_reduction(schema) {
        Fate::Reduce
    } else {
        Fate::LeaveOut
    }
}

/// The histogram in a schema that `model` knows.
pub(super) fn known_schema(mut histogram: Histogram) -> Result<Option<Histogram>, DecodeError> {
    match fate(histogram.schema) {
        Fate::Keep => {}
        Fate::Reduce => {
            histogram.reduce_resolution(MAX_EXPONENTIAL_SCHEMA).map_err(|_| DAMAGED)?;
        }
        Fate::LeaveOut => return Ok(None),
    }
    Ok(Some(histogram))
}

/// As [`known_schema`].
pub(super) fn known_float_schema(
    mut histogram: FloatHistogram,
) -> Result<Option<FloatHistogram>, DecodeError> {
    match fate(histogram.schema) {
        Fate::Keep => {}
        Fate::Reduce => {
            histogram.reduce_resolution(MAX_EXPONENTIAL_SCHEMA).map_err(|_| DAMAGED)?;
        }
        Fate::LeaveOut => return Ok(None),
    }
    Ok(Some(histogram))
}
