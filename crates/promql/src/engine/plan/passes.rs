//! The passes over a plan, in their order, and the switches for each of them.
//!
//! Called by the engine between lowering and running. A pass changes how a value is found, never
//! the value, its order, the annotations or the error; property tests compare plans with each
//! pass on and off.

use model::{Interrupted, QueryContext};

use super::{
    Plan, fold_constants, narrow_joins, reduce_matchers, share_expressions, share_selectors,
    without_labels,
};

/// Which passes run over a plan. All of them unless a test asks for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// Parts that are the same at every step are evaluated at one step.
    pub evaluate_once: bool,
    /// Operators between numbers are carried out when planning.
    pub fold_constants: bool,
    /// Matchers that others imply are left out, and regular expressions that are none become
    /// comparisons.
    pub reduce_matchers: bool,
    /// An expression that stands in a query several times is evaluated once.
    pub share_expressions: bool,
    /// Two selectors of which one selects all that the other one does read storage once.
    pub share_selectors: bool,
    /// Selectors on the right side of a join ask only for what the left side can be joined with.
    pub narrow_joins: bool,
    /// Series that are only counted come without labels.
    pub without_labels: bool,
}

impl Passes {
    /// All passes.
    pub const ALL: Self = Self {
        evaluate_once: true,
        fold_constants: true,
        reduce_matchers: true,
        share_expressions: true,
        share_selectors: true,
        narrow_joins: true,
        without_labels: true,
    };

    /// No pass.
    pub const NONE: Self = Self {
        evaluate_once: false,
        fold_constants: false,
        reduce_matchers: false,
        share_expressions: false,
        share_selectors: false,
        narrow_joins: false,
        without_labels: false,
    };
}

impl Default for Passes {
    fn default() -> Self {
        Self::ALL
    }
}

/// Runs the passes that are switched on; between two of them the query can be stopped.
pub(crate) fn optimize(
    plan: &mut Plan,
    passes: Passes,
    context: &QueryContext,
) -> Result<(), Interrupted> {
    type Pass = fn(&mut Plan);
    let all: [(bool, Pass); 6] = [
        (passes.fold_constants, fold_constants::run),
        (passes.reduce_matchers, reduce_matchers::run),
        (passes.share_expressions, share_expressions::run),
        (passes.share_selectors, share_selectors::run),
        (passes.narrow_joins, narrow_joins::run),
        (passes.without_labels, without_labels::run),
    ];
    for (_, run) in all.iter().filter(|(is_on, _)| *is_on) {
        context.check()?;
        run(plan);
    }
    context.check()
}
