//! The write path's entry: push handler, validation, limits.
