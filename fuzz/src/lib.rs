//! Fuzz targets: for every decoder that meets foreign bytes a function that takes any bytes, runs
//! the decoder and everything that reads what it gave, and checks what must hold (what was
//! decoded can be written and read again, a repaired log has no damage left, ...).
//!
//! Called by `src/bin/coverage.rs`, the coverage-guided engine (`cargo xtask fuzz`), and by
//! `tests/smoke.rs`, which runs a fixed set of mutated seeds in CI. A target must never panic,
//! never loop without end, and never take memory out of proportion to its input.

pub mod mutate;
pub mod seeds;
mod targets;

pub use targets::{TARGETS, Target, find};
