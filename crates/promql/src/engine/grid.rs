//! The steps that an expression is evaluated at.

use model::TimestampMs;

use super::QueryKind;

/// Moments at equal distances. A query's own grid has its steps; subqueries and step-invariant
/// parts have grids of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    /// The first moment.
    pub(crate) start_ms: TimestampMs,
    /// Between two moments; greater than 0.
    pub(crate) step_ms: i64,
    /// How many moments; may be 0.
    pub(crate) count: usize,
}

impl Grid {
    /// The steps of a query.
    pub(crate) fn of(kind: QueryKind) -> Self {
        match kind {
            QueryKind::Instant { time_ms } => Self::instant(time_ms),
            QueryKind::Range { start_ms, end_ms, step_ms } => {
                Self::range(start_ms, end_ms, step_ms)
            }
        }
    }

    /// One moment.
    pub(crate) fn instant(time_ms: TimestampMs) -> Self {
        Self { start_ms: time_ms, step_ms: 1, count: 1 }
    }

    /// From `start_ms` in steps of `step_ms`, none later than `end_ms`.
    pub(crate) fn range(start_ms: TimestampMs, end_ms: TimestampMs, step_ms: i64) -> Self {
        let span = i128::from(end_ms) - i128::from(start_ms);
        let step_ms = step_ms.max(1);
        let count = if span < 0 { 0 } else { span / i128::from(step_ms) + 1 };
        Self { start_ms, step_ms, count: usize::try_from(count).unwrap_or(usize::MAX) }
    }

    /// The moment of the step `index`.
    #[inline]
    pub(crate) fn time(&self, index: usize) -> TimestampMs {
        #[expect(clippy::cast_possible_wrap, reason = "an index below `count`, which fits")]
        let index = index as i64;
        self.start_ms + index * self.step_ms
    }

    /// Whether there is one moment only, as in an instant query.
    pub(crate) fn is_instant(&self) -> bool {
        self.count == 1
    }

    /// The grid of only the first moment.
    pub(crate) fn first_only(&self) -> Self {
        Self { count: self.count.min(1), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_a_step_only_if_one_falls_onto_it() {
        let grid = Grid::range(10, 35, 10);
        assert_eq!((grid.count, grid.time(2)), (3, 30));
        assert_eq!(Grid::range(10, 30, 10).count, 3);
        assert_eq!(Grid::range(10, 9, 10).count, 0);
        assert_eq!(Grid::range(i64::MIN, i64::MAX, 1).count, usize::MAX);
    }
}
