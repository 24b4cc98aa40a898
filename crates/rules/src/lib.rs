//! LIBRARY: recording and alerting rules. Rule files with their errors, evaluation of groups in
//! order, the states of alerts, templates in labels and annotations, and promtool's unit tests.
//!
//! Knows no storage and no clock: queries and results go through [`RuleStorage`], times are handed
//! in. The ruler builds on it; `urd rules check` and `urd rules test` run it over samples in
//! memory.

mod alert;
mod duration;
mod file;
mod go_format;
mod group;
pub mod template;
pub mod unit_test;

pub use alert::{Alert, AlertState};
pub use file::{
    Duplicate, FileProblem, ParseOptions, Rule, RuleFile, RuleGroup, RuleKind, duplicates, parse,
};
pub use group::{EvalContext, GroupState, RuleError, RuleStorage};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
