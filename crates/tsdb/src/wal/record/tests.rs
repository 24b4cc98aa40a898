//! Tests of the records beyond the vectors.
